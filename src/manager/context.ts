/**
 * The context of one run of one task: a Go context that costs nothing until it is asked something. What ends it is
 * told to it by the scheduler; it watches nothing itself.
 */

import { show } from '../go/checks.ts';
import type { Context } from '../go/context.ts';
import { CanceledError } from '../go/errors.ts';
import { CancelScope, scopeOf } from '../go/scope.ts';
import type { Lent } from './lend.ts';
import { type Preset, Submitter, schedulerOf, submitPlain, submitTo } from './submitter.ts';
import { type Extras, type Receiver, RUNNING, type Task } from './task.ts';
import type { ChildOptions, TaskOptions } from './types.ts';
import type { Worker } from './worker.ts';

const NEVER = Number.POSITIVE_INFINITY;

/**
 * What a task's function gets first: a Context (Go's `context.Context`) for this run, and the way to submit children.
 * Times are in ms since the epoch.
 *
 * A child inherits cancellation, deadline, values, priority and key; is never refused for want of room; may be
 * submitted while the manager stops; and is canceled if its parent settles first. If no worker is free and each is
 * taken by a task that has unsettled children, the oldest child runs on its parent's worker and shares its resource
 * (so hold no transaction open over a child you await; `ownResource: true` asks for a temporary one).
 *
 * @example
 * await manager.queueTask(async (ctx, db) => {
 *   const cursor = await db.open({ signal: ctx.signal });
 *   ctx.defer(() => cursor.close());
 *   return Promise.all((await cursor.rows()).map((row) => ctx.queueTask(() => enrich(row))));
 * });
 */
export class TaskContext<R = unknown> extends Submitter<R, ChildOptions> implements Context {
  readonly #worker: Worker;
  readonly #task: Task;
  readonly #startedAt: number;
  /** The priority it was started with. */
  readonly priority: number;
  /** Which run of the task this is, from 1. */
  readonly attempt: number;
  #scope: CancelScope | undefined = undefined;
  #timeoutLeft: number | undefined = undefined;
  /** @internal To be called when the run is over, the last first. */
  defers: (() => unknown)[] | undefined = undefined;
  /** @internal What it was lent, to be told when it is canceled, after all others. */
  lent: Lent | undefined = undefined;

  /** @internal */
  constructor(worker: Worker, task: Task) {
    super();
    this.#worker = worker;
    this.#task = task;
    this.#startedAt = worker.startedAt;
    this.priority = worker.priority;
    const { extras } = task;
    this.attempt = extras === undefined ? 1 : extras.attempt;
  }

  /** Fires when the task times out, is canceled, or the manager ends. Made when first read. */
  get signal(): AbortSignal {
    return this[scopeOf]().signal;
  }

  /** When this run will be ended, if ever: the nearest of its timeout and the deadlines it inherited. */
  get deadline(): number | undefined {
    const { scheduler } = this.#worker;
    const extras = this.#extras;
    const timeoutMs = this.#task.terms?.timeoutMs ?? scheduler.settings.timeoutMs ?? NEVER;
    const nearest = Math.min(
      scheduler.epoch(this.#startedAt + timeoutMs),
      extras?.context?.deadline ?? NEVER,
      extras?.parent?.deadline ?? NEVER,
      scheduler.context?.deadline ?? NEVER,
    );
    return nearest === NEVER ? undefined : nearest;
  }

  /** Why the run was ended early: a CanceledError, DeadlineExceededError or ShutdownError. Undefined if it wasn't. */
  get err(): Error | undefined {
    return this.#scope?.err;
  }

  /** The reason given for that, or `err` itself. */
  get cause(): unknown {
    return this.#scope?.cause;
  }

  /** Resolves when the run is ended early. */
  done(): Promise<void> {
    return this[scopeOf]().done();
  }

  /** A value of the Context given as `signal`, else of the parent task, else of the manager's Context. */
  value(key: unknown): unknown {
    const extras = this.#extras;
    let value = extras?.context?.value(key);
    if (value === undefined) value = extras?.parent?.value(key);
    return value === undefined ? this.#worker.scheduler.context?.value(key) : value;
  }

  /** The id given at submission, or a ULID; ULIDs sort by submission. Made when read. */
  get id(): string {
    return this.#worker.scheduler.idOf(this.#task);
  }

  /** When the task was submitted. */
  get queuedAt(): number {
    return this.#worker.scheduler.epoch(this.#task.queuedAt);
  }

  /** When this run began. */
  get startedAt(): number {
    return this.#worker.scheduler.epoch(this.#startedAt);
  }

  /** Fires as soon as `stop()` or `kill()` is called: a hint to come to an end, before the grace is over. */
  get stopping(): AbortSignal {
    return this.#worker.scheduler.stopping.signal;
  }

  /**
   * Calls `fn` when the function has returned, before the task settles and the worker is free: Go's `defer`, last one
   * first, one after the other. What it throws goes to the manager's `error` event.
   */
  defer(fn: () => unknown): void {
    if (typeof fn !== 'function') throw new TypeError(`defer takes a function, but got ${show(fn)}`);
    if (this.#worker.context !== this) throw new CanceledError('the run is over: nothing can be deferred any more');
    if (this.defers === undefined) this.defers = [fn];
    else this.defers.push(fn);
  }

  /** Has the worker's resource destroyed and replaced when this run is over: for a connection that is worn out. */
  retireResource(): void {
    if (this.#worker.context === this) this.#worker.retire ??= 'retired';
  }

  /** @internal */
  get [schedulerOf]() {
    return this.#worker.scheduler;
  }

  /** @internal */
  [submitPlain]<E>(fn: unknown, options: TaskOptions | undefined, preset: Preset): Promise<E> {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      this.#worker.scheduler.refused('canceled');
      return Promise.reject(refusal);
    }
    return this.#worker.scheduler.submission.plain(fn, options, preset, this as TaskContext);
  }

  /** @internal */
  [submitTo](receiver: Receiver, fn: unknown, options: TaskOptions | undefined, preset: Preset): boolean {
    const refusal = this.#refusal();
    if (refusal !== undefined) return this.#worker.scheduler.submission.refuse(receiver, fn, 'canceled', refusal);
    return this.#worker.scheduler.submission.to(receiver, fn, options, preset, this as TaskContext);
  }

  /** @internal The scope that contexts derived from this one hang on. */
  [scopeOf](): CancelScope {
    this.#scope ??= new CancelScope(undefined, this.#worker.scheduler.settings.clock);
    return this.#scope;
  }

  /** @internal */
  get task(): Task {
    return this.#task;
  }

  /** @internal Ends the run for all who look at it. */
  cancel(err: Error, cause: unknown): void {
    const scope = this[scopeOf]();
    if (scope.cancel(err, cause)) this.lent?.canceled(scope.cause);
  }

  /** @internal The time from here to {@link resumeTimeout} doesn't count. */
  pauseTimeout(): void {
    const worker = this.#worker;
    if (worker.context !== this || worker.stuck || worker.timeoutDue === NEVER) return;
    const now = worker.scheduler.now();
    this.#timeoutLeft = Math.max(0, worker.timeoutDue - now);
    worker.timeoutDue = NEVER;
    worker.scheduler.armDeadline(worker, now);
  }

  /** @internal */
  resumeTimeout(): void {
    const worker = this.#worker;
    const left = this.#timeoutLeft;
    if (worker.context !== this || worker.stuck || left === undefined) return;
    this.#timeoutLeft = undefined;
    const now = worker.scheduler.now();
    worker.timeoutDue = now + left;
    worker.scheduler.armDeadline(worker, now);
  }

  get #extras(): Extras | undefined {
    return this.#task.extras;
  }

  /** A child needs a parent that lives. */
  #refusal(): unknown {
    const worker = this.#worker;
    if (worker.context === this && this.#task.state === RUNNING) return undefined;
    return this.cause ?? new CanceledError('the parent task has settled: submit to the manager instead');
  }
}
