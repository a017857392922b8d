import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CanceledError,
  type Context,
  DeadlineExceededError,
  MaxRetriesError,
  type RetryPolicy,
  ShutdownError,
  type TaskManager,
  withCancel,
  withDeadline,
  withTimeout,
} from '../../src/index.ts';
import type { VirtualClock } from '../../src/testing/index.ts';
import { Deferred, end, hold, managing, rejectionOf, stateOf, turn } from './support.ts';

/** Fails the first `failures` runs, then gives the number of the run. */
function failing(failures: number, error: unknown = new Error('boom')): (ctx: { attempt: number }) => Promise<number> {
  return async ({ attempt }) => {
    if (attempt <= failures) throw error;
    return attempt;
  };
}

/** Contexts made within the body run by the clock of the manager. */
async function under<R>(
  manager: TaskManager<R>,
  make: (ctx: Context) => [Context, () => void],
): Promise<[Context, () => void]> {
  const outer = new Deferred();
  const made = new Deferred<[Context, () => void]>();
  const task = manager.runTask(async (ctx) => {
    const [inner, cancel] = make(ctx);
    made.resolve([
      inner,
      () => {
        cancel();
        outer.resolve();
      },
    ]);
    await outer.promise;
  });
  task.catch(() => {});
  return made.promise;
}

// ---- timeoutMs ----------------------------------------------------------------------------------------------------------

test(
  'a run longer than its timeoutMs rejects with a DeadlineExceededError',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const until = new Deferred();
    const handle = manager.queueTaskAsync(() => until.promise, { timeoutMs: 100 });
    await clock.advance(99);
    assert.equal(handle.state, 'running');
    await clock.advance(2);
    assert.equal(handle.state, 'timedOut');
    const error = await rejectionOf(handle);
    assert.ok(error instanceof DeadlineExceededError);
    assert.equal(error.code, 'ERR_DEADLINE_EXCEEDED');
    assert.equal(error.name, 'TimeoutError');
    assert.match(error.message, /timeoutMs \(100 ms\)/);
    assert.equal(manager.metrics().totalTasksTimedOut, 1);
    assert.equal(manager.metrics().totalTasksFailed, 0);
    until.resolve();
  }),
);

test(
  'timeoutMs counts the run and not the wait in the queue',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const until = new Deferred();
    const handle = manager.queueTaskAsync(() => until.promise, { timeoutMs: 100 });
    await clock.advance(10_000);
    assert.equal(handle.state, 'queued');
    await release();
    await clock.advance(99);
    assert.equal(handle.state, 'running');
    await clock.advance(2);
    assert.equal(handle.state, 'timedOut');
    until.resolve();
  }),
);

test(
  'the manager’s timeoutMs is the default, and Infinity lifts it for a task',
  managing({ workerCount: 2, timeoutMs: 100 }, async (manager, clock) => {
    const until = new Deferred();
    const bounded = manager.queueTaskAsync(() => until.promise);
    const unbounded = manager.queueTaskAsync(() => until.promise, { timeoutMs: Infinity });
    await clock.advance(100_000);
    assert.deepEqual([bounded.state, unbounded.state], ['timedOut', 'running']);
    assert.equal(await manager.runTask((ctx) => ctx.deadline! - ctx.startedAt), 100);
    until.resolve();
    await unbounded;
  }),
);

test(
  'a timeout fires the signal at once with the error, and the context tells it',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const until = new Deferred();
    const reasons: unknown[] = [];
    let context: Context | undefined;
    const task = rejectionOf(
      manager.queueTaskWithTimeout(async (ctx) => {
        context = ctx;
        ctx.signal.addEventListener('abort', () => reasons.push(ctx.signal.reason));
        await until.promise;
      }, 50),
    );
    await clock.advance(51);
    const error = await task;
    assert.deepEqual(reasons, [error]);
    assert.equal(context!.err, error);
    assert.equal(context!.cause, error);
    await context!.done();
    until.resolve();
  }),
);

test(
  'a signal first read after the end is aborted already',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const until = new Deferred();
    const aborted = new Deferred<boolean>();
    const task = rejectionOf(
      manager.queueTaskWithTimeout(async (ctx) => {
        await until.promise;
        aborted.resolve(ctx.signal.aborted);
      }, 50),
    );
    await clock.advance(51);
    await task;
    until.resolve();
    assert.equal(await aborted.promise, true);
  }),
);

test(
  'a context tells its deadline, and no deadline when there is none',
  managing({ workerCount: 1 }, async (manager, clock) => {
    await clock.advance(1_000);
    assert.equal(await manager.queueTask((ctx) => ctx.deadline), undefined);
    const [deadline, startedAt] = await manager.queueTask((ctx) => [ctx.deadline, ctx.startedAt], { timeoutMs: 250 });
    assert.equal(deadline! - startedAt!, 250);
  }),
);

test(
  'a timeout is final: no retry after it',
  managing({ workerCount: 1, retry: { attempts: 5, baseMs: 0 } }, async (manager, clock) => {
    let runs = 0;
    const until = new Deferred();
    const task = rejectionOf(
      manager.queueTaskWithTimeout(
        () => {
          runs++;
          return until.promise;
        },
        10,
        { retry: { attempts: 3 } },
      ),
    );
    await clock.advance(11);
    assert.ok((await task) instanceof DeadlineExceededError);
    until.reject(new Error('late'));
    await clock.advance(10_000);
    assert.equal(runs, 1);
    assert.equal(manager.metrics().totalTasksRetried, 0);
  }),
);

test(
  'timeoutMs is per attempt',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const gates = [new Deferred(), new Deferred(), new Deferred()];
    const handle = manager.queueTaskAsync(({ attempt }) => gates[attempt - 1]!.promise, {
      timeoutMs: 100,
      retry: { attempts: 3, baseMs: 0 },
    });
    for (const gate of gates.slice(0, 2)) {
      await clock.advance(90);
      gate.reject(new Error('again'));
      await turn();
    }
    await clock.advance(90);
    assert.equal(handle.state, 'running');
    await clock.advance(20);
    assert.equal(handle.state, 'timedOut');
    gates[2]!.resolve();
  }),
);

test(
  'what ends before its timeout leaves nothing of it behind, however many there were',
  managing({ workerCount: 2 }, async (manager, clock) => {
    for (let i = 0; i < 2_000; i++) await manager.queueTaskWithTimeout(async () => i, 10_000 + i / 3);
    assert.ok(clock.timerCount < 200, `${clock.timerCount} timers`);
    await clock.advance(60_000);
    const { totalTasksCompleted, totalTasksTimedOut } = manager.metrics();
    assert.deepEqual([totalTasksCompleted, totalTasksTimedOut], [2_000, 0]);
  }),
);

test(
  'thousands of waiting tasks share the timer of their queueTimeoutMs',
  managing({ workerCount: 1, queueTimeoutMs: 100 }, async (manager, clock) => {
    await hold(manager);
    const before = clock.timerCount;
    const handles = Array.from({ length: 5_000 }, () => manager.queueTaskAsync(() => {}));
    assert.ok(clock.timerCount <= before + 1, `${clock.timerCount} timers`);
    await clock.advance(110);
    assert.ok(handles.every(({ state }) => state === 'timedOut'));
  }),
);

// ---- promise 3: the limit is real -----------------------------------------------------------------------------------------

test(
  'a timed-out function keeps its worker and its resource until it returns',
  managing({ workerCount: 1, onCreate: () => ({ users: 0 }) }, async (manager, clock) => {
    const until = new Deferred();
    let alive = 0;
    let most = 0;
    const body =
      (gate?: Promise<void>) =>
      async (_: unknown, db: { users: number }): Promise<void> => {
        most = Math.max(most, ++alive);
        assert.equal(++db.users, 1, 'nobody shares the resource');
        await gate;
        db.users--;
        alive--;
      };
    const first = rejectionOf(manager.queueTask(body(until.promise), { timeoutMs: 50 }));
    const second = manager.queueTaskAsync(body());
    const third = manager.queueTaskAsync(body());
    await clock.advance(60);
    assert.ok((await first) instanceof DeadlineExceededError);
    const stats = manager.stats();
    assert.deepEqual([stats.runningTasks, stats.busyWorkers, stats.stuckWorkers, stats.queuedTasks], [0, 1, 1, 2]);
    assert.deepEqual([second.state, third.state], ['queued', 'queued']);
    until.resolve();
    await Promise.all([second, third]);
    assert.equal(most, 1);
    assert.equal(manager.stats().stuckWorkers, 0);
  }),
);

test(
  'a canceled function keeps its worker until it returns',
  managing({ workerCount: 1 }, async (manager) => {
    const until = new Deferred();
    const first = manager.queueTaskAsync(() => until.promise);
    const second = manager.queueTaskAsync(() => 'second');
    first.cancel();
    assert.ok((await rejectionOf(first)) instanceof CanceledError);
    assert.equal(second.state, 'queued');
    assert.equal(manager.stats().stuckWorkers, 1);
    until.resolve();
    assert.equal(await second, 'second');
  }),
);

test(
  'what a function returns or throws after its end is lost, and settles nothing twice',
  managing({ workerCount: 2 }, async (manager, clock) => {
    const [late, lateError] = [new Deferred<string>(), new Deferred<string>()];
    const seen: string[] = [];
    for (const { promise } of [late, lateError]) {
      manager
        .queueTaskWithTimeout(() => promise, 10)
        .then(
          (value) => seen.push(value),
          (error) => seen.push((error as Error).name),
        );
    }
    await clock.advance(11);
    late.resolve('late');
    lateError.reject(new Error('late'));
    await turn();
    await turn();
    assert.deepEqual(seen, ['TimeoutError', 'TimeoutError']);
    const { totalTasksTimedOut, totalTasksCompleted, totalTasksFailed } = manager.metrics();
    assert.deepEqual([totalTasksTimedOut, totalTasksCompleted, totalTasksFailed], [2, 0, 0]);
  }),
);

test(
  'an error that comes after a timeout still says how the resource is, and runs nothing again',
  managing(
    { workerCount: 1, onCreate: () => ({}), checkHealth: (error) => (error as Error).message !== 'bad' },
    async (manager, clock) => {
      const reasons: string[] = [];
      manager.on('workerReplaced', ({ reason }) => reasons.push(reason));
      const [healthy, bad] = [new Deferred(), new Deferred()];
      for (const { promise } of [healthy, bad]) {
        const task = rejectionOf(manager.queueTaskWithTimeout(() => promise, 10));
        await clock.advance(11);
        await task;
        (promise === bad.promise ? bad : healthy).reject(new Error(promise === bad.promise ? 'bad' : 'healthy'));
        await manager.queueTask(() => {});
      }
      assert.deepEqual(reasons, ['unhealthy']);
      assert.equal(manager.metrics().totalTasksRetried, 0);
    },
  ),
);

test(
  'after abandonAfterMs the resource is destroyed, the worker replaced, and the stray counted until it returns',
  (() => {
    const made: object[] = [];
    const destroyed: object[] = [];
    return managing(
      {
        workerCount: 1,
        abandonAfterMs: 1_000,
        onCreate: () => {
          const resource = { number: made.length };
          made.push(resource);
          return resource;
        },
        onDestroy: (resource) => void destroyed.push(resource),
      },
      async (manager, clock) => {
        const errors: unknown[] = [];
        manager.on('error', (error) => errors.push(error));
        const until = new Deferred();
        const stray = rejectionOf(manager.queueTaskWithTimeout(() => until.promise, 100));
        const next = manager.queueTaskAsync((_, resource) => resource);
        await clock.advance(101);
        await stray;
        await clock.advance(998);
        assert.equal(next.state, 'queued');
        assert.deepEqual(destroyed, []);
        await clock.advance(2);
        assert.equal(await next, made[1]);
        assert.deepEqual(destroyed, [made[0]]);
        const { abandonedTasks, stuckWorkers, baseWorkers } = manager.stats();
        assert.deepEqual([abandonedTasks, stuckWorkers, baseWorkers], [1, 0, 1]);
        assert.equal(errors.length, 1);
        until.resolve();
        await turn();
        assert.equal(manager.stats().abandonedTasks, 0);
        assert.equal(manager.metrics().totalTasksAbandoned, 1);
        assert.deepEqual(destroyed, [made[0]], 'exactly once');
      },
    );
  })(),
);

test(
  'with abandonAfterMs Infinity a stuck worker stays so',
  managing({ workerCount: 1, abandonAfterMs: Infinity }, async (manager, clock) => {
    const until = new Deferred();
    const task = rejectionOf(manager.queueTaskWithTimeout(() => until.promise, 100));
    await clock.advance(1e12);
    await task;
    assert.deepEqual([manager.stats().stuckWorkers, manager.stats().abandonedTasks], [1, 0]);
    until.resolve();
  }),
);

test(
  'with abandonAfterMs 0 a function that does not return is given up with its task',
  managing({ workerCount: 1, abandonAfterMs: 0 }, async (manager, clock) => {
    const until = new Deferred();
    const task = rejectionOf(manager.queueTaskWithTimeout(() => until.promise, 100));
    await clock.advance(101);
    await task;
    assert.deepEqual([manager.stats().stuckWorkers, manager.stats().abandonedTasks], [0, 1]);
    assert.equal(await manager.queueTask(() => 'next'), 'next');
    until.resolve();
    await turn();
    assert.equal(manager.stats().abandonedTasks, 0);
  }),
);

test(
  'a function that returns at the last moment is not abandoned',
  managing({ workerCount: 1, abandonAfterMs: 1_000 }, async (manager, clock) => {
    const until = new Deferred();
    const task = rejectionOf(manager.queueTaskWithTimeout(() => until.promise, 100));
    await clock.advance(101);
    await task;
    await clock.advance(990);
    until.resolve();
    await clock.advance(60_000);
    assert.equal(manager.metrics().totalTasksAbandoned, 0);
    assert.equal(await manager.queueTask(() => 'next'), 'next');
  }),
);

test(
  'runs of runTask time out and hold their resource the same way',
  managing({ resourcePoolSize: 1, maxTemporary: 0, onCreate: () => ({}) }, async (manager, clock) => {
    const until = new Deferred();
    const ready = await manager.runTask(() => 'made');
    assert.equal(ready, 'made');
    const task = rejectionOf(manager.runTaskWithTimeout(() => until.promise, 100));
    await clock.advance(101);
    assert.ok((await task) instanceof DeadlineExceededError);
    const { stuckWorkers, availableResources, runningTasks } = manager.stats();
    assert.deepEqual([stuckWorkers, availableResources, runningTasks], [1, 0, 0]);
    until.resolve();
    await turn();
    assert.equal(manager.stats().availableResources, 1);
  }),
);

// ---- queueTimeoutMs -------------------------------------------------------------------------------------------------------

test(
  'a task that waits longer than its queueTimeoutMs ends as timedOut, and never runs',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const handle = manager.queueTaskAsync(() => assert.fail('it ran'), { queueTimeoutMs: 100 });
    await clock.advance(99);
    assert.equal(handle.state, 'queued');
    await clock.advance(2);
    assert.equal(handle.state, 'timedOut');
    const error = await rejectionOf(handle);
    assert.ok(error instanceof DeadlineExceededError);
    assert.match(error.message, /queueTimeoutMs \(100 ms\)/);
    assert.deepEqual([manager.stats().queuedTasks, manager.stats().queueUsage], [0, 0]);
    await release();
  }),
);

test(
  'queueTimeoutMs ends with the first start: neither the run nor the pauses of a retry count',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const until = new Deferred();
    const handle = manager.queueTaskAsync(
      async ({ attempt }) => {
        await until.promise;
        if (attempt === 1) throw new Error('again');
        return attempt;
      },
      { queueTimeoutMs: 100, retry: { attempts: 2, baseMs: 10_000 } },
    );
    await clock.advance(90);
    await release();
    await clock.advance(5_000);
    until.resolve();
    await clock.advance(20_000);
    assert.equal(await handle, 2);
  }),
);

test(
  'the manager’s queueTimeoutMs is the default, and Infinity lifts it for a task',
  managing({ workerCount: 1, queueTimeoutMs: 100 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const bounded = manager.queueTaskAsync(() => {});
    const plain = rejectionOf(manager.queueTask(() => {}));
    const unbounded = manager.queueTaskAsync(() => 'ran', { queueTimeoutMs: Infinity });
    await clock.advance(101);
    assert.deepEqual([bounded.state, unbounded.state], ['timedOut', 'queued']);
    assert.ok((await plain) instanceof DeadlineExceededError);
    await release();
    assert.equal(await unbounded, 'ran');
    assert.equal(await manager.runTask(() => 'past the queue'), 'past the queue');
  }),
);

test(
  'queueTimeoutMs 0 runs what can start at once, and gives up on the rest',
  managing({ workerCount: 1 }, async (manager, clock) => {
    assert.equal(await manager.queueTask(() => 'at once', { queueTimeoutMs: 0 }), 'at once');
    await hold(manager);
    const handle = manager.queueTaskAsync(() => assert.fail('it ran'), { queueTimeoutMs: 0 });
    await clock.advance(0);
    await clock.advance(1);
    assert.equal(handle.state, 'timedOut');
  }),
);

test(
  'a canceled task leaves no queue timeout behind',
  managing({ workerCount: 1 }, async (manager, clock) => {
    await hold(manager);
    const handle = manager.queueTaskAsync(() => {}, { queueTimeoutMs: 100 });
    handle.cancel();
    await clock.advance(1_000);
    const { totalTasksCanceled, totalTasksTimedOut } = manager.metrics();
    assert.deepEqual([totalTasksCanceled, totalTasksTimedOut], [1, 0]);
  }),
);

// ---- deadlines of a parent context ----------------------------------------------------------------------------------------

test(
  'the deadline of a Context given as signal bounds the run, and counts as a timeout',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const [ctx, cancel] = await under(manager, (parent) => withTimeout(parent, 100));
    const until = new Deferred();
    const handle = manager.queueTaskAsync(
      async (task) => {
        assert.equal(task.deadline, ctx.deadline);
        await until.promise;
      },
      { signal: ctx, timeoutMs: 5_000 },
    );
    await clock.advance(99);
    assert.equal(handle.state, 'running');
    await clock.advance(2);
    assert.equal(handle.state, 'timedOut');
    assert.ok((await rejectionOf(handle)) instanceof DeadlineExceededError);
    until.resolve();
    cancel();
  }),
);

test(
  'the deadline of a Context bounds the wait in the queue too',
  managing({ workerCount: 1 }, async (manager, clock) => {
    await hold(manager);
    const [ctx, cancel] = await under(manager, (parent) => withTimeout(parent, 100));
    const handle = manager.queueTaskAsync(() => assert.fail('it ran'), { signal: ctx });
    await clock.advance(101);
    assert.equal(handle.state, 'timedOut');
    assert.ok((await rejectionOf(handle)) instanceof DeadlineExceededError);
    cancel();
  }),
);

test(
  'the nearer of timeout and inherited deadline is the one a context tells, and the one that ends it',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const [ctx, cancel] = await under(manager, (parent) => withTimeout(parent, 1_000));
    const until = new Deferred();
    const handle = manager.queueTaskAsync(
      async (task) => {
        assert.ok(task.deadline! < ctx.deadline!);
        await until.promise;
      },
      { signal: ctx, timeoutMs: 100 },
    );
    await clock.advance(101);
    assert.equal(handle.state, 'timedOut');
    until.resolve();
    cancel();
  }),
);

test(
  'a deadline with a cause of its own counts as a timeout and rejects with the cause',
  managing({ workerCount: 2 }, async (manager, clock) => {
    const cause = new Error('the request took too long');
    const [ctx, cancel] = await under(manager, (parent) => withTimeout(parent, 100, cause));
    const until = new Deferred();
    let context: Context | undefined;
    const handle = manager.queueTaskAsync(
      (task) => {
        context = task;
        return until.promise;
      },
      { signal: ctx },
    );
    await clock.advance(101);
    assert.equal(handle.state, 'timedOut');
    assert.equal(await rejectionOf(handle), cause);
    assert.ok(context!.err instanceof DeadlineExceededError);
    assert.equal(context!.cause, cause);
    until.resolve();
    cancel();
  }),
);

test(
  'a Context that is canceled cancels its tasks: state, error and context say so',
  managing({ workerCount: 1 }, async (manager) => {
    const [ctx, cancel] = await under(manager, withCancel);
    const until = new Deferred();
    const handle = manager.queueTaskAsync(() => until.promise, { signal: ctx });
    const queued = manager.queueTaskAsync(() => {}, { signal: ctx });
    cancel();
    assert.deepEqual([handle.state, queued.state], ['canceled', 'canceled']);
    assert.ok((await rejectionOf(handle)) instanceof CanceledError);
    until.resolve();
  }),
);

test(
  'a task aborted by its own signal rejects with the reason, whatever that is, and its context has an error of ours',
  managing({ workerCount: 1 }, async (manager) => {
    for (const reason of [new Error('why'), 'why', 0, { code: 7 }]) {
      const controller = new AbortController();
      const until = new Deferred();
      let context: Context | undefined;
      const handle = manager.queueTaskAsync(
        (ctx) => {
          context = ctx;
          return until.promise;
        },
        { signal: controller.signal },
      );
      controller.abort(reason);
      assert.equal(await rejectionOf(handle), reason);
      assert.equal(handle.state, 'canceled');
      assert.ok(context!.err instanceof CanceledError);
      assert.equal(context!.cause, reason);
      until.resolve();
      await turn();
    }
  }),
);

test(
  'an AbortSignal that timed out counts as a timeout',
  managing({ workerCount: 1 }, async (manager) => {
    const controller = new AbortController();
    const until = new Deferred();
    const handle = manager.queueTaskAsync(() => until.promise, { signal: controller.signal });
    // What AbortSignal.timeout() aborts with.
    const reason = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
    controller.abort(reason);
    assert.equal(handle.state, 'timedOut');
    assert.equal(await rejectionOf(handle), reason);
    until.resolve();
  }),
);

test(
  'a deadline that has passed refuses a submission',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const [ctx, cancel] = await under(manager, (parent) => withDeadline(parent, clock.timeOrigin + clock.now() - 1));
    assert.ok((await rejectionOf(manager.queueTask(() => {}, { signal: ctx }))) instanceof DeadlineExceededError);
    assert.equal(manager.metrics().totalTasksRejected, 1);
    cancel();
  }),
);

test(
  'a context derived from a task’s own runs by the manager’s clock',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const task = manager.queueTask(async (ctx) => {
      const [inner, cancel] = withTimeout(ctx, 100);
      using _ = cancel;
      await inner.done();
      return inner.err;
    });
    assert.equal(await stateOf(task), 'pending');
    await clock.advance(101);
    assert.ok((await task) instanceof DeadlineExceededError);
  }),
);

// ---- retry ----------------------------------------------------------------------------------------------------------------

test(
  'retry runs a failed task again, attempts runs in all, then rejects with the last error',
  managing({ workerCount: 1 }, async (manager) => {
    const retry: RetryPolicy = { attempts: 3, baseMs: 0 };
    assert.equal(await manager.queueTask(failing(2), { retry }), 3);
    let runs = 0;
    const thrown = await rejectionOf(
      manager.queueTask(
        ({ attempt }) => {
          runs++;
          throw new Error(`run ${attempt}`);
        },
        { retry },
      ),
    );
    assert.equal((thrown as Error).message, 'run 3');
    assert.equal(runs, 3);
    const { totalTasksArrived, totalTasksCompleted, totalTasksFailed, totalTasksRetried } = manager.metrics();
    assert.deepEqual([totalTasksArrived, totalTasksCompleted, totalTasksFailed, totalTasksRetried], [2, 1, 1, 4]);
  }),
);

test(
  'the pauses between attempts follow the backoff, and the worker works meanwhile',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const starts: number[] = [];
    const handle = manager.queueTaskAsync(
      async ({ attempt }) => {
        starts.push(Math.round(clock.now()));
        if (attempt < 4) throw new Error('again');
      },
      { retry: { attempts: 4, backoff: 'exponential', baseMs: 100, maxMs: 300 } },
    );
    await clock.advance(50);
    assert.equal(handle.state, 'queued');
    assert.equal(manager.stats().queuedTasks, 1);
    assert.equal(await manager.queueTask(() => 'meanwhile'), 'meanwhile');
    await clock.advance(10_000);
    await handle;
    assert.deepEqual(
      starts.map((start) => start - starts[0]!),
      [0, 100, 300, 600],
    );
  }),
);

test(
  'a backoff of one’s own gets the attempt and the error',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const calls: unknown[] = [];
    const error = new Error('boom');
    const backoff = (attempt: number, thrown: unknown): number => {
      calls.push([attempt, thrown]);
      return 10 * attempt;
    };
    const task = manager.queueTask(failing(2, error), { retry: { attempts: 3, backoff } });
    await clock.advance(100);
    assert.equal(await task, 3);
    assert.deepEqual(calls, [
      [1, error],
      [2, error],
    ]);
  }),
);

test(
  'retryIf decides whether an error is worth another attempt, and what it throws is reported',
  managing({ workerCount: 1 }, async (manager) => {
    const errors: unknown[] = [];
    manager.on('error', (error) => errors.push(error));
    const fatal = new Error('fatal');
    const retry = { attempts: 9, baseMs: 0, retryIf: (error: unknown) => error !== fatal };
    assert.equal(await rejectionOf(manager.queueTask(failing(9, fatal), { retry })), fatal);
    assert.equal(await manager.queueTask(failing(2), { retry }), 3);
    const broken = new Error('retryIf is broken');
    const retryIf = (): never => {
      throw broken;
    };
    const boom = new Error('boom');
    assert.equal(await rejectionOf(manager.queueTask(failing(2, boom), { retry: { attempts: 3, retryIf } })), boom);
    assert.deepEqual(errors, [broken]);
  }),
);

test(
  'the manager’s retry is the default; a task’s own replaces it, and once goes without',
  managing({ workerCount: 1, retry: { attempts: 2, baseMs: 0 } }, async (manager) => {
    assert.equal(await manager.queueTask(failing(1)), 2);
    assert.equal(await manager.queueTask(failing(3), { retry: { attempts: 4, baseMs: 0 } }), 4);
    const error = new Error('boom');
    assert.equal(await rejectionOf(manager.queueTaskOnce(failing(1, error))), error);
    assert.equal(await rejectionOf(manager.queueTask(failing(1, error), { once: true })), error);
    assert.equal(await rejectionOf(manager.queueTask(failing(1, error), { retry: { attempts: 1 } })), error);
    assert.equal(await manager.runTask(failing(1)), 2);
  }),
);

test(
  'retry and health failures count apart, and each rejects in its own way',
  managing(
    {
      workerCount: 1,
      maxRetries: 2,
      onCreate: () => ({}),
      checkHealth: (error) => !(error as Error).message.startsWith('bad'),
    },
    async (manager) => {
      const script = ['bad 1', 'boom 1', 'bad 2', 'boom 2'];
      const run = ({ attempt }: { attempt: number }): number => {
        const message = script[attempt - 1];
        if (message !== undefined) throw new Error(message);
        return attempt;
      };
      assert.equal(await manager.queueTask(run, { retry: { attempts: 3, baseMs: 0 } }), 5);
      const boom = await rejectionOf(manager.queueTask(run, { retry: { attempts: 2, baseMs: 0 } }));
      assert.equal((boom as Error).message, 'boom 2');
      script.splice(0, 4, 'bad 1', 'bad 2', 'bad 3', 'bad 4');
      const bad = await rejectionOf(manager.queueTask(run, { retry: { attempts: 99, baseMs: 0 } }));
      assert.ok(bad instanceof MaxRetriesError);
      assert.equal((bad.cause as Error).message, 'bad 3');
    },
  ),
);

test(
  'a retry waits for the function: the next run begins when the one before has returned',
  managing({ workerCount: 3 }, async (manager) => {
    let alive = 0;
    const value = await manager.queueTask(
      async (ctx) => {
        assert.equal(++alive, 1);
        ctx.defer(async () => {
          await turn();
          alive--;
        });
        await turn();
        if (ctx.attempt < 3) throw new Error('again');
        return ctx.attempt;
      },
      { retry: { attempts: 3, baseMs: 0 } },
    );
    assert.equal(value, 3);
  }),
);

test(
  'a task can be canceled between two attempts: by handle, by signal, by kill',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const retry: RetryPolicy = { attempts: 9, baseMs: 1_000 };
    const controller = new AbortController();
    const byHandle = manager.queueTaskAsync(failing(9), { retry });
    const bySignal = manager.queueTaskAsync(failing(9), { retry, signal: controller.signal });
    const byKill = manager.queueTaskAsync(failing(9), { retry });
    await clock.advance(100);
    assert.equal(manager.stats().queuedTasks, 3);
    byHandle.cancel();
    const reason = new Error('gone');
    controller.abort(reason);
    assert.ok((await rejectionOf(byHandle)) instanceof CanceledError);
    assert.equal(await rejectionOf(bySignal), reason);
    await end(manager, clock);
    assert.ok((await rejectionOf(byKill)) instanceof ShutdownError);
    assert.equal(manager.metrics().totalTasksRetried, 3);
  }),
);

test(
  'a stop runs the attempts that are left',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const handle = manager.queueTaskAsync(failing(2), { retry: { attempts: 3, baseMs: 100, backoff: 'constant' } });
    await clock.advance(10);
    const stopped = manager.stop();
    await clock.advance(1_000);
    assert.equal(await handle, 3);
    assert.deepEqual(await stopped, { completed: 1, failed: 0, canceled: 0, abandoned: 0 });
  }),
);

test(
  'an abort while the run is failing is heard instead of the failure',
  managing({ workerCount: 1 }, async (manager) => {
    const controller = new AbortController();
    const reason = new Error('aborted');
    const handle = manager.queueTaskAsync(
      async () => {
        controller.abort(reason);
        throw new Error('boom');
      },
      { signal: controller.signal, retry: { attempts: 5 } },
    );
    assert.equal(await rejectionOf(handle), reason);
    assert.equal(handle.state, 'canceled');
    assert.equal(manager.metrics().totalTasksRetried, 0);
  }),
);

test(
  'a retry of a runTask takes its resource anew, or fails for want of one',
  managing({ resourcePoolSize: 1, maxTemporary: 0, onCreate: () => ({}) }, async (manager, clock: VirtualClock) => {
    assert.equal(await manager.runTask(failing(1), { retry: { attempts: 2, baseMs: 0 } }), 2);
    const retrying = rejectionOf(manager.runTask(failing(1), { retry: { attempts: 2, baseMs: 100 } }));
    await clock.advance(10);
    const until = new Deferred();
    const taking = manager.runTask(() => until.promise);
    await clock.advance(200);
    assert.equal(((await retrying) as { code: string }).code, 'ERR_RESOURCE');
    until.resolve();
    await taking;
  }),
);
