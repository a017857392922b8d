/**
 * The memory engine: what holds for all engines, and that it costs nothing where nothing is to be done.
 *
 *   ERRAND_REAL_TIME=1 npm test memory-engine     all that holds for all engines in real time too
 */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { CallLife } from '../../src/engines/call-life.ts';
import { memoryEngine } from '../../src/engines/index.ts';
import { Lane } from '../../src/engines/lanes.ts';
import type { StoredCall } from '../../src/engines/stored-call.ts';
import { EngineWorld } from '../../src/testing/engine-world.ts';
import { engineSuite, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';

const { ERRAND_REAL_TIME } = process.env;

engineSuite('memory engine', ({ clock }) => memoryEngine({ clock }));

if (ERRAND_REAL_TIME !== undefined) {
  engineSuite('memory engine in real time', ({ clock }) => memoryEngine({ clock }), { isVirtual: false });
}

const listener = { onWake() {}, onCancel() {}, onMessage() {} };

function worldOf(engine: ReturnType<typeof memoryEngine>, clock = new VirtualClock()): EngineWorld {
  return new EngineWorld(engine, 1_000, (ms) => clock.advance(ms));
}

test(
  'consumers are woken once for many submissions at once',
  withLeakCheck(async () => {
    const engine = memoryEngine();
    const world = worldOf(engine);
    const [a, b] = [await world.begin('a'), await world.begin('b')];
    for (let i = 0; i < 100; i++) void world.submit();
    await world.pass();
    assert.deepEqual([a.wakes, b.wakes], [1, 1]);
    await world.submit();
    await world.pass();
    assert.equal(a.wakes, 2);
    await engine.close();
  }),
);

test(
  'nobody is woken for what a lane holds back that is known to be closed',
  withLeakCheck(async () => {
    const engine = memoryEngine();
    const world = worldOf(engine);
    const party = await world.begin();
    await engine.limit('lane', { concurrency: 1 });
    for (let i = 0; i < 2; i++) await world.submit({ lanes: ['lane'] });
    await party.fetch();
    await world.pass();
    party.wakes = 0;
    await world.submit({ lanes: ['lane'], priority: 1 });
    await world.pass();
    assert.equal(party.wakes, 0);
    await engine.close();
  }),
);

test(
  'a consumer is woken, and timers run, in no context of who submitted',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const world = worldOf(engine, clock);
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await engine.begin('worker', { ...listener, onWake: () => seen.push(storage.getStore()) });
    engine.watch('delayed', () => seen.push(storage.getStore()));
    await storage.run('submitter', () => world.submit({ id: 'at once' }));
    await world.pass();
    await storage.run('submitter', () => world.submit({ id: 'delayed', delayMs: 5 }));
    seen.length = 1; // a watcher is told of what a method did by that method
    await world.pass(1);
    assert.ok(seen.length >= 3);
    assert.deepEqual(new Set(seen), new Set([undefined]));
    await engine.close();
  }),
);

test(
  'all delays are on one timer, which is set for the first of them, and gone with the last',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const world = worldOf(engine, clock);
    for (let i = 0; i < 100; i++) await world.submit({ id: `${i}`, delayMs: 1_000 - i });
    await world.submit({ id: 'never', delayMs: Infinity });
    assert.equal(clock.timerCount, 1);
    await clock.advance(950);
    assert.deepEqual((await engine.count({})).queued, 50);
    for (let i = 0; i < 50; i++) await engine.cancel(`${i}`, '{}');
    await engine.cancel('never', '{}');
    assert.equal(clock.timerCount, 0);
    await engine.close();
  }),
);

test(
  'no timer of it holds the process',
  withLeakCheck(async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const engine = memoryEngine();
    const world = worldOf(engine);
    const before = timers();
    const party = await world.begin();
    await engine.limit('lane', { rate: { limit: 1, intervalMs: 60_000 } });
    await world.submit({ delayMs: 60_000 });
    for (let i = 0; i < 2; i++)
      await world.submit({ lanes: ['lane'], retention: { completedMs: 60_000, failedMs: 60_000 } });
    const [delivery] = await party.fetch();
    assert.ok(delivery !== undefined);
    await engine.lock('lock', 'me', 60_000);
    await engine.cancel(delivery.record.id, '{}');
    assert.equal(timers(), before);
    await engine.close();
  }),
);

test(
  'calls that closed lanes hold back cost a fetch nothing, however many they are',
  withLeakCheck(async (t) => {
    const engine = memoryEngine();
    const world = worldOf(engine);
    const party = await world.begin();
    await engine.limit('shared', { concurrency: 1 });
    await engine.limit('tenant', { concurrency: 1 });
    const isOpen = t.mock.method(Lane.prototype, 'isOpen');
    for (let i = 0; i < 2_000; i++) await world.submit({ lanes: [`tenant\n${i % 500}`, 'shared'], priority: 9 });
    await party.next();
    await party.fetch();
    isOpen.mock.resetCalls();
    for (let i = 0; i < 100; i++) {
      await world.submit({ id: `${i}` });
      assert.deepEqual(await party.ids(), [`${i}`]);
    }
    assert.equal(isOpen.mock.callCount(), 0);
    isOpen.mock.restore();
    await engine.close();
  }),
);

test(
  'one that opens a lane for one call moves a few, and not all that wait for it',
  withLeakCheck(async (t) => {
    const engine = memoryEngine();
    const world = worldOf(engine);
    const party = await world.begin();
    await engine.limit('shared', { concurrency: 1 });
    await engine.limit('tenant', { rate: { limit: 9, intervalMs: 1_000 } });
    for (let i = 0; i < 2_000; i++) await world.submit({ lanes: [`tenant\n${i}`, 'shared'] });
    const isOpen = t.mock.method(Lane.prototype, 'isOpen');
    for (let i = 0; i < 100; i++) {
      const [delivery] = await party.fetch();
      await engine.ack(delivery!.lease, 'null');
    }
    assert.ok(isOpen.mock.callCount() <= 100 * 8, `${isOpen.mock.callCount()} looks at lanes`);
    isOpen.mock.restore();
    await engine.close();
  }),
);

/** Has a call delivered, and completed. */
function finish(life: CallLife, call: StoredCall, now: number): void {
  const consumer = life.consumers.find('worker') ?? life.consumers.begin('worker', listener);
  life.deliver(call, consumer, 1_000, now);
  life.endLease(call, 'ack', false, now);
  life.end(call, 'completed', now);
}

test(
  'lanes, keys and queues that nobody uses any more are forgotten, when no rate remembers them',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const life = new CallLife(clock);
    const world = worldOf(memoryEngine());
    life.limit('limited', { rate: { limit: 1, intervalMs: 50 } }, 0);
    const calls: StoredCall[] = [];
    for (let i = 0; i < 2_000; i++) {
      const lanes = [`limited\n${i}`, `free\n${i}`, 'shared'];
      const call = world.call({ lanes, key: `${i}`, onDuplicate: 'serial', queue: `${i}`, retention: NOT_KEPT });
      calls.push(life.submit(call, 0));
    }
    assert.deepEqual([life.lanes.size, life.duplicates.size, life.ready.size], [4_001, 2_000, 2_000]);
    for (const call of calls) finish(life, call, 0);
    assert.deepEqual([life.duplicates.size, life.store.count({}).completed], [0, 0]);
    assert.ok(life.ready.size <= 64, `${life.ready.size} queues`);
    assert.ok(life.lanes.size >= 2_000, 'they were used just now');
    await clock.advance(50);
    assert.ok(life.lanes.size <= 300, `${life.lanes.size} lanes`);
    life.close();
    await world.engine.close();
  }),
);

const NOT_KEPT = { completedMs: 0, failedMs: 0 };

test(
  'a lane that is used again in time remembers its rate',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const world = worldOf(engine, clock);
    const party = await world.begin();
    await engine.limit('lane', { rate: { limit: 1, intervalMs: 1_000 } });
    const submit = (i: number) =>
      world.submit({ id: `${clock.now()} ${i}`, lanes: [`lane\n${i}`], retention: NOT_KEPT });
    for (let i = 0; i < 600; i++) await submit(i);
    for (const { lease } of await party.fetch()) await engine.ack(lease, 'null');
    await clock.advance(999);
    for (let i = 0; i < 600; i += 100) await submit(i);
    assert.deepEqual(await party.fetch(), []);
    await clock.advance(1);
    assert.equal((await party.fetch()).length, 6);
    await engine.close();
  }),
);
