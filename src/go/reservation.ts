/** What a rate limiter promises for later. */
import type { Clock } from './clock.ts';

/**
 * A place in the future of a `RateLimiter`, Go's `rate.Reservation`. It is taken already: act when
 * {@link Reservation.delayMs} has passed, or cancel it.
 */
export class Reservation {
  readonly #clock: Clock;
  readonly #at: number;
  #giveBack: (() => void) | undefined;

  /** @internal `at` is in the clock's time; `Infinity` is never. */
  constructor(clock: Clock, at: number, giveBack?: () => void) {
    this.#clock = clock;
    this.#at = at;
    this.#giveBack = giveBack;
  }

  /**
   * False if nothing could be promised, and nothing is taken: it was more than the burst, or than what is left when the
   * limit is 0. With `strict`, also when anyone waits.
   */
  get ok(): boolean {
    return this.#at !== Number.POSITIVE_INFINITY;
  }

  /** How long from now until one may act, in ms: 0 is at once, `Infinity` never. */
  get delayMs(): number {
    return Math.max(0, this.#at - this.#clock.now());
  }

  /**
   * Gives back what was taken, less what was promised to others after it, who keep their times. Nothing when its own
   * time has passed, as one may have acted; and nothing the second time.
   */
  cancel(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    if (this.#at >= this.#clock.now()) giveBack?.();
  }
}
