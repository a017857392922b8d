/** Go's `sync.WaitGroup`: waiting until as many things are done as were begun. */
import { checkFunction, show } from './checks.ts';
import { PromiseWaiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

/**
 * A counter of what is under way, and the wait for it to be 0. What can fail is better off in an ErrGroup.
 *
 * ```ts
 * const group = new WaitGroup();
 * for (const socket of sockets) group.go(() => serve(socket));
 * await group.wait();
 * ```
 *
 * It can be used again and again. `await using` waits at the end of the block.
 */
export class WaitGroup implements AsyncDisposable {
  #count = 0;
  readonly #waiting = new WaitQueue<PromiseWaiter<void>>();

  /**
   * Counts `n` more, or less when it is negative. At 0, all who wait go on.
   * @throws RangeError when `n` isn't a whole number, or the counter would become negative, which is a panic in Go; it
   * is left as it was then
   */
  add(n = 1): void {
    if (!Number.isInteger(n)) throw new RangeError(`n must be a whole number, got ${show(n)}`);
    const count = this.#count + n;
    if (count < 0) throw new RangeError(`negative counter: ${this.#count} under way, and ${-n} done`);
    this.#count = count;
    if (count > 0) return;
    for (let waiter = this.#waiting.shift(); waiter !== undefined; waiter = this.#waiting.shift()) waiter.resolve();
  }

  /** One is done. @throws RangeError when none was under way */
  done(): void {
    this.add(-1);
  }

  /**
   * Runs `fn` now, as one of the group until it has settled. Gives what it gives; a failure is the caller's to handle,
   * and ignored it is an unhandled rejection, as it would be a panic in Go. The group only waits for it.
   *
   * Rejects with a TypeError when `fn` isn't a function.
   */
  async go<T>(fn: () => T): Promise<Awaited<T>> {
    checkFunction('fn', fn);
    this.add();
    try {
      return await fn();
    } finally {
      this.done();
    }
  }

  /**
   * Resolves when the counter is 0; at once if it is. Rejects with the reason of `options.signal` when that fires
   * first.
   */
  async wait(options?: WaitOptions): Promise<void> {
    const scope = waitScope(options);
    if (this.#count === 0) return;
    const waiter = new PromiseWaiter<void>();
    this.#waiting.push(waiter, scope);
    await waiter.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.wait();
  }
}
