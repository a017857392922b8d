/**
 * The thread's side of it: after short calls that follow one another closely it looks out for the next instead of going
 * to sleep. Not while functions wait for the event loop, and never for long.
 */
import type { Performance } from 'node:perf_hooks';
import { Luck } from './luck.ts';
import { LOOKS, SHORT_MS, SPIN_MS } from './protocol.ts';

/** How long messages may be taken without a turn of the thread's event loop. */
const TURN_MS = 10;

/** What is looked out for. */
export interface Inbox {
  /** Whether messages have come: a read of shared memory. */
  readonly hasMore: boolean;
  /** Whether no function is alive. */
  readonly isFree: boolean;
  /** Takes the next message. */
  takeNext(): void;
}

export class ThreadLookout {
  readonly #inbox: Inbox;
  readonly #luck = new Luck();
  /** From the second answer on: a thread's clock is loaded when it is first used, which takes longer than a call. */
  #clock: Performance | undefined = undefined;
  #hasAnswered = false;
  #isLooking = false;
  /** When the last message has come, the last answer has gone, and the event loop has last had its turn. */
  #takenAt = 0;
  #answeredAt = 0;
  #turnAt = 0;

  constructor(inbox: Inbox) {
    this.#inbox = inbox;
  }

  /** The event loop has brought a message. */
  turned(): void {
    if (this.#clock === undefined) return;
    this.#turnAt = this.#clock.now();
    this.#takenAt = this.#turnAt;
  }

  /** To be called when there is nothing more to be done. */
  look(): void {
    if (this.#isLooking || !this.#inbox.isFree) return;
    if (!this.#hasAnswered) {
      this.#hasAnswered = true;
      return;
    }
    this.#clock ??= performance;
    const now = this.#clock.now();
    const gapMs = this.#takenAt - this.#answeredAt;
    this.#answeredAt = now;
    if (gapMs > SHORT_MS || !this.#mayGoOn(now) || !this.#luck.isGood) return;
    this.#isLooking = true;
    this.#takeAll(this.#clock, now);
    this.#isLooking = false;
  }

  /** Takes what comes, until nothing has come for some time. */
  #takeAll(clock: Performance, start: number): void {
    let now = start;
    let until = now + SPIN_MS;
    let isWaiting = false;
    let hasFound = false;
    for (;;) {
      for (let looks = LOOKS; looks > 0 && !this.#inbox.hasMore; looks--) isWaiting = true;
      if (!this.#inbox.hasMore) {
        now = clock.now();
        if (now < until) continue;
        if (!hasFound) this.#luck.miss();
        return;
      }
      // What is there at the first look would have been there without.
      if (isWaiting) this.#luck.hit();
      isWaiting = false;
      hasFound = true;
      this.#takenAt = now;
      this.#inbox.takeNext();
      now = clock.now();
      this.#answeredAt = now;
      until = now + SPIN_MS;
      // What the function has promised needs the end of this loop.
      if (!this.#inbox.isFree || !this.#mayGoOn(now)) return;
    }
  }

  /** Not after long calls, and not when timers and I/O may wait. */
  #mayGoOn(now: number): boolean {
    return now - this.#takenAt < SHORT_MS && now - this.#turnAt < TURN_MS;
  }
}
