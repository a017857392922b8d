/**
 * The token bucket of Go's x/time/rate. Who comes takes his tokens at once, even those that are not there yet, and then
 * waits until they would be. So the bucket may be in debt, and nobody stands in a queue.
 *
 * Invariant: `#tokens` is what the bucket held at `#at`, less all that was promised by then for later.
 */
import type { Clock } from './clock.ts';
import type { Context } from './context.ts';
import { DeadlineExceededError } from './errors.ts';
import { Reservation } from './reservation.ts';
import { sleep } from './time.ts';

/** What comes in less than a microsecond is there: sums of fractions are not exact, and no timer is either. */
const AT_ONCE_MS = 1e-3;

/** Tokens that were taken. */
interface Promised {
  /** When they may be used. */
  readonly at: number;
  /** The latest time that was promised to anyone by then. */
  readonly latest: number;
  /** At what rate. It may be another one since. */
  readonly rate: number;
  tokens: number;
  canceled: boolean;
}

export class TokenBucket {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #limit: number;
  #burst: number | undefined;
  #tokens: number;
  #at: number;
  /** In the order in which they were made, without those whose time has passed. */
  readonly #promised: Promised[] = [];

  constructor(clock: Clock, intervalMs: number, limit: number, burst: number | undefined) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#limit = limit;
    this.#burst = burst;
    this.#tokens = this.burst;
    this.#at = clock.now();
  }

  get limit(): number {
    return this.#limit;
  }

  get burst(): number {
    return this.#burst ?? Math.max(1, Math.floor(this.#limit));
  }

  get tokens(): number {
    return this.#tokensAt(this.#clock.now());
  }

  setLimit(limit: number): void {
    this.#fill(this.#clock.now());
    this.#limit = limit;
  }

  setBurst(burst: number): void {
    this.#fill(this.#clock.now());
    this.#burst = burst;
  }

  allow(n: number): boolean {
    const now = this.#clock.now();
    if (this.#delayOf(n, now) > 0) return false;
    this.#take(n, now, now);
    return true;
  }

  reserve(n: number): Reservation {
    const now = this.#clock.now();
    const at = now + this.#delayOf(n, now);
    if (at === Number.POSITIVE_INFINITY) return new Reservation(this.#clock, at);
    const promised = this.#take(n, at, now);
    return new Reservation(this.#clock, at, promised && (() => this.#giveBack(promised)));
  }

  async wait(n: number, signal: Context | AbortSignal | undefined, leftMs: number): Promise<void> {
    const now = this.#clock.now();
    const ms = this.#delayOf(n, now);
    if (ms > leftMs) throw new DeadlineExceededError('the deadline comes before the turn');
    if (ms === Number.POSITIVE_INFINITY) {
      throw new RangeError(`n must be at most the tokens that are left at limit 0 (${this.tokens}), got ${n}`);
    }
    const promised = this.#take(n, now + ms, now);
    if (promised === undefined || ms === 0) return;
    try {
      await sleep(ms, { signal, clock: this.#clock });
    } catch (error) {
      this.#giveBack(promised);
      throw error;
    }
  }

  /** Tokens a ms. */
  get #rate(): number {
    return this.#limit / this.#intervalMs;
  }

  #tokensAt(now: number): number {
    const elapsedMs = now - this.#at;
    const more = elapsedMs > 0 ? elapsedMs * this.#rate : 0; // as 0 * Infinity isn't 0
    return Math.min(this.burst, this.#tokens + more);
  }

  /** Only when something changes, as many small sums are less exact than a large one. */
  #fill(now: number): void {
    this.#tokens = this.#tokensAt(now);
    this.#at = now;
  }

  /** How long until `n` tokens are there, in ms. */
  #delayOf(n: number, now: number): number {
    if (this.#rate === Number.POSITIVE_INFINITY) return 0;
    if (n > this.burst) return Number.POSITIVE_INFINITY;
    const ms = (n - this.#tokensAt(now)) / this.#rate;
    return ms >= AT_ONCE_MS ? ms : 0; // 0 too for 0 / 0, all that is left when the limit is 0
  }

  #take(tokens: number, at: number, now: number): Promised | undefined {
    const rate = this.#rate;
    if (rate === Number.POSITIVE_INFINITY) return undefined;
    this.#fill(now);
    this.#tokens -= tokens;
    const promised = this.#promised;
    while (promised.length > 0 && promised[0]!.at < now) promised.shift();
    const latest = Math.max(at, promised.at(-1)?.latest ?? at);
    const promise = { at, latest, rate, tokens, canceled: false };
    promised.push(promise);
    return promise;
  }

  /**
   * Gives back the tokens, less those promised after them: whoever waits for these isn't moved forward, and if the
   * bucket were full by then, they would come on top of a whole burst. When all of them are canceled too, nobody is
   * left for whom to keep anything back. (Go keeps it, and so is dead for a while when many who wait give up at once.)
   */
  #giveBack(promise: Promised): void {
    this.#fill(this.#clock.now());
    const promised = this.#promised;
    const after = ((promised.at(-1)?.latest ?? promise.at) - promise.at) * promise.rate;
    const kept = Math.min(promise.tokens, after);
    this.#tokens += promise.tokens - kept;
    promise.tokens = kept;
    promise.canceled = true;
    for (let last = promised.at(-1); last?.canceled; last = promised.at(-1)) {
      this.#tokens += last.tokens;
      promised.pop();
    }
  }
}
