/**
 * The way of a task from its admission to its start, and the books. Its end is settlement's.
 *
 * Invariant (promise 2): arrived = queued + running + completed + failed + timedOut + canceled + dropped.
 */
import { realClock } from '../go/clock.ts';
import { type Context, isContext } from '../go/context.ts';
import type { RejectionReason } from '../metrics/index.ts';
import type { Recorder } from '../metrics/recorder.ts';
import { Admission } from './admission.ts';
import { Callbacks } from './callbacks.ts';
import { Children } from './children.ts';
import { TaskContext } from './context.ts';
import { Crew } from './crew.ts';
import { Deadlines } from './deadlines.ts';
import type { ShutdownError } from './errors.ts';
import { IdSource } from './id.ts';
import { KeepAlive } from './keep-alive.ts';
import type { Settings } from './options.ts';
import { RunPool } from './pool.ts';
import { type Lane, TaskQueue } from './queue.ts';
import { type Emit, type EventTarget, Reports } from './reports.ts';
import { Resources } from './resources.ts';
import { Settlement } from './settlement.ts';
import { Signals } from './signals.ts';
import { Stopping } from './stopping.ts';
import { Submission } from './submission.ts';
import { type Extras, QUEUED, Receiver, Rejection, RUNNING, Task, WAITING } from './task.ts';
import { checkPriority } from './task-options.ts';
import { Turns } from './turns.ts';
import type { ManagerEvents, ManagerState } from './types.ts';
import { Watchers } from './watchers.ts';
import { BUSY, IDLE, Worker } from './worker.ts';

export interface SchedulerHost extends EventTarget {
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
  readonly settlement: Settlement;
  readonly reports: Reports;
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
    this.reports = new Reports(settings, host, (task) => this.idOf(task));
    this.settlement = new Settlement(this);
    this.queue = new TaskQueue(settings);
    this.deadlines = new Deadlines(clock);
    this.ids = new IdSource(clock.timeOrigin);
    this.callbacks = new Callbacks((error) => this.reports.report(error, 'a callback threw'));
    this.callbacks.onFlushed = () => this.onProgress?.();
    this.#turns = new Turns(settings.yieldTasks, settings.yieldMs, () => this.pump());
    // As on the web, the signal's reason is what the task rejects with, whatever it is.
    this.signals = new Signals((task, reason, err) => this.settlement.cancelFor(task, reason, err));
    this.resources = new Resources(settings, {
      onCreateFailed: (error, inRow) => {
        this.reports.report(error, `a resource could not be created (${inRow} in a row)`);
        this.crew.createFailed(error);
      },
      onDestroyFailed: (error) => this.reports.report(error, 'onDestroy threw'),
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

  /** Whether anybody listens to an event. */
  listens(event: keyof ManagerEvents): boolean {
    return this.#host.listens(event);
  }

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
    const { extras } = task;
    if (extras !== undefined) extras.waiting = false;
    if (extras === undefined || extras.takesRoom) this.admission.entered(task, priority);
    if (extras?.parent !== undefined) this.children.queued(task);
    if (extras !== undefined && task.sink instanceof Receiver) task.sink.placed();
    this.recorder?.arrival(task.queuedAt);
    this.admission.tell();
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
      for (let task = worker.pinned?.shift(); task !== undefined; task = worker.pinned?.shift()) {
        // One that was canceled stays in line until its turn.
        if (task.state !== QUEUED) continue;
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
      this.shrunk();
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
    this.shrunk();
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
      // A listener may have ended the task meanwhile: that has settled the gate, and nobody waits behind it.
      if (this.settings.asyncContext && task.state === RUNNING) {
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

  /** The queue has become shorter. */
  shrunk(): void {
    if (this.queued === 0) this.#emptied();
    if (this.admission.attentive) this.admission.refill();
    this.watchers.onSize(this.queued);
  }

  #emptied(): void {
    this.watchers.onEmpty();
    if (this.listens('empty')) this.emit('empty');
  }

  /** Moves a queued or waiting task to the tail of another level; false if it isn't there to be moved. */
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

  /** Nothing is queued and nothing runs. */
  idled(): void {
    if (!this.idle) return;
    this.#keepAlive.letGo();
    this.watchers.onIdle();
    if (this.listens('idle')) this.emit('idle');
    this.onProgress?.();
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
