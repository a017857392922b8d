/** What must be true of a manager's books: at every instant, between two commands, and when all is still. */
import type { TaskManager } from '../../../src/manager/index.ts';
import type { CountingCollector } from './collector.ts';

type AnyManager = TaskManager<unknown>;

/** Promise 2, at every instant, inside of hooks too. Undefined when it holds. */
export function imbalance(manager: AnyManager): string | undefined {
  const stats = manager.stats();
  const metrics = manager.metrics();
  const accounted =
    stats.queuedTasks +
    stats.runningTasks +
    metrics.totalTasksCompleted +
    metrics.totalTasksFailed +
    metrics.totalTasksTimedOut +
    metrics.totalTasksCanceled +
    metrics.totalTasksDropped;
  if (metrics.totalTasksArrived !== accounted) {
    return `arrived ${metrics.totalTasksArrived}, but ${accounted} are accounted for: ${show(stats)} ${show(metrics)}`;
  }
  return inconsistency(stats);
}

function inconsistency(stats: ReturnType<AnyManager['stats']>): string | undefined {
  const { activeWorkers, idleWorkers, busyWorkers, baseWorkers, burstWorkers } = stats;
  const { queuedTasks, priorityTasks, queueUsage } = stats;
  const wrong = (what: string): string => `${what}: ${show(stats)}`;
  for (const [name, value] of Object.entries(stats)) {
    if (name === 'state' || (name === 'queueCapacity' && value === Number.POSITIVE_INFINITY)) continue;
    if (!Number.isInteger(value) || (value as number) < 0) return wrong(`${name} is ${value}`);
  }
  if (activeWorkers !== idleWorkers + busyWorkers) return wrong('active workers are neither idle nor busy');
  if (activeWorkers > baseWorkers + burstWorkers) return wrong('more workers are active than there are');
  if (priorityTasks > queuedTasks) return wrong('more priority tasks than queued ones');
  if (queueUsage > queuedTasks) return wrong('more places are taken than tasks are queued');
  return undefined;
}

/** Between two commands, the queue as listed is the queue as counted, and who counts along comes to the same. */
export function discrepancy(manager: AnyManager, counting: CountingCollector | undefined): string | undefined {
  const stats = manager.stats();
  const tasks = manager.tasks();
  for (const [state, count] of [
    ['waiting', stats.waitingForRoom],
    ['queued', stats.queuedTasks],
    ['running', stats.runningTasks],
  ] as const) {
    const listed = tasks.filter((task) => task.state === state).length;
    if (listed !== count) return `${count} tasks are ${state}, but tasks() lists ${listed}`;
  }
  const above = tasks.filter((task) => task.state === 'queued' && task.priority > 0).length;
  if (above !== stats.priorityTasks) return `priorityTasks is ${stats.priorityTasks}, but tasks() lists ${above}`;
  if (counting === undefined) return undefined;
  const metrics = manager.metrics();
  const counted = {
    totalTasksArrived: counting.arrived,
    totalTasksCompleted: counting.completed,
    totalTasksFailed: counting.fallen.failed,
    totalTasksTimedOut: counting.fallen.timedOut,
    totalTasksCanceled: counting.fallen.canceled,
    totalTasksDropped: counting.fallen.dropped,
    totalTasksRetried: counting.retried,
    totalTasksRejected: counting.rejected,
  };
  for (const [name, value] of Object.entries(counted)) {
    const said = metrics[name as keyof typeof counted];
    if (said !== value) return `${name} is ${said}, but a collector was told of ${value}`;
  }
  return undefined;
}

function show(figures: object): string {
  const shown = Object.entries(figures).filter(([name, value]) => value !== 0 && !/Rate|Ms$/.test(name));
  return shown.map(([name, value]) => `${name} ${value}`).join(', ');
}
