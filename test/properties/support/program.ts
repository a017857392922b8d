/**
 * A program for a TaskManager: what it is made with, and what is done to it, one thing after another. Plain data, so
 * that it can be printed, shrunk, and run again.
 */
import type { Overflow, RetryPolicy } from '../../../src/manager/index.ts';

/** What a function does when its signal fires: ends, goes on, or knows no other end, or none at all. */
export type Manner = 'obeys' | 'ignores' | 'hangs' | 'deaf';

/** What a task's function does. */
export interface Body {
  /** Does it all before it returns. */
  readonly sync: boolean;
  readonly ms: number;
  readonly manner: Manner;
  /** How its first runs end: `sick` is an error after which the resource is bad. */
  readonly ends: 'value' | 'throws' | 'sick';
  /** So many runs end as said; those after them end with a value. */
  readonly spoils: number;
  readonly retires: boolean;
  readonly defers: 'nothing' | 'work' | 'throw';
  readonly acts: readonly Act[];
  readonly children: readonly Child[];
  /** Of a generator: how many values it yields. */
  readonly yields: number;
}

export interface Child {
  readonly submission: Submission;
  readonly awaited: boolean;
}

export type Family = 'queueTask' | 'queueTaskWithPriority' | 'queueTaskOnce' | 'queueTaskWithPriorityOnce' | 'runTask';
export type Variant = '' | 'Async' | 'WithCallback' | 'WithTimeout';

export type Form =
  | { readonly kind: 'method'; readonly family: Family; readonly variant: Variant }
  | { readonly kind: 'tryQueueTask' | 'go' | 'queueTaskStream' | 'runTaskSync' };

export interface Options {
  readonly priority?: number;
  readonly key?: string;
  readonly timeoutMs?: number;
  readonly queueTimeoutMs?: number;
  readonly once?: boolean;
  readonly retry?: Retry;
  readonly overflow?: Overflow;
  readonly ownResource?: boolean;
  /** Which of the signals shared by many. */
  readonly signal?: number;
  readonly named?: boolean;
}

export interface Retry extends Omit<RetryPolicy, 'retryIf' | 'backoff'> {
  readonly backoff: 'constant' | 'linear' | 'exponential' | 'own' | 'throwing';
  readonly retryIf: 'always' | 'never' | 'throws' | 'cancels';
}

/** How a result is read: of a handle, a stream or a map. */
export type Reading = 'all' | 'slowly' | 'some' | 'iterate' | 'never';

export interface Submission {
  readonly form: Form;
  readonly options: Options;
  readonly body: Body;
  readonly reading: Reading;
}

/** What can be done in an instant. `which` picks one of those there are. */
export type Act =
  | { readonly do: 'submit'; readonly submission: Submission }
  | {
      readonly do: 'map';
      readonly items: number;
      readonly body: Body;
      readonly ordered: boolean;
      readonly settled: boolean;
      readonly highWaterMark: number;
      readonly reading: Reading;
      readonly options: Options;
    }
  | { readonly do: 'runOnEach'; readonly body: Body }
  | { readonly do: 'cancel'; readonly which: number }
  | { readonly do: 'setPriority'; readonly which: number; readonly priority: number }
  | { readonly do: 'abort'; readonly signal: number; readonly asTimeout: boolean }
  | {
      readonly do: 'cancelBy';
      readonly field: 'key' | 'state' | 'priority' | 'predicate' | 'all';
      readonly value: number;
    }
  | { readonly do: 'clear' | 'pause' | 'resume' | 'recycle' | 'release' | 'ready' }
  | { readonly do: 'resize'; readonly workerCount: number; readonly more: number }
  | { readonly do: 'wait'; readonly until: 'idle' | 'empty' | 'short'; readonly signal?: number }
  | { readonly do: 'mistake'; readonly kind: number }
  | { readonly do: 'stop'; readonly graceMs: number; readonly timeoutMs: number }
  | { readonly do: 'kill' };

export type Command = Act | { readonly do: 'advance'; readonly ms: number } | { readonly do: 'microtasks' };

export interface ResourceSpec {
  readonly createMs: number;
  /** Every so-manieth creation fails, hangs until its signal fires, or hangs on though it does; 0: none. */
  readonly failEvery: number;
  readonly hangEvery: number;
  readonly deafEvery: number;
  readonly destroyMs: number;
  readonly destroyThrows: boolean;
}

/** Whose code gets a word in: listeners of events, and what a user hands in. */
export const OCCASIONS = [
  'idle',
  'empty',
  'full',
  'drain',
  'taskFailed',
  'workerReplaced',
  'scaled',
  'stopping',
  'error',
  'onCreate',
  'onDestroy',
  'checkHealth',
  'retryIf',
  'backoff',
  'callback',
  'logger',
  'scaling policy',
  'recordArrival',
  'recordCompletion',
  'recordFailure',
  'recordRetry',
  'recordRejection',
] as const;

/** What such code does to the manager, once. */
export interface Reaction {
  readonly on: (typeof OCCASIONS)[number];
  readonly act: Act;
}

export interface ManagerSpec {
  readonly workerCount: number;
  readonly more: number;
  readonly burstIntervalMs: number;
  readonly scaling: 'default' | 'random' | 'throwing';
  readonly resource?: ResourceSpec;
  readonly checkHealth: 'honest' | 'throwing' | 'none';
  readonly maxRetries: number;
  readonly createConcurrency?: number;
  readonly createTimeoutMs: number;
  readonly maxUses?: number;
  readonly maxAgeMs?: number;
  readonly idleMs?: number;
  readonly resourcePoolSize: number;
  readonly maxTemporary: number;
  readonly maxQueueSize: number;
  readonly overflow: Overflow;
  readonly agingMs?: number;
  readonly concurrencyPerKey?: number;
  readonly timeoutMs?: number;
  readonly queueTimeoutMs?: number;
  readonly retry?: Retry;
  readonly abandonAfterMs: number;
  readonly killGraceMs: number;
  readonly asyncContext: boolean;
  readonly yieldTasks: number;
  readonly collectors: 'default' | 'counting' | 'several' | 'none';
  readonly hooks: 'fine' | 'throwing';
  readonly signal: 'none' | 'signal' | 'context';
  readonly reactions: readonly Reaction[];
}

export interface Program {
  readonly manager: ManagerSpec;
  readonly commands: readonly Command[];
  readonly ending: 'stop' | 'kill' | 'abort';
  readonly graceMs: number;
  readonly timeoutMs: number;
}
