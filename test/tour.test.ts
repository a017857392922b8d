/** `npm start`: what it measures, how it fails, how it ends early, and how it looks. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { WriteStream } from 'node:tty';
import { stripVTControlCharacters } from 'node:util';
import { DefaultCollector, TaskManager } from 'errand';
import { withLeakCheck } from 'errand/testing';
import { Progress } from '../examples/tour/progress.ts';
import { writeReport } from '../examples/tour/report.ts';
import { Tally } from '../examples/tour/tally.ts';
import { cut, cutFront, duration, printable, size, widthOf } from '../examples/tour/text.ts';
import { type FoundFile, walk } from '../examples/tour/walk.ts';
import { type Program, ROOT, type RunOptions, start } from './programs.ts';

/** So large that it is never read to its end, and takes no place on the disk: a sparse file. */
const ENDLESS = 2 ** 38;
const NOBODY = 65_534;

function tour(
  t: TestContext,
  dir: string | undefined,
  args: readonly string[] = [],
  options: RunOptions = {},
): Program {
  return start(t, 'examples/tour.ts', { ...options, args: [...(dir === undefined ? [] : [dir]), ...args] });
}

/** A folder with these files; those given a number are so many bytes of nothing. */
async function treeOf(t: TestContext, files: Readonly<Record<string, string | number>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'errand-tour-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  await chmod(root, 0o755);
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name);
    await mkdir(join(path, '..'), { recursive: true });
    if (typeof content === 'string') await writeFile(path, content);
    else {
      await writeFile(path, '');
      await truncate(path, content);
    }
  }
  return root;
}

describe('the tour', { concurrency: 3, timeout: 60_000 }, () => {
  test('measures every file of a tree but those it says it skips', async (t) => {
    const text = 'one\ntwo\n';
    const root = await treeOf(t, {
      'a.txt': text,
      'b/c/d.txt': 'x'.repeat(300_000),
      'b/binary': '\0\n\n',
      'b/empty': '',
      '.hidden/e': 'e',
      'node_modules/x/index.js': 'skipped',
      'b/.git/HEAD': 'skipped',
    });
    await symlink(root, join(root, 'b/loop'));
    const program = tour(t, root);
    assert.equal(await program.ended, 0);
    assert.equal(program.stderr, '');
    const { stdout } = program;
    assert.ok(stdout.includes(`Folder     ${root}\n`), stdout);
    assert.match(stdout, /^Files {6}5 measured, 1 of them not text$/m);
    assert.match(stdout, /^Size {7}300 kB, 2 lines of text$/m);
    assert.match(stdout, /^Folders {4}4, 2 skipped \(node_modules, .git, dist\), 1 link and the like not followed$/m);
    const digest = createHash('sha256').update(text).digest('hex').slice(0, 12);
    assert.match(stdout, new RegExp(`^a\\.txt .* 8 B +2 +${digest}$`, 'm'));
    assert.match(stdout, /^Largest .*\nb\/c\/d\.txt .* 300 kB +0 +[0-9a-f]{12}\na\.txt /m);
    assert.match(stdout, /^b\/binary .* 3 B +- /m);
    for (const row of ['waiting', 'running']) assert.match(stdout, new RegExp(`^${row}( +\\S+ m?s){4}$`, 'm'));
    assert.ok(!stdout.includes('\x1b'), 'no colors where there is no terminal');
  });

  test('measures its own project when it is given no folder', async (t) => {
    const program = tour(t, undefined);
    assert.equal(await program.ended, 0, program.stderr);
    assert.ok(program.stdout.includes(`Folder     ${ROOT}\n`), program.stdout);
  });

  test('counts and lists what it cannot read, and goes on', async (t) => {
    const root = await treeOf(t, { 'a/secret': 'x', 'b/fine': 'x', 'closed/inside': 'x' });
    await chmod(join(root, 'a/secret'), 0);
    await chmod(join(root, 'closed'), 0);
    // The superuser can read everything.
    const isRoot = process.getuid?.() === 0;
    const program = tour(t, root, [], isRoot ? { uid: NOBODY } : {});
    const code = await program.ended;
    await chmod(join(root, 'closed'), 0o755);
    assert.equal(code, 1, program.stderr);
    assert.match(program.stdout, /^Files {6}1 measured, 2 failed$/m);
    assert.match(program.stdout, /^EACCES {2}a\/secret$/m);
    assert.match(program.stdout, /^EACCES {2}closed$/m);
  });

  test('gives up a file that takes too long, and goes on', async (t) => {
    const root = await treeOf(t, { endless: ENDLESS, fine: 'x' });
    const program = tour(t, root, ['--timeout', '100', '--workers', '1']);
    assert.equal(await program.ended, 1, program.stderr);
    assert.match(program.stdout, /^Files {6}1 measured, 1 timed out$/m, program.stderr);
    assert.match(program.stdout, /^timed out {2}endless$/m);
  });

  for (const [what, args, message] of [
    ['a folder that is not there', ['/nowhere/at/all'], /^\/nowhere\/at\/all can't be read: ENOENT\n/],
    ['a file', [join(ROOT, 'package.json')], /package\.json is not a folder\n/],
    ['two folders', ['a', 'b'], /^one folder is enough, but there are 2\n/],
    ['an option it does not have', ['--fast'], /^Unknown option '--fast'/],
    ['a wrong number', ['--workers', '0'], /^--workers takes a whole number of at least 1, not "0"\n/],
  ] as const) {
    test(`refuses ${what}, and says how it is used`, async (t) => {
      const program = tour(t, undefined, args);
      assert.equal(await program.ended, 2);
      assert.equal(program.stdout, '');
      assert.match(program.stderr, message);
      assert.match(program.stderr, /\nUsage: npm start/);
    });
  }

  test('says how it is used when asked', async (t) => {
    const program = tour(t, undefined, ['--help']);
    assert.equal(await program.ended, 0);
    assert.match(program.stdout, /^Usage: npm start/);
  });

  test('at Ctrl-C finishes what runs, drops what waits, reports, and exits with 130', async (t) => {
    const root = await treeOf(t, { endless: ENDLESS, larger: ENDLESS * 2, small: 'x' });
    const program = tour(t, root, ['--workers', '2', '--grace', '60000']);
    await program.until(/^2 files|1 file, .* 2 running/);
    // One press, which npm may hand on a second time.
    program.child.kill('SIGINT');
    program.child.kill('SIGINT');
    await program.until(/Stopping: 2 may finish, 0 waiting canceled/);
    // The files come to their end after all.
    await truncate(join(root, 'endless'), 0);
    await truncate(join(root, 'larger'), 0);
    assert.equal(await program.ended, 130);
    assert.match(program.stdout, /^Files {6}3 measured, 2 of them not text$/m);
    assert.match(program.stdout, /^Ended {6}early, by SIGINT$/m);
  });

  test('cancels what still runs when the grace is over, and what waits at once', async (t) => {
    const root = await treeOf(t, Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`endless${i}`, ENDLESS])));
    const program = tour(t, root, ['--workers', '1', '--grace', '100']);
    await program.until(/running, [1-9] waiting/);
    program.child.kill('SIGTERM');
    assert.equal(await program.ended, 143);
    assert.match(program.stdout, /^Files {6}0 measured, 9 canceled$/m);
    assert.match(program.stdout, /^Ended {6}early, by SIGTERM$/m);
  });

  test('at a second Ctrl-C ends at once', async (t) => {
    const root = await treeOf(t, { endless: ENDLESS });
    const program = tour(t, root, ['--grace', '60000']);
    await program.until(/1 running/);
    program.child.kill('SIGINT');
    await program.until(/(\nstopping, .*){2}/);
    program.child.kill('SIGINT');
    assert.equal(await program.ended, 130);
    assert.match(program.stderr, /Ending at once\.\n$/);
    assert.match(program.stdout, /^Files {6}0 measured, 1 canceled$/m);
    assert.match(program.stdout, /^Ended {6}early, by SIGINT, killed$/m);
  });
});

describe('the walk', () => {
  const silent = { onFolder() {}, onFolderSkipped() {}, onOther() {}, onFailure() {} };

  test('reads no further than it is asked', async (t) => {
    const root = await treeOf(t, { 'a/1': 'x', 'a/2': 'x', 'b/3': 'x', 'c/d/4': 'x' });
    await withLeakCheck(async () => {
      let folders = 0;
      const files = walk(root, new AbortController().signal, { ...silent, onFolder: () => folders++ });
      const { value } = await files.next();
      assert.equal((value as FoundFile).bytes, 1);
      assert.equal(folders, 0);
      await files.return();
    })();
  });

  test('ends without a word when its signal fires', async (t) => {
    const root = await treeOf(t, { 'a/1': 'x', 'a/2': 'x', 'b/3': 'x' });
    const controller = new AbortController();
    const found: FoundFile[] = [];
    for await (const file of walk(root, controller.signal, silent)) {
      found.push(file);
      controller.abort();
    }
    assert.equal(found.length, 1);
  });
});

/** Looks like a terminal, and keeps what is written. */
function terminal(columns: number): { readonly stream: WriteStream; readonly writes: string[] } {
  const writes: string[] = [];
  const stream = { isTTY: true, columns, write: (text: string) => writes.push(text) };
  return { stream: stream as unknown as WriteStream, writes };
}

function withEnv(t: TestContext, values: NodeJS.ProcessEnv): void {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name];
    const set = (text: string | undefined): void => {
      if (text === undefined) delete process.env[name];
      else process.env[name] = text;
    };
    set(value);
    t.after(() => set(before));
  }
}

const LONG_PATH = `${'folder/'.repeat(40)}ファイル.txt`;

describe('on a terminal', () => {
  test('one line is drawn over ten times a second, cut to the width, and cleared at the end', async (t) => {
    withEnv(t, { TERM: 'xterm' });
    t.mock.timers.enable({ apis: ['setInterval'] });
    await using manager = new TaskManager({ workerCount: 1 });
    const { stream, writes } = terminal(60);
    const tally = new Tally();
    tally.current = LONG_PATH;
    const progress = new Progress(stream, () => ({ tally, stats: manager.stats() }));
    t.mock.timers.tick(1_000);
    assert.equal(writes.length, 10);
    for (const text of writes) {
      assert.ok(text.startsWith('\r\x1b[2K'), text);
      assert.equal(text.indexOf('\n'), -1);
      assert.ok(widthOf(text.slice('\r\x1b[2K'.length)) < 60, text);
    }
    progress.end();
    assert.equal(writes.at(-1), '\r\x1b[2K');
    t.mock.timers.tick(1_000);
    assert.equal(writes.length, 11);
  });

  for (const columns of [80, 200]) {
    test(`the report fits in ${columns} columns`, (t) => {
      withEnv(t, { TERM: 'xterm', NO_COLOR: undefined });
      const { stream, writes } = terminal(columns);
      writeReport(stream, report());
      const written = writes.join('');
      assert.ok(written.includes('\x1b[1m'));
      for (const line of stripVTControlCharacters(written).split('\n')) assert.ok(widthOf(line) <= columns, line);
      assert.match(written, /…(folder\/|lder\/|\/).*ファイル\.txt/);
    });
  }

  test('NO_COLOR is respected', (t) => {
    withEnv(t, { TERM: 'xterm', NO_COLOR: '1' });
    const { stream, writes } = terminal(80);
    writeReport(stream, report());
    assert.ok(!writes.join('').includes('\x1b'));
  });

  function report() {
    const tally = new Tally();
    for (let i = 0; i < 7; i++) {
      tally.measured(`${i}${LONG_PATH}`, { bytes: 10 ** i, lines: i, digest: 'abcdef'.repeat(10), ms: 3 ** i });
    }
    for (let i = 0; i < 12; i++) tally.unreadable(LONG_PATH, Object.assign(new Error(), { code: 'EACCES' }));
    const manager = new TaskManager({ workerCount: 1, collector: new DefaultCollector() });
    return { root: `/${LONG_PATH}`, tally, metrics: manager.metrics(), interrupted: undefined };
  }
});

describe('the text', () => {
  test('names files without commanding the terminal', () => {
    assert.equal(printable('a\x1b[31m\nb\u202ec'), 'a?[31m?b?c');
  });

  test('is cut by columns, not by characters', () => {
    assert.equal(widthOf('ファ.é👩‍👧'), 8);
    assert.equal(cut('ファイル', 5), 'ファ…');
    assert.equal(cutFront('ファイル', 6), '…イル');
    assert.equal(cut('as it is', 8), 'as it is');
  });

  test('has units a reader knows', () => {
    assert.deepEqual([0, 999, 1_000, 9_949, 9_951, 999_499, 999_500, 3e12].map(size), [
      '0 B',
      '999 B',
      '1.0 kB',
      '9.9 kB',
      '10 kB',
      '999 kB',
      '1.0 MB',
      '3.0 TB',
    ]);
    assert.deepEqual([0, 0.996, 12.3, 999.6, 59_960, 61_000].map(duration), [
      '0.00 ms',
      '1.0 ms',
      '12 ms',
      '1.0 s',
      '1 min 0 s',
      '1 min 1 s',
    ]);
  });
});
