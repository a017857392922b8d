/** What Jobbers planned and never reached, by the names of its table. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byHash, type CallContext, defineTask, flow, memoryEngine, roundRobin } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, pause, rigOf, settle } from './kit.ts';

test(
  'Jobbers, never reached: per-task and per-params limits',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: string[] = [];
    const task = defineTask({
      name: 'task',
      concurrency: 3,
      rateLimit: { limit: 1, intervalMs: 100, key: (tenant) => tenant },
      run: async (_ctx: CallContext, tenant: string) => {
        starts.push(`${tenant} ${clock.now()}`);
        await pause(clock, 150);
      },
    });
    await using rig = await rigOf(task, { clock });
    await rig.dispatcher.submitMany(task, ['a', 'a', 'b', 'b', 'c']);
    await clock.advance(1_000);
    // Of each tenant one at a time; of the task three, so that the second ones wait for the end of the first ones.
    assert.deepEqual(starts, ['a 0', 'b 0', 'c 0', 'a 150', 'b 150']);
  }),
);

test(
  'Jobbers, never reached: batch fetch',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine, concurrency: 50 });
    await settle();
    const before = engine.calls('fetch');
    const calls = await rig.dispatcher.submitMany(
      echo,
      Array.from({ length: 50 }, (_, i) => i),
    );
    await Promise.all(calls.map(({ result }) => result));
    assert.ok(engine.calls('fetch') - before <= 3, `${engine.calls('fetch') - before} for 50 calls`);
  }),
);

test(
  'Jobbers, never reached: hash and round-robin distribution',
  withLeakCheck(async () => {
    const queues = ['a', 'b', 'c'];
    const hashed = defineTask({ name: 'hashed', queue: byHash(queues, String), run: () => {} });
    const turns = defineTask({ name: 'turns', queue: roundRobin(queues), run: () => {} });
    await using rig = await rigOf([hashed, turns]);
    const queuesOf = async (task: typeof hashed, inputs: readonly number[]) =>
      (await rig.dispatcher.submitMany(task, inputs)).map(({ info }) => info.queue);
    assert.deepEqual(await queuesOf(turns, [1, 1, 1, 1]), ['a', 'b', 'c', 'a']);
    const inputs = Array.from({ length: 60 }, (_, i) => i);
    const first = await queuesOf(hashed, inputs);
    assert.deepEqual(await queuesOf(hashed, inputs), first, 'the same for one key');
    assert.deepEqual([...new Set(first)].sort(), queues);
  }),
);

test(
  'Jobbers, never reached: step-location text',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: new Date(2026, 0, 1, 14, 5, 31).getTime() });
    const task = defineTask({
      name: 'task',
      run: (ctx: CallContext) => {
        ctx.heartbeat('page 3/9');
        return ctx.done();
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    assert.equal(call.info.where, 'last at step page 3/9 at 14:05:31');
  }),
);

test(
  'Jobbers, never reached: inlining 1:1 children',
  withLeakCheck(async () => {
    const graph = flow({ name: 'graph' }).node('parent', echo).then('child', echo, { inline: true }).build();
    await using rig = await rigOf(graph);
    assert.equal(await rig.dispatcher.call(graph, 1), 1);
    const calls = await rig.dispatcher.calls.history({});
    assert.deepEqual(calls.map(({ task }) => task), ['graph/parent', 'graph']); // biome-ignore format: short
  }),
);
