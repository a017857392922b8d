/** What the tests of the manager share: a manager that always comes to its end, work that waits to be told, and turns. */
import assert from 'node:assert/strict';
import { TaskManager, type TaskManagerOptions } from '../../src/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';

export { turn } from '../../src/testing/turn.ts';

/**
 * A test with a manager of its own: two workers unless told, no bursts, and a clock that only the test moves. At the
 * end the books must balance, the manager is killed, and nothing may be left.
 */
export function managing<R = undefined>(
  options: TaskManagerOptions<R>,
  body: (manager: TaskManager<R>, clock: VirtualClock) => unknown,
): () => Promise<void> {
  return withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager<R>({ workerCount: 2, burstIntervalMs: 0, clock, ...options });
    try {
      await body(manager, clock);
      assertBalanced(manager);
    } finally {
      await end(manager, clock);
    }
    assertBalanced(manager);
    assert.equal(manager.stats().queuedTasks + manager.stats().runningTasks, 0);
  });
}

/** Kills the manager, and moves its clock past every grace. */
export async function end<R>(manager: TaskManager<R>, clock: VirtualClock): Promise<void> {
  const ended = manager.kill('the test is over');
  await clock.advance(60_000);
  await ended;
}

/** Promise 2: the books balance, at every instant. */
export function assertBalanced<R>(manager: TaskManager<R>): void {
  const metrics = manager.metrics();
  const { queuedTasks, runningTasks } = manager.stats();
  const { totalTasksCompleted, totalTasksFailed, totalTasksTimedOut, totalTasksCanceled, totalTasksDropped } = metrics;
  assert.equal(
    queuedTasks +
      runningTasks +
      totalTasksCompleted +
      totalTasksFailed +
      totalTasksTimedOut +
      totalTasksCanceled +
      totalTasksDropped,
    metrics.totalTasksArrived,
    'arrived = queued + running + all ends',
  );
}

/** A promise to be settled by hand. */
export class Deferred<T = void> {
  readonly promise: Promise<T>;
  resolve!: (value: T | PromiseLike<T>) => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** Takes `count` workers of the manager, until `release` is called. Resolves when they are taken. */
export async function hold<R>(manager: TaskManager<R>, count = 1): Promise<{ release: () => Promise<void> }> {
  const until = new Deferred();
  const started: Promise<void>[] = [];
  const ended: Promise<void>[] = [];
  for (let i = 0; i < count; i++) {
    const begun = new Deferred();
    started.push(begun.promise);
    const task = manager.queueTask(
      () => {
        begun.resolve();
        return until.promise;
      },
      { priority: Number.MAX_VALUE },
    );
    task.catch(() => {}); // it is killed at the end of the test, unless it was released
    ended.push(task);
  }
  await Promise.all(started);
  return {
    release: async () => {
      until.resolve();
      await Promise.all(ended);
    },
  };
}

/** How a promise stands, once the turns of the event loop that it may need are over. */
export async function stateOf(promise: PromiseLike<unknown>): Promise<'pending' | 'fulfilled' | 'rejected'> {
  let state: 'pending' | 'fulfilled' | 'rejected' = 'pending';
  promise.then(
    () => {
      state = 'fulfilled';
    },
    () => {
      state = 'rejected';
    },
  );
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  return state;
}

/** What a promise rejects with; the test fails if it doesn't. */
export async function rejectionOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('it was to reject, but it resolved');
}

/** All values of an iteration. */
export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
