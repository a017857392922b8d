/**
 * The record of one task, from submission to its end, and the ways its end is told.
 *
 * Records exist by the million, and garbage collection is what a deep queue costs, so a plain task has nine fields and
 * everything rare lives in {@link Extras}.
 */
import type { Context } from '../go/context.ts';
import type { RejectionReason } from '../metrics/index.ts';
import type { TaskContext } from './context.ts';
import type { Deadline } from './deadlines.ts';
import type { HeapItem } from './heap.ts';
import type { List, ListNode } from './list.ts';
import type { Lane } from './queue.ts';
import type { Overflow, RetryPolicy, TaskState } from './types.ts';
import type { Worker } from './worker.ts';

/** States in their order: all from COMPLETED on are ends. */
export const WAITING = 0;
export const QUEUED = 1;
export const RUNNING = 2;
export const COMPLETED = 3;
export const FAILED = 4;
export const TIMED_OUT = 5;
export const CANCELED = 6;
export const DROPPED = 7;
export const REJECTED = 8;

export type State = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;
/** The ends of an admitted task that aren't success. */
export type Failure = typeof FAILED | typeof TIMED_OUT | typeof CANCELED | typeof DROPPED;

export const STATE_NAMES: readonly TaskState[] = [
  'waiting',
  'queued',
  'running',
  'completed',
  'failed',
  'timedOut',
  'canceled',
  'dropped',
  'rejected',
];

export type InnerFunction = (context: never, resource: never) => unknown;
export type Resolve = (value: unknown) => void;

/** Resolving a promise with one of these rejects it: so a record keeps one function of a promise instead of two. */
export class Rejection {
  readonly #reason: unknown;

  constructor(reason: unknown) {
    this.#reason = reason;
  }

  then(_resolve: unknown, reject: (reason: unknown) => void): void {
    reject(this.#reason);
  }
}

/** Who hears a task's end, where that isn't just a promise: a handle, a callback, a stream. */
export abstract class Receiver {
  /** Opens the gate behind which a queued task keeps the async context of its submission; see `gate()`. */
  open: ((worker: Worker) => void) | undefined = undefined;

  /** Why the submission was refused, if it was. */
  refusal: RejectionReason | undefined = undefined;

  abstract settle(task: Task, state: State, value: unknown): void;
  /** Hears of the record before anything else. */
  attach(_task: Task): void {}
  /** The task has its place in the queue, or runs already. */
  placed(): void {}
  /** The function of a task that was settled before it returned has returned now, or was given up. */
  returned(): void {}
}

/**
 * A function that settles a promise, a receiver, or nobody yet. While a plain task is queued with its async context
 * kept, the function opens its gate, and the promise the caller holds is the gate's own `then`.
 */
export type Sink = Resolve | Receiver | undefined;

/**
 * What was asked for a task, where that differs from the manager's defaults. Never changed, so that submissions that ask
 * the same, one after the other, share it.
 */
export class Terms {
  readonly timeoutMs: number | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly overflow: Overflow | undefined;
  readonly once: boolean;

  constructor(
    timeoutMs: number | undefined,
    retry: RetryPolicy | undefined,
    overflow: Overflow | undefined,
    once: boolean,
  ) {
    this.timeoutMs = timeoutMs;
    this.retry = retry;
    this.overflow = overflow;
    this.once = once;
  }

  /** The same for a task that may not run again. */
  static once(terms: Terms | undefined): Terms {
    return new Terms(terms?.timeoutMs, undefined, terms?.overflow, true);
  }
}

/** What only some tasks have. */
export class Extras implements HeapItem {
  /** The id the caller chose. */
  id: string | undefined = undefined;
  key: string | undefined = undefined;
  /** Kept while no lane holds the task: when it waits for room, or for its next attempt. */
  priority = 0;
  /** Whether it counts against `maxQueueSize`: children and retries don't. */
  takesRoom = true;
  ownResource = false;
  /** Submitted with `runTask`. */
  past = false;
  /** Among those who wait for room. */
  waiting = false;
  queueTimeoutMs: number | undefined = undefined;
  /** Runs begun so far. */
  attempt = 0;
  /** Runs that ended on a bad resource. */
  healthFailures = 0;
  /** Bounds the time until the first start; then the pause before a retry. */
  deadline: Deadline<Task> | undefined = undefined;
  /** The Context given as `signal`: its values and deadline are inherited. */
  context: Context | undefined = undefined;
  signalNode: ListNode<Task> | undefined = undefined;
  /** The run that submitted it, if it is a child. */
  parent: TaskContext | undefined = undefined;
  /** In the parent's list of unsettled children. */
  childNode: ListNode<Task> | undefined = undefined;
  /** In the scheduler's list of queued children. */
  queuedChildNode: ListNode<Task> | undefined = undefined;
  children: List<Task> | undefined = undefined;
  dropNode: ListNode<Task> | undefined = undefined;
  /** Called instead of the queue when a task that is queued outside of it (for a retry, a resource) ends there. */
  leave: (() => void) | undefined = undefined;
  heapIndex = -1;
  readonly task: Task;

  constructor(task: Task) {
    this.task = task;
  }
}

export class Task {
  /** The function; after the end, where nobody has asked yet, the outcome. */
  fn: unknown;
  sink: Sink;
  /** The lane that holds it, then the worker that runs it. */
  home: Lane | Worker | undefined = undefined;
  previous: Task | undefined = undefined;
  next: Task | undefined = undefined;
  /** When it was submitted, by the manager's clock. Unique in a manager, so it is the task's place and identity too. */
  readonly queuedAt: number;
  state: State = WAITING;
  terms: Terms | undefined = undefined;
  extras: Extras | undefined = undefined;

  constructor(fn: unknown, queuedAt: number) {
    this.fn = fn;
    this.sink = undefined;
    this.queuedAt = queuedAt;
  }

  /** The task's extras, made now if it has none. */
  rare(): Extras {
    if (this.extras === undefined) {
      this.extras = new Extras(this);
      if (this.state === RUNNING) this.extras.attempt = 1;
    }
    return this.extras;
  }

  /**
   * What makes a task a thenable: a gate's promise resolves to it, and so waits for the task's end without a promise
   * more. Nobody outside ever sees a Task.
   */
  then(resolve: Resolve, reject: Resolve): void {
    if (this.state === COMPLETED) resolve(this.fn);
    else if (this.state > COMPLETED) reject(this.fn);
    else if (this.sink === undefined) this.sink = resolve;
    else (this.sink as Relay).resolve = resolve;
  }
}

/** A plain promise's receiver, for a task that runs again: its gate is spent, so it needs a place for a new one. */
export class Relay extends Receiver {
  resolve: Resolve | undefined;

  constructor(resolve: Resolve | undefined) {
    super();
    this.resolve = resolve;
  }

  settle(task: Task, state: State, value: unknown): void {
    if (this.resolve === undefined) task.fn = value;
    else this.resolve(state === COMPLETED ? value : new Rejection(value));
  }
}

let captured: Resolve;
function capture(resolve: Resolve): void {
  captured = resolve;
}

/** A new promise, and by {@link resolveOf} its resolve function. */
export function pendingPromise<T>(): Promise<T> {
  return new Promise<T>(capture as (resolve: (value: T) => void) => void);
}

/** The resolve function of the promise that {@link pendingPromise} made last. */
export function resolveOf(): Resolve {
  return captured;
}

function beginPlain(worker: Worker): Task | undefined {
  return worker.beginGated();
}

function beginReceived(worker: Worker): void {
  worker.beginGated();
}

/**
 * A promise for the outcome of `task`, which keeps the async context of this very call for the task's function: a
 * reaction to a promise runs in the context that registered it. The worker opens the gate, the reaction runs the
 * function, and the reaction's own promise, which adopts the task, is the result. One promise more than with no
 * context at all; AsyncResource costs several times as much.
 */
export function gatePlain<T>(task: Task): Promise<T> {
  const gate = new Promise<Worker>(capture as (resolve: (worker: Worker) => void) => void);
  task.sink = captured;
  return gate.then(beginPlain) as unknown as Promise<T>;
}

/** The same for a task whose end goes to a receiver. */
export function gateReceived(receiver: Receiver): void {
  const gate = new Promise<Worker>(capture as (resolve: (worker: Worker) => void) => void);
  receiver.open = captured as (worker: Worker) => void;
  void gate.then(beginReceived);
}
