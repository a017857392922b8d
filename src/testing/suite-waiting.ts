/** The engine suite: how calls are submitted, wait, and are fetched. */
import assert from 'node:assert/strict';
import { CallEndedError, UnknownCallError } from '../engines/index.ts';
import { idsOf, type Scenario } from './engine-world.ts';

const REASON = '{"message":"why"}';

export const waiting: readonly Scenario[] = [
  {
    name: 'a call is stored as it is submitted, and what it carries is not touched',
    async run(world) {
      const { engine } = world;
      const call = world.call({
        task: 'image.resize',
        version: 7,
        queue: 'images',
        priority: -2.5,
        manager: 'gpu',
        input: JSON.stringify({ text: 'line\nline\u2028 "ä" \u{1f991} \0', big: 'x'.repeat(100_000) }),
        context: '{"headers":{}}',
        parentId: 'parent',
        lanes: ['resize', 'resize\ntenant: 1, "2"'],
        key: 'a\nkey',
        onDuplicate: 'serial',
        retention: { completedMs: 1, failedMs: Infinity },
        overrides: '{"attempts":3}',
      });
      const record = await engine.submit(call);
      const { state, attempt, submittedAt, cancelRequested, ...rest } = record;
      assert.deepEqual({ state, attempt, cancelRequested }, { state: 'queued', attempt: 0, cancelRequested: false });
      assert.ok(submittedAt >= engine.clock.timeOrigin);
      for (const [name, value] of Object.entries(call)) assert.deepEqual(rest[name as keyof typeof rest], value, name);
      assert.deepEqual(await engine.get(call.id), record);
      const party = await world.begin();
      const [delivery] = await party.fetch({ queues: [{ name: 'images', max: 1 }], room: { gpu: 1 } });
      assert.deepEqual(delivery!.record.input, call.input);
      assert.equal(await engine.get('nobody'), undefined);
    },
  },
  {
    name: 'a second submission with an id that is taken is the first one again',
    async run(world) {
      const { engine } = world;
      const first = await world.submit({ id: 'mine', input: '1' });
      assert.deepEqual(await world.submit({ id: 'mine', input: '2', queue: 'other' }), first);
      const party = await world.begin();
      const delivery = await party.next();
      assert.deepEqual(await party.fetch({ queues: [{ name: 'other', max: 1 }] }), []);
      await engine.ack(delivery.lease, '"done"');
      const again = await world.submit({ id: 'mine' });
      assert.deepEqual([again.state, again.output], ['completed', '"done"']);
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: 'many calls are submitted in one step, in their order, and those with one id are one',
    async run(world) {
      const calls = ['a', 'b', 'a', 'c'].map((id, i) => world.call({ id, input: String(i) }));
      const records = await world.engine.submitMany(calls);
      assert.deepEqual(
        records.map(({ id, input }) => id + input),
        ['a0', 'b1', 'a0', 'c3'],
      );
      assert.deepEqual(await (await world.begin()).ids(), ['a', 'b', 'c']);
      assert.deepEqual(await world.engine.submitMany([]), []);
    },
  },
  {
    name: 'many that are submitted in one step are given as they stand after it',
    async run(world) {
      const twin = { key: 'key', onDuplicate: 'queueOne' } as const;
      const forgotten = { completedMs: 0, failedMs: 0 };
      const [kept, unkept] = [world.call({ id: 'kept', ...twin }), world.call({ ...twin, retention: forgotten })];
      const records = await world.engine.submitMany([world.call(twin), kept, unkept, world.call(twin)]);
      assert.deepEqual(
        records.map(({ state }) => state),
        ['queued', 'discarded', 'discarded', 'held'],
      );
      assert.deepEqual(records[1], await world.engine.get('kept'));
    },
  },
  {
    name: 'what is given out is a copy',
    async run(world) {
      const record = await world.submit({ id: 'a', lanes: ['lane'] });
      Object.assign(record, { state: 'completed', input: 'changed' });
      await world.assertStates({ a: 'queued' });
      assert.equal((await world.engine.get('a'))?.input, 'null');
    },
  },
  {
    name: 'a delayed call waits for its time, a short delay not behind a long one, and one of less than a ms too',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      const long = await world.submit({ id: 'long', delayMs: 5 * unit });
      assert.equal(long.state, 'scheduled');
      assert.equal(long.dueAt, long.submittedAt + 5 * unit);
      await world.submit({ id: 'short', delayMs: 2 * unit });
      const least = await world.submit({ id: 'least', delayMs: 0.25 });
      assert.equal(least.state, 'scheduled');
      assert.deepEqual(await party.fetch(), []);
      await world.pass(1);
      assert.deepEqual(await party.ids(), ['least']);
      await world.pass(2);
      assert.deepEqual(await party.ids(), ['short']);
      assert.equal((await engine.get('short'))?.dueAt, undefined);
      await world.pass(3);
      assert.deepEqual(await party.ids(), ['long']);
    },
  },
  {
    name: 'higher priorities go first, then what was submitted first, also after a retry, a release or a delay',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await world.submit({ id: 'delayed', delayMs: unit });
      for (const id of ['a', 'b', 'c', 'd']) await world.submit({ id });
      await world.submit({ id: 'urgent', priority: 1 });
      await world.submit({ id: 'later', priority: -1 });
      const [urgent, a, b] = await party.fetch({ max: 3 });
      assert.deepEqual(idsOf([urgent!, a!, b!]), ['urgent', 'a', 'b']);
      await engine.release(b!.lease);
      await engine.fail(a!.lease, { error: REASON, then: { retryAfterMs: 0 } });
      await world.submit({ id: 'e' });
      await world.pass(2);
      assert.deepEqual(await party.ids(), ['delayed', 'a', 'b', 'c', 'd', 'e', 'later']);
    },
  },
  {
    name: 'queues are taken from in the order of the request, each up to its most, and up to the most of all',
    async run(world) {
      const party = await world.begin();
      for (const queue of ['low', 'high', 'other'])
        for (let i = 1; i <= 4; i++)
          await world.submit({ id: `${queue}${i}`, queue, priority: queue === 'low' ? 9 : 0 });
      const queues = [
        { name: 'high', max: 3 },
        { name: 'none', max: 9 },
        { name: 'low', max: 9 },
      ];
      assert.deepEqual(await party.ids({ queues, max: 5 }), ['high1', 'high2', 'high3', 'low1', 'low2']);
      assert.deepEqual(await party.ids({ queues, max: 0 }), []);
      assert.deepEqual(await party.ids({ queues: [], max: 9 }), []);
      assert.deepEqual(await party.ids({ queues }), ['high4', 'low3', 'low4']);
    },
  },
  {
    name: 'no more is fetched than there is room for on each manager, and one without room holds up no other',
    async run(world) {
      const party = await world.begin();
      for (let i = 1; i <= 3; i++) await world.submit({ id: `gpu${i}`, manager: 'gpu', priority: 9 });
      for (let i = 1; i <= 3; i++) await world.submit({ id: `cpu${i}`, manager: 'cpu' });
      assert.deepEqual(await party.ids({ room: { cpu: 2 } }), ['cpu1', 'cpu2']);
      assert.deepEqual(await party.ids({ room: { gpu: 1, cpu: 0 } }), ['gpu1']);
      assert.deepEqual(await party.ids({ room: {} }), []);
      assert.deepEqual(await party.ids({ room: { gpu: 9, cpu: 9 } }), ['gpu2', 'gpu3', 'cpu3']);
    },
  },
  {
    name: 'many who fetch at once never get the same call, and between them get all',
    async run(world) {
      const parties = await Promise.all(['a', 'b', 'c'].map((name) => world.begin(name)));
      await world.engine.submitMany(Array.from({ length: 60 }, () => world.call()));
      const fetched = await Promise.all(Array.from({ length: 30 }, (_, i) => parties[i % 3]!.ids({ max: 3 })));
      const ids = fetched.flat();
      assert.equal(ids.length, 60);
      assert.equal(new Set(ids).size, 60);
    },
  },
  {
    name: 'consumers are woken when there is something new, when a delay is over, and when a call comes back',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      const woken = async (what: string) => {
        await world.pass();
        assert.ok(party.wakes > 0, what);
        party.wakes = 0;
      };
      await world.submit({ id: 'a' });
      await woken('after a submission');
      const { lease } = await party.next();
      await engine.release(lease);
      await woken('after a release');
      const again = await party.next({ lease: 3 });
      await world.submit({ id: 'b', delayMs: unit });
      await world.pass(2);
      await woken('when a delay is over');
      assert.deepEqual(await party.ids(), ['b']);
      await world.pass(2);
      await woken('when a lease has expired');
      await assert.rejects(engine.ack(again.lease, 'null'));
    },
  },
  {
    name: 'a call that nobody was woken for is there for who looks',
    async run(world) {
      await world.submit({ id: 'a' });
      assert.deepEqual(await (await world.begin()).ids(), ['a']);
    },
  },
  {
    name: 'a call that waits can be had sooner, later or at once; one that has begun or ended can not',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await world.submit({ id: 'sooner', delayMs: 50 * unit });
      await world.submit({ id: 'at once', delayMs: 50 * unit });
      await world.submit({ id: 'later' });
      assert.equal((await engine.schedule('sooner', 2 * unit)).state, 'scheduled');
      assert.equal((await engine.schedule('at once', 0)).state, 'queued');
      const later = await engine.schedule('later', 4 * unit);
      assert.equal(later.state, 'scheduled');
      assert.ok(later.dueAt! >= later.submittedAt + 4 * unit);
      const { record, lease } = await party.next();
      assert.equal(record.id, 'at once');
      assert.deepEqual(await party.fetch(), []);
      await assert.rejects(engine.schedule('at once', 1), CallEndedError);
      await engine.ack(lease, 'null');
      await assert.rejects(engine.schedule('at once', 1), { name: 'CallEndedError', message: /at once.*completed/ });
      await assert.rejects(engine.schedule('nobody', 1), UnknownCallError);
      await world.pass(3);
      assert.deepEqual(await party.ids(), ['sooner']);
      await world.pass(2);
      assert.deepEqual(await party.ids(), ['later']);
    },
  },
];
