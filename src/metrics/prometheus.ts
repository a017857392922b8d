/**
 * Managers and dispatchers in Prometheus' text exposition format 0.0.4, to be served with the content type
 * `text/plain; version=0.0.4; charset=utf-8`. Nothing is kept: what is scraped is computed from a snapshot. Times are in
 * seconds and shares in 0 to 1, the base units Prometheus asks for.
 */
import { show } from '../go/checks.ts';
import type { TaskMetrics } from './collector.ts';
import type { DispatcherMetrics } from './dispatcher-metrics.ts';
import { DISPATCHER_FAMILIES, DISPATCHER_LABELS, type DispatcherSource } from './prometheus-dispatcher.ts';
import {
  checkDistinct,
  checkPrefix,
  type Family,
  type Labeled,
  labelsOf,
  linesOf,
  summary,
} from './prometheus-format.ts';

/** What of a manager is read; a TaskManager is one. */
export interface PrometheusSource {
  /** How it stands at the moment. */
  stats(): {
    readonly state: string;
    readonly baseWorkers: number;
    readonly activeWorkers: number;
    readonly burstWorkers: number;
    readonly idleWorkers: number;
    readonly busyWorkers: number;
    readonly stuckWorkers: number;
    readonly queuedTasks: number;
    readonly priorityTasks: number;
    readonly runningTasks: number;
    readonly availableResources: number;
    readonly abandonedTasks: number;
    readonly queueCapacity: number;
    readonly queueUsage: number;
    readonly waitingForRoom: number;
  };
  /** What it has measured so far. */
  metrics(): TaskMetrics;
}

type Source = PrometheusSource | DispatcherSource;

/** A source among several, told apart by its labels. */
export interface LabeledSource {
  /** A manager, or a dispatcher. */
  readonly source: PrometheusSource | DispatcherSource;
  /** Of all of its samples. */
  readonly labels: Readonly<Record<string, string>>;
}

/** What {@link prometheusText} can be told. */
export interface PrometheusOptions {
  /** What every metric's name begins with. Default `'errand'`. */
  readonly prefix?: string | undefined;
  /** Labels of every sample. Default none. A source's own go before these. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** A manager's figures, read once, so that all its samples are of one instant. */
interface ManagerFigures {
  readonly stats: ReturnType<PrometheusSource['stats']>;
  readonly metrics: TaskMetrics;
}

/** Labels that samples of a manager have themselves. */
const MANAGER_LABELS = ['quantile', 'state'];
const STATES = ['running', 'paused', 'stopping', 'stopped', 'killed'];
const MS_PER_SECOND = 1_000;

const MANAGER_FAMILIES: readonly Family<ManagerFigures>[] = [
  {
    name: 'manager_state',
    type: 'gauge',
    help: 'The state of the manager: 1 for the one it is in.',
    samples: ({ stats }) =>
      [...new Set([...STATES, stats.state])].map((state) => ({
        value: state === stats.state ? 1 : 0,
        labels: { state },
      })),
  },
  gauge('base_workers', 'Workers that are always kept.', ({ stats }) => stats.baseWorkers),
  gauge('active_workers', 'Workers that have a resource, idle or busy.', ({ stats }) => stats.activeWorkers),
  gauge('burst_workers', 'Workers beyond the base, for a burst of tasks.', ({ stats }) => stats.burstWorkers),
  gauge('idle_workers', 'Workers without a task.', ({ stats }) => stats.idleWorkers),
  gauge('busy_workers', 'Workers whose function has not returned.', ({ stats }) => stats.busyWorkers),
  gauge(
    'stuck_workers',
    'Busy workers whose task was settled before its function returned.',
    ({ stats }) => stats.stuckWorkers,
  ),
  gauge('queued_tasks', 'Tasks in the queue.', ({ stats }) => stats.queuedTasks),
  gauge('priority_tasks', 'Tasks in the queue with a priority above 0.', ({ stats }) => stats.priorityTasks),
  gauge('running_tasks', 'Tasks that are running.', ({ stats }) => stats.runningTasks),
  gauge('available_resources', 'Resources ready for use.', ({ stats }) => stats.availableResources),
  gauge('abandoned_tasks', 'Strayed functions whose worker was replaced.', ({ stats }) => stats.abandonedTasks),
  gauge('queue_capacity', 'Tasks the queue has room for in all.', ({ stats }) => stats.queueCapacity),
  gauge('queue_usage', 'Places taken in the queue.', ({ stats }) => stats.queueUsage),
  gauge('waiting_for_room', 'Submissions that wait for room in the queue.', ({ stats }) => stats.waitingForRoom),

  counter('tasks_arrived_total', 'Tasks admitted.', ({ metrics }) => metrics.totalTasksArrived),
  counter('tasks_completed_total', 'Tasks that returned a value.', ({ metrics }) => metrics.totalTasksCompleted),
  counter('tasks_failed_total', 'Tasks that threw.', ({ metrics }) => metrics.totalTasksFailed),
  counter('tasks_timed_out_total', 'Tasks that ran out of time.', ({ metrics }) => metrics.totalTasksTimedOut),
  counter('tasks_canceled_total', 'Tasks that were canceled.', ({ metrics }) => metrics.totalTasksCanceled),
  counter('tasks_dropped_total', 'Tasks pushed out of a full queue.', ({ metrics }) => metrics.totalTasksDropped),
  counter('tasks_rejected_total', 'Submissions refused.', ({ metrics }) => metrics.totalTasksRejected),
  counter('tasks_retried_total', 'Runs beyond the first of a task.', ({ metrics }) => metrics.totalTasksRetried),

  gauge('task_arrival_rate', 'Tasks admitted a second, lately.', ({ metrics }) => metrics.taskArrivalRate),
  gauge('task_completion_rate', 'Tasks ended a second, lately.', ({ metrics }) => metrics.taskCompletionRate),
  gauge('task_success_ratio', 'Completed tasks of all ended.', ({ metrics }) => metrics.successRate),
  gauge('task_failure_ratio', 'Failed and timed out tasks of all ended.', ({ metrics }) => metrics.failureRate),

  {
    name: 'task_execution_seconds',
    type: 'summary',
    help: 'From the start of the last run of a task to its end.',
    samples: ({ metrics: m }) =>
      summary({
        count: m.totalTasksExecuted,
        sumMs: m.totalExecutionTimeMs,
        p50Ms: m.p50ExecutionTimeMs,
        p95Ms: m.p95ExecutionTimeMs,
        p99Ms: m.p99ExecutionTimeMs,
      }),
  },
  seconds('task_execution_min_seconds', 'The shortest execution.', ({ metrics }) => metrics.minExecutionTimeMs),
  seconds('task_execution_max_seconds', 'The longest execution.', ({ metrics }) => metrics.maxExecutionTimeMs),
  {
    name: 'task_wait_seconds',
    type: 'summary',
    help: 'From the admission of a task to the start of its last run, or to its end without one.',
    samples: ({ metrics: m }) =>
      summary({
        count: endedOf(m),
        sumMs: m.totalWaitTimeMs,
        p50Ms: m.p50WaitTimeMs,
        p95Ms: m.p95WaitTimeMs,
        p99Ms: m.p99WaitTimeMs,
      }),
  },
  seconds('task_wait_min_seconds', 'The shortest wait.', ({ metrics }) => metrics.minWaitTimeMs),
  seconds('task_wait_max_seconds', 'The longest wait.', ({ metrics }) => metrics.maxWaitTimeMs),
];

/**
 * The text that Prometheus scrapes. Of a manager: gauges from `stats()`; counters, rates and summaries from `metrics()`,
 * all of its whole life. Names begin with the prefix: `errand_queued_tasks`, `errand_tasks_completed_total`,
 * `errand_task_wait_seconds{quantile="0.99"}`; quantiles are NaN before the first task. Of a dispatcher: counters and
 * summaries from `metrics()`: `errand_dispatcher_tasks_processed_total{task="mail",queue="slow",status="completed"}`.
 *
 * @param sources a manager or a dispatcher, or several with labels that tell them apart
 * @throws TypeError or RangeError when a source is none, a prefix or label is not one Prometheus knows, or two managers,
 * or two dispatchers, have the same labels
 */
export function prometheusText(sources: Source | readonly LabeledSource[], options: PrometheusOptions = {}): string {
  const { prefix = 'errand', labels = {} } = options;
  checkPrefix(prefix);
  const managers: Labeled<ManagerFigures>[] = [];
  const dispatchers: Labeled<DispatcherMetrics>[] = [];
  for (const { source, labels: own } of isList(sources) ? sources : [{ source: sources, labels: {} }]) {
    const all = { ...labels, ...own };
    if (typeof source?.metrics !== 'function') {
      throw new TypeError(`what Prometheus is told of must be a TaskManager or a Dispatcher, but is ${show(source)}`);
    }
    const metrics = source.metrics();
    if ('tasks' in metrics) {
      dispatchers.push({ labels: labelsOf(all, DISPATCHER_LABELS), figures: metrics });
    } else {
      const stats = (source as PrometheusSource).stats();
      managers.push({ labels: labelsOf(all, MANAGER_LABELS), figures: { stats, metrics } });
    }
  }
  checkDistinct(managers);
  checkDistinct(dispatchers);
  return [...linesOf(prefix, MANAGER_FAMILIES, managers), ...linesOf(prefix, DISPATCHER_FAMILIES, dispatchers)]
    .map((line) => `${line}\n`)
    .join('');
}

function counter(name: string, help: string, read: (figures: ManagerFigures) => number): Family<ManagerFigures> {
  return { name, type: 'counter', help, samples: (figures) => [{ value: read(figures) }] };
}

function gauge(name: string, help: string, read: (figures: ManagerFigures) => number): Family<ManagerFigures> {
  return { name, type: 'gauge', help, samples: (figures) => [{ value: read(figures) }] };
}

function seconds(name: string, help: string, readMs: (figures: ManagerFigures) => number): Family<ManagerFigures> {
  return gauge(name, help, (figures) => readMs(figures) / MS_PER_SECOND);
}

function endedOf(m: TaskMetrics): number {
  return m.totalTasksCompleted + m.totalTasksFailed + m.totalTasksTimedOut + m.totalTasksCanceled + m.totalTasksDropped;
}

function isList(sources: Source | readonly LabeledSource[]): sources is readonly LabeledSource[] {
  return Array.isArray(sources);
}
