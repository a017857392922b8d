/** The end of a dispatcher: what becomes of what runs, what waits, and what is still submitted. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { ShutdownError, TaskManager } from '../../src/index.ts';
import { type Call, type CallContext, Dispatcher, defineTask, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, mortal, noop, passing, rigOf, settle, stateOf, statesOf, untilCanceled, within } from './kit.ts';

const echo = defineTask({ name: 'echo', run: (_ctx, input: unknown) => input });
const NOTHING = { completed: 0, failed: 0, canceled: 0, requeued: 0, left: 0 };

type OnShutdown = 'stop' | 'requeue' | 'drain';

/** A task that runs `ms` long, unless it is told to end. */
function lasting(clock: VirtualClock, onShutdown: OnShutdown | undefined, contexts: CallContext[] = []) {
  return defineTask({
    name: `lasting ${onShutdown}`,
    onShutdown,
    run: async (ctx, ms: number) => {
      contexts.push(ctx);
      await Promise.race([ctx.done(), new Promise<void>((resolve) => clock.setTimeout(resolve, ms))]);
      if (ctx.err === undefined) return ms;
      throw ctx.cause;
    },
  });
}

// ---- stop, requeue, drain --------------------------------------------------------------------------------------------

test(
  'what ends within the grace has ended, and is counted',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = lasting(clock, 'stop');
    const fails = defineTask({
      name: 'fails',
      retry: { attempts: 2 },
      run: async () => {
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 20));
        throw new Error('boom');
      },
    });
    await using rig = await rigOf([task, fails], { clock });
    const calls: Call[] = [...(await rig.dispatcher.submitMany(task, [10, 20]))];
    calls.push(await rig.dispatcher.submit(fails, 0));
    await settle();
    const stopped = rig.dispatcher.stop({ graceMs: 100 });
    assert.equal(rig.dispatcher.state, 'stopping');
    await clock.advance(50);
    assert.deepEqual(await within(stopped), { ...NOTHING, completed: 2, failed: 1 });
    assert.equal(rig.dispatcher.state, 'stopped');
    assert.deepEqual(statesOf(calls), ['completed', 'completed', 'scheduled']);
  }),
);

const fates: [OnShutdown | undefined, string, Partial<typeof NOTHING>, attempt: number][] = [
  ['stop', 'canceled', { canceled: 2 }, 1],
  ['requeue', 'queued', { requeued: 2 }, 0],
  [undefined, 'queued', { requeued: 2 }, 0],
  ['drain', 'completed', { completed: 2 }, 1],
];
for (const [onShutdown, state, counts, attempt] of fates) {
  test(
    `what runs on after the grace with onShutdown ${onShutdown} is ${state}`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const contexts: CallContext[] = [];
      const task = lasting(clock, onShutdown, contexts);
      await using rig = await rigOf(task, { clock, concurrency: 2 });
      const calls = await rig.dispatcher.submitMany(task, [1_000, 1_000, 1_000]);
      await settle();
      const stopped = rig.dispatcher.stop({ graceMs: 100 });
      await settle();
      for (const ctx of contexts) {
        assert.ok(ctx.stopping.reason instanceof ShutdownError, 'it is told at once');
        assert.equal(ctx.signal.aborted, false);
      }
      await clock.advance(99);
      assert.equal(await stateOf(stopped), 'pending');
      await clock.advance(1);
      if (onShutdown !== 'drain') {
        for (const ctx of contexts) assert.ok(ctx.signal.reason instanceof ShutdownError);
      } else await clock.advance(1_000);
      assert.deepEqual(await within(stopped), { ...NOTHING, ...counts });
      assert.deepEqual(statesOf(calls), [state, state, 'queued']);
      assert.equal(calls[0]!.info.attempt, attempt);
      if (onShutdown === 'stop') await assert.rejects(within(calls[0]!.result), /stopping/);
    }),
  );
}

test(
  'a grace of 0 ends at once, and timeoutMs ends what drains too',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const drains = lasting(clock, 'drain');
    const stops = lasting(clock, 'stop');
    await using rig = await rigOf([drains, stops], { clock });
    const calls = [await rig.dispatcher.submit(drains, 9_000), await rig.dispatcher.submit(stops, 9_000)];
    await settle();
    const stopped = rig.dispatcher.stop({ graceMs: 0, timeoutMs: 500 });
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'canceled']);
    await clock.advance(500);
    assert.deepEqual(await within(stopped), { ...NOTHING, canceled: 1, requeued: 1 });
    assert.deepEqual(statesOf(calls), ['queued', 'canceled']);
  }),
);

test(
  'what was handed back is run by the next dispatcher, and has all its attempts',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const attempts: number[] = [];
    const task = defineTask({
      name: 'task',
      onWorkerLost: 'fail',
      run: async (ctx) => {
        attempts.push(ctx.attempt);
        if (attempts.length === 1) await ctx.done();
      },
    });
    const engine = memoryEngine({ clock });
    const one = await rigOf(task, { clock, engine });
    const { id } = await one.dispatcher.submit(task, 0);
    await settle();
    await within(one.dispatcher.stop({ graceMs: 0 }));
    await using two = await rigOf(task, { clock, engine });
    await settle();
    assert.equal((await two.dispatcher.calls.get(id))!.status, 'completed');
    assert.deepEqual(attempts, [1, 1]);
  }),
);

test(
  'a function that ends by itself as it is told of the stop is handed back, or canceled, as its definition says',
  withLeakCheck(async () => {
    const tasks = (['stop', 'requeue', 'drain'] as const).map((onShutdown) =>
      defineTask({
        name: onShutdown,
        onShutdown,
        run: async ({ stopping }) => {
          await new Promise((resolve) => stopping.addEventListener('abort', resolve, { once: true }));
          stopping.throwIfAborted();
        },
      }),
    );
    await using rig = await rigOf(tasks);
    const calls: Call[] = [];
    for (const task of tasks) calls.push(await rig.dispatcher.submit(task, 0));
    await settle();
    assert.deepEqual(await within(rig.dispatcher.stop()), { ...NOTHING, canceled: 1, requeued: 2 });
    assert.deepEqual(statesOf(calls), ['canceled', 'queued', 'queued']);
  }),
);

test(
  'what waits in the line of a manager is handed back at once, whatever its definition says',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const shared = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 1 });
    const gate = deferred();
    const busy = shared.queueTask(() => gate.promise);
    const task = defineTask({ name: 'task', manager: 'shared', onShutdown: 'stop', run: noop });
    await using rig = await rigOf(task, { clock, managers: { shared } });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(call.status, 'started');
    assert.deepEqual(await within(rig.dispatcher.stop()), { ...NOTHING, requeued: 1 });
    assert.deepEqual([call.status, call.info.attempt], ['queued', 0]);
    gate.resolve();
    await busy;
    await shared.stop();
  }),
);

// ---- what doesn't hear -----------------------------------------------------------------------------------------------

test(
  'a function that does not hear is left behind a while after the timeout, and counted',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gates = [deferred(), deferred()];
    const shared = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 1 });
    const deaf = defineTask({ name: 'deaf', run: () => gates[0]!.promise });
    const elsewhere = defineTask({ name: 'elsewhere', manager: 'shared', run: () => gates[1]!.promise });
    const engine = memoryEngine({ clock });
    await using rig = await rigOf([deaf, elsewhere], { clock, engine, managers: { shared } });
    const calls: Call[] = [await rig.dispatcher.submit(deaf, 0), await rig.dispatcher.submit(elsewhere, 0)];
    await settle();
    const stopped = rig.dispatcher.stop({ graceMs: 100, timeoutMs: 1_000 });
    await clock.advance(1_500);
    assert.equal(await stateOf(stopped), 'pending');
    await clock.advance(2_000);
    assert.deepEqual(await within(stopped), { ...NOTHING, left: 2 });
    for (const gate of gates) gate.resolve();
    await settle();
    assert.deepEqual(statesOf(calls), ['queued', 'queued'], 'what they say comes too late');
    await shared.stop();
  }),
);

test(
  'a stop ends in time with an engine that answers nothing',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, die } = mortal(memoryEngine({ clock }));
    const task = defineTask({ name: 'task', run: untilCanceled });
    const rig = await rigOf(task, { clock, engine });
    await rig.dispatcher.submitMany(task, [1, 2]);
    await settle();
    die();
    const stopped = rig.dispatcher.stop({ graceMs: 100, timeoutMs: 1_000 });
    await clock.advance(5_000);
    assert.deepEqual(await within(stopped), { ...NOTHING, left: 2 });
  }),
);

test(
  'a stop ends in time with an engine that fails, and says what it could not be told of',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const task = defineTask({ name: 'task', run: untilCanceled });
    const rig = await rigOf(task, { clock, engine });
    const reported: unknown[] = [];
    rig.dispatcher.on('error', (error) => reported.push(error));
    await rig.dispatcher.submitMany(task, [1, 2]);
    await settle();
    engine.goDown();
    const stopped = rig.dispatcher.stop({ graceMs: 100, timeoutMs: 60_000 });
    await clock.advance(5_000);
    const { requeued } = await within(stopped);
    assert.equal(requeued, 0);
    engine.comeUp();
    assert.ok(reported.length <= 1);
  }),
);

test(
  'a dispatcher that is stopped before the engine was reached stops at once, and its start says so',
  withLeakCheck(async () => {
    for (const isHanging of [false, true]) {
      const clock = new VirtualClock();
      const store = memoryEngine({ clock });
      const faulty = faultyEngine(store);
      const { engine, die } = mortal(faulty);
      if (isHanging) die();
      else faulty.goDown();
      const dispatcher = new Dispatcher({ tasks: [echo], engine });
      const started = dispatcher.start();
      await clock.advance(300);
      assert.deepEqual(await within(dispatcher.stop()), NOTHING);
      await assert.rejects(within(started), ShutdownError);
      await assert.rejects(dispatcher.start(), ShutdownError);
      assert.equal(clock.timerCount, 0);
    }
  }),
);

test(
  'a start that nobody waits for is no unhandled rejection when it is stopped',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    engine.goDown();
    const dispatcher = new Dispatcher({ tasks: [echo], engine });
    void dispatcher.start();
    await settle();
    await within(dispatcher.stop());
  }),
);

test(
  'an engine that is reached just as the dispatcher stops is left again',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    engine.slowDown(100);
    const dispatcher = new Dispatcher({ tasks: [echo], engine });
    const started = dispatcher.start();
    await settle();
    assert.deepEqual(await within(dispatcher.stop()), NOTHING);
    await assert.rejects(started, ShutdownError);
    await clock.advance(500);
    assert.equal(engine.calls('begin'), 1);
    assert.equal(engine.calls('end'), 1);
    assert.equal(clock.timerCount, 0);
  }),
);

test(
  'calls that a fetch brings when it is too late are handed back, with no attempt spent',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const engine = faultyEngine(store);
    let runs = 0;
    const task = defineTask({ name: 'task', onWorkerLost: 'fail', run: () => ++runs });
    await using rig = await rigOf(task, { clock, engine });
    await using other = await rigOf(task, { clock, engine: store, queues: {} });
    engine.slowDown(100);
    const calls = await other.dispatcher.submitMany(task, [1, 2]);
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'started'], 'they are on their way');
    const stopped = rig.dispatcher.stop();
    await clock.advance(1_000);
    assert.deepEqual(await within(stopped), NOTHING);
    assert.deepEqual(statesOf(calls), ['queued', 'queued']);
    assert.equal(calls[0]!.info.attempt, 0);
    await other.dispatcher.setQueues({ default: {} });
    await settle();
    assert.deepEqual(statesOf(calls), ['completed', 'completed']);
    assert.equal(runs, 2);
  }),
);

// ---- submissions -----------------------------------------------------------------------------------------------------

test(
  'a dispatcher that stops takes no more calls, but those of its running tasks, which the next one runs',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const gate = deferred();
    const parent = defineTask({
      name: 'parent',
      onShutdown: 'drain',
      run: async (ctx) => {
        await gate.promise;
        return (await ctx.submit(echo, 'child')).id;
      },
    });
    const rig = await rigOf([parent, echo], { clock, engine });
    const call = await rig.dispatcher.submit(parent, 0);
    await settle();
    const stopped = rig.dispatcher.stop();
    for (const submit of [
      () => rig.dispatcher.submit(echo, 0),
      () => rig.dispatcher.submitMany(echo, [0]),
      () => rig.dispatcher.call(echo, 0),
      () => rig.dispatcher.setQueues({}),
      () => rig.dispatcher.poll(echo, 0, () => true),
    ]) {
      await assert.rejects(submit(), ShutdownError);
    }
    gate.resolve();
    assert.deepEqual(await within(stopped), { ...NOTHING, completed: 1 });
    await assert.rejects(rig.dispatcher.submit(echo, 0), ShutdownError);
    const id = await within(call.result);
    assert.equal((await engine.get(id))!.state, 'queued');
    assert.equal((await engine.get(id))!.parentId, call.id);
    await using _ = await rigOf([parent, echo], { clock, engine });
    await settle();
    assert.equal((await engine.get(id))!.state, 'completed');
  }),
);

test(
  'what was submitted and not fetched stays in an engine that is shared, and is gone with an engine of its own',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const shared = new Dispatcher({ tasks: [echo], engine });
    const call = await shared.submit(echo, 0);
    assert.deepEqual(await shared.stop(), NOTHING);
    assert.equal((await engine.get(call.id))!.state, 'queued');
    const own = new Dispatcher({ tasks: [echo] });
    const lost = await own.submit(echo, 0);
    await own.stop();
    await assert.rejects(own.calls.get(lost.id), ShutdownError);
  }),
);

// ---- the rest --------------------------------------------------------------------------------------------------------

test(
  'a second stop is the first, and wrong options of it are refused',
  withLeakCheck(async () => {
    const rig = await rigOf(echo);
    const stopped = rig.dispatcher.stop();
    assert.equal(rig.dispatcher.stop({ graceMs: 0 }), stopped);
    await assert.rejects(rig.dispatcher.stop({ graceMs: -1 }), RangeError);
    await assert.rejects(rig.dispatcher.stop({ graceMS: 1 } as never), TypeError);
    await assert.rejects(rig.dispatcher.stop(null as never), TypeError);
    assert.deepEqual(await within(stopped), NOTHING);
    assert.equal(rig.dispatcher.stop(), stopped);
  }),
);

test(
  'who is told of the stop may stop the dispatcher too',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      run: async ({ stopping }) => {
        await new Promise<void>((resolve) => {
          stopping.addEventListener('abort', () => void rig.dispatcher.stop().then(() => resolve()));
          stopping.addEventListener('abort', () => resolve());
        });
      },
    });
    const rig = await rigOf(task);
    await rig.dispatcher.submit(task, 0);
    await settle();
    assert.deepEqual(await within(rig.dispatcher.stop()), { ...NOTHING, completed: 1 });
  }),
);

test(
  'await using stops a dispatcher',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let dispatcher: Dispatcher;
    {
      await using scoped = new Dispatcher({ tasks: [echo], engine: memoryEngine({ clock }) });
      await scoped.start();
      dispatcher = scoped;
    }
    assert.equal(dispatcher.state, 'stopped');
    assert.equal(clock.timerCount, 0);
  }),
);

test(
  'nothing is left of a dispatcher that has stopped, in real time as well',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', stallAfterMs: 60_000, timeoutMs: 60_000, run: untilCanceled });
    const dispatcher = new Dispatcher({ tasks: [task, echo] });
    await dispatcher.start();
    await dispatcher.submitMany(task, [1, 2]);
    assert.equal(await dispatcher.call(echo, 7), 7);
    assert.equal((await dispatcher.stop({ graceMs: 0 })).requeued, 2);
  }),
);

test(
  'a dispatcher holds the process from its start to its stop, and only then',
  withLeakCheck(async () => {
    const program = (lines: string) =>
      `import { Dispatcher, defineTask } from './src/tasks/index.ts';
       const task = defineTask({ name: 'task', run: () => console.log('ran') });
       const dispatcher = new Dispatcher({ tasks: [task] });
       process.on('exit', () => console.log('exit'));
       ${lines}`;
    const held = await outputOf(
      program(`await dispatcher.start();
        setTimeout(() => dispatcher.submit(task, 0), 20).unref();
        setTimeout(() => { console.log('stop'); void dispatcher.stop(); }, 60).unref();`),
    );
    assert.deepEqual(held, ['ran', 'stop', 'exit']);
    const never = await outputOf(program('await dispatcher.submit(task, 0);'));
    assert.deepEqual(never, ['exit']);
  }),
);

async function outputOf(program: string): Promise<string[]> {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let output = '';
  for await (const chunk of child.stdout) output += chunk;
  await exited;
  return output.trim().split('\n');
}

test(
  'idle is told when nothing runs any more',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = lasting(clock, 'drain');
    await using rig = await rigOf(task, { clock });
    let idle = 0;
    rig.dispatcher.on('idle', () => idle++);
    const calls = await rig.dispatcher.submitMany(task, [10, 20]);
    await clock.advance(10);
    assert.equal(idle, 0);
    await clock.advance(10);
    assert.equal(idle, 1);
    assert.deepEqual(statesOf(calls), ['completed', 'completed'], 'the engine knows by then');
    await passing(clock, rig.dispatcher.stop());
  }),
);

// ---- sooner ----------------------------------------------------------------------------------------------------------

test(
  'a second stop is the first one, and only shortens its times',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = lasting(clock, 'drain');
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, 100_000);
    await settle();
    const stopped = rig.dispatcher.stop({ graceMs: 10_000, timeoutMs: 20_000 });
    assert.equal(rig.dispatcher.stop({ graceMs: 1_000_000, timeoutMs: 1_000_000 }), stopped);
    await clock.advance(5_000);
    assert.equal(await stateOf(stopped), 'pending');
    await assert.rejects(rig.dispatcher.stop({ graceMs: -1 }), RangeError);
    assert.equal(rig.dispatcher.stop({ graceMs: 0, timeoutMs: 1_000 }), stopped);
    await clock.advance(999);
    assert.equal(await stateOf(stopped), 'pending');
    await clock.advance(1);
    assert.deepEqual(await within(stopped), { ...NOTHING, requeued: 1 });
    assert.equal(call.status, 'queued');
    assert.equal(rig.dispatcher.stop({ graceMs: 0 }), stopped);
  }),
);

test(
  'the first signal stops, the second ends at once what runs, and nothing listens any more',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = lasting(clock, 'drain');
    await using rig = await rigOf(task, { clock });
    await rig.dispatcher.submit(task, 100_000);
    await settle();
    const before = process.listenerCount('SIGQUIT');
    rig.dispatcher.stopOnSignals(['SIGQUIT'])();
    assert.equal(process.listenerCount('SIGQUIT'), before);
    rig.dispatcher.stopOnSignals(['SIGQUIT', 'SIGUSR2'], { graceMs: 10_000 });
    process.emit('SIGQUIT', 'SIGQUIT');
    assert.equal(rig.dispatcher.state, 'stopping');
    await clock.advance(1_000);
    process.emit('SIGUSR2', 'SIGUSR2');
    assert.deepEqual(await within(rig.dispatcher.stop()), { ...NOTHING, requeued: 1 });
    assert.equal(process.listenerCount('SIGQUIT'), before);
    assert.throws(() => rig.dispatcher.stopOnSignals(), TypeError);
  }),
);

test(
  'what is no signal, or no time, is refused, and nothing listens',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    assert.throws(() => rig.dispatcher.stopOnSignals(['SIGNAL' as never]), RangeError);
    assert.throws(() => rig.dispatcher.stopOnSignals(['SIGTERM'], { graceMs: -1 }), RangeError);
  }),
);
