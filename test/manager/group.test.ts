import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import {
  background,
  CanceledError,
  DeadlineExceededError,
  ErrGroup,
  MaxRetriesError,
  QueueFullError,
  ShutdownError,
  type TaskContext,
  withCancelCause,
  withTimeout,
  withValue,
} from '../../src/index.ts';
import { Deferred, hold, managing, rejectionOf, stateOf, turn } from './support.ts';

const never = () => assert.fail('it must not run');

// ---- running ------------------------------------------------------------------------------------------------------------

test(
  'a group of a manager is an ErrGroup whose functions run as tasks, with their context and their worker’s resource',
  managing({ workerCount: 2, onCreate: () => ({ name: 'db' }) }, async (manager) => {
    await manager.ready();
    const key = Symbol('key');
    const group = manager.group(withValue(background(), key, 'value'));
    assert.ok(group instanceof ErrGroup);
    const seen: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      await group.go(async (ctx, db) => {
        seen.push([ctx.value(key), ctx.attempt, ctx.err, db.name]);
        await turn();
      });
    }
    await group.wait();
    assert.deepEqual(
      seen,
      Array.from({ length: 3 }, () => ['value', 1, undefined, 'db']),
    );
    assert.equal(manager.metrics().totalTasksCompleted, 3);
  }),
);

test(
  'the parent of a group must be a context or a signal',
  managing({}, (manager) => {
    assert.throws(() => manager.group(7 as never), {
      name: 'TypeError',
      message: 'ctx must be a Context or an AbortSignal, got 7',
    });
  }),
);

test(
  'go resolves when the task has begun on a worker',
  managing({ workerCount: 1 }, async (manager) => {
    const held = await hold(manager);
    const group = manager.group();
    let ran = false;
    const began = group.go(() => {
      ran = true;
    });
    assert.equal(await stateOf(began), 'pending');
    assert.equal(manager.stats().queuedTasks, 1);
    await held.release();
    await began;
    assert.equal(ran, true);
    await group.wait();
  }),
);

test(
  'the group’s own limit holds on the workers, and what waits for it isn’t queued',
  managing({ workerCount: 4 }, async (manager) => {
    const group = manager.group();
    group.setLimit(2);
    const gate = new Deferred();
    let alive = 0;
    let most = 0;
    const order: number[] = [];
    for (let i = 0; i < 6; i++) {
      void group.go(async () => {
        order.push(i);
        most = Math.max(most, ++alive);
        await gate.promise;
        alive--;
      });
    }
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(alive, 2);
    assert.equal(manager.stats().queuedTasks, 0);
    assert.equal(group.tryGo(never), false);
    gate.resolve();
    await group.wait();
    assert.equal(most, 2);
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  }),
);

test(
  'goAll gives the values of the tasks in order',
  managing({ workerCount: 2, onCreate: () => 'db' }, async (manager) => {
    const group = manager.group();
    const [slow, plain, resource] = await group.goAll([() => turn().then(() => 'slow'), () => 7, (_, db) => db]);
    assert.deepEqual([slow, plain, resource], ['slow', 7, 'db']);
    await group.wait();
  }),
);

test(
  'each task runs in the async context of its own go, also when it has waited for the limit',
  managing({ workerCount: 1 }, async (manager) => {
    const store = new AsyncLocalStorage<number>();
    for (const limit of [1, 2, Number.POSITIVE_INFINITY]) {
      const group = manager.group();
      group.setLimit(limit);
      const seen: (number | undefined)[] = [];
      for (let i = 0; i < 4; i++) {
        store.run(i, () => {
          void group.go(async () => {
            await turn();
            seen.push(store.getStore());
          });
        });
      }
      await group.wait();
      assert.deepEqual(seen, [0, 1, 2, 3]);
    }
  }),
);

test(
  'a run on a bad resource is repeated within the group, and counts once',
  managing({ workerCount: 1, checkHealth: (error) => error !== 'bad', maxRetries: 1 }, async (manager) => {
    const group = manager.group();
    let runs = 0;
    const flaky = () => {
      if (++runs === 1) throw 'bad';
      return `run ${runs}`;
    };
    assert.deepEqual(await group.goAll([flaky]), ['run 2']);
    await group.wait();
    const failing = manager.group();
    await failing.go(() => Promise.reject('bad'));
    const error = await rejectionOf(failing.wait());
    assert.ok(error instanceof MaxRetriesError);
    assert.equal(error.cause, 'bad');
  }),
);

// ---- failing ------------------------------------------------------------------------------------------------------------

test(
  'the first error cancels what runs and what is queued, and wait joins what still is alive',
  managing({ workerCount: 2 }, async (manager) => {
    const group = manager.group();
    const boom = new Error('boom');
    const failing = new Deferred();
    const lasting = new Deferred();
    let cause: unknown;
    await group.go(() => failing.promise);
    await group.go(async (ctx) => {
      await ctx.done();
      cause = ctx.cause;
      await lasting.promise;
    });
    const queued = group.go(never);
    const waiting = group.wait();
    waiting.catch(() => {});
    failing.reject(boom);
    await queued;
    assert.equal(await stateOf(waiting), 'pending');
    assert.equal(cause, boom);
    assert.equal(manager.metrics().totalTasksCanceled, 2);
    assert.equal(manager.stats().stuckWorkers, 1);
    lasting.resolve();
    assert.equal(await rejectionOf(waiting), boom);
    assert.equal(manager.stats().stuckWorkers, 0);
  }),
);

test(
  'after the first error nothing of the group begins, whether it waits for the limit or comes later',
  managing({ workerCount: 2 }, async (manager) => {
    const group = manager.group();
    group.setLimit(1);
    const boom = new Error('boom');
    const failing = new Deferred();
    await group.go(() => failing.promise);
    const behind = [group.go(never), group.go(never)];
    failing.reject(boom);
    await Promise.all(behind);
    await group.go(never);
    assert.equal(await rejectionOf(group.wait()), boom);
    assert.equal(manager.metrics().totalTasksRejected, 3);
  }),
);

test(
  'goAll fails with its first error, once the functions that were canceled for it have returned',
  managing({ workerCount: 2 }, async (manager) => {
    const group = manager.group();
    const lasting = new Deferred();
    const all = group.goAll([() => Promise.reject(new Error('boom')), () => lasting.promise, never]);
    all.catch(() => {});
    assert.equal(await stateOf(all), 'pending');
    lasting.resolve();
    await assert.rejects(all, { message: 'boom' });
    await assert.rejects(group.wait(), { message: 'boom' });
  }),
);

test(
  'the end of the parent context is the end of the tasks, and its cause the group’s error',
  managing({ workerCount: 1 }, async (manager) => {
    const [parent, cancel] = withCancelCause(background());
    const group = manager.group(parent);
    const other = manager.group(parent);
    await group.go((ctx) => ctx.done());
    const queued = other.go(never);
    cancel('over');
    await queued;
    assert.equal(await rejectionOf(group.wait()), 'over');
    assert.equal(await rejectionOf(other.wait()), 'over');
    const late = manager.group(parent);
    await late.go(never);
    assert.equal(await rejectionOf(late.wait()), 'over');
  }),
);

test(
  'a timeout of the tasks is an error of the group, and so is the deadline of its context, which they inherit',
  managing({ workerCount: 3, timeoutMs: 1_000 }, async (manager, clock) => {
    const group = manager.group();
    await group.go((ctx) => ctx.done());
    let deadline: number | undefined;
    const bounded = manager.queueTask(async (ctx) => {
      const [soon, cancel] = withTimeout(ctx, 50);
      using _ = cancel;
      await using children = ctx.group(soon);
      await children.go((child) => {
        deadline = child.deadline;
        return child.done();
      });
    });
    bounded.catch(() => {});
    await clock.advance(50);
    assert.equal(deadline, 50);
    assert.ok((await rejectionOf(bounded)) instanceof DeadlineExceededError);
    assert.equal(manager.metrics().totalTasksTimedOut, 1);

    const waiting = group.wait();
    waiting.catch(() => {});
    await clock.advance(950);
    assert.ok((await rejectionOf(waiting)) instanceof DeadlineExceededError);
    assert.equal(manager.metrics().totalTasksTimedOut, 2);
  }),
);

test(
  'a task that a full queue refuses is an error of the group, told by wait; go resolves',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager) => {
    const group = manager.group();
    let cause: unknown;
    await group.go(async (ctx) => {
      await ctx.done();
      cause = ctx.cause;
    });
    const queued = group.go(never);
    await group.go(never);
    await queued;
    const error = await rejectionOf(group.wait());
    assert.ok(error instanceof QueueFullError);
    assert.equal(cause, error);
  }),
);

test(
  'a task that is dropped from a full queue is an error of the group as well',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'drop-oldest' }, async (manager) => {
    const held = await hold(manager);
    const group = manager.group();
    const dropped = group.go(never);
    const other = manager.queueTask(() => 'other');
    await dropped;
    assert.ok((await rejectionOf(group.wait())) instanceof QueueFullError);
    await held.release();
    assert.equal(await other, 'other');
  }),
);

test(
  'where the manager has submissions wait for room, go waits for it',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const held = await hold(manager);
    const group = manager.group();
    const order: number[] = [];
    const goes = [0, 1, 2].map((i) => group.go(() => order.push(i)));
    assert.equal(manager.stats().waitingForRoom, 2);
    assert.equal(await stateOf(goes[2]!), 'pending');
    await held.release();
    await Promise.all(goes);
    await group.wait();
    assert.deepEqual(order, [0, 1, 2]);
  }),
);

test(
  'what the manager cancels is an error of the group',
  managing({ workerCount: 1 }, async (manager) => {
    const held = await hold(manager);
    const group = manager.group();
    const queued = group.go(never);
    manager.clear('cleared');
    await queued;
    const error = await rejectionOf(group.wait());
    assert.ok(error instanceof CanceledError);
    assert.equal(error.cause, 'cleared');
    await held.release();
  }),
);

test(
  'a function that never returns holds the group until its worker is given up',
  managing({ workerCount: 1, abandonAfterMs: 100 }, async (manager, clock) => {
    const group = manager.group();
    await group.go(() => new Promise(() => {}));
    const queued = group.go(never);
    manager.cancel({ state: 'running' }, 'enough');
    await queued;
    const waiting = group.wait();
    waiting.catch(() => {});
    assert.equal(await stateOf(waiting), 'pending');
    await clock.advance(100);
    assert.equal(((await rejectionOf(waiting)) as Error).cause, 'enough');
    assert.equal(manager.stats().abandonedTasks, 1);
  }),
);

test(
  'a wait ends the context of the group: what comes after it is refused',
  managing({ workerCount: 1 }, async (manager) => {
    const { signal } = new AbortController();
    const group = manager.group(signal);
    await group.go(() => {});
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    await group.wait();
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    await group.go(never);
    assert.ok((await rejectionOf(group.wait())) instanceof CanceledError);
  }),
);

test(
  '`await using` joins the tasks, and throws their first error',
  managing({ workerCount: 2 }, async (manager) => {
    let ended = 0;
    const block = async (fails: boolean) => {
      await using group = manager.group();
      for (let i = 0; i < 4; i++) {
        void group.go(async () => {
          await turn();
          ended++;
          if (fails) throw new Error('boom');
        });
      }
    };
    await block(false);
    assert.equal(ended, 4);
    await assert.rejects(block(true), { message: 'boom' });
  }),
);

// ---- a signal for the wait ----------------------------------------------------------------------------------------------

test(
  'the signal given to go ends the wait for a worker: the function never runs, and it is no error of the group',
  managing({ workerCount: 1, maxQueueSize: 2, overflow: 'wait' }, async (manager) => {
    const held = await hold(manager);
    const group = manager.group();
    group.setLimit(4);
    const [forWorker, forRoom, forLimit] = [new AbortController(), new AbortController(), new AbortController()];
    const queued = group.go(never, { signal: forWorker.signal });
    let ran = 0;
    const patient = [group.go(() => ran++), group.go(() => ran++)];
    const roomless = group.go(never, { signal: forRoom.signal });
    const limited = group.go(never, { signal: forLimit.signal });
    assert.equal(manager.stats().waitingForRoom, 2);
    forLimit.abort('enough of the limit');
    assert.equal(await rejectionOf(limited), 'enough of the limit');
    forRoom.abort('enough of the bound');
    assert.equal(await rejectionOf(roomless), 'enough of the bound');
    forWorker.abort('enough');
    assert.equal(await rejectionOf(queued), 'enough');
    assert.equal(manager.stats().queuedTasks, 2);
    assert.equal(ran, 0);
    await held.release();
    await Promise.all(patient);
    await group.wait();
    assert.equal(ran, 2);
    for (const { signal } of [forWorker, forRoom, forLimit]) assert.equal(getEventListeners(signal, 'abort').length, 0);
  }),
);

test(
  'a context will do for that signal, and one that has fired before has nothing submitted',
  managing({ workerCount: 1 }, async (manager) => {
    const held = await hold(manager);
    const group = manager.group();
    const [ctx, cancel] = withCancelCause(background());
    const left = group.go(never, { signal: ctx });
    cancel('enough');
    assert.equal(await rejectionOf(left), 'enough');
    const { totalTasksArrived } = manager.metrics();
    assert.equal(await rejectionOf(group.go(never, { signal: ctx })), 'enough');
    assert.equal(manager.metrics().totalTasksArrived, totalTasksArrived);
    await group.wait();
    await held.release();
  }),
);

test(
  'one whose signal fires when a worker has been given its task, but not begun it, does not run',
  managing({ workerCount: 1 }, async (manager) => {
    const gate = new Deferred();
    void manager.queueTask(() => gate.promise);
    const group = manager.group();
    const controller = new AbortController();
    const left = group.go(never, { signal: controller.signal });
    // After the task before has ended, and with it the wait in the queue.
    void gate.promise.then(() => {
      assert.deepEqual([manager.stats().queuedTasks, manager.stats().runningTasks], [0, 1]);
      controller.abort('enough');
    });
    gate.resolve();
    assert.equal(await rejectionOf(left), 'enough');
    await group.wait();
  }),
);

test(
  'the signal has no say once the task has begun, and no listener is left on it',
  managing({ workerCount: 1 }, async (manager) => {
    const held = await hold(manager);
    const group = manager.group();
    const gate = new Deferred();
    const controller = new AbortController();
    const began = group.go(() => gate.promise, { signal: controller.signal });
    assert.equal(getEventListeners(controller.signal, 'abort').length, 1);
    await held.release();
    await began;
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
    controller.abort();
    gate.resolve();
    await group.wait();
  }),
);

// ---- the end of the manager ---------------------------------------------------------------------------------------------

test(
  'a stop lets the group’s tasks end, and refuses what comes later',
  managing({ workerCount: 1 }, async (manager) => {
    const gate = new Deferred();
    const group = manager.group();
    let ran = 0;
    const work = async () => {
      await gate.promise;
      ran++;
    };
    await group.go(work);
    void group.go(work);
    const stopping = manager.stop();
    const late = manager.group();
    await late.go(never);
    assert.ok((await rejectionOf(late.wait())) instanceof ShutdownError);
    gate.resolve();
    await group.wait();
    await stopping;
    assert.equal(ran, 2);
  }),
);

test(
  'a kill ends the group with a ShutdownError, when what ran has returned',
  managing({ workerCount: 1 }, async (manager) => {
    const lasting = new Deferred();
    const group = manager.group();
    group.setLimit(2);
    await group.go(() => lasting.promise);
    const [queued, limited] = [group.go(never), group.go(never)];
    const waiting = group.wait();
    waiting.catch(() => {});
    const killed = manager.kill('out');
    await Promise.all([queued, limited]);
    assert.equal(await stateOf(waiting), 'pending');
    lasting.resolve();
    const error = await rejectionOf(waiting);
    assert.ok(error instanceof ShutdownError);
    assert.equal(error.cause, 'out');
    await killed;
  }),
);

// ---- children -----------------------------------------------------------------------------------------------------------

test(
  'a task waits for a group of its own on the one worker there is, whatever the limit',
  managing({ workerCount: 1, onCreate: () => 'db' }, async (manager) => {
    for (const limit of [1, 2, Number.POSITIVE_INFINITY]) {
      const sum = async (ctx: TaskContext<string>, depth: number): Promise<number> => {
        if (depth === 0) return 1;
        const group = ctx.group();
        group.setLimit(limit);
        const sums = await group.goAll([0, 1, 2].map(() => (child: TaskContext<string>) => sum(child, depth - 1)));
        await group.wait();
        return sums.reduce((one, other) => one + other);
      };
      assert.equal(await manager.queueTask((ctx) => sum(ctx, 3)), 27);
    }
  }),
);

test(
  'a group in a task that runs in a group works as well, with fewer workers than groups',
  managing({ workerCount: 2 }, async (manager) => {
    const outer = manager.group();
    let leaves = 0;
    for (let i = 0; i < 5; i++) {
      void outer.go(async (ctx) => {
        await using inner = ctx.group(ctx);
        for (let j = 0; j < 5; j++) await inner.go(async () => void leaves++);
      });
    }
    await outer.wait();
    assert.equal(leaves, 25);
  }),
);

test(
  'an error in a task’s group that nobody handles there fails the task, and so the group around it',
  managing({ workerCount: 1 }, async (manager) => {
    const group = manager.group();
    const boom = new Error('boom');
    await group.go(async (ctx) => {
      const inner = ctx.group();
      void inner.go(() => Promise.reject(boom));
      void inner.go(never);
      await inner.wait();
    });
    void group.go(never);
    assert.equal(await rejectionOf(group.wait()), boom);
  }),
);

test(
  'children of a group are canceled with the task that has not waited for them',
  managing({ workerCount: 2 }, async (manager) => {
    let inner!: ErrGroup<[context: TaskContext<undefined>, resource: undefined]>;
    await manager.queueTask(async (ctx) => {
      inner = ctx.group();
      await inner.go((child) => child.done());
      void inner.go(never);
    });
    assert.ok((await rejectionOf(inner.wait())) instanceof CanceledError);
    await inner.go(never);
  }),
);
