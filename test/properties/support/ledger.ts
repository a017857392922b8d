/**
 * The resources of a world: made and destroyed as its spec says, and every one of them accounted for.
 */
import type { CreateContext } from '../../../src/manager/index.ts';
import type { ResourceSpec } from './program.ts';
import type { Task } from './task.ts';
import type { Time } from './time.ts';

export class Resource {
  readonly number: number;
  destroyed = 0;
  /** No new family of tasks may get it any more: a task found it bad, or retired it. */
  unfit = false;
  /** Whose functions are alive on it. */
  readonly holders = new Set<Task>();

  constructor(number: number) {
    this.number = number;
  }
}

export interface LedgerHost {
  readonly time: Time;
  /** Looks at the books from inside a hook, and may throw if hooks are to throw. */
  inHook(what: string): void;
  fault(what: string): void;
  readonly strays: number;
}

export class Ledger {
  readonly all: Resource[] = [];
  /** `onCreate`s under way, those nobody waits for any more included. */
  creating = 0;
  mostCreating = 0;
  #asked = 0;
  readonly #deaf: (() => void)[] = [];
  readonly #spec: ResourceSpec;
  readonly #host: LedgerHost;

  constructor(spec: ResourceSpec, host: LedgerHost) {
    this.#spec = spec;
    this.#host = host;
  }

  readonly create = async ({ signal }: CreateContext): Promise<Resource> => {
    const { createMs, failEvery, hangEvery, deafEvery } = this.#spec;
    const turn = ++this.#asked;
    this.creating++;
    this.mostCreating = Math.max(this.mostCreating, this.creating);
    try {
      this.#host.inHook('onCreate');
      if (isTurn(turn, deafEvery)) await new Promise<void>((resolve) => this.#deaf.push(resolve));
      else if (isTurn(turn, hangEvery)) await aborted(signal);
      else if (createMs > 0) await new Promise<void>((resolve) => this.#host.time.setTimeout(resolve, createMs));
      if (isTurn(turn, failEvery)) throw new Error('onCreate fails');
      const resource = new Resource(this.all.length);
      this.all.push(resource);
      return resource;
    } finally {
      this.creating--;
    }
  };

  readonly destroy = (resource: Resource): unknown => {
    const { destroyMs, destroyThrows } = this.#spec;
    if (++resource.destroyed > 1) this.#host.fault(`resource ${resource.number} is destroyed again`);
    // Who still uses it must have been given up.
    if (resource.holders.size > this.#host.strays) {
      this.#host.fault(`resource ${resource.number} is destroyed while ${[...resource.holders].join(', ')} uses it`);
    }
    this.#host.inHook('onDestroy');
    if (destroyThrows && resource.number % 2 === 0) throw new Error('onDestroy fails');
    if (destroyMs === 0) return undefined;
    return new Promise<void>((resolve, reject) => {
      this.#host.time.setTimeout(() => {
        if (destroyThrows) reject(new Error('onDestroy fails late'));
        else resolve();
      }, destroyMs);
    });
  };

  /** Lets creations that hang return. */
  release(): void {
    for (const resolve of this.#deaf.splice(0)) resolve();
  }
}

function isTurn(turn: number, every: number): boolean {
  return every > 0 && turn % every === 0;
}

/** Rejects when the signal fires. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
