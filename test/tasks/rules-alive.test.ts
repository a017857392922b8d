/** Whether a run is alive: heartbeats, stalls, and runs that are lost with their process. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CallContext, defineTask, StalledError, WorkerLostError } from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, failureOf, fetchAndDie, pause, rigOf, settle, untilCanceled } from './kit.ts';

// ---- heartbeats ------------------------------------------------------------------------------------------------------

test(
  'a heartbeat says where a call is, and when it was there',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: new Date(2_024, 0, 1, 14, 5).getTime() });
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        ctx.heartbeat();
        await pause(clock, 1_000);
        ctx.heartbeat('3/9');
        await pause(clock, 30_000);
        ctx.heartbeat();
        await pause(clock, 1_000);
        ctx.progress({ done: 0.5 });
        await pause(clock, 1_000);
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(0);
    assert.equal(call.info.where, 'last seen at 14:05:00');
    await clock.advance(1_000);
    assert.equal(call.info.where, 'last at step 3/9 at 14:05:01');
    assert.equal(call.info.step, '3/9');
    assert.equal(call.info.heartbeatAt, clock.timeOrigin + 1_000);
    await clock.advance(30_000);
    assert.equal(call.info.where, 'last at step 3/9 at 14:05:31');
    await clock.advance(1_000);
    assert.equal(call.info.where, 'last at step 3/9 at 14:05:32', 'progress is a sign of life too');
    assert.deepEqual(call.progress, { done: 0.5 });
    await clock.advance(1_000);
    assert.equal(call.status, 'completed');
    assert.equal(call.info.step, '3/9', 'it is still known afterwards');
  }),
);

test(
  'another attempt begins with no step and no progress',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      retry: { attempts: 2, baseMs: 0 },
      run: async (ctx) => {
        if (ctx.attempt === 2) return gate.promise;
        ctx.heartbeat('1/2');
        ctx.progress(1);
        throw new Error('boom');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    assert.equal(call.info.attempt, 2);
    assert.deepEqual([call.info.step, call.info.where, call.progress], [undefined, undefined, undefined]);
    gate.resolve();
  }),
);

// ---- stalls ----------------------------------------------------------------------------------------------------------

test(
  'a run that gives no heartbeat for too long is stalled: its signal fires, and the call ends so',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const contexts: CallContext[] = [];
    const task = defineTask({
      name: 'freezes',
      stallAfterMs: 100,
      retry: { attempts: 3 },
      run: async (ctx) => {
        contexts.push(ctx);
        await pause(clock, 90);
        ctx.heartbeat('2/2');
        await untilCanceled(ctx);
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(189);
    assert.equal(call.status, 'started');
    await clock.advance(1);
    assert.ok(contexts[0]!.signal.reason instanceof StalledError);
    assert.ok((await failureOf(call)) instanceof StalledError);
    assert.equal(call.status, 'stalled');
    assert.equal(call.info.step, '2/2', 'one sees where');
    assert.equal(contexts.length, 1, "onStall is 'fail' by default");
  }),
);

test(
  'a run that beats, or says how far it is, in time never stalls',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'slow',
      stallAfterMs: 100,
      run: async (ctx) => {
        for (let i = 0; i < 50; i++) {
          await pause(clock, 99);
          if (i % 2 === 0) ctx.heartbeat();
          else ctx.progress(i);
        }
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(10_000);
    assert.equal(call.status, 'completed');
  }),
);

test(
  'the time in the queue and before the retry is no stall',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'fails once',
      stallAfterMs: 100,
      retry: { attempts: 2, backoff: 'constant', baseMs: 1_000 },
      run: async ({ attempt }) => {
        await pause(clock, 90);
        if (attempt === 1) throw new Error('boom');
      },
    });
    await using rig = await rigOf(task, { clock, concurrency: 1 });
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3]);
    await clock.advance(5_000);
    for (const call of calls) assert.equal(call.status, 'completed');
  }),
);

test(
  'a stalled run goes on as after a failed attempt where onStall says so, and is stalled when there is none left',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: number[] = [];
    const task = defineTask({
      name: 'freezes',
      stallAfterMs: 100,
      onStall: 'retry',
      retry: { attempts: 3, backoff: 'constant', baseMs: 50 },
      run: async (ctx) => {
        starts.push(clock.now());
        await untilCanceled(ctx);
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(120);
    assert.equal(call.status, 'scheduled');
    assert.ok(call.info.error instanceof StalledError);
    await clock.advance(1_000);
    assert.deepEqual(starts, [0, 150, 300]);
    assert.equal(call.status, 'stalled');
  }),
);

test(
  'a stalled call is a dead letter where the definition says so',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'freezes', stallAfterMs: 100, deadLetter: true, run: untilCanceled });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(100);
    assert.equal(call.status, 'deadLettered');
    assert.ok((await rig.dispatcher.deadLetters.get(call.id))?.error instanceof StalledError);
  }),
);

for (const ending of ['returns', 'throws'] as const) {
  test(
    `what a stalled run ${ending} at last changes nothing`,
    withLeakCheck(async () => {
      const gate = deferred();
      const task = defineTask({
        name: 'freezes',
        stallAfterMs: 100,
        run: async () => {
          await gate.promise;
          if (ending === 'throws') throw new Error('late');
          return 'late';
        },
      });
      await using rig = await rigOf(task);
      const call = await rig.dispatcher.submit(task, undefined);
      await rig.clock.advance(500);
      gate.resolve();
      await settle();
      assert.equal(call.status, 'stalled');
      assert.equal(call.info.output, undefined);
      assert.ok((await failureOf(call)) instanceof StalledError);
    }),
  );
}

test(
  'a run that has timed out, and ignores it, has not stalled',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'deaf',
      timeoutMs: 50,
      stallAfterMs: 100,
      run: () => pause(clock, 500),
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(500);
    assert.equal(call.status, 'timedOut');
  }),
);

// ---- lost workers ----------------------------------------------------------------------------------------------------

test(
  'a call whose worker died runs again when its lease has expired, as another attempt',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', run: ({ attempt }) => attempt });
    await using rig = await rigOf(task, { queues: { other: {} } });
    const call = await rig.dispatcher.submit(task, undefined);
    await fetchAndDie(rig.engine, 1, 1_000);
    await rig.dispatcher.setQueues({ default: {} });
    await rig.clock.advance(999);
    assert.equal(call.status, 'started');
    await rig.clock.advance(1);
    assert.equal(await call.result, 2);
  }),
);

test(
  'a call whose worker died fails where onWorkerLost says so, and its function is not called',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'charge',
      onWorkerLost: 'fail',
      retry: { attempts: 5 },
      run: () => assert.fail('it must not run twice'),
    });
    await using rig = await rigOf(task, { queues: { other: {} } });
    const call = await rig.dispatcher.submit(task, undefined);
    await fetchAndDie(rig.engine, 1, 1_000);
    await rig.dispatcher.setQueues({ default: {} });
    await rig.clock.advance(1_000);
    const failure = await failureOf(call);
    assert.ok(failure instanceof WorkerLostError);
    assert.equal(failure.message, 'run 1 of charge was lost with its dispatcher');
    assert.equal(call.status, 'failed');
  }),
);

test(
  'a call whose worker died is a dead letter where both are said',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'charge', onWorkerLost: 'fail', deadLetter: true, run: () => 'charged' });
    await using rig = await rigOf(task, { queues: { other: {} } });
    const call = await rig.dispatcher.submit(task, undefined);
    await fetchAndDie(rig.engine, 1, 1_000);
    await rig.dispatcher.setQueues({ default: {} });
    await rig.clock.advance(1_000);
    assert.equal(call.status, 'deadLettered');
    await rig.dispatcher.deadLetters.resubmit(call.id);
    assert.equal(await (await rig.dispatcher.calls.get(call.id))!.result, 'charged', 'somebody has looked into it');
  }),
);

for (const [attempts, most] of [
  [1, 4],
  [3, 6],
] as const) {
  test(
    `what its workers die of is given up in the end: with ${attempts} attempts after ${most} lost runs`,
    withLeakCheck(async () => {
      const task = defineTask({ name: 'poison', retry: { attempts }, run: () => 'survived' });
      await using rig = await rigOf(task, { queues: { other: {} } });
      const call = await rig.dispatcher.submit(task, undefined);
      for (let i = 0; i < most; i++) {
        assert.equal((await fetchAndDie(rig.engine, 1, 1_000)).length, 1);
        await rig.clock.advance(1_000);
      }
      await rig.dispatcher.setQueues({ default: {} });
      const failure = await failureOf(call);
      assert.ok(failure instanceof WorkerLostError);
      assert.equal(call.status, 'failed');
    }),
  );
}

test(
  'one lost run fewer, and it still has its chance',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'unlucky', run: () => 'survived' });
    await using rig = await rigOf(task, { queues: { other: {} } });
    const call = await rig.dispatcher.submit(task, undefined);
    for (let i = 0; i < 3; i++) {
      await fetchAndDie(rig.engine, 1, 1_000);
      await rig.clock.advance(1_000);
    }
    await rig.dispatcher.setQueues({ default: {} });
    assert.equal(await call.result, 'survived');
  }),
);

test(
  'a run that was lost is told apart from one that has failed since',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      onWorkerLost: 'retry',
      retry: { attempts: 9, baseMs: 0 },
      run: ({ attempt }) => {
        if (attempt < 8) throw new Error('boom');
        return attempt;
      },
    });
    await using rig = await rigOf(task, { queues: { other: {} } });
    const call = await rig.dispatcher.submit(task, undefined);
    await fetchAndDie(rig.engine, 1, 1_000);
    await rig.clock.advance(1_000);
    await rig.dispatcher.setQueues({ default: {} });
    assert.equal(await call.result, 8);
  }),
);

test(
  'a long run keeps its lease, and nobody else gets the call',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let runs = 0;
    const task = defineTask({
      name: 'long',
      run: async () => {
        runs++;
        await pause(clock, 60_000);
      },
    });
    await using rig = await rigOf(task, { clock, leaseMs: 1_000 });
    await using _ = await rigOf(task, { clock, engine: rig.engine, leaseMs: 1_000 });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(60_000);
    assert.equal(call.status, 'completed');
    assert.equal(runs, 1);
  }),
);
