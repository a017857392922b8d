/** The engine suite: what those who share an engine have in common beside calls, and its end. */
import assert from 'node:assert/strict';
import type { Scenario } from './engine-world.ts';

const ERROR = '{"message":"broken"}';

export const sharing: readonly Scenario[] = [
  {
    name: 'a note is written only over what its writer has read, and doing that twice is harmless',
    async run({ engine }) {
      assert.equal(await engine.read('note'), undefined);
      assert.equal(await engine.write('note', 'one', 'something'), false);
      assert.equal(await engine.write('note', 'one', undefined), true);
      assert.equal(await engine.write('note', 'one', undefined), true);
      assert.equal(await engine.write('note', 'two', undefined), false);
      assert.equal(await engine.read('note'), 'one');
      assert.equal(await engine.read('other'), undefined);
      assert.equal(await engine.write('note', '', 'one'), true);
      assert.equal(await engine.read('note'), '');
      assert.equal(await engine.write('note', undefined, ''), true);
      assert.equal(await engine.write('note', undefined, ''), true);
      assert.equal(await engine.read('note'), undefined);
    },
  },
  {
    name: 'of many who write a note over the same, one does',
    async run({ engine }) {
      const writers = Array.from({ length: 20 }, (_, index) => engine.write('note', `by ${index}`, undefined));
      const wins = (await Promise.all(writers)).flatMap((hasWon, index) => (hasWon ? [`by ${index}`] : []));
      assert.deepEqual(wins, [await engine.read('note')]);
    },
  },
  {
    name: 'it knows which consumers are alive',
    async run(world) {
      const { engine } = world;
      const [a, b] = [await world.begin('a'), await world.begin('b')];
      await b.begin();
      assert.deepEqual([...(await engine.consumers())].sort(), ['a', 'b']);
      await engine.end(a.name, a.epoch);
      assert.deepEqual(await engine.consumers(), ['b']);
    },
  },
  {
    name: 'a lock has one holder, until it is released or not renewed; tokens grow',
    async run(world) {
      const { engine, unit } = world;
      const first = (await engine.lock('leader', 'a', 3 * unit))!;
      assert.equal(await engine.lock('leader', 'b', unit), undefined);
      const other = (await engine.lock('other', 'b', unit))!;
      assert.ok(other !== undefined);
      await world.pass(2);
      assert.equal(await first.renew(3 * unit), true);
      await world.pass(2);
      assert.equal(await engine.lock('leader', 'b', unit), undefined);
      await world.pass(2);
      const second = (await engine.lock('leader', 'b', 50 * unit))!;
      assert.ok(second.token > first.token);
      assert.equal(await first.renew(unit), false);
      await first.release();
      assert.equal(await engine.lock('leader', 'c', unit), undefined);
      await second.release();
      assert.ok((await engine.lock('leader', 'c', unit))!.token > second.token);
    },
  },
  {
    name: 'every consumer is told once what is broadcast, the living ones only',
    async run(world) {
      const { engine } = world;
      const [a, b, gone] = [await world.begin('a'), await world.begin('b'), await world.begin('gone')];
      await engine.end(gone.name, gone.epoch);
      await engine.broadcast('hello');
      await world.pass();
      assert.deepEqual([a.messages, b.messages, gone.messages], [['hello'], ['hello'], []]);
    },
  },
  {
    name: 'an engine that is well says so; one that is closed refuses everything',
    async run(world) {
      const { engine, unit } = world;
      const party = await world.begin();
      await world.submit({ id: 'a' });
      await world.submit({ id: 'b', delayMs: unit });
      const { lease } = await party.next();
      const lock = (await engine.lock('lock', 'a', 9 * unit))!;
      await engine.selfCheck();
      await engine.close();
      await engine.close();
      const refused: (() => unknown)[] = [
        () => world.submit(),
        () => engine.submitMany([]),
        () => engine.begin('c', party),
        () => engine.end('worker', party.epoch),
        () => party.fetch(),
        () => engine.renew([lease], 1),
        () => engine.ack(lease, 'null'),
        () => engine.fail(lease, { error: ERROR, then: 'failed' }),
        () => engine.release(lease),
        () => engine.update(lease, {}),
        () => engine.cancel('a', ERROR),
        () => engine.schedule('b', 1),
        () => engine.get('a'),
        () => engine.logs('a'),
        () => engine.watch('a', () => {}),
        () => engine.watch(undefined, () => {}),
        () => engine.scan({}),
        () => engine.count({}),
        () => engine.resubmit({}, { resetAttempts: false }),
        () => engine.remove({}),
        () => engine.limit('lane', { concurrency: 1 }),
        () => engine.read('note'),
        () => engine.write('note', 'one', undefined),
        () => engine.consumers(),
        () => engine.lock('lock', 'a', 1),
        () => lock.renew(1),
        () => lock.release(),
        () => engine.broadcast('hello'),
        () => engine.selfCheck(),
      ];
      for (const call of refused) await assert.rejects(async () => call(), String(call));
    },
  },
];
