import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { MaxRetriesError, ResourceError, ShutdownError, TaskManager } from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { assertBooks, deferred, heard, noop, Stock, settle, stateOf, untilCanceled } from './kit.ts';

class Lost extends Error {}
const isHealthy = (error: unknown): boolean => !(error instanceof Lost);

/** A manager whose only worker is taken, so that whatever runs has run past the queue. */
async function occupied<O extends object>(stock: Stock, options: O = {} as O) {
  const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, ...stock.hooks, ...options });
  await manager.ready();
  const release = deferred();
  const busy = manager.queueTask(() => release.promise);
  const free = async (): Promise<void> => {
    release.resolve();
    await busy;
  };
  return { manager, free };
}

test(
  'the pool is lazy: its first resource is made for the first task, and kept for the next',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 4, ...stock.hooks });
    await manager.ready();
    assert.equal(stock.made.length, 1, 'the worker’s own');
    assert.equal(manager.stats().availableResources, 0);
    assert.equal(await manager.runTask((_, resource) => resource.id), 2);
    assert.equal(manager.stats().availableResources, 1);
    for (let i = 0; i < 5; i++) assert.equal(await manager.runTask((_, resource) => resource.id), 2);
    assert.equal(stock.made.length, 2);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'runTask runs at once, past workers that are all taken and a queue that is full',
  withLeakCheck(async () => {
    const { manager, free } = await occupied(new Stock(), { maxQueueSize: 1 });
    const queued = manager.queueTask(() => 'queued');
    assert.equal(manager.stats().queueUsage, 1);
    assert.equal(await manager.runTask(() => 'past'), 'past');
    assert.equal(manager.stats().queuedTasks, 1);
    await free();
    await queued;
    await manager.stop();
  }),
);

test(
  'with a resource ready, the function has begun when runTask returns',
  withLeakCheck(async () => {
    const stock = new Stock();
    const { manager, free } = await occupied(stock);
    await manager.runTask(noop);
    let begun = false;
    const running = manager.runTask(() => {
      begun = true;
    });
    assert.equal(begun, true);
    await running;
    await free();
    await manager.stop();
  }),
);

test(
  'beyond the pool each task gets a temporary resource, destroyed after it; the pooled ones are kept',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 2, maxTemporary: 3, ...stock.hooks });
    await manager.ready();
    const release = deferred();
    const tasks = Array.from({ length: 5 }, () => manager.runTask(() => release.promise));
    await settle();
    assert.equal(stock.alive, 6);
    release.resolve();
    await Promise.all(tasks);
    await settle();
    assert.equal(stock.alive, 3, 'the worker’s and two pooled');
    assert.equal(manager.stats().availableResources, 2);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'when maxTemporary are taken too, runTask rejects with ResourceError, and the refusal leaves nothing behind',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 1, ...stock.hooks });
    const release = deferred();
    const tasks = [manager.runTask(() => release.promise), manager.runTask(() => release.promise)];
    const controller = new AbortController();
    const refused = manager.runTask(noop, { id: 'mine', signal: controller.signal });
    await assert.rejects(refused, (error) => {
      assert.ok(error instanceof ResourceError);
      assert.equal(error.code, 'ERR_RESOURCE');
      assert.match(error.message, /1 pooled and 1 temporary/);
      return true;
    });
    const handle = manager.runTaskAsync(noop, { id: 'mine' });
    await assert.rejects(handle.result, ResourceError);
    assert.equal(handle.state, 'rejected');
    const heardOf = await new Promise((resolve) => manager.runTaskWithCallback(noop, resolve, { id: 'mine' }));
    assert.ok(heardOf instanceof ResourceError);
    const { totalTasksRejected, totalTasksArrived } = assertBooks(manager);
    assert.deepEqual({ totalTasksRejected, totalTasksArrived }, { totalTasksRejected: 3, totalTasksArrived: 2 });
    release.resolve();
    await Promise.all(tasks);
    assert.equal(await manager.runTask(() => 'room again', { id: 'mine' }), 'room again');
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'pool and temporaries may be given up separately',
  withLeakCheck(async () => {
    const stock = new Stock();
    const none = new TaskManager({ workerCount: 1, resourcePoolSize: 0, maxTemporary: 0, ...stock.hooks });
    await assert.rejects(none.runTask(noop), ResourceError);
    await none.stop();
    const temporary = new TaskManager({ workerCount: 1, resourcePoolSize: 0, maxTemporary: 1, ...stock.hooks });
    const first = await temporary.runTask((_, resource) => resource);
    const second = await temporary.runTask((_, resource) => resource);
    assert.notEqual(first, second);
    assert.equal(temporary.stats().availableResources, 0);
    await temporary.stop();
    const pooled = new TaskManager({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 0, ...stock.hooks });
    const running = pooled.runTask(noop);
    await assert.rejects(pooled.runTask(noop), ResourceError);
    await running;
    await pooled.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'resourcePoolSize and maxTemporary are workerCount unless told',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 3 });
    const release = deferred();
    const tasks = Array.from({ length: 6 }, () => manager.runTask(() => release.promise));
    await assert.rejects(manager.runTask(noop), ResourceError);
    release.resolve();
    await Promise.all(tasks);
    assert.equal(manager.stats().availableResources, 3);
    await manager.stop();
  }),
);

test(
  'runTask doesn’t count against the workers',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2 });
    const release = deferred();
    const past = [manager.runTask(() => release.promise), manager.runTask(() => release.promise)];
    const { runningTasks, busyWorkers, idleWorkers } = manager.stats();
    assert.deepEqual({ runningTasks, busyWorkers, idleWorkers }, { runningTasks: 2, busyWorkers: 0, idleWorkers: 2 });
    const queued = [manager.queueTask(() => release.promise), manager.queueTask(() => release.promise)];
    assert.equal(manager.stats().runningTasks, 4);
    assertBooks(manager);
    release.resolve();
    await Promise.all([...past, ...queued]);
    await manager.stop();
    assert.equal(assertBooks(manager).totalTasksCompleted, 4);
  }),
);

test(
  'runTask works while the manager is paused',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
    await manager.ready();
    manager.pause();
    const queued = manager.queueTask(() => 'queued');
    assert.equal(await manager.runTask(() => 'past'), 'past');
    assert.equal(await manager.runTask(() => 'again'), 'again');
    assert.equal(manager.stats().queuedTasks, 1);
    manager.resume();
    await queued;
    await manager.stop();
  }),
);

test(
  'runTask is refused from the stop on',
  withLeakCheck(async () => {
    const { manager, free } = await occupied(new Stock());
    const stopped = manager.stop();
    await assert.rejects(manager.runTask(noop), ShutdownError, 'stopping');
    await free();
    await stopped;
    await assert.rejects(manager.runTask(noop), ShutdownError, 'stopped');
    const killed = new TaskManager({ workerCount: 1 });
    await killed.kill('enough');
    await assert.rejects(killed.runTask(noop), (error) => {
      assert.ok(error instanceof ShutdownError);
      assert.equal(error.cause, 'enough');
      return true;
    });
  }),
);

test(
  'a running task may run another through its context while the manager stops',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
    const begun = deferred();
    const release = deferred();
    const parent = manager.queueTask(async (ctx) => {
      begun.resolve();
      await release.promise;
      return ctx.runTask((_, resource) => resource.id);
    });
    await begun.promise;
    const stopped = manager.stop();
    release.resolve();
    assert.equal(await parent, 2);
    await stopped;
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a stop waits for a task of runTask, also while its resource is made',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
    await manager.ready();
    const task = manager.runTask(() => 'done');
    const stopped = manager.stop();
    await settle();
    assert.equal(await stateOf(stopped), 'pending');
    gate.resolve();
    assert.equal(await task, 'done');
    const { completed } = await stopped;
    assert.equal(completed, 1);
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a kill ends what runTask runs, and what still waits for its resource',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 3 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
    await manager.ready();
    let cause: unknown;
    const begun = deferred();
    const running = manager.runTaskAsync(async (ctx) => {
      begun.resolve();
      await ctx.done();
      cause = ctx.cause;
    });
    await begun.promise;
    const waiting = manager.runTaskAsync(noop);
    await settle();
    assert.deepEqual([running.state, waiting.state], ['running', 'queued']);
    const killed = manager.kill();
    assert.deepEqual([running.state, waiting.state], ['canceled', 'canceled']);
    const [first, second] = await Promise.allSettled([running.result, waiting.result]);
    assert.ok(first?.status === 'rejected' && first.reason instanceof ShutdownError);
    assert.ok(second?.status === 'rejected' && second.reason === first.reason, 'one error for all');
    gate.resolve();
    await killed;
    assert.equal(cause, first.reason);
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a resource stays with a timed-out function until it returns',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const options = { workerCount: 1, resourcePoolSize: 1, maxTemporary: 0, clock, ...stock.hooks };
    const manager = new TaskManager(options);
    await clock.advance(0);
    await manager.runTask(noop);
    const release = deferred();
    const timedOut = assert.rejects(
      manager.runTaskWithTimeout(() => release.promise, 100),
      { name: 'TimeoutError' },
    );
    await clock.advance(100);
    await timedOut;
    const { runningTasks, stuckWorkers } = manager.stats();
    assert.deepEqual({ runningTasks, stuckWorkers }, { runningTasks: 0, stuckWorkers: 1 });
    await assert.rejects(manager.runTask(noop), ResourceError);
    release.resolve();
    await settle();
    assert.equal(await manager.runTask((_, resource) => resource.id), 2);
    await manager.stop();
  }),
);

test(
  'a function that won’t return is given up after abandonAfterMs, and its resource destroyed',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const options = { workerCount: 1, resourcePoolSize: 1, maxTemporary: 0, abandonAfterMs: 500, clock };
    const manager = new TaskManager({ ...options, ...stock.hooks });
    await clock.advance(0);
    const handle = manager.runTaskAsync(() => new Promise(noop));
    await clock.advance(0);
    handle.cancel();
    await clock.advance(500);
    assert.equal(stock.made[1]!.destroyed, 1);
    assert.equal(manager.stats().abandonedTasks, 1);
    assert.equal(await manager.runTask((_, resource) => resource.id), 3);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'after a health failure runTask destroys the resource and runs the task again on another',
  withLeakCheck(async () => {
    for (const maxTemporary of [0, 1]) {
      const stock = new Stock();
      const options = { workerCount: 1, resourcePoolSize: 1, maxTemporary, checkHealth: isHealthy };
      const manager = new TaskManager({ ...options, ...stock.hooks });
      await manager.ready();
      const runs: [number, number][] = [];
      const result = await manager.runTask((ctx, resource) => {
        runs.push([ctx.attempt, resource.id]);
        if (ctx.attempt < 3) throw new Lost();
        return 'done';
      });
      assert.equal(result, 'done');
      assert.deepEqual(runs, [
        [1, 2],
        [2, 3],
        [3, 4],
      ]);
      await assert.rejects(
        manager.runTask(() => {
          throw new Lost();
        }),
        MaxRetriesError,
      );
      await manager.stop();
      stock.assertAllDestroyedOnce();
      assertBooks(manager);
    }
  }),
);

test(
  'a run repeated by its retry policy waits its pause, and holds no resource meanwhile',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 0, clock });
    const times: number[] = [];
    const task = manager.runTask(
      (ctx) => {
        times.push(clock.now());
        if (ctx.attempt < 3) throw new Error('again');
        return 'done';
      },
      { retry: { attempts: 3, baseMs: 100, backoff: 'constant' } },
    );
    await clock.advance(50);
    const { queuedTasks, runningTasks, availableResources } = manager.stats();
    assert.deepEqual(
      { queuedTasks, runningTasks, availableResources },
      { queuedTasks: 1, runningTasks: 0, availableResources: 1 },
    );
    assert.equal(await manager.runTask(() => 'meanwhile'), 'meanwhile');
    await clock.advance(200);
    assert.equal(await task, 'done');
    assert.equal(times.length, 3);
    assert.equal(manager.metrics().totalTasksRetried, 2);
    await manager.stop();
  }),
);

test(
  'another attempt for which no resource is left fails with ResourceError, caused by the error before',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 0, clock });
    const error = new Error('again');
    const task = manager.runTaskAsync(
      () => {
        throw error;
      },
      { retry: { attempts: 2, baseMs: 100 } },
    );
    await clock.advance(0);
    const release = deferred();
    const other = manager.runTask(() => release.promise);
    await clock.advance(100);
    await assert.rejects(task.result, (thrown) => thrown instanceof ResourceError && thrown.cause === error);
    release.resolve();
    await other;
    await manager.stop();
    assertBooks(manager);
  }),
);

test(
  'a resource that can’t be made fails its task with ResourceError, and the place is free again',
  withLeakCheck(async () => {
    const cause = new Error('no more connections');
    const stock = new Stock((call) => {
      if (call === 2) throw cause;
    });
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 0, ...stock.hooks });
    const errors = heard(manager, 'error');
    await manager.ready();
    await assert.rejects(manager.runTask(noop), (error) => error instanceof ResourceError && error.cause === cause);
    assert.equal(errors.length, 1);
    assert.equal(assertBooks(manager).totalTasksFailed, 1);
    assert.equal(await manager.runTask((_, resource) => resource.id), 2);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a task canceled while its resource is made gives up its place, and what comes late is destroyed',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const options = { workerCount: 1, createConcurrency: 2, resourcePoolSize: 1, maxTemporary: 0 };
    const manager = new TaskManager({ ...options, ...stock.hooks });
    await manager.ready();
    const handle = manager.runTaskAsync(noop);
    await settle();
    assert.equal(handle.cancel('no need'), true);
    assert.equal(stock.signals[1]!.aborted, true);
    assert.equal(await manager.runTask((_, resource) => resource.id), 2, 'another resource, made at once');
    gate.resolve();
    await settle();
    assert.deepEqual(
      stock.made.map(({ destroyed }) => destroyed),
      [0, 0, 1],
    );
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'the resource of runTask is made before those that workers wait for',
  withLeakCheck(async () => {
    const gates = [deferred(), deferred(), deferred()];
    const stock = new Stock((call) => gates[call - 1]!.promise);
    const manager = new TaskManager({ workerCount: 2, createConcurrency: 1, ...stock.hooks });
    await settle();
    const task = manager.runTask((_, resource) => resource.id);
    gates[0]!.resolve();
    gates[1]!.resolve();
    assert.equal(await task, 2);
    assert.equal(manager.stats().activeWorkers, 1);
    gates[2]!.resolve();
    await manager.stop();
  }),
);

test(
  'pooled resources obey maxUses, maxAgeMs, recycle() and ctx.retireResource()',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const idOf = (_: unknown, resource: { id: number }): number => resource.id;
    const make = (options: object) => {
      const stock = new Stock();
      return {
        stock,
        manager: new TaskManager({ workerCount: 1, resourcePoolSize: 1, clock, ...stock.hooks, ...options }),
      };
    };
    const uses = make({ maxUses: 2 });
    await clock.advance(0);
    const ids: number[] = [];
    for (let i = 0; i < 5; i++) ids.push(await uses.manager.runTask(idOf));
    assert.deepEqual(ids, [2, 2, 3, 3, 4]);
    await uses.manager.stop();
    uses.stock.assertAllDestroyedOnce();

    const age = make({ maxAgeMs: 1_000 });
    await clock.advance(0);
    const first = await age.manager.runTask(idOf);
    await clock.advance(999);
    assert.equal(await age.manager.runTask(idOf), first);
    await clock.advance(1);
    assert.notEqual(await age.manager.runTask(idOf), first, 'too old');
    await age.manager.stop();
    age.stock.assertAllDestroyedOnce();

    const recycled = make({});
    await clock.advance(0);
    assert.equal(await recycled.manager.runTask(idOf), 2);
    recycled.manager.recycle();
    await clock.advance(0);
    assert.equal(recycled.stock.made[1]!.destroyed, 1);
    const id = await recycled.manager.runTask((ctx, resource) => {
      ctx.retireResource();
      return resource.id;
    });
    assert.notEqual(await recycled.manager.runTask(idOf), id);
    await recycled.manager.stop();
    recycled.stock.assertAllDestroyedOnce();
  }),
);

test(
  'the options of a queue are TypeErrors, as rejections',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    for (const options of [{ priority: 1 }, { key: 'k' }, { overflow: 'wait' }, { queueTimeoutMs: 10 }]) {
      const name = new RegExp(Object.keys(options)[0]!);
      await assert.rejects(manager.runTask(noop, options as never), { name: 'TypeError', message: name });
    }
    assert.equal(manager.metrics().totalTasksRejected, 4);
    await manager.stop();
  }),
);

test(
  'a manager’s queueTimeoutMs is none of runTask’s business',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 1, queueTimeoutMs: 10, clock, ...stock.hooks });
    await clock.advance(0);
    const task = manager.runTask(() => 'done');
    await clock.advance(5_000);
    gate.resolve();
    assert.equal(await task, 'done');
    await manager.stop();
  }),
);

test(
  'clear() leaves the tasks of runTask alone, cancel() finds them',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 1, createConcurrency: 2, ...stock.hooks });
    await manager.ready();
    const waiting = manager.runTaskAsync(noop, { id: 'waiting' });
    await settle();
    const running = manager.runTaskAsync(untilCanceled, { id: 'running' });
    await settle();
    assert.deepEqual(
      manager.tasks().map(({ id, state }) => [id, state]),
      [
        ['waiting', 'queued'],
        ['running', 'running'],
      ],
    );
    assert.equal(manager.clear(), 0);
    assert.equal(manager.cancel({ id: 'waiting' }), 1);
    assert.equal(manager.cancel({ state: 'running' }), 1);
    assert.deepEqual([waiting.state, running.state], ['canceled', 'canceled']);
    gate.resolve();
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'the async context of the caller is kept while the resource is made',
  withLeakCheck(async () => {
    const storage = new AsyncLocalStorage<string>();
    const stock = new Stock(() => settle(1));
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 1, ...stock.hooks });
    const read = (): string | undefined => storage.getStore();
    const seen = await Promise.all([
      storage.run('pooled', () => manager.runTask(read)),
      storage.run('temporary', () => manager.runTask(read)),
    ]);
    assert.deepEqual(seen, ['pooled', 'temporary']);
    assert.equal(await storage.run('ready', () => manager.runTask(read)), 'ready');
    await manager.stop();
  }),
);

// ---- runTaskSync ----------------------------------------------------------------------------------------------------

test(
  'runTaskSync returns the value of a synchronous function, on a pooled resource that is ready',
  withLeakCheck(async () => {
    const stock = new Stock();
    const { manager, free } = await occupied(stock);
    await manager.runTask(noop);
    assert.equal(
      manager.runTaskSync((_, resource) => resource.id),
      2,
    );
    assert.equal(
      manager.runTaskSync((ctx) => ctx.attempt),
      1,
    );
    assert.equal(manager.stats().availableResources, 1);
    assert.equal(assertBooks(manager).totalTasksCompleted, 3);
    await free();
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'without onCreate runTaskSync needs no preparation',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    assert.equal(
      manager.runTaskSync(() => 7),
      7,
    );
    await manager.stop();
  }),
);

test(
  'with no resource ready runTaskSync throws ResourceError, and has one made for the next time',
  withLeakCheck(async () => {
    for (const maxUses of [undefined, 1]) {
      const stock = new Stock();
      const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 3, maxUses, ...stock.hooks });
      await manager.ready();
      assert.throws(() => manager.runTaskSync(noop), ResourceError);
      assert.throws(() => manager.runTaskSync(noop), ResourceError);
      assert.equal(assertBooks(manager).totalTasksRejected, 2);
      await settle();
      assert.equal(stock.made.length, 2, 'one is enough');
      assert.equal(
        manager.runTaskSync(() => 'now'),
        'now',
      );
      await manager.stop();
      stock.assertAllDestroyedOnce();
    }
  }),
);

test(
  'runTaskSync throws what the function throws, whatever retries there are',
  withLeakCheck(async () => {
    const stock = new Stock();
    const options = { workerCount: 1, retry: { attempts: 5 }, checkHealth: isHealthy, ...stock.hooks };
    const manager = new TaskManager(options);
    await manager.runTask(noop);
    const error = new Lost();
    let runs = 0;
    assert.throws(
      () =>
        manager.runTaskSync(() => {
          runs++;
          throw error;
        }),
      (thrown) => thrown === error,
    );
    assert.equal(runs, 1);
    assert.equal(assertBooks(manager).totalTasksFailed, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'runTaskSync refuses a function that returns a promise, and keeps its resource until that has settled',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 0 });
    const release = deferred();
    const call = manager.runTaskSync as (fn: () => unknown) => unknown;
    assert.throws(() => call.call(manager, () => release.promise), { name: 'TypeError', message: /use runTask/ });
    assert.equal(assertBooks(manager).totalTasksFailed, 1);
    await assert.rejects(manager.runTask(noop), ResourceError, 'the function lives');
    release.resolve();
    await settle();
    assert.equal(
      manager.runTaskSync(() => 1),
      1,
    );
    await manager.stop();
  }),
);

test(
  'runTaskSync works while paused and throws ShutdownError after the stop',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    manager.pause();
    assert.equal(
      manager.runTaskSync(() => 1),
      1,
    );
    const stopped = manager.stop();
    assert.throws(() => manager.runTaskSync(() => 1), ShutdownError);
    await stopped;
    assert.throws(() => manager.runTaskSync(() => 1), ShutdownError);
    assert.equal(manager.metrics().totalTasksRejected, 2);
  }),
);

test(
  'a function deferred in runTaskSync is called',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, resourcePoolSize: 1 });
    let called = false;
    const value = manager.runTaskSync((ctx) => {
      ctx.defer(() => {
        called = true;
      });
      return 'value';
    });
    assert.equal(value, 'value');
    await manager.stop();
    assert.equal(called, true);
  }),
);
