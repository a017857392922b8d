/**
 * Go's weighted semaphore, x/sync/semaphore: who wants much waits for much, and nobody is let past him meanwhile, so
 * nobody starves.
 *
 * Invariant: whenever someone waits, the first of them wants more than is available.
 */
import { show } from './checks.ts';
import { NotHeldError } from './errors.ts';
import type { CancelScope } from './scope.ts';
import { PromiseWaiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

const giveBack: unique symbol = Symbol('giveBack');
const grant: unique symbol = Symbol('grant');

/** What is held of a lock or a semaphore. `using` releases it at the end of the block. */
export class Permit implements Disposable {
  private semaphore: Semaphore | undefined;
  private readonly count: number;

  /** @internal */
  constructor(semaphore: Semaphore, count: number) {
    this.semaphore = semaphore;
    this.count = count;
  }

  /**
   * Gives it back, to whoever waits first.
   * @throws NotHeldError the second time
   */
  release(): void {
    const semaphore = this.semaphore;
    if (semaphore === undefined) throw new NotHeldError();
    this.semaphore = undefined;
    semaphore[giveBack](this.count);
  }

  /** {@link release}, if that hasn't been done: the end of a `using` block throws nothing after an early release. */
  [Symbol.dispose](): void {
    if (this.semaphore !== undefined) this.release();
  }
}

/**
 * `size` permits, of which each taker takes as many as it needs: connections, megabytes, places.
 *
 * ```ts
 * const memory = new Semaphore(512);
 * using _ = await memory.acquire(64, { signal });
 * ```
 *
 * Strictly first in, first out: a small request doesn't overtake a large one that waits. Other than in Go, asking for
 * more than `size` is refused at once, where Go would wait for the context to end.
 */
export class Semaphore {
  readonly size: number;
  #available: number;
  readonly #waiting = new AcquireQueue(this);

  /** @throws RangeError when `size` isn't a whole number from 1 */
  constructor(size: number) {
    checkCount('size', size);
    this.size = size;
    this.#available = size;
  }

  /** How many permits nobody holds. While someone waits for more, they can't be had. */
  get available(): number {
    return this.#available;
  }

  /**
   * Takes `count` permits as soon as they are free and nobody stands before. Give them back by the permit, or by
   * {@link Semaphore.release}, but not both.
   *
   * Rejects with the reason of `options.signal` when that fires first, and then holds nothing; even if the permits were
   * granted in the same turn. Rejects with a RangeError when `count` isn't a whole number from 1 to `size`.
   */
  acquire(count = 1, options?: WaitOptions): Promise<Permit> {
    try {
      checkCount('count', count);
      if (count > this.size) throw new RangeError(`count must be at most the size (${this.size}), got ${count}`);
      const scope = options === undefined ? undefined : waitScope(options);
      const permit = this.#take(count);
      if (permit !== undefined) return scope === undefined ? Promise.resolve(permit) : kept(permit, scope);
      const waiter = new Acquire(count);
      this.#waiting.push(waiter, scope);
      return scope === undefined ? waiter.promise : kept(waiter.promise, scope);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Takes `count` permits if they are free and nobody waits; else `undefined`.
   * @throws RangeError when `count` isn't a whole number from 1
   */
  tryAcquire(count = 1): Permit | undefined {
    checkCount('count', count);
    return this.#take(count);
  }

  /**
   * Gives back `count` permits.
   * @throws NotHeldError when fewer are held; none is given back then
   * @throws RangeError when `count` isn't a whole number from 1
   */
  release(count = 1): void {
    checkCount('count', count);
    this[giveBack](count);
  }

  /** @internal */
  [giveBack](count: number): void {
    const held = this.size - this.#available;
    if (count > held) throw new NotHeldError(`released ${count} of ${held} held: a semaphore gets back what it gave`);
    this.#available += count;
    if (this.#waiting.first !== undefined) this[grant]();
  }

  #take(count: number): Permit | undefined {
    if (count > this.#available || this.#waiting.first !== undefined) return undefined;
    this.#available -= count;
    return new Permit(this, count);
  }

  /** @internal Lets in who waits, in order, as long as there is enough for the first. */
  [grant](): void {
    for (let { first } = this.#waiting; first !== undefined && first.count <= this.#available; ) {
      this.#waiting.remove(first);
      this.#available -= first.count;
      first.resolve(new Permit(this, first.count));
      ({ first } = this.#waiting);
    }
  }
}

class Acquire extends PromiseWaiter<Permit> {
  readonly count: number;

  constructor(count: number) {
    super();
    this.count = count;
  }
}

class AcquireQueue extends WaitQueue<Acquire> {
  readonly #semaphore: Semaphore;

  constructor(semaphore: Semaphore) {
    super();
    this.#semaphore = semaphore;
  }

  /** It may have been the first, and have kept out others who want less. */
  protected override left(): void {
    this.#semaphore[grant]();
  }
}

/** What was granted, unless its taker was canceled before he could know of it: then he mustn't hold it. */
async function kept(granted: Permit | Promise<Permit>, scope: CancelScope): Promise<Permit> {
  const permit = await granted;
  if (scope.err === undefined) return permit;
  permit.release();
  throw scope.cause;
}

function checkCount(name: string, count: number): void {
  if (Number.isSafeInteger(count) && count >= 1) return;
  throw new RangeError(`${name} must be a whole number from 1, got ${show(count)}`);
}
