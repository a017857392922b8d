/** TaskManager: the public face of the heart. It checks what it is given and wires the parts; the parts do the work. */
import { EventEmitter } from 'node:events';
import { contextOf } from '../go/context.ts';
import { CancelScope } from '../go/scope.ts';
import type { WaitOptions } from '../go/wait-queue.ts';
import { zeroMetrics } from '../metrics/collector.ts';
import { DefaultCollector, type MetricsCollector, type TaskMetrics } from '../metrics/index.ts';
import { recorderOf } from '../metrics/recorder.ts';
import { WorkerGoneError } from './errors.ts';
import { HandleReceiver } from './handle.ts';
import {
  checkCollectors,
  checkEvent,
  checkFilter,
  checkFunction,
  checkManagerOptions,
  checkResize,
  checkSize,
  checkStopOptions,
  checkWaitOptions,
  checkWorkerCounts,
} from './options.ts';
import { ENDING_SIGNALS, onEndingSignals, type SignalDisposer, type SignalListeners } from './process-signals.ts';
import { Scaling } from './scaling.ts';
import { Scheduler } from './scheduler.ts';
import { Shutdown } from './shutdown.ts';
import { type Preset, Submitter, schedulerOf, submitPlain, submitTo } from './submitter.ts';
import { type Receiver, RUNNING, STATE_NAMES, type Task } from './task.ts';
import type {
  ManagerEvents,
  ManagerMetrics,
  ManagerStats,
  StopOptions,
  StopSummary,
  TaskFilter,
  TaskFunction,
  TaskManagerOptions,
  TaskOptions,
  TaskSnapshot,
} from './types.ts';
import { GONE, type Worker } from './worker.ts';

/**
 * Runs tasks on workers that each own a resource (a connection, a browser, a thread), by priority, under a bound, with
 * a context to cancel each. After Tasker (Go).
 *
 * @example
 * const manager = new TaskManager({ workerCount: 4, onCreate: () => connect(), onDestroy: (db) => db.close() });
 * const user = await manager.queueTask((ctx, db) => db.user(7, { signal: ctx.signal }), { timeoutMs: 2_000 });
 * await manager.stop();
 */
export class TaskManager<R = undefined> extends Submitter<R> implements AsyncDisposable {
  readonly #scheduler: Scheduler;
  readonly #scaling: Scaling;
  readonly #shutdown: Shutdown;
  readonly #events = new EventEmitter({ captureRejections: true });
  readonly #collectors: readonly MetricsCollector[];
  readonly #parent: CancelScope | undefined;
  readonly #signalDisposers: SignalListeners = new Set();

  /** Throws TypeError or RangeError, naming the option and the value, for what is wrong in `options`. */
  constructor(options: TaskManagerOptions<R> = {}) {
    super();
    const settings = checkManagerOptions(options);
    const { collector } = options;
    this.#collectors =
      collector === undefined ? [new DefaultCollector({ clock: settings.clock })] : checkCollectors(collector);
    const recorder = recorderOf(this.#collectors, settings.clock, (error) =>
      this.#scheduler.reports.report(error, 'a metrics collector threw'),
    );
    this.#scheduler = new Scheduler(settings, recorder, {
      emit: (event, ...details) => this.#emit(event, details),
      listens: (event) => this.#events.listenerCount(event) > 0,
      onWork: () => this.#scaling.wake(),
    });
    this.#scaling = new Scaling(this.#scheduler);
    this.#shutdown = new Shutdown(this.#scheduler, this.#scaling, (summary) => this.#onEnd(summary));
    // What an async listener rejects with is reported like what a listener throws.
    Object.defineProperty(this.#events, Symbol.for('nodejs.rejection'), {
      value: (error: unknown, event: keyof ManagerEvents) =>
        this.#reportListener(event, error, `a listener of the ${event} event rejected`),
    });
    if (settings.signal !== undefined) {
      this.#parent = new CancelScope(contextOf(settings.signal));
      this.#parent.subscribe((_, cause) => void this.kill(cause));
    }
    // Nobody, if the parent's signal has fired already.
    this.#scheduler.crew.staff();
  }

  // ---- lifecycle ----------------------------------------------------------------------------------------------------

  /**
   * Resolves when every base worker has its resource. Rejects with ResourceError when `createAttempts` creations in a
   * row have failed and no worker is alive (the manager goes on trying all the same), and with ShutdownError at the end.
   */
  ready(): Promise<void> {
    return this.#scheduler.crew.ready();
  }

  /**
   * Takes no more work (children of running tasks excepted), finishes what is queued and running, destroys every
   * resource. A task that still runs `graceMs` after the stop, or after its own start if that is later, is canceled
   * with a ShutdownError. After `timeoutMs` the stop becomes a kill. A second call returns the same promise, and may
   * only shorten the times. Rejects with TypeError or RangeError for what is wrong in `options`, and with nothing else.
   */
  stop(options: StopOptions = {}): Promise<StopSummary> {
    try {
      return this.#shutdown.stop(checkStopOptions(options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Ends everything now: what is queued or running rejects with a ShutdownError whose `cause` is `reason`, every signal
   * fires, and when the functions have returned, or after `killGraceMs`, every resource is destroyed.
   */
  kill(reason?: unknown): Promise<void> {
    return this.#shutdown.kill(reason);
  }

  /** `stop()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /**
   * Stops at the first of these process signals and kills at the second (an echo of the first within 50 ms aside). Returns what undoes it; the end of the manager
   * does so too.
   */
  stopOnSignals(signals: readonly NodeJS.Signals[] = ENDING_SIGNALS, options?: StopOptions): SignalDisposer {
    const { state } = this.#scheduler;
    if (state === 'stopped' || state === 'killed') {
      throw new TypeError(`stopOnSignals() makes no sense once the manager is ${state}`);
    }
    if (options !== undefined) checkStopOptions(options);
    return onEndingSignals(
      signals,
      this.#signalDisposers,
      () => void this.stop(options),
      (signal) => void this.kill(`${signal} received while stopping`),
    );
  }

  /** Starts nothing more of the queue; what runs goes on, `runTask` too. Throws TypeError when the manager is ending. */
  pause(): void {
    this.#refuseAfterEnd('pause()');
    this.#scheduler.state = 'paused';
  }

  /** Ends a pause. Does nothing if there is none. */
  resume(): void {
    if (this.#scheduler.state !== 'paused') return;
    this.#scheduler.state = 'running';
    this.#scheduler.resumeAll();
  }

  /** Changes the number of workers. Surplus workers finish their task first. */
  resize(counts: { readonly workerCount?: number | undefined; readonly maxWorkerCount?: number | undefined }): void {
    this.#refuseAfterEnd('resize()');
    checkResize(counts);
    const { settings, crew } = this.#scheduler;
    const { workerCount, maxWorkerCount = workerCount === undefined ? settings.maxWorkerCount : undefined } = counts;
    const base = workerCount === undefined ? settings.workerCount : workerCount;
    Object.assign(settings, checkWorkerCounts(base, maxWorkerCount, settings.maxWorkerCount));
    crew.staff();
    this.#scheduler.pump();
  }

  /** Replaces every resource by a new one: those of busy workers after their task. */
  recycle(): void {
    this.#refuseAfterEnd('recycle()');
    this.#scheduler.crew.recycle();
    this.#scheduler.pool.recycle();
  }

  // ---- tasks --------------------------------------------------------------------------------------------------------

  /**
   * Runs a synchronous function now and returns its value, on a pooled resource that is ready. Throws ResourceError if
   * none is (one is made then, for the next time), ShutdownError after the end, and TypeError if the function returns a
   * promise.
   */
  runTaskSync<T>(fn: TaskFunction<R, T>): T extends PromiseLike<unknown> ? never : T {
    return this.#scheduler.submission.runSync(fn);
  }

  /**
   * Runs `fn` once on every worker's resource, each when its worker is free, before anything queued: to warm up, to
   * broadcast. The values come in the order of the workers; a worker that goes before its turn is left out. Rejects
   * with the first error, once all have ended.
   */
  async runOnEach<T>(fn: TaskFunction<R, T>): Promise<Awaited<T>[]> {
    const scheduler = this.#scheduler;
    if (typeof fn !== 'function') {
      scheduler.refused('invalid');
      checkFunction('the task', fn);
    }
    if (scheduler.ending) {
      scheduler.refused('stopped');
      throw scheduler.shutdownError;
    }
    const receivers: HandleReceiver<Awaited<T>>[] = [];
    for (const worker of [...scheduler.crew.workers]) {
      // The function may begin at once, and send workers away or end the manager.
      if (worker.phase === GONE || scheduler.ending) continue;
      const receiver = new HandleReceiver<Awaited<T>>(scheduler);
      scheduler.submission.pinned(receiver, fn, worker);
      receivers.push(receiver);
    }
    const outcomes = await Promise.allSettled(receivers.map((receiver) => receiver.result));
    const values: Awaited<T>[] = [];
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') values.push(outcome.value);
      else if (!(outcome.reason instanceof WorkerGoneError)) throw outcome.reason;
    }
    return values;
  }

  /** Cancels what is queued, and refuses who waits for room; what runs goes on. Says how many there were. */
  clear(reason?: unknown): number {
    const { queue, offQueue, admission } = this.#scheduler;
    const queued = [...admission.waiting, ...queue, ...offQueue].filter((task) => task.extras?.past !== true);
    return this.#cancelAll(queued, reason);
  }

  /**
   * Cancels the living tasks that match, waiting, queued or running, and says how many there were.
   *
   * @example manager.cancel({ key: 'tenant-7' }, 'the tenant has left');
   */
  cancel(filter: TaskFilter, reason?: unknown): number {
    return this.#cancelAll([...this.#living()].filter(this.#matching(filter)), reason);
  }

  /** Snapshots of the living tasks that match: those that wait, then those that are queued, then those that run. */
  tasks(filter?: TaskFilter): TaskSnapshot[] {
    const tasks = [...this.#living()];
    const matching = filter === undefined ? tasks : tasks.filter(this.#matching(filter));
    return matching.map((task) => this.#snapshot(task));
  }

  // ---- waiting ------------------------------------------------------------------------------------------------------

  /** Resolves when nothing is queued, nothing runs and nothing waits for room; at once if that is so. */
  async onIdle(options?: WaitOptions): Promise<void> {
    checkWaitOptions(options);
    if (!this.#scheduler.idle) await this.#scheduler.watchers.untilIdle(options);
  }

  /** Resolves when nothing is queued; at once if that is so. */
  async onEmpty(options?: WaitOptions): Promise<void> {
    checkWaitOptions(options);
    if (this.#scheduler.queued > 0) await this.#scheduler.watchers.untilEmpty(options);
  }

  /** Resolves when fewer than `size` tasks are queued; at once if that is so. */
  async onSizeLessThan(size: number, options?: WaitOptions): Promise<void> {
    checkSize(size);
    checkWaitOptions(options);
    if (this.#scheduler.queued >= size) await this.#scheduler.watchers.untilSizeLessThan(size, options);
  }

  // ---- seeing -------------------------------------------------------------------------------------------------------

  /** How things stand at this instant. */
  stats(): ManagerStats {
    const scheduler = this.#scheduler;
    const { crew, pool, queue, offQueue, admission, settings } = scheduler;
    let priorityTasks = queue.prioritySize;
    for (const task of offQueue) if ((task.extras?.priority ?? 0) > 0) priorityTasks++;
    return {
      state: scheduler.state,
      baseWorkers: crew.baseCount,
      activeWorkers: crew.active,
      burstWorkers: crew.burstCount,
      idleWorkers: crew.idle.length,
      busyWorkers: crew.active - crew.idle.length,
      stuckWorkers: scheduler.stuck,
      queuedTasks: scheduler.queued,
      priorityTasks,
      runningTasks: scheduler.running,
      availableResources: pool.idle.length,
      abandonedTasks: scheduler.strays,
      queueCapacity: settings.maxQueueSize,
      queueUsage: admission.usage,
      waitingForRoom: admission.waiting.size,
    };
  }

  /** Figures since the start: totals of the manager's own books, times and rates of its (first) collector. */
  metrics(): ManagerMetrics {
    const scheduler = this.#scheduler;
    const { resources } = scheduler;
    return {
      ...zeroMetrics(),
      ...this.#collected(),
      totalTasksArrived: scheduler.arrived,
      totalTasksCompleted: scheduler.completed,
      totalTasksFailed: scheduler.failed,
      totalTasksTimedOut: scheduler.timedOut,
      totalTasksCanceled: scheduler.canceled,
      totalTasksDropped: scheduler.dropped,
      totalTasksRejected: scheduler.rejected,
      totalTasksRetried: scheduler.retried,
      totalTasksAbandoned: scheduler.abandonedTotal,
      totalResourcesCreated: resources.created,
      totalResourcesDestroyed: resources.destroyed,
      totalCreateFailures: resources.createFailures,
      totalDestroyFailures: resources.destroyFailures,
    };
  }

  /** Calls `listener` at every `event`. What it throws, or rejects with, goes to the `error` event and the logger. */
  on<E extends keyof ManagerEvents>(event: E, listener: (...details: ManagerEvents[E]) => void): this {
    checkEvent(event, listener);
    this.#events.on(event, listener as (...details: unknown[]) => void);
    return this;
  }

  /** Calls `listener` at the next `event`. */
  once<E extends keyof ManagerEvents>(event: E, listener: (...details: ManagerEvents[E]) => void): this {
    checkEvent(event, listener);
    this.#events.once(event, listener as (...details: unknown[]) => void);
    return this;
  }

  /** Takes a listener back. */
  off<E extends keyof ManagerEvents>(event: E, listener: (...details: ManagerEvents[E]) => void): this {
    this.#events.off(event, listener as (...details: unknown[]) => void);
    return this;
  }

  /** Node's older name for {@link off}; `events.once(manager, 'drain')` needs it. */
  removeListener<E extends keyof ManagerEvents>(event: E, listener: (...details: ManagerEvents[E]) => void): this {
    return this.off(event, listener);
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  /** @internal */
  get [schedulerOf](): Scheduler {
    return this.#scheduler;
  }

  /** @internal */
  [submitPlain]<E>(fn: unknown, options: TaskOptions | undefined, preset: Preset): Promise<E> {
    return this.#scheduler.submission.plain(fn, options, preset, undefined);
  }

  /** @internal */
  [submitTo](receiver: Receiver, fn: unknown, options: TaskOptions | undefined, preset: Preset): boolean {
    return this.#scheduler.submission.to(receiver, fn, options, preset, undefined);
  }

  #emit<E extends keyof ManagerEvents>(event: E, details: ManagerEvents[E]): void {
    if (this.#events.listenerCount(event) === 0) return;
    try {
      this.#events.emit(event, ...details);
    } catch (error) {
      this.#reportListener(event, error, `a listener of the ${event} event threw`);
    }
  }

  /** What fails on the error event itself is only logged: it would fail again. */
  #reportListener(event: keyof ManagerEvents, error: unknown, what: string): void {
    if (event === 'error') this.#scheduler.reports.log(error, what);
    else this.#scheduler.reports.report(error, what);
  }

  /** The figures of the first collector, as far as it has any. */
  #collected(): Partial<TaskMetrics> | undefined {
    try {
      return this.#collectors[0]?.metrics();
    } catch (error) {
      this.#scheduler.reports.report(error, 'a metrics collector threw');
      return undefined;
    }
  }

  #onEnd(summary: StopSummary): void {
    this.#parent?.release();
    for (const dispose of [...this.#signalDisposers]) dispose();
    this.#emit('stopped', [summary]);
  }

  #refuseAfterEnd(what: string): void {
    const { state } = this.#scheduler;
    if (this.#scheduler.ending) throw new TypeError(`${what} makes no sense once the manager is ${state}`);
  }

  #cancelAll(tasks: readonly Task[], reason: unknown): number {
    let canceled = 0;
    for (const task of tasks) if (this.#scheduler.settlement.cancel(task, reason)) canceled++;
    return canceled;
  }

  *#living(): Generator<Task> {
    const { admission, queue, offQueue } = this.#scheduler;
    yield* admission.waiting;
    yield* queue;
    yield* offQueue;
    for (const worker of this.#scheduler.busyWorkers()) if (worker.task!.state === RUNNING) yield worker.task!;
  }

  #matching(filter: TaskFilter): (task: Task) => boolean {
    if (typeof filter === 'function') return (task) => filter(this.#snapshot(task));
    checkFilter(filter);
    const wanted = Object.entries(filter).filter(([, value]) => value !== undefined);
    return (task) => {
      const snapshot = this.#snapshot(task);
      return wanted.every(([field, value]) => snapshot[field as keyof TaskSnapshot] === value);
    };
  }

  #snapshot(task: Task): TaskSnapshot {
    const scheduler = this.#scheduler;
    const running = task.state === RUNNING ? (task.home as Worker) : undefined;
    return {
      id: scheduler.idOf(task),
      state: STATE_NAMES[task.state]!,
      priority: scheduler.priorityOf(task),
      key: task.extras?.key,
      attempt: task.extras?.attempt ?? (running === undefined ? 0 : 1),
      queuedAt: scheduler.epoch(task.queuedAt),
      startedAt: running === undefined ? undefined : scheduler.epoch(running.startedAt),
    };
  }
}
