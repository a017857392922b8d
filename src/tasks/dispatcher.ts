/** The dispatcher: registered tasks, an engine where their calls wait, and managers that run them. It only wires them. */
import { setMaxListeners } from 'node:events';
import type { CallFilter, Delivery, Engine, Failure, FetchRequest } from '../engines/index.ts';
import { holdProcess } from '../go/clock.ts';
import { canceledBecause, ShutdownError } from '../manager/errors.ts';
import type { DispatcherMetrics } from '../metrics/dispatcher-metrics.ts';
import type { Call } from './call.ts';
import { type Canceled, cancelAll } from './cancel.ts';
import type { Ending } from './conclusion.ts';
import { Consumer } from './consumer.ts';
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
import { FLOWS } from './flows/ids.ts';
import type { Refusal } from './life.ts';
import { Limits } from './limits.ts';
import { type PollOptions, poll } from './poll.ts';
import { checkQueues, ownQueue, type QueueMap } from './queues.ts';
import { Calls, DeadLetters } from './records.ts';
import type { AnyTask, TaskRegistry } from './registry.ts';
import { type Parent, Run, type RunHost } from './run.ts';
import type { Schedule } from './schedules/schedule.ts';
import type { EveryOptions, OnStartOptions, ScheduledInput, ScheduleOptions } from './schedules/schedule-options.ts';
import { Schedules } from './schedules/schedules.ts';
import { endRuns, KILL_MS, type StopTimes, within } from './shutdown.ts';
import type { DispatcherEventType, EventOptions, EventStream } from './signals/event-stream.ts';
import { EventStreams } from './signals/event-streams.ts';
import { type Instrument, instrumentBy } from './signals/instrument.ts';
import { observedEngine } from './signals/observed-engine.ts';
import { Signals } from './signals/signals.ts';
import { Staff } from './staff.ts';
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
  readonly #consumer: Consumer;
  readonly #limits: Limits;
  readonly #staff: Staff;
  readonly #station: Station;
  readonly #broadcaster: Broadcaster;
  readonly #events: Events;
  readonly #signals: Signals;
  readonly #streams: EventStreams;
  readonly #stopping = new AbortController();
  readonly #host: RunHost;
  #state: DispatcherState = 'new';
  #started: Promise<void> | undefined;
  #stopped: Promise<DispatcherStopSummary> | undefined;
  #letProcessGo: (() => void) | undefined;
  readonly #sinceStop = { completed: 0, failed: 0, canceled: 0, requeued: 0 };
  /** Whether anything was fetched since there was nothing. */
  #hasFound = false;
  /** Whether anything has run here since it was idle. */
  #hasRun = false;

  /** @throws TypeError or RangeError when an option is wrong, or a task is registered twice */
  constructor(options: DispatcherOptions) {
    const settings = checkDispatcherOptions(options);
    const { registry, queues, order, name, leaseMs, concurrency, managers, maxPayloadBytes, hooks } = settings;
    // Every run may listen: it is no leak that Node has to warn of.
    setMaxListeners(0, this.#stopping.signal);
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
    const changed = (): void => {
      this.#events.log('info', 'control has changed the queues');
      this.#consumer.wake();
    };
    this.#limits = new Limits({ name, engine: timely, registry, order, queues, changed });
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
      failed: (error, failures) => this.#engineFailed(error, failures),
    });
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
      signals: this.#signals,
      engine,
      report,
      failed: (error, failures) => this.#engineFailed(error, failures),
      holds: ({ lease }) => this.#consumer.holds(lease),
      definitionOf: (task) => this.#submitter.definitionOf(task),
      prepare: async (task, input, options, parent) => this.#submitter.prepare(task, input, options, parent),
      end: ({ lease }, what) => this.#consumer.end(lease, what),
      tell: ({ lease }, what) => this.#consumer.tell(lease, what),
      update: ({ lease }, update) => timely.update(lease, update),
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
        plan: (max) => [{ name: ownQueue(name), max }, ...this.#limits.queues.plan(max)],
        polled: () => this.#limits.lookAgain(),
        message: (text) => this.#station.messenger.hear(text),
        fetched: (request, deliveries) => this.#fetched(request, deliveries),
        idle: () => this.#idle(),
        accept: (delivery) => this.#accept(delivery),
        launch: (run) => this.#launch(run),
        failed: (error, failures) => this.#engineFailed(error, failures),
        report,
        ready: () => this.#events.emit('ready'),
      },
      leaseMs,
    );
    this.#station = new Station({
      engine,
      name,
      state: () => this.#state,
      consumer: () => this.#consumer,
      limits: this.#limits,
      staff: this.#staff,
      events: this.#events,
    });
    this.control = new Control({
      engine,
      messenger: this.#station.messenger,
      names: () => this.#limits.names(),
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
      this.#staff.start();
      this.schedules.start();
      this.#station.started();
      this.#events.log('info', `dispatcher ${this.name} starts`);
      this.#started = this.#start();
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
  schedule<O = unknown>(cron: string, task: string, input: unknown, options?: ScheduleOptions): Promise<Schedule<O>>;
  schedule(cron: string, task: AnyTask | string, input: unknown, options?: ScheduleOptions): Promise<Schedule> {
    return this.schedules.byCron(cron, task, input, options);
  }

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
  every<O = unknown>(ms: number, task: string, input: unknown, options?: EveryOptions): Promise<Schedule<O>>;
  every(ms: number, task: AnyTask | string, input: unknown, options?: EveryOptions): Promise<Schedule> {
    return this.schedules.byPeriod(ms, task, input, options);
  }

  /** The same once, when this dispatcher starts; at once if it has started. Other dispatchers have their own starts. */
  onStart<I, O>(task: Task<I, O>, input: ScheduledInput<NoInfer<I>>, options?: OnStartOptions): Promise<Schedule<O>>;
  onStart<O = unknown>(task: string, input: unknown, options?: OnStartOptions): Promise<Schedule<O>>;
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
    await this.#limits.set(queues);
    this.#events.log('info', `dispatcher ${this.name} takes from ${Object.keys(queues).join(', ') || 'no queue'}`);
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
        const scheduled = this.schedules.stop();
        queueMicrotask(() => this.#stop(times, scheduled).then(resolve, reject));
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

  // ---- the beginning --------------------------------------------------------------------------------------------------

  async #start(): Promise<void> {
    await this.#consumer.start();
    // Nobody need wait for it.
    void this.#broadcaster.sweep();
  }

  // ---- running --------------------------------------------------------------------------------------------------------

  #fetched(request: FetchRequest, deliveries: readonly Delivery[]): void {
    this.#limits.queues.fetched(request, deliveries);
    for (const { record } of deliveries) this.#signals.metrics.selected(record.task, record.queue);
    if (deliveries.length > 0) this.#hasFound = true;
    // What there was no room for may be waiting.
    else if (this.#hasFound && request.queues.length > this.#limits.queues.open && hasRoom(request)) {
      this.#hasFound = false;
      this.#events.emit('empty');
    }
  }

  #accept(delivery: Delivery): Run | Refusal {
    const { task, version } = delivery.record;
    try {
      const run = new Run(this.#host, delivery, this.tasks.resolve(task, version));
      const failure = run.obstacle();
      if (failure === undefined) return run;
      return { failure, told: () => this.#signals.refused(delivery.record, failure) };
    } catch (error) {
      // Whoever has the task can resubmit it.
      const failure: Failure = { error: errorToJson(error), then: 'deadLettered' };
      return { failure, told: () => this.#signals.refused(delivery.record, failure, error) };
    }
  }

  #launch(run: Run): void {
    this.#hasRun = true;
    if (run.record.manager !== FLOWS) this.#limits.queues.began(run.record.queue);
    this.#staff.launch(run);
  }

  #begun(run: Run): void {
    if (this.#events.logs('debug')) this.#events.log('debug', `call ${run.record.id} of ${run.record.task} begins`);
    if (this.#staff.begun(run)) this.#consumer.wake();
  }

  #freed(run: Run): void {
    this.#staff.freed(run);
    if (run.record.manager !== FLOWS) this.#limits.queues.ended(run.record.queue);
    this.#consumer.wake();
  }

  #ended({ lease, record }: Run, ending: Ending): void {
    if (this.#events.logs('debug')) this.#events.log('debug', `call ${record.id} of ${record.task} is ${ending}`);
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

  async #stop(times: StopTimes, scheduled: Promise<void>): Promise<DispatcherStopSummary> {
    const { clock } = this.#engine;
    const reason = new ShutdownError('the dispatcher is stopping');
    this.#events.log('info', `dispatcher ${this.name} stops`);
    this.#broadcaster.close();
    this.#stopping.abort(reason);
    await endRuns(this.#consumer, reason, times, clock);
    await within(KILL_MS, scheduled, clock);
    const left = this.#consumer.size;
    try {
      await within(KILL_MS, this.#leave(), clock);
      await this.#staff.end(reason);
      if (this.#settings.ownsEngine) await this.#engine.close();
    } finally {
      this.#state = 'stopped';
      this.#streams.end();
      this.#letProcessGo?.();
    }
    return { ...this.#sinceStop, left };
  }

  async #leave(): Promise<void> {
    const { isAlive } = this.#consumer;
    await this.#consumer.leave();
    if (!isAlive || this.#settings.ownsEngine) return;
    try {
      await this.#broadcaster.left(this.name);
    } catch (error) {
      this.#events.report(error, 'broadcasts to this dispatcher could not be canceled');
    }
  }
}

/** On each of its managers. */
function hasRoom({ room }: FetchRequest): boolean {
  return Object.values(room).every((count) => count > 0);
}
