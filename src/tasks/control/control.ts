/** What runs on an engine, seen and steered from any of its dispatchers. */
import { abortable } from 'abort-controller-x';
import { UnknownCallError } from '../../engines/errors.ts';
import type { CallFilter, CallState, Page } from '../../engines/index.ts';
import { DeadlineExceededError } from '../../go/errors.ts';
import type { ManagerStats } from '../../manager/types.ts';
import { type CallInfo, describeCall } from '../call-info.ts';
import type { Canceled } from '../cancel.ts';
import { COUNT, checkNames, checkNumber, checkObject, checkOneOf } from '../checks.ts';
import type { DispatcherState } from '../dispatcher.ts';
import { LOG_LEVELS, type LogLevel } from '../dispatcher-events.ts';
import { checkFilter, checkPage, type DeadLetterFilter, OF_LETTERS } from '../filters.ts';
import type { Messenger } from './messenger.ts';
import type { WorkersAnswered } from './probe.ts';
import {
  ANSWER_MS,
  QueueControl,
  type QueueControlHost,
  type QueueInfo,
  type QueueScope,
  type Reached,
  reachedOf,
  reportsOf,
} from './queue-control.ts';
import { unpackAnswered } from './report.ts';

/** The workers of one dispatcher. */
export interface DispatcherWorkers {
  /** Its name. */
  readonly dispatcher: string;
  /** It hasn't answered in time: nothing else is known of it. */
  readonly isSilent: boolean;
  /** Of each manager that its calls run on, by the name that tasks use. */
  readonly managers: ReadonlyMap<string, ManagerStats>;
  /** The ids of the calls that it runs. */
  readonly calls: readonly string[];
}

/** One dispatcher, briefly. */
export interface DispatcherStatus {
  /** Unique on the engine. */
  readonly name: string;
  /** It hasn't answered in time: nothing else is known of it. */
  readonly isSilent: boolean;
  /** Where it stands. */
  readonly state: DispatcherState | undefined;
  /** Since it was started. */
  readonly uptimeMs: number | undefined;
  /** Of errand, there. */
  readonly version: string | undefined;
}

/** How all is, at one moment. */
export interface Status {
  /** Where calls wait. */
  readonly engine: {
    readonly name: string;
    /** Whether it has passed its own check, in time. */
    readonly isHealthy: boolean;
    /** What shows that it isn't. Then nothing below can be known. */
    readonly error: unknown;
  };
  /** Those that are alive. */
  readonly dispatchers: readonly DispatcherStatus[];
  /** How many calls there are in each state; undefined if the engine can't say. */
  readonly calls: Readonly<Record<CallState, number>> | undefined;
  /** How many wait for somebody's decision. */
  readonly deadLetters: number | undefined;
  /** All that are known, by name. */
  readonly queues: readonly Pick<QueueInfo, 'name' | 'counts' | 'isPaused' | 'isUnattended'>[];
}

/** What came of a ping. */
export interface Pong {
  /** It hasn't answered in time. */
  readonly isSilent: boolean;
  /** The way there, through its workers, and back; undefined if it is silent. */
  readonly ms: number | undefined;
  /** By manager: how many workers have answered, of how many. One that is busy all the time doesn't. */
  readonly workers: ReadonlyMap<string, WorkersAnswered>;
}

/** How to ping. */
export interface PingOptions {
  /** How long to wait for answers. Default 1,000. */
  readonly timeoutMs?: number | undefined;
}

export interface ControlHost extends QueueControlHost {
  readonly messenger: Messenger;
  cancel(which: string | CallFilter, reason: unknown): Promise<ReadonlyMap<string, Canceled>>;
}

const WAITING: readonly CallState[] = ['queued', 'held', 'scheduled'];

/**
 * The control of all that shares an engine: after dispatcherd's control commands, and what of Jobbers' admin API needs no
 * network. Questions go to all dispatchers by messages through the engine; those that don't answer within a second are
 * said to be silent. A dispatcher that was never started can ask, too, and isn't one of those asked.
 *
 * @example
 * const { queues, deadLetters } = await dispatcher.control.status();
 * await dispatcher.control.cancel({ task: 'image.resize' }, 'not needed any more');
 * await dispatcher.control.queues.pause('images');
 */
export class Control {
  /** The queues: who takes from them, pausing, limits. */
  readonly queues: QueueControl;
  readonly #host: ControlHost;

  /** @internal */
  constructor(host: ControlHost) {
    this.#host = host;
    this.queues = new QueueControl(host);
  }

  /** Calls that run, the newest first; 100 unless the page says how many. */
  running(filter: DeadLetterFilter = {}, page?: Page): Promise<CallInfo[]> {
    return this.#list(filter, ['started'], page);
  }

  /** Calls that wait: to be taken, for another one of their key, or for their time. Otherwise as {@link Control.running}. */
  queued(filter: DeadLetterFilter = {}, page?: Page): Promise<CallInfo[]> {
    return this.#list(filter, WAITING, page);
  }

  /**
   * Cancels a call by its id, or all that match and have not ended: says for each what has become of it.
   * @throws UnknownCallError when nothing matches; CallEndedError when the one of an id has ended
   */
  async cancel(which: string | CallFilter, reason?: unknown): Promise<ReadonlyMap<string, Canceled>> {
    const outcomes = await this.#host.cancel(which, reason);
    if (typeof which === 'string' || [...outcomes.values()].some((outcome) => outcome !== 'ended')) return outcomes;
    // Ids are answered for one by one, but there must be such calls.
    if (outcomes.size > 0 && (await this.#host.engine.scan(which, { limit: 1 })).length > 0) return outcomes;
    throw new UnknownCallError('no call matches that has not ended: nothing is canceled');
  }

  /** The workers of all dispatchers, and what they run. */
  async workers(): Promise<DispatcherWorkers[]> {
    return [...(await reportsOf(this.#host.messenger))].map(([dispatcher, report]) => ({
      dispatcher,
      isSilent: report === undefined,
      managers: report?.managers ?? new Map(),
      calls: report?.calls ?? [],
    }));
  }

  /** How all is. Never rejects because the engine or a dispatcher isn't well: that is what it is there to say. */
  async status(): Promise<Status> {
    const { engine, messenger } = this.#host;
    const { name } = engine;
    try {
      await this.#checkEngine();
      const queues = await this.queues.list();
      const reports = await reportsOf(messenger);
      const calls = await engine.count({});
      return {
        engine: { name, isHealthy: true, error: undefined },
        dispatchers: [...reports].map(([each, report]) => ({
          name: each,
          isSilent: report === undefined,
          state: report?.state,
          uptimeMs: report?.uptimeMs,
          version: report?.version,
        })),
        calls,
        deadLetters: calls.deadLettered,
        queues: queues.map((queue) => {
          const { name, counts, isPaused, isUnattended } = queue;
          return { name, counts, isPaused, isUnattended };
        }),
      };
    } catch (error) {
      const health = { name, isHealthy: false, error };
      return { engine: health, dispatchers: [], calls: undefined, deadLetters: undefined, queues: [] };
    }
  }

  /** What dispatchers tell their loggers from now on: of this weight, or weightier. To begin with it is 'warn'. @throws UnknownDispatcherError */
  async setLogLevel(level: LogLevel, options: QueueScope = {}): Promise<Reached> {
    checkOneOf('level', level, LOG_LEVELS);
    checkObject('options', options);
    checkNames('setLogLevel', options, ['dispatcher']);
    const inquiry = { to: options.dispatcher, timeoutMs: ANSWER_MS };
    return reachedOf(await this.#host.messenger.ask('setLogLevel', { level }, inquiry));
  }

  /** Sends a message through the engine to every dispatcher, there through every worker, and back. */
  async ping(options: PingOptions = {}): Promise<Map<string, Pong>> {
    checkObject('options', options);
    checkNames('ping', options, ['timeoutMs']);
    const timeoutMs = checkNumber('timeoutMs', options.timeoutMs ?? ANSWER_MS, COUNT);
    const answers = await this.#host.messenger.ask('ping', { timeoutMs }, { timeoutMs });
    return new Map(
      [...answers].map(([name, answer]) => {
        const workers = unpackAnswered(answer?.value);
        const isSilent = workers === undefined;
        return [name, { isSilent, ms: isSilent ? undefined : answer?.ms, workers: workers ?? new Map() }];
      }),
    );
  }

  async #list(filter: DeadLetterFilter, state: readonly CallState[], page?: Page): Promise<CallInfo[]> {
    checkFilter(filter, OF_LETTERS);
    return (await this.#host.engine.scan({ ...filter, state }, checkPage(page))).map(describeCall);
  }

  /** @throws what shows that it isn't well, or that it hasn't answered */
  async #checkEngine(): Promise<void> {
    const { engine } = this.#host;
    const limit = new AbortController();
    const timer = engine.clock.setTimeout(() => limit.abort(), ANSWER_MS, true);
    try {
      await abortable(limit.signal, engine.selfCheck());
    } catch (error) {
      if (!limit.signal.aborted) throw error;
      throw new DeadlineExceededError(`the engine has not passed its own check within ${ANSWER_MS} ms`);
    } finally {
      engine.clock.clearTimeout(timer);
    }
  }
}
