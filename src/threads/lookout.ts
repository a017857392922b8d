/**
 * Looks out for the answers of threads that have just been called, for a tenth of a millisecond: to be woken takes longer
 * than a short call itself. The event loop goes on meanwhile, so timers and I/O have their turns.
 */
import { availableParallelism } from 'node:os';
import { Luck } from './luck.ts';
import { LOOKS, SHORT_MS, SPIN_MS } from './protocol.ts';

/** With one processor, who looks out keeps the other side from going on. */
export const canSpin = availableParallelism() > 1;

/** How long to look in vain, and how long answers may follow one another, without a turn of the event loop. */
const LOOK_MS = 0.01;
const TURN_MS = 0.1;

/** One thread, as far as looking out for its answers goes. */
export abstract class Awaited {
  readonly #luck = new Luck();
  #isWatched = false;
  #hasWaited = false;
  /** When the last call was sent, when the last answer came, and how long that took. */
  #sentAt = 0;
  #answeredAt = 0;
  #lastMs = Number.POSITIVE_INFINITY;

  /** Whether messages have come: a read of shared memory. */
  abstract get hasMore(): boolean;
  /** Whether answers are awaited. */
  protected abstract get isBusy(): boolean;
  protected abstract drain(): void;

  /** A call was sent. When the last was short and not long ago, its answer is worth looking out for. */
  protected called(): void {
    if (!canSpin) return;
    const now = performance.now();
    const isOften = this.#lastMs < SHORT_MS && now - this.#answeredAt < SHORT_MS;
    this.#sentAt = now;
    this.#hasWaited = false;
    if (!this.#isWatched) {
      if (!isOften || !this.#luck.isGood) return;
      this.#isWatched = true;
      lookout.add(this);
    }
    lookout.goOn(now);
  }

  protected answered(): void {
    if (!canSpin) return;
    this.#answeredAt = lookout.isTaking ? lookout.now : performance.now();
    this.#lastMs = this.#answeredAt - this.#sentAt;
  }

  /** Takes what has come. */
  take(): void {
    // What is there at the first look would have been there without.
    if (this.#hasWaited) this.#luck.hit();
    this.drain();
  }

  /** Nothing has come yet. */
  waited(): void {
    this.#hasWaited = true;
  }

  /** Whether there is more to look out for. */
  stays(): boolean {
    this.#isWatched = this.isBusy;
    return this.#isWatched;
  }

  /** Nothing has come in time. */
  missed(): void {
    this.#isWatched = false;
    this.#luck.miss();
  }
}

class Lookout {
  /** While messages are taken: when they were found. */
  isTaking = false;
  now = Number.NaN;
  readonly #watched: Awaited[] = [];
  #isLooking = false;
  #until = Number.NaN;
  /** When the event loop has last had its turn. */
  #turnAt = Number.NaN;

  add(one: Awaited): void {
    this.#watched.push(one);
  }

  goOn(now: number): void {
    this.#until = now + SPIN_MS;
    if (this.#isLooking) return;
    this.#isLooking = true;
    setImmediate(this.#lookAnew);
  }

  readonly #lookAnew = (): void => {
    this.#turnAt = performance.now();
    this.#look();
  };

  readonly #look = (): void => {
    const hasFound = this.#find();
    const watched = this.#watched;
    for (let i = watched.length - 1; i >= 0; i--) if (!watched[i]!.stays()) watched.splice(i, 1);
    // Who awaits the answers comes first, and may make the next call.
    if (hasFound && this.now - this.#turnAt < TURN_MS) void SETTLED.then(this.#afterMicrotasks);
    else if (hasFound || (watched.length > 0 && this.now < this.#until)) setImmediate(this.#lookAnew);
    else {
      for (const one of watched.splice(0)) one.missed();
      this.#isLooking = false;
    }
  };

  readonly #afterMicrotasks = (): void => process.nextTick(this.#look);

  /** Takes what has come as soon as something has. False if nothing has in time. */
  #find(): boolean {
    const watched = this.#watched;
    let end = 0;
    while (watched.length > 0) {
      for (let looks = LOOKS; looks > 0; looks--) {
        for (const one of watched) if (one.hasMore) return this.#take();
      }
      for (const one of watched) one.waited();
      this.now = performance.now();
      if (end === 0) end = this.now + LOOK_MS;
      else if (this.now > end) break;
    }
    return false;
  }

  #take(): true {
    this.now = performance.now();
    this.isTaking = true;
    for (const one of this.#watched) if (one.hasMore) one.take();
    this.isTaking = false;
    return true;
  }
}

const SETTLED = Promise.resolve();
const lookout = new Lookout();
