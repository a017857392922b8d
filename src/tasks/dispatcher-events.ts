/** What a dispatcher tells: events, and errors that no call can be told of. A listener or a logger that fails breaks nothing. */
import { EventEmitter } from 'node:events';
import { wrongRange } from '../manager/checks.ts';
import type { Logger } from '../manager/types.ts';
import { checkFunction } from './checks.ts';
import type { TickEvent } from './schedules/ticker.ts';

/** The events of a dispatcher, by name, with what their listeners get. */
export interface DispatcherEvents {
  /** An operation of the engine has failed, so many times in a row by now; it is tried again. */
  engineFailed: [failure: { readonly error: unknown; readonly failures: number }];
  /** It begins to take calls: the engine was reached, or was reached anew after it had been lost. */
  ready: [];
  /** There was something to run, and now there is no more: all that waits, if any, waits for its time or a limit. */
  empty: [];
  /** Nothing runs here any more, and there is nothing to run: all that waits, if any, waits for its time or a limit. */
  idle: [];
  /** What has become of a tick of a schedule, told by the dispatcher that has seen to it. */
  tick: [tick: TickEvent];
  /** What no call can be told of: a hook or a listener that threw, an update that couldn't be stored. */
  error: [error: unknown];
}

type EventName = keyof DispatcherEvents;
type Listener<E extends EventName> = (...args: DispatcherEvents[E]) => void;

/** What is logged: what is of this weight, or weightier. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** From the least on. */
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

const NAMES: Readonly<Record<EventName, true>> = {
  engineFailed: true,
  ready: true,
  empty: true,
  idle: true,
  tick: true,
  error: true,
};
export const EVENT_NAMES: readonly string[] = Object.keys(NAMES);

/** Hears of all events, each with what its listeners get. */
export interface EventTap {
  onNews(event: EventName, detail: unknown): void;
}

export class Events {
  readonly #emitter = new EventEmitter({ captureRejections: true });
  readonly #logger: Logger | undefined;
  readonly #taps = new Set<EventTap>();
  /** What is logged from now on. */
  level: LogLevel = 'warn';

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
    // What an async listener rejects with is reported like what a listener throws.
    Object.defineProperty(this.#emitter, Symbol.for('nodejs.rejection'), {
      value: (error: unknown, event: EventName) => this.#failed(event, error, 'rejected'),
    });
  }

  on<E extends EventName>(event: E, listener: Listener<E>): void {
    if (!Object.hasOwn(NAMES, event)) throw wrongRange('event', `one of ${EVENT_NAMES.join(', ')}`, event);
    checkFunction('listener', listener);
    this.#emitter.on(event, listener as (...args: unknown[]) => void);
  }

  off<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#emitter.off(event, listener as (...args: unknown[]) => void);
  }

  /** Has all events told, until the function it returns is called. */
  tap(tap: EventTap): () => void {
    this.#taps.add(tap);
    return () => void this.#taps.delete(tap);
  }

  listens(event: EventName): boolean {
    return this.#taps.size > 0 || this.#emitter.listenerCount(event) > 0;
  }

  emit<E extends EventName>(event: E, ...args: DispatcherEvents[E]): void {
    if (!this.listens(event)) return;
    for (const tap of this.#taps) tap.onNews(event, args[0]);
    if (this.#emitter.listenerCount(event) === 0) return;
    try {
      this.#emitter.emit(event, ...args);
    } catch (error) {
      this.#failed(event, error, 'threw');
    }
  }

  /** An operation of the engine has failed. */
  engineFailed(error: unknown, failures: number): void {
    this.log('warn', 'the engine has failed', error);
    this.emit('engineFailed', { error, failures });
  }

  /** Tells the logger and the `error` event. */
  report(error: unknown, what: string): void {
    this.log('error', what, error);
    this.emit('error', error);
  }

  /** Whether the logger is to be told what is of this weight. */
  logs(level: Exclude<LogLevel, 'silent'>): boolean {
    return this.#logger !== undefined && LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.level);
  }

  /** Tells the logger alone. */
  log(level: Exclude<LogLevel, 'silent'>, what: string, ...details: unknown[]): void {
    if (!this.logs(level)) return;
    try {
      this.#logger?.[level](what, ...details);
    } catch {
      // A logger that throws has no one to tell.
    }
  }

  /** What fails on the error event itself is only logged: it would fail again. */
  #failed(event: EventName, error: unknown, how: string): void {
    const what = `a listener of the ${event} event ${how}`;
    if (event === 'error') this.log('error', what, error);
    else this.report(error, what);
  }
}
