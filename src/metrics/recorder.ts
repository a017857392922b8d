/**
 * How a manager reaches its collectors on the hot path: one Recorder with positional, monotonic times, whatever and
 * however many the collectors are. Behind it nothing throws, and no collector's fault keeps a record from another.
 */
import type { Clock } from '../go/clock.ts';
import type { FailureReason, MetricsCollector, RejectionReason, TaskTimings } from './collector.ts';
import { DefaultCollector } from './default-collector.ts';

/** What a manager reports, with the times of its clock's `now()`, in ms. */
export interface Recorder {
  /** A task was admitted. */
  arrival(queuedAt: number): void;
  /** A task returned a value. */
  completion(queuedAt: number, startedAt: number, finishedAt: number): void;
  /** A task ended in another way; `startedAt` NaN: it never ran. */
  failure(queuedAt: number, startedAt: number, finishedAt: number, reason: FailureReason): void;
  /** A task goes back to the queue. */
  retry(): void;
  /** A submission was refused. */
  rejection(reason: RejectionReason): void;
}

/**
 * One recorder for all of `collectors`; `undefined` when there is none.
 *
 * A single default collector is its own recorder: the manager's calls then go straight to it. Others are called
 * through an adapter that gives them times since the epoch.
 *
 * @param clock the manager's
 * @param onError gets what a collector throws
 */
export function recorderOf(
  collectors: readonly MetricsCollector[],
  clock: Clock,
  onError: (error: unknown) => void,
): Recorder | undefined {
  const recorders = collectors.map((collector) =>
    isPlainDefault(collector, clock) ? collector : new CollectorAdapter(collector, clock, onError),
  );
  return recorders.length <= 1 ? recorders[0] : new FanOut(recorders);
}

const PUBLIC_FACE = ['recordArrival', 'recordCompletion', 'recordFailure', 'recordRetry', 'recordRejection'] as const;

/**
 * Whether the positional face says all: not when a subclass or a test's spy has replaced a method of the public one,
 * nor when the collector counts from another clock's zero.
 */
function isPlainDefault(collector: MetricsCollector, clock: Clock): collector is DefaultCollector {
  return (
    collector instanceof DefaultCollector &&
    collector.clock === clock &&
    PUBLIC_FACE.every((method) => collector[method] === DefaultCollector.prototype[method])
  );
}

/** Calls a user's collector, which may lack methods, and may throw. */
class CollectorAdapter implements Recorder {
  readonly #collector: MetricsCollector;
  readonly #timeOrigin: number;
  readonly #onError: (error: unknown) => void;

  constructor(collector: MetricsCollector, clock: Clock, onError: (error: unknown) => void) {
    this.#collector = collector;
    this.#timeOrigin = clock.timeOrigin;
    this.#onError = onError;
  }

  arrival(queuedAt: number): void {
    try {
      this.#collector.recordArrival?.(this.#timeOrigin + queuedAt);
    } catch (error) {
      this.#onError(error);
    }
  }

  completion(queuedAt: number, startedAt: number, finishedAt: number): void {
    try {
      this.#collector.recordCompletion?.(this.#timings(queuedAt, startedAt, finishedAt));
    } catch (error) {
      this.#onError(error);
    }
  }

  failure(queuedAt: number, startedAt: number, finishedAt: number, reason: FailureReason): void {
    try {
      this.#collector.recordFailure?.(this.#timings(queuedAt, startedAt, finishedAt), reason);
    } catch (error) {
      this.#onError(error);
    }
  }

  retry(): void {
    try {
      this.#collector.recordRetry?.();
    } catch (error) {
      this.#onError(error);
    }
  }

  rejection(reason: RejectionReason): void {
    try {
      this.#collector.recordRejection?.(reason);
    } catch (error) {
      this.#onError(error);
    }
  }

  // An object for each collector: one may keep or change what it is given.
  #timings(queuedAt: number, startedAt: number, finishedAt: number): TaskTimings {
    return {
      queuedAt: this.#timeOrigin + queuedAt,
      startedAt: Number.isNaN(startedAt) ? undefined : this.#timeOrigin + startedAt,
      finishedAt: this.#timeOrigin + finishedAt,
    };
  }
}

/** Tells several, none of which throws. */
class FanOut implements Recorder {
  readonly #recorders: readonly Recorder[];

  constructor(recorders: readonly Recorder[]) {
    this.#recorders = recorders;
  }

  arrival(queuedAt: number): void {
    for (const recorder of this.#recorders) recorder.arrival(queuedAt);
  }

  completion(queuedAt: number, startedAt: number, finishedAt: number): void {
    for (const recorder of this.#recorders) recorder.completion(queuedAt, startedAt, finishedAt);
  }

  failure(queuedAt: number, startedAt: number, finishedAt: number, reason: FailureReason): void {
    for (const recorder of this.#recorders) recorder.failure(queuedAt, startedAt, finishedAt, reason);
  }

  retry(): void {
    for (const recorder of this.#recorders) recorder.retry();
  }

  rejection(reason: RejectionReason): void {
    for (const recorder of this.#recorders) recorder.rejection(reason);
  }
}
