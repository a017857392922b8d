/** The engine suite: who has a call, and what becomes of it. */
import assert from 'node:assert/strict';
import { CallEndedError, type Failure, StaleLeaseError, UnknownCallError } from '../engines/index.ts';
import type { Scenario } from './engine-world.ts';

const ERROR = '{"message":"broken"}';
const REASON = '{"message":"not wanted"}';
const again: Failure = { error: ERROR, then: { retryAfterMs: 0 } };

export const leases: readonly Scenario[] = [
  {
    name: 'a call that is acknowledged has completed, once and for all; to say so twice is harmless',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      const { record, lease, wasLost, memos } = await party.next();
      assert.deepEqual([record.state, record.attempt, record.consumer, wasLost], ['started', 1, 'worker', false]);
      assert.deepEqual({ ...memos }, {});
      assert.ok(record.startedAt! >= record.submittedAt);
      await engine.ack(lease, '{"a":1}');
      await engine.ack(lease, '{"a":2}');
      const ended = (await engine.get('a'))!;
      assert.deepEqual([ended.state, ended.output], ['completed', '{"a":1}']);
      assert.ok(ended.endedAt! >= ended.startedAt!);
      await assert.rejects(engine.fail(lease, again), StaleLeaseError);
      await assert.rejects(engine.release(lease), StaleLeaseError);
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: 'who comes with another token, another epoch or another call is refused, and nothing has changed',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      await world.submit({ id: 'b' });
      const [a, b] = await party.fetch();
      const wrong = [
        { ...a!.lease, token: b!.lease.token },
        { ...a!.lease, epoch: a!.lease.epoch - 1 },
        { ...a!.lease, id: 'nobody' },
      ];
      for (const lease of wrong) {
        await assert.rejects(engine.ack(lease, 'null'), StaleLeaseError);
        await assert.rejects(engine.fail(lease, again), StaleLeaseError);
        await assert.rejects(engine.release(lease), StaleLeaseError);
        await assert.rejects(engine.update(lease, { step: 'stolen' }), StaleLeaseError);
      }
      assert.deepEqual(await engine.renew([...wrong, a!.lease], 1_000 * world.unit), wrong);
      assert.equal((await engine.get('a'))?.step, undefined);
      await engine.ack(a!.lease, 'null');
      await engine.ack(b!.lease, 'null');
    },
  },
  {
    name: 'a lease that expires is void: the call is delivered again as lost, and the late one is refused whatever it says',
    async run(world) {
      const { engine } = world;
      const [slow, other] = [await world.begin('slow'), await world.begin('other')];
      await world.submit({ id: 'a' });
      const late = await slow.next({ lease: 2 });
      await world.pass(1);
      assert.deepEqual(await other.fetch(), []);
      await world.pass(2);
      const { record, lease, wasLost } = await other.next();
      assert.deepEqual([record.id, record.attempt, record.consumer, wasLost], ['a', 2, 'other', true]);
      await assert.rejects(engine.ack(late.lease, '"late"'), { name: 'StaleLeaseError', message: /\ba\b.*started/ });
      await assert.rejects(engine.fail(late.lease, again), StaleLeaseError);
      await assert.rejects(engine.release(late.lease), StaleLeaseError);
      await assert.rejects(engine.update(late.lease, { log: ['late'] }), StaleLeaseError);
      assert.deepEqual(await engine.renew([late.lease], world.unit), [late.lease]);
      await world.assertStates({ a: 'started' });
      await engine.ack(lease, '"ours"');
      await assert.rejects(engine.ack(late.lease, '"late"'), StaleLeaseError);
      assert.equal((await engine.get('a'))?.output, '"ours"');
    },
  },
  {
    name: 'a lease that is renewed in time lasts, however long the task runs',
    async run(world) {
      const { engine, unit } = world;
      const [party, thief] = [await world.begin(), await world.begin('thief')];
      await world.submit({ id: 'a' });
      const { lease } = await party.next({ lease: 3 });
      for (let i = 0; i < 5; i++) {
        await world.pass(1);
        assert.deepEqual(await engine.renew([lease], 3 * unit), []);
        assert.deepEqual(await thief.fetch(), []);
      }
      await engine.ack(lease, 'null');
      assert.deepEqual(await engine.renew([lease], unit), [lease]);
    },
  },
  {
    name: 'a consumer that begins anew has a greater epoch, and what its former life had is void',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      const old = await party.next();
      const { epoch } = party;
      await party.begin();
      assert.ok(party.epoch > epoch);
      await assert.rejects(engine.ack(old.lease, 'null'), StaleLeaseError);
      party.epoch--;
      await assert.rejects(party.fetch(), StaleLeaseError);
      party.epoch++;
      const { record, wasLost } = await party.next();
      assert.deepEqual([record.id, record.attempt, wasLost], ['a', 2, true]);
      await engine.end(party.name, epoch);
      await world.assertStates({ a: 'started' });
    },
  },
  {
    name: 'what a consumer has at its end waits to be fetched again; its epochs are never used again',
    async run(world) {
      const { engine } = world;
      const [party, other] = [await world.begin(), await world.begin('other')];
      await world.submit({ id: 'a' });
      const { lease } = await party.next();
      const { epoch } = party;
      await engine.end(party.name, epoch);
      await engine.end(party.name, epoch);
      await assert.rejects(party.fetch(), StaleLeaseError);
      await assert.rejects(engine.ack(lease, 'null'), StaleLeaseError);
      assert.deepEqual(await other.ids(), ['a']);
      await party.begin();
      assert.ok(party.epoch > epoch);
      await assert.rejects(engine.fetch({ consumer: 'nobody', epoch: 1, queues: [], max: 1, room: {}, leaseMs: 1 }));
    },
  },
  {
    name: 'a call that is handed back is as if it had not been delivered: no attempt is spent, at once or after a while',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      const first = await party.next();
      await engine.release(first.lease);
      await engine.release(first.lease);
      const { attempt, startedAt } = (await engine.get('a'))!;
      assert.deepEqual([attempt, startedAt], [0, undefined]);
      const second = await party.next();
      assert.deepEqual([second.record.attempt, second.wasLost], [1, false]);
      await engine.release(second.lease, 2 * unit);
      await world.assertStates({ a: 'scheduled' });
      assert.deepEqual(await party.fetch(), []);
      await world.pass(3);
      assert.equal((await party.next()).record.attempt, 1);
    },
  },
  {
    name: 'a failed run ends its call as is said, with its error',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      for (const then of ['failed', 'timedOut', 'canceled', 'stalled', 'deadLettered'] as const) {
        await world.submit({ id: then });
        const { lease } = await party.next();
        await engine.fail(lease, { error: ERROR, then });
        await engine.fail(lease, { error: '{"message":"again"}', then });
        const { state, error, endedAt } = (await engine.get(then))!;
        assert.deepEqual([state, error], [then, ERROR]);
        assert.ok(endedAt !== undefined);
        await assert.rejects(engine.ack(lease, 'null'), StaleLeaseError);
      }
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: 'a run can be tried again at once or after a pause, which holds up no shorter one',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      for (const id of ['a', 'b', 'c']) await world.submit({ id });
      const [a, b, c] = await party.fetch();
      await engine.fail(a!.lease, { error: ERROR, then: { retryAfterMs: 5 * unit } });
      await engine.fail(b!.lease, { error: ERROR, then: { retryAfterMs: 2 * unit } });
      await engine.fail(c!.lease, again);
      await engine.fail(c!.lease, again);
      await world.assertStates({ a: 'scheduled', b: 'scheduled', c: 'queued' });
      assert.ok((await engine.get('a'))!.dueAt! > (await engine.get('b'))!.dueAt!);
      const { record, wasLost } = await party.next();
      assert.deepEqual([record.id, record.attempt, record.error, wasLost], ['c', 2, ERROR, false]);
      assert.deepEqual(await party.fetch(), []);
      await world.pass(3);
      assert.deepEqual(await party.ids(), ['b']);
      await world.pass(3);
      assert.deepEqual(await party.ids(), ['a']);
    },
  },
  {
    name: 'what a run says of itself is kept: where it is, how far, and for the attempts to come',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      const { lease } = await party.next();
      await engine.update(lease, { step: 'step 1', progress: '{"done":1}' });
      await engine.update(lease, { memo: { key: 'first', value: '1' } });
      await engine.update(lease, { memo: { key: '__proto__', value: '2' }, log: ['one', 'two'] });
      await engine.update(lease, {});
      const record = (await engine.get('a'))!;
      assert.deepEqual([record.step, record.progress], ['step 1', '{"done":1}']);
      assert.ok(record.heartbeatAt! >= record.startedAt!);
      await engine.fail(lease, again);
      const second = await party.next();
      assert.deepEqual([second.record.step, second.record.progress], [undefined, undefined], 'it begins anew');
      assert.deepEqual(Object.entries(second.memos).sort(), [
        ['__proto__', '2'],
        ['first', '1'],
      ]);
      await engine.ack(second.lease, 'null');
      assert.deepEqual(await engine.logs('a'), ['one', 'two']);
      await assert.rejects(engine.update(second.lease, { step: 'late' }), StaleLeaseError);
    },
  },
  {
    name: 'a call that nobody has is canceled at once, and never delivered',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      const serial = { key: 'k', onDuplicate: 'serial' } as const;
      await world.submit({ id: 'queued', ...serial });
      await world.submit({ id: 'held', ...serial });
      await world.submit({ id: 'scheduled', delayMs: unit });
      for (const id of ['held', 'queued', 'scheduled']) {
        assert.equal(await engine.cancel(id, REASON), 'canceled');
        const { state, error, endedAt, startedAt } = (await engine.get(id))!;
        assert.deepEqual([state, error, startedAt], ['canceled', REASON, undefined]);
        assert.ok(endedAt !== undefined);
      }
      await world.pass(2);
      assert.deepEqual(await party.fetch(), []);
      await assert.rejects(engine.cancel('held', REASON), { name: 'CallEndedError', message: /held.*canceled/ });
      await assert.rejects(engine.cancel('nobody', REASON), UnknownCallError);
    },
  },
  {
    name: 'who has a call that is to be canceled is told, and may still complete it',
    async run(world) {
      const { engine } = world;
      const [party, other] = [await world.begin(), await world.begin('other')];
      await world.submit({ id: 'a' });
      const { lease } = await party.next();
      assert.equal(await engine.cancel('a', REASON), 'requested');
      await world.pass();
      assert.deepEqual(party.canceled, [{ id: 'a', error: REASON }]);
      assert.equal(await engine.cancel('a', '{"message":"still not"}'), 'requested');
      await world.pass();
      assert.deepEqual(party.canceled[1], { id: 'a', error: REASON }, 'told again, and why at first');
      assert.deepEqual(other.canceled, []);
      const { state, cancelRequested } = (await engine.get('a'))!;
      assert.deepEqual([state, cancelRequested], ['started', true]);
      await engine.ack(lease, '1');
      await world.assertStates({ a: 'completed' });
      await assert.rejects(engine.cancel('a', REASON), CallEndedError);
    },
  },
  {
    name: 'a call that is to be canceled never runs again: not after a loss, a release, or a failure to be tried again',
    async run(world) {
      const { engine } = world;
      const [party, dying] = [await world.begin(), await world.begin('dying')];
      for (const id of ['lost', 'released', 'failed', 'ended']) await world.submit({ id });
      const [, released, failed] = await party.fetch({ max: 3, lease: 2 });
      await dying.next();
      for (const id of ['lost', 'released', 'failed', 'ended']) await engine.cancel(id, REASON);
      await engine.release(released!.lease);
      await engine.fail(failed!.lease, again);
      await engine.end(dying.name, dying.epoch);
      await world.pass(3);
      for (const id of ['lost', 'released', 'failed', 'ended']) {
        const { state, error } = (await engine.get(id))!;
        assert.deepEqual([id, state, error], [id, 'canceled', REASON]);
      }
      assert.deepEqual(await party.fetch(), []);
    },
  },
  {
    name: 'a late word on a call that is forgotten is refused, and harms nobody',
    async run(world) {
      const { engine } = world;
      const party = await world.begin();
      await world.submit({ id: 'a', retention: { completedMs: 0, failedMs: 0 } });
      const { lease } = await party.next();
      await engine.ack(lease, 'null');
      assert.equal(await engine.get('a'), undefined);
      await assert.rejects(engine.fail(lease, again), { name: 'StaleLeaseError', message: /\ba\b/ });
      await assert.rejects(engine.cancel('a', REASON), UnknownCallError);
    },
  },
];
