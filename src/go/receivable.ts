/**
 * What can be received from, whatever it is that sends: a channel, a timer. Who finds nothing waits in line; who sends
 * gives to the first in line, synchronously, so a value is always in exactly one place.
 *
 * Invariant: nobody waits to receive while there is something to receive.
 */
import type { CancelScope } from './scope.ts';
import { inNextTurn, isTurnOver, told } from './turn.ts';
import { Waiter, type WaitOptions, type WaitQueue, waitScope } from './wait-queue.ts';

/** What a receive gives: a value, or none once the channel is closed and empty. */
export type Received<T> = { readonly value: T; readonly ok: true } | { readonly value: undefined; readonly ok: false };

/** The end of a channel that is received from: Go's `<-chan T`. */
export interface ReceiveChannel<T> extends AsyncIterable<T> {
  /** How many values are ready, without those of senders that wait. */
  readonly length: number;
  /** How many values it holds for receivers to come. */
  readonly capacity: number;
  /**
   * The next value, as soon as there is one; `ok: false` when the channel is closed and all its values are gone.
   * Receivers are served in the order in which they came.
   *
   * Rejects with the reason of `options.signal` if that fires first: then no value is lost. Rejects with the error the
   * channel was closed with, if there was one.
   */
  receive(options?: WaitOptions): Promise<Received<T>>;
  /**
   * What is there now, or `undefined` when there is nothing: Go's select of one receive with a default.
   * @throws the error the channel was closed with, if there was one
   */
  tryReceive(): Received<T> | undefined;
  /**
   * The values until the close, in a loop that `options.signal` ends by throwing its reason. `for await` over the
   * channel itself is the same without a signal. Leaving the loop leaves the channel as it is.
   */
  values(options?: WaitOptions): AsyncIterableIterator<T>;
}

/** Why a channel was closed; an object, as the error itself can be anything. */
export interface Failure {
  readonly error: unknown;
}

/** There is nothing to receive now; there never will be again. */
export const NOTHING: unique symbol = Symbol('nothing');
export const ENDED: unique symbol = Symbol('ended');

/** Closes a channel, with an error that can be anything. */
export const closeWith: unique symbol = Symbol('closeWith');

/** What select tells its cases apart by: on the prototypes, as it costs less than `instanceof`. */
export const kindOf: unique symbol = Symbol('kind');
export const CHANNEL = 1;
export const RECEIVE = 2;
export const SEND = 3;

/** What select needs of a channel. */
export const receiversOf: unique symbol = Symbol('receivers');
export const isReady: unique symbol = Symbol('isReady');
export const take: unique symbol = Symbol('take');
export const failureOf: unique symbol = Symbol('failure');

export abstract class Receivable<T> implements ReceiveChannel<T> {
  /** @internal */
  declare readonly [kindOf]: typeof CHANNEL;
  static {
    Object.defineProperty(Receivable.prototype, kindOf, { value: CHANNEL });
  }

  abstract readonly length: number;
  abstract readonly capacity: number;
  /** @internal Who waits for a value. */
  abstract readonly [receiversOf]: WaitQueue<Receiver<T>>;
  /** @internal Whether a receive wouldn't wait. */
  abstract get [isReady](): boolean;
  /** @internal Takes the next value. */
  abstract [take](): T | typeof NOTHING | typeof ENDED;
  /** @internal What it was closed with. */
  abstract get [failureOf](): Failure | undefined;

  receive(options?: WaitOptions): Promise<Received<T>> {
    let scope: CancelScope | undefined;
    if (options !== undefined) {
      try {
        scope = waitScope(options);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    const value = this[take]();
    if (value === NOTHING) {
      const receiver = new PromiseReceiver<T>(undefined);
      this[receiversOf].push(receiver, scope);
      return receiver.promise as Promise<Received<T>>;
    }
    if (value !== ENDED) return told({ value, ok: true });
    const failure = this[failureOf];
    return failure === undefined ? told({ value: undefined, ok: false }) : Promise.reject(failure.error);
  }

  tryReceive(): Received<T> | undefined {
    const value = this[take]();
    if (value === NOTHING) return undefined;
    if (value !== ENDED) return { value, ok: true };
    const failure = this[failureOf];
    if (failure !== undefined) throw failure.error;
    return { value: undefined, ok: false };
  }

  values(options?: WaitOptions): AsyncIterableIterator<T> {
    return new Values(this, options);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return new Values(this, undefined);
  }
}

/** One who waits for a value; out of its queue when it is told. */
export abstract class Receiver<T> extends Waiter {
  abstract accept(value: T): void;
  /** The channel was closed, without an error. */
  abstract end(): void;
}

/**
 * One who waits by a promise, of what `receive` gives, or of what an iterator does. There is one for every value that
 * is waited for: one class, and no private fields, which cost half as much again to make.
 */
class PromiseReceiver<T> extends Receiver<T> {
  readonly promise: Promise<unknown>;
  private resolve: ((result: unknown) => void) | undefined = undefined;
  readonly iterator: Values<T> | undefined;

  constructor(iterator: Values<T> | undefined) {
    super();
    this.iterator = iterator;
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  override accept(value: T): void {
    this.tell(this.iterator ? { value, done: false } : { value, ok: true });
  }

  override end(): void {
    const { iterator } = this;
    if (iterator !== undefined) iterator.left = true;
    this.tell(iterator ? { value: undefined, done: true } : { value: undefined, ok: false });
  }

  override refuse(error: unknown): void {
    // An iterator throws once; after that, and after a return, it is at its end, for reads that wait as well.
    const { iterator } = this;
    if (iterator?.left) {
      this.end();
      return;
    }
    if (iterator !== undefined) iterator.left = true;
    this.resolve!(Promise.reject(error)); // rare: not worth a second function to hold
  }

  private tell(result: unknown): void {
    if (isTurnOver()) inNextTurn(() => this.resolve!(result));
    else this.resolve!(result);
  }
}

/** A loop over what is received; not an async generator, which would cost three promises a value. */
class Values<T> implements AsyncIterableIterator<T, undefined> {
  readonly #source: Receivable<T>;
  readonly #options: WaitOptions | undefined;
  #waiting: PromiseReceiver<T> | undefined = undefined;
  left = false;

  constructor(source: Receivable<T>, options: WaitOptions | undefined) {
    this.#source = source;
    this.#options = options;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.left) return Promise.resolve({ value: undefined, done: true });
    let scope: CancelScope | undefined;
    if (this.#options !== undefined) {
      try {
        scope = waitScope(this.#options);
      } catch (error) {
        this.left = true;
        return Promise.reject(error);
      }
    }
    const source = this.#source;
    const value = source[take]();
    if (value === NOTHING) {
      const receiver = new PromiseReceiver<T>(this);
      this.#waiting = receiver;
      source[receiversOf].push(receiver, scope);
      return receiver.promise as Promise<IteratorResult<T, undefined>>;
    }
    if (value !== ENDED) return told({ value, done: false });
    const failure = source[failureOf];
    this.left = true;
    return failure === undefined ? told({ value: undefined, done: true }) : Promise.reject(failure.error);
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.left = true;
    // A stream that is destroyed while it reads: a value that came now would be lost.
    let read: Receiver<T> | undefined = this.#waiting?.queued ? this.#waiting : undefined;
    while (read !== undefined) {
      const { previous }: Receiver<T> = read;
      if (read instanceof PromiseReceiver && read.iterator === this) {
        this.#source[receiversOf].remove(read);
        read.end();
      }
      read = previous;
    }
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
