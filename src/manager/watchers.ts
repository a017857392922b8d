/** Those who wait for the queue to be idle, empty, or short. */

interface Watcher {
  readonly met: () => void;
}

interface SizeWatcher extends Watcher {
  readonly size: number;
}

export class Watchers {
  readonly #idle = new Set<Watcher>();
  readonly #empty = new Set<Watcher>();
  readonly #sizes = new Set<SizeWatcher>();

  /** How many wait for a size. */
  get sizes(): number {
    return this.#sizes.size;
  }

  untilIdle(signal: AbortSignal | undefined): Promise<void> {
    return wait(this.#idle, {}, signal);
  }

  untilEmpty(signal: AbortSignal | undefined): Promise<void> {
    return wait(this.#empty, {}, signal);
  }

  untilSizeLessThan(size: number, signal: AbortSignal | undefined): Promise<void> {
    return wait(this.#sizes, { size }, signal);
  }

  onIdle(): void {
    if (this.#idle.size > 0) meet(this.#idle);
  }

  onEmpty(): void {
    if (this.#empty.size > 0) meet(this.#empty);
  }

  onSize(size: number): void {
    for (const watcher of this.#sizes) if (size < watcher.size) watcher.met();
  }
}

function meet(watchers: Set<Watcher>): void {
  for (const watcher of watchers) watcher.met();
}

function wait<W extends Watcher>(
  watchers: Set<W>,
  what: Omit<W, 'met'>,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const leave = (): void => {
      watchers.delete(watcher);
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      leave();
      reject(signal!.reason);
    };
    const met = (): void => {
      leave();
      resolve();
    };
    const watcher = { ...what, met } as W;
    watchers.add(watcher);
    signal?.addEventListener('abort', onAbort);
  });
}
