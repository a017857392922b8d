/** An engine that tells nothing any more, or never answers: it is noticed, and all begins anew, with nothing lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CallContext, defineTask, type Engine, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, hangs, pause, rigOf, settle, statesOf } from './kit.ts';

/** A dispatcher on an engine with faults, and what it says of the engine's failures. */
async function rigWithFaults() {
  const clock = new VirtualClock();
  const engine = faultyEngine(memoryEngine({ clock }));
  const rig = await rigOf([echo, hangs], { clock, engine, name: 'one', leaseMs: 12_000 });
  const failures: string[] = [];
  rig.dispatcher.on('engineFailed', ({ error }) => failures.push((error as Error).message));
  await settle();
  return { rig, clock, engine, failures };
}

test(
  'after half a minute in which nothing is told one asks; an engine that answers is well',
  withLeakCheck(async () => {
    const { rig, clock, engine, failures } = await rigWithFaults();
    await using _ = rig;
    await clock.advance(29_000);
    assert.equal(engine.calls('selfCheck'), 0);
    await clock.advance(1_000);
    assert.deepEqual([engine.calls('selfCheck'), engine.calls('broadcast')], [1, 1]);
    await clock.advance(600_000);
    assert.equal(engine.calls('selfCheck'), 21, 'each half minute again');
    assert.deepEqual(failures, []);
    assert.equal(engine.calls('begin'), 1);
  }),
);

test(
  'whoever is told something need not ask',
  withLeakCheck(async () => {
    const { rig, clock, engine } = await rigWithFaults();
    await using _ = rig;
    for (let i = 0; i < 20; i++) {
      await clock.advance(20_000);
      await rig.dispatcher.call(echo, i);
    }
    assert.equal(engine.calls('selfCheck'), 0);
  }),
);

test(
  'a dispatcher that has gone deaf says so, and begins anew: then it hears again',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    // The connection: what is told through it can be cut, and each life has a new one.
    let isCut = false;
    const engine: Engine = {
      ...faultyEngine(store),
      begin: (name, listener) => {
        isCut = false;
        return store.begin(name, {
          onWake: () => isCut || listener.onWake(),
          onCancel: (id, error) => isCut || listener.onCancel(id, error),
          onMessage: (message) => isCut || listener.onMessage(message),
        });
      },
    };
    await using rig = await rigOf(echo, { clock, engine });
    await settle();
    const failures: unknown[] = [];
    rig.dispatcher.on('engineFailed', ({ error }) => failures.push(error));
    isCut = true;
    await clock.advance(34_000);
    assert.equal(failures.length, 0);
    await clock.advance(2_000);
    assert.match(
      String(failures),
      /DeadlineExceeded.*the engine has told nothing|TimeoutError.*the engine has told nothing/,
    );
    assert.equal(isCut, false, 'another connection');
    assert.equal(await rig.dispatcher.call(echo, 'heard at once'), 'heard at once');
    await clock.advance(120_000);
    assert.equal(failures.length, 1);
  }),
);

test(
  'what runs is not lost for that: a deaf dispatcher begins anew when it has nothing',
  withLeakCheck(async () => {
    const { rig, clock, engine, failures } = await rigWithFaults();
    await using _ = rig;
    const call = await rig.dispatcher.submit(hangs, 0);
    await settle();
    engine.deafen();
    await clock.advance(100_000);
    assert.equal(call.status, 'started');
    assert.ok(failures.length >= 2, `${failures.length}`);
    assert.equal(engine.calls('begin'), 1);
    await engine.cancel(call.id, '{"value":"enough"}');
    await clock.advance(4_000);
    assert.equal((await engine.get(call.id))?.state, 'canceled', 'a renewal has found it');
    await clock.advance(7_000);
    assert.equal(engine.calls('begin'), 2);
    engine.deafen(false);
    assert.equal(await rig.dispatcher.call(echo, 1), 1);
  }),
);

test(
  'an engine that fails its own check is begun anew, as soon as it can be reached',
  withLeakCheck(async () => {
    const { rig, clock, engine, failures } = await rigWithFaults();
    await using _ = rig;
    engine.failNext('selfCheck', { error: new Error('not well') });
    await clock.advance(36_000);
    assert.deepEqual(failures, ['not well']);
    assert.equal(engine.calls('begin'), 2);
    await clock.advance(60_000);
    assert.equal(failures.length, 1);
  }),
);

test(
  'a check that is never answered is a failure',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let isHanging = true;
    const store = faultyEngine(memoryEngine({ clock }));
    const engine: Engine = { ...store, selfCheck: async () => (isHanging ? new Promise<never>(() => {}) : undefined) };
    await using rig = await rigOf(echo, { clock, engine });
    let failures = 0;
    rig.dispatcher.on('engineFailed', () => failures++);
    await clock.advance(36_000);
    assert.equal(failures, 1);
    assert.equal(store.calls('begin'), 2);
    isHanging = false;
    await clock.advance(60_000);
    assert.equal(failures, 1);
  }),
);

test(
  'an engine that is down meanwhile is told apart from one that tells nothing, and all goes on when it is up',
  withLeakCheck(async () => {
    const { rig, clock, engine, failures } = await rigWithFaults();
    await using _ = rig;
    engine.goDown(new Error('down'));
    await clock.advance(60_000);
    assert.ok(failures.length > 3);
    assert.deepEqual([...new Set(failures)], ['down']);
    engine.comeUp();
    await clock.advance(5_000);
    assert.equal(await rig.dispatcher.call(echo, 1), 1);
  }),
);

// ---- operations that never answer --------------------------------------------------------------------------------------

/** An engine of which one operation can be made never to answer, though it does its work. */
function hanging(clock: VirtualClock) {
  const store = faultyEngine(memoryEngine({ clock }));
  const stuck = new Set<string>();
  const engine = new Proxy(store, {
    get(target, name: keyof Engine) {
      const value = target[name];
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const answer = (value as (...args: unknown[]) => unknown)(...args);
        return stuck.has(name) ? new Promise(() => {}) : answer;
      };
    },
  });
  return { engine, store, stuck };
}

for (const operation of ['fetch', 'begin'] as const) {
  test(
    `a ${operation} that is never answered is given up, and loses no call`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const { engine, store, stuck } = hanging(clock);
      const task = defineTask({ name: 'task', run: (_ctx: CallContext, ms: number) => pause(clock, ms) });
      if (operation === 'begin') stuck.add('begin');
      const starting = rigOf(task, { clock, engine, leaseMs: 10_000, concurrency: 2 });
      await clock.advance(0);
      if (operation === 'fetch') stuck.add('fetch');
      await store.submitMany([]);
      await clock.advance(20_000);
      stuck.clear();
      await clock.advance(20_000);
      await using rig = await starting;
      const calls = await rig.dispatcher.submitMany(task, [10, 10, 10]);
      await clock.advance(60_000);
      assert.deepEqual(statesOf(calls), ['completed', 'completed', 'completed']);
      assert.ok(store.calls('begin') >= 2);
    }),
  );
}

test(
  'what a fetch has brought that is never answered is delivered again',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, stuck } = hanging(clock);
    let failed = '';
    await using rig = await rigOf(echo, { clock, engine, leaseMs: 10_000 });
    rig.dispatcher.on('engineFailed', ({ error }) => {
      failed = (error as Error).message;
    });
    await settle();
    stuck.add('fetch');
    const call = await rig.dispatcher.submit(echo, 1);
    await settle();
    assert.equal(call.status, 'started', 'and nobody knows');
    await clock.advance(9_000);
    stuck.clear();
    await clock.advance(12_000);
    assert.equal(call.status, 'completed');
    assert.equal(failed, 'the engine has not answered a fetch within the time of a lease');
  }),
);

test(
  'a slow engine is none that never answers',
  withLeakCheck(async () => {
    const { rig, clock, engine, failures } = await rigWithFaults();
    await using _ = rig;
    engine.slowDown(4_000);
    const submitted = rig.dispatcher.submitMany(echo, [1, 2, 3]);
    await clock.advance(120_000);
    assert.deepEqual(statesOf(await submitted), ['completed', 'completed', 'completed']);
    assert.deepEqual(failures, []);
    engine.slowDown(0);
    await clock.advance(20_000);
  }),
);
