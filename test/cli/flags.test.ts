/** What each flag does to a run. Those of the journal, and of inputs, are tested with them. */
import assert from 'node:assert/strict';
import { devNull } from 'node:os';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Desk, failuresOf, resultsOf } from './support.ts';

const ALPHABET = [...'abcdefghijklmnopqrst'];

test(
  '--concurrency is how many run at once',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    // Nobody ends before three run at once.
    desk.write(
      'm.mjs',
      `let running = 0, most = 0, open; const three = new Promise((resolve) => { open = resolve; });
      export default async () => {
        most = Math.max(most, ++running);
        if (running === 3) open();
        await three;
        await new Promise(setImmediate);
        running--;
        return most;
      };`,
    );
    const { code, results } = await desk.map(['m.mjs', ...ALPHABET, '--concurrency', '3']);
    assert.equal(code, 0);
    assert.equal(results.length, ALPHABET.length);
    assert.ok(results.every(({ value }) => value === 3));
  }),
);

test(
  '--concurrency may be far more than there is to do',
  { timeout: 30_000 }, // if each worker had to look at all others, it would be minutes
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', 'export default (input) => input;');
    const { code, results } = await desk.map(['m.mjs', '--from', '-', '--concurrency', '150000'], { stdin: 'a\nb\n' });
    assert.equal(code, 0);
    assert.equal(results.length, 2);
  }),
);

test(
  'no more resources are made than there are inputs',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', 'let made = 0; export const onCreate = () => ++made; export default () => made;');
    const { results } = await desk.map(['m.mjs', 'a', 'b', 'c', '--concurrency', '50']);
    assert.equal(results.length, 3);
    assert.ok(results.every(({ value }) => (value as number) <= 3));
  }),
);

test(
  '--ordered gives results and failures in the order of the inputs, else they come as they come',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    // They end in an order of chance; the first one when all others have ended, which may be no more than the places.
    desk.write(
      'm.mjs',
      `let count = 0, open; const others = new Promise((resolve) => { open = resolve; });
      export default async (input) => {
        if (input === 'a') await others;
        else await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
        if (++count === ${ALPHABET.length - 1}) open();
        if (input === 'c' || input === 'p') throw new Error('no');
        return input;
      };`,
    );
    const [ordered, free] = await Promise.all([
      desk.map(['m.mjs', ...ALPHABET, '--concurrency', '5', '--ordered', '--errors', 'errors']),
      desk.map(['m.mjs', ...ALPHABET, '--concurrency', '5']),
    ]);
    const good = ALPHABET.filter((input) => input !== 'c' && input !== 'p');
    assert.deepEqual(
      ordered.results.map(({ input }) => input),
      good,
    );
    assert.deepEqual(
      failuresOf(desk.read('errors')).map(({ input }) => input),
      ['c', 'p'],
    );
    assert.equal(free.results.at(-1)?.input, 'a');
    assert.deepEqual(free.results.map(({ input }) => input).sort(), good);
    assert.deepEqual([ordered.code, free.code], [1, 1]);
  }),
);

test(
  '--timeout ends a call for itself, and the run when the last call is one that never ends',
  { timeout: 20_000 }, // less than the manager would wait for it
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `export default async (input, { signal }) => {
        if (input === 'heeds') await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        if (input === 'ignores') await new Promise(() => setInterval(() => {}, 1_000));
        return 'done';
      };`,
    );
    const { code, results, stderr } = await desk.map([
      ...['m.mjs', 'heeds', 'ignores', 'quick', '--concurrency', '2'],
      ...['--timeout', '100ms', '--retries', '3', '--errors', 'errors'],
    ]);
    assert.deepEqual(results, [{ input: 'quick', value: 'done' }]);
    assert.equal(code, 1);
    const failures = failuresOf(desk.read('errors'));
    assert.deepEqual(failures.map(({ input }) => input).sort(), ['heeds', 'ignores']);
    for (const { error, attempts } of failures) {
      assert.deepEqual([error.name, attempts], ['TimeoutError', 1]);
      assert.match(error.message, /100 ms/);
    }
    assert.match(stderr, /^Inputs +3 of 3 done, 1 completed, 2 failed$/m);
    assert.match(stderr, /^Slowest +\d+ ms +(heeds|ignores)\n +\d+ ms +(heeds|ignores)$/m);
  }),
);

test(
  '--retries calls the function again, and tells it which attempt it is',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `const attempts = {};
      export default async (input, { attempt }) => {
        (attempts[input] ??= []).push(attempt);
        if (attempt <= Number(input)) throw new Error('not yet: ' + attempts[input]);
        return attempts[input];
      };`,
    );
    const [some, none] = await Promise.all([
      desk.map(['m.mjs', '0', '2', '3', '--retries', '2', '--errors', 'errors']),
      desk.map(['m.mjs', '0', '1', '--quiet']),
    ]);
    assert.deepEqual(some.results.map(({ value }) => value).sort(), [[1], [1, 2, 3]]);
    assert.deepEqual(
      failuresOf(desk.read('errors')).map(({ input, error, attempts }) => [input, error.message, attempts]),
      [['3', 'not yet: 1,2,3', 3]],
    );
    assert.match(some.stderr, /3 of 3 done, 2 completed, 1 failed, 4 retried/);
    assert.deepEqual(none.results, [{ input: '0', value: [1] }]);
    assert.equal(none.stderr, 'failed: 1: not yet: 1\n');
    assert.deepEqual([some.code, none.code], [1, 1]);
  }),
);

test(
  '--rate begins no more than so many calls in any window, further attempts included',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      export default async (input, { attempt }) => {
        appendFileSync('starts', performance.now() + '\\n');
        if (input === 'b' && attempt === 1) throw new Error('once more');
      };`,
    );
    const { code, results } = await desk.map(['m.mjs', ...'abcdef', '--rate', '2/600ms', '--retries', '1']);
    assert.equal(code, 0);
    assert.equal(results.length, 6);
    const starts = desk.lines('starts').map(Number);
    assert.equal(starts.length, 7);
    // The module looks at its clock a little after the limit has; more than a token bucket would need to be found out.
    const windowMs = 600 - 150;
    for (const [i, at] of starts.entries()) {
      const count = starts.filter((other) => other >= at && other < at + windowMs).length;
      assert.ok(count <= 2, `${count} starts within ${windowMs} ms from start ${i}: ${starts}`);
    }
  }),
);

test(
  '--out and --errors write to files, from the beginning; progress and report stay where they are',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', `export default (input) => { if (input === 'b') throw new Error('no b'); return input; };`);
    desk.write('out', 'what was there before\n');
    desk.write('errors', 'what was there before\n');
    const both = await desk.map(['m.mjs', 'a', 'b', 'c', '--out', 'out', '--errors', 'errors']);
    assert.equal(both.stdout, '');
    assert.deepEqual(resultsOf(desk.read('out')), [
      { input: 'a', value: 'a' },
      { input: 'c', value: 'c' },
    ]);
    assert.deepEqual(
      failuresOf(desk.read('errors')).map(({ input }) => input),
      ['b'],
    );
    assert.match(both.stderr, /^Inputs[^\n]*\nTook/);
    assert.match(both.stderr, /^Failed +b +no b$/m);
  }),
);

test(
  '--quiet shows nothing but what failed and what the module says',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `export default (input, { log }) => { log('saw', input); if (input === 'b') throw new Error('no b'); return input; };`,
    );
    const [failing, good] = await Promise.all([
      desk.map(['m.mjs', 'a', 'b', '--quiet', '--concurrency', '1']),
      desk.map(['m.mjs', 'a', '--quiet']),
    ]);
    assert.equal(failing.stderr, 'saw a\nsaw b\nfailed: b: no b\n');
    assert.equal(failing.code, 1);
    assert.equal(good.stderr, 'saw a\n');
    assert.equal(good.code, 0);
  }),
);

test(
  'what the module says by console is said as by log, and never among the results; devices may be named twice',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import imported from 'node:console';
      console.log('loaded');
      export default (input) => {
        console.log('%s: %o', input, 1); console.error('an error'); imported.info('imported');
        console.group('group'); console.warn('two\\nlines'); console.groupEnd();
        return input;
      };`,
    );
    const { stdout, stderr } = await desk.map(['m.mjs', 'a', '--quiet']);
    assert.equal(stdout, '{"input":"a","value":"a"}\n');
    assert.equal(stderr, 'loaded\na: 1\nan error\nimported\ngroup\n  two\n  lines\n');
    const nowhere = await desk.map(['m.mjs', 'a', '--out', devNull, '--errors', devNull, '--quiet']);
    assert.deepEqual([nowhere.code, nowhere.stdout], [0, '']);
  }),
);

test(
  '--fail-fast ends with the first failure: no more begin, and what runs is told to end',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    // With two at a time: 'a' is kept until its signal fires, and what comes after the failure isn't called.
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      export default async (input, { signal }) => {
        appendFileSync('called', input + '\\n');
        if (input === 'bad') throw new Error('no luck');
        if (input !== 'a') return;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        appendFileSync('called', 'a aborted\\n');
        await new Promise(() => setInterval(() => {}, 1_000)); // it won't end
      };`,
    );
    for (const order of [[], ['--ordered']]) {
      const args = ['m.mjs', 'a', 'b', 'bad', ...ALPHABET, '--concurrency', '2', '--retries', '0', ...order];
      const { code, stderr } = await desk.map([...args, '--fail-fast']);
      assert.equal(code, 1);
      assert.match(stderr, /^failed: bad: no luck$/m);
      assert.match(stderr, /2 of 23 done, 1 completed, 1 failed, 21 not done/);
    }
    const once = ['a', 'b', 'bad', 'a aborted'];
    assert.deepEqual(desk.lines('called'), [...once, ...once]);
  }),
);
