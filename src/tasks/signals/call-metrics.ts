/**
 * What a dispatcher counts and times, in fixed memory for each task and queue, and for no more of them than a thousand.
 *
 * Invariant: counts are of all calls; a histogram is there only when something was to be timed.
 */
import type {
  CallTimings,
  DispatcherMetrics,
  OperationFigures,
  ProcessedStatus,
  RunStatus,
  ScheduleFigures,
  TaskFigures,
  TimingFigures,
} from '../../metrics/dispatcher-metrics.ts';
import { Histogram } from '../../metrics/histogram.ts';

/** Tasks and queues, or schedules, that are told apart. */
const MOST_LABELS = 1_000;
const OTHER = 'other';

const TIMES = ['executionTime', 'timeInQueue', 'endToEndLatency'] as const;

/** Who hears of each time that is measured. */
export type TimingListener = (name: keyof CallTimings | 'dispatchLatency', ms: number, labels: TimingLabels) => void;

/** What a time is of. */
export type TimingLabels = { readonly task: string; readonly queue: string } | { readonly schedule: string };

/** The times of a run, and of its call if it has ended with it; those that aren't known are left out. */
export interface RunTimes {
  readonly executionTime: number | undefined;
  readonly timeInQueue: number | undefined;
  readonly endToEndLatency: number | undefined;
}

const NOTHING: TimingFigures = Object.freeze({
  count: 0,
  sumMs: 0,
  minMs: 0,
  maxMs: 0,
  p50Ms: 0,
  p95Ms: 0,
  p99Ms: 0,
});

/** The counts of one task in one queue. */
class Entry {
  readonly labels: { readonly task: string; readonly queue: string };
  submitted = 0;
  selected = 0;
  noHandler = 0;
  readonly ends: Record<RunStatus, number> = {
    completed: 0,
    failed: 0,
    timedOut: 0,
    canceled: 0,
    stalled: 0,
    deadLettered: 0,
    retried: 0,
    requeued: 0,
    lost: 0,
  };
  executionTime: Histogram | undefined = undefined;
  timeInQueue: Histogram | undefined = undefined;
  endToEndLatency: Histogram | undefined = undefined;

  constructor(task: string, queue: string) {
    this.labels = { task, queue };
  }

  get figures(): TaskFigures {
    const { retried, requeued, lost, ...processed } = this.ends;
    return {
      ...this.labels,
      submitted: this.submitted,
      selected: this.selected,
      processed: processed satisfies Record<ProcessedStatus, number>,
      retried,
      requeued,
      lost,
      deadLettered: processed.deadLettered,
      noHandler: this.noHandler,
      executionTime: figuresOf(this.executionTime),
      timeInQueue: figuresOf(this.timeInQueue),
      endToEndLatency: figuresOf(this.endToEndLatency),
    };
  }
}

type Counts<T> = { -readonly [K in keyof T]: T[K] };

export class CallMetrics {
  /** Hears of each time, beside the histograms. */
  listener: TimingListener | undefined = undefined;
  readonly #entries = new Map<string, Map<string, Entry>>();
  #size = 0;
  readonly #operations: OperationFigures[] = [];
  readonly #schedules = new Map<string, { readonly ticks: Map<string, number>; readonly latency: Histogram }>();
  #cancellations = 0;

  submitted(task: string, queue: string): void {
    this.#entryOf(task, queue).submitted++;
  }

  selected(task: string, queue: string): void {
    this.#entryOf(task, queue).selected++;
  }

  noHandler(task: string, queue: string): void {
    this.#entryOf(task, queue).noHandler++;
  }

  cancellationRequested(): void {
    this.#cancellations++;
  }

  /** What an operation of the engine is counted in; shown once it was asked for. */
  operation(operation: string): Counts<OperationFigures> {
    const figures = { operation, calls: 0, errors: 0, refused: 0 };
    this.#operations.push(figures);
    return figures;
  }

  /** A run is over; its times, if it is to be timed. */
  ended(task: string, queue: string, status: RunStatus, times: RunTimes | undefined): void {
    const entry = this.#entryOf(task, queue);
    entry.ends[status]++;
    if (times === undefined) return;
    for (const name of TIMES) {
      const ms = times[name];
      if (ms === undefined) continue;
      entry[name] ??= new Histogram();
      entry[name].record(ms);
      this.listener?.(name, ms, entry.labels);
    }
  }

  /** A tick of a schedule was dealt with, so long after it was due: if it was fired, that is its latency. */
  scheduleTick(schedule: string, latencyMs: number, outcome: string): void {
    const name = this.#schedules.has(schedule) || this.#schedules.size < MOST_LABELS - 1 ? schedule : OTHER;
    let its = this.#schedules.get(name);
    if (its === undefined) {
      its = { ticks: new Map(), latency: new Histogram() };
      this.#schedules.set(name, its);
    }
    its.ticks.set(outcome, (its.ticks.get(outcome) ?? 0) + 1);
    if (outcome !== 'fired') return;
    its.latency.record(latencyMs);
    this.listener?.('dispatchLatency', latencyMs, { schedule: name });
  }

  snapshot(): DispatcherMetrics {
    const tasks: TaskFigures[] = [];
    for (const queues of this.#entries.values()) for (const entry of queues.values()) tasks.push(entry.figures);
    const schedules: ScheduleFigures[] = [...this.#schedules].map(([schedule, { ticks, latency }]) => ({
      schedule,
      ticks: Object.fromEntries(ticks),
      dispatchLatency: figuresOf(latency),
    }));
    const engine = this.#operations.filter(({ calls }) => calls > 0).map((figures) => ({ ...figures }));
    return { tasks, schedules, engine, cancellationsRequested: this.#cancellations };
  }

  #entryOf(task: string, queue: string): Entry {
    const queues = this.#entries.get(task);
    return queues?.get(queue) ?? this.#newEntry(task, queue);
  }

  #newEntry(task: string, queue: string): Entry {
    // The last place is for all others, which may be there already.
    if (this.#size >= MOST_LABELS - 1 && !(task === OTHER && queue === OTHER)) return this.#entryOf(OTHER, OTHER);
    const entry = new Entry(task, queue);
    let queues = this.#entries.get(task);
    if (queues === undefined) {
      queues = new Map();
      this.#entries.set(task, queues);
    }
    queues.set(queue, entry);
    this.#size++;
    return entry;
  }
}

function figuresOf(histogram: Histogram | undefined): TimingFigures {
  if (histogram === undefined) return NOTHING;
  return {
    count: histogram.count,
    sumMs: histogram.sum,
    minMs: histogram.min,
    maxMs: histogram.max,
    p50Ms: histogram.percentile(50),
    p95Ms: histogram.percentile(95),
    p99Ms: histogram.percentile(99),
  };
}
