/**
 * The flaws of Jobbers that its table names: that registered tasks haven't got them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineTask, type Flow, flow, memoryEngine } from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import {
  deferred,
  echo,
  failing,
  fetchAndDie,
  passing,
  pause,
  rigOf,
  settle,
  statesOf,
  untilCanceled,
  within,
} from './kit.ts';

test(
  'Jobbers flaw: stall detection inert as shipped',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', stallAfterMs: 100, run: untilCanceled });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(100);
    assert.equal(call.status, 'stalled');
  }),
);

test(
  'Jobbers flaw: no SIGTERM handler anywhere',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const { promise: isFree, resolve: free } = deferred<boolean>();
    const task = defineTask({
      name: 'task',
      run: (ctx) => Promise.race([isFree, untilCanceled(ctx)]),
    });
    await using rig = await rigOf(task, { clock, engine });
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    rig.dispatcher.stopOnSignals(['SIGTERM'], { graceMs: 1_000 });
    const told = new Promise<NodeJS.Signals>((resolve) => process.once('SIGTERM', resolve));
    process.kill(process.pid, 'SIGTERM');
    await told;
    assert.equal(rig.dispatcher.state, 'stopping');
    const { requeued, left } = await passing(clock, rig.dispatcher.stop());
    assert.deepEqual([requeued, left, call.status, call.info.attempt], [1, 0, 'queued', 0]);
    await using _ = await rigOf(task, { clock, engine });
    free(true);
    assert.equal(await call.result, true);
  }),
);

test(
  'Jobbers flaw: RESUBMIT never re-enqueues',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      run: () => pause(clock, 100),
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    await passing(clock, rig.dispatcher.stop({ graceMs: 0 }));
    assert.equal(call.status, 'queued');
    await using _ = await rigOf(task, { clock, engine: rig.engine });
    await clock.advance(100);
    assert.equal(call.status, 'completed');
  }),
);

test(
  'Jobbers flaw: a rate-limited submission vanishes while the caller is told "submitted"',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', rateLimit: { limit: 1, intervalMs: 100 }, run: () => 'done' });
    await using rig = await rigOf(task);
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3, 4, 5]);
    await rig.clock.advance(400);
    for (const call of calls) assert.equal(await within(call.result), 'done');
  }),
);

test(
  'Jobbers flaw: retries bypass the rate limit',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      rateLimit: { limit: 1, intervalMs: 100 },
      retry: { attempts: 3, baseMs: 0 },
      run: () => {
        throw new Error('boom');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(199);
    assert.deepEqual([call.status, call.info.attempt], ['queued', 2]);
  }),
);

test(
  'Jobbers flaw: first linear delay is 0',
  withLeakCheck(async () => {
    const task = failing(1, { retry: { attempts: 2, backoff: 'linear', baseMs: 100 } });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    assert.deepEqual([call.status, call.info.dueAt], ['scheduled', 100]);
  }),
);

test(
  'Jobbers flaw: a shielded function keeps running beside its own retry',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let alive = 0;
    let most = 0;
    const task = defineTask({
      name: 'task',
      timeoutMs: 10,
      retry: { attempts: 2, baseMs: 0 },
      run: async () => {
        most = Math.max(most, ++alive);
        await pause(clock, 1_000);
        alive--;
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(2_000);
    assert.deepEqual([call.status, call.info.attempt, most], ['timedOut', 2, 1]);
  }),
);

test(
  'Jobbers flaw: pop without a lease loses a task on a crash',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo, { queues: { none: {} } });
    const call = await rig.dispatcher.submit(echo, 'kept');
    assert.equal((await fetchAndDie(rig.engine, 1, 1_000)).length, 1);
    await rig.dispatcher.setQueues({ default: {} });
    await rig.clock.advance(1_000);
    assert.equal(await within(call.result), 'kept');
  }),
);

test(
  'Jobbers flaw: a late completion overwrites `stalled` (no fencing by attempt)',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({ name: 'task', stallAfterMs: 100, run: () => gate.promise.then(() => 'late') });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(100);
    gate.resolve();
    await settle();
    assert.deepEqual([call.status, call.info.output], ['stalled', undefined]);
  }),
);

test(
  'Jobbers flaw: task max_concurrent unenforced',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', concurrency: 2, run: untilCanceled });
    await using rig = await rigOf(task);
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3]);
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'started', 'queued']);
  }),
);

test(
  'Jobbers flaw: queues as a set lose priority order',
  withLeakCheck(async () => {
    const order: string[] = [];
    const names = ['urgent', 'normal', 'background'];
    const tasks = names.map((queue) => defineTask({ name: queue, queue, run: () => void order.push(queue) }));
    await using rig = await rigOf(tasks, { queues: {}, concurrency: 1 });
    for (const task of [...tasks].reverse()) await rig.dispatcher.submitMany(task, [1, 2]);
    await rig.dispatcher.setQueues({ urgent: {}, normal: {}, background: {} });
    await settle();
    assert.deepEqual(order, ['urgent', 'urgent', 'normal', 'normal', 'background', 'background']);
  }),
);

test(
  'Jobbers flaw: cron downtime replays every miss',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const runs: string[] = [];
    const task = defineTask({ name: 'task', run: (ctx) => void runs.push(ctx.headers['scheduled-at']!.slice(11, 16)) });
    const engine = memoryEngine({ clock });
    const day = async () => {
      const rig = await rigOf(task, { clock, engine });
      await rig.dispatcher.schedule('0 * * * *', task, undefined);
      return rig;
    };
    const before = await day();
    await clock.advance(3_600_000);
    await passing(clock, before.dispatcher.stop());
    await clock.advance(10 * 3_600_000);
    await using _ = await day();
    await clock.advance(60_000);
    assert.deepEqual(runs, ['01:00', '11:00'], 'one for all of them');
  }),
);

test(
  'Jobbers flaw: a failed predecessor hangs the fan-in',
  withLeakCheck(async () => {
    const bad = failing(9);
    for (const onFailure of ['fail', 'skip'] as const) {
      const graph = flow({ name: 'graph' })
        .node('good', echo)
        .node('bad', bad, { onFailure })
        .node('fan-in', echo, { after: ['good', 'bad'] })
        .build();
      await using rig = await rigOf(graph);
      const run = await rig.dispatcher.submit(graph, 1);
      await settle();
      const { nodes } = (await rig.dispatcher.flows.get(run.id))!;
      const fanIn = onFailure === 'fail' ? 'failed' : 'skipped';
      assert.deepEqual(
        [run.status, nodes['fan-in']!.state],
        [onFailure === 'fail' ? 'deadLettered' : 'completed', fanIn],
      );
    }
  }),
);

// biome-ignore lint/suspicious/noExplicitAny: names that the compiler can't know
type Loose = any;

test('Jobbers flaw: cycles end in RecursionError', () => {
  let ring: Loose = flow({ name: 'ring' });
  for (let i = 0; i < 20_000; i++) ring = ring.node(`${i}`, echo, { after: `${(i + 1) % 20_000}` });
  assert.throws(() => ring.build(), {
    name: 'TypeError',
    message: /^the flow ring has a cycle: (\d+ -> ){19}\(19981 more\) -> \d+$/,
  });
});

test(
  'Jobbers flaw: specs double per stacked diamond',
  withLeakCheck(async () => {
    const sizeOf = async (diamonds: number) => {
      let graph: Loose = flow({ name: 'graph' }).node('0', echo);
      for (let i = 0; i < diamonds; i++) {
        graph = graph.node(`left ${i}`, echo, { after: `${i}`, input: () => 1 });
        graph = graph.node(`right ${i}`, echo, { after: `${i}`, input: () => 1 });
        graph = graph.node(`${i + 1}`, echo, { after: [`left ${i}`, `right ${i}`], input: () => 1 });
      }
      const task = graph.build() as Flow;
      await using rig = await rigOf(task);
      await rig.dispatcher.call(task, 1);
      await settle();
      const all = await rig.engine.scan({}, { limit: 1_000 });
      return JSON.stringify(all).length;
    };
    const [one, two, ten] = [await sizeOf(1), await sizeOf(2), await sizeOf(10)];
    assert.ok(ten - one <= 9.2 * (two - one), `${one} ${two} ${ten}`);
  }),
);
