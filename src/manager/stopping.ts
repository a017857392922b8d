/** That a manager is about to end: as a signal, made when first read, and for whoever watches from within. */
export class Stopping {
  #controller: AbortController | undefined;
  #reason: { readonly value: unknown } | undefined;
  readonly #watchers = new Set<(reason: unknown) => void>();

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason.value);
    }
    return this.#controller.signal;
  }

  /** Has `watcher` called, once, at the end or now if that has begun, until the function returned is called. */
  watch(watcher: (reason: unknown) => void): () => void {
    if (this.#reason !== undefined) watcher(this.#reason.value);
    else this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  fire(reason: unknown): void {
    if (this.#reason !== undefined) return;
    this.#reason = { value: reason };
    this.#controller?.abort(reason);
    for (const watcher of this.#watchers) watcher(reason);
    this.#watchers.clear();
  }
}
