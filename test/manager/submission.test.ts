import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import {
  background,
  CanceledError,
  DeadlineExceededError,
  MaxRetriesError,
  QueueFullError,
  ResourceError,
  realClock,
  ShutdownError,
  type TaskFailure,
  type TaskManager,
  type TaskOptions,
  withCancelCause,
  withValue,
} from '../../src/index.ts';
import { Deferred, hold, managing, rejectionOf, stateOf, turn } from './support.ts';

type Fn = (ctx: { priority: number }) => unknown;
type Submit = (manager: TaskManager, fn: Fn, options?: TaskOptions) => Promise<unknown>;

function called(run: (callback: (error: unknown, value?: unknown) => void) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    run((error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

/** The five families in their four forms, each as a function that promises the result. */
const FORMS: Record<string, Submit> = {
  queueTask: (m, fn, o) => m.queueTask(fn, o),
  queueTaskAsync: async (m, fn, o) => m.queueTaskAsync(fn, o),
  queueTaskWithCallback: (m, fn, o) => called((callback) => m.queueTaskWithCallback(fn, callback, o)),
  queueTaskWithTimeout: (m, fn, o) => m.queueTaskWithTimeout(fn, 1_000, o),
  queueTaskWithPriority: (m, fn, o) => m.queueTaskWithPriority(fn, o),
  queueTaskWithPriorityAsync: async (m, fn, o) => m.queueTaskWithPriorityAsync(fn, o),
  queueTaskWithPriorityWithCallback: (m, fn, o) =>
    called((callback) => m.queueTaskWithPriorityWithCallback(fn, callback, o)),
  queueTaskWithPriorityWithTimeout: (m, fn, o) => m.queueTaskWithPriorityWithTimeout(fn, 1_000, o),
  queueTaskOnce: (m, fn, o) => m.queueTaskOnce(fn, o),
  queueTaskOnceAsync: async (m, fn, o) => m.queueTaskOnceAsync(fn, o),
  queueTaskOnceWithCallback: (m, fn, o) => called((callback) => m.queueTaskOnceWithCallback(fn, callback, o)),
  queueTaskOnceWithTimeout: (m, fn, o) => m.queueTaskOnceWithTimeout(fn, 1_000, o),
  queueTaskWithPriorityOnce: (m, fn, o) => m.queueTaskWithPriorityOnce(fn, o),
  queueTaskWithPriorityOnceAsync: async (m, fn, o) => m.queueTaskWithPriorityOnceAsync(fn, o),
  queueTaskWithPriorityOnceWithCallback: (m, fn, o) =>
    called((callback) => m.queueTaskWithPriorityOnceWithCallback(fn, callback, o)),
  queueTaskWithPriorityOnceWithTimeout: (m, fn, o) => m.queueTaskWithPriorityOnceWithTimeout(fn, 1_000, o),
  runTask: (m, fn, o) => m.runTask(fn, o),
  runTaskAsync: async (m, fn, o) => m.runTaskAsync(fn, o),
  runTaskWithCallback: (m, fn, o) => called((callback) => m.runTaskWithCallback(fn, callback, o)),
  runTaskWithTimeout: (m, fn, o) => m.runTaskWithTimeout(fn, 1_000, o),
};
const NAMES = Object.keys(FORMS);
const QUEUED = NAMES.filter((name) => !name.startsWith('run'));

for (const name of NAMES) {
  const submit = FORMS[name]!;
  const once = name.includes('Once');
  const queued = !name.startsWith('run');

  test(
    `${name} gives what the function returns, now or later`,
    managing({}, async (manager) => {
      assert.equal(await submit(manager, () => 'now'), 'now');
      assert.equal(await submit(manager, async () => 'later'), 'later');
      assert.equal(await submit(manager, () => undefined), undefined);
      assert.equal(manager.metrics().totalTasksCompleted, 3);
    }),
  );

  test(
    `${name} gives what the function throws, now or later`,
    managing({}, async (manager) => {
      const error = new Error('boom');
      const now = (): never => {
        throw error;
      };
      assert.equal(await rejectionOf(submit(manager, now)), error);
      assert.equal(await rejectionOf(submit(manager, async () => now())), error);
      assert.equal(manager.metrics().totalTasksFailed, 2);
      assert.equal(await submit(manager, () => 'and works on'), 'and works on');
    }),
  );

  test(
    `${name} takes an AbortSignal, a Context, and an id`,
    managing({}, async (manager) => {
      const { signal } = new AbortController();
      assert.equal(await submit(manager, () => 1, { signal, id: 'mine' }), 1);
      assert.equal(await submit(manager, () => 2, { signal: background() }), 2);
      const reason = new Error('too late');
      assert.equal(await rejectionOf(submit(manager, () => 3, { signal: AbortSignal.abort(reason) })), reason);
      const [ctx, cancel] = withCancelCause(background());
      cancel(reason);
      assert.equal(await rejectionOf(submit(manager, () => 4, { signal: ctx })), reason);
    }),
  );

  test(
    `${name} is refused with a ShutdownError after the end`,
    managing({}, async (manager) => {
      await manager.stop();
      assert.ok((await rejectionOf(submit(manager, () => assert.fail('it ran')))) instanceof ShutdownError);
      assert.equal(manager.metrics().totalTasksRejected, 1);
    }),
  );

  if (queued) {
    test(
      `${name} has priority ${name.includes('Priority') ? 1 : 0} unless told another`,
      managing({}, async (manager) => {
        assert.equal(await submit(manager, (ctx) => ctx.priority), name.includes('Priority') ? 1 : 0);
        assert.equal(await submit(manager, (ctx) => ctx.priority, { priority: -7.5 }), -7.5);
        assert.equal(await submit(manager, (ctx) => ctx.priority, { priority: 0 }), 0);
      }),
    );
  }

  test(
    `${name} ${once ? 'runs once' : 'runs again'} when the resource turned out bad`,
    managing(
      { onCreate: () => ({}), checkHealth: (error) => (error as Error).message !== 'bad', maxRetries: 2 },
      async (manager) => {
        let runs = 0;
        const error = new Error('bad');
        const task = submit(manager as never, () => {
          runs++;
          throw error;
        });
        const thrown = await rejectionOf(task);
        assert.equal(runs, once ? 1 : 3);
        if (once) assert.equal(thrown, error);
        else {
          assert.ok(thrown instanceof MaxRetriesError);
          assert.equal(thrown.cause, error);
        }
      },
    ),
  );

  if (name.endsWith('WithTimeout')) {
    test(
      `${name} ends a run that takes longer than its argument, whatever the options say`,
      managing({}, async (manager, clock) => {
        const until = new Deferred();
        const task = submit(manager, () => until.promise, { timeoutMs: 60_000 });
        const rejected = rejectionOf(task);
        await clock.advance(999);
        assert.equal(manager.stats().runningTasks, 1);
        await clock.advance(2);
        assert.ok((await rejected) instanceof DeadlineExceededError);
        until.resolve();
      }),
    );
  }
}

test('the table above has every form of every family', () => {
  assert.equal(NAMES.length, 20);
});

test(
  'every form of the queue waits for its turn, and is canceled while it does',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const controller = new AbortController();
    const tasks = QUEUED.map((name) =>
      rejectionOf(FORMS[name]!(manager, () => assert.fail('it ran'), { signal: controller.signal })),
    );
    assert.equal(manager.stats().queuedTasks, QUEUED.length);
    const reason = new Error('changed my mind');
    controller.abort(reason);
    for (const task of tasks) assert.equal(await task, reason);
    assert.equal(manager.metrics().totalTasksCanceled, QUEUED.length);
    assert.equal(manager.stats().queuedTasks, 0);
  }),
);

test(
  'a task gets the context and the resource of its worker',
  managing({ workerCount: 1, onCreate: () => ({ name: 'db' }) }, async (manager) => {
    const seen = await manager.queueTask((ctx, db) => ({ db, ctx }));
    assert.deepEqual(seen.db, { name: 'db' });
    assert.equal(seen.ctx.attempt, 1);
    assert.equal(await manager.queueTask((_, db) => db), seen.db);
  }),
);

test(
  'without onCreate the resource is undefined',
  managing({}, async (manager) => {
    assert.deepEqual(await manager.queueTask((...args) => args.slice(1)), [undefined]);
  }),
);

test(
  'a thenable that calls back twice settles its task once, and leaves the next one alone',
  managing({ workerCount: 1 }, async (manager) => {
    const twice = {
      then(resolve: (value: string) => void, reject: (error: unknown) => void) {
        resolve('first');
        resolve('second');
        reject(new Error('third'));
        setImmediate(() => resolve('fourth'));
      },
    };
    const results = [manager.queueTask(() => twice), manager.queueTask(() => 'next'), manager.queueTask(() => 'last')];
    assert.deepEqual(await Promise.all(results), ['first', 'next', 'last']);
    assert.equal(manager.metrics().totalTasksCompleted, 3);
  }),
);

test(
  'a promise whose class or then is not the native one settles its task once as well',
  managing({ workerCount: 1 }, async (manager) => {
    class Own<T> extends Promise<T> {}
    const patched = Promise.resolve('patched');
    const { then } = Promise.prototype;
    patched.then = ((resolve: () => void, reject: () => void) => {
      then.call(patched, resolve, reject);
      return then.call(patched, resolve, reject);
    }) as typeof patched.then;
    assert.equal(await manager.queueTask(() => Own.resolve('own')), 'own');
    assert.equal(await manager.queueTask(() => patched), 'patched');
    assert.equal(await manager.queueTask(() => 'next'), 'next');
    assert.equal(manager.metrics().totalTasksCompleted, 3);
  }),
);

test(
  'a thenable whose then throws fails its task',
  managing({ workerCount: 1 }, async (manager) => {
    const error = new Error('no then for you');
    const broken = {
      get then(): never {
        throw error;
      },
    };
    assert.equal(await rejectionOf(manager.queueTask(() => broken)), error);
    assert.equal(await manager.queueTask(() => 'next'), 'next');
  }),
);

test(
  'a task may throw what is no Error, undefined included',
  managing({}, async (manager) => {
    for (const thrown of [undefined, null, 0, 'text', { code: 7 }]) {
      const task = manager.queueTask(() => {
        throw thrown;
      });
      assert.equal(await rejectionOf(task), thrown);
      const later = manager.queueTaskAsync(() => Promise.reject(thrown));
      assert.equal(await rejectionOf(later), thrown);
    }
    assert.equal(manager.metrics().totalTasksFailed, 10);
  }),
);

test(
  'fifty thousand synchronous tasks overflow no stack',
  managing({ workerCount: 1 }, async (manager) => {
    let sum = 0;
    const tasks = Array.from({ length: 50_000 }, (_, i) =>
      manager.queueTask(() => {
        sum += i;
      }),
    );
    await Promise.all(tasks);
    assert.equal(sum, (50_000 * 49_999) / 2);
  }),
);

test(
  'a task runs in the async context of its own submission, started at once or from the queue',
  managing({ workerCount: 1 }, async (manager) => {
    const storage = new AsyncLocalStorage<string>();
    const submit = (name: string): Promise<(string | undefined)[]> =>
      storage.run(name, () =>
        manager.queueTask(async () => {
          const first = storage.getStore();
          await turn();
          return [first, storage.getStore()];
        }),
      );
    const names = ['at once', 'queued', 'queued too'];
    assert.deepEqual(
      await Promise.all(names.map(submit)),
      names.map((name) => [name, name]),
    );
    assert.equal(await manager.queueTask(() => storage.getStore()), undefined);
  }),
);

test(
  'every form runs its function in the async context of its submission',
  managing({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 100, onCreate: () => ({}) }, async (manager) => {
    const storage = new AsyncLocalStorage<string>();
    const results = NAMES.map((name) =>
      storage.run(name, () => FORMS[name]!(manager as never, () => storage.getStore())),
    );
    assert.deepEqual(await Promise.all(results), NAMES);
  }),
);

test(
  'a retried task runs in the async context of its submission each time',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const submit = (name: string): Promise<void> =>
      storage.run(name, () =>
        manager.queueTask(
          async (ctx) => {
            seen.push([storage.getStore(), ctx.attempt]);
            if (ctx.attempt < 3) throw new Error('again');
          },
          { retry: { attempts: 3, baseMs: 10, backoff: 'constant' } },
        ),
      );
    const tasks = [submit('a'), submit('b')];
    await clock.advance(100);
    await Promise.all(tasks);
    assert.deepEqual(seen, [
      ['a', 1],
      ['b', 1],
      ['a', 2],
      ['b', 2],
      ['a', 3],
      ['b', 3],
    ]);
  }),
);

test(
  'with asyncContext: false everything works but the context',
  managing({ workerCount: 1, asyncContext: false }, async (manager) => {
    for (const name of NAMES) assert.equal(await FORMS[name]!(manager, () => name), name);
    const results = await Promise.all(QUEUED.map((name) => FORMS[name]!(manager, async () => name)));
    assert.deepEqual(results, QUEUED);
    const error = new Error('boom');
    for (const name of QUEUED)
      assert.equal(await rejectionOf(FORMS[name]!(manager, () => Promise.reject(error))), error);
  }),
);

test(
  'an id may be any string, and is free again once its task has ended',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const first = manager.queueTask(({ id }) => id, { id: 'order 7 / é' });
    const second = rejectionOf(manager.queueTask(() => assert.fail('it ran'), { id: 'order 7 / é' }));
    assert.ok((await second) instanceof RangeError);
    await release();
    assert.equal(await first, 'order 7 / é');
    assert.equal(await manager.queueTask(() => 'again', { id: 'order 7 / é' }), 'again');
    assert.equal(await manager.queueTask(({ id }) => id, { id: '' }), '');
  }),
);

test(
  'an id is free again after a refusal, a cancellation, a timeout and a drop',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager, clock) => {
    await hold(manager);
    const full = manager.queueTaskAsync(() => {});
    assert.ok((await rejectionOf(manager.queueTask(() => {}, { id: 'x' }))) instanceof QueueFullError);
    full.cancel();
    const canceled = manager.queueTaskAsync(() => {}, { id: 'x' });
    canceled.cancel();
    assert.ok((await rejectionOf(canceled)) instanceof CanceledError);
    const late = rejectionOf(manager.queueTask(() => {}, { id: 'x', queueTimeoutMs: 10 }));
    await clock.advance(20);
    assert.ok((await late) instanceof DeadlineExceededError);
    const dropped = rejectionOf(manager.queueTask(() => {}, { id: 'x' }));
    const dropping = manager.queueTaskAsync(() => {}, { overflow: 'drop-oldest' });
    assert.ok((await dropped) instanceof QueueFullError);
    const waiting = manager.queueTaskAsync(() => {}, { id: 'x', overflow: 'wait' });
    waiting.cancel();
    assert.ok((await rejectionOf(waiting)) instanceof CanceledError);
    dropping.cancel();
    assert.equal(manager.queueTaskAsync(() => {}, { id: 'x' }).state, 'queued');
  }),
);

test(
  'go tells of a failure by event and logger, and of a success to nobody',
  (() => {
    const logged: unknown[][] = [];
    const logger = {
      debug: () => {},
      info: () => {},
      warn: () => {},
      error: (...args: unknown[]) => logged.push(args),
    };
    return managing({ logger }, async (manager) => {
      const failures: TaskFailure[] = [];
      manager.on('taskFailed', (failure) => failures.push(failure));
      const error = new Error('boom');
      assert.equal(
        manager.go(() => 'nobody wants it'),
        undefined,
      );
      manager.go(async () => Promise.reject(error), { id: 'g' });
      await manager.onIdle();
      assert.deepEqual(failures, [{ id: 'g', state: 'failed', error, attempt: 1 }]);
      assert.equal(logged.length, 1);
      assert.equal(logged[0]![1], error);
    });
  })(),
);

test(
  'go tells of a cancellation and of a refusal by event too',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager) => {
    await hold(manager);
    const states: string[] = [];
    manager.on('taskFailed', ({ id, state }) => states.push(`${id} ${state}`));
    manager.go(() => {}, { id: 'canceled' });
    manager.go(() => {}, { id: 'refused' });
    assert.equal(manager.cancel({ id: 'canceled' }), 1);
    manager.go(() => {}, { id: 'dropped' });
    manager.go(() => {}, { id: 'dropping', overflow: 'drop-oldest' });
    assert.deepEqual(states, ['refused rejected', 'canceled canceled', 'dropped dropped']);
    manager.clear();
  }),
);

test(
  'runTask goes past the queue and past a pause, and counts in the books',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const queued = manager.queueTaskAsync(() => 'queued');
    manager.pause();
    assert.equal(await manager.runTask(() => 'past'), 'past');
    assert.equal(queued.state, 'queued');
    assert.equal(manager.metrics().totalTasksCompleted, 1);
    manager.clear();
  }),
);

test(
  'runTask refuses when the pool and the temporary resources are all taken, and gets one when one is free',
  managing({ workerCount: 1, resourcePoolSize: 1, maxTemporary: 1, onCreate: () => ({}) }, async (manager) => {
    const until = new Deferred<string>();
    const taken = [manager.runTask(() => until.promise), manager.runTask(() => until.promise)];
    assert.ok((await rejectionOf(manager.runTask(() => assert.fail('it ran')))) instanceof ResourceError);
    assert.equal(manager.metrics().totalTasksRejected, 1);
    until.resolve('done');
    assert.deepEqual(await Promise.all(taken), ['done', 'done']);
    assert.equal(await manager.runTask(() => 'again'), 'again');
    assert.equal(manager.stats().availableResources, 1);
  }),
);

test(
  'runTaskSync returns the value, and throws what the function throws',
  managing({}, (manager) => {
    assert.equal(
      manager.runTaskSync(() => 7),
      7,
    );
    const error = new Error('boom');
    assert.throws(
      () =>
        manager.runTaskSync(() => {
          throw error;
        }),
      (thrown) => thrown === error,
    );
    const { totalTasksCompleted, totalTasksFailed } = manager.metrics();
    assert.deepEqual([totalTasksCompleted, totalTasksFailed], [1, 1]);
  }),
);

test(
  'runTaskSync throws a ResourceError until a pooled resource is ready, and makes one meanwhile',
  managing({ onCreate: async () => 'db' }, async (manager) => {
    assert.throws(() => manager.runTaskSync(() => assert.fail('it ran')), ResourceError);
    while (manager.stats().availableResources === 0) await turn();
    assert.equal(
      manager.runTaskSync((_, db) => db),
      'db',
    );
    assert.equal(manager.metrics().totalTasksRejected, 1);
  }),
);

test(
  'runTaskSync throws a TypeError if the function returns a promise, and keeps the resource until that is over',
  managing({ resourcePoolSize: 1, maxTemporary: 0, onCreate: () => 'db' }, async (manager) => {
    await manager.runTask(() => {});
    const until = new Deferred();
    assert.throws(() => manager.runTaskSync(() => until.promise as never), TypeError);
    assert.equal(manager.metrics().totalTasksFailed, 1);
    assert.equal(manager.stats().stuckWorkers, 1);
    assert.ok((await rejectionOf(manager.runTask(() => {}))) instanceof ResourceError);
    until.resolve();
    await until.promise;
    assert.equal(
      manager.runTaskSync((_, db) => db),
      'db',
    );
    assert.equal(manager.stats().stuckWorkers, 0);
  }),
);

test(
  'runTaskSync works while paused, and not after the end',
  managing({}, async (manager) => {
    manager.pause();
    assert.equal(
      manager.runTaskSync(() => 1),
      1,
    );
    await manager.stop();
    assert.throws(() => manager.runTaskSync(() => 2), ShutdownError);
  }),
);

test(
  'tryQueueTask gives a handle when there is room and undefined when there is none, whatever the policy',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager) => {
    for (const overflow of ['reject', 'wait', 'drop-oldest', 'drop-lowest'] as const) {
      const { release } = await hold(manager);
      const placed = manager.tryQueueTask(() => 'placed', { overflow });
      assert.equal(placed?.state, 'queued');
      assert.equal(
        manager.tryQueueTask(() => assert.fail('it ran'), { overflow, priority: 9 }),
        undefined,
      );
      await release();
      assert.equal(await placed, 'placed');
    }
    assert.equal(manager.metrics().totalTasksRejected, 4);
  }),
);

test(
  'tryQueueTask gives a rejected handle for every other refusal',
  managing({}, async (manager) => {
    const wrong = manager.tryQueueTask(() => {}, { priority: Number.NaN });
    assert.equal(wrong?.state, 'rejected');
    assert.ok((await rejectionOf(wrong!)) instanceof RangeError);
    await manager.stop();
    assert.ok((await rejectionOf(manager.tryQueueTask(() => {})!)) instanceof ShutdownError);
  }),
);

test(
  'tryQueueTask does not overtake those who wait for room',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const tasks = ['queued', 'waiting'].map((name) => manager.queueTask(() => void order.push(name)));
    assert.equal(manager.stats().waitingForRoom, 1);
    assert.equal(
      manager.tryQueueTask(() => {}),
      undefined,
    );
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['queued', 'waiting']);
  }),
);

test(
  'a Context given as signal hands its values to the task',
  managing({}, async (manager) => {
    const ctx = withValue(background(), 'user', 'ada');
    assert.equal(await manager.queueTask((task) => task.value('user'), { signal: ctx }), 'ada');
    assert.equal(await manager.queueTask((task) => task.value('user')), undefined);
  }),
);

test(
  'a context tells attempt, priority, times and id of its run',
  managing({ workerCount: 1 }, async (manager, clock) => {
    await clock.advance(100);
    const { release } = await hold(manager);
    const queued = manager.queueTask(
      (ctx) => ({
        id: ctx.id,
        attempt: ctx.attempt,
        priority: ctx.priority,
        waited: Math.floor(ctx.startedAt - ctx.queuedAt + 0.5),
        err: ctx.err,
        cause: ctx.cause,
        deadline: ctx.deadline,
        aborted: ctx.signal.aborted,
        stopping: ctx.stopping.aborted,
      }),
      { id: 'me', priority: 3 },
    );
    await clock.advance(50);
    await release();
    assert.deepEqual(await queued, {
      id: 'me',
      attempt: 1,
      priority: 3,
      waited: 50,
      err: undefined,
      cause: undefined,
      deadline: undefined,
      aborted: false,
      stopping: false,
    });
  }),
);

test(
  'deferred functions run last first, one after the other, after the function and before the task settles',
  managing({ workerCount: 1 }, async (manager) => {
    const order: string[] = [];
    const errors: unknown[] = [];
    manager.on('error', (error) => errors.push(error));
    const broken = new Error('a defer is broken');
    const task = manager.queueTask(async (ctx) => {
      ctx.defer(async () => {
        await turn();
        order.push('first');
        ctx.defer(() => order.push('deferred by a deferred'));
      });
      ctx.defer(() => {
        order.push('second');
        throw broken;
      });
      order.push('function');
      return 'value';
    });
    void task.then(() => order.push('settled'));
    assert.equal(await task, 'value');
    await turn();
    assert.deepEqual(order, ['function', 'second', 'first', 'deferred by a deferred', 'settled']);
    assert.deepEqual(errors, [broken]);
  }),
);

test(
  'deferred functions run after a failure and after a timeout too, and nothing can be deferred when the run is over',
  managing({ workerCount: 1 }, async (manager, clock) => {
    let runs = 0;
    const failing = manager.queueTask(async (ctx) => {
      ctx.defer(() => runs++);
      throw new Error('boom');
    });
    await rejectionOf(failing);
    assert.equal(runs, 1);
    const until = new Deferred();
    let late: (() => void) | undefined;
    const timed = manager.queueTaskWithTimeout(async (ctx) => {
      ctx.defer(() => runs++);
      late = () => ctx.defer(() => {});
      await until.promise;
    }, 10);
    const rejected = rejectionOf(timed);
    await clock.advance(11);
    assert.ok((await rejected) instanceof DeadlineExceededError);
    assert.equal(runs, 1);
    until.resolve();
    await manager.queueTask(() => {});
    assert.equal(runs, 2);
    assert.throws(() => late!(), CanceledError);
  }),
);

test(
  'submissions from within a task that is synchronous are served when it is over',
  managing({ workerCount: 1 }, async (manager) => {
    const order: string[] = [];
    let inner: Promise<void> | undefined;
    await manager.queueTask(() => {
      inner = manager.queueTask(() => void order.push('inner'));
      order.push('outer');
    });
    await inner;
    assert.deepEqual(order, ['outer', 'inner']);
  }),
);

test(
  'the event loop turns while twenty thousand tasks are ready',
  managing({ workerCount: 2, clock: realClock }, async (manager) => {
    let turns = 0;
    let done = false;
    const count = (): void => {
      turns++;
      if (!done) setImmediate(count);
    };
    setImmediate(count);
    const tasks = Array.from({ length: 20_000 }, () => manager.queueTask(async () => {}));
    await Promise.all(tasks);
    done = true;
    await turn();
    assert.ok(turns >= 20, `${turns} turns of the event loop in 20,000 tasks`);
  }),
);

test(
  'yieldAfter.tasks bounds the queued tasks that start in one turn',
  managing({ workerCount: 2, yieldAfter: { tasks: 10, ms: Infinity } }, async (manager) => {
    const { release } = await hold(manager, 2);
    let inTurn = 0;
    let most = 0;
    let done = false;
    const reset = (): void => {
      most = Math.max(most, inTurn);
      inTurn = 0;
      if (!done) setImmediate(reset);
    };
    const tasks = Array.from({ length: 500 }, () => manager.queueTask(async () => void inTurn++));
    setImmediate(reset);
    await release();
    await Promise.all(tasks);
    done = true;
    await turn();
    await turn();
    assert.ok(most > 0 && most <= 10, `${most} tasks in one turn`);
  }),
);

test(
  'what a task ignored rejects with is the user’s: a plain promise, and nothing of the library’s',
  managing({}, async (manager) => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown): void => void unhandled.push(reason);
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', listener);
    const error = new Error('nobody listens');
    manager.queueTask(() => Promise.reject(error));
    manager.queueTaskAsync(() => Promise.reject(new Error('a handle')));
    manager.go(() => Promise.reject(new Error('go')));
    await manager.onIdle();
    for (let i = 0; i < 3; i++) await turn();
    process.off('unhandledRejection', listener);
    for (const other of others) process.on('unhandledRejection', other);
    assert.deepEqual(unhandled, [error]);
  }),
);

test(
  'a promise stays pending until its task is done',
  managing({ workerCount: 1 }, async (manager) => {
    const until = new Deferred<number>();
    const running = manager.queueTask(() => until.promise);
    const queued = manager.queueTask(() => 2);
    assert.deepEqual([await stateOf(running), await stateOf(queued)], ['pending', 'pending']);
    until.resolve(1);
    assert.deepEqual(await Promise.all([running, queued]), [1, 2]);
  }),
);
