/**
 * The collector a manager has unless told otherwise: histograms, totals and rates in fixed memory (17 KB), however
 * long it lives. It has two faces: the public one, and a positional one for the manager, so that no object is made for
 * a task.
 */
import { type Clock, realClock } from '../go/clock.ts';
import type { FailureReason, MetricsCollector, RejectionReason, TaskMetrics, TaskTimings } from './collector.ts';
import { Histogram } from './histogram.ts';
import { SlidingWindow } from './window.ts';

/** What a {@link DefaultCollector} can be told. */
export interface DefaultCollectorOptions {
  /** Where the rates' time comes from: give it the manager's. Default: the real clock. */
  readonly clock?: Clock | undefined;
  /** How far back, in ms, the rates look. Default 10,000. */
  readonly windowMs?: number | undefined;
}

/**
 * Keeps a manager's metrics. Several managers with one clock may share one. Percentiles are within 1.6 %, rates look
 * back over the window or up to a twentieth less; the rest is exact.
 */
export class DefaultCollector implements MetricsCollector {
  /** The clock it was made with. */
  readonly clock: Clock;
  readonly #execution = new Histogram();
  readonly #waiting = new Histogram();
  readonly #arrivals: SlidingWindow;
  readonly #departures: SlidingWindow;
  #arrived = 0;
  #completed = 0;
  #failed = 0;
  #timedOut = 0;
  #canceled = 0;
  #dropped = 0;
  #rejected = 0;
  #retried = 0;

  /** @throws TypeError or RangeError when an option is wrong */
  constructor(options: DefaultCollectorOptions = {}) {
    const { clock = realClock, windowMs = 10_000 } = options;
    if (typeof clock?.now !== 'function') throw new TypeError(`clock must be a Clock, not ${String(clock)}`);
    if (typeof windowMs !== 'number') throw new TypeError(`windowMs must be a number, not ${String(windowMs)}`);
    if (!(windowMs > 0 && windowMs < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`windowMs must be above 0 and finite, not ${windowMs}`);
    }
    this.clock = clock;
    this.#arrivals = new SlidingWindow(clock.now(), windowMs);
    this.#departures = new SlidingWindow(clock.now(), windowMs);
  }

  recordArrival(queuedAt: number): void {
    this.arrival(queuedAt - this.clock.timeOrigin);
  }

  recordCompletion(timings: TaskTimings): void {
    const { timeOrigin } = this.clock;
    const startedAt = (timings.startedAt ?? timings.finishedAt) - timeOrigin;
    this.completion(timings.queuedAt - timeOrigin, startedAt, timings.finishedAt - timeOrigin);
  }

  recordFailure(timings: TaskTimings, reason: FailureReason): void {
    const { timeOrigin } = this.clock;
    const startedAt = timings.startedAt === undefined ? Number.NaN : timings.startedAt - timeOrigin;
    this.failure(timings.queuedAt - timeOrigin, startedAt, timings.finishedAt - timeOrigin, reason);
  }

  recordRetry(): void {
    this.retry();
  }

  recordRejection(reason: RejectionReason): void {
    this.rejection(reason);
  }

  metrics(): TaskMetrics {
    const ended = this.#completed + this.#failed + this.#timedOut + this.#canceled + this.#dropped;
    const now = this.clock.now();
    return {
      averageExecutionTimeMs: this.#execution.average,
      minExecutionTimeMs: this.#execution.min,
      maxExecutionTimeMs: this.#execution.max,
      p50ExecutionTimeMs: this.#execution.percentile(50),
      p95ExecutionTimeMs: this.#execution.percentile(95),
      p99ExecutionTimeMs: this.#execution.percentile(99),
      totalExecutionTimeMs: this.#execution.sum,
      averageWaitTimeMs: this.#waiting.average,
      minWaitTimeMs: this.#waiting.min,
      maxWaitTimeMs: this.#waiting.max,
      p50WaitTimeMs: this.#waiting.percentile(50),
      p95WaitTimeMs: this.#waiting.percentile(95),
      p99WaitTimeMs: this.#waiting.percentile(99),
      totalWaitTimeMs: this.#waiting.sum,
      taskArrivalRate: this.#arrivals.rate(now),
      taskCompletionRate: this.#departures.rate(now),
      totalTasksArrived: this.#arrived,
      totalTasksExecuted: this.#execution.count,
      totalTasksCompleted: this.#completed,
      totalTasksFailed: this.#failed,
      totalTasksTimedOut: this.#timedOut,
      totalTasksCanceled: this.#canceled,
      totalTasksDropped: this.#dropped,
      totalTasksRejected: this.#rejected,
      totalTasksRetried: this.#retried,
      successRate: ended === 0 ? 0 : this.#completed / ended,
      failureRate: ended === 0 ? 0 : (this.#failed + this.#timedOut) / ended,
    };
  }

  /** @internal The manager's face: {@link Recorder.arrival}. */
  arrival(queuedAt: number): void {
    this.#arrived++;
    this.#arrivals.add(queuedAt);
  }

  /** @internal The manager's face: {@link Recorder.completion}. */
  completion(queuedAt: number, startedAt: number, finishedAt: number): void {
    this.#completed++;
    this.#departures.add(finishedAt);
    this.#waiting.record(startedAt - queuedAt);
    this.#execution.record(finishedAt - startedAt);
  }

  /** @internal The manager's face: {@link Recorder.failure}. */
  failure(queuedAt: number, startedAt: number, finishedAt: number, reason: FailureReason): void {
    switch (reason) {
      case 'failed':
        this.#failed++;
        break;
      case 'timedOut':
        this.#timedOut++;
        break;
      case 'canceled':
        this.#canceled++;
        break;
      case 'dropped':
        this.#dropped++;
        break;
      default:
        throw new RangeError(`reason must be failed, timedOut, canceled or dropped, not ${reason satisfies never}`);
    }
    this.#departures.add(finishedAt);
    if (Number.isNaN(startedAt)) {
      this.#waiting.record(finishedAt - queuedAt);
    } else {
      this.#waiting.record(startedAt - queuedAt);
      this.#execution.record(finishedAt - startedAt);
    }
  }

  /** @internal The manager's face: {@link Recorder.retry}. */
  retry(): void {
    this.#retried++;
  }

  /** @internal The manager's face: {@link Recorder.rejection}. */
  rejection(_reason: RejectionReason): void {
    this.#rejected++;
  }
}
