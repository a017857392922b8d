import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Entry, type InputOptions, openInputs } from '../../src/cli/inputs.ts';
import { UsageError } from '../../src/cli/usage-error.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Folder, linesOf } from './folder.ts';
import { Desk } from './support.ts';

async function entriesOf(options: Partial<InputOptions>): Promise<Entry[]> {
  const all: Entry[] = [];
  for await (const entry of await openInputs({ words: [], from: undefined, json: false, ...options })) all.push(entry);
  return all;
}

/** What the lines of a text come to, when they come from a file. */
function entriesIn(t: TestContext, text: string | Uint8Array, json = false): Promise<Entry[]> {
  const folder = new Folder(t);
  return entriesOf({ from: join(folder.path, folder.write('lines', text)), json });
}

async function inputsIn(t: TestContext, text: string | Uint8Array): Promise<unknown[]> {
  return (await entriesIn(t, text)).map(({ input }) => input);
}

describe('lines', () => {
  test(
    'end with \\n or \\r\\n, or with the file; empty ones are none',
    withLeakCheck(async (t) => {
      assert.deepEqual(await inputsIn(t, 'a\nb\n'), ['a', 'b']);
      assert.deepEqual(await inputsIn(t, 'a\nb'), ['a', 'b']);
      assert.deepEqual(await inputsIn(t, 'a\r\nb\r\n\r\n'), ['a', 'b']);
      assert.deepEqual(await inputsIn(t, '\n\na\n\n\nb\n\n'), ['a', 'b']);
      assert.deepEqual(await inputsIn(t, 'a\rb\r\nc\r'), ['a\rb', 'c']);
      assert.deepEqual(await inputsIn(t, ' a \n\t\n'), [' a ', '\t']);
      assert.deepEqual(await inputsIn(t, ''), []);
      assert.deepEqual(await inputsIn(t, '\n'), []);
      assert.deepEqual(await inputsIn(t, '\0\n\x1b[31m\n'), ['\0', '\x1b[31m']);
    }),
  );

  test(
    'begin after a byte order mark',
    withLeakCheck(async (t) => {
      assert.deepEqual(await inputsIn(t, '\uFEFFa\n\uFEFFb\n'), ['a', '\uFEFFb']);
      assert.deepEqual(await inputsIn(t, '\uFEFF\r\nb'), ['b']);
      assert.deepEqual(await entriesIn(t, '\uFEFF{"a":1}\n', true), [{ input: { a: 1 } }]);
    }),
  );

  test(
    'are whole wherever a file is cut as it is read',
    withLeakCheck(async (t) => {
      // Files are read by 64 KiB; each of these has a line break or a character of several bytes across that place.
      for (const at of ['\n', '\r\n', 'é\n', '漢\n', '🎉\n']) {
        for (let before = 0; before <= Buffer.byteLength(at); before++) {
          const first = 'x'.repeat(64 * 1024 - before) + at;
          assert.deepEqual(await inputsIn(t, `${first}end\n`), [...linesOf(first.replace('\r', '')), 'end']);
        }
      }
      assert.deepEqual(await inputsIn(t, Buffer.from([0x61, 0xe6, 0xbc])), ['a\uFFFD']);
    }),
  );

  test(
    'can have megabytes',
    withLeakCheck(async (t) => {
      const wide = 'wide '.repeat(1_000_000);
      assert.deepEqual(await inputsIn(t, `a\n${wide}\nb\n${wide}`), ['a', wide, 'b', wide]);
    }),
  );

  test(
    'of JSON are values, and where one is none its number is told, empty lines counted',
    withLeakCheck(async (t) => {
      const entries = await entriesIn(t, '{"a":[1]}\n\n"b"\nb\r\nnull\n{"c":\n0\n', true);
      assert.deepEqual(
        entries.map(({ input }) => input),
        [{ a: [1] }, 'b', 'b', null, '{"c":', 0],
      );
      const errors = entries.flatMap(({ error }) => (error === undefined ? [] : [error]));
      assert.equal(errors.length, 2);
      assert.match(errors[0]!.message, /^line 4 of \S+lines is no JSON: /);
      assert.match(errors[1]!.message, /^line 6 of \S+lines is no JSON: /);
    }),
  );

  test(
    'of a file that is not there, or a folder, are refused',
    withLeakCheck(async (t) => {
      const { path } = new Folder(t);
      for (const [from, says] of [
        [join(path, 'gone'), `--from ${path}/gone can't be read: ENOENT`],
        [path, `--from ${path}: that is a folder, not a file of lines`],
      ]) {
        await assert.rejects(entriesOf({ from }), new UsageError(says!));
      }
    }),
  );
});

describe('words', () => {
  test(
    'are inputs as they are, or JSON, or patterns of files',
    withLeakCheck(async (t) => {
      const folder = new Folder(t);
      const at = (...names: string[]): string[] => names.map((name) => join(folder.path, name));
      mkdirSync(join(folder.path, 'sub'));
      for (const name of ['b.txt', 'a.txt', 'sub/c.txt', 'd.md', 'e[1].md']) folder.write(name, '');
      const inputsOf = async (...words: string[]): Promise<unknown[]> =>
        (await entriesOf({ words })).map(({ input }) => input);

      assert.deepEqual(await inputsOf('a', '', 'b c', 'a'), ['a', '', 'b c', 'a']);
      assert.deepEqual(await inputsOf(...at('*.txt')), at('a.txt', 'b.txt'));
      assert.deepEqual(await inputsOf('first', ...at('**/*.txt', 'a.txt')), [
        'first',
        ...at('a.txt', 'b.txt', 'sub/c.txt', 'a.txt'),
      ]);
      assert.deepEqual(await inputsOf(...at('{d,a}.*')), at('a.txt', 'd.md'));
      assert.deepEqual(await inputsOf('http://localhost/?a=*'), ['http://localhost/?a=*']);
      // A file that is called so comes before what its name could mean.
      assert.deepEqual(await inputsOf(...at('e[1].md')), at('e[1].md'));
      await assert.rejects(inputsOf(...at('*.js')), (error: unknown) => {
        assert.ok(error instanceof UsageError);
        assert.ok(
          error.message.startsWith(`no file fits the pattern ${JSON.stringify(at('*.js')[0])}.`),
          error.message,
        );
        return true;
      });
      // Folders are no files.
      await assert.rejects(inputsOf(...at('s*')), UsageError);

      const json = await entriesOf({ words: ['{"a":1}', '*', '2'], json: true });
      assert.deepEqual(
        json.map(({ input }) => input),
        [{ a: 1 }, '*', 2],
      );
      assert.match(json[1]!.error!.message, /^input 2 is no JSON: /);
    }),
  );

  test(
    'come before the lines of a file; only alone their number is known',
    withLeakCheck(async (t) => {
      const folder = new Folder(t);
      const from = join(folder.path, folder.write('lines', 'c\n'));
      assert.deepEqual(await entriesOf({ words: ['a', 'b'], from }), [{ input: 'a' }, { input: 'b' }, { input: 'c' }]);
      assert.equal((await openInputs({ words: ['a', 'b'], from: undefined, json: false })).total, 2);
      await assert.rejects(entriesOf({}), /there is nothing to map/);
    }),
  );
});

const IDENTITY = 'export default (input) => input;';

test(
  'the command maps words, files by patterns, and the lines of files and pipes',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', IDENTITY);
    for (const name of ['b.txt', 'a.txt']) desk.write(name, '');
    desk.write('lines', '1\r\n\r\n2');
    const [words, files, file, json, piped, substituted, nothing] = await Promise.all([
      desk.map(['m.mjs', '--ordered', 'x', '--quiet', '--', '-y', '--json']),
      desk.map(['m.mjs', '--ordered', '*.txt', './b.*']),
      desk.map(['m.mjs', '--ordered', '--from', 'lines']),
      desk.map(['m.mjs', '--ordered', '--from', 'lines', '--json', '[0]']),
      desk.map(['m.mjs', '--ordered', '--from', '-'], { stdin: 'é\n\n漢' }),
      desk.shell(
        `errand map m.mjs --ordered --from <(echo 1; echo 2) && mkfifo pipe && (echo 3 > pipe & errand map m.mjs --from pipe)`,
      ),
      desk.map(['m.mjs', '--from', '-'], { stdin: '' }),
    ]);
    const inputsOf = ({ results }: { results: readonly { input: unknown }[] }): unknown[] =>
      results.map(({ input }) => input);
    assert.deepEqual(inputsOf(words), ['x', '-y', '--json']);
    assert.equal(words.stderr, '');
    assert.deepEqual(inputsOf(files), ['a.txt', 'b.txt', 'b.txt']);
    assert.deepEqual(inputsOf(file), ['1', '2']);
    assert.deepEqual(inputsOf(json), [[0], 1, 2]);
    assert.deepEqual(inputsOf(piped), ['é', '漢']);
    assert.equal(await substituted.ended, 0, substituted.stderr);
    assert.deepEqual(
      linesOf(substituted.stdout).map((line) => (JSON.parse(line) as { input: unknown }).input),
      ['1', '2', '3'],
    );
    assert.deepEqual(inputsOf(nothing), []);
    assert.match(nothing.stderr, /^Inputs +0 of 0 done/);
    for (const { code } of [words, files, file, json, piped, nothing]) assert.equal(code, 0);
  }),
);

test(
  'a character can come through a pipe in pieces',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    const errand = desk.start(['map', desk.write('m.mjs', IDENTITY), '--from', '-']);
    const [first, ...rest] = Buffer.from('🎉\n');
    errand.child.stdin.write(Buffer.from([...Buffer.from('a\n'), first!]));
    await errand.until(/"value":"a"/); // so it has read the piece after it too
    errand.child.stdin.end(Buffer.from(rest));
    assert.equal(await errand.ended, 0);
    assert.match(errand.stdout, /"value":"🎉"/);
  }),
);

test(
  'a line that is no JSON is a failure with its number, and no secret command to the terminal',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', IDENTITY);
    const stdin = '1\n\n{"a":\x1b[31m\x9b\x7f}\n2\n';
    const [said, written] = await Promise.all([
      desk.map(['m.mjs', '--from', '-', '--json', '--ordered'], { stdin }),
      desk.map(['m.mjs', '--from', '-', '--json', '--errors', 'errors', '--quiet'], { stdin }),
    ]);
    for (const { code, results } of [said, written]) {
      assert.equal(code, 1);
      assert.deepEqual(results.map(({ value }) => value).sort(), [1, 2]);
    }
    assert.match(said.stderr, /^failed: .*: SyntaxError: line 3 of stdin is no JSON: /);
    assert.match(said.stderr, /3 of 3 done, 2 completed, 1 failed/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    assert.doesNotMatch(said.stderr, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    const [failure, ...more] = linesOf(desk.read('errors')).map((line) => JSON.parse(line));
    assert.deepEqual(more, []);
    assert.equal(failure.input, '{"a":\x1b[31m\x9b\x7f}');
    assert.match(failure.error.message, /^line 3 of stdin is no JSON: /);
    assert.equal(failure.attempts, 0);
    assert.equal(written.stderr, '');
  }),
);
