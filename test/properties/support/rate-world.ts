/** Does with a rate limiter what a program says, and counts what it lets pass, the naive way. */
import assert from 'node:assert/strict';
import {
  DeadlineExceededError,
  RateLimiter,
  type RateLimiterOptions,
  type Reservation,
  withCancel,
  withTimeout,
} from '../../../src/go/index.ts';
import type { VirtualClock } from '../../../src/testing/index.ts';
import { rootOn } from '../../go/limiting.ts';

export const INTERVAL_MS = 100;

export type Step =
  | { readonly do: 'allow' | 'reserve'; readonly n: number }
  | { readonly do: 'wait'; readonly n: number; readonly scope: number; readonly deadlineMs: number | undefined }
  | { readonly do: 'abort' | 'cancel'; readonly which: number }
  | { readonly do: 'limit'; readonly limit: number }
  | { readonly do: 'advance'; readonly ms: number };

/** So many that were let pass for that time. */
export interface Events {
  readonly at: number;
  readonly n: number;
}

export class World {
  readonly limiter: RateLimiter;
  readonly events = new Set<Events>();
  readonly #clock: VirtualClock;
  readonly #isStrict: boolean;
  /** Whether timers fire in time, so that one knows what has to be when. */
  readonly #isExact: boolean;
  /** How many each wants, in the order in which they came. */
  readonly #waiting = new Map<number, number>();
  readonly #scopes = new Map<number, ReturnType<typeof withCancel>>();
  readonly #reservations: (readonly [reservation: Reservation, events: Events])[] = [];
  readonly #faults: unknown[] = [];
  #waits = 0;
  #lastServed = -1;

  constructor(options: RateLimiterOptions, clock: VirtualClock, isExact: boolean) {
    this.limiter = new RateLimiter({ ...options, intervalMs: INTERVAL_MS, clock });
    this.#clock = clock;
    this.#isStrict = options.strict === true;
    this.#isExact = isExact;
  }

  /** Does all steps, and then gives everybody the time to come to his end. */
  async run(steps: readonly Step[]): Promise<void> {
    const clock = this.#clock;
    for (const step of steps) {
      await this.#perform(step);
      await clock.advance(0);
      this.#check();
    }
    for (let i = 0; i < 1_000 && this.#waiting.size > 0; i++) await clock.advance(INTERVAL_MS);
    assert.equal(this.#waiting.size, 0, 'some never got their turn');
    for (const { at } of this.events) await clock.advanceTo(Math.max(at, clock.now()));
    await clock.advance(10 * INTERVAL_MS);
    for (const [, cancel] of this.#scopes.values()) cancel();
    this.#check();
    assert.equal(clock.timerCount, 0);
    assert.equal(this.limiter.tokens, this.limiter.burst);
  }

  #check(): void {
    if (this.#faults.length > 0) throw this.#faults[0];
    const [first] = this.#waiting.values();
    if (!this.#isStrict || !this.#isExact || first === undefined) return;
    assert.ok(!this.#hasRoom(first), 'the first one waits though there is room');
  }

  async #perform(step: Step): Promise<void> {
    const { limiter } = this;
    const now = this.#clock.now();
    switch (step.do) {
      case 'allow': {
        const isRight = !this.#isStrict || (this.#waiting.size === 0 && this.#hasRoom(step.n));
        const isAllowed = limiter.allow(step.n);
        if (this.#isStrict) assert.equal(isAllowed, isRight, 'allowed');
        if (isAllowed) this.#pass(step.n, now);
        break;
      }
      case 'reserve': {
        const reservation = limiter.reserve(step.n);
        const isRefused = step.n > limiter.burst || (this.#isStrict && this.#waiting.size > 0);
        assert.equal(reservation.ok, !isRefused, 'reserved');
        if (!isRefused) this.#reservations.push([reservation, this.#pass(step.n, now + reservation.delayMs)]);
        break;
      }
      case 'cancel': {
        const [reservation, events] = this.#reservations.at(-1 - step.which) ?? [];
        reservation?.cancel();
        if (events !== undefined && events.at >= now) this.events.delete(events);
        break;
      }
      case 'wait':
        await this.#wait(step);
        break;
      case 'abort':
        this.#scopes.get(step.which)?.[1]();
        this.#scopes.delete(step.which);
        break;
      case 'limit':
        limiter.setLimit(step.limit);
        break;
      case 'advance':
        await this.#clock.advance(step.ms);
        break;
    }
  }

  async #wait({ n, scope, deadlineMs = Number.POSITIVE_INFINITY }: Extract<Step, { do: 'wait' }>): Promise<void> {
    const clock = this.#clock;
    const now = clock.now();
    const parent = this.#scopes.get(scope) ?? withCancel(rootOn(clock));
    this.#scopes.set(scope, parent);
    const [ctx, end] = withTimeout(parent[0], deadlineMs);
    const number = this.#waits++;
    const isTooLate = n <= this.limiter.burst && this.#forecast(n) - now > deadlineMs;
    let error: unknown;
    this.#waiting.set(number, n);
    void this.limiter
      .wait(n, ctx)
      .then(
        () => {
          this.#waiting.delete(number);
          this.#pass(n, clock.now());
          assert.ok(!this.#isStrict || number > this.#lastServed, 'one was overtaken');
          this.#lastServed = number;
        },
        (reason) => {
          this.#waiting.delete(number);
          error = reason;
        },
      )
      .catch((fault) => this.#faults.push(fault))
      .finally(end);
    await clock.advance(0);
    if (!this.#isStrict || !this.#isExact) return;
    assert.equal(error instanceof DeadlineExceededError, isTooLate, 'told at once that it would be too late');
  }

  #pass(n: number, at: number): Events {
    if (this.#isStrict) assert.ok(this.#hasRoom(n, at), `${n} at ${at} are too many`);
    const events = { n, at };
    this.events.add(events);
    return events;
  }

  /** Whether no window that holds the new ones has too many with them. */
  #hasRoom(n: number, at = this.#clock.now(), others: Iterable<Events> = this.events): boolean {
    const all = [...others, { n, at }];
    return all.every((first) => {
      if (!isWithin(at, first.at)) return true;
      const held = all.filter((events) => isWithin(events.at, first.at));
      return held.reduce((sum, events) => sum + events.n, 0) <= this.limiter.limit;
    });
  }

  /** When one who comes now gets his turn, if all before him get theirs as soon as they can. */
  #forecast(n: number): number {
    const planned = [...this.events];
    let at = this.#clock.now();
    for (const next of [...this.#waiting.values(), n]) {
      const times = [at, ...planned.map((events) => events.at + INTERVAL_MS).filter((time) => time > at)];
      at = times.sort((a, b) => a - b).find((time) => this.#hasRoom(next, time, planned))!;
      planned.push({ at, n: next });
    }
    return at;
  }
}

function isWithin(at: number, start: number): boolean {
  return at >= start && at < start + INTERVAL_MS;
}
