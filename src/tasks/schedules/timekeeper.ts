/**
 * Looks after jobs at their times of day, all of them by one timer.
 *
 * Invariants: of one job one look is under way at a time, and no look waits for another's. Time is never slept through
 * for longer than {@link MOST_MS}, as somebody may set the clock meanwhile.
 */
import { AsyncResource } from 'node:async_hooks';
import { type Clock, type ClockTimer, wallTimeOf } from '../../go/clock.ts';
import { pauseAfter } from '../backoff.ts';

/** Something to be looked after. */
export interface Job {
  /** The time of day of the next look: now if it has passed, never if it is undefined. */
  dueAt(now: number): number | undefined;
  /** From now on, at this time of day, it is looked after. */
  begin(now: number): void;
  /** Resolves to the pause before it may be looked after again, in ms. Rejects when the engine fails. */
  look(): Promise<number>;
  /** It is over: a look that is under way comes to its end. */
  end(): void;
}

interface Entry {
  readonly job: Job;
  isLooking: boolean;
  /** In a row. */
  failures: number;
  /** By the clock that nobody sets. */
  notBefore: number;
}

const MOST_MS = 30_000;
/** So many looks begin until the event loop has its turn. */
const LOOKS_A_TURN = 20;

export class Timekeeper {
  readonly #clock: Clock;
  readonly #failed: (error: unknown, failures: number) => void;
  readonly #entries = new Map<Job, Entry>();
  readonly #looks = new Set<Promise<void>>();
  #state: 'new' | 'running' | 'over' = 'new';
  #timer: ClockTimer;
  /** When the timer fires. */
  #wakesAt = Number.POSITIVE_INFINITY;
  /** Jobs run in no async context of those who happen to set the timer. */
  readonly #onTimer = AsyncResource.bind(() => this.#wake());

  /** @param failed hears of each failure of a look, and how many in a row that job has had */
  constructor(clock: Clock, failed: (error: unknown, failures: number) => void) {
    this.#clock = clock;
    this.#failed = failed;
  }

  add(job: Job): void {
    const entry: Entry = { job, isLooking: false, failures: 0, notBefore: 0 };
    this.#entries.set(job, entry);
    if (this.#state === 'running') this.#begin(entry);
  }

  remove(job: Job): void {
    this.#entries.delete(job);
    job.end();
  }

  start(): void {
    this.#state = 'running';
    for (const entry of this.#entries.values()) this.#begin(entry);
  }

  /** Begins no more looks. Resolves when those under way have ended. */
  async stop(): Promise<void> {
    this.#state = 'over';
    this.#clock.clearTimeout(this.#timer);
    for (const job of this.#entries.keys()) job.end();
    await Promise.all(this.#looks);
  }

  #begin(entry: Entry): void {
    entry.job.begin(wallTimeOf(this.#clock));
    this.#plan(entry);
  }

  /** Sees to it that the timer fires in time for the job. */
  #plan({ job, notBefore }: Entry): void {
    const now = this.#clock.now();
    const wall = wallTimeOf(this.#clock);
    const dueIn = (job.dueAt(wall) ?? Number.POSITIVE_INFINITY) - wall;
    const at = now + Math.min(MOST_MS, Math.max(dueIn, notBefore - now, 0));
    if (at >= this.#wakesAt || this.#state !== 'running') return;
    this.#clock.clearTimeout(this.#timer);
    this.#wakesAt = at;
    this.#timer = this.#clock.setTimeout(this.#onTimer, at - now);
  }

  #wake(): void {
    this.#wakesAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    const wall = wallTimeOf(this.#clock);
    let looks = 0;
    for (const entry of [...this.#entries.values()]) {
      if (entry.isLooking) continue;
      const isDue = (entry.job.dueAt(wall) ?? Number.POSITIVE_INFINITY) <= wall && entry.notBefore <= now;
      if (isDue && looks++ < LOOKS_A_TURN) this.#look(entry);
      else this.#plan(entry);
    }
  }

  #look(entry: Entry): void {
    entry.isLooking = true;
    const look = this.#lookOnce(entry).then(() => {
      entry.isLooking = false;
      this.#looks.delete(look);
      if (this.#entries.has(entry.job)) this.#plan(entry);
    });
    this.#looks.add(look);
  }

  /** Never rejects. */
  async #lookOnce(entry: Entry): Promise<void> {
    let pauseMs: number;
    try {
      pauseMs = await entry.job.look();
      entry.failures = 0;
    } catch (error) {
      entry.failures++;
      pauseMs = pauseAfter(entry.failures);
      this.#failed(error, entry.failures);
    }
    entry.notBefore = this.#clock.now() + pauseMs;
  }
}
