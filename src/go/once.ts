/** Go's `sync.Once`, `sync.OnceValue` and `sync.OnceFunc`: what is done the first time only. */
import { checkFunction } from './checks.ts';
import type { Failure } from './receivable.ts';
import { PromiseWaiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

/**
 * Runs one function, once: Go's `sync.Once`. For a value, or an error, that all are to get, see {@link onceValue}.
 *
 * ```ts
 * await ready.do(() => migrate(db));
 * ```
 */
export class Once {
  readonly #waiting = new WaitQueue<PromiseWaiter<void>>();
  #begun = false;
  #done = false;

  /** Whether the function has run, and returned or failed. */
  get done(): boolean {
    return this.#done;
  }

  /**
   * The first call runs `fn`, and rejects with what it throws. All others, whatever their function, resolve when that
   * has ended, well or not; as in Go, a failure is no reason to run again. So a function that awaits a `do` of its own
   * Once waits for itself, for ever.
   *
   * Rejects with a TypeError when `fn` isn't a function. When `options.signal` fires first, it rejects with its reason:
   * that ends the wait of this caller, not the function.
   */
  async do(fn: () => unknown, options?: WaitOptions): Promise<void> {
    checkFunction('fn', fn);
    const scope = waitScope(options);
    if (this.#done) return;
    const waiter = new PromiseWaiter<void>();
    this.#waiting.push(waiter, scope);
    if (!this.#begun) {
      this.#begun = true;
      void this.#run(fn, waiter);
    }
    await waiter.promise;
  }

  async #run(fn: () => unknown, first: PromiseWaiter<void>): Promise<void> {
    let failure: Failure | undefined;
    try {
      await fn();
    } catch (error) {
      failure = { error };
    }
    this.#done = true;
    if (failure !== undefined && this.#waiting.remove(first)) first.refuse(failure.error);
    for (let waiter = this.#waiting.shift(); waiter !== undefined; waiter = this.#waiting.shift()) waiter.resolve();
  }
}

/**
 * A function that calls `fn` the first time and gives the same every time: the value, the promise, or the error, which
 * it throws again. Go's `sync.OnceValue`, and its OnceFunc if there is no value. What is synchronous stays so.
 *
 * ```ts
 * const config = onceValue(() => JSON.parse(readFileSync('config.json', 'utf8')));
 * const connection = onceValue(() => connect(config().url)); // one promise for all
 * ```
 * @throws TypeError when `fn` isn't a function. What it returns throws an Error when `fn` calls it, instead of waiting
 * for itself as Go does.
 */
export function onceValue<T>(fn: () => T): () => T {
  checkFunction('fn', fn);
  let call: (() => T) | undefined = fn; // let go with all it holds once it has been called
  let outcome: { readonly value: T } | Failure | undefined;
  return () => {
    if (outcome === undefined) {
      if (call === undefined) throw new Error('a function of onceValue needs its own value');
      const first = call;
      call = undefined;
      try {
        outcome = { value: first() };
      } catch (error) {
        outcome = { error };
      }
    }
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  };
}
