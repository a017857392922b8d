/**
 * Each feature of Jobbers, by the name of its row in the table of what registered tasks are to be a match for. What it
 * means in all its corners is in the tests of its own; here is that it is there.
 *
 * Not here: what of the Admin API needs a network.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { TaskManager } from '../../src/index.ts';
import {
  byHash,
  type CallContext,
  defineTask,
  flow,
  type InvalidInputError,
  MOVES,
  type QueueMap,
  roundRobin,
  type TaskFigures,
  TaskRegistry,
  weighted,
} from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import {
  echo,
  failing,
  failureOf,
  hangs,
  passing,
  pause,
  rigOf,
  settle,
  statesOf,
  untilCanceled,
  within,
} from './kit.ts';

test(
  'Jobbers: Registration',
  withLeakCheck(async () => {
    const one = defineTask({ name: 'resize', run: () => 1 });
    const two = defineTask({ name: 'resize', version: 2, run: () => 2 });
    assert.throws(() => new TaskRegistry([one, two, defineTask({ name: 'resize', run: () => 3 })]), TypeError);
    await using rig = await rigOf([one, two]);
    assert.deepEqual(
      await Promise.all([rig.dispatcher.call(one, undefined), rig.dispatcher.call(two, undefined)]),
      [1, 2],
    );
  }),
);

test(
  'Jobbers: States',
  withLeakCheck(async () => {
    await using rig = await rigOf(hangs);
    const call = await rig.dispatcher.submit(hangs, undefined, { delayMs: 1 });
    const states: string[] = [];
    const reading = (async () => {
      for await (const event of call.events()) if (event.type === 'state') states.push(event.state);
    })();
    await rig.clock.advance(1);
    await call.cancel();
    await within(reading);
    assert.deepEqual(states, ['scheduled', 'queued', 'started', 'canceled']);
    for (const [i, state] of states.slice(1).entries()) {
      assert.ok(MOVES[states[i] as keyof typeof MOVES].includes(state as never));
    }
  }),
);

test(
  'Jobbers: ULID ids',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    assert.match((await rig.dispatcher.submit(echo, 1)).id, /^[0-9A-HJKMNP-TV-Z]{26}$/);
    const first = await rig.dispatcher.submit(echo, 1, { id: 'mine' });
    const second = await rig.dispatcher.submit(echo, 2, { id: 'mine' });
    assert.deepEqual([await first.result, await second.result], [1, 1]);
  }),
);

test(
  'Jobbers: Param validation',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', input: z.object({ width: z.number() }), run: (_ctx, { width }) => width });
    await using rig = await rigOf(task);
    const refusal = rig.dispatcher.submit('task', { width: 'wide' });
    await assert.rejects(refusal, (error: InvalidInputError) => error.issues[0]!.path![0] === 'width');
    assert.equal(await rig.dispatcher.call(task, { width: 7 }), 7);
  }),
);

test(
  'Jobbers: Retry',
  withLeakCheck(async () => {
    const expected = ({ message }: Error) => message !== 'boom 3';
    const task = failing(9, { retry: { attempts: 5, baseMs: 0, retryIf: (error) => expected(error as Error) } });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    assert.equal((await failureOf(call)).message, 'boom 3');
  }),
);

for (const [backoff, due] of [
  ['constant', 100],
  ['linear', 300],
  ['exponential', 400],
] as const) {
  test(
    `Jobbers: Backoff (${backoff})`,
    withLeakCheck(async () => {
      const task = failing(3, { retry: { attempts: 4, backoff, baseMs: 100 } });
      await using rig = await rigOf(task);
      const call = await rig.dispatcher.submit(task, undefined);
      const pauses: number[] = [];
      for (let i = 0; i < 3; i++) {
        await settle();
        const { dueAt } = call.info;
        pauses.push(dueAt! - rig.clock.now());
        await rig.clock.advanceTo(dueAt!);
      }
      assert.equal(pauses.at(-1), due);
      assert.equal(await call.result, 4);
    }),
  );
}

test(
  'Jobbers: Timeout',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', timeoutMs: 50, retry: { attempts: 2, baseMs: 0 }, run: untilCanceled });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(100);
    assert.deepEqual([call.status, call.info.attempt], ['timedOut', 2]);
  }),
);

test(
  'Jobbers: Heartbeat, stall',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      stallAfterMs: 1_000,
      run: (ctx) => {
        ctx.heartbeat('step 3/9');
        return untilCanceled(ctx);
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    assert.match(call.info.where!, /^last at step step 3\/9 at \d\d:\d\d:\d\d$/);
    await rig.clock.advance(1_000);
    assert.equal(call.status, 'stalled');
  }),
);

test(
  'Jobbers: Cancel',
  withLeakCheck(async () => {
    await using rig = await rigOf([hangs, echo]);
    const { dispatcher } = rig;
    const running = await dispatcher.submit(hangs, undefined);
    const scheduled = await dispatcher.submit(hangs, undefined, { delayMs: 1_000 });
    const done = await dispatcher.submit(echo, 1);
    await done.result;
    await assert.rejects(done.cancel(), { code: 'ERR_CALL_ENDED' });
    const outcomes = await dispatcher.cancel({ task: 'hangs' }, 'not needed');
    await settle();
    assert.deepEqual(outcomes, new Map([[scheduled.id, 'canceled'], [running.id, 'requested']])); // biome-ignore format: short
    assert.deepEqual(statesOf([running, scheduled]), ['canceled', 'canceled']);
  }),
);

for (const [onShutdown, status, attempt] of [
  ['stop', 'canceled', 1],
  ['requeue', 'queued', 0],
  ['drain', 'completed', 1],
] as const) {
  test(
    `Jobbers: Shutdown policy (${onShutdown})`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const work = () => pause(clock, 100);
      const task = defineTask({ name: 'task', onShutdown, run: work });
      await using rig = await rigOf(task, { clock });
      const call = await rig.dispatcher.submit(task, undefined);
      await settle();
      await passing(clock, rig.dispatcher.stop({ graceMs: 0 }));
      assert.deepEqual([call.status, call.info.attempt], [status, attempt]);
    }),
  );
}

test(
  'Jobbers: Concurrency',
  withLeakCheck(async () => {
    const perTask = defineTask({ name: 'per task', concurrency: 1, run: untilCanceled });
    const perQueue = defineTask({ name: 'per queue', queue: 'queue', run: untilCanceled });
    const perProcess = defineTask({ name: 'per process', queue: 'other', run: untilCanceled });
    const queues = { default: {}, queue: { concurrency: 2 }, other: {} };
    await using rig = await rigOf([perTask, perQueue, perProcess], { concurrency: 5, queues });
    for (const task of [perTask, perQueue, perProcess]) await rig.dispatcher.submitMany(task, [1, 2, 3, 4]);
    await settle();
    const started = (task: string) => rig.dispatcher.calls.count({ task, state: 'started' }).then((c) => c.started);
    const counts = [await started('per task'), await started('per queue'), await started('per process')];
    assert.deepEqual(counts, [1, 2, 2]);
  }),
);

test(
  'Jobbers: Rate limit',
  withLeakCheck(async () => {
    const starts: string[] = [];
    const clock = new VirtualClock();
    const run = ({ task }: CallContext, tenant: string) => void starts.push(`${task} ${tenant} ${clock.now()}`);
    const perKey = { limit: 1, intervalMs: 10, key: (tenant: string) => tenant };
    const tasks = [
      defineTask({ name: 'per queue', queue: 'queue', run }),
      defineTask({ name: 'per task', rateLimit: { limit: 1, intervalMs: 10 }, run }),
      defineTask({ name: 'per key', rateLimit: perKey, run }),
    ];
    const queues = { queue: { rateLimit: { limit: 1, intervalMs: 10 } }, default: {} };
    await using rig = await rigOf(tasks, { clock, queues });
    for (const task of tasks) await rig.dispatcher.submitMany(task, ['a', 'b']);
    await clock.advance(10);
    assert.deepEqual(starts.sort(), [
      'per key a 0',
      'per key b 0',
      'per queue a 0',
      'per queue b 10',
      'per task a 0',
      'per task b 10',
    ]);
  }),
);

test(
  'Jobbers: Roles',
  withLeakCheck(async () => {
    const order: string[] = [];
    const run = ({ queue }: CallContext) => void order.push(queue);
    const tasks = ['one', 'two'].map((queue) => defineTask({ name: queue, queue, run }));
    await using rig = await rigOf(tasks, { queues: { one: {} } });
    for (const task of tasks) await rig.dispatcher.submit(task, undefined);
    await settle();
    assert.deepEqual(order, ['one']);
    await rig.dispatcher.setQueues({ two: {} });
    await settle();
    assert.deepEqual(order, ['one', 'two'], 'live');
  }),
);

test(
  'Jobbers: Routing',
  withLeakCheck(async () => {
    const run = ({ queue }: CallContext, _key: string) => queue;
    const routes = ['own', weighted({ x: 1, y: 9 }, { random: () => 0.5 }), roundRobin(['x', 'y'])];
    const tasks = [...routes, byHash(['x', 'y'], (key: string) => key)].map((queue, i) =>
      defineTask({ name: `${i}`, queue, run }),
    );
    await using rig = await rigOf(tasks);
    const queues = (i: number) =>
      Promise.all(['a', 'a', 'a'].map((key) => rig.dispatcher.call(tasks[i]!, key))).then((names) => names.join(' '));
    assert.equal(await queues(0), 'own own own');
    assert.equal(await queues(1), 'y y y');
    assert.equal(await queues(2), 'x y x');
    assert.match(await queues(3), /^(\w) \1 \1$/);
  }),
);

test(
  'Jobbers: Dead letters',
  withLeakCheck(async () => {
    const task = failing(2, { deadLetter: true });
    await using rig = await rigOf(task);
    const { deadLetters, calls } = rig.dispatcher;
    const [one, two] = await rig.dispatcher.submitMany(task, [1, 2]);
    await settle();
    assert.deepEqual(
      (await deadLetters.list({ task: 'failing' })).map(({ id }) => id),
      [two!.id, one!.id],
    );
    assert.equal((await deadLetters.get(one!.id))!.error instanceof Error, true);
    assert.deepEqual(await deadLetters.remove(two!.id), [two!.id]);
    await deadLetters.resubmit({ queue: 'default' }, { resetAttempts: false });
    await settle();
    await deadLetters.resubmit(one!.id, { resetAttempts: false });
    assert.equal(await (await calls.get(one!.id))?.result, 3);
  }),
);

test(
  'Jobbers: Scheduling',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: 1_000_000 });
    await using rig = await rigOf(echo, { clock });
    const soon = await rig.dispatcher.submit(echo, 1, { delayMs: 50 });
    const then = await rig.dispatcher.submit(echo, 2, { runAt: new Date(1_000_100) });
    await clock.advance(50);
    assert.deepEqual(statesOf([soon, then]), ['completed', 'scheduled']);
    await clock.advance(50);
    assert.equal(then.status, 'completed');
  }),
);

test(
  'Jobbers: Injection',
  withLeakCheck(async () => {
    const events: string[] = [];
    const db = new TaskManager({
      workerCount: 1,
      onCreate: () => ({ query: (text: string) => `rows of ${text}` }),
      onDestroy: () => void events.push('closed'),
    });
    const task = defineTask({
      name: 'task',
      manager: 'db',
      run: (ctx, text: string, { query }: { query(text: string): string }) => {
        ctx.defer(() => events.push('torn down'));
        events.push('runs');
        return query(text);
      },
    });
    {
      await using rig = await rigOf(task, { managers: { db } });
      assert.equal(await rig.dispatcher.call(task, 'users'), 'rows of users');
      assert.deepEqual(events, ['runs', 'torn down']);
    }
    await db.stop();
    assert.deepEqual(events, ['runs', 'torn down', 'closed']);
  }),
);

test(
  'Jobbers: Retention',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', retain: { completed: 0 }, run: () => 'done' });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    assert.equal(await call.result, 'done');
    assert.equal(await rig.dispatcher.calls.get(call.id), undefined);
  }),
);

test(
  'Jobbers: Cron DAG',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const work = () => pause(clock, 90_000);
    const always = defineTask({ name: 'always', run: work });
    const skipping = defineTask({ name: 'skipping', run: work });
    await using rig = await rigOf([always, skipping], { clock });
    const ticks: string[] = [];
    rig.dispatcher.on('tick', ({ schedule, outcome }) => ticks.push(`${schedule} ${outcome}`));
    await rig.dispatcher.schedule('* * * * *', always, undefined, { name: 'always' });
    await rig.dispatcher.schedule('* * * * *', skipping, undefined, { name: 'skip_if_running', overlap: 'skip' });
    await clock.advance(180_000);
    assert.deepEqual(ticks.sort(), [
      'always fired',
      'always fired',
      'always fired',
      'skip_if_running fired',
      'skip_if_running fired',
      'skip_if_running skipped',
    ]);
  }),
);

test(
  'Jobbers: Roles: of several dispatchers, and of queues while they run',
  withLeakCheck(async () => {
    const ran: string[] = [];
    const tasks = ['mail', 'images'].map((queue) =>
      defineTask({ name: queue, queue, run: ({ queue }) => void ran.push(queue) }),
    );
    const roles = new Map<string, QueueMap>([
      ['web', { mail: {} }],
      ['heavy', { images: {} }],
    ]);
    await using web = await rigOf(tasks, { name: 'web', queues: roles.get('web') });
    await using heavy = await rigOf(tasks, {
      name: 'heavy',
      clock: web.clock,
      engine: web.engine,
      queues: roles.get('heavy'),
    });
    roles.set('web', { mail: {}, images: { weight: 2 } });
    roles.set('heavy', {});
    for (const { dispatcher } of [web, heavy]) await dispatcher.setQueues(roles.get(dispatcher.name)!);
    await Promise.all(tasks.map((task) => heavy.dispatcher.call(task, undefined)));
    assert.deepEqual(ran.sort(), ['images', 'mail']);
    const queues = await heavy.dispatcher.control.queues.list();
    assert.deepEqual(
      queues.map(({ name, takers }) => [name, takers.map(({ dispatcher }) => dispatcher)]),
      [
        ['images', ['web']],
        ['mail', ['web']],
      ],
    );
  }),
);

test(
  'Jobbers: Metrics',
  withLeakCheck(async () => {
    const task = failing(1, { retry: { attempts: 2, baseMs: 100, jitter: 'none' } });
    await using rig = await rigOf([task, hangs]);
    const { dispatcher } = rig;
    await passing(rig.clock, dispatcher.call(task, undefined));
    const call = await dispatcher.submit(hangs, undefined);
    await call.cancel();
    await rig.clock.advance(1);
    const { tasks, schedules, cancellationsRequested } = dispatcher.metrics();
    const [{ processed, retried, selected, deadLettered, ...times }, canceled] = tasks as [TaskFigures, TaskFigures];
    assert.deepEqual([processed.completed, retried, selected, deadLettered], [1, 1, 2, 0]);
    assert.deepEqual([times.task, times.queue], ['failing', 'default']);
    assert.deepEqual([times.executionTime.count, times.timeInQueue.count, times.endToEndLatency.count], [2, 2, 1]);
    assert.equal(times.endToEndLatency.maxMs, 100);
    assert.deepEqual([canceled.processed.canceled, cancellationsRequested], [1, 1]);
    assert.deepEqual(schedules, []);
  }),
);

test(
  'Jobbers: Admin API: what of it is in process',
  withLeakCheck(async () => {
    await using rig = await rigOf([hangs, echo, failing(9, { deadLetter: true })], { name: 'one' });
    const { dispatcher } = rig;
    const { control, calls, deadLetters } = dispatcher;
    const call = await dispatcher.submit('hangs', 1); // submit-task
    const later = await dispatcher.submit('echo', 1, { delayMs: 1_000 }); // schedule-task
    await dispatcher.submit('failing', 1);
    await settle();
    assert.equal((await calls.get(call.id))?.status, 'started', 'task-status');
    assert.equal((await calls.history({ queue: 'default' })).length, 3, 'task-list');
    assert.deepEqual((await control.running()).map(({ id }) => id), [call.id], 'active-tasks'); // biome-ignore format: short
    assert.deepEqual((await control.queued()).map(({ id }) => id), [later.id], 'scheduled-tasks'); // biome-ignore format: short
    await control.cancel(later.id); // task/{id}/cancel
    await control.cancel({ task: 'hangs' }); // tasks/cancel
    await settle();
    assert.equal((await deadLetters.list()).length, 1, 'dead-letter-queue');
    await deadLetters.resubmit({ task: 'failing' });
    await control.queues.limit('default', { limit: 5 });
    await control.queues.resize('default', 3); // CRUD queues
    const [queue] = await control.queues.list();
    assert.deepEqual(queue?.rateLimit, { limit: 5, intervalMs: 1_000 });
    assert.deepEqual(queue?.takers, [{ dispatcher: 'one', concurrency: 3, weight: 1, isPaused: false }]);
  }),
);

test(
  'Jobbers: Dead letters: what is none is not resubmitted',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const call = await rig.dispatcher.submit(echo, 1);
    await call.result;
    await assert.rejects(rig.dispatcher.deadLetters.resubmit(call.id), {
      code: 'ERR_UNKNOWN_CALL',
      message: /is completed/,
    });
  }),
);

test(
  'Jobbers: DAG',
  withLeakCheck(async () => {
    const told: string[] = [];
    const pages = defineTask({ name: 'pages', run: (_ctx, n: number) => Array.from({ length: n }, (_, i) => i + 1) });
    const fetch = defineTask({
      name: 'fetch',
      run: (_ctx, page: number) => {
        if (page > 3) throw new Error(`no page ${page}`);
        return page * 10;
      },
    });
    const collect = defineTask({ name: 'collect', run: (_ctx, all: readonly number[]) => all.reduce((a, b) => a + b) });
    const merge = defineTask({
      name: 'merge',
      run: (_ctx, { pages, sum }: { pages: readonly number[]; sum: number }) => `${pages.length} pages of ${sum}`,
    });
    const tell = defineTask({ name: 'tell', run: (_ctx, text: string) => void told.push(text) });
    const graph = flow<number>({ name: 'graph' })
      .node('pages', pages)
      .each('fetched', fetch, { after: 'pages', over: (results) => results.pages })
      .then('sum', collect)
      .node('merged', merge, { after: ['pages', 'sum'] })
      .onError('told', tell, { of: 'fetched', input: ({ error }) => error.message })
      .build(({ merged }) => merged);
    await using rig = await rigOf(graph);
    assert.equal(await rig.dispatcher.call(graph, 3), '3 pages of 60');
    assert.deepEqual(told, []);
    await assert.rejects(rig.dispatcher.call(graph, 4), { message: 'no page 4' });
    assert.deepEqual(told, ['no page 4']);
  }),
);

test(
  'Jobbers: Mermaid',
  withLeakCheck(async () => {
    const graph = flow({ name: 'graph' }).node('first', echo).then('then', hangs).build();
    await using rig = await rigOf(graph);
    const run = await rig.dispatcher.submit(graph, 1);
    await settle();
    const text = graph.toMermaid(await rig.dispatcher.flows.get(run.id));
    for (const line of ['n0["first"]', 'n1["then"]', 'n0 --> n1', 'class n0 completed', 'class n1 running']) {
      assert.ok(text.includes(`  ${line}\n`), line);
    }
  }),
);
