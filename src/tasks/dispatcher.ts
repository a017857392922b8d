/** The dispatcher: registered tasks, an engine where their calls wait, and managers that run them, as users see it. */
import type { CallFilter, Engine } from '../engines/index.ts';
import { holdProcess } from '../go/clock.ts';
import { canceledBecause, ShutdownError } from '../manager/errors.ts';
import {
  ENDING_SIGNALS,
  onEndingSignals,
  type SignalDisposer,
  type SignalListeners,
} from '../manager/process-signals.ts';
import type { DispatcherMetrics } from '../metrics/dispatcher-metrics.ts';
import type { Call } from './call.ts';
import { type Canceled, cancelAll } from './cancel.ts';
import { Broadcaster, type BroadcastOptions } from './control/broadcast.ts';
import { Control } from './control/control.ts';
import { Station } from './control/station.ts';
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
import { type PollOptions, poll } from './poll.ts';
import { checkQueues, type QueueMap } from './queues.ts';
import { Calls, DeadLetters } from './records.ts';
import type { AnyTask, TaskRegistry } from './registry.ts';
import type { Parent } from './run.ts';
import { Runner } from './runner.ts';
import type { Schedule } from './schedules/schedule.ts';
import type { EveryOptions, OnStartOptions, ScheduledInput, ScheduleOptions } from './schedules/schedule-options.ts';
import { Schedules } from './schedules/schedules.ts';
import { KILL_MS, type Shutdown, type StopTimes, within } from './shutdown.ts';
import type { DispatcherEventType, EventOptions, EventStream } from './signals/event-stream.ts';
import { EventStreams } from './signals/event-streams.ts';
import { type Instrument, instrumentBy } from './signals/instrument.ts';
import { observedEngine } from './signals/observed-engine.ts';
import { Signals } from './signals/signals.ts';
import { CallSubmitter } from './submitter.ts';
import { timelyEngine } from './timely-engine.ts';
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
  /** All that runs on the engine, seen and steered. */
  readonly control: Control;
  /** How the runs of flows are doing. */
  readonly flows: Flows;
  /** What can be submitted here. */
  readonly tasks: TaskRegistry;
  /** What fires here by itself: see `schedule`, `every` and `onStart`. */
  readonly schedules: Schedules;
  readonly #settings: DispatcherSettings;
  readonly #engine: Engine;
  readonly #submitter: CallSubmitter;
  readonly #runner: Runner;
  readonly #station: Station;
  readonly #broadcaster: Broadcaster;
  readonly #events: Events;
  readonly #signals: Signals;
  readonly #streams: EventStreams;
  #state: DispatcherState = 'new';
  #started: Promise<void> | undefined;
  #stopped: Promise<DispatcherStopSummary> | undefined;
  #letProcessGo: (() => void) | undefined;
  /** How long a stop may take; the shortest counts. */
  readonly #times: StopTimes[] = [];
  #shutdown: Shutdown | undefined;
  readonly #signalListeners: SignalListeners = new Set();

  /** @throws TypeError or RangeError when an option is wrong, or a task is registered twice */
  constructor(options: DispatcherOptions) {
    const settings = checkDispatcherOptions(options);
    const { registry, name } = settings;
    this.#settings = settings;
    const report = (error: unknown, what: string) => this.#events.report(error, what);
    this.#signals = new Signals(settings.engine.clock, registry, report);
    const engine = observedEngine(settings.engine, this.#signals);
    const timely = timelyEngine(engine);
    this.#engine = engine;
    this.tasks = registry;
    this.calls = new Calls(engine);
    this.deadLetters = new DeadLetters(engine, (ids) => this.#broadcaster.revived(ids));
    this.flows = new Flows(engine, registry);
    this.#submitter = new CallSubmitter({ ...settings, engine });
    this.#events = new Events(settings.logger);
    this.#streams = new EventStreams(engine, this.#events);
    this.#broadcaster = new Broadcaster({ engine, submitter: this.#submitter, report });
    this.schedules = new Schedules({
      engine: timely,
      registry,
      submitter: this.#submitter,
      owner: name,
      refuseAfterStop: () => this.#refuseAfterStop(undefined),
      tell: (tick) => {
        this.#signals.metrics.scheduleTick(tick.schedule, tick.latencyMs, tick.outcome);
        this.#events.emit('tick', tick);
      },
      report,
      warn: (what) => this.#events.log('warn', what),
      failed: (error, failures) => this.#events.engineFailed(error, failures),
    });
    this.#runner = new Runner({
      settings,
      engine,
      timely,
      events: this.#events,
      signals: this.#signals,
      submitter: this.#submitter,
      submit: (task, input, options, parent) => this.#submit(task, input, options, parent),
      hear: (message) => this.#station.messenger.hear(message),
    });
    this.#station = new Station({
      engine,
      name,
      state: () => this.#state,
      consumer: () => this.#runner.consumer,
      limits: this.#runner.limits,
      staff: this.#runner.staff,
      events: this.#events,
    });
    this.control = new Control({
      engine,
      messenger: this.#station.messenger,
      names: () => this.#runner.limits.names(),
      changed: (what) => this.#events.log('info', what),
      cancel: (which, reason) => this.cancel(which, reason),
    });
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
      this.schedules.start();
      this.#station.started();
      this.#events.log('info', `dispatcher ${this.name} starts`);
      this.#started = this.#start();
      // Who hasn't waited for it needn't hear that it was stopped.
      this.#started.catch(() => {});
    }
    return this.#started;
  }

  /** By the task's name, for who hasn't got the task: its types aren't known then. */
  submit<O = unknown>(task: string, input: unknown, options?: SubmitOptions): Promise<Call<O>>;
  /**
   * Stores a call of a task, to be run by a dispatcher on the engine. Resolves when it is stored. With an id that was
   * submitted before, it is that first call, whatever the input.
   *
   * @throws (it rejects with) NotRegisteredError, InvalidInputError, ForbiddenError, SubmitStoppedError; TypeError or
   * RangeError for wrong options; ShutdownError after a stop. Nothing is stored then.
   */
  submit<I, O>(task: Task<I, O>, input: NoInfer<I>, options?: SubmitOptions): Promise<Call<O>>;
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
   * Has a task run once on every dispatcher that is alive on the engine, each call with all that a call has: lease,
   * attempts, result. A dispatcher takes them before all others, whatever its queues are, and those of one that stops
   * are canceled. Resolves to the calls, by dispatcher; all are stored, or none. Rejects as `submit` does.
   */
  async broadcast<I, O>(
    task: Task<I, O>,
    input: NoInfer<I>,
    options?: BroadcastOptions,
  ): Promise<ReadonlyMap<string, Call<O>>> {
    this.#refuseAfterStop(undefined);
    return (await this.#broadcaster.broadcast(task, input, options)) as Map<string, Call<O>>;
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

  /** By the task's name, for who hasn't got the task: its types aren't known then. */
  schedule<O = unknown>(cron: string, task: string, input: unknown, options?: ScheduleOptions): Promise<Schedule<O>>;
  /**
   * Submits a call of a task whenever a cron pattern says so, from when the dispatcher has started. The input may be a
   * function of the tick. Resolves when all has been checked that can be, without asking the engine. Each tick is fired
   * once by all dispatchers on the engine that have a schedule of the name.
   *
   * @example
   * await dispatcher.schedule('30 2 * * *', report, ({ at }) => ({ day: at.toISOString() }), { timeZone: 'Europe/Berlin' });
   * @throws (it rejects with) RangeError or TypeError for a pattern, a time zone or an option that is wrong, or a name that
   * is taken here; NotRegisteredError, InvalidInputError, ForbiddenError as `submit` does; ShutdownError after a stop
   */
  schedule<I, O>(
    cron: string,
    task: Task<I, O>,
    input: ScheduledInput<NoInfer<I>>,
    options?: ScheduleOptions,
  ): Promise<Schedule<O>>;
  schedule(cron: string, task: AnyTask | string, input: unknown, options?: ScheduleOptions): Promise<Schedule> {
    return this.schedules.byCron(cron, task, input, options);
  }

  /** By the task's name, for who hasn't got the task: its types aren't known then. */
  every<O = unknown>(ms: number, task: string, input: unknown, options?: EveryOptions): Promise<Schedule<O>>;
  /**
   * The same every `ms`: first one period after the engine has first heard of it, then strictly by the period, whoever
   * comes and goes. A whole number of at least 1.
   */
  every<I, O>(
    ms: number,
    task: Task<I, O>,
    input: ScheduledInput<NoInfer<I>>,
    options?: EveryOptions,
  ): Promise<Schedule<O>>;
  every(ms: number, task: AnyTask | string, input: unknown, options?: EveryOptions): Promise<Schedule> {
    return this.schedules.byPeriod(ms, task, input, options);
  }

  /** By the task's name, for who hasn't got the task: its types aren't known then. */
  onStart<O = unknown>(task: string, input: unknown, options?: OnStartOptions): Promise<Schedule<O>>;
  /** The same once, when this dispatcher starts; at once if it has started. Other dispatchers have their own starts. */
  onStart<I, O>(task: Task<I, O>, input: ScheduledInput<NoInfer<I>>, options?: OnStartOptions): Promise<Schedule<O>>;
  onStart(task: AnyTask | string, input: unknown, options?: OnStartOptions): Promise<Schedule> {
    return this.schedules.atStart(task, input, options);
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
    await this.#runner.setQueues(queues);
    this.#events.log('info', `dispatcher ${this.name} takes from ${Object.keys(queues).join(', ') || 'no queue'}`);
  }

  /**
   * Takes no more calls, and ends what runs by the `onShutdown` of its task: after `graceMs` it is canceled or handed
   * back, or waited for. After `timeoutMs` all of it is. A second call returns the same promise, and may only shorten the
   * times.
   */
  stop(options: DispatcherStopOptions = {}): Promise<DispatcherStopSummary> {
    try {
      const times = checkStop(options);
      this.#stopped ??= new Promise((resolve, reject) => {
        // In the next microtask, as those who are told may stop it as well.
        this.#state = 'stopping';
        this.#runner.drain();
        const scheduled = this.schedules.stop();
        queueMicrotask(() => this.#stop(scheduled).then(resolve, reject));
      });
      if (this.#shutdown === undefined) this.#times.push(times);
      else if (this.#state === 'stopping') this.#shutdown.within(times);
      return this.#stopped;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Stops at the first of these process signals; at the second, an echo of the first within 50 ms aside, all that runs is
   * told to end at once. Returns what undoes it; the end of the dispatcher does so too.
   *
   * @throws TypeError or RangeError for what is no signal one can listen for, or a wrong option; TypeError after a stop
   */
  stopOnSignals(
    signals: readonly NodeJS.Signals[] = ENDING_SIGNALS,
    options: DispatcherStopOptions = {},
  ): SignalDisposer {
    if (this.#state === 'stopped') throw new TypeError('stopOnSignals() makes no sense once the dispatcher is stopped');
    checkStop(options);
    return onEndingSignals(
      signals,
      this.#signalListeners,
      () => void this.stop(options),
      () => void this.stop({ graceMs: 0, timeoutMs: 0 }),
    );
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

  /**
   * All that happens to all calls on the engine, and what this dispatcher says, from this very moment on and in order,
   * until the dispatcher has stopped or the engine is closed. Who reads too slowly loses the oldest, and is told how many
   * they were. To be left at any time; a stream that is never read should be disposed of.
   *
   * @example
   * for await (const event of dispatcher.events({ types: ['failed', 'deadLettered'] })) {
   *   if (event.type !== 'lost') console.error(event.call.task, event.call.error);
   * }
   * @throws TypeError or RangeError for wrong options; ShutdownError when the engine is closed
   */
  events<T extends DispatcherEventType = DispatcherEventType>(options: EventOptions<T> = {}): EventStream<T> {
    return this.#streams.open(options);
  }

  /** What has been counted and timed here so far, by task and queue. */
  metrics(): DispatcherMetrics {
    return this.#signals.metrics.snapshot();
  }

  /** @internal Has somebody follow the calls, until the function it returns is called. */
  [instrumentBy](instrument: Instrument): () => void {
    return this.#signals.attach(instrument);
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

  // ---- the beginning --------------------------------------------------------------------------------------------------

  async #start(): Promise<void> {
    await this.#runner.start();
    // Nobody need wait for it.
    void this.#broadcaster.sweep();
  }

  // ---- the end --------------------------------------------------------------------------------------------------------

  async #stop(scheduled: Promise<void>): Promise<DispatcherStopSummary> {
    const { clock } = this.#engine;
    const { consumer, staff } = this.#runner;
    const reason = new ShutdownError('the dispatcher is stopping');
    this.#events.log('info', `dispatcher ${this.name} stops`);
    this.#broadcaster.close();
    this.#shutdown = this.#runner.shutDown(reason);
    for (const times of this.#times) this.#shutdown.within(times);
    await this.#shutdown.over();
    await within(KILL_MS, scheduled, clock);
    const left = consumer.size;
    try {
      await within(KILL_MS, this.#leave(), clock);
      await staff.end(reason);
      if (this.#settings.ownsEngine) await this.#engine.close();
    } finally {
      this.#state = 'stopped';
      for (const undo of [...this.#signalListeners]) undo();
      this.#streams.end();
      this.#letProcessGo?.();
    }
    return { ...this.#runner.sinceDrain, left };
  }

  async #leave(): Promise<void> {
    const { consumer } = this.#runner;
    const { isAlive } = consumer;
    await consumer.leave();
    if (!isAlive || this.#settings.ownsEngine) return;
    try {
      await this.#broadcaster.left(this.name);
    } catch (error) {
      this.#events.report(error, 'broadcasts to this dispatcher could not be canceled');
    }
  }
}
