/**
 * How many events a second there are now: a count over the last few seconds, in a ring of buckets. An event costs an
 * addition, and it takes its time from the caller, who has read the clock already.
 *
 * Invariant: `total` is the sum of the ring, which holds the bucket of the latest time seen and those just before it.
 */

/** Counts events over a sliding window. */
export class SlidingWindow {
  readonly #startedAt: number;
  readonly #bucketMs: number;
  readonly #counts: Float64Array;
  #total = 0;
  /** The number of the current bucket since the start; it lives in the ring at its remainder. */
  #current = 0;
  #index = 0;
  /** When the current bucket is over, so that an event within it needs no division. */
  #currentEndsAt: number;

  /**
   * @param now where counting begins: the time in ms of the clock that the other methods' times come from
   * @param windowMs how far back a rate looks
   * @param buckets the rate looks back up to one bucket less than the window: more buckets, less of a step
   */
  constructor(now: number, windowMs = 10_000, buckets = 20) {
    this.#startedAt = now;
    this.#bucketMs = windowMs / buckets;
    this.#counts = new Float64Array(buckets);
    this.#currentEndsAt = now + this.#bucketMs;
  }

  /** Counts one event at `now`. A time before one seen earlier counts as that one. */
  add(now: number): void {
    if (now >= this.#currentEndsAt) this.#moveTo(now);
    this.#counts[this.#index]!++;
    this.#total++;
  }

  /**
   * Events a second over the time the ring covers: the window, less what the current bucket still lacks. Of a younger
   * one it is the time since its start, but no less than a bucket: else the first event would be a rate without bound.
   */
  rate(now: number): number {
    if (now >= this.#currentEndsAt) this.#moveTo(now);
    const oldest = Math.max(0, this.#current - this.#counts.length + 1);
    const coveredMs = now - this.#startedAt - oldest * this.#bucketMs;
    return (this.#total * 1_000) / Math.max(coveredMs, this.#bucketMs);
  }

  #moveTo(now: number): void {
    const size = this.#counts.length;
    // Rounding may put a time at the very end of a bucket back into it; never go back.
    const target = Math.max(this.#current, Math.floor((now - this.#startedAt) / this.#bucketMs));
    if (target - this.#current >= size) {
      this.#counts.fill(0);
      this.#total = 0;
    } else {
      for (let bucket = this.#current + 1; bucket <= target; bucket++) {
        const index = bucket % size;
        this.#total -= this.#counts[index]!;
        this.#counts[index] = 0;
      }
    }
    this.#current = target;
    this.#index = target % size;
    this.#currentEndsAt = this.#startedAt + (target + 1) * this.#bucketMs;
  }
}
