/** `--threads`: what is the same in threads, and what is better. How threads end is in threads-end.test.ts. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { ROOT } from '../programs.ts';
import { Desk, type Failure, failuresOf } from './support.ts';

const NODE_MAJOR = Number(process.versions.node.split('.')[0]);

test(
  'functions that never wait run at the same time, each in a thread of its own',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    // Nobody returns before three have come, and nobody gives way to another in its thread.
    desk.write(
      'm.mjs',
      `import { readdirSync, writeFileSync } from 'node:fs';
      import { isMainThread, threadId } from 'node:worker_threads';
      let calls = 0;
      const own = (input) => { if (!isMainThread) throw new Error('asked in a thread'); return input; };
      export const priority = (input) => -own(Number(input));
      export const key = own;
      export default (input) => {
        if (isMainThread) throw new Error('called outside');
        writeFileSync('arrived-' + input, '');
        while (readdirSync('.').filter((name) => name.startsWith('arrived')).length < 3);
        return [threadId, ++calls];
      };`,
    );
    const args = ['m.mjs', '1', '2', '3', '4', '5', '--threads', '--concurrency', '3', '--quiet'];
    const { code, results, stderr } = await desk.map(args);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '');
    assert.deepEqual(results.map(({ input }) => input).sort(), ['1', '2', '3', '4', '5']);
    const calls = results.map(({ value }) => value as [threadId: number, calls: number]);
    assert.deepEqual(new Set(calls.map(([threadId]) => threadId)).size, 3);
    // Those after them find a thread that is there already.
    assert.equal(calls.filter(([, count]) => count === 1).length, 3);
  }),
);

test(
  'each thread has a resource, which is made, used, found to be bad and ended there',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      import { isMainThread, threadId } from 'node:worker_threads';
      const note = (text) => appendFileSync('notes', text + ' in ' + threadId + '\\n');
      if (!isMainThread) process.on('exit', () => note('left'));
      export const onCreate = async ({ signal }) => {
        note('made ' + (signal instanceof AbortSignal && !signal.aborted));
        return { in: threadId, toString: () => 'not to be cloned' };
      };
      export const onDestroy = async (resource) => note('ended ' + resource.in);
      export const checkHealth = (error) => {
        if (error.message === 'odd') throw new TypeError('no check for that');
        return error.message !== 'lost';
      };
      export default (input, { attempt, log, signal }, resource) => {
        log('%s at attempt %d', input, attempt, { in: resource.in });
        if (attempt === 1 && input !== 'fine') throw new Error(input);
        return [attempt, resource.in === threadId, signal.aborted];
      };`,
    );
    const args = ['m.mjs', 'lost', 'fine', 'odd', 'else', '--threads', '--concurrency', '1', '--quiet'];
    const { code, results, stderr } = await desk.map(args);
    assert.equal(code, 1, stderr);
    assert.deepEqual(results, [
      { input: 'lost', value: [2, true, false] },
      { input: 'fine', value: [1, true, false] },
      { input: 'odd', value: [2, true, false] },
    ]);
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      'lost at attempt 1 { in: 1 }',
      'lost at attempt 2 { in: 2 }',
      'fine at attempt 1 { in: 2 }',
      'odd at attempt 1 { in: 2 }',
      'checkHealth threw: no check for that',
      'odd at attempt 2 { in: 3 }',
      'else at attempt 1 { in: 3 }',
      'failed: else: else',
    ]);
    const notes = [1, 2, 3].flatMap((id) => [`made true in ${id}`, `ended ${id} in ${id}`, `left in ${id}`]);
    assert.deepEqual(desk.lines('notes').sort(), notes.sort());
  }),
);

test(
  'what is said in a thread, by whatever means, is said in order and before its outcome, and never among the results',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { isMainThread } from 'node:worker_threads';
      console.log(isMainThread ? 'loaded outside' : 'loaded inside');
      export const priority = (input) => { console.info('asked for the priority of', input); return 0; };
      export default (input, { log }) => {
        log('saw %s', input, '\\n', { in: ['lines'] });
        console.log('log'); console.error('error'); process.stdout.write('stdout\\n'); process.stderr.write('stderr');
        log(); log('at the end');
        if (input === 'b') throw new Error('no b');
        return input;
      };`,
    );
    const { code, stdout, stderr } = await desk.map(['m.mjs', 'a', 'b', '--threads', '--concurrency', '1', '--quiet']);
    assert.equal(code, 1);
    assert.equal(stdout, '{"input":"a","value":"a"}\n');
    const asked = (line: string): boolean => line.startsWith('asked for');
    const lines = stderr.trimEnd().split('\n');
    assert.deepEqual(lines.filter(asked), ['asked for the priority of a', 'asked for the priority of b']);
    const called = (input: string): string[] => [
      `saw ${input} `,
      " { in: [ 'lines' ] }",
      ...['log', 'error', 'stdout', 'stderr'].map((text) => `[thread 1] ${text}`),
      '',
      'at the end',
    ];
    assert.deepEqual(
      lines.filter((line) => !asked(line)),
      ['loaded outside', '[thread 1] loaded inside', ...called('a'), ...called('b'), 'failed: b: no b'],
    );
  }),
);

test(
  'values and failures are the same as without threads, whatever is returned or thrown, and go on in one journal',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `const circular = {}; circular.self = circular;
      class Point { #x = 1; toJSON() { return { x: this.#x }; } }
      class Odd extends Error { fn = () => {}; }
      const returns = {
        nothing: undefined, fn: () => {}, date: new Date(0), nan: NaN, point: new Point(), promise: Promise.resolve(1),
        then: { then: (resolve) => resolve('then') }, symbol: Symbol('s'), circular, bigint: 1n,
      };
      const throws = {
        string: 'a string', undefined, object: { status: 404, fn() {} }, odd: new Odd('not sent'),
        error: Object.assign(new RangeError('too far', { cause: new Error('no brakes') }), { code: 'EFAR' }),
        named: Object.assign(new Error('by name'), { name: 'OddError' }),
      };
      export default (input) => {
        if (input in throws) throw throws[input];
        return returns[input];
      };`,
    );
    const names = ['nothing', 'fn', 'date', 'nan', 'point', 'promise', 'then', 'symbol', 'circular', 'bigint'];
    const inputs = [...names, 'string', 'undefined', 'object', 'odd', 'error', 'named'];
    const args = ['m.mjs', ...inputs, '--ordered', '--retries', '0'];
    const [inside, outside] = await Promise.all([
      desk.map([...args, '--threads', '--errors', 'inside', '--journal', 'journal', '--concurrency', '2']),
      desk.map([...args, '--errors', 'outside']),
    ]);
    assert.deepEqual([inside.code, outside.code], [1, 1]);
    assert.equal(inside.stdout, outside.stdout);
    assert.equal(inside.results.length, 8);
    const withoutStacks = (name: string): unknown[] => failuresOf(desk.read(name)).map(withoutStack);
    assert.deepEqual(withoutStacks('inside'), withoutStacks('outside'));
    const failure = failuresOf(desk.read('inside')).find(({ input }) => input === 'error')!;
    assert.match(failure.error.stack!, /^RangeError: too far\n +at file:.*m\.mjs:\d+/);

    const replayed = await desk.map([...args, '--journal', 'journal', '--replay', '--errors', 'replayed']);
    assert.equal(replayed.stdout, inside.stdout);
    assert.equal(desk.read('replayed'), desk.read('inside'));
    assert.match(replayed.stderr, /16 of 16 done, 8 completed, 8 failed, 16 skipped/);
  }),
);

function withoutStack({ error, ...rest }: Failure): unknown {
  const bare = ({ stack, cause, ...others }: Failure['error']): unknown => ({ ...others, cause: cause && bare(cause) });
  return { ...rest, error: bare(error) };
}

test(
  '--json, --from, --rate, --retries and --out are what they are',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      export default ({ n }, { attempt }) => {
        appendFileSync('starts', performance.timeOrigin + performance.now() + '\\n');
        if (n === 2 && attempt < 3) throw new Error('not yet');
        return { double: n * 2, attempt };
      };`,
    );
    const args = ['m.mjs', '--from', '-', '--json', '--threads', '--concurrency', '2', '--out', 'out', '--ordered'];
    const stdin = '{"n":1}\nnonsense\n{"n":2}\n{"n":3}\n';
    const { code, stdout, stderr } = await desk.map([...args, '--rate', '2/600ms', '--retries', '2'], { stdin });
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.deepEqual(desk.lines('out'), [
      '{"input":{"n":1},"value":{"double":2,"attempt":1}}',
      '{"input":{"n":2},"value":{"double":4,"attempt":3}}',
      '{"input":{"n":3},"value":{"double":6,"attempt":1}}',
    ]);
    assert.match(stderr, /^failed: nonsense: SyntaxError: line 2 of stdin is no JSON/m);
    assert.match(stderr, /4 of 4 done, 3 completed, 1 failed, 2 retried/);
    const starts = desk.lines('starts').map(Number);
    assert.equal(starts.length, 5);
    const windowMs = 600 - 150; // as without threads
    for (const at of starts) {
      const count = starts.filter((other) => other >= at && other < at + windowMs).length;
      assert.ok(count <= 2, `${count} starts within ${windowMs} ms from ${at}: ${starts}`);
    }
  }),
);

test(
  'no more threads are started than there are inputs',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      appendFileSync('loads', 'loaded\\n');
      export default (input) => input;`,
    );
    const { code } = await desk.map(['m.mjs', 'a', 'b', '--threads', '--concurrency', '1000']);
    assert.equal(code, 0);
    assert.ok(desk.lines('loads').length <= 3, 'once outside, and in two threads');
  }),
);

test(
  'a function can ask for its cancellation by errand/threads, and keeps its thread if it returns',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      import { threadId } from 'node:worker_threads';
      import { currentContext, isCancelled } from ${JSON.stringify(join(ROOT, 'dist/threads/index.js'))};
      export default (input, { signal }) => {
        if (input === 'polls') while (!isCancelled());
        if (input === 'asks') while (!currentContext().isCancelled());
        appendFileSync('notes', input + ' ' + threadId + '\\n');
        if (input === 'listens') return new Promise((_, reject) => signal.addEventListener('abort', () => {
          appendFileSync('notes', 'told ' + signal.reason.name + ' ' + threadId + '\\n');
          reject(signal.reason);
        }));
      };`,
    );
    const inputs = ['polls', 'asks', 'listens', 'last'];
    const args = ['m.mjs', ...inputs, '--threads', '--concurrency', '1', '--timeout', '400ms'];
    const { results, stderr } = await desk.map(args);
    assert.deepEqual(results, [{ input: 'last', value: null }]);
    assert.match(stderr, /^failed: listens: TimeoutError: .*\(400 ms\)$/m);
    const notes = ['polls 1', 'asks 1', 'listens 1', 'told TimeoutError 1', 'last 1'];
    assert.deepEqual(desk.lines('notes'), notes);
  }),
);

test(
  'a module in TypeScript runs in threads where Node can load it there, and it is said how where it can not',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('package.json', '{ "type": "module" }');
    desk.write('twice.ts', 'enum Sign { plus = "+" }\nexport default (input: string): string => input + Sign.plus;');
    desk.write('main.mjs', `export { default } from './twice.ts';`);
    const env = { NODE_OPTIONS: `--import ${import.meta.resolve('tsx')}` };
    const loaded = await Promise.all(
      ['twice.ts', 'main.mjs'].map((name) => desk.map([name, 'a', '--threads', '--quiet'], { env })),
    );
    for (const { code, stderr, results } of loaded) {
      if (NODE_MAJOR >= 22) assert.deepEqual([code, results], [0, [{ input: 'a', value: 'a+' }]], stderr);
      else {
        assert.equal(code, 2);
        assert.match(
          stderr,
          /^errand: Node \S+ loads no TypeScript in threads, whatever loader it has: use Node 22\.18/,
        );
        assert.match(stderr, /\nnpx esbuild (twice|main)\.m?[jt]s --bundle .* --outfile=\1\.compiled\.mjs\n$/);
      }
    }
  }),
);
