import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DeadlineExceededError, RateLimiter, withTimeout } from '../../src/go/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { rejectionOf, stateOf } from '../manager/support.ts';
import { HandClock, LateClock, rootOn } from './limiting.ts';
import { rejectsWith } from './waiting.ts';

function make(limit: number, clock = new VirtualClock()) {
  return { clock, limiter: new RateLimiter({ limit, intervalMs: 100, strict: true, clock }) };
}

/** The times at which so many who wait are let go, in the order in which they came. */
function times(clock: VirtualClock, limiter: RateLimiter, ...ns: number[]): Promise<number[]> {
  return Promise.all(ns.map((n) => limiter.wait(n).then(() => clock.now())));
}

describe('a window', () => {
  test('never holds more than the limit, wherever it begins', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 3, intervalMs: 100, strict: true, clock });
    const passed: number[] = [];
    for (; clock.time < 400; clock.time++) if (clock.time % 7 === 0 && limiter.allow()) passed.push(clock.time);
    assert.deepEqual(passed, [0, 7, 14, 105, 112, 119, 210, 217, 224, 315, 322, 329]);
  });

  test('does not hold two events exactly an interval apart, even if their times are not exact', () => {
    for (const [start, intervalMs] of [
      [0, 100],
      [0.1, 0.2],
      [1e9 / 3, 1 / 7],
    ] as const) {
      const clock = new HandClock();
      clock.time = start;
      const limiter = new RateLimiter({ limit: 1, intervalMs, strict: true, clock });
      for (let i = 0; i < 1_000; i++) {
        assert.ok(limiter.allow());
        const next = clock.time + intervalMs;
        clock.time = next - intervalMs / 1e6;
        assert.ok(!limiter.allow(), `before ${next}`);
        clock.time = next;
      }
    }
  });

  test('may be filled at once, but not by more than the limit', () => {
    const { limiter } = make(3);
    assert.deepEqual([limiter.limit, limiter.burst, limiter.tokens], [3, 3, 3]);
    assert.ok(!limiter.allow(4));
    assert.ok(limiter.allow(0));
    assert.ok(limiter.allow(2));
    assert.equal(limiter.tokens, 1);
    assert.ok(!limiter.allow(2));
    assert.ok(limiter.allow());
    assert.equal(limiter.tokens, 0);
    assert.ok(limiter.allow(0));
  });

  test('has room again for those that have left it', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 3, intervalMs: 100, strict: true, clock });
    const tokens: number[] = [];
    for (const at of [0, 40, 60]) {
      clock.time = at;
      assert.ok(limiter.allow());
    }
    for (clock.time = 90; clock.time < 180; clock.time += 10) tokens.push(limiter.tokens);
    assert.deepEqual(tokens, [0, 1, 1, 1, 1, 2, 2, 3, 3]);
  });

  test('is a second unless told', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 1, strict: true, clock });
    assert.ok(limiter.allow());
    assert.equal(limiter.reserve().delayMs, 1_000);
  });
});

describe('those who wait', () => {
  test(
    'are let go as soon as there is room, in the order in which they came, by one timer',
    withLeakCheck(async () => {
      const { clock, limiter } = make(2);
      const all = times(clock, limiter, 1, 1, 1, 1, 1, 1, 1);
      assert.equal(clock.timerCount, 1);
      await clock.advance(1_000);
      assert.deepEqual(await all, [0, 0, 100, 100, 200, 200, 300]);
      assert.equal(clock.timerCount, 0);
    }),
  );

  test(
    'are not overtaken: a small one waits behind a large one, and allow fails',
    withLeakCheck(async () => {
      const { clock, limiter } = make(3);
      assert.ok(limiter.allow());
      await clock.advance(50);
      assert.ok(limiter.allow());
      const all = times(clock, limiter, 3, 1);
      assert.equal(limiter.tokens, 0);
      assert.ok(!limiter.allow());
      assert.ok(!limiter.allow(0));
      await clock.advance(50);
      assert.ok(!limiter.allow());
      await clock.advance(1_000);
      assert.deepEqual(await all, [150, 250]);
      assert.equal(limiter.tokens, 3);
    }),
  );

  test(
    'count from when they are let go: a late timer moves all that come after',
    withLeakCheck(async () => {
      const late = [30, 5, 0];
      const { clock, limiter } = make(1, new LateClock(() => late.shift() ?? 0));
      const all = times(clock, limiter, 1, 1, 1, 1, 1);
      await clock.advance(1_000);
      assert.deepEqual(await all, [0, 130, 235, 335, 435]);
    }),
  );

  test(
    'are not let go by a timer that fires early',
    withLeakCheck(async () => {
      const early = [-60, -1, -0.5];
      const { clock, limiter } = make(1, new LateClock(() => early.shift() ?? 0));
      const all = times(clock, limiter, 1, 1, 1);
      await clock.advance(1_000);
      assert.deepEqual(await all, [0, 100, 200]);
    }),
  );

  test(
    'leave without having taken anything, and let those behind them go at once if there is room',
    withLeakCheck(async () => {
      const { clock, limiter } = make(2);
      assert.ok(limiter.allow());
      const controller = new AbortController();
      const reason = new Error('no more');
      const large = limiter.wait(2, controller.signal);
      const small = limiter.wait();
      await clock.advance(10);
      assert.equal(await stateOf(small), 'pending');
      controller.abort(reason);
      await rejectsWith(large, reason);
      await small;
      assert.equal(limiter.tokens, 0);
      assert.equal(clock.timerCount, 0);
      await clock.advance(90);
      assert.equal(limiter.tokens, 1);
    }),
  );

  test(
    'leave no timer when the last has left',
    withLeakCheck(async () => {
      const { clock, limiter } = make(1);
      assert.ok(limiter.allow());
      const controller = new AbortController();
      const waits = [1, 2, 3].map(() => rejectionOf(limiter.wait(1, controller.signal)));
      controller.abort('no more');
      assert.deepEqual(await Promise.all(waits), ['no more', 'no more', 'no more']);
      assert.equal(clock.timerCount, 0);
      await clock.advance(100);
      await limiter.wait();
    }),
  );

  test(
    'are not let go when the signal that takes out those before them is their own',
    withLeakCheck(async () => {
      const { limiter } = make(2);
      assert.ok(limiter.allow());
      const controller = new AbortController();
      const waits = [2, 1].map((n) => rejectionOf(limiter.wait(n, controller.signal)));
      controller.abort('no more');
      assert.deepEqual(await Promise.all(waits), ['no more', 'no more']);
      assert.equal(limiter.tokens, 1);
    }),
  );

  test(
    'are told at once that their deadline comes before the turn, whatever those before them want',
    withLeakCheck(async () => {
      const { clock, limiter } = make(3);
      const root = rootOn(clock);
      const waits = times(clock, limiter, 3, 2, 2); // at 0, 100, 200
      for (let i = 0; i < 2; i++) {
        const [short, cancelShort] = withTimeout(root, 199);
        await assert.rejects(limiter.wait(1, short), DeadlineExceededError);
        const [long, cancelLong] = withTimeout(root, 299);
        await assert.rejects(limiter.wait(2, long), DeadlineExceededError);
        cancelShort();
        cancelLong();
      }
      const [ctx, cancel] = withTimeout(root, 201);
      const one = limiter.wait(1, ctx);
      await assert.rejects(limiter.wait(1, ctx), DeadlineExceededError);
      await clock.advance(200);
      await one;
      cancel();
      assert.deepEqual(await waits, [0, 100, 200]);
    }),
  );

  test(
    'are told so too when they could be let past those before them',
    withLeakCheck(async () => {
      const { clock, limiter } = make(3);
      const [ctx, cancel] = withTimeout(rootOn(clock), 199);
      const waits = times(clock, limiter, 1, 3, 1); // at 0, 100, 200
      await assert.rejects(limiter.wait(1, ctx), DeadlineExceededError);
      assert.equal(clock.now(), 0);
      await clock.advance(200);
      assert.deepEqual(await waits, [0, 100, 200]);
      cancel();
    }),
  );

  test(
    'are forecast anew when one leaves, and when the limit is set',
    withLeakCheck(async () => {
      const { clock, limiter } = make(1);
      const [ctx, cancel] = withTimeout(rootOn(clock), 250);
      const controller = new AbortController();
      const two = times(clock, limiter, 1, 1); // at 0, 100
      const leaving = limiter.wait(1, controller.signal);
      await assert.rejects(limiter.wait(1, ctx), DeadlineExceededError);
      controller.abort();
      await assert.rejects(leaving, { name: 'AbortError' });
      const third = limiter.wait(1, ctx); // at 200
      await assert.rejects(limiter.wait(1, ctx), DeadlineExceededError);
      limiter.setLimit(2); // the second now, the third at 100
      const fourth = limiter.wait(1, ctx);
      const last = times(clock, limiter, 1, 1).then(([, at]) => at);
      await assert.rejects(limiter.wait(2, ctx), DeadlineExceededError);
      await clock.advance(1_000);
      await Promise.all([third, fourth]);
      assert.deepEqual([await two, await last], [[0, 0], 200]);
      cancel();
    }),
  );

  test(
    'by the hundred thousand, each with a deadline, come and go quickly',
    { timeout: 20_000 },
    withLeakCheck(async () => {
      const { clock, limiter } = make(1_000);
      const [ctx, cancel] = withTimeout(rootOn(clock), 1e6);
      const waits = Array.from({ length: 100_000 }, () => limiter.wait(1, ctx));
      await clock.advance(9_900);
      await Promise.all(waits);
      cancel();
    }),
  );
});

describe('setLimit when strict', () => {
  test(
    'holds from now on, for those who wait too',
    withLeakCheck(async () => {
      const { clock, limiter } = make(1);
      const before = times(clock, limiter, 1, 1, 1, 1);
      limiter.setLimit(2);
      await clock.advance(100);
      assert.deepEqual([limiter.limit, limiter.burst], [2, 2]);
      assert.deepEqual(await before, [0, 0, 100, 100]);
      limiter.setLimit(1);
      const after = times(clock, limiter, 1, 1);
      await clock.advance(1_000);
      assert.deepEqual(await after, [200, 300]);
    }),
  );

  test(
    'rejects those who wait for more than there can be at once, and lets the others go',
    withLeakCheck(async () => {
      const { clock, limiter } = make(3);
      assert.ok(limiter.allow(2));
      const large = limiter.wait(3);
      const middle = limiter.wait(2);
      const small = limiter.wait(1);
      limiter.setLimit(2);
      await assert.rejects(large, {
        name: 'RangeError',
        message: 'n must be at most the limit, which is now 2, got 3',
      });
      assert.equal(await stateOf(middle), 'pending');
      await clock.advance(100);
      await middle;
      assert.equal(await stateOf(small), 'pending');
      await clock.advance(100);
      await small;
    }),
  );
});

describe('reserve when strict', () => {
  test('says for when there is room, in order, as long as nobody waits', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 2, intervalMs: 100, strict: true, clock });
    assert.deepEqual(
      [1, 1, 1, 2, 1].map((n) => limiter.reserve(n).delayMs),
      [0, 0, 100, 200, 100],
    );
    const tooMuch = limiter.reserve(3);
    assert.deepEqual([tooMuch.ok, tooMuch.delayMs], [false, Number.POSITIVE_INFINITY]);
    tooMuch.cancel();
    clock.time = 100;
    assert.equal(limiter.tokens, 0);
    clock.time = 300;
    assert.ok(limiter.allow(2));
  });

  test(
    'is not ok while anyone waits',
    withLeakCheck(async () => {
      const { clock, limiter } = make(1);
      const waits = times(clock, limiter, 1, 1);
      const refused = limiter.reserve();
      assert.deepEqual([refused.ok, refused.delayMs], [false, Number.POSITIVE_INFINITY]);
      refused.cancel();
      await clock.advance(100);
      assert.deepEqual(await waits, [0, 100]);
      assert.ok(limiter.reserve().ok);
    }),
  );

  test(
    'keeps its time: those who wait go before it or after it, as there is room',
    withLeakCheck(async () => {
      const { clock, limiter } = make(3);
      assert.ok(limiter.allow(2));
      await clock.advance(50);
      const reservation = limiter.reserve(2);
      assert.equal(reservation.delayMs, 50);
      assert.equal(limiter.tokens, 1);
      const waits = times(clock, limiter, 1, 1, 3);
      await clock.advance(1_000);
      // At 100 there are one of 50 and two reserved; at 150 that one is gone, and at 250 all of them.
      assert.deepEqual(await waits, [50, 150, 250]);
    }),
  );

  test(
    'canceled in time gives its place to those who wait; too late, or twice, to nobody',
    withLeakCheck(async () => {
      const { clock, limiter } = make(1);
      assert.ok(limiter.allow());
      const first = limiter.reserve();
      const second = limiter.reserve();
      const waits = times(clock, limiter, 1, 1);
      await clock.advance(50);
      first.cancel();
      first.cancel();
      await clock.advance(200);
      second.cancel();
      await clock.advance(1_000);
      assert.deepEqual(await waits, [100, 300]);
    }),
  );

  test('canceled among others of the same time takes out its own', () => {
    const clock = new HandClock();
    const limiter = new RateLimiter({ limit: 4, intervalMs: 100, strict: true, clock });
    limiter.reserve(1);
    limiter.reserve(2).cancel();
    limiter.reserve(1);
    assert.equal(limiter.tokens, 2);
    limiter.reserve(0).cancel();
    assert.equal(limiter.tokens, 2);
  });
});

test('a limiter stays as quick as it was, as it forgets what no window holds', { timeout: 20_000 }, () => {
  const clock = new HandClock();
  const limiter = new RateLimiter({ limit: 10, intervalMs: 100, strict: true, clock });
  let passed = 0;
  for (; clock.time < 5_000_000; clock.time += 10) if (limiter.allow()) passed++;
  assert.equal(passed, 500_000);
});
