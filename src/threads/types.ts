/** The types of the public face of `errand/threads`. All times are in ms. */
import type { ResourceLimits } from 'node:worker_threads';
import type { LineLogger } from './output.ts';

/** What `typeof import('./work.js')` is. */
export type ThreadModule = object;

/** A module of which nothing is known. */
export interface AnyModule {
  readonly [name: string]: (...args: readonly unknown[]) => Promise<unknown>;
}

/** The names of the functions that a module exports. */
export type FunctionName<M extends ThreadModule> = {
  [K in keyof M]: M[K] extends (...args: never[]) => unknown ? K : never;
}[keyof M] &
  string;

/**
 * What a call gives for what the function returns: the values of a generator function as an AsyncIterable, and of all
 * others a promise.
 */
export type ThreadResult<T> = [T] extends [never]
  ? Promise<never>
  : unknown extends T
    ? Promise<T>
    : [T] extends [AsyncIterator<infer E, infer End>]
      ? ThreadStream<E, End>
      : [T] extends [Iterator<infer E, infer End>]
        ? ThreadStream<E, End>
        : [T] extends [AsyncIterable<infer E>]
          ? ThreadStream<E>
          : Promise<Awaited<T>>;

/** The values of a generator in a thread. It begins with the first `next()`, and is read once. */
export interface ThreadStream<E, End = unknown> extends AsyncIterableIterator<E, End | undefined, undefined> {
  /** Ends the generator, and resolves when it has ended. */
  return(): Promise<IteratorResult<E, End | undefined>>;
  [Symbol.asyncIterator](): ThreadStream<E, End>;
}

/** A module's functions, as they are called from outside of the thread. */
export type ThreadApi<M extends ThreadModule> = {
  readonly [K in FunctionName<M>]: M[K] extends (...args: infer A) => infer T ? (...args: A) => ThreadResult<T> : never;
};

/** One worker thread that has loaded a module: what a task of a manager made with `threads()` gets as its resource. */
export interface Thread<M extends ThreadModule = AnyModule> {
  /** Node's number of the thread. */
  readonly threadId: number;
  /**
   * The module's functions: `thread.api.resize(path, 200)` is `thread.call('resize', path, 200)`.
   */
  readonly api: ThreadApi<M>;
  /**
   * Calls a function that the module exports, in the thread. Arguments and result are copied, as by `structuredClone`;
   * what is marked by `transfer` is moved. The call is canceled with the task that makes it.
   *
   * @throws (it rejects with) what the function throws
   * @throws ThreadCrashError when the thread ends before the function returns
   * @throws NotCloneableError when an argument or the result can't be sent
   * @throws TypeError when the module exports no such function
   */
  call<K extends FunctionName<M>>(
    name: K,
    ...args: M[K] extends (...args: infer A) => unknown ? A : never
  ): M[K] extends (...args: never[]) => infer T ? ThreadResult<T> : never;
}

/** What threads are started with. */
export interface ThreadsOptions {
  /** How long a function may go on after it was canceled before its thread is terminated. Default 1,000. */
  readonly terminateAfterMs?: number | undefined;
  /** `workerData` of `node:worker_threads` in the thread. */
  readonly workerData?: unknown;
  /** Memory limits for each thread. Beyond them it ends with a ThreadCrashError. Default: Node's. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /** `process.env` in the thread. Default: a copy of this one. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Node's own flags for the thread, such as a loader. Default: those of this process. */
  readonly execArgv?: readonly string[] | undefined;
  /**
   * Where what threads write to stdout (`info`) and stderr (`warn`) goes, line by line, as `[thread 3] line`. Default:
   * this process's stdout and stderr.
   */
  readonly logger?: LineLogger | undefined;
}
