/** `manager.group()`: an ErrGroup whose functions run as tasks. */
import { type Context, contextOf, withCancelCause } from '../go/context.ts';
import { ErrGroup, type Outcome, run } from '../go/err-group.ts';
import type { CancelScope } from '../go/scope.ts';
import { PromiseWaiter } from '../go/wait-queue.ts';
import type { TaskContext } from './context.ts';
import type { Scheduler } from './scheduler.ts';
import { type Preset, type Submitter, schedulerOf, submitTo } from './submitter.ts';
import { COMPLETED, Receiver, type State, type Task } from './task.ts';
import type { TaskFunction, TaskOptions } from './types.ts';

const MEMBER: Preset = { priority: undefined, once: false, run: false, attempt: false };

export class TaskGroup<R> extends ErrGroup<[context: TaskContext<R>, resource: R]> {
  readonly #submitter: Submitter<R>;
  readonly #options: TaskOptions;

  constructor(submitter: Submitter<R>, parent: Context | AbortSignal) {
    const [ctx, cancel] = withCancelCause(contextOf(parent, 'ctx'));
    super(ctx, cancel);
    this.#submitter = submitter;
    this.#options = { signal: ctx };
  }

  /** @internal */
  override [run](
    fn: TaskFunction<R, unknown>,
    outcome: Outcome,
    scope: CancelScope | undefined,
  ): Promise<void> | undefined {
    const submitter = this.#submitter;
    const member = new Member(submitter[schedulerOf], outcome);
    const task: TaskFunction<R, unknown> = (context, resource) => {
      member.begin();
      return fn(context, resource);
    };
    submitter[submitTo](member, task, this.#options, MEMBER);
    return member.begun(scope);
  }
}

/** A function of a group, as a task. */
class Member extends Receiver {
  readonly #scheduler: Scheduler;
  readonly #outcome: Outcome;
  #task: Task | undefined = undefined;
  #hasBegun = false;
  #waiter: PromiseWaiter<void> | undefined = undefined;
  /** Taken back by the caller's signal before it began. */
  #takenBack = false;

  constructor(scheduler: Scheduler, outcome: Outcome) {
    super();
    this.#scheduler = scheduler;
    this.#outcome = outcome;
  }

  override attach(task: Task): void {
    this.#task = task;
  }

  /** A promise if it hasn't: then the scope can take it back. */
  begun(scope: CancelScope | undefined): Promise<void> | undefined {
    if (this.#hasBegun) return undefined;
    const waiter = new PromiseWaiter<void>();
    this.#waiter = waiter;
    waiter.unsubscribe = scope?.subscribe((_, cause) => {
      this.#takenBack = true;
      waiter.refuse(cause);
      this.#scheduler.settlement.cancelFor(this.#task!, cause);
    });
    return waiter.promise;
  }

  /** It runs, or never will. */
  begin(): void {
    if (this.#hasBegun) return; // it has failed, and runs again
    this.#hasBegun = true;
    this.#waiter?.unsubscribe?.();
    this.#waiter?.resolve();
  }

  settle(task: Task, state: State, value: unknown): void {
    this.begin();
    if (state === COMPLETED) this.#outcome.completed(value);
    else if (!this.#takenBack) this.#outcome.failed(value);
    // A task ended from outside leaves a living function.
    if (task.home === undefined) this.#outcome.returned();
  }

  override returned(): void {
    this.#outcome.returned();
  }
}
