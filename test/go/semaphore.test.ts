import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { show } from '../../src/go/checks.ts';
import { background, NotHeldError, type Permit, Semaphore, type WaitOptions, withCancel } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, range, rejectsWith, seeded } from './waiting.ts';

const why = new Error('why');

/** Notes in which order promises of permits come. */
function noting(order: string[]) {
  return (name: string, promise: Promise<Permit>): Promise<Permit> =>
    promise.then((permit) => {
      order.push(name);
      return permit;
    });
}

describe('a semaphore', () => {
  test(
    'gives as many permits as it has, then makes takers wait',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(3);
      assert.deepEqual([semaphore.size, semaphore.available], [3, 3]);
      const [one] = [await semaphore.acquire(), await semaphore.acquire(2)];
      assert.equal(semaphore.available, 0);
      const third = semaphore.acquire();
      await settle();
      assert.equal(await stateOf(third), 'pending');
      one.release();
      await third;
      assert.equal(semaphore.available, 0);
    }),
  );

  for (const [name, release] of [
    ['the permit', (permit: Permit) => permit.release()],
    ['the semaphore', (_: Permit, semaphore: Semaphore) => semaphore.release(2)],
    ['the end of its block', (permit: Permit) => permit[Symbol.dispose]()],
  ] as const) {
    test(
      `takes back all that was taken, by ${name}`,
      withLeakCheck(async () => {
        const semaphore = new Semaphore(2);
        release(await semaphore.acquire(2), semaphore);
        assert.equal(semaphore.available, 2);
        release(semaphore.tryAcquire(2)!, semaphore);
        assert.equal(semaphore.available, 2);
      }),
    );
  }

  test(
    'counts by weight: what is tried is had if there is enough, and nobody waits',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(2);
      assert.ok(await semaphore.acquire());
      const tries = [semaphore.tryAcquire(), semaphore.tryAcquire(), semaphore.tryAcquire(2)];
      assert.deepEqual(
        tries.map((permit) => permit !== undefined),
        [true, false, false],
      );
      semaphore.release(2);
      assert.ok(semaphore.tryAcquire());
      assert.ok(semaphore.tryAcquire());
      assert.equal(semaphore.tryAcquire(), undefined);
    }),
  );

  test(
    'tryAcquire fails while anyone waits, though there is enough',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(3);
      const two = await semaphore.acquire(2);
      const large = semaphore.acquire(2);
      assert.equal(semaphore.available, 1);
      assert.equal(semaphore.tryAcquire(), undefined);
      two.release();
      await large;
      assert.ok(semaphore.tryAcquire());
    }),
  );

  test(
    'an acquire that needs no wait stands behind those that do, however little it wants',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(10);
      const order: string[] = [];
      const note = noting(order);
      const nine = await semaphore.acquire(9);
      const waiting = [
        note('five', semaphore.acquire(5)),
        note('one', semaphore.acquire(1)),
        note('four', semaphore.acquire(4)),
        note('ten', semaphore.acquire(10)),
        note('last', semaphore.acquire(1)),
      ];
      await settle();
      assert.deepEqual(order, []);
      nine.release();
      await settle();
      assert.deepEqual(order, ['five', 'one', 'four'], 'all that have room at once');
      for (const permit of await Promise.all(waiting.slice(0, 3))) permit.release();
      await settle();
      assert.deepEqual(order, ['five', 'one', 'four', 'ten']);
      (await waiting[3]!).release();
      await waiting[4];
      assert.deepEqual(order, ['five', 'one', 'four', 'ten', 'last']);
    }),
  );

  test(
    'a large one doesn’t starve among small ones that come and go',
    withLeakCheck(async () => {
      const size = 10;
      const semaphore = new Semaphore(size);
      let stopped = false;
      let rounds = 0;
      // Small ones hold it in turns, so that it is never free by itself.
      const small = range(0, size).map(async () => {
        const first = await semaphore.acquire();
        await turn();
        first.release();
        while (!stopped && rounds++ < 10_000) {
          using _ = await semaphore.acquire();
          await turn();
        }
      });
      await turn();
      const large = await semaphore.acquire(size);
      stopped = true;
      assert.ok(rounds < 10_000, 'it came in its turn');
      large.release();
      await Promise.all(small);
      assert.equal(semaphore.available, size);
    }),
  );

  test(
    'asking for more than there will ever be is refused at once, and hinders nobody',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(2);
      await assert.rejects(semaphore.acquire(3), { name: 'RangeError', message: /count .*\(2\), got 3/ });
      assert.equal(semaphore.tryAcquire(3), undefined);
      const both = await semaphore.acquire(2);
      await assert.rejects(semaphore.acquire(3), RangeError);
      const next = semaphore.acquire();
      both.release();
      await next;
    }),
  );

  test(
    'never has more permits out than its size, among many takers of all weights, and all come back',
    withLeakCheck(async () => {
      const size = 7;
      const semaphore = new Semaphore(size);
      const random = seeded(5);
      let out = 0;
      let most = 0;
      await Promise.all(
        range(0, 50).map(async () => {
          for (const _ of range(0, 20)) {
            const count = 1 + Math.floor(random() * size);
            using _permit = await semaphore.acquire(count);
            out += count;
            most = Math.max(most, out);
            assert.ok(semaphore.available <= size - out, 'granted ones may not know yet');
            if (random() < 0.5) await turn();
            out -= count;
          }
        }),
      );
      assert.equal(most, size);
      assert.equal(semaphore.available, size);
    }),
  );
});

describe('giving back to a semaphore', () => {
  test(
    'more than is held throws, and gives back nothing',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(3);
      assert.throws(() => semaphore.release(), NotHeldError);
      const permit = await semaphore.acquire(2);
      assert.throws(() => semaphore.release(3), { name: 'NotHeldError', code: 'ERR_NOT_HELD', message: /3 of 2/ });
      assert.equal(semaphore.available, 1);
      permit.release();
      assert.throws(() => semaphore.release(), NotHeldError);
      assert.equal(semaphore.available, 3);
    }),
  );

  test(
    'a permit twice throws; the end of a block after an early release is quiet',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(2);
      const other = await semaphore.acquire();
      {
        using permit = await semaphore.acquire();
        permit.release();
        assert.throws(() => permit.release(), NotHeldError);
        assert.equal(semaphore.available, 1, 'what another holds is not given back');
      }
      other[Symbol.dispose]();
      other[Symbol.dispose]();
      assert.throws(() => other.release(), NotHeldError);
      assert.equal(semaphore.available, 2);
    }),
  );

  test(
    'a block left by a throw gives back',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(1);
      await rejectsWith(
        (async () => {
          using _ = await semaphore.acquire();
          throw why;
        })(),
        why,
      );
      assert.equal(semaphore.available, 1);
    }),
  );
});

describe('a signal', () => {
  for (const [kind, make] of ENDERS) {
    test(
      `${kind} that has fired: nothing is acquired, though it is free`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        fire(why);
        const semaphore = new Semaphore(1);
        await rejectsWith(semaphore.acquire(1, { signal }), why);
        assert.equal(semaphore.available, 1);
      }),
    );

    test(
      `${kind} that fires while one waits: it leaves, holds nothing, and the next moves up`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const semaphore = new Semaphore(2);
        const held = await semaphore.acquire(2);
        const waiting = semaphore.acquire(1, { signal });
        const next = semaphore.acquire(2);
        fire(why);
        await rejectsWith(waiting, why);
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
        held.release();
        await next;
        assert.equal(semaphore.available, 0);
      }),
    );

    test(
      `${kind} of a large one that stood first lets in those behind it`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const semaphore = new Semaphore(3);
        await semaphore.acquire();
        const large = semaphore.acquire(3, { signal });
        const small = [semaphore.acquire(), semaphore.acquire(), semaphore.acquire()];
        await settle();
        assert.equal(await stateOf(small[0]!), 'pending');
        fire(why);
        await rejectsWith(large, why);
        await Promise.all(small.slice(0, 2));
        assert.equal(await stateOf(small[2]!), 'pending');
        assert.equal(semaphore.available, 0);
      }),
    );

    test(
      `${kind} of one that doesn’t stand first lets in nobody`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const semaphore = new Semaphore(3);
        await semaphore.acquire(2);
        const first = semaphore.acquire(2);
        const second = semaphore.acquire(2, { signal });
        const third = semaphore.acquire(1);
        fire(why);
        await rejectsWith(second, why);
        assert.deepEqual([await stateOf(first), await stateOf(third)], ['pending', 'pending']);
        assert.equal(semaphore.available, 1);
      }),
    );

    test(
      `${kind} that fires in the turn of the grant: it is given back, to the next`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const semaphore = new Semaphore(1);
        const held = await semaphore.acquire();
        const granted = semaphore.acquire(1, { signal });
        const next = semaphore.acquire();
        held.release();
        fire(why);
        await rejectsWith(granted, why);
        const permit = await next;
        permit.release();
        assert.equal(semaphore.available, 1);
      }),
    );

    test(
      `${kind} that fires in the turn of a grant without a wait does so too`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const semaphore = new Semaphore(1);
        const granted = semaphore.acquire(1, { signal });
        fire(why);
        await rejectsWith(granted, why);
        assert.equal(semaphore.available, 1);
      }),
    );

    test(
      `${kind} that fires later leaves what was acquired`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const semaphore = new Semaphore(1);
        const held = await semaphore.acquire();
        const waiting = semaphore.acquire(1, { signal });
        held.release();
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
        const permit = await waiting;
        fire(why);
        assert.equal(semaphore.available, 0);
        permit.release();
        assert.equal(semaphore.available, 1);
      }),
    );
  }

  test(
    '3,000 leave in any order, and those who stay are served in theirs',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(1);
      const held = await semaphore.acquire();
      const order: number[] = [];
      const cancels = range(0, 3_000).map((i) => {
        const [ctx, cancel] = withCancel(background());
        semaphore.acquire(1, { signal: ctx }).then(
          (permit) => {
            order.push(i);
            permit.release();
          },
          () => {},
        );
        return cancel;
      });
      const random = seeded(9);
      const gone = new Set(range(0, 3_000).map(() => Math.floor(random() * 3_000)));
      for (const i of gone) cancels[i]!();
      held.release();
      await settle();
      assert.deepEqual(
        order,
        range(0, 3_000).filter((i) => !gone.has(i)),
      );
      assert.equal(semaphore.available, 1);
    }),
  );
});

describe('wrong numbers', () => {
  for (const wrong of [0, -1, 1.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, '2', null]) {
    test(
      `${String(wrong)} is neither a size nor a count`,
      withLeakCheck(async () => {
        const count = wrong as number;
        const got = new RegExp(`got ${show(wrong)}$`);
        assert.throws(() => new Semaphore(count), { name: 'RangeError', message: /^size/ });
        assert.throws(() => new Semaphore(count), { message: got });
        const semaphore = new Semaphore(2);
        await assert.rejects(semaphore.acquire(count), { name: 'RangeError', message: /^count/ });
        assert.throws(() => semaphore.tryAcquire(count), { name: 'RangeError', message: got });
        assert.throws(() => semaphore.release(count), { name: 'RangeError', message: got });
        assert.equal(semaphore.available, 2);
      }),
    );
  }

  test(
    'a signal that is none is refused, and nothing is acquired',
    withLeakCheck(async () => {
      const semaphore = new Semaphore(1);
      for (const wrong of [5, 'soon', { signal: 5 }, { signal: {} }]) {
        await assert.rejects(semaphore.acquire(1, wrong as unknown as WaitOptions), TypeError);
      }
      assert.equal(semaphore.available, 1);
    }),
  );
});
