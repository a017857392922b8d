/**
 * `map`: a function over an input that may be endless, with as much under way as the workers hold.
 *
 * Each item under way has a slot, which is reused; items are pulled when there is a slot, and as many results may wait
 * for the reader as `highWaterMark` says. Invariant: slots under way <= workers, and slots under way plus results
 * waiting <= workers + highWaterMark.
 */
import { AsyncResource } from 'node:async_hooks';
import { show } from '../go/checks.ts';
import { isContext } from '../go/context.ts';
import { CanceledError } from '../go/errors.ts';
import { checkFunction } from './options.ts';
import { firedReason, onFired } from './signals.ts';
import { type Preset, type Submitter, schedulerOf, submitTo } from './submitter.ts';
import {
  COMPLETED,
  pendingPromise,
  Receiver,
  Rejection,
  type Resolve,
  resolveOf,
  type State,
  type Task,
} from './task.ts';
import { checkMapOptions } from './task-options.ts';
import type { MapOptions, TaskOptions } from './types.ts';

/** The results of `map` and `queueTasks`, to be iterated once. */
export interface TaskMap<E> extends AsyncIterableIterator<E, undefined, undefined> {
  /** Cancels what is under way, waits until no function of it runs any more, and ends the iteration. */
  return(): Promise<IteratorResult<E, undefined>>;
  [Symbol.asyncIterator](): TaskMap<E>;
}

type ItemFunction = (item: unknown, context: unknown, resource: unknown) => unknown;

const EACH: Preset = { priority: undefined, once: false, run: false, attempt: false };

export function mapTasks<E>(
  submitter: Submitter<unknown>,
  input: Iterable<unknown> | AsyncIterable<unknown>,
  fn: ItemFunction,
  options: MapOptions = {},
): TaskMap<E> {
  try {
    checkMapOptions(options);
    checkFunction('the function to map', fn);
    return new Mapping<E>(submitter, iteratorOf(input), fn, options);
  } catch (error) {
    submitter[schedulerOf].refused('invalid');
    return new Mapping<E>(submitter, throwing(error), fn, {});
  }
}

/** A wrong submission is told where its outcome is awaited. */
function throwing(error: unknown): Iterator<never> {
  return {
    next() {
      throw error;
    },
  };
}

function iteratorOf(input: unknown): Iterator<unknown> | AsyncIterator<unknown> {
  if (typeof input === 'string' || (typeof input === 'object' && input !== null)) {
    const source = input as Partial<Iterable<unknown> & AsyncIterable<unknown>>;
    if (typeof source[Symbol.asyncIterator] === 'function') return source[Symbol.asyncIterator]!();
    if (typeof source[Symbol.iterator] === 'function') return source[Symbol.iterator]!();
  }
  throw new TypeError(`map takes an iterable or async iterable, but got ${show(input)}`);
}

/** One item under way. */
class Slot extends Receiver {
  readonly #mapping: Mapping<unknown>;
  /** The task's function, the same for all items of the slot. */
  readonly run: (context: unknown, resource: unknown) => unknown;
  item: unknown;
  index = -1;
  task: Task | undefined;

  constructor(mapping: Mapping<unknown>, fn: ItemFunction) {
    super();
    this.#mapping = mapping;
    this.run = (context, resource) => fn(this.item, context, resource);
  }

  override attach(task: Task): void {
    this.task = task;
  }

  settle(task: Task, state: State, value: unknown): void {
    this.#mapping.settled(this, task, state, value);
  }

  override returned(): void {
    this.#mapping.freed(this);
  }
}

const SETTLED = Promise.resolve();

class Mapping<E> implements TaskMap<E> {
  readonly #submitter: Submitter<unknown>;
  readonly #source: Iterator<unknown> | AsyncIterator<unknown>;
  readonly #fn: ItemFunction;
  readonly #options: MapOptions;
  readonly #taskOptions: TaskOptions | undefined;
  readonly #highWaterMark: number;
  readonly #slots: Slot[] = [];
  readonly #free: Slot[] = [];
  /** Results for the reader: in order of completion, or by index. */
  readonly #ready: unknown[] = [];
  #readyHead = 0;
  readonly #early = new Map<number, unknown>();
  /** Those who wait for a result: one, but for readers who ask ahead. */
  readonly #readers: Resolve[] = [];
  #nextIndex = 0;
  #nextOut = 0;
  /** No more input: it is exhausted, or nobody wants it. */
  #ended = false;
  /** An asynchronous source is being asked. */
  #asking = false;
  /** Ends the watch that is kept meanwhile on what may end the iteration. */
  #unwatch: (() => void) | undefined;
  #pullScheduled = false;
  #failure: { readonly error: unknown } | undefined;
  /** For pulling from elsewhere: tasks run in the async context in which map was called. */
  readonly #origin: AsyncResource | undefined;
  #closed: Promise<void> | undefined;
  #resolveClosed: (() => void) | undefined;

  constructor(
    submitter: Submitter<unknown>,
    source: Iterator<unknown> | AsyncIterator<unknown>,
    fn: ItemFunction,
    options: MapOptions,
  ) {
    this.#submitter = submitter;
    this.#source = source;
    this.#fn = fn;
    this.#options = options;
    const { ordered: _, settled: __, highWaterMark = 16, ...taskOptions } = options;
    this.#highWaterMark = highWaterMark;
    const { maxQueueSize, asyncContext } = submitter[schedulerOf].settings;
    const plain = Object.keys(taskOptions).length === 0 && maxQueueSize === Number.POSITIVE_INFINITY;
    this.#taskOptions = plain ? undefined : { overflow: 'wait', ...taskOptions };
    this.#origin = asyncContext ? new AsyncResource('errand.map') : undefined;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<E, undefined>> {
    if (this.#readyHead < this.#ready.length) {
      const value = this.#shiftReady() as E;
      this.#pullForReader();
      return Promise.resolve({ done: false, value });
    }
    const promise = pendingPromise<IteratorResult<E, undefined>>();
    this.#readers.push(resolveOf());
    this.#pullForReader();
    this.#settleReaders();
    return promise;
  }

  async return(): Promise<IteratorResult<E, undefined>> {
    this.#ready.length = 0;
    this.#readyHead = 0;
    this.#early.clear();
    await this.#close(new CanceledError('the reader has left the loop'));
    this.#failure = undefined;
    this.#settleReaders();
    return { done: true, value: undefined };
  }

  /** An item's task has ended. */
  settled(slot: Slot, task: Task, state: State, value: unknown): void {
    const { index } = slot;
    // A task ended from outside leaves a living function, which keeps the slot.
    const alive = task.home !== undefined;
    const stopped = slot.refusal === 'stopped';
    // The slot first: the next item is to be under way before the reader asks for it.
    if (!alive) this.#release(slot, state !== COMPLETED);
    if (this.#options.settled === true) {
      if (stopped) this.#end();
      const result =
        state === COMPLETED ? { status: 'fulfilled', value, index } : { status: 'rejected', reason: value, index };
      this.#give(index, result);
    } else if (state === COMPLETED) this.#give(index, value);
    else if (stopped) this.#onStop(value);
    else this.#fail(value);
    this.#settleReaders();
  }

  /** The function of an item that was settled before has returned. */
  freed(slot: Slot): void {
    this.#release(slot, true);
    this.#settleReaders();
  }

  /** No function of the slot's item is alive any more. */
  #release(slot: Slot, foreign: boolean): void {
    slot.item = undefined;
    slot.task = undefined;
    slot.refusal = undefined;
    this.#free.push(slot);
    if (this.#free.length === this.#slots.length) this.#resolveClosed?.();
    if (!this.#ended && !this.#pullScheduled) {
      // In a turn of its own, when the worker is free to start the next item at once.
      this.#pullScheduled = true;
      if (foreign && this.#origin !== undefined) this.#origin.runInAsyncScope(this.#schedulePull);
      else this.#schedulePull();
    }
  }

  /** The reader's async context may be another than that in which map was called. */
  #pullForReader(): void {
    if (this.#origin === undefined) this.#pull();
    else if (this.#wantsInput) this.#origin.runInAsyncScope(this.#pullNow);
  }

  readonly #pullNow = (): void => this.#pull();

  /** A reaction to a promise costs a third of queueMicrotask, and keeps the async context just as well. */
  readonly #schedulePull = (): void => void SETTLED.then(this.#pullLater);

  readonly #pullLater = (): void => {
    this.#pullScheduled = false;
    this.#pull();
    this.#settleReaders();
  };

  /** Whether another item may be under way. */
  get #wantsInput(): boolean {
    if (this.#ended || this.#asking) return false;
    const underWay = this.#underWay;
    const workers = Math.max(1, this.#submitter[schedulerOf].crew.size);
    if (underWay >= workers) return false;
    const waiting = this.#ready.length - this.#readyHead + this.#early.size;
    return underWay + waiting < workers + this.#highWaterMark;
  }

  get #underWay(): number {
    return this.#slots.length - this.#free.length;
  }

  #pull(): void {
    if (this.#ended || this.#asking) return;
    const { signal } = this.#options;
    const fired = signal === undefined ? undefined : firedReason(signal);
    if (fired !== undefined) {
      this.#onSignal(fired.reason);
      return;
    }
    while (this.#wantsInput) this.#ask();
  }

  /** Takes an item from the source and submits it. */
  #ask(): void {
    let answer: IteratorResult<unknown> | Promise<IteratorResult<unknown>>;
    let later: boolean;
    try {
      answer = this.#source.next();
      later = typeof (answer as Promise<unknown>).then === 'function';
    } catch (error) {
      this.#sourceFailed(error);
      return;
    }
    if (!later) {
      this.#answered(answer as IteratorResult<unknown>);
      return;
    }
    this.#asking = true;
    this.#watch();
    // A thenable that is no promise may throw, or call back twice; a promise stays what it is.
    Promise.resolve(answer).then(
      (result) => {
        this.#asking = false;
        this.#unwatch?.();
        // What comes too late is nobody's.
        if (this.#ended) return;
        this.#answered(result);
        this.#pull();
        this.#settleReaders();
      },
      (error) => {
        this.#asking = false;
        this.#unwatch?.();
        if (!this.#ended) this.#sourceFailed(error);
      },
    );
  }

  /** As long as the source is asked, no task may be there to tell of these ends. */
  #watch(): void {
    const { signal } = this.#options;
    const parent: unknown = this.#submitter;
    const unwatch = isContext(parent)
      ? onFired(parent, this.#onSignal)
      : this.#submitter[schedulerOf].stopping.watch(this.#onStop);
    const unwatchSignal = signal === undefined ? undefined : onFired(signal, this.#onSignal);
    this.#unwatch = () => {
      unwatch();
      unwatchSignal?.();
    };
    if (this.#ended) this.#unwatch();
  }

  /** What is under way may end in peace, and is read; then the error is thrown. */
  readonly #onStop = (error: unknown): void => {
    this.#end();
    if (this.#options.settled !== true) this.#failure ??= { error };
    this.#settleReaders();
  };

  /** Its tasks are ended by the signal themselves. */
  readonly #onSignal = (reason: unknown): void => {
    this.#end();
    if (this.#options.settled !== true) this.#fail(reason);
    this.#settleReaders();
  };

  #answered(result: IteratorResult<unknown>): void {
    let item: unknown;
    try {
      if (result.done === true) {
        this.#ended = true;
        return;
      }
      item = result.value;
    } catch (error) {
      this.#sourceFailed(error);
      return;
    }
    this.#submit(item);
  }

  #submit(item: unknown): void {
    let slot = this.#free.pop();
    if (slot === undefined) {
      slot = new Slot(this as Mapping<unknown>, this.#fn);
      this.#slots.push(slot);
    }
    slot.item = item;
    slot.index = this.#nextIndex++;
    this.#submitter[submitTo](slot, slot.run, this.#taskOptions, EACH);
  }

  /** Hands a result to the reader, or keeps it for one. */
  #give(index: number, result: unknown): void {
    if (this.#closed !== undefined && this.#failure === undefined) return; // the reader has left
    if (this.#options.ordered !== true) this.#giveNow(result);
    else if (index !== this.#nextOut) this.#early.set(index, result);
    else {
      this.#giveNow(result);
      for (this.#nextOut++; this.#early.has(this.#nextOut); this.#nextOut++) {
        this.#giveNow(this.#early.get(this.#nextOut));
        this.#early.delete(this.#nextOut);
      }
    }
  }

  #giveNow(result: unknown): void {
    const reader = this.#readers.shift();
    if (reader === undefined) this.#ready.push(result);
    else reader({ done: false, value: result });
  }

  #shiftReady(): unknown {
    const value = this.#ready[this.#readyHead];
    this.#ready[this.#readyHead++] = undefined;
    if (this.#readyHead === this.#ready.length) {
      this.#ready.length = 0;
      this.#readyHead = 0;
    }
    return value;
  }

  #sourceFailed(error: unknown): void {
    // The source is broken: nothing of it is to be closed.
    this.#ended = true;
    this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#closed !== undefined) return;
    this.#failure = { error };
    void this.#close(error).then(() => this.#settleReaders());
  }

  /** No more input; the source may clean up. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#unwatch?.();
    try {
      const closing = this.#source.return?.() as unknown;
      if (closing instanceof Promise) closing.catch(() => {});
    } catch {
      // What a source throws on being left is nobody's business.
    }
  }

  /** Cancels what is under way, and resolves when no function is alive any more. */
  #close(reason: unknown): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = new Promise((resolve) => {
        this.#resolveClosed = resolve;
      });
      this.#end();
      const scheduler = this.#submitter[schedulerOf];
      for (const slot of this.#slots) if (slot.task !== undefined) scheduler.settlement.cancelFor(slot.task, reason);
      if (this.#underWay === 0) this.#resolveClosed!();
    }
    return this.#closed;
  }

  /** Ends the readers, if nothing can come any more. */
  #settleReaders(): void {
    if (this.#readers.length === 0 || !this.#ended || this.#underWay > 0) return;
    const failure = this.#failure;
    const first = this.#readers.shift()!;
    if (failure === undefined) first({ done: true, value: undefined });
    else {
      // Thrown once; after that the iteration is over.
      this.#failure = undefined;
      first(new Rejection(failure.error));
    }
    for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
  }
}
