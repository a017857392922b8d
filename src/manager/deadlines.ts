/**
 * Many deadlines on few timers. Deadlines of one duration fall due in the order they were set, so each duration has a
 * first-in-first-out list and one timer for its head: setting and lifting a deadline is O(1), and no timer is touched.
 *
 * Invariant: a list that isn't empty has a timer armed for its first node, or for one that has left since.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Clock, ClockTimer } from '../go/clock.ts';

/**
 * An empty list keeps its timer, for stopping and starting one with every task costs more; but of durations that are all
 * different, each would keep one for its full time. Beyond so many lists the empty ones go.
 */
const MANY_LISTS = 64;

/**
 * What is due so soon is due: times of submission may run ahead of the clock by some ns, as they are unique, and no
 * timer is to be armed for that.
 */
const SLACK_MS = 2 ** -6;

/** One deadline, reused by its owner. `fire` is called when it passes; by then it isn't set any more. */
export class Deadline<O> {
  due = 0;
  list: DeadlineList | undefined = undefined;
  previous: Deadline<unknown> | undefined = undefined;
  next: Deadline<unknown> | undefined = undefined;
  readonly owner: O;
  readonly fire: (owner: O) => void;

  constructor(owner: O, fire: (owner: O) => void) {
    this.owner = owner;
    this.fire = fire;
  }
}

/** The deadlines of one duration. */
interface DeadlineList {
  readonly durationMs: number;
  first: Deadline<unknown> | undefined;
  last: Deadline<unknown> | undefined;
  timer: ClockTimer;
}

export class Deadlines {
  readonly #clock: Clock;
  /** Else a timer, and those it arms after it, would hold on to the async context of the task that needed the first. */
  readonly #origin = new AsyncResource('errand.deadlines');
  readonly #lists = new Map<number, DeadlineList>();
  /** The list used last: most managers have one timeout for all their tasks. */
  #recent: DeadlineList | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sets `deadline` to fire `durationMs` after `now`. It must not be set. */
  set<O>(deadline: Deadline<O>, durationMs: number, now: number): void {
    let list = this.#recent;
    if (list === undefined || list.durationMs !== durationMs) {
      list = this.#lists.get(durationMs);
      if (list === undefined) {
        list = { durationMs, first: undefined, last: undefined, timer: undefined };
        this.#lists.set(durationMs, list);
      }
      this.#recent = list;
    }
    const node = deadline as Deadline<unknown>;
    node.due = now + durationMs;
    node.list = list;
    node.previous = list.last;
    if (list.last === undefined) list.first = node;
    else list.last.next = node;
    list.last = node;
    if (list.timer === undefined) this.#arm(list, durationMs);
  }

  /** Lifts `deadline`; harmless when it isn't set. */
  lift<O>(deadline: Deadline<O>): void {
    const { list, previous, next } = deadline;
    if (list === undefined) return;
    if (previous === undefined) list.first = next;
    else previous.next = next;
    if (next === undefined) list.last = previous;
    else next.previous = previous;
    deadline.list = undefined;
    deadline.previous = undefined;
    deadline.next = undefined;
    if (list.first === undefined && this.#lists.size > MANY_LISTS) this.#drop(list);
  }

  /** Lifts all and clears every timer. */
  close(): void {
    for (const list of this.#lists.values()) {
      while (list.first !== undefined) this.lift(list.first);
      this.#clock.clearTimeout(list.timer);
    }
    this.#lists.clear();
    this.#recent = undefined;
  }

  #drop(list: DeadlineList): void {
    this.#clock.clearTimeout(list.timer);
    list.timer = undefined;
    this.#lists.delete(list.durationMs);
    if (this.#recent === list) this.#recent = undefined;
  }

  #arm(list: DeadlineList, ms: number): void {
    list.timer = this.#origin.runInAsyncScope(() => this.#clock.setTimeout(() => this.#expire(list), ms));
  }

  #expire(list: DeadlineList): void {
    // The timer that has fired stands until the end: what is set from within must not arm one of its own, too late for
    // those before it.
    const now = this.#clock.now();
    for (let node = list.first; node !== undefined && node.due <= now + SLACK_MS; node = list.first) {
      this.lift(node);
      node.fire(node.owner);
    }
    if (this.#lists.get(list.durationMs) !== list) return; // closed from within
    list.timer = undefined;
    if (list.first !== undefined) this.#arm(list, list.first.due - now);
    else this.#drop(list);
  }
}
