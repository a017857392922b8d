/** Those who wait for the queue to be idle, empty, or short. */
import { PromiseWaiter, type WaitOptions, WaitQueue, waitScope } from '../go/wait-queue.ts';

type Watching = WaitQueue<PromiseWaiter<void>>;

export class Watchers {
  readonly #idle: Watching = new WaitQueue();
  readonly #empty: Watching = new WaitQueue();
  /** By the size they wait for, and the largest of these: above it there is nobody to look for. */
  readonly #sizes = new Map<number, Watching>();
  #largest = 0;

  untilIdle(options: WaitOptions | undefined): Promise<void> {
    return wait(this.#idle, options);
  }

  untilEmpty(options: WaitOptions | undefined): Promise<void> {
    return wait(this.#empty, options);
  }

  untilSizeLessThan(size: number, options: WaitOptions | undefined): Promise<void> {
    let waiting = this.#sizes.get(size);
    if (waiting === undefined) {
      waiting = new WaitQueue();
      this.#sizes.set(size, waiting);
      this.#largest = Math.max(this.#largest, size);
    }
    return wait(waiting, options);
  }

  onIdle(): void {
    meet(this.#idle);
  }

  onEmpty(): void {
    meet(this.#empty);
  }

  onSize(size: number): void {
    if (size >= this.#largest) return;
    this.#largest = 0;
    for (const [wanted, waiting] of this.#sizes) {
      if (size < wanted) {
        meet(waiting);
        this.#sizes.delete(wanted);
      } else this.#largest = Math.max(this.#largest, wanted);
    }
  }
}

function meet(waiting: Watching): void {
  for (let waiter = waiting.shift(); waiter !== undefined; waiter = waiting.shift()) waiter.resolve();
}

function wait(waiting: Watching, options: WaitOptions | undefined): Promise<void> {
  const scope = waitScope(options);
  const waiter = new PromiseWaiter<void>();
  waiting.push(waiter, scope);
  return waiter.promise;
}
