/** The engine suite: what holds calls back. Limits of lanes, and others of the same key. */
import assert from 'node:assert/strict';
import { type Delivery, type DuplicatePolicy, StaleLeaseError } from '../engines/index.ts';
import { type EngineWorld, idsOf, type Party, type Scenario } from './engine-world.ts';

const ERROR = '{"message":"broken"}';
const REASON = '{"message":"not wanted"}';

/** Submits calls with these ids, one after the other, with one key. */
async function submitTwins(world: EngineWorld, onDuplicate: DuplicatePolicy, ids: readonly string[]): Promise<void> {
  for (const id of ids) await world.submit({ id, key: 'key', onDuplicate });
}

async function ackNext(world: EngineWorld, party: Party): Promise<string> {
  const { record, lease } = await party.next();
  await world.engine.ack(lease, 'null');
  return record.id;
}

/** Who the error of a call that was discarded names. */
async function assertGaveWay(world: EngineWorld, id: string, otherId: string): Promise<void> {
  const { state, error } = (await world.engine.get(id))!;
  assert.equal(state, 'discarded');
  assert.ok(JSON.stringify(JSON.parse(error!)).includes(otherId), `${error} names ${otherId}`);
}

const duplicates: readonly Scenario[] = [
  {
    name: 'parallel: calls of one key run beside each other',
    async run(world) {
      const party = await world.begin();
      await submitTwins(world, 'parallel', ['a', 'b']);
      assert.deepEqual(await party.ids(), ['a', 'b']);
    },
  },
  {
    name: 'serial: calls of one key run one after the other, in their order, each once; a retry comes before the next',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await submitTwins(world, 'serial', ['a', 'b', 'c']);
      await world.submit({ id: 'other key', key: 'other', onDuplicate: 'serial' });
      await world.submit({ id: 'other task', task: 'other', key: 'key', onDuplicate: 'serial' });
      await world.submit({ id: 'no key', onDuplicate: 'serial' });
      await world.assertStates({ a: 'queued', b: 'held', c: 'held' });
      const [a] = await party.fetch();
      await engine.fail(a!.lease, { error: ERROR, then: { retryAfterMs: unit } });
      assert.deepEqual(await party.fetch(), []);
      await world.pass(2);
      assert.equal(await ackNext(world, party), 'a');
      await world.assertStates({ a: 'completed', b: 'queued', c: 'held' });
      assert.equal(await ackNext(world, party), 'b');
      assert.equal(await ackNext(world, party), 'c');
    },
  },
  {
    name: 'serial: the next comes however the one before has ended, and one that was lost comes first again',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await submitTwins(world, 'serial', ['lost', 'failed', 'dead', 'queued', 'held', 'last']);
      await party.next();
      await party.begin();
      const lost = await party.next();
      assert.deepEqual([lost.record.id, lost.wasLost], ['lost', true]);
      await world.assertStates({ failed: 'held' });
      await engine.ack(lost.lease, 'null');
      await engine.fail((await party.next()).lease, { error: ERROR, then: 'failed' });
      await engine.fail((await party.next()).lease, { error: ERROR, then: 'deadLettered' });
      await engine.cancel('held', REASON);
      await engine.cancel('queued', REASON);
      await world.assertStates({ failed: 'failed', dead: 'deadLettered', queued: 'canceled', last: 'queued' });
      assert.deepEqual(await party.ids(), ['last']);
    },
  },
  {
    name: 'discard: while there is one of the key, another is discarded, and names it',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await submitTwins(world, 'discard', ['a', 'b']);
      await assertGaveWay(world, 'b', 'a');
      const { lease } = await party.next();
      await submitTwins(world, 'discard', ['c']);
      await engine.fail(lease, { error: ERROR, then: { retryAfterMs: unit } });
      await submitTwins(world, 'discard', ['d']);
      await assertGaveWay(world, 'c', 'a');
      await assertGaveWay(world, 'd', 'a');
      await world.pass(2);
      assert.equal(await ackNext(world, party), 'a');
      await submitTwins(world, 'discard', ['e']);
      assert.deepEqual(await party.ids(), ['e']);
    },
  },
  {
    name: 'queueOne: the present one, and one more, the newest',
    async run(world) {
      const party = await world.begin();
      await submitTwins(world, 'queueOne', ['a', 'b', 'c', 'd']);
      await world.assertStates({ a: 'queued', d: 'held' });
      await assertGaveWay(world, 'b', 'c');
      await assertGaveWay(world, 'c', 'd');
      assert.equal(await ackNext(world, party), 'a');
      assert.equal(await ackNext(world, party), 'd');
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: 'whether a delayed call is a duplicate is decided when it is due',
    async run(world) {
      const { unit } = world;
      const party = await world.begin();
      const call = { key: 'key', onDuplicate: 'discard' } as const;
      await world.submit({ id: 'later', delayMs: 2 * unit, ...call });
      await world.submit({ id: 'much later', delayMs: 4 * unit, ...call });
      await world.submit({ id: 'now', ...call });
      await world.assertStates({ later: 'scheduled', now: 'queued' });
      await world.pass(3);
      await assertGaveWay(world, 'later', 'now');
      assert.equal(await ackNext(world, party), 'now');
      await world.pass(2);
      assert.deepEqual(await party.ids(), ['much later']);
    },
  },
];

const limits: readonly Scenario[] = [
  {
    name: 'a rate is never exceeded in any window; what is held back holds up nobody, and comes when there is room',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await engine.limit('slow', { rate: { limit: 2, intervalMs: 4 * unit } });
      for (let i = 1; i <= 5; i++) await world.submit({ id: `slow${i}`, lanes: ['slow'], priority: 9 });
      await world.submit({ id: 'free' });
      assert.deepEqual(await party.ids({ max: 1 }), ['slow1']);
      await world.pass(2);
      assert.deepEqual(await party.ids(), ['slow2', 'free']);
      await world.pass(1);
      assert.deepEqual(await party.ids(), []);
      party.wakes = 0;
      await world.pass(2);
      assert.ok(party.wakes > 0, 'it is woken when the lane opens');
      assert.deepEqual(await party.ids(), ['slow3']);
      await world.pass(2);
      assert.deepEqual(await party.ids(), ['slow4']);
    },
  },
  {
    name: 'a run has spent its part of the rate, unless it is handed back before it has begun',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await engine.limit('slow', { rate: { limit: 2, intervalMs: 10 * unit } });
      for (const id of ['a', 'b', 'c']) await world.submit({ id, lanes: ['slow'] });
      const [a, b] = await party.fetch();
      await engine.fail(b!.lease, { error: ERROR, then: { retryAfterMs: 0 } });
      assert.deepEqual(await party.fetch(), []);
      party.wakes = 0;
      await engine.release(a!.lease);
      await world.pass();
      assert.ok(party.wakes > 0);
      const [again] = await party.fetch();
      assert.equal(again?.record.id, 'a');
      await engine.release(again.lease, 0, true);
      assert.equal((await engine.get('a'))?.attempt, 0);
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: 'what was delivered before there was a rate gives back nothing to it',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      for (const id of ['a', 'b', 'c']) await world.submit({ id, lanes: ['slow'] });
      const { lease } = await party.next();
      await engine.limit('slow', { rate: { limit: 1, intervalMs: 10 * unit } });
      assert.deepEqual(await party.ids(), ['b']);
      await engine.release(lease);
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: 'a run that has waited for a worker counts from when it begins, and begins only if there is room then',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await engine.limit('slow', { rate: { limit: 1, intervalMs: 4 * unit } });
      for (const id of ['a', 'b', 'c']) await world.submit({ id, lanes: ['slow'] });
      const a = await party.next({ lease: 99 });
      await world.pass(3);
      assert.equal(await engine.start(a.lease), true);
      assert.equal(await engine.start(a.lease), true, 'saying it again changes nothing');
      const { startedAt, submittedAt } = (await engine.get('a'))!;
      assert.ok(startedAt! >= submittedAt + 3 * unit);
      await world.pass(2);
      assert.deepEqual(await party.ids(), [], 'it counts from then');
      await world.pass(2);
      const b = await party.next({ lease: 99 });
      await world.pass(5);
      const c = await party.next({ lease: 99 });
      assert.equal(c.record.id, 'c');
      assert.equal(await engine.start(b.lease), false, 'another one has begun meanwhile');
      await engine.release(b.lease);
      await engine.ack(c.lease, 'null');
      assert.deepEqual(await party.fetch(), []);
      await world.pass(4);
      assert.deepEqual(await party.ids(), ['b']);
      await assert.rejects(engine.start(c.lease), StaleLeaseError);
    },
  },
  {
    name: 'no more run at once than a lane lets, whichever way the others end',
    async run(world) {
      const { engine } = world;
      const [party, dying] = [await world.begin(), await world.begin('dying')];
      await engine.limit('lane', { concurrency: 1 });
      for (let i = 1; i <= 8; i++) await world.submit({ id: `${i}`, lanes: ['lane'] });
      const ends: ((delivery: Delivery) => Promise<unknown>)[] = [
        ({ lease }) => engine.ack(lease, 'null'),
        ({ lease }) => engine.fail(lease, { error: ERROR, then: 'failed' }),
        ({ lease }) => engine.fail(lease, { error: ERROR, then: { retryAfterMs: 99 * world.unit } }),
        ({ lease }) => engine.release(lease, 99 * world.unit),
        () => world.pass(3),
        () => dying.begin(),
        () => engine.end(dying.name, dying.epoch),
      ];
      for (const [i, end] of ends.entries()) {
        const delivery = await dying.next({ lease: 2 });
        assert.deepEqual(await party.fetch(), [], `before end ${i}`);
        party.wakes = 0;
        await end(delivery);
        await world.pass();
        assert.ok(party.wakes > 0, `woken after end ${i}`);
      }
      assert.equal((await party.fetch()).length, 1);
    },
  },
  {
    name: 'a limit by name holds for each key of it by itself',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a1', lanes: ['lane\na'] });
      await engine.limit('lane', { concurrency: 1 });
      await world.submit({ id: 'a2', lanes: ['lane\na'] });
      await world.submit({ id: 'b1', lanes: ['lane\nb'] });
      await world.submit({ id: 'none', lanes: ['lane'] });
      await world.submit({ id: 'other', lanes: ['lanes'] });
      assert.deepEqual(await party.ids(), ['a1', 'b1', 'none', 'other']);
    },
  },
  {
    name: 'a call in several lanes needs them all, and waits in none that is closed in the way of others',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await engine.limit('x', { concurrency: 1 });
      await engine.limit('y', { concurrency: 1 });
      await world.submit({ id: 'y1', lanes: ['y'] });
      await world.submit({ id: 'xy', lanes: ['x', 'y'] });
      await world.submit({ id: 'yx', lanes: ['y', 'x'] });
      await world.submit({ id: 'x1', lanes: ['x'] });
      const [y1, x1] = await party.fetch();
      assert.deepEqual(idsOf([y1!, x1!]), ['y1', 'x1']);
      await engine.ack(y1!.lease, 'null');
      assert.deepEqual(await party.fetch(), []);
      await engine.ack(x1!.lease, 'null');
      assert.equal(await ackNext(world, party), 'xy');
      assert.equal(await ackNext(world, party), 'yx');
    },
  },
  {
    name: 'a lane that is shared is not kept closed by calls that nobody fetches',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await engine.limit('lane', { concurrency: 1 });
      await world.submit({ id: 'elsewhere', queue: 'elsewhere', lanes: ['lane'], priority: 9 });
      await world.submit({ id: 'no room', manager: 'other', lanes: ['lane'], priority: 9 });
      for (const id of ['a', 'b', 'c']) await world.submit({ id, lanes: ['lane'] });
      for (const id of ['a', 'b', 'c']) assert.equal(await ackNext(world, party), id);
    },
  },
  {
    name: 'limits change while calls wait and run: tighter, looser, and not at all',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      for (let i = 1; i <= 9; i++) await world.submit({ id: `${i}`, lanes: ['lane'] });
      const [first, second] = await party.fetch({ max: 2 });
      await engine.limit('lane', { concurrency: 1 });
      await engine.ack(first!.lease, 'null');
      assert.deepEqual(await party.fetch(), [], 'those that ran before count');
      await engine.ack(second!.lease, 'null');
      assert.deepEqual(await party.ids(), ['3']);
      assert.deepEqual(await party.ids(), []);
      party.wakes = 0;
      await engine.limit('lane', { concurrency: 2 });
      await world.pass();
      assert.ok(party.wakes > 0, 'it is woken when the limit is looser');
      assert.deepEqual(await party.ids(), ['4']);
      await engine.limit('lane', { rate: { limit: 1, intervalMs: 90 * unit } });
      assert.deepEqual(await party.ids(), ['5']);
      await engine.limit('lane', { rate: { limit: 2, intervalMs: 99 * unit } });
      assert.deepEqual(await party.ids(), ['6'], 'what was delivered still counts');
      await engine.limit('lane', undefined);
      assert.deepEqual(await party.ids(), ['7', '8', '9']);
    },
  },
  {
    name: 'a limit that makes no sense is refused, and none lets nothing through',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      for (const concurrency of [-1, 1.5, Number.NaN]) {
        await assert.rejects(engine.limit('lane', { concurrency }), RangeError);
        await assert.rejects(engine.limit('lane', { rate: { limit: concurrency, intervalMs: 1 } }), RangeError);
      }
      await assert.rejects(engine.limit('lane', { rate: { limit: 1, intervalMs: 0 } }), RangeError);
      await world.submit({ id: 'a', lanes: ['lane'] });
      await engine.limit('lane', { rate: { limit: 0, intervalMs: world.unit } });
      await world.pass(2);
      assert.deepEqual(await party.fetch(), []);
      await engine.limit('lane', { concurrency: 0 });
      assert.deepEqual(await party.fetch(), []);
      await engine.limit('lane', undefined);
      assert.deepEqual(await party.ids(), ['a']);
    },
  },
];

export const rules: readonly Scenario[] = [...duplicates, ...limits];
