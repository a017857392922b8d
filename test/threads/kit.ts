/** What the tests of threads share: modules to run, managers of threads, and memory that both sides see. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { holdProcess } from '../../src/go/clock.ts';
import { TaskManager, type TaskManagerOptions } from '../../src/index.ts';
import {
  type AnyModule,
  type Thread,
  type ThreadModule,
  type ThreadsOptions,
  threads,
} from '../../src/threads/index.ts';
import { deferred } from '../manager/kit.ts';
import { ROOT } from '../programs.ts';

export { deferred };

/** The address of a module in `modules/`. They are JavaScript, as threads of Node 20 run nothing else. */
export function work(name: string): URL {
  return pathToFileURL(join(ROOT, 'test/threads/modules', name));
}

/** The address of a module with this text. It can import nothing but Node's own modules, and by full address. */
export function source(text: string): string {
  return `data:text/javascript,${encodeURIComponent(text)}`;
}

export type ManageOptions = ThreadsOptions &
  Omit<TaskManagerOptions<Thread>, 'onCreate' | 'onDestroy' | 'checkHealth' | 'logger'>;

/** A manager of threads with as few surprises as can be: one worker, no burst, and not the loader of this process. */
export function manage<M extends ThreadModule = AnyModule>(
  module: URL | string,
  options: ManageOptions = {},
): TaskManager<Thread<M>> {
  const { terminateAfterMs, workerData, resourceLimits, env, execArgv = [], logger, ...rest } = options;
  return new TaskManager<Thread<M>>({
    ...threads<M>(module, { terminateAfterMs, workerData, resourceLimits, env, execArgv, logger }),
    workerCount: 1,
    burstIntervalMs: 0,
    ...rest,
  });
}

/**
 * Numbers that a test and its threads share, given to them as `workerData`: to see from outside what goes on in a thread
 * that is busy, and to hold it up.
 */
export class Probe {
  readonly cells = new Int32Array(new SharedArrayBuffer(4 * 16));

  get(index: number): number {
    return Atomics.load(this.cells, index);
  }

  /** Sets a number, and wakes the thread that waits for it. */
  set(index: number, value: number): void {
    Atomics.store(this.cells, index, value);
    Atomics.notify(this.cells, index);
  }

  /** Resolves when the number is `value` at least. */
  async reached(index: number, value = 1): Promise<void> {
    await until(() => this.get(index) >= value, `number ${index} is ${value}`);
  }
}

const PATIENCE_MS = 20_000;

/** Resolves when something is so that tells nobody when it becomes so. Fails, instead of hanging, when it never is. */
export async function until(isSo: () => boolean, what = String(isSo)): Promise<void> {
  const began = performance.now();
  while (!isSo()) {
    if (performance.now() - began > PATIENCE_MS) throw new assert.AssertionError({ message: `it never came: ${what}` });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** What tests look at of an error. */
export interface Rejection extends Error {
  readonly code?: unknown;
  readonly exitCode?: unknown;
  readonly hasBegun?: unknown;
}

/** What a promise rejects with. */
export async function rejectionOf(promise: PromiseLike<unknown>): Promise<Rejection> {
  try {
    await promise;
  } catch (error) {
    return error as Rejection;
  }
  throw new assert.AssertionError({ message: 'it has not rejected' });
}

/** All that comes of an iterable. */
export async function collect<E>(from: AsyncIterable<E>): Promise<E[]> {
  const values: E[] = [];
  for await (const value of from) values.push(value);
  return values;
}

/** Waits for something that idle threads bring about: they hold no process, and so the test has to. */
export async function held<T>(promise: Promise<T>): Promise<T> {
  const letGo = holdProcess();
  try {
    return await promise;
  } finally {
    letGo();
  }
}
