/** What the user's module is given, what may come of it, and what is made of that. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Desk, failuresOf } from './support.ts';

test(
  'the function gets the input, a signal, the attempt, a log and the resource; the hooks make, check and end resources',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      const note = (text) => appendFileSync('notes', text + '\\n');
      let made = 0;
      export const onCreate = ({ signal }) => {
        note('made ' + ++made + ' ' + (signal instanceof AbortSignal));
        return { number: made };
      };
      export const onDestroy = async ({ number }) => note('ended ' + number);
      export const checkHealth = (error) => error.message !== 'lost';
      export default async (input, { signal, attempt, log }, resource) => {
        log('%s at attempt %d', input, attempt, { by: resource.number });
        if (input === 'b' && attempt === 1) throw new Error('lost');
        return [signal instanceof AbortSignal && !signal.aborted, attempt, resource.number];
      };`,
    );
    const { code, results, stderr } = await desk.map(['m.mjs', 'a', 'b', 'c', '--concurrency', '1', '--quiet']);
    assert.deepEqual(results, [
      { input: 'a', value: [true, 1, 1] },
      { input: 'b', value: [true, 2, 2] },
      { input: 'c', value: [true, 1, 2] },
    ]);
    assert.equal(code, 0);
    assert.equal(
      stderr,
      [
        'a at attempt 1 { by: 1 }',
        'b at attempt 1 { by: 1 }',
        'b at attempt 2 { by: 2 }',
        'c at attempt 1 { by: 2 }',
        '',
      ].join('\n'),
    );
    assert.deepEqual(desk.lines('notes'), ['made 1 true', 'ended 1', 'made 2 true', 'ended 2']);
  }),
);

test(
  'a priority puts an input before others that wait, a key has them take turns; what is neither fails the input',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    // The first input waits until all have been submitted.
    const gate = (hook: string): string =>
      `let count = 0, open; const opened = new Promise((resolve) => { open = resolve; });
      export const ${hook} = (input) => {
        if (++count === 7) open();
        if (input === 'oops') throw new Error('not ready');
        return hook(input);
      };
      export default async (input) => { await opened; };`;
    desk.write('priority.mjs', `const hook = (input) => Number(input.slice(1)); ${gate('priority')}`);
    desk.write('key.mjs', `const hook = (input) => input === 'x0' ? 0 : input[0]; ${gate('key')}`);
    const [priority, key] = await Promise.all([
      desk.map(['priority.mjs', '--concurrency', '1', 'a9', 'b0', 'c2', 'd1', 'e2', 'x', 'oops']),
      desk.map(['key.mjs', '--concurrency', '1', 'a1', 'a2', 'a3', 'b1', 'x0', 'a4', 'b2']),
    ]);
    assert.deepEqual(
      priority.results.map(({ input }) => input),
      ['a9', 'c2', 'e2', 'd1', 'b0', 'x'],
    );
    assert.match(priority.stderr, /^failed: oops: not ready$/m);
    assert.equal(priority.code, 1);
    assert.deepEqual(
      key.results.map(({ input }) => input),
      ['a1', 'a2', 'b1', 'a3', 'b2', 'a4'],
    );
    assert.match(key.stderr, /^failed: x0: TypeError: key must be a string, but is 0$/m);
    assert.equal(key.code, 1);
  }),
);

test(
  'a value is anything that has JSON, anything else is a failure, and so is whatever is thrown',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `const circular = {}; circular.self = circular;
      const returns = {
        nothing: undefined, fn: () => {}, date: new Date(0), deep: { a: [1, 'é', null] }, nan: NaN, long: 'x'.repeat(1e6),
        circular, bigint: 1n,
      };
      const throws = {
        string: 'a \\x1b[31mred\\x1b[0m \\x07string', undefined, object: { status: 404 }, symbol: Symbol('s'),
        error: Object.assign(new RangeError('too far\\nby\\ta mile', { cause: new Error('no brakes') }), { code: 'EFAR' }),
        bigcode: Object.assign(new Error('odd'), { code: 10n }),
      };
      export default (input) => {
        if (input.startsWith('wide')) throw new Error('too wide');
        if (input in throws) throw throws[input];
        return returns[input];
      };`,
    );
    const wide = `wide${'x'.repeat(1_000_000)}`;
    const names = ['nothing', 'fn', 'date', 'deep', 'nan', 'long', 'circular', 'bigint'];
    const failing = ['string', 'undefined', 'object', 'symbol', 'error', 'bigcode'];
    const stdin = [...names, ...failing, wide].join('\n');
    const [said, written] = await Promise.all([
      desk.map(['m.mjs', '--from', '-', '--ordered'], { stdin }),
      desk.map(['m.mjs', '--from', '-', '--ordered', '--errors', 'errors', '--out', 'out'], { stdin }),
    ]);
    const expected = [
      { input: 'nothing', value: null },
      { input: 'fn', value: null },
      { input: 'date', value: '1970-01-01T00:00:00.000Z' },
      { input: 'deep', value: { a: [1, 'é', null] } },
      { input: 'nan', value: null },
      { input: 'long', value: 'x'.repeat(1_000_000) },
    ];
    assert.deepEqual(said.results, expected);
    assert.deepEqual([said.code, written.code], [1, 1]);

    assert.match(said.stderr, /^failed: circular: TypeError: Converting circular structure/m);
    assert.match(said.stderr, /^failed: bigint: TypeError: .*BigInt$/m);
    assert.match(said.stderr, /^failed: string: a red \\u0007string$/m);
    assert.match(said.stderr, /^failed: undefined: undefined$/m);
    assert.match(said.stderr, /^failed: object: \{ status: 404 \}$/m);
    assert.match(said.stderr, /^failed: symbol: Symbol\(s\)$/m);
    assert.match(said.stderr, /^failed: error: RangeError: too far\nby\ta mile: no brakes$/m);
    assert.match(said.stderr, /^failed: bigcode: odd$/m);
    assert.match(said.stderr, /^failed: widex+….{1,150}: too wide$/m);
    assert.match(said.stderr, /15 of 15 done, 6 completed, 9 failed/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    assert.doesNotMatch(said.stderr, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);

    assert.equal(written.stdout, '');
    assert.equal(desk.read('out'), said.stdout);
    assert.doesNotMatch(written.stderr, /^failed:/m);
    const failures = failuresOf(desk.read('errors'));
    assert.deepEqual(
      failures.map(({ input, attempts }) => [input, attempts]),
      ['circular', 'bigint', ...failing, wide].map((input) => [input, 1]),
    );
    const { stack, ...error } = failures.find(({ input }) => input === 'error')!.error;
    assert.match(stack!, /^RangeError: too far\nby\ta mile\n +at file:.*m\.mjs:\d+/);
    assert.deepEqual([error.name, error.message, error.code], ['RangeError', 'too far\nby\ta mile', 'EFAR']);
    assert.equal(error.cause?.message, 'no brakes');
  }),
);

test(
  'when no resource can be made, at first or later on, the run fails with the reason; a bad one is replaced, not for ever',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    const onCreate = `export const onCreate = () => { if (++made > limit) throw new Error('no \\x1b[31mconnection'); };`;
    const rest = `export const checkHealth = () => false;
      export default (input) => { if (input === 'bad') throw new Error('lost'); return 1; };`;
    desk.write('never.mjs', `let made = 0; const limit = 0; ${onCreate} ${rest}`);
    desk.write('later.mjs', `let made = 0; const limit = 1; ${onCreate} ${rest}`);
    desk.write('always.mjs', `export const onCreate = () => 1; ${rest}`);
    const [never, later, always] = await Promise.all([
      desk.map(['never.mjs', 'a', 'bad', 'b', '--concurrency', '1']),
      desk.map(['later.mjs', 'a', 'bad', 'b', '--concurrency', '1']),
      desk.map(['always.mjs', 'a', 'bad', 'b', '--retries', '9', '--errors', 'errors']),
    ]);
    assert.deepEqual([never.code, later.code], [1, 1]);
    assert.equal(never.results.length, 0);
    assert.deepEqual(later.results, [{ input: 'a', value: 1 }]);
    for (const { stderr } of [never, later]) {
      assert.match(stderr, /\nerrand: no worker is ready: 5 creations in a row have failed, .*: no connection\n$/);
    }
    assert.match(later.stderr, /1 of 3 done, 1 completed, 2 not done/);
    // Where they can always be made, the input is given up for which they always are bad.
    assert.equal(always.code, 1);
    assert.deepEqual(always.results.map(({ input }) => input).sort(), ['a', 'b']);
    const [failure] = failuresOf(desk.read('errors'));
    assert.deepEqual([failure!.input, failure!.attempts, failure!.error.name], ['bad', 4, 'MaxRetriesError']);
    assert.equal(failure!.error.cause?.message, 'lost');
  }),
);

test(
  'a resource that can not be destroyed is told of',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `export const onCreate = () => 1; export const onDestroy = () => { throw new Error('busy'); };
      export default (input, context, resource) => resource;`,
    );
    const { code, stderr } = await desk.map(['m.mjs', 'a', '--concurrency', '1']);
    assert.match(stderr, /^onDestroy threw: busy$/m);
    assert.equal(code, 0);
  }),
);

test(
  'results that can not be written end the run with an error',
  { skip: !existsSync('/dev/full') && 'there is no disk that is always full' },
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', 'export default () => 1;');
    const stdin = 'a\n'.repeat(10_000);
    const shell = desk.shell('errand map m.mjs a > /dev/full; echo $?');
    const [one, many] = await Promise.all([
      desk.map(['m.mjs', 'a', '--out', '/dev/full']),
      desk.map(['m.mjs', '--from', '-', '--out', '/dev/full'], { stdin }),
      shell.ended,
    ]);
    assert.deepEqual([one.code, many.code, shell.stdout], [1, 1, '1\n']);
    for (const { stderr } of [one, many, shell]) assert.match(stderr, /errand: ENOSPC: no space left on device/);
  }),
);
