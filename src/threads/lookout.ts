/**
 * Looks out for the answers of threads that have just been called, for a tenth of a millisecond: to be woken takes longer
 * than a short call itself. The event loop goes on meanwhile, so timers and I/O have their turns.
 */
import { availableParallelism } from 'node:os';
import { Luck } from './luck.ts';
import { SHORT_MS, SPIN_MS } from './protocol.ts';

/** With one processor, who looks out keeps the other side from going on. */
export const canSpin = availableParallelism() > 1;

/** How long a look may take, and how long looks may follow one another, without a turn of the event loop. */
const LOOK_MS = 0.01;
const TURN_MS = 0.1;

/** One thread, as far as looking out for its answers goes. */
export abstract class Awaited {
  readonly #luck = new Luck();
  #isWatched = false;
  #isWaiting = false;
  /** When the last call was sent, when the last answer came, and how long that took. */
  #sentAt = 0;
  #answeredAt = 0;
  #lastMs = Number.POSITIVE_INFINITY;

  /** Whether messages have come: a read of shared memory. */
  protected abstract get hasMore(): boolean;
  /** Whether answers are awaited. */
  protected abstract get isBusy(): boolean;
  protected abstract drain(): void;

  /** A call was sent. When the last was short and not long ago, its answer is worth looking out for. */
  protected called(): void {
    if (!canSpin) return;
    const now = performance.now();
    const isOften = this.#lastMs < SHORT_MS && now - this.#answeredAt < SHORT_MS;
    this.#sentAt = now;
    this.#isWaiting = false;
    if (!this.#isWatched) {
      if (!isOften || !this.#luck.isGood) return;
      this.#isWatched = true;
      watched.push(this);
    }
    until = now + SPIN_MS;
    if (isLooking) return;
    isLooking = true;
    setImmediate(lookAnew);
  }

  protected answered(): void {
    if (!canSpin) return;
    this.#answeredAt = performance.now();
    this.#lastMs = this.#answeredAt - this.#sentAt;
  }

  /** Takes what has come. False if nothing has. */
  look(): boolean {
    if (!this.hasMore) {
      this.#isWaiting = true;
      return false;
    }
    // What is there at the first look would have been there without.
    if (this.#isWaiting) this.#luck.hit();
    this.drain();
    return true;
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

const watched: Awaited[] = [];
let isLooking = false;
let until = 0;
/** When the event loop has last had its turn. */
let turnAt = 0;

function lookAnew(): void {
  turnAt = performance.now();
  look();
}

function look(): void {
  let now = performance.now();
  const end = now + LOOK_MS;
  let hasFound = false;
  while (!hasFound && now < end && watched.length > 0) {
    for (const one of watched) if (one.look()) hasFound = true;
    now = performance.now();
  }
  for (let i = watched.length - 1; i >= 0; i--) if (!watched[i]!.stays()) watched.splice(i, 1);
  // Who awaits the answers comes first, and may make the next call.
  if (hasFound && now - turnAt < TURN_MS) queueMicrotask(lookAfterMicrotasks);
  else if (hasFound || (watched.length > 0 && now < until)) setImmediate(lookAnew);
  else {
    for (const one of watched.splice(0)) one.missed();
    isLooking = false;
  }
}

function lookAfterMicrotasks(): void {
  process.nextTick(look);
}
