/**
 * The way of a task: submit, queue, start, settle. All states change here, and the books with them.
 *
 * Invariant (promise 2): arrived = queued + running + completed + failed + timedOut + canceled + dropped.
 */
import { realClock } from '../go/clock.ts';
import { type Context, isContext } from '../go/context.ts';
import { type CanceledError, DeadlineExceededError, ErrandError, withoutStack } from '../go/errors.ts';
import type { FailureReason, RejectionReason } from '../metrics/index.ts';
import type { Recorder } from '../metrics/recorder.ts';
import { Admission } from './admission.ts';
import { Callbacks } from './callbacks.ts';
import { Children } from './children.ts';
import { TaskContext } from './context.ts';
import { Crew } from './crew.ts';
import { Deadline, Deadlines } from './deadlines.ts';
import { canceledBecause, MaxRetriesError, ResourceError, type ShutdownError, WorkerGoneError } from './errors.ts';
import { IdSource } from './id.ts';
import { KeepAlive } from './keep-alive.ts';
import { checkPriority, type Settings } from './options.ts';
import { RunPool } from './pool.ts';
import { type Lane, TaskQueue } from './queue.ts';
import { Resources } from './resources.ts';
import { pauseBefore, worthRetrying } from './retry.ts';
import { Signals } from './signals.ts';
import { Stopping } from './stopping.ts';
import { Submission } from './submission.ts';
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
  Task,
  TIMED_OUT,
  WAITING,
} from './task.ts';
import { Turns } from './turns.ts';
import type { ManagerEvents, ManagerState, TaskFailure } from './types.ts';
import { Watchers } from './watchers.ts';
import { BUSY, GONE, IDLE, Worker } from './worker.ts';

export type Emit = <E extends keyof ManagerEvents>(event: E, ...details: ManagerEvents[E]) => void;

export interface SchedulerHost {
  readonly emit: Emit;
  listens(event: keyof ManagerEvents): boolean;
  /** There is work where there was none. */
  onWork(): void;
}

const NEVER = Number.POSITIVE_INFINITY;
export class Scheduler {
  readonly settings: Settings;
  readonly context: Context | undefined;
  readonly queue: TaskQueue;
  readonly crew: Crew;
  readonly pool: RunPool;
  readonly resources: Resources;
  readonly children: Children;
  readonly admission: Admission;
  readonly deadlines: Deadlines;
  readonly callbacks: Callbacks;
  readonly signals: Signals;
  readonly submission: Submission;
  readonly recorder: Recorder | undefined;
  readonly ids: IdSource;
  /** Living tasks whose caller chose their id. */
  readonly named = new Map<string, Task>();
  readonly watchers = new Watchers();
  readonly stopping = new Stopping();
  readonly emit: Emit;
  /** Queued, but in no lane: between two attempts, or waiting for a resource or for one certain worker. */
  readonly offQueue = new Set<Task>();
  state: ManagerState = 'running';
  /** Why no work is accepted any more, once that is so. */
  shutdownError: ShutdownError | undefined;
  /** Told when something may have come to its end that a stop waits for. */
  onProgress: (() => void) | undefined;
  /** The grace of a stop: for every run, from its start. */
  graceMs: number | undefined;

  arrived = 0;
  queued = 0;
  running = 0;
  completed = 0;
  failed = 0;
  timedOut = 0;
  canceled = 0;
  dropped = 0;
  rejected = 0;
  retried = 0;
  /** Of the running, those of `runTask`. */
  runningPast = 0;
  stuck = 0;
  strays = 0;
  abandonedTotal = 0;

  readonly #host: SchedulerHost;
  readonly #turns: Turns;
  readonly #keepAlive = new KeepAlive();
  #lastCancellation: { readonly reason: unknown; readonly error: CanceledError } | undefined;
  #pumping = false;
  /**
   * One of each kind of object that may all be gone when the manager is idle. V8 lets a hidden class die with the last
   * object of it, and with the class all code that was optimised for it: after a full collection in an idle moment the
   * next burst would run unoptimised, at half the speed. (`--trace-deopt` says "embedded weak objects cleared".)
   */
  readonly shapes: readonly object[];
  readonly now: () => number;

  constructor(settings: Settings, recorder: Recorder | undefined, host: SchedulerHost) {
    this.settings = settings;
    this.#host = host;
    this.emit = host.emit;
    this.recorder = recorder;
    this.context = isContext(settings.signal) ? settings.signal : undefined;
    const { clock } = settings;
    // The real clock is asked three times a task: without a detour.
    this.now = clock === realClock ? performance.now.bind(performance) : () => clock.now();
    this.queue = new TaskQueue(settings);
    this.deadlines = new Deadlines(clock);
    this.ids = new IdSource(clock.timeOrigin);
    this.callbacks = new Callbacks((error) => this.report(error, 'a callback threw'));
    this.callbacks.onFlushed = () => this.onProgress?.();
    this.#turns = new Turns(settings.yieldTasks, settings.yieldMs, () => this.pump());
    // As on the web, the signal's reason is what the task rejects with, whatever it is.
    this.signals = new Signals((task, reason, err) => this.cancelFor(task, reason, err));
    this.resources = new Resources(settings, {
      onCreateFailed: (error, inRow) => {
        this.report(error, `a resource could not be created (${inRow} in a row)`);
        this.crew.createFailed(error);
      },
      onDestroyFailed: (error) => this.report(error, 'onDestroy threw'),
      onQuiet: () => this.onProgress?.(),
    });
    this.crew = new Crew(this, this.resources);
    this.pool = new RunPool(this, this.resources);
    this.children = new Children(this);
    this.admission = new Admission(this);
    this.submission = new Submission(this);
    const task = new Task(undefined, Number.NaN);
    this.shapes = [task, new TaskContext(new Worker(this, this.crew, 'base'), task), new Rejection(undefined)];
  }

  // ---- asking -------------------------------------------------------------------------------------------------------

  /** A time of the clock in ms since the epoch. */
  epoch(time: number): number {
    return this.settings.clock.timeOrigin + time;
  }

  idOf(task: Task): string {
    return task.extras?.id ?? this.ids.at(task.queuedAt);
  }

  priorityOf(task: Task): number {
    if (task.state === RUNNING) return (task.home as Worker).priority;
    if (task.home !== undefined) return (task.home as Lane).level.priority;
    return task.extras?.priority ?? 0;
  }

  /** Paused: nothing of the queue starts. */
  get held(): boolean {
    return this.state === 'paused';
  }

  /** No work comes in any more, but from running tasks. */
  get ending(): boolean {
    return this.shutdownError !== undefined;
  }

  get unsettled(): number {
    return this.queued + this.running;
  }

  /** Whether there is nothing to do, now or as soon as there is room. */
  get idle(): boolean {
    return this.unsettled === 0 && this.admission.waiting.size === 0;
  }

  /** Whether a new task would start at once. */
  get couldStart(): boolean {
    return this.crew.idle.length > 0 && this.queue.clear && this.state !== 'paused' && !this.#turns.yielding;
  }

  /** Idle workers that will take what is queued now, when the event loop has had its turn. */
  get spareWorkers(): number {
    return this.#turns.yielding && this.state !== 'paused' ? this.crew.idle.length : 0;
  }

  // ---- starting -----------------------------------------------------------------------------------------------------

  /** Counts an admitted task. The caller counts it as queued or running too, and only then tells the recorder. */
  arrive(task: Task): void {
    this.arrived++;
    if (this.unsettled === 0) this.working();
    const { extras } = task;
    if (extras?.parent !== undefined) this.children.adopt(task, extras.parent);
  }

  /** There is something to do. */
  working(): void {
    this.#keepAlive.hold();
    this.#host.onWork();
  }

  /** A submission was refused: it never arrived. */
  refused(reason: RejectionReason): void {
    this.rejected++;
    this.recorder?.rejection(reason);
  }

  /** Admits a task to the queue, with its gate closed. */
  enter(task: Task, priority: number): void {
    this.arrive(task);
    task.state = QUEUED;
    this.queued++;
    this.queue.push(task, priority);
    this.recorder?.arrival(task.queuedAt);
    const { extras } = task;
    if (extras !== undefined) extras.waiting = false;
    if (extras === undefined || extras.takesRoom) this.admission.entered(task, priority);
    if (extras?.parent !== undefined) this.children.queued(task);
    if (extras !== undefined && task.sink instanceof Receiver) task.sink.placed();
    this.pump();
  }

  /** Counts a start; true if it has to wait for the next turn of the event loop, in which `pump` is called. */
  takesTurn(): boolean {
    return this.#turns.over(this.now());
  }

  /** Gives queued tasks to idle workers. */
  pump(): void {
    // Called from within, it leaves the work to the call that is at it: functions that return at once, and workers that
    // are replaced at once, must not pile up on the stack.
    if (this.#pumping) return;
    const { idle } = this.crew;
    if (idle.length > 0) {
      this.#pumping = true;
      try {
        while (idle.length > 0 && !this.held && this.queue.size > 0) {
          const now = this.now();
          if (this.#turns.over(now)) return;
          const task = this.queue.take();
          if (task === undefined) break;
          this.#assign(this.crew.take()!, task, now);
        }
      } finally {
        this.#pumping = false;
      }
    }
    this.children.relieve();
  }

  /** A worker of the crew has got its resource. */
  hired(worker: Worker): void {
    if (worker.pinned !== undefined) {
      this.next(worker, this.now());
      return;
    }
    this.crew.rest(worker);
    this.pump();
    if (this.admission.attentive) this.admission.refill();
  }

  /** A worker of the crew is free: the next task, or rest. */
  next(worker: Worker, now: number): void {
    if (!this.held) {
      if (worker.pinned !== undefined && worker.pinned.length > 0) {
        const task = worker.pinned.shift()!;
        this.offQueue.delete(task);
        this.startOn(worker, task);
        return;
      }
      if (this.queue.size > 0 && !this.#turns.over(now)) {
        const task = this.queue.take();
        if (task !== undefined) {
          this.#assign(worker, task, now);
          return;
        }
      }
    }
    this.crew.rest(worker);
    if (this.admission.attentive) this.admission.refill();
    this.children.relieve();
    if (this.onProgress !== undefined && this.unsettled === 0) this.onProgress();
  }

  /** A pause is over. */
  resumeAll(): void {
    for (const worker of [...this.crew.idle]) {
      // One before it may have ended at once, and freed a task for this one.
      if (worker.phase !== IDLE || worker.pinned === undefined || worker.pinned.length === 0) continue;
      this.crew.takeThis(worker);
      this.next(worker, this.now());
    }
    this.pump();
    if (this.admission.attentive) this.admission.refill();
  }

  /** Starts a task just submitted, which never was in the queue: in the async context of its submission, that is. */
  startNow(task: Task, priority: number): void {
    const now = task.queuedAt;
    this.arrive(task);
    this.#turns.count(now);
    const worker = this.crew.take()!;
    worker.priority = priority;
    if (task.extras !== undefined) {
      this.#leaveQueue(task.extras);
      if (task.sink instanceof Receiver) task.sink.placed();
    }
    this.running++;
    this.#start(worker, task, now);
    this.recorder?.arrival(now);
    worker.begin();
  }

  /**
   * Starts a task that is in no lane (counted as queued, or just arrived) on a worker of its own; `direct`: in the very
   * turn of its submission, so that no gate stands before it.
   */
  startOn(worker: Worker, task: Task, direct = false): void {
    worker.priority = this.priorityOf(task);
    if (task.state === QUEUED) this.queued--;
    if (task.extras !== undefined) this.#leaveQueue(task.extras);
    this.running++;
    if (!worker.counted) this.runningPast++;
    this.#start(worker, task, this.now());
    if (direct) {
      this.recorder?.arrival(task.queuedAt);
      worker.begin();
    } else {
      this.#shrunk();
      this.#open(worker, task);
    }
  }

  /** Starts the task just taken from the queue. */
  #assign(worker: Worker, task: Task, now: number): void {
    const lane = task.home as Lane;
    worker.priority = lane.level.priority;
    worker.keyUse = lane.use;
    this.#offTheQueue(task);
    this.running++;
    this.#start(worker, task, now);
    this.#shrunk();
    this.#open(worker, task);
  }

  #start(worker: Worker, task: Task, now: number): void {
    task.home = worker;
    task.state = RUNNING;
    worker.task = task;
    worker.startedAt = now;
    worker.phase = BUSY;
    const { terms } = task;
    const timeoutMs = terms === undefined ? this.settings.timeoutMs : (terms.timeoutMs ?? this.settings.timeoutMs);
    worker.timeoutDue = timeoutMs === undefined ? NEVER : now + timeoutMs;
    worker.graceDue = this.graceMs === undefined ? NEVER : now + this.graceMs;
    if (timeoutMs !== undefined || this.graceMs !== undefined) this.armDeadline(worker, now, timeoutMs);
  }

  /** Has the function of a started task run: behind its gate if it has one. */
  #open(worker: Worker, task: Task): void {
    const { sink } = task;
    if (typeof sink === 'function') {
      if (this.settings.asyncContext) {
        task.sink = undefined;
        sink(worker);
      } else worker.begin();
    } else if (sink?.open !== undefined) {
      const { open } = sink;
      sink.open = undefined;
      open(worker);
    } else worker.begin();
  }

  /** Sets the nearest of a run's limits; `now` is the time it is set at, `timeoutMs` the timeout if it is all ahead. */
  armDeadline(worker: Worker, now: number, timeoutMs?: number): void {
    if (worker.deadline.list !== undefined) this.deadlines.lift(worker.deadline);
    const due = Math.min(worker.timeoutDue, worker.graceDue);
    if (due === NEVER) return;
    // The duration as it was given, not as it is computed: deadlines of one duration share a timer.
    const ms = due === worker.timeoutDue && timeoutMs !== undefined ? timeoutMs : Math.max(0, due - now);
    this.deadlines.set(worker.deadline, ms, now);
  }

  readonly onDeadline = (worker: Worker): void => {
    const task = worker.task!;
    if (worker.stuck) this.#abandon(worker);
    else if (worker.graceDue < worker.timeoutDue) this.end(task, CANCELED, this.shutdownError);
    else {
      const timeoutMs = task.terms?.timeoutMs ?? this.settings.timeoutMs;
      this.end(task, TIMED_OUT, deadlineExceeded(`the task ran longer than its timeoutMs (${timeoutMs} ms)`));
    }
  };

  // ---- leaving the queue --------------------------------------------------------------------------------------------

  /** The books and relations of a task that is no longer in a lane of the queue. */
  #offTheQueue(task: Task): void {
    this.queued--;
    const { extras } = task;
    if (extras === undefined) this.admission.usage--;
    else {
      if (extras.takesRoom) this.admission.left(task);
      if (extras.queuedChildNode !== undefined) this.children.unqueued(task);
      this.#leaveQueue(extras);
    }
  }

  /** A start: what bounds the wait is over, and the run counts. */
  #leaveQueue(extras: Extras): void {
    if (extras.deadline !== undefined) this.deadlines.lift(extras.deadline);
    extras.leave = undefined;
    extras.attempt++;
  }

  /** Takes a queued child out of the queue, to be started elsewhere. */
  unqueue(task: Task): void {
    const extras = task.extras!;
    extras.priority = this.priorityOf(task);
    this.queue.remove(task);
    this.children.unqueued(task);
  }

  #shrunk(): void {
    if (this.queued === 0) this.#emptied();
    if (this.admission.attentive) this.admission.refill();
    if (this.watchers.sizes > 0) this.watchers.onSize(this.queued);
  }

  #emptied(): void {
    this.watchers.onEmpty();
    if (this.#host.listens('empty')) this.emit('empty');
  }

  // ---- settling -----------------------------------------------------------------------------------------------------

  /** Its function has returned. */
  complete(worker: Worker, task: Task, value: unknown, now: number): void {
    const { extras } = task;
    if (extras !== undefined) this.#runEnded(task, extras, undefined);
    this.running--;
    this.completed++;
    if (!worker.counted) this.runningPast--;
    this.recorder?.completion(task.queuedAt, worker.startedAt, now);
    task.state = COMPLETED;
    task.home = undefined;
    if (extras !== undefined) this.#ended(task, extras);
    deliver(task, COMPLETED, value);
    if (this.unsettled === 0) this.idled();
  }

  /** Its function has thrown: again, if its resource was to blame or its retry policy says so. */
  fail(worker: Worker, task: Task, error: unknown, unhealthy: boolean, now: number): void {
    const once = task.terms?.once ?? false;
    if (!once && unhealthy) {
      const extras = task.rare();
      if (++extras.healthFailures <= this.settings.maxRetries) {
        this.#again(worker, task, error, 0, now);
        return;
      }
      const { maxRetries } = this.settings;
      const message = `the task failed ${extras.healthFailures} times on a bad resource (maxRetries: ${maxRetries})`;
      this.#endRun(worker, task, FAILED, new MaxRetriesError(message, { cause: error }), now);
      return;
    }
    const policy = once ? undefined : (task.terms?.retry ?? this.settings.retry);
    if (policy !== undefined) {
      const extras = task.rare();
      const attempt = extras.attempt - extras.healthFailures;
      const again = attempt < policy.attempts && worthRetrying(policy, error, attempt, this);
      const pauseMs = again ? pauseBefore(policy, attempt, error, this) : 0;
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
    this.#runEnded(task, extras, undefined);
    this.running--;
    this.queued++;
    this.retried++;
    if (!worker.counted) this.runningPast--;
    this.recorder?.retry();
    extras.takesRoom = false;
    extras.priority = worker.priority;
    task.state = QUEUED;
    task.home = undefined;
    if (this.settings.asyncContext) {
      if (!(task.sink instanceof Receiver)) task.sink = new Relay(task.sink);
      gateReceived(task.sink);
    }
    if (pauseMs <= 0) {
      this.#requeue(task, error);
      return;
    }
    this.offQueue.add(task);
    const pause = new Deadline(task, () => {
      this.offQueue.delete(task);
      extras.leave = undefined;
      this.#requeue(task, error);
      this.pump();
    });
    extras.leave = () => this.deadlines.lift(pause);
    this.deadlines.set(pause, pauseMs, now);
  }

  #requeue(task: Task, error: unknown): void {
    if (task.extras!.past) this.submission.runAgain(task, error);
    else {
      this.queue.pushAgain(task, task.extras!.priority);
      if (task.extras!.parent !== undefined) this.children.queued(task);
    }
  }

  /** The end of a run whose function has returned. */
  #endRun(worker: Worker, task: Task, state: Failure, error: unknown, now: number): void {
    const { extras } = task;
    if (extras !== undefined) this.#runEnded(task, extras, undefined);
    this.running--;
    if (!worker.counted) this.runningPast--;
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
        this.submission.unwait(task, error, state === TIMED_OUT ? 'timedOut' : this.ending ? 'stopped' : 'canceled');
        return true;
      case QUEUED: {
        const attempt = extras?.attempt ?? 0;
        const leave = extras?.leave;
        this.#dequeue(task);
        this.#fell(task, state, error, Number.NaN, this.now(), attempt);
        // Only now that the books are balanced: it may destroy a resource, and that calls back.
        leave?.();
        this.#shrunk();
        this.children.relieve();
        return true;
      }
      case RUNNING: {
        const worker = task.home as Worker;
        const now = this.now();
        if (extras !== undefined) this.#runEnded(task, extras, error);
        this.running--;
        if (!worker.counted) this.runningPast--;
        worker.stuck = true;
        this.stuck++;
        if (worker.deadline.list !== undefined) this.deadlines.lift(worker.deadline);
        const { abandonAfterMs } = this.settings;
        if (abandonAfterMs !== NEVER) this.deadlines.set(worker.deadline, abandonAfterMs, now);
        const { context } = worker;
        this.#fell(task, state, error, worker.startedAt, now, extras?.attempt ?? 1);
        context?.cancel(asError(error, state), cause);
        this.children.relieve();
        return true;
      }
      default:
        return false;
    }
  }

  /** Takes a queued task from wherever it is. */
  #dequeue(task: Task): void {
    const { extras } = task;
    this.queued--;
    if (task.home !== undefined) {
      this.queue.remove(task);
      if (extras === undefined) this.admission.usage--;
      else {
        if (extras.takesRoom) this.admission.left(task);
        if (extras.queuedChildNode !== undefined) this.children.unqueued(task);
      }
    } else if (extras !== undefined) {
      this.offQueue.delete(task);
      extras.leave = undefined;
    }
    if (extras?.deadline !== undefined) this.deadlines.lift(extras.deadline);
  }

  /** The common end of all failures; the task is neither queued nor running in the books any more. */
  #fell(task: Task, state: Failure, error: unknown, startedAt: number, now: number, attempt: number): void {
    task.state = state;
    if (state === FAILED) this.failed++;
    else if (state === TIMED_OUT) this.timedOut++;
    else if (state === CANCELED) this.canceled++;
    else this.dropped++;
    this.recorder?.failure(task.queuedAt, startedAt, now, STATE_NAMES[state] as FailureReason);
    if (task.extras !== undefined) this.#ended(task, task.extras);
    deliver(task, state, error);
    if ((state === FAILED || state === TIMED_OUT) && this.#host.listens('taskFailed')) {
      this.emit('taskFailed', {
        id: this.idOf(task),
        state: STATE_NAMES[state] as TaskFailure['state'],
        error,
        attempt,
      });
    }
    if (this.unsettled === 0) this.idled();
  }

  /** A run is over: what lives only as long as it does goes first, while the task still counts as running. */
  #runEnded(task: Task, extras: Extras, error: unknown): void {
    if (extras.children !== undefined) this.children.runEnded(task, error);
  }

  /** The task is settled: it leaves all it was part of. */
  #ended(task: Task, extras: Extras): void {
    extras.signalNode?.remove();
    if (extras.id !== undefined) this.named.delete(extras.id);
    if (extras.childNode !== undefined) this.children.settled(task);
  }

  /** Nothing is queued and nothing runs. */
  idled(): void {
    if (!this.idle) return;
    this.#keepAlive.letGo();
    this.watchers.onIdle();
    if (this.#host.listens('idle')) this.emit('idle');
    this.onProgress?.();
  }

  /** The function of a settled task has returned at last. */
  returned(worker: Worker, task: Task): void {
    if (worker.phase === GONE) this.strays--;
    else {
      this.stuck--;
      if (task.sink instanceof Receiver) task.sink.returned();
    }
    this.onProgress?.();
  }

  /** Gives up a worker whose function won't return: its resource is destroyed, and it is replaced. */
  #abandon(worker: Worker): void {
    const task = worker.task!;
    this.stuck--;
    this.strays++;
    this.abandonedTotal++;
    if (worker.deadline.list !== undefined) this.deadlines.lift(worker.deadline);
    if (worker.keyUse !== undefined) {
      this.queue.release(worker.keyUse);
      worker.keyUse = undefined;
    }
    worker.home.abandoned(worker);
    if (task.sink instanceof Receiver) task.sink.returned();
    this.report(
      new ResourceError(`task ${this.idOf(task)} was abandoned: its function has not returned after its end`),
      'a worker was given up',
    );
    this.pump();
    this.onProgress?.();
  }

  /** Abandons every function that still is alive. */
  abandonAll(): void {
    for (const worker of this.busyWorkers()) if (worker.stuck) this.#abandon(worker);
  }

  /** A worker has left. */
  workerGone(worker: Worker): void {
    const { pinned } = worker;
    worker.pinned = undefined;
    for (const task of [...(pinned ?? [])]) this.end(task, CANCELED, new WorkerGoneError());
    this.onProgress?.();
  }

  // ---- canceling ----------------------------------------------------------------------------------------------------

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
    this.#fell(task, FAILED, error, Number.NaN, this.now(), attempt);
    this.#shrunk();
  }

  drop(task: Task, error: unknown): void {
    this.end(task, DROPPED, error);
  }

  readonly onQueueTimeout = (task: Task): void => {
    const ms = task.extras!.queueTimeoutMs;
    this.end(task, TIMED_OUT, deadlineExceeded(`the task waited longer than its queueTimeoutMs (${ms} ms)`));
  };

  setPriority(task: Task, value: number): boolean {
    const priority = checkPriority(value);
    const { extras } = task;
    if (task.state === WAITING && extras?.waiting === true) {
      this.admission.waiting.remove(task);
      extras.priority = priority;
      this.admission.waiting.push(task, priority);
      return true;
    }
    if (task.state !== QUEUED) return false;
    if (task.home === undefined) {
      task.rare().priority = priority;
      return true;
    }
    this.queue.remove(task);
    this.queue.push(task, priority);
    this.admission.moved(task, priority);
    return true;
  }

  // ---- failing hooks ------------------------------------------------------------------------------------------------

  /** Whether the resource is bad after this error. A check that throws counts as bad. */
  isUnhealthy(error: unknown): boolean {
    const { checkHealth } = this.settings;
    if (checkHealth === undefined) return false;
    try {
      return checkHealth(error) === false;
    } catch (thrown) {
      this.report(thrown, 'checkHealth threw');
      return true;
    }
  }

  /** Tells of an error that has no task to reject: to the `error` event, and to the logger. Never throws. */
  report(error: unknown, what: string): void {
    this.log(error, what);
    if (this.#host.listens('error')) this.emit('error', error);
  }

  /** Tells the logger alone. Never throws. */
  log(error: unknown, what: string): void {
    try {
      this.settings.logger?.error(what, error);
    } catch {
      // A logger that throws has no one to tell.
    }
  }

  /** A task of `go()` has failed. `failed` and `timedOut` have had their event. */
  detachedFailure(task: Task, state: State, error: unknown): void {
    const name = STATE_NAMES[state] as TaskFailure['state'];
    this.log(error, `task ${this.idOf(task)} ${name}`);
    if (state === FAILED || state === TIMED_OUT || !this.#host.listens('taskFailed')) return;
    this.emit('taskFailed', { id: this.idOf(task), state: name, error, attempt: task.extras?.attempt ?? 0 });
  }

  /** All workers whose function is alive. */
  *busyWorkers(): Generator<Worker> {
    for (const workers of [this.children.guests, this.crew.workers, this.pool.workers]) {
      for (const worker of [...workers]) if (worker.task !== undefined) yield worker;
    }
  }

  /** Holds no timer and no process any more. */
  close(): void {
    this.deadlines.close();
    this.#turns.close();
    this.#keepAlive.close();
  }

  /** Keeps the process up, work or not, until it is let go or the manager has ended. */
  holdProcess(): void {
    this.#keepAlive.pin();
  }

  letProcessGo(): void {
    this.#keepAlive.unpin();
  }
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
  return reason instanceof Error && reason.name === 'TimeoutError';
}

function deadlineExceeded(message: string): DeadlineExceededError {
  return withoutStack(() => new DeadlineExceededError(message));
}

/** A context's `err` is one of ours, whatever the reason is. */
function asError(error: unknown, state: Failure): Error {
  if (error instanceof ErrandError) return error;
  return state === TIMED_OUT ? new DeadlineExceededError(undefined, { cause: error }) : canceledBecause(error);
}
