/** Those who fetch: their lives, what each has, and what they are told. */
import { AsyncResource } from 'node:async_hooks';
import type { ConsumerListener } from './engine.ts';
import { StaleLeaseError } from './errors.ts';
import type { StoredCall } from './stored-call.ts';

/** One life of a consumer. */
export interface Consumer {
  readonly name: string;
  readonly epoch: number;
  readonly listener: ConsumerListener;
  /** What it has a lease of. */
  readonly calls: Set<StoredCall>;
}

export class Consumers {
  readonly #alive = new Map<string, Consumer>();
  /** Else its own loop would run in the async context of whoever has submitted the call that woke it. */
  readonly #origin = new AsyncResource('errand.consumers');
  /** Of all lives, so that no name need be remembered. */
  #epoch = 0;
  #isWaking = false;

  begin(name: string, listener: ConsumerListener): Consumer {
    const consumer = { name, epoch: ++this.#epoch, listener, calls: new Set<StoredCall>() };
    this.#alive.set(name, consumer);
    return consumer;
  }

  /** The life of this name, if it is the one of `epoch`, or whichever it is. */
  find(name: string, epoch?: number): Consumer | undefined {
    const consumer = this.#alive.get(name);
    return epoch === undefined || consumer?.epoch === epoch ? consumer : undefined;
  }

  /** @throws StaleLeaseError */
  get(name: string, epoch: number): Consumer {
    const consumer = this.find(name, epoch);
    if (consumer !== undefined) return consumer;
    throw new StaleLeaseError(`the life of consumer ${name} with the epoch ${epoch} is over`);
  }

  names(): string[] {
    return [...this.#alive.keys()];
  }

  end(consumer: Consumer): void {
    this.#alive.delete(consumer.name);
  }

  /** Tells all that there may be something to fetch: once, however often it is called until then. */
  wake(): void {
    if (this.#isWaking || this.#alive.size === 0) return;
    this.#isWaking = true;
    queueMicrotask(() => {
      this.#isWaking = false;
      this.#origin.runInAsyncScope(() => this.tell((listener) => listener.onWake()));
    });
  }

  tell(what: (listener: ConsumerListener) => void): void {
    for (const { listener } of [...this.#alive.values()]) tellOne(listener, what);
  }

  clear(): void {
    this.#alive.clear();
  }
}

/** What a listener throws is its own affair: the engine has done its work, and others are to be told too. */
export function tellOne<L>(listener: L, what: (listener: L) => void): void {
  try {
    what(listener);
  } catch {}
}
