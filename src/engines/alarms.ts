/**
 * Many times on one timer, each to be called at or lifted: O(log n). For times of all kinds, where `Deadlines` of the
 * manager is for many of few durations.
 *
 * Invariant: while there is a finite time, the timer is armed for the first, or for an earlier one that was lifted.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Clock, ClockTimer } from '../go/clock.ts';
import { Heap, type HeapItem } from '../manager/heap.ts';

/** What waits for its time. `order` decides between those of one time. */
export interface Alarmed extends HeapItem {
  at: number;
  readonly order: number;
}

export class Alarms<T extends Alarmed> {
  readonly #clock: Clock;
  readonly #ring: (item: T, now: number) => void;
  readonly #heap = new Heap<T>((a, b) => a.at < b.at || (a.at === b.at && a.order < b.order));
  /** Else the timer would run, and hold on to, the async context of whoever needed it first. */
  readonly #origin = new AsyncResource('errand.alarms');
  #timer: ClockTimer;
  /** When the timer fires; Infinity while there is none. */
  #armedFor = Infinity;

  /** @param ring is called when an item's time has come; by then it isn't set any more */
  constructor(clock: Clock, ring: (item: T, now: number) => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Sets `item`, which isn't set, for `at`. */
  set(item: T, at: number): void {
    item.at = at;
    this.#heap.push(item);
    if (at < this.#armedFor) this.#arm(at);
  }

  /** Harmless when it isn't set. */
  lift(item: T): void {
    this.#heap.remove(item);
    if (this.#heap.first === undefined) this.#disarm();
  }

  close(): void {
    this.#heap.items.length = 0;
    this.#disarm();
  }

  #arm(at: number): void {
    this.#disarm();
    this.#armedFor = at;
    const ms = at - this.#clock.now();
    this.#timer = this.#origin.runInAsyncScope(() => this.#clock.setTimeout(() => this.#onTimer(), ms));
  }

  #disarm(): void {
    if (this.#armedFor === Infinity) return;
    this.#clock.clearTimeout(this.#timer);
    this.#armedFor = Infinity;
  }

  #onTimer(): void {
    this.#armedFor = Infinity;
    const now = this.#clock.now();
    try {
      for (let item = this.#heap.first; item !== undefined && item.at <= now; item = this.#heap.first) {
        this.#heap.remove(item);
        this.#ring(item, now);
      }
    } finally {
      // What was set meanwhile may have armed it too late for others.
      const { first } = this.#heap;
      if (first !== undefined && first.at < Infinity) this.#arm(first.at);
    }
  }
}
