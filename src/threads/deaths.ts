/** Threads that die one after the other: the pauses between. */
const BASE_MS = 100;
const MAX_MS = 5_000;

export class Deaths {
  /** Since the last sign of life. */
  #inRow = 0;
  /** Until when no thread is started; a time, not a duration, so that a wait that is given up isn't begun anew. */
  #until = 0;

  /** A thread has died by itself. The first of a row is replaced at once. */
  add(): void {
    this.#inRow++;
    if (this.#inRow === 1) return;
    const pauseMs = Math.min(MAX_MS, BASE_MS * 2 ** (this.#inRow - 2));
    this.#until = performance.now() + pauseMs * (0.5 + Math.random() / 2);
  }

  /** A thread has shown that they live. */
  clear(): void {
    this.#inRow = 0;
    this.#until = 0;
  }

  /** Resolves when a thread may be started; rejects with the signal's reason. */
  async pause(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const leftMs = this.#until - performance.now();
    if (leftMs <= 0) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      }, leftMs);
      // It doesn't hold the process: tasks that wait do.
      timer.unref();
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
