/** Go's x/sync/singleflight: who wants what is being fetched already waits for that, and doesn't fetch it again. */
import { checkFunction } from './checks.ts';
import { PromiseWaiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

/** What {@link SingleFlight.do} gives. */
export interface Shared<T> {
  readonly value: T;
  /** Whether others asked for it as well while it was under way: the same for all of them. */
  readonly shared: boolean;
}

/**
 * One call of a kind at a time, whose outcome all who ask meanwhile get: so that a thousand requests for a page that
 * has just left the cache make it once.
 *
 * ```ts
 * const { value } = await pages.do(url, () => render(url), { signal });
 * ```
 *
 * Keys are compared as those of a Map. All functions of one key are to give the same type: the first one's is run.
 */
export class SingleFlight<K = string> {
  readonly #flights = new Map<K, Flight>();

  /**
   * Calls `fn`, unless a call for `key` is under way, and gives the outcome of the one or the other. After it, the key
   * is free. A failure, a synchronous throw included, goes to all who wait for it, and is then forgotten too.
   *
   * When `options.signal` fires first, this caller's promise rejects with its reason. The call goes on for the others;
   * and if nobody is left, nobody is told how it ended. When the signal has fired before, nothing is called.
   *
   * Rejects with a TypeError when `fn` isn't a function.
   */
  async do<T>(key: K, fn: () => T, options?: WaitOptions): Promise<Shared<Awaited<T>>> {
    checkFunction('fn', fn);
    const scope = waitScope(options);
    const waiter = new PromiseWaiter<Shared<unknown>>();
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = new Flight();
      this.#flights.set(key, flight);
      flight.waiting.push(waiter, scope);
      void this.#fly(key, flight, fn);
    } else {
      flight.shared = true;
      flight.waiting.push(waiter, scope);
    }
    return (await waiter.promise) as Shared<Awaited<T>>;
  }

  /** Has the next {@link do} for `key` call anew. Who waits for a call that is under way gets its outcome all the same. */
  forget(key: K): void {
    this.#flights.delete(key);
  }

  async #fly(key: K, flight: Flight, fn: () => unknown): Promise<void> {
    try {
      const value = await fn();
      this.#land(key, flight, (waiter) => waiter.resolve({ value, shared: flight.shared }));
    } catch (error) {
      this.#land(key, flight, (waiter) => waiter.refuse(error));
    }
  }

  #land(key: K, flight: Flight, tell: (waiter: PromiseWaiter<Shared<unknown>>) => void): void {
    // It may have been forgotten, and another be under way.
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
    const { waiting } = flight;
    for (let waiter = waiting.shift(); waiter !== undefined; waiter = waiting.shift()) tell(waiter);
  }
}

/** A call that is under way. */
class Flight {
  readonly waiting = new WaitQueue<PromiseWaiter<Shared<unknown>>>();
  /** More than one has asked. */
  shared = false;
}
