/** The defaults that no other test would miss, and the echo of a signal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResourceError, TaskManager } from '../../src/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';

test(
  'a creation may take 30 s, and five failures in a row make ready() reject, unless told',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let tries = 0;
    const manager = new TaskManager({
      workerCount: 1,
      clock,
      onCreate: ({ signal }) => {
        tries++;
        // Ends when it is given up, so that the next try can begin.
        return new Promise<number>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    });
    const ready = assert.rejects(manager.ready(), (error: unknown) => {
      assert.ok(error instanceof ResourceError);
      assert.match(error.message, /5 creations in a row/);
      return true;
    });
    await clock.advance(29_999);
    assert.equal(manager.metrics().totalCreateFailures, 0);
    await clock.advance(1);
    assert.equal(manager.metrics().totalCreateFailures, 1);
    while (manager.metrics().totalCreateFailures < 5) await clock.advance(1_000);
    await ready;
    assert.ok(tries >= 5);
    await manager.kill();
  }),
);

test(
  'a function that will not return is given up after 30 s, unless told',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, clock });
    const stuck = deferred();
    await Promise.all([
      assert.rejects(
        manager.queueTask(() => stuck.promise, { timeoutMs: 10 }),
        { name: 'TimeoutError' },
      ),
      clock.advance(10),
    ]);
    await clock.advance(29_999);
    assert.equal(manager.stats().abandonedTasks, 0);
    await clock.advance(1);
    assert.equal(manager.stats().abandonedTasks, 1);
    stuck.resolve();
    await manager.stop();
  }),
);

test(
  'the echo of a signal within milliseconds is no second signal, another signal is',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const task = manager.queueTask(({ stopping }) => {
      return new Promise<string>((resolve) => stopping.addEventListener('abort', () => setImmediate(resolve, 'done')));
    });
    manager.stopOnSignals(['SIGUSR2', 'SIGWINCH']);
    process.emit('SIGUSR2', 'SIGUSR2');
    process.emit('SIGUSR2', 'SIGUSR2');
    assert.equal(manager.stats().state, 'stopping');
    assert.equal(await task, 'done');
    await manager.stop();
    assert.equal(manager.stats().state, 'stopped');

    const another = new TaskManager({ workerCount: 1 });
    const doomed = another.queueTask(({ signal }) => {
      return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    });
    another.stopOnSignals(['SIGUSR2', 'SIGWINCH']);
    process.emit('SIGUSR2', 'SIGUSR2');
    process.emit('SIGWINCH', 'SIGWINCH');
    assert.equal(another.stats().state, 'killed');
    await assert.rejects(doomed, { code: 'ERR_SHUTDOWN' });
    await another.kill();
  }),
);

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
