/** Go's locks. Between two awaits nothing else runs, so they are for what spans an await. */
import { type Permit, Semaphore } from './semaphore.ts';
import type { WaitOptions } from './wait-queue.ts';

/** @internal For Cond, which unlocks and locks again beneath whoever holds the lock. */
export const semaphoreOf: unique symbol = Symbol('semaphore');

/**
 * Mutual exclusion, Go's `sync.Mutex`: one holder at a time, the others in the order in which they came.
 *
 * ```ts
 * {
 *   using _ = await mutex.lock();
 *   await file.write(await file.read() + 1);
 * }
 * ```
 *
 * Other than in Go, only what `lock` gave can unlock. As in Go, it isn't reentrant: who locks twice waits for himself.
 */
export class Mutex {
  /** @internal */
  readonly [semaphoreOf] = new Semaphore(1);

  /** Whether someone holds it. */
  get locked(): boolean {
    return this[semaphoreOf].available === 0;
  }

  /**
   * Waits for the lock. Unlock by `release()` of what you get, or by `using`.
   * Rejects with the reason of `options.signal` when that fires first, and then holds nothing.
   */
  lock(options?: WaitOptions): Promise<Permit> {
    return this[semaphoreOf].acquire(1, options);
  }

  /** The lock, if nobody holds it; else `undefined`. */
  tryLock(): Permit | undefined {
    return this[semaphoreOf].tryAcquire();
  }
}
