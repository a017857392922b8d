/** Go's `sync.Cond`: waiting for what others change, told by them when to look again. */
import { NotHeldError } from './errors.ts';
import { type Mutex, semaphoreOf } from './mutex.ts';
import { PromiseWaiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

/**
 * A condition that can't be said by a channel. Always wait in a loop: when it goes on, things may have changed again.
 *
 * ```ts
 * using _ = await mutex.lock();
 * while (jobs.length === 0) await changed.wait();
 * ```
 *
 * The mutex can be left out if looking and changing don't await in between, as then nothing can come between them.
 */
export class Cond {
  readonly #mutex: Mutex | undefined;
  readonly #waiting = new WaitQueue<PromiseWaiter<void>>();

  constructor(mutex?: Mutex) {
    this.#mutex = mutex;
  }

  /**
   * Unlocks the mutex, waits for {@link Cond.signal} or {@link Cond.broadcast}, and resolves when the mutex is locked
   * again, for the same holder.
   *
   * Rejects with the reason of `options.signal` when that fires first; the mutex is locked again then too, so that
   * whoever has it can give it back. Rejects with a NotHeldError when nobody holds the mutex.
   */
  async wait(options?: WaitOptions): Promise<void> {
    const scope = waitScope(options);
    const semaphore = this.#mutex?.[semaphoreOf];
    if (semaphore?.available === 1) throw new NotHeldError('wait needs the mutex to be locked, and nobody holds it');
    const waiter = new PromiseWaiter<void>();
    this.#waiting.push(waiter, scope);
    semaphore?.release();
    try {
      await waiter.promise;
    } finally {
      await semaphore?.acquire();
    }
  }

  /** Wakes the one that has waited longest, if any. */
  signal(): void {
    this.#waiting.shift()?.resolve();
  }

  /** Wakes all that wait. */
  broadcast(): void {
    for (let waiter = this.#waiting.shift(); waiter !== undefined; waiter = this.#waiting.shift()) waiter.resolve();
  }
}
