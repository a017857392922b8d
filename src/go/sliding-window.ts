/**
 * Times of events, of which never more than `limit` are in any window of `intervalMs`. Windows are half-open: two
 * events exactly `intervalMs` apart are in none together.
 *
 * Invariant: the times are in order, and only those are forgotten that share no window with what may still come.
 */
export class SlidingWindow {
  readonly intervalMs: number;
  limit: number;
  #times: number[] = [];
  /** Where the times begin that are not forgotten. */
  #first = 0;

  constructor(intervalMs: number, limit: number) {
    this.intervalMs = intervalMs;
    this.limit = limit;
  }

  /** With another interval, it knows of no times but those it remembered for this one. */
  copy(intervalMs = this.intervalMs): SlidingWindow {
    const copy = new SlidingWindow(intervalMs, this.limit);
    copy.#times = this.#times.slice(this.#first);
    return copy;
  }

  /**
   * The first time from `from` on when there is room for `n` more events, at most the limit, in all windows that hold
   * them: those with events of later times too. `from` must not be before that of an earlier call.
   */
  earliest(n: number, from: number): number {
    this.#forget(from);
    const times = this.#times;
    // One more than so many others, all in one window with the new ones, are too many.
    const others = this.limit - n;
    let at = from;
    for (let i = this.#first; i + others < times.length; i++) {
      const end = times[i]! + this.intervalMs;
      const last = times[i + others]!;
      if (Math.max(at, last) < Math.min(at + this.intervalMs, end)) at = end;
    }
    return at;
  }

  /** For how many events there is room at `now`. */
  roomAt(now: number): number {
    let room = 0;
    for (let tooMany = this.limit + 1; tooMany - room > 1; ) {
      const n = Math.floor((room + tooMany) / 2);
      if (this.earliest(n, now) === now) room = n;
      else tooMany = n;
    }
    return room;
  }

  /** Adds `n` events at `at`. */
  add(n: number, at: number): void {
    const times = this.#times;
    let place = times.length;
    while (place > this.#first && times[place - 1]! > at) place--;
    const later = times.splice(place);
    for (let i = 0; i < n; i++) times.push(at);
    for (const time of later) times.push(time);
  }

  /** Takes out `n` events that were added at `at`; harmless when they are forgotten. */
  remove(n: number, at: number): void {
    const index = this.#times.indexOf(at, this.#first);
    if (index !== -1) this.#times.splice(index, n);
  }

  #forget(now: number): void {
    const times = this.#times;
    while (this.#first < times.length && times[this.#first]! + this.intervalMs <= now) this.#first++;
    // Now and then: all that stay have to move.
    if (this.#first * 2 <= times.length) return;
    times.splice(0, this.#first);
    this.#first = 0;
  }
}
