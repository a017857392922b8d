/** Calls as those who have submitted them see them: ids, results, status, progress, logs, events, cancel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel } from '../../src/go/index.ts';
import { CanceledError } from '../../src/index.ts';
import {
  type Call,
  CallEndedError,
  type CallMove,
  type CallState,
  Dispatcher,
  DuplicateCallError,
  defineTask,
  memoryEngine,
  StalledError,
  UnknownCallError,
  waitForAll,
  waitForAny,
} from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import {
  deferred,
  failing,
  failureOf,
  hangs,
  noop,
  passing,
  rigOf,
  settle,
  stateOf,
  statesOf,
  untilCanceled,
  within,
} from './kit.ts';

const echo = defineTask({ name: 'echo', run: (_ctx, input: unknown) => input });
const never = defineTask({ name: 'never', run: untilCanceled });

// ---- ids -------------------------------------------------------------------------------------------------------------

test(
  'a call has a ULID, and ids sort by submission',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const ids: string[] = [];
    for (let i = 0; i < 100; i++) ids.push((await rig.dispatcher.submit(echo, i)).id);
    for (const id of ids) assert.match(id, /^[0-9A-HJKMNP-TV-Z]{26}$/);
    assert.deepEqual([...ids].sort(), ids);
    assert.equal(new Set(ids).size, ids.length);
  }),
);

test(
  'a second submission with an id is the first call, whatever its input, and runs nothing',
  withLeakCheck(async () => {
    const inputs: unknown[] = [];
    const task = defineTask({ name: 'task', run: (_ctx, input: string) => inputs.push(input) });
    await using rig = await rigOf(task);
    const first = await rig.dispatcher.submit(task, 'a', { id: 'mine', delayMs: 100 });
    const second = await rig.dispatcher.submit(task, 'b', { id: 'mine' });
    assert.equal(second.id, 'mine');
    assert.deepEqual([second.status, second.info.input, second.info.dueAt], ['scheduled', 'a', 100]);
    await rig.clock.advance(100);
    assert.deepEqual(inputs, ['a']);
    const third = await rig.dispatcher.submit(task, 'c', { id: 'mine' });
    assert.equal(third.status, 'completed');
    assert.deepEqual(await Promise.all([first.result, second.result, third.result]), [1, 1, 1]);
    assert.deepEqual(inputs, ['a']);
  }),
);

test(
  'of many submissions with one id at once, one runs',
  withLeakCheck(async () => {
    let runs = 0;
    const task = defineTask({ name: 'task', run: () => ++runs });
    await using rig = await rigOf(task);
    const calls = await Promise.all(Array.from({ length: 20 }, () => rig.dispatcher.submit(task, 0, { id: 'one' })));
    assert.deepEqual(await Promise.all(calls.map(({ result }) => result)), Array(20).fill(1));
    assert.equal(runs, 1);
  }),
);

// ---- results ---------------------------------------------------------------------------------------------------------

test(
  'a result comes as JSON has it, in one process as in many',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', run: () => ({ at: new Date(0), gone: undefined, list: [1, null] }) });
    const nothing = defineTask({ name: 'nothing', run: noop });
    await using rig = await rigOf([task, nothing]);
    assert.deepEqual(await rig.dispatcher.call(task, 0), { at: '1970-01-01T00:00:00.000Z', list: [1, null] });
    assert.equal(await rig.dispatcher.call(nothing, 0), undefined);
  }),
);

test(
  'a failed call rejects with its error: class, code, cause and whatever it carries',
  withLeakCheck(async () => {
    const cause = Object.assign(new TypeError('root'), { code: 'E_ROOT' });
    const error = Object.assign(new RangeError('boom', { cause }), { code: 'E_BOOM', detail: { n: 1 } });
    const task = defineTask({
      name: 'task',
      run: () => {
        throw error;
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    const failure = (await failureOf(call)) as unknown as typeof error;
    assert.ok(failure instanceof RangeError && failure !== error);
    assert.deepEqual([failure.message, failure.code, failure.detail], ['boom', 'E_BOOM', { n: 1 }]);
    assert.ok(failure.cause instanceof TypeError);
    assert.equal((failure.cause as { code?: unknown }).code, 'E_ROOT');
    assert.equal(failure.stack, error.stack);
  }),
);

test(
  'a call that nobody looks at fails without an unhandled rejection',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', run: () => Promise.reject(new Error('boom')) });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(call.status, 'failed');
  }),
);

test(
  'a result can be read at any time, by many, and is the same promise',
  withLeakCheck(async () => {
    const gate = deferred<number>();
    const task = defineTask({ name: 'task', run: () => gate.promise });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    const early = call.result;
    assert.equal(call.result, early);
    gate.resolve(7);
    assert.equal(await within(early), 7);
    const other = (await rig.dispatcher.calls.get<number>(call.id))!;
    assert.equal(await within(other.result), 7);
  }),
);

test(
  'a call that is kept for no time gives its result to who has submitted it, and is gone for others',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', retain: { completed: 0, failed: 0 }, run: (_ctx, n: number) => n });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 7);
    await settle();
    assert.equal(call.status, 'completed');
    assert.equal(await within(call.result), 7);
    assert.equal(await rig.dispatcher.calls.get(call.id), undefined);
    await assert.rejects(rig.dispatcher.cancel(call.id), UnknownCallError);
  }),
);

test(
  'a call that has ended before the reply to its submission came has its result all the same',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    const gate = deferred();
    const engine = {
      ...faulty,
      submit: async (...args: Parameters<typeof faulty.submit>) => {
        const record = await faulty.submit(...args);
        await gate.promise;
        return record;
      },
      submitMany: async (...args: Parameters<typeof faulty.submitMany>) => {
        const records = await faulty.submitMany(...args);
        await gate.promise;
        return records;
      },
    };
    const task = defineTask({ name: 'task', retain: { completed: 0 }, run: (_ctx, n: number) => n });
    await using rig = await rigOf(task, { clock, engine });
    const one = rig.dispatcher.submit(task, 1);
    const many = rig.dispatcher.submitMany(task, [2, 3]);
    await settle();
    assert.equal((await rig.dispatcher.calls.count()).completed, 0, 'they have ended, and are kept no more');
    gate.resolve();
    const calls = [await one, ...(await many)];
    assert.deepEqual(statesOf(calls), ['completed', 'completed', 'completed']);
    assert.deepEqual(await within(Promise.all(calls.map(({ result }) => result))), [1, 2, 3]);
  }),
);

test(
  'a call that ends while it is looked up has its result',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    const gate = deferred();
    const engine = {
      ...faulty,
      get: async (id: string) => {
        const record = await faulty.get(id);
        await gate.promise;
        return record;
      },
    };
    const work = deferred<number>();
    const task = defineTask({ name: 'task', run: () => work.promise });
    await using rig = await rigOf(task, { clock, engine });
    const { id } = await rig.dispatcher.submit(task, 1);
    await settle();
    const looked = rig.dispatcher.calls.get(id);
    await settle();
    work.resolve(7);
    await settle();
    gate.resolve();
    const call = (await looked)!;
    assert.equal(call.status, 'completed');
    assert.equal(await within(call.result), 7);
  }),
);

test(
  'nothing watches a submission that was refused by the engine, a call that has ended, or one that there never was',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    let watchers = 0;
    const engine = {
      ...faulty,
      watch: (...args: Parameters<typeof faulty.watch>) => {
        const unwatch = faulty.watch(...args);
        watchers++;
        return () => {
          watchers--;
          unwatch();
        };
      },
    };
    await using rig = await rigOf(echo, { clock, engine });
    faulty.failNext('submit');
    await assert.rejects(rig.dispatcher.submit(echo, 0), /submit has failed/);
    faulty.failNext('submitMany');
    await assert.rejects(rig.dispatcher.submitMany(echo, [0, 1]), /submitMany has failed/);
    faulty.failNext('get');
    await assert.rejects(rig.dispatcher.calls.get('nobody'), /get has failed/);
    assert.equal(await rig.dispatcher.calls.get('nobody'), undefined);
    assert.equal(watchers, 0);
    const call = await rig.dispatcher.submit(echo, 0);
    await settle();
    assert.equal(call.status, 'completed');
    await rig.dispatcher.calls.get(call.id);
    await rig.dispatcher.submit(echo, 0, { id: call.id });
    assert.equal(watchers, 0);
  }),
);

test(
  'what an engine says in its own words of a failure is an error all the same',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', onDuplicate: 'discard', run: untilCanceled });
    await using rig = await rigOf(task);
    await rig.dispatcher.submit(task, 0);
    const second = await rig.dispatcher.submit(task, 0);
    const failure = await failureOf(second);
    assert.ok(failure instanceof DuplicateCallError);
    assert.match(failure.message, /gave way/);
    assert.equal(second.status, 'discarded');
    assert.ok(second.info.error instanceof DuplicateCallError);
  }),
);

// ---- where it stands -------------------------------------------------------------------------------------------------

test(
  'a call says where it stands all its life long, without being asked to look',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({ name: 'task', run: () => gate.promise });
    await using rig = await rigOf(task, { concurrency: 1 });
    const call = await rig.dispatcher.submit(task, { a: 1 }, { delayMs: 100 });
    const next = await rig.dispatcher.submit(task, { a: 2 }, { delayMs: 100 });
    assert.deepEqual(statesOf([call, next]), ['scheduled', 'scheduled']);
    assert.equal(call.info.dueAt, 100);
    await rig.clock.advance(150);
    assert.deepEqual(statesOf([call, next]), ['started', 'queued']);
    gate.resolve();
    await settle();
    assert.deepEqual(statesOf([call, next]), ['completed', 'completed']);
    const { consumer, error, heartbeatAt, key, parentId, progress, step, where, ...info } = call.info;
    assert.deepEqual(info, {
      id: call.id,
      task: 'task',
      version: 1,
      queue: 'default',
      priority: 0,
      state: 'completed',
      attempt: 1,
      submittedAt: 0,
      dueAt: undefined,
      startedAt: 100,
      endedAt: 150,
      input: { a: 1 },
      output: undefined,
    });
    assert.equal(consumer, rig.dispatcher.name);
    for (const absent of [error, heartbeatAt, key, parentId, progress, step, where]) assert.equal(absent, undefined);
  }),
);

test(
  'a call tells how far it is, at which step it was last, and when',
  withLeakCheck(async () => {
    const at = new Date(2030, 0, 2, 14, 5, 31);
    const clock = new VirtualClock({ timeOrigin: at.getTime() });
    const gates = [deferred(), deferred(), deferred()];
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        await gates[0]!.promise;
        ctx.heartbeat();
        await gates[1]!.promise;
        ctx.progress({ done: 3, of: 9 });
        ctx.heartbeat('3/9');
        await gates[2]!.promise;
        ctx.progress(undefined);
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(call.info.where, undefined);
    gates[0]!.resolve();
    await settle();
    assert.equal(call.info.where, 'last seen at 14:05:31');
    await clock.advance(61_000);
    gates[1]!.resolve();
    await settle();
    assert.equal(call.info.where, 'last at step 3/9 at 14:06:32');
    assert.equal(call.info.step, '3/9');
    assert.equal(call.info.heartbeatAt, at.getTime() + 61_000);
    assert.deepEqual(call.progress, { done: 3, of: 9 });
    assert.deepEqual(call.info.progress, { done: 3, of: 9 });
    gates[2]!.resolve();
    await settle();
    assert.equal(call.status, 'completed');
    assert.equal(call.progress, undefined);
  }),
);

// ---- events and logs -------------------------------------------------------------------------------------------------

function nameOf(move: CallMove): string {
  if (move.type === 'state') return move.state;
  return move.type === 'log' ? `log ${move.lines.join('|')}` : `progress ${JSON.stringify(move.call.progress)}`;
}

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test(
  'events tell all that happens, from where it stands to its end',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      retry: { attempts: 2, baseMs: 10 },
      run: async (ctx) => {
        ctx.log('attempt', ctx.attempt);
        await gate.promise;
        ctx.progress(ctx.attempt);
        if (ctx.attempt === 1) throw new Error('boom');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0, { delayMs: 10 });
    const moves = collected(call.events());
    await rig.clock.advance(10);
    gate.resolve();
    await rig.clock.advance(10);
    assert.deepEqual((await within(moves)).map(nameOf), [
      'scheduled',
      'queued',
      'started',
      'log attempt 1',
      'progress 1',
      'scheduled',
      'queued',
      'started',
      'log attempt 2',
      'progress 2',
      'completed',
    ]);
  }),
);

test(
  'a slow reader of events misses nothing, least of all the end',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const call = await rig.dispatcher.submit(echo, 0, { delayMs: 10 });
    const events = call.events();
    assert.equal(nameOf((await events.next()).value as CallMove), 'scheduled');
    await rig.clock.advance(10);
    assert.equal(call.status, 'completed');
    assert.deepEqual((await within(collected(events))).map(nameOf), ['queued', 'started', 'completed']);
  }),
);

test(
  'events of a call that has ended tell that, and end',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const call = await rig.dispatcher.submit(echo, 0);
    await settle();
    assert.deepEqual((await within(collected(call.events()))).map(nameOf), ['completed']);
  }),
);

test(
  'logs are the lines there are, then those to come, until the call ends',
  withLeakCheck(async () => {
    const gates = [deferred(), deferred()];
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        ctx.log('one %d', 1);
        ctx.log('two', { a: 1 }, 'three');
        await gates[0]!.promise;
        ctx.log('several\nlines');
        await gates[1]!.promise;
        ctx.log('last');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    const lines = call.logs();
    assert.deepEqual([(await lines.next()).value, (await lines.next()).value], ['one 1', 'two { a: 1 } three']);
    const third = lines.next();
    gates[0]!.resolve();
    assert.equal((await within(third)).value, 'several');
    gates[1]!.resolve();
    await settle();
    const all = ['one 1', 'two { a: 1 } three', 'several', 'lines', 'last'];
    assert.deepEqual(await within(collected(lines)), ['lines', 'last']);
    assert.deepEqual(await within(collected(call.logs())), all);
    assert.deepEqual(await within(collected((await rig.dispatcher.calls.get(call.id))!.logs())), all);
  }),
);

test(
  'readers that leave early, at whatever point, leave nothing behind',
  withLeakCheck(async (t) => {
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        ctx.log('a');
        ctx.log('b');
        await gate.promise;
        ctx.log('c');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    call.events(); // never read
    call.logs();
    const atFirst = call.events();
    await atFirst.next();
    await atFirst.return();
    const amongOld = call.logs();
    await amongOld.next();
    await amongOld.return();
    const aborted = new AbortController();
    const amongNew = call.logs({ signal: aborted.signal });
    await amongNew.next();
    await amongNew.next();
    const waiting = amongNew.next();
    const waitingToo = collected(call.events({ signal: aborted.signal }));
    await settle();
    aborted.abort(new Error('enough'));
    for (const outcome of await within(Promise.allSettled([waiting, waitingToo]))) {
      assert.equal(outcome.status === 'rejected' && outcome.reason.message, 'enough');
    }
    const sent = t.mock.method(Channel.prototype, 'trySend');
    gate.resolve();
    await settle();
    assert.equal(call.status, 'completed');
    assert.equal(sent.mock.callCount(), 0);
  }),
);

// ---- cancel ----------------------------------------------------------------------------------------------------------

test(
  'a call that waits is canceled at once, and never runs: scheduled, held, queued',
  withLeakCheck(async () => {
    const runs: string[] = [];
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      run: async (_ctx, { name }: { readonly name: string; readonly key: string }) => {
        runs.push(name);
        await gate.promise;
      },
      onDuplicate: 'serial',
      key: ({ key }) => key,
    });
    await using rig = await rigOf(task, { concurrency: 1 });
    const running = await rig.dispatcher.submit(task, { name: 'running', key: 'a' });
    await settle();
    const calls = [
      await rig.dispatcher.submit(task, { name: 'scheduled', key: 'b' }, { delayMs: 50 }),
      await rig.dispatcher.submit(task, { name: 'held', key: 'a' }),
      await rig.dispatcher.submit(task, { name: 'queued', key: 'c' }),
    ];
    assert.deepEqual(statesOf(calls), ['scheduled', 'held', 'queued']);
    for (const call of calls) {
      await call.cancel('not wanted');
      assert.equal(call.status, 'canceled');
      const failure = await failureOf(call);
      assert.ok(failure instanceof CanceledError);
      assert.equal(failure.cause, 'not wanted');
      assert.match(failure.message, /not wanted/);
    }
    gate.resolve();
    await rig.clock.advance(100);
    assert.equal(running.status, 'completed');
    assert.deepEqual(runs, ['running']);
  }),
);

test(
  'a call that runs has its signal fired, and is canceled when its function has returned',
  withLeakCheck(async () => {
    const gate = deferred();
    const reasons: unknown[] = [];
    const task = defineTask({
      name: 'task',
      retry: { attempts: 3 },
      run: async (ctx) => {
        await ctx.done();
        reasons.push(ctx.signal.reason);
        await gate.promise;
        return 'late';
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    await call.cancel('not wanted');
    await settle();
    assert.equal((reasons[0] as Error).cause, 'not wanted');
    assert.equal(call.status, 'started', 'its function lives on');
    await call.cancel('once more');
    gate.resolve();
    await settle();
    assert.equal(call.status, 'canceled');
    assert.equal((await failureOf(call)).cause, 'not wanted');
    assert.equal(call.info.attempt, 1);
  }),
);

test(
  'a cancel that overtakes the delivery of its call is not lost',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(never, { clock, engine });
    await settle();
    // Whoever fetches has the call now, and doesn't know it yet.
    engine.slowDown(50);
    const submitted = rig.dispatcher.submit(never, 0, { id: 'mine' });
    await clock.advance(10);
    const canceled = passing(clock, rig.dispatcher.cancel('mine', 'enough'));
    assert.deepEqual(await canceled, new Map([['mine', 'requested']]));
    await clock.advance(1_000);
    const call = await submitted;
    assert.equal(call.status, 'canceled');
    assert.match((await failureOf(call)).message, /enough/);
    engine.slowDown(0);
  }),
);

test(
  'a cancel between two attempts ends the call',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      retry: { attempts: 3, baseMs: 100 },
      run: () => Promise.reject(new Error('boom')),
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(call.status, 'scheduled');
    await call.cancel();
    assert.equal(call.status, 'canceled');
    await rig.clock.advance(1_000);
    assert.equal(call.info.attempt, 1);
  }),
);

const ends: [state: CallState, call: () => Promise<{ call: Call; rig: Awaited<ReturnType<typeof rigOf>> }>][] = [
  ['completed', () => ended(defineTask({ name: 'task', run: noop }))],
  ['failed', () => ended(defineTask({ name: 'task', run: fail }))],
  ['timedOut', () => ended(defineTask({ name: 'task', timeoutMs: 10, run: untilCanceled }))],
  ['stalled', () => ended(defineTask({ name: 'task', stallAfterMs: 10, run: untilCanceled }))],
  ['deadLettered', () => ended(defineTask({ name: 'task', deadLetter: true, run: fail }))],
  ['canceled', () => ended(defineTask({ name: 'task', run: untilCanceled }), (call) => call.cancel())],
];

function fail(): never {
  throw new Error('boom');
}

async function ended(task: ReturnType<typeof defineTask<unknown, void>>, then?: (call: Call) => Promise<void>) {
  const rig = await rigOf(task);
  const call = await rig.dispatcher.submit(task, 0);
  await settle();
  await then?.(call);
  await rig.clock.advance(10);
  return { call, rig };
}

for (const [state, make] of ends) {
  test(
    `the cancel of a call that is ${state} is a CallEndedError, and changes nothing`,
    withLeakCheck(async () => {
      const { call, rig } = await make();
      await using _ = rig;
      assert.equal(call.status, state);
      const before = call.info;
      await assert.rejects(call.cancel('late'), (error: Error) => {
        assert.ok(error instanceof CallEndedError);
        assert.equal(error.message, `call ${call.id} can't be canceled: it is ${state}`);
        return true;
      });
      await assert.rejects(rig.dispatcher.cancel(call.id), CallEndedError);
      await assert.rejects(call.reschedule(0), CallEndedError);
      const after = (await rig.dispatcher.calls.get(call.id))!.info;
      assert.deepEqual({ ...after, error: String(after.error) }, { ...before, error: String(before.error) });
      if (state === 'stalled') assert.ok((await failureOf(call)) instanceof StalledError);
    }),
  );
}

test(
  'a call that waits can be put off, or brought forward',
  withLeakCheck(async () => {
    await using rig = await rigOf([echo, never], { concurrency: 1 });
    const call = await rig.dispatcher.submit(echo, 0, { delayMs: 100 });
    await call.reschedule(500);
    await rig.clock.advance(100);
    assert.deepEqual([call.status, call.info.dueAt], ['scheduled', 500]);
    await call.reschedule(0);
    await settle();
    assert.equal(call.status, 'completed');
    const running = await rig.dispatcher.submit(never, 0);
    await settle();
    await assert.rejects(running.reschedule(10), CallEndedError);
    const queued = await rig.dispatcher.submit(echo, 0);
    await queued.reschedule(50);
    assert.equal(queued.status, 'scheduled');
  }),
);

// ---- many ------------------------------------------------------------------------------------------------------------

test(
  'waitForAll gives each outcome in order, and waitForAny the first call that has ended, however it has',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      run: async (_ctx, ms: number) => {
        await new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
        if (ms === 20) throw new Error('boom');
        return ms;
      },
    });
    await using rig = await rigOf(task, { clock });
    const calls = await rig.dispatcher.submitMany(task, [50, 20, 30]);
    const all = waitForAll(calls);
    const any = waitForAny(calls);
    await clock.advance(20);
    assert.equal(await within(any), calls[1]);
    assert.equal(await stateOf(all), 'pending');
    await clock.advance(30);
    assert.deepEqual(
      (await within(all)).map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.message)),
      [50, 'boom', 30],
    );
    assert.equal(await within(waitForAny(calls)), calls[0], 'of several that have ended the first');
    assert.deepEqual(await waitForAll([]), []);
    await assert.rejects(waitForAny([]), RangeError);
  }),
);

test(
  'a wait for calls ends when its signal fires, and the calls go on',
  withLeakCheck(async () => {
    await using rig = await rigOf(never);
    const calls = await rig.dispatcher.submitMany(never, [1, 2]);
    const controller = new AbortController();
    const all = waitForAll(calls, { signal: controller.signal });
    const any = waitForAny(calls, { signal: controller.signal });
    await settle();
    controller.abort(new Error('enough'));
    for (const outcome of await within(Promise.allSettled([all, any]))) {
      assert.equal(outcome.status === 'rejected' && outcome.reason.message, 'enough');
    }
    await assert.rejects(within(waitForAny(calls, { signal: controller.signal })), /enough/);
    assert.deepEqual(statesOf(calls), ['started', 'started']);
  }),
);

test(
  'a cancel of many says for each what has become of it, and none is missed as they go',
  withLeakCheck(async () => {
    const serial = defineTask({ name: 'serial', onDuplicate: 'serial', key: () => 'one', run: untilCanceled });
    await using rig = await rigOf([echo, never, serial], { concurrency: 3 });
    const ended = await rig.dispatcher.submit(echo, 0);
    await settle();
    const running = await rig.dispatcher.submitMany(never, [1, 2]);
    // Each of them goes on when the one before it ends.
    const waiting = [
      ...(await rig.dispatcher.submitMany(serial, [1, 2, 3, 4])),
      ...(await rig.dispatcher.submitMany(echo, [1, 2], { delayMs: 50 })),
    ];
    await settle();
    assert.deepEqual(statesOf(waiting), ['started', 'held', 'held', 'held', 'scheduled', 'scheduled']);
    const outcomes = await rig.dispatcher.cancel({}, 'all of them');
    await settle();
    assert.deepEqual(
      [...running, ...waiting].map(({ id }) => outcomes.get(id)),
      ['requested', 'requested', 'requested', 'canceled', 'canceled', 'canceled', 'canceled', 'canceled'],
    );
    assert.equal(outcomes.size, 8);
    assert.deepEqual([...new Set(statesOf([...running, ...waiting]))], ['canceled']);
    assert.equal(ended.status, 'completed');
    assert.deepEqual(await rig.dispatcher.cancel({ task: 'nobody' }), new Map());
  }),
);

test(
  'a cancel of calls by their ids has a result for each of them',
  withLeakCheck(async () => {
    await using rig = await rigOf([echo, never], { concurrency: 2 });
    const ended = await rig.dispatcher.submit(echo, 0);
    await settle();
    const running = await rig.dispatcher.submitMany(never, [1, 2]);
    await settle();
    const waiting = await rig.dispatcher.submit(echo, 0);
    const ids = [ended.id, running[0]!.id, waiting.id, 'nobody'];
    assert.deepEqual(
      await rig.dispatcher.cancel({ id: ids }),
      new Map([
        [ended.id, 'ended'],
        [running[0]!.id, 'requested'],
        [waiting.id, 'canceled'],
        ['nobody', 'ended'],
      ]),
    );
    await settle();
    assert.deepEqual(statesOf(running), ['canceled', 'started']);
  }),
);

test(
  'a filter that is none is refused, and does not stand for all calls',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo, { queues: {} });
    const { calls, deadLetters } = rig.dispatcher;
    const call = await rig.dispatcher.submit(echo, 0);
    const wrong: readonly [unknown, RegExp][] = [
      [[call.id], /filter must be an object/],
      [[], /filter must be an object/],
      [null, /filter must be an object/],
      [{ taks: 'echo' }, /taks is not an option of a filter/],
    ];
    for (const [filter, message] of wrong) {
      const refused = { name: 'TypeError', message };
      const given = filter as never;
      await assert.rejects(rig.dispatcher.cancel(given), refused);
      await assert.rejects(calls.history(given), refused);
      await assert.rejects(calls.count(given), refused);
      await assert.rejects(calls.remove(given), refused);
      await assert.rejects(deadLetters.list(given), refused);
      await assert.rejects(deadLetters.resubmit(given), refused);
      await assert.rejects(deadLetters.remove(given), refused);
    }
    await assert.rejects(deadLetters.list({ state: 'failed' } as never), /state is not an option of a filter/);
    assert.equal(call.status, 'queued');
  }),
);

test(
  'what is no dead letter is not resubmitted or removed, and then nothing is',
  withLeakCheck(async () => {
    const task = failing(1, { deadLetter: true });
    await using rig = await rigOf([task, hangs]);
    const { deadLetters } = rig.dispatcher;
    const dead = await rig.dispatcher.submit(task, 0);
    const runs = await rig.dispatcher.submit(hangs, 0);
    await settle();
    for (const act of [deadLetters.resubmit, deadLetters.remove]) {
      const refused = (which: Parameters<typeof act>[0], message: RegExp) =>
        assert.rejects(act.call(deadLetters, which), { code: 'ERR_UNKNOWN_CALL', message });
      await refused(runs.id, /there is no dead letter .*: the call is started/);
      await refused({ id: [dead.id, runs.id] }, /the call is started/);
      await refused({ id: [dead.id, 'nobody'] }, /there is no dead letter nobody: there is no such call/);
      await refused('nobody', /there is no such call/);
      await refused({ task: 'hangs' }, /no dead letter matches \{"task":"hangs"\}$/);
      await refused({ id: dead.id, task: 'hangs' }, /no dead letter matches/);
      await refused({ id: [] }, /no dead letter matches/);
    }
    assert.equal(dead.status, 'deadLettered');
    assert.deepEqual(await deadLetters.resubmit({ id: [dead.id, dead.id] }, { resetAttempts: false }), [dead.id]);
    await settle();
    await assert.rejects(deadLetters.resubmit(dead.id), /the call is completed/);
  }),
);

test(
  'a cancel of thousands misses none, though those it has gone through are forgotten as it goes',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    const task = defineTask({ name: 'task', retain: { failed: 0 }, run: noop });
    let looks = 0;
    const engine = {
      ...faulty,
      scan: async (...args: Parameters<typeof faulty.scan>) => {
        const page = await faulty.scan(...args);
        // Somebody else cancels the last ones of the page meanwhile.
        if (looks++ === 0) for (const { id } of page.slice(-3)) await faulty.cancel(id, '{"value":1}');
        return page;
      },
    };
    await using rig = await rigOf(task, { clock, engine, queues: {} });
    const calls = await rig.dispatcher.submitMany(task, Array(2_500).keys());
    const outcomes = await passing(clock, rig.dispatcher.cancel({ task: 'task' }));
    assert.deepEqual([...new Set(statesOf(calls))], ['canceled']);
    assert.equal(outcomes.size, 2_500);
    assert.equal([...outcomes.values()].filter((outcome) => outcome === 'ended').length, 3);
  }),
);

test(
  'a result that somebody waits for rejects with a ShutdownError when the engine is closed, and readers come to an end',
  withLeakCheck(async () => {
    const dispatcher = new Dispatcher({ tasks: [defineTask({ name: 'never fetched', run: () => 1 })] });
    const call = await dispatcher.submit('never fetched', undefined);
    const late = await dispatcher.submit('never fetched', undefined);
    const result = assert.rejects(call.result, { code: 'ERR_SHUTDOWN', message: /it is queued/ });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of call.events()) seen.push(event.type);
    })();
    await turn();
    await dispatcher.stop();
    await result;
    await reading;
    assert.deepEqual(seen, ['state']);
    await assert.rejects(late.result, { code: 'ERR_SHUTDOWN' });
  }),
);

test(
  'a call that is asked for again and again is followed once',
  withLeakCheck(async () => {
    await using dispatcher = new Dispatcher({ tasks: [defineTask({ name: 'one', run: () => 1 })] });
    const { id } = await dispatcher.submit('one', undefined);
    const first = await dispatcher.calls.get(id);
    assert.equal(await dispatcher.calls.get(id), first);
    await dispatcher.start();
    assert.equal(await first?.result, 1);
    assert.notEqual(await dispatcher.calls.get(id), first);
  }),
);
