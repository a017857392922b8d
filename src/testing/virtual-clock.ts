/**
 * Time that stands still until a test moves it. An hour passes in milliseconds, timers fire in exactly the order of
 * their times, and what they set off has its turn before the next one fires. After the test clocks of Tokio and Sinon.
 *
 * Invariant: `timers` is sorted by due time, then by creation; `now()` never goes back.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Clock, ClockTimer } from '../go/clock.ts';
import { turn } from './turn.ts';

/** What a {@link VirtualClock} can be told. */
export interface VirtualClockOptions {
  /** What `now() === 0` means in ms since the Unix epoch, a whole number. Default 0. */
  readonly timeOrigin?: number | undefined;
  /**
   * How many timers may fire at one instant, and how many in one `runAll()`, before that is held to be endless.
   * Default 100,000.
   */
  readonly timerLimit?: number | undefined;
}

interface VirtualTimer {
  readonly dueAt: number;
  readonly callback: () => void;
}

/** As the real clock has it: a longer delay fires early, and whoever waits must look at `now()`. */
const MAX_DELAY_MS = 2 ** 31 - 1;
/** A chain of native promises is done within one turn; work that goes through a MessageChannel may need the second. */
const MIN_TURNS = 2;
/** Enough for a million tasks that yield every thousand; the bound is for what yields for ever. */
const MAX_TURNS = 1_000;

/**
 * A {@link Clock} for tests. It starts at 0 and moves by {@link VirtualClock.advance}; calls are served one after
 * another, however they overlap.
 *
 * Before time moves, and after each timer, the clock lets things settle: it gives the event loop two real turns, and
 * more, up to 1,000, while a `setImmediate` is pending. So microtasks, promise chains and immediates are done when the
 * next timer fires; real I/O, threads and real timers are not waited for.
 */
export class VirtualClock implements Clock {
  /** What `now() === 0` means, in ms since the epoch. */
  readonly timeOrigin: number;
  readonly #timerLimit: number;
  readonly #timers: VirtualTimer[] = [];
  #now = 0;
  /** By how much the clock on the wall has been set. */
  #setBy = 0;
  /** The end of the last call: the next begins there. */
  #tail: Promise<void> = Promise.resolve();

  /** @throws TypeError or RangeError when an option is wrong */
  constructor(options: VirtualClockOptions = {}) {
    const { timeOrigin = 0, timerLimit = 100_000 } = options;
    if (!Number.isSafeInteger(timeOrigin)) throw new RangeError(`timeOrigin must be a whole number, not ${timeOrigin}`);
    if (!(timerLimit >= 1)) throw new RangeError(`timerLimit must be at least 1, not ${timerLimit}`);
    this.timeOrigin = timeOrigin;
    this.#timerLimit = timerLimit;
  }

  /** How many timers are pending. */
  get timerCount(): number {
    return this.#timers.length;
  }

  /** When the next timer is due, by `now()`; undefined when none is pending. */
  get nextTimerAt(): number | undefined {
    return this.#timers[0]?.dueAt;
  }

  /** How much time has passed since the beginning, in ms. */
  now(): number {
    return this.#now;
  }

  /** The time of day, in ms since the epoch: also what {@link VirtualClock.jump} has made of it. */
  wallTime(): number {
    return this.timeOrigin + this.#now + this.#setBy;
  }

  /**
   * Sets the clock on the wall forward, or back, by `ms`: {@link VirtualClock.wallTime} jumps, `now()` and timers don't.
   *
   * @throws RangeError when `ms` is not finite
   */
  jump(ms: number): void {
    if (!Number.isFinite(ms)) throw new RangeError(`ms must be finite, not ${ms}`);
    this.#setBy += ms;
  }

  /** A delay of 0, less, or NaN is due at once: it fires when the clock is next advanced, even by 0. */
  setTimeout(callback: () => void, ms: number): ClockTimer {
    if (typeof callback !== 'function') throw new TypeError(`callback must be a function, not ${String(callback)}`);
    const delay = ms > 0 ? Math.min(ms, MAX_DELAY_MS) : 0;
    // As with real timers, the callback runs in the async context of this call, not in that of who moves the clock.
    const timer: VirtualTimer = { dueAt: this.#now + delay, callback: AsyncResource.bind(callback) };
    this.#timers.splice(this.#indexAfter(timer.dueAt), 0, timer);
    return timer;
  }

  /** Has a timer not fire. Harmless when it has, or is none. */
  clearTimeout(timer: ClockTimer): void {
    const index = this.#timers.indexOf(timer as VirtualTimer);
    if (index !== -1) this.#timers.splice(index, 1);
  }

  /**
   * Moves time `ms` on, from where earlier calls leave it, and fires the timers that fall due: each at its own time,
   * in order, those of one time in the order they were made, those made meanwhile included.
   *
   * `advance(0)` moves no time: it lets things settle and fires what is due now.
   *
   * @returns when all that has settled. Rejects with what a timer's callback throws: time then stands at that timer,
   * and those after it are still pending. Rejects with RangeError when `ms` is negative or not finite, or when more
   * than `timerLimit` timers fire at one instant.
   */
  advance(ms: number): Promise<void> {
    return this.#inTurn(() => {
      if (!(Number.isFinite(ms) && ms >= 0)) throw new RangeError(`ms must be at least 0 and finite, not ${ms}`);
      return this.#moveTo(this.#now + ms);
    });
  }

  /**
   * Moves time to where `now()` is `time`, as {@link VirtualClock.advance} does.
   *
   * @returns as `advance`; rejects with RangeError when `time` is not finite or has passed
   */
  advanceTo(time: number): Promise<void> {
    return this.#inTurn(() => {
      if (!(Number.isFinite(time) && time >= this.#now)) {
        throw new RangeError(`time must be at least now, ${this.#now}, and finite, not ${time}`);
      }
      return this.#moveTo(time);
    });
  }

  /**
   * Moves time on until no timer is left.
   *
   * @returns as `advance`; rejects with RangeError when more than `timerLimit` timers have fired: a ticker has no end
   */
  runAll(): Promise<void> {
    return this.#inTurn(async () => {
      await settle();
      for (let fired = 0; this.#timers.length > 0; fired++) {
        if (fired >= this.#timerLimit) {
          throw new RangeError(`timers are still pending after ${fired} have fired: is there one that has no end?`);
        }
        this.#fireFirst();
        await settle();
      }
    });
  }

  async #moveTo(time: number): Promise<void> {
    await settle();
    let firedNow = 0;
    while (this.#timers.length > 0 && this.#timers[0]!.dueAt <= time) {
      const before = this.#now;
      this.#fireFirst();
      firedNow = this.#now === before ? firedNow + 1 : 1;
      if (firedNow > this.#timerLimit) {
        throw new RangeError(`timers still fall due at ${this.#now} after ${firedNow} have fired there`);
      }
      await settle();
    }
    this.#now = Math.max(this.#now, time);
  }

  #fireFirst(): void {
    const timer = this.#timers.shift()!;
    this.#now = Math.max(this.#now, timer.dueAt);
    timer.callback();
  }

  #inTurn(move: () => Promise<void>): Promise<void> {
    const moved = this.#tail.then(move);
    this.#tail = moved.catch(() => {}); // its caller hears of it; the next call goes on from there
    return moved;
  }

  /** Where a timer due then belongs: after all that are due no later. */
  #indexAfter(dueAt: number): number {
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#timers[middle]!.dueAt <= dueAt) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < MIN_TURNS || (turns < MAX_TURNS && isImmediatePending()); turns++) await turn();
}

function isImmediatePending(): boolean {
  return process.getActiveResourcesInfo().includes('Immediate');
}
