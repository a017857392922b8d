/** What the tests of the heart share: promises settled by hand, resources that are watched, and the books. */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import type { CreateContext, ManagerEvents, ManagerMetrics, TaskManager } from '../../src/manager/index.ts';
import { turn } from '../../src/testing/turn.ts';

// A test that fails leaves its manager as it is, and one with work would hold the process for ever.
after(() => {
  setTimeout(() => process.exit(process.exitCode ?? 1), 1_000).unref();
});

/** A promise settled by hand. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((resolveIt, rejectIt) => {
    resolve = resolveIt;
    reject = rejectIt;
  });
  return { promise, resolve, reject };
}

/** Lets all that is under way on promises and immediates come to rest, with no time passing on a virtual clock. */
export async function settle(turns = 5): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
}

/** The outcome of a promise that needs no time to pass: fails, instead of hanging, when that never comes. */
export async function within<T>(promise: Promise<T>, turns = 200): Promise<T> {
  let isSettled = false;
  const settled = (): void => {
    isSettled = true;
  };
  promise.then(settled, settled);
  for (let i = 0; i < turns && !isSettled; i++) await turn();
  if (!isSettled) throw new assert.AssertionError({ message: `still pending after ${turns} turns: a deadlock?` });
  return promise;
}

export const noop = (): void => {};

/** A task's function that only ends when its run is canceled. */
export function untilCanceled(ctx: { done(): Promise<void> }): Promise<void> {
  return ctx.done();
}

export interface Resource {
  readonly id: number;
  destroyed: number;
}

/** Resources that are counted: `onCreate` and `onDestroy` for a manager, and what has become of them. */
export class Stock {
  readonly made: Resource[] = [];
  readonly signals: AbortSignal[] = [];
  calls = 0;
  readonly #create: ((call: number, context: CreateContext) => unknown) | undefined;

  /** @param create is called and awaited first, with the number of the call from 1: to hold it up, or to throw */
  constructor(create?: (call: number, context: CreateContext) => unknown) {
    this.#create = create;
  }

  readonly onCreate = async (context: CreateContext): Promise<Resource> => {
    const call = ++this.calls;
    this.signals.push(context.signal);
    await this.#create?.(call, context);
    const resource = { id: this.made.length + 1, destroyed: 0 };
    this.made.push(resource);
    return resource;
  };

  readonly onDestroy = (resource: Resource): void => {
    resource.destroyed++;
  };

  /** What a manager is made with. */
  get hooks(): Pick<this, 'onCreate' | 'onDestroy'> {
    return { onCreate: this.onCreate, onDestroy: this.onDestroy };
  }

  get alive(): number {
    return this.made.filter(({ destroyed }) => destroyed === 0).length;
  }

  assertAllDestroyedOnce(): void {
    assert.deepEqual(
      this.made.map(({ destroyed }) => destroyed),
      this.made.map(() => 1),
      'each resource is destroyed exactly once',
    );
  }
}

/** Asserts that the books balance (promise 2), and returns the metrics. */
export function assertBooks<R>(manager: TaskManager<R>): ManagerMetrics {
  const stats = manager.stats();
  const metrics = manager.metrics();
  assert.equal(
    metrics.totalTasksArrived,
    stats.queuedTasks +
      stats.runningTasks +
      metrics.totalTasksCompleted +
      metrics.totalTasksFailed +
      metrics.totalTasksTimedOut +
      metrics.totalTasksCanceled +
      metrics.totalTasksDropped,
    'arrived = queued + running + all ends',
  );
  return metrics;
}

/** Collects what an event tells. */
export function heard<R, E extends keyof ManagerEvents>(manager: TaskManager<R>, event: E): ManagerEvents[E][0][] {
  const details: ManagerEvents[E][0][] = [];
  manager.on(event, ((detail: ManagerEvents[E][0]) => details.push(detail)) as never);
  return details;
}

/** The state of a promise, without waiting for it; settle first. */
export async function stateOf(promise: Promise<unknown>): Promise<'pending' | 'fulfilled' | 'rejected'> {
  const pending = Symbol('pending');
  try {
    return (await Promise.race([promise, Promise.resolve(pending)])) === pending ? 'pending' : 'fulfilled';
  } catch {
    return 'rejected';
  }
}
