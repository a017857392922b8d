/**
 * The ends of tasks, and the ends of runs that aren't the task's: every state a task goes to after "running" is set
 * here, and a running task goes back to the queue from here.
 *
 * Invariant (promise 1): a task ends once. Whoever ends it finds it not ended yet, and changes its state before anyone
 * is told.
 */
import { type CanceledError, DeadlineExceededError, ErrandError, isA, withoutStack } from '../go/errors.ts';
import type { FailureReason } from '../metrics/index.ts';
import { Deadline } from './deadlines.ts';
import { canceledBecause, MaxRetriesError, ResourceError, WorkerGoneError } from './errors.ts';
import { pauseBefore, worthRetrying } from './retry.ts';
import type { Scheduler } from './scheduler.ts';
import {
  CANCELED,
  COMPLETED,
  DROPPED,
  type Extras,
  FAILED,
  type Failure,
  gateReceived,
  QUEUED,
  Receiver,
  Rejection,
  Relay,
  RUNNING,
  STATE_NAMES,
  type State,
  type Task,
  TIMED_OUT,
  WAITING,
} from './task.ts';
import type { TaskFailure } from './types.ts';
import { GONE, type Worker } from './worker.ts';

const NEVER = Number.POSITIVE_INFINITY;

export class Settlement {
  readonly #scheduler: Scheduler;
  #lastCancellation: { readonly reason: unknown; readonly error: CanceledError } | undefined;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Its function has returned. */
  complete(worker: Worker, task: Task, value: unknown, now: number): void {
    const { extras } = task;
    if (extras !== undefined && !this.#runEnded(task, extras, undefined)) return;
    this.#scheduler.running--;
    this.#scheduler.completed++;
    if (!worker.counted) this.#scheduler.runningPast--;
    task.state = COMPLETED;
    task.home = undefined;
    if (extras !== undefined) this.#ended(task, extras);
    this.#scheduler.recorder?.completion(task.queuedAt, worker.startedAt, now);
    deliver(task, COMPLETED, value);
    if (this.#scheduler.unsettled === 0) this.#scheduler.idled();
  }

  /** Its function has thrown: again, if its resource was to blame or its retry policy says so. */
  fail(worker: Worker, task: Task, error: unknown, unhealthy: boolean, now: number): void {
    const once = task.terms?.once ?? false;
    if (!once && unhealthy) {
      const extras = task.rare();
      if (++extras.healthFailures <= this.#scheduler.settings.maxRetries) {
        this.#again(worker, task, error, 0, now);
        return;
      }
      const { maxRetries } = this.#scheduler.settings;
      const message = `the task failed ${extras.healthFailures} times on a bad resource (maxRetries: ${maxRetries})`;
      this.#endRun(worker, task, FAILED, new MaxRetriesError(message, { cause: error }), now);
      return;
    }
    const policy = once ? undefined : (task.terms?.retry ?? this.#scheduler.settings.retry);
    if (policy !== undefined) {
      const extras = task.rare();
      const attempt = extras.attempt - extras.healthFailures;
      const again = attempt < policy.attempts && worthRetrying(policy, error, attempt, this.#scheduler.reports);
      const pauseMs = again ? pauseBefore(policy, attempt, error, this.#scheduler.reports) : 0;
      // The policy's own functions may have canceled the task, or killed the manager.
      if (task.state !== RUNNING) return;
      if (again) {
        this.#again(worker, task, error, pauseMs, now);
        return;
      }
    }
    this.#endRun(worker, task, FAILED, error, now);
  }

  /** From running back to queued, at the place of its submission, after a pause. Called in the task's async context. */
  #again(worker: Worker, task: Task, error: unknown, pauseMs: number, now: number): void {
    const extras = task.rare();
    if (!this.#runEnded(task, extras, undefined)) return;
    this.#scheduler.running--;
    this.#scheduler.queued++;
    this.#scheduler.retried++;
    if (!worker.counted) this.#scheduler.runningPast--;
    extras.takesRoom = false;
    extras.priority = worker.priority;
    task.state = QUEUED;
    task.home = undefined;
    if (this.#scheduler.settings.asyncContext) {
      if (!(task.sink instanceof Receiver)) task.sink = new Relay(task.sink);
      gateReceived(task.sink);
    }
    if (pauseMs <= 0) this.#requeue(task, error);
    else this.#pause(task, extras, error, pauseMs, now);
    // Only now that it has its place again: a collector may do anything, as all users' code.
    this.#scheduler.recorder?.retry();
  }

  /** Queued outside of the queue, until the pause before its next attempt is over. */
  #pause(task: Task, extras: Extras, error: unknown, pauseMs: number, now: number): void {
    this.#scheduler.offQueue.add(task);
    const pause = new Deadline(task, () => {
      this.#scheduler.offQueue.delete(task);
      extras.leave = undefined;
      this.#requeue(task, error);
      this.#scheduler.pump();
    });
    extras.leave = () => this.#scheduler.deadlines.lift(pause);
    this.#scheduler.deadlines.set(pause, pauseMs, now);
  }

  #requeue(task: Task, error: unknown): void {
    if (task.extras!.past) this.#scheduler.submission.runAgain(task, error);
    else {
      this.#scheduler.queue.pushAgain(task, task.extras!.priority);
      if (task.extras!.parent !== undefined) this.#scheduler.children.queued(task);
    }
  }

  /** The end of a run whose function has returned. */
  #endRun(worker: Worker, task: Task, state: Failure, error: unknown, now: number): void {
    const { extras } = task;
    if (extras !== undefined && !this.#runEnded(task, extras, undefined)) return;
    this.#scheduler.running--;
    if (!worker.counted) this.#scheduler.runningPast--;
    task.home = undefined;
    this.#fell(task, state, error, worker.startedAt, now, extras?.attempt ?? 1);
  }

  /**
   * Ends a task from outside: a timeout, a cancellation, a shutdown. The one way to do so; false if it had ended.
   * A running one keeps its worker until its function returns. `cause` is what its context says, if not the error.
   */
  end(task: Task, state: Failure, error: unknown, cause: unknown = error): boolean {
    const { extras } = task;
    switch (task.state) {
      case WAITING:
        if (extras?.waiting !== true) return false;
        this.#scheduler.submission.unwait(
          task,
          error,
          state === TIMED_OUT ? 'timedOut' : this.#scheduler.ending ? 'stopped' : 'canceled',
        );
        return true;
      case QUEUED: {
        const attempt = extras?.attempt ?? 0;
        const leave = extras?.leave;
        this.#dequeue(task);
        this.#fell(task, state, error, Number.NaN, this.#scheduler.now(), attempt);
        // Only now that the books are balanced: it may destroy a resource, and that calls back.
        leave?.();
        this.#scheduler.shrunk();
        this.#scheduler.children.relieve();
        return true;
      }
      case RUNNING: {
        const worker = task.home as Worker;
        const now = this.#scheduler.now();
        if (extras !== undefined && !this.#runEnded(task, extras, error)) return false;
        this.#scheduler.running--;
        if (!worker.counted) this.#scheduler.runningPast--;
        worker.stuck = true;
        this.#scheduler.stuck++;
        if (worker.deadline.list !== undefined) this.#scheduler.deadlines.lift(worker.deadline);
        const { abandonAfterMs } = this.#scheduler.settings;
        if (abandonAfterMs !== NEVER) this.#scheduler.deadlines.set(worker.deadline, abandonAfterMs, now);
        const { context } = worker;
        this.#fell(task, state, error, worker.startedAt, now, extras?.attempt ?? 1);
        context?.cancel(asError(error, state), cause);
        this.#scheduler.children.relieve();
        return true;
      }
      default:
        return false;
    }
  }

  /** Takes a queued task from wherever it is. */
  #dequeue(task: Task): void {
    const { extras } = task;
    this.#scheduler.queued--;
    if (task.home !== undefined) {
      this.#scheduler.queue.remove(task);
      if (extras === undefined) this.#scheduler.admission.usage--;
      else {
        if (extras.takesRoom) this.#scheduler.admission.left(task);
        if (extras.queuedChildNode !== undefined) this.#scheduler.children.unqueued(task);
      }
    } else {
      this.#scheduler.offQueue.delete(task);
      if (extras !== undefined) extras.leave = undefined;
    }
    if (extras?.deadline !== undefined) this.#scheduler.deadlines.lift(extras.deadline);
  }

  /** The common end of all failures; the task is neither queued nor running in the books any more. */
  #fell(task: Task, state: Failure, error: unknown, startedAt: number, now: number, attempt: number): void {
    task.state = state;
    if (state === FAILED) this.#scheduler.failed++;
    else if (state === TIMED_OUT) this.#scheduler.timedOut++;
    else if (state === CANCELED) this.#scheduler.canceled++;
    else this.#scheduler.dropped++;
    if (task.extras !== undefined) this.#ended(task, task.extras);
    this.#scheduler.recorder?.failure(task.queuedAt, startedAt, now, STATE_NAMES[state] as FailureReason);
    deliver(task, state, error);
    if ((state === FAILED || state === TIMED_OUT) && this.#scheduler.listens('taskFailed')) {
      this.#scheduler.emit('taskFailed', {
        id: this.#scheduler.idOf(task),
        state: STATE_NAMES[state] as TaskFailure['state'],
        error,
        attempt,
      });
    }
    if (this.#scheduler.unsettled === 0) this.#scheduler.idled();
  }

  /**
   * A run is over: what lives only as long as it does goes first, while the task still counts as running. False if
   * that was its end already: a child's abort listener may have canceled it, or killed the manager.
   */
  #runEnded(task: Task, extras: Extras, error: unknown): boolean {
    if (extras.children === undefined) return true;
    this.#scheduler.children.runEnded(task, error);
    return task.state === RUNNING;
  }

  /** The task is settled: it leaves all it was part of. */
  #ended(task: Task, extras: Extras): void {
    extras.signalNode?.remove();
    if (extras.id !== undefined) this.#scheduler.named.delete(extras.id);
    if (extras.childNode !== undefined) this.#scheduler.children.settled(task);
  }

  /** The function of a settled task has returned at last. */
  returned(worker: Worker, task: Task): void {
    if (worker.phase === GONE) this.#scheduler.strays--;
    else {
      this.#scheduler.stuck--;
      if (task.sink instanceof Receiver) task.sink.returned();
    }
    this.#scheduler.onProgress?.();
  }

  /** Gives up a worker whose function won't return: its resource is destroyed, and it is replaced. */
  #abandon(worker: Worker): void {
    const task = worker.task!;
    this.#scheduler.stuck--;
    this.#scheduler.strays++;
    this.#scheduler.abandonedTotal++;
    if (worker.deadline.list !== undefined) this.#scheduler.deadlines.lift(worker.deadline);
    if (worker.keyUse !== undefined) {
      this.#scheduler.queue.release(worker.keyUse);
      worker.keyUse = undefined;
    }
    worker.home.abandoned(worker);
    if (task.sink instanceof Receiver) task.sink.returned();
    this.#scheduler.reports.report(
      new ResourceError(
        `task ${this.#scheduler.idOf(task)} was abandoned: its function has not returned after its end`,
      ),
      'a worker was given up',
    );
    this.#scheduler.pump();
    this.#scheduler.onProgress?.();
  }

  /** Abandons every function that still is alive. */
  abandonAll(): void {
    for (const worker of this.#scheduler.busyWorkers()) if (worker.stuck) this.#abandon(worker);
  }

  /** A worker has left. */
  workerGone(worker: Worker): void {
    const { pinned } = worker;
    worker.pinned = undefined;
    for (const task of [...(pinned ?? [])]) this.end(task, CANCELED, new WorkerGoneError());
    this.#scheduler.onProgress?.();
  }

  /** A user's cancel. False if the task had ended. */
  cancel(task: Task, reason: unknown): boolean {
    return this.end(task, CANCELED, this.#cancellation(reason), reason);
  }

  /** The error for `reason`, the same for all that are canceled for it in one go: errors are what a cancel costs. */
  #cancellation(reason: unknown): CanceledError {
    if (this.#lastCancellation === undefined) {
      queueMicrotask(() => {
        this.#lastCancellation = undefined;
      });
    } else if (this.#lastCancellation.reason === reason) return this.#lastCancellation.error;
    const error = canceledBecause(reason);
    this.#lastCancellation = { reason, error };
    return error;
  }

  /** Ends a task for what ended another: as timed out if that, or the error that stands for it, was a timeout. */
  cancelFor(task: Task, error: unknown, err: unknown = error): void {
    this.end(task, isTimeout(err) ? TIMED_OUT : CANCELED, error);
  }

  /** Fails a task that couldn't begin. */
  failQueued(task: Task, error: unknown): void {
    const attempt = task.extras?.attempt ?? 0;
    this.#dequeue(task);
    this.#fell(task, FAILED, error, Number.NaN, this.#scheduler.now(), attempt);
    this.#scheduler.shrunk();
  }

  drop(task: Task, error: unknown): void {
    this.end(task, DROPPED, error);
  }

  readonly onQueueTimeout = (task: Task): void => {
    const ms = task.extras!.queueTimeoutMs;
    this.end(task, TIMED_OUT, deadlineExceeded(`the task waited longer than its queueTimeoutMs (${ms} ms)`));
  };

  /** A run's limit has passed: its timeout, the grace of a stop, or the patience with a function that won't return. */
  readonly onDeadline = (worker: Worker): void => {
    const task = worker.task!;
    if (worker.stuck) this.#abandon(worker);
    else if (worker.graceDue < worker.timeoutDue) this.end(task, CANCELED, this.#scheduler.shutdownError);
    else {
      const timeoutMs = task.terms?.timeoutMs ?? this.#scheduler.settings.timeoutMs;
      this.end(task, TIMED_OUT, deadlineExceeded(`the task ran longer than its timeoutMs (${timeoutMs} ms)`));
    }
  };
}

function deliver(task: Task, state: State, value: unknown): void {
  const { sink } = task;
  if (sink === undefined) task.fn = value;
  else {
    task.fn = undefined;
    if (typeof sink === 'function') sink(state === COMPLETED ? value : new Rejection(value));
    else sink.settle(task, state, value);
  }
}

function isTimeout(reason: unknown): boolean {
  return isA(reason, Error) && reason.name === 'TimeoutError';
}

function deadlineExceeded(message: string): DeadlineExceededError {
  return withoutStack(() => new DeadlineExceededError(message));
}

/** A context's `err` is one of ours, whatever the reason is. */
function asError(error: unknown, state: Failure): Error {
  if (isA(error, ErrandError)) return error;
  return state === TIMED_OUT ? new DeadlineExceededError(undefined, { cause: error }) : canceledBecause(error);
}
