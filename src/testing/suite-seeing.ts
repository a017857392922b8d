/** The engine suite: what is seen of calls, and how long they are kept. */
import assert from 'node:assert/strict';
import { type CallEvent, type Engine, MOST_LOG_LINES, UnknownCallError } from '../engines/index.ts';
import { type EngineWorld, idsOf, type Scenario } from './engine-world.ts';

const ERROR = '{"message":"broken"}';

function textOf(event: CallEvent): string {
  if (event.type === 'log') return event.lines.join();
  if (event.type === 'closed') return 'closed';
  return event.type === 'state' ? event.record.state : `at ${event.record.step}`;
}

/** Has calls of these ids fail, and be kept as dead letters. */
async function bury(world: EngineWorld, ids: readonly string[], call = {}): Promise<void> {
  const party = await world.begin('undertaker');
  for (const id of ids) {
    await world.submit({ id, ...call });
    await world.engine.fail((await party.next()).lease, { error: ERROR, then: 'deadLettered' });
  }
  await world.engine.end(party.name, party.epoch);
}

const seen: readonly Scenario[] = [
  {
    name: 'who watches a call is told of all that happens to it, in order, also if it is yet to be submitted',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      const told: string[] = [];
      const unwatch = engine.watch('a', (event) => told.push(textOf(event)));
      engine.watch('a', () => {
        throw new Error('a watcher is broken');
      });
      engine.watch('b', () => assert.fail('told of another call'));
      await world.submit({ id: 'a', delayMs: unit });
      await world.pass(2);
      const { lease } = await party.next();
      await engine.update(lease, { step: 'one', log: ['line 1', 'line 2'] });
      await engine.fail(lease, { error: ERROR, then: { retryAfterMs: 0 } });
      await engine.ack((await party.next()).lease, 'null');
      await world.pass();
      assert.deepEqual(
        told.filter((text) => !text.startsWith('line')),
        ['submitted', 'scheduled', 'queued', 'started', 'at one', 'queued', 'started', 'completed'],
      );
      assert.ok(told.includes('line 1,line 2'));
      unwatch();
      unwatch();
      await engine.remove({ id: 'a' });
      await world.submit({ id: 'a' });
      await world.pass();
      assert.equal(told.at(-1), 'completed');
    },
  },
  {
    name: 'a record says when its call was queued last: not while it waits for its time',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      const call = await world.submit({ id: 'a', delayMs: unit });
      assert.equal(call.queuedAt, undefined);
      await world.pass(2);
      const first = await party.next();
      assert.ok(first.record.queuedAt! > call.submittedAt);
      await engine.fail(first.lease, { error: ERROR, then: { retryAfterMs: unit } });
      await world.pass(2);
      const second = await party.next();
      assert.ok(second.record.queuedAt! > first.record.queuedAt!);
      assert.ok(second.record.queuedAt! <= second.record.startedAt!);
    },
  },
  {
    name: 'who watches all calls is told of each, beside those who watch one',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      const told: string[] = [];
      const ofOne: string[] = [];
      const unwatch = engine.watch(undefined, (event) => {
        const id = event.type === 'closed' ? '' : event.record.id;
        told.push(`${id} ${textOf(event)}`);
      });
      engine.watch('b', (event) => ofOne.push(textOf(event)));
      await world.submit({ id: 'a' });
      const { lease } = await party.next();
      await engine.update(lease, { log: ['hello'] });
      await world.submit({ id: 'b' });
      await engine.ack(lease, 'null');
      await world.pass();
      const expected = ['a submitted', 'a queued', 'a started', 'a hello', 'b submitted', 'b queued', 'a completed'];
      assert.deepEqual(told, expected);
      assert.deepEqual(ofOne, ['submitted', 'queued']);
      unwatch();
      await world.submit({ id: 'c' });
      await world.pass();
      assert.equal(told.length, expected.length);
    },
  },
  {
    name: 'a watcher that uses the engine from within finds it as it is told',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      const followers: Promise<unknown>[] = [];
      engine.watch('a', (event) => {
        if (event.type === 'state' && event.record.state === 'completed') followers.push(world.submit({ id: 'b' }));
      });
      await world.submit({ id: 'a' });
      await engine.ack((await party.next()).lease, 'null');
      await world.pass();
      await Promise.all(followers);
      assert.deepEqual(await party.ids(), ['b']);
    },
  },
  {
    name: 'what a watcher does from within is told to all after what it was told itself',
    async run(world) {
      const { engine } = world;
      const told: string[] = [];
      engine.watch('a', (event) => {
        if (event.type === 'state' && event.record.state === 'queued') void engine.schedule('a', world.unit);
      });
      engine.watch('a', (event) => told.push(textOf(event)));
      await world.submit({ id: 'a' });
      await world.pass();
      assert.deepEqual(told, ['submitted', 'queued', 'scheduled']);
    },
  },
  {
    name: 'a watcher that has left is told no more, not even of what had happened by then',
    async run(world) {
      const { engine } = world;
      const told: string[] = [];
      engine.watch('a', () => unwatch());
      const unwatch = engine.watch('a', (event) => told.push(textOf(event)));
      await world.submit({ id: 'a' });
      await world.pass();
      assert.deepEqual(told, []);
    },
  },
  {
    name: 'the last lines of a log are kept',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      const { lease } = await party.next();
      for (let i = 0; i < 25; i++)
        await engine.update(lease, { log: Array.from({ length: 100 }, (_, line) => `${100 * i + line}`) });
      const lines = await engine.logs('a');
      assert.equal(lines.length, MOST_LOG_LINES);
      assert.deepEqual([lines[0], lines.at(-1)], [`${2_500 - MOST_LOG_LINES}`, '2499']);
      assert.deepEqual(await engine.logs('nobody'), []);
    },
  },
  {
    name: 'calls are found by all that is known of them, the newest first, page by page',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      for (let i = 0; i < 6; i++) {
        await world.submit({
          id: `${i}`,
          task: i < 3 ? 'x' : 'y',
          version: 1 + (i % 2),
          queue: i === 5 ? 'other' : 'default',
          key: `key${i}`,
          parentId: i > 3 ? '0' : undefined,
        });
      }
      await party.fetch({ max: 2 });
      const ids = async (...args: Parameters<Engine['scan']>) =>
        (await engine.scan(...args)).map(({ id }) => id).join('');
      assert.equal(await ids({}), '543210');
      assert.equal(await ids({ task: 'x' }), '210');
      assert.equal(await ids({ task: 'x', version: 2 }), '1');
      assert.equal(await ids({ queue: 'other' }), '5');
      assert.equal(await ids({ state: 'started' }), '10');
      assert.equal(await ids({ state: ['started', 'queued'] }), '543210');
      assert.equal(await ids({ state: [] }), '');
      assert.equal(await ids({ key: 'key3' }), '3');
      assert.equal(await ids({ parentId: '0' }), '54');
      assert.equal(await ids({ id: ['1', '4', 'nobody', '1'] }), '41');
      assert.equal(await ids({ id: '2', task: 'y' }), '');
      assert.equal(await ids({}, { limit: 2 }), '54');
      assert.equal(await ids({}, { limit: 2, after: '4' }), '32');
      assert.equal(await ids({}, { limit: 9, after: '0' }), '');
      await assert.rejects(engine.scan({}, { after: 'nobody' }), UnknownCallError);
      assert.equal(await ids({ parentId: '0', queue: 'default' }), '4');
      assert.equal(await ids({ parentId: '0' }, { after: '5' }), '4');
      assert.equal(await ids({ parentId: '1' }), '');
      await engine.cancel('5', ERROR);
      await engine.remove({ parentId: '0' });
      assert.equal(await ids({ parentId: '0' }), '4');
      await engine.cancel('4', ERROR);
      assert.deepEqual(await engine.remove({ id: '4' }), ['4']);
      assert.equal(await ids({ parentId: '0' }), '');
      await engine.submitMany(Array.from({ length: 100 }, () => world.call()));
      assert.equal((await engine.scan({})).length, 100);
    },
  },
  {
    name: 'calls are counted by state',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      for (let i = 0; i < 3; i++) await world.submit({ task: 'x' });
      await world.submit({ delayMs: unit });
      await engine.ack((await party.next()).lease, 'null');
      await party.next();
      const some = (counts: object) => Object.entries(counts).filter(([, count]) => count > 0);
      const { queued, started, completed, scheduled, failed } = await engine.count({});
      assert.deepEqual([queued, started, completed, scheduled, failed], [1, 1, 1, 1, 0]);
      assert.deepEqual(some(await engine.count({ task: 'x', state: 'queued' })), [['queued', 1]]);
      assert.deepEqual(some(await engine.count({ task: 'nobody' })), []);
    },
  },
];

const kept: readonly Scenario[] = [
  {
    name: 'ended calls are kept as long as they say, by how they ended; dead letters until somebody removes them',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      const retention = { completedMs: 2 * unit, failedMs: 5 * unit };
      for (const id of ['completed', 'failed', 'dead', 'canceled', 'waiting']) await world.submit({ id, retention });
      const [completed, failed, dead] = await party.fetch({ max: 3 });
      await engine.ack(completed!.lease, 'null');
      await engine.fail(failed!.lease, { error: ERROR, then: 'failed' });
      await engine.fail(dead!.lease, { error: ERROR, then: 'deadLettered' });
      await engine.cancel('canceled', ERROR);
      const ids = async () => (await engine.scan({})).map(({ id }) => id).join();
      assert.equal(await ids(), 'waiting,canceled,dead,failed,completed');
      await world.pass(3);
      assert.equal(await ids(), 'waiting,canceled,dead,failed');
      await world.pass(3);
      assert.equal(await ids(), 'waiting,dead');
      await world.pass(50);
      assert.equal(await ids(), 'waiting,dead');
    },
  },
  {
    name: 'only what has ended is removed, at once',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      for (const id of ['ended', 'started', 'queued']) await world.submit({ id });
      const [ended] = await party.fetch({ max: 2 });
      await engine.ack(ended!.lease, 'null');
      await bury(world, []);
      assert.deepEqual(await engine.remove({ task: 'other' }), []);
      assert.deepEqual(await engine.remove({}), ['ended']);
      await world.assertStates({ ended: undefined, started: 'started', queued: 'queued' });
    },
  },
  {
    name: 'dead letters come to life again, with their attempts or without; nothing else does',
    async run(world) {
      const { engine } = world;
      await bury(world, ['a', 'b', 'c', 'd']);
      const party = await world.begin();
      await world.submit({ id: 'failed' });
      await engine.fail((await party.next()).lease, { error: ERROR, then: 'failed' });
      assert.deepEqual(await engine.resubmit({ state: 'failed' }, { resetAttempts: true }), []);
      assert.deepEqual(await engine.resubmit({ id: 'failed' }, { resetAttempts: true }), []);
      assert.deepEqual(await engine.resubmit({ id: ['a', 'failed'] }, { resetAttempts: true }), ['a']);
      assert.deepEqual((await engine.resubmit({ id: ['b', 'd'] }, { resetAttempts: false })).sort(), ['b', 'd']);
      const { endedAt, error } = (await engine.get('a'))!;
      assert.deepEqual([endedAt, error], [undefined, ERROR]);
      const deliveries = await party.fetch();
      assert.deepEqual(
        deliveries.map(({ record }) => record.id + record.attempt),
        ['a1', 'b2', 'd2'],
      );
      assert.deepEqual(await engine.remove({ state: 'deadLettered' }), ['c']);
      for (const { lease } of deliveries) await engine.ack(lease, 'null');
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: "a dead letter that was to be canceled isn't any more when it comes to life",
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      const { lease } = await party.next();
      await engine.cancel('a', ERROR);
      await engine.fail(lease, { error: ERROR, then: 'deadLettered' });
      await engine.resubmit({}, { resetAttempts: false });
      await engine.fail((await party.next()).lease, { error: ERROR, then: { retryAfterMs: 0 } });
      await world.assertStates({ a: 'queued' });
    },
  },
  {
    name: 'dead letters that come to life wait for others of their key, and are not discarded',
    async run(world) {
      const { engine } = world;
      const call = { key: 'key', onDuplicate: 'discard' };
      await bury(world, ['a', 'b'], call);
      const party = await world.begin();
      await engine.resubmit({}, { resetAttempts: true });
      const running = await party.fetch();
      assert.deepEqual(idsOf(running), ['a']);
      await world.assertStates({ b: 'held' });
      await engine.ack(running[0]!.lease, 'null');
      assert.deepEqual(await party.ids(), ['b']);
    },
  },
  {
    name: 'a dead letter that may run beside others of its key waits for none',
    async run(world) {
      await bury(world, ['a'], { key: 'key' });
      await world.submit({ id: 'b', key: 'key' });
      await world.engine.resubmit({ id: 'a' }, { resetAttempts: false });
      await world.assertStates({ a: 'queued', b: 'queued' });
    },
  },
];

export const seeing: readonly Scenario[] = [...seen, ...kept];
