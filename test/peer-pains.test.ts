/**
 * What hurts the users of our peers, by the numbers of the list in the review of peers: one test each, where it concerns
 * a pool. Not among them:
 *
 * - 5 (aborted tasks burn rate slots) and 8 (windows breached or bursty) are about limiters of rate. A pool has one, for
 *   the creation of resources: resources.test.ts has its test. What 5 means for the slots of a pool is tested here.
 * - 20 is about groups as well: a pool's part in it, joining what runs, is tested here.
 * - 24 is about the refill of a limiter. What changing settings does to a pool is tested here.
 * - that bottleneck runs 426 no-op tasks a second is a matter of the benchmarks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CanceledError,
  DeadlineExceededError,
  QueueFullError,
  ShutdownError,
  type TaskContext,
  type TaskFailure,
  type TaskHandle,
  TaskManager,
} from '../src/index.ts';
import { withLeakCheck } from '../src/testing/index.ts';
import { assertBalanced, collect, Deferred, end, hold, managing, rejectionOf, turn } from './manager/support.ts';

test(
  '1 (p-queue 87, bottleneck 95) ten million jobs need no memory of their own: admission can be waited for, map is lazy',
  managing({ workerCount: 2, maxQueueSize: 10, overflow: 'wait' }, async (manager) => {
    let pulled = 0;
    let finished = 0;
    let most = 0;
    const jobs = async function* () {
      for (let i = 0; i < 10_000_000; i++) {
        pulled++;
        most = Math.max(most, pulled - finished);
        yield i;
      }
    };
    for await (const _ of manager.map(jobs(), async () => {}, { highWaterMark: 4 })) {
      if (++finished === 5_000) break;
    }
    assert.ok(most <= 8, `${most} of ten million pulled and unfinished`);

    let submitted = 0;
    let done = 0;
    let mostWaiting = 0;
    for (; submitted < 2_000; submitted++) {
      const handle = manager.queueTaskAsync(async () => {
        done++;
      });
      await handle.admitted;
      mostWaiting = Math.max(mostWaiting, submitted - done);
    }
    assert.ok(mostWaiting <= 13, `${mostWaiting} submitted and undone`);
    await manager.onIdle();
  }),
);

test('2 (p-queue 239, fastq 97) clear and kill leave no promise pending: every task is settled exactly once', async () => {
  for (const way of ['clear', 'kill'] as const) {
    await managing({ workerCount: 1, maxQueueSize: 50, overflow: 'wait' }, async (manager, clock) => {
      await hold(manager);
      let settled = 0;
      const count = (): void => void settled++;
      for (let i = 0; i < 50; i++) {
        manager.queueTask(() => {}).then(count, count);
        manager.queueTaskAsync(() => {}).then(count, count);
        manager.queueTaskWithCallback(() => {}, count);
        collect(manager.queueTaskStream(() => [1])).then(count, count);
      }
      if (way === 'clear') manager.clear();
      else await end(manager, clock);
      for (let i = 0; i < 5; i++) await turn();
      assert.equal(settled, 200);
    })();
  }
});

test('3 (p-queue 241) a signal aborted already is heard at a full queue, whatever its policy', async () => {
  for (const overflow of ['reject', 'wait', 'drop-oldest', 'drop-lowest'] as const) {
    await managing({ workerCount: 1, maxQueueSize: 1, overflow }, async (manager) => {
      await hold(manager);
      const queued = manager.queueTaskAsync(() => {});
      const reason = new Error('gone already');
      const task = manager.queueTask(() => assert.fail('it ran'), { signal: AbortSignal.abort(reason), priority: 9 });
      assert.equal(await rejectionOf(task), reason);
      assert.equal(queued.state, 'queued');
      assert.equal(manager.stats().waitingForRoom, 0);
    })();
  }
});

test(
  '4 (p-queue 168) aborting what runs and what waits together wedges nothing',
  managing({ workerCount: 2, maxQueueSize: 2, overflow: 'wait' }, async (manager) => {
    for (let round = 0; round < 20; round++) {
      const controller = new AbortController();
      const reason = new Error(`round ${round}`);
      // Two run, two are queued, two wait for room; half of the running ones end by themselves at the same time.
      const until = new Deferred();
      const tasks = Array.from({ length: 6 }, (_, i) =>
        rejectionOf(
          manager.queueTask((ctx) => (i % 2 === 0 ? ctx.done() : until.promise), { signal: controller.signal }),
        ),
      );
      controller.abort(reason);
      until.resolve();
      for (const task of tasks) assert.equal(await task, reason);
      assertBalanced(manager);
    }
    assert.deepEqual(await Promise.all([1, 2, 3, 4].map((n) => manager.queueTask(async () => n))), [1, 2, 3, 4]);
    const { busyWorkers, idleWorkers, queueUsage } = manager.stats();
    assert.deepEqual([busyWorkers, idleWorkers, queueUsage], [0, 2, 0]);
  }),
);

test(
  '5 (p-queue 219) a task that is aborted in the queue takes no slot: not a worker’s, not its key’s, none of the bound',
  managing({ workerCount: 2, concurrencyPerKey: 1, maxQueueSize: 3 }, async (manager) => {
    const { release } = await hold(manager, 2);
    const aborted = [1, 2, 3].map(() => manager.queueTaskAsync(() => assert.fail('it ran'), { key: 'k' }));
    for (const handle of aborted) handle.cancel();
    const after = [1, 2, 3].map((n) => manager.queueTask(() => n, { key: 'k' }));
    await release();
    assert.deepEqual(await Promise.all(after), [1, 2, 3]);
  }),
);

test(
  '6 (p-queue 254) a task is removed by its handle, its id or a filter that says how many',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const handle = manager.queueTaskAsync(() => {});
    for (const id of ['a', 'b', 'c']) manager.go(() => {}, { id, key: id === 'a' ? 'x' : 'y' });
    assert.equal(handle.cancel(), true);
    assert.equal(handle.cancel(), false);
    assert.equal(manager.cancel({ id: 'a' }), 1);
    assert.equal(manager.cancel({ id: 'a' }), 0);
    assert.equal(manager.cancel({ key: 'y' }), 2);
    assert.equal(manager.stats().queuedTasks, 0);
  }),
);

test(
  '7 (p-queue 171, 29; fastq 53) a failure is told once: by the promise where there is one, by the event where there is none',
  managing({ workerCount: 1 }, async (manager) => {
    // withLeakCheck finds unhandled rejections: go() makes none, and the event of a failure handles no promise.
    const events: TaskFailure[] = [];
    manager.on('taskFailed', (failure) => events.push(failure));
    const error = new Error('boom');
    manager.go(() => Promise.reject(error), { id: 'gone' });
    await manager.onIdle();
    assert.deepEqual(events, [{ id: 'gone', state: 'failed', error, attempt: 1 }]);
    assert.equal(await rejectionOf(manager.queueTask(() => Promise.reject(error))), error);
  }),
);

test(
  '9 (p-queue 1) users have caps of their own under a common one, and take turns',
  managing({ workerCount: 3, concurrencyPerKey: 2 }, async (manager) => {
    const alive: Record<string, number> = { all: 0, crowd: 0, one: 0 };
    const most: Record<string, number> = { all: 0, crowd: 0, one: 0 };
    const order: string[] = [];
    const submit = (key: string) =>
      manager.queueTask(
        async () => {
          order.push(key);
          for (const name of ['all', key]) most[name] = Math.max(most[name]!, ++alive[name]!);
          await turn();
          for (const name of ['all', key]) alive[name]!--;
        },
        { key },
      );
    await Promise.all([...Array.from({ length: 50 }, () => submit('crowd')), submit('one'), submit('one')]);
    assert.deepEqual(most, { all: 3, crowd: 2, one: 2 });
    assert.ok(order.indexOf('one') <= 2, `the one came as number ${order.indexOf('one') + 1}`);
  }),
);

test(
  '10 (piscina 869, pond 125) a timeout does not count queueing, and queueing has one of its own',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const running = manager.queueTaskAsync(() => 'ran', { timeoutMs: 10 });
    const waiting = manager.queueTaskAsync(() => assert.fail('it ran'), { queueTimeoutMs: 1_000 });
    await clock.advance(999);
    assert.deepEqual([running.state, waiting.state], ['queued', 'queued']);
    await clock.advance(2);
    assert.ok((await rejectionOf(waiting)) instanceof DeadlineExceededError);
    await release();
    assert.equal(await running, 'ran');
  }),
);

test(
  '11 (piscina 1031) first in, first out holds under load: a retry keeps its place, and age is bounded',
  managing({ workerCount: 1, agingMs: 10 }, async (manager, clock) => {
    const order: number[] = [];
    const tasks = Array.from({ length: 200 }, (_, i) =>
      manager.queueTask(
        async ({ attempt }) => {
          if (i % 10 === 0 && attempt === 1) throw new Error('again');
          order.push(i);
        },
        { retry: { attempts: 2, baseMs: 0 } },
      ),
    );
    await Promise.all(tasks);
    assert.deepEqual(
      order,
      Array.from({ length: 200 }, (_, i) => i),
    );
    // A task of low priority is overtaken by what comes within its age, and by nothing later.
    const { release } = await hold(manager);
    const late: string[] = [];
    const submit = (name: string, priority: number) => manager.queueTask(() => void late.push(name), { priority });
    const aged = [submit('low', 0)];
    await clock.advance(25);
    aged.push(submit('high, 25 ms later', 3));
    await clock.advance(10);
    aged.push(submit('high, 35 ms later', 3));
    await release();
    await Promise.all(aged);
    assert.deepEqual(late, ['high, 25 ms later', 'low', 'high, 35 ms later']);
  }),
);

test('12 (piscina 1056) a task goes to a ready resource, never to one in creation', async () => {
  const creations: Deferred<number>[] = [];
  const onCreate = (): Promise<number> => {
    const creation = new Deferred<number>();
    creations.push(creation);
    return creation.promise;
  };
  await managing({ workerCount: 2, onCreate }, async (manager) => {
    const [first, second] = [manager.queueTask((_, r) => r), manager.queueTask((_, r) => r)];
    while (creations.length < 2) await turn();
    creations[1]!.resolve(1); // the second to be asked for is the first to be there
    assert.deepEqual(await Promise.all([first, second]), [1, 1]);
    assert.equal(await manager.queueTask((_, r) => r), 1);
    creations[0]!.resolve(0);
    await manager.ready();
  })();
});

test('13 (piscina 87, 135, 84) a resource is created, checked, and destroyed once, which is awaited', async () => {
  const log: string[] = [];
  const destruction = new Deferred();
  let made = 0;
  await managing(
    {
      workerCount: 1,
      onCreate: () => {
        log.push(`create ${++made}`);
        return made;
      },
      checkHealth: (error) => {
        log.push(`check ${(error as Error).message}`);
        return (error as Error).message !== 'bad';
      },
      onDestroy: async (resource) => {
        await destruction.promise;
        log.push(`destroy ${resource}`);
      },
    },
    async (manager) => {
      await rejectionOf(manager.queueTaskOnce(() => Promise.reject(new Error('fine'))));
      await rejectionOf(manager.queueTaskOnce(() => Promise.reject(new Error('bad'))));
      await manager.ready();
      const stopped = manager.stop().then(() => log.push('stopped'));
      await turn();
      destruction.resolve();
      await stopped;
      assert.deepEqual(log.slice(0, 4), ['create 1', 'check fine', 'check bad', 'create 2']);
      assert.deepEqual(log.slice(4).toSorted(), ['destroy 1', 'destroy 2', 'stopped']);
      assert.equal(log.at(-1), 'stopped');
    },
  )();
});

test('14 (piscina 136, 113, 90) there is a way to reach every resource, and one to make them all new', async () => {
  let made = 0;
  await managing({ workerCount: 3, onCreate: () => ({ number: ++made, warm: false }) }, async (manager) => {
    await manager.ready();
    const warmed = await manager.runOnEach((_, resource) => {
      resource.warm = true;
      return resource.number;
    });
    assert.deepEqual(warmed.toSorted(), [1, 2, 3]);
    const seen = await Promise.all(Array.from({ length: 9 }, () => manager.queueTask(async (_, { warm }) => warm)));
    assert.ok(seen.every(Boolean));
    manager.recycle();
    await manager.ready();
    assert.deepEqual((await manager.runOnEach((_, { number }) => number)).toSorted(), [4, 5, 6]);
  })();
});

test('15 (piscina 343) a resource can be for one use, for so many, for so long, or until a task says so', async () => {
  let made = 0;
  const onCreate = (): number => ++made;
  await managing({ workerCount: 1, maxUses: 1, onCreate }, async (manager) => {
    for (let n = 1; n <= 4; n++) assert.equal(await manager.queueTask((_, resource) => resource), n);
  })();
  made = 0;
  await managing({ workerCount: 1, maxAgeMs: 1_000, onCreate }, async (manager, clock) => {
    assert.equal(await manager.queueTask((_, resource) => resource), 1);
    await clock.advance(1_001);
    assert.equal(await manager.queueTask((_, resource) => resource), 2);
    await manager.queueTask((ctx) => ctx.retireResource());
    assert.equal(await manager.queueTask((_, resource) => resource), 3);
  })();
});

test('16 (piscina 788) replacements follow demand: none for what the manager has let go', async () => {
  let made = 0;
  let destroyed = 0;
  await managing(
    { workerCount: 2, abandonAfterMs: 0, onCreate: () => ++made, onDestroy: () => void destroyed++ },
    async (manager, clock) => {
      await manager.ready();
      const until = new Deferred();
      const handles = [1, 2].map(() => manager.queueTaskAsync(() => until.promise));
      for (const handle of handles) handle.cancel();
      await clock.advance(1);
      await manager.ready();
      assert.deepEqual([made, destroyed, manager.stats().baseWorkers], [4, 2, 2]);
      const killing = [1, 2].map(() => manager.queueTaskAsync((ctx) => ctx.done()));
      await end(manager, clock);
      assert.ok(killing.every(({ state }) => state === 'canceled'));
      until.resolve();
      await turn();
      assert.deepEqual([made, destroyed], [4, 4]);
    },
  )();
});

test('17 (piscina 139, ants 73) a shutdown is graceful, bounded, and for `await using`', async () => {
  await managing({ workerCount: 1 }, async (manager, clock) => {
    const tasks = [1, 2, 3].map((n) => manager.queueTask(async () => n));
    const endless = manager.queueTaskAsync((ctx) => ctx.done());
    const stopped = manager.stop({ graceMs: 1_000, timeoutMs: 10_000 });
    assert.ok((await rejectionOf(manager.queueTask(() => {}))) instanceof ShutdownError);
    assert.deepEqual(await Promise.all(tasks), [1, 2, 3]);
    await clock.advance(1_100);
    assert.ok((await rejectionOf(endless)) instanceof ShutdownError);
    assert.deepEqual(await stopped, { completed: 3, failed: 0, canceled: 1, abandoned: 0 });
  })();
  await withLeakCheck(async () => {
    let outer: TaskManager | undefined;
    let done = false;
    {
      await using manager = new TaskManager({ workerCount: 1 });
      outer = manager;
      manager.go(async () => {
        await turn();
        done = true;
      });
    }
    assert.ok(done);
    assert.equal(outer.stats().state, 'stopped');
  })();
});

test(
  '18 (pond 50) priorities are built in, can be changed while queued, and ageing keeps them from starving anybody',
  managing({ workerCount: 1, agingMs: 100 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const submit = (name: string, priority: number) =>
      manager.queueTaskAsync(() => void order.push(name), { priority });
    const tasks = [submit('starving', -5)];
    await clock.advance(2_000);
    tasks.push(submit('low', 0), submit('high', 10), submit('raised', 0));
    assert.equal(tasks[3]!.setPriority(11), true);
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['starving', 'raised', 'high', 'low']);
  }),
);

test(
  '19 (pond 61, 138) canceling with queued tasks deadlocks nobody',
  managing({ workerCount: 2, maxQueueSize: 4, overflow: 'wait' }, async (manager, clock) => {
    const parent = manager.queueTaskAsync(async (ctx) => {
      await Promise.all(Array.from({ length: 10 }, () => ctx.queueTask((child) => child.done())));
    });
    const others = Array.from({ length: 20 }, () => manager.queueTaskAsync((ctx) => ctx.done()));
    const stopping = manager.stop({ graceMs: 60_000 });
    parent.cancel();
    for (const handle of others) handle.cancel();
    await clock.advance(1);
    await stopping;
    assert.equal(manager.stats().state, 'stopped');
    assert.deepEqual([manager.stats().runningTasks, manager.stats().queuedTasks], [0, 0]);
  }),
);

test(
  '20 (pond 68) waiting joins what runs, also after a failure: map does, and so does stop',
  managing({ workerCount: 3 }, async (manager) => {
    let alive = 0;
    const error = new Error('boom');
    const mapping = collect(
      manager.map([0, 1, 2], async (item) => {
        alive++;
        for (let i = 0; i < item * 3; i++) await turn();
        alive--;
        if (item === 0) throw error;
      }),
    );
    assert.equal(await rejectionOf(mapping), error);
    assert.equal(alive, 0);
    const handles = [1, 2, 3].map((turns) =>
      manager.queueTaskAsync(async () => {
        alive++;
        for (let i = 0; i < turns; i++) await turn();
        alive--;
      }),
    );
    for (const handle of handles) handle.cancel();
    await manager.stop();
    assert.equal(alive, 0, 'stop waits for functions, not for promises');
  }),
);

test(
  '21 (pond 97, 100) metrics miss nothing: arrived is queued, running and every end, at every step',
  managing({ workerCount: 2, maxQueueSize: 3, overflow: 'drop-oldest' }, async (manager, clock) => {
    const check = (): void => assertBalanced(manager);
    const handles: TaskHandle<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      const options = {
        overflow: i % 8 === 0 ? ('reject' as const) : undefined,
        priority: i % 4,
        timeoutMs: i % 5 === 0 ? 10 : Infinity,
        queueTimeoutMs: 12,
      };
      const fn = async (ctx: { attempt: number; done(): Promise<void> }): Promise<void> => {
        check();
        if (i % 5 === 0) await ctx.done();
        if (i % 7 === 0 && ctx.attempt === 1) throw new Error('again');
        if (i % 11 === 0) throw new Error('boom');
        await turn();
        check();
      };
      handles.push(manager.queueTaskAsync(fn, { ...options, retry: { attempts: 2, baseMs: 3 } }));
      check();
      if (i % 6 === 0) handles[(i * 7) % handles.length]!.cancel();
      check();
      if (i % 10 === 9) await clock.advance(11);
      check();
    }
    await clock.advance(1_000);
    await manager.onIdle();
    check();
    const metrics = manager.metrics();
    assert.equal(metrics.totalTasksArrived + metrics.totalTasksRejected, 60);
    for (const total of ['Completed', 'Failed', 'TimedOut', 'Canceled', 'Dropped', 'Retried'] as const) {
      assert.ok(metrics[`totalTasks${total}`] > 0, `the program above has tasks that are ${total}`);
    }
  }),
);

test(
  '22 (ants 197, conc 88) nested submissions don’t block: when all wait for children, a child runs on its parent’s worker',
  managing({ workerCount: 2, maxQueueSize: 1 }, async (manager) => {
    const depth = async (ctx: TaskContext<undefined>, left: number): Promise<number> =>
      left === 0 ? 1 : (await ctx.queueTask((child) => depth(child, left - 1))) + 1;
    const depths = await Promise.all([
      manager.queueTask((ctx) => depth(ctx, 10)),
      manager.queueTask((ctx) => depth(ctx, 7)),
    ]);
    assert.deepEqual(depths, [11, 8]);
  }),
);

test(
  '23 (ants 256, 169) every submission has a future, and all can be canceled at once',
  managing({ workerCount: 2 }, async (manager) => {
    const handles = Array.from({ length: 10 }, (_, i) => manager.queueTaskAsync((ctx) => ctx.done().then(() => i)));
    assert.equal(
      manager.cancel(() => true, 'all of you'),
      10,
    );
    const errors = await Promise.all(handles.map(rejectionOf));
    assert.ok(errors.every((error) => error instanceof CanceledError && error === errors[0]));
    assert.equal(await manager.queueTaskAsync(() => 'future'), 'future');
  }),
);

test(
  '24 (bottleneck 185, 227, 169) changing the settings under load loses and breaks nothing',
  managing({ workerCount: 2 }, async (manager) => {
    let alive = 0;
    let done = 0;
    const tasks = Array.from({ length: 500 }, (_, i) =>
      manager.queueTask(async () => {
        alive++;
        assert.ok(alive <= 8, `${alive} alive`);
        if (i % 20 === 0) manager.resize({ workerCount: 1 + ((i / 20) % 8), maxWorkerCount: 8 });
        await turn();
        alive--;
        done++;
      }),
    );
    await Promise.all(tasks);
    assert.equal(done, 500);
    manager.resize({ workerCount: 3 });
    assert.equal(manager.stats().baseWorkers, 3);
  }),
);

test('25 (fastq’s abort) after everything is canceled the limit still holds', async () => {
  for (const way of ['clear', 'cancel', 'signal'] as const) {
    await managing({ workerCount: 2 }, async (manager) => {
      let alive = 0;
      let most = 0;
      const task = async (): Promise<void> => {
        most = Math.max(most, ++alive);
        await turn();
        await turn();
        alive--;
      };
      for (let round = 0; round < 5; round++) {
        const controller = new AbortController();
        const handles = Array.from({ length: 6 }, () => manager.queueTaskAsync(task, { signal: controller.signal }));
        if (way === 'clear') manager.clear();
        else if (way === 'cancel') manager.cancel(() => true);
        else controller.abort();
        const more = Array.from({ length: 6 }, () => manager.queueTask(task));
        await Promise.allSettled(handles);
        await Promise.all(more);
      }
      assert.equal(most, 2);
    })();
  }
});

test(
  '26 (p-queue, bottleneck) a timeout does not free the slot while the work goes on, and fires the signal',
  managing({ workerCount: 1 }, async (manager, clock) => {
    let alive = 0;
    let most = 0;
    let signals = 0;
    const gates = [new Deferred(), new Deferred(), new Deferred()];
    const tasks = gates.map(({ promise }) =>
      rejectionOf(
        manager.queueTask(
          async ({ signal }) => {
            most = Math.max(most, ++alive);
            signal.addEventListener('abort', () => signals++);
            await promise; // the work goes on
            alive--;
          },
          { timeoutMs: 100 },
        ),
      ),
    );
    for (const [index, gate] of gates.entries()) {
      await clock.advance(150);
      assert.ok((await tasks[index]) instanceof DeadlineExceededError);
      assert.equal(signals, index + 1);
      gate.resolve();
    }
    await turn();
    assert.equal(most, 1);
  }),
);

test(
  '27 (fastq’s callback API) a synchronous throw leaks no slot',
  managing({ workerCount: 1 }, async (manager) => {
    const errors: unknown[] = [];
    for (let i = 0; i < 5; i++) {
      const called = new Deferred();
      manager.queueTaskWithCallback(
        () => {
          throw new Error(`throw ${i}`);
        },
        (error) => {
          errors.push((error as Error).message);
          called.resolve();
        },
      );
      await called.promise;
    }
    assert.deepEqual(errors, ['throw 0', 'throw 1', 'throw 2', 'throw 3', 'throw 4']);
    assert.equal(await manager.queueTask(() => 'free'), 'free');
    assert.equal(manager.stats().idleWorkers, 1);
  }),
);

test(
  '28 (p-queue’s linear removal) forty thousand queued tasks are canceled one by one in any order, and the rest still runs',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const ran: number[] = [];
    const handles = Array.from({ length: 40_001 }, (_, i) =>
      manager.queueTaskAsync(() => void ran.push(i), { priority: i % 3 }),
    );
    for (let i = 0; i < handles.length; i++) {
      const index = (i * 7_919) % handles.length;
      if (index !== 12_345) assert.equal(handles[index]!.cancel(), true);
    }
    await release();
    await manager.onIdle();
    assert.deepEqual(ran, [12_345]);
    assert.equal(manager.metrics().totalTasksCanceled, 40_000);
    assert.ok(!((await rejectionOf(handles[0]!)) instanceof QueueFullError));
  }),
);
