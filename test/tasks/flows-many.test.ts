/** Flows of ten thousand nodes, or items: they take about as long as their calls do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineTask, type Flow, flow, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { rigOf } from './kit.ts';

const add = defineTask({ name: 'add', run: (_ctx, n: number) => n + 1 });
const count = defineTask({ name: 'count', run: (_ctx, all: object) => Object.keys(all).length });

// biome-ignore lint/suspicious/noExplicitAny: names that the compiler can't know
type Loose = any;

const MANY = 10_000;

test(
  'each with 10,000 items, and what comes after it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const graph = flow<number>({ name: 'graph' })
      .each('items', add, { over: (_, n) => Array.from({ length: n }, (_item, i) => i) })
      .then('count', count)
      .build();
    await using rig = await rigOf(graph, { clock, engine, concurrency: 100 });
    const run = await rig.dispatcher.submit(graph, MANY);
    assert.equal(await run.result, MANY);
    assert.equal(engine.calls('submitMany'), MANY / 500 + 1);
    const { items } = (await rig.dispatcher.flows.get(run.id))!.nodes;
    assert.deepEqual(items!.items, { total: MANY, completed: MANY, failed: 0 });
  }),
);

test(
  '10,000 nodes after one, and one after them',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const names = Array.from({ length: MANY }, (_, i) => `node ${i}`);
    let graph: Loose = flow<number>({ name: 'graph' }).node('top', add);
    for (const name of names) graph = graph.node(name, add, { after: 'top' });
    const fan = graph.node('count', count, { after: names }).build() as Flow<number, number>;
    await using rig = await rigOf(fan, { clock, engine, concurrency: 100 });
    const run = await rig.dispatcher.submit(fan, 1);
    assert.equal(await run.result, MANY);
    assert.ok(engine.calls('update') < MANY / 10, `${engine.calls('update')} updates`);
    const { nodes } = (await rig.dispatcher.flows.get(run.id))!;
    assert.ok(Object.values(nodes).every(({ state }) => state === 'completed'));
  }),
);
