import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import {
  MaxRetriesError,
  ResourceError,
  ShutdownError,
  type TaskContext,
  TaskManager,
} from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import {
  type Deferred,
  deferred,
  heard,
  noop,
  type Resource,
  Stock,
  settle,
  stateOf,
  untilCanceled,
  within,
} from './kit.ts';

/** Long enough for any back-off, short enough for any timeout but the one in question. */
const BACKOFF_MS = 10_000;

class Lost extends Error {
  override readonly name = 'Lost';
}
const isHealthy = (error: unknown): boolean => !(error instanceof Lost);

// ---- creation -------------------------------------------------------------------------------------------------------

test(
  'base workers make their resources eagerly, before any task',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 3, ...stock.hooks });
    await manager.ready();
    assert.equal(stock.made.length, 3);
    const { activeWorkers, idleWorkers, baseWorkers } = manager.stats();
    assert.deepEqual({ activeWorkers, idleWorkers, baseWorkers }, { activeWorkers: 3, idleWorkers: 3, baseWorkers: 3 });
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'each worker has a resource of its own, and keeps it',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    const release = deferred();
    const first = manager.queueTask((_, resource) => release.promise.then(() => resource));
    const second = manager.queueTask((_, resource) => release.promise.then(() => resource));
    release.resolve();
    assert.notEqual(await first, await second);
    for (let i = 0; i < 10; i++) await manager.queueTask(noop);
    assert.equal(stock.made.length, 2);
    await manager.stop();
  }),
);

test(
  'without onCreate the resource is undefined',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    assert.equal(await manager.queueTask((_, resource) => resource), undefined);
    await manager.stop();
  }),
);

test(
  'any value is a resource, be it falsy',
  withLeakCheck(async () => {
    for (const value of [undefined, null, 0, '', false]) {
      const destroyed: unknown[] = [];
      const manager = new TaskManager<unknown>({
        workerCount: 1,
        onCreate: () => value,
        onDestroy: (it) => destroyed.push(it),
      });
      assert.equal(await manager.queueTask((_, resource) => resource), value);
      await manager.stop();
      assert.deepEqual(destroyed, [value]);
    }
  }),
);

test(
  'no more than createConcurrency resources are in creation at once',
  withLeakCheck(async () => {
    const gates: Deferred<void>[] = [];
    let inCreation = 0;
    let most = 0;
    const stock = new Stock(async () => {
      most = Math.max(most, ++inCreation);
      const gate = deferred();
      gates.push(gate);
      await gate.promise;
      inCreation--;
    });
    const manager = new TaskManager({ workerCount: 5, createConcurrency: 2, ...stock.hooks });
    await settle();
    assert.equal(gates.length, 2);
    for (let open = 0; open < 5; open++) {
      gates[open]!.resolve();
      await settle();
      assert.equal(gates.length, Math.min(5, open + 3));
    }
    await manager.ready();
    assert.equal(most, 2);
    await manager.stop();
  }),
);

test(
  'createConcurrency is workerCount unless told',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock(() => gate.promise);
    const manager = new TaskManager({ workerCount: 3, ...stock.hooks });
    await settle();
    assert.equal(stock.calls, 3);
    gate.resolve();
    await manager.stop();
  }),
);

test(
  'createRate is strict: never more than its limit in any interval',
  withLeakCheck(async (t) => {
    // p-queue counts by the global clock.
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      const stock = new Stock();
      const options = { createConcurrency: 10, createRate: { limit: 2, intervalMs: 100 } };
      const manager = new TaskManager({
        workerCount: 1,
        maxWorkerCount: 9,
        clock: new VirtualClock(),
        ...options,
        ...stock.hooks,
      });
      const tick = async (ms: number): Promise<number> => {
        t.mock.timers.tick(ms);
        await settle();
        return stock.calls;
      };
      assert.equal(await tick(0), 1); // at 0
      await tick(60);
      manager.resize({ workerCount: 5 });
      assert.equal(await tick(0), 2); // at 60
      assert.equal(await tick(39), 2);
      assert.equal(await tick(1), 3); // at 100, when the one at 0 is out of the interval: a fixed window would make two
      assert.equal(await tick(59), 3);
      assert.equal(await tick(1), 4); // at 160
      assert.equal(await tick(40), 5); // at 200
      await manager.stop();
      stock.assertAllDestroyedOnce();
    } finally {
      t.mock.timers.reset();
    }
  }),
);

test(
  'a stop while creations wait for their rate leaves no timer',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({
      workerCount: 4,
      createRate: { limit: 1, intervalMs: 3_600_000 },
      ...stock.hooks,
    });
    await settle();
    assert.equal(stock.calls, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a base worker is made before burst workers that asked earlier',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gates: Deferred<void>[] = [];
    const stock = new Stock((call) => {
      // The second base worker has to come again, and finds the burst workers before it.
      if (call === 2) throw new Error('not yet');
      gates.push(deferred());
      return gates.at(-1)!.promise;
    });
    const manager = new TaskManager({
      workerCount: 2,
      maxWorkerCount: 4,
      createConcurrency: 1,
      burstIntervalMs: 10,
      scaling: ({ maxWorkerCount }) => maxWorkerCount,
      clock,
      ...stock.hooks,
    });
    await clock.advance(0);
    gates[0]!.resolve();
    const release = deferred();
    const task = manager.queueTask(() => release.promise);
    await clock.advance(10);
    assert.equal(manager.stats().burstWorkers, 2);
    assert.equal(gates.length, 2, 'one burst worker has the gate, the other waits before it');
    await clock.advance(BACKOFF_MS);
    const ready = manager.ready();
    gates[1]!.resolve();
    await clock.advance(0);
    assert.equal(await stateOf(ready), 'pending');
    gates[2]!.resolve();
    await clock.advance(0);
    assert.equal(await stateOf(ready), 'fulfilled', 'the base worker was next');
    gates[3]!.resolve();
    release.resolve();
    await task;
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a creation that outlives createTimeoutMs keeps its slot until onCreate returns, and what comes then is destroyed',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const stock = new Stock((call) => (call === 1 ? gate.promise : undefined));
    const manager = new TaskManager({
      workerCount: 1,
      createConcurrency: 1,
      createTimeoutMs: 500,
      clock,
      ...stock.hooks,
    });
    const errors = heard(manager, 'error');
    await clock.advance(499);
    assert.equal(stock.signals[0]!.aborted, false);
    await clock.advance(1);
    assert.equal(stock.signals[0]!.aborted, true, 'onCreate is told');
    assert.ok(errors[0] instanceof ResourceError);
    assert.match(errors[0].message, /createTimeoutMs \(500 ms\)/);
    assert.equal(manager.metrics().totalCreateFailures, 1);
    await clock.advance(BACKOFF_MS);
    assert.equal(stock.calls, 1, 'the slot is still taken');
    const task = manager.queueTask((_, resource) => resource.id);
    gate.resolve();
    await clock.advance(0);
    assert.equal(stock.made[0]!.destroyed, 1, 'the late resource is destroyed');
    await clock.advance(BACKOFF_MS);
    assert.equal(await task, 2);
    assert.equal(manager.metrics().totalCreateFailures, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'with room in the gate, a creation that hangs doesn’t keep the next one waiting',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const stock = new Stock((call) => (call === 1 ? gate.promise : undefined));
    const manager = new TaskManager({
      workerCount: 1,
      createConcurrency: 2,
      createTimeoutMs: 500,
      clock,
      ...stock.hooks,
    });
    await clock.advance(500 + BACKOFF_MS);
    await manager.ready();
    gate.resolve();
    await manager.stop();
    assert.equal(stock.made.length, 2);
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a creation that fails late is not counted twice',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const stock = new Stock((call) => (call === 1 ? gate.promise : undefined));
    const manager = new TaskManager({
      workerCount: 1,
      createTimeoutMs: 500,
      createConcurrency: 2,
      clock,
      ...stock.hooks,
    });
    const errors = heard(manager, 'error');
    await clock.advance(500);
    gate.reject(new Error('too late'));
    await clock.advance(BACKOFF_MS);
    assert.equal(errors.length, 1);
    assert.equal(manager.metrics().totalCreateFailures, 1);
    await manager.stop();
  }),
);

test(
  'a creation no longer wanted keeps its slot until onCreate returns',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 1, createConcurrency: 1, ...stock.hooks });
    await manager.ready();
    const unwanted = manager.runTaskAsync(noop);
    await settle();
    unwanted.cancel();
    await unwanted.result.catch(noop);
    assert.equal(stock.signals[1]!.aborted, true);
    const task = manager.runTask((_, { id }) => id);
    await settle();
    assert.equal(stock.calls, 2, 'one slot, one onCreate at work');
    gate.resolve();
    assert.equal(await task, 3);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'of resources in creation those begun last are let go first',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock(() => gate.promise);
    const manager = new TaskManager({ workerCount: 3, createConcurrency: 2, ...stock.hooks });
    await settle();
    manager.resize({ workerCount: 1 });
    assert.deepEqual(
      stock.signals.map(({ aborted }) => aborted),
      [false, true],
    );
    gate.resolve();
    await manager.stop();
    assert.equal(stock.calls, 2, 'the third had not begun');
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'onCreate is told by its signal when its worker is let go, and what it makes all the same is destroyed',
  withLeakCheck(async () => {
    const gates: Deferred<void>[] = [];
    const stock = new Stock(() => {
      gates.push(deferred());
      return gates.at(-1)!.promise;
    });
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    await settle();
    manager.resize({ workerCount: 1 });
    await settle();
    assert.deepEqual(stock.signals.map((signal) => signal.aborted).sort(), [false, true]);
    for (const gate of gates) gate.resolve();
    await manager.ready();
    await settle();
    assert.equal(stock.alive, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'creations that fail back off, ever longer, with jitter',
  withLeakCheck(async (t) => {
    const gapsWith = async (random: number): Promise<number[]> => {
      t.mock.method(Math, 'random', () => random);
      const clock = new VirtualClock();
      const times: number[] = [];
      const manager = new TaskManager({
        workerCount: 1,
        clock,
        onCreate: () => {
          times.push(clock.now());
          throw new Error('no database');
        },
      });
      await clock.advance(60_000);
      await manager.kill();
      mock.restoreAll();
      t.mock.restoreAll();
      return times.slice(1).map((time, i) => time - times[i]!);
    };
    const least = await gapsWith(0);
    const most = await gapsWith(1 - Number.EPSILON);
    assert.ok(least.length >= 6 && most.length >= 6);
    for (const gaps of [least, most]) {
      for (let i = 1; i < gaps.length; i++)
        assert.ok(gaps[i]! > 0.99 * gaps[i - 1]!, 'no pause is shorter than the last');
      assert.ok(gaps[3]! > 2 * gaps[0]!, 'they grow');
    }
    for (let i = 0; i < 5; i++) assert.ok(least[i]! < 0.6 * most[i]!, 'they are drawn from a range');
  }),
);

test(
  'a task given to no resource waits for one, and is told by its own timeout',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const stock = new Stock(() => gate.promise);
    const manager = new TaskManager({ workerCount: 1, clock, ...stock.hooks });
    const patient = manager.queueTask(() => 'done');
    const hasty = assert.rejects(manager.queueTask(noop, { queueTimeoutMs: 100 }), { name: 'TimeoutError' });
    await clock.advance(100);
    await hasty;
    gate.resolve();
    assert.equal(await patient, 'done');
    await manager.stop();
  }),
);

// ---- ready() --------------------------------------------------------------------------------------------------------

test(
  'ready() resolves when every base worker has its resource, and not before',
  withLeakCheck(async () => {
    const gates = [deferred(), deferred()];
    const stock = new Stock((call) => gates[call - 1]!.promise);
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    const ready = manager.ready();
    gates[0]!.resolve();
    await settle();
    assert.equal(await stateOf(ready), 'pending');
    gates[1]!.resolve();
    await ready;
    await manager.ready();
    await manager.stop();
  }),
);

test(
  'ready() counts base workers alone, whoever was hired, let go or made one meanwhile',
  withLeakCheck(async () => {
    const gates = Array.from({ length: 6 }, () => deferred());
    const stock = new Stock((call) => gates[call - 1]!.promise);
    const manager = new TaskManager({ workerCount: 3, ...stock.hooks });
    for (const gate of gates.slice(0, 3)) gate.resolve();
    await manager.ready();
    manager.resize({ workerCount: 1 });
    await manager.ready();
    manager.resize({ workerCount: 3 });
    const ready = manager.ready();
    for (const gate of gates.slice(3, 5)) {
      await settle();
      assert.equal(await stateOf(ready), 'pending');
      gate.resolve();
    }
    await ready;
    // Who is busy and not wanted as a base worker any more is one again when more are wanted.
    const release = deferred();
    const busy = [1, 2, 3].map(() => manager.queueTask(() => release.promise));
    manager.resize({ workerCount: 2 });
    await manager.ready();
    manager.resize({ workerCount: 3 });
    await within(manager.ready());
    release.resolve();
    await Promise.all(busy);
    assert.equal(stock.made.length, 5);
    await manager.stop();
  }),
);

test(
  'ready() rejects with ResourceError after createAttempts failures in a row, and resolves once creation works again',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let isUp = false;
    const cause = new Error('no database');
    const stock = new Stock(() => {
      if (!isUp) throw cause;
    });
    const options = { workerCount: 1, burstIntervalMs: 0, createAttempts: 3, clock, ...stock.hooks };
    const manager = new TaskManager(options);
    const errors = heard(manager, 'error');
    const ready = manager.ready();
    const verdict = assert.rejects(ready, (error) => {
      assert.ok(error instanceof ResourceError);
      assert.equal(error.code, 'ERR_RESOURCE');
      assert.equal(error.cause, cause);
      assert.match(error.message, /3 creations in a row/);
      return true;
    });
    const task = manager.queueTask(() => 'ran');
    while (stock.calls < 2) await clock.advance(10);
    assert.equal(await stateOf(ready), 'pending', 'two failures are not three');
    while (stock.calls < 3) await clock.advance(10);
    await verdict;
    assert.equal(errors.length, 3, 'each failure is told');
    assert.equal(manager.metrics().totalCreateFailures, 3);
    await assert.rejects(manager.ready(), ResourceError, 'hopeless as yet');
    assert.equal(manager.stats().queuedTasks, 1, 'the task waits meanwhile');
    isUp = true;
    await clock.advance(BACKOFF_MS);
    assert.equal(await task, 'ran');
    await manager.ready();
    await manager.stop();
  }),
);

test(
  'ready() doesn’t reject while a worker is alive, however many creations fail',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let isUp = false;
    const stock = new Stock((call) => {
      if (call > 1 && !isUp) throw new Error('one connection is all you get');
    });
    const manager = new TaskManager({ workerCount: 2, createAttempts: 2, clock, ...stock.hooks });
    const ready = manager.ready();
    await clock.advance(5 * BACKOFF_MS);
    assert.ok(stock.calls > 4);
    assert.equal(await stateOf(ready), 'pending');
    isUp = true;
    await clock.advance(BACKOFF_MS);
    await ready;
    await manager.stop();
  }),
);

test(
  'failures are counted in a row: one success begins anew',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock((call) => {
      if (call % 3 !== 0) throw new Error('flaky');
    });
    const manager = new TaskManager({
      workerCount: 1,
      createAttempts: 3,
      checkHealth: isHealthy,
      clock,
      ...stock.hooks,
    });
    const ready = manager.ready();
    await clock.advance(BACKOFF_MS);
    await ready;
    const lost = manager.queueTaskOnce(() => {
      throw new Lost();
    });
    await assert.rejects(lost, Lost);
    const again = manager.ready();
    await clock.advance(BACKOFF_MS);
    await again;
    await manager.stop();
  }),
);

for (const end of ['stop', 'kill'] as const) {
  test(
    `ready() rejects with ShutdownError at ${end}()`,
    withLeakCheck(async () => {
      const gate = deferred();
      const stock = new Stock((_, { signal }) => {
        signal.addEventListener('abort', () => gate.reject(signal.reason), { once: true });
        return gate.promise;
      });
      const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
      const ready = assert.rejects(manager.ready(), ShutdownError);
      await manager[end]();
      await ready;
      await assert.rejects(manager.ready(), ShutdownError, 'from then on too');
    }),
  );
}

// ---- health ---------------------------------------------------------------------------------------------------------

test(
  'base workers never bleed away, however many resources turn out bad',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 3, maxRetries: 0, checkHealth: isHealthy, ...stock.hooks });
    const replaced = heard(manager, 'workerReplaced');
    for (let round = 0; round < 20; round++) {
      const tasks = [1, 2, 3].map(() =>
        manager.queueTask(() => {
          throw new Lost();
        }),
      );
      for (const outcome of await Promise.allSettled(tasks)) assert.equal(outcome.status, 'rejected');
      await manager.ready();
      const { baseWorkers, activeWorkers } = manager.stats();
      assert.deepEqual({ baseWorkers, activeWorkers }, { baseWorkers: 3, activeWorkers: 3 });
    }
    assert.equal(replaced.length, 60);
    assert.ok(replaced.every(({ reason }) => reason === 'unhealthy'));
    assert.equal(stock.made.length, 63);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'after a health failure the task runs again, on another resource',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, checkHealth: isHealthy, ...stock.hooks });
    const runs: [attempt: number, resource: number][] = [];
    const result = await manager.queueTask((ctx, resource) => {
      runs.push([ctx.attempt, resource.id]);
      if (runs.length < 3) throw new Lost();
      return 'done';
    });
    assert.equal(result, 'done');
    assert.deepEqual(runs, [
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    assert.equal(manager.metrics().totalTasksRetried, 2);
    assert.equal(manager.metrics().totalTasksArrived, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a task run again keeps its place: before all that came after it, behind what is more urgent',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, checkHealth: isHealthy, ...stock.hooks });
    const order: string[] = [];
    const named = (name: string) => (): void => {
      order.push(name);
    };
    const tasks = [
      manager.queueTask((ctx) => {
        order.push(`first, run ${ctx.attempt}`);
        if (ctx.attempt === 1) throw new Lost();
      }),
      manager.queueTask(named('second')),
      manager.queueTask(named('third')),
      manager.queueTask(
        (ctx) => {
          order.push(`urgent, run ${ctx.attempt}`);
          if (ctx.attempt === 1) throw new Lost();
        },
        { priority: 5 },
      ),
    ];
    await Promise.all(tasks);
    assert.deepEqual(order, ['urgent, run 1', 'urgent, run 2', 'first, run 1', 'first, run 2', 'second', 'third']);
    await manager.stop();
  }),
);

test(
  'a health failure is retried at a full queue too: its place isn’t asked for again',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, maxQueueSize: 1, checkHealth: isHealthy, ...stock.hooks });
    await manager.ready();
    const release = deferred();
    const first = manager.queueTask(async (ctx) => {
      await release.promise;
      if (ctx.attempt === 1) throw new Lost();
      return 'first';
    });
    const second = manager.queueTask(() => 'second');
    release.resolve();
    assert.deepEqual(await Promise.all([first, second]), ['first', 'second']);
    await manager.stop();
  }),
);

test(
  'after maxRetries the task rejects with MaxRetriesError, caused by the last error',
  withLeakCheck(async () => {
    for (const maxRetries of [0, 1, 3]) {
      const stock = new Stock();
      const manager = new TaskManager({ workerCount: 1, maxRetries, checkHealth: isHealthy, ...stock.hooks });
      const errors: Lost[] = [];
      const task = manager.queueTask(() => {
        errors.push(new Lost(`run ${errors.length + 1}`));
        throw errors.at(-1);
      });
      await assert.rejects(task, (error) => {
        assert.ok(error instanceof MaxRetriesError);
        assert.equal(error.code, 'ERR_MAX_RETRIES');
        assert.equal(error.cause, errors.at(-1));
        return true;
      });
      assert.equal(errors.length, maxRetries + 1);
      await manager.stop();
      stock.assertAllDestroyedOnce();
    }
  }),
);

test(
  'maxRetries is 3 unless told, so a task runs 4 times at most',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, checkHealth: isHealthy, ...stock.hooks });
    let runs = 0;
    const task = manager.queueTask(() => {
      runs++;
      throw new Lost();
    });
    await assert.rejects(task, MaxRetriesError);
    assert.equal(runs, 4);
    await manager.stop();
  }),
);

test(
  'a task that runs once rejects with the error itself, and the bad resource is replaced all the same',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, checkHealth: isHealthy, ...stock.hooks });
    const submissions = [
      (fn: () => never) => manager.queueTask(fn, { once: true }),
      (fn: () => never) => manager.queueTaskOnce(fn),
      (fn: () => never) => manager.queueTaskWithPriorityOnce(fn),
      (fn: () => never) => manager.queueTaskOnceAsync(fn).result,
      (fn: () => never) => manager.runTask(fn, { once: true }),
    ];
    for (const submit of submissions) {
      const error = new Lost();
      let runs = 0;
      const failure = submit(() => {
        runs++;
        throw error;
      });
      await assert.rejects(failure, (thrown) => thrown === error);
      assert.equal(runs, 1);
    }
    await manager.stop();
    assert.ok(stock.made.length >= 5);
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'an error that leaves the resource healthy is the task’s own: no second run, no new resource',
  withLeakCheck(async () => {
    const stock = new Stock();
    const checked: unknown[] = [];
    const manager = new TaskManager({
      workerCount: 1,
      checkHealth: (error) => {
        checked.push(error);
        return true;
      },
      ...stock.hooks,
    });
    const error = new Error('wrong SQL');
    const task = manager.queueTask(() => {
      throw error;
    });
    await assert.rejects(task, (thrown) => thrown === error);
    assert.deepEqual(checked, [error]);
    assert.equal(stock.made.length, 1);
    await manager.stop();
  }),
);

test(
  'only false says that a resource is bad: undefined doesn’t',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, checkHealth: (() => undefined) as never, ...stock.hooks });
    const failing = manager.queueTask(() => {
      throw new Error('mine');
    });
    await assert.rejects(failing, { message: 'mine' });
    assert.equal(stock.made.length, 1);
    await manager.stop();
  }),
);

test(
  'a checkHealth that throws says that the resource is bad, and is reported',
  withLeakCheck(async () => {
    const stock = new Stock();
    const bug = new Error('a bug in checkHealth');
    const manager = new TaskManager({
      workerCount: 1,
      maxRetries: 1,
      checkHealth: () => {
        throw bug;
      },
      ...stock.hooks,
    });
    const errors = heard(manager, 'error');
    const failing = manager.queueTask(() => {
      throw new Error('something');
    });
    await assert.rejects(failing, MaxRetriesError);
    assert.deepEqual(errors, [bug, bug]);
    await manager.ready();
    assert.equal(stock.made.length, 3);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'health failures and a retry policy are counted apart',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, maxRetries: 2, checkHealth: isHealthy, clock, ...stock.hooks });
    const failures = [new Lost(), new Error('one'), new Lost(), new Error('two')];
    const attempts: number[] = [];
    const task = manager.queueTask(
      (ctx) => {
        attempts.push(ctx.attempt);
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        return 'done';
      },
      { retry: { attempts: 3, baseMs: 10, backoff: 'constant' } },
    );
    await clock.advance(1_000);
    assert.equal(await task, 'done');
    assert.deepEqual(attempts, [1, 2, 3, 4, 5]);
    await manager.stop();
  }),
);

test(
  'an error that comes after a timeout or a cancellation is only checked for health',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const checked: unknown[] = [];
    const manager = new TaskManager({
      workerCount: 1,
      clock,
      checkHealth: (error) => {
        checked.push(error);
        return isHealthy(error);
      },
      ...stock.hooks,
    });
    await clock.advance(0);
    const release = deferred();
    let runs = 0;
    const failLate = async (error: Error): Promise<never> => {
      runs++;
      await release.promise;
      throw error;
    };
    const lost = new Lost();
    const timedOut = manager.queueTaskAsync(() => failLate(lost), { timeoutMs: 50 });
    await clock.advance(50);
    assert.equal(timedOut.state, 'timedOut');
    assert.equal(manager.stats().stuckWorkers, 1);
    assert.deepEqual(checked, [], 'a timeout itself is no sign of bad health');
    release.resolve();
    await clock.advance(0);
    assert.equal(timedOut.state, 'timedOut');
    assert.deepEqual(checked, [lost]);
    assert.equal(stock.made[0]!.destroyed, 1, 'the resource is bad');
    assert.equal(runs, 1, 'and the task isn’t run again');

    await manager.ready();
    const healthy = new Error('aborted');
    const gate = deferred();
    const canceled = manager.queueTaskAsync(async () => {
      await gate.promise;
      throw healthy;
    });
    assert.equal(canceled.cancel('no more'), true);
    gate.resolve();
    await clock.advance(0);
    assert.deepEqual(checked, [lost, healthy]);
    assert.equal(stock.made[1]!.destroyed, 0, 'the resource is good');
    assert.equal(manager.metrics().totalTasksFailed, 0);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

// ---- retirement -----------------------------------------------------------------------------------------------------

test(
  'a resource is replaced after maxUses tasks',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, maxUses: 3, ...stock.hooks });
    const replaced = heard(manager, 'workerReplaced');
    const ids: number[] = [];
    for (let i = 0; i < 7; i++) ids.push(await manager.queueTask((_, resource) => resource.id));
    assert.deepEqual(ids, [1, 1, 1, 2, 2, 2, 3]);
    assert.deepEqual(replaced, [{ reason: 'maxUses' }, { reason: 'maxUses' }]);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a resource used once is destroyed before anybody else gets it',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, maxUses: 1, ...stock.hooks });
    const ids = await Promise.all(Array.from({ length: 10 }, () => manager.queueTask((_, resource) => resource.id)));
    assert.deepEqual(
      ids.toSorted((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'an idle resource is replaced at maxAgeMs',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, maxAgeMs: 1_000, clock, ...stock.hooks });
    const replaced = heard(manager, 'workerReplaced');
    await clock.advance(999);
    assert.equal(stock.made.length, 1);
    await clock.advance(1);
    assert.deepEqual(replaced, [{ reason: 'maxAge' }]);
    assert.equal(stock.made[0]!.destroyed, 1);
    assert.equal(await manager.queueTask((_, resource) => resource.id), 2);
    await clock.advance(1_000);
    assert.equal(stock.made.length, 3, 'the new one has an age of its own');
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a busy resource is replaced at maxAgeMs only when its task has ended',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, maxAgeMs: 1_000, clock, ...stock.hooks });
    await clock.advance(0);
    const release = deferred();
    const task = manager.queueTask(async (_, resource) => {
      await release.promise;
      return resource.destroyed;
    });
    await clock.advance(5_000);
    release.resolve();
    assert.equal(await task, 0);
    assert.equal(await manager.queueTask((_, resource) => resource.id), 2);
    assert.equal(stock.made[0]!.destroyed, 1);
    await manager.stop();
  }),
);

test(
  'a burst worker goes after idleMs without a task; a base worker stays',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({
      workerCount: 1,
      maxWorkerCount: 3,
      idleMs: 5_000,
      // Bursts up, and never down.
      scaling: ({ workers, queuedTasks, maxWorkerCount }) => (queuedTasks > 0 ? maxWorkerCount : workers),
      clock,
      ...stock.hooks,
    });
    await clock.advance(0);
    const release = deferred();
    const tasks = [1, 2, 3].map(() => manager.queueTask(() => release.promise));
    await clock.advance(100);
    assert.equal(manager.stats().activeWorkers, 3);
    await clock.advance(60_000);
    assert.equal(manager.stats().activeWorkers, 3, 'a busy worker isn’t idle');
    release.resolve();
    await Promise.all(tasks);
    await clock.advance(4_999);
    assert.equal(manager.stats().activeWorkers, 3);
    await clock.advance(1);
    assert.equal(manager.stats().activeWorkers, 1);
    assert.equal(stock.alive, 1);
    await clock.advance(60_000);
    assert.equal(stock.alive, 1, 'the base worker stays');
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a burst worker that gets a task in time begins its idleMs anew',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({
      workerCount: 1,
      maxWorkerCount: 2,
      idleMs: 1_000,
      scaling: ({ workers, queuedTasks, maxWorkerCount }) => (queuedTasks > 0 ? maxWorkerCount : workers),
      clock,
    });
    const occupyBoth = async (): Promise<void> => {
      const release = deferred();
      const tasks = [manager.queueTask(() => release.promise), manager.queueTask(() => release.promise)];
      await clock.advance(100);
      release.resolve();
      await Promise.all(tasks);
    };
    await occupyBoth();
    await clock.advance(900);
    await occupyBoth();
    await clock.advance(900);
    assert.equal(manager.stats().activeWorkers, 2);
    await clock.advance(100);
    assert.equal(manager.stats().activeWorkers, 1);
    await manager.stop();
  }),
);

test(
  'recycle() replaces every resource: idle ones at once, busy ones after their task',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 3, ...stock.hooks });
    const replaced = heard(manager, 'workerReplaced');
    await manager.ready();
    const release = deferred();
    const busy = manager.queueTask(async (_, resource) => {
      await release.promise;
      return resource;
    });
    manager.recycle();
    await manager.ready();
    assert.equal(stock.made.length, 5);
    assert.equal(stock.made.filter(({ destroyed }) => destroyed === 1).length, 2);
    release.resolve();
    const old = await busy;
    await manager.ready();
    assert.equal(old.destroyed, 1);
    assert.equal(stock.made.length, 6);
    assert.equal(stock.alive, 3);
    assert.deepEqual(replaced, [{ reason: 'recycled' }, { reason: 'recycled' }, { reason: 'recycled' }]);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'ctx.retireResource() has the resource replaced after the run',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
    const replaced = heard(manager, 'workerReplaced');
    let context: TaskContext<Resource> | undefined;
    const seen = await manager.queueTask(async (ctx, resource) => {
      context = ctx;
      ctx.retireResource();
      await settle(1);
      return resource.destroyed;
    });
    assert.equal(seen, 0, 'not under the task that asked for it');
    assert.equal(await manager.queueTask((_, resource) => resource.id), 2);
    assert.deepEqual(replaced, [{ reason: 'retired' }]);
    context!.retireResource();
    assert.equal(await manager.queueTask((_, resource) => resource.id), 2, 'a run that is over has no say any more');
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'ready resources go first: a task isn’t kept for one in creation while another idles',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    await settle();
    for (let i = 0; i < 5; i++) assert.equal(await manager.queueTask((_, resource) => resource.id), 1);
    gate.resolve();
    await manager.stop();
  }),
);

test(
  'of the idle resources the last used goes first, so that warm ones stay warm',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 4, ...stock.hooks });
    await manager.ready();
    const last = await manager.queueTask((_, resource) => resource.id);
    for (let i = 0; i < 10; i++) assert.equal(await manager.queueTask((_, resource) => resource.id), last);
    await manager.stop();
  }),
);

test(
  'a worker whose function won’t return is replaced after abandonAfterMs, and its resource destroyed',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({
      workerCount: 1,
      burstIntervalMs: 0,
      timeoutMs: 100,
      abandonAfterMs: 1_000,
      clock,
      ...stock.hooks,
    });
    const replaced = heard(manager, 'workerReplaced');
    const errors = heard(manager, 'error');
    await clock.advance(0);
    const release = deferred();
    const task = assert.rejects(
      manager.queueTask(() => release.promise),
      { name: 'TimeoutError' },
    );
    const next = manager.queueTask((_, resource) => resource.id, { timeoutMs: 10_000 });
    await clock.advance(100);
    await task;
    await clock.advance(999);
    assert.equal(manager.stats().stuckWorkers, 1);
    assert.equal(manager.stats().queuedTasks, 1, 'the limit is real: nothing starts in the place of a living function');
    assert.equal(stock.made[0]!.destroyed, 0);
    await clock.advance(1);
    assert.equal(stock.made[0]!.destroyed, 1);
    assert.equal(await next, 2);
    const { stuckWorkers, abandonedTasks, activeWorkers } = manager.stats();
    assert.deepEqual(
      { stuckWorkers, abandonedTasks, activeWorkers },
      { stuckWorkers: 0, abandonedTasks: 1, activeWorkers: 1 },
    );
    assert.deepEqual(replaced, [{ reason: 'abandoned' }]);
    assert.equal(errors.length, 1);
    release.resolve();
    await clock.advance(0);
    assert.equal(manager.stats().abandonedTasks, 0, 'the stray has come home');
    assert.equal(manager.metrics().totalTasksAbandoned, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a host given up takes its resource from its guests, and each function is counted until it returns',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const options = { workerCount: 1, burstIntervalMs: 0, abandonAfterMs: 1_000, clock, ...stock.hooks };
    const manager = new TaskManager(options);
    await clock.advance(0);
    const [host, guest] = [deferred(), deferred()];
    const parent = manager.queueTaskAsync(
      async (ctx) => {
        await ctx.queueTask(() => guest.promise, { timeoutMs: 600 }).catch(noop);
        await host.promise;
      },
      { timeoutMs: 100 },
    );
    await clock.advance(100);
    assert.equal(manager.stats().stuckWorkers, 2);
    await clock.advance(1_000);
    assert.equal(manager.stats().abandonedTasks, 2);
    assert.equal(stock.made[0]!.destroyed, 1);
    guest.resolve();
    await settle();
    assert.equal(manager.stats().abandonedTasks, 1);
    host.resolve();
    await settle();
    assert.equal(manager.stats().abandonedTasks, 0);
    await parent.result.catch(noop);
    assert.equal(await manager.queueTask((_, { id }) => id), 2);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

// ---- destruction ----------------------------------------------------------------------------------------------------

const logOf = (): {
  logger: Record<'debug' | 'info' | 'warn' | 'error', (...args: unknown[]) => void>;
  lines: unknown[][];
} => {
  const lines: unknown[][] = [];
  const log = (...args: unknown[]): void => void lines.push(args);
  return { logger: { debug: noop, info: noop, warn: noop, error: log }, lines };
};

for (const [how, destroy] of [
  [
    'throws',
    (error: Error): never => {
      throw error;
    },
  ],
  ['rejects', (error: Error) => Promise.reject(error)],
] as const) {
  test(
    `an onDestroy that ${how} is logged, counted and emitted, never thrown`,
    withLeakCheck(async () => {
      const failure = new Error('already closed');
      const { logger, lines } = logOf();
      const manager = new TaskManager({
        workerCount: 2,
        logger,
        onCreate: () => ({}),
        onDestroy: () => destroy(failure),
      });
      const errors = heard(manager, 'error');
      await manager.ready();
      await manager.queueTask((ctx) => ctx.retireResource());
      await manager.ready();
      assert.equal(manager.metrics().totalDestroyFailures, 1);
      assert.deepEqual(errors, [failure]);
      assert.deepEqual(lines, [['onDestroy threw', failure]]);
      await manager.stop();
      assert.equal(manager.metrics().totalDestroyFailures, 3);
      assert.equal(manager.metrics().totalResourcesDestroyed, 3);
      assert.equal(errors.length, 3);
    }),
  );
}

test(
  'a stop waits for every onDestroy',
  withLeakCheck(async () => {
    const gate = deferred();
    let closed = 0;
    const manager = new TaskManager({
      workerCount: 3,
      onCreate: () => ({}),
      onDestroy: async () => {
        await gate.promise;
        closed++;
      },
    });
    await manager.ready();
    const stopped = manager.stop();
    await settle();
    assert.equal(await stateOf(stopped), 'pending');
    gate.resolve();
    await stopped;
    assert.equal(closed, 3);
  }),
);

test(
  'an onDestroy that hangs holds up nobody but the end, and that only as long as its times allow',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({
      workerCount: 1,
      clock,
      onCreate: () => ({}),
      onDestroy: () => new Promise(noop),
    });
    await manager.queueTask((ctx) => ctx.retireResource());
    assert.equal(await manager.queueTask(() => 'a new resource is here'), 'a new resource is here');
    const stopped = manager.stop({ timeoutMs: 1_000 });
    await clock.advance(999);
    assert.equal(await stateOf(stopped), 'pending');
    await clock.advance(3_001);
    await stopped;
    assert.equal(manager.stats().state, 'killed');
  }),
);

test(
  'an onCreate that hangs leaves nothing behind at a kill, and what it makes later is destroyed',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const stock = new Stock(() => gate.promise);
    const manager = new TaskManager({ workerCount: 1, clock, ...stock.hooks });
    await clock.advance(0);
    const killed = manager.kill();
    assert.equal(stock.signals[0]!.aborted, true);
    await clock.advance(2_000);
    await killed;
    assert.equal(clock.timerCount, 0);
    gate.resolve();
    await settle();
    stock.assertAllDestroyedOnce();
    assert.equal(stock.made.length, 1);
  }),
);

test(
  'whenever a stop or a kill comes in the course of a creation, all is destroyed once, and before it resolves',
  withLeakCheck(async () => {
    for (const end of ['stop', 'kill'] as const) {
      for (let microtasks = 0; microtasks < 40; microtasks++) {
        let created = 0;
        let destroyed = 0;
        const manager = new TaskManager({
          workerCount: 2,
          onCreate: () => ++created,
          onDestroy: async () => {
            await null;
            destroyed++;
          },
        });
        for (let i = 0; i < microtasks; i++) await null;
        await manager[end]();
        assert.equal(destroyed, created, `${end}() after ${microtasks} microtasks`);
        assert.equal(manager.metrics().totalResourcesDestroyed, created);
      }
    }
  }),
);

test(
  'every resource is destroyed exactly once, whatever happens to it',
  withLeakCheck(async () => {
    for (const end of ['stop', 'kill'] as const) {
      const clock = new VirtualClock();
      // It fails, and dawdles, now and then.
      const stock = new Stock(async (call) => {
        if (call % 5 === 0) throw new Error('no connection');
        if (call % 7 === 0) await clock.advance(0).then(noop, noop);
      });
      const manager = new TaskManager({
        workerCount: 3,
        maxWorkerCount: 6,
        maxUses: 7,
        maxAgeMs: 900,
        idleMs: 300,
        abandonAfterMs: 50,
        checkHealth: isHealthy,
        clock,
        ...stock.hooks,
      });
      const outcomes: Promise<unknown>[] = [];
      const keep = (outcome: Promise<unknown>): void => void outcomes.push(outcome.catch(noop));
      const submit =
        (i: number) =>
        (_: unknown, __: Resource): unknown => {
          if (i % 11 === 0) throw new Lost();
          if (i % 13 === 0) throw new Error('of its own');
          if (i % 17 === 0) return new Promise(noop);
          return i % 2 === 0 ? settle(1) : i;
        };
      for (let i = 1; i <= 300; i++) {
        const ctxRetires = i % 19 === 0;
        const options = { timeoutMs: 40, priority: i % 3 };
        keep(
          i % 23 === 0
            ? manager.runTask(submit(i), { timeoutMs: 40 })
            : manager.queueTask((ctx, resource) => {
                if (ctxRetires) ctx.retireResource();
                return submit(i)(ctx, resource);
              }, options),
        );
        if (i % 40 === 0) manager.recycle();
        if (i % 50 === 0) manager.resize({ workerCount: 1 + (i % 4) });
        if (i % 10 === 0) await clock.advance(30);
      }
      const settled = Promise.all(outcomes);
      await clock.advance(20_000);
      const ended = manager[end]();
      await clock.advance(40_000);
      await ended;
      await settled;
      await settle();
      assert.ok(stock.made.length > 20);
      stock.assertAllDestroyedOnce();
      assert.equal(manager.metrics().totalResourcesDestroyed, manager.metrics().totalResourcesCreated);
      assert.equal(clock.timerCount, 0);
    }
  }),
);

test(
  'a canceled task’s resource serves the next one',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
    await manager.ready();
    const handle = manager.queueTaskAsync(untilCanceled);
    handle.cancel();
    assert.equal(await manager.queueTask((_, resource) => resource.id), 1);
    await manager.stop();
  }),
);
