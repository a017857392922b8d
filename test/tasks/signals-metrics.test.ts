/** What a dispatcher counts and times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CallContext,
  Dispatcher,
  defineTask,
  memoryEngine,
  SkipTask,
  type TaskFigures,
} from '../../src/tasks/index.ts';
import { CallMetrics } from '../../src/tasks/signals/call-metrics.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, fetchAndDie, hangs, passing, pause, rigOf, untilCanceled } from './kit.ts';

function figuresOf(dispatcher: Dispatcher, task: string): TaskFigures {
  const found = dispatcher.metrics().tasks.filter((figures) => figures.task === task);
  assert.equal(found.length, 1, `${found.length} figures of ${task}`);
  return found[0]!;
}

/** How often an operation was asked for, failed, and was refused. */
function operationOf(dispatcher: Dispatcher, name: string): readonly number[] {
  const found = dispatcher.metrics().engine.find(({ operation }) => operation === name);
  return found === undefined ? [0, 0, 0] : [found.calls, found.errors, found.refused];
}

test(
  'calls are counted by task and queue, and those that ended by how they ended',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      overridable: ['queue'],
      timeoutMs: 100,
      stallAfterMs: 50,
      retry: { attempts: 2, baseMs: 0 },
      run: async (ctx: CallContext, how: string) => {
        if (how === 'fail') throw new Error('boom');
        if (how === 'skip') throw new SkipTask('never');
        if (how === 'recover' && ctx.attempt === 1) throw new Error('at first');
        if (how === 'hang') await untilCanceled(ctx);
        if (how === 'stall') await untilCanceled(ctx);
        return how;
      },
    });
    const slow = defineTask({ name: 'slow', timeoutMs: 100, run: untilCanceled });
    await using rig = await rigOf([task, slow], { clock, queues: { default: {}, other: {} } });
    const { dispatcher } = rig;
    const calls = await dispatcher.submitMany(task, ['fine', 'fine', 'fail', 'skip', 'recover', 'stall']);
    await dispatcher.submit(task, 'fine', { queue: 'other' });
    await dispatcher.submit(slow, undefined);
    const canceled = await dispatcher.submit(task, 'hang');
    await clock.advance(10);
    await canceled.cancel();
    await passing(clock, Promise.allSettled(calls.map((call) => call.result)));

    const { tasks } = dispatcher.metrics();
    const inDefault = tasks.find((figures) => figures.task === 'task' && figures.queue === 'default')!;
    const { submitted, selected, processed, retried, deadLettered } = inDefault;
    assert.deepEqual(
      { submitted, selected, retried, deadLettered },
      { submitted: 7, selected: 9, retried: 2, deadLettered: 1 },
    );
    assert.deepEqual(processed, { completed: 3, failed: 1, timedOut: 0, canceled: 1, stalled: 1, deadLettered: 1 });
    assert.equal(tasks.find(({ queue }) => queue === 'other')!.processed.completed, 1);
    assert.equal(figuresOf(dispatcher, 'slow').processed.timedOut, 1);
    assert.equal(dispatcher.metrics().cancellationsRequested, 1);
  }),
);

test(
  'times are of the run, of the queue from when the call was due, and of the whole way with its pauses',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      retry: { attempts: 2, baseMs: 1_000, backoff: 'constant', jitter: 'none' },
      run: async ({ attempt }: CallContext) => {
        await pause(clock, 100);
        if (attempt === 1) throw new Error('at first');
      },
    });
    const engine = memoryEngine({ clock });
    const early = new Dispatcher({ tasks: [task], engine });
    const call = await early.submit(task, undefined, { delayMs: 500 });
    await clock.advance(800);
    await using rig = await rigOf(task, { clock, engine });
    await clock.advance(2_000);
    await call.result;
    const { executionTime, timeInQueue, endToEndLatency } = figuresOf(rig.dispatcher, 'task');
    assert.deepEqual([executionTime.count, executionTime.minMs, executionTime.maxMs], [2, 100, 100]);
    assert.deepEqual([timeInQueue.count, timeInQueue.minMs, timeInQueue.maxMs], [2, 0, 300]);
    assert.deepEqual([endToEndLatency.count, endToEndLatency.sumMs], [1, 800 + 100 + 1_000 + 100]);
    assert.equal(figuresOf(early, 'task').submitted, 1);
    await early.stop();
  }),
);

test(
  'a call that waits for a worker is in the queue until its function begins',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({ name: 'task', run: () => pause(clock, 100) });
    await using rig = await rigOf(task, { clock, concurrency: 1 });
    const calls = await rig.dispatcher.submitMany(task, [1, 2]);
    await passing(clock, Promise.all(calls.map((call) => call.result)));
    const { timeInQueue, executionTime } = figuresOf(rig.dispatcher, 'task');
    assert.deepEqual([timeInQueue.minMs, timeInQueue.maxMs], [0, 100]);
    assert.equal(executionTime.maxMs, 100);
  }),
);

test(
  'the engine is counted by operation: asked, failed, refused; a failed poll is a fetch that failed',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine });
    const { dispatcher } = rig;
    engine.failNext('fetch', { times: 2 });
    engine.failNext('ack', { times: 1 });
    const call = await dispatcher.submit(echo, 'x');
    assert.equal(await passing(clock, call.result), 'x');
    assert.deepEqual(operationOf(dispatcher, 'submit'), [1, 0, 0]);
    assert.equal(operationOf(dispatcher, 'fetch')[1], 2);
    assert.deepEqual(operationOf(dispatcher, 'ack'), [2, 1, 0]);
    assert.deepEqual(operationOf(dispatcher, 'begin'), [1, 0, 0]);
    await assert.rejects(call.cancel());
    assert.deepEqual(operationOf(dispatcher, 'cancel'), [1, 0, 1]);
    assert.equal(dispatcher.metrics().cancellationsRequested, 0);
    engine.failNext('submit');
    await assert.rejects(dispatcher.submit(echo, 'y'));
    assert.deepEqual(operationOf(dispatcher, 'submit'), [2, 1, 0]);
    assert.equal(figuresOf(dispatcher, 'echo').submitted, 1);
  }),
);

test(
  'a call whose task is not registered is counted, and is a dead letter; one whose runs were lost is counted too',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const mortal = defineTask({ name: 'mortal', onWorkerLost: 'fail', run: () => 1 });
    const elsewhere = new Dispatcher({ tasks: [hangs, mortal], engine });
    await elsewhere.submit(mortal, undefined);
    await fetchAndDie(engine, 1, 1_000);
    await elsewhere.submit(hangs, undefined);
    await using rig = await rigOf([echo, mortal], { clock, engine });
    await clock.advance(5_000);
    const unknown = figuresOf(rig.dispatcher, 'hangs');
    assert.deepEqual([unknown.noHandler, unknown.processed.deadLettered, unknown.executionTime.count], [1, 1, 0]);
    const lost = figuresOf(rig.dispatcher, 'mortal');
    assert.deepEqual([lost.noHandler, lost.processed.failed, lost.executionTime.count], [0, 1, 0]);
    await elsewhere.stop();
  }),
);

test(
  'a call that is refused is counted once the engine knows, however often it is fetched until then',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine });
    const elsewhere = new Dispatcher({ tasks: [hangs], engine });
    engine.failNext('fail', { times: 5 });
    await elsewhere.submit(hangs, undefined);
    await clock.advance(60_000);
    const { selected, noHandler, processed } = figuresOf(rig.dispatcher, 'hangs');
    assert.deepEqual([selected, noHandler, processed.deadLettered], [2, 1, 1]);
    await elsewhere.stop();
  }),
);

test(
  'runs that a stop hands back are counted as requeued, those whose lease is lost as lost, and neither is timed',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const rig = await rigOf(hangs, { clock, engine });
    await rig.dispatcher.submit(hangs, undefined);
    await clock.advance(1);
    await engine.begin(rig.dispatcher.name, { onWake() {}, onCancel() {}, onMessage() {} });
    await clock.advance(20_000);
    await rig[Symbol.asyncDispose]();
    const { lost, requeued, processed, executionTime } = figuresOf(rig.dispatcher, 'hangs');
    assert.deepEqual([lost, requeued, executionTime.count], [1, 1, 0]);
    assert.deepEqual(new Set(Object.values(processed)), new Set([0]));
  }),
);

test(
  'no more than a thousand tasks and queues are told apart, however many there are',
  withLeakCheck(async () => {
    const metrics = new CallMetrics();
    for (let i = 0; i < 5_000; i++) metrics.submitted(`task ${i % 100}`, `queue ${i}`);
    metrics.submitted('task 3', 'queue 3');
    const { tasks } = metrics.snapshot();
    assert.equal(tasks.length, 1_000);
    assert.equal(tasks.find(({ task }) => task === 'other')!.submitted, 4_001);
    assert.equal(tasks.find(({ queue }) => queue === 'queue 3')!.submitted, 2);

    for (let i = 0; i < 2_000; i++) metrics.scheduleTick(`schedule ${i}`, 1, 'fired');
    const { schedules } = metrics.snapshot();
    assert.equal(schedules.length, 1_000);
    assert.deepEqual(schedules.find(({ schedule }) => schedule === 'other')!.ticks, { fired: 1_001 });
  }),
);

test(
  'ticks of schedules are counted by what came of them, and those that were fired by how late',
  withLeakCheck(async () => {
    const metrics = new CallMetrics();
    metrics.scheduleTick('nightly', 5, 'fired');
    metrics.scheduleTick('nightly', 25, 'skipped');
    const [nightly] = metrics.snapshot().schedules;
    assert.deepEqual(nightly!.ticks, { fired: 1, skipped: 1 });
    assert.deepEqual([nightly!.dispatchLatency.count, nightly!.dispatchLatency.maxMs], [1, 5]);
  }),
);

test(
  'a snapshot stays as it was',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    await rig.dispatcher.call(echo, 1);
    const before = rig.dispatcher.metrics();
    const copy = structuredClone(before);
    await rig.dispatcher.call(echo, 2);
    assert.deepEqual(before, copy);
    assert.notDeepEqual(rig.dispatcher.metrics(), before);
  }),
);
