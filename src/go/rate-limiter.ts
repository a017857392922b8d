/** Go's x/time/rate, and a stricter one. */
import { show } from './checks.ts';
import { type Clock, realClock } from './clock.ts';
import type { Context } from './context.ts';
import type { Reservation } from './reservation.ts';
import { isContext, isSignal } from './scope.ts';
import { StrictLimit } from './strict-limit.ts';
import { TokenBucket } from './token-bucket.ts';
import { type WaitOptions, waitScope } from './wait-queue.ts';

/** What a {@link RateLimiter} is told. */
export interface RateLimiterOptions {
  /**
   * How many events per interval. Fractions are fine; 0 lets pass what the bucket holds and then nothing; `Infinity`
   * lets everything pass, whatever the burst. With `strict`, a whole number from 1.
   */
  readonly limit: number;
  /** The interval of the limit, in ms. Default 1,000. */
  readonly intervalMs?: number | undefined;
  /**
   * How many events at once after a quiet time, a whole number from 0. Default: the limit rounded down, at least 1; it
   * then goes with the limit when that is set. Not with `strict`.
   */
  readonly burst?: number | undefined;
  /** Never more than the limit in any window of `intervalMs`. Default false. */
  readonly strict?: boolean | undefined;
  /** Where time comes from. Default: the machine's clock. */
  readonly clock?: Clock | undefined;
}

/**
 * Says when events may happen, so that there are not too many in a time: Go's `rate.Limiter`.
 *
 * ```ts
 * const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 5 });
 * for (const url of urls) {
 *   await limiter.wait(1, ctx);
 *   void fetch(url, { signal: ctx.signal });
 * }
 * ```
 *
 * It is a bucket of `burst` tokens, full at first, to which `limit` tokens come in each `intervalMs`, evenly; an event
 * takes a token. So in any time `t` there are at most `burst + limit * t / intervalMs` events, which right after a
 * quiet time can be `burst + limit` in one interval. Who waits is let go by a timer of his own, as in Go: one that is late
 * comes closer to the next.
 *
 * With `strict: true` there are never more than `limit` in any window of `intervalMs`, however late timers are; two
 * events exactly `intervalMs` apart are in no window together. Those who wait are let go in the order in which they
 * came, and nobody is let past them. It remembers the events of one interval.
 */
export class RateLimiter {
  readonly #rule: TokenBucket | StrictLimit;

  /** @throws TypeError or RangeError when an option is wrong, and a TypeError when `burst` is given with `strict` */
  constructor(options: RateLimiterOptions) {
    if (typeof options !== 'object' || options === null) {
      throw new TypeError(`options must be an object, got ${show(options)}`);
    }
    const { limit, intervalMs = 1_000, burst, strict = false, clock = realClock } = options;
    check('intervalMs', intervalMs, intervalMs > 0 && intervalMs < Number.POSITIVE_INFINITY, 'above 0 and finite');
    if (typeof strict !== 'boolean') throw new TypeError(`strict must be true or false, got ${show(strict)}`);
    if (strict) {
      checkStrictLimit(limit);
      if (burst !== undefined) throw burstInStrict(burst);
      this.#rule = new StrictLimit(clock, intervalMs, limit);
    } else {
      checkLimit(limit);
      if (burst !== undefined) checkCount('burst', burst);
      this.#rule = new TokenBucket(clock, intervalMs, limit, burst);
    }
  }

  /** How many events per interval. */
  get limit(): number {
    return this.#rule.limit;
  }

  /** How many events at once at most. With `strict`, that is the limit. */
  get burst(): number {
    return this.#rule.burst;
  }

  /**
   * How many events could happen now. Without `strict` it may be a fraction, and below 0 when tokens are promised to
   * those who wait or reserved.
   */
  get tokens(): number {
    return this.#rule.tokens;
  }

  /**
   * Whether `n` events may happen now; if so, it takes their tokens. For what is dropped when there is too much.
   * @throws TypeError or RangeError when `n` isn't a whole number from 0, here and in the others
   */
  allow(n = 1): boolean {
    checkCount('n', n);
    return this.#rule.allow(n);
  }

  /**
   * Takes `n` tokens as soon as they can be had, and says when that is. Those reserved, or waited for, after it are
   * given their own times with regard to it, and keep them when it is canceled.
   *
   * With `strict` no window has too many if one acts exactly then. Who sleeps until then is a little late, so that the
   * next can come too close: there {@link RateLimiter.wait} is the better choice. Nothing is promised past those who
   * wait: while anyone does, it isn't ok, as `allow` is false.
   */
  reserve(n = 1): Reservation {
    checkCount('n', n);
    return this.#rule.reserve(n);
  }

  /**
   * Resolves when `n` events may happen. It keeps the process up meanwhile.
   *
   * Rejects with the cause when the context or signal is canceled first, and then has taken nothing; with a
   * DeadlineExceededError, at once, when the deadline of the context comes before its turn; with a RangeError, at once,
   * when `n` is above the burst, unless the limit is `Infinity`. Other than in Go, where it waits for the end of the
   * context, it also rejects with a RangeError when the limit is 0 and fewer tokens than `n` are left.
   */
  async wait(n = 1, ctx?: Context | AbortSignal | WaitOptions): Promise<void> {
    checkCount('n', n);
    const { burst, limit } = this;
    if (n > burst && limit !== Number.POSITIVE_INFINITY) {
      throw new RangeError(`n must be at most the burst (${burst}), got ${n}`);
    }
    const scope = waitScope(ctx);
    const signal = isContext(ctx) || isSignal(ctx) ? ctx : ctx?.signal;
    const deadline = isContext(signal) ? signal.deadline : undefined;
    const clock = scope?.clock ?? realClock;
    const leftMs = deadline === undefined ? Number.POSITIVE_INFINITY : deadline - clock.timeOrigin - clock.now();
    await this.#rule.wait(n, signal, leftMs);
  }

  /**
   * Another limit from now on. What was reserved keeps its time, and so do those who wait; but with `strict` they are
   * let go by the new limit, and if one of them wants more than that at once, it is rejected with a RangeError.
   * @throws TypeError or RangeError as the constructor does
   */
  setLimit(limit: number): void {
    if (this.#rule instanceof StrictLimit) checkStrictLimit(limit);
    else checkLimit(limit);
    this.#rule.setLimit(limit);
  }

  /**
   * Another burst from now on. The bucket gets no tokens by it.
   * @throws TypeError or RangeError as the constructor does: with `strict` always
   */
  setBurst(burst: number): void {
    if (this.#rule instanceof StrictLimit) throw burstInStrict(burst);
    checkCount('burst', burst);
    this.#rule.setBurst(burst);
  }
}

function checkLimit(limit: number): void {
  check('limit', limit, limit >= 0, 'at least 0');
}

function checkStrictLimit(limit: number): void {
  check('limit', limit, Number.isSafeInteger(limit) && limit >= 1, 'a whole number from 1 when strict');
}

function checkCount(name: string, count: number): void {
  check(name, count, Number.isInteger(count) && count >= 0, 'a whole number from 0');
}

function check(name: string, value: number, isGood: boolean, what: string): void {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, got ${show(value)}`);
  if (!isGood) throw new RangeError(`${name} must be ${what}, got ${value}`);
}

function burstInStrict(burst: number): TypeError {
  return new TypeError(`burst can't be set when strict: it is the limit; got ${show(burst)}`);
}
