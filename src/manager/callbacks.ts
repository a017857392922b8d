/** Users' callbacks, many in one turn of the event loop, and never in the turn of a worker. */
export class Callbacks {
  #pending: (() => unknown)[] = [];
  readonly #onError: (error: unknown) => void;
  /** Called when all pending ones have run. */
  onFlushed: (() => void) | undefined = undefined;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  get size(): number {
    return this.#pending.length;
  }

  push(callback: () => unknown): void {
    this.#pending.push(callback);
    if (this.#pending.length === 1) setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    const callbacks = this.#pending;
    this.#pending = [];
    for (const callback of callbacks) this.run(callback);
    this.onFlushed?.();
  };

  /** Calls back, and reports what that throws. */
  readonly run = (callback: () => unknown): void => {
    try {
      const result = callback();
      // An async one rejects instead of throwing.
      if (result instanceof Promise) result.catch(this.#onError);
    } catch (error) {
      this.#onError(error);
    }
  };
}
