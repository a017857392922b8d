/** Runs what the engine delivers: the consumer, the queues and the managers, wired, and what becomes of each run. */
import { setMaxListeners } from 'node:events';
import type { Delivery, Engine, Failure, FetchRequest } from '../engines/index.ts';
import type { ShutdownError } from '../manager/errors.ts';
import type { Ending } from './conclusion.ts';
import { Consumer } from './consumer.ts';
import type { Events } from './dispatcher-events.ts';
import type { DispatcherSettings } from './dispatcher-options.ts';
import { errorToJson } from './error-json.ts';
import { FLOWS } from './flows/ids.ts';
import type { Refusal } from './life.ts';
import { Limits } from './limits.ts';
import { ownQueue, type QueueMap } from './queues.ts';
import type { TaskRegistry } from './registry.ts';
import { Run, type RunHost } from './run.ts';
import { Shutdown } from './shutdown.ts';
import type { Signals } from './signals/signals.ts';
import { Staff } from './staff.ts';
import type { CallSubmitter } from './submitter.ts';

export interface RunnerOptions {
  readonly settings: DispatcherSettings;
  readonly engine: Engine;
  /** The same, for what can be tried again when it isn't answered in time. */
  readonly timely: Engine;
  readonly events: Events;
  readonly signals: Signals;
  readonly submitter: CallSubmitter;
  /** Submits a call for a run. */
  readonly submit: RunHost['submit'];
  /** Hears what dispatchers say to each other. */
  readonly hear: (message: string) => void;
}

export class Runner {
  readonly consumer: Consumer;
  readonly limits: Limits;
  readonly staff: Staff;
  /** What runs have come to since it takes no more. */
  readonly sinceDrain = { completed: 0, failed: 0, canceled: 0, requeued: 0 };
  readonly #events: Events;
  readonly #signals: Signals;
  readonly #registry: TaskRegistry;
  readonly #host: RunHost;
  readonly #stopping = new AbortController();
  #isDraining = false;
  /** Whether anything was fetched since there was nothing. */
  #hasFound = false;
  /** Whether anything has run here since it was idle. */
  #hasRun = false;

  constructor({ settings, engine, timely, events, signals, submitter, submit, hear }: RunnerOptions) {
    const { registry, queues, order, name, leaseMs, concurrency, managers, maxPayloadBytes, hooks } = settings;
    this.#events = events;
    this.#signals = signals;
    this.#registry = registry;
    // Every run may listen: it is no leak that Node has to warn of.
    setMaxListeners(0, this.#stopping.signal);
    const report = (error: unknown, what: string) => events.report(error, what);
    const failed = (error: unknown, failures: number) => events.engineFailed(error, failures);
    const changed = (): void => {
      events.log('info', 'control has changed the queues');
      this.consumer.wake();
    };
    this.limits = new Limits({ name, engine: timely, registry, order, queues, changed });
    this.staff = new Staff({
      clock: engine.clock,
      concurrency,
      managers,
      hasFlows: () => registry.hasFlows,
      onRoom: () => this.consumer.wake(),
      onError: (error) => report(error, 'something failed beside a run'),
    });
    this.#host = {
      stopping: this.#stopping.signal,
      maxPayloadBytes,
      hooks,
      clock: engine.clock,
      signals,
      engine,
      report,
      failed,
      holds: ({ lease }) => this.consumer.holds(lease),
      definitionOf: (task) => submitter.definitionOf(task),
      prepare: async (task, input, its, parent) => submitter.prepare(task, input, its, parent),
      end: ({ lease }, what) => this.consumer.end(lease, what),
      tell: ({ lease }, what) => this.consumer.tell(lease, what),
      update: ({ lease }, update) => timely.update(lease, update),
      submit,
      begun: (run) => this.#begun(run),
      freed: (run) => this.#freed(run),
      ended: (run, ending) => this.#ended(run, ending),
    };
    this.consumer = new Consumer(
      name,
      engine,
      {
        prepare: (isKnown) => this.limits.tell(isKnown),
        room: () => this.staff.room(),
        plan: (max) => [{ name: ownQueue(name), max }, ...this.limits.queues.plan(max)],
        polled: () => this.limits.lookAgain(),
        message: hear,
        fetched: (request, deliveries) => this.#fetched(request, deliveries),
        idle: () => this.#idle(),
        accept: (delivery) => this.#accept(delivery),
        launch: (run) => this.#launch(run),
        failed,
        report,
        ready: () => events.emit('ready'),
      },
      leaseMs,
    );
  }

  /** Begins to take calls; resolves when the engine has been reached. */
  start(): Promise<void> {
    this.staff.start();
    return this.consumer.start();
  }

  /** Another set of queues from now on. */
  async setQueues(queues: QueueMap): Promise<void> {
    await this.limits.set(queues);
    this.consumer.wake();
  }

  /** Takes no more calls. */
  drain(): void {
    this.#isDraining = true;
    this.consumer.drain();
  }

  /** Tells all that runs that it is to end. */
  shutDown(reason: ShutdownError): Shutdown {
    this.#stopping.abort(reason);
    return new Shutdown(this.consumer, reason, this.#host.clock);
  }

  #fetched(request: FetchRequest, deliveries: readonly Delivery[]): void {
    this.limits.queues.fetched(request, deliveries);
    for (const { record } of deliveries) this.#signals.metrics.selected(record.task, record.queue);
    if (deliveries.length > 0) this.#hasFound = true;
    // What there was no room for may be waiting.
    else if (this.#hasFound && request.queues.length > this.limits.queues.open && hasRoom(request)) {
      this.#hasFound = false;
      this.#events.emit('empty');
    }
  }

  #accept(delivery: Delivery): Run | Refusal {
    const { task, version } = delivery.record;
    try {
      const run = new Run(this.#host, delivery, this.#registry.resolve(task, version));
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
    if (run.record.manager !== FLOWS) this.limits.queues.began(run.record.queue);
    this.staff.launch(run);
  }

  #begun(run: Run): void {
    if (this.#events.logs('debug')) this.#events.log('debug', `call ${run.record.id} of ${run.record.task} begins`);
    if (this.staff.begun(run)) this.consumer.wake();
  }

  #freed(run: Run): void {
    this.staff.freed(run);
    if (run.record.manager !== FLOWS) this.limits.queues.ended(run.record.queue);
    this.consumer.wake();
  }

  #ended({ lease, record }: Run, ending: Ending): void {
    if (this.#events.logs('debug')) this.#events.log('debug', `call ${record.id} of ${record.task} is ${ending}`);
    this.consumer.forget(lease);
    if (this.#isDraining && ending !== 'lost') {
      this.sinceDrain[ending === 'retried' ? 'failed' : ending]++;
    }
    if (this.consumer.size > 0 || !this.#events.listens('idle')) return;
    if (this.#isDraining) this.#idle();
    // Only another look can tell whether there is more.
    else this.consumer.wake();
  }

  #idle(): void {
    if (!this.#hasRun || !this.staff.isIdle) return;
    this.#hasRun = false;
    this.#events.emit('idle');
  }
}

/** On each of its managers. */
function hasRoom({ room }: FetchRequest): boolean {
  return Object.values(room).every((count) => count > 0);
}
