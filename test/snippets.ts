/**
 * The code in Markdown files, as programs: each fenced `ts` block becomes a file that can be checked and run, and each
 * `js` block that begins with its name, `// work.js`, a module beside them.
 *
 * A block that imports something stands for itself. Any other one is preceded by its page's prelude, the block after
 * `<!-- prelude -->`. Managers made at the top of a block are stopped after it. What follows `// →` in a block is what
 * it prints there, line by line: `console.log(n); // → 1 → 2`.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ROOT } from './programs.ts';

/** Git and the linter look past it; within the tree, so that `errand` and its dependencies are found. */
export const SNIPPET_DIR = join(ROOT, '.snippets');

export interface Snippet {
  /** Page and line. */
  readonly name: string;
  /** Where it was written to. */
  readonly path: string;
  readonly source: string;
  /** What it prints: for each of its comments the lines, in this order. Other lines may come between. */
  readonly says: readonly (readonly string[])[];
}

/** A file that snippets import, or have threads run. */
export interface Module {
  readonly path: string;
  readonly source: string;
}

const BLOCK = /(<!-- prelude -->\n)?^```ts\n(.*?)^```$/gms;

/** The blocks of a page, the prelude among them. */
export async function snippetsOf(page: string): Promise<Snippet[]> {
  const text = await readFile(join(ROOT, page), 'utf8');
  const blocks = [...text.matchAll(BLOCK)];
  const prelude = blocks.find(([, mark]) => mark !== undefined)?.[2];
  return blocks.map((block) => {
    const code = block[2]!;
    const line = text.slice(0, block.index).split('\n').length + (block[1] === undefined ? 1 : 2);
    const stem = `${basename(page, '.md')}-${line}`;
    return {
      name: `${page}:${line}`,
      path: join(SNIPPET_DIR, `${stem}.ts`),
      source: programOf(code, code === prelude ? undefined : prelude),
      says: [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, said]) => said!.split(' → ')),
    };
  });
}

/** The `js` blocks of a page that have a name: no name is given twice. */
export async function modulesOf(page: string): Promise<Module[]> {
  const text = await readFile(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```js\n\/\/ (\S+)\n(.*?)^```$/gms)].map(([, name, source]) => ({
    path: join(SNIPPET_DIR, name!),
    source: source!,
  }));
}

function programOf(code: string, prelude: string | undefined): string {
  const isWhole = /^import /m.test(code) || prelude === undefined;
  const program = isWhole ? code : `${prelude}\n${code}`;
  const stop = /^const manager = /m.test(program) ? 'await manager.stop();\n' : '';
  // With an export it is a module of its own even if it imports nothing.
  return `${program}\n${stop}export {};\n`;
}

/** Writes them where `errand` can be imported by its name, beside what they take for yours. */
export async function writeSnippets(snippets: readonly Snippet[], modules: readonly Module[]): Promise<void> {
  await rm(SNIPPET_DIR, { recursive: true, force: true });
  await mkdir(SNIPPET_DIR, { recursive: true });
  await writeFile(join(SNIPPET_DIR, 'database.ts'), "export * from '../examples/support/database.ts';\n");
  await writeFile(
    join(SNIPPET_DIR, 'tsconfig.json'),
    JSON.stringify({
      extends: '../tsconfig.json',
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, noPropertyAccessFromIndexSignature: false },
      include: [],
      files: snippets.map(({ path }) => basename(path)),
    }),
  );
  for (const { path, source } of [...snippets, ...modules]) await writeFile(path, source, { flag: 'wx' });
}

export async function removeSnippets(): Promise<void> {
  await rm(SNIPPET_DIR, { recursive: true, force: true });
}
