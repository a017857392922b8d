/**
 * The strict rate limit: who waits stands in a queue, and counts from the moment in which he is let go, however late
 * the timer was. So the time is known only of who is first; that of the others is a forecast.
 *
 * Invariant: while someone waits, there is no room yet for the first of them, and the alarm is set for when there is.
 */
import type { Clock } from './clock.ts';
import type { Context } from './context.ts';
import { DeadlineExceededError } from './errors.ts';
import { Reservation } from './reservation.ts';
import type { CancelScope } from './scope.ts';
import { SlidingWindow } from './sliding-window.ts';
import { Alarm } from './time.ts';
import { PromiseWaiter, waitScope } from './wait-queue.ts';

export class StrictLimit {
  readonly #clock: Clock;
  readonly #window: SlidingWindow;
  readonly #waiting: Line;
  /**
   * The window as it would be with all who wait let go in time, and when the last of them would be. Made when asked
   * for, and then kept up until one goes, not to go through all of them for each who comes with a deadline.
   */
  #plan: { readonly window: SlidingWindow; at: number } | undefined = undefined;

  constructor(clock: Clock, intervalMs: number, limit: number) {
    this.#clock = clock;
    this.#window = new SlidingWindow(intervalMs, limit);
    this.#waiting = new Line(clock, () => this.#letGo());
  }

  get limit(): number {
    return this.#window.limit;
  }

  /** All of a window may come at once. */
  get burst(): number {
    return this.#window.limit;
  }

  get tokens(): number {
    return this.#waiting.first === undefined ? this.#window.roomAt(this.#clock.now()) : 0;
  }

  setLimit(limit: number): void {
    this.#window.limit = limit;
    for (let turn = this.#waiting.first; turn !== undefined; ) {
      const { next, n } = turn;
      if (n > limit) {
        this.#waiting.remove(turn);
        turn.refuse(new RangeError(`n must be at most the limit, which is now ${limit}, got ${n}`));
      }
      turn = next;
    }
    this.#letGo();
  }

  allow(n: number): boolean {
    if (n > this.limit || this.#waiting.first !== undefined) return false;
    const now = this.#clock.now();
    if (this.#window.earliest(n, now) > now) return false;
    this.#window.add(n, now);
    return true;
  }

  /**
   * Not while anyone waits: who waits may be late, if only by a bit, and would then have to go around what is promised
   * after him, again and again if that goes on.
   */
  reserve(n: number): Reservation {
    const isRefused = n > this.limit || this.#waiting.first !== undefined;
    if (isRefused) return new Reservation(this.#clock, Number.POSITIVE_INFINITY);
    const at = this.#window.earliest(n, this.#clock.now());
    this.#window.add(n, at);
    return new Reservation(this.#clock, at, () => {
      this.#window.remove(n, at);
      this.#letGo();
    });
  }

  wait(n: number, signal: Context | AbortSignal | undefined, leftMs: number): Promise<void> {
    const now = this.#clock.now();
    if (leftMs < Number.POSITIVE_INFINITY && this.#forecast(n) - now > leftMs) {
      throw new DeadlineExceededError('the deadline comes before the turn');
    }
    if (this.allow(n)) return Promise.resolve();
    if (this.#waiting.first === undefined) this.#waiting.dueAt = this.#window.earliest(n, now);
    const scope = waitScope(signal);
    const turn = new Turn(n, scope);
    this.#waiting.push(turn, scope);
    if (this.#plan !== undefined) {
      this.#plan.at = this.#forecast(n);
      this.#plan.window.add(n, this.#plan.at);
    }
    return turn.promise;
  }

  /** When one who comes now would be let go, if all who wait are in time. */
  #forecast(n: number): number {
    const now = this.#clock.now();
    if (this.#waiting.first === undefined) return this.#window.earliest(n, now);
    this.#plan ??= this.#planFrom(now);
    return this.#plan.window.earliest(n, Math.max(now, this.#plan.at));
  }

  #planFrom(now: number): { readonly window: SlidingWindow; at: number } {
    const window = this.#window.copy();
    let at = now;
    for (let turn = this.#waiting.first; turn !== undefined; turn = turn.next) {
      at = window.earliest(turn.n, at);
      window.add(turn.n, at);
    }
    return { window, at };
  }

  /** Lets go who can, and waits for the next. Called whenever something has changed. */
  #letGo(): void {
    this.#plan = undefined;
    const waiting = this.#waiting;
    for (let { first } = waiting; first !== undefined; { first } = waiting) {
      const { n, scope } = first;
      const now = this.#clock.now();
      const at = this.#window.earliest(n, now);
      // One whose signal has fired may not have been told yet, as others with the same signal were first.
      const isCanceled = scope?.err !== undefined;
      if (at > now && !isCanceled) {
        waiting.dueAt = at;
        return;
      }
      waiting.remove(first);
      if (isCanceled) {
        first.refuse(scope.cause);
      } else {
        this.#window.add(n, now);
        first.resolve();
      }
    }
  }
}

/** One who waits to be let go with `n` events. */
class Turn extends PromiseWaiter<void> {
  readonly n: number;
  readonly scope: CancelScope | undefined;

  constructor(n: number, scope: CancelScope | undefined) {
    super();
    this.n = n;
    this.scope = scope;
  }
}

class Line extends Alarm<Turn> {
  readonly #onLeft: () => void;

  constructor(clock: Clock, onChange: () => void) {
    super(clock, onChange);
    this.#onLeft = onChange;
  }

  /** It may have been the first, and another be ready. */
  protected override left(): void {
    this.#onLeft();
  }
}
