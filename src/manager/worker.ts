/**
 * A worker owns one resource and runs one task at a time on it.
 *
 * Invariant: its function is alive from `begin` to `#free`, and only then is it taken again, whatever has become of the
 * task meanwhile: a task that timed out is settled at once, but its worker isn't free before its function returns.
 */
import { TaskContext } from './context.ts';
import { Deadline } from './deadlines.ts';
import type { KeyUse } from './queue.ts';
import type { Scheduler } from './scheduler.ts';
import { RUNNING, type Task } from './task.ts';
import type { ReplaceReason } from './types.ts';

export type WorkerKind = 'base' | 'burst' | 'pooled' | 'temporary' | 'guest';

export const CREATING = 0;
export const IDLE = 1;
export const BUSY = 2;
export const GONE = 3;
export type Phase = 0 | 1 | 2 | 3;

/** Where a worker belongs: it is told when the worker is free again, and when it had to be given up. */
export interface WorkerHome {
  release(worker: Worker, now: number): void;
  abandoned(worker: Worker): void;
}

type Run = (context: TaskContext, resource: unknown) => unknown;

const nativeThen = Promise.prototype.then;

export class Worker {
  readonly scheduler: Scheduler;
  readonly home: WorkerHome;
  kind: WorkerKind;
  /** Whether it runs tasks of the queue, not of `runTask`. */
  counted: boolean;
  phase: Phase = CREATING;
  resource: unknown = undefined;
  /** Set until its function returns, settled or not. */
  task: Task | undefined = undefined;
  context: TaskContext | undefined = undefined;
  /** NaN before the first, so that the field holds a double from the beginning. */
  startedAt = Number.NaN;
  priority = 0;
  keyUse: KeyUse | undefined = undefined;
  uses = 0;
  /** Why the resource must go when the worker is free. */
  retire: ReplaceReason | undefined = undefined;
  /** Its task is settled and its function isn't. */
  stuck = false;
  readonly deadline: Deadline<Worker>;
  /** When the run times out, and when the grace of a stop is over; Infinity: never. */
  timeoutDue = Number.POSITIVE_INFINITY;
  graceDue = Number.POSITIVE_INFINITY;
  /** Of a guest: the worker whose resource it shares. */
  host: Worker | undefined = undefined;
  /** Children that run on this worker's resource. */
  guests = 0;
  /** Tasks for this very worker (`runOnEach`). */
  pinned: Task[] | undefined = undefined;
  /** Fires when the resource isn't wanted any more while it is made. */
  creation: AbortController | undefined = undefined;
  #running = false;
  #again = false;

  constructor(scheduler: Scheduler, home: WorkerHome, kind: WorkerKind) {
    this.scheduler = scheduler;
    this.home = home;
    this.kind = kind;
    this.counted = kind !== 'pooled' && kind !== 'temporary';
    this.deadline = new Deadline<Worker>(this, scheduler.settlement.onDeadline);
  }

  /** Runs the function of its task. Synchronous tasks that follow one another run in a loop, not on a growing stack. */
  begin(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    do {
      this.#again = false;
      this.#invoke();
    } while (this.#again);
    this.#running = false;
  }

  /** The same from behind a gate. What it returns settles the gate's promise: the task, which adopts it. */
  beginGated(): Task | undefined {
    const task = this.task;
    this.begin();
    return task;
  }

  #invoke(): void {
    const task = this.task!;
    if (task.state !== RUNNING) {
      // Settled between the opening of its gate and now.
      this.#free(this.scheduler.now());
      return;
    }
    const context = new TaskContext(this, task);
    this.context = context;
    let result: unknown;
    try {
      const { lend } = this.scheduler.settings;
      const resource = lend === undefined ? this.resource : lend(this.resource, context);
      result = (task.fn as Run)(context, resource);
      if ((typeof result === 'object' && result !== null) || typeof result === 'function') {
        const { then } = result as PromiseLike<unknown>;
        if (then === nativeThen && result instanceof Promise) {
          // One pair of functions for the worker's whole life: safe only because a native promise calls back once.
          result.then(this.#onFulfilled, this.#onRejected);
          return;
        }
        if (typeof then === 'function') {
          new Promise((resolve) => resolve(result)).then(this.#onFulfilled, this.#onRejected);
          return;
        }
      }
    } catch (error) {
      this.#onRejected(error);
      return;
    }
    this.#onFulfilled(result);
  }

  readonly #onFulfilled = (value: unknown): void => {
    if (this.context?.defers !== undefined) {
      this.#runDefers(() => this.#onFulfilled(value));
      return;
    }
    const { scheduler } = this;
    const task = this.task!;
    const now = scheduler.now();
    if (task.state === RUNNING) scheduler.settlement.complete(this, task, value, now);
    this.#free(now);
  };

  readonly #onRejected = (error: unknown): void => {
    if (this.context?.defers !== undefined) {
      this.#runDefers(() => this.#onRejected(error));
      return;
    }
    const { scheduler } = this;
    const task = this.task!;
    const now = scheduler.now();
    // A late error of a settled task still says how the resource is.
    const unhealthy = this.phase !== GONE && scheduler.reports.isUnhealthy(error);
    if (unhealthy) this.retire ??= 'unhealthy';
    if (task.state === RUNNING) scheduler.settlement.fail(this, task, error, unhealthy, now);
    this.#free(now);
  };

  /** Calls what was deferred, the last first, and then `then`: in this very turn if all of it is synchronous. */
  #runDefers(then: () => void): void {
    const context = this.context!;
    // A deferred function may defer more.
    for (let fn = context.defers?.pop(); fn !== undefined; fn = context.defers?.pop()) {
      try {
        const result = fn();
        if (typeof (result as PromiseLike<unknown> | undefined | null)?.then === 'function') {
          Promise.resolve(result)
            .catch((error) => this.scheduler.reports.report(error, 'a deferred function rejected'))
            .then(() => this.#runDefers(then));
          return;
        }
      } catch (error) {
        this.scheduler.reports.report(error, 'a deferred function threw');
      }
    }
    context.defers = undefined;
    then();
  }

  /** Its function has returned. */
  #free(now: number): void {
    const task = this.task!;
    const { scheduler } = this;
    this.task = undefined;
    this.context = undefined;
    if (this.deadline.list !== undefined) scheduler.deadlines.lift(this.deadline);
    const { keyUse } = this;
    if (keyUse !== undefined) {
      this.keyUse = undefined;
      scheduler.queue.release(keyUse);
    }
    if (this.stuck) {
      this.stuck = false;
      scheduler.settlement.returned(this, task);
    }
    if (this.phase === GONE) return;
    if (this.guests === 0) this.home.release(this, now);
    // Its task may be queued again, for another worker.
    else scheduler.pump();
  }

  /** One of the children that share its resource is done with it. */
  guestLeft(now: number): void {
    this.guests--;
    if (this.guests === 0 && this.task === undefined && this.phase === BUSY) this.home.release(this, now);
  }
}
