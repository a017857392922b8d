/**
 * The ways to submit, the same on a TaskManager and, for children, on a task's context. All are one-liners over the
 * two that their owner provides: one that returns a promise, and one that tells a receiver.
 */
import { background, type Context } from '../go/context.ts';
import type { ErrGroup } from '../go/err-group.ts';
import type { TaskContext } from './context.ts';
import { TaskGroup } from './group.ts';
import { CallbackReceiver, DetachedReceiver, HandleReceiver, type TaskHandle } from './handle.ts';
import { mapTasks, type TaskMap } from './map.ts';
import { checkFunction } from './options.ts';
import type { Scheduler } from './scheduler.ts';
import { openStream, type TaskStream } from './stream.ts';
import type { Receiver } from './task.ts';
import type {
  IndexedResult,
  MapOptions,
  RunOptions,
  StreamFunction,
  StreamOptions,
  TaskCallback,
  TaskFunction,
  TaskOptions,
} from './types.ts';

/** What a family of methods adds to the options given. */
export interface Preset {
  readonly priority: number | undefined;
  readonly once: boolean;
  /** Past the queue, on a resource of `runTask`'s pool. */
  readonly run: boolean;
  /** Refused, whatever the overflow policy, when there is no room. */
  readonly attempt: boolean;
}

const QUEUE: Preset = { priority: undefined, once: false, run: false, attempt: false };
const PRIORITY: Preset = { ...QUEUE, priority: 1 };
const ONCE: Preset = { ...QUEUE, once: true };
const PRIORITY_ONCE: Preset = { ...PRIORITY, once: true };
const RUN: Preset = { ...QUEUE, run: true };
const TRY: Preset = { ...QUEUE, attempt: true };

export const submitPlain = Symbol('submitPlain');
export const submitTo = Symbol('submitTo');
export const schedulerOf = Symbol('schedulerOf');

export abstract class Submitter<R, O extends TaskOptions = TaskOptions> {
  /** @internal */
  abstract [submitPlain]<E>(fn: unknown, options: TaskOptions | undefined, preset: Preset): Promise<E>;
  /** @internal Tells `receiver` of a refusal as well; false if it was one. */
  abstract [submitTo](receiver: Receiver, fn: unknown, options: TaskOptions | undefined, preset: Preset): boolean;
  /** @internal */
  abstract get [schedulerOf](): Scheduler;

  /**
   * Queues a task and promises its result: Tasker's `QueueTask`. The promise rejects with what the function threw, or
   * with QueueFullError, DeadlineExceededError, CanceledError, MaxRetriesError or ShutdownError; with the reason of
   * `options.signal` if that fires; with TypeError or RangeError for wrong arguments.
   *
   * @example
   * const user = await manager.queueTask(async ({ signal }, db) => db.user(id, { signal }), { timeoutMs: 2_000 });
   */
  queueTask<T>(fn: TaskFunction<R, T>, options?: O): Promise<Awaited<T>> {
    return this[submitPlain](fn, options, QUEUE);
  }

  /**
   * Queues a task and returns at once with a handle to await, cancel, reprioritise or iterate it: Tasker's
   * `QueueTaskAsync` with its result channel. A handle that nobody awaits causes no unhandled rejection.
   *
   * @example
   * const handle = manager.queueTaskAsync(render);
   * if (tooLate) handle.cancel('nobody waits for it any more');
   * const page = await handle;
   */
  queueTaskAsync<T>(fn: TaskFunction<R, T>, options?: O): TaskHandle<Awaited<T>> {
    return this.#handle(fn, options, QUEUE);
  }

  /**
   * Queues a task and calls back with `(error, value)` in a turn of the event loop of its own, when the worker is free
   * again: Tasker's `QueueTaskWithCallback`. What the callback throws goes to the manager's `error` event.
   */
  queueTaskWithCallback<T>(fn: TaskFunction<R, T>, callback: TaskCallback<Awaited<T>>, options?: O): void {
    this.#callback(fn, callback, options, QUEUE);
  }

  /** {@link queueTask} with a limit of `timeoutMs` on each run. */
  queueTaskWithTimeout<T>(fn: TaskFunction<R, T>, timeoutMs: number, options?: O): Promise<Awaited<T>> {
    return this.#timed(fn, timeoutMs, options, QUEUE);
  }

  /** {@link queueTask} before all of priority 0: with priority 1 unless the options say another. */
  queueTaskWithPriority<T>(fn: TaskFunction<R, T>, options?: O): Promise<Awaited<T>> {
    return this[submitPlain](fn, options, PRIORITY);
  }

  /** {@link queueTaskAsync} with priority 1 unless the options say another. */
  queueTaskWithPriorityAsync<T>(fn: TaskFunction<R, T>, options?: O): TaskHandle<Awaited<T>> {
    return this.#handle(fn, options, PRIORITY);
  }

  /** {@link queueTaskWithCallback} with priority 1 unless the options say another. */
  queueTaskWithPriorityWithCallback<T>(fn: TaskFunction<R, T>, callback: TaskCallback<Awaited<T>>, options?: O): void {
    this.#callback(fn, callback, options, PRIORITY);
  }

  /** {@link queueTaskWithTimeout} with priority 1 unless the options say another. */
  queueTaskWithPriorityWithTimeout<T>(fn: TaskFunction<R, T>, timeoutMs: number, options?: O): Promise<Awaited<T>> {
    return this.#timed(fn, timeoutMs, options, PRIORITY);
  }

  /** {@link queueTask} with at most one run: after a failure on a bad resource it rejects with the error itself. */
  queueTaskOnce<T>(fn: TaskFunction<R, T>, options?: O): Promise<Awaited<T>> {
    return this[submitPlain](fn, options, ONCE);
  }

  /** {@link queueTaskAsync} with at most one run. */
  queueTaskOnceAsync<T>(fn: TaskFunction<R, T>, options?: O): TaskHandle<Awaited<T>> {
    return this.#handle(fn, options, ONCE);
  }

  /** {@link queueTaskWithCallback} with at most one run. */
  queueTaskOnceWithCallback<T>(fn: TaskFunction<R, T>, callback: TaskCallback<Awaited<T>>, options?: O): void {
    this.#callback(fn, callback, options, ONCE);
  }

  /** {@link queueTaskWithTimeout} with at most one run. */
  queueTaskOnceWithTimeout<T>(fn: TaskFunction<R, T>, timeoutMs: number, options?: O): Promise<Awaited<T>> {
    return this.#timed(fn, timeoutMs, options, ONCE);
  }

  /** {@link queueTaskWithPriority} with at most one run. */
  queueTaskWithPriorityOnce<T>(fn: TaskFunction<R, T>, options?: O): Promise<Awaited<T>> {
    return this[submitPlain](fn, options, PRIORITY_ONCE);
  }

  /** {@link queueTaskWithPriorityAsync} with at most one run. */
  queueTaskWithPriorityOnceAsync<T>(fn: TaskFunction<R, T>, options?: O): TaskHandle<Awaited<T>> {
    return this.#handle(fn, options, PRIORITY_ONCE);
  }

  /** {@link queueTaskWithPriorityWithCallback} with at most one run. */
  queueTaskWithPriorityOnceWithCallback<T>(
    fn: TaskFunction<R, T>,
    callback: TaskCallback<Awaited<T>>,
    options?: O,
  ): void {
    this.#callback(fn, callback, options, PRIORITY_ONCE);
  }

  /** {@link queueTaskWithPriorityWithTimeout} with at most one run. */
  queueTaskWithPriorityOnceWithTimeout<T>(fn: TaskFunction<R, T>, timeoutMs: number, options?: O): Promise<Awaited<T>> {
    return this.#timed(fn, timeoutMs, options, PRIORITY_ONCE);
  }

  /**
   * Runs a task at once, past the queue, on a pooled resource, or on a temporary one if the pool is taken: Tasker's
   * `RunTask`. Works while the manager is paused. Rejects with ResourceError when `maxTemporary` are taken too.
   */
  runTask<T>(fn: TaskFunction<R, T>, options?: RunOptions): Promise<Awaited<T>> {
    return this[submitPlain](fn, options, RUN);
  }

  /** {@link runTask} with a handle. */
  runTaskAsync<T>(fn: TaskFunction<R, T>, options?: RunOptions): TaskHandle<Awaited<T>> {
    return this.#handle(fn, options, RUN);
  }

  /** {@link runTask} with a callback. */
  runTaskWithCallback<T>(fn: TaskFunction<R, T>, callback: TaskCallback<Awaited<T>>, options?: RunOptions): void {
    this.#callback(fn, callback, options, RUN);
  }

  /** {@link runTask} with a limit of `timeoutMs`. */
  runTaskWithTimeout<T>(fn: TaskFunction<R, T>, timeoutMs: number, options?: RunOptions): Promise<Awaited<T>> {
    return this.#timed(fn, timeoutMs, options, RUN);
  }

  /**
   * A handle, or undefined when the queue has no room, whatever the overflow policy: pond's `TrySubmit`.
   */
  tryQueueTask<T>(fn: TaskFunction<R, T>, options?: O): TaskHandle<Awaited<T>> | undefined {
    const receiver = new HandleReceiver<Awaited<T>>(this[schedulerOf]);
    return this[submitTo](receiver, fn, options, TRY) || receiver.refusal !== 'full' ? receiver : undefined;
  }

  /**
   * Queues a task whose result nobody wants: Go's `go` statement. A failure goes to the `taskFailed` event and the
   * logger. Throws TypeError or RangeError for wrong arguments, as it has no promise to say so by.
   */
  go(fn: TaskFunction<R, unknown>, options?: O): void {
    const receiver = new DetachedReceiver(this[schedulerOf]);
    this[submitTo](receiver, fn, options, QUEUE);
    if (receiver.invalid !== undefined) throw receiver.invalid;
  }

  /**
   * A group whose functions run as tasks, under a context of the group that is below `ctx`: Go's errgroup, with workers
   * for goroutines. Its `go` resolves when the task has begun on a worker, or has failed before it could (refused by a
   * full queue, canceled), which is an error of the group too. The first error cancels all that is queued or runs.
   *
   * As `wait` ends the group's context, what comes after it is refused: make another group. Throws TypeError when `ctx`
   * is neither a Context nor an AbortSignal.
   *
   * @example
   * await using group = manager.group(ctx);
   * for (const id of ids) await group.go((ctx, db) => db.refresh(id, { signal: ctx.signal }));
   */
  group(ctx: Context | AbortSignal = background()): ErrGroup<[context: TaskContext<R>, resource: R]> {
    return new TaskGroup<R>(this as unknown as Submitter<R>, ctx);
  }

  /**
   * Queues a generator and streams what it yields. The generator is held when `highWaterMark` values wait for the
   * reader; leaving the loop early ends it and frees the worker; its failure throws in the loop, after the values
   * before it. `timeoutMs` counts the generator's time only. Once a value was read from it, it isn't run again.
   *
   * @example
   * for await (const row of manager.queueTaskStream(async function* (ctx, db) {
   *   for (let page = 0; ; page++) yield* await db.page(page, { signal: ctx.signal });
   * })) console.log(row);
   */
  queueTaskStream<E>(fn: StreamFunction<R, E>, options?: StreamOptions & O): TaskStream<E> {
    return openStream<E>(this as unknown as Submitter<unknown>, fn as StreamFunction<unknown, E>, options);
  }

  /**
   * Runs `fn` over the input and iterates the values as they come. Input is pulled lazily: never more is under way than
   * the workers hold plus `highWaterMark`. The first failure cancels the rest, waits for what runs, and throws; leaving
   * the loop early does the same without throwing.
   *
   * @example
   * for await (const page of manager.map(urls, (url, { signal }) => fetch(url, { signal }))) console.log(page.status);
   */
  map<I, T>(
    input: Iterable<I> | AsyncIterable<I>,
    fn: (item: I, context: Parameters<TaskFunction<R, T>>[0], resource: R) => T,
    options: MapOptions & { readonly settled: true },
  ): TaskMap<IndexedResult<Awaited<T>>>;
  map<I, T>(
    input: Iterable<I> | AsyncIterable<I>,
    fn: (item: I, context: Parameters<TaskFunction<R, T>>[0], resource: R) => T,
    options?: MapOptions & { readonly settled?: false | undefined },
  ): TaskMap<Awaited<T>>;
  map<I, T>(
    input: Iterable<I> | AsyncIterable<I>,
    fn: (item: I, context: Parameters<TaskFunction<R, T>>[0], resource: R) => T,
    options: MapOptions,
  ): TaskMap<Awaited<T> | IndexedResult<Awaited<T>>>;
  map<I, T>(
    input: Iterable<I> | AsyncIterable<I>,
    fn: (item: I, context: Parameters<TaskFunction<R, T>>[0], resource: R) => T,
    options?: MapOptions,
  ): TaskMap<Awaited<T> | IndexedResult<Awaited<T>>> {
    return mapTasks(this as unknown as Submitter<unknown>, input, fn as never, options);
  }

  /**
   * Queues many functions and iterates their outcomes in the order of completion: Go's one result channel for many.
   *
   * @example
   * for await (const { index, status } of manager.queueTasks(jobs)) console.log(index, status);
   */
  queueTasks<F extends TaskFunction<R, unknown>>(
    fns: Iterable<F> | AsyncIterable<F>,
    options?: Omit<MapOptions, 'settled'>,
  ): TaskMap<IndexedResult<Awaited<ReturnType<F>>>> {
    return this.map(
      fns,
      (fn, context, resource) => {
        checkFunction('each of the tasks', fn);
        return fn(context, resource) as ReturnType<F>;
      },
      withMore(options, { settled: true as const }),
    );
  }

  #handle<E>(fn: unknown, options: TaskOptions | undefined, preset: Preset): TaskHandle<E> {
    const receiver = new HandleReceiver<E>(this[schedulerOf]);
    this[submitTo](receiver, fn, options, preset);
    return receiver;
  }

  #callback<E>(fn: unknown, callback: TaskCallback<E>, options: TaskOptions | undefined, preset: Preset): void {
    if (typeof callback !== 'function') {
      this[schedulerOf].refused('invalid');
      checkFunction('callback', callback);
    }
    this[submitTo](new CallbackReceiver(this[schedulerOf], callback as TaskCallback<unknown>), fn, options, preset);
  }

  #timed<E>(fn: unknown, timeoutMs: number, options: TaskOptions | undefined, preset: Preset): Promise<E> {
    // null, so that a timeout left out is found wrong and not taken for the default.
    return this[submitPlain](fn, withMore(options, { timeoutMs: timeoutMs ?? (null as never) }), preset);
  }
}

/** Options and one more. What is wrong in their place stays as it is, to be found wrong. */
function withMore<O extends object, M extends object>(options: O | undefined, more: M): O & M {
  const wrong = (typeof options !== 'object' && options !== undefined) || options === null;
  return (wrong || options instanceof AbortSignal ? options : { ...options, ...more }) as O & M;
}
