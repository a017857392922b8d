import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../../src/go/clock.ts';
import { VirtualClock } from '../../src/testing/index.ts';

test('it starts at 0, with the origin it was given, and stands still', async () => {
  const clock: Clock = new VirtualClock({ timeOrigin: 1_700_000_000_000 });
  assert.equal(clock.timeOrigin, 1_700_000_000_000);
  assert.equal(clock.now(), 0);
  await new Promise(setImmediate);
  assert.equal(clock.now(), 0);
  assert.equal(new VirtualClock().timeOrigin, 0);
});

test('the clock on the wall can be set forward and back, while time and timers go on as they were', async () => {
  const clock = new VirtualClock({ timeOrigin: 1_000 });
  let firedAt: number | undefined;
  clock.setTimeout(() => {
    firedAt = clock.now();
  }, 100);
  clock.jump(5_000);
  assert.deepEqual([clock.now(), clock.wallTime()], [0, 6_000]);
  await clock.advance(50);
  clock.jump(-7_000);
  assert.deepEqual([clock.now(), clock.wallTime()], [50, -950]);
  await clock.advance(50);
  assert.equal(firedAt, 100);
  assert.throws(() => clock.jump(Number.NaN), RangeError);
});

test('timers fire in order of their time, then of their making, each at its own time', async () => {
  const delay = fc.oneof(fc.nat({ max: 5 }), fc.double({ min: -1, max: 100, noNaN: true }));
  const timer = fc.record({ delay, children: fc.array(delay, { maxLength: 3 }), isCleared: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(timer, { maxLength: 12 }), fc.array(fc.nat({ max: 60 })), async (timers, steps) => {
      const clock = new VirtualClock();
      const pending: { dueAt: number; order: number }[] = [];
      const fired: typeof pending = [];
      let made = 0;
      const start = (delay: number, children: readonly number[]) => {
        const entry = { dueAt: clock.now() + Math.max(0, delay), order: made++ };
        const handle = clock.setTimeout(() => {
          assert.equal(clock.now(), entry.dueAt);
          // Nothing that is still pending should have gone first.
          for (const { dueAt, order } of pending) {
            assert.ok(dueAt > entry.dueAt || (dueAt === entry.dueAt && order >= entry.order));
          }
          pending.splice(pending.indexOf(entry), 1);
          fired.push(entry);
          for (const child of children) start(child, []);
        }, delay);
        pending.push(entry);
        return () => {
          clock.clearTimeout(handle);
          pending.splice(pending.indexOf(entry), 1);
        };
      };
      const clears = timers.map(({ delay, children, isCleared }) => ({ clear: start(delay, children), isCleared }));
      const cleared = clears.filter(({ isCleared }) => isCleared);
      for (const { clear } of cleared) clear();
      let end = 0;
      for (const step of steps) {
        end += step;
        await clock.advance(step);
        assert.equal(clock.now(), end);
        assert.equal(clock.timerCount, pending.length);
        assert.ok(pending.every(({ dueAt }) => dueAt > end));
      }
      await clock.runAll();
      assert.equal(clock.timerCount, 0);
      assert.equal(fired.length, made - cleared.length);
    }),
    { numRuns: 50 },
  );
});

test('a timer made on the way fires on the same way, when it is due', async () => {
  const clock = new VirtualClock();
  const times: number[] = [];
  const tick = () => {
    times.push(clock.now());
    clock.setTimeout(tick, 30);
  };
  clock.setTimeout(tick, 30);
  await clock.advance(100);
  assert.deepEqual(times, [30, 60, 90]);
  assert.equal(clock.timerCount, 1);
});

test('what a timer sets off is done before the next one fires', async () => {
  const clock = new VirtualClock();
  const log: string[] = [];
  clock.setTimeout(async () => {
    await Promise.resolve();
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    log.push('set off');
  }, 1);
  clock.setTimeout(() => log.push('next'), 2);
  await clock.advance(10);
  assert.deepEqual(log, ['set off', 'next']);
});

test('what was begun before an advance is done before time moves', async () => {
  const clock = new VirtualClock();
  let firedAt = -1;
  void (async () => {
    await new Promise(setImmediate);
    clock.setTimeout(() => {
      firedAt = clock.now();
    }, 5);
  })();
  await clock.advance(10);
  assert.equal(firedAt, 5);
});

test('overlapping advances follow one another', async () => {
  const clock = new VirtualClock();
  const ends: number[] = [];
  await Promise.all([
    clock.advance(10).then(() => ends.push(clock.now())),
    clock.advance(5).then(() => ends.push(clock.now())),
  ]);
  assert.equal(clock.now(), 15);
  assert.equal(ends.length, 2);
});

test('a timer may advance the clock, for after the advance it is fired by', async () => {
  const clock = new VirtualClock();
  let inner: Promise<void> | undefined;
  clock.setTimeout(() => {
    inner = clock.advance(100);
  }, 1);
  await clock.advance(10);
  await inner;
  assert.equal(clock.now(), 110);
});

test('a cleared timer does not fire, and clearing it again or after it fired is harmless', async () => {
  const clock = new VirtualClock();
  let fired = 0;
  const kept = clock.setTimeout(() => fired++, 1);
  const cleared = clock.setTimeout(() => assert.fail('it was cleared'), 1);
  clock.clearTimeout(cleared);
  clock.clearTimeout(cleared);
  clock.clearTimeout(undefined);
  assert.equal(clock.timerCount, 1);
  await clock.advance(1);
  clock.clearTimeout(kept);
  assert.equal(fired, 1);
});

test('a delay of nothing is due at once', async () => {
  const clock = new VirtualClock();
  let fired = 0;
  for (const ms of [0, -5, Number.NaN]) clock.setTimeout(() => fired++, ms);
  await clock.advance(0);
  assert.equal(fired, 3);
  assert.equal(clock.now(), 0);
});

test('a delay beyond 2^31-1 ms fires early, as it does with the real clock', async () => {
  const clock = new VirtualClock();
  clock.setTimeout(() => {}, Number.POSITIVE_INFINITY);
  await clock.runAll();
  assert.equal(clock.now(), 2 ** 31 - 1);
});

test('advanceTo moves to a time, and not back', async () => {
  const clock = new VirtualClock();
  await clock.advanceTo(1_000);
  assert.equal(clock.now(), 1_000);
  await assert.rejects(clock.advanceTo(999), { name: 'RangeError', message: /time must be at least now, 1000, .*999/ });
  assert.equal(clock.now(), 1_000);
});

test('a throw in a timer is the rejection of the advance, and the clock goes on from there', async () => {
  const clock = new VirtualClock();
  let fired = 0;
  clock.setTimeout(() => {
    throw new Error('boom');
  }, 1);
  clock.setTimeout(() => fired++, 2);
  await assert.rejects(clock.advance(10), /boom/);
  assert.equal(clock.now(), 1);
  assert.equal(fired, 0);
  await clock.advance(1);
  assert.equal(fired, 1);
});

test('a ticker without end is found out', async () => {
  const clock = new VirtualClock({ timerLimit: 50 });
  const tick = () => void clock.setTimeout(tick, 10);
  tick();
  await clock.advance(1_000);
  await assert.rejects(clock.runAll(), { name: 'RangeError', message: /50/ });
});

test('timers that fall due for ever at one instant are found out', async () => {
  const clock = new VirtualClock({ timerLimit: 50 });
  const tick = () => void clock.setTimeout(tick, 0);
  tick();
  await assert.rejects(clock.advance(1), { name: 'RangeError', message: /fall due at 0/ });
});

test('a callback runs in the async context that made the timer', async () => {
  const storage = new AsyncLocalStorage<string>();
  const clock = new VirtualClock();
  let seen: string | undefined;
  storage.run('maker', () => {
    clock.setTimeout(() => {
      seen = storage.getStore();
    }, 1);
  });
  await storage.run('mover', () => clock.advance(1));
  assert.equal(seen, 'maker');
});

test('wrong times and options are refused by name', async () => {
  assert.throws(() => new VirtualClock({ timeOrigin: 0.5 }), { name: 'RangeError', message: /timeOrigin .* 0\.5/ });
  assert.throws(() => new VirtualClock({ timerLimit: 0 }), { name: 'RangeError', message: /timerLimit .* 0/ });
  const clock = new VirtualClock();
  await assert.rejects(clock.advance(-1), { name: 'RangeError', message: /ms .* -1/ });
  await assert.rejects(clock.advance(Number.POSITIVE_INFINITY), RangeError);
  await assert.rejects(clock.advanceTo(Number.NaN), RangeError);
  assert.throws(() => clock.setTimeout(1 as never, 1), { name: 'TypeError', message: /callback/ });
});
