/**
 * Metrics of a dispatcher. What is counted is read when somebody collects it, so it costs nothing before; times are told
 * one by one, for histograms of buckets that can be added up.
 */
import type { Attributes, Histogram, Meter, ObservableCounter } from '@opentelemetry/api';
import type { DispatcherMetrics, TaskFigures } from '../metrics/dispatcher-metrics.ts';
import type { TimingListener } from '../tasks/signals/call-metrics.ts';

/** A count, with what it is of. */
type Count = readonly [count: number, attributes?: Attributes];

interface Counter {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  readonly counts: (metrics: DispatcherMetrics) => readonly Count[];
}

const PREFIX = 'errand.dispatcher.';
const MS_PER_SECOND = 1_000;
/** In seconds; from what is hardly a task to what takes hours. */
const BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800];

const COUNTERS: readonly Counter[] = [
  ofTasks('tasks_submitted', 'Calls submitted.', ({ submitted }) => submitted),
  ofTasks('tasks_selected', 'Calls fetched, to be run.', ({ selected }) => selected),
  {
    name: 'tasks_processed',
    unit: '{call}',
    description: 'Calls that ended, by how.',
    counts: ({ tasks }) =>
      tasks.flatMap(({ task, queue, processed }) =>
        Object.entries(processed).map(([status, count]): Count => [count, { task, queue, status }]),
      ),
  },
  ofTasks('tasks_retried', 'Runs after which the call is tried again.', ({ retried }) => retried),
  ofTasks('tasks_requeued', 'Runs that were handed back.', ({ requeued }) => requeued),
  ofTasks('tasks_lost', 'Runs whose lease was lost.', ({ lost }) => lost),
  ofTasks('tasks_dead_lettered', 'Calls that became dead letters.', ({ deadLettered }) => deadLettered),
  ofTasks('tasks_without_handler', 'Calls whose task is not registered.', ({ noHandler }) => noHandler),
  {
    name: 'cancellations_requested',
    unit: '{call}',
    description: 'Calls that were to be canceled.',
    counts: ({ cancellationsRequested }) => [[cancellationsRequested]],
  },
  {
    name: 'engine_operations',
    unit: '{operation}',
    description: 'What the engine was asked for.',
    counts: ({ engine }) => engine.map(({ operation, calls }): Count => [calls, { operation }]),
  },
  {
    name: 'engine_errors',
    unit: '{operation}',
    description: 'Operations that the engine failed at.',
    counts: ({ engine }) => engine.map(({ operation, errors }): Count => [errors, { operation }]),
  },
  {
    name: 'engine_refusals',
    unit: '{operation}',
    description: 'Operations that the engine refused.',
    counts: ({ engine }) => engine.map(({ operation, refused }): Count => [refused, { operation }]),
  },
  {
    name: 'schedule_ticks',
    unit: '{tick}',
    description: 'Ticks of schedules, by what came of them.',
    counts: ({ schedules }) =>
      schedules.flatMap(({ schedule, ticks }) =>
        Object.entries(ticks).map(([outcome, count]): Count => [count, { schedule, outcome }]),
      ),
  },
];

export class Meters {
  readonly #meter: Meter;
  readonly #read: () => DispatcherMetrics;
  readonly #histograms: Readonly<Record<Parameters<TimingListener>[0], Histogram>>;

  constructor(meter: Meter, read: () => DispatcherMetrics) {
    this.#meter = meter;
    this.#read = read;
    const histogram = (name: string, description: string): Histogram =>
      meter.createHistogram(PREFIX + name, {
        unit: 's',
        description,
        advice: { explicitBucketBoundaries: BUCKETS },
      });
    this.#histograms = {
      executionTime: histogram('execution_time', 'From the beginning of a run to its end.'),
      timeInQueue: histogram('time_in_queue', 'From when a call was queued to the beginning of its run.'),
      endToEndLatency: histogram('end_to_end_latency', 'From the submission of a call to its end.'),
      dispatchLatency: histogram('schedule_dispatch_latency', 'From when a tick was due to when its call was stored.'),
    };
  }

  readonly timed: TimingListener = (name, ms, labels) => this.#histograms[name].record(ms / MS_PER_SECOND, labels);

  /** Has counts read whenever somebody collects them, until the function it returns is called. */
  observe(): () => void {
    const counters: [ObservableCounter, Counter][] = COUNTERS.map((counter) => {
      const { name, unit, description } = counter;
      return [this.#meter.createObservableCounter(PREFIX + name, { unit, description }), counter];
    });
    const observables = counters.map(([observable]) => observable);
    const read = (result: { observe(of: ObservableCounter, count: number, attributes?: Attributes): void }): void => {
      const figures = this.#read();
      for (const [observable, { counts }] of counters) {
        for (const [count, attributes] of counts(figures)) result.observe(observable, count, attributes);
      }
    };
    this.#meter.addBatchObservableCallback(read, observables);
    return () => this.#meter.removeBatchObservableCallback(read, observables);
  }
}

function ofTasks(name: string, description: string, count: (figures: TaskFigures) => number): Counter {
  return {
    name,
    unit: '{call}',
    description,
    counts: ({ tasks }) =>
      tasks.map((figures): Count => [count(figures), { task: figures.task, queue: figures.queue }]),
  };
}
