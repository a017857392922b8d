/** What README.md and docs/ say is true: their code compiles, runs and prints what they claim; tables miss nothing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { format } from 'node:util';
import * as errand from 'errand';
import { withLeakCheck } from 'errand/testing';
import { register } from 'tsx/esm/api';
import { mapCommand } from '../src/cli/map-command.ts';
import { ROOT, start } from './programs.ts';
import { modulesOf, removeSnippets, SNIPPET_DIR, snippetsOf, writeSnippets } from './snippets.ts';

// For the snippets, which are in TypeScript.
register();

const PAGES = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)]
  .filter((name) => name.endsWith('.md'))
  .concat('examples/README.md', 'CHANGELOG.md');
const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8');
const readme = read('README.md');
const snippets = (await Promise.all(PAGES.map(snippetsOf))).flat();
const modules = (await Promise.all(PAGES.map(modulesOf))).flat();

describe('every snippet', { timeout: 60_000 }, () => {
  before(() => writeSnippets(snippets, modules));
  after(removeSnippets);

  test('compiles', async () => {
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const child = spawn(process.execPath, [tsc, '-p', SNIPPET_DIR], { cwd: ROOT });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    await new Promise((resolve) => child.once('close', resolve));
    // What is wrong with the sources is for `npm run typecheck` to say.
    const errors = said.split('\n').filter((line) => /error TS/.test(line) && !line.startsWith('src/'));
    assert.deepEqual(errors, [], said);
  });

  for (const { name, path, source, says } of snippets) {
    test(`${name} runs, leaves nothing behind, and prints what it says`, async (t) => {
      const printed: string[] = [];
      t.mock.method(console, 'log', (...values: unknown[]) => void printed.push(format(...values)));
      const run = async (): Promise<void> => {
        await import(pathToFileURL(path).href);
      };
      // Only one check can be at work in a process.
      await (source.includes('withLeakCheck') ? run() : withLeakCheck(run)());
      for (const lines of says) {
        let from = 0;
        for (const line of lines) {
          const at = printed.indexOf(line, from);
          assert.ok(at >= 0, `should print ${lines.join(' → ')}, but printed:\n${printed.join('\n')}`);
          from = at + 1;
        }
      }
      for (const line of new Set(says.flat())) {
        const isLine = (other: string): boolean => other === line;
        assert.ok(
          printed.filter(isLine).length >= says.flat().filter(isLine).length,
          `should print ${line} more often`,
        );
      }
    });
  }
});

/** The first column of the table under a heading. */
function namesUnder(heading: string): string[] {
  const section = readme.split(new RegExp(`^#+ ${heading}$`, 'm'))[1]!.split(/^#+ /m)[0]!;
  return [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!);
}

/** The options a call knows, from what it says of one it doesn't. */
async function knownFrom(call: () => unknown): Promise<string[]> {
  const error = await (async () => call())().catch((error: Error) => error);
  return (error as Error).message.split('those are ')[1]!.split(', ');
}

describe('README.md', () => {
  test('lists every option of a manager', async () => {
    const known = await knownFrom(() => new errand.TaskManager({ unknown: 1 } as object));
    assert.deepEqual(namesUnder('Options').sort(), known.sort());
  });

  test('lists every option of a task', async () => {
    await using manager = new errand.TaskManager({ workerCount: 1 });
    const known = await knownFrom(() => manager.queueTask(() => {}, { unknown: 1 } as object));
    // The table has those of `map`, streams and children besides.
    const listed = namesUnder('Submit');
    for (const name of known) assert.ok(listed.includes(name), name);
  });

  test('lists every error with its code', () => {
    const errors = Object.entries(errand).filter(
      ([name, value]) => name.endsWith('Error') && name !== 'ErrandError' && typeof value === 'function',
    );
    assert.deepEqual(namesUnder('Errors').sort(), errors.map(([name]) => name).sort());
    for (const [name, ErrorClass] of errors) {
      const { code } = new (ErrorClass as new () => errand.ErrandError)();
      assert.ok(readme.includes(`| \`${name}\` | \`${code}\` |`), name);
    }
  });

  test('names every method of a manager, and every event', () => {
    const manager = errand.TaskManager.prototype;
    const submitter = Object.getPrototypeOf(manager) as object;
    // `removeListener` is `off` by another name.
    const methods = [...Object.getOwnPropertyNames(manager), ...Object.getOwnPropertyNames(submitter)].filter(
      (name) => name !== 'constructor' && name !== 'removeListener',
    );
    for (const name of methods) assert.match(readme, new RegExp(`\\b${name}\\b`), name);
  });
});

describe('errand map', () => {
  const flags = mapCommand(() => {}).options.map(({ long }) => long!);

  test('has every flag in README.md and in docs/cli.md, and those have no other', () => {
    const section = readme.split(/^## errand map$/m)[1]!.split(/^## /m)[0]!;
    for (const [page, text] of [
      ['README.md', section],
      ['docs/cli.md', read('docs/cli.md')],
    ] as const) {
      for (const flag of flags) assert.ok(text.includes(`\`${flag}`), `${page} lacks ${flag}`);
      for (const [, flag] of text.matchAll(/`(--[a-z-]+)/g)) assert.ok(flags.includes(flag!), `${page} has ${flag}`);
    }
  });

  test('runs the module in README.md as it stands there', { timeout: 30_000 }, async (t) => {
    const [, name, source] = /^```js\n\/\/ (\S+)\n(.*?)^```$/ms.exec(readme)!;
    const folder = await mkdtemp(join(tmpdir(), 'errand-readme-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, name!), source!);
    let asked = 0;
    const server = createServer((_, response) => {
      response.writeHead(asked++ === 0 ? 503 : 200, { 'content-type': 'text/plain' }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close().closeAllConnections());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const args = ['map', join(folder, name!), url, '--retries', '1', '--quiet'];
    const program = start(t, 'src/cli/main.ts', { args });
    assert.equal(await program.ended, 0, program.stderr);
    assert.deepEqual(JSON.parse(program.stdout), { input: url, value: { status: 200, type: 'text/plain' } });
    assert.equal(program.stderr, `again: ${url}\n`);
  });
});

test('docs/architecture.md names every file of src/', () => {
  const page = read('docs/architecture.md');
  const files = readdirSync(join(ROOT, 'src'), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('index.ts'));
  for (const name of files)
    assert.ok(page.includes(`\`${name.split(/[\\/]/).at(-1)}\``), `src/${name} is not on the map`);
});

test('every link to a file or a heading leads somewhere', () => {
  for (const page of PAGES) {
    for (const [, target] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path, anchor] = target!.split('#');
      const file = path === '' ? page : join(dirname(page), path!);
      assert.ok(existsSync(join(ROOT, file)), `${page} links to ${target}`);
      if (anchor === undefined) continue;
      const anchors = [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
      assert.ok(anchors.includes(anchor), `${page} links to ${target}; headings are ${anchors.join(', ')}`);
    }
  }
});

/** As GitHub makes them. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}
