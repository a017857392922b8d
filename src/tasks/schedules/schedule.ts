/** A schedule as those who have made it see it. */
import type { Call } from '../call.ts';

/** @internal What is behind a handle. */
export interface ScheduleParts {
  readonly name: string;
  readonly task: string;
  readonly when: string;
  readonly next: () => number | undefined;
  readonly trigger: () => Promise<Call<unknown>>;
  readonly remove: () => void;
}

/** Submits calls of a task at its times, as long as its dispatcher runs. */
export class Schedule<O = unknown> {
  /** Unique in its dispatcher. */
  readonly name: string;
  /** The task's name. */
  readonly task: string;
  /** Its times, for people: `cron 30 2 * * * in Europe/Berlin`, `every 5000 ms`, `at the start`. */
  readonly when: string;
  readonly #parts: ScheduleParts;

  /** @internal */
  constructor(parts: ScheduleParts) {
    this.name = parts.name;
    this.task = parts.task;
    this.when = parts.when;
    this.#parts = parts;
  }

  /**
   * When it is due next, if nobody sets the clock. Undefined when it will not be: it was removed, its dispatcher has
   * stopped, or its times are over. And while it isn't known: of `every`, until the engine has been reached, as
   * dispatchers that share one go by the same times; of `onStart` always.
   */
  next(): Date | undefined {
    const at = this.#parts.next();
    return at === undefined ? undefined : new Date(at);
  }

  /**
   * Fires now, out of turn and whatever runs, also when it has been removed: of its rules only `overlap: 'queue'` holds.
   * Its times stay as they are. Rejects as `dispatcher.submit` does.
   */
  trigger(): Promise<Call<O>> {
    return this.#parts.trigger() as Promise<Call<O>>;
  }

  /**
   * Fires no more here; other dispatchers that have one of the name go on. Calls that it has fired stay. Its name is free,
   * and one that gets it later goes on from where this one was. Harmless when it has been removed.
   */
  remove(): void {
    this.#parts.remove();
  }
}
