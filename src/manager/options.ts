/** Checks what users hand in, in one place, and names what is wrong: the option, the value, what it should be. */

import { availableParallelism, constants } from 'node:os';
import { type Clock, realClock } from '../go/clock.ts';
import type { Context } from '../go/context.ts';
import type { WaitOptions } from '../go/wait-queue.ts';
import type { MetricsCollector } from '../metrics/index.ts';
import {
  COUNT,
  COUNT_OR_NONE,
  checkNames,
  checkNumber,
  checkObject,
  DURATION,
  DURATION_OR_NONE,
  LIMIT,
  LIMIT_OR_NOW,
  optionalBoolean,
  optionalFunction,
  optionalNumber,
  optionalOverflow,
  optionalSignal,
  wrongRange,
  wrongType,
} from './checks.ts';
import { type Lend, lendResource } from './lend.ts';
import { STATE_NAMES } from './task.ts';
import { checkRetry } from './task-options.ts';
import type { Logger, ManagerEvents, Overflow, RetryPolicy, StopOptions, TaskManagerOptions } from './types.ts';

/** The options of a manager, checked and with their defaults. */
export interface Settings {
  workerCount: number;
  maxWorkerCount: number;
  readonly burstIntervalMs: number;
  readonly createConcurrency: number;
  readonly createTimeoutMs: number;
  readonly createRate: { readonly limit: number; readonly intervalMs: number } | undefined;
  readonly createAttempts: number;
  readonly maxRetries: number;
  readonly maxUses: number;
  readonly maxAgeMs: number | undefined;
  readonly idleMs: number | undefined;
  readonly resourcePoolSize: number;
  readonly maxTemporary: number;
  readonly maxQueueSize: number;
  readonly overflow: Overflow;
  readonly agingMs: number | undefined;
  readonly concurrencyPerKey: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly queueTimeoutMs: number | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly abandonAfterMs: number;
  readonly killGraceMs: number;
  readonly asyncContext: boolean;
  readonly yieldTasks: number;
  readonly yieldMs: number;
  readonly clock: Clock;
  readonly logger: Logger | undefined;
  readonly signal: AbortSignal | Context | undefined;
  readonly onCreate: TaskManagerOptions<unknown>['onCreate'];
  readonly onDestroy: TaskManagerOptions<unknown>['onDestroy'];
  readonly lend: Lend | undefined;
  readonly checkHealth: TaskManagerOptions<unknown>['checkHealth'];
  readonly scaling: TaskManagerOptions<unknown>['scaling'];
}

const MANAGER_OPTIONS: readonly Extract<keyof TaskManagerOptions<unknown>, string>[] = [
  'workerCount',
  'maxWorkerCount',
  'burstIntervalMs',
  'scaling',
  'onCreate',
  'onDestroy',
  'checkHealth',
  'maxRetries',
  'createConcurrency',
  'createTimeoutMs',
  'createRate',
  'createAttempts',
  'maxUses',
  'maxAgeMs',
  'idleMs',
  'resourcePoolSize',
  'maxTemporary',
  'maxQueueSize',
  'overflow',
  'agingMs',
  'concurrencyPerKey',
  'timeoutMs',
  'queueTimeoutMs',
  'retry',
  'abandonAfterMs',
  'killGraceMs',
  'asyncContext',
  'yieldAfter',
  'collector',
  'logger',
  'clock',
  'signal',
];

/** `Infinity` says the same as nothing: no limit. */
function finite(value: number | undefined): number | undefined {
  return value === Number.POSITIVE_INFINITY ? undefined : value;
}

/**
 * Base and largest number of workers, as `new TaskManager` and `resize` take them; without the latter twice the base,
 * but no less than `leastMax`.
 */
export function checkWorkerCounts(
  workerCount: number,
  maxWorkerCount: number | undefined,
  leastMax = 0,
): { workerCount: number; maxWorkerCount: number } {
  checkNumber('workerCount', workerCount, COUNT);
  const most = optionalNumber('maxWorkerCount', maxWorkerCount, COUNT, Math.max(leastMax, 2 * workerCount));
  if (most < workerCount) throw wrongRange('maxWorkerCount', `at least workerCount (${workerCount})`, most);
  return { workerCount, maxWorkerCount: most };
}

export function checkManagerOptions<R>(given: TaskManagerOptions<R>): Settings {
  checkObject('options', given);
  checkNames('TaskManager', given, MANAGER_OPTIONS);
  const options = given as TaskManagerOptions<unknown>;
  const { workerCount: base = availableParallelism() } = options;
  const counts = checkWorkerCounts(base, options.maxWorkerCount);
  const { workerCount } = counts;
  const { createRate, yieldAfter = {}, clock, logger, onCreate, onDestroy } = options;
  if (createRate !== undefined) {
    checkObject('createRate', createRate);
    checkNames('createRate', createRate, ['limit', 'intervalMs']);
    checkNumber('createRate.limit', createRate.limit, COUNT);
    checkNumber('createRate.intervalMs', createRate.intervalMs, DURATION);
  }
  checkObject('yieldAfter', yieldAfter);
  checkNames('yieldAfter', yieldAfter, ['tasks', 'ms']);
  if (clock !== undefined) {
    checkObject('clock', clock);
    checkNumber('clock.timeOrigin', clock.timeOrigin, { min: Number.NEGATIVE_INFINITY, integer: true });
    for (const method of ['now', 'setTimeout', 'clearTimeout'] as const) {
      if (typeof clock[method] !== 'function') throw wrongType(`clock.${method}`, 'a function', clock[method]);
    }
  }
  if (logger !== undefined) {
    checkObject('logger', logger);
    for (const level of ['debug', 'info', 'warn', 'error'] as const) {
      if (typeof logger[level] !== 'function') throw wrongType(`logger.${level}`, 'a function', logger[level]);
    }
  }
  optionalFunction('onCreate', onCreate);
  optionalFunction('onDestroy', onDestroy);
  if (onDestroy !== undefined && onCreate === undefined) {
    throw new TypeError('onDestroy needs onCreate: without it there is no resource to destroy');
  }
  return {
    ...counts,
    burstIntervalMs: optionalNumber('burstIntervalMs', options.burstIntervalMs, DURATION_OR_NONE, 100),
    createConcurrency: optionalNumber('createConcurrency', options.createConcurrency, COUNT, workerCount),
    createTimeoutMs: optionalNumber('createTimeoutMs', options.createTimeoutMs, LIMIT, 30_000),
    createRate,
    createAttempts: optionalNumber('createAttempts', options.createAttempts, COUNT, 5),
    maxRetries: optionalNumber('maxRetries', options.maxRetries, COUNT_OR_NONE, 3),
    maxUses: optionalNumber(
      'maxUses',
      options.maxUses,
      { min: 1, integer: true, infinite: true },
      Number.POSITIVE_INFINITY,
    ),
    maxAgeMs: finite(optionalNumber('maxAgeMs', options.maxAgeMs, LIMIT, undefined)),
    idleMs: finite(optionalNumber('idleMs', options.idleMs, LIMIT, undefined)),
    resourcePoolSize: optionalNumber('resourcePoolSize', options.resourcePoolSize, COUNT_OR_NONE, workerCount),
    maxTemporary: optionalNumber(
      'maxTemporary',
      options.maxTemporary,
      { min: 0, integer: true, infinite: true },
      workerCount,
    ),
    maxQueueSize: optionalNumber(
      'maxQueueSize',
      options.maxQueueSize,
      { min: 0, integer: true, infinite: true },
      Number.POSITIVE_INFINITY,
    ),
    overflow: optionalOverflow(options.overflow, 'reject'),
    agingMs: finite(optionalNumber('agingMs', options.agingMs, LIMIT, undefined)),
    concurrencyPerKey: finite(
      optionalNumber(
        'concurrencyPerKey',
        options.concurrencyPerKey,
        { min: 1, integer: true, infinite: true },
        undefined,
      ),
    ),
    timeoutMs: finite(optionalNumber('timeoutMs', options.timeoutMs, LIMIT, undefined)),
    queueTimeoutMs: finite(optionalNumber('queueTimeoutMs', options.queueTimeoutMs, LIMIT_OR_NOW, undefined)),
    retry: checkRetry(options.retry),
    abandonAfterMs: optionalNumber('abandonAfterMs', options.abandonAfterMs, LIMIT_OR_NOW, 30_000),
    killGraceMs: optionalNumber('killGraceMs', options.killGraceMs, DURATION_OR_NONE, 1_000),
    asyncContext: optionalBoolean('asyncContext', options.asyncContext, true),
    yieldTasks: optionalNumber('yieldAfter.tasks', yieldAfter.tasks, { min: 1, integer: true, infinite: true }, 1_000),
    yieldMs: optionalNumber('yieldAfter.ms', yieldAfter.ms, LIMIT, 10),
    clock: clock ?? realClock,
    logger,
    signal: optionalSignal('signal', options.signal),
    onCreate,
    onDestroy,
    lend: given[lendResource],
    checkHealth: optionalFunction('checkHealth', options.checkHealth),
    scaling: optionalFunction('scaling', options.scaling),
  };
}

export function checkStopOptions(options: StopOptions): { graceMs: number; timeoutMs: number } {
  checkObject('options', options);
  checkNames('stop', options, ['graceMs', 'timeoutMs']);
  return {
    graceMs: optionalNumber('graceMs', options.graceMs, LIMIT_OR_NOW, 5_000),
    timeoutMs: optionalNumber('timeoutMs', options.timeoutMs, LIMIT_OR_NOW, 30_000),
  };
}

export function checkSize(value: unknown): number {
  return checkNumber('size', value, { min: 1, integer: true });
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw wrongType(name, 'a function', value);
}

export function checkWaitOptions(options: WaitOptions | undefined): void {
  if (options === undefined) return;
  checkObject('options', options);
  checkNames('a wait', options, ['signal']);
  optionalSignal('signal', options.signal);
}

const COLLECTOR_METHODS = [
  'recordArrival',
  'recordCompletion',
  'recordFailure',
  'recordRetry',
  'recordRejection',
] as const;

/** One collector, several, or none. */
export function checkCollectors(
  value: MetricsCollector | readonly MetricsCollector[] | false,
): readonly MetricsCollector[] {
  const collectors = value === false ? [] : Array.isArray(value) ? (value as MetricsCollector[]) : [value];
  for (const collector of collectors as readonly Partial<MetricsCollector>[]) {
    checkObject('collector', collector);
    if (typeof collector.metrics !== 'function') throw wrongType('collector.metrics', 'a function', collector.metrics);
    for (const method of COLLECTOR_METHODS) optionalFunction(`collector.${method}`, collector[method]);
  }
  return collectors as readonly MetricsCollector[];
}

export function checkFilter(filter: unknown): void {
  checkObject('filter', filter);
  checkNames('a filter of tasks', filter, ['id', 'key', 'state', 'priority']);
  const { state } = filter as { state?: unknown };
  if (state !== undefined && !STATE_NAMES.includes(state as never)) {
    throw wrongRange('state', `one of ${STATE_NAMES.join(', ')}`, state);
  }
}

const EVENTS: Readonly<Record<keyof ManagerEvents, true>> = {
  idle: true,
  empty: true,
  full: true,
  drain: true,
  taskFailed: true,
  workerReplaced: true,
  scaled: true,
  stopping: true,
  stopped: true,
  error: true,
};

export function checkEvent(event: unknown, listener: unknown): void {
  if (!Object.hasOwn(EVENTS, String(event))) {
    throw wrongRange('event', `one of ${Object.keys(EVENTS).join(', ')}`, event);
  }
  checkFunction('listener', listener);
}

export function checkResize(counts: unknown): void {
  checkObject('counts', counts);
  checkNames('resize', counts, ['workerCount', 'maxWorkerCount']);
}

export function checkSignalNames(names: unknown): void {
  if (!Array.isArray(names) || names.length === 0) throw wrongType('signals', 'an array of signal names', names);
  for (const name of names) {
    // Nobody can listen for the last two.
    if (!(String(name) in constants.signals) || name === 'SIGKILL' || name === 'SIGSTOP') {
      throw wrongRange('signals', 'names of process signals one can listen for, as SIGTERM', name);
    }
  }
}
