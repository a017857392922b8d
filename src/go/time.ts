/**
 * Go's package time: sleeping, timers and tickers whose ticks come over channels.
 *
 * A channel of time holds no timer of the event loop while nobody waits for it: what is due is seen by the clock. So
 * one that is forgotten costs nothing, and a slow reader loses ticks by itself. Go does likewise since 1.23.
 */
import { show } from './checks.ts';
import { type Clock, type ClockTimer, realClock } from './clock.ts';
import type { Context } from './context.ts';
import {
  type ENDED,
  type Failure,
  failureOf,
  isReady,
  NOTHING,
  Receivable,
  type ReceiveChannel,
  type Receiver,
  receiversOf,
  take,
} from './receivable.ts';
import { PromiseWaiter, type Waiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

/** What everything here can be told. */
export interface TimeOptions {
  /** Where time comes from. Default: the machine's clock. */
  readonly clock?: Clock | undefined;
}

/** What {@link sleep} can be told. */
export interface SleepOptions extends TimeOptions, WaitOptions {}

/**
 * Resolves `ms` from now, Go's `time.Sleep`; rejects with the cause of `ctx` when that is canceled first, and leaves no
 * timer then. 0 or less is the next turn of the event loop; `Infinity` waits for the cancellation alone. It keeps the
 * process up meanwhile. Its clock is that of the context, if it has one of its own.
 *
 * Rejects with a TypeError or RangeError when `ms` isn't a number.
 */
export async function sleep(ms: number, ctx?: Context | AbortSignal | SleepOptions): Promise<void> {
  checkMs('ms', ms);
  const scope = waitScope(ctx);
  const clock = (ctx as SleepOptions | undefined)?.clock ?? scope?.clock ?? realClock;
  const alarm = new Alarm<PromiseWaiter<void>>(clock, () => alarm.shift()?.resolve());
  alarm.dueAt = clock.now() + ms;
  const waiter = new PromiseWaiter<void>();
  alarm.push(waiter, scope);
  await waiter.promise;
}

/**
 * A channel that gives one value `ms` from now, the time in ms since the Unix epoch: Go's `time.After`. As a case of a
 * `select` it is a time limit; when another case wins, nothing of it is left.
 *
 * @throws TypeError or RangeError when `ms` isn't a number
 */
export function after(ms: number, options?: TimeOptions): ReceiveChannel<number> {
  return new Timer(ms, options).channel;
}

/**
 * One tick, `ms` from now, over a channel: Go's `time.Timer`. For what calls back instead, there is `setTimeout`.
 * `using` stops it.
 */
export class Timer implements Disposable {
  readonly #channel: TimeChannel;

  /** @throws TypeError or RangeError when `ms` isn't a number; 0 or less is due at once, `Infinity` never */
  constructor(ms: number, options?: TimeOptions) {
    checkMs('ms', ms);
    this.#channel = new TimeChannel(options);
    this.#channel.start(ms);
  }

  /** Gives one value when the time has come: when that was, in ms since the Unix epoch. It is never closed. */
  get channel(): ReceiveChannel<number> {
    return this.#channel;
  }

  /** Keeps it from ticking. True if it would have: nobody has received the tick yet. */
  stop(): boolean {
    return this.#channel.start(Number.POSITIVE_INFINITY);
  }

  /** Has it tick `ms` from now instead, once more if it has ticked. True if it would have ticked: as of `stop`. */
  reset(ms: number): boolean {
    checkMs('ms', ms);
    return this.#channel.start(ms);
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}

/**
 * A tick every `intervalMs`, over a channel: Go's `time.Ticker`. The channel holds one tick; those that come while it
 * is there are lost, so a slow reader isn't followed by a heap of them, and ticks stay at whole intervals from the
 * start. `using` stops it.
 *
 * ```ts
 * using ticker = new Ticker(1_000);
 * for await (const at of ticker.channel.values({ signal })) report(at);
 * ```
 */
export class Ticker implements Disposable {
  readonly #channel: TimeChannel;

  /** @throws TypeError or RangeError when `intervalMs` isn't above 0 and finite */
  constructor(intervalMs: number, options?: TimeOptions) {
    checkInterval(intervalMs);
    this.#channel = new TimeChannel(options);
    this.#channel.start(intervalMs, intervalMs);
  }

  /** Gives the time of each tick in ms since the Unix epoch. It is never closed, not by {@link Ticker.stop} either. */
  get channel(): ReceiveChannel<number> {
    return this.#channel;
  }

  /** No more ticks, as in Go without closing the channel: who waits for one waits on. */
  stop(): void {
    this.#channel.start(Number.POSITIVE_INFINITY);
  }

  /** Ticks every `intervalMs` from now on. @throws as the constructor does */
  reset(intervalMs: number): void {
    checkInterval(intervalMs);
    this.#channel.start(intervalMs, intervalMs);
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}

/** A timer of the event loop for those who wait, as long as anyone does. */
export class Alarm<W extends Waiter> extends WaitQueue<W> {
  readonly clock: Clock;
  readonly #onDue: () => void;
  #dueAt = Number.POSITIVE_INFINITY;
  #timer: ClockTimer | undefined = undefined;

  constructor(clock: Clock, onDue: () => void) {
    super();
    this.clock = clock;
    this.#onDue = onDue;
  }

  /** In the clock's time; `Infinity` is never. */
  get dueAt(): number {
    return this.#dueAt;
  }

  set dueAt(at: number) {
    this.#dueAt = at;
    this.#disarm();
    if (this.first !== undefined) this.#arm();
  }

  get isDue(): boolean {
    return this.clock.now() >= this.#dueAt;
  }

  protected override watch(): void {
    this.#arm();
  }

  protected override unwatch(): void {
    this.#disarm();
  }

  #arm(): void {
    if (this.#dueAt === Number.POSITIVE_INFINITY) return;
    const leftMs = Math.max(0, this.#dueAt - this.clock.now());
    this.#timer = this.clock.setTimeout(this.#onTimer, leftMs, true);
  }

  #disarm(): void {
    if (this.#timer === undefined) return;
    this.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    // Timers may fire a little early, and those of many days much too early.
    if (this.isDue) this.#onDue();
    else this.#arm();
  };
}

class TimeChannel extends Receivable<number> {
  readonly capacity = 1;
  /** @internal */
  readonly [receiversOf]: Alarm<Receiver<number>>;
  #intervalMs = Number.POSITIVE_INFINITY;

  constructor(options: TimeOptions | undefined) {
    super();
    this[receiversOf] = new Alarm(options?.clock ?? realClock, () => this.#tick());
  }

  /** The first tick comes in `ms`, and others after each interval. True if one was still to come before. */
  start(ms: number, intervalMs = Number.POSITIVE_INFINITY): boolean {
    const alarm = this[receiversOf];
    const wasStarted = alarm.dueAt !== Number.POSITIVE_INFINITY;
    this.#intervalMs = intervalMs;
    alarm.dueAt = alarm.clock.now() + Math.max(0, ms); // nothing is due before it was asked for
    return wasStarted;
  }

  get length(): number {
    return this[isReady] ? 1 : 0;
  }

  /** @internal */
  override get [isReady](): boolean {
    return this[receiversOf].isDue;
  }

  /** @internal */
  override [take](): number | typeof NOTHING | typeof ENDED {
    const alarm = this[receiversOf];
    if (!alarm.isDue) return NOTHING;
    const { dueAt, clock } = alarm;
    const missed = Math.floor((clock.now() - dueAt) / this.#intervalMs); // 0 for a timer
    alarm.dueAt = dueAt + (missed + 1) * this.#intervalMs;
    return clock.timeOrigin + dueAt;
  }

  /** @internal */
  override get [failureOf](): Failure | undefined {
    return undefined;
  }

  #tick(): void {
    const at = this[take]();
    if (typeof at === 'number') this[receiversOf].shift()?.accept(at);
  }
}

function checkMs(name: string, ms: number): void {
  if (typeof ms !== 'number') throw new TypeError(`${name} must be a number, got ${show(ms)}`);
  if (Number.isNaN(ms)) throw new RangeError(`${name} must be a number, got NaN`);
}

function checkInterval(ms: number): void {
  checkMs('intervalMs', ms);
  if (!(ms > 0 && ms < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`intervalMs must be above 0 and finite, got ${ms}`);
  }
}
