/** A collector that counts, and looks at the books each time it is told something. */
import type {
  FailureReason,
  MetricsCollector,
  RejectionReason,
  TaskMetrics,
  TaskTimings,
} from '../../../src/metrics/index.ts';
import { DefaultCollector } from '../../../src/metrics/index.ts';

export class CountingCollector implements MetricsCollector {
  arrived = 0;
  completed = 0;
  readonly fallen = { failed: 0, timedOut: 0, canceled: 0, dropped: 0 };
  retried = 0;
  rejected = 0;
  readonly #onRecord: (what: string) => void;

  /** Ends told of, which can't be more than arrivals. */
  get ended(): number {
    const { failed, timedOut, canceled, dropped } = this.fallen;
    return this.completed + failed + timedOut + canceled + dropped;
  }

  constructor(onRecord: (what: string) => void) {
    this.#onRecord = onRecord;
  }

  recordArrival(_queuedAt: number): void {
    this.arrived++;
    this.#onRecord('recordArrival');
  }

  recordCompletion(timings: TaskTimings): void {
    this.completed++;
    this.#onRecord(`recordCompletion${inOrder(timings)}`);
  }

  recordFailure(timings: TaskTimings, reason: FailureReason): void {
    this.fallen[reason]++;
    this.#onRecord(`recordFailure${inOrder(timings)}`);
  }

  recordRetry(): void {
    this.retried++;
    this.#onRecord('recordRetry');
  }

  recordRejection(_reason: RejectionReason): void {
    this.rejected++;
    this.#onRecord('recordRejection');
  }

  metrics(): TaskMetrics {
    return new DefaultCollector().metrics();
  }
}

/** Says so when timings are out of order. A microsecond is left to rounding. */
function inOrder({ queuedAt, startedAt, finishedAt }: TaskTimings): string {
  const startsLate = startedAt === undefined || startedAt >= queuedAt - 1e-3;
  const endsLate = finishedAt >= (startedAt ?? queuedAt) - 1;
  return startsLate && endsLate ? '' : ` with timings out of order: ${queuedAt}, ${startedAt}, ${finishedAt}`;
}
