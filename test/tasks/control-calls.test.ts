/** Control of what runs: calls, workers, status, what is logged, and pings, from any dispatcher on an engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Logger, TaskManager } from '../../src/index.ts';
import { Dispatcher, defineTask, memoryEngine, UnknownDispatcherError } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import {
  deferred,
  echo,
  failing,
  hangs,
  mortal,
  passing,
  pause,
  rigOf,
  settle,
  statesOf,
  untilCanceled,
} from './kit.ts';

/** A logger that keeps what it is told, and all that it was told. */
function recorded(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  return { logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines };
}

test(
  'what runs and what waits is listed by filter, wherever it runs',
  withLeakCheck(async () => {
    await using one = await rigOf([hangs, echo], { concurrency: 1, name: 'one' });
    await using _ = await rigOf([hangs, echo], { clock: one.clock, engine: one.engine, concurrency: 1, name: 'two' });
    const calls = await one.dispatcher.submitMany(hangs, [1, 2, 3]);
    const later = await one.dispatcher.submit(echo, 4, { delayMs: 1_000 });
    await settle();
    const { control } = one.dispatcher;
    const running = await control.running();
    assert.deepEqual(
      running.map(({ id, consumer }) => [id, consumer]).sort(),
      [
        [calls[0]!.id, 'one'],
        [calls[1]!.id, 'two'],
      ].sort(),
    );
    assert.deepEqual(
      (await control.queued()).map(({ id, state }) => [id, state]),
      [
        [later.id, 'scheduled'],
        [calls[2]!.id, 'queued'],
      ],
    );
    assert.deepEqual(
      (await control.queued({ task: 'echo' })).map(({ id }) => id),
      [later.id],
    );
    assert.equal((await control.running({}, { limit: 1 })).length, 1);
    await assert.rejects(control.running({ state: 'queued' } as object), /state is not an option of a filter/);
    await assert.rejects(control.queued([] as object), TypeError);
  }),
);

test(
  'a cancel reaches what runs on another dispatcher, and says so when nothing matches',
  withLeakCheck(async () => {
    await using one = await rigOf(hangs, { queues: {} });
    await using _ = await rigOf(hangs, { clock: one.clock, engine: one.engine });
    const { control } = one.dispatcher;
    const calls = await one.dispatcher.submitMany(hangs, [1, 2, 3]);
    await settle();
    assert.deepEqual([...(await control.cancel(calls[0]!.id)).values()], ['requested']);
    await settle();
    assert.equal((await control.cancel({ task: 'hangs' }, 'enough')).size, 2);
    await settle();
    assert.deepEqual(statesOf(calls), ['canceled', 'canceled', 'canceled']);
    const unknown = { code: 'ERR_UNKNOWN_CALL' };
    await assert.rejects(control.cancel({ task: 'hangs' }), unknown);
    await assert.rejects(control.cancel({ id: ['nobody'] }), unknown);
    await assert.rejects(control.cancel('nobody'), unknown);
    await assert.rejects(control.cancel(calls[0]!.id), { code: 'ERR_CALL_ENDED' });
    await assert.rejects(control.cancel({ taks: 'hangs' } as object), TypeError);
    assert.deepEqual([...(await control.cancel({ id: calls[0]!.id })).values()], ['ended'], 'one that there is');
  }),
);

test(
  'workers are shown by dispatcher and manager, with what they run; who is silent is said to be',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const { engine, die } = mortal(store);
    await using threads = new TaskManager({ workerCount: 3, clock });
    const task = defineTask({ name: 'task', manager: 'threads', run: untilCanceled });
    await using one = await rigOf([hangs, task], {
      clock,
      engine: store,
      concurrency: 2,
      name: 'one',
      managers: { threads },
    });
    const two = await rigOf(echo, { clock, engine, name: 'two' });
    const call = await one.dispatcher.submit(task, 0);
    await settle();
    const both = await one.dispatcher.control.workers();
    assert.deepEqual(
      both.map(({ dispatcher, isSilent, calls }) => [dispatcher, isSilent, calls]),
      [
        ['one', false, [call.id]],
        ['two', false, []],
      ],
    );
    const { managers } = both[0]!;
    assert.deepEqual([...managers.keys()], ['default', 'threads']);
    assert.equal(managers.get('default')?.baseWorkers, 2);
    assert.deepEqual(managers.get('threads'), threads.stats(), 'Infinity included');
    die();
    const asked = one.dispatcher.control.workers();
    const [, silent] = await passing(clock, asked);
    assert.deepEqual(silent, { dispatcher: 'two', isSilent: true, managers: new Map(), calls: [] });
    await call.cancel();
    await passing(clock, two.dispatcher.stop());
  }),
);

test(
  'status says how engine, dispatchers, calls, dead letters and queues are',
  withLeakCheck(async () => {
    const dies = failing(9, { deadLetter: true });
    await using one = await rigOf([dies, hangs], { name: 'one', queues: { default: {} } });
    await one.clock.advance(2_500);
    await using _ = await rigOf(hangs, { clock: one.clock, engine: one.engine, name: 'two' });
    await one.dispatcher.submit(dies, 0);
    await one.dispatcher.submit(hangs, 0);
    await settle();
    const { engine, dispatchers, calls, deadLetters, queues } = await one.dispatcher.control.status();
    assert.deepEqual(engine, { name: 'memory', isHealthy: true, error: undefined });
    const [first, second] = dispatchers;
    assert.match(first!.version!, /^\d+\.\d+\.\d+/);
    assert.deepEqual(first, {
      name: 'one',
      isSilent: false,
      state: 'running',
      uptimeMs: 2_500,
      version: first!.version,
    });
    assert.equal(second?.uptimeMs, 0);
    assert.equal(calls?.started, 1);
    assert.equal(deadLetters, 1);
    const counts = { queued: 0, held: 0, scheduled: 0, started: 1, deadLettered: 1 };
    assert.deepEqual(queues, [{ name: 'default', counts, isPaused: false, isUnattended: false }]);
  }),
);

test(
  'status of an engine that is down, or never answers, says so',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine: faulty });
    faulty.goDown(new Error('gone'));
    const down = await passing(clock, rig.dispatcher.control.status());
    assert.equal(down.engine.isHealthy, false);
    assert.match(String(down.engine.error), /gone/);
    assert.deepEqual([down.calls, down.queues, down.dispatchers], [undefined, [], []]);
    faulty.comeUp();
    const { engine, die } = mortal(memoryEngine({ clock }));
    const hanging = new Dispatcher({ tasks: [echo], engine });
    die();
    const { engine: health } = await passing(clock, hanging.control.status());
    assert.equal(health.isHealthy, false);
    assert.match(String(health.error), /has not passed its own check within 1000 ms/);
    await hanging.stop();
  }),
);

test(
  'what is logged can be changed live, for all dispatchers or for one',
  withLeakCheck(async () => {
    const [first, second] = [recorded(), recorded()];
    await using one = await rigOf(echo, { name: 'one', logger: first.logger });
    const shared = { clock: one.clock, engine: one.engine };
    await using two = await rigOf(echo, { ...shared, name: 'two', queues: {}, logger: second.logger });
    assert.deepEqual(first.lines, [], 'as long as nothing is odd');
    const { control } = two.dispatcher;
    assert.deepEqual(await control.setLogLevel('debug', { dispatcher: 'one' }), { dispatchers: ['one'], silent: [] });
    const call = await one.dispatcher.submit(echo, 0);
    await call.result;
    await settle();
    assert.deepEqual(first.lines, [
      `debug: call ${call.id} of echo begins`,
      `debug: call ${call.id} of echo is completed`,
    ]);
    assert.deepEqual(second.lines, []);
    assert.deepEqual(await control.setLogLevel('info'), { dispatchers: ['one', 'two'], silent: [] });
    await one.dispatcher.setQueues({ default: {} });
    await one.dispatcher.call(echo, 0);
    await settle();
    assert.deepEqual(first.lines.slice(2), ['info: dispatcher one takes from default']);
    await control.setLogLevel('silent', { dispatcher: 'one' });
    one.dispatcher.on('idle', () => {
      throw new Error('boom');
    });
    await one.dispatcher.call(echo, 0);
    await settle();
    assert.equal(first.lines.length, 3);
    await passing(one.clock, two.dispatcher.stop());
    assert.deepEqual(second.lines, ['info: dispatcher two stops']);
  }),
);

test(
  'levels and dispatchers that there are not are refused',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo, { name: 'one' });
    const { control } = rig.dispatcher;
    await assert.rejects(
      control.setLogLevel('loud' as 'debug'),
      /level must be one of debug, info, warn, error, silent/,
    );
    await assert.rejects(control.setLogLevel('debug', { dispatcher: 'two' }), (error) => {
      assert.ok(error instanceof UnknownDispatcherError);
      assert.match(error.message, /no dispatcher two is alive on the engine; those are one/);
      return true;
    });
    await assert.rejects(control.setLogLevel('debug', { to: 'one' } as object), TypeError);
    for (const timeoutMs of [0, -1, 1.5, Number.NaN, Infinity])
      await assert.rejects(control.ping({ timeoutMs }), RangeError);
    await assert.rejects(control.ping({ ms: 1 } as object), TypeError);
    for (const name of ['control:me', '', 'two\nlines']) {
      assert.throws(() => new Dispatcher({ tasks: [echo], name }), RangeError);
    }
  }),
);

// ---- ping ------------------------------------------------------------------------------------------------------------

test(
  'a ping goes to every dispatcher, there through every worker of every manager, and back',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using pool = new TaskManager({ workerCount: 3, clock });
    await using one = await rigOf(echo, { clock, engine, name: 'one', concurrency: 2, managers: { pool } });
    await using _ = await rigOf(echo, { clock, engine, name: 'two' });
    engine.slowDown(10);
    const pongs = await passing(clock, one.dispatcher.control.ping({ timeoutMs: 2_000 }));
    assert.deepEqual([...pongs.keys()], ['one', 'two']);
    const { isSilent, ms, workers } = pongs.get('one')!;
    assert.equal(isSilent, false);
    assert.ok(ms! >= 0 && ms! <= 20, `${ms}`);
    assert.deepEqual(Object.fromEntries(workers), {
      default: { workers: 2, answered: 2 },
      pool: { workers: 3, answered: 3 },
    });
    engine.slowDown(0);
  }),
);

test(
  'a busy worker answers when it is free, or not in time, and leaves nothing behind',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({ name: 'task', run: (_ctx, ms: number) => pause(clock, ms) });
    await using rig = await rigOf(task, { clock, concurrency: 3 });
    const calls = await rig.dispatcher.submitMany(task, [300, 5_000]);
    await settle();
    const pinged = rig.dispatcher.control.ping();
    await clock.advance(750);
    const [pong] = [...(await pinged).values()];
    assert.deepEqual(pong?.workers.get('default'), { workers: 3, answered: 2 });
    assert.equal(pong?.ms, 750);
    const [one] = await rig.dispatcher.control.workers();
    assert.equal(one?.managers.get('default')?.queuedTasks, 0);
    await passing(clock, Promise.all(calls.map(({ result }) => result)));
    const [again] = [...(await rig.dispatcher.control.ping()).values()];
    assert.deepEqual(again?.workers.get('default'), { workers: 3, answered: 3 });
  }),
);

test(
  'a manager that has stopped has no workers that answer, and is no reason for silence',
  withLeakCheck(async () => {
    const pool = new TaskManager({ workerCount: 2 });
    await using rig = await rigOf(echo, { managers: { pool } });
    await pool.stop();
    const [pong] = [...(await passing(rig.clock, rig.dispatcher.control.ping())).values()];
    assert.equal(pong?.isSilent, false);
    assert.equal(pong?.workers.get('pool')?.answered, 0);
  }),
);

test(
  'who is silent makes no ping fail or hang: dead, deaf, or between two lives',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const dead = mortal(store);
    const deaf = faultyEngine(store);
    await using one = await rigOf(echo, { clock, engine: store, name: 'one' });
    const two = await rigOf(echo, { clock, engine: dead.engine, name: 'two' });
    await using _ = await rigOf(echo, { clock, engine: deaf, name: 'three' });
    dead.die();
    deaf.deafen();
    const pinged = one.dispatcher.control.ping();
    let isOver = false;
    void pinged.then(() => {
      isOver = true;
    });
    await clock.advance(999);
    assert.equal(isOver, false);
    await clock.advance(1);
    const pongs = await pinged;
    assert.deepEqual(
      [...pongs].map(([name, { isSilent, ms }]) => [name, isSilent, ms]),
      [
        ['one', false, 0],
        ['two', true, undefined],
        ['three', true, undefined],
      ],
    );
    await passing(clock, two.dispatcher.stop());
  }),
);

test(
  'an engine that fails makes control fail with what it says, and one that never answers with a DeadlineExceededError',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const faulty = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(echo, { clock, engine: faulty });
    faulty.failNext('broadcast', { error: new Error('not now') });
    await assert.rejects(rig.dispatcher.control.ping(), /not now/);
    const { engine, die } = mortal(memoryEngine({ clock }));
    const hanging = new Dispatcher({ tasks: [echo], engine });
    die();
    await assert.rejects(passing(clock, hanging.control.ping()), {
      code: 'ERR_DEADLINE_EXCEEDED',
      message: 'the engine has not answered ping within 1000 ms',
    });
    await hanging.stop();
  }),
);

test(
  'a dispatcher that was never started can ask, is not one of those asked, and leaves no trace',
  withLeakCheck(async () => {
    await using one = await rigOf(echo, { name: 'one' });
    const asking = new Dispatcher({ tasks: [echo], engine: one.engine, name: 'asking' });
    assert.deepEqual([...(await asking.control.ping()).keys()], ['one']);
    assert.deepEqual(
      (await asking.control.workers()).map(({ dispatcher }) => dispatcher),
      ['one'],
    );
    await settle();
    assert.deepEqual(await one.engine.consumers(), ['one']);
    await passing(one.clock, one.dispatcher.stop());
    assert.deepEqual([...(await asking.control.ping())], [], 'there is none');
    await asking.stop();
    assert.equal(one.clock.timerCount, 0);
  }),
);

test(
  'a dispatcher that stops still answers until it has left',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({ name: 'task', onShutdown: 'drain', run: () => gate.promise });
    await using one = await rigOf(echo, { name: 'one' });
    const two = await rigOf(task, { clock: one.clock, engine: one.engine, name: 'two', queues: { default: {} } });
    await passing(one.clock, one.dispatcher.setQueues({}));
    await two.dispatcher.submit(task, undefined);
    await settle();
    const stopping = two.dispatcher.stop();
    await settle();
    const { dispatchers } = await one.dispatcher.control.status();
    assert.deepEqual(
      dispatchers.map(({ name, state }) => [name, state]),
      [
        ['one', 'running'],
        ['two', 'stopping'],
      ],
    );
    gate.resolve();
    await passing(one.clock, stopping);
    assert.deepEqual(await one.engine.consumers(), ['one']);
  }),
);
