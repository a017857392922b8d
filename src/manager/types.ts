/** The types of the public face of TaskManager: options, states, statistics, events. All times are in ms. */
import type { Clock } from '../go/clock.ts';
import type { Context } from '../go/context.ts';
import type { MetricsCollector, TaskMetrics } from '../metrics/index.ts';
import type { TaskContext } from './context.ts';
import type { Lend, lendResource } from './lend.ts';
import type { ScalingPolicy } from './scaling.ts';

/** Work for a manager whose workers own an `R`: a function of the run's context and the worker's resource. */
export type TaskFunction<R, T> = (context: TaskContext<R>, resource: R) => T;

/** A synchronous or asynchronous generator function whose values are streamed. */
export type StreamFunction<R, E> = (
  context: TaskContext<R>,
  resource: R,
) => AsyncIterable<E> | Iterable<E> | AsyncGenerator<E, unknown, unknown>;

/** Node's error-first convention: `error` is null on success. */
export type TaskCallback<E> = (error: unknown, value?: E) => void;

/**
 * Where a task stands. `waiting`: for room in a full queue, not admitted yet. `rejected`: refused, never admitted.
 * From `completed` on nothing changes any more.
 */
export type TaskState =
  | 'waiting'
  | 'queued'
  | 'running'
  | 'completed'
  | 'failed'
  | 'timedOut'
  | 'canceled'
  | 'dropped'
  | 'rejected';

/** Where a manager stands. */
export type ManagerState = 'running' | 'paused' | 'stopping' | 'stopped' | 'killed';

/** What happens to a task that is submitted while the queue is full. */
export type Overflow = 'reject' | 'wait' | 'drop-oldest' | 'drop-lowest';

/** The pause before the next attempt, from the number of the attempt that failed (from 1), in ms. */
export type BackoffFunction = (attempt: number, error: unknown) => number;

/** How a task that failed is run again. Timeouts and cancellations are final. */
export interface RetryPolicy {
  /** Runs in all, the first included. */
  readonly attempts: number;
  /** How the pause grows: the same, by `baseMs` each time, doubling, or by your function. Default 'exponential'. */
  readonly backoff?: 'constant' | 'linear' | 'exponential' | BackoffFunction | undefined;
  /** The first pause. Default 100. */
  readonly baseMs?: number | undefined;
  /** No pause is longer. Default 30,000. */
  readonly maxMs?: number | undefined;
  /**
   * Randomness, so that what failed together doesn't come back together: 'full' draws from 0 to the pause, 'equal'
   * from its half to the whole. Default 'none'. After "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
   */
  readonly jitter?: 'none' | 'full' | 'equal' | undefined;
  /** Whether this error is worth another attempt. Default: always. A throw in it counts as no. */
  readonly retryIf?: ((error: unknown, attempt: number) => boolean) | undefined;
}

/** What can be said of one submission. */
export interface TaskOptions {
  /** Your own id instead of a generated ULID: any string, unique among the manager's living tasks. */
  readonly id?: string | undefined;
  /** Higher goes first; any finite number. Default 0, and 1 in the `WithPriority` methods. */
  readonly priority?: number | undefined;
  /** The time one attempt may run, from its start. `Infinity`: no limit. Default: the manager's. */
  readonly timeoutMs?: number | undefined;
  /** The time from submission to the first start. `Infinity`: no limit. Default: the manager's. */
  readonly queueTimeoutMs?: number | undefined;
  /** Cancels the task, queued or running. A Context hands on its values and its deadline as well. */
  readonly signal?: AbortSignal | Context | undefined;
  /** Whose task it is: keys take turns, and `concurrencyPerKey` caps each. */
  readonly key?: string | undefined;
  /** At most one run: no second one even when the resource turns out bad. Can't be had with `retry`. */
  readonly once?: boolean | undefined;
  /** How a failed run is repeated. Default: the manager's. */
  readonly retry?: RetryPolicy | undefined;
  /** What happens if the queue is full. Default: the manager's. */
  readonly overflow?: Overflow | undefined;
}

/** The options of a child, submitted through a task's context. */
export interface ChildOptions extends TaskOptions {
  /**
   * When the child must run although no worker is free (all wait for their children), it gets a temporary resource of
   * its own instead of sharing its parent's. Default false.
   */
  readonly ownResource?: boolean | undefined;
}

/** The options of `runTask`: those of a queue would mean nothing, and are TypeErrors. */
export type RunOptions = Omit<TaskOptions, 'priority' | 'key' | 'overflow' | 'queueTimeoutMs'>;

/** The options of `map`. */
export interface MapOptions extends Omit<TaskOptions, 'id'> {
  /** Values in the order of the input instead of completion. Default false. */
  readonly ordered?: boolean | undefined;
  /** Every outcome as a `PromiseSettledResult` with its `index`; the iteration itself never fails. Default false. */
  readonly settled?: boolean | undefined;
  /** How many results may wait for the reader before no more input is pulled. Default 16. */
  readonly highWaterMark?: number | undefined;
}

/** The options of `queueTaskStream`. */
export interface StreamOptions extends TaskOptions {
  /** How many values may wait for the reader before the generator is held. Default 16. */
  readonly highWaterMark?: number | undefined;
}

/** One outcome of `map(..., { settled: true })` and of `queueTasks`. */
export type IndexedResult<E> = PromiseSettledResult<E> & {
  /** Which of the inputs this is the outcome of, from 0. */
  readonly index: number;
};

/** What a resource is made with. */
export interface CreateContext {
  /** Fires when the resource isn't wanted any more: the creation timed out, or the manager ended. */
  readonly signal: AbortSignal;
  /**
   * Has this very resource destroyed and replaced: at once while its worker is idle, else when the task that has it is
   * over. For resources that hear of their own end, as of a connection that is closed: no task gets them after that.
   */
  readonly retire: () => void;
}

/** As console and pino have it. A throw in a logger is ignored. */
export interface Logger {
  /** For whoever looks closely. */
  debug(message: string, ...details: unknown[]): void;
  /** For the record. */
  info(message: string, ...details: unknown[]): void;
  /** Something is odd. */
  warn(message: string, ...details: unknown[]): void;
  /** Something failed that no task can be told of. */
  error(message: string, ...details: unknown[]): void;
}

/** What a TaskManager is made with. Everything is optional. */
export interface TaskManagerOptions<R> {
  /** Base workers, kept alive for the manager's life. Default: `os.availableParallelism()`. */
  readonly workerCount?: number | undefined;
  /** How many workers there may be with bursts. Default: twice `workerCount`. */
  readonly maxWorkerCount?: number | undefined;
  /** How often the scaling policy is asked. 0: no bursting. Default 100. */
  readonly burstIntervalMs?: number | undefined;
  /** Replaces the policy that says how many workers there should be. */
  readonly scaling?: ScalingPolicy | undefined;

  /** @internal */
  readonly [lendResource]?: Lend | undefined;
  /** Makes a worker's resource. Without it, R is undefined. */
  readonly onCreate?: ((context: CreateContext) => R | PromiseLike<R>) | undefined;
  /** Disposes of a resource; called exactly once for each. A failure is logged, counted and emitted, never thrown. */
  readonly onDestroy?: ((resource: R) => unknown) | undefined;
  /** Whether the resource is still good after this error. `false`, or a throw: it is destroyed and replaced. */
  readonly checkHealth?: ((error: unknown) => boolean) | undefined;
  /** How often a task is run again because its resource turned out bad. Default 3, so 4 runs. */
  readonly maxRetries?: number | undefined;
  /** How many resources may be in creation at once. Default: `workerCount`. */
  readonly createConcurrency?: number | undefined;
  /** How long one creation may take. Default 30,000. */
  readonly createTimeoutMs?: number | undefined;
  /** At most `limit` creations begin in any `intervalMs`. Default: none. */
  readonly createRate?: { readonly limit: number; readonly intervalMs: number } | undefined;
  /** Failures in a row, with no resource alive, after which `ready()` rejects. Default 5. */
  readonly createAttempts?: number | undefined;
  /** A resource is replaced after so many tasks. Default: none. */
  readonly maxUses?: number | undefined;
  /** A resource is replaced at this age, between tasks. Default: none. */
  readonly maxAgeMs?: number | undefined;
  /** A burst worker that has been idle so long goes. Default: none; the scaling policy sends them away. */
  readonly idleMs?: number | undefined;
  /** Resources kept for `runTask`, made when first needed. Default: `workerCount`. */
  readonly resourcePoolSize?: number | undefined;
  /** Temporary resources `runTask` may have besides. Default: `workerCount`. */
  readonly maxTemporary?: number | undefined;

  /** Queued tasks that may wait for a worker. 0: only what a worker can begin at once. Default: Infinity. */
  readonly maxQueueSize?: number | undefined;
  /** What happens when the queue is full. Default 'reject'. */
  readonly overflow?: Overflow | undefined;
  /** A waiting task rises by one priority per so many ms. Default: no ageing. */
  readonly agingMs?: number | undefined;
  /** How many tasks of one key may run at once. Default: no limit. */
  readonly concurrencyPerKey?: number | undefined;

  /** The default for tasks. */
  readonly timeoutMs?: number | undefined;
  /** The default for tasks. */
  readonly queueTimeoutMs?: number | undefined;
  /** The default for tasks. */
  readonly retry?: RetryPolicy | undefined;
  /**
   * How long the function of a task that timed out or was canceled may keep its worker. Then its resource is destroyed,
   * the worker replaced, and the stray counted. Default 30,000; Infinity: for ever.
   */
  readonly abandonAfterMs?: number | undefined;
  /** How long `kill()` waits for functions to return. Default 1,000. */
  readonly killGraceMs?: number | undefined;

  /** Whether a task runs in the async context (AsyncLocalStorage) of its submission. Default true; false is faster. */
  readonly asyncContext?: boolean | undefined;
  /** After so many tasks or ms in one turn of the event loop, timers and I/O get their turn. Default 1,000 and 10. */
  readonly yieldAfter?: { readonly tasks?: number | undefined; readonly ms?: number | undefined } | undefined;
  /** Who hears of every arrival and end: one or several collectors, or none. Default: a `DefaultCollector`. */
  readonly collector?: MetricsCollector | readonly MetricsCollector[] | false | undefined;
  /** Default: none. */
  readonly logger?: Logger | undefined;
  /** Default: the real one. `errand/testing` has a virtual one. */
  readonly clock?: Clock | undefined;
  /** Aborted, it kills the manager. A Context hands its values on to every task. */
  readonly signal?: AbortSignal | Context | undefined;
}

/** What `stop()` allows. */
export interface StopOptions {
  /** How long a task may go on running: from the stop, or from its own start if that is later. Default 5,000. */
  readonly graceMs?: number | undefined;
  /** After this the stop becomes a kill. Default 30,000. */
  readonly timeoutMs?: number | undefined;
}

/** What became of the tasks from the moment of the stop on. */
export interface StopSummary {
  /** Tasks that returned a value. */
  readonly completed: number;
  /** Timed-out tasks included. */
  readonly failed: number;
  /** Canceled tasks, those whose grace was over among them. */
  readonly canceled: number;
  /** Functions that were still alive when the manager had ended. */
  readonly abandoned: number;
}

/** How a manager is doing, at this instant. */
export interface ManagerStats {
  /** Where the manager stands. */
  readonly state: ManagerState;
  /** Base workers, those whose resource is still in creation included. */
  readonly baseWorkers: number;
  /** Workers that have a resource: idle ones and busy ones. */
  readonly activeWorkers: number;
  /** Workers beyond the base, those in creation included. */
  readonly burstWorkers: number;
  /** Workers that wait for a task. */
  readonly idleWorkers: number;
  /** Workers with a living function, stuck ones included. */
  readonly busyWorkers: number;
  /** Those whose task has been settled (timed out, canceled) while its function lives on, those of `runTask` included. */
  readonly stuckWorkers: number;
  /** Admitted and not running: in the queue, or between two attempts. */
  readonly queuedTasks: number;
  /** Of the queued, those above priority 0. */
  readonly priorityTasks: number;
  /** Running and not settled, those of `runTask` included. */
  readonly runningTasks: number;
  /** Idle resources of `runTask`'s pool. */
  readonly availableResources: number;
  /** Functions still alive whose worker was given up after `abandonAfterMs`. */
  readonly abandonedTasks: number;
  /** `maxQueueSize`. */
  readonly queueCapacity: number;
  /** Places taken of that capacity: retries and children take none. */
  readonly queueUsage: number;
  /** Submissions that wait for a place. */
  readonly waitingForRoom: number;
}

/** {@link TaskMetrics} and what only a manager knows. */
export interface ManagerMetrics extends TaskMetrics {
  /** Workers given up because a settled task's function wouldn't return. */
  readonly totalTasksAbandoned: number;
  /** Resources that `onCreate` has returned. */
  readonly totalResourcesCreated: number;
  /** Resources handed to `onDestroy`, once each. */
  readonly totalResourcesDestroyed: number;
  /** Creations that threw, or took more than `createTimeoutMs`. */
  readonly totalCreateFailures: number;
  /** Calls of `onDestroy` that threw. */
  readonly totalDestroyFailures: number;
}

/** A task as it is at this instant. Times are in ms since the epoch. */
export interface TaskSnapshot {
  /** The id given at submission, or a ULID. */
  readonly id: string;
  /** Where it stands. */
  readonly state: TaskState;
  /** Higher goes first. */
  readonly priority: number;
  /** Whose it is. */
  readonly key: string | undefined;
  /** Runs begun so far. */
  readonly attempt: number;
  /** When it was submitted. */
  readonly queuedAt: number;
  /** When the run that is under way began; undefined if none is. */
  readonly startedAt: number | undefined;
}

/** Which tasks: those that match every field given, or a predicate. */
export type TaskFilter =
  | {
      readonly id?: string | undefined;
      readonly key?: string | undefined;
      readonly state?: TaskState | undefined;
      readonly priority?: number | undefined;
    }
  | ((task: TaskSnapshot) => boolean);

/** What a task that failed says of itself. */
export interface TaskFailure {
  /** The id given at submission, or a ULID. */
  readonly id: string;
  /** How it ended. */
  readonly state: 'failed' | 'timedOut' | 'canceled' | 'dropped' | 'rejected';
  /** What its promise rejects with. */
  readonly error: unknown;
  /** Runs begun. */
  readonly attempt: number;
}

/** The events of a TaskManager, by name, with what their listeners get. */
export interface ManagerEvents {
  /** Nothing is queued, nothing runs and nothing waits for room any more. */
  idle: [];
  /** Nothing is queued any more. */
  empty: [];
  /** The queue has reached `maxQueueSize`. */
  full: [];
  /** The queue was full and has room again. */
  drain: [];
  /** A task failed or timed out for good; or one of `go()` ended otherwise than well. */
  taskFailed: [failure: TaskFailure];
  /** A worker's resource was replaced. */
  workerReplaced: [replacement: { readonly reason: ReplaceReason }];
  /** The number of workers wanted has changed. */
  scaled: [change: { readonly from: number; readonly to: number }];
  /** The manager begins to end, by `stop()` or `kill()`. */
  stopping: [];
  /** The manager has ended, by `stop()` or `kill()`. */
  stopped: [summary: StopSummary];
  /** A callback, hook, collector or listener threw, a creation or destruction failed: nothing the manager lives on. */
  error: [error: unknown];
}

/** Why a resource was replaced. */
export type ReplaceReason = 'unhealthy' | 'maxUses' | 'maxAge' | 'retired' | 'recycled' | 'abandoned';
