/** Ctrl-C, and the signals like it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { onInterrupt } from '../../src/cli/interrupt.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Desk, type Errand } from './support.ts';

/** Longer than the time in which two signals are one press. */
const ANOTHER_PRESS_MS = 300;

test(
  'presses are counted, but what comes right after one is its echo',
  withLeakCheck((t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const heard: number[] = [];
    const interrupt = onInterrupt((times) => heard.push(times));
    assert.equal(interrupt.exitCode, undefined);
    const signals = [
      [0, 'SIGTERM'],
      [5, 'SIGINT'],
      [199, 'SIGTERM'],
      [201, 'SIGINT'],
      [350, 'SIGINT'],
      [402, 'SIGINT'],
    ] as const;
    for (const [at, signal] of signals) {
      now = at;
      process.emit(signal, signal);
    }
    assert.deepEqual(heard, [1, 2, 3]);
    assert.equal(interrupt.exitCode, 143);
    interrupt.forget();
    assert.equal(process.listenerCount('SIGINT'), 0);
  }),
);

/** Sends a signal, and waits until it has been heard. */
async function press(errand: Errand, signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
  errand.child.kill(signal);
  await errand.until(/^Stopping: what runs may come to its end\. Ctrl-C again ends it at once\.$/m);
}

test(
  'the first lets what runs come to its end, and begins no more: neither inputs nor attempts',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    // Those that run go on for a while after the signal; one of them fails, though it could be tried again.
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      const pressed = new Promise((resolve) => process.once('SIGTERM', () => setTimeout(resolve, 50)));
      export default async (input, { log }) => {
        appendFileSync('called', input + '\\n');
        if (process.env.AGAIN) return 'again';
        log('began', input);
        await pressed;
        if (input === 'tries') throw new Error('not yet');
        return 'ended';
      };`,
    );
    const inputs = ['runs', 'tries', 'waits', 'waits too'];
    const args = ['map', 'm.mjs', ...inputs, '--journal', 'journal', '--retries', '20'];
    const errand = desk.start([...args, '--concurrency', '2']);
    await errand.until(/began runs/);
    await errand.until(/began tries/);
    await press(errand, 'SIGTERM');
    assert.equal(await errand.ended, 143);
    assert.equal(errand.stdout, '{"input":"runs","value":"ended"}\n');
    assert.match(errand.stderr, /^Inputs +1 of 4 done, interrupted, 1 completed, 3 not done$/m);
    assert.deepEqual(desk.lines('called'), ['runs', 'tries']);

    // And so all the rest is done by the next run, and nothing twice.
    const next = await desk.run([...args, '--ordered'], { env: { AGAIN: '1' } });
    assert.equal(next.code, 0);
    assert.deepEqual(
      next.results.map(({ input }) => input),
      ['tries', 'waits', 'waits too'],
    );
    assert.deepEqual(desk.lines('called').slice(2).sort(), ['tries', 'waits', 'waits too']);
  }),
);

test(
  'the second fires the signals of what runs, and ends at once, whatever goes on',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write(
      'm.mjs',
      `import { appendFileSync } from 'node:fs';
      export const onCreate = () => 1;
      export const onDestroy = () => appendFileSync('notes', 'destroyed\\n');
      export default async (input, { signal, log }) => {
        signal.addEventListener('abort', () => appendFileSync('notes', 'aborted ' + input + '\\n'));
        log('began', input);
        await new Promise((resolve) => {
          setInterval(() => {}, 1_000);
          if (input === 'heeds') signal.addEventListener('abort', resolve);
        });
      };`,
    );
    const errand = desk.start(['map', 'm.mjs', 'heeds', 'ignores', 'waits', '--concurrency', '2']);
    await errand.until(/began ignores/);
    await press(errand);
    await sleep(ANOTHER_PRESS_MS);
    errand.child.kill('SIGINT');
    assert.equal(await errand.ended, 130);
    assert.deepEqual(desk.lines('notes').sort(), ['aborted heeds', 'aborted ignores', 'destroyed', 'destroyed']);
    assert.match(errand.stderr, /0 of 3 done, interrupted, 0 completed, 3 not done/);
    assert.equal(errand.stdout, '');
  }),
);

test(
  'one is enough for what waits: for a line, for a pipe, or for the rate',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', 'export default (input) => input;');
    execFileSync('mkfifo', [join(desk.path, 'pipe')]);
    const writer = await open(join(desk.path, 'pipe'), 'r+'); // it says something, and stays
    const line = desk.start(['map', 'm.mjs', '--from', '-']);
    const pipe = desk.start(['map', 'm.mjs', '--from', 'pipe']);
    const rate = desk.start(['map', 'm.mjs', 'a', 'b', 'c', '--rate', '1/h']);
    line.child.stdin.write('a\n');
    await writer.write('a\n');
    await Promise.all(
      [line, pipe, rate].map(async (errand) => {
        await errand.until(/"value":"a"/);
        await press(errand);
        assert.equal(await errand.ended, 130);
        assert.equal(errand.stdout, '{"input":"a","value":"a"}\n');
      }),
    );
    await writer.close();
    assert.match(rate.stderr, /1 of 3 done, interrupted, 1 completed, 2 not done/);
  }),
);

test(
  'a second one ends it although nobody reads its results',
  withLeakCheck(async (t) => {
    const desk = new Desk(t);
    desk.write('m.mjs', `export default (input, { log }) => { log('at', input); return 'x'.repeat(100_000); };`);
    const errand = desk.start(['map', 'm.mjs', '--from', '-']);
    errand.child.stdout.pause();
    errand.child.stdin.end(Array.from({ length: 1_000 }, (_, i) => `${i}\n`).join(''));
    await errand.until(/^at 50$/m);
    await press(errand);
    await sleep(ANOTHER_PRESS_MS);
    errand.child.kill('SIGINT');
    const [code] = await once(errand.child, 'exit');
    assert.equal(code, 130);
    errand.child.stdout.resume();
    await errand.ended;
  }),
);
