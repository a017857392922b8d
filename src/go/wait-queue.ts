/**
 * Those who wait for a thing, first come, first served. Who waits is an object that knows its neighbors, so it leaves
 * in O(1) from anywhere, as it must when its signal fires.
 *
 * Invariant: a waiter is in at most one queue; whoever takes it out tells it, in the same breath, how its wait ended.
 */
import { show } from './checks.ts';
import type { Context } from './context.ts';
import { type CancelScope, follow, isContext, isSignal, scopeFor } from './scope.ts';

/** What everything that can wait takes. */
export interface WaitOptions {
  /** Ends the wait when it fires: the promise then rejects with its reason, and nothing has been taken. */
  readonly signal?: Context | AbortSignal | undefined;
}

/** One who waits. */
export abstract class Waiter {
  queued = false;
  previous: this | undefined = undefined;
  next: this | undefined = undefined;
  unsubscribe: (() => boolean) | undefined = undefined;

  /** The wait ends with an error. */
  abstract refuse(error: unknown): void;
}

export class WaitQueue<W extends Waiter> {
  first: W | undefined = undefined;
  #last: W | undefined = undefined;

  /** To the end of the queue, until it is taken out, or refused as the scope is canceled. */
  push(waiter: W, scope?: CancelScope): void {
    const last = this.#last;
    this.#last = waiter;
    waiter.queued = true;
    if (last === undefined) {
      this.first = waiter;
      this.watch();
    } else {
      waiter.previous = last;
      last.next = waiter;
    }
    if (scope !== undefined) this.#leaveOn(scope, waiter);
  }

  /** Takes out the first. */
  shift(): W | undefined {
    const { first } = this;
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Takes one out; false if it isn't in. */
  remove(waiter: W): boolean {
    if (!waiter.queued) return false;
    waiter.queued = false;
    const { previous, next } = waiter;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    waiter.previous = waiter.next = undefined;
    if (waiter.unsubscribe !== undefined) waiter.unsubscribe();
    if (this.first === undefined) this.unwatch();
    return true;
  }

  #leaveOn(scope: CancelScope, waiter: W): void {
    waiter.unsubscribe = scope.subscribeWaiter((_, cause) => {
      if (!this.remove(waiter)) return;
      waiter.refuse(cause);
      this.left();
    });
  }

  /** Called when the first one has come, when there is none any more, and when a signal has taken one out. */
  protected watch(): void {}
  protected unwatch(): void {}
  protected left(): void {}
}

/** One who waits by a promise. */
export class PromiseWaiter<T> extends Waiter {
  readonly promise: Promise<T>;
  resolve!: (value: T | Promise<T>) => void;

  constructor() {
    super();
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  override refuse(error: unknown): void {
    this.resolve(Promise.reject(error)); // rare: not worth a second function to hold
  }
}

/**
 * What can end a wait, from what a caller gave: options, or a context or signal itself. `undefined`: nothing can.
 * @throws TypeError when it is none of these
 * @throws the cause, if it has been canceled already: then nothing may be begun
 */
export function waitScope(source: WaitOptions | Context | AbortSignal | undefined): CancelScope | undefined {
  if (source === undefined) return undefined;
  const scope = scopeOfSource(source);
  if (scope?.err !== undefined) throw scope.cause;
  return scope;
}

function scopeOfSource(source: WaitOptions | Context | AbortSignal): CancelScope | undefined {
  // A context has a signal too, but asking for it would make one.
  if (isContext(source)) return scopeFor(source);
  if (isSignal(source)) return follow(source);
  if (typeof source !== 'object' || source === null) {
    throw new TypeError(`options must be an object with a signal, got ${show(source)}`);
  }
  const { signal } = source as WaitOptions;
  if (signal === undefined) return undefined;
  if (isContext(signal)) return scopeFor(signal);
  if (isSignal(signal)) return follow(signal);
  throw new TypeError(`signal must be a Context or an AbortSignal, got ${show(signal)}`);
}
