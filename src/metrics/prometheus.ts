/**
 * Managers in Prometheus' text exposition format 0.0.4, to be served with the content type
 * `text/plain; version=0.0.4; charset=utf-8`. Nothing is kept: what is scraped is computed from a snapshot.
 *
 * Invariant: each family of metrics appears once, HELP and TYPE first, then a sample for each source in turn. Times
 * are in seconds and shares in 0 to 1, the base units Prometheus asks for.
 */
import type { TaskMetrics } from './collector.ts';

/** What of a manager is read; a TaskManager is one. */
export interface PrometheusSource {
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
  metrics(): TaskMetrics;
}

/** A source among several, told apart by its labels. */
export interface LabeledSource {
  readonly source: PrometheusSource;
  readonly labels: Readonly<Record<string, string>>;
}

/** What {@link prometheusText} can be told. */
export interface PrometheusOptions {
  /** What every metric's name begins with. Default `'errand'`. */
  readonly prefix?: string | undefined;
  /** Labels of every sample. Default none. A source's own go before these. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** A source's figures, read once, so that all its samples are of one instant. */
interface Snapshot {
  readonly labels: readonly string[];
  readonly stats: ReturnType<PrometheusSource['stats']>;
  readonly metrics: TaskMetrics;
}

/** One metric: its name after the prefix, and what it says of a source. */
interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'summary';
  readonly help: string;
  readonly samples: (snapshot: Snapshot) => readonly Sample[];
}

/** A value, with what it adds to the family's name and the source's labels. */
interface Sample {
  readonly value: number;
  readonly suffix?: '_sum' | '_count';
  readonly label?: readonly [name: string, value: string];
}

const STATES = ['running', 'paused', 'stopping', 'stopped', 'killed'];
const MS_PER_SECOND = 1_000;

const FAMILIES: readonly Family[] = [
  {
    name: 'manager_state',
    type: 'gauge',
    help: 'The state of the manager: 1 for the one it is in.',
    samples: ({ stats }) =>
      [...new Set([...STATES, stats.state])].map((state) => ({
        value: state === stats.state ? 1 : 0,
        label: ['state', state],
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
      summary(
        m.totalTasksExecuted,
        m.totalExecutionTimeMs,
        m.p50ExecutionTimeMs,
        m.p95ExecutionTimeMs,
        m.p99ExecutionTimeMs,
      ),
  },
  seconds('task_execution_min_seconds', 'The shortest execution.', ({ metrics }) => metrics.minExecutionTimeMs),
  seconds('task_execution_max_seconds', 'The longest execution.', ({ metrics }) => metrics.maxExecutionTimeMs),
  {
    name: 'task_wait_seconds',
    type: 'summary',
    help: 'From the admission of a task to the start of its last run, or to its end without one.',
    samples: ({ metrics: m }) =>
      summary(endedOf(m), m.totalWaitTimeMs, m.p50WaitTimeMs, m.p95WaitTimeMs, m.p99WaitTimeMs),
  },
  seconds('task_wait_min_seconds', 'The shortest wait.', ({ metrics }) => metrics.minWaitTimeMs),
  seconds('task_wait_max_seconds', 'The longest wait.', ({ metrics }) => metrics.maxWaitTimeMs),
];

/**
 * The text that Prometheus scrapes: gauges from `stats()`; counters, rates and summaries from `metrics()`. Names begin
 * with the prefix: `errand_queued_tasks`, `errand_tasks_completed_total`, `errand_task_wait_seconds{quantile="0.99"}`.
 * Quantiles are of the whole life of the manager, NaN before the first task.
 *
 * @param sources a manager, or several with labels that tell them apart
 * @throws TypeError or RangeError when a prefix or label is not one Prometheus knows, or two sources have the same
 */
export function prometheusText(
  sources: PrometheusSource | readonly LabeledSource[],
  options: PrometheusOptions = {},
): string {
  const { prefix = 'errand', labels = {} } = options;
  checkPrefix(prefix);
  const labeled = isList(sources) ? sources : [{ source: sources, labels: {} }];
  const snapshots = labeled.map(({ source, labels: own }) => ({
    labels: labelsOf({ ...labels, ...own }),
    stats: source.stats(),
    metrics: source.metrics(),
  }));
  checkDistinct(snapshots);
  return FAMILIES.flatMap((family) => linesOf(`${prefix}_${family.name}`, family, snapshots))
    .map((line) => `${line}\n`)
    .join('');
}

function linesOf(name: string, family: Family, snapshots: readonly Snapshot[]): string[] {
  // A family without a sample would be a HELP about nothing.
  if (snapshots.length === 0) return [];
  const lines = [`# HELP ${name} ${family.help}`, `# TYPE ${name} ${family.type}`];
  for (const snapshot of snapshots) {
    for (const { value, suffix = '', label } of family.samples(snapshot)) {
      const labels = label === undefined ? snapshot.labels : [...snapshot.labels, labelText(...label)];
      const braces = labels.length === 0 ? '' : `{${labels.join(',')}}`;
      lines.push(`${name}${suffix}${braces} ${valueText(value)}`);
    }
  }
  return lines;
}

function counter(name: string, help: string, read: (snapshot: Snapshot) => number): Family {
  return { name, type: 'counter', help, samples: (snapshot) => [{ value: read(snapshot) }] };
}

function gauge(name: string, help: string, read: (snapshot: Snapshot) => number): Family {
  return { name, type: 'gauge', help, samples: (snapshot) => [{ value: read(snapshot) }] };
}

function seconds(name: string, help: string, readMs: (snapshot: Snapshot) => number): Family {
  return gauge(name, help, (snapshot) => readMs(snapshot) / MS_PER_SECOND);
}

function summary(count: number, sumMs: number, p50Ms: number, p95Ms: number, p99Ms: number): readonly Sample[] {
  const quantile = (q: string, ms: number): Sample => ({
    value: count === 0 ? Number.NaN : ms / MS_PER_SECOND,
    label: ['quantile', q],
  });
  return [
    quantile('0.5', p50Ms),
    quantile('0.95', p95Ms),
    quantile('0.99', p99Ms),
    { value: sumMs / MS_PER_SECOND, suffix: '_sum' },
    { value: count, suffix: '_count' },
  ];
}

function endedOf(m: TaskMetrics): number {
  return m.totalTasksCompleted + m.totalTasksFailed + m.totalTasksTimedOut + m.totalTasksCanceled + m.totalTasksDropped;
}

function isList(sources: PrometheusSource | readonly LabeledSource[]): sources is readonly LabeledSource[] {
  return Array.isArray(sources);
}

function checkPrefix(prefix: unknown): void {
  if (typeof prefix !== 'string') throw new TypeError(`prefix must be a string, not ${String(prefix)}`);
  if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(prefix)) {
    throw new RangeError(`prefix must be letters, digits, _ and :, no digit first, not ${JSON.stringify(prefix)}`);
  }
}

function labelsOf(labels: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(labels).map(([name, value]) => {
    if (!/^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) {
      throw new RangeError(`labels must be named with letters, digits and _, not ${JSON.stringify(name)}`);
    }
    if (name === 'quantile' || name === 'state') throw new RangeError(`labels must not have ${name}: it is taken`);
    if (typeof value !== 'string') throw new TypeError(`labels.${name} must be a string, not ${String(value)}`);
    return labelText(name, value);
  });
}

// Two sources with the same labels would be one series with two values, and Prometheus would refuse them all.
function checkDistinct(snapshots: readonly Snapshot[]): void {
  const seen = new Set<string>();
  for (const { labels } of snapshots) {
    const key = labels.toSorted().join(',');
    if (seen.has(key)) throw new RangeError(`labels must tell the sources apart, not be {${key}} twice`);
    seen.add(key);
  }
}

function labelText(name: string, value: string): string {
  const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return `${name}="${escaped}"`;
}

function valueText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value);
}
