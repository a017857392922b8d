/** Promise 10, where it can be counted: one listener for a signal, however many tasks are under it. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { TaskManager } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

test(
  'a hundred thousand tasks share one listener on their signal, and are all canceled by it',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const controller = new AbortController();
    const { signal } = controller;
    manager.pause();
    let rejected = 0;
    const ends = Array.from({ length: 100_000 }, () =>
      manager
        .queueTask(() => assert.fail('it was canceled'), { signal })
        .catch((reason) => {
          assert.equal(reason, signal.reason);
          rejected++;
        }),
    );
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    controller.abort(new Error('enough'));
    await Promise.all(ends);
    assert.equal(rejected, 100_000);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    assert.equal(manager.metrics().totalTasksCanceled, 100_000);
    await manager.stop();
  }),
);

test(
  'the listener goes with the last task under its signal',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => manager.queueTask(async () => i, { signal })));
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    await manager.stop();
  }),
);
