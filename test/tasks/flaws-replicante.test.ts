/** The flaws of Replicante's tasks that its table names: that registered tasks haven't got them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CallContext, CallEndedError, defineTask, memoryEngine, StaleLeaseError } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failing, failureOf, fetchAndDie, hangs, passing, pause, rigOf, settle, within } from './kit.ts';

test(
  'Replicante flaw: one retry at the head blocks shorter ones behind it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: string[] = [];
    const task = defineTask({
      name: 'task',
      retry: { attempts: 2, backoff: (_, error) => Number((error as Error).message) },
      run: ({ attempt }: CallContext, ms: number) => {
        if (attempt === 1) throw new Error(`${ms}`);
        starts.push(`${ms} at ${clock.now()}`);
      },
    });
    await using rig = await rigOf(task, { clock, concurrency: 1 });
    await rig.dispatcher.submitMany(task, [20_000, 10, 300]);
    await clock.advance(300);
    assert.deepEqual(starts, ['10 at 10', '300 at 300']);
  }),
);

test(
  "Replicante flaw: a retry that can't be parsed starves the main queue",
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', run: ({ principals }) => principals });
    await using rig = await rigOf(task, { concurrency: 1 });
    const call = await rig.dispatcher.submit(task, 1);
    await call.result;
    const record = await rig.engine.get(call.id);
    for (const [id, broken] of [
      ['input', { input: '{' }],
      ['context', { context: '{' }],
      ['overrides', { overrides: '{' }],
    ] as const) {
      await rig.engine.submit({ ...record!, id, priority: 99, ...broken });
    }
    assert.deepEqual(await within(rig.dispatcher.call(task, 2)), []);
    for (const id of ['input', 'context', 'overrides']) {
      assert.equal((await rig.engine.get(id))?.state, 'deadLettered', id);
    }
  }),
);

test(
  'Replicante flaw: a lease shorter than the task runs it twice (no renewal)',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let runs = 0;
    const task = defineTask({
      name: 'task',
      run: () => {
        runs++;
        return pause(clock, 10_000);
      },
    });
    await using rig = await rigOf(task, { clock, leaseMs: 300 });
    await using _ = await rigOf(task, { clock, engine: rig.engine, leaseMs: 300 });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(10_000);
    assert.deepEqual([call.status, runs], ['completed', 1]);
  }),
);

test(
  'Replicante flaw: ack by id without a token deletes a live redelivery',
  withLeakCheck(async () => {
    await using rig = await rigOf(hangs, { queues: { none: {} } });
    const call = await rig.dispatcher.submit(hangs, undefined);
    const [late] = await fetchAndDie(rig.engine, 1, 1_000);
    await rig.dispatcher.setQueues({ default: {} });
    await rig.clock.advance(1_000);
    assert.equal(call.status, 'started', 'somebody else has it');
    await assert.rejects(rig.engine.ack(late!.lease, '"late"'), StaleLeaseError);
    await assert.rejects(rig.engine.fail(late!.lease, { error: '{}', then: 'failed' }), StaleLeaseError);
    assert.equal(call.status, 'started');
  }),
);

test(
  'Replicante flaw: failed acks never retried',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine });
    engine.failNext('ack', { times: 3 });
    const call = await rig.dispatcher.submit(echo, 'once');
    await clock.advance(5_000);
    assert.deepEqual([call.status, call.info.attempt], ['completed', 1]);
  }),
);

test(
  'Replicante flaw: a cancelled fetch loses the delivery',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const call = await (async () => {
      await using rig = await rigOf(echo, { clock, engine });
      engine.slowDown(500);
      const submitting = rig.dispatcher.submit(echo, 'kept');
      await clock.advance(100);
      // A fetch is under way now, and has taken the call: its answer comes too late.
      await passing(clock, rig.dispatcher.stop({ graceMs: 0, timeoutMs: 0 }));
      engine.slowDown(0);
      return submitting;
    })();
    await using _ = await rigOf(echo, { clock, engine, leaseMs: 1_000 });
    await clock.advance(60_000);
    assert.equal(call.status, 'completed');
  }),
);

test(
  'Replicante flaw: exhausted rows stay for ever',
  withLeakCheck(async () => {
    const task = failing(9, { retry: { attempts: 2, baseMs: 0 } });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await failureOf(call);
    await rig.dispatcher.stop();
    await rig.clock.advance(86_400_000);
    assert.equal(await rig.dispatcher.calls.get(call.id), undefined);
  }),
);

test(
  'Replicante flaw: sub-second delays cut to 0',
  withLeakCheck(async () => {
    const task = failing(1, { retry: { attempts: 2, baseMs: 250 } });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined, { delayMs: 0.5 });
    await settle();
    assert.deepEqual([call.status, call.info.dueAt], ['scheduled', 0.5]);
    await rig.clock.advance(250);
    assert.deepEqual([call.status, call.info.dueAt], ['scheduled', 250.5]);
  }),
);

test(
  'Replicante flaw: queue names spliced into SQL',
  withLeakCheck(async () => {
    const names = ["'; DROP TABLE calls; --", 'a:b', '42', '__proto__', 'ünï 🐙', '%'];
    for (const queue of names) {
      const task = defineTask({ name: queue, queue, concurrency: 1, rateLimit: { limit: 9 }, run: (ctx) => ctx.queue });
      await using rig = await rigOf(task, { queues: Object.fromEntries([[queue, { rateLimit: { limit: 9 } }]]) });
      assert.equal(await within(rig.dispatcher.call(task, undefined)), queue);
      await using byDefault = await rigOf(task);
      assert.equal(await within(byDefault.dispatcher.call(task, undefined)), queue);
    }
  }),
);

test(
  "Replicante flaw: submit doesn't wake the poller",
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    await rig.clock.advance(1);
    assert.equal(await within(rig.dispatcher.call(echo, 'at once')), 'at once', 'no time has to pass');
  }),
);

test(
  'Replicante flaw: the deadlock of the seed: long tasks, and a retry at the head that is not due, leave the consumer unpolled',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const long = defineTask({ name: 'long', run: () => pause(clock, 600_000) });
    const task = failing(1, { retry: { attempts: 2, backoff: 'constant', baseMs: 20_000 } });
    await using rig = await rigOf([long, task, echo], { clock, concurrency: 4, leaseMs: 1_000 });
    const longs = await rig.dispatcher.submitMany(long, [1, 2, 3]);
    const retried = await rig.dispatcher.submit(task, undefined);
    await clock.advance(10_000);
    assert.equal(retried.status, 'scheduled');
    for (let i = 0; i < 10; i++) assert.equal(await within(rig.dispatcher.call(echo, i)), i);
    await clock.advance(10_000);
    assert.equal(retried.status, 'completed');
    assert.deepEqual(
      longs.map(({ info }) => [info.state, info.attempt]),
      Array(3).fill(['started', 1]),
      'nobody has taken them away',
    );
    await rig.dispatcher.cancel({ task: 'long' });
    await assert.rejects(retried.cancel(), CallEndedError);
  }),
);
