/** What flows cost: as much as they have nodes, and no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineTask, type Flow, flow, memoryEngine } from '../../src/tasks/index.ts';
import { type EngineOperation, faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { rigOf, settle } from './kit.ts';

const add = defineTask({ name: 'add', run: (_ctx, n: number) => n + 1 });
const first = defineTask({
  name: 'first',
  run: (_ctx, both: Readonly<Record<string, number>>) => Object.values(both)[0],
});

// biome-ignore lint/suspicious/noExplicitAny: names that the compiler can't know
type Loose = any;

/** Diamonds, one on top of the other. */
function stack(diamonds: number): Flow<number, number> {
  let graph: Loose = flow<number>({ name: `stack of ${diamonds}` }).node('top 0', add);
  for (let i = 1; i <= diamonds; i++) {
    const after = `top ${i - 1}`;
    graph = graph
      .node(`left ${i}`, add, { after })
      .node(`right ${i}`, add, { after })
      .node(`top ${i}`, first, { after: [`left ${i}`, `right ${i}`] });
  }
  return graph.build();
}

const OPERATIONS: readonly EngineOperation[] = [
  'submit',
  'submitMany',
  'fetch',
  'ack',
  'update',
  'get',
  'scan',
  'start',
];

async function costOf(diamonds: number) {
  const clock = new VirtualClock();
  const engine = faultyEngine(memoryEngine({ clock }));
  const graph = stack(diamonds);
  await using rig = await rigOf(graph, { clock, engine });
  const before = OPERATIONS.reduce((sum, operation) => sum + engine.calls(operation), 0);
  const run = await rig.dispatcher.submit(graph, 0);
  assert.equal(await run.result, 1 + 2 * diamonds - diamonds);
  await settle();
  const operations = OPERATIONS.reduce((sum, operation) => sum + engine.calls(operation), 0) - before;
  const record = (await engine.get(run.id))!;
  return {
    operations,
    calls: (await rig.dispatcher.calls.history({}, { limit: 1_000 })).length,
    bytes: JSON.stringify(record).length,
  };
}

test(
  'ten stacked diamonds cost ten times one',
  withLeakCheck(async () => {
    const one = await costOf(1);
    const two = await costOf(2);
    const ten = await costOf(10);
    const each = two.operations - one.operations;
    assert.deepEqual([one.calls, two.calls, ten.calls], [5, 8, 32]);
    assert.ok(
      Math.abs(ten.operations - one.operations - 9 * each) <= 9,
      `${one.operations} ${two.operations} ${ten.operations}`,
    );
    assert.ok(each <= 24, `${each} operations for three nodes`);
    assert.ok(ten.bytes - one.bytes <= 9.5 * (two.bytes - one.bytes), `${one.bytes} ${two.bytes} ${ten.bytes}`);
  }),
);

test(
  'a chain of 500 nodes, and of as many that are never run',
  withLeakCheck(async () => {
    const bad = defineTask({
      name: 'bad',
      run: (_ctx, n: number) => {
        if (n < 0) throw new Error('negative');
        return n;
      },
    });
    let graph: Loose = flow<number>({ name: 'graph' }).node('bad', bad);
    for (let i = 0; i < 500; i++) graph = graph.then(`${i}`, add);
    const chain = graph.build() as Flow<number, number>;
    await using rig = await rigOf(chain);
    assert.equal(await rig.dispatcher.call(chain, 1), 501);
    await assert.rejects(rig.dispatcher.call(chain, -1), { message: 'negative' });
  }),
);
