import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SlidingWindow } from '../../src/metrics/window.ts';

const WINDOW_MS = 10_000;
const BUCKETS = 20;
const BUCKET_MS = WINDOW_MS / BUCKETS;

/** Keeps every event, and counts those in the buckets that the window covers at `now`. */
function naiveRate(events: readonly number[], startedAt: number, now: number): number {
  const bucket = Math.floor((now - startedAt) / BUCKET_MS);
  const from = startedAt + Math.max(0, bucket - BUCKETS + 1) * BUCKET_MS;
  const count = events.filter((time) => time >= from).length;
  return (count * 1_000) / Math.max(now - from, BUCKET_MS);
}

test('the rate is that of a model which keeps every event', () => {
  // Steps within a bucket, over some, and past the whole window; 0 is a clock that stands still.
  const step = fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 1_500 }), fc.nat({ max: 40_000 }));
  const move = fc.record({ step, isEvent: fc.boolean() });
  fc.assert(
    fc.property(fc.nat({ max: 1e9 }), fc.array(move, { maxLength: 200 }), (startedAt, moves) => {
      const window = new SlidingWindow(startedAt, WINDOW_MS, BUCKETS);
      const events: number[] = [];
      let now = startedAt;
      for (const { step, isEvent } of moves) {
        now += step;
        if (isEvent) {
          window.add(now);
          events.push(now);
        } else {
          assert.equal(window.rate(now), naiveRate(events, startedAt, now));
        }
      }
      assert.equal(window.rate(now), naiveRate(events, startedAt, now));
    }),
  );
});

test('a steady stream has its own rate', () => {
  const window = new SlidingWindow(0);
  for (let now = 0; now < 60_000; now += 10) window.add(now);
  assert.equal(window.rate(60_000), 100);
});

test('a young window divides by its age', () => {
  const window = new SlidingWindow(5_000);
  for (let i = 0; i < 30; i++) window.add(5_000 + i);
  assert.equal(window.rate(8_000), 10);
});

test('one younger than a bucket, or a clock that stands still, divides by a bucket', () => {
  const window = new SlidingWindow(0);
  for (let i = 0; i < 10; i++) window.add(0);
  assert.equal(window.rate(0), 20);
  assert.equal(window.rate(100), 20);
});

test('after a long silence the rate is 0, and new events count anew', () => {
  const window = new SlidingWindow(0);
  for (let i = 0; i < 1_000; i++) window.add(i);
  assert.equal(window.rate(3_600_000), 0);
  for (let i = 0; i < 95; i++) window.add(3_600_000);
  assert.equal(window.rate(3_600_000), 10);
});

test('a time before one already seen counts as that one', () => {
  const window = new SlidingWindow(0);
  window.add(9_000);
  window.add(2_000);
  assert.equal(window.rate(10_000) * 9.5, 2);
});

test('fractional times do not unbalance the ring', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e7, noNaN: true }),
      fc.array(fc.double({ min: 0, max: 700, noNaN: true }), { maxLength: 300 }),
      (startedAt, steps) => {
        const window = new SlidingWindow(startedAt, 1_000, 7);
        let now = startedAt;
        for (const step of steps) {
          now += step;
          window.add(now);
          assert.ok(window.rate(now) > 0);
        }
        assert.equal(window.rate(now + 2_000), 0);
      },
    ),
  );
});
