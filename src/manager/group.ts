/** `manager.group()`: an ErrGroup whose functions run as tasks. */
import { type Context, contextOf, withCancelCause } from '../go/context.ts';
import { ErrGroup, run } from '../go/err-group.ts';
import type { Outcome } from '../go/outcome.ts';
import type { CancelScope } from '../go/scope.ts';
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
    return member.hasBegun ? undefined : member.willBegin(scope);
  }
}

/** A function of a group, as a task. No private fields, as there is one a task. */
class Member extends Receiver {
  hasBegun = false;
  private readonly scheduler: Scheduler;
  private readonly outcome: Outcome;
  private task: Task | undefined = undefined;
  private tell: ((value?: Promise<never>) => void) | undefined = undefined;
  private unsubscribe: (() => boolean) | undefined = undefined;
  /** By the caller's signal, before it began. */
  private isTakenBack = false;

  constructor(scheduler: Scheduler, outcome: Outcome) {
    super();
    this.scheduler = scheduler;
    this.outcome = outcome;
  }

  override attach(task: Task): void {
    this.task = task;
  }

  /** Resolves when it has begun, until when the scope can take it back. */
  willBegin(scope: CancelScope | undefined): Promise<void> {
    const promise = new Promise<void>((resolve) => {
      this.tell = resolve;
    });
    this.unsubscribe = scope?.subscribe((_, cause) => {
      this.isTakenBack = true;
      this.tell!(Promise.reject(cause));
      this.scheduler.settlement.cancelFor(this.task!, cause);
    });
    return promise;
  }

  /** It runs, again it may be, or never will. */
  begin(): void {
    this.hasBegun = true;
    this.unsubscribe?.();
    this.tell?.();
  }

  settle(task: Task, state: State, value: unknown): void {
    this.begin();
    if (state === COMPLETED) this.outcome.completed(value);
    else if (!this.isTakenBack) this.outcome.failed(value);
    // A task ended from outside leaves a living function.
    if (task.home === undefined) this.outcome.returned();
  }

  override returned(): void {
    this.outcome.returned();
  }
}
