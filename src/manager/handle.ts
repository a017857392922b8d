/** What a submission gives instead of a promise: a handle, a callback, or nothing. */
import type { Scheduler } from './scheduler.ts';
import {
  COMPLETED,
  pendingPromise,
  QUEUED,
  REJECTED,
  Receiver,
  Rejection,
  type Resolve,
  resolveOf,
  STATE_NAMES,
  type State,
  type Task,
} from './task.ts';
import type { TaskCallback, TaskState } from './types.ts';

/**
 * A submitted task, to be awaited, canceled, moved or iterated. Await it like a promise (so an async function that
 * returns one waits for it), or with `for await`, which gives its one outcome as a `PromiseSettledResult` and ends:
 * Go's result channel. Nobody has to: an unobserved failure is no unhandled rejection.
 */
export interface TaskHandle<E> extends PromiseLike<E>, AsyncIterable<PromiseSettledResult<E>> {
  /** The id given at submission, or a ULID. */
  readonly id: string;
  /** Where the task stands. */
  readonly state: TaskState;
  /** The task's result as a promise, made when first read; from then on its rejection is the reader's to handle. */
  readonly result: Promise<E>;
  /** Resolves when the task has its place in the queue; rejects if it is refused. */
  readonly admitted: Promise<void>;
  /**
   * Cancels the task, waiting, queued or running: `result` rejects with a CanceledError whose `cause` is `reason` (or
   * with `reason` itself if it is a CanceledError). False if it had ended already.
   */
  cancel(reason?: unknown): boolean;
  /**
   * Moves a queued task to the tail of another level, and says whether it was still there to be moved. Throws TypeError
   * or RangeError for what isn't a finite number.
   */
  setPriority(priority: number): boolean;
}

export class HandleReceiver<E> extends Receiver implements TaskHandle<E> {
  readonly #scheduler: Scheduler;
  #task: Task | undefined = undefined;
  #state: State = 0;
  #outcome: unknown = undefined;
  #result: Promise<E> | undefined = undefined;
  #resolve: Resolve | undefined = undefined;
  #reject: Resolve | undefined = undefined;
  #admitted: Promise<void> | undefined = undefined;
  #resolveAdmitted: Resolve | undefined = undefined;

  constructor(scheduler: Scheduler) {
    super();
    this.#scheduler = scheduler;
  }

  /** The record behind the handle, set at submission. */
  override attach(task: Task): void {
    this.#task = task;
  }

  override placed(): void {
    this.#resolveAdmitted?.(undefined);
  }

  settle(_task: Task, state: State, value: unknown): void {
    this.#state = state;
    this.#outcome = value;
    if (state === COMPLETED) this.#resolve?.(value);
    else this.#reject?.(value);
    this.#resolve = undefined;
    this.#reject = undefined;
    if (state === REJECTED) this.#resolveAdmitted?.(new Rejection(value));
  }

  get id(): string {
    return this.#scheduler.idOf(this.#task!);
  }

  get state(): TaskState {
    return STATE_NAMES[this.#state === 0 ? this.#task!.state : this.#state]!;
  }

  get result(): Promise<E> {
    if (this.#result === undefined) {
      if (this.#state === COMPLETED) this.#result = Promise.resolve(this.#outcome as E);
      else if (this.#state > COMPLETED) this.#result = Promise.reject(this.#outcome);
      else {
        this.#result = new Promise<E>((resolve, reject) => {
          this.#resolve = resolve as Resolve;
          this.#reject = reject;
        });
      }
    }
    return this.#result;
  }

  get admitted(): Promise<void> {
    if (this.#admitted === undefined) {
      if (this.#state === REJECTED) this.#admitted = Promise.reject(this.#outcome);
      else if (this.#task!.state >= QUEUED) this.#admitted = Promise.resolve();
      else {
        this.#admitted = pendingPromise<void>();
        this.#resolveAdmitted = resolveOf();
      }
      // Reading it to wait for room is no promise to handle a refusal that `result` tells as well.
      this.#admitted.catch(() => {});
    }
    return this.#admitted;
  }

  then<A = E, B = never>(
    onFulfilled?: ((value: E) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result.then(onFulfilled, onRejected);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PromiseSettledResult<E>, void, undefined> {
    const [outcome] = await Promise.allSettled([this.result]);
    yield outcome;
  }

  cancel(reason?: unknown): boolean {
    return this.#scheduler.settlement.cancel(this.#task!, reason);
  }

  setPriority(priority: number): boolean {
    return this.#scheduler.setPriority(this.#task!, priority);
  }
}

/** Calls back in a turn of its own. */
export class CallbackReceiver extends Receiver {
  readonly #scheduler: Scheduler;
  readonly #callback: TaskCallback<unknown>;
  /** Opens the gate behind which the callback keeps the async context of the submission, as a task does. */
  readonly #call: Resolve | undefined;

  constructor(scheduler: Scheduler, callback: TaskCallback<unknown>) {
    super();
    this.#scheduler = scheduler;
    this.#callback = callback;
    if (!scheduler.settings.asyncContext) return;
    const gate = pendingPromise<() => unknown>();
    this.#call = resolveOf();
    void gate.then(scheduler.callbacks.run);
  }

  settle(_task: Task, state: State, value: unknown): void {
    const callback = this.#callback;
    const call = this.#call;
    const told = state === COMPLETED ? () => callback(null, value) : () => callback(value);
    this.#scheduler.callbacks.push(call === undefined ? told : () => call(told));
  }
}

/** Tells of a failure by event and log, as nobody else will hear of it. */
export class DetachedReceiver extends Receiver {
  readonly #scheduler: Scheduler;
  /** The submission's own mistake, to be thrown at whoever made it. */
  invalid: unknown = undefined;

  constructor(scheduler: Scheduler) {
    super();
    this.#scheduler = scheduler;
  }

  settle(task: Task, state: State, value: unknown): void {
    if (this.refusal === 'invalid') this.invalid = value;
    else if (state !== COMPLETED) this.#scheduler.reports.detachedFailure(task, state, value);
  }
}
