/** Go's `sync.RWMutex`, made of a semaphore: a reader takes one permit, a writer all. */
import { type Permit, Semaphore } from './semaphore.ts';
import type { WaitOptions } from './wait-queue.ts';

/** As many as Go allows. */
const MAX_READERS = 2 ** 30;

/**
 * Many readers or one writer. Served strictly in the order of coming, so neither kind starves: a reader that comes when
 * a writer waits gets in after it. (In Go, the end of a writer lets in all readers that wait, past the next writer.)
 *
 * As in Go, a reader mustn't take a second read lock while it holds one: a writer between the two would block both.
 */
export class RWMutex {
  readonly #semaphore = new Semaphore(MAX_READERS);

  /**
   * Waits until nobody reads or writes: Go's `Lock`. Unlock by `release()` of what you get, or by `using`.
   * Rejects with the reason of `options.signal` when that fires first, and then holds nothing.
   */
  lock(options?: WaitOptions): Promise<Permit> {
    return this.#semaphore.acquire(MAX_READERS, options);
  }

  /** Waits until nobody writes, or waits to: Go's `RLock`. Otherwise as {@link RWMutex.lock}. */
  readLock(options?: WaitOptions): Promise<Permit> {
    return this.#semaphore.acquire(1, options);
  }

  /** The lock to write, if nobody reads or writes; else `undefined`. */
  tryLock(): Permit | undefined {
    return this.#semaphore.tryAcquire(MAX_READERS);
  }

  /** A lock to read, if nobody writes or waits; else `undefined`: Go's `TryRLock`. */
  tryReadLock(): Permit | undefined {
    return this.#semaphore.tryAcquire();
  }
}
