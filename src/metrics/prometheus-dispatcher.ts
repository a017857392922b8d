/** What Prometheus is told of a dispatcher: its calls by task and queue, its schedules, its engine. */
import type { DispatcherMetrics, TaskFigures, TimingFigures } from './dispatcher-metrics.ts';
import { type Family, type Sample, summary } from './prometheus-format.ts';

/** What of a dispatcher is read; a Dispatcher is one. */
export interface DispatcherSource {
  /** What it has measured so far. */
  metrics(): DispatcherMetrics;
}

/** Labels that samples of a dispatcher have themselves. */
export const DISPATCHER_LABELS = ['quantile', 'task', 'queue', 'status', 'operation', 'schedule', 'outcome'] as const;

export const DISPATCHER_FAMILIES: readonly Family<DispatcherMetrics>[] = [
  ofTasks('tasks_submitted_total', 'Calls submitted.', ({ submitted }) => submitted),
  ofTasks('tasks_selected_total', 'Calls fetched, to be run.', ({ selected }) => selected),
  {
    name: 'dispatcher_tasks_processed_total',
    type: 'counter',
    help: 'Calls that ended, by how.',
    samples: ({ tasks }) =>
      tasks.flatMap(({ task, queue, processed }) =>
        Object.entries(processed).map(([status, value]): Sample => ({ value, labels: { task, queue, status } })),
      ),
  },
  ofTasks('tasks_retried_total', 'Runs after which the call is tried again.', ({ retried }) => retried),
  ofTasks('tasks_requeued_total', 'Runs that were handed back.', ({ requeued }) => requeued),
  ofTasks('tasks_lost_total', 'Runs whose lease was lost.', ({ lost }) => lost),
  ofTasks('tasks_dead_lettered_total', 'Calls that became dead letters.', ({ deadLettered }) => deadLettered),
  ofTasks('tasks_without_handler_total', 'Calls whose task is not registered.', ({ noHandler }) => noHandler),
  timed('execution_time', 'From the beginning of a run to its end.', ({ executionTime }) => executionTime),
  timed('time_in_queue', 'From when a call was queued to the beginning of its run.', (figures) => figures.timeInQueue),
  timed('end_to_end_latency', 'From the submission of a call to its end.', (figures) => figures.endToEndLatency),
  {
    name: 'dispatcher_cancellations_requested_total',
    type: 'counter',
    help: 'Calls that were to be canceled.',
    samples: ({ cancellationsRequested }) => [{ value: cancellationsRequested }],
  },
  ofEngine('engine_operations_total', 'What the engine was asked for.', ({ calls }) => calls),
  ofEngine('engine_errors_total', 'Operations that the engine failed at.', ({ errors }) => errors),
  ofEngine('engine_refusals_total', 'Operations that the engine refused.', ({ refused }) => refused),
  {
    name: 'dispatcher_schedule_ticks_total',
    type: 'counter',
    help: 'Ticks of schedules, by what came of them.',
    samples: ({ schedules }) =>
      schedules.flatMap(({ schedule, ticks }) =>
        Object.entries(ticks).map(([outcome, value]): Sample => ({ value, labels: { schedule, outcome } })),
      ),
  },
  {
    name: 'dispatcher_schedule_dispatch_latency_seconds',
    type: 'summary',
    help: 'From when a tick was due to when its call was stored.',
    samples: ({ schedules }) =>
      schedules.flatMap(({ schedule, dispatchLatency }) => summary(dispatchLatency, { schedule })),
  },
];

function ofTasks(name: string, help: string, count: (figures: TaskFigures) => number): Family<DispatcherMetrics> {
  return {
    name: `dispatcher_${name}`,
    type: 'counter',
    help,
    samples: ({ tasks }) =>
      tasks.map((figures) => ({ value: count(figures), labels: { task: figures.task, queue: figures.queue } })),
  };
}

/** Of tasks that aren't timed there is nothing to say. */
function timed(name: string, help: string, time: (figures: TaskFigures) => TimingFigures): Family<DispatcherMetrics> {
  return {
    name: `dispatcher_${name}_seconds`,
    type: 'summary',
    help,
    samples: ({ tasks }) =>
      tasks
        .filter((figures) => time(figures).count > 0)
        .flatMap((figures) => summary(time(figures), { task: figures.task, queue: figures.queue })),
  };
}

function ofEngine(
  name: string,
  help: string,
  count: (figures: DispatcherMetrics['engine'][number]) => number,
): Family<DispatcherMetrics> {
  return {
    name: `dispatcher_${name}`,
    type: 'counter',
    help,
    samples: ({ engine }) =>
      engine.map((figures) => ({ value: count(figures), labels: { operation: figures.operation } })),
  };
}
