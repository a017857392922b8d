/** Locks in memory, each for a time. */
import type { Clock } from '../go/clock.ts';
import { Deadline, Deadlines } from '../manager/deadlines.ts';
import type { EngineLock } from './engine.ts';

/** By the deadline that ends it. */
type Holding = Deadline<string>;

export class Locks {
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #holdings = new Map<string, Holding>();
  /** Of all locks, so that no name need be remembered. */
  #tokens = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#deadlines = new Deadlines(clock);
  }

  /** @param check throws when there are no locks any more */
  take(name: string, leaseMs: number, check: () => void): EngineLock | undefined {
    if (this.#holdings.has(name)) return undefined;
    const holding: Holding = new Deadline(name, () => this.#end(holding));
    this.#holdings.set(name, holding);
    this.#hold(holding, leaseMs);
    return {
      token: ++this.#tokens,
      renew: async (renewMs) => {
        check();
        if (this.#holdings.get(name) !== holding) return false;
        this.#deadlines.lift(holding);
        this.#hold(holding, renewMs);
        return true;
      },
      release: async () => {
        check();
        this.#end(holding);
      },
    };
  }

  close(): void {
    this.#deadlines.close();
    this.#holdings.clear();
  }

  #hold(holding: Holding, ms: number): void {
    if (ms < Infinity) this.#deadlines.set(holding, ms, this.#clock.now());
  }

  #end(holding: Holding): void {
    if (this.#holdings.get(holding.owner) !== holding) return;
    this.#deadlines.lift(holding);
    this.#holdings.delete(holding.owner);
  }
}
