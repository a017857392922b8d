/**
 * Each feature of Replicante's tasks, by the name of its row in the table of what registered tasks are to be a match
 * for. What it means in all its corners is in the tests of its own; here is that it is there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  type CallContext,
  Dispatcher,
  defineTask,
  memoryEngine,
  SkipTask,
  TaskRegistry,
} from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, echo, failing, failureOf, hangs, passing, pause, rigOf, settle, statesOf } from './kit.ts';

test(
  'Replicante: Queue',
  withLeakCheck(async () => {
    assert.throws(() => defineTask({ name: 'task', queue: '', run: () => 1 }), RangeError);
    const task = defineTask({ name: 'task', queue: 'typed', retry: { attempts: 2, baseMs: 0 }, run: () => 1 });
    const queues = { typed: { concurrency: 1, rateLimit: { limit: 9 } } };
    await using rig = await rigOf(task, { queues });
    assert.equal(await rig.dispatcher.call(task, undefined), 1);
    await assert.rejects(rig.dispatcher.setQueues({ typed: { rate: 1 } as object }), TypeError);
  }),
);

test(
  'Replicante: Request',
  withLeakCheck(async () => {
    const seen: string[] = [];
    const task = defineTask({
      name: 'task',
      retry: { attempts: 2, baseMs: 0 },
      run: ({ id, attempt, headers: { trace } }) => {
        seen.push(`${id} ${attempt} ${trace}`);
        if (attempt === 1) throw new Error('boom');
      },
    });
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(task, { clock, engine });
    engine.failNext('submit');
    await assert.rejects(rig.dispatcher.submit(task, undefined), /submit has failed/);
    const call = await rig.dispatcher.submit(task, undefined, { context: { headers: { trace: 't1' } } });
    assert.ok(await engine.get(call.id), 'it is stored');
    await call.result;
    assert.deepEqual(seen, [`${call.id} 1 t1`, `${call.id} 2 t1`]);
  }),
);

test(
  'Replicante: Handler',
  withLeakCheck(async () => {
    const other = defineTask({ name: 'echo', run: () => 'another handler' });
    assert.throws(() => new Dispatcher({ tasks: [echo, other] }), TypeError);
  }),
);

test(
  'Replicante: Acks',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      run: (_ctx: CallContext, how: string) => {
        if (how === 'fail') throw new Error('boom');
        if (how === 'skip') throw new SkipTask('never');
        return how;
      },
    });
    await using rig = await rigOf(task);
    const calls = await rig.dispatcher.submitMany(task, ['success', 'fail', 'skip']);
    await settle();
    assert.deepEqual(statesOf(calls), ['completed', 'failed', 'deadLettered']);
  }),
);

test(
  'Replicante: Retry',
  withLeakCheck(async () => {
    const task = failing(9, { retry: { attempts: 2, baseMs: 1_000 }, deadLetter: true });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    assert.deepEqual([call.status, call.info.attempt, call.info.dueAt], ['scheduled', 1, 1_000]);
    await rig.clock.advance(1_000);
    assert.deepEqual([call.status, call.info.attempt], ['deadLettered', 2], 'at the limit it is skipped');
  }),
);

test(
  'Replicante: Skip',
  withLeakCheck(async () => {
    let skips = true;
    const task = defineTask({
      name: 'task',
      run: () => {
        if (skips) throw new SkipTask('not now');
        return 'replayed';
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await failureOf(call);
    skips = false;
    await rig.dispatcher.deadLetters.resubmit(call.id);
    assert.equal(await (await rig.dispatcher.calls.get(call.id))?.result, 'replayed');
  }),
);

test(
  'Replicante: Bookkeeping (seed)',
  withLeakCheck(async () => {
    const gates = [deferred(), deferred(), deferred()];
    const task = defineTask({ name: 'task', run: (_ctx: CallContext, i: number) => gates[i]!.promise });
    await using rig = await rigOf(task);
    const calls = await rig.dispatcher.submitMany(task, [0, 1, 2]);
    await settle();
    gates[1]!.resolve();
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'completed', 'started'], 'acked out of order, each for itself');
    for (const gate of gates) gate.resolve();
  }),
);

test(
  'Replicante: Hard reset (seed)',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      run: ({ attempt }) => (attempt === 1 ? gate.promise.then(() => 1) : attempt),
    });
    await using rig = await rigOf(task, { clock, engine });
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    assert.deepEqual([call.status, call.info.attempt], ['started', 1]);
    engine.failNext('renew', { times: 100 });
    await clock.advance(60_000);
    gate.resolve();
    await clock.advance(60_000);
    assert.deepEqual(
      [call.status, call.info.attempt, call.info.output],
      ['completed', 2, 2],
      'the late ack is ignored',
    );
  }),
);

test(
  'Replicante: Retry store + mover (seed)',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const task = failing(1, { retry: { attempts: 2, baseMs: 60_000 } });
    const call = await (async () => {
      await using rig = await rigOf(task, { clock, engine });
      const failed = await rig.dispatcher.submit(task, undefined);
      await settle();
      return failed;
    })();
    assert.equal(call.status, 'scheduled', 'the retry waits with the engine, not with who has died');
    await using _ = await rigOf(task, { clock, engine });
    await clock.advance(60_000);
    assert.equal(call.status, 'completed');
  }),
);

test(
  'Replicante: Workers',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(hangs, { clock, engine, concurrency: 3 });
    const calls = await rig.dispatcher.submitMany(hangs, Array(9).fill(1));
    await clock.advance(60_000);
    assert.equal(statesOf(calls).filter((state) => state === 'started').length, 3);
    const fetches = engine.calls('fetch');
    await clock.advance(60_000);
    assert.equal(engine.calls('fetch'), fetches, 'it fetches nothing while it is full');
  }),
);

test(
  'Replicante: Backend errors',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine });
    const failures: number[] = [];
    rig.dispatcher.on('engineFailed', (failure) => failures.push(failure.failures));
    const call = await rig.dispatcher.submit(echo, 1, { delayMs: 1 });
    engine.failNext('fetch', { times: 3 });
    await clock.advance(10_000);
    assert.deepEqual(failures, [1, 2, 3]);
    assert.equal(call.status, 'completed');
    engine.failNext('fetch');
    await rig.dispatcher.submit(echo, 1);
    await clock.advance(10_000);
    assert.deepEqual(failures, [1, 2, 3, 1], 'a success begins the count anew');
  }),
);

test(
  'Replicante: Shutdown',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      run: () => pause(clock, 100),
    });
    await using rig = await rigOf(task, { clock, concurrency: 1 });
    const calls = await rig.dispatcher.submitMany(task, [1, 2]);
    await settle();
    await passing(clock, rig.dispatcher.stop());
    assert.deepEqual(statesOf(calls), ['completed', 'queued']);
    await using _ = await rigOf(task, { clock, engine: rig.engine });
    await clock.advance(100);
    assert.equal(calls[1]!.status, 'completed');
  }),
);

test(
  'Replicante: Election, locks',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const primary = await engine.lock('primary', 'a', 1_000);
    assert.equal(await engine.lock('primary', 'b', 1_000), undefined);
    await clock.advance(999);
    assert.equal(await primary!.renew(1_000), true);
    await clock.advance(1_000);
    const next = await engine.lock('primary', 'b', 1_000);
    assert.ok(next!.token > primary!.token);
    assert.equal(await primary!.renew(1_000), false, 'it knows that it has to step down');
    await engine.close();
  }),
);

test(
  'Replicante: Mocks',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([echo]);
    registry.replace('echo', () => 'mock');
    await using rig = await rigOf(registry);
    assert.equal(await rig.dispatcher.call(echo, 'real'), 'mock');
  }),
);

test(
  'Replicante: Election, locks: a schedule is taken over when who fires it steps down, or dies in the middle of it',
  withLeakCheck(async () => {
    const runs: string[] = [];
    const task = defineTask({ name: 'task', run: ({ headers }) => void runs.push(headers['scheduled-at']!) });
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const held = await engine.lock('schedule:primary', 'one that has died', 10_000);
    await using one = await rigOf(task, { clock, engine });
    await using two = await rigOf(task, { clock, engine });
    for (const { dispatcher } of [one, two]) await dispatcher.every(5_000, task, undefined, { name: 'primary' });
    await clock.advance(5_000);
    assert.deepEqual(runs, []);
    await clock.advance(6_000);
    assert.equal(await held!.renew(1), false);
    assert.equal(runs.length, 1);
    await one.dispatcher.stop();
    await clock.advance(5_000);
    assert.deepEqual(
      runs.map((at) => Date.parse(at)),
      [10_000, 15_000],
    );
  }),
);

test(
  'Replicante: Metrics',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const elsewhere = new Dispatcher({ tasks: [hangs], engine });
    await elsewhere.submit(hangs, undefined);
    engine.failNext('fetch');
    engine.failNext('ack');
    await using rig = await rigOf(echo, { clock, engine });
    assert.equal(await passing(clock, rig.dispatcher.call(echo, 1)), 1);
    const { tasks, engine: operations } = rig.dispatcher.metrics();
    const of = (name: string) => operations.find(({ operation }) => operation === name)!;
    assert.deepEqual([of('ack').calls, of('ack').errors, of('submit').calls, of('fetch').errors], [2, 1, 1, 1]);
    assert.deepEqual(tasks.map(({ task, selected, noHandler }) => [task, selected, noHandler]).sort(), [
      ['echo', 1, 0],
      ['hangs', 1, 1],
    ]);
    await elsewhere.stop();
  }),
);

test(
  'Replicante: Admin',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo, { queues: {} });
    const reading = new Dispatcher({ tasks: [echo], engine: rig.engine });
    await rig.dispatcher.submitMany(echo, [{ path: 'a' }, { path: 7 }]);
    const next = z.object({ path: z.string() });
    const waiting = await reading.control.queued({ task: 'echo' });
    assert.deepEqual(
      waiting.map(({ input }) => next.safeParse(input).success),
      [false, true],
      'validated before an upgrade',
    );
    assert.deepEqual(await rig.engine.count({ state: 'queued' }), await rig.engine.count({}), 'only read');
    await reading.stop();
  }),
);
