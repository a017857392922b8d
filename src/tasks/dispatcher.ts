/** The dispatcher: registered tasks, an engine where their calls wait, and managers that run them. It only wires them. */
import { setMaxListeners } from 'node:events';
import type { CallFilter, Delivery, Engine, Failure } from '../engines/index.ts';
import { holdProcess } from '../go/clock.ts';
import { canceledBecause, ShutdownError } from '../manager/errors.ts';
import type { Call } from './call.ts';
import { type Canceled, cancelAll } from './cancel.ts';
import type { Ending } from './conclusion.ts';
import { Consumer } from './consumer.ts';
import { type DispatcherEvents, Events } from './dispatcher-events.ts';
import {
  checkDispatcherOptions,
  checkStop,
  type DispatcherOptions,
  type DispatcherSettings,
  type DispatcherStopOptions,
} from './dispatcher-options.ts';
import { errorToJson } from './error-json.ts';
import { cancelCall } from './flows/cancel-nodes.ts';
import { Flows } from './flows/flows.ts';
import { FLOWS } from './flows/ids.ts';
import { Limits } from './limits.ts';
import { type PollOptions, poll } from './poll.ts';
import { checkQueues, type QueueMap } from './queues.ts';
import { Calls, DeadLetters } from './records.ts';
import type { AnyTask, TaskRegistry } from './registry.ts';
import { type Parent, Run, type RunHost } from './run.ts';
import { endRuns, KILL_MS, type StopTimes, within } from './shutdown.ts';
import { Staff } from './staff.ts';
import { CallSubmitter } from './submitter.ts';
import type { SubmitOptions, Task } from './types.ts';

/** Where a dispatcher stands. */
export type DispatcherState = 'new' | 'running' | 'stopping' | 'stopped';

/** What a stop has come to: calls that ended from its beginning on. */
export interface DispatcherStopSummary {
  /** Came to their end by themselves. */
  readonly completed: number;
  /** Failed, for good or to be tried again. */
  readonly failed: number;
  /** Canceled by the stop. */
  readonly canceled: number;
  /** Handed back, to be run by another dispatcher, or by the next. */
  readonly requeued: number;
  /** Still running: the engine gives them to somebody else when their lease has expired. */
  readonly left: number;
}

/**
 * Runs calls of registered tasks: submits them to an engine, fetches them when there is room, runs them on
 * TaskManagers, and tells the engine what has become of them. Each call runs at least once, whatever fails.
 *
 * A dispatcher that was started holds the process until it is stopped. One that wasn't can submit all the same.
 *
 * @example
 * const dispatcher = new Dispatcher({ tasks: [resize], queues: { images: { concurrency: 8 } } });
 * await dispatcher.start();
 * const call = await dispatcher.submit(resize, { path: 'a.png', width: 200 });
 * console.log(await call.result);
 * await dispatcher.stop();
 */
export class Dispatcher {
  /** The calls that the engine knows. */
  readonly calls: Calls;
  /** Calls that failed for good. */
  readonly deadLetters: DeadLetters;
  /** How the runs of flows are doing. */
  readonly flows: Flows;
  /** What can be submitted here. */
  readonly tasks: TaskRegistry;
  readonly #settings: DispatcherSettings;
  readonly #engine: Engine;
  readonly #submitter: CallSubmitter;
  readonly #consumer: Consumer;
  readonly #limits: Limits;
  readonly #staff: Staff;
  readonly #events: Events;
  readonly #stopping = new AbortController();
  readonly #host: RunHost;
  #state: DispatcherState = 'new';
  #started: Promise<void> | undefined;
  #stopped: Promise<DispatcherStopSummary> | undefined;
  #letProcessGo: (() => void) | undefined;
  readonly #sinceStop = { completed: 0, failed: 0, canceled: 0, requeued: 0 };
  /** Whether anything has run here since it was idle. */
  #hasRun = false;

  /** @throws TypeError or RangeError when an option is wrong, or a task is registered twice */
  constructor(options: DispatcherOptions) {
    const settings = checkDispatcherOptions(options);
    const { engine, registry, queues, order, name, leaseMs, concurrency, managers, maxPayloadBytes, hooks } = settings;
    // Every run may listen: it is no leak that Node has to warn of.
    setMaxListeners(0, this.#stopping.signal);
    this.#settings = settings;
    this.#engine = engine;
    this.tasks = registry;
    this.calls = new Calls(engine);
    this.deadLetters = new DeadLetters(engine);
    this.flows = new Flows(engine, registry);
    this.#submitter = new CallSubmitter(settings);
    this.#events = new Events(settings.logger);
    this.#limits = new Limits({ engine, registry, order, queues });
    const report = (error: unknown, what: string) => this.#events.report(error, what);
    this.#staff = new Staff({
      clock: engine.clock,
      concurrency,
      managers,
      hasFlows: () => registry.hasFlows,
      onRoom: () => this.#consumer.wake(),
      onError: (error) => report(error, 'something failed beside a run'),
    });
    this.#host = {
      stopping: this.#stopping.signal,
      maxPayloadBytes,
      hooks,
      clock: engine.clock,
      engine,
      report,
      failed: (error, failures) => this.#engineFailed(error, failures),
      holds: ({ lease }) => this.#consumer.holds(lease),
      definitionOf: (task) => this.#submitter.definitionOf(task),
      prepare: async (task, input, options, parent) => this.#submitter.prepare(task, input, options, parent),
      end: ({ lease }, what) => this.#consumer.end(lease, what),
      tell: ({ lease }, what) => this.#consumer.tell(lease, what),
      update: ({ lease }, update) => engine.update(lease, update),
      submit: (task, input, options, parent) => this.#submit(task, input, options, parent),
      begun: (run) => this.#begun(run),
      freed: (run) => this.#freed(run),
      ended: (run, ending) => this.#ended(run, ending),
    };
    this.#consumer = new Consumer(
      name,
      engine,
      {
        prepare: (isKnown) => this.#limits.tell(isKnown),
        room: () => this.#staff.room(),
        plan: (max) => this.#limits.queues.plan(max),
        fetched: (request, deliveries) => this.#limits.queues.fetched(request, deliveries),
        idle: () => this.#idle(),
        accept: (delivery) => this.#accept(delivery),
        launch: (run) => this.#launch(run),
        failed: (error, failures) => this.#engineFailed(error, failures),
        report,
      },
      leaseMs,
    );
  }

  /** Where it stands. */
  get state(): DispatcherState {
    return this.#state;
  }

  /** Unique among the dispatchers on the engine. */
  get name(): string {
    return this.#settings.name;
  }

  /**
   * Begins to take calls. Resolves when the engine has been reached, however long that takes (`engineFailed` tells).
   * Rejects with a ShutdownError when it is stopped before. A second call returns the same promise.
   */
  start(): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'stopped') return Promise.reject(this.#shutdownError());
    if (this.#started === undefined) {
      this.#state = 'running';
      this.#letProcessGo = holdProcess();
      this.#staff.start();
      this.#started = this.#consumer.start();
      // Who hasn't waited for it needn't hear that it was stopped.
      this.#started.catch(() => {});
    }
    return this.#started;
  }

  /**
   * Stores a call of a task, to be run by a dispatcher on the engine. Resolves when it is stored. With an id that was
   * submitted before, it is that first call, whatever the input.
   *
   * @throws (it rejects with) NotRegisteredError, InvalidInputError, ForbiddenError, SubmitStoppedError; TypeError or
   * RangeError for wrong options; ShutdownError after a stop. Nothing is stored then.
   */
  submit<I, O>(task: Task<I, O>, input: NoInfer<I>, options?: SubmitOptions): Promise<Call<O>>;
  submit<O = unknown>(task: string, input: unknown, options?: SubmitOptions): Promise<Call<O>>;
  submit(task: AnyTask | string, input: unknown, options?: SubmitOptions): Promise<Call<unknown>> {
    return this.#submit(task, input, options, undefined);
  }

  /** The same for many inputs in one step: all are stored, or none. */
  async submitMany<I, O>(task: Task<I, O>, inputs: Iterable<NoInfer<I>>, options?: SubmitOptions): Promise<Call<O>[]> {
    this.#refuseAfterStop(undefined);
    return (await this.#submitter.submitMany(task, inputs, options, undefined)) as Call<O>[];
  }

  /** Submits, and waits for the result. */
  async call<I, O>(task: Task<I, O>, input: NoInfer<I>, options?: SubmitOptions): Promise<O> {
    return (await this.submit(task, input, options)).result;
  }

  /**
   * Calls a task again and again until what it gives is what one waits for, and resolves to that. Rejects with a
   * DeadlineExceededError when it isn't in time, and with the failure of a call that fails.
   */
  async poll<I, O>(
    task: Task<I, O>,
    input: NoInfer<I>,
    until: (output: O) => boolean | PromiseLike<boolean>,
    options: PollOptions = {},
  ): Promise<O> {
    const submit = (submission: SubmitOptions) => this.submit(task, input, submission);
    return poll({ clock: this.#engine.clock, name: task.name, submit, until }, options);
  }

  /**
   * Cancels a call by its id, which rejects with a CallEndedError or an UnknownCallError when it is too late; or all that
   * match and have not ended; or all of a filter's ids. Says for each what has become of it.
   */
  async cancel(which: string | CallFilter, reason?: unknown): Promise<ReadonlyMap<string, Canceled>> {
    const error = errorToJson(canceledBecause(reason));
    if (typeof which === 'string') return new Map([[which, await cancelCall(this.#engine, which, error)]]);
    return cancelAll(this.#engine, which, error);
  }

  /** Another set of queues from now on: their order, weights and limits. What runs goes on. */
  async setQueues(queues: QueueMap): Promise<void> {
    checkQueues(queues);
    this.#refuseAfterStop(undefined);
    await this.#limits.set(queues);
    this.#consumer.wake();
  }

  /**
   * Takes no more calls, and ends what runs by the `onShutdown` of its task: after `graceMs` it is canceled or handed
   * back, or waited for. After `timeoutMs` all of it is. A second call returns the same promise.
   */
  stop(options: DispatcherStopOptions = {}): Promise<DispatcherStopSummary> {
    try {
      const times = checkStop(options);
      this.#stopped ??= new Promise((resolve, reject) => {
        // In the next microtask, as those who are told may stop it as well.
        this.#state = 'stopping';
        this.#consumer.drain();
        queueMicrotask(() => this.#stop(times).then(resolve, reject));
      });
      return this.#stopped;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** `stop()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Listens. What a listener throws, or rejects with, goes to the `error` event and the logger. */
  on<E extends keyof DispatcherEvents>(event: E, listener: (...args: DispatcherEvents[E]) => void): this {
    this.#events.on(event, listener);
    return this;
  }

  /** Listens no more. */
  off<E extends keyof DispatcherEvents>(event: E, listener: (...args: DispatcherEvents[E]) => void): this {
    this.#events.off(event, listener);
    return this;
  }

  // ---- submitting -----------------------------------------------------------------------------------------------------

  async #submit(
    task: AnyTask | string,
    input: unknown,
    options: SubmitOptions | undefined,
    parent: Parent | undefined,
  ): Promise<Call<unknown>> {
    this.#refuseAfterStop(parent);
    return this.#submitter.submit(task, input, options, parent);
  }

  #refuseAfterStop(parent: Parent | undefined): void {
    if (this.#state === 'stopped' || (this.#state === 'stopping' && parent === undefined)) throw this.#shutdownError();
  }

  #shutdownError(): ShutdownError {
    return new ShutdownError(`the dispatcher is ${this.#state}: it takes no more calls`);
  }

  // ---- running --------------------------------------------------------------------------------------------------------

  #accept(delivery: Delivery): Run | Failure {
    const { task, version } = delivery.record;
    try {
      const run = new Run(this.#host, delivery, this.tasks.resolve(task, version));
      return run.obstacle() ?? run;
    } catch (error) {
      // Whoever has the task can resubmit it.
      return { error: errorToJson(error), then: 'deadLettered' };
    }
  }

  #launch(run: Run): void {
    this.#hasRun = true;
    if (run.record.manager !== FLOWS) this.#limits.queues.began(run.record.queue);
    this.#staff.launch(run);
  }

  #begun(run: Run): void {
    if (this.#staff.begun(run)) this.#consumer.wake();
  }

  #freed(run: Run): void {
    this.#staff.freed(run);
    if (run.record.manager !== FLOWS) this.#limits.queues.ended(run.record.queue);
    this.#consumer.wake();
  }

  #ended({ lease }: Run, ending: Ending): void {
    this.#consumer.forget(lease);
    if (this.#state === 'stopping' && ending !== 'lost') {
      this.#sinceStop[ending === 'retried' ? 'failed' : ending]++;
    }
    if (this.#consumer.size > 0 || !this.#events.listens('idle')) return;
    if (this.#state === 'stopping') this.#idle();
    // Only another look can tell whether there is more.
    else this.#consumer.wake();
  }

  #idle(): void {
    if (!this.#hasRun || !this.#staff.isIdle) return;
    this.#hasRun = false;
    this.#events.emit('idle');
  }

  #engineFailed(error: unknown, failures: number): void {
    this.#events.log('warn', 'the engine has failed', error);
    this.#events.emit('engineFailed', { error, failures });
  }

  // ---- the end --------------------------------------------------------------------------------------------------------

  async #stop(times: StopTimes): Promise<DispatcherStopSummary> {
    const { clock } = this.#engine;
    const reason = new ShutdownError('the dispatcher is stopping');
    this.#stopping.abort(reason);
    await endRuns(this.#consumer, reason, times, clock);
    const left = this.#consumer.size;
    try {
      await within(KILL_MS, this.#consumer.leave(), clock);
      await this.#staff.end(reason);
      if (this.#settings.ownsEngine) await this.#engine.close();
    } finally {
      this.#state = 'stopped';
      this.#letProcessGo?.();
    }
    return { ...this.#sinceStop, left };
  }
}
