/** What becomes of calls when the engine fails, in whatever way: they are run at least once, and it all goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CallContext,
  Dispatcher,
  defineTask,
  memoryEngine,
  StaleLeaseError,
  WorkerLostError,
} from '../../src/tasks/index.ts';
import { type FaultyEngine, faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, mortal, noop, passing, rigOf, settle, stateOf, statesOf, untilCanceled, within } from './kit.ts';

const echo = defineTask({ name: 'echo', run: (_ctx, input: unknown) => input });

function faults(): { clock: VirtualClock; engine: FaultyEngine } {
  const clock = new VirtualClock();
  return { clock, engine: faultyEngine(memoryEngine({ clock })) };
}

/** A task whose runs wait for their gates, and what becomes of them. */
function gated(options: { readonly retry?: { readonly attempts: number } } = {}) {
  const runs: { readonly ctx: CallContext; readonly gate: ReturnType<typeof deferred<unknown>> }[] = [];
  const task = defineTask({
    name: 'gated',
    ...options,
    run: async (ctx) => {
      const gate = deferred<unknown>();
      runs.push({ ctx, gate });
      return Promise.race([gate.promise, ctx.done()]);
    },
  });
  return { task, runs };
}

// ---- at the start ----------------------------------------------------------------------------------------------------

test(
  'an engine that is down at the start is tried again and again, ever more slowly, until it is reached',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    engine.goDown();
    const dispatcher = new Dispatcher({ tasks: [echo], engine });
    const failures: number[] = [];
    const times: number[] = [];
    dispatcher.on('engineFailed', (failure) => {
      assert.match(String(failure.error), /the engine is down/);
      failures.push(failure.failures);
      times.push(clock.now());
    });
    const started = dispatcher.start();
    assert.equal(dispatcher.start(), started);
    await clock.advance(60_000);
    assert.equal(await stateOf(started), 'pending');
    assert.deepEqual(
      failures,
      Array.from(failures, (_, i) => i + 1),
    );
    assert.ok(failures.length >= 12 && failures.length <= 30, `${failures.length} tries`);
    for (const [i, at] of times.slice(8).entries()) assert.ok(at - times[7 + i]! >= 2_500);
    engine.comeUp();
    await passing(clock, started);
    assert.equal(await within(dispatcher.call(echo, 7)), 7);
    await passing(clock, dispatcher.stop());
  }),
);

test(
  'an engine that cannot be told the limits delivers nothing until it can',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const starts: number[] = [];
    const task = defineTask({
      name: 'task',
      rateLimit: { limit: 1, intervalMs: 10_000 },
      run: () => starts.push(clock.now()),
    });
    engine.failNext('limit', { times: 3 });
    await using rig = await rigOf(task, { clock, engine });
    await rig.dispatcher.submitMany(task, [1, 2]);
    await settle();
    assert.deepEqual(starts, []);
    await clock.advance(5_000);
    assert.equal(starts.length, 1);
    await clock.advance(10_000);
    assert.equal(starts.length, 2);
    assert.ok(starts[1]! - starts[0]! >= 10_000);
  }),
);

test(
  'a submission that the engine fails to store rejects with its error',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    await using rig = await rigOf(echo, { clock, engine });
    const error = new Error('no space left');
    engine.failNext('submit', { error });
    await assert.rejects(rig.dispatcher.submit(echo, 1), error);
    assert.equal((await rig.dispatcher.calls.history()).length, 0);
    engine.failNext('submit', { when: 'after' });
    await assert.rejects(rig.dispatcher.submit(echo, 1, { id: 'mine' }));
    await settle();
    const call = await rig.dispatcher.submit(echo, 2, { id: 'mine' });
    assert.equal(await within(call.result), 1, 'with an id of its own it can be said again');
  }),
);

// ---- fetching --------------------------------------------------------------------------------------------------------

test(
  'a fetch that fails is made again, and what runs goes on',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const { task, runs } = gated();
    await using rig = await rigOf([task, echo], { clock, engine });
    const running = await rig.dispatcher.submit(task, 0);
    await settle();
    const failures: number[] = [];
    rig.dispatcher.on('engineFailed', (failure) => failures.push(failure.failures));
    engine.failNext('fetch', { times: 4 });
    const call = await rig.dispatcher.submit(echo, 7);
    await clock.advance(5_000);
    assert.equal(call.status, 'completed');
    assert.deepEqual(failures, [1, 2, 3, 4]);
    assert.equal(engine.calls('begin'), 1);
    runs[0]!.gate.resolve('done');
    assert.equal(await within(running.result), 'done');
  }),
);

test(
  'a fetch that fails too often begins a new life',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const { task, runs } = gated();
    await using rig = await rigOf([task, echo], { clock, engine });
    const running = await rig.dispatcher.submit(task, 0);
    await settle();
    engine.failNext('fetch', { times: 5 });
    const call = await rig.dispatcher.submit(echo, 7);
    await clock.advance(5_000);
    assert.equal(engine.calls('begin'), 2);
    assert.equal(call.status, 'completed');
    assert.equal(runs.length, 2, 'what ran is run again');
    assert.ok(runs[0]!.ctx.signal.reason instanceof StaleLeaseError);
    runs[1]!.gate.resolve('again');
    assert.equal(await within(running.result), 'again');
  }),
);

test(
  'deliveries that get lost come again when their leases have expired',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    await using rig = await rigOf(echo, { clock, engine, leaseMs: 1_000 });
    engine.loseDeliveries(2);
    const calls = await rig.dispatcher.submitMany(echo, [1, 2, 3]);
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'started', 'completed']);
    await clock.advance(1_000);
    assert.deepEqual(statesOf(calls), ['completed', 'completed', 'completed']);
    assert.equal(calls[0]!.info.attempt, 2);
  }),
);

test(
  'a fetch that is never answered does not hold up the next life',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    const hang = deferred();
    let isHanging = false;
    const engine: FaultyEngine = {
      ...faulty,
      fetch: async (request) => {
        const deliveries = await faulty.fetch(request);
        if (isHanging) await hang.promise;
        return deliveries;
      },
    };
    const { task, runs } = gated();
    await using rig = await rigOf([task, echo], { clock, engine });
    const running = await rig.dispatcher.submit(task, 0);
    await settle();
    isHanging = true;
    const late = await rig.dispatcher.submit(echo, 7);
    await settle();
    isHanging = false;
    faulty.failNext('ack', { times: 5 });
    runs[0]!.gate.resolve('first');
    await clock.advance(5_000);
    assert.equal(engine.calls('begin'), 2);
    assert.deepEqual(statesOf([running, late]), ['started', 'completed']);
    hang.resolve();
    await settle();
    assert.equal(late.info.attempt, 2);
    runs[1]!.gate.resolve('second');
    assert.equal(await within(running.result), 'second');
  }),
);

// ---- telling the end -------------------------------------------------------------------------------------------------

test(
  'an end that the engine fails to hear is told again, and the call runs once',
  withLeakCheck(async () => {
    for (const when of ['before', 'after'] as const) {
      for (const times of [1, 4]) {
        const { clock, engine } = faults();
        let runs = 0;
        const task = defineTask({ name: 'task', run: () => ++runs });
        await using rig = await rigOf(task, { clock, engine });
        const failures: number[] = [];
        rig.dispatcher.on('engineFailed', (failure) => failures.push(failure.failures));
        engine.failNext('ack', { times, when });
        const call = await rig.dispatcher.submit(task, 0);
        await clock.advance(5_000);
        assert.equal(call.status, 'completed');
        assert.equal(await within(call.result), 1);
        assert.deepEqual(
          failures,
          Array.from({ length: times }, (_, i) => i + 1),
        );
        assert.equal(engine.calls('begin'), 1);
      }
    }
  }),
);

test(
  'a failure whose reply is lost is told again, and counts once',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const attempts: number[] = [];
    const task = defineTask({
      name: 'task',
      retry: { attempts: 3, baseMs: 10 },
      run: ({ attempt }) => {
        attempts.push(attempt);
        if (attempt < 3) throw new Error('boom');
        return attempt;
      },
    });
    await using rig = await rigOf(task, { clock, engine });
    engine.failNext('fail', { times: 2, when: 'after' });
    const call = await rig.dispatcher.submit(task, 0);
    await clock.advance(5_000);
    assert.equal(await within(call.result), 3);
    assert.deepEqual(attempts, [1, 2, 3]);
  }),
);

test(
  'an end that the engine never hears begins a new life: the books are reset, late ends are ignored, all goes on as at the start',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const { task, runs } = gated();
    await using rig = await rigOf([task, echo], { clock, engine, concurrency: 4 });
    const epochs: number[] = [];
    rig.dispatcher.on('engineFailed', () => epochs.push(engine.calls('begin')));
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3]);
    await settle();
    assert.equal(runs.length, 3);
    engine.failNext('ack', { times: 5 });
    runs[0]!.gate.resolve('late');
    await clock.advance(5_000);
    assert.deepEqual(epochs, [1, 1, 1, 1, 1]);
    assert.equal(engine.calls('begin'), 2);
    assert.equal(runs.length, 6, 'all of them are run again');
    for (const { ctx } of runs.slice(1, 3)) assert.ok(ctx.signal.reason instanceof StaleLeaseError);
    for (const { ctx } of runs.slice(3)) assert.equal(ctx.attempt, 2);
    const acks = engine.calls('ack');
    for (const { gate } of runs.slice(1, 3)) gate.resolve('dropped');
    await settle();
    assert.equal(engine.calls('ack'), acks, 'nothing is said of what was dropped');
    assert.deepEqual(statesOf(calls), ['started', 'started', 'started']);
    assert.equal(await within(rig.dispatcher.call(echo, 7)), 7);
    for (const [i, { gate }] of runs.slice(3).entries()) gate.resolve(`new ${i}`);
    assert.deepEqual(await within(Promise.all(calls.map(({ result }) => result))), ['new 0', 'new 1', 'new 2']);
    assert.equal(engine.calls('begin'), 2);
  }),
);

test(
  'functions of a life that is over keep their room until they return',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const gate = deferred();
    let alive = 0;
    let most = 0;
    const deaf = defineTask({
      name: 'deaf',
      run: async () => {
        most = Math.max(most, ++alive);
        await gate.promise;
        alive--;
      },
    });
    await using rig = await rigOf([deaf, echo], { clock, engine, concurrency: 2 });
    const calls = await rig.dispatcher.submitMany(deaf, [1, 2]);
    await settle();
    engine.failNext('fetch', { times: 5 });
    await rig.dispatcher.cancel({ task: 'nobody' });
    await clock.advance(20_000);
    await rig.dispatcher.submit(deaf, 3);
    await clock.advance(1_000);
    assert.equal(most, 2);
    gate.resolve();
    await clock.advance(5_000);
    assert.equal(most, 2);
    assert.deepEqual(statesOf(calls), ['completed', 'completed']);
  }),
);

test(
  'an operation of a life that is over which fails late does no harm to the next',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    const hang = deferred();
    let hanging = 0;
    const engine: FaultyEngine = {
      ...faulty,
      ack: async (...args) => {
        if (hanging > 0) {
          hanging--;
          await hang.promise;
          throw new Error('connection reset');
        }
        await faulty.ack(...args);
      },
    };
    const { task, runs } = gated();
    await using rig = await rigOf([task, echo], { clock, engine });
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3, 4]);
    await settle();
    hanging = 3;
    for (const { gate } of runs.slice(0, 3)) gate.resolve('lost');
    await settle();
    faulty.failNext('ack', { times: 5 });
    runs[3]!.gate.resolve('lost');
    await clock.advance(5_000);
    assert.equal(engine.calls('begin'), 2);
    hang.resolve();
    await clock.advance(5_000);
    assert.equal(engine.calls('begin'), 2);
    assert.equal(runs.length, 8);
    for (const { gate } of runs.slice(4)) gate.resolve('done');
    assert.deepEqual(await within(Promise.all(calls.map(({ result }) => result))), Array(4).fill('done'));
  }),
);

test(
  'a call that cannot be refused at once is refused at last',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const unknown = defineTask({ name: 'unknown', run: noop });
    await using other = await rigOf([echo, unknown], { clock, engine, queues: {} });
    const call = await other.dispatcher.submit(unknown, 0);
    engine.failNext('fail', { times: 2 });
    await using _ = await rigOf(echo, { clock, engine });
    await clock.advance(1_000);
    assert.equal(call.status, 'deadLettered');
    assert.equal(call.info.attempt, 1);
  }),
);

// ---- leases ----------------------------------------------------------------------------------------------------------

test(
  'renewals that fail are made again in time',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const { task, runs } = gated();
    await using rig = await rigOf(task, { clock, engine, leaseMs: 9_000 });
    const call = await rig.dispatcher.submit(task, 0);
    engine.failNext('renew', { times: 3 });
    await clock.advance(60_000);
    assert.equal(runs.length, 1);
    assert.equal(engine.calls('begin'), 1);
    runs[0]!.gate.resolve('done');
    assert.equal(await within(call.result), 'done');
  }),
);

for (const [how, renew] of [
  ['fail', () => Promise.reject(new Error('connection reset'))],
  ['are never answered', () => new Promise<never>(noop)],
] as const) {
  test(
    `when renewals ${how} runs are ended before somebody else may have the call, and what they say comes too late`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const store = memoryEngine({ clock });
      const faulty = faultyEngine(store);
      const engine: FaultyEngine = { ...faulty, renew };
      const alive = new Set<number>();
      let runs = 0;
      const task = defineTask({
        name: 'task',
        run: async (ctx) => {
          const run = ++runs;
          alive.add(run);
          assert.equal(alive.size, 1);
          await Promise.race([ctx.done(), new Promise<void>((resolve) => clock.setTimeout(resolve, 5_000))]);
          alive.delete(run);
          return run;
        },
      });
      await using one = await rigOf(task, { clock, engine, leaseMs: 1_200, concurrency: 1 });
      const call = await one.dispatcher.submit(task, 0);
      await settle();
      await using _ = await rigOf(task, { clock, engine: store, leaseMs: 1_200, concurrency: 1 });
      faulty.failNext('begin', { times: 9 });
      await clock.advance(20_000);
      assert.equal(await within(call.result), 2);
      assert.equal(runs, 2);
    }),
  );
}

test(
  'a lease that the engine calls stale ends its run, and nothing is said of it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    let stale = false;
    const engine: FaultyEngine = {
      ...faulty,
      renew: async (leases, leaseMs) => (stale ? [...leases] : faulty.renew(leases, leaseMs)),
    };
    const { task, runs } = gated();
    await using rig = await rigOf(task, { clock, engine, leaseMs: 3_000 });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    stale = true;
    await clock.advance(1_000);
    assert.ok(runs[0]!.ctx.signal.reason instanceof StaleLeaseError);
    await settle();
    assert.equal(engine.calls('ack') + engine.calls('fail') + engine.calls('release'), 0);
    stale = false;
    await clock.advance(3_000);
    assert.equal(runs.length, 2);
    runs[1]!.gate.resolve('done');
    assert.equal(await within(call.result), 'done');
    assert.equal(engine.calls('begin'), 1);
  }),
);

test(
  'a call that is delivered anew while its run lives on here ends that run',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    // It says that it has renewed, and hasn't.
    const engine: FaultyEngine = { ...faulty, renew: async () => [] };
    const { task, runs } = gated();
    await using rig = await rigOf(task, { clock, engine, leaseMs: 1_000 });
    const call = await rig.dispatcher.submit(task, 0);
    await clock.advance(1_000);
    assert.equal(runs.length, 2);
    assert.ok(runs[0]!.ctx.signal.reason instanceof StaleLeaseError);
    assert.equal(runs[1]!.ctx.signal.aborted, false);
    runs[0]!.gate.resolve('old');
    await settle();
    assert.equal(call.status, 'started');
    runs[1]!.gate.resolve('new');
    assert.equal(await within(call.result), 'new');
  }),
);

test(
  'a cancel whose message gets lost is noticed when the leases are renewed',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const { task, runs } = gated();
    await using rig = await rigOf(task, { clock, engine, leaseMs: 3_000 });
    const calls = await rig.dispatcher.submitMany(task, [1, 2]);
    await settle();
    engine.deafen();
    await calls[0]!.cancel('enough');
    engine.deafen(false);
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'started']);
    await clock.advance(1_000);
    assert.deepEqual(statesOf(calls), ['canceled', 'started']);
    assert.equal(runs[1]!.ctx.signal.aborted, false);
  }),
);

// ---- what is said on the way -----------------------------------------------------------------------------------------

test(
  'a look for lost cancels that fails costs no lease: they are renewed all the same',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const { task, runs } = gated();
    await using rig = await rigOf(task, { clock, engine, leaseMs: 3_000 });
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    engine.failNext('scan', { times: 1_000 });
    await clock.advance(30_000);
    assert.equal(runs.length, 1, 'nobody else had it');
    runs[0]!.gate.resolve('done');
    assert.equal(await within(call.result), 'done');
    assert.equal((await engine.get(call.id))?.attempt, 1);
  }),
);

test(
  'what cannot be told of the way is reported, and the run goes on',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        ctx.log('lost');
        await settle(1);
        ctx.log('kept');
        return 'done';
      },
    });
    await using rig = await rigOf(task, { clock, engine });
    const reported: unknown[] = [];
    rig.dispatcher.on('error', (error) => reported.push(error));
    engine.failNext('update');
    const call = await rig.dispatcher.submit(task, 0);
    assert.equal(await within(call.result), 'done');
    assert.deepEqual(await engine.logs(call.id), ['kept']);
    assert.match(String(reported[0]), /update has failed/);
    assert.equal(reported.length, 1);
  }),
);

test(
  'the result of a step that cannot be kept is told again, and the step is not done again',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    let steps = 0;
    const task = defineTask({ name: 'task', run: (ctx) => ctx.step('one', () => ++steps) });
    await using rig = await rigOf(task, { clock, engine });
    engine.failNext('update', { times: 3 });
    const call = await rig.dispatcher.submit(task, 0);
    assert.equal(await passing(clock, call.result), 1);
    assert.equal(call.info.attempt, 1);
  }),
);

test(
  'a step ends with a StaleLeaseError when somebody else may have the call',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const errors: unknown[] = [];
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        try {
          return await ctx.step('one', () => ctx.attempt);
        } catch (error) {
          errors.push(error);
          throw error;
        }
      },
    });
    await using rig = await rigOf(task, { clock, engine, leaseMs: 1_000 });
    engine.failNext('update', { error: new StaleLeaseError() });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.ok(errors[0] instanceof StaleLeaseError);
    assert.equal(call.status, 'started', 'the engine has it as ours, until the lease expires');
    await clock.advance(1_000);
    assert.equal(await within(call.result), 2);
  }),
);

// ---- down for a while ------------------------------------------------------------------------------------------------

test(
  'an engine that is down for a while, with all kinds of work under way, loses nothing',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const engine = faultyEngine(store);
    const done = new Map<number, number>();
    const task = defineTask({
      name: 'task',
      retain: { completed: 1e9 },
      retry: { attempts: 3, baseMs: 50 },
      run: async (ctx, n: number) => {
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 100 + n));
        ctx.log('half');
        if (n % 3 === 0 && ctx.attempt === 1) throw new Error('boom');
        done.set(n, (done.get(n) ?? 0) + 1);
      },
    });
    await using rig = await rigOf(task, { clock, engine, concurrency: 5, leaseMs: 2_000 });
    const calls = await rig.dispatcher.submitMany(task, Array(60).keys());
    for (const [at, forMs] of [
      [130, 40],
      [900, 700],
      [2_500, 10_000],
    ] as const) {
      await clock.advanceTo(Math.max(at, clock.now()));
      engine.goDown();
      await clock.advance(forMs);
      engine.comeUp();
    }
    await clock.advance(60_000);
    const states = await Promise.all(calls.map(async ({ id }) => (await store.get(id))?.state));
    assert.deepEqual([...new Set(states)], ['completed']);
    assert.equal(done.size, 60);
  }),
);

// ---- crashes ---------------------------------------------------------------------------------------------------------

test(
  'the calls of a dispatcher that died are run by another when their leases have expired, and go on after their last step',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const { engine, die } = mortal(store);
    const steps: string[] = [];
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        const first = await ctx.step('first', () => steps.push(`first ${ctx.attempt}`));
        if (ctx.attempt === 1) await ctx.done();
        const second = await ctx.step('second', () => steps.push(`second ${ctx.attempt}`));
        return [first, second];
      },
    });
    await using one = await rigOf(task, { clock, engine, leaseMs: 1_000 });
    await using two = await rigOf(task, { clock, engine: store, leaseMs: 1_000, queues: {} });
    const call = await two.dispatcher.submit(task, 0);
    await clock.advance(500);
    await two.dispatcher.setQueues({ default: {} });
    die();
    await clock.advance(800);
    assert.equal(call.info.attempt, 1, 'the lease is still valid');
    await clock.advance(500);
    assert.deepEqual(await within(call.result), [1, 2]);
    assert.deepEqual(steps, ['first 1', 'second 2']);
    assert.equal(call.info.consumer, two.dispatcher.name);
    assert.equal(one.dispatcher.state, 'running');
  }),
);

test(
  'a dispatcher that comes again under its name has its calls at once',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const { engine, die } = mortal(store);
    const attempts: number[] = [];
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        attempts.push(ctx.attempt);
        if (ctx.attempt === 1) await ctx.done();
      },
    });
    await using one = await rigOf(task, { clock, engine, name: 'worker-1' });
    const { id } = await one.dispatcher.submit(task, 0);
    await settle();
    die();
    await using two = await rigOf(task, { clock, engine: store, name: 'worker-1' });
    await settle();
    assert.deepEqual(attempts, [1, 2]);
    assert.equal((await two.dispatcher.calls.get(id))?.status, 'completed');
  }),
);

test(
  'a call whose dispatcher died is ended where the definition says so, and one that kills every process in the end',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const once = defineTask({ name: 'once', onWorkerLost: 'fail', run: untilCanceled });
    const deadly = defineTask({ name: 'deadly', deadLetter: true, retry: { attempts: 2 }, run: untilCanceled });
    await using client = await rigOf([once, deadly], { clock, engine: store, queues: {} });
    const calls = [await client.dispatcher.submit(once, 0), await client.dispatcher.submit(deadly, 0)];
    for (let process = 1; process <= 6; process++) {
      const { engine, die } = mortal(store);
      const rig = await rigOf([once, deadly], { clock, engine, name: 'worker-1' });
      await settle();
      die();
      await rig[Symbol.asyncDispose]();
    }
    assert.deepEqual(statesOf(calls), ['failed', 'deadLettered']);
    for (const call of calls) await assert.rejects(within(call.result), WorkerLostError);
    assert.equal(calls[0]!.info.attempt, 2);
    assert.equal(calls[1]!.info.attempt, 6, 'two attempts, and three more for those that were lost');
  }),
);

test(
  'two dispatchers of one name get in the way of each other, but neither spins nor loses a call',
  withLeakCheck(async () => {
    const { clock, engine } = faults();
    const task = defineTask({ name: 'task', run: (_ctx, n: number) => n });
    await using one = await rigOf(task, { clock, engine, name: 'same' });
    await using two = await rigOf(task, { clock, engine, name: 'same' });
    const calls = await one.dispatcher.submitMany(task, Array(50).keys());
    await clock.advance(20_000);
    assert.deepEqual([...new Set(statesOf(calls))], ['completed']);
    assert.ok(engine.calls('begin') < 200, `${engine.calls('begin')} lives`);
    assert.equal(two.dispatcher.name, 'same');
  }),
);
