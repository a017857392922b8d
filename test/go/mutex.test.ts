import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Mutex, NotHeldError } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, range, rejectsWith } from './waiting.ts';

const why = new Error('why');

describe('a mutex', () => {
  test(
    'has one holder at a time, among many who hammer at it',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      let holders = 0;
      let count = 0;
      await Promise.all(
        range(0, 10).map(async (worker) => {
          for (const round of range(0, 100)) {
            const permit = (round + worker) % 3 === 0 ? mutex.tryLock() : await mutex.lock();
            if (permit === undefined) continue;
            using _ = permit;
            assert.equal(++holders, 1);
            const read = count;
            if (round % 2 === 0) await turn();
            else await Promise.resolve();
            count = read + 1;
            holders--;
          }
        }),
      );
      assert.ok(count > 600);
      assert.equal(mutex.locked, false);
    }),
  );

  test(
    'lets in those who wait in the order in which they came',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const order: number[] = [];
      const held = await mutex.lock();
      const all = range(0, 100).map(async (i) => {
        using _ = await mutex.lock();
        order.push(i);
        if (i % 10 === 0) await turn();
      });
      held.release();
      await Promise.all(all);
      assert.deepEqual(order, range(0, 100));
    }),
  );

  test(
    'one who lets go and comes again stands at the end of the line: a greedy one starves nobody',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      let rounds = 0;
      let stopped = false;
      const greedy = (async () => {
        while (!stopped && rounds < 1_000) {
          using _ = await mutex.lock();
          rounds++;
          await turn();
        }
      })();
      for (const _ of range(0, 10)) {
        using _permit = await mutex.lock();
      }
      stopped = true;
      await greedy;
      assert.ok(rounds <= 12, `${rounds} rounds for 10 locks of the other`);
    }),
  );

  test(
    'tryLock has it or not, at once; locked says so',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      assert.equal(mutex.locked, false);
      const permit = mutex.tryLock();
      assert.ok(permit);
      assert.equal(mutex.locked, true);
      assert.equal(mutex.tryLock(), undefined);
      const waiting = mutex.lock();
      permit.release();
      assert.equal(mutex.locked, true, 'it went to who waits, at once');
      assert.equal(mutex.tryLock(), undefined);
      (await waiting).release();
      assert.equal(mutex.locked, false);
      mutex.tryLock()!.release();
    }),
  );

  test(
    'only what lock gave unlocks, and once; the end of a block after that is quiet',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const first = await mutex.lock();
      first.release();
      {
        using second = await mutex.lock();
        assert.throws(() => first.release(), NotHeldError);
        first[Symbol.dispose]();
        assert.equal(mutex.locked, true, 'another holds it');
        second.release();
      }
      assert.equal(mutex.locked, false);
    }),
  );

  test(
    'isn’t reentrant: who locks twice waits for himself',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      using permit = await mutex.lock();
      const again = mutex.lock();
      await settle();
      assert.equal(await stateOf(again), 'pending');
      permit.release();
      await again;
    }),
  );

  test(
    'a block left by a throw unlocks',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const failing = async () => {
        using _ = await mutex.lock();
        throw why;
      };
      await rejectsWith(failing(), why);
      assert.equal(mutex.locked, false);
    }),
  );

  for (const [kind, make] of ENDERS) {
    test(
      `${kind} ends a wait for it, and who waits behind moves up`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const mutex = new Mutex();
        const held = await mutex.lock({ signal });
        const waiting = mutex.lock({ signal });
        const next = mutex.lock();
        fire(why);
        await rejectsWith(waiting, why);
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
        assert.equal(mutex.locked, true, 'what was locked before stays so');
        held.release();
        (await next).release();
        await rejectsWith(mutex.lock({ signal }), why);
        assert.equal(mutex.locked, false);
      }),
    );

    test(
      `${kind} that fires in the turn of the grant: the lock goes on to the next`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const mutex = new Mutex();
        const held = await mutex.lock();
        const [granted, next] = [mutex.lock({ signal }), mutex.lock()];
        held.release();
        fire(why);
        await rejectsWith(granted, why);
        (await next).release();
        assert.equal(mutex.locked, false);
      }),
    );
  }
});
