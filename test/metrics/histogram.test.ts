import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Histogram } from '../../src/metrics/histogram.ts';

const LONGEST_MS = 2 ** 22;
const percent = fc.double({ min: 0, max: 100, noNaN: true });
/** Spread over the orders of magnitude, as durations are. */
const duration = fc.double({ min: -9.9, max: 21.9, noNaN: true }).map((exponent) => 2 ** exponent);

function histogramOf(durations: Iterable<number>): Histogram {
  const histogram = new Histogram();
  for (const ms of durations) histogram.record(ms);
  return histogram;
}

function exactPercentile(durations: readonly number[], p: number): number {
  const sorted = durations.toSorted((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil((p * sorted.length) / 100)) - 1]!;
}

test('a percentile is within 1.6 % of the exact one', () => {
  fc.assert(
    fc.property(fc.array(duration, { minLength: 1, maxLength: 300 }), percent, (durations, p) => {
      const exact = exactPercentile(durations, p);
      const error = Math.abs(histogramOf(durations).percentile(p) - exact) / exact;
      assert.ok(error <= 0.016, `off by ${error}`);
    }),
  );
});

test('percentiles never fall as p rises, and end at the exact minimum and maximum', () => {
  fc.assert(
    fc.property(fc.array(duration, { minLength: 1, maxLength: 300 }), percent, percent, (durations, p, q) => {
      const histogram = histogramOf(durations);
      assert.ok(histogram.percentile(Math.min(p, q)) <= histogram.percentile(Math.max(p, q)));
      assert.equal(histogram.percentile(0), Math.min(...durations));
      assert.equal(histogram.percentile(100), Math.max(...durations));
    }),
  );
});

test('count, sum, min, max and average are exact', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 10_000_000 }), { minLength: 1 }), (durations) => {
      const histogram = histogramOf(durations);
      const sum = durations.reduce((a, b) => a + b, 0);
      assert.equal(histogram.count, durations.length);
      assert.equal(histogram.sum, sum);
      assert.equal(histogram.min, Math.min(...durations));
      assert.equal(histogram.max, Math.max(...durations));
      assert.equal(histogram.average, sum / durations.length);
    }),
  );
});

test('an empty histogram says 0 to everything', () => {
  const { count, sum, min, max, average } = new Histogram();
  assert.deepEqual([count, sum, min, max, average], [0, 0, 0, 0, 0]);
  assert.equal(new Histogram().percentile(50), 0);
});

test('a single duration is every percentile, exactly', () => {
  const histogram = histogramOf([12.345]);
  for (const p of [0, 1, 50, 99, 100]) assert.equal(histogram.percentile(p), 12.345);
});

test('what is shorter than a microsecond is known to the microsecond', () => {
  const histogram = histogramOf([0, 0.000_1, 0.000_2, 0.000_3]);
  assert.equal(histogram.min, 0);
  assert.ok(histogram.percentile(50) < 0.001);
});

test('what is longer than the range is clamped in the percentiles and exact in sum and maximum', () => {
  const histogram = histogramOf([1, 10 * LONGEST_MS, 20 * LONGEST_MS, 30 * LONGEST_MS]);
  assert.ok(histogram.percentile(50) >= LONGEST_MS * 0.96);
  assert.equal(histogram.max, 30 * LONGEST_MS);
  assert.equal(histogram.sum, 1 + 60 * LONGEST_MS);
});

test('a negative duration and NaN count as 0', () => {
  const histogram = histogramOf([-5, Number.NaN, Number.NEGATIVE_INFINITY]);
  assert.equal(histogram.count, 3);
  assert.equal(histogram.sum, 0);
  assert.equal(histogram.percentile(50), 0);
});

test('the bounds of every bucket are counted on the side they belong to', () => {
  for (let exponent = -10; exponent < 22; exponent++) {
    for (const ms of [2 ** exponent, 2 ** exponent * (1 - 2 ** -20), 2 ** exponent * (1 + 1 / 32)]) {
      if (ms < 2 ** -10) continue;
      // Between two others, so that the answer isn't the minimum or the maximum.
      const error = Math.abs(histogramOf([0, ms, 2 ** 23]).percentile(50) - ms) / ms;
      assert.ok(error <= 0.016, `${ms} is off by ${error}`);
    }
  }
});

test('a percentile outside 0 to 100 is refused', () => {
  const histogram = new Histogram();
  assert.throws(() => histogram.percentile(101), { name: 'RangeError', message: /p must be .* not 101/ });
  assert.throws(() => histogram.percentile(-1), RangeError);
  assert.throws(() => histogram.percentile(Number.NaN), RangeError);
});
