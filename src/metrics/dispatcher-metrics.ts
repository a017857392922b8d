/** What a dispatcher measures: the figures, by task and queue, as Prometheus and OpenTelemetry are told them. */

/** How long something took, in ms. All 0 when there is nothing to say. */
export interface TimingFigures {
  /** How many were measured. */
  readonly count: number;
  /** All together. */
  readonly sumMs: number;
  /** The shortest. */
  readonly minMs: number;
  /** The longest. */
  readonly maxMs: number;
  /** What half of them did not exceed, within some percent. */
  readonly p50Ms: number;
  /** What 95 of a hundred did not exceed. */
  readonly p95Ms: number;
  /** What 99 of a hundred did not exceed. */
  readonly p99Ms: number;
}

/** How a call ended where it ran. */
export type ProcessedStatus = 'completed' | 'failed' | 'timedOut' | 'canceled' | 'stalled' | 'deadLettered';

/** What a run came to: the end of its call; or another attempt; or it was handed back, or its lease was lost. */
export type RunStatus = ProcessedStatus | 'retried' | 'requeued' | 'lost';

/** What is timed of calls. */
export interface CallTimings {
  /** From when the function of a run began to when it returned. */
  readonly executionTime: TimingFigures;
  /** From when a call was queued to when its function began, for each run. */
  readonly timeInQueue: TimingFigures;
  /** From the submission of a call to its end, with all attempts, and all pauses between. */
  readonly endToEndLatency: TimingFigures;
}

/**
 * The calls of one task in one queue, as one dispatcher knows them. Counts are exact; which calls are timed is for the
 * task's `observe` to say.
 */
export interface TaskFigures extends CallTimings {
  /** The task's name. */
  readonly task: string;
  /** Where the calls waited. */
  readonly queue: string;
  /** Submitted here. */
  readonly submitted: number;
  /** Fetched here, to be run. */
  readonly selected: number;
  /** Calls that ended here, by how. One that ends while it waits ends nowhere. */
  readonly processed: Readonly<Record<ProcessedStatus, number>>;
  /** Runs after which the call is tried again. */
  readonly retried: number;
  /** Runs that were handed back: no attempt is counted. */
  readonly requeued: number;
  /** Runs whose lease was lost. */
  readonly lost: number;
  /** Calls that became dead letters here. */
  readonly deadLettered: number;
  /** Calls that were fetched, and whose task isn't registered here. */
  readonly noHandler: number;
}

/** One operation of the engine. */
export interface OperationFigures {
  /** The name of the engine's method. */
  readonly operation: string;
  /** How often it was asked for. */
  readonly calls: number;
  /** How often the engine failed. */
  readonly errors: number;
  /** How often it refused: a stale lease, a call that has ended or isn't known. */
  readonly refused: number;
}

/** One schedule. */
export interface ScheduleFigures {
  /** Its name. */
  readonly schedule: string;
  /** Its ticks, by what came of them. */
  readonly ticks: Readonly<Record<string, number>>;
  /** From when a tick was due to when its call was stored. Only of those that were fired. */
  readonly dispatchLatency: TimingFigures;
}

/** All that a dispatcher has measured since it was made. */
export interface DispatcherMetrics {
  /** By task and queue. From the thousandth pair on, all others are one: task `other` in queue `other`. */
  readonly tasks: readonly TaskFigures[];
  /** By name; beyond a thousand, as `other`. */
  readonly schedules: readonly ScheduleFigures[];
  /** What the engine was asked for; `fetch` is the poll for calls. */
  readonly engine: readonly OperationFigures[];
  /** How often a call was to be canceled, by who asked here, and the engine agreed. */
  readonly cancellationsRequested: number;
}
