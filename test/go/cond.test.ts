import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cond, Mutex, NotHeldError, type WaitOptions } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, range, rejectsWith } from './waiting.ts';

const why = new Error('why');

/** Many who wait under the mutex, and note when they go on. */
function waiters(cond: Cond, mutex: Mutex, count: number): { order: number[]; all: Promise<void>[] } {
  const order: number[] = [];
  const all = range(0, count).map(async (i) => {
    using _ = await mutex.lock();
    await cond.wait();
    assert.equal(mutex.locked, true);
    order.push(i);
  });
  return { order, all };
}

describe('a condition', () => {
  test(
    'signal wakes one, the one that has waited longest; with nobody there it is forgotten',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const cond = new Cond(mutex);
      cond.signal();
      cond.broadcast();
      const { order, all } = waiters(cond, mutex, 10);
      await settle();
      assert.deepEqual(order, []);
      for (const i of range(0, 10)) {
        cond.signal();
        await settle();
        assert.deepEqual(order, range(0, i + 1));
      }
      await Promise.all(all);
      assert.equal(mutex.locked, false);
    }),
  );

  test(
    'broadcast wakes all, in order, one after the other under the mutex',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const cond = new Cond(mutex);
      const { order, all } = waiters(cond, mutex, 100);
      await settle();
      {
        using _ = await mutex.lock();
        cond.broadcast();
        await settle();
        assert.deepEqual(order, [], 'as long as the mutex is held');
      }
      await Promise.all(all);
      assert.deepEqual(order, range(0, 100));
    }),
  );

  test(
    'a broadcast doesn’t reach those who wait again',
    withLeakCheck(async () => {
      const cond = new Cond();
      let wakes = 0;
      const controller = new AbortController();
      const loop = (async () => {
        for (;;) {
          await cond.wait({ signal: controller.signal });
          wakes++;
        }
      })();
      await settle();
      for (const i of range(1, 4)) {
        cond.broadcast();
        await settle();
        assert.equal(wakes, i);
      }
      controller.abort(why);
      await rejectsWith(loop, why);
    }),
  );

  test(
    'wait unlocks meanwhile, and goes on only when it has the lock again',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const cond = new Cond(mutex);
      using permit = await mutex.lock();
      const waiting = cond.wait();
      assert.equal(mutex.locked, false, 'at once');
      const other = await mutex.lock();
      cond.signal();
      await settle();
      assert.equal(await stateOf(waiting), 'pending');
      other.release();
      await waiting;
      assert.equal(mutex.locked, true);
      permit.release(); // by the same permit as before
      assert.equal(mutex.locked, false);
    }),
  );

  test(
    'a queue of jobs: nobody takes one that isn’t there, and all are taken',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const changed = new Cond(mutex);
      const jobs: number[] = [];
      const taken: number[] = [];
      const workers = range(0, 4).map(async () => {
        for (let i = 0; i < 25; i++) {
          using _ = await mutex.lock();
          while (jobs.length === 0) await changed.wait();
          taken.push(jobs.shift()!);
        }
      });
      for (const i of range(0, 100)) {
        using _ = await mutex.lock();
        jobs.push(i);
        changed.signal();
      }
      await Promise.all(workers);
      assert.deepEqual(taken, range(0, 100));
    }),
  );

  test(
    'without a mutex just waits',
    withLeakCheck(async () => {
      const cond = new Cond();
      const all = range(0, 3).map(() => cond.wait());
      cond.signal();
      await all[0];
      assert.equal(await stateOf(all[1]!), 'pending');
      cond.broadcast();
      await Promise.all(all);
    }),
  );

  test(
    'wait without the lock held rejects, and nobody waits',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      const cond = new Cond(mutex);
      await assert.rejects(cond.wait(), NotHeldError);
      using _ = await mutex.lock();
      const waiting = cond.wait();
      cond.signal();
      await waiting;
    }),
  );

  for (const [kind, make] of ENDERS) {
    test(
      `${kind} ends the wait, with the lock held again, and takes nobody’s turn`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const mutex = new Mutex();
        const cond = new Cond(mutex);
        const other = waiters(cond, mutex, 1);
        await settle();
        const permit = await mutex.lock();
        const waiting = cond.wait({ signal });
        const holder = await mutex.lock();
        fire(why);
        await settle();
        assert.equal(await stateOf(waiting), 'pending', 'not before it has the lock');
        holder.release();
        await rejectsWith(waiting, why);
        assert.equal(mutex.locked, true);
        permit.release();
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
        cond.signal();
        await Promise.all(other.all);
        assert.deepEqual(other.order, [0]);
      }),
    );

    test(
      `${kind} that has fired: the wait isn’t begun, and the lock stays held`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        fire(why);
        const mutex = new Mutex();
        const cond = new Cond(mutex);
        using _ = await mutex.lock();
        const waiting = cond.wait({ signal });
        assert.equal(mutex.locked, true);
        await rejectsWith(waiting, why);
        assert.equal(mutex.locked, true);
      }),
    );

    test(
      `${kind} that fires after the wake, while the lock is awaited, comes too late`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const mutex = new Mutex();
        const cond = new Cond(mutex);
        using _ = await mutex.lock();
        const waiting = cond.wait({ signal });
        const other = await mutex.lock();
        cond.signal();
        fire(why);
        other.release();
        await waiting;
        assert.equal(mutex.locked, true);
      }),
    );
  }

  test(
    'a signal that is none is refused, with the lock still held',
    withLeakCheck(async () => {
      const mutex = new Mutex();
      using _ = await mutex.lock();
      await assert.rejects(new Cond(mutex).wait({ signal: 5 } as unknown as WaitOptions), TypeError);
      assert.equal(mutex.locked, true);
    }),
  );
});
