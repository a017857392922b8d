/** Flows that run: what each node gets, what comes out, and where all stand meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineTask, flow } from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { rigOf, within } from './kit.ts';

const add = defineTask({ name: 'add', run: (_ctx, n: number) => n + 1 });
const sum = defineTask({
  name: 'sum',
  run: (_ctx, all: Readonly<Record<string, number>>) => Object.values(all).reduce((a, b) => a + b, 0),
});
const total = defineTask({ name: 'total', run: (_ctx, all: readonly number[]) => all.reduce((a, b) => a + b, 0) });

test(
  'a root gets the input of the flow, a node after it its output, one after several an object of theirs',
  withLeakCheck(async () => {
    const diamond = flow<number>({ name: 'diamond' })
      .node('top', add)
      .node('left', add, { after: 'top' })
      .node('right', add, { after: 'top', input: ({ top }, input) => top * 10 + input })
      .node('bottom', sum, { after: ['left', 'right'] })
      .build();
    await using rig = await rigOf(diamond, { concurrency: 1 });
    const run = await rig.dispatcher.submit(diamond, 1);
    assert.equal(await within(run.result), 3 + 22);
    const { nodes, state, flow: name } = (await rig.dispatcher.flows.get(run.id))!;
    assert.deepEqual([state, name], ['completed', 'diamond']);
    assert.deepEqual(Object.keys(nodes), ['top', 'left', 'right', 'bottom']);
    for (const [node, { state, call }] of Object.entries(nodes)) {
      assert.deepEqual([state, call], ['completed', `${run.id}/${node}`]);
      assert.equal((await rig.dispatcher.calls.get(call!))!.info.parentId, run.id);
    }
  }),
);

test(
  'each has a call for each item, and gives their outputs in the order of the items',
  withLeakCheck(async () => {
    const fan = flow<number>({ name: 'fan' })
      .each('items', add, { over: (_, n) => Array.from({ length: n }, (_, i) => i) })
      .then('total', total)
      .build();
    await using rig = await rigOf(fan);
    assert.equal(await within(rig.dispatcher.call(fan, 4)), 10);
    assert.equal(await within(rig.dispatcher.call(fan, 0)), 0);
  }),
);
