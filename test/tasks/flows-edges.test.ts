/** Flows at their edges: what mappers may do wrong, what nodes that share a call leave to each other, runs across deployments. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CallContext,
  Dispatcher,
  defineTask,
  type Flow,
  flow,
  InvalidInputError,
  memoryEngine,
  SkipTask,
  type StandardSchema,
} from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failureOf, hangs, passing, pause, rigOf, settle } from './kit.ts';

/** Where the nodes of a run stand. */
async function statesOf(dispatcher: Dispatcher, id: string): Promise<string> {
  const { nodes } = (await dispatcher.flows.get(id))!;
  return Object.values(nodes)
    .map(({ state }) => state)
    .join(' ');
}

test(
  'what an inline node does to its input is not done to the result of the node before it',
  withLeakCheck(async () => {
    const sort = defineTask({ name: 'sort', run: (_ctx, numbers: number[]) => numbers.sort() });
    const last = defineTask({ name: 'last', run: (_ctx, numbers: number[]) => numbers.pop() });
    const tidy = flow<number[]>({ name: 'tidy' })
      .node('numbers', defineTask({ name: 'numbers', run: (_ctx, numbers: number[]) => numbers }))
      .then('sorted', sort, { inline: true })
      .then('last', last, { inline: true, input: ({ sorted }) => sorted.reverse() })
      .build((results) => results);
    await using rig = await rigOf(tidy);
    assert.deepEqual(await rig.dispatcher.call(tidy, [3, 1, 2]), { numbers: [3, 1, 2], sorted: [1, 2, 3], last: 1 });
  }),
);

test(
  'of nodes in one call the one that fails is named, whatever it throws',
  withLeakCheck(async () => {
    const borrowed = Object.assign(new Error('of another flow'), { flowNode: 'second' });
    const thrown: unknown[] = ['a text', undefined, Object.freeze(new Error('frozen'))];
    const throwing = defineTask({ name: 'throwing', run: (_ctx, what: unknown) => Promise.reject(what === null ? borrowed : thrown[what as number]) }); // biome-ignore format: short
    const graph = flow({ name: 'graph' })
      .node('first', defineTask({ name: 'first', run: (_ctx, input: unknown) => (input === null ? Promise.reject(borrowed) : input) })) // biome-ignore format: short
      .then('second', throwing, { inline: true })
      .onError('handler', echo, { of: 'first' })
      .build();
    await using rig = await rigOf(graph);
    for (const [index, message] of ['a text', 'undefined', 'frozen'].entries()) {
      const run = await rig.dispatcher.submit(graph, index);
      assert.match((await failureOf(run)).message, new RegExp(message));
      assert.equal(await statesOf(rig.dispatcher, run.id), 'completed failed skipped');
    }
    const run = await rig.dispatcher.submit(graph, null);
    assert.equal((await failureOf(run)).message, 'of another flow');
    assert.equal(await statesOf(rig.dispatcher, run.id), 'failed failed completed');
  }),
);

test(
  'a run that is canceled, or has no time left, ends though an input of a node is still being checked',
  withLeakCheck(async () => {
    const never: StandardSchema<unknown, unknown> = {
      '~standard': { version: 1, vendor: 'test', validate: () => new Promise(() => {}) },
    };
    const checked = defineTask({ name: 'checked', input: never, run: () => {} });
    const graph = flow({ name: 'graph', timeoutMs: 60_000 }).node('a', echo).then('b', checked).build();
    await using rig = await rigOf(graph);
    const [one, two] = [await rig.dispatcher.submit(graph, 1), await rig.dispatcher.submit(graph, 2)];
    await settle();
    await one.cancel('enough');
    await settle();
    assert.equal(one.status, 'canceled');
    await rig.clock.advance(61_000);
    assert.equal(two.status, 'deadLettered');
  }),
);

test(
  'the calls of a run that is canceled are not made any more, however many there are to make',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let checked = 0;
    const slow: StandardSchema<number, number> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) => {
          checked++;
          return new Promise((resolve) => clock.setTimeout(() => resolve({ value: value as number }), 100));
        },
      },
    };
    const item = defineTask({ name: 'item', input: slow, run: () => {} });
    const graph = flow({ name: 'graph' }).node('a', echo).each('b', item, { after: 'a', over: () => [1, 2, 3, 4, 5] }).build(); // biome-ignore format: short
    await using rig = await rigOf(graph, { clock });
    const run = await rig.dispatcher.submit(graph, 1);
    await clock.advance(150);
    await run.cancel();
    await clock.advance(1_000);
    assert.equal(run.status, 'canceled');
    assert.equal(checked, 2);
    assert.equal((await rig.dispatcher.calls.history({ task: 'item' })).length, 0);
  }),
);

test(
  'a list of items that cannot be had is said so, when it is submitted and when it runs',
  withLeakCheck(async () => {
    function* broken() {
      yield 1;
      throw new Error('the cursor is gone');
    }
    function* endless() {
      for (;;) yield 1;
    }
    const rejected = async (): Promise<never> => Promise.reject(new Error('nobody waits for this'));
    const cases: [over: () => Iterable<number>, message: RegExp][] = [
      [broken, /over of the node b threw: the cursor is gone/],
      [endless, /over of the node b gives more than 1000000 items/],
      [rejected as never, /over of the node b must return .*, but returned a promise/],
    ];
    for (const [over, message] of cases) {
      const root = flow({ name: 'root' }).each('b', echo, { over }).build();
      const later = flow({ name: 'later' }).node('a', echo).each('b', echo, { after: 'a', over }).build();
      await using rig = await rigOf([root, later]);
      await assert.rejects(rig.dispatcher.submit(root, 1), (error) => error instanceof InvalidInputError && message.test(error.message)); // biome-ignore format: short
      const error = await failureOf(await rig.dispatcher.submit(later, 1));
      assert.match(error.message, message);
      assert.ok(error instanceof InvalidInputError);
    }
  }),
);

test(
  'an input that is a promise is refused, and its failure is nobody else to handle',
  withLeakCheck(async () => {
    const input = async (): Promise<never> => Promise.reject(new Error('nobody waits for this'));
    const root = flow({ name: 'root' }).node('a', echo, { input }).build();
    const later = flow({ name: 'later' }).node('a', echo).then('b', echo, { input }).build();
    const inline = flow({ name: 'inline' }).node('a', echo).then('b', echo, { input, inline: true }).build();
    await using rig = await rigOf([root, later, inline]);
    await assert.rejects(rig.dispatcher.submit(root, 1), /input of the node a must return .*, but returned a promise/);
    for (const graph of [later, inline]) {
      const error = await failureOf(await rig.dispatcher.submit(graph, 1));
      assert.match(error.message, /input of the node b must return .*, but returned a promise/);
      assert.ok(error instanceof InvalidInputError);
    }
  }),
);

test(
  'what a mapper does to what it is given, nobody else sees',
  withLeakCheck(async () => {
    const list = defineTask({ name: 'list', run: (_ctx, n: number[]) => n });
    const graph = flow<{ n: number[] }>({ name: 'graph' })
      .node('list', list, { input: (_, { n }) => n.splice(0) })
      .node('sorted', list, { after: 'list', input: ({ list }) => list.sort() })
      .node('as it was', list, { after: 'list', input: ({ list }, { n }) => [...list, ...n] })
      .build((results) => results);
    await using rig = await rigOf(graph);
    const input = { n: [3, 1, 2] };
    const run = await rig.dispatcher.submit(graph, input);
    assert.deepEqual(input, { n: [3, 1, 2] });
    assert.deepEqual(await run.result, { list: [3, 1, 2], sorted: [1, 2, 3], 'as it was': [3, 1, 2, 3, 1, 2] });
  }),
);

test(
  'fewer items than there were, one of which had failed, leave nothing of it',
  withLeakCheck(async () => {
    let items = [1, 2, 3];
    const odd = defineTask({ name: 'odd', run: (ctx: CallContext, n: number) => n === 3 ? Promise.reject(new Error('three')) : n === 1 ? hangsUntil(ctx) : n }); // biome-ignore format: short
    let letGo = false;
    const hangsUntil = async (ctx: CallContext): Promise<number> => {
      if (!letGo) await ctx.done();
      return letGo ? 1 : Promise.reject(ctx.cause);
    };
    const graph = flow({ name: 'graph' })
      .node('a', echo)
      .each('b', odd, { after: 'a', over: () => items })
      .build();
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const first = new Dispatcher({ tasks: [graph], engine });
    await first.start();
    const { id } = await first.submit(graph, 1);
    await settle();
    items = [1, 2];
    letGo = true;
    await passing(clock, first.stop({ graceMs: 0 }));
    await using rig = await rigOf(graph, { clock, engine });
    assert.deepEqual(await (await rig.dispatcher.calls.get(id))!.result, [1, 2]);
  }),
);

test(
  'a run that is not to be a dead letter is none, whatever its nodes throw',
  withLeakCheck(async () => {
    const skips = defineTask({ name: 'skips', run: () => Promise.reject(new SkipTask('never')) });
    const graph = flow({ name: 'graph', deadLetter: false }).node('a', skips).build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 1);
    assert.ok((await failureOf(run)) instanceof SkipTask);
    assert.equal(run.status, 'failed');
  }),
);

/** A run of a flow whose nodes `wait` until another dispatcher, which knows another flow, has it. */
async function acrossDeploy(before: Flow, after: Flow, letGo: () => void): Promise<unknown> {
  const clock = new VirtualClock();
  const engine = memoryEngine({ clock });
  const first = new Dispatcher({ tasks: [before], engine });
  await first.start();
  const { id } = await first.submit(before, [3, 1, 2]);
  await settle();
  letGo();
  await passing(clock, first.stop({ graceMs: 0 }));
  await using rig = await rigOf(after, { clock, engine });
  return await passing(clock, (await rig.dispatcher.calls.get(id))!.result);
}

for (const [title, isInline, version] of [
  ['with', true, 1],
  ['without', false, 1],
  ['with', true, 2],
  ['without', false, 2],
] as const) {
  test(
    `a run that began ${title} an inline node goes on without, or with it, in version ${version}`,
    withLeakCheck(async () => {
      let isOpen = false;
      const list = defineTask({ name: 'list', run: (_ctx, n: number[]) => n });
      const sort = defineTask({ name: 'sort', run: (_ctx, n: number[]) => n.sort() });
      const waits = defineTask({ name: 'waits', run: async (ctx: CallContext, n: unknown) => isOpen ? n : ctx.done().then(() => Promise.reject(ctx.cause)) }); // biome-ignore format: short
      const build = (inline: boolean, options: { version: number; migrate?: (input: unknown) => unknown }) =>
        flow({ name: 'graph', ...options })
          .node('list', list, { input: () => [3, 1, 2] })
          .then('sort', sort, { inline })
          .then('waits', waits, { input: ({ sort }) => sort })
          .build((results) => results) as Flow;
      const before = build(isInline, { version: 1 });
      const after = build(!isInline, { version, ...(version > 1 && { migrate: (input) => input }) });
      const output = await acrossDeploy(before, after, () => {
        isOpen = true;
      });
      assert.deepEqual(output, { list: [3, 1, 2], sort: [1, 2, 3], waits: [1, 2, 3] });
    }),
  );
}

test(
  'nodes that share a call go on in the next version of their flow',
  withLeakCheck(async () => {
    let isOpen = false;
    const list = defineTask({
      name: 'list',
      version: 3,
      migrate: () => 'never',
      run: async (ctx: CallContext, n: unknown) => (isOpen ? n : ctx.done().then(() => Promise.reject(ctx.cause))),
    });
    const build = (version: number, migrate?: (input: unknown) => unknown) =>
      flow({ name: 'graph', version, migrate }).node('list', list).then('sort', echo, { inline: true }).build();
    const output = await acrossDeploy(
      build(1),
      build(2, (input) => input),
      () => {
        isOpen = true;
      },
    );
    assert.deepEqual(output, [3, 1, 2]);
  }),
);

for (const isEach of [false, true]) {
  test(
    `a node that ${isEach ? 'had one call and has' : 'had a call for each item and has one'} in the next deployment is run anew`,
    withLeakCheck(async () => {
      let isOpen = false;
      const waits = defineTask({ name: 'waits', run: async (ctx: CallContext, n: unknown) => isOpen ? n : ctx.done().then(() => Promise.reject(ctx.cause)) }); // biome-ignore format: short
      const build = (each: boolean) =>
        (each
          ? flow({ name: 'graph' }).each('a', echo, { over: () => [1, 2] })
          : flow({ name: 'graph' }).node('a', echo, { input: () => 7 })
        )
          .then('waits', waits)
          .build(({ a }) => a) as Flow;
      const output = await acrossDeploy(build(!isEach), build(isEach), () => {
        isOpen = true;
      });
      assert.deepEqual(output, isEach ? [1, 2] : 7);
    }),
  );
}

test(
  'what something else has said of how far it is does not stand for where the nodes are',
  withLeakCheck(async () => {
    const graph = flow({ name: 'graph' }).node('a', echo).build();
    await using rig = await rigOf(graph);
    rig.dispatcher.tasks.replace(graph, (ctx: CallContext) => ctx.progress(5));
    const run = await rig.dispatcher.submit(graph, 1);
    await run.result;
    assert.equal(run.progress, 5);
    assert.deepEqual(Object.keys((await rig.dispatcher.flows.get(run.id))!.nodes), ['a']);
  }),
);

test(
  'a run that is canceled, and handed back by who has not heard of it, leaves nothing behind',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const engine = faultyEngine(store);
    const noted: unknown[] = [];
    const waits = defineTask({ name: 'waits', queue: 'nobody', run: () => {} });
    const note = defineTask({ name: 'note', queue: 'nobody', run: (_ctx, input: unknown) => void noted.push(input) });
    const graph = flow({ name: 'graph', queue: 'runs' })
      .node('a', waits, { onFailure: 'skip' })
      .onError('b', note, { of: 'a', input: () => 1 })
      .build();
    const first = new Dispatcher({ tasks: [graph], engine, queues: { runs: {} } });
    await first.start();
    const { id } = await first.submit(graph, 1);
    await settle();
    engine.deafen();
    const second = new Dispatcher({ tasks: [graph], engine: store });
    await second.cancel(id);
    await clock.advance(6_000); // the coordinator has looked, and found that a was canceled
    await passing(clock, first.stop());
    await second.start();
    await clock.advance(10_000);
    assert.equal((await second.calls.get(id))!.status, 'canceled');
    assert.deepEqual(noted, []);
    await passing(clock, second.stop());
  }),
);

test(
  'a run that somebody refuses goes on when it is resubmitted, with what it has under way, and all of its time',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    let runs = 0;
    const slow = defineTask({ name: 'slow', queue: 'work', run: () => pause(clock, 60_000).then(() => ++runs) });
    const graph = flow({ name: 'graph', timeoutMs: 70_000 }).node('a', slow).then('b', slow).build();
    const other = flow({ name: 'other' }).node('a', echo).build();
    const worker = new Dispatcher({ tasks: [slow], engine });
    await worker.start();
    const first = new Dispatcher({ tasks: [graph], engine, queues: { default: {} } });
    await first.start();
    const { id } = await first.submit(graph, undefined);
    await clock.advance(30_000);
    await passing(clock, first.stop());
    const stranger = new Dispatcher({ tasks: [other], engine });
    await stranger.start();
    await settle();
    assert.equal((await stranger.calls.get(id))!.status, 'deadLettered');
    await passing(clock, stranger.stop());
    await using rig = await rigOf(graph, { clock, engine, queues: { default: {} } });
    await rig.dispatcher.deadLetters.resubmit(id);
    await clock.advance(40_000);
    assert.equal(runs, 1);
    assert.equal(await statesOf(rig.dispatcher, id), 'completed running');
    await clock.advance(50_000);
    assert.equal((await rig.dispatcher.calls.get(id))!.status, 'deadLettered', 'as it has timed out');
    await passing(clock, worker.stop({ timeoutMs: 0 }));
  }),
);

test(
  'the nodes of a run whose time is over when it is taken up are canceled, whatever comes before it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const worker = new Dispatcher({ tasks: [hangs], engine });
    await worker.start();
    const graph = flow({ name: 'graph', timeoutMs: 5_000, queue: 'runs' }).node('a', hangs).build();
    const options = { tasks: [graph], engine, queues: { runs: {} } };
    const first = new Dispatcher(options);
    await first.start();
    const { id } = await first.submit(graph, undefined);
    await settle();
    await passing(clock, first.stop());
    await clock.advance(10_000);
    const second = new Dispatcher({ ...options, beforeRun: () => pause(clock, 100) });
    await second.start();
    await clock.advance(1_000);
    assert.equal((await second.calls.get(id))!.status, 'deadLettered');
    assert.equal((await second.calls.get(`${id}/a`))!.status, 'canceled');
    await passing(clock, second.stop());
    await passing(clock, worker.stop());
  }),
);

test(
  'what a hook does to the input of a submission is done to nothing else',
  withLeakCheck(async () => {
    const beforeSubmit = (draft: { input: unknown }) => {
      (draft.input as { tags: string[] }).tags.push('seen');
    };
    const graph = flow<{ tags: string[] }>({ name: 'graph' })
      .node('a', echo)
      .node('b', echo, { after: 'a' })
      .node('c', echo, { after: 'a' })
      .build((results) => results);
    await using rig = await rigOf(graph, { beforeSubmit });
    const input = { tags: [] };
    const tags = (times: number) => ({ tags: Array.from({ length: times }, () => 'seen') });
    assert.deepEqual(await rig.dispatcher.call(graph, input), { a: tags(2), b: tags(3), c: tags(3) });
    assert.deepEqual(input, { tags: [] });
  }),
);

test(
  'a run is canceled, though its coordinator hears first that its nodes are',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const engine = faultyEngine(store);
    const waits = defineTask({ name: 'waits', queue: 'nobody', run: () => {} });
    const graph = flow({ name: 'graph' }).node('a', waits).build();
    await using rig = await rigOf(graph, { clock, engine, queues: { default: {} } });
    const control = new Dispatcher({ tasks: [graph], engine: store });
    const { id } = await rig.dispatcher.submit(graph, 1);
    await settle();
    engine.deafen();
    await control.cancel(id);
    await clock.advance(12_000); // it looks for its nodes sooner than for itself
    assert.equal((await control.calls.get(id))!.status, 'canceled');
    await passing(clock, control.stop());
  }),
);
