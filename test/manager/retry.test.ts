import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pauseBefore, worthRetrying } from '../../src/manager/retry.ts';
import type { RetryPolicy } from '../../src/manager/types.ts';

const silent = { report: (error: unknown) => assert.fail(`reported ${String(error)}`) };

function pauses(policy: RetryPolicy, attempts: readonly number[], random?: () => number): number[] {
  return attempts.map((attempt) => pauseBefore(policy, attempt, new Error('x'), silent, random));
}

function reporting(): { reports: unknown[]; report: (error: unknown) => void } {
  const reports: unknown[] = [];
  return { reports, report: (error) => reports.push(error) };
}

test('by default the pause doubles from 100 ms up to 30,000', () => {
  assert.deepEqual(pauses({ attempts: 99 }, [1, 2, 3, 9, 10, 50]), [100, 200, 400, 25_600, 30_000, 30_000]);
});

test('a constant backoff stays, a linear one grows by its base, a doubling one doubles', () => {
  const attempts = [1, 2, 3, 4];
  const policy = { attempts: 9, baseMs: 10 };
  assert.deepEqual(pauses({ ...policy, backoff: 'constant' }, attempts), [10, 10, 10, 10]);
  assert.deepEqual(pauses({ ...policy, backoff: 'linear' }, attempts), [10, 20, 30, 40]);
  assert.deepEqual(pauses({ ...policy, backoff: 'exponential' }, attempts), [10, 20, 40, 80]);
});

test('no pause is longer than maxMs, whatever the backoff', () => {
  for (const backoff of ['constant', 'linear', 'exponential', () => 1_000] as const) {
    assert.deepEqual(pauses({ attempts: 9, backoff, baseMs: 100, maxMs: 50 }, [1, 2, 3]), [50, 50, 50]);
  }
});

test('a base of 0 means no pause, at the thousandth attempt too', () => {
  assert.deepEqual(pauses({ attempts: Infinity, baseMs: 0 }, [1, 2, 1_025, 5_000]), [0, 0, 0, 0]);
});

test('full jitter draws from nothing to the pause, equal jitter from its half', () => {
  const policy: RetryPolicy = { attempts: 9, baseMs: 100, backoff: 'constant' };
  assert.deepEqual(
    pauses({ ...policy, jitter: 'full' }, [1], () => 0.25),
    [25],
  );
  assert.deepEqual(
    pauses({ ...policy, jitter: 'equal' }, [1], () => 0.5),
    [75],
  );
  assert.deepEqual(
    pauses({ ...policy, jitter: 'none' }, [1], () => assert.fail('no luck is needed')),
    [100],
  );
});

test('a backoff function gets the number of the failed attempt and its error', () => {
  const calls: unknown[] = [];
  const error = new Error('boom');
  const backoff = (...args: unknown[]): number => {
    calls.push(args);
    return 7;
  };
  assert.equal(pauseBefore({ attempts: 9, backoff }, 3, error, silent), 7);
  assert.deepEqual(calls, [[3, error]]);
});

test('a backoff function that throws is reported, and the base taken', () => {
  const reporter = reporting();
  const thrown = new Error('backoff is broken');
  const backoff = (): number => {
    throw thrown;
  };
  assert.equal(pauseBefore({ attempts: 9, backoff, baseMs: 12 }, 1, undefined, reporter), 12);
  assert.deepEqual(reporter.reports, [thrown]);
});

test('a backoff function that returns no time is reported, and the base taken', () => {
  for (const wrong of [-1, Number.NaN, undefined, '5', null]) {
    const reporter = reporting();
    const backoff = (): number => wrong as number;
    assert.equal(pauseBefore({ attempts: 9, backoff, baseMs: 12 }, 1, undefined, reporter), 12, String(wrong));
    assert.ok(reporter.reports[0] instanceof RangeError, String(wrong));
  }
});

test('without retryIf every error is worth another attempt', () => {
  assert.equal(worthRetrying({ attempts: 2 }, new Error('x'), 1, silent), true);
});

test('retryIf decides by error and attempt', () => {
  const retryIf = (error: unknown, attempt: number): boolean => (error as Error).message === 'again' && attempt < 2;
  const policy = { attempts: 5, retryIf };
  assert.equal(worthRetrying(policy, new Error('again'), 1, silent), true);
  assert.equal(worthRetrying(policy, new Error('again'), 2, silent), false);
  assert.equal(worthRetrying(policy, new Error('never'), 1, silent), false);
});

test('a retryIf that throws is reported and counts as no', () => {
  const reporter = reporting();
  const thrown = new Error('retryIf is broken');
  const retryIf = (): boolean => {
    throw thrown;
  };
  assert.equal(worthRetrying({ attempts: 5, retryIf }, new Error('x'), 1, reporter), false);
  assert.deepEqual(reporter.reports, [thrown]);
});
