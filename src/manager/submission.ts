/**
 * The one submit path: every way to submit ends here, in a task that starts, is queued, waits for room, or is refused.
 */

import { show } from '../go/checks.ts';
import { isContext } from '../go/context.ts';
import type { RejectionReason } from '../metrics/index.ts';
import type { TaskContext } from './context.ts';
import { Deadline } from './deadlines.ts';
import { QueueFullError, ResourceError } from './errors.ts';
import { STAMP_STEP_MS } from './id.ts';
import { checkFunction } from './options.ts';
import type { Scheduler } from './scheduler.ts';
import { firedReason } from './signals.ts';
import type { Preset } from './submitter.ts';
import {
  COMPLETED,
  type Extras,
  FAILED,
  gatePlain,
  gateReceived,
  pendingPromise,
  QUEUED,
  REJECTED,
  Receiver,
  Rejection,
  resolveOf,
  type State,
  Task,
  Terms,
} from './task.ts';
import { CHILD_OPTIONS, checkTaskOptions } from './task-options.ts';
import type { ChildOptions, TaskOptions } from './types.ts';
import type { Worker } from './worker.ts';
import { IDLE } from './worker.ts';

/** Why a submission is refused. */
interface Refusal {
  readonly kind: RejectionReason;
  readonly error: unknown;
}

const NOTHING: ChildOptions = {};

function priorityOf(options: TaskOptions | undefined, preset: Preset, parent: TaskContext | undefined): number {
  if (options !== undefined && options.priority !== undefined) return options.priority;
  if (preset.priority !== undefined) return preset.priority;
  return parent === undefined ? 0 : parent.priority;
}

export class Submission {
  readonly #scheduler: Scheduler;
  #lastStamp = Number.NEGATIVE_INFINITY;
  #terms = new Terms(undefined, undefined, undefined, false);

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Submits for a promise. */
  plain<E>(fn: unknown, options: TaskOptions | undefined, preset: Preset, parent: TaskContext | undefined): Promise<E> {
    const scheduler = this.#scheduler;
    const { asyncContext, queueTimeoutMs } = scheduler.settings;
    const task = new Task(fn, this.stamp());
    // The plainest of submissions has nothing to check but its function.
    const bare = options === undefined && parent === undefined && !preset.once && !preset.run;
    const refusal =
      bare && queueTimeoutMs === undefined && typeof fn === 'function' && !scheduler.ending
        ? undefined
        : this.#check(task, options, preset, parent);
    if (refusal !== undefined) return this.#reject(refusal);
    if (preset.run) return this.#runPlain(task);
    const priority = priorityOf(options, preset, parent);
    if (scheduler.couldStart && this.#uncapped(task)) {
      const promise = pendingPromise<E>();
      task.sink = resolveOf();
      scheduler.startNow(task, priority);
      return promise;
    }
    const verdict = parent === undefined ? scheduler.admission.judge(task, priority, false) : 'enter';
    if (verdict instanceof QueueFullError) {
      if (task.extras !== undefined) this.#undo(task.extras);
      return this.#reject({ kind: 'full', error: verdict });
    }
    let promise: Promise<E>;
    if (asyncContext) promise = gatePlain<E>(task);
    else {
      promise = pendingPromise<E>();
      task.sink = resolveOf();
    }
    if (verdict === 'enter') this.#enter(task, priority);
    else this.#wait(task, priority);
    return promise;
  }

  /** Submits for a receiver, who is told of a refusal as well; false if it was one. */
  to(
    receiver: Receiver,
    fn: unknown,
    options: TaskOptions | undefined,
    preset: Preset,
    parent: TaskContext | undefined,
  ): boolean {
    const scheduler = this.#scheduler;
    const task = new Task(fn, this.stamp());
    task.sink = receiver;
    receiver.attach(task);
    const refusal = this.#check(task, options, preset, parent);
    if (refusal !== undefined) return this.#tell(task, receiver, refusal);
    if (preset.run) return this.#runFor(task, receiver);
    const priority = priorityOf(options, preset, parent);
    if (scheduler.couldStart && this.#uncapped(task)) {
      scheduler.startNow(task, priority);
      return true;
    }
    const verdict = parent === undefined ? scheduler.admission.judge(task, priority, preset.attempt) : 'enter';
    if (verdict instanceof QueueFullError) return this.#tell(task, receiver, { kind: 'full', error: verdict });
    if (scheduler.settings.asyncContext) gateReceived(receiver);
    if (verdict === 'enter') this.#enter(task, priority);
    else this.#wait(task, priority);
    return true;
  }

  /** Refuses what was found wrong elsewhere. */
  refuse(receiver: Receiver, fn: unknown, kind: RejectionReason, error: unknown): false {
    const task = new Task(fn, this.stamp());
    receiver.attach(task);
    return this.#tell(task, receiver, { kind, error });
  }

  /** Runs a synchronous function now, on a resource that is ready. */
  runSync<T>(fn: unknown): T {
    const scheduler = this.#scheduler;
    const task = new Task(fn, this.stamp());
    const refusal = this.#check(task, undefined, SYNC, undefined);
    if (refusal !== undefined) {
      scheduler.refused(refusal.kind);
      throw refusal.error;
    }
    const worker = scheduler.pool.claimReady();
    if (worker === undefined) {
      scheduler.pool.warm();
      scheduler.refused('resource');
      throw new ResourceError(
        'runTaskSync found no pooled resource ready; one is being made. Or use runTask, which waits',
      );
    }
    const receiver = new SyncReceiver();
    task.sink = receiver;
    scheduler.arrive(task);
    scheduler.startOn(worker, task, true);
    if (receiver.state === undefined) {
      const error = new TypeError(
        'runTaskSync takes a synchronous function, but this one returned a promise: use runTask',
      );
      scheduler.settlement.end(task, FAILED, error);
      throw error;
    }
    if (receiver.state !== COMPLETED) throw receiver.outcome;
    return receiver.outcome as T;
  }

  /** Submits for one certain worker of the crew, past the queue. */
  pinned(receiver: Receiver, fn: unknown, worker: Worker): void {
    const scheduler = this.#scheduler;
    const task = new Task(fn, this.stamp());
    task.sink = receiver;
    receiver.attach(task);
    scheduler.arrive(task);
    if (worker.phase === IDLE && !scheduler.held) {
      scheduler.crew.takeThis(worker);
      scheduler.startOn(worker, task, true);
      return;
    }
    if (scheduler.settings.asyncContext) gateReceived(receiver);
    this.#await(task);
    worker.pinned ??= [];
    worker.pinned.push(task);
    scheduler.recorder?.arrival(task.queuedAt);
  }

  /** A task of `runTask` whose run failed gets another one. */
  runAgain(task: Task, error: unknown): void {
    const scheduler = this.#scheduler;
    scheduler.offQueue.add(task);
    const again = (): void => {
      if (task.state !== QUEUED) return;
      const worker = scheduler.pool.claim();
      if (worker === undefined) {
        scheduler.settlement.failQueued(
          task,
          new ResourceError('no resource is left for another attempt', { cause: error }),
        );
        return;
      }
      scheduler.offQueue.delete(task);
      scheduler.pool.run(worker, task);
    };
    // The worker that failed is given back first: it may be the only one. And however often it fails, timers and I/O
    // get their turn.
    if (scheduler.takesTurn()) setImmediate(again);
    else queueMicrotask(again);
  }

  /** Unique, so that it is the task's place in the order, and its id. */
  stamp(): number {
    this.#lastStamp = Math.max(this.#scheduler.now(), this.#lastStamp + STAMP_STEP_MS);
    return this.#lastStamp;
  }

  /** A submission that waits for room is refused after all. */
  unwait(task: Task, error: unknown, kind: RejectionReason): void {
    const extras = task.extras!;
    this.#scheduler.admission.waiting.remove(task);
    extras.waiting = false;
    extras.signalNode?.remove();
    if (extras.deadline !== undefined) this.#scheduler.deadlines.lift(extras.deadline);
    if (extras.id !== undefined) this.#scheduler.named.delete(extras.id);
    task.state = REJECTED;
    this.#scheduler.refused(kind);
    const { sink } = task;
    if (typeof sink === 'function') sink(new Rejection(error));
    else if (sink !== undefined) {
      sink.refusal = kind;
      sink.settle(task, REJECTED, error);
    }
    if (this.#scheduler.unsettled === 0) this.#scheduler.idled();
    const { admission, crew } = this.#scheduler;
    // It may have stood, with a capped key, before one that could begin. Later, for that one may be about to go as well.
    if (admission.waiting.size > 0 && crew.idle.length > 0) queueMicrotask(() => admission.refill());
  }

  /** Everything that can be wrong with a submission, and everything rare about it. */
  #check(
    task: Task,
    options: TaskOptions | undefined,
    preset: Preset,
    parent: TaskContext | undefined,
  ): Refusal | undefined {
    const scheduler = this.#scheduler;
    try {
      if (typeof task.fn !== 'function') checkFunction('the task', task.fn);
      if (options !== undefined) {
        checkTaskOptions(options, preset, parent === undefined ? undefined : CHILD_OPTIONS);
        if (options.id !== undefined && scheduler.named.has(options.id)) {
          throw new RangeError(
            `id ${show(options.id)} belongs to a task that hasn't ended yet: ids are unique among the living`,
          );
        }
      }
    } catch (error) {
      return { kind: 'invalid', error };
    }
    if (scheduler.ending && (parent === undefined || scheduler.state !== 'stopping')) {
      return { kind: 'stopped', error: scheduler.shutdownError };
    }
    const signal = options?.signal;
    const fired = signal === undefined ? undefined : firedReason(signal);
    if (fired !== undefined) return { kind: 'canceled', error: fired.reason };
    const { queueTimeoutMs = scheduler.settings.queueTimeoutMs } = options ?? NOTHING;
    if (options !== undefined || preset.once) task.terms = this.#termsFor(options ?? NOTHING, preset);
    if (
      parent !== undefined ||
      preset.run ||
      queueTimeoutMs !== undefined ||
      signal !== undefined ||
      options?.key !== undefined ||
      options?.id !== undefined
    ) {
      this.#fillExtras(task, options ?? NOTHING, preset, parent);
    }
    return undefined;
  }

  /** The terms of the submission before, if they are the same. */
  #termsFor(options: TaskOptions, preset: Preset): Terms | undefined {
    const { timeoutMs, retry, overflow } = options;
    const once = options.once === true || preset.once;
    if (timeoutMs === undefined && retry === undefined && overflow === undefined && !once) return undefined;
    const last = this.#terms;
    if (last.timeoutMs === timeoutMs && last.retry === retry && last.overflow === overflow && last.once === once) {
      return last;
    }
    this.#terms = new Terms(timeoutMs, retry, overflow, once);
    return this.#terms;
  }

  #fillExtras(task: Task, options: ChildOptions, preset: Preset, parent: TaskContext | undefined): void {
    const scheduler = this.#scheduler;
    const { signal } = options;
    const extras = task.rare();
    extras.priority = priorityOf(options, preset, parent);
    extras.past = preset.run;
    extras.key = options.key ?? parent?.task.extras?.key;
    extras.id = options.id;
    if (extras.id !== undefined) scheduler.named.set(extras.id, task);
    if (parent !== undefined) {
      extras.parent = parent;
      extras.takesRoom = false;
      extras.ownResource = options.ownResource === true;
    }
    if (signal !== undefined) {
      if (isContext(signal)) extras.context = signal;
      extras.signalNode = scheduler.signals.watch(signal, task);
    }
    const queueTimeoutMs = options.queueTimeoutMs ?? scheduler.settings.queueTimeoutMs;
    if (queueTimeoutMs !== undefined && queueTimeoutMs !== Number.POSITIVE_INFINITY && !preset.run) {
      extras.queueTimeoutMs = queueTimeoutMs;
    }
  }

  /** A task that can't start at once is bounded in its wait. */
  #bound(task: Task): void {
    const { extras } = task;
    if (extras?.queueTimeoutMs === undefined) return;
    extras.deadline = new Deadline(task, this.#scheduler.settlement.onQueueTimeout);
    this.#scheduler.deadlines.set(extras.deadline, extras.queueTimeoutMs, this.#scheduler.now());
  }

  #enter(task: Task, priority: number): void {
    this.#bound(task);
    this.#scheduler.enter(task, priority);
  }

  #wait(task: Task, priority: number): void {
    const extras = task.rare();
    extras.priority = priority;
    extras.waiting = true;
    this.#scheduler.working();
    this.#bound(task);
    this.#scheduler.admission.waiting.push(task, priority);
  }

  /**
   * Counts a task that has just arrived as queued, though it isn't in the queue. The recorder is told when it has its
   * place there: a collector may do anything, as all users' code.
   */
  #await(task: Task): void {
    task.state = QUEUED;
    this.#scheduler.queued++;
    this.#scheduler.offQueue.add(task);
  }

  /** Whether no cap on its key could hold it back. */
  #uncapped(task: Task): boolean {
    const extras = task.extras;
    return (
      extras === undefined ||
      extras.key === undefined ||
      extras.parent !== undefined ||
      this.#scheduler.settings.concurrencyPerKey === undefined
    );
  }

  #runPlain<E>(task: Task): Promise<E> {
    const scheduler = this.#scheduler;
    const worker = scheduler.pool.claim();
    if (worker === undefined) {
      this.#undo(task.extras!);
      return this.#reject(this.#noResource());
    }
    if (scheduler.pool.isReady(worker)) {
      const promise = pendingPromise<E>();
      task.sink = resolveOf();
      scheduler.arrive(task);
      scheduler.startOn(worker, task, true);
      return promise;
    }
    let promise: Promise<E>;
    if (scheduler.settings.asyncContext) promise = gatePlain<E>(task);
    else {
      promise = pendingPromise<E>();
      task.sink = resolveOf();
    }
    scheduler.arrive(task);
    this.#runWhenReady(worker, task);
    return promise;
  }

  #runFor(task: Task, receiver: Receiver): boolean {
    const scheduler = this.#scheduler;
    const worker = scheduler.pool.claim();
    if (worker === undefined) {
      this.#undo(task.extras!);
      return this.#tell(task, receiver, this.#noResource());
    }
    scheduler.arrive(task);
    if (scheduler.pool.isReady(worker)) {
      receiver.placed();
      scheduler.startOn(worker, task, true);
      return true;
    }
    if (scheduler.settings.asyncContext) gateReceived(receiver);
    receiver.placed();
    this.#runWhenReady(worker, task);
    return true;
  }

  /** Begins a task of `runTask` as soon as its worker has the resource that is made for it from here on. */
  #runWhenReady(worker: Worker, task: Task): void {
    const { pool, recorder } = this.#scheduler;
    this.#await(task);
    // Before the creation, which calls the user, who may cancel the task. But the collector is the user's as well.
    recorder?.arrival(task.queuedAt);
    if (task.state === QUEUED) pool.run(worker, task);
    else pool.unclaim(worker);
  }

  #noResource(): Refusal {
    const { resourcePoolSize, maxTemporary } = this.#scheduler.settings;
    const error = new ResourceError(
      `runTask has all its resources in use: ${resourcePoolSize} pooled and ${maxTemporary} temporary. Use queueTask, or raise resourcePoolSize or maxTemporary`,
    );
    return { kind: 'resource', error };
  }

  /** Takes back what `#fillExtras` has tied to a task that is refused after all. */
  #undo(extras: Extras): void {
    extras.signalNode?.remove();
    if (extras.id !== undefined) this.#scheduler.named.delete(extras.id);
  }

  #reject(refusal: Refusal): Promise<never> {
    this.#scheduler.refused(refusal.kind);
    return Promise.reject(refusal.error);
  }

  #tell(task: Task, receiver: Receiver, refusal: Refusal): false {
    if (task.extras !== undefined) this.#undo(task.extras);
    task.state = REJECTED;
    this.#scheduler.refused(refusal.kind);
    receiver.refusal = refusal.kind;
    receiver.settle(task, REJECTED, refusal.error);
    return false;
  }
}

const SYNC: Preset = { priority: undefined, once: true, run: true, attempt: false };

class SyncReceiver extends Receiver {
  state: State | undefined;
  outcome: unknown;

  settle(_task: Task, state: State, value: unknown): void {
    this.state = state;
    this.outcome = value;
  }
}
