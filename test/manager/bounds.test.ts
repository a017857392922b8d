import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  CanceledError,
  DeadlineExceededError,
  QueueFullError,
  ShutdownError,
  type TaskManager,
} from '../../src/index.ts';
import { Deferred, end, hold, managing, rejectionOf, stateOf, turn } from './support.ts';

/** Queued, waiting for room, places taken. */
function levels(manager: TaskManager): [queued: number, waiting: number, usage: number] {
  const { queuedTasks, waitingForRoom, queueUsage } = manager.stats();
  return [queuedTasks, waitingForRoom, queueUsage];
}

test(
  'without a bound the queue takes a hundred thousand tasks',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    for (let i = 0; i < 100_000; i++) manager.go(() => {});
    const { queuedTasks, queueCapacity, queueUsage } = manager.stats();
    assert.deepEqual([queuedTasks, queueCapacity, queueUsage], [100_000, Infinity, 100_000]);
  }),
);

test(
  'a full queue refuses with a QueueFullError, by default, and takes tasks again when there is room',
  managing({ workerCount: 1, maxQueueSize: 2 }, async (manager) => {
    const { release } = await hold(manager);
    const tasks = [manager.queueTask(() => 1), manager.queueTask(() => 2)];
    const error = await rejectionOf(manager.queueTask(() => assert.fail('it ran')));
    assert.ok(error instanceof QueueFullError);
    assert.equal(error.code, 'ERR_QUEUE_FULL');
    assert.match(error.message, /2 of 2/);
    assert.deepEqual(levels(manager), [2, 0, 2]);
    assert.equal(manager.stats().queueCapacity, 2);
    assert.deepEqual([manager.metrics().totalTasksArrived, manager.metrics().totalTasksRejected], [3, 1]);
    await release();
    assert.deepEqual(await Promise.all(tasks), [1, 2]);
    assert.equal(await manager.queueTask(() => 3), 3);
  }),
);

test(
  'running tasks take no room: a manager holds workers plus the bound',
  managing({ workerCount: 3, maxQueueSize: 2 }, async (manager) => {
    const until = new Deferred();
    const handles = Array.from({ length: 6 }, () => manager.queueTaskAsync(() => until.promise));
    assert.deepEqual(
      handles.map(({ state }) => state),
      ['running', 'running', 'running', 'queued', 'queued', 'rejected'],
    );
    until.resolve();
    await manager.onIdle();
  }),
);

test(
  "overflow 'wait' admits in the order of submission as room comes",
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const { release } = await hold(manager);
    const order: number[] = [];
    const tasks = Array.from({ length: 50 }, (_, i) => manager.queueTask(async () => void order.push(i)));
    assert.deepEqual(levels(manager), [1, 49, 1]);
    assert.equal(manager.metrics().totalTasksArrived, 2);
    await release();
    await Promise.all(tasks);
    assert.deepEqual(
      order,
      Array.from({ length: 50 }, (_, i) => i),
    );
    assert.equal(manager.metrics().totalTasksArrived, 51);
  }),
);

test(
  "overflow 'wait' admits the higher priority first, and setPriority moves who waits",
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const submit = (name: string, priority = 0) =>
      manager.queueTaskAsync(() => void order.push(name), { priority, id: name });
    const handles = [submit('queued', 9), submit('a'), submit('b'), submit('high', 1), submit('c'), submit('moved')];
    assert.equal(handles[5]!.setPriority(2), true);
    assert.equal(handles[1]!.setPriority(-1), true);
    assert.equal(handles[5]!.state, 'waiting');
    await release();
    await Promise.all(handles);
    assert.deepEqual(order, ['queued', 'moved', 'high', 'b', 'c', 'a']);
  }),
);

test(
  'who waits for room is admitted by priority and order, whatever the keys',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const submit = (name: string) => manager.queueTask(() => void order.push(name), { key: name[0] });
    const names = ['a1', 'a2', 'b1', 'a3', 'c1', 'b2', 'a4'];
    const tasks = names.map(submit);
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, names);
  }),
);

test(
  'who waits for room can be canceled: by handle, by signal, by filter',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    await hold(manager);
    const queued = manager.queueTaskAsync(() => {});
    const controller = new AbortController();
    const byHandle = manager.queueTaskAsync(() => assert.fail('it ran'));
    const bySignal = manager.queueTaskAsync(() => assert.fail('it ran'), { signal: controller.signal });
    const byFilter = manager.queueTaskAsync(() => assert.fail('it ran'), { key: 'k' });
    const plain = manager.queueTask(() => assert.fail('it ran'), { key: 'k' });
    const plainRejection = rejectionOf(plain);
    const last = manager.queueTaskAsync(() => 'last');
    assert.deepEqual(levels(manager), [1, 5, 1]);
    assert.equal(byHandle.cancel('no'), true);
    const reason = new Error('gone');
    controller.abort(reason);
    assert.equal(manager.cancel({ key: 'k' }), 2);
    assert.deepEqual(levels(manager), [1, 1, 1]);
    assert.ok((await rejectionOf(byHandle)) instanceof CanceledError);
    assert.equal(await rejectionOf(bySignal), reason);
    assert.ok((await rejectionOf(byFilter)) instanceof CanceledError);
    assert.ok((await plainRejection) instanceof CanceledError);
    assert.deepEqual(
      [byHandle, bySignal, byFilter, last].map(({ state }) => state),
      ['rejected', 'rejected', 'rejected', 'waiting'],
    );
    const { totalTasksRejected, totalTasksCanceled, totalTasksArrived } = manager.metrics();
    assert.deepEqual([totalTasksRejected, totalTasksCanceled, totalTasksArrived], [4, 0, 2]);
    queued.cancel();
    assert.equal(last.state, 'queued');
  }),
);

test(
  'queueTimeoutMs covers the wait for room and the queue together',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager, clock) => {
    const { release } = await hold(manager);
    const first = manager.queueTaskAsync(() => {});
    const waiting = manager.queueTaskAsync(() => {}, { queueTimeoutMs: 100 });
    const admitted = manager.queueTaskAsync(() => {}, { queueTimeoutMs: 200 });
    await clock.advance(99);
    assert.equal(waiting.state, 'waiting');
    await clock.advance(2);
    assert.equal(waiting.state, 'rejected');
    assert.ok((await rejectionOf(waiting)) instanceof DeadlineExceededError);
    first.cancel();
    assert.equal(admitted.state, 'queued');
    await clock.advance(98);
    assert.equal(admitted.state, 'queued');
    await clock.advance(2);
    assert.equal(admitted.state, 'timedOut');
    assert.ok((await rejectionOf(admitted)) instanceof DeadlineExceededError);
    await release();
  }),
);

test('stop and kill refuse who waits for room, and finish or cancel who is queued', async () => {
  for (const way of ['stop', 'kill'] as const) {
    await managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager, clock) => {
      const { release } = await hold(manager);
      const queued = manager.queueTaskAsync(() => 'queued');
      const waiting = [manager.queueTaskAsync(() => {}), manager.queueTaskAsync(() => {})];
      const ended = way === 'stop' ? manager.stop() : manager.kill();
      for (const handle of waiting) {
        assert.equal(handle.state, 'rejected');
        assert.ok((await rejectionOf(handle)) instanceof ShutdownError);
      }
      assert.equal(manager.metrics().totalTasksRejected, 2);
      if (way === 'stop') {
        await release();
        assert.equal(await queued, 'queued');
      } else assert.ok((await rejectionOf(queued)) instanceof ShutdownError);
      await end(manager, clock);
      await ended;
    })();
  }
});

test(
  "overflow 'drop-oldest' drops the oldest of the lowest level",
  managing({ workerCount: 1, maxQueueSize: 3, overflow: 'drop-oldest' }, async (manager) => {
    const { release } = await hold(manager);
    const submit = (name: string, priority: number) => manager.queueTaskAsync(() => name, { priority, id: name });
    const handles = {
      high: submit('high', 5),
      old: submit('old', 1),
      young: submit('young', 1),
      first: submit('first', 1),
      second: submit('second', 9),
    };
    const states = Object.entries(handles).map(([name, { state }]) => `${name} ${state}`);
    assert.deepEqual(states, ['high queued', 'old dropped', 'young dropped', 'first queued', 'second queued']);
    const error = await rejectionOf(handles.old);
    assert.ok(error instanceof QueueFullError);
    assert.deepEqual(levels(manager), [3, 0, 3]);
    assert.deepEqual([manager.metrics().totalTasksDropped, manager.metrics().totalTasksRejected], [2, 0]);
    await release();
    assert.deepEqual(await Promise.all([handles.high, handles.first, handles.second]), ['high', 'first', 'second']);
  }),
);

test(
  "overflow 'drop-lowest' drops the newest of the lowest level, the coming task included",
  managing({ workerCount: 1, maxQueueSize: 3, overflow: 'drop-lowest' }, async (manager) => {
    const { release } = await hold(manager);
    const submit = (name: string, priority: number) => manager.queueTaskAsync(() => name, { priority, id: name });
    const handles = {
      high: submit('high', 5),
      old: submit('old', 1),
      young: submit('young', 1),
      same: submit('same', 1),
      lower: submit('lower', 0),
      higher: submit('higher', 2),
      highest: submit('highest', 9),
    };
    const states = Object.entries(handles).map(([name, { state }]) => `${name} ${state}`);
    assert.deepEqual(states, [
      'high queued',
      'old dropped',
      'young dropped',
      'same rejected',
      'lower rejected',
      'higher queued',
      'highest queued',
    ]);
    assert.deepEqual([manager.metrics().totalTasksDropped, manager.metrics().totalTasksRejected], [2, 2]);
    for (const name of ['young', 'same'] as const) {
      assert.ok((await rejectionOf(handles[name])) instanceof QueueFullError);
    }
    await release();
    assert.deepEqual(await Promise.all([handles.highest, handles.high, handles.higher]), ['highest', 'high', 'higher']);
  }),
);

test(
  'what is dropped never ran, and what runs is never dropped',
  managing({ workerCount: 2, maxQueueSize: 1, overflow: 'drop-oldest' }, async (manager) => {
    const until = new Deferred();
    const running = [manager.queueTaskAsync(() => until.promise), manager.queueTaskAsync(() => until.promise)];
    for (let i = 0; i < 10; i++) manager.queueTaskAsync(() => assert.equal(i, 9), { priority: 100 });
    assert.deepEqual(
      running.map(({ state }) => state),
      ['running', 'running'],
    );
    assert.equal(manager.metrics().totalTasksDropped, 9);
    until.resolve();
    await manager.onIdle();
    assert.equal(manager.metrics().totalTasksCompleted, 3);
  }),
);

test(
  'dropping looks at the level a task is in now, and at who is still there',
  managing({ workerCount: 1, maxQueueSize: 3, overflow: 'drop-lowest' }, async (manager) => {
    const { release } = await hold(manager);
    const [a, b, c] = ['a', 'b', 'c'].map((id) => manager.queueTaskAsync(() => id, { id, priority: 1 }));
    manager.queueTaskAsync(() => {}); // the first to be refused builds what dropping needs
    a!.setPriority(0);
    const d = manager.queueTaskAsync(() => 'd', { priority: 1 });
    assert.deepEqual([a!.state, d.state], ['dropped', 'queued']);
    d.cancel();
    const e = manager.queueTaskAsync(() => 'e', { priority: 1 });
    c!.setPriority(7);
    const f = manager.queueTaskAsync(() => 'f', { priority: 2 });
    assert.deepEqual([b!.state, c!.state, e.state, f.state], ['queued', 'queued', 'dropped', 'queued']);
    const g = manager.queueTaskAsync(() => 'g', { priority: 2 });
    assert.deepEqual([b!.state, g.state], ['dropped', 'queued']);
    await release();
    assert.deepEqual(await Promise.all([c, f, g]), ['c', 'f', 'g']);
  }),
);

test(
  'a submission may choose its own overflow policy',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const first = manager.queueTaskAsync(() => 'first');
    const waiting = manager.queueTaskAsync(() => 'waiting', { overflow: 'wait' });
    const refused = manager.queueTaskAsync(() => 'refused');
    const dropping = manager.queueTaskAsync(() => 'dropping', { overflow: 'drop-oldest' });
    assert.deepEqual(
      [first, waiting, refused, dropping].map(({ state }) => state),
      ['dropped', 'waiting', 'rejected', 'queued'],
    );
    assert.deepEqual(levels(manager), [1, 1, 1]);
    await release();
    assert.deepEqual(await Promise.all([dropping, waiting]), ['dropping', 'waiting']);
  }),
);

test(
  'dropping for another task never shows an empty or a drained queue, and never breaks the bound',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'drop-oldest' }, async (manager) => {
    const { release } = await hold(manager);
    manager.queueTaskAsync(() => {});
    const events: string[] = [];
    let refills = 0;
    // Whoever refills an empty queue must not push it over its bound.
    const refill = (): void => {
      if (refills++ < 3) manager.queueTaskAsync(() => {}, { overflow: 'reject' });
    };
    manager.on('empty', () => {
      events.push('empty');
      refill();
    });
    manager.on('drain', () => {
      events.push('drain');
      refill();
    });
    for (let i = 0; i < 5; i++) {
      manager.queueTaskAsync(() => {});
      assert.deepEqual(levels(manager), [1, 0, 1]);
    }
    assert.deepEqual(events, []);
    await release();
    await manager.onIdle();
  }),
);

test(
  'a retry keeps its place without room, and a full queue refuses it never',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager) => {
    const until = new Deferred();
    const failing = manager.queueTaskAsync(
      async ({ attempt }) => {
        if (attempt > 1) return 'second time';
        await until.promise;
        throw new Error('again');
      },
      { retry: { attempts: 2, baseMs: 0 } },
    );
    manager.pause();
    const queued = manager.queueTaskAsync(() => 'queued');
    until.resolve();
    while (failing.state === 'running') await turn();
    assert.deepEqual(levels(manager), [2, 0, 1]);
    assert.ok((await rejectionOf(manager.queueTask(() => {}))) instanceof QueueFullError);
    manager.resume();
    assert.deepEqual(await Promise.all([failing, queued]), ['second time', 'queued']);
  }),
);

test(
  'a retry and a child are never dropped',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'drop-oldest' }, async (manager) => {
    const until = new Deferred();
    const failing = manager.queueTaskAsync(
      async ({ attempt }) => {
        if (attempt > 1) return 'second time';
        await until.promise;
        throw new Error('again');
      },
      { retry: { attempts: 2, baseMs: 0 }, priority: -9 },
    );
    manager.pause();
    until.resolve();
    while (failing.state === 'running') await turn();
    const first = manager.queueTaskAsync(() => 'first');
    const second = manager.queueTaskAsync(() => 'second');
    assert.deepEqual([failing.state, first.state, second.state], ['queued', 'dropped', 'queued']);
    manager.resume();
    assert.deepEqual(await Promise.all([failing, second]), ['second time', 'second']);
  }),
);

test(
  'with maxQueueSize 0 a place exists only when a worker is idle',
  managing({ workerCount: 2, maxQueueSize: 0 }, async (manager) => {
    const until = new Deferred();
    const handles = Array.from({ length: 3 }, () => manager.queueTaskAsync(() => until.promise));
    assert.deepEqual(
      handles.map(({ state }) => state),
      ['running', 'running', 'rejected'],
    );
    assert.equal(
      manager.tryQueueTask(() => {}),
      undefined,
    );
    until.resolve();
    await manager.onIdle();
    assert.equal(await manager.queueTask(() => 'again'), 'again');
    assert.equal(manager.stats().queueCapacity, 0);
  }),
);

test(
  'with maxQueueSize 0 and overflow wait, submitters meet workers one by one, in order',
  managing({ workerCount: 2, maxQueueSize: 0, overflow: 'wait' }, async (manager) => {
    const order: number[] = [];
    let alive = 0;
    let most = 0;
    const tasks = Array.from({ length: 500 }, (_, i) =>
      manager.queueTask(async () => {
        order.push(i);
        most = Math.max(most, ++alive);
        assert.equal(manager.stats().queuedTasks, 0);
        if (i % 7 === 0) await turn();
        alive--;
      }),
    );
    assert.equal(manager.stats().waitingForRoom, 498);
    await Promise.all(tasks);
    assert.deepEqual(
      order,
      Array.from({ length: 500 }, (_, i) => i),
    );
    assert.equal(most, 2);
  }),
);

test(
  'with maxQueueSize 0 and overflow wait, a pause keeps everybody waiting and its end lets them in',
  managing({ workerCount: 1, maxQueueSize: 0, overflow: 'wait' }, async (manager) => {
    manager.pause();
    const tasks = ['a', 'b'].map((name) => manager.queueTask(() => name));
    assert.deepEqual(levels(manager), [0, 2, 0]);
    manager.resume();
    assert.deepEqual(await Promise.all(tasks), ['a', 'b']);
  }),
);

test(
  'with maxQueueSize 0 and overflow wait, a new worker takes who waits',
  managing({ workerCount: 1, maxWorkerCount: 4, maxQueueSize: 0, overflow: 'wait' }, async (manager) => {
    await hold(manager);
    const task = manager.queueTask(() => 'met');
    assert.equal(await stateOf(task), 'pending');
    manager.resize({ workerCount: 2 });
    assert.equal(await task, 'met');
  }),
);

test(
  'with maxQueueSize 0 and concurrencyPerKey, a keyed task starts when its key and a worker are free',
  managing({ workerCount: 2, maxQueueSize: 0, concurrencyPerKey: 1 }, async (manager) => {
    const until = new Deferred();
    const first = manager.queueTaskAsync(() => until.promise, { key: 'a' });
    assert.equal(first.state, 'running');
    assert.ok((await rejectionOf(manager.queueTask(() => {}, { key: 'a' }))) instanceof QueueFullError);
    const waiting = manager.queueTaskAsync(() => 'a again', { key: 'a', overflow: 'wait' });
    assert.equal(waiting.state, 'waiting');
    until.resolve();
    assert.equal(await waiting, 'a again');
    assert.equal(await manager.queueTask(() => 'b', { key: 'b' }), 'b');
  }),
);

test(
  'keys at their cap do not lead those who wait past the bound',
  managing({ workerCount: 2, maxQueueSize: 1, overflow: 'wait', concurrencyPerKey: 1 }, async (manager) => {
    const until = new Deferred();
    const handles = Array.from({ length: 4 }, () => manager.queueTaskAsync(() => until.promise, { key: 'a' }));
    assert.deepEqual(levels(manager), [1, 2, 1]);
    // A worker comes free and finds nothing it may start.
    manager.recycle();
    assert.deepEqual(levels(manager), [1, 2, 1]);
    until.resolve();
    await Promise.all(handles);
  }),
);

test(
  'the manager is not idle while somebody waits for room',
  managing({ workerCount: 1, maxQueueSize: 0, overflow: 'wait' }, async (manager) => {
    let idles = 0;
    manager.on('idle', () => idles++);
    const order: string[] = [];
    const tasks = ['a', 'b', 'c'].map((name) => manager.queueTask(async () => void order.push(name)));
    await manager.onIdle();
    assert.deepEqual(order, ['a', 'b', 'c']);
    assert.equal(idles, 1);
    await Promise.all(tasks);
    manager.pause();
    const waiting = manager.queueTaskAsync(() => {});
    const idle = manager.onIdle();
    assert.equal(await stateOf(idle), 'pending');
    waiting.cancel();
    await idle;
    assert.equal(idles, 2);
  }),
);

test('with maxQueueSize 0 the dropping policies refuse, as there is nothing to drop', async () => {
  for (const overflow of ['drop-oldest', 'drop-lowest'] as const) {
    await managing({ workerCount: 1, maxQueueSize: 0, overflow }, async (manager) => {
      await hold(manager);
      assert.ok((await rejectionOf(manager.queueTask(() => {}, { priority: 9 }))) instanceof QueueFullError);
      assert.deepEqual([manager.metrics().totalTasksDropped, manager.metrics().totalTasksRejected], [0, 1]);
    })();
  }
});

test(
  'full and drain are told on the edges, and once each',
  managing({ workerCount: 1, maxQueueSize: 2 }, async (manager) => {
    const events: string[] = [];
    manager.on('full', () => events.push(`full at ${manager.stats().queueUsage}`));
    manager.on('drain', () => events.push(`drain at ${manager.stats().queueUsage}`));
    const { release } = await hold(manager);
    const one = manager.queueTaskAsync(() => {});
    assert.deepEqual(events, []);
    const two = manager.queueTaskAsync(() => {});
    assert.deepEqual(events, ['full at 2']);
    manager.queueTaskAsync(() => {});
    assert.deepEqual(events, ['full at 2']);
    one.cancel();
    assert.deepEqual(events, ['full at 2', 'drain at 1']);
    two.cancel();
    manager.queueTaskAsync(() => {});
    manager.queueTaskAsync(() => {});
    await release();
    await manager.onIdle();
    assert.deepEqual(events, ['full at 2', 'drain at 1', 'full at 2', 'drain at 1']);
  }),
);

test(
  'drain is not told while those who wait for room fill it up again',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    let drains = 0;
    manager.on('drain', () => drains++);
    const { release } = await hold(manager);
    const tasks = Array.from({ length: 10 }, () => manager.queueTask(async () => drains));
    await release();
    // The last one to be admitted leaves the queue when it starts.
    assert.deepEqual(await Promise.all(tasks), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  }),
);

test(
  'a producer that listens to full and drain never overfills',
  managing({ workerCount: 2, maxQueueSize: 4 }, async (manager) => {
    let full = false;
    manager.on('full', () => {
      full = true;
    });
    manager.on('drain', () => {
      full = false;
    });
    let done = 0;
    for (let i = 0; i < 200; i++) {
      if (full) await once(manager as never, 'drain');
      manager.go(async () => {
        await turn();
        done++;
      });
    }
    await manager.onIdle();
    assert.equal(done, 200);
    assert.equal(manager.metrics().totalTasksRejected, 0);
  }),
);

test(
  'onSizeLessThan resolves when fewer are queued, and at once if so already',
  managing({ workerCount: 1 }, async (manager) => {
    await manager.onSizeLessThan(1);
    await hold(manager);
    const handles = Array.from({ length: 5 }, () => manager.queueTaskAsync(() => {}));
    await manager.onSizeLessThan(6);
    const three = manager.onSizeLessThan(3);
    const one = manager.onSizeLessThan(1);
    handles[0]!.cancel();
    handles[1]!.cancel();
    assert.equal(await stateOf(three), 'pending');
    handles[2]!.cancel();
    await three;
    assert.equal(await stateOf(one), 'pending');
    manager.clear();
    await one;
  }),
);

test(
  'onEmpty resolves when nothing is queued, though something runs',
  managing({ workerCount: 1 }, async (manager) => {
    await manager.onEmpty();
    const { release } = await hold(manager);
    await manager.onEmpty();
    const until = new Deferred();
    const task = manager.queueTask(() => until.promise);
    const empty = manager.onEmpty();
    assert.equal(await stateOf(empty), 'pending');
    await release();
    await empty;
    assert.equal(manager.stats().runningTasks, 1);
    until.resolve();
    await task;
  }),
);

test(
  'onIdle resolves when nothing is queued and nothing runs',
  managing({ workerCount: 2 }, async (manager) => {
    await manager.onIdle();
    const until = new Deferred();
    const tasks = Array.from({ length: 3 }, () => manager.queueTask(() => until.promise));
    const idle = manager.onIdle();
    assert.equal(await stateOf(idle), 'pending');
    until.resolve();
    await idle;
    const { queuedTasks, runningTasks } = manager.stats();
    assert.deepEqual([queuedTasks, runningTasks], [0, 0]);
    await Promise.all(tasks);
  }),
);

test(
  'onIdle waits for a retry, a runTask and those who wait for room',
  managing({ workerCount: 1, maxQueueSize: 0, overflow: 'wait' }, async (manager, clock) => {
    const order: string[] = [];
    manager.queueTaskAsync(
      async ({ attempt }) => {
        if (attempt === 1) throw new Error('again');
        order.push('retried');
      },
      { retry: { attempts: 2, baseMs: 100 } },
    );
    manager.queueTaskAsync(() => void order.push('waited'));
    const until = new Deferred();
    const past = manager.runTask(() => until.promise).then(() => order.push('past'));
    const idle = manager.onIdle().then(() => order.push('idle'));
    await clock.advance(200);
    until.resolve();
    await past;
    await idle;
    assert.deepEqual(order, ['waited', 'retried', 'past', 'idle']);
  }),
);

test(
  'the waiting methods take a signal, and leave no listener on it',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    manager.queueTaskAsync(() => {});
    const waits = [
      (signal: AbortSignal) => manager.onIdle({ signal }),
      (signal: AbortSignal) => manager.onEmpty({ signal }),
      (signal: AbortSignal) => manager.onSizeLessThan(1, { signal }),
    ];
    const reason = new Error('waited long enough');
    for (const wait of waits) {
      const controller = new AbortController();
      const waiting = rejectionOf(wait(controller.signal));
      controller.abort(reason);
      assert.equal(await waiting, reason);
      assert.equal(await rejectionOf(wait(AbortSignal.abort(reason))), reason);
    }
    const { signal } = new AbortController();
    const empty = manager.onEmpty({ signal });
    const short = manager.onSizeLessThan(1, { signal });
    manager.clear();
    await Promise.all([empty, short]); // withLeakCheck looks for the listeners
  }),
);

test(
  'the events idle and empty are told on the edges',
  managing({ workerCount: 1 }, async (manager) => {
    const events: string[] = [];
    manager.on('empty', () => events.push('empty'));
    manager.on('idle', () => events.push('idle'));
    const { release } = await hold(manager);
    const tasks = [manager.queueTask(async () => {}), manager.queueTask(async () => {})];
    assert.deepEqual(events, []);
    await release();
    await Promise.all(tasks);
    assert.deepEqual(events, ['empty', 'idle']);
  }),
);

test(
  'an endless source behind onSizeLessThan keeps the queue short',
  managing({ workerCount: 2 }, async (manager) => {
    let most = 0;
    let done = 0;
    for (let i = 0; i < 1_000; i++) {
      await manager.onSizeLessThan(10);
      manager.go(async () => {
        if (i % 10 === 0) await turn();
        done++;
      });
      most = Math.max(most, manager.stats().queuedTasks);
    }
    await manager.onIdle();
    assert.equal(done, 1_000);
    assert.equal(most, 10);
  }),
);

test(
  'a bounded queue of many ready tasks keeps its bound while the event loop has its turns',
  managing({ workerCount: 2, maxQueueSize: 8, overflow: 'wait', yieldAfter: { tasks: 5 } }, async (manager) => {
    let most = 0;
    const tasks = Array.from({ length: 1_000 }, (_, i) =>
      manager.queueTask(async () => {
        most = Math.max(most, manager.stats().queueUsage);
        return i;
      }),
    );
    const values = await Promise.all(tasks);
    assert.equal(values.length, 1_000);
    assert.ok(most >= 7 && most <= 10, `${most} places taken of 8, and 2 for workers that wait for their turn`);
  }),
);

test('a listener may cancel the very task whose start it hears of, and its worker goes on', async () => {
  for (const asyncContext of [true, false]) {
    for (const event of ['empty', 'drain'] as const) {
      await managing({ workerCount: 1, maxQueueSize: 1, asyncContext }, async (manager) => {
        manager.once(event, () => manager.cancel({ key: 'k' }));
        const { release } = await hold(manager);
        const submissions = [
          () => manager.queueTask(() => assert.fail('it ran'), { key: 'k' }),
          () => manager.queueTaskAsync(() => assert.fail('it ran'), { key: 'k' }),
        ];
        const canceled = rejectionOf(submissions[Number(event === 'empty')]!());
        await release();
        assert.ok((await canceled) instanceof CanceledError);
        assert.equal(await manager.queueTask(() => 'goes on'), 'goes on');
        assert.deepEqual([manager.stats().stuckWorkers, manager.stats().idleWorkers], [0, 1]);
      })();
    }
  }
});

test(
  'a listener to drain may fill the queue up again at once',
  managing({ workerCount: 2, maxQueueSize: 4 }, async (manager) => {
    let submitted = 0;
    let done = 0;
    let most = 0;
    const fill = (): void => {
      while (
        submitted < 500 &&
        manager.tryQueueTask(async () => {
          most = Math.max(most, manager.stats().queueUsage);
          if (submitted % 3 === 0) await turn();
          done++;
        }) !== undefined
      ) {
        submitted++;
      }
    };
    manager.on('drain', fill);
    fill();
    while (done < 500) await turn();
    assert.equal(manager.metrics().totalTasksCompleted, 500);
    assert.ok(most <= 4 + 2, `${most} places taken`);
  }),
);

test(
  'who is refused, or gives up waiting, leaves no listener on the signal',
  // withLeakCheck looks for them.
  managing({ workerCount: 1, maxQueueSize: 1, resourcePoolSize: 0, maxTemporary: 0 }, async (manager, clock) => {
    await hold(manager);
    manager.queueTaskAsync(() => {});
    const signals = Array.from({ length: 6 }, () => new AbortController().signal);
    const [full, plainFull, canceled, timedOut, noResource, killed] = signals;
    assert.equal(manager.queueTaskAsync(() => {}, { signal: full }).state, 'rejected');
    await rejectionOf(manager.queueTask(() => {}, { signal: plainFull }));
    manager.queueTaskAsync(() => {}, { signal: canceled, overflow: 'wait' }).cancel();
    const late = manager.queueTaskAsync(() => {}, { signal: timedOut, overflow: 'wait', queueTimeoutMs: 5 });
    await clock.advance(6);
    assert.equal(late.state, 'rejected');
    await rejectionOf(manager.runTask(() => {}, { signal: noResource }));
    const waiting = manager.queueTaskAsync(() => {}, { signal: killed, overflow: 'wait' });
    await end(manager, clock);
    assert.equal(waiting.state, 'rejected');
  }),
);
