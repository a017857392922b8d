/**
 * Go's channels: values go from who sends to who receives, each to exactly one, in order, with back-pressure.
 *
 * Invariant: nobody waits to receive while there is a value, a waiting sender or a close to find, and nobody waits to
 * send while there is room or a waiting receiver. So of the two queues at least one is empty.
 */
import { show } from './checks.ts';
import { background } from './context.ts';
import { ClosedChannelError } from './errors.ts';
import { type Destination, feed, type PipeOptions, pipe, type Source } from './pipe.ts';
import {
  closeWith,
  ENDED,
  type Failure,
  failureOf,
  isReady,
  NOTHING,
  Receivable,
  type Receiver,
  receiversOf,
  take,
} from './receivable.ts';
import { Ring } from './ring.ts';
import { inNextTurn, isTurnDue, isTurnOver } from './turn.ts';
import { Waiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

/**
 * The end of a channel that is sent to: Go's `chan<- T`. Its methods are typed as properties, so that the compiler lets
 * no channel of strings pass for one that numbers can be sent to.
 */
export interface SendChannel<T> {
  /** How many values are there that nobody has received, without those of senders that wait. */
  readonly length: number;
  /** How many values it holds for receivers to come. */
  readonly capacity: number;
  /**
   * Resolves when a receiver has the value, or the buffer. Senders are served in the order in which they came.
   *
   * Rejects with a {@link ClosedChannelError} if the channel is closed, now or while this waits, and with the reason of
   * `options.signal` when that fires first: then the value was not sent.
   */
  readonly send: (value: T, options?: WaitOptions) => Promise<void>;
  /**
   * Sends if that needs no wait: false if it does. Go's select of one send with a default.
   * @throws ClosedChannelError if the channel is closed
   */
  readonly trySend: (value: T) => boolean;
  /**
   * No more will be sent. Receivers get what the buffer holds, then `ok: false`; senders that wait are refused with a
   * {@link ClosedChannelError}. With an error, receivers get that instead of `ok: false`, as from Go's
   * `io.PipeWriter.CloseWithError`.
   * @throws ClosedChannelError if it is closed already
   */
  close(error?: unknown): void;
}

/** What {@link Channel.from} can be told. */
export interface FromOptions extends WaitOptions {
  /** The capacity of the channel. Default 0. */
  readonly capacity?: number | undefined;
}

/** What select needs of a channel to send to. */
export const sendersOf: unique symbol = Symbol('senders');
export const isOpenFor: unique symbol = Symbol('isOpenFor');

const SENT: Promise<void> = Promise.resolve();

/**
 * A channel, Go's `make(chan T, capacity)`. With capacity 0 a send waits until someone receives; with more it waits
 * only while so many values are there. `Infinity` never waits, and so doesn't hold back who sends too much.
 *
 * ```ts
 * const lines = new Channel<string>(16);
 * void (async () => {
 *   for await (const line of input) await lines.send(line);
 *   lines.close();
 * })();
 * for await (const line of lines) console.log(line);
 * ```
 *
 * Other than in Go there is no nil channel; in a `select`, `receive(undefined)` stands for one. A channel that nobody
 * can reach any more is collected, and so is whoever waits on it.
 */
export class Channel<T> extends Receivable<T> implements SendChannel<T> {
  readonly capacity: number;
  /** @internal */
  readonly [receiversOf]: WaitQueue<Receiver<T>> = new WaitQueue<Receiver<T>>();
  /** @internal */
  readonly [sendersOf]: WaitQueue<Sender<T>> = new WaitQueue<Sender<T>>();
  readonly #buffer = new Ring<T>();
  #closed = false;
  #failure: Failure | undefined = undefined;

  /** @throws RangeError when `capacity` isn't a whole number from 0 or `Infinity` */
  constructor(capacity = 0) {
    super();
    if (!(Number.isInteger(capacity) && capacity >= 0) && capacity !== Number.POSITIVE_INFINITY) {
      throw new RangeError(`capacity must be a whole number from 0, or Infinity, got ${show(capacity)}`);
    }
    this.capacity = capacity;
  }

  /**
   * A channel of what an array, a generator, an async iterable or a stream gives, closed when that ends. It is read as
   * receivers ask for it, one value ahead of them and the buffer. When it fails, so do those who receive, after the
   * values before; when `options.signal` fires, it is ended, and they get the reason.
   *
   * Who stops receiving early should fire the signal: a source that is left waiting is never told that it may go.
   *
   * ```ts
   * const words = Channel.from(createReadStream('words.txt', 'utf8'), { signal });
   * ```
   */
  static from<T>(source: Source<T>, options: FromOptions = {}): Channel<T> {
    const channel = new Channel<T>(options.capacity);
    feed(channel, [source], options.signal ?? background());
    return channel;
  }

  get length(): number {
    return this.#buffer.length;
  }

  /** Whether it is closed; there may still be values to receive. */
  get closed(): boolean {
    return this.#closed;
  }

  send(value: T, options?: WaitOptions): Promise<void> {
    if (options === undefined) {
      if (this.#offer(value)) return this.#sent();
      if (this.#closed) return Promise.reject(new ClosedChannelError('send on a closed channel'));
      const sender = new PromiseSender(value);
      this[sendersOf].push(sender);
      return sender.promise;
    }
    try {
      const scope = waitScope(options);
      if (this.trySend(value)) return this.#sent();
      const sender = new PromiseSender(value);
      this[sendersOf].push(sender, scope);
      return sender.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** All values until the close, in an array. Rejects as a receive does; what came before is lost then. */
  async toArray(options?: WaitOptions): Promise<T[]> {
    const all: T[] = [];
    for await (const value of this.values(options)) all.push(value);
    return all;
  }

  /**
   * Hands on all values, as fast as they are taken, to another channel, a web WritableStream or a Node Writable, and
   * ends that when this channel is closed. Resolves then. A Node Readable of a channel is `Readable.from(channel)`; a web
   * ReadableStream is that of a TransformStream to which the channel is piped, as not all browsers have
   * `ReadableStream.from`.
   *
   * Rejects when the destination fails, when this channel was closed with an error, or with the reason of
   * `options.signal`; the destination is then ended with that error as well. A value that was on its way is lost, the
   * others stay. So with a mere `void channel.pipeTo(x)` a failure is an unhandled rejection.
   */
  pipeTo(destination: Destination<T>, options?: PipeOptions): Promise<void> {
    return pipe(this, destination, options);
  }

  trySend(value: T): boolean {
    if (this.#closed) throw new ClosedChannelError('send on a closed channel');
    return this.#offer(value);
  }

  close(error?: unknown): void {
    this[closeWith](error === undefined ? undefined : { error });
  }

  /** @internal Where the error is thrown by others, it can be `undefined` too. */
  [closeWith](failure: Failure | undefined): void {
    if (this.#closed) throw new ClosedChannelError('close of a closed channel');
    this.#closed = true;
    this.#failure = failure;
    // As in Go, a select that waits for both hears as a receiver.
    for (let receiver = this[receiversOf].shift(); receiver !== undefined; receiver = this[receiversOf].shift()) {
      if (failure === undefined) receiver.end();
      else receiver.refuse(failure.error);
    }
    // One error for all: they have ended together, and none of their stacks would tell more.
    let refusal: ClosedChannelError | undefined;
    for (let sender = this[sendersOf].shift(); sender !== undefined; sender = this[sendersOf].shift()) {
      refusal ??= new ClosedChannelError('the channel was closed while the send waited');
      sender.refuse(refusal);
    }
  }

  /**
   * What a send without a wait gives: the same promise always, unless a turn of the event loop is due. Receives are
   * counted for that; sends only where there could be an endless loop of them alone.
   */
  #sent(): Promise<void> {
    const isOver = this.capacity === Number.POSITIVE_INFINITY ? isTurnOver() : isTurnDue();
    return isOver ? new Promise(inNextTurn) : SENT;
  }

  /** Gives the value to a receiver or the buffer, if one takes it. */
  #offer(value: T): boolean {
    if (this.#closed) return false;
    const receiver = this[receiversOf].shift();
    if (receiver !== undefined) {
      receiver.accept(value);
      return true;
    }
    if (this.#buffer.length >= this.capacity) return false;
    this.#buffer.push(value);
    return true;
  }

  /** @internal */
  override [take](): T | typeof NOTHING | typeof ENDED {
    if (this.#buffer.length > 0) {
      const value = this.#buffer.shift();
      const sender = this[sendersOf].shift();
      if (sender !== undefined) {
        this.#buffer.push(sender.value);
        sender.sent();
      }
      return value;
    }
    const sender = this[sendersOf].shift();
    if (sender !== undefined) {
      sender.sent();
      return sender.value;
    }
    return this.#closed ? ENDED : NOTHING;
  }

  /** @internal */
  override get [isReady](): boolean {
    return this.#buffer.length > 0 || this[sendersOf].first !== undefined || this.#closed;
  }

  /** @internal */
  override get [failureOf](): Failure | undefined {
    return this.#failure;
  }

  /** @internal Whether a send wouldn't wait, if only as it would throw. */
  get [isOpenFor](): boolean {
    return this[receiversOf].first !== undefined || this.#buffer.length < this.capacity || this.#closed;
  }
}

/** One who waits to send; out of its queue when it is told. */
export abstract class Sender<T> extends Waiter {
  readonly value: T;

  constructor(value: T) {
    super();
    this.value = value;
  }

  /** The value has been taken. */
  abstract sent(): void;
}

/** One who waits by a promise; made like a PromiseReceiver. */
class PromiseSender<T> extends Sender<T> {
  readonly promise: Promise<void>;
  private resolve: ((sent: void | Promise<void>) => void) | undefined = undefined;

  constructor(value: T) {
    super(value);
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  override sent(): void {
    this.resolve!();
  }

  override refuse(error: unknown): void {
    this.resolve!(Promise.reject(error));
  }
}
