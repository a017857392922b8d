/** The options of submissions, checked. Wrong ones make the submission reject; the manager goes on. */
import {
  COUNT_OR_NONE,
  checkNames,
  checkNumber,
  checkObject,
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
import type { MapOptions, RetryPolicy, StreamOptions, TaskOptions } from './types.ts';

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
  if (id !== undefined && typeof id !== 'string') throw wrongType('id', 'a string', id);
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
