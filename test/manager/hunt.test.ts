/** Users' code that calls back at the worst moment, and values that misbehave: each was a bug once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MetricsCollector, TaskManager } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { assertBooks, deferred, noop, type Resource, Stock, stateOf, within } from './kit.ts';

const STILL = { burstIntervalMs: 0, collector: false } as const;

/** A collector whose `method` does `what` at its first call, and checks the books at each. */
function reentrant(
  method: keyof MetricsCollector,
  what: (manager: TaskManager) => void,
): { collector: MetricsCollector; enter(manager: TaskManager): void } {
  let manager: TaskManager | undefined;
  let isDone = false;
  const call = (): void => {
    if (manager === undefined) return;
    assertBooks(manager);
    if (isDone) return;
    isDone = true;
    what(manager);
    assertBooks(manager);
  };
  return {
    collector: { metrics: () => ({}) as never, [method]: call },
    enter(entered) {
      manager = entered;
    },
  };
}

for (const end of ['returns', 'throws', 'is retried', 'is canceled'] as const) {
  test(
    `a parent that a child's abort listener cancels when it ${end} is settled once`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ ...STILL, workerCount: 2 });
      const parent = manager.queueTaskAsync(
        async (ctx) => {
          const child = ctx.queueTaskAsync(async (inner) => {
            inner.signal.addEventListener('abort', () => {
              parent.cancel('by the child');
              assertBooks(manager);
            });
            await inner.done();
          });
          await turn();
          assert.equal(child.state, 'running');
          if (end === 'is canceled') parent.cancel('from outside');
          if (end !== 'returns') throw new Error('failed');
        },
        end === 'is retried' ? { retry: { attempts: 2, baseMs: 0 } } : {},
      );
      await assert.rejects(within(parent.result), { code: 'ERR_CANCELED' });
      await turn();
      const metrics = assertBooks(manager);
      assert.equal(metrics.totalTasksCanceled, 2);
      const { runningTasks, stuckWorkers, idleWorkers } = manager.stats();
      assert.deepEqual(
        { runningTasks, stuckWorkers, idleWorkers },
        { runningTasks: 0, stuckWorkers: 0, idleWorkers: 2 },
      );
      await manager.stop();
    }),
  );
}

for (const method of ['recordArrival', 'recordCompletion', 'recordFailure', 'recordRetry'] as const) {
  for (const what of ['kill', 'cancel', 'clear', 'queueTask'] as const) {
    test(
      `a collector may call ${what}() from ${method}()`,
      withLeakCheck(async () => {
        const { collector, enter } = reentrant(method, (manager) => {
          if (what === 'kill') void manager.kill();
          else if (what === 'cancel') manager.cancel(() => true);
          else if (what === 'clear') manager.clear();
          else manager.go(noop);
        });
        const manager = new TaskManager({
          burstIntervalMs: 0,
          workerCount: 1,
          maxQueueSize: 2,
          overflow: 'drop-oldest',
          retry: { attempts: 2, baseMs: 0 },
          collector,
        });
        enter(manager);
        let runs = 0;
        const outcomes = [1, 2, 3, 4].map(() =>
          manager.queueTask(async () => {
            await turn();
            if (++runs === 1) throw new Error('the first run fails');
          }),
        );
        outcomes.push(manager.runTask(noop));
        await within(Promise.allSettled(outcomes));
        await turn();
        assertBooks(manager);
        const { queuedTasks, runningTasks, queueUsage } = manager.stats();
        assert.deepEqual({ queuedTasks, runningTasks, queueUsage }, { queuedTasks: 0, runningTasks: 0, queueUsage: 0 });
        await manager.kill();
      }),
    );
  }
}

for (const what of ['kill', 'stop', 'recycle', 'resize'] as const) {
  test(
    `runOnEach comes to its end when its function calls ${what}()`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ ...STILL, workerCount: 3 });
      const values = manager.runOnEach(() => {
        if (what === 'resize') manager.resize({ workerCount: 1, maxWorkerCount: 1 });
        else if (what === 'recycle') manager.recycle();
        else void manager[what]();
        return 1;
      });
      if (what === 'kill') await assert.rejects(within(values), { code: 'ERR_SHUTDOWN' });
      else assert.deepEqual(await within(values), [1]);
      assertBooks(manager);
      assert.equal(manager.stats().queuedTasks, 0);
      await manager.kill();
    }),
  );
}

test(
  'a resize from within onDestroy destroys nothing twice, and loses no base worker',
  withLeakCheck(async () => {
    for (const workerCount of [1, 4]) {
      const stock = new Stock();
      const manager: TaskManager<Resource> = new TaskManager({
        ...STILL,
        workerCount: 5,
        maxWorkerCount: 5,
        onCreate: stock.onCreate,
        onDestroy: (resource: Resource) => {
          stock.onDestroy(resource);
          if (stock.made.length - stock.alive === 1) manager.resize({ workerCount, maxWorkerCount: workerCount });
        },
      });
      await within(manager.ready());
      manager.resize({ workerCount: 2, maxWorkerCount: 2 });
      await within(manager.ready());
      await turn();
      const { baseWorkers, activeWorkers, burstWorkers, idleWorkers } = manager.stats();
      assert.deepEqual(
        { baseWorkers, activeWorkers, burstWorkers, idleWorkers },
        { baseWorkers: workerCount, activeWorkers: workerCount, burstWorkers: 0, idleWorkers: workerCount },
      );
      assert.equal(stock.alive, workerCount);
      await manager.stop();
      stock.assertAllDestroyedOnce();
    }
  }),
);

test(
  'a function with a then method is awaited like any thenable: its worker is taken until it settles',
  withLeakCheck(async () => {
    const manager = new TaskManager({ ...STILL, workerCount: 1 });
    const gate = deferred<string>();
    const thenable = Object.assign(noop, { then: gate.promise.then.bind(gate.promise) });
    const first = manager.queueTask(() => thenable);
    const second = manager.queueTask(() => 2);
    await turn();
    assert.equal(manager.stats().runningTasks, 1);
    assert.equal(await stateOf(second), 'pending');
    gate.resolve('done');
    assert.equal(await within(first), 'done');
    assert.equal(await within(second), 2);
    await manager.stop();
  }),
);

test(
  'runTask that fails again and again without a pause leaves turns to the event loop',
  withLeakCheck(async () => {
    const manager = new TaskManager({ ...STILL, workerCount: 1, yieldAfter: { tasks: 10 } });
    let hasTurned = false;
    let runs = 0;
    const turned = turn().then(() => {
      hasTurned = true;
    });
    const runsUntilTurned = manager.runTask(
      () => {
        if (++runs < 1_000 && !hasTurned) throw new Error('once more');
        return runs;
      },
      { retry: { attempts: 1_000, baseMs: 0 } },
    );
    assert.ok((await within(runsUntilTurned)) < 50);
    await turned;
    await manager.stop();
  }),
);

test(
  'a reason that throws when it is looked at ends all the same',
  withLeakCheck(async () => {
    const { proxy: reason, revoke } = Proxy.revocable({}, {});
    revoke();
    const manager = new TaskManager({ ...STILL, workerCount: 3 });
    const controller = new AbortController();
    const ends: unknown[] = [];
    const tasks = [1, 2].map(() =>
      manager.queueTaskWithCallback(
        async (ctx) => ctx.done(),
        (error) => ends.push(error),
        { signal: controller.signal },
      ),
    );
    controller.abort(reason);
    await turn();
    await turn();
    assert.equal(ends.length, tasks.length);
    assert.ok(ends.every((error) => error === reason));
    const handle = manager.queueTaskAsync((ctx) => ctx.done());
    assert.equal(handle.cancel(reason), true);
    await within(manager.kill(reason));
    assert.equal(manager.stats().state, 'killed');
    assertBooks(manager);
  }),
);

test(
  'a source of map that breaks the protocol fails the map, where it is read',
  withLeakCheck(async () => {
    const manager = new TaskManager({ ...STILL, workerCount: 1 });
    const broken: Record<string, unknown> = {
      'null at once': null,
      'null later': Promise.resolve(null),
      'a done that throws': Promise.resolve({
        get done(): boolean {
          throw new TypeError('done');
        },
      }),
      'a value that throws': {
        done: false,
        get value(): never {
          throw new TypeError('value');
        },
      },
      'a then that throws': {
        then() {
          throw new TypeError('then');
        },
      },
    };
    for (const [name, answer] of Object.entries(broken)) {
      let asked = 0;
      const source = {
        [Symbol.asyncIterator]: () => ({ next: () => (asked++ === 0 ? { done: false, value: 1 } : answer) }),
      };
      const results = manager.map(source as AsyncIterable<number>, (item) => item);
      const outcomes = await within(Promise.allSettled([results.next(), results.next(), results.next()]));
      assert.ok(
        outcomes.some((outcome) => outcome.status === 'rejected' && outcome.reason instanceof TypeError),
        name,
      );
    }
    await manager.stop();
  }),
);

test(
  'a child with a resource of its own that is run again takes a worker that has come free meanwhile',
  withLeakCheck(async () => {
    const manager = new TaskManager({ ...STILL, workerCount: 2 });
    const gate = deferred();
    let runs = 0;
    const parent = manager.queueTask(async (ctx) => {
      await turn();
      return ctx.queueTask(
        async () => {
          if (++runs > 1) return 'again';
          await gate.promise;
          throw new Error('the first run fails');
        },
        { ownResource: true, retry: { attempts: 2, baseMs: 0 } },
      );
    });
    const otherGate = deferred();
    const other = manager.queueTask((ctx) => ctx.runTask(() => otherGate.promise));
    await turn();
    await turn();
    assert.equal(runs, 1);
    otherGate.resolve();
    await within(other);
    await turn();
    assert.equal(manager.stats().idleWorkers, 1);
    gate.resolve();
    assert.equal(await within(parent), 'again');
    await manager.stop();
  }),
);

test(
  'a task that is run again doesn’t wait for a deaf child on its first worker when another is idle',
  withLeakCheck(async () => {
    const manager = new TaskManager({ ...STILL, workerCount: 1, abandonAfterMs: Number.POSITIVE_INFINITY });
    const deaf = deferred();
    const fails = deferred();
    let runs = 0;
    const parent = manager.queueTask(
      async (ctx) => {
        if (++runs > 1) return 'again';
        ctx.go(() => deaf.promise);
        await fails.promise;
        throw new Error('the first run fails');
      },
      { retry: { attempts: 2, baseMs: 0 } },
    );
    await turn();
    manager.resize({ workerCount: 2, maxWorkerCount: 2 });
    assert.equal(manager.stats().idleWorkers, 1);
    fails.resolve();
    assert.equal(await within(parent), 'again');
    deaf.resolve();
    await manager.stop();
  }),
);

test(
  'a task of runOnEach that is canceled never runs, though whoever hears of it resumes the manager',
  withLeakCheck(async () => {
    const manager = new TaskManager({ ...STILL, workerCount: 1 });
    manager.pause();
    let runs = 0;
    const values = manager.runOnEach(() => ++runs);
    manager.on('idle', () => manager.resume());
    assert.equal(manager.clear('not wanted'), 1);
    await assert.rejects(within(values), { code: 'ERR_CANCELED' });
    await turn();
    assertBooks(manager);
    assert.equal(runs, 0);
    const { runningTasks, idleWorkers } = manager.stats();
    assert.deepEqual({ runningTasks, idleWorkers }, { runningTasks: 0, idleWorkers: 1 });
    await manager.stop();
  }),
);

test(
  'a submission that gives up its wait for room lets the one behind it in, if that has a worker',
  withLeakCheck(async () => {
    const manager = new TaskManager({
      ...STILL,
      workerCount: 2,
      maxQueueSize: 0,
      overflow: 'wait',
      concurrencyPerKey: 1,
    });
    const gate = deferred();
    const running = manager.queueTask(() => gate.promise, { key: 'a' });
    const capped = manager.queueTaskAsync(noop, { key: 'a' });
    const behind = manager.queueTask(() => 'in', { key: 'b' });
    capped.cancel('not wanted');
    assert.equal(await within(behind), 'in');
    gate.resolve();
    await within(running);
    await manager.stop();
  }),
);

for (const method of ['runTask', 'runTaskAsync'] as const) {
  for (const [who, collector] of [
    ['onCreate', false],
    ['the collector', true],
  ] as const) {
    test(
      `${who} may cancel the very task of ${method} that it is called for, and the books balance`,
      withLeakCheck(async () => {
        const told: string[] = [];
        const cancel = (): unknown => manager.cancel(() => true);
        let isSubmitted = false;
        const manager: TaskManager<number> = new TaskManager({
          ...STILL,
          workerCount: 1,
          onCreate: () => {
            if (isSubmitted && !collector) cancel();
            return 1;
          },
          collector: {
            metrics: () => ({}) as never,
            recordArrival: () => {
              told.push('arrival');
              if (collector) cancel();
            },
            recordFailure: (_, reason) => told.push(reason),
          },
        });
        await manager.ready();
        await turn(); // the gate of creations is free: the next one begins within the submission
        isSubmitted = true;
        await assert.rejects(within(Promise.resolve(manager[method](noop))), { code: 'ERR_CANCELED' });
        assert.deepEqual(told, ['arrival', 'canceled']);
        assertBooks(manager);
        await manager.stop();
        const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
        assert.equal(totalResourcesCreated, totalResourcesDestroyed);
      }),
    );
  }
}
