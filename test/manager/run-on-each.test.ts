import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { CanceledError } from '../../src/go/index.ts';
import { ShutdownError, TaskManager } from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { assertBooks, deferred, noop, type Resource, Stock, settle, stateOf } from './kit.ts';

class Lost extends Error {}

test(
  'runOnEach runs once on every worker’s resource, and gives the values in the order of the workers',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 4, ...stock.hooks });
    await manager.ready();
    const ids = await manager.runOnEach((_, resource) => resource.id);
    assert.deepEqual(ids, [1, 2, 3, 4]);
    assert.deepEqual(await manager.runOnEach(async (_, resource) => resource.id), ids);
    assert.equal(assertBooks(manager).totalTasksCompleted, 8);
    await manager.stop();
  }),
);

test(
  'a worker whose resource is still made has its turn when that is ready',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    await settle();
    const each = manager.runOnEach((_, resource) => resource.id);
    await settle();
    assert.equal(await stateOf(each), 'pending');
    gate.resolve();
    assert.deepEqual(await each, [1, 2]);
    await manager.stop();
  }),
);

test(
  'a busy worker has its turn after its task, before anything queued',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const order: string[] = [];
    const release = deferred();
    const busy = manager.queueTask(() => release.promise.then(() => order.push('busy')));
    const queued = manager.queueTask(() => order.push('queued'), { priority: 100 });
    const each = manager.runOnEach(() => order.push('each'));
    assert.equal(manager.stats().queuedTasks, 2);
    release.resolve();
    await Promise.all([busy, queued, each]);
    assert.deepEqual(order, ['busy', 'each', 'queued']);
    await manager.stop();
  }),
);

test(
  'several broadcasts run one after the other on each worker',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2 });
    const order: string[] = [];
    const each = ['a', 'b', 'c'].map((name) =>
      manager.runOnEach(async () => {
        await settle(1);
        order.push(name);
      }),
    );
    await Promise.all(each);
    assert.deepEqual(order, ['a', 'a', 'b', 'b', 'c', 'c']);
    await manager.stop();
  }),
);

test(
  'runOnEach rejects with the first error, in the order of the workers, once all have ended',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 3, ...stock.hooks });
    await manager.ready();
    const release = deferred();
    const each = manager.runOnEach(async (_, { id }) => {
      if (id === 1) await release.promise;
      if (id !== 2) throw new Error(`worker ${id}`);
    });
    await settle();
    assert.equal(await stateOf(each), 'pending');
    release.resolve();
    await assert.rejects(each, { message: 'worker 1' });
    await manager.stop();
  }),
);

test(
  'a worker that goes before its turn is left out',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    const release = deferred();
    const retiring = manager.queueTask(async (ctx, resource) => {
      await release.promise;
      ctx.retireResource();
      return resource.id;
    });
    const each = manager.runOnEach((_, resource) => resource.id);
    release.resolve();
    const gone = await retiring;
    assert.deepEqual(
      await each,
      [1, 2].filter((id) => id !== gone),
    );
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'while the manager is paused runOnEach waits, and its tasks come first afterwards',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2 });
    const order: string[] = [];
    manager.pause();
    const queued = manager.queueTask(() => order.push('queued'));
    const each = manager.runOnEach(() => order.push('each'));
    await settle();
    assert.deepEqual(order, []);
    assert.equal(manager.stats().queuedTasks, 3);
    manager.resume();
    await Promise.all([queued, each]);
    assert.deepEqual(order, ['each', 'each', 'queued']);
    await manager.stop();
  }),
);

test(
  'a paused manager’s busy worker keeps its turn for after the pause',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const release = deferred();
    const busy = manager.queueTask(() => release.promise);
    const each = manager.runOnEach(() => 'each');
    manager.pause();
    release.resolve();
    await busy;
    await settle();
    assert.equal(await stateOf(each), 'pending');
    manager.resume();
    assert.deepEqual(await each, ['each']);
    await manager.stop();
  }),
);

test(
  'runOnEach checks its function, and is refused from the stop on',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    await assert.rejects(manager.runOnEach('warm up' as never), TypeError);
    const stopped = manager.stop();
    await assert.rejects(manager.runOnEach(noop), ShutdownError);
    await stopped;
    assert.equal(manager.metrics().totalTasksArrived, 0);
  }),
);

test(
  'a stop lets runOnEach come to its end, a kill ends it',
  withLeakCheck(async () => {
    const stock = new Stock();
    const stopped = new TaskManager({ workerCount: 2, burstIntervalMs: 0, ...stock.hooks });
    const busy = stopped.queueTask(() => settle(3));
    const each = stopped.runOnEach((_, resource) => resource.id);
    await stopped.stop();
    await busy;
    assert.equal((await each).length, 2);

    const killed = new TaskManager({ workerCount: 2, ...stock.hooks });
    await killed.ready();
    const doomed = killed.runOnEach((ctx) => ctx.done());
    const waiting = killed.runOnEach(noop);
    const verdicts = [assert.rejects(doomed, ShutdownError), assert.rejects(waiting, ShutdownError)];
    await killed.kill();
    await Promise.all(verdicts);
    stock.assertAllDestroyedOnce();
    assertBooks(killed);
  }),
);

test(
  'clear() cancels the turns that are still to come',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const release = deferred();
    const busy = manager.queueTask(() => release.promise);
    let ran = false;
    const each = manager.runOnEach(() => {
      ran = true;
    });
    const verdict = assert.rejects(each, CanceledError);
    assert.equal(manager.clear('never mind'), 1);
    await verdict;
    release.resolve();
    await busy;
    await manager.queueTask(noop);
    assert.equal(ran, false);
    await manager.stop();
    assertBooks(manager);
  }),
);

test(
  'a resource that turns out bad under runOnEach is replaced, and the function gets its run elsewhere',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({
      workerCount: 2,
      checkHealth: (error) => !(error instanceof Lost),
      ...stock.hooks,
    });
    await manager.ready();
    const ids = await manager.runOnEach((ctx, resource: Resource) => {
      if (resource.id === 1 && ctx.attempt === 1) throw new Lost();
      return resource.id;
    });
    assert.equal(ids.length, 2);
    assert.ok(!ids.includes(1));
    await manager.ready();
    assert.equal(stock.made[0]!.destroyed, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'runOnEach obeys the manager’s timeoutMs',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 2, timeoutMs: 100, clock });
    const each = assert.rejects(
      manager.runOnEach((ctx) => ctx.done()),
      { name: 'TimeoutError' },
    );
    await clock.advance(100);
    await each;
    assert.equal(manager.metrics().totalTasksTimedOut, 2);
    await manager.stop();
  }),
);

test(
  'runOnEach runs in the async context of its call',
  withLeakCheck(async () => {
    const storage = new AsyncLocalStorage<string>();
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const release = deferred();
    const busy = storage.run('other', () => manager.queueTask(() => release.promise));
    const each = storage.run('mine', () => manager.runOnEach(() => storage.getStore()));
    release.resolve();
    await busy;
    assert.deepEqual(await each, ['mine', 'mine']);
    await manager.stop();
  }),
);
