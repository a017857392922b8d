/** What a dispatcher says of itself when it is asked, and how that is read: it comes from outside. */
import type { ManagerStats } from '../../manager/types.ts';
import type { DispatcherState } from '../dispatcher.ts';
import type { QueueUse } from '../queues.ts';
import { isObject } from './messages.ts';
import type { WorkersAnswered } from './probe.ts';

export interface Report {
  readonly state: DispatcherState;
  readonly uptimeMs: number;
  /** Of this package. */
  readonly version: string;
  readonly queues: readonly QueueUse[];
  readonly managers: ReadonlyMap<string, ManagerStats>;
  /** The ids of the calls that it has. */
  readonly calls: readonly string[];
}

/** As JSON can hold it: Infinity becomes null. */
export function packReport({ managers, ...report }: Report): unknown {
  return { ...report, managers: [...managers] };
}

/** Undefined when it is none. */
export function unpackReport(given: unknown): Report | undefined {
  if (!isObject(given)) return undefined;
  const { state, uptimeMs, version, queues, managers, calls } = given;
  if (!isState(state) || !isCount(uptimeMs) || !isText(version)) return undefined;
  if (!areAll(queues, isUse) || !areAll(managers, isManager) || !areAll(calls, isText)) return undefined;
  return {
    state,
    uptimeMs,
    version,
    queues: queues.map((use) => ({ ...use, concurrency: use.concurrency ?? Number.POSITIVE_INFINITY })),
    managers: new Map(
      managers.map(([name, stats]) => [
        name,
        { ...stats, queueCapacity: stats.queueCapacity ?? Number.POSITIVE_INFINITY },
      ]),
    ),
    calls,
  };
}

/** Undefined when it is none. */
export function unpackAnswered(given: unknown): ReadonlyMap<string, WorkersAnswered> | undefined {
  return areAll(given, isAnswered) ? new Map(given) : undefined;
}

function areAll<T>(given: unknown, is: (item: unknown) => item is T): given is readonly T[] {
  return Array.isArray(given) && given.every(is);
}

const STATES: readonly DispatcherState[] = ['new', 'running', 'stopping', 'stopped'];

function isState(given: unknown): given is DispatcherState {
  return STATES.includes(given as DispatcherState);
}

function isText(given: unknown): given is string {
  return typeof given === 'string';
}

function isCount(given: unknown): given is number {
  return typeof given === 'number';
}

function isUse(given: unknown): given is QueueUse {
  if (!isObject(given)) return false;
  const { name, weight, isPaused, concurrency, rateLimit } = given;
  if (!isText(name) || !isCount(weight) || typeof isPaused !== 'boolean') return false;
  if (concurrency !== null && !isCount(concurrency)) return false;
  if (rateLimit === null) return true;
  const { limit, intervalMs } = isObject(rateLimit) ? rateLimit : {};
  return isCount(limit) && isCount(intervalMs);
}

function isManager(given: unknown): given is [string, ManagerStats] {
  if (!isPair(given)) return false;
  const [, { state, queueCapacity, ...counts }] = given;
  return isText(state) && (queueCapacity === null || isCount(queueCapacity)) && Object.values(counts).every(isCount);
}

function isAnswered(given: unknown): given is [string, WorkersAnswered] {
  if (!isPair(given)) return false;
  const { workers, answered } = given[1];
  return isCount(workers) && isCount(answered);
}

function isPair(given: unknown): given is [string, Readonly<Record<string, unknown>>] {
  return Array.isArray(given) && given.length === 2 && isText(given[0]) && isObject(given[1]);
}
