/** Which call comes next: priorities, delays, routes; and what a submission may change of that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  atRandom,
  byHash,
  type CallContext,
  defineTask,
  roundRobin,
  type SubmitOptions,
  weighted,
} from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, echo, rigOf, settle, statesOf } from './kit.ts';

/** A task that notes its inputs, with a first call that holds the one worker until `go` is called. */
function noting(rules: { readonly priority?: number; readonly overridable?: ['priority'] } = {}) {
  const order: string[] = [];
  const gate = deferred();
  const task = defineTask({
    name: 'task',
    ...rules,
    run: async (_ctx: CallContext, name: string) => {
      if (name === 'first') await gate.promise;
      else order.push(name);
    },
  });
  return { task, order, go: gate.resolve };
}

// ---- priorities ------------------------------------------------------------------------------------------------------

test(
  'within a priority, calls run in the order of their submission',
  withLeakCheck(async () => {
    const { task, order, go } = noting();
    await using rig = await rigOf(task, { concurrency: 1 });
    const names = Array.from({ length: 50 }, (_, i) => `${i}`);
    await rig.dispatcher.submit(task, 'first');
    for (const name of names) await rig.dispatcher.submit(task, name);
    go();
    await settle();
    assert.deepEqual(order, names);
  }),
);

test(
  'higher priorities go first: those of definitions, and those of single calls',
  withLeakCheck(async () => {
    const { task, order, go } = noting({ overridable: ['priority'] });
    const urgent = defineTask({ name: 'urgent', priority: 5, run: (_ctx, name: string) => void order.push(name) });
    await using rig = await rigOf([task, urgent], { concurrency: 1 });
    const submit = (name: string, options?: SubmitOptions) => rig.dispatcher.submit(task, name, options);
    await submit('first', { priority: 99 });
    await submit('a');
    await submit('low', { priority: -1 });
    await submit('high', { priority: 9 });
    await rig.dispatcher.submit(urgent, 'urgent');
    await submit('b');
    await submit('like urgent', { priority: 5 });
    await submit('between', { priority: 0.5 });
    go();
    await settle();
    assert.deepEqual(order, ['high', 'urgent', 'like urgent', 'between', 'a', 'b', 'low']);
  }),
);

test(
  'a priority is within a queue: with strict order, a queue named before goes before',
  withLeakCheck(async () => {
    const order: string[] = [];
    const gate = deferred();
    const run = async (_ctx: CallContext, name: string) => {
      if (name === 'first') await gate.promise;
      else order.push(name);
    };
    const one = defineTask({ name: 'one', queue: 'one', run });
    const two = defineTask({ name: 'two', queue: 'two', priority: 9, run });
    await using rig = await rigOf([one, two], { concurrency: 1, queues: { one: {}, two: {} } });
    await rig.dispatcher.submit(one, 'first');
    await rig.dispatcher.submitMany(two, ['c', 'd']);
    await rig.dispatcher.submitMany(one, ['a', 'b']);
    gate.resolve();
    await settle();
    assert.deepEqual(order, ['a', 'b', 'c', 'd']);
  }),
);

// ---- delays ----------------------------------------------------------------------------------------------------------

test(
  'a delayed call runs when it is due, not before; short delays not behind long ones',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: 1_700_000_000_000 });
    const starts: string[] = [];
    const task = defineTask({
      name: 'task',
      run: (_ctx, name: string) => void starts.push(`${name} at ${clock.now()}`),
    });
    await using rig = await rigOf(task, { clock });
    const { timeOrigin } = clock;
    const calls = [
      await rig.dispatcher.submit(task, 'hour', { delayMs: 3_600_000 }),
      await rig.dispatcher.submit(task, 'part', { delayMs: 0.25 }),
      await rig.dispatcher.submit(task, 'delay', { delayMs: 1_500 }),
      await rig.dispatcher.submit(task, 'time', { runAt: timeOrigin + 1_000 }),
      await rig.dispatcher.submit(task, 'date', { runAt: new Date(timeOrigin + 750) }),
      await rig.dispatcher.submit(task, 'past', { runAt: timeOrigin - 1_000 }),
      await rig.dispatcher.submit(task, 'none', { delayMs: 0 }),
    ];
    await settle();
    assert.deepEqual(statesOf(calls).slice(0, 5), Array(5).fill('scheduled'));
    assert.equal(calls[2]!.info.dueAt, timeOrigin + 1_500);
    await clock.advance(10_000);
    assert.deepEqual(starts, [
      'past at 0',
      'none at 0',
      'part at 0.25',
      'date at 750',
      'time at 1000',
      'delay at 1500',
    ]);
    assert.equal(calls[0]!.status, 'scheduled');
  }),
);

test(
  'a call that waits can be put off, had sooner, or at once; one that runs can not',
  withLeakCheck(async () => {
    const { task, order, go } = noting();
    await using rig = await rigOf(task, { concurrency: 1 });
    const first = await rig.dispatcher.submit(task, 'first');
    const queued = await rig.dispatcher.submit(task, 'put off');
    const sooner = await rig.dispatcher.submit(task, 'sooner', { delayMs: 9_000 });
    const atOnce = await rig.dispatcher.submit(task, 'at once', { delayMs: 9_000 });
    await queued.reschedule(200);
    await sooner.reschedule(100);
    await atOnce.reschedule(0);
    assert.deepEqual(statesOf([queued, sooner, atOnce]), ['scheduled', 'scheduled', 'queued']);
    await assert.rejects(first.reschedule(0), { code: 'ERR_CALL_ENDED' });
    go();
    await rig.clock.advance(150);
    assert.deepEqual(order, ['at once', 'sooner']);
    await rig.clock.advance(50);
    assert.deepEqual(order, ['at once', 'sooner', 'put off']);
  }),
);

test(
  'a delayed call can be canceled, and never runs',
  withLeakCheck(async () => {
    const { task, order } = noting();
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 'late', { delayMs: 100 });
    await call.cancel();
    await rig.clock.advance(1_000);
    assert.equal(call.status, 'canceled');
    assert.deepEqual(order, []);
  }),
);

// ---- what a submission may change ------------------------------------------------------------------------------------

test(
  'what a definition fixes no submission changes, nor a hook, nor a parent, nor a message of any other shape',
  withLeakCheck(async () => {
    const child = defineTask({ name: 'child', run: () => 'child' });
    const parent = defineTask({
      name: 'parent',
      run: async (ctx: CallContext, options: SubmitOptions) => (await ctx.submit(child, undefined, options)).result,
    });
    let meddling: SubmitOptions | undefined;
    await using rig = await rigOf([child, parent], {
      beforeSubmit: (draft) => {
        if (draft.task === 'child' && meddling !== undefined) draft.options = meddling;
      },
    });
    const { dispatcher } = rig;
    const fixed: SubmitOptions[] = [{ priority: 1 }, { queue: 'other' }, { timeoutMs: 1 }, { attempts: 2 }];
    for (const options of fixed) {
      const refusal = { name: 'TypeError', message: /is fixed by the definition of child/ };
      await assert.rejects(dispatcher.submit(child, undefined, options), refusal);
      await assert.rejects(dispatcher.call(parent, options), refusal);
      meddling = options;
      await assert.rejects(dispatcher.submit(child, undefined), refusal);
      meddling = undefined;
    }
    const definitions = ['retry', 'onDuplicate', 'key', 'rateLimit', 'concurrency', 'deadLetter', 'onShutdown'];
    for (const option of [...definitions, 'stallAfterMs', 'onWorkerLost', 'manager', 'authorize', 'retain', 'run']) {
      const options = { [option]: undefined } as SubmitOptions;
      await assert.rejects(dispatcher.submit(child, undefined, options), { name: 'TypeError' }, option);
    }
    assert.equal((await dispatcher.calls.history({ task: 'child' })).length, 0, 'nothing was stored');
  }),
);

test(
  'what a definition names as overridable can be another for one call: the queue too, with its limits',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: string[] = [];
    const task = defineTask({
      name: 'task',
      queue: 'usual',
      overridable: ['queue'],
      run: ({ queue }) => void starts.push(`${queue} at ${clock.now()}`),
    });
    const queues = { usual: {}, slow: { rateLimit: { limit: 1, intervalMs: 100 } } };
    await using rig = await rigOf(task, { clock, queues });
    for (const queue of ['slow', 'slow', undefined, undefined]) {
      await rig.dispatcher.submit(task, undefined, { queue });
    }
    await assert.rejects(rig.dispatcher.submit(task, undefined, { priority: 1 }), TypeError);
    await clock.advance(1_000);
    assert.deepEqual(starts, ['slow at 0', 'usual at 0', 'usual at 0', 'slow at 100']);
  }),
);

// ---- routes ----------------------------------------------------------------------------------------------------------

/** In which queues the calls of these inputs run, of a task with this route. */
async function queuesOf(queue: Parameters<typeof defineTask<string, string>>[0]['queue'], inputs: string[]) {
  const task = defineTask({ name: 'task', queue, run: ({ queue: its }: CallContext, _input: string) => its });
  await using rig = await rigOf(task);
  const calls = await rig.dispatcher.submitMany(task, inputs);
  return await Promise.all(calls.map(({ result }) => result));
}

const KEYS = ['a', 'b', 'a', 'c', 'a', 'b'];

test(
  'a route by name: always the same queue, or whichever the input says',
  withLeakCheck(async () => {
    assert.deepEqual(await queuesOf('own', ['a', 'b']), ['own', 'own']);
    const route = Object.assign((input: string) => `queue ${input}`, { queues: ['queue a', 'queue b'] });
    assert.deepEqual(await queuesOf(route, ['b', 'a']), ['queue b', 'queue a']);
    await assert.rejects(queuesOf(route, ['c']), { code: 'ERR_INVALID_INPUT' });
  }),
);

test(
  'a route by turns: one queue after the other',
  withLeakCheck(async () => {
    assert.deepEqual(await queuesOf(roundRobin(['x', 'y', 'z']), KEYS), ['x', 'y', 'z', 'x', 'y', 'z']);
  }),
);

test(
  'a route by hash: one queue for one key, and each queue has some',
  withLeakCheck(async () => {
    const keys = Array.from({ length: 60 }, (_, i) => `key ${i % 20}`);
    const queues = await queuesOf(
      byHash(['x', 'y', 'z'], (input: string) => input),
      keys,
    );
    for (const [i, queue] of queues.entries()) assert.equal(queue, queues[i % 20]);
    assert.deepEqual([...new Set(queues)].sort(), ['x', 'y', 'z']);
  }),
);

test(
  'a route by chance: each queue alike, or by its weight',
  withLeakCheck(async () => {
    const draws = [0, 0.26, 0.49, 0.51, 0.76, 0.99];
    const random = () => {
      const [first] = draws;
      draws.push(draws.shift()!);
      return first!;
    };
    assert.deepEqual(await queuesOf(atRandom(['x', 'y'], { random }), KEYS), ['x', 'x', 'x', 'y', 'y', 'y']);
    const weights = weighted({ x: 1, y: 3 }, { random });
    assert.deepEqual(await queuesOf(weights, KEYS), ['x', 'y', 'y', 'y', 'y', 'y']);
  }),
);

test(
  'runAt is a time of day: it goes by the clock on the wall, which somebody may have set',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: Date.parse('2026-01-01T00:00:00Z') });
    await using rig = await rigOf(echo, { clock });
    for (const ms of [3_600_000, -7_200_000]) {
      clock.jump(ms);
      const call = await rig.dispatcher.submit(echo, 1, { runAt: clock.wallTime() + 60_000 });
      await clock.advance(59_999);
      assert.equal(call.status, 'scheduled');
      await clock.advance(1);
      assert.equal(call.status, 'completed');
    }
  }),
);
