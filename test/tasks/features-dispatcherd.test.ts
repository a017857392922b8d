/**
 * Each feature of dispatcherd, by the name of its row in the table of what registered tasks are to be a match for. What
 * it means in all its corners is in the tests of its own; here is that it is there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TaskManager } from '../../src/index.ts';
import {
  type Call,
  type CallContext,
  Dispatcher,
  type DuplicatePolicy,
  defineTask,
  flow,
  memoryEngine,
  NotRegisteredError,
  SubmitStoppedError,
  WorkerLostError,
} from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import {
  deferred,
  echo,
  failureOf,
  fetchAndDie,
  passing,
  pause,
  rigOf,
  settle,
  statesOf,
  untilCanceled,
} from './kit.ts';

test(
  'dispatcherd: Registry',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    for (const options of [{ timeoutMs: 1 }, { priority: 1 }, { onDuplicate: 'discard' }, { uuid: 'x' }]) {
      await assert.rejects(rig.dispatcher.submit(echo, 1, options as object), TypeError);
    }
    await assert.rejects(rig.dispatcher.submit('other', 1), NotRegisteredError);
    assert.equal((await rig.dispatcher.calls.count()).queued, 0);
  }),
);

test(
  'dispatcherd: `Task`, `Call`, `PoolWorker`',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo, { name: 'worker 1' });
    const call = await rig.dispatcher.submit(echo, 'hello');
    await call.result;
    const [record] = await rig.dispatcher.calls.history({ task: echo.name });
    assert.deepEqual(record, call.info);
    const { id, task, version, consumer, attempt, submittedAt, startedAt, endedAt, input, output } = record!;
    assert.deepEqual({ id, task, version }, { id: call.id, task: 'echo', version: 1 });
    assert.deepEqual({ consumer, attempt, input, output }, { consumer: 'worker 1', attempt: 1, input: 'hello', output: 'hello' }); // biome-ignore format: short
    assert.deepEqual([submittedAt, startedAt, endedAt], [0, 0, 0]);
  }),
);

for (const [onDuplicate, states] of [
  ['parallel', ['started', 'started', 'started']],
  ['serial', ['started', 'held', 'held']],
  ['discard', ['started', 'discarded', 'discarded']],
  ['queueOne', ['started', 'discarded', 'held']],
] as const satisfies (readonly [DuplicatePolicy, readonly string[]])[]) {
  test(
    `dispatcherd: on_duplicate (${onDuplicate})`,
    withLeakCheck(async () => {
      const task = defineTask({ name: 'task', onDuplicate, run: untilCanceled });
      await using rig = await rigOf(task);
      const calls: Call<unknown>[] = [];
      for (let i = 0; i < 3; i++) calls.push(await rig.dispatcher.submit(task, { a: 1 }));
      await settle();
      assert.deepEqual(statesOf(calls), states);
    }),
  );
}

test(
  'dispatcherd: Delay',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const call = await rig.dispatcher.submit(echo, 1, { delayMs: 100 });
    await rig.dispatcher.stop();
    await rig.clock.advance(100);
    assert.equal((await rig.engine.get(call.id))?.state, 'queued', 'not dropped when a dispatcher stops');
  }),
);

test(
  'dispatcherd: Timeout',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      timeoutMs: 100,
      run: async (ctx: CallContext, first: boolean) => {
        await (first ? gate.promise : untilCanceled(ctx));
      },
    });
    await using rig = await rigOf(task, { clock, concurrency: 1 });
    const [first, second] = await rig.dispatcher.submitMany(task, [true, false]);
    await clock.advance(90);
    gate.resolve();
    await clock.advance(90);
    assert.deepEqual(statesOf([first!, second!]), ['completed', 'started'], 'its clock starts with the run');
    await clock.advance(10);
    assert.equal(second!.status, 'timedOut', 'not canceled');
  }),
);

test(
  'dispatcherd: Bind',
  withLeakCheck(async () => {
    const parent = defineTask({
      name: 'parent',
      run: async (ctx) => {
        const child = await ctx.submit(echo, 'hello');
        return `${ctx.id} > ${child.info.parentId}: ${await child.result}`;
      },
    });
    await using rig = await rigOf([parent, echo]);
    const call = await rig.dispatcher.submit(parent, undefined);
    assert.equal(await call.result, `${call.id} > ${call.id}: hello`);
  }),
);

test(
  'dispatcherd: Scale up / down',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 4, idleMs: 1_000 });
    const task = defineTask({
      name: 'task',
      manager: 'elastic',
      run: () => pause(clock, 200),
    });
    {
      await using rig = await rigOf(task, { clock, managers: { elastic: manager } });
      await rig.dispatcher.submitMany(task, Array(30).fill(1));
      let most = 0;
      for (let i = 0; i < 60; i++) {
        await clock.advance(100);
        most = Math.max(most, manager.stats().busyWorkers);
      }
      assert.equal((await rig.dispatcher.calls.count()).completed, 30);
      assert.ok(most > 1, `${most} at most`);
      await clock.advance(5_000);
      assert.equal(manager.stats().activeWorkers, 1);
    }
    await passing(clock, manager.stop());
  }),
);

test(
  'dispatcherd: Worker life',
  withLeakCheck(async () => {
    const events: string[] = [];
    let made = 0;
    const manager = new TaskManager({
      workerCount: 1,
      maxUses: 2,
      onCreate: () => void events.push(`start ${++made}`),
      onDestroy: () => void events.push('shutdown'),
    });
    const task = defineTask({ name: 'task', manager: 'default', run: () => void events.push('task') });
    {
      await using rig = await rigOf(task, {
        managers: { default: manager },
        beforeRun: () => events.push('pre'),
        afterRun: () => events.push('post'),
      });
      rig.dispatcher.on('idle', () => events.push('idle'));
      for (let i = 0; i < 2; i++) {
        await rig.dispatcher.call(task, undefined);
        await settle();
      }
    }
    await manager.stop();
    assert.deepEqual(
      events.filter((event) => !event.startsWith('s')),
      ['pre', 'task', 'post', 'idle', 'pre', 'task', 'post', 'idle'],
    );
    assert.deepEqual(
      events.filter((event) => event.startsWith('s')),
      ['start 1', 'shutdown', 'start 2', 'shutdown'],
    );
  }),
);

for (const [onWorkerLost, status] of [
  ['retry', 'completed'],
  ['fail', 'failed'],
] as const) {
  test(
    `dispatcherd: Lost worker (${onWorkerLost})`,
    withLeakCheck(async () => {
      const task = defineTask({ name: 'task', onWorkerLost, run: () => 'done' });
      await using rig = await rigOf(task, { queues: { none: {} } });
      const call = await rig.dispatcher.submit(task, undefined);
      await fetchAndDie(rig.engine, 1, 1_000);
      await rig.dispatcher.setQueues({ default: {} });
      await rig.clock.advance(1_000);
      assert.equal(call.status, status);
      if (onWorkerLost === 'fail') assert.ok((await failureOf(call)) instanceof WorkerLostError);
    }),
  );
}

test(
  'dispatcherd: Self-checks',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await engine.selfCheck();
    engine.goDown();
    await assert.rejects(engine.selfCheck());
    engine.comeUp();
    await using rig = await rigOf(echo, { clock, engine });
    engine.deafen();
    const call = await rig.dispatcher.submit(echo, 1);
    await clock.advance(10_000);
    assert.equal((await engine.get(call.id))?.state, 'completed', 'a dead wake-up is noticed');
  }),
);

test(
  'dispatcherd: Publish hook',
  withLeakCheck(async () => {
    const seen: string[] = [];
    await using rig = await rigOf(echo, {
      beforeSubmit: (draft) => {
        seen.push(`${draft.task} ${draft.input}`);
        if (draft.input === 'stop') return false;
        draft.input = `${draft.input}, changed`;
        return undefined;
      },
    });
    assert.equal(await rig.dispatcher.call(echo, 'go'), 'go, changed');
    await assert.rejects(rig.dispatcher.submit(echo, 'stop'), SubmitStoppedError);
    assert.deepEqual(seen, ['echo go', 'echo stop']);
  }),
);

test(
  'dispatcherd: Cookbook',
  withLeakCheck(async () => {
    const runs: string[] = [];
    const task = defineTask({ name: 'task', run: ({ id }) => void runs.push(id) });
    await using one = await rigOf(task);
    await using two = await rigOf(task, { clock: one.clock, engine: one.engine });
    await Promise.all([one, two].map(({ dispatcher }) => dispatcher.call(task, undefined, { id: 'nightly' })));
    assert.deepEqual(runs, ['nightly'], 'any node, once');
    const leader = await one.engine.lock('leader', 'one', 1_000);
    assert.equal(await two.engine.lock('leader', 'two', 1_000), undefined);
    await leader!.release();
    assert.ok(await two.engine.lock('leader', 'two', 1_000));
  }),
);

test(
  'dispatcherd: Events',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({ name: 'task', run: () => pause(clock, 10) });
    const engine = memoryEngine({ clock });
    const dispatcher = new Dispatcher({ tasks: [task], engine });
    const events: string[] = [];
    for (const event of ['ready', 'empty', 'idle'] as const) dispatcher.on(event, () => events.push(event));
    const stream = dispatcher.events({ types: ['ready', 'empty', 'completed', 'idle'] });
    await dispatcher.start();
    await dispatcher.submitMany(task, [1, 2]);
    await clock.advance(20);
    assert.deepEqual(events, ['ready', 'empty', 'idle']);
    await passing(clock, dispatcher.stop());
    const streamed: string[] = [];
    for await (const { type } of stream) streamed.push(type);
    assert.deepEqual(streamed, ['ready', 'empty', 'completed', 'completed', 'idle']);
  }),
);

test(
  'dispatcherd: SIGTERM',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const work = (ms: number) => pause(clock, ms);
    const rules = { queue: 'default', run: (_ctx: CallContext, ms: number) => work(ms) };
    const requeue = defineTask({ name: 'requeue', ...rules });
    const stop = defineTask({ name: 'stop', onShutdown: 'stop', ...rules });
    await using rig = await rigOf([requeue, stop], { clock });
    await rig.dispatcher.submitMany(requeue, [10, 200, 1e9]);
    await rig.dispatcher.submit(stop, 200);
    await rig.dispatcher.submit(requeue, 10, { delayMs: 50 });
    await settle();
    const stopping = rig.dispatcher.stop({ graceMs: 100, timeoutMs: 3_000 });
    await clock.advance(5_000);
    assert.deepEqual(await stopping, { completed: 1, failed: 0, canceled: 1, requeued: 1, left: 1 });
  }),
);

test(
  'dispatcherd: Exit',
  withLeakCheck(async () => {
    let made = 0;
    const manager = new TaskManager({ workerCount: 1, onCreate: () => ++made });
    const task = defineTask({
      name: 'task',
      manager: 'workers',
      run: (ctx, leaves: boolean, worker: number) => {
        if (leaves) ctx.retireResource();
        return worker;
      },
    });
    {
      await using rig = await rigOf(task, { managers: { workers: manager } });
      const workers: number[] = [];
      for (const leaves of [false, true, false]) workers.push(await rig.dispatcher.call(task, leaves));
      assert.deepEqual(workers, [1, 1, 2]);
    }
    await manager.stop();
  }),
);

test(
  'dispatcherd: Producers',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const ticks: string[] = [];
    rig.dispatcher.on('tick', ({ schedule, at }) => ticks.push(`${schedule} at ${at.getTime()}`));
    await rig.dispatcher.onStart(echo, 'on start', { name: 'on start' });
    await rig.dispatcher.every(2_000, echo, 'scheduled', { name: 'scheduled' });
    await rig.clock.advance(5_000);
    assert.deepEqual(ticks, ['on start at 0', 'scheduled at 2000', 'scheduled at 4000']);
    assert.deepEqual(
      rig.dispatcher.schedules.list().map(({ name }) => name),
      ['on start', 'scheduled'],
    );
  }),
);

test(
  'dispatcherd: Control',
  withLeakCheck(async () => {
    await using one = await rigOf(hangsWith, { name: 'one', queues: {} });
    await using _ = await rigOf(hangsWith, { clock: one.clock, engine: one.engine, name: 'two', concurrency: 2 });
    const { control } = one.dispatcher;
    const calls = await one.dispatcher.submitMany(hangsWith, ['a', 'b', 'c']);
    await settle();
    assert.equal((await control.running({ task: 'hangs with' })).length, 2, 'running');
    assert.equal((await control.queued({ id: calls[2]!.id })).length, 1);
    assert.equal((await control.cancel({ id: calls[0]!.id })).size, 1, 'cancel');
    const pongs = await passing(one.clock, control.ping({ timeoutMs: 1_000 }));
    assert.deepEqual([...pongs.keys()], ['one', 'two'], 'alive: control and reply');
    assert.equal((await control.workers())[1]?.managers.get('default')?.baseWorkers, 2, 'workers');
    assert.equal((await control.status()).dispatchers.length, 2, 'status');
    assert.deepEqual((await control.setLogLevel('debug')).dispatchers, ['one', 'two'], 'set_log_level');
    assert.equal((await one.dispatcher.submit('hangs with', 'd')).status, 'queued', 'run');
    await control.cancel({ task: 'hangs with' });
    await settle();
  }),
);

const hangsWith = defineTask({ name: 'hangs with', run: (ctx, _input: string) => untilCanceled(ctx) });

test(
  'dispatcherd: Self-checks: idle for half a minute, it asks, and begins anew when nobody answers',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine });
    await settle();
    engine.deafen();
    await clock.advance(36_000);
    assert.equal(engine.calls('selfCheck'), 1);
    assert.equal(engine.calls('begin'), 2);
    engine.deafen(false);
    const [pong] = [...(await rig.dispatcher.control.ping()).values()];
    assert.deepEqual(
      pong?.workers.get('default'),
      { workers: 10, answered: 10 },
      'workers: send a message, expect a reply',
    );
  }),
);

test(
  'dispatcherd: Cookbook, a periodic task somewhere in the cluster at a frequency',
  withLeakCheck(async () => {
    const runs: string[] = [];
    const task = defineTask({ name: 'task', run: ({ headers }) => void runs.push(headers['scheduled-at']!) });
    await using one = await rigOf(task);
    await using two = await rigOf(task, { clock: one.clock, engine: one.engine });
    await using three = await rigOf(task, { clock: one.clock, engine: one.engine });
    for (const { dispatcher } of [one, two, three]) await dispatcher.every(1_000, task, undefined);
    await one.clock.advance(3_500);
    await one.dispatcher.stop();
    await one.clock.advance(2_000);
    assert.deepEqual(
      runs.map((at) => Date.parse(at)),
      [1_000, 2_000, 3_000, 4_000, 5_000],
    );
  }),
);

test(
  'dispatcherd: Cookbook: every node runs it once',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', run: ({ queue }) => queue });
    await using one = await rigOf(task, { name: 'one' });
    await using _ = await rigOf(task, { clock: one.clock, engine: one.engine, name: 'two' });
    const calls = await one.dispatcher.broadcast(task, undefined);
    const results = await Promise.all([...calls.values()].map(({ result }) => result));
    assert.deepEqual(results, ['dispatcher:one', 'dispatcher:two']);
  }),
);

test(
  'dispatcherd: Callbacks, errbacks',
  withLeakCheck(async () => {
    const told: string[] = [];
    const work = defineTask({
      name: 'work',
      run: (_ctx, n: number) => {
        if (n < 0) throw new Error('negative');
        return n;
      },
    });
    const tell = defineTask({ name: 'tell', run: (_ctx, text: string) => void told.push(text) });
    const task = flow<number>({ name: 'task' })
      .node('work', work)
      .then('callback', tell, { inline: true, input: ({ work }) => `done: ${work}` })
      .onError('errback', tell, { of: 'work', input: ({ error }) => `failed: ${error.message}` })
      .build(({ work }) => work);
    await using rig = await rigOf(task);
    assert.equal(await rig.dispatcher.call(task, 1), 1);
    await assert.rejects(rig.dispatcher.call(task, -1), { message: 'negative' });
    assert.deepEqual(told, ['done: 1', 'failed: negative'], 'no callback after a failure');
  }),
);
