/** What a run has come to so far: what the progress shows, and the report at the end. */
import { Histogram } from '../metrics/histogram.ts';
import { SlidingWindow } from '../metrics/window.ts';

const SHOWN = 5;

export interface Slow {
  readonly input: string;
  readonly ms: number;
}

export interface FailureShown {
  readonly input: string;
  readonly message: string;
}

export class Tally {
  readonly startedAt = performance.now();
  /** How many inputs there are, once that is known. */
  total: number | undefined = undefined;
  /** Inputs that were taken up, those of the journal included. */
  pulled = 0;
  completed = 0;
  failed = 0;
  /** Runs after the first of their input. */
  retried = 0;
  /** Of the completed and the failed, those the journal held. */
  skipped = 0;
  /** Taken up, and left without an outcome. */
  undone = 0;
  running = 0;
  /** How long the function ran, each time. */
  readonly durations = new Histogram();
  /** The longest of them, the longest first. */
  readonly slowest: Slow[] = [];
  /** The first of them. */
  readonly failures: FailureShown[] = [];
  readonly #ends = new SlidingWindow(performance.now());

  get done(): number {
    return this.completed + this.failed;
  }

  get queued(): number {
    return this.pulled - this.done - this.undone - this.running;
  }

  get elapsedMs(): number {
    return performance.now() - this.startedAt;
  }

  /** Outcomes a second, over the last ten; those the journal held took no time. */
  get rate(): number {
    return this.#ends.rate(performance.now());
  }

  ran(input: string, ms: number): void {
    this.durations.record(ms);
    const { slowest } = this;
    if (slowest.length === SHOWN && ms <= slowest[SHOWN - 1]!.ms) return;
    slowest.push({ input, ms });
    slowest.sort((a, b) => b.ms - a.ms);
    if (slowest.length > SHOWN) slowest.pop();
  }

  ended(failure?: FailureShown, isKept = false): void {
    if (!isKept) this.#ends.add(performance.now());
    if (failure === undefined) {
      this.completed++;
      return;
    }
    this.failed++;
    if (this.failures.length < SHOWN) this.failures.push(failure);
  }
}
