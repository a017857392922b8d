/** How the runs of a dispatcher that stops come to their ends. */
import type { Clock, ClockTimer } from '../go/clock.ts';
import type { ShutdownError } from '../manager/errors.ts';
import { sleep } from '../manager/resources.ts';
import type { Consumer } from './consumer.ts';

export interface StopTimes {
  readonly graceMs: number;
  readonly timeoutMs: number;
}

/** What is left of a stop's time is for those who don't hear. */
export const KILL_MS = 1_000;

/** What runs while a dispatcher stops: it ends by the `onShutdown` of its task. */
export class Shutdown {
  readonly #consumer: Consumer;
  readonly #reason: ShutdownError;
  readonly #clock: Clock;
  readonly #timers = new Set<ClockTimer>();
  #giveUp!: () => void;
  readonly #givenUp = new Promise<void>((resolve) => {
    this.#giveUp = resolve;
  });

  constructor(consumer: Consumer, reason: ShutdownError, clock: Clock) {
    this.#consumer = consumer;
    this.#reason = reason;
    this.#clock = clock;
    // What waits for a worker needs no time to end.
    for (const run of consumer.runs) if (!run.hasBegun) run.end('requeued', reason);
  }

  /** Has what runs end after `graceMs`, as its task says, and all of it after `timeoutMs`. What was said before stays. */
  within({ graceMs, timeoutMs }: StopTimes): void {
    this.#after(graceMs, () => this.#tell(false));
    this.#after(timeoutMs, () => this.#tell(true));
    this.#after(timeoutMs + KILL_MS, this.#giveUp);
  }

  /** Resolves when all has ended, or was given up. */
  async over(): Promise<void> {
    await Promise.race([this.#consumer.quiet(), this.#givenUp]);
    for (const timer of this.#timers) this.#clock.clearTimeout(timer);
    this.#timers.clear();
  }

  #after(ms: number, then: () => void): void {
    if (ms === 0) then();
    else this.#timers.add(this.#clock.setTimeout(then, ms));
  }

  /** Ends what runs as its task says, or all of it. */
  #tell(all: boolean): void {
    for (const run of this.#consumer.runs) {
      const { onShutdown } = run.definition;
      if (onShutdown === 'stop') run.end('canceled', this.#reason);
      else if (onShutdown === 'requeue' || all) run.end('requeued', this.#reason);
    }
  }
}

/** Waits, but no longer. */
export async function within(ms: number, wait: Promise<void>, clock: Clock): Promise<void> {
  const patience = new AbortController();
  await Promise.race([wait, sleep(patience.signal, ms, clock).catch(() => {})]);
  patience.abort();
}
