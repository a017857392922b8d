import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CanceledError, type TaskManager, type TaskOptions } from '../../src/index.ts';
import { Deferred, hold, managing, rejectionOf, turn } from './support.ts';

/** Queues a task that notes its name when it runs. */
function noting(manager: TaskManager, order: string[]) {
  return (name: string, options?: TaskOptions) => manager.queueTask(() => void order.push(name), { ...options });
}

test(
  'tasks of one priority run first in, first out',
  managing({ workerCount: 1 }, async (manager) => {
    const order: number[] = [];
    const tasks = Array.from({ length: 1_000 }, (_, i) => manager.queueTask(async () => void order.push(i)));
    await Promise.all(tasks);
    assert.deepEqual(
      order,
      Array.from({ length: 1_000 }, (_, i) => i),
    );
  }),
);

test(
  'a higher priority goes first, any finite number, then the order of submission',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const queue = noting(manager, order);
    const tasks = [
      queue('0a'),
      queue('-1', { priority: -1 }),
      queue('1.5', { priority: 1.5 }),
      queue('0b', { priority: 0 }),
      queue('big', { priority: Number.MAX_SAFE_INTEGER }),
      queue('small', { priority: -Number.MAX_VALUE }),
      queue('1.5 again', { priority: 1.5 }),
      manager.queueTaskWithPriority(() => void order.push('1')),
    ];
    assert.equal(manager.stats().priorityTasks, 4);
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['big', '1.5', '1.5 again', '1', '0a', '0b', '-1', 'small']);
  }),
);

test(
  'priority -0 is priority 0',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const queue = noting(manager, order);
    const tasks = [queue('a'), queue('b', { priority: -0 }), queue('c')];
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['a', 'b', 'c']);
  }),
);

test(
  'with ageing a waiting task rises one level per agingMs, and overtakes what came later',
  managing({ workerCount: 1, agingMs: 100 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const queue = noting(manager, order);
    const tasks = [queue('old, 0')];
    await clock.advance(150);
    tasks.push(
      queue('new, 1', { priority: 1 }),
      queue('new, 2', { priority: 2 }),
      queue('new, 1.4', { priority: 1.4 }),
    );
    await clock.advance(1_000);
    tasks.push(queue('newest, 5', { priority: 5 }), queue('newest, 20', { priority: 20 }));
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['newest, 20', 'new, 2', 'old, 0', 'new, 1.4', 'new, 1', 'newest, 5']);
  }),
);

test(
  'without ageing nothing overtakes, however long it waits',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const queue = noting(manager, order);
    const tasks = [queue('old, 0')];
    await clock.advance(1_000_000);
    tasks.push(queue('new, 0.1', { priority: 0.1 }));
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['new, 0.1', 'old, 0']);
  }),
);

test(
  'with ageing nothing waits for ever behind a stream of higher priorities',
  managing({ workerCount: 1, agingMs: 10 }, async (manager, clock) => {
    let done = false;
    let steps = 0;
    let busy = new Deferred();
    const feed = (): void => {
      const until = busy;
      manager.queueTaskAsync(() => until.promise, { priority: 9 });
    };
    feed();
    manager.queueTaskAsync(() => {
      done = true;
    });
    // One of high priority always waits when the worker comes free.
    while (!done && steps < 1_000) {
      steps++;
      await clock.advance(1);
      const last = busy;
      busy = new Deferred();
      feed();
      last.resolve();
      await turn();
    }
    // Nine levels of ten ms each.
    assert.ok(done && steps >= 85 && steps <= 95, `${steps} steps`);
    busy.resolve();
    await manager.onIdle();
  }),
);

test(
  'keys take turns, so that a crowd of one does not stand before another’s one',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const queue = noting(manager, order);
    const tasks: Promise<void>[] = [];
    for (let i = 0; i < 100; i++) tasks.push(queue(`crowd ${i}`, { key: 'crowd' }));
    tasks.push(queue('one', { key: 'one' }), queue('no key'));
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order.slice(0, 5), ['crowd 0', 'one', 'no key', 'crowd 1', 'crowd 2']);
    assert.equal(order.length, 102);
  }),
);

test(
  'a priority goes before a key’s turn',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const queue = noting(manager, order);
    const tasks = ['a1', 'a2', 'b1'].map((name) => queue(name, { key: name[0] }));
    tasks.push(queue('a high', { key: 'a', priority: 1 }));
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['a high', 'a1', 'b1', 'a2']);
  }),
);

test(
  'concurrencyPerKey caps how many of a key run, and others pass by',
  managing({ workerCount: 4, concurrencyPerKey: 2 }, async (manager) => {
    const running = { a: 0, b: 0 };
    const most = { a: 0, b: 0 };
    const task = (key: 'a' | 'b') => async (): Promise<void> => {
      most[key] = Math.max(most[key], ++running[key]);
      await turn();
      running[key]--;
    };
    const tasks = Array.from({ length: 20 }, () => manager.queueTask(task('a'), { key: 'a' }));
    tasks.push(...Array.from({ length: 20 }, () => manager.queueTask(task('b'), { key: 'b' })));
    await Promise.all(tasks);
    assert.deepEqual(most, { a: 2, b: 2 });
  }),
);

test(
  'a key at its cap leaves workers idle rather than break it, and keeps nobody else waiting',
  managing({ workerCount: 3, concurrencyPerKey: 1 }, async (manager) => {
    const until = new Deferred();
    const first = manager.queueTask(() => until.promise, { key: 'a' });
    const second = manager.queueTaskAsync(() => {}, { key: 'a' });
    assert.equal(second.state, 'queued');
    assert.equal(manager.stats().idleWorkers, 2);
    assert.equal(await manager.queueTask(() => 'no key'), 'no key');
    assert.equal(await manager.queueTask(() => 'b', { key: 'b' }), 'b');
    assert.equal(second.state, 'queued');
    until.resolve();
    await Promise.all([first, second]);
  }),
);

test(
  'the cap of a key counts functions that are alive, not tasks that are settled',
  managing({ workerCount: 2, concurrencyPerKey: 1 }, async (manager, clock) => {
    const until = new Deferred();
    const first = rejectionOf(manager.queueTaskWithTimeout(() => until.promise, 10, { key: 'a' }));
    const second = manager.queueTaskAsync(() => 'second', { key: 'a' });
    await clock.advance(20);
    await first;
    assert.equal(second.state, 'queued');
    until.resolve();
    assert.equal(await second, 'second');
  }),
);

test(
  'a canceled head of a capped key makes way for the key’s lower levels',
  managing({ workerCount: 2, concurrencyPerKey: 1 }, async (manager) => {
    const until = new Deferred();
    const running = manager.queueTask(() => until.promise, { key: 'a' });
    const high = manager.queueTaskAsync(() => assert.fail('it ran'), { key: 'a', priority: 1 });
    const low = manager.queueTaskAsync(() => 'low', { key: 'a' });
    assert.equal(await manager.queueTask(() => 'passes by'), 'passes by');
    manager.pause();
    until.resolve();
    await running;
    high.cancel();
    manager.resume();
    assert.equal(await low, 'low');
  }),
);

test(
  'a retry keeps the place of its submission: behind what is higher, before what came later',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const order: string[] = [];
    const failing = manager.queueTask(
      async ({ attempt }) => {
        order.push(`first, ${attempt}`);
        if (attempt === 1) throw new Error('again');
      },
      { retry: { attempts: 2, baseMs: 50, backoff: 'constant' } },
    );
    await clock.advance(10);
    const { release } = await hold(manager);
    const queue = noting(manager, order);
    const tasks = [failing, queue('second'), queue('third'), queue('high', { priority: 1 })];
    await clock.advance(100);
    await release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['first, 1', 'high', 'first, 2', 'second', 'third']);
  }),
);

test(
  'a retry keeps its priority, be it given or changed',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const submit = (name: string, priority: number) =>
      manager.queueTaskAsync(
        async (ctx) => {
          order.push(`${name} ${ctx.attempt} at ${ctx.priority}`);
          if (ctx.attempt === 1) throw new Error('again');
        },
        { priority, retry: { attempts: 2, baseMs: 0 } },
      );
    const handles = [submit('low', 0), submit('given', 2), submit('changed', 0)];
    handles[2]!.setPriority(1);
    await release();
    await Promise.all(handles);
    assert.deepEqual(order, [
      'given 1 at 2',
      'given 2 at 2',
      'changed 1 at 1',
      'changed 2 at 1',
      'low 1 at 0',
      'low 2 at 0',
    ]);
  }),
);

test(
  'retries of several tasks keep the order of their submissions, whatever the order of their failures',
  managing({ workerCount: 2 }, async (manager, clock) => {
    const order: string[] = [];
    const gates = { a: new Deferred(), b: new Deferred() };
    const task = (name: 'a' | 'b'): Promise<void> =>
      manager.queueTask(
        async ({ attempt }) => {
          order.push(`${name}${attempt}`);
          if (attempt > 1) return;
          await gates[name].promise;
          throw new Error('again');
        },
        { retry: { attempts: 2, baseMs: 10, backoff: 'constant' } },
      );
    const tasks = [task('a'), task('b')];
    gates.b.resolve();
    await clock.advance(1);
    gates.a.resolve();
    await clock.advance(1);
    const held = await hold(manager, 2);
    tasks.push(noting(manager, order)('c'));
    await clock.advance(100);
    await held.release();
    await Promise.all(tasks);
    assert.deepEqual(order, ['a1', 'b1', 'a2', 'b2', 'c']);
  }),
);

test(
  'setPriority between two attempts holds for the next one',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const order: string[] = [];
    const failing = manager.queueTaskAsync(
      async ({ attempt, priority }) => {
        order.push(`failing ${attempt} at ${priority}`);
        if (attempt === 1) throw new Error('again');
      },
      { retry: { attempts: 2, baseMs: 50, backoff: 'constant' } },
    );
    await clock.advance(10);
    assert.equal(failing.state, 'queued');
    assert.equal(failing.setPriority(-3), true);
    const { release } = await hold(manager);
    const other = noting(manager, order)('other');
    await clock.advance(100);
    await release();
    await Promise.all([failing, other]);
    assert.deepEqual(order, ['failing 1 at 0', 'other', 'failing 2 at -3']);
  }),
);

test(
  'setPriority of a keyed task keeps its key',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const handles = ['a1', 'a2', 'b1'].map((name) =>
      manager.queueTaskAsync(() => void order.push(name), { key: name[0], id: name }),
    );
    for (const handle of handles) handle.setPriority(2);
    assert.deepEqual(
      manager.tasks({ priority: 2 }).map(({ key }) => key),
      ['a', 'a', 'b'],
    );
    await release();
    await Promise.all(handles);
    assert.deepEqual(order, ['a1', 'b1', 'a2']);
  }),
);

test(
  'cancel by filter ends what matches, waiting, queued or running, and says how many',
  managing({ workerCount: 1, maxQueueSize: 2, overflow: 'wait' }, async (manager) => {
    const until = new Deferred();
    const running = manager.queueTaskAsync(() => until.promise, { key: 'x', id: 'running' });
    const queued = manager.queueTaskAsync(() => {}, { key: 'x', id: 'queued' });
    const other = manager.queueTaskAsync(() => 'other', { key: 'y' });
    const waiting = manager.queueTaskAsync(() => {}, { key: 'x', id: 'waiting' });
    assert.deepEqual([running.state, queued.state, waiting.state], ['running', 'queued', 'waiting']);
    assert.equal(manager.cancel({ key: 'z' }), 0);
    assert.equal(manager.cancel({ key: 'x', state: 'queued' }, 'first'), 1);
    assert.equal(manager.cancel({ key: 'x' }, 'then all'), 2);
    assert.equal(manager.cancel({ key: 'x' }), 0);
    const errors = (await Promise.all([queued, running, waiting].map(rejectionOf))) as CanceledError[];
    assert.deepEqual(
      errors.map(({ cause }) => cause),
      ['first', 'then all', 'then all'],
    );
    assert.equal(errors[1], errors[2], 'ending many at once shares one error');
    until.resolve();
    assert.equal(await other, 'other');
  }),
);

test(
  'cancel takes a predicate over snapshots, and an id',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const handles = [1, 2, 3, 4].map((priority) => manager.queueTaskAsync(() => {}, { priority, id: `p${priority}` }));
    assert.equal(
      manager.cancel(({ priority, state }) => state === 'queued' && priority > 2),
      2,
    );
    assert.equal(manager.cancel({ id: 'p1' }), 1);
    assert.deepEqual(
      handles.map(({ state }) => state),
      ['canceled', 'queued', 'canceled', 'canceled'],
    );
    manager.clear();
  }),
);

test(
  'clear cancels what is queued and refuses who waits; what runs goes on',
  managing({ workerCount: 1, maxQueueSize: 2, overflow: 'wait' }, async (manager) => {
    const { release } = await hold(manager);
    const handles = Array.from({ length: 5 }, () => manager.queueTaskAsync(() => assert.fail('it ran')));
    assert.deepEqual([manager.stats().queuedTasks, manager.stats().waitingForRoom], [2, 3]);
    assert.equal(manager.clear('swept'), 5);
    const errors = (await Promise.all(handles.map(rejectionOf))) as CanceledError[];
    for (const error of errors) {
      assert.ok(error instanceof CanceledError);
      assert.equal(error.cause, 'swept');
      assert.equal(error, errors[0]);
    }
    const { queuedTasks, runningTasks, waitingForRoom } = manager.stats();
    assert.deepEqual([queuedTasks, runningTasks, waitingForRoom], [0, 1, 0]);
    const { totalTasksCanceled, totalTasksRejected } = manager.metrics();
    assert.deepEqual([totalTasksCanceled, totalTasksRejected], [2, 3]);
    await release();
    assert.equal(await manager.queueTask(() => 'after'), 'after');
  }),
);

test(
  'clear cancels what waits for its next attempt as well',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const handle = manager.queueTaskAsync(() => Promise.reject(new Error('boom')), {
      retry: { attempts: 3, baseMs: 1_000 },
    });
    await clock.advance(10);
    assert.equal(handle.state, 'queued');
    assert.equal(manager.clear(), 1);
    assert.ok((await rejectionOf(handle)) instanceof CanceledError);
    await clock.advance(10_000);
    assert.equal(manager.metrics().totalTasksRetried, 1);
  }),
);

test(
  'fifty thousand queued tasks under one signal are canceled in any order, with one listener on it',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const { addEventListener } = signal;
    signal.addEventListener = ((...args: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(signal, args);
    }) as typeof addEventListener;
    const handles = Array.from({ length: 50_000 }, () => manager.queueTaskAsync(() => {}, { signal }));
    assert.equal(listeners, 1);
    for (let i = 0; i < handles.length; i += 2) handles[(i * 7_919) % handles.length]!.cancel();
    const left = manager.stats().queuedTasks;
    assert.ok(left < 50_000 && left > 0);
    controller.abort(new Error('all of you'));
    assert.equal(manager.stats().queuedTasks, 0);
    assert.ok(handles.every(({ state }) => state === 'canceled'));
  }),
);

test(
  'a signal that has ended its tasks can be used by none after, and one whose tasks are done holds no listener',
  managing({ workerCount: 1 }, async (manager) => {
    const controller = new AbortController();
    const { signal } = controller;
    // withLeakCheck looks for the listeners that are left.
    await Promise.all(Array.from({ length: 10 }, () => manager.queueTask(async () => {}, { signal })));
    await hold(manager);
    const handle = manager.queueTaskAsync(() => {}, { signal });
    handle.cancel();
    const silent = new AbortController();
    manager.queueTaskAsync(() => {}, { signal: silent.signal }).cancel();
    const again = manager.queueTaskAsync(() => {}, { signal });
    const reason = new Error('enough');
    controller.abort(reason);
    assert.equal(await rejectionOf(again), reason);
    assert.equal(await rejectionOf(manager.queueTask(() => {}, { signal })), reason);
  }),
);

test(
  'tasks() shows waiting, then queued, then running ones, and matches a filter',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager, clock) => {
    await clock.advance(5);
    const until = new Deferred();
    const tasks = ['running', 'queued', 'waiting'].map((id) =>
      manager.queueTask(() => until.promise, { id, key: 'k' }),
    );
    const seen = manager
      .tasks()
      .map(({ id, state, priority, key, attempt }) => ({ id, state, priority, key, attempt }));
    assert.deepEqual(seen, [
      { id: 'waiting', state: 'waiting', priority: 0, key: 'k', attempt: 0 },
      { id: 'queued', state: 'queued', priority: 0, key: 'k', attempt: 0 },
      { id: 'running', state: 'running', priority: 0, key: 'k', attempt: 1 },
    ]);
    const [running] = manager.tasks({ state: 'running' });
    assert.ok(running!.startedAt !== undefined && running!.startedAt >= running!.queuedAt);
    assert.deepEqual(manager.tasks({ id: 'nobody' }), []);
    assert.deepEqual(
      manager.tasks(({ state }) => state !== 'running').map(({ id }) => id),
      ['waiting', 'queued'],
    );
    until.resolve();
    await Promise.all(tasks);
    assert.deepEqual(manager.tasks(), []);
  }),
);

test(
  'a key at its cap takes its place again after a retry, a timeout and a change of priority',
  managing({ workerCount: 3, concurrencyPerKey: 1 }, async (manager, clock) => {
    const order: string[] = [];
    let alive = 0;
    const submit = (name: string, options: TaskOptions = {}, fail = 0) =>
      manager.queueTaskAsync(
        async ({ attempt, signal }) => {
          assert.equal(++alive, 1, 'one of the key at a time');
          await turn();
          alive--;
          order.push(`${name}${attempt}`);
          if (name === 'late') await new Promise((resolve) => signal.addEventListener('abort', resolve));
          if (attempt <= fail) throw new Error('again');
        },
        { key: 'k', ...options },
      );
    const handles = [
      submit('a', { retry: { attempts: 3, baseMs: 0 } }, 2),
      submit('late', { timeoutMs: 10 }),
      submit('b', { retry: { attempts: 2, baseMs: 5 } }, 1),
      submit('c'),
      submit('d'),
    ];
    handles[4]!.setPriority(1);
    const late = rejectionOf(handles[1]!);
    for (let i = 0; i < 10; i++) await clock.advance(5);
    await late;
    await Promise.all(handles.filter((_, index) => index !== 1));
    assert.deepEqual(order, ['a1', 'd1', 'a2', 'a3', 'late1', 'b1', 'c1', 'b2']);
    assert.equal(manager.stats().idleWorkers, 3);
  }),
);
