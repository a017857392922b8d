/**
 * What a manager tells of its tasks, and to whom: the contract a collector of one's own fulfills, and the figures it
 * may give back. After the MetricsCollector of Tasker (Go), with a reason for every failure and refusal.
 */

/** How an admitted task ended without completing. `'dropped'`: pushed out of a full queue by another. */
export type FailureReason = 'failed' | 'timedOut' | 'canceled' | 'dropped';

/**
 * Why a submission was refused: no room, the manager had stopped, it had a wrong option, it was canceled or ran out of
 * time while it waited for room, or there was no resource to run it on (`runTask`).
 */
export type RejectionReason = 'full' | 'stopped' | 'invalid' | 'canceled' | 'timedOut' | 'resource';

/** The times of a task that has ended, in ms since the Unix epoch, fractional. */
export interface TaskTimings {
  /** When it was admitted. */
  readonly queuedAt: number;
  /** When its last run began; `undefined`: it never ran. */
  readonly startedAt: number | undefined;
  /** When it was settled. */
  readonly finishedAt: number;
}

/**
 * Hears what happens to a manager's tasks. Every method but `metrics` may be missing. They are called in the middle of
 * the work: be quick. What they throw goes to the manager's `error` event and disturbs nothing.
 */
export interface MetricsCollector {
  /** A task was admitted, at `queuedAt` in ms since the epoch. Retries don't arrive again. */
  recordArrival?(queuedAt: number): void;
  /** A task returned a value. */
  recordCompletion?(timings: TaskTimings): void;
  /** A task ended in any other way. */
  recordFailure?(timings: TaskTimings, reason: FailureReason): void;
  /** A task goes back to the queue to run again. */
  recordRetry?(): void;
  /** A submission was refused; such a task never arrived. */
  recordRejection?(reason: RejectionReason): void;
  /** The figures so far; those left out count as 0. */
  metrics(): Partial<TaskMetrics>;
}

/**
 * How a manager has been doing since it was made. Every figure is 0 when there is nothing to say.
 *
 * Execution is from the start of a task's last run to its end, of all tasks that ran, however they ended. Waiting is
 * from admission to that start; a task that never ran has waited until its end.
 */
export interface TaskMetrics {
  /** The mean execution time. */
  readonly averageExecutionTimeMs: number;
  /** The shortest execution time. */
  readonly minExecutionTimeMs: number;
  /** The longest execution time. */
  readonly maxExecutionTimeMs: number;
  /** The execution time that half of the tasks did not exceed, within some percent. */
  readonly p50ExecutionTimeMs: number;
  /** The execution time that 95 % of the tasks did not exceed, within some percent. */
  readonly p95ExecutionTimeMs: number;
  /** The execution time that 99 % of the tasks did not exceed, within some percent. */
  readonly p99ExecutionTimeMs: number;
  /** All execution times together. */
  readonly totalExecutionTimeMs: number;
  /** The mean waiting time. */
  readonly averageWaitTimeMs: number;
  /** The shortest waiting time. */
  readonly minWaitTimeMs: number;
  /** The longest waiting time. */
  readonly maxWaitTimeMs: number;
  /** The waiting time that half of the tasks did not exceed, within some percent. */
  readonly p50WaitTimeMs: number;
  /** The waiting time that 95 % of the tasks did not exceed, within some percent. */
  readonly p95WaitTimeMs: number;
  /** The waiting time that 99 % of the tasks did not exceed, within some percent. */
  readonly p99WaitTimeMs: number;
  /** All waiting times together. */
  readonly totalWaitTimeMs: number;
  /** Tasks admitted a second, over the last seconds. */
  readonly taskArrivalRate: number;
  /** Tasks that left a second, over the last seconds: every end counts, not only completion. */
  readonly taskCompletionRate: number;
  /** Tasks admitted. */
  readonly totalTasksArrived: number;
  /** Ended tasks that ran at least once: as many as there are execution times. */
  readonly totalTasksExecuted: number;
  /** Tasks that returned a value. */
  readonly totalTasksCompleted: number;
  /** Tasks that failed for good. */
  readonly totalTasksFailed: number;
  /** Tasks that ran or waited too long. */
  readonly totalTasksTimedOut: number;
  /** Tasks canceled, by whomever. */
  readonly totalTasksCanceled: number;
  /** Tasks pushed out of a full queue by others. */
  readonly totalTasksDropped: number;
  /** Refused submissions; they never arrived. */
  readonly totalTasksRejected: number;
  /** Runs beyond a task's first. */
  readonly totalTasksRetried: number;
  /** Completed tasks' share of all that ended, 0 to 1. */
  readonly successRate: number;
  /**
   * The share of failed and timed out tasks in all that ended, 0 to 1. Canceled and dropped ones are in neither share:
   * that they ended so was somebody's wish.
   */
  readonly failureRate: number;
}

/** The metrics of a manager to which nothing has happened: what a collector's own are laid over. */
export function zeroMetrics(): TaskMetrics {
  return {
    averageExecutionTimeMs: 0,
    minExecutionTimeMs: 0,
    maxExecutionTimeMs: 0,
    p50ExecutionTimeMs: 0,
    p95ExecutionTimeMs: 0,
    p99ExecutionTimeMs: 0,
    totalExecutionTimeMs: 0,
    averageWaitTimeMs: 0,
    minWaitTimeMs: 0,
    maxWaitTimeMs: 0,
    p50WaitTimeMs: 0,
    p95WaitTimeMs: 0,
    p99WaitTimeMs: 0,
    totalWaitTimeMs: 0,
    taskArrivalRate: 0,
    taskCompletionRate: 0,
    totalTasksArrived: 0,
    totalTasksExecuted: 0,
    totalTasksCompleted: 0,
    totalTasksFailed: 0,
    totalTasksTimedOut: 0,
    totalTasksCanceled: 0,
    totalTasksDropped: 0,
    totalTasksRejected: 0,
    totalTasksRetried: 0,
    successRate: 0,
    failureRate: 0,
  };
}
