/** Flows that run: what each node gets, what comes out, and where all stand meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TaskManager } from '../../src/index.ts';
import {
  type AnyTask,
  type CallContext,
  defineTask,
  type FlowFailure,
  type FlowNode,
  type FlowRun,
  flow,
} from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { deferred, failureOf, passing, rigOf, settle, within } from './kit.ts';

const add = defineTask({ name: 'add', run: (_ctx, n: number) => n + 1 });
const total = defineTask({ name: 'total', run: (_ctx, all: readonly number[]) => all.reduce((a, b) => a + b, 0) });
const values = defineTask({ name: 'values', run: (_ctx, all: Readonly<Record<string, unknown>>) => all });
const gives = defineTask({ name: 'gives', run: (_ctx, value: unknown) => value });
const odd = defineTask({
  name: 'odd',
  run: (_ctx, n: number) => {
    if (n % 2 === 0) throw new RangeError(`${n} is even`);
    return n;
  },
});

function at(nodes: FlowRun['nodes'], name: string): FlowNode {
  return nodes[name]!;
}

test(
  'a root gets the input of the flow, a node after one its output, one after several an object of theirs',
  withLeakCheck(async () => {
    const diamond = flow<number>({ name: 'diamond' })
      .node('top', add)
      .node('left', add, { after: 'top' })
      .node('right', add, { after: 'top', input: ({ top }, input) => top * 10 + input })
      .node('bottom', values, { after: ['left', 'right'] })
      .build();
    await using rig = await rigOf(diamond, { concurrency: 1 });
    const run = await rig.dispatcher.submit(diamond, 1);
    assert.deepEqual(await within(run.result), { left: 3, right: 22 });
    const { nodes, state, flow: name, version } = (await rig.dispatcher.flows.get(run.id))!;
    assert.deepEqual([state, name, version], ['completed', 'diamond', 1]);
    assert.deepEqual(Object.keys(nodes), ['top', 'left', 'right', 'bottom']);
    for (const [node, its] of Object.entries(nodes)) {
      assert.deepEqual(its, { state: 'completed', call: `${run.id}/${node}` });
      assert.equal((await rig.dispatcher.calls.get(its.call!))!.info.parentId, run.id);
    }
  }),
);

test(
  'an array of one name gives an object all the same, so that a computed list has one shape',
  withLeakCheck(async () => {
    const one = flow<number>({ name: 'one' })
      .node('a', add)
      .node('b', values, { after: ['a'] })
      .build();
    await using rig = await rigOf(one);
    assert.deepEqual(await within(rig.dispatcher.call(one, 1)), { a: 2 });
  }),
);

test(
  'the output is that of the last node, or what is made of all results',
  withLeakCheck(async () => {
    const steps = flow<number>({ name: 'steps' }).node('a', add).then('b', add);
    const last = steps.build();
    const all = flow<number>({ name: 'all' })
      .node('a', add)
      .then('b', add)
      .build(async ({ a, b }) => `${a} ${b}`);
    await using rig = await rigOf([last, all]);
    assert.equal(await within(rig.dispatcher.call(last, 1)), 3);
    assert.equal(await within(rig.dispatcher.call(all, 1)), '2 3');
  }),
);

test(
  'a builder is left as it is by what is added: two flows can begin alike',
  withLeakCheck(async () => {
    const begin = flow<number>({ name: 'begin' }).node('a', add);
    assert.deepEqual([begin.then('b', add).build().nodes, begin.then('c', add).build().nodes], [['a', 'b'], ['a', 'c']]); // biome-ignore format: short
    assert.deepEqual(begin.build().nodes, ['a']);
  }),
);

test(
  'each has a call for each item, and gives their outputs in the order of the items',
  withLeakCheck(async () => {
    const gates = [deferred(), deferred(), deferred()];
    const waits = defineTask({ name: 'waits', run: (_ctx, i: number) => gates[i]!.promise.then(() => i * 10) });
    const fan = flow<number>({ name: 'fan' })
      .each('items', waits, { over: (_, n) => Array.from({ length: n }, (_item, i) => i) })
      .then('total', total)
      .build(({ items, total }) => ({ items, total }));
    await using rig = await rigOf(fan);
    const run = await rig.dispatcher.submit(fan, 3);
    gates[2]!.resolve();
    await settle();
    const { items } = (await rig.dispatcher.flows.get(run.id))!.nodes;
    assert.deepEqual(items, {
      state: 'running',
      call: `${run.id}/items`,
      items: { total: 3, completed: 1, failed: 0 },
    });
    assert.equal((await rig.dispatcher.calls.get(`${run.id}/items/2`))!.status, 'completed');
    gates[0]!.resolve();
    gates[1]!.resolve();
    assert.deepEqual(await within(run.result), { items: [0, 10, 20], total: 30 });
  }),
);

test(
  'each over nothing completes with nothing',
  withLeakCheck(async () => {
    const fan = flow<number[]>({ name: 'fan' })
      .each('items', add, { over: (_, all) => all })
      .then('total', total)
      .build();
    await using rig = await rigOf(fan);
    const run = await rig.dispatcher.submit(fan, []);
    assert.equal(await within(run.result), 0);
    const { items } = (await rig.dispatcher.flows.get(run.id))!.nodes;
    assert.deepEqual(items!.items, { total: 0, completed: 0, failed: 0 });
  }),
);

test(
  'each fails with the first failure in the list, when all items have ended',
  withLeakCheck(async () => {
    const fan = flow<number[]>({ name: 'fan' })
      .each('items', odd, { over: (_, all) => all })
      .build();
    await using rig = await rigOf(fan, { concurrency: 1 });
    const run = await rig.dispatcher.submit(fan, [1, 4, 3, 2, 5]);
    await assert.rejects(within(run.result), { name: 'RangeError', message: '4 is even' });
    const { items } = (await rig.dispatcher.flows.get(run.id))!.nodes;
    assert.deepEqual(items!.items, { total: 5, completed: 3, failed: 2 });
    assert.deepEqual(items!.error, { name: 'RangeError', message: '4 is even' });
  }),
);

test(
  'each with settled gives what has become of each item',
  withLeakCheck(async () => {
    const fan = flow<number[]>({ name: 'fan' })
      .each('items', odd, { over: (_, all) => all, settled: true })
      .build();
    const nothing = defineTask({ name: 'nothing', run: () => {} });
    const none = flow<number[]>({ name: 'none' })
      .each('items', nothing, { over: (_, all) => all })
      .build();
    await using rig = await rigOf([fan, none]);
    assert.deepEqual(await within(rig.dispatcher.call(fan, [1, 2])), [
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: { name: 'RangeError', message: '2 is even' } },
    ]);
    assert.deepEqual(await within(rig.dispatcher.call(none, [1])), [null]);
  }),
);

test(
  'a failed node fails what depends on it, and the flow with its error when all that can still run has ended',
  withLeakCheck(async () => {
    const gate = deferred();
    const slow = defineTask({ name: 'slow', run: () => gate.promise });
    const ran: string[] = [];
    const notes = defineTask({ name: 'notes', run: (_ctx, name: string) => void ran.push(name) });
    const graph = flow<number>({ name: 'graph' })
      .node('bad', odd)
      .node('slow', slow)
      .node('never', notes, { after: ['bad', 'slow'], input: () => 'never' })
      .node('still', notes, { after: 'slow', input: () => 'still' })
      .node('nor', notes, { after: 'never', input: () => 'nor' })
      .build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 2);
    await settle();
    const { nodes } = (await rig.dispatcher.flows.get(run.id))!;
    const error = { name: 'RangeError', message: '2 is even' };
    assert.deepEqual(at(nodes, 'nor'), { state: 'failed', error, failed: 'bad' });
    assert.deepEqual([at(nodes, 'bad').state, at(nodes, 'slow').state, run.status], ['failed', 'running', 'started']);
    gate.resolve();
    assert.equal((await failureOf(run)).message, '2 is even');
    assert.deepEqual([ran, run.status], [['still'], 'deadLettered']);
  }),
);

test(
  'with onFailure skip, what depends on a failed node is skipped, and the flow completes without it',
  withLeakCheck(async () => {
    const graph = flow<number>({ name: 'graph' })
      .node('bad', odd, { onFailure: 'skip' })
      .node('good', add)
      .node('both', values, { after: ['bad', 'good'] })
      .node('after', values, { after: ['both'] })
      .node('end', add, { after: 'good' })
      .build((results) => results);
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 2);
    assert.deepEqual(await within(run.result), { good: 3, end: 4 });
    const { nodes } = (await rig.dispatcher.flows.get(run.id))!;
    const states = Object.values(nodes).map(({ state }) => state);
    assert.deepEqual(states, ['failed', 'completed', 'skipped', 'skipped', 'completed']);
    assert.deepEqual(await within(rig.dispatcher.call(graph, 1)), {
      bad: 1,
      good: 2,
      both: { bad: 1, good: 2 },
      after: { both: { bad: 1, good: 2 } },
      end: 3,
    });
  }),
);

test(
  'a flow whose last node is skipped completes with nothing',
  withLeakCheck(async () => {
    const graph = flow<number>({ name: 'graph' }).node('bad', odd, { onFailure: 'skip' }).then('last', add).build();
    await using rig = await rigOf(graph);
    assert.equal(await within(rig.dispatcher.call(graph, 2)), undefined);
  }),
);

test(
  'onError runs what handles a failure, at once, and is skipped if there is none',
  withLeakCheck(async () => {
    const gate = deferred();
    const slow = defineTask({ name: 'slow', run: () => gate.promise });
    const told: unknown[] = [];
    const tell = defineTask({ name: 'tell', run: (_ctx, failure: FlowFailure) => void told.push(failure) });
    const page = defineTask({ name: 'page', run: (_ctx, text: string) => void told.push(text) });
    const graph = flow<number>({ name: 'graph' })
      .node('bad', odd)
      .then('never', add)
      .node('slow', slow)
      .onError('tell', tell, { of: ['slow', 'never'] })
      .onError('page', page, { of: 'bad', input: ({ error, node }, input) => `${node}: ${error.message} (${input})` })
      .onError('fine', tell, { of: 'slow' })
      .build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 2);
    await settle();
    const failure = { node: 'bad', error: { name: 'RangeError', message: '2 is even' } };
    assert.deepEqual(told, ['bad: 2 is even (2)', failure], 'while slow runs still');
    gate.resolve();
    assert.equal((await failureOf(run)).message, '2 is even', 'it fails all the same');
    assert.equal(at((await rig.dispatcher.flows.get(run.id))!.nodes, 'fine').state, 'skipped');
  }),
);

test(
  'onError of a node whose failure is let pass is a way around it',
  withLeakCheck(async () => {
    const plan = flow<number>({ name: 'plan' })
      .node('first', odd, { onFailure: 'skip' })
      .onError('second', gives, { of: 'first', input: (_, input) => input * 100 })
      .build(({ first, second }) => first ?? second);
    await using rig = await rigOf(plan);
    assert.equal(await within(rig.dispatcher.call(plan, 3)), 3);
    assert.equal(await within(rig.dispatcher.call(plan, 4)), 400);
  }),
);

test(
  'flows in flows in flows run where one call runs at a time, and so do their items',
  withLeakCheck(async () => {
    const inner = flow<number>({ name: 'inner' }).node('a', add).then('b', add).build();
    const middle = flow<number>({ name: 'middle' })
      .each('inners', inner, { over: (_, n) => [n, n + 1, n + 2] })
      .then('sum', total)
      .build();
    const outer = flow<number>({ name: 'outer' }).node('one', middle).then('two', middle).build();
    await using rig = await rigOf(outer, { concurrency: 1, queues: { default: { concurrency: 1 } } });
    const run = await rig.dispatcher.submit(outer, 0);
    assert.equal(await within(run.result), 9 * 3 + 9);
    const call = `${run.id}/two/inners/1`;
    assert.equal(at((await rig.dispatcher.flows.get(call))!.nodes, 'b').call, `${call}/b`);
  }),
);

test(
  'a node has the options that its task lets it have, and what came along with the run',
  withLeakCheck(async () => {
    const seen: unknown[] = [];
    const task = defineTask({
      name: 'task',
      overridable: ['priority', 'queue', 'attempts'],
      run: ({ queue, headers, principals, attempt }: CallContext) => {
        seen.push([queue, headers, principals, attempt]);
        if (attempt === 1) throw new Error('again');
      },
    });
    const options = { delayMs: 100, priority: 7, queue: 'other', attempts: 2 };
    const graph = flow({ name: 'graph' }).node('node', task, options).build();
    await using rig = await rigOf(graph);
    const context = { principals: [{ name: 'Ada' }], headers: { tenant: 'a' } };
    const run = await rig.dispatcher.submit(graph, undefined, { context });
    await settle();
    const { info } = (await rig.dispatcher.calls.get(`${run.id}/node`))!;
    assert.deepEqual([info.state, info.dueAt, info.priority], ['scheduled', 100, 7]);
    await passing(rig.clock, run.result);
    const rest = ['other', context.headers, context.principals];
    assert.deepEqual(seen, [[...rest, 1], [...rest, 2]]); // biome-ignore format: short
  }),
);

test(
  'a small node runs inline: in the call of the one before it, on its worker',
  withLeakCheck(async () => {
    const resources: object[] = [];
    const db = new TaskManager({ workerCount: 2, onCreate: () => ({}) });
    const notes = (name: string) =>
      defineTask({
        name,
        manager: 'db',
        retry: name === 'load' ? { attempts: 3, baseMs: 0 } : undefined,
        run: async (ctx: CallContext, input: string, resource: object) => {
          resources.push(resource);
          const text = await ctx.step('name', () => `${ctx.task} of ${input}`);
          if (name === 'clean' && ctx.attempt < 3) throw new Error('dirty');
          return text;
        },
      });
    const graph = flow<string>({ name: 'graph' })
      .node('load', notes('load'))
      .then('clean', notes('clean'), { inline: true })
      .then('store', notes('store'), { inline: true, input: ({ clean }) => `<${clean}>` })
      .build((results) => results);
    {
      await using rig = await rigOf(graph, { managers: { db } });
      const run = await rig.dispatcher.submit(graph, 'x');
      assert.deepEqual(await passing(rig.clock, run.result), {
        load: 'load of x',
        clean: 'clean of load of x',
        store: 'store of <clean of load of x>',
      });
      const calls = await rig.dispatcher.calls.history({ parentId: run.id });
      assert.deepEqual(calls.map(({ task }) => task), ['graph/load']); // biome-ignore format: short
      assert.equal(resources.length, 5, 'load is done once for all attempts');
      assert.equal(resources.at(-1), resources.at(-2));
    }
    await db.stop();
  }),
);

test(
  'of nodes in one call the one that fails is the one that has failed',
  withLeakCheck(async () => {
    const graph = flow<number>({ name: 'graph' })
      .node('a', add)
      .then('b', odd, { inline: true })
      .then('c', add, { inline: true })
      .onError('told', gives, { of: 'b' })
      .build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 1);
    assert.equal((await failureOf(run)).message, '2 is even');
    const { nodes } = (await rig.dispatcher.flows.get(run.id))!;
    assert.deepEqual(Object.values(nodes).map(({ state }) => state), ['completed', 'failed', 'failed', 'completed']); // biome-ignore format: short
    assert.equal(at(nodes, 'c').failed, 'b');
  }),
);

test(
  'fakes stand in for the tasks of nodes, inline ones too, and for flows',
  withLeakCheck(async () => {
    const inner = flow<number>({ name: 'inner' }).node('a', add).then('b', add, { inline: true }).build();
    const outer = flow<number>({ name: 'outer' }).node('inner', inner).build();
    await using rig = await rigOf(outer);
    {
      using _ = rig.dispatcher.tasks.replace(add, (_ctx, n) => n + 100);
      assert.equal(await within(rig.dispatcher.call(outer, 0)), 200);
    }
    using _ = rig.dispatcher.tasks.replace(inner as AnyTask, () => 7);
    assert.equal(await within(rig.dispatcher.call(outer, 0)), 7);
  }),
);

test(
  'a node whose input cannot be made, or does not fit, fails, and says why',
  withLeakCheck(async () => {
    const graph = (what: unknown) =>
      flow<number>({ name: `graph ${typeof what}` })
        .node('a', add)
        .then('b', gives, {
          input: () => {
            if (what === undefined) throw new Error('no idea');
            return what;
          },
        })
        .build();
    const [throws, unfit] = [graph(undefined), graph(10n)];
    const list = flow<number>({ name: 'list' }).node('a', add).then('b', gives).each('c', gives, { after: 'b', over: ({ b }) => b as never }).build(); // biome-ignore format: short
    await using rig = await rigOf([throws, unfit, list]);
    await assert.rejects(within(rig.dispatcher.call(throws, 1)), {
      code: 'ERR_INVALID_INPUT',
      message: 'input of the node b threw: no idea',
    });
    await assert.rejects(within(rig.dispatcher.call(unfit, 1)), { code: 'ERR_INVALID_INPUT', message: /BigInt/ });
    await assert.rejects(within(rig.dispatcher.call(list, 1)), {
      code: 'ERR_INVALID_INPUT',
      message: 'over of the node c must return a list of items, but returned 2',
    });
  }),
);

test(
  'nodes of all names have ids of their own',
  withLeakCheck(async () => {
    const names = ['a/1', 'a', '__proto__', 'toString', 'a%2F1', 'a~2', 'ä b'];
    let graph = flow<number>({ name: 'graph' }) as never as ReturnType<ReturnType<typeof flow<number>>['node']>;
    for (const name of names) graph = graph.node(name, add as never) as never;
    const all = graph.build((results) => Object.entries(results));
    await using rig = await rigOf(all);
    const run = await rig.dispatcher.submit(all, 1 as never);
    assert.deepEqual(
      await within(run.result),
      names.map((name) => [name, 2]),
    );
    const { nodes } = (await rig.dispatcher.flows.get(run.id))!;
    assert.deepEqual(Object.keys(nodes).sort(), [...names].sort());
    assert.equal(new Set(Object.values(nodes).map(({ call }) => call)).size, names.length);
  }),
);

test(
  'where nodes stand can be watched, and asked for before anything runs',
  withLeakCheck(async () => {
    const graph = flow<number>({ name: 'graph' }).node('a', add).then('b', add).build();
    await using rig = await rigOf([graph], { queues: {} });
    const run = await rig.dispatcher.submit(graph, 1);
    const states = async () => Object.values((await rig.dispatcher.flows.get(run.id))!.nodes).map(({ state }) => state);
    assert.deepEqual(await states(), ['waiting', 'waiting']);
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of run.events()) if (event.type === 'progress') seen.push((await states()).join());
    })();
    await rig.dispatcher.setQueues({ default: {} });
    assert.equal(await within(run.result), 3);
    await watching;
    assert.ok(seen.length > 0);
    assert.equal(await rig.dispatcher.flows.get('unknown'), undefined);
    await assert.rejects(rig.dispatcher.flows.get(`${run.id}/a`), /which is no flow/);
  }),
);
