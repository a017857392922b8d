/** What the consumer fetches: what there is room for, from which queues, for which managers, and never stalled by a task. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import type { FetchRequest } from '../../src/engines/index.ts';
import { TaskManager } from '../../src/index.ts';
import { type Call, defineTask, memoryEngine, NotRegisteredError } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, noop, passing, rigOf, settle, statesOf, untilCanceled, within } from './kit.ts';

const never = defineTask({ name: 'never', run: untilCanceled });

/** An engine, and what it has been asked for. */
function listened(clock: VirtualClock) {
  const faulty = faultyEngine(memoryEngine({ clock }));
  const requests: FetchRequest[] = [];
  const engine = {
    ...faulty,
    fetch: (request: FetchRequest) => {
      requests.push(request);
      return faulty.fetch(request);
    },
  };
  return { engine, faulty, requests };
}

function inQueue(name: string, queue: string, run: () => unknown = noop) {
  return defineTask({ name, queue, run: () => run() });
}

// ---- room ------------------------------------------------------------------------------------------------------------

test(
  'never more is fetched than there is room for, and all of the room is used',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, requests } = listened(clock);
    let alive = 0;
    let most = 0;
    const task = defineTask({
      name: 'task',
      run: async (_ctx, ms: number) => {
        most = Math.max(most, ++alive);
        await new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
        alive--;
      },
    });
    await using rig = await rigOf(task, { clock, engine, concurrency: 4 });
    const calls = await rig.dispatcher.submitMany(
      task,
      Array.from({ length: 40 }, (_, i) => 1 + (i % 7)),
    );
    for (let ms = 0; ms < 200; ms++) {
      await clock.advance(1);
      const { started, queued } = await engine.count({});
      assert.ok(started <= 4, `${started} leases`);
      if (queued > 0) assert.equal(started, 4);
    }
    assert.deepEqual([...new Set(statesOf(calls))], ['completed']);
    assert.equal(most, 4);
    for (const { max } of requests) assert.ok(max > 0 && max <= 4);
  }),
);

test(
  'many calls are fetched at once',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, requests } = listened(clock);
    await using rig = await rigOf(never, { clock, engine, concurrency: 50 });
    await settle();
    requests.length = 0;
    await rig.dispatcher.submitMany(never, Array(80).keys());
    await settle();
    assert.equal((await engine.count({})).started, 50);
    assert.deepEqual(
      requests.map(({ max }) => max),
      [50],
    );
  }),
);

test(
  'a run that was ended and whose function lives on keeps its room until it returns',
  withLeakCheck(async () => {
    const gate = deferred();
    const deaf = defineTask({ name: 'deaf', timeoutMs: 10, run: () => gate.promise });
    await using rig = await rigOf(deaf, { concurrency: 1 });
    const calls = await rig.dispatcher.submitMany(deaf, [1, 2]);
    await rig.clock.advance(100);
    assert.deepEqual(statesOf(calls), ['started', 'queued']);
    gate.resolve();
    await settle();
    assert.deepEqual(statesOf(calls), ['timedOut', 'completed']);
  }),
);

test(
  'a function that never returns is given up at last, and its room is used again',
  withLeakCheck(async () => {
    const gate = deferred();
    const deaf = defineTask({
      name: 'deaf',
      timeoutMs: 10,
      run: async (_ctx, n: number) => {
        if (n === 1) await gate.promise;
      },
    });
    await using rig = await rigOf(deaf, { concurrency: 1 });
    const reported: unknown[] = [];
    rig.dispatcher.on('error', (error) => reported.push(error));
    const calls = await rig.dispatcher.submitMany(deaf, [1, 2]);
    await rig.clock.advance(40_000);
    assert.deepEqual(statesOf(calls), ['timedOut', 'completed']);
    assert.match((reported[0] as Error).message, /was abandoned/);
    gate.resolve();
    await settle();
    assert.equal(calls[0]!.status, 'timedOut');
  }),
);

test(
  'nothing is asked of the engine while there is no room, nor again and again while there is nothing',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, requests } = listened(clock);
    const other = defineTask({ name: 'other', manager: 'elsewhere', run: noop });
    await using rig = await rigOf([never, other], { clock, engine, concurrency: 1 });
    await rig.dispatcher.submitMany(never, [1, 2, 3]);
    await settle();
    requests.length = 0;
    await rig.dispatcher.submitMany(never, [4, 5, 6]);
    await settle(20);
    assert.equal(requests.length, 0, 'no room');
    await rig.dispatcher.cancel({});
    await rig.dispatcher.submitMany(other, [1, 2, 3]);
    await settle(20);
    assert.equal((await engine.count({ task: 'other' })).queued, 3);
    assert.ok(requests.length <= 3, `${requests.length} looks for calls that cannot run here`);
    requests.length = 0;
    await clock.advance(60_000);
    assert.ok(requests.length <= 12, `${requests.length} looks in a minute of peace`);
  }),
);

// ---- queues ----------------------------------------------------------------------------------------------------------

/** Runs calls of a task in each queue, one at a time, and says in which order. */
async function orderOf(
  counts: Readonly<Record<string, number>>,
  options: Parameters<typeof rigOf>[1],
  concurrency = 1,
): Promise<string> {
  const order: string[] = [];
  const tasks = Object.keys(counts).map((queue) => inQueue(queue, queue, () => order.push(queue)));
  await using rig = await rigOf(tasks, { concurrency, ...options, queues: {} });
  for (const task of tasks) await rig.dispatcher.submitMany(task, Array(counts[task.name]).keys());
  await rig.dispatcher.setQueues(options!.queues!);
  await settle(10);
  return order.join('');
}

test(
  'in strict order a queue has its turn when those before it are empty',
  withLeakCheck(async () => {
    assert.equal(await orderOf({ a: 3, b: 3, c: 3 }, { queues: { b: {}, c: {}, a: {} } }), 'bbbcccaaa');
    assert.equal(await orderOf({ a: 3, b: 3, c: 3 }, { queues: { b: {}, c: {}, a: {} } }, 4), 'bbbcccaaa');
  }),
);

test(
  'by weight each queue has its share, whatever the room',
  withLeakCheck(async () => {
    const queues = { a: { weight: 1 }, b: { weight: 3 }, c: { weight: 2 } };
    for (const concurrency of [1, 3, 10]) {
      const order = await orderOf({ a: 90, b: 90, c: 90 }, { order: 'weighted', queues }, concurrency);
      const first = order.slice(0, 120);
      for (const [name, { weight }] of Object.entries(queues)) {
        const share = first.split(name).length - 1;
        assert.ok(Math.abs(share - 20 * weight) <= 3, `${name} has ${share} with room for ${concurrency}`);
      }
      assert.equal(order.length, 270);
    }
  }),
);

test(
  'by weight the share of an empty queue goes to the others by their weights, not to the first of them',
  withLeakCheck(async () => {
    const queues = { empty: { weight: 10 }, a: { weight: 1 }, b: { weight: 1 }, void: {} };
    for (const concurrency of [1, 4]) {
      const order = await orderOf({ a: 60, b: 60 }, { order: 'weighted', queues }, concurrency);
      const share = order.slice(0, 60).split('a').length - 1;
      assert.ok(Math.abs(share - 30) <= 4, `a has ${share} of 60 with room for ${concurrency}`);
    }
  }),
);

test(
  'by weight a queue that was empty for long has no more than its share when it comes again',
  withLeakCheck(async () => {
    const order: string[] = [];
    const a = inQueue('a', 'a', () => order.push('a'));
    const b = inQueue('b', 'b', () => order.push('b'));
    await using rig = await rigOf([a, b], { order: 'weighted', queues: { a: {}, b: {} }, concurrency: 1 });
    await rig.dispatcher.submitMany(b, Array(200).keys());
    await settle(10);
    assert.equal(order.length, 200);
    const gate = deferred();
    const block = inQueue('block', 'a', () => gate.promise);
    rig.dispatcher.tasks.add(block);
    await rig.dispatcher.submit(block, 0);
    await settle();
    await rig.dispatcher.submitMany(a, Array(100).keys());
    await rig.dispatcher.submitMany(b, Array(100).keys());
    gate.resolve();
    await settle(10);
    const share = order.slice(200, 300).filter((name) => name === 'a').length;
    assert.ok(Math.abs(share - 50) <= 2, `a has ${share} of 100`);
  }),
);

test(
  'a queue runs no more of its calls at once than it may, and the others have the rest of the room',
  withLeakCheck(async () => {
    const a = defineTask({ name: 'a', queue: 'a', run: untilCanceled });
    const b = defineTask({ name: 'b', queue: 'b', run: untilCanceled });
    for (const order of ['strict', 'weighted'] as const) {
      await using rig = await rigOf([a, b], { order, queues: { a: { concurrency: 2 }, b: {} }, concurrency: 6 });
      await rig.dispatcher.submitMany(a, Array(9).keys());
      await rig.dispatcher.submitMany(b, Array(9).keys());
      await settle();
      assert.equal((await rig.engine.count({ queue: 'a' })).started, 2);
      assert.equal((await rig.engine.count({ queue: 'b' })).started, 4);
      const [one] = await rig.engine.scan({ queue: 'a', state: 'started' });
      await rig.dispatcher.cancel(one!.id);
      await settle();
      assert.equal((await rig.engine.count({ queue: 'a' })).started, 2);
    }
  }),
);

test(
  'queues can be changed while calls run, and none is lost or repeated',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const runs: number[] = [];
    const of = (queue: string) =>
      defineTask({
        name: queue,
        queue,
        run: async (_ctx, n: number) => {
          runs.push(n);
          await new Promise<void>((resolve) => clock.setTimeout(resolve, 10));
        },
      });
    const tasks = ['a', 'b', 'c'].map(of);
    await using rig = await rigOf(tasks, { clock, concurrency: 3, queues: { a: {}, b: {} } });
    const calls: Call[] = [];
    for (const [i, task] of tasks.entries()) {
      calls.push(
        ...(await rig.dispatcher.submitMany(
          task,
          Array.from({ length: 20 }, (_, n) => 100 * i + n),
        )),
      );
    }
    await clock.advance(35);
    await rig.dispatcher.setQueues({ c: { concurrency: 1 }, a: {} });
    await clock.advance(35);
    assert.equal((await rig.engine.count({ queue: 'b', state: 'queued' })).queued, 20, 'nobody takes from it');
    assert.equal((await rig.engine.count({ queue: 'c' })).started, 1);
    await rig.dispatcher.setQueues({ b: {}, c: {}, a: { concurrency: 2 } });
    await clock.advance(1_000);
    assert.deepEqual([...new Set(statesOf(calls))], ['completed']);
    assert.equal(new Set(runs).size, 60);
    assert.equal(runs.length, 60);
  }),
);

test(
  'a rate of a queue can be set, changed and lifted live; wrong queues change nothing',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: number[] = [];
    const task = inQueue('task', 'q', () => starts.push(clock.now()));
    await using rig = await rigOf(task, { clock, queues: { q: { rateLimit: { limit: 2, intervalMs: 100 } } } });
    await rig.dispatcher.submitMany(task, Array(10).keys());
    await clock.advance(150);
    assert.deepEqual(starts, [0, 0, 100, 100]);
    await assert.rejects(rig.dispatcher.setQueues({ q: { weight: -1 } }), RangeError);
    await assert.rejects(rig.dispatcher.setQueues({ q: { rateLimit: { limit: 0 } } }), RangeError);
    await assert.rejects(rig.dispatcher.setQueues(null as never), TypeError);
    await assert.rejects(rig.dispatcher.setQueues({ 'q\nr': {} }), /the name of a queue must be a text/);
    await rig.dispatcher.setQueues({ q: { rateLimit: { limit: 3, intervalMs: 100 } } });
    await clock.advance(99);
    assert.deepEqual(starts.slice(4), [150, 200, 200]);
    await rig.dispatcher.setQueues({ q: {} });
    await settle();
    assert.equal(starts.length, 10);
  }),
);

test(
  'when the engine fails to hear of new queues the old ones stay',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, faulty } = listened(clock);
    const a = inQueue('a', 'a');
    const b = inQueue('b', 'b');
    await using rig = await rigOf([a, b], { clock, engine, queues: { a: {} } });
    faulty.failNext('limit');
    const failed = rig.dispatcher.setQueues({ b: { rateLimit: { limit: 5 } } });
    const worked = rig.dispatcher.setQueues({ a: {}, b: {} });
    await assert.rejects(failed, /limit has failed/);
    const calls = [await rig.dispatcher.submit(a, 0)];
    await settle();
    await worked;
    calls.push(await rig.dispatcher.submit(b, 0));
    await settle();
    assert.deepEqual(statesOf(calls), ['completed', 'completed']);
  }),
);

test(
  'a queue that is taken out of one dispatcher keeps its rate for the others',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const starts: number[] = [];
    const task = inQueue('task', 'q', () => starts.push(clock.now()));
    const queues = { q: { rateLimit: { limit: 1, intervalMs: 100 } } };
    await using one = await rigOf(task, { clock, engine, queues });
    await using two = await rigOf(task, { clock, engine, queues });
    await one.dispatcher.setQueues({});
    await two.dispatcher.submitMany(task, [1, 2, 3]);
    await clock.advance(500);
    assert.deepEqual(starts, [0, 100, 200]);
  }),
);

test(
  'limits are known before the first call is delivered, and those of tasks that come later before theirs',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const starts: string[] = [];
    const of = (name: string, queue: string) =>
      defineTask({
        name,
        queue,
        rateLimit: { limit: 1, intervalMs: 100 },
        run: () => starts.push(`${name} ${clock.now()}`),
      });
    const early = of('early', 'a');
    const late = of('late', 'b');
    await using other = await rigOf([early], { clock, engine, queues: {} });
    await other.dispatcher.submitMany(early, [1, 2]);
    await using rig = await rigOf([early], { clock, engine });
    await settle();
    rig.dispatcher.tasks.add(late);
    await rig.dispatcher.submitMany(late, [1, 2]);
    await clock.advance(200);
    assert.deepEqual(starts, ['early 0', 'late 0', 'early 100', 'late 100']);
  }),
);

// ---- managers --------------------------------------------------------------------------------------------------------

test(
  'calls of a task with a resource run on the manager of that name, and get its resource',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let made = 0;
    const db = new TaskManager({ clock, workerCount: 2, onCreate: () => ({ id: ++made }) });
    let alive = 0;
    let most = 0;
    const task = defineTask({
      name: 'task',
      manager: 'db',
      run: async (_ctx, n: number, resource: { readonly id: number }) => {
        most = Math.max(most, ++alive);
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 10));
        alive--;
        return [n, resource.id];
      },
    });
    const plain = defineTask({ name: 'plain', run: (_ctx, _n: number, resource: unknown) => resource });
    await using rig = await rigOf([task, plain], { clock, managers: { db }, concurrency: 1 });
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3, 4, 5]);
    const other = await rig.dispatcher.submit(plain, 0);
    await settle();
    assert.equal(other.status, 'completed', 'what runs elsewhere has a room of its own');
    await settle();
    assert.ok((await rig.engine.count({ task: 'task' })).started <= 3, 'at most one waits in line');
    await clock.advance(100);
    const results = await within(Promise.all(calls.map(({ result }) => result)));
    assert.deepEqual(
      results.map(([n]) => n),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual([...new Set(results.map(([, id]) => id))].sort(), [1, 2]);
    assert.equal(most, 2);
    await db.stop();
  }),
);

test(
  'a manager that others keep busy has a turn for calls, and holds no more than one of them in its line',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, requests } = listened(clock);
    const shared = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 1 });
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(name);
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 10));
    };
    const task = defineTask({ name: 'task', manager: 'shared', run: work('call') });
    for (let i = 0; i < 3; i++) void shared.queueTask(work('other'));
    await using rig = await rigOf(task, { clock, engine, managers: { shared } });
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3]);
    await settle();
    for (let i = 0; i < 3; i++) void shared.queueTask(work('other'));
    assert.equal((await engine.count({})).started, 1);
    requests.length = 0;
    await settle(20);
    assert.equal(requests.length, 0, 'no busy loop');
    await clock.advance(45);
    for (let i = 0; i < 3; i++) void shared.queueTask(work('other'));
    await clock.advance(200);
    assert.deepEqual(statesOf(calls), ['completed', 'completed', 'completed']);
    assert.deepEqual(
      order.join(' '),
      'other other other call other other other call other other other call',
      'each in its turn',
    );
    await shared.stop();
  }),
);

test(
  'a manager whose queue is full is asked again when there is room, and no attempt is spent',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, requests } = listened(clock);
    const bounded = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 1, maxQueueSize: 1 });
    const gates = [deferred(), deferred()];
    const others = gates.map(({ promise }) => bounded.queueTask(() => promise));
    const task = defineTask({ name: 'task', manager: 'bounded', run: noop });
    await using rig = await rigOf(task, { clock, engine, managers: { bounded } });
    const calls = await rig.dispatcher.submitMany(task, [1, 2]);
    await settle(20);
    assert.deepEqual(statesOf(calls), ['queued', 'queued']);
    assert.ok(requests.length <= 2, `${requests.length} looks`);
    for (const gate of gates) gate.resolve();
    await Promise.all(others);
    await settle();
    assert.deepEqual(statesOf(calls), ['completed', 'completed']);
    assert.equal(calls[0]!.info.attempt, 1);
    await bounded.stop();
  }),
);

test(
  'what a manager drops, clears or lets wait too long is handed back: the call is not to blame',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const shared = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 1, queueTimeoutMs: 50 });
    const gate = deferred();
    const busy = shared.queueTask(() => gate.promise);
    let runs = 0;
    const task = defineTask({ name: 'task', manager: 'shared', run: () => ++runs });
    await using rig = await rigOf(task, { clock, managers: { shared } });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(call.status, 'started');
    await clock.advance(50);
    assert.equal(call.status, 'scheduled');
    assert.equal(call.info.attempt, 0);
    await clock.advance(1_000);
    assert.equal(call.status, 'started');
    shared.clear();
    await settle();
    assert.equal(call.status, 'scheduled');
    gate.resolve();
    await busy;
    await clock.advance(1_000);
    assert.equal(call.status, 'completed');
    assert.equal(runs, 1);
    await shared.stop();
  }),
);

test(
  'calls of a manager that has stopped wait for another one, without a busy loop; what it killed runs again',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, requests } = listened(clock);
    const mortal = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 1 });
    const task = defineTask({ name: 'task', manager: 'mortal', run: untilCanceled });
    await using rig = await rigOf(task, { clock, engine, managers: { mortal } });
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3]);
    await settle();
    requests.length = 0;
    await mortal.kill('enough');
    await settle(20);
    assert.deepEqual(statesOf(calls), ['queued', 'queued', 'queued']);
    assert.deepEqual([...new Set(calls.map(({ info }) => info.attempt))], [0]);
    assert.ok(requests.length <= 4, `${requests.length} looks`);
  }),
);

test(
  'a manager that is paused has one call in its line, and takes it when it goes on',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const shared = new TaskManager({ clock, workerCount: 4, maxWorkerCount: 4 });
    shared.pause();
    const task = defineTask({ name: 'task', manager: 'shared', run: noop });
    await using rig = await rigOf(task, { clock, managers: { shared } });
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3, 4, 5, 6]);
    await settle();
    assert.equal((await rig.engine.count({})).started, 1);
    shared.resume();
    await settle();
    assert.deepEqual([...new Set(statesOf(calls))], ['completed']);
    await shared.stop();
  }),
);

test(
  "a manager named 'default' runs what names no other",
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const own = new TaskManager({ clock, workerCount: 1, onCreate: () => 'mine' });
    const task = defineTask({ name: 'task', run: (_ctx, _input: number, resource: string) => resource });
    await using rig = await rigOf(task, { clock, managers: { default: own } });
    await own.ready();
    assert.equal(await within(rig.dispatcher.call(task, 0)), 'mine');
    await own.stop();
  }),
);

// ---- never stalled by a task -----------------------------------------------------------------------------------------

test(
  'many long tasks, and retries that are not due at the head, hold up nothing: leases are renewed, others run',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, requests } = listened(clock);
    const long = defineTask({ name: 'long', queue: 'q', run: untilCanceled });
    const failing = defineTask({
      name: 'failing',
      queue: 'q',
      priority: 9,
      retry: { attempts: 9, backoff: 'constant', baseMs: 3_600_000 },
      run: () => Promise.reject(new Error('boom')),
    });
    const short = defineTask({ name: 'short', queue: 'q', priority: -9, run: (_ctx, n: number) => n });
    await using rig = await rigOf([long, failing, short], { clock, engine, concurrency: 10, leaseMs: 9_000 });
    const retries = await rig.dispatcher.submitMany(failing, Array(50).keys());
    await settle(20);
    assert.deepEqual([...new Set(statesOf(retries))], ['scheduled']);
    const stuck = await rig.dispatcher.submitMany(long, Array(9).keys());
    await settle();
    const quick = await rig.dispatcher.submitMany(short, Array(200).keys());
    await clock.advance(10);
    assert.deepEqual([...new Set(statesOf(quick))], ['completed']);
    const fill = await rig.dispatcher.submit(long, 0);
    await clock.advance(350_000);
    for (const call of [...stuck, fill]) assert.deepEqual([call.status, call.info.attempt], ['started', 1]);
    requests.length = 0;
    await fill.cancel();
    const later = await rig.dispatcher.submit(short, 1);
    await settle();
    assert.equal(later.status, 'completed', 'it is polled to the end');
  }),
);

test(
  'a long task renews its lease, and nobody else gets it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    let runs = 0;
    const task = defineTask({
      name: 'task',
      run: async () => {
        runs++;
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 60_000));
        return runs;
      },
    });
    await using one = await rigOf(task, { clock, engine, leaseMs: 3_000, concurrency: 1 });
    await using _ = await rigOf(task, { clock, engine, leaseMs: 3_000, concurrency: 1 });
    const calls = await one.dispatcher.submitMany(task, [1, 2]);
    await clock.advance(61_000);
    assert.deepEqual(statesOf(calls), ['completed', 'completed']);
    assert.equal(runs, 2);
  }),
);

test(
  'a wake-up that is missed delays a call, and loses none',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, faulty } = listened(clock);
    const task = defineTask({ name: 'task', run: noop });
    await using rig = await rigOf(task, { clock, engine });
    await settle();
    faulty.deafen();
    const { id } = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal((await engine.get(id))?.state, 'queued');
    await clock.advance(5_000);
    assert.equal((await engine.get(id))?.state, 'completed');
  }),
);

test(
  'a wake-up during a fetch is not lost',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, faulty } = listened(clock);
    const task = defineTask({ name: 'task', run: noop });
    await using rig = await rigOf(task, { clock, engine });
    faulty.slowDown(100);
    const submitted = [rig.dispatcher.submit(task, 0)];
    await clock.advance(50);
    // The reply of the first fetch is on its way: it brings one call.
    submitted.push(rig.dispatcher.submit(task, 1));
    await clock.advance(500);
    const calls = await Promise.all(submitted);
    await clock.advance(500);
    assert.deepEqual(statesOf(calls), ['completed', 'completed']);
    faulty.slowDown(0);
  }),
);

// ---- what can't be run -----------------------------------------------------------------------------------------------

test(
  'calls that nobody here knows become dead letters, however many, at once, and hold up nothing',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const known = defineTask({ name: 'known', priority: -1, run: noop });
    const unknown = defineTask({ name: 'unknown', run: noop });
    await using other = await rigOf([known, unknown], { clock, engine, queues: {} });
    const lost = await other.dispatcher.submitMany(unknown, Array(95).keys());
    const call = await other.dispatcher.submit(known, 0);
    await using rig = await rigOf(known, { clock, engine, concurrency: 10 });
    await settle(10);
    assert.deepEqual([...new Set(statesOf(lost))], ['deadLettered']);
    assert.equal(call.status, 'completed');
    const [letter] = await rig.dispatcher.deadLetters.list();
    assert.ok(letter!.error instanceof NotRegisteredError);
    assert.match(letter!.error.message, /unknown is not registered here/);
  }),
);

test(
  'however many calls are refused, timers have their turn',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const known = defineTask({ name: 'known', run: noop });
    const unknown = defineTask({ name: 'unknown', run: noop });
    await using other = await rigOf([known, unknown], { clock, engine, queues: {} });
    await other.dispatcher.submitMany(unknown, Array(5_000).keys());
    await using rig = await rigOf(known, { clock, engine, concurrency: 1 });
    let turns = 0;
    while ((await engine.count({})).queued > 0) {
      await settle(1);
      turns++;
    }
    assert.ok(turns > 3, `all of them in ${turns} turns`);
    assert.equal((await rig.dispatcher.calls.count()).deadLettered, 5_000);
  }),
);

test(
  'what was stored and cannot be read becomes a dead letter, whatever the definition says',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const reads = defineTask({
      name: 'task',
      retry: { attempts: 5 },
      authorize: () => true,
      run: (ctx) => ctx.principals.length,
    });
    await using other = await rigOf(reads, { clock, engine, queues: {} });
    const { id: good } = await other.dispatcher.submit(reads, { a: 1 });
    const record = (await engine.get(good))!;
    for (const what of ['input', 'context', 'overrides']) {
      await engine.submit({ ...record, id: `bad ${what}`, [what]: '{"a' });
    }
    await using rig = await rigOf(reads, { clock, engine });
    await settle();
    assert.equal((await engine.get(good))!.state, 'completed');
    for (const what of ['input', 'context', 'overrides']) {
      const letter = await rig.dispatcher.deadLetters.get(`bad ${what}`);
      assert.match((letter!.error as Error).message, new RegExp(`^the ${what} of task can't be read`));
      assert.equal((letter!.error as { code?: unknown }).code, 'ERR_INVALID_INPUT');
      assert.equal(letter!.attempt, 1);
    }
    assert.equal((await rig.dispatcher.deadLetters.get('bad input'))!.input, '{"a', 'it is shown as it is');
  }),
);

// ---- whose context it is ---------------------------------------------------------------------------------------------

test(
  "no call runs in another's async context, nor in that of who has submitted it or started the dispatcher",
  withLeakCheck(async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const task = defineTask({
      name: 'task',
      run: (_ctx, n: number) => {
        seen.push(storage.getStore());
        storage.enterWith(`call ${n}`);
      },
    });
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const { Dispatcher } = await import('../../src/tasks/index.ts');
    const dispatcher = new Dispatcher({ tasks: [task], engine, concurrency: 1 });
    await storage.run('starter', () => dispatcher.start());
    const calls = await storage.run('submitter', () => dispatcher.submitMany(task, Array(5).keys()));
    await settle();
    assert.deepEqual([...new Set(statesOf(calls))], ['completed']);
    assert.deepEqual(seen, Array(5).fill(undefined));
    await passing(clock, dispatcher.stop());
  }),
);

test(
  'a manager may have any name',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, onCreate: () => 'resource', clock });
    const task = defineTask({ name: 'task', manager: '__proto__', run: (_ctx, _input, resource: string) => resource });
    {
      await using rig = await rigOf(task, { clock, managers: { ['__proto__']: manager } });
      assert.equal(await rig.dispatcher.call(task, undefined), 'resource');
    }
    await manager.stop();
  }),
);
