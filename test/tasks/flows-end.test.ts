/** How runs of flows end, and go on: canceled, timed out, resubmitted, handed back, taken up when their dispatcher dies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Call, type CallContext, Dispatcher, defineTask, flow, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, failureOf, hangs, mortal, passing, pause, type Rig, rigOf, settle, within } from './kit.ts';

const add = defineTask({ name: 'add', run: (_ctx, n: number) => n + 1 });

/** Where the nodes of a run stand. */
async function nodesOf(rig: Pick<Rig, 'dispatcher'>, { id }: Call): Promise<string> {
  const { nodes } = (await rig.dispatcher.flows.get(id))!;
  return Object.values(nodes)
    .map(({ state }) => state)
    .join(' ');
}

/** The id of the call of a node. */
async function callOf(rig: Pick<Rig, 'dispatcher'>, id: string, node: string): Promise<string | undefined> {
  return (await rig.dispatcher.flows.get(id))!.nodes[node]!.call;
}

/** A task that ends when its number is let go, and notes its runs. */
function gated() {
  const runs: string[] = [];
  const gates = new Map<string, ReturnType<typeof deferred<void>>>();
  const gate = (name: string) => {
    if (!gates.has(name)) gates.set(name, deferred<void>());
    return gates.get(name)!;
  };
  const task = defineTask({
    name: 'gated',
    run: async (ctx: CallContext, name: string) => {
      runs.push(name);
      await Promise.race([gate(name).promise, ctx.done().then(() => Promise.reject(ctx.cause))]);
      return name.toUpperCase();
    },
  });
  return { task, runs, open: (name: string) => gate(name).resolve() };
}

test(
  'canceling a run cancels its nodes, those of flows in it too, and ends it when they have ended',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const deaf = defineTask({ name: 'deaf', run: () => pause(clock, 500) });
    const inner = flow({ name: 'inner' }).node('hangs', hangs).node('deaf', deaf).then('never', add, { input: () => 1 }).build(); // biome-ignore format: short
    const outer = flow({ name: 'outer' })
      .node('inner', inner)
      .each('items', hangs, { over: () => [1, 2, 3] })
      .then('never', add, { input: () => 1 })
      .build();
    await using rig = await rigOf(outer, { clock });
    const run = await rig.dispatcher.submit(outer, undefined);
    await settle();
    assert.deepEqual(await rig.dispatcher.cancel(run.id, 'not needed'), new Map([[run.id, 'requested']]));
    await settle();
    assert.equal(run.status, 'started', 'as one does not hear');
    await clock.advance(500);
    assert.equal((await failureOf(run)).message, 'the task was canceled: not needed');
    assert.deepEqual([run.status, await nodesOf(rig, run)], ['canceled', 'canceled canceled canceled']);
    const { started, queued, canceled } = await rig.dispatcher.calls.count();
    assert.deepEqual([started, queued, canceled], [0, 0, 7]);
    await assert.rejects(run.cancel(), { code: 'ERR_CALL_ENDED' });
  }),
);

test(
  'a run that is canceled before it has begun never begins',
  withLeakCheck(async () => {
    const graph = flow<number>({ name: 'graph' }).node('a', add).build();
    await using rig = await rigOf(graph, { queues: {} });
    const run = await rig.dispatcher.submit(graph, 1);
    await run.cancel();
    assert.deepEqual([run.status, await nodesOf(rig, run)], ['canceled', 'canceled']);
  }),
);

for (const how of ['id', 'call', 'filter'] as const) {
  test(
    `a run whose coordinator is dead is canceled with its nodes (by ${how})`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const store = memoryEngine({ clock });
      const { task, runs } = gated();
      const inner = flow({ name: 'inner' })
        .each('items', task, { over: () => ['a', 'b', 'c'] })
        .build();
      const graph = flow({ name: 'graph' }).node('inner', inner).build();
      const first = mortal(store);
      const coordinates = new Dispatcher({ tasks: [graph], engine: first.engine, concurrency: 1 });
      await coordinates.start();
      const run = await coordinates.submit(graph, undefined);
      await settle();
      assert.deepEqual(runs, ['a']);
      first.die();
      // Takes no runs of flows, as it knows none.
      await using rig = await rigOf(task, { clock, engine: store });
      await settle();
      assert.deepEqual(runs, ['a', 'b', 'c']);
      if (how === 'id') await rig.dispatcher.cancel(run.id);
      else if (how === 'filter') await rig.dispatcher.cancel({ task: 'graph' });
      else await (await rig.dispatcher.calls.get(run.id))!.cancel();
      await clock.advance(60_000);
      const { started, queued, canceled } = await rig.dispatcher.calls.count();
      assert.deepEqual([started, queued, canceled], [0, 0, 5]);
      assert.deepEqual(runs, ['a', 'b', 'c'], 'and nothing goes on');
      void coordinates.stop({ graceMs: 0, timeoutMs: 0 });
      await clock.advance(10_000);
    }),
  );
}

test(
  'a run that is canceled while it waits to be taken up is canceled with its nodes',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const { task } = gated();
    const graph = flow({ name: 'graph' })
      .each('items', task, { over: () => ['a', 'b'] })
      .build();
    const rig = await rigOf(graph, { clock, engine, concurrency: 1 });
    const run = await rig.dispatcher.submit(graph, undefined);
    await settle();
    await passing(clock, rig.dispatcher.stop({ graceMs: 0 }));
    const { dispatcher } = rig;
    assert.deepEqual([run.status, (await dispatcher.calls.count()).queued], ['queued', 3]);
    await dispatcher.cancel(run.id);
    assert.deepEqual([run.status, (await dispatcher.calls.count()).canceled], ['canceled', 3]);
    assert.equal(await nodesOf(rig, run), 'canceled');
  }),
);

test(
  'a run that takes too long times out with its nodes, and can be resubmitted with all of its time',
  withLeakCheck(async () => {
    const { task, runs, open } = gated();
    const graph = flow({ name: 'graph', timeoutMs: 1_000 })
      .node('a', task, { input: () => 'a' })
      .then('b', task, { input: () => 'b' })
      .then('c', task, { input: () => 'c' })
      .build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, undefined);
    open('a');
    await rig.clock.advance(999);
    assert.equal(run.status, 'started');
    await rig.clock.advance(1);
    assert.deepEqual([run.status, await nodesOf(rig, run)], ['deadLettered', 'completed canceled canceled']);
    assert.equal((await failureOf(run)).name, 'TimeoutError');
    await rig.clock.advance(5_000);
    await rig.dispatcher.deadLetters.resubmit(run.id);
    await settle();
    assert.equal(await nodesOf(rig, run), 'completed running waiting');
    await rig.clock.advance(999);
    open('b');
    open('c');
    const again = (await rig.dispatcher.calls.get(run.id))!;
    assert.equal(await within(again.result), 'C');
    assert.deepEqual(runs, ['a', 'b', 'b', 'c']);
    assert.equal(await callOf(rig, run.id, 'b'), `${run.id}/b~2`);
  }),
);

test(
  'the time of a run goes on while nobody has it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const graph = flow({ name: 'graph', timeoutMs: 10_000, deadLetter: false }).node('hangs', hangs).build();
    const first = await rigOf(graph, { clock, engine });
    const run = await first.dispatcher.submit(graph, undefined);
    await clock.advance(4_000);
    await passing(clock, first.dispatcher.stop({ graceMs: 0 }));
    await using _ = await rigOf(graph, { clock, engine });
    await clock.advanceTo(9_999);
    assert.equal(run.status, 'started');
    await clock.advance(1);
    assert.deepEqual([run.status, await nodesOf(first, run)], ['timedOut', 'canceled']);
    assert.equal((await engine.get(`${run.id}/hangs`))!.state, 'canceled');
  }),
);

test(
  'a run that is resubmitted runs what had not completed, with the results of what had',
  withLeakCheck(async () => {
    const runs: string[] = [];
    let isBroken = true;
    const task = defineTask({
      name: 'task',
      run: (_ctx: CallContext, name: string) => {
        runs.push(name);
        if (isBroken && name.endsWith('!')) throw new Error(`${name} is broken`);
        return name;
      },
    });
    const graph = flow<string>({ name: 'graph' })
      .node('good', task)
      .each('items', task, { after: 'good', over: ({ good }) => [`${good}1`, `${good}2!`, `${good}3`] })
      .node('settled', task, { after: 'good', input: ({ good }) => `${good}?` })
      .each('all', task, { over: () => ['p', 'q!'], settled: true })
      .node('end', task, { after: ['items', 'settled'], input: ({ items, settled }) => `${items.join()} ${settled}` })
      .onError('told', task, { of: 'items', input: ({ error }) => error.message })
      .onError('untold', task, { of: 'settled', input: () => 'never' })
      .build(({ end, told, all }) => [end, told ?? 'nobody', all.map(({ status }) => status)]);
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 'x');
    assert.equal((await failureOf(run)).message, 'x2! is broken');
    assert.equal(await nodesOf(rig, run), 'completed failed completed completed failed completed skipped');

    runs.length = 0;
    await rig.dispatcher.deadLetters.resubmit(run.id, { resetAttempts: false });
    await settle();
    assert.deepEqual(runs, ['x2!', 'x2! is broken'], 'what handles failures hears of each');
    assert.equal(await nodesOf(rig, run), 'completed failed completed completed failed completed skipped');

    runs.length = 0;
    isBroken = false;
    await rig.dispatcher.deadLetters.resubmit(run.id);
    const again = (await rig.dispatcher.calls.get(run.id))!;
    assert.deepEqual(await within(again.result), ['x1,x2!,x3 x?', 'nobody', ['fulfilled', 'rejected']]);
    assert.deepEqual(runs, ['x2!', 'x1,x2!,x3 x?']);
    assert.equal(await nodesOf(rig, run), 'completed completed completed completed completed skipped skipped');
  }),
);

test(
  'a flow of a flow is resubmitted as a whole: the inner one begins again with ids of its own',
  withLeakCheck(async () => {
    let isBroken = true;
    const task = defineTask({
      name: 'task',
      run: () => {
        if (isBroken) throw new Error('broken');
        return 1;
      },
    });
    const inner = flow({ name: 'inner', deadLetter: false }).node('a', task).build();
    const outer = flow({ name: 'outer' }).node('b', inner).build();
    await using rig = await rigOf(outer);
    const run = await rig.dispatcher.submit(outer, undefined);
    assert.equal((await failureOf(run)).message, 'broken');
    isBroken = false;
    assert.deepEqual(await rig.dispatcher.deadLetters.resubmit({ task: 'outer' }), [run.id]);
    assert.equal(await within((await rig.dispatcher.calls.get(run.id))!.result), 1);
    assert.equal(await callOf(rig, `${run.id}/b~2`, 'a'), `${run.id}/b~2/a`);
  }),
);

test(
  'a flow that fails to make its output is a dead letter, whose nodes need not run again',
  withLeakCheck(async () => {
    let outputs = 0;
    const graph = flow<number>({ name: 'graph' })
      .node('a', add)
      .build(({ a }) => {
        if (++outputs === 1) throw new Error('not now');
        return a;
      });
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 1);
    assert.equal((await failureOf(run)).message, 'not now');
    await rig.dispatcher.deadLetters.resubmit(run.id);
    assert.equal(await within((await rig.dispatcher.calls.get(run.id))!.result), 2);
    assert.equal((await rig.dispatcher.calls.count({ task: 'add' })).completed, 1);
  }),
);

test(
  'a dispatcher that stops hands back the runs of flows at once, and another one goes on with them',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const { task, runs, open } = gated();
    const graph = flow({ name: 'graph' })
      .node('a', task, { input: () => 'a' })
      .then('b', task, { input: ({ a }) => `${a}b` })
      .then('c', task, { input: ({ b }) => `${b}c` })
      .build();
    const first = await rigOf(graph, { clock, engine });
    const run = await first.dispatcher.submit(graph, undefined);
    open('a');
    await settle();
    const stopped = first.dispatcher.stop({ graceMs: 5_000 });
    await settle();
    assert.equal(run.status, 'queued');
    open('Ab');
    const { completed, requeued, left } = await passing(clock, stopped);
    assert.deepEqual([completed, requeued, left], [1, 1, 0], 'while nodes come to their ends');
    await using second = await rigOf(graph, { clock, engine });
    await settle();
    assert.equal(await nodesOf(second, run), 'completed completed running');
    open('ABc');
    assert.equal(await within(run.result), 'ABC');
    assert.deepEqual(runs, ['a', 'Ab', 'ABc']);
    assert.equal(run.info.attempt, 1);
  }),
);

test(
  'a run goes on however often its dispatcher dies, and what has ended is not run again',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const { task, runs, open } = gated();
    let graph = flow({ name: 'graph' }).node('n0', task, { input: () => '0' });
    for (let i = 1; i < 10; i++) graph = graph.then(`n${i}`, task, { input: () => `${i}` }) as never;
    const chain = graph.build();
    // The nodes run on one that lives.
    await using rig = await rigOf(task, { clock, engine: store });
    let run: Call | undefined;
    const dead: Dispatcher[] = [];
    for (let i = 0; i < 10; i++) {
      const { engine, die } = mortal(store);
      const dispatcher = new Dispatcher({
        tasks: [chain],
        engine,
        queues: { default: {} },
        leaseMs: 9_000,
        managers: {},
      });
      await dispatcher.start();
      dead.push(dispatcher);
      run ??= await rig.dispatcher.calls.get((await dispatcher.submit(chain, undefined)).id);
      await settle();
      assert.equal(run!.status, 'started');
      open(`${i}`);
      if (i % 2 === 0) await settle();
      if (i < 9) die();
      await clock.advance(9_000);
    }
    assert.equal(await within(run!.result), '9');
    assert.deepEqual(
      runs,
      Array.from({ length: 10 }, (_, i) => `${i}`),
    );
    const stopped = Promise.all(dead.map((each) => each.stop({ graceMs: 0, timeoutMs: 0 })));
    await clock.advance(60_000);
    void stopped;
  }),
);

test(
  'a coordinator finds out what has become of nodes though nobody tells it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const gate = deferred();
    const slow = defineTask({ name: 'slow', run: () => gate.promise.then(() => 1) });
    const graph = flow({ name: 'graph' }).node('a', slow).then('b', add).build();
    await using rig = await rigOf(graph, { clock, engine });
    const run = await rig.dispatcher.submit(graph, undefined);
    await settle();
    engine.deafen();
    gate.resolve();
    await clock.advance(15_000);
    engine.deafen(false);
    await clock.advance(5_000);
    assert.equal((await engine.get(run.id))!.state, 'completed');
  }),
);

test(
  'a node that somebody cancels by itself fails the flow',
  withLeakCheck(async () => {
    const graph = flow<number>({ name: 'graph' }).node('a', add, { delayMs: 60_000 }).then('b', add).build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 1);
    await settle();
    await rig.dispatcher.cancel(`${run.id}/a`, 'not this one');
    assert.equal((await failureOf(run)).message, 'the task was canceled: not this one');
    assert.deepEqual([run.status, await nodesOf(rig, run)], ['deadLettered', 'canceled canceled']);
  }),
);

test(
  'a call of a node that somebody has removed before its end was heard of is made again',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const { task, runs, open } = gated();
    const graph = flow({ name: 'graph' })
      .node('a', task, { input: () => 'a' })
      .build();
    await using rig = await rigOf(graph, { clock, engine });
    const run = await rig.dispatcher.submit(graph, undefined);
    await settle();
    engine.deafen();
    open('a');
    await settle();
    await rig.dispatcher.calls.remove({ id: `${run.id}/a` });
    engine.deafen(false);
    await clock.advance(5_000);
    assert.equal(await within(run.result), 'A');
    assert.deepEqual(runs, ['a', 'a']);
  }),
);

test(
  'a call of somebody else with the id of a node fails the node',
  withLeakCheck(async () => {
    const graph = flow<number>({ name: 'graph' }).node('a', add).build();
    await using rig = await rigOf(graph);
    await rig.dispatcher.submit(add, 1, { id: 'run/a' });
    const run = await rig.dispatcher.submit(graph, 1, { id: 'run' });
    await assert.rejects(within(run.result), { message: 'the id run/a is taken by another call, of add' });
  }),
);

test(
  'an engine that fails and fails again delays a flow, and what is told of it at the end is there',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const graph = flow<number>({ name: 'graph' })
      .node('a', add)
      .each('b', add, { after: 'a', over: ({ a }) => [a, a] })
      .build();
    await using rig = await rigOf(graph, { clock, engine });
    let failures = 0;
    rig.dispatcher.on('engineFailed', () => failures++);
    engine.failNext('submitMany', { times: 2 });
    engine.failNext('submitMany', { times: 2, when: 'after' });
    engine.failNext('update', { times: 3 });
    const run = await rig.dispatcher.submit(graph, 1);
    assert.deepEqual(await passing(clock, run.result), [3, 3]);
    assert.equal(await nodesOf(rig, run), 'completed completed');
    assert.ok(failures >= 6, `${failures}`);
  }),
);

test(
  'a hook that adds to errors, or fails itself, keeps no run from being resubmitted',
  withLeakCheck(async () => {
    let isBroken = true;
    let hookFails = false;
    let runs = 0;
    const task = defineTask({
      name: 'task',
      run: () => {
        runs++;
        if (isBroken) throw new Error('broken');
        return 'done';
      },
    });
    const graph = flow({ name: 'graph' }).node('a', task).build();
    await using rig = await rigOf(graph, {
      onError: (_run, error) => Object.assign(error as Error, { seen: true }),
      beforeRun: () => {
        if (hookFails) throw new Error('the hook is broken');
      },
    });
    const run = await rig.dispatcher.submit(graph, undefined);
    await settle();
    const resubmitted = async () => {
      await rig.dispatcher.deadLetters.resubmit(run.id);
      await settle();
      return (await rig.dispatcher.calls.get(run.id))!.status;
    };
    assert.deepEqual([await resubmitted(), await resubmitted(), runs], ['deadLettered', 'deadLettered', 3]);
    hookFails = true;
    assert.deepEqual([await resubmitted(), runs], ['deadLettered', 3]);
    hookFails = false;
    isBroken = false;
    assert.deepEqual([await resubmitted(), runs], ['completed', 4]);
  }),
);

test(
  'a coordinator that has lost its run, and did not hear that it is canceled, leaves nothing behind',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const slow = defineTask({ name: 'slow', run: () => pause(clock, 400) });
    const graph = flow({ name: 'graph' }).node('slow', slow).then('b', hangs).build();
    const coordinates = new Dispatcher({ tasks: [graph], engine, leaseMs: 3_000 });
    await coordinates.start();
    const run = await coordinates.submit(graph, undefined);
    await settle();
    engine.deafen();
    // By somebody who knows of no nodes yet, as the one to come isn't there.
    await engine.cancel(run.id, '{"message":"not needed"}');
    engine.deafen(false);
    engine.failNext('renew', { times: 5 });
    await clock.advance(450);
    assert.equal((await engine.get(`${run.id}/b`))!.state, 'started', 'it goes on');
    await clock.advance(5_000);
    const { started, queued } = await coordinates.calls.count();
    assert.deepEqual([started, queued, (await engine.get(run.id))!.state], [0, 0, 'canceled']);
    await passing(clock, coordinates.stop({ graceMs: 0, timeoutMs: 0 }));
  }),
);

test(
  'a thousand runs at once, on a dispatcher that runs two calls at a time',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const warnings: unknown[] = [];
    const note = (warning: Error) => void warnings.push(warning.message);
    process.on('warning', note);
    const graph = flow<number>({ name: 'graph' }).node('a', add).then('b', add).build();
    await using rig = await rigOf(graph, { clock, engine, concurrency: 2 });
    const runs = await rig.dispatcher.submitMany(
      graph,
      Array.from({ length: 1_000 }, (_, i) => i),
    );
    const results = await Promise.all(runs.map(({ result }) => result));
    assert.deepEqual(results.slice(0, 3), [2, 3, 4]);
    assert.equal((await rig.dispatcher.calls.count({ task: 'add' })).completed, 2_000);
    process.off('warning', note);
    assert.deepEqual(warnings, []);
  }),
);

test(
  'a flow obeys the rules of tasks: duplicates, limits on its runs, versions, permissions',
  withLeakCheck(async () => {
    const options = { onDuplicate: 'discard', concurrency: 1, authorize: ['run'], version: 2 } as const;
    const graph = flow<string>({ name: 'graph', ...options, key: (name) => name, migrate: (old) => `new ${old}` })
      .node('hangs', hangs, { input: () => undefined })
      .build();
    await using rig = await rigOf(graph);
    const context = { principals: [{ name: 'Ada', permissions: ['run'] }] };
    await assert.rejects(rig.dispatcher.submit(graph, 'a'), { code: 'ERR_FORBIDDEN' });
    const [one, same, other] = [
      await rig.dispatcher.submit(graph, 'a', { context }),
      await rig.dispatcher.submit(graph, 'a', { context }),
      await rig.dispatcher.submit(graph, 'b', { context }),
    ];
    await settle();
    assert.deepEqual([one.status, same.status, other.status], ['started', 'discarded', 'queued']);
    await one.cancel();
    await settle();
    assert.equal(other.status, 'started');
  }),
);
