/** Checks what users hand in, in one place, and names what is wrong: the option, the value, what it should be. */
import { availableParallelism, constants } from 'node:os';
import { type Clock, realClock } from '../go/clock.ts';
import { type Context, isContext } from '../go/context.ts';
import type { MetricsCollector } from '../metrics/index.ts';
import { STATE_NAMES } from './task.ts';
import type {
  Logger,
  ManagerEvents,
  MapOptions,
  Overflow,
  RetryPolicy,
  StopOptions,
  StreamOptions,
  TaskManagerOptions,
  TaskOptions,
} from './types.ts';

/** A value as an error message shows it. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) {
    return Array.isArray(value) ? `an array of ${value.length}` : `an instance of ${value.constructor?.name ?? 'null'}`;
  }
  return String(value);
}

function wrongType(name: string, expected: string, value: unknown): TypeError {
  return new TypeError(`${name} must be ${expected}, but is ${show(value)}`);
}

function wrongRange(name: string, expected: string, value: unknown): RangeError {
  return new RangeError(`${name} must be ${expected}, but is ${show(value)}`);
}

interface NumberRule {
  readonly min: number;
  /** Whether `min` itself is too little. */
  readonly above?: boolean;
  readonly integer?: boolean;
  readonly infinite?: boolean;
}

const COUNT: NumberRule = { min: 1, integer: true };
const COUNT_OR_NONE: NumberRule = { min: 0, integer: true };
const DURATION: NumberRule = { min: 0, above: true };
const DURATION_OR_NONE: NumberRule = { min: 0 };
const LIMIT: NumberRule = { min: 0, above: true, infinite: true };
const LIMIT_OR_NOW: NumberRule = { min: 0, infinite: true };

function checkNumber(name: string, value: unknown, rule: NumberRule): number {
  const { min, above = false, integer = false, infinite = false } = rule;
  const what = `${integer ? 'an integer' : 'a number'} ${above ? 'above' : 'of at least'} ${min}${infinite ? ' or Infinity' : ''}`;
  if (typeof value !== 'number') throw wrongType(name, what, value);
  if (value === Number.POSITIVE_INFINITY && infinite) return value;
  if (!Number.isFinite(value) || (integer && !Number.isInteger(value)) || value < min || (above && value === min)) {
    throw wrongRange(name, what, value);
  }
  return value;
}

function optionalNumber<D>(name: string, value: unknown, rule: NumberRule, fallback: D): number | D {
  return value === undefined ? fallback : checkNumber(name, value, rule);
}

function optionalFunction<F>(name: string, value: F): F {
  if (value !== undefined && typeof value !== 'function') throw wrongType(name, 'a function', value);
  return value;
}

function optionalBoolean(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw wrongType(name, 'a boolean', value);
  return value;
}

function checkObject(name: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null) throw wrongType(name, 'an object', value);
}

const OVERFLOWS: readonly Overflow[] = ['reject', 'wait', 'drop-oldest', 'drop-lowest'];

function optionalOverflow(value: unknown, fallback: Overflow): Overflow {
  if (value === undefined) return fallback;
  if (!OVERFLOWS.includes(value as Overflow)) throw wrongRange('overflow', `one of ${OVERFLOWS.join(', ')}`, value);
  return value as Overflow;
}

function optionalSignal(name: string, value: unknown): AbortSignal | Context | undefined {
  if (value === undefined || value instanceof AbortSignal || isContext(value)) return value;
  throw wrongType(name, 'an AbortSignal or a Context', value);
}

/** What of a family of methods bears on its options. */
interface Preset {
  readonly once: boolean;
  readonly run: boolean;
}

const checkedPolicies = new WeakSet<RetryPolicy>();

/** A retry policy, checked once for each object. */
export function checkRetry(value: RetryPolicy | undefined): RetryPolicy | undefined {
  if (value === undefined) return undefined;
  checkObject('retry', value);
  if (checkedPolicies.has(value)) return value;
  checkNames('retry', value, ['attempts', 'backoff', 'baseMs', 'maxMs', 'jitter', 'retryIf']);
  checkNumber('retry.attempts', value.attempts, { min: 1, integer: true, infinite: true });
  const { backoff } = value;
  if (backoff !== undefined && typeof backoff !== 'function') {
    const names = ['constant', 'linear', 'exponential'];
    if (!names.includes(backoff))
      throw wrongRange('retry.backoff', `a function or one of ${names.join(', ')}`, backoff);
  }
  optionalNumber('retry.baseMs', value.baseMs, DURATION_OR_NONE, undefined);
  optionalNumber('retry.maxMs', value.maxMs, LIMIT_OR_NOW, undefined);
  const { jitter } = value;
  if (jitter !== undefined && !['none', 'full', 'equal'].includes(jitter)) {
    throw wrongRange('retry.jitter', 'one of none, full, equal', jitter);
  }
  optionalFunction('retry.retryIf', value.retryIf);
  checkedPolicies.add(value);
  return value;
}

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
  readonly checkHealth: TaskManagerOptions<unknown>['checkHealth'];
  readonly scaling: TaskManagerOptions<unknown>['scaling'];
}

const MANAGER_OPTIONS: readonly (keyof TaskManagerOptions<unknown>)[] = [
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

function checkNames(what: string, options: object, known: readonly string[]): void {
  // With inherited names: an AbortSignal in the place of options has no others.
  for (const name in options) {
    if (!known.includes(name))
      throw new TypeError(`${name} is not an option of ${what}; those are ${known.join(', ')}`);
  }
}

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
    checkHealth: optionalFunction('checkHealth', options.checkHealth),
    scaling: optionalFunction('scaling', options.scaling),
  };
}

/** As a dictionary, for every submission with options is checked against it. */
const TASK_OPTIONS: Readonly<Record<string, true>> = {
  __proto__: null as never,
  id: true,
  priority: true,
  timeoutMs: true,
  queueTimeoutMs: true,
  signal: true,
  key: true,
  once: true,
  retry: true,
  overflow: true,
};
export const CHILD_OPTIONS: typeof TASK_OPTIONS = { __proto__: null as never, ...TASK_OPTIONS, ownResource: true };
const STREAM_OPTIONS: typeof TASK_OPTIONS = { __proto__: null as never, ...CHILD_OPTIONS, highWaterMark: true };
const MAP_OPTIONS: typeof TASK_OPTIONS = {
  __proto__: null as never,
  ...TASK_OPTIONS,
  ordered: true,
  settled: true,
  highWaterMark: true,
};

/** Throws for the first option of a submission that is wrong, for itself or in its family of methods. */
export function checkTaskOptions(options: TaskOptions, preset: Preset, known = TASK_OPTIONS): void {
  checkObject('options', options);
  for (const name in options) if (!(name in known)) checkNames('a task', options, Object.keys(known));
  const { id, priority, key, once, retry } = options;
  if (id !== undefined && (typeof id !== 'string' || id === ''))
    throw wrongType('id', 'a string that is not empty', id);
  if (priority !== undefined) checkPriority(priority);
  if (key !== undefined && typeof key !== 'string') throw wrongType('key', 'a string', key);
  optionalNumber('timeoutMs', options.timeoutMs, LIMIT, undefined);
  optionalNumber('queueTimeoutMs', options.queueTimeoutMs, LIMIT_OR_NOW, undefined);
  optionalSignal('signal', options.signal);
  checkRetry(retry);
  if ((optionalBoolean('once', once, false) || preset.once) && retry !== undefined) {
    throw new TypeError('once and retry exclude each other: once allows one run, retry asks for more');
  }
  optionalOverflow(options.overflow, 'reject');
  optionalBoolean('ownResource', (options as { ownResource?: unknown }).ownResource, false);
  if (!preset.run) return;
  for (const name of ['priority', 'key', 'overflow', 'queueTimeoutMs'] as const) {
    if (options[name] !== undefined) {
      throw new TypeError(`${name} is an option of the queue, which runTask passes by: leave it out, or use queueTask`);
    }
  }
}

export function checkPriority(value: unknown): number {
  if (typeof value !== 'number') throw wrongType('priority', 'a finite number', value);
  if (!Number.isFinite(value)) throw wrongRange('priority', 'a finite number', value);
  return value;
}

const ANY: Preset = { once: false, run: false };

export function checkMapOptions(options: MapOptions): void {
  checkTaskOptions(options, ANY, MAP_OPTIONS);
  if ((options as TaskOptions).id !== undefined) {
    throw new TypeError('id is not an option of map: every item is a task of its own');
  }
  optionalBoolean('ordered', options.ordered, false);
  optionalBoolean('settled', options.settled, false);
  checkHighWaterMark(options.highWaterMark);
}

export function checkStreamOptions(options: StreamOptions): void {
  checkTaskOptions(options, ANY, STREAM_OPTIONS);
  checkHighWaterMark(options.highWaterMark);
}

function checkHighWaterMark(value: unknown): void {
  optionalNumber('highWaterMark', value, COUNT_OR_NONE, undefined);
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

/** An AbortSignal that a waiting method takes. */
export function checkWaitOptions(options: { readonly signal?: AbortSignal | undefined } | undefined): void {
  if (options === undefined) return;
  checkObject('options', options);
  checkNames('a wait', options, ['signal']);
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw wrongType('signal', 'an AbortSignal', options.signal);
  }
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
