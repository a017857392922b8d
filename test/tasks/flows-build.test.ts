/** Flows that are refused, when they are built or when they are submitted; how they are registered; their pictures. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { TaskManager } from '../../src/index.ts';
import {
  type AnyTask,
  Dispatcher,
  defineTask,
  type FlowRun,
  flow,
  TaskRegistry,
  toMermaid,
} from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { rigOf, settle, within } from './kit.ts';

const echo = defineTask({ name: 'echo', run: (_ctx, input: unknown) => input });
const text = defineTask({ name: 'text', input: z.string(), run: (_ctx, input) => input });

// biome-ignore lint/suspicious/noExplicitAny: what the compiler would refuse
type Loose = any;
const loose = (): Loose => flow({ name: 'graph' });

for (const [what, build, error] of [
  ['no nodes', () => loose().build(), /^TypeError: the flow graph has no nodes: add one with node\(\)$/],
  [
    'a name twice',
    () => loose().node('a', echo).node('a', echo).build(),
    /^TypeError: the flow graph has two nodes of the name "a"$/,
  ],
  [
    'an edge to an unknown node',
    () => loose().node('a', echo, { after: 'b' }).build(),
    /^TypeError: the node a of the flow graph is after "b", which is none of its nodes$/,
  ],
  [
    'a handler of an unknown node',
    () =>
      loose()
        .node('a', echo)
        .onError('b', echo, { of: ['a', 'c'] })
        .build(),
    /^TypeError: the node b of the flow graph is to handle the failure of "c", which is none of its nodes$/,
  ],
  [
    'a cycle',
    () =>
      loose()
        .node('start', echo)
        .node('a', echo, { after: ['start', 'c'] })
        .node('b', echo, { after: 'a' })
        .node('c', echo, { after: 'b' })
        .node('end', echo, { after: 'c' })
        .build(),
    /^TypeError: the flow graph has a cycle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)$/,
  ],
  [
    'a node after itself',
    () => loose().node('a', echo, { after: 'a' }).build(),
    /^TypeError: the flow graph has a cycle: a -> a$/,
  ],
  [
    'a cycle by way of a failure',
    () => loose().node('a', echo, { after: 'b' }).onError('b', echo, { of: 'a' }).build(),
    /^TypeError: the flow graph has a cycle: (a -> b -> a|b -> a -> b)$/,
  ],
  ['what is no task', () => loose().node('a', () => 1).build(), /^TypeError: the task of the node a of the flow graph must be what defineTask has given/], // biome-ignore format: short
  ['no name', () => loose().node('', echo).build(), /^RangeError: the name of a node of the flow graph must be/],
  ['an unknown option', () => loose().node('a', echo, { retries: 3 }).build(), /^TypeError: .*retries/],
  ['each over nothing', () => loose().each('a', echo, {}).build(), /^TypeError: over of the node a of the flow graph must be a function/], // biome-ignore format: short
  ['a handler of nothing', () => loose().onError('a', echo, { of: [] }).build(), /^TypeError: of of the node a .* names no node$/], // biome-ignore format: short
  ['what the task fixes', () => loose().node('a', echo, { priority: 3 }).build(), /^TypeError: priority is fixed by the definition of echo/], // biome-ignore format: short
  ['a wrong onFailure', () => loose().node('a', echo, { onFailure: 'stop' }).build(), /^RangeError: onFailure of the node a/], // biome-ignore format: short
  ['an output that is no function', () => loose().node('a', echo).build('a'), /^TypeError: output must be a function/],
  ['then after nothing', () => loose().then('a', echo), /^TypeError: "a" comes after no node: begin with node\(\) or each\(\)$/], // biome-ignore format: short
  ['then with after', () => loose().node('a', echo).then('b', echo, { after: 'a' }), /^TypeError: then takes no after/],
  ['a flow without a name', () => flow({} as Loose), /^TypeError: name must be a string/],
  ['an option that flows have not got', () => flow({ name: 'graph', retry: { attempts: 2 } } as Loose), /^TypeError: .*retry/], // biome-ignore format: short
  ['a wrong option', () => flow({ name: 'graph', timeoutMs: -1 }), /^RangeError: timeoutMs must be/],
] as const) {
  test(`refused at build: ${what}`, () => {
    assert.throws(build, (thrown) => {
      assert.match(String(thrown), error);
      return true;
    });
  });
}

const retried = defineTask({ name: 'retried', retry: { attempts: 2 }, run: () => 1 });
const limited = defineTask({ name: 'limited', concurrency: 1, run: () => 1 });
const elsewhere = defineTask({ name: 'elsewhere', manager: 'db', run: () => 1 });
const serial = defineTask({ name: 'serial', onDuplicate: 'serial', run: () => 1 });
const drained = defineTask({ name: 'drained', onShutdown: 'drain', run: () => 1 });
const queued = defineTask({ name: 'queued', queue: 'slow', run: () => 1 });

for (const [what, build, why] of [
  ['a root', () => loose().node('a', echo, { inline: true }).build(), 'it needs exactly one node that it is after'],
  [
    'after two nodes',
    () =>
      loose()
        .node('a', echo)
        .node('b', echo)
        .node('c', echo, { after: ['a', 'b'], inline: true })
        .build(),
    'it needs exactly one node that it is after',
  ],
  [
    'not the only one after its parent',
    () => loose().node('a', echo).node('c', echo, { after: 'a', inline: true }).node('b', echo, { after: 'a' }).build(),
    "it isn't the only node after a",
  ],
  ['after each', () => loose().each('a', echo, { over: () => [] }).then('c', echo, { inline: true }).build(), 'a has a call for each item'], // biome-ignore format: short
  ['a retry', () => loose().node('a', echo).then('c', retried, { inline: true }).build(), 'retried has a retry of its own, which only a call of its own can have'], // biome-ignore format: short
  ['a limit', () => loose().node('a', echo).then('c', limited, { inline: true }).build(), 'limited has a rateLimit or concurrency of its own, which only a call of its own can have'], // biome-ignore format: short
  ['a queue', () => loose().node('a', echo).then('c', queued, { inline: true }).build(), 'queued has a queue of its own, which only a call of its own can have'], // biome-ignore format: short
  ['what waits for duplicates', () => loose().node('a', serial).then('c', echo, { inline: true }).build(), 'serial has an onDuplicate, which holds only among calls of its own'], // biome-ignore format: short
  ['an end of its own', () => loose().node('a', echo).then('c', drained, { inline: true }).build(), 'drained has a onShutdown of its own, which only a call of its own can have'], // biome-ignore format: short
  ['a manager', () => loose().node('a', echo).then('c', elsewhere, { inline: true }).build(), 'it runs on db, and a on default'], // biome-ignore format: short
  ['an option', () => loose().node('a', echo).then('c', echo, { inline: true, onFailure: 'skip' }).build(), 'it takes no options but after and input'], // biome-ignore format: short
  ['an input of the flow', () => loose().node('a', echo).then('c', echo, { inline: true, input: (_: unknown, input: unknown) => input }).build(), "its input can be made of the node's before it alone, not of the flow's"], // biome-ignore format: short
  ['a flow', () => loose().node('a', echo).then('c', flow({ name: 'inner' }).node('a', echo).build(), { inline: true }).build(), 'a flow has no worker'], // biome-ignore format: short
] as const) {
  test(`refused at build: inline with ${what}`, () => {
    const name = what === 'a root' ? 'a' : 'c';
    assert.throws(build, { name: 'TypeError', message: `the node ${name} of the flow graph can't run inline: ${why}` });
  });
}

test('an await of a builder fails at once, and says why', async () => {
  await assert.rejects(async () => await loose().node('a', echo), {
    name: 'TypeError',
    message: 'a flow that is being built is no promise to await: build() gives the flow',
  });
});

test(
  'refused at submission, with nothing stored: an input that does not fit the flow, or one of its roots',
  withLeakCheck(async () => {
    const typed = flow({ name: 'typed', input: z.object({ day: z.string() }) })
      .node('a', echo)
      .build();
    const root = flow<unknown>({ name: 'root' })
      .node('a', text as never)
      .build();
    const items = flow<unknown>({ name: 'items' })
      .each('a', text, { over: () => ['x', 1 as never] })
      .build();
    const throws = flow<{ a: { b: string } }>({ name: 'throws' })
      .node('n', text, { input: (_, { a }) => a.b })
      .build();
    const outer = flow<unknown>({ name: 'outer' }).node('inner', root).build();
    const big = flow<unknown>({ name: 'big' })
      .node('a', echo, { input: () => 10n })
      .build();
    const secret = defineTask({ name: 'secret', authorize: ['root'], run: () => 1 });
    const forbidden = flow<unknown>({ name: 'forbidden' }).node('a', secret).build();
    await using rig = await rigOf([typed, root, items, throws, outer, big, forbidden]);
    const { dispatcher } = rig;
    const refused = async (task: AnyTask, input: unknown, message: RegExp, code = 'ERR_INVALID_INPUT') =>
      assert.rejects(dispatcher.submit(task as never, input as never), { code, message });
    await refused(typed, { day: 1 }, /^the input is invalid: input\.day:/);
    await refused(root, 1, /^the node a of the flow root can't begin: the input is invalid/);
    await refused(items, 1, /^the node a of the flow items can't begin: the input is invalid/);
    await refused(throws, {}, /^input of the node n threw: Cannot read/);
    await refused(outer, 1, /^the node inner of the flow outer can't begin: the node a of the flow root can't begin/);
    await refused(big, 1, /BigInt/);
    await refused(forbidden, 1, /nobody may not run secret/, 'ERR_FORBIDDEN');
    assert.deepEqual(await dispatcher.calls.history(), []);
    const unknown = flow<unknown>({ name: 'unknown' }).node('a', echo).build();
    await refused(unknown, 1, /is not registered here/, 'ERR_NOT_REGISTERED');
    assert.equal(await within(dispatcher.call(root, 'fits')), 'fits');
  }),
);

test('a flow brings the tasks of its nodes along, those of flows in it too', () => {
  const inner = flow<unknown>({ name: 'inner' }).node('a', echo).build();
  const outer = flow<unknown>({ name: 'outer' })
    .node('inner', inner)
    .then('text', text as never)
    .build();
  const names = (registry: TaskRegistry) => registry.list().map(({ name }) => name).join(); // biome-ignore format: short
  const all = 'echo,inner,outer,text';
  assert.equal(names(new TaskRegistry([outer])), all);
  assert.equal(names(new TaskRegistry([outer, echo, inner])), all, 'they may be there besides');
  assert.equal(names(new TaskRegistry([echo, inner, outer])), all);
  assert.equal(names(new TaskRegistry().use(new TaskRegistry([outer]))), all);
  assert.throws(() => new TaskRegistry([outer, echo, echo]), /echo has been registered already/);
  assert.throws(() => new TaskRegistry([outer, outer]), /outer has been registered already/);
  const other = defineTask({ name: 'echo', run: () => 1 });
  const registry = new TaskRegistry([other]);
  assert.throws(() => registry.add(outer), /echo is the name of another task here/);
  assert.equal(names(registry), 'echo', 'nothing of it is there');
  assert.equal(registry.get('echo'), other);
});

test('the manager of those who run flows is nobody else', async () => {
  const name = 'errand:flows';
  assert.throws(() => defineTask({ name: 'a', manager: name, run: () => 1 }), /manager must be the name of a manager/);
  const manager = new TaskManager({ workerCount: 1 });
  assert.throws(() => new Dispatcher({ tasks: [], managers: { [name]: manager } }), /must be one of your own/);
  await manager.stop();
});

test('a flow has a picture', () => {
  const graph = loose()
    .node('list "all" <b>#1</b>', echo)
    .then('clean', echo, { inline: true })
    .each('each', echo, { after: 'clean', over: () => [1, 2, 3] })
    .then('end', echo)
    .onError('alarm', echo, { of: ['each', 'end'] })
    .build();
  assert.equal(
    graph.toMermaid(),
    `flowchart LR
  n0["list #34;all#34; #60;b#62;#35;1#60;/b#62;"]
  n1["clean"]
  n2[["each"]]
  n3["end"]
  n4("alarm")
  n0 ==> n1
  n1 --> n2
  n2 --> n3
  n2 -. on error .-> n4
  n3 -. on error .-> n4
`,
  );
  assert.equal(toMermaid(graph), graph.toMermaid());
  assert.throws(() => toMermaid(echo), /flow must be what flow\(\)\.build\(\) has given/);
});

test(
  'a run has a picture, with the state of each node',
  withLeakCheck(async () => {
    const even = defineTask({
      name: 'even',
      run: (_ctx, n: number) => {
        if (n % 2 === 1) throw new Error('odd');
        return n;
      },
    });
    const graph = flow<number>({ name: 'graph' })
      .node('first', echo)
      .each('each', even, { after: 'first', over: () => [1, 2, 3] })
      .then('end', echo)
      .onError('alarm', echo, { of: 'each' })
      .onError('calm', echo, { of: 'first' })
      .build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 1);
    await settle();
    const state = (await rig.dispatcher.flows.get(run.id)) as FlowRun;
    assert.equal(
      graph.toMermaid(state),
      `flowchart LR
  n0["first"]
  n1[["each<br/>1 of 3, 2 failed"]]
  n2["end"]
  n3("alarm")
  n4("calm")
  n0 --> n1
  n1 --> n2
  n1 -. on error .-> n3
  n0 -. on error .-> n4
  classDef completed fill:#dafbe1,stroke:#1a7f37,color:#24292f
  class n0,n3 completed
  classDef failed fill:#ffebe9,stroke:#cf222e,color:#24292f
  class n1,n2 failed
  classDef skipped fill:#ffffff,stroke:#8c959f,color:#8c959f,stroke-dasharray:4 3
  class n4 skipped
`,
    );
    assert.equal(graph.toMermaid(state), graph.toMermaid(structuredClone({ ...state, error: undefined })));
  }),
);
