/**
 * `queueTaskStream`: what a generator yields on a worker, read elsewhere, with the generator held when too much waits.
 */

import { show } from '../go/checks.ts';
import { CanceledError } from '../go/errors.ts';
import type { TaskContext } from './context.ts';
import { checkFunction } from './options.ts';
import { type Preset, type Submitter, schedulerOf, submitTo } from './submitter.ts';
import { COMPLETED, Receiver, STATE_NAMES, type State, type Task, Terms } from './task.ts';
import { checkStreamOptions } from './task-options.ts';
import type { StreamFunction, StreamOptions, TaskState } from './types.ts';

/** The values of a generator that runs as a task, to be iterated once. */
export interface TaskStream<E> extends AsyncIterableIterator<E, undefined, undefined> {
  /** The id given at submission, or a ULID. */
  readonly id: string;
  /** Where the task stands. */
  readonly state: TaskState;
  /** Cancels the task: the loop ends with the error. False if it had ended already. */
  cancel(reason?: unknown): boolean;
  /** Ends the generator, and resolves when its worker is free. */
  return(): Promise<IteratorResult<E, undefined>>;
  [Symbol.asyncIterator](): TaskStream<E>;
}

const HIGH_WATER_MARK = 16;
const STREAM: Preset = { priority: undefined, once: false, run: false, attempt: false };

interface Reader {
  readonly resolve: (result: IteratorResult<unknown, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

export function openStream<E>(
  submitter: Submitter<unknown>,
  fn: StreamFunction<unknown, E>,
  options: StreamOptions = {},
): TaskStream<E> {
  try {
    checkFunction('the generator function', fn);
    checkStreamOptions(options);
  } catch (error) {
    const refused = new StreamReceiver<E>(submitter, HIGH_WATER_MARK);
    submitter[schedulerOf].submission.refuse(refused, fn, 'invalid', error);
    return refused;
  }
  const { highWaterMark = HIGH_WATER_MARK, ...taskOptions } = options;
  const stream = new StreamReceiver<E>(submitter, highWaterMark);
  submitter[submitTo](
    stream,
    (context: TaskContext, resource: unknown) => stream.produce(fn, context, resource),
    taskOptions,
    STREAM,
  );
  return stream;
}

function iteratorOf<E>(produced: unknown): Iterator<E> | AsyncIterator<E> {
  if (typeof produced === 'object' && produced !== null) {
    const source = produced as Partial<Iterable<E> & AsyncIterable<E>>;
    if (typeof source[Symbol.asyncIterator] === 'function') return source[Symbol.asyncIterator]!();
    if (typeof source[Symbol.iterator] === 'function') return source[Symbol.iterator]!();
  }
  throw new TypeError(`queueTaskStream takes a generator function, but the function returned ${show(produced)}`);
}

class StreamReceiver<E> extends Receiver implements TaskStream<E> {
  readonly #submitter: Submitter<unknown>;
  readonly #highWaterMark: number;
  readonly #values: E[] = [];
  readonly #readers: Reader[] = [];
  #task: Task | undefined;
  #state: State | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** Whoever reads on is told of no failure any more. */
  #left = false;
  /** The reader has left, or the task has ended: the generator is to end. */
  #closed = false;
  #resume: (() => void) | undefined;
  /** Resolves when the generator's function is no longer alive. */
  readonly #over: Promise<void>;
  #resolveOver!: () => void;

  constructor(submitter: Submitter<unknown>, highWaterMark: number) {
    super();
    this.#submitter = submitter;
    this.#highWaterMark = Math.max(1, highWaterMark);
    this.#over = new Promise((resolve) => {
      this.#resolveOver = resolve;
    });
  }

  get id(): string {
    return this.#submitter[schedulerOf].idOf(this.#task!);
  }

  get state(): TaskState {
    return STATE_NAMES[this.#state ?? this.#task!.state]!;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<E, undefined>> {
    if (this.#values.length > 0) {
      const value = this.#values.shift()!;
      this.#wake();
      return Promise.resolve({ done: false, value });
    }
    return new Promise<IteratorResult<unknown, undefined>>((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#settleReaders();
      this.#wake();
    }) as Promise<IteratorResult<E, undefined>>;
  }

  async return(): Promise<IteratorResult<E, undefined>> {
    this.#left = true;
    this.#values.length = 0;
    if (this.#state === undefined) this.cancel(new CanceledError('the reader has left the stream'));
    this.#failure = undefined;
    await this.#over;
    return { done: true, value: undefined };
  }

  cancel(reason?: unknown): boolean {
    return this.#submitter[schedulerOf].settlement.cancel(this.#task!, reason);
  }

  override attach(task: Task): void {
    this.#task = task;
  }

  settle(task: Task, state: State, value: unknown): void {
    this.#state = state;
    this.#closed = true;
    if (state !== COMPLETED && !this.#left) this.#failure = { error: value };
    if (task.home === undefined) this.#resolveOver();
    this.#settleReaders();
    this.#wake();
  }

  override returned(): void {
    this.#resolveOver();
  }

  /** The task: runs the generator to its end, or to the stream's. */
  async produce(fn: StreamFunction<unknown, E>, context: TaskContext, resource: unknown): Promise<void> {
    const iterator = iteratorOf<E>(fn(context, resource));
    let finished = false;
    try {
      while (!this.#closed) {
        const result = await iterator.next();
        if (result.done === true) {
          finished = true;
          return;
        }
        if (this.#closed) return;
        // What was read can't be unread: from here on there is no second run.
        if (this.#task!.terms?.once !== true) this.#task!.terms = Terms.once(this.#task!.terms);
        this.#push(result.value);
        if (this.#values.length >= this.#highWaterMark) await this.#room(context);
      }
    } catch (error) {
      finished = true;
      throw error;
    } finally {
      if (!finished) await iterator.return?.(undefined);
    }
  }

  #push(value: E): void {
    const reader = this.#readers.shift();
    if (reader === undefined) this.#values.push(value);
    else reader.resolve({ done: false, value });
  }

  /** Waits for the reader; that time isn't the generator's. */
  async #room(context: TaskContext): Promise<void> {
    context.pauseTimeout();
    await new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
    context.resumeTimeout();
  }

  #wake(): void {
    if (this.#resume === undefined || (!this.#closed && this.#values.length >= this.#highWaterMark)) return;
    const resume = this.#resume;
    this.#resume = undefined;
    resume();
  }

  #settleReaders(): void {
    if (this.#state === undefined || this.#values.length > 0) return;
    for (const reader of this.#readers.splice(0)) {
      const failure = this.#failure;
      // Thrown once; after that the stream is over.
      this.#failure = undefined;
      if (failure === undefined) reader.resolve({ done: true, value: undefined });
      else reader.reject(failure.error);
    }
  }
}
