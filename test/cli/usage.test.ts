/** What the command says of itself, and of what can't be: always what and where, with exit code 2. */
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { ROOT, start } from '../programs.ts';
import { Desk } from './support.ts';

test(
  'runs from its source as well',
  withLeakCheck(async (t) => {
    const { version } = (await import(join(ROOT, 'package.json'), { with: { type: 'json' } })).default;
    const errand = start(t, 'src/cli/main.ts', { args: ['--version'] });
    assert.equal(await errand.ended, 0, errand.stderr);
    assert.equal(errand.stdout, `${version}\n`);
  }),
);

test(
  'tells its version, and how it is used',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    const [version, help, mapHelp, nothing] = await Promise.all([
      desk.run(['--version']),
      desk.run(['--help']),
      desk.run(['map', '--help']),
      desk.run([]),
    ]);
    assert.deepEqual([version.code, help.code, mapHelp.code], [0, 0, 0]);
    assert.match(version.stdout, /^\d+\.\d+\.\d+\S*\n$/);
    assert.match(help.stdout, /^Usage: errand [\s\S]*\bmap\b/);
    for (const flag of [
      ...[
        '--from',
        '--json',
        '--concurrency',
        '--threads',
        '--timeout',
        '--retries',
        '--rate',
        '--ordered',
        '--out',
        '--errors',
      ],
      ...['--journal', '--replay', '--fail-fast', '--quiet'],
    ]) {
      assert.match(mapHelp.stdout, new RegExp(`^ +${flag}\\b`, 'm'));
    }
    assert.match(mapHelp.stdout, /Exit codes: 0 all done, 1 some failed, 2 wrong usage, 130 interrupted/);
    assert.equal(version.stderr + help.stderr + mapHelp.stderr, '');
    // No command is no question for help.
    assert.equal(nothing.code, 2);
    assert.match(nothing.stderr, /^Usage: errand /);
    assert.equal(nothing.stdout, '');
  }),
);

/** What is wrong, with what arguments, and what is said of it. */
const REFUSALS: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['reduce'], /^error: unknown command 'reduce'\n\(errand --help says more\)\n$/],
  [['map', 'm.mjs', 'a', '--parallel'], /^error: unknown option '--parallel'\n\(errand map --help says more\)\n$/],
  [['map'], /missing required argument 'module'/],
  [['map', 'm.mjs', 'a', '--concurrency', '0'], /--concurrency takes a whole number from 1, not "0"/],
  [['map', 'm.mjs', 'a', '--timeout', 'soon'], /--timeout takes a time above 0 .*, not "soon"/],
  [['map', 'm.mjs', 'a', '--retries=-1'], /--retries takes a whole number from 0, not "-1"/],
  [['map', 'm.mjs', 'a', '--rate', 'fast'], /--rate takes a rate .*, not "fast"/],
  [['map', 'm.mjs', 'a', '--replay'], /^errand: --replay prints what a journal holds: name it with --journal\n$/],
  [['map', 'gone.mjs', 'a'], /^errand: the module gone\.mjs can't be read: there is no such file\n$/],
  [['map', 'm.mjs'], /^errand: there is nothing to map: .*--from -\n$/],
  [['map', 'm.mjs', '*.nothing'], /^errand: no file fits the pattern "\*\.nothing"\. .*\n$/],
  [['map', 'm.mjs', '--from', 'gone'], /^errand: --from gone can't be read: ENOENT\n$/],
  [['map', 'm.mjs', 'a', '--out', 'gone/out'], /^errand: --out gone\/out can't be written: ENOENT\n$/],
  [['map', 'm.mjs', 'a', '--errors', '.'], /^errand: --errors \. can't be written: EISDIR\n$/],
  [['map', 'm.mjs', 'a', '--journal', '.'], /^errand: --journal \. can't be opened: EISDIR\n$/],
  [
    ['map', 'm.mjs', '--from', 'lines', '--out', './lines'],
    /^errand: --out \.\/lines is the same file as --from lines\n$/,
  ],
  [
    ['map', 'm.mjs', '--from', 'lines', '--journal', 'link'],
    /^errand: --journal link is the same file as --from lines\n$/,
  ],
  [
    ['map', 'm.mjs', 'a', '--out', 'new', '--errors', './new'],
    /^errand: --errors \.\/new is the same file as --out new\n$/,
  ],
  [['map', 'm.mjs', 'a', '--errors', 'm.mjs'], /^errand: --errors m\.mjs is the same file as the module m\.mjs\n$/],
];

test(
  'says what can not be, and where, with exit code 2',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', `export default () => process.stdout.write('called');`);
    desk.write('lines', 'a\nb\n');
    symlinkSync('lines', join(desk.path, 'link'));
    await Promise.all(
      REFUSALS.map(async ([args, says]) => {
        const { code, stdout, stderr } = await desk.run(args);
        assert.match(stderr, says);
        assert.equal(code, 2, args.join(' '));
        assert.equal(stdout, '');
      }),
    );
    assert.equal(desk.read('lines'), 'a\nb\n');
    assert.match(desk.read('m.mjs'), /^export default/);
  }),
);

test(
  'ends when it refuses, although the module holds the process, and shows nothing raw',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', `setInterval(() => {}, 1_000); throw 'a \\x1b[31mstring';`);
    const { code, stderr } = await desk.map(['m.mjs', 'a']);
    assert.equal(stderr, 'errand: the module m.mjs failed to load: a string\n');
    assert.equal(code, 2);
  }),
);

test(
  'runs a module in TypeScript where Node can load it, and says how where it can not',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('twice.ts', 'export default (input: string): string => input + input;');
    desk.write('package.json', '{ "type": "module" }');
    const loader = import.meta.resolve('tsx');
    const [alone, loaded, common] = await Promise.all([
      desk.map(['twice.ts', 'a'], { nodeFlags: refusingTypes() }),
      desk.map(['twice.ts', 'a'], { env: { NODE_OPTIONS: `--import ${loader}` } }),
      desk.map([desk.write('twice.cts', 'export = (input: string): string => input + input;'), 'a'], {
        env: { NODE_OPTIONS: `--import ${loader}` },
      }),
    ]);
    assert.equal(alone.code, 2);
    assert.match(alone.stderr, /Node \S+ can't load twice\.ts: TypeScript needs Node 22\.18 or later, or a loader/);
    assert.match(alone.stderr, /NODE_OPTIONS="--import tsx" errand map/);
    assert.deepEqual([loaded.code, loaded.results], [0, [{ input: 'a', value: 'aa' }]]);
    assert.deepEqual([common.code, common.results], [0, [{ input: 'a', value: 'aa' }]]);
  }),
);

/** Newer versions of Node load TypeScript unless they are told not to. */
function refusingTypes(): string[] {
  const flag = '--no-experimental-strip-types';
  return process.allowedNodeEnvironmentFlags.has('--experimental-strip-types') ? [flag] : [];
}
