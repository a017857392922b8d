/** The dispatcher: registered tasks, an engine where their calls wait, and managers that run them. It only wires them. */
import { EventEmitter } from 'node:events';
import { CallEndedError, UnknownCallError } from '../engines/errors.ts';
import type { CallFilter, CallRecord, Delivery, Engine, Failure } from '../engines/index.ts';
import { isEnded } from '../engines/moves.ts';
import { holdProcess } from '../go/clock.ts';
import { DeadlineExceededError } from '../go/errors.ts';
import { canceledBecause, ShutdownError } from '../manager/errors.ts';
import { TaskManager } from '../manager/manager.ts';
import { sleep } from '../manager/resources.ts';
import type { Call } from './call.ts';
import { Consumer } from './consumer.ts';
import { definitionOf } from './define-task.ts';
import {
  checkDispatcherOptions,
  checkPoll,
  checkStop,
  type DispatcherOptions,
  type DispatcherSettings,
  type DispatcherStopOptions,
  type PollOptions,
} from './dispatcher-options.ts';
import { errorToJson } from './error-json.ts';
import { checkQueues, type QueueMap, Queues, queueLane } from './queues.ts';
import { Calls, DeadLetters } from './records.ts';
import type { AnyTask, TaskRegistry } from './registry.ts';
import { type Ending, type Parent, Run, type RunHost } from './run.ts';
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

/** The events of a dispatcher, by name, with what their listeners get. */
export interface DispatcherEvents {
  /** An operation of the engine has failed, so many times in a row by now; it is tried again. */
  engineFailed: [failure: { readonly error: unknown; readonly failures: number }];
  /** Nothing runs here any more. */
  idle: [];
  /** What no call can be told of: a hook or a listener that threw, an update that couldn't be stored. */
  error: [error: unknown];
}

/** What became of one call that was to be canceled: it had ended, or was forgotten; it is canceled; its run is told to end. */
export type Canceled = 'canceled' | 'requested' | 'ended';

const KILL_MS = 1_000;
/** So many calls at a time are asked for. */
const PAGE = 1_000;
const NOTHING_YET = { completed: 0, failed: 0, canceled: 0, requeued: 0 };

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
  /** What can be submitted here. */
  readonly tasks: TaskRegistry;
  readonly #settings: DispatcherSettings;
  readonly #engine: Engine;
  readonly #submitter: CallSubmitter;
  readonly #consumer: Consumer;
  readonly #queues: Queues;
  readonly #events = new EventEmitter<DispatcherEvents>({ captureRejections: true });
  readonly #stopping = new AbortController();
  readonly #host: RunHost;
  /** Runs whose function is alive, or soon will be, by manager; and the managers where one waits for a worker. */
  readonly #alive = new Map<string, number>();
  readonly #waiting = new Set<string>();
  #isLaunching = false;
  #manager: TaskManager<unknown> | undefined;
  #state: DispatcherState = 'new';
  #started: Promise<void> | undefined;
  #stopped: Promise<DispatcherStopSummary> | undefined;
  #letProcessGo: (() => void) | undefined;
  #sinceStop = { ...NOTHING_YET };

  /** @throws TypeError or RangeError when an option is wrong, or a task is registered twice */
  constructor(options: DispatcherOptions) {
    const settings = checkDispatcherOptions(options);
    const { engine, registry, queues, order, name, leaseMs, maxPayloadBytes, hooks } = settings;
    this.#settings = settings;
    this.#engine = engine;
    this.tasks = registry;
    this.calls = new Calls(engine);
    this.deadLetters = new DeadLetters(engine);
    this.#submitter = new CallSubmitter(settings);
    this.#queues = new Queues(order);
    this.#queues.set(queues ?? queuesOf(registry));
    this.#host = {
      stopping: this.#stopping.signal,
      maxPayloadBytes,
      hooks,
      tell: (run, what) => this.#consumer.tell(run, what),
      update: (run, update) => engine.update(run.lease, update),
      submit: (task, input, options, parent) => this.#submit(task, input, options, parent),
      setTimeout: (fn, ms) => engine.clock.setTimeout(fn, ms),
      clearTimeout: (timer) => engine.clock.clearTimeout(timer),
      now: () => engine.clock.now(),
      report: (error, what) => this.#report(error, what),
      begun: (run) => this.#begun(run),
      freed: (run) => this.#freed(run),
      ended: (_, ending) => this.#ended(ending),
    };
    this.#consumer = new Consumer(
      name,
      engine,
      {
        prepare: () => this.#setLimits(),
        room: () => this.#room(),
        requests: (max) => [this.#queues.share(max), this.#queues.request(max)].filter((round) => round !== undefined),
        accept: (delivery) => this.#accept(delivery),
        launch: (run) => this.#launch(run),
        onMessage: () => {},
        onEngineFailed: (error, failures) => this.#engineFailed(error, failures),
        report: (error, what) => this.#report(error, what),
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
   * Rejects with a ShutdownError after a stop.
   */
  start(): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'stopped') return Promise.reject(this.#shutdownError());
    if (this.#started === undefined) {
      this.#state = 'running';
      this.#letProcessGo = holdProcess();
      const { concurrency, managers } = this.#settings;
      if (!managers.has('default')) {
        const { clock } = this.#engine;
        this.#manager = new TaskManager<unknown>({
          workerCount: concurrency,
          maxWorkerCount: concurrency,
          burstIntervalMs: 0,
          collector: false,
          clock,
        });
      }
      this.#started = this.#consumer.start();
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
  submit<I, O>(task: Task<I, O>, input: I, options?: SubmitOptions): Promise<Call<O>>;
  submit<O = unknown>(task: string, input: unknown, options?: SubmitOptions): Promise<Call<O>>;
  submit(task: AnyTask | string, input: unknown, options?: SubmitOptions): Promise<Call<unknown>> {
    return this.#submit(task, input, options, undefined);
  }

  /** The same for many inputs in one step: all are stored, or none. */
  async submitMany<I, O>(task: Task<I, O>, inputs: Iterable<I>, options?: SubmitOptions): Promise<Call<O>[]> {
    this.#refuseAfterStop(undefined);
    return (await this.#submitter.submitMany(task, inputs, options, undefined)) as Call<O>[];
  }

  /** Submits, and waits for the result. */
  async call<I, O>(task: Task<I, O>, input: I, options?: SubmitOptions): Promise<O> {
    return (await this.submit(task, input, options)).result;
  }

  /**
   * Calls a task again and again until what it gives is what one waits for, and resolves to that. Rejects with a
   * DeadlineExceededError when it isn't in time.
   */
  async poll<I, O>(
    task: Task<I, O>,
    input: I,
    until: (output: O) => boolean | PromiseLike<boolean>,
    options: PollOptions = {},
  ): Promise<O> {
    const { everyMs, untilMs } = checkPoll(options);
    const { everyMs: _, untilMs: __, signal = new AbortController().signal, ...submission } = options;
    const { clock } = this.#engine;
    const end = clock.now() + untilMs;
    for (;;) {
      const output = await this.call(task, input, submission);
      if (await until(output)) return output;
      if (clock.now() + everyMs > end) {
        throw new DeadlineExceededError(`${task.name} has not given what was waited for within ${untilMs} ms`);
      }
      await sleep(signal, everyMs, clock);
    }
  }

  /**
   * Cancels a call by its id, which rejects with a CallEndedError or an UnknownCallError when it is too late; or all that
   * match and have not ended, or all of a list of ids. Says for each what has become of it.
   */
  async cancel(which: string | CallFilter, reason?: unknown): Promise<ReadonlyMap<string, Canceled>> {
    const error = errorToJson(canceledBecause(reason));
    const outcomes = new Map<string, Canceled>();
    if (typeof which === 'string') outcomes.set(which, await this.#engine.cancel(which, error));
    else for (const id of await this.#idsOf(which)) outcomes.set(id, await this.#cancelOne(id, error));
    return outcomes;
  }

  /** Another set of queues from now on: their order, weights and limits. What runs goes on. */
  async setQueues(queues: QueueMap): Promise<void> {
    checkQueues(queues);
    const gone = this.#queues.names;
    this.#queues.set(queues);
    for (const name of new Set([...gone, ...this.#queues.names])) {
      await this.#engine.limit(queueLane(name), this.#queues.limitOf(name));
    }
    this.#consumer.wake();
  }

  /**
   * Takes no more calls, and ends what runs by the `onShutdown` of its task: after `graceMs` it is canceled or handed
   * back, or waited for. After `timeoutMs` all of it is. A second call returns the same promise.
   */
  stop(options: DispatcherStopOptions = {}): Promise<DispatcherStopSummary> {
    try {
      const times = checkStop(options);
      this.#stopped ??= this.#stop(times);
      return this.#stopped;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** `stop()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Listens. A listener that throws goes to `error`. */
  on<E extends keyof DispatcherEvents>(event: E, listener: (...args: DispatcherEvents[E]) => void): this {
    this.#events.on(event, listener as never);
    return this;
  }

  /** Listens no more. */
  off<E extends keyof DispatcherEvents>(event: E, listener: (...args: DispatcherEvents[E]) => void): this {
    this.#events.off(event, listener as never);
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

  async #setLimits(): Promise<void> {
    for (const task of this.tasks.list()) {
      for (const [lane, limit] of definitionOf(task).limits) await this.#engine.limit(lane, limit);
    }
    for (const name of this.#queues.names) {
      const limit = this.#queues.limitOf(name);
      if (limit !== undefined) await this.#engine.limit(queueLane(name), limit);
    }
  }

  #room(): Record<string, number> {
    const room: Record<string, number> = {};
    if (this.#manager !== undefined) room['default'] = this.#settings.concurrency - (this.#alive.get('default') ?? 0);
    for (const [name, manager] of this.#settings.managers) {
      // Where others work too, one call may stand in their line, or it would never have its turn.
      room[name] = this.#waiting.has(name) ? 0 : Math.max(1, manager.stats().idleWorkers);
    }
    return room;
  }

  #accept(delivery: Delivery): Run | Failure {
    const { record } = delivery;
    try {
      const run = new Run(this.#host, delivery, this.tasks.resolve(record.task, record.version));
      return run.obstacle() ?? run;
    } catch (error) {
      // Whoever has the task can resubmit it.
      return { error: errorToJson(error), then: 'deadLettered' };
    }
  }

  #launch(run: Run): void {
    const { manager, queue } = run.record;
    this.#alive.set(manager, (this.#alive.get(manager) ?? 0) + 1);
    this.#queues.began(queue);
    this.#waiting.add(manager);
    this.#isLaunching = true;
    run.start(this.#settings.managers.get(manager) ?? this.#manager!);
    this.#isLaunching = false;
  }

  #begun({ record: { manager } }: Run): void {
    // What began at once, waited for nobody's worker.
    if (this.#waiting.delete(manager) && !this.#isLaunching) this.#consumer.wake();
  }

  #freed({ record: { manager, queue } }: Run): void {
    this.#waiting.delete(manager);
    const alive = this.#alive.get(manager)! - 1;
    if (alive === 0) this.#alive.delete(manager);
    else this.#alive.set(manager, alive);
    this.#queues.ended(queue);
    this.#consumer.wake();
  }

  #ended(ending: Ending): void {
    if (this.#state === 'stopping') {
      const as = ending === 'retried' ? 'failed' : ending;
      if (as !== 'lost') this.#sinceStop[as]++;
    }
    this.#consumer.wake();
    if (this.#consumer.size === 0 && this.#events.listenerCount('idle') > 0) this.#emit('idle');
  }

  #engineFailed(error: unknown, failures: number): void {
    this.#settings.logger?.warn('the engine has failed', error);
    this.#emit('engineFailed', { error, failures });
  }

  // ---- the rest -------------------------------------------------------------------------------------------------------

  /** The calls that match and have not ended; of those that are named by their ids alone, all. */
  async #idsOf(filter: CallFilter): Promise<Iterable<string>> {
    const { id, ...rest } = filter;
    if (id !== undefined && Object.values(rest).every((wanted) => wanted === undefined)) {
      return typeof id === 'string' ? [id] : id;
    }
    const ids = new Set<string>();
    const seen: string[] = [];
    for (;;) {
      const page = await this.#pageAfter(filter, seen);
      for (const { id, state } of page) {
        seen.push(id);
        if (!isEnded(state)) ids.add(id);
      }
      if (page.length < PAGE) return ids;
    }
  }

  /** The next page after the last call seen that isn't forgotten meanwhile. */
  async #pageAfter(filter: CallFilter, seen: string[]): Promise<CallRecord[]> {
    for (;;) {
      const after = seen.at(-1);
      try {
        return await this.#engine.scan(filter, { limit: PAGE, ...(after !== undefined && { after }) });
      } catch (error) {
        if (after === undefined || !(error instanceof UnknownCallError)) throw error;
        seen.pop();
      }
    }
  }

  async #cancelOne(id: string, error: string): Promise<Canceled> {
    try {
      return await this.#engine.cancel(id, error);
    } catch (refusal) {
      if (refusal instanceof CallEndedError || refusal instanceof UnknownCallError) return 'ended';
      throw refusal;
    }
  }

  async #stop({ graceMs, timeoutMs }: { graceMs: number; timeoutMs: number }): Promise<DispatcherStopSummary> {
    const { clock } = this.#engine;
    this.#state = 'stopping';
    this.#consumer.drain();
    const reason = new ShutdownError('the dispatcher is stopping');
    this.#stopping.abort(reason);
    const quiet = this.#consumer.quiet();
    const timers = [
      clock.setTimeout(() => this.#endRuns(reason, false), graceMs),
      clock.setTimeout(() => this.#endRuns(reason, true), timeoutMs),
    ];
    if (graceMs <= 0) this.#endRuns(reason, false);
    const patience = new AbortController();
    await Promise.race([quiet, sleep(patience.signal, timeoutMs + KILL_MS, clock).catch(() => {})]);
    patience.abort();
    for (const timer of timers) clock.clearTimeout(timer);
    const left = this.#consumer.size;
    await this.#consumer.end();
    await (left > 0 ? this.#manager?.kill(reason) : this.#manager?.stop());
    if (this.#settings.ownsEngine) await this.#engine.close();
    this.#state = 'stopped';
    this.#letProcessGo?.();
    return { ...this.#sinceStop, left };
  }

  /** Ends what runs as its task says, or all of it. */
  #endRuns(reason: ShutdownError, all: boolean): void {
    for (const run of [...this.#consumer.runs]) {
      const { onShutdown } = run.definition;
      if (onShutdown === 'stop') run.end('canceled', reason);
      else if (onShutdown === 'requeue' || all) run.end('requeued', reason);
    }
  }

  #report(error: unknown, what: string): void {
    this.#settings.logger?.error(what, error);
    if (this.#events.listenerCount('error') > 0) this.#emit('error', error);
  }

  #emit<E extends keyof DispatcherEvents>(event: E, ...args: DispatcherEvents[E]): void {
    try {
      this.#events.emit(event, ...(args as never));
    } catch (error) {
      if (event === 'error') this.#settings.logger?.error('a listener of the error event threw', error);
      else this.#report(error, `a listener of the ${event} event threw`);
    }
  }
}

/** All queues that tasks name. */
function queuesOf(registry: TaskRegistry): QueueMap {
  const names = registry.list().flatMap((task) => definitionOf(task).queues);
  return Object.fromEntries([...new Set(names)].sort().map((name) => [name, {}]));
}
