import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import {
  background,
  DeadlineExceededError,
  RateLimiter,
  type RateLimiterOptions,
  type Reservation,
  withCancel,
  withCancelCause,
  withTimeout,
} from '../../src/go/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { rejectionOf, stateOf } from '../manager/support.ts';
import { HandClock, HoldingClock, rootOn } from './limiting.ts';
import { ENDERS, rejectsWith } from './waiting.ts';

/** The time in which 10 a second make one. */
const D = 100;

/** Times in D, how many, and whether they may. */
type Allows = readonly (readonly [at: number, n: number, may: boolean])[];

function checkAllows(options: RateLimiterOptions, allows: Allows): void {
  const clock = new HandClock();
  const limiter = new RateLimiter({ ...options, clock });
  for (const [at, n, may] of allows) {
    clock.time = at * D;
    assert.equal(limiter.allow(n), may, `${n} at ${at}`);
  }
}

/** A limiter that reserves at times given in D, and sees for what time it does. */
class Reserving {
  readonly clock = new HandClock();
  readonly limiter: RateLimiter;

  constructor(limit: number, burst: number) {
    this.limiter = new RateLimiter({ limit, burst, clock: this.clock });
  }

  at(time: number): this {
    this.clock.time = time * D;
    return this;
  }

  reserve(time: number, n: number, act: number): Reservation {
    const reservation = this.at(time).limiter.reserve(n);
    const delayMs = (act - time) * D;
    assert.ok(Math.abs(reservation.delayMs - delayMs) < 1e-6, `to wait ${reservation.delayMs}, not ${delayMs}`);
    assert.ok(reservation.ok);
    return reservation;
  }
}

/** A limiter on a virtual clock. */
function make(options: Partial<RateLimiterOptions> = {}) {
  const clock = new VirtualClock();
  return { clock, limiter: new RateLimiter({ limit: 10, clock, ...options }) };
}

/** When a wait is over, in the time of the clock. */
function ending(clock: VirtualClock, wait: Promise<void>): Promise<number> {
  return wait.then(() => clock.now());
}

describe('allow', () => {
  test('lets pass a burst of one, then one each interval', () => {
    checkAllows({ limit: 10, burst: 1 }, [
      [0, 1, true],
      [0, 1, false],
      [0.5, 1, false],
      [1, 1, true],
      [1, 1, false],
      [2, 2, false],
      [2, 1, true],
      [2, 1, false],
    ]);
  });

  test('lets pass a burst of three, in any parts, and saves up no more than that', () => {
    checkAllows({ limit: 10, burst: 3 }, [
      [0, 2, true],
      [0, 2, false],
      [0, 1, true],
      [0, 1, false],
      [1, 4, false],
      [2, 1, true],
      [3, 1, true],
      [4, 1, true],
      [4, 1, true],
      [4, 1, false],
      [9, 3, true],
      [9, 0, true],
      [90, 4, false],
      [90, 3, true],
      [90, 1, false],
    ]);
  });

  test('gives nothing for a time that a bad clock goes back, and goes on from there', () => {
    checkAllows({ limit: 10, burst: 3 }, [
      [1, 1, true],
      [0, 1, true],
      [0, 1, true],
      [0, 1, false],
      [1, 1, true],
      [1, 1, false],
      [2, 1, true],
      [2, 1, false],
    ]);
  });

  test('takes fractions of an event as a limit, without a fault by rounding', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 1 / 1.3, burst: 1, clock });
    assert.ok(limiter.allow());
    for (let i = 1; i <= 1_000; i++) {
      clock.time = i * 1_300 - 1;
      assert.ok(!limiter.allow(), `before ${i}`);
      clock.time = i * 1_300;
      assert.ok(limiter.allow(), `at ${i}`);
    }
  });

  test('gives each taker of the same moment his own', () => {
    const { limiter } = make({ limit: 1, burst: 5 });
    assert.equal(Array.from({ length: 15 }, () => limiter.allow()).filter(Boolean).length, 5);
  });

  test('lets pass the burst and the rate in the long run, however often one asks', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 100, burst: 100, clock });
    let passed = 0;
    for (let i = 0; i < 15_000; i++) {
      clock.time = i / 3;
      if (limiter.allow()) passed++;
    }
    assert.equal(passed, 599); // and one at 5,000
  });

  test('is not worn out by being asked in vain: a large bucket fills by small steps', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 1e-3, burst: 1e12, clock });
    assert.ok(limiter.allow(1e12));
    for (; clock.time < 1_000_000; clock.time += 10) {
      assert.ok(!limiter.allow(2));
      assert.ok(limiter.tokens < 1);
    }
    assert.ok(limiter.allow());
    assert.equal(limiter.tokens, 0);
  });
});

describe('limit and burst', () => {
  test('are as given; the interval is a second, and the burst the limit rounded down, at least 1', () => {
    const { limiter, clock } = make({ limit: 2.5 });
    assert.deepEqual([limiter.limit, limiter.burst, limiter.tokens], [2.5, 2, 2]);
    assert.ok(limiter.allow(2));
    assert.equal(limiter.reserve().delayMs, 400);
    const slow = new RateLimiter({ limit: 0.5, intervalMs: 10, clock });
    assert.deepEqual([slow.limit, slow.burst, slow.tokens], [0.5, 1, 1]);
    assert.ok(slow.allow());
    assert.equal(slow.reserve().delayMs, 20);
    assert.equal(new RateLimiter({ limit: 0.5, burst: 7 }).burst, 7);
  });

  test('Infinity lets everything pass, whatever the burst, and takes nothing', async () => {
    const { limiter } = make({ limit: Number.POSITIVE_INFINITY, burst: 0 });
    assert.ok(limiter.allow(1_000));
    await limiter.wait(1_000);
    const reservation = limiter.reserve(1_000);
    assert.deepEqual([reservation.ok, reservation.delayMs], [true, 0]);
    limiter.setLimit(10);
    limiter.setBurst(2_000);
    reservation.cancel();
    assert.equal(limiter.tokens, 0);
    assert.ok(!limiter.allow());
  });

  test('a limit set on what had none holds, with a burst to match', () => {
    const { limiter } = make({ limit: Number.POSITIVE_INFINITY });
    assert.deepEqual([limiter.burst, limiter.tokens], [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    assert.ok(limiter.allow(1_000));
    limiter.setLimit(10);
    assert.deepEqual([limiter.burst, limiter.tokens], [10, 10]);
    assert.ok(!limiter.allow(11));
    assert.ok(limiter.allow(10));
    assert.ok(!limiter.allow());
  });

  test('0 lets pass what the bucket holds, and then nothing', async () => {
    const { limiter, clock } = make({ limit: 0, burst: 2 });
    assert.ok(limiter.allow());
    await clock.advance(1e9);
    assert.equal(limiter.tokens, 1);
    const tooMuch = limiter.reserve(2);
    assert.deepEqual([tooMuch.ok, tooMuch.delayMs], [false, Number.POSITIVE_INFINITY]);
    tooMuch.cancel();
    await assert.rejects(limiter.wait(2), {
      name: 'RangeError',
      message: 'n must be at most the tokens that are left at limit 0 (1), got 2',
    });
    const [ctx, cancel] = withTimeout(background(), 1e6);
    await assert.rejects(limiter.wait(2, ctx), DeadlineExceededError);
    cancel();
    await limiter.wait();
    assert.ok(!limiter.allow());
    assert.equal(limiter.tokens, 0);
  });

  test('a burst of 0 lets nothing pass', async () => {
    const { limiter, clock } = make({ burst: 0 });
    await clock.advance(10_000);
    assert.ok(!limiter.allow());
    assert.ok(!limiter.reserve().ok);
    await assert.rejects(limiter.wait(), { name: 'RangeError', message: 'n must be at most the burst (0), got 1' });
    assert.ok(limiter.allow(0));
  });

  test('very small limits wait very long', async () => {
    const clock = new HoldingClock();
    const limiter = new RateLimiter({ limit: 1e-12, clock });
    assert.ok(limiter.allow());
    assert.ok(limiter.reserve().delayMs > 0.9e15);
    const [ctx, cancel] = withCancel(background());
    const wait = limiter.wait(1, ctx);
    await clock.advance(2 ** 33); // timers fire after 2 ** 31
    assert.equal(await stateOf(wait), 'pending');
    cancel();
    await assert.rejects(wait, { name: 'AbortError' });
    const none = new RateLimiter({ limit: Number.MIN_VALUE, clock });
    assert.ok(none.allow());
    assert.ok(!none.reserve().ok);
  });
});

describe('reserve', () => {
  test('says when: at once while there are tokens, then when they will have come', () => {
    const one = new Reserving(10, 2);
    one.reserve(0, 2, 0);
    one.reserve(0, 2, 2);
    one.reserve(3, 2, 4);
  });

  test('goes together with allow, which sees what is promised', () => {
    const one = new Reserving(10, 2);
    const { limiter } = one;
    assert.ok(!limiter.reserve(3).ok);
    one.reserve(0, 2, 0);
    assert.ok(!one.at(1).limiter.allow(2));
    one.reserve(1, 2, 2);
    assert.equal(limiter.tokens, -1);
    assert.ok(!limiter.allow());
    assert.ok(!limiter.allow(0));
    assert.ok(one.at(3).limiter.allow());
  });

  test('counts the delay down, to 0', () => {
    const one = new Reserving(10, 2);
    one.reserve(0, 2, 0);
    const reservation = one.reserve(0, 1, 1);
    one.clock.time = 30;
    assert.equal(reservation.delayMs, 70);
    one.clock.time = 500;
    assert.equal(reservation.delayMs, 0);
  });

  test('takes times that go back as they come', () => {
    const one = new Reserving(10, 2);
    one.reserve(1, 2, 1);
    one.reserve(0, 1, 1);
    one.reserve(2, 2, 3);
  });

  test('at a higher limit counts from what was reserved at the lower one, which stays where it is', () => {
    const one = new Reserving(5, 2);
    one.reserve(0, 2, 0);
    const before = one.reserve(0, 2, 4);
    one.at(2).limiter.setLimit(10);
    assert.equal(before.delayMs, 200);
    one.reserve(2, 1, 4);
  });

  test('with a higher burst finds no more tokens, but may take more', () => {
    const one = new Reserving(5, 2);
    one.reserve(0, 2, 0);
    one.reserve(0, 2, 4);
    one.at(3).limiter.setBurst(4);
    one.reserve(0, 4, 9);
  });

  test('with a lower burst finds no more tokens than that', () => {
    const one = new Reserving(10, 10);
    one.limiter.setBurst(2);
    assert.equal(one.limiter.tokens, 2);
    assert.equal(one.limiter.burst, 2);
    assert.ok(!one.limiter.reserve(3).ok);
    one.reserve(0, 2, 0);
    one.reserve(0, 2, 2);
  });
});

describe('cancel', () => {
  test('of what was not ok gives nothing', () => {
    const one = new Reserving(10, 2);
    one.reserve(0, 2, 0);
    one.limiter.reserve(3).cancel();
    one.reserve(0, 2, 2);
  });

  test('of the last gives all of it back', () => {
    const one = new Reserving(10, 2);
    one.reserve(0, 2, 0);
    const last = one.reserve(0, 2, 2);
    one.at(1);
    last.cancel();
    one.reserve(1, 2, 2);
  });

  test('in the very moment of its time still gives it back, and after it nothing', () => {
    const one = new Reserving(10, 2);
    const now = one.reserve(0, 2, 0);
    now.cancel();
    one.reserve(0, 2, 0);
    const late = one.reserve(0, 2, 2);
    one.at(3);
    late.cancel();
    one.reserve(3, 2, 4);
  });

  test('gives back nothing when as much was promised after it', () => {
    const one = new Reserving(10, 2);
    one.reserve(0, 2, 0);
    const first = one.reserve(0, 1, 1);
    one.reserve(0, 1, 2);
    first.cancel();
    one.reserve(0, 1, 3);
  });

  test('takes no more when more was promised after it', () => {
    const one = new Reserving(10, 3);
    one.reserve(0, 3, 0);
    const first = one.reserve(0, 1, 1);
    one.reserve(0, 3, 4);
    first.cancel();
    one.reserve(0, 1, 5);
  });

  test('gives back what is more than was promised after it', () => {
    const one = new Reserving(10, 2);
    one.reserve(0, 2, 0);
    const first = one.reserve(0, 2, 2);
    one.reserve(0, 1, 3);
    one.at(2);
    first.cancel();
    one.reserve(2, 2, 4);
  });

  test('of the last, and then of an earlier one, is as if the last had never been', () => {
    const one = new Reserving(10, 4);
    one.reserve(0, 4, 0);
    const a = one.reserve(0, 3, 3);
    one.reserve(0, 1, 4);
    const c = one.reserve(0, 1, 5);
    one.at(1);
    c.cancel();
    a.cancel();
    one.reserve(1, 3, 5);
  });

  test('of all gives back all, in whatever order', () => {
    for (const order of ['012', '021', '102', '120', '201', '210']) {
      const one = new Reserving(3, 3);
      one.reserve(0, 3, 0);
      const all = [1, 2, 3].map((n) => one.at(0).limiter.reserve(n));
      one.at(1);
      for (const which of order) all[Number(which)]!.cancel();
      assert.ok(Math.abs(one.limiter.tokens - 0.3) < 1e-9, `${one.limiter.tokens} in order ${order}`);
    }
  });

  test('of what could be used at once, and of what came after, gives back all', () => {
    const one = new Reserving(10, 2);
    const first = one.reserve(0, 2, 0);
    const second = one.reserve(0, 1, 1);
    first.cancel();
    second.cancel();
    assert.equal(one.limiter.tokens, 2);
  });

  test('never gives back more than was taken, when later ones were promised an earlier time', () => {
    const one = new Reserving(5, 4);
    one.reserve(0, 4, 0);
    const slow = one.reserve(0, 4, 8);
    one.limiter.setLimit(50);
    one.reserve(0, 1, 1);
    slow.cancel();
    one.reserve(0, 4, 1);
  });

  test('at a time that goes back gives back what is more than was promised after it', () => {
    const one = new Reserving(10, 2);
    one.reserve(1, 2, 1);
    const first = one.reserve(1, 2, 3);
    one.reserve(1, 1, 4);
    one.at(0);
    first.cancel();
    one.reserve(1, 2, 4);
  });

  test('after the limit was set gives back the same tokens, which now come sooner', () => {
    const one = new Reserving(5, 2);
    one.reserve(0, 2, 0);
    const reservation = one.reserve(0, 2, 4);
    one.at(2).limiter.setLimit(10);
    reservation.cancel();
    one.reserve(2, 2, 3);
  });

  test('the second time does nothing', () => {
    const one = new Reserving(10, 4);
    one.reserve(0, 4, 0);
    const reservation = one.reserve(0, 1, 1);
    reservation.cancel();
    reservation.cancel();
    assert.equal(one.limiter.tokens, 0);
  });

  test('never fills the bucket above its burst', () => {
    const one = new Reserving(10, 2);
    const reservation = one.reserve(0, 2, 0);
    one.limiter.setBurst(1);
    reservation.cancel();
    assert.equal(one.limiter.tokens, 1);
  });
});

describe('wait', () => {
  test(
    'resolves at once or in its turn, and not before',
    withLeakCheck(async () => {
      const { clock, limiter } = make({ burst: 3 });
      await limiter.wait(2);
      assert.equal(clock.timerCount, 0);
      const later = limiter.wait(3);
      assert.equal(limiter.tokens, -2);
      await clock.advance(199);
      assert.equal(await stateOf(later), 'pending');
      await clock.advance(1);
      await later;
      assert.equal(limiter.tokens, 0);
    }),
  );

  test(
    'lets go many at the rate',
    withLeakCheck(async () => {
      const { clock, limiter } = make({ limit: 3, intervalMs: 1, burst: 1 });
      const times = Promise.all(Array.from({ length: 300 }, () => ending(clock, limiter.wait())));
      await clock.advance(101);
      const ended = await times;
      for (const [i, at] of ended.entries()) assert.ok(Math.abs(at - i / 3) < 1e-6, `the ${i}th at ${at}`);
    }),
  );

  test(
    'keeps the process up',
    withLeakCheck(async () => {
      const clock = new HoldingClock();
      for (const strict of [false, true]) {
        const limiter = new RateLimiter({ limit: 1, clock, strict });
        assert.ok(limiter.allow());
        const wait = limiter.wait();
        await clock.advance(1_000);
        await wait;
      }
      assert.deepEqual(clock.holds, [true, true]);
    }),
  );

  for (const [what, makeEnder] of ENDERS) {
    test(
      `under ${what} that has fired takes nothing and rejects with its reason`,
      withLeakCheck(async () => {
        for (const strict of [false, true]) {
          const { limiter } = make({ strict });
          const reason = new Error('no more');
          const { signal, fire } = makeEnder();
          fire(reason);
          await rejectsWith(limiter.wait(1, signal), reason);
          await rejectsWith(limiter.wait(1, { signal }), reason);
          assert.equal(limiter.tokens, 10);
        }
      }),
    );

    test(
      `ended by ${what} gives the tokens back, rejects with its reason, and leaves no timer`,
      withLeakCheck(async () => {
        const { clock, limiter } = make({ burst: 3 });
        const reason = new Error('no more');
        const { signal, fire } = makeEnder();
        await limiter.wait(2, signal);
        const wait = limiter.wait(3, { signal });
        await clock.advance(D);
        fire(reason);
        await rejectsWith(wait, reason);
        assert.equal(limiter.tokens, 2);
        assert.equal(clock.timerCount, 0);
        await limiter.wait(2);
      }),
    );
  }

  test(
    'gives all tokens back when many who wait are canceled at once',
    withLeakCheck(async () => {
      const { clock, limiter } = make({ burst: 5 });
      assert.ok(limiter.allow(5));
      const controller = new AbortController();
      const waits = Array.from({ length: 100 }, () => limiter.wait(1, controller.signal));
      await clock.advance(D);
      await waits[0];
      controller.abort();
      assert.equal((await Promise.allSettled(waits)).filter(({ status }) => status === 'rejected').length, 99);
      assert.equal(limiter.tokens, 0);
      assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
    }),
  );

  test(
    'canceled in its very last moment has taken nothing, even if its timer is late',
    withLeakCheck(async () => {
      const clock = new HandClock();
      let callback: (() => void) | undefined;
      Object.assign(clock, {
        setTimeout: (fn: () => void) => {
          callback = fn;
        },
      });
      const limiter = new RateLimiter({ limit: 10, burst: 1, clock });
      assert.ok(limiter.allow());
      const controller = new AbortController();
      const wait = limiter.wait(1, controller.signal);
      clock.time = D + 5;
      assert.ok(callback !== undefined);
      controller.abort();
      await assert.rejects(wait, { name: 'AbortError' });
      assert.equal(limiter.tokens, 1);
    }),
  );

  for (const strict of [false, true]) {
    test(
      `whose turn comes after the deadline rejects at once and takes nothing${strict ? ', when strict too' : ''}`,
      withLeakCheck(async () => {
        const { clock, limiter } = make({ limit: 1, strict });
        const root = rootOn(clock);
        const [short, cancelShort] = withTimeout(root, 1_999);
        const [long, cancelLong] = withTimeout(root, 2_000.5);
        await limiter.wait(1, short);
        const first = limiter.wait(1, short);
        await assert.rejects(limiter.wait(1, short), DeadlineExceededError);
        await assert.rejects(limiter.wait(1, { signal: short }), DeadlineExceededError);
        const second = limiter.wait(1, long);
        await assert.rejects(limiter.wait(1, { signal: long }), DeadlineExceededError);
        assert.equal(clock.now(), 0);
        await clock.advance(1_000);
        await first;
        await clock.advance(1_000);
        await second;
        assert.equal(limiter.tokens, 0);
        cancelShort();
        cancelLong();
      }),
    );
  }

  test(
    'takes a deadline by the clock of its context, not of the limiter',
    withLeakCheck(async () => {
      const limiter = new RateLimiter({ limit: 1, clock: new VirtualClock({ timeOrigin: 2 ** 43 }) });
      const [ctx, cancel] = withTimeout(background(), 60_000); // which is long past on that clock
      await limiter.wait(1, ctx);
      const second = limiter.wait(1, ctx);
      assert.equal(await stateOf(second), 'pending');
      cancel();
      await assert.rejects(second);
    }),
  );

  test(
    'for more than the burst rejects at once, before all else',
    withLeakCheck(async () => {
      const [ctx, cancel] = withCancelCause(background());
      cancel('no more');
      for (const strict of [false, true]) {
        const { limiter } = make({ strict });
        await assert.rejects(limiter.wait(11, ctx), {
          name: 'RangeError',
          message: 'n must be at most the burst (10), got 11',
        });
        assert.equal(limiter.tokens, 10);
      }
    }),
  );

  test(
    'keeps its time when the limit is set',
    withLeakCheck(async () => {
      const { clock, limiter } = make({ limit: 1 });
      assert.ok(limiter.allow());
      const before = ending(clock, limiter.wait());
      limiter.setLimit(1_000);
      const after = ending(clock, limiter.wait());
      await clock.advance(1_000);
      assert.deepEqual(await Promise.all([before, after]), [1_000, 2]);
    }),
  );
});

describe('wrong input', () => {
  const number = Number.NaN;
  const bad: readonly (readonly [string, unknown, string, string])[] = [
    ['options', undefined, 'TypeError', 'options must be an object, got undefined'],
    ['limit', { limit: '10' }, 'TypeError', 'limit must be a number, got "10"'],
    ['limit', {}, 'TypeError', 'limit must be a number, got undefined'],
    ['limit', { limit: -1 }, 'RangeError', 'limit must be at least 0, got -1'],
    ['limit', { limit: number }, 'RangeError', 'limit must be at least 0, got NaN'],
    ['interval', { limit: 1, intervalMs: '1s' }, 'TypeError', 'intervalMs must be a number, got "1s"'],
    ['interval', { limit: 1, intervalMs: null }, 'TypeError', 'intervalMs must be a number, got null'],
    ['interval', { limit: 1, intervalMs: 0 }, 'RangeError', 'intervalMs must be above 0 and finite, got 0'],
    ['interval', { limit: 1, intervalMs: 1 / 0 }, 'RangeError', 'intervalMs must be above 0 and finite, got Infinity'],
    ['interval', { limit: 1, intervalMs: number }, 'RangeError', 'intervalMs must be above 0 and finite, got NaN'],
    ['burst', { limit: 1, burst: '1' }, 'TypeError', 'burst must be a number, got "1"'],
    ['burst', { limit: 1, burst: -1 }, 'RangeError', 'burst must be a whole number from 0, got -1'],
    ['burst', { limit: 1, burst: 1.5 }, 'RangeError', 'burst must be a whole number from 0, got 1.5'],
    ['burst', { limit: 1, burst: 1 / 0 }, 'RangeError', 'burst must be a whole number from 0, got Infinity'],
    ['strict', { limit: 1, strict: 'no' }, 'TypeError', 'strict must be true or false, got "no"'],
    [
      'strict limit',
      { limit: 1.5, strict: true },
      'RangeError',
      'limit must be a whole number from 1 when strict, got 1.5',
    ],
    [
      'strict limit',
      { limit: 0, strict: true },
      'RangeError',
      'limit must be a whole number from 1 when strict, got 0',
    ],
    [
      'strict limit',
      { limit: 1 / 0, strict: true },
      'RangeError',
      'limit must be a whole number from 1 when strict, got Infinity',
    ],
    [
      'strict limit',
      { limit: 2 ** 53, strict: true },
      'RangeError',
      'limit must be a whole number from 1 when strict, got 9007199254740992',
    ],
    [
      'strict burst',
      { limit: 1, strict: true, burst: 1 },
      'TypeError',
      "burst can't be set when strict: it is the limit; got 1",
    ],
  ];
  for (const [what, options, name, message] of bad) {
    test(`${what}: ${message}`, () => {
      assert.throws(() => new RateLimiter(options as RateLimiterOptions), { name, message });
    });
  }

  for (const strict of [false, true]) {
    test(
      `of a method names what is wrong${strict ? ', when strict too' : ''}`,
      withLeakCheck(async () => {
        const { limiter } = make({ strict });
        for (const n of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
          const wrong = { name: 'RangeError', message: `n must be a whole number from 0, got ${n}` };
          assert.throws(() => limiter.allow(n), wrong);
          assert.throws(() => limiter.reserve(n), wrong);
          await assert.rejects(limiter.wait(n), wrong);
        }
        const wrong = { name: 'TypeError', message: 'n must be a number, got "1"' };
        assert.throws(() => limiter.allow('1' as never), wrong);
        assert.throws(() => limiter.reserve('1' as never), wrong);
        await assert.rejects(limiter.wait('1' as never), wrong);
        assert.equal(((await rejectionOf(limiter.wait(1, 5 as never))) as Error).name, 'TypeError');
        assert.equal(((await rejectionOf(limiter.wait(1, { signal: 5 } as never))) as Error).name, 'TypeError');
        assert.throws(() => limiter.setLimit(-1), { name: 'RangeError' });
        assert.throws(() => limiter.setLimit('1' as never), { name: 'TypeError' });
        assert.throws(() => limiter.setBurst(strict ? 1 : -1), { name: strict ? 'TypeError' : 'RangeError' });
        assert.deepEqual([limiter.limit, limiter.burst, limiter.tokens], [10, 10, 10]);
      }),
    );
  }
});
