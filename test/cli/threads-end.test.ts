/** How threads of `--threads` end: by a timeout, a crash, an interrupt; and what is said of it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Desk, failuresOf } from './support.ts';

/** Longer than the time in which two signals are one press. */
const ANOTHER_PRESS_MS = 300;

test(
  '--timeout ends an endless loop, with its thread; the others go on, and what it has logged was heard',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { threadId } from 'node:worker_threads';
      export const onCreate = () => threadId;
      export const onDestroy = (resource) => { if (resource !== threadId) throw new Error('not its own'); };
      export default (input, { log }, resource) => {
        log('called with', input);
        log('and once more', input);
        if (input === 'loop') for (;;);
        return resource;
      };`,
    );
    const args = ['m.mjs', 'a', 'loop', 'b', '--threads', '--concurrency', '1'];
    const { code, results, stderr } = await desk.map([...args, '--timeout', '600ms', '--retries', '2']);
    assert.equal(code, 1);
    assert.deepEqual(results, [
      { input: 'a', value: 1 },
      { input: 'b', value: 2 },
    ]);
    assert.match(stderr, /^called with loop\nand once more loop\nfailed: loop: TimeoutError: /m);
    assert.match(stderr, /^Inputs +3 of 3 done, 2 completed, 1 failed$/m);
    assert.doesNotMatch(stderr, /onDestroy|ended while idle/);
  }),
);

test(
  'a crash fails its input, or is tried again, and the run goes on in another thread',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    // The limit is what Node has for all threads, which takes seconds to reach.
    desk.write(
      'limit.mjs',
      `import threads from 'node:worker_threads';
      import { syncBuiltinESMExports } from 'node:module';
      const { Worker } = threads;
      threads.Worker = class extends Worker {
        constructor(file, options) { super(file, { ...options, resourceLimits: { maxOldGenerationSizeMb: 32 } }); }
      };
      syncBuiltinESMExports();`,
    );
    desk.write(
      'm.mjs',
      `export default async (input, { attempt, log }) => {
        log('began', input);
        if (attempt > 1 && input === 'again') return 'the second time';
        if (input === 'exit' || input === 'again') process.exit(7);
        if (input === 'throw') { setTimeout(() => { throw new RangeError('in a timer'); }); await new Promise(() => {}); }
        if (input === 'reject') { Promise.reject(new Error('unheard')); await new Promise(() => {}); }
        if (input === 'memory') { const all = []; for (;;) all.push(new Array(10_000).fill(all.length + 0.5)); }
        return input;
      };`,
    );
    const nodeFlags = ['--import', pathToFileURL(join(desk.path, 'limit.mjs')).href];
    const inputs = ['a', 'exit', 'throw', 'b', 'reject', 'memory', 'c'];
    const [once, retried] = await Promise.all([
      desk.map(['m.mjs', ...inputs, '--threads', '--errors', 'errors', '--concurrency', '2'], { nodeFlags }),
      desk.map(['m.mjs', 'again', 'exit', '--threads', '--retries', '1', '--quiet', '--ordered', '--concurrency', '1']),
    ]);
    assert.equal(once.code, 1);
    assert.deepEqual(once.results.map(({ value }) => value).sort(), ['a', 'b', 'c']);
    const failures = new Map(failuresOf(desk.read('errors')).map(({ input, error }) => [input, error]));
    const said = [...failures].map(([input, { name, message }]) => `${input}: ${name}: ${message}`).sort();
    const because = 'ThreadCrashError: its thread has';
    assert.deepEqual(said, [
      `exit: ${because} exited with code 7`,
      `memory: ${because} crashed: Worker terminated due to reaching memory limit: JS heap out of memory`,
      `reject: ${because} crashed: unheard`,
      `throw: ${because} crashed: in a timer`,
    ]);
    assert.match(failures.get('throw')!.cause!.stack!, /^RangeError: in a timer\n +at .*m\.mjs:5:/);
    for (const input of inputs) assert.match(once.stderr, new RegExp(`^began ${input}$`, 'm'));
    assert.doesNotMatch(once.stderr, /ended while idle/);

    assert.equal(retried.code, 1);
    assert.deepEqual(retried.results, [{ input: 'again', value: 'the second time' }]);
    assert.match(retried.stderr, /^failed: exit: ThreadCrashError: its thread has exited with code 7$/m);
    assert.equal(retried.stderr.match(/^began exit$/gm)?.length, 2);
  }),
);

test(
  'an input whose thread ends before the function is called with it runs in the next',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `export default (input, { log }) => {
        log('began', input);
        if (input === 'a') setImmediate(() => process.exit(3));
        return input;
      };`,
    );
    // The second waits for the rate, with its thread, while that ends.
    const flags = ['--threads', '--quiet', '--ordered', '--concurrency', '1', '--rate', '1/s'];
    const { code, results, stderr } = await desk.map(['m.mjs', 'a', 'b', ...flags]);
    assert.deepEqual(
      results.map(({ value }) => value),
      ['a', 'b'],
    );
    assert.equal(code, 0);
    assert.match(stderr, /^began b$/m);
  }),
);

test(
  'a thread that ends when no input is at work is told of, and so is one that ends in onDestroy, or whose onDestroy fails',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    const rest = 'export const onCreate = () => 1; export default (input) => input;';
    desk.write('idle.mjs', 'export default () => { setImmediate(() => { throw new Error("stray"); }); };');
    desk.write('exits.mjs', `export const onDestroy = () => process.exit(3); ${rest}`);
    desk.write('throws.mjs', `export const onDestroy = () => { throw new Error('busy'); }; ${rest}`);
    const flags = ['--threads', '--quiet', '--concurrency', '1'];
    const [exits, throws] = await Promise.all([
      desk.map(['exits.mjs', 'a', ...flags]),
      desk.map(['throws.mjs', 'a', ...flags]),
    ]);
    // It has no second input before the first has come to its end, and that is told.
    const idle = desk.start(['map', 'idle.mjs', '--from', '-', ...flags]);
    idle.child.stdin.write('a\n');
    await idle.until(/^\[thread 1\] ended while idle: it has crashed: stray$/m);
    idle.child.stdin.end();
    assert.equal(await idle.ended, 0);
    assert.equal(idle.stdout, '{"input":"a","value":null}\n');
    assert.deepEqual([exits.code, exits.stderr], [0, 'onDestroy threw: its thread has exited with code 3\n']);
    assert.deepEqual([throws.code, throws.stderr], [0, 'onDestroy threw: busy\n']);
  }),
);

test(
  'the first Ctrl-C lets what computes come to its end, the second ends endless loops and what ignores its signal',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync, existsSync } from 'node:fs';
      export const onCreate = () => 1;
      export const onDestroy = () => appendFileSync('notes', 'destroyed\\n');
      export default async (input, { log, signal }) => {
        signal.addEventListener('abort', () => appendFileSync('notes', 'aborted ' + input + '\\n'));
        log('began', input);
        if (input === 'computes') { while (!existsSync('pressed')); return 'ended'; }
        if (input === 'loops') for (;;);
        await new Promise(() => setInterval(() => {}, 1_000));
      };`,
    );
    const inputs = ['computes', 'loops', 'ignores', 'waits'];
    const errand = desk.start(['map', 'm.mjs', ...inputs, '--threads', '--concurrency', '3']);
    await Promise.all(
      ['computes', 'loops', 'ignores'].map((input) => errand.until(new RegExp(`^began ${input}$`, 'm'))),
    );
    errand.child.kill('SIGINT');
    await errand.until(/^Stopping: /m);
    desk.write('pressed', '');
    await errand.until(/"value":"ended"/);
    await sleep(ANOTHER_PRESS_MS);
    errand.child.kill('SIGINT');
    assert.equal(await errand.ended, 130);
    assert.equal(errand.stdout, '{"input":"computes","value":"ended"}\n');
    assert.match(errand.stderr, /1 of 4 done, interrupted, 1 completed, 3 not done/);
    // Of a thread that had to be ended, nothing is left to be destroyed.
    assert.deepEqual(desk.lines('notes').sort(), ['aborted ignores', 'destroyed']);
  }),
);

test(
  '--fail-fast ends endless loops',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { existsSync, writeFileSync } from 'node:fs';
      export default (input) => {
        if (input === 'loop') { writeFileSync('loops', ''); for (;;); }
        while (!existsSync('loops'));
        throw new Error('no luck');
      };`,
    );
    const { code, stderr } = await desk.map(['m.mjs', 'loop', 'bad', '--threads', '--concurrency', '2', '--fail-fast']);
    assert.equal(code, 1);
    assert.match(stderr, /^failed: bad: no luck$/m);
    assert.match(stderr, /1 of 2 done, 0 completed, 1 failed, 1 not done/);
  }),
);

test(
  'an onCreate is told in its thread when nobody wants its resource any more, and ended with it if it does not heed that',
  { timeout: 30_000 }, // less than a stop would wait for it
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      export const onCreate = ({ signal }) => {
        console.log('making');
        if (process.env.LOOPS) for (;;);
        return new Promise((_, reject) => signal.addEventListener('abort', () => {
          appendFileSync('notes', 'given up: ' + signal.reason.message + '\\n');
          reject(signal.reason);
        }));
      };
      export default () => {};`,
    );
    for (const LOOPS of ['', 'yes']) {
      const errand = desk.start(['map', 'm.mjs', 'a', '--threads'], { env: { LOOPS } });
      await errand.until(/^\[thread 1\] making$/m);
      errand.child.kill('SIGINT');
      assert.equal(await errand.ended, 130);
      assert.match(errand.stderr, /0 of 1 done, interrupted, 0 completed, 1 not done/);
    }
    assert.equal(desk.lines('notes').length, 1);
    assert.match(desk.lines('notes')[0]!, /^given up: the task manager is stopping/);
  }),
);

test(
  'a module that can not be loaded in a thread, or whose resource can not be made there, ends the run with what is wrong',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    const rest = 'export default (input) => input;';
    const inside = `import { isMainThread } from 'node:worker_threads'; if (!isMainThread)`;
    desk.write('throws.mjs', `${inside} throw new Error('not in threads');\n${rest}`);
    desk.write('exits.mjs', `${inside} process.exit(4);\n${rest}`);
    desk.write(
      'never.mjs',
      `import { appendFileSync } from 'node:fs';
      ${inside} process.on('exit', () => appendFileSync('left', 'never\\n'));
      export const onCreate = () => { throw new Error('no connection'); };
      ${rest}`,
    );
    const ended = await Promise.all(
      ['throws', 'exits', 'never'].map((name) => desk.map([`${name}.mjs`, 'a', '--threads', '--concurrency', '1'])),
    );
    const [throws, exits, never] = ended;
    // Once is enough: the next thread would find the same.
    assert.equal(throws!.code, 2);
    assert.match(
      throws!.stderr,
      /\nerrand: the module throws\.mjs failed to load in a thread: Error: not in threads\n +at \S+throws\.mjs:1:\d+\n$/,
    );
    const said = [
      [exits, 'the module exits.mjs failed to load in a thread: it has exited with code 4'],
      [never, 'no connection'],
    ] as const;
    for (const [one, why] of said) {
      assert.equal(one!.code, 1);
      assert.ok(one!.stderr.includes('\nerrand: no worker is ready: 5 creations in a row have failed'), one!.stderr);
      assert.ok(one!.stderr.trimEnd().endsWith(why), one!.stderr);
    }
    assert.equal(desk.lines('left').length, 5, 'no thread is left behind');
  }),
);
