/** Whether and when a failed run is repeated, by its retry policy. */
import type { RetryPolicy } from './types.ts';

const BASE_MS = 100;
const MAX_MS = 30_000;
const MAX_DOUBLINGS = 64;

/** Who hears of a throw in a user's `retryIf` or `backoff`. */
export interface Reporter {
  report(error: unknown, what: string): void;
}

export function worthRetrying(policy: RetryPolicy, error: unknown, attempt: number, reporter: Reporter): boolean {
  if (policy.retryIf === undefined) return true;
  try {
    return policy.retryIf(error, attempt);
  } catch (thrown) {
    reporter.report(thrown, 'retryIf threw');
    return false;
  }
}

/** The pause in ms after the given attempt (from 1) has failed. */
export function pauseBefore(
  policy: RetryPolicy,
  attempt: number,
  error: unknown,
  reporter: Reporter,
  random: () => number = Math.random,
): number {
  const { backoff = 'exponential', baseMs = BASE_MS, maxMs = MAX_MS, jitter = 'none' } = policy;
  let pauseMs: number;
  if (typeof backoff === 'function') {
    try {
      pauseMs = backoff(attempt, error);
    } catch (thrown) {
      reporter.report(thrown, 'backoff threw');
      pauseMs = baseMs;
    }
    if (typeof pauseMs !== 'number' || !(pauseMs >= 0)) {
      reporter.report(
        new RangeError(`backoff must return ms of at least 0, but returned ${pauseMs}`),
        'backoff is wrong',
      );
      pauseMs = baseMs;
    }
  } else if (backoff === 'constant') pauseMs = baseMs;
  else if (backoff === 'linear') pauseMs = baseMs * attempt;
  // So many doublings and no more: 2 ** 1024 is Infinity, and that times 0 is no time at all.
  else pauseMs = baseMs * 2 ** Math.min(attempt - 1, MAX_DOUBLINGS);
  pauseMs = Math.min(pauseMs, maxMs);
  if (jitter === 'full') return pauseMs * random();
  if (jitter === 'equal') return (pauseMs * (1 + random())) / 2;
  return pauseMs;
}
