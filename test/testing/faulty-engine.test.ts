import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryEngine, StaleLeaseError } from '../../src/engines/index.ts';
import { EngineWorld } from '../../src/testing/engine-world.ts';
import { engineSuite, faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { stateOf } from '../manager/kit.ts';

engineSuite('engine whose faults are off', ({ clock }) => faultyEngine(memoryEngine({ clock })));

/** A test with a faulty engine over memory, that is closed after it. */
function faulty(
  name: string,
  fn: (engine: ReturnType<typeof faultyEngine>, world: EngineWorld, clock: VirtualClock) => Promise<void>,
): void {
  test(
    name,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const engine = faultyEngine(memoryEngine({ clock }));
      await fn(engine, new EngineWorld(engine, 1_000, (ms) => clock.advance(ms)), clock);
      await engine.close();
    }),
  );
}

faulty(
  'an operation fails before anything is done, as often as it was told, with the error it was given',
  async (engine, world) => {
    engine.failNext('submit', { times: 2 });
    engine.failNext('submit', { error: new RangeError('mine') });
    await assert.rejects(world.submit({ id: 'a' }), /submit has failed/);
    await assert.rejects(world.submit({ id: 'a' }), /submit has failed/);
    await assert.rejects(world.submit({ id: 'a' }), RangeError);
    assert.equal(await engine.get('a'), undefined);
    await world.submit({ id: 'a' });
    await world.assertStates({ a: 'queued' });
    assert.equal(engine.calls('submit'), 4);
    assert.equal(engine.calls('ack'), 0);
  },
);

faulty(
  'an operation fails after it is done: only the reply is lost, and to say it again is harmless',
  async (engine, world) => {
    const party = await world.begin();
    engine.failNext('submit', { when: 'after' });
    await assert.rejects(world.submit({ id: 'a' }));
    await world.submit({ id: 'a' });
    const { lease } = await party.next();
    engine.failNext('ack', { when: 'after' });
    await assert.rejects(engine.ack(lease, '1'), /ack has failed/);
    await world.assertStates({ a: 'completed' });
    await engine.ack(lease, '1');
    assert.deepEqual(await party.fetch(), []);
  },
);

faulty('a delivery is lost: nobody has it, until its lease expires', async (engine, world) => {
  const party = await world.begin();
  for (const id of ['a', 'b']) await world.submit({ id });
  engine.loseDeliveries(1);
  assert.deepEqual(await party.ids({ lease: 2 }), ['b']);
  await world.assertStates({ a: 'started' });
  await world.pass(3);
  assert.equal((await party.next()).wasLost, true);
});

faulty(
  'an engine that is down refuses all, tells nothing, and gives no reply to what is under way',
  async (engine, world, clock) => {
    const party = await world.begin();
    const told: string[] = [];
    engine.watch('b', () => told.push('b'));
    engine.slowDown(500);
    const submitted = world.submit({ id: 'a' });
    submitted.catch(() => {});
    engine.goDown();
    await clock.advance(500);
    await assert.rejects(submitted, /the engine is down/);
    await assert.rejects(engine.get('a'), /the engine is down/);
    engine.slowDown(0);
    assert.equal(party.wakes, 0);
    engine.comeUp();
    assert.deepEqual(await party.ids(), ['a']);
    engine.goDown(new TypeError('mine'));
    await assert.rejects(world.submit({ id: 'b' }), TypeError);
    assert.deepEqual(told, []);
  },
);

faulty('a lock of an engine that is down can be neither renewed nor released', async (engine, _, clock) => {
  const lock = (await engine.lock('l', 'me', 1_000))!;
  engine.goDown();
  await assert.rejects(lock.renew(1_000), /the engine is down/);
  await assert.rejects(lock.release(), /the engine is down/);
  engine.comeUp();
  assert.equal(await lock.renew(2_000), true);
  engine.slowDown(100);
  const released = lock.release();
  await clock.advance(99);
  assert.equal(await stateOf(released), 'pending');
  await clock.advance(1);
  assert.equal(await stateOf(released), 'fulfilled');
});

faulty('replies are slow, by the clock of the engine', async (engine, world, clock) => {
  engine.slowDown(100);
  const submitted = world.submit({ id: 'a' });
  await clock.advance(99);
  assert.equal(await stateOf(submitted), 'pending');
  await clock.advance(1);
  assert.equal((await submitted).state, 'queued');
});

faulty('a consumer that hears nothing finds its work all the same', async (engine, world) => {
  const party = await world.begin();
  engine.deafen();
  await world.submit({ id: 'a' });
  await world.pass();
  assert.equal(party.wakes, 0);
  const { lease } = await party.next({ lease: 1 });
  await engine.cancel('a', '{}');
  await engine.broadcast('hello');
  assert.deepEqual([party.canceled, party.messages], [[], []]);
  engine.deafen(false);
  await engine.broadcast('hello');
  assert.deepEqual(party.messages, ['hello']);
  await world.pass(2);
  await assert.rejects(engine.ack(lease, 'null'), StaleLeaseError);
});
