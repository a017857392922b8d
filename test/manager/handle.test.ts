import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CanceledError, QueueFullError, ShutdownError, type TaskHandle } from '../../src/index.ts';
import { collect, Deferred, hold, managing, rejectionOf, stateOf, turn } from './support.ts';

test(
  'a handle is awaited like a promise',
  managing({}, async (manager) => {
    assert.equal(await manager.queueTaskAsync(() => 1), 1);
    assert.equal(await manager.queueTaskAsync(async () => 2), 2);
    assert.deepEqual(await Promise.all([manager.queueTaskAsync(() => 3), manager.queueTaskAsync(() => 4)]), [3, 4]);
    const error = new Error('boom');
    assert.equal(await rejectionOf(manager.queueTaskAsync(() => Promise.reject(error))), error);
  }),
);

test(
  'a handle can be awaited again and again, before and after the end',
  managing({}, async (manager) => {
    const until = new Deferred<string>();
    const handle = manager.queueTaskAsync(() => until.promise);
    const before = [handle.then((value) => `${value}!`), handle.result];
    until.resolve('done');
    assert.deepEqual(await Promise.all(before), ['done!', 'done']);
    assert.equal(await handle, 'done');
    assert.equal(await handle.result, 'done');
    assert.equal(handle.result, handle.result);
  }),
);

test(
  'a handle read only after its end tells the outcome all the same',
  managing({}, async (manager) => {
    const good = manager.queueTaskAsync(() => 'good');
    const error = new Error('bad');
    const bad = manager.queueTaskAsync(() => Promise.reject(error));
    await manager.onIdle();
    assert.equal(await good, 'good');
    assert.equal(await rejectionOf(bad), error);
  }),
);

test(
  'for await over a handle gives its one outcome and ends',
  managing({}, async (manager) => {
    assert.deepEqual(await collect(manager.queueTaskAsync(async () => 7)), [{ status: 'fulfilled', value: 7 }]);
    const error = new Error('boom');
    assert.deepEqual(await collect(manager.queueTaskAsync(() => Promise.reject(error))), [
      { status: 'rejected', reason: error },
    ]);
    const handle = manager.queueTaskAsync(() => 8);
    await handle;
    assert.deepEqual(await collect(handle), [{ status: 'fulfilled', value: 8 }]);
    assert.deepEqual(await collect(handle), [{ status: 'fulfilled', value: 8 }]);
  }),
);

test(
  'for await over a refused handle gives the refusal',
  managing({}, async (manager) => {
    await manager.stop();
    const [outcome] = await collect(manager.queueTaskAsync(() => {}));
    assert.equal(outcome?.status, 'rejected');
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof ShutdownError);
  }),
);

test(
  'a handle nobody awaits causes no unhandled rejection, however its task ends',
  // withLeakCheck fails on unhandled rejections.
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager, clock) => {
    manager.queueTaskAsync(() => Promise.reject(new Error('failed')));
    await manager.onIdle();
    const { release } = await hold(manager);
    manager.queueTaskAsync(() => {}, { queueTimeoutMs: 5 });
    await clock.advance(10);
    manager.queueTaskAsync(() => {}).cancel();
    manager.queueTaskAsync(() => {});
    const refused = manager.queueTaskAsync(() => {});
    void refused.admitted;
    manager.queueTaskAsync(() => {}, { overflow: 'drop-oldest' });
    await release();
    await turn();
    const { totalTasksFailed, totalTasksTimedOut, totalTasksCanceled, totalTasksDropped, totalTasksRejected } =
      manager.metrics();
    assert.deepEqual(
      [totalTasksFailed, totalTasksTimedOut, totalTasksCanceled, totalTasksDropped, totalTasksRejected],
      [1, 1, 1, 1, 1],
    );
  }),
);

test(
  'the state of a handle goes from waiting to queued to running to its end',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const first = await hold(manager);
    const second = manager.queueTaskAsync(() => {});
    const until = new Deferred();
    const handle = manager.queueTaskAsync(() => until.promise);
    assert.deepEqual([second.state, handle.state], ['queued', 'waiting']);
    manager.pause();
    second.cancel();
    assert.deepEqual([second.state, handle.state], ['canceled', 'queued']);
    await first.release();
    manager.resume();
    assert.equal(handle.state, 'running');
    until.resolve();
    await handle;
    assert.equal(handle.state, 'completed');
  }),
);

test(
  'a handle tells every end: failed, timedOut, canceled, dropped, rejected',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager, clock) => {
    const states = (handles: TaskHandle<unknown>[]): string[] => handles.map(({ state }) => state);
    const failed = manager.queueTaskAsync(() => Promise.reject(new Error('boom')));
    await rejectionOf(failed);
    await hold(manager);
    const timedOut = manager.queueTaskAsync(() => {}, { queueTimeoutMs: 5 });
    await clock.advance(10);
    const canceled = manager.queueTaskAsync(() => {});
    canceled.cancel();
    const dropped = manager.queueTaskAsync(() => {});
    const dropping = manager.queueTaskAsync(() => {}, { overflow: 'drop-oldest' });
    const rejected = manager.queueTaskAsync(() => {});
    const invalid = manager.queueTaskAsync(() => {}, { priority: Number.NaN });
    assert.deepEqual(states([failed, timedOut, canceled, dropped, dropping, rejected, invalid]), [
      'failed',
      'timedOut',
      'canceled',
      'dropped',
      'queued',
      'rejected',
      'rejected',
    ]);
  }),
);

test(
  'admitted resolves at once for what is queued or runs',
  managing({ workerCount: 1 }, async (manager) => {
    const running = manager.queueTaskAsync(() => 1);
    await running.admitted;
    await hold(manager);
    const queued = manager.queueTaskAsync(() => {});
    await queued.admitted;
    assert.equal(queued.state, 'queued');
    await running;
    await running.admitted;
  }),
);

test(
  'admitted waits for room, and rejects if the wait is in vain',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    await hold(manager);
    const queued = manager.queueTaskAsync(() => {});
    const waiting = manager.queueTaskAsync(() => {});
    const canceled = manager.queueTaskAsync(() => {});
    assert.deepEqual([await stateOf(waiting.admitted), await stateOf(canceled.admitted)], ['pending', 'pending']);
    canceled.cancel('no more');
    assert.ok((await rejectionOf(canceled.admitted)) instanceof CanceledError);
    queued.cancel();
    await waiting.admitted;
    assert.equal(waiting.state, 'queued');
  }),
);

test(
  'admitted rejects for what is refused, as the result does',
  managing({ workerCount: 1, maxQueueSize: 0 }, async (manager) => {
    await hold(manager);
    const refused = manager.queueTaskAsync(() => {});
    const error = await rejectionOf(refused.admitted);
    assert.ok(error instanceof QueueFullError);
    assert.equal(await rejectionOf(refused), error);
  }),
);

test(
  'admitted tells a producer when to go on: never more than the bound is queued',
  managing({ workerCount: 1, maxQueueSize: 3, overflow: 'wait' }, async (manager) => {
    let most = 0;
    const handles: TaskHandle<number>[] = [];
    for (let i = 0; i < 100; i++) {
      const handle = manager.queueTaskAsync(async () => {
        await turn();
        return i;
      });
      handles.push(handle);
      await handle.admitted;
      const { queuedTasks, waitingForRoom } = manager.stats();
      most = Math.max(most, queuedTasks);
      assert.equal(waitingForRoom, 0);
    }
    assert.equal(most, 3);
    assert.deepEqual(
      await Promise.all(handles),
      Array.from({ length: 100 }, (_, i) => i),
    );
  }),
);

test(
  'cancel of a queued task rejects it with a CanceledError, and it never runs',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const handle = manager.queueTaskAsync(() => assert.fail('it ran'));
    assert.equal(handle.cancel('nobody waits'), true);
    const error = await rejectionOf(handle);
    assert.ok(error instanceof CanceledError);
    assert.equal(error.code, 'ERR_CANCELED');
    assert.equal(error.name, 'AbortError');
    assert.equal(error.cause, 'nobody waits');
    await release();
    assert.equal(manager.metrics().totalTasksCanceled, 1);
  }),
);

test(
  'cancel of a running task rejects it at once, and its context tells why',
  managing({ workerCount: 1 }, async (manager) => {
    const until = new Deferred();
    const seen: unknown[] = [];
    const handle = manager.queueTaskAsync(async (ctx) => {
      ctx.signal.addEventListener('abort', () => seen.push(ctx.signal.reason));
      void ctx.done().then(() => seen.push('done'));
      await until.promise;
      seen.push(ctx.err, ctx.cause);
    });
    assert.equal(handle.cancel('enough'), true);
    const error = await rejectionOf(handle);
    assert.ok(error instanceof CanceledError);
    assert.equal(error.cause, 'enough');
    assert.deepEqual([manager.stats().runningTasks, manager.stats().busyWorkers], [0, 1]);
    until.resolve();
    await manager.queueTask(() => {});
    assert.deepEqual(seen, ['enough', 'done', error, 'enough']);
  }),
);

test(
  'the reason of a cancel is the cause of the CanceledError, be it an Error or not',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    for (const reason of [new Error('why'), 'why', { code: 7 }, null, 0]) {
      const handle = manager.queueTaskAsync(() => {});
      handle.cancel(reason);
      const error = await rejectionOf(handle);
      assert.ok(error instanceof CanceledError);
      assert.equal(error.cause, reason);
    }
    const handle = manager.queueTaskAsync(() => {});
    handle.cancel();
    const error = await rejectionOf(handle);
    assert.ok(error instanceof CanceledError);
    assert.equal(error.cause, undefined);
  }),
);

test(
  'cancel is true once, and false for what has ended',
  managing({ workerCount: 1 }, async (manager) => {
    const done = manager.queueTaskAsync(() => 1);
    await done;
    assert.equal(done.cancel(), false);
    assert.equal(await done, 1);
    await hold(manager);
    const handle = manager.queueTaskAsync(() => {});
    assert.deepEqual([handle.cancel('first'), handle.cancel('second')], [true, false]);
    assert.equal(((await rejectionOf(handle)) as Error).cause, 'first');
    const refused = manager.queueTaskAsync(() => {}, { priority: Number.NaN });
    assert.equal(refused.cancel(), false);
    assert.equal(refused.setPriority(1), false);
  }),
);

test(
  'a task may cancel itself',
  managing({}, async (manager) => {
    const ready = new Deferred<{ cancel: TaskHandle<void>['cancel'] }>();
    const handle = manager.queueTaskAsync(async (): Promise<void> => {
      (await ready.promise).cancel('by my own hand');
    });
    // A promise that resolves to a handle would wait for it: a thenable is awaited.
    ready.resolve({ cancel: handle.cancel.bind(handle) });
    assert.equal(((await rejectionOf(handle)) as Error).cause, 'by my own hand');
  }),
);

test(
  'a task that is canceled from within its synchronous part is canceled, whatever it returns',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager).then(({ release }) => release());
    const handle = manager.queueTaskAsync(
      () => {
        assert.equal(manager.cancel({ id: 'me' }), 1);
        return 'value';
      },
      { id: 'me' },
    );
    assert.ok((await rejectionOf(handle)) instanceof CanceledError);
    assert.equal(await manager.queueTask(() => 'next'), 'next');
  }),
);

test(
  'setPriority moves a queued task to the tail of its new level',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const handles = ['a', 'b', 'c', 'd'].map((name) => manager.queueTaskAsync(() => void order.push(name)));
    const high = manager.queueTaskAsync(() => void order.push('high'), { priority: 5 });
    assert.equal(handles[2]!.setPriority(5), true);
    assert.equal(handles[0]!.setPriority(0), true);
    assert.equal(handles[1]!.setPriority(-1), true);
    await release();
    await Promise.all([...handles, high]);
    assert.deepEqual(order, ['high', 'c', 'd', 'a', 'b']);
    assert.equal(handles[0]!.setPriority(9), false);
  }),
);

test(
  'setPriority is false for what runs, and the context keeps its priority',
  managing({ workerCount: 1 }, async (manager) => {
    const until = new Deferred();
    const handle = manager.queueTaskAsync(async (ctx) => {
      await until.promise;
      return ctx.priority;
    });
    assert.equal(handle.setPriority(9), false);
    until.resolve();
    assert.equal(await handle, 0);
  }),
);

test(
  'setPriority keeps stats().priorityTasks right',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const handle = manager.queueTaskAsync(() => {});
    assert.equal(manager.stats().priorityTasks, 0);
    handle.setPriority(2);
    assert.equal(manager.stats().priorityTasks, 1);
    handle.setPriority(-2);
    assert.equal(manager.stats().priorityTasks, 0);
    assert.deepEqual(
      manager.tasks({ state: 'queued' }).map(({ priority }) => priority),
      [-2],
    );
  }),
);

test(
  'a handle tells its id, the given one or a generated one, also when it is refused',
  managing({ workerCount: 1, maxQueueSize: 0 }, async (manager) => {
    assert.equal(manager.queueTaskAsync(() => {}, { id: 'mine' }).id, 'mine');
    await hold(manager);
    const refused = manager.queueTaskAsync(() => {});
    assert.match(refused.id, /^[0-9A-Z]{26}$/);
    assert.equal(refused.id, refused.id);
  }),
);

test(
  'a handle of a child that is refused because its parent has settled works like any other',
  managing({ workerCount: 1 }, async (manager) => {
    const ctx = await manager.queueTask((context) => context);
    const handle = ctx.queueTaskAsync(() => assert.fail('it ran'));
    assert.equal(handle.state, 'rejected');
    assert.match(handle.id, /^[0-9A-Z]{26}$/);
    assert.equal(handle.cancel(), false);
    assert.equal(handle.setPriority(1), false);
    assert.ok((await rejectionOf(handle)) instanceof CanceledError);
    assert.ok((await rejectionOf(handle.admitted)) instanceof CanceledError);
    assert.equal(manager.metrics().totalTasksRejected, 1);
  }),
);

test(
  'a handle holds on to nothing of a task that was never started by a killed manager',
  managing({ workerCount: 1 }, async (manager, clock) => {
    await hold(manager);
    const handles = Array.from({ length: 3 }, () => manager.queueTaskAsync(() => assert.fail('it ran')));
    const killed = manager.kill('enough');
    await clock.advance(5_000);
    await killed;
    const errors = await Promise.all(handles.map(rejectionOf));
    assert.ok(errors[0] instanceof ShutdownError);
    assert.ok(
      errors.every((error) => error === errors[0]),
      'ending many at once shares one error',
    );
    assert.equal(handles[0]!.state, 'canceled');
  }),
);
