/**
 * One delivery of a call, run on a TaskManager: from the lease to what the engine is told at its end.
 *
 * Invariant: the engine is told once, when the function has returned or was given up. So a call never runs beside its
 * own retry, and what it counts against isn't free before.
 */

import { StaleLeaseError } from '../engines/errors.ts';
import type { CallRecord, Delivery, Engine, Failure, Lease, Update } from '../engines/index.ts';
import type { ClockTimer } from '../go/clock.ts';
import { CanceledError } from '../go/errors.ts';
import type { TaskContext } from '../manager/context.ts';
import { ShutdownError } from '../manager/errors.ts';
import type { TaskManager } from '../manager/manager.ts';
import { pauseBefore, type Reporter, worthRetrying } from '../manager/retry.ts';
import { schedulerOf, submitTo } from '../manager/submitter.ts';
import { CANCELED, COMPLETED, type Task as ManagerTask, Receiver, type State, TIMED_OUT } from '../manager/task.ts';
import type { RetryPolicy } from '../manager/types.ts';
import { isAllowed } from './authorize.ts';
import type { Call } from './call.ts';
import type { Definition } from './definition.ts';
import { errorToJson } from './error-json.ts';
import {
  ForbiddenError,
  InvalidInputError,
  InvalidOutputError,
  NotRegisteredError,
  SkipTask,
  StalledError,
  WorkerLostError,
} from './errors.ts';
import { decodePayload, encodePayload } from './payload.ts';
import type { AnyTask } from './registry.ts';
import { RunContext } from './run-context.ts';
import type { CallerContext, SubmitOptions } from './types.ts';
import { validate } from './validate.ts';

/** What a run asks of its dispatcher. */
export interface RunHost extends Reporter {
  readonly stopping: AbortSignal;
  readonly maxPayloadBytes: number;
  readonly hooks: RunHooks;
  /** Tells the engine something of a lease, again and again if need be. False when the lease is stale. */
  tell(run: Run, what: (engine: Engine) => Promise<void>): Promise<boolean>;
  /** Tells the engine something of a call that runs. */
  update(run: Run, update: Update): Promise<void>;
  submit(
    task: AnyTask | string,
    input: unknown,
    options: SubmitOptions | undefined,
    parent: Parent | undefined,
  ): Promise<Call<unknown>>;
  setTimeout(fn: () => void, ms: number): ClockTimer;
  clearTimeout(timer: ClockTimer): void;
  now(): number;
  /** Its function begins: it waits for a worker no more. */
  begun(run: Run): void;
  /** Its function has returned: there is room for another. */
  freed(run: Run): void;
  /** The engine has been told. */
  ended(run: Run, ending: Ending): void;
}

/** The call that submits another. */
export interface Parent {
  readonly id: string;
  readonly caller: CallerContext;
}

/** What a hook is told of a run. */
export interface RunInfo {
  /** The call's id. */
  readonly id: string;
  /** The task's name. */
  readonly task: string;
  /** The version it was submitted with. */
  readonly version: number;
  /** Which run it is, from 1. */
  readonly attempt: number;
  /** Where it waited. */
  readonly queue: string;
}

/** What is called around runs. */
export interface RunHooks {
  readonly beforeRun?: ((run: RunInfo, input: unknown) => unknown) | undefined;
  readonly afterRun?: ((run: RunInfo, output: unknown) => unknown) | undefined;
  readonly onError?: ((run: RunInfo, error: unknown) => unknown) | undefined;
}

/** What a run came to. */
export type Ending = 'completed' | 'failed' | 'retried' | 'canceled' | 'requeued' | 'lost';

/** How the dispatcher, and not the function, has ended a run. */
interface Verdict {
  readonly as: 'canceled' | 'stalled' | 'requeued' | 'lost';
  readonly error: unknown;
}

/** So often a call is run again because the process that ran it died, beyond its attempts: it may be what they die of. */
const MOST_LOST = 3;
/** A pause of no attempts: one run. */
const NO_RETRY: RetryPolicy = { attempts: 1 };
const PRESET = { priority: undefined, once: true, run: false, attempt: false } as const;

export class Run extends Receiver {
  readonly host: RunHost;
  readonly record: CallRecord;
  readonly lease: Lease;
  readonly definition: Definition;
  /** Set once the function has returned, or was given up. */
  isOver = false;
  hasStarted = false;
  readonly #delivery: Delivery;
  readonly #memos = new Map<string, string>();
  #caller: CallerContext | undefined;
  #task: ManagerTask | undefined;
  #manager: TaskManager<unknown> | undefined;
  #verdict: Verdict | undefined;
  #outcome: { readonly state: State; readonly value: unknown } | undefined;
  #beatAt = 0;
  #stallTimer: ClockTimer;
  #lines: string[] = [];
  #isFlushing = false;
  /** What has been said and not been stored yet. */
  #saying: Promise<void> | undefined;

  constructor(host: RunHost, delivery: Delivery, definition: Definition) {
    super();
    this.host = host;
    this.#delivery = delivery;
    this.record = delivery.record;
    this.lease = delivery.lease;
    this.definition = definition;
  }

  /** Who is behind the call. */
  get caller(): CallerContext {
    this.#caller ??= decodePayload(this.record.context) as CallerContext;
    return this.#caller;
  }

  get info(): RunInfo {
    const { id, task, version, attempt, queue } = this.record;
    return { id, task, version, attempt, queue };
  }

  /** Why it can't even begin, if so: what was stored can't be read, or its runs are what processes die of. */
  obstacle(): Failure | undefined {
    const { record, definition } = this;
    const { attempt } = record;
    if (this.#delivery.wasLost && (definition.onWorkerLost === 'fail' || attempt > this.#attempts + MOST_LOST)) {
      const error = new WorkerLostError(
        `run ${attempt - 1} of ${record.task} was lost with its dispatcher${definition.onWorkerLost === 'fail' ? '' : `, as ${MOST_LOST} before it`}`,
      );
      return { error: errorToJson(error), then: definition.deadLetter ? 'deadLettered' : 'failed' };
    }
    return undefined;
  }

  /** Hands it to a manager, which has room for it. */
  start(manager: TaskManager<unknown>): void {
    this.#manager = manager;
    if (this.#verdict !== undefined) {
      this.#outcome = { state: CANCELED, value: this.#verdict.error };
      this.#over();
      return;
    }
    const timeoutMs = this.#overrides.timeoutMs ?? this.definition.timeoutMs;
    const work = (ctx: TaskContext, resource: unknown): unknown => this.#work(ctx, resource);
    manager[submitTo](this, work, timeoutMs === undefined ? undefined : { timeoutMs }, PRESET);
  }

  /** Ends it from outside, as soon as its function has returned. */
  end(as: Verdict['as'], error: unknown): void {
    if (this.#verdict !== undefined || this.isOver) return;
    // It has timed out, and its function lives on: that it did is what is told, unless the call is to run no more.
    if (this.#outcome !== undefined && (as === 'stalled' || as === 'requeued')) return;
    this.#verdict = { as, error };
    if (this.#outcome === undefined && this.#manager !== undefined)
      this.#manager[schedulerOf].settlement.cancel(this.#task!, error);
  }

  // ---- what its function says -----------------------------------------------------------------------------------------

  beat(step: string | undefined): void {
    if (this.isOver) return;
    this.#beatAt = this.host.now();
    this.#say(() => this.host.update(this, step === undefined ? {} : { step }));
  }

  say(line: string): void {
    if (this.isOver) return;
    this.#lines.push(...line.split('\n'));
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#say(() => {
      this.#isFlushing = false;
      const log = this.#lines;
      this.#lines = [];
      return this.host.update(this, { log });
    });
  }

  report(progress: string): void {
    if (this.isOver) return;
    this.#beatAt = this.host.now();
    this.#say(() => this.host.update(this, { progress }));
  }

  memo(key: string): string | undefined {
    return this.#memos.get(key) ?? (Object.hasOwn(this.#delivery.memos, key) ? this.#delivery.memos[key] : undefined);
  }

  async keep(key: string, value: string): Promise<void> {
    await this.host.update(this, { memo: { key, value } });
    this.#memos.set(key, value);
  }

  /** One after the other, in order; what fails is lost, as it only tells of the way. */
  #say(what: () => Promise<void>): void {
    const before = this.#saying ?? Promise.resolve();
    const saying = before.then(what).catch((error: unknown) => {
      if (!(error instanceof StaleLeaseError)) this.host.report(error, `${this.record.task} could not be heard`);
    });
    this.#saying = saying;
    void saying.then(() => {
      if (this.#saying === saying) this.#saying = undefined;
    });
  }

  // ---- the run --------------------------------------------------------------------------------------------------------

  async #work(ctx: TaskContext, resource: unknown): Promise<unknown> {
    const { definition, host } = this;
    if (!this.hasStarted) host.begun(this);
    this.hasStarted = true;
    const { beforeRun } = host.hooks;
    let input: unknown = this.#decode(this.record.input);
    if (definition.version !== this.record.version && definition.migrate !== undefined) {
      input = await definition.migrate(input, this.record.version);
    }
    if (definition.authorize !== undefined && !(await isAllowed(definition, this.caller.principals ?? [], input))) {
      throw new ForbiddenError(`the principals of the call may not run ${this.record.task}`);
    }
    if (definition.inputSchema !== undefined) input = await validate(definition.inputSchema, input, 'input');
    if (beforeRun !== undefined) await beforeRun(this.info, input);
    this.#watchForStall();
    return definition.run(new RunContext(this, ctx), input, resource);
  }

  #decode(text: string): unknown {
    try {
      return decodePayload(text);
    } catch (error) {
      throw new UnreadableError(`the input of ${this.record.task} can't be read: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  #watchForStall(): void {
    const { stallAfterMs } = this.definition;
    if (stallAfterMs === undefined) return;
    const { host } = this;
    this.#beatAt = host.now();
    const look = (): void => {
      const left = this.#beatAt + stallAfterMs - host.now();
      if (left > 0) {
        this.#stallTimer = host.setTimeout(look, left);
        return;
      }
      this.end('stalled', new StalledError(`${this.record.task} has given no heartbeat for ${stallAfterMs} ms`));
    };
    this.#stallTimer = host.setTimeout(look, stallAfterMs);
  }

  override attach(task: ManagerTask): void {
    this.#task = task;
  }

  settle(task: ManagerTask, state: State, value: unknown): void {
    this.#outcome = { state, value };
    // Else its function lives on, and `returned` comes.
    if (task.home === undefined) this.#over();
  }

  override returned(): void {
    this.#over();
  }

  #over(): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.#stallTimer !== undefined) this.host.clearTimeout(this.#stallTimer);
    const { host } = this;
    this.#conclude().then(
      (ending) => host.ended(this, ending),
      (error: unknown) => {
        host.report(error, `the end of ${this.record.task} could not be told`);
        host.ended(this, 'lost');
      },
    );
    host.freed(this);
  }

  /** Tells the engine what has become of it. */
  async #conclude(): Promise<Ending> {
    const { state, value } = this.#outcome!;
    const verdict = this.#verdict;
    if (verdict?.as === 'lost') return 'lost';
    if (this.#saying !== undefined) await this.#saying;
    if (state === COMPLETED) {
      const { outputSchema } = this.definition;
      let output: string;
      try {
        if (outputSchema !== undefined) await validate(outputSchema, value, 'output');
        output = encodePayload(value, 'output', this.host.maxPayloadBytes);
      } catch (error) {
        return this.#fail(asOutputError(error), state);
      }
      const { afterRun } = this.host.hooks;
      if (afterRun !== undefined) await this.#call(() => afterRun(this.info, value), 'afterRun');
      return this.#tell('completed', (engine) => engine.ack(this.lease, output));
    }
    switch (verdict?.as) {
      case 'requeued':
        return this.#tell('requeued', (engine) => engine.release(this.lease, 0, this.hasStarted));
      case 'canceled':
        return this.#tell('canceled', (engine) =>
          engine.fail(this.lease, { error: errorToJson(verdict.error), then: 'canceled' }),
        );
      case 'stalled':
        return this.#fail(verdict.error, state);
      default:
        // Its manager was ended under it: the call isn't to blame.
        if (
          value instanceof ShutdownError ||
          (value instanceof CanceledError && state !== TIMED_OUT && this.#isManagerEnding)
        ) {
          return this.#tell('requeued', (engine) => engine.release(this.lease, 0, this.hasStarted));
        }
        return this.#fail(value, state);
    }
  }

  async #fail(error: unknown, state: State): Promise<Ending> {
    const { definition, record, host } = this;
    const { onError } = host.hooks;
    if (onError !== undefined) await this.#call(() => onError(this.info, error), 'onError');
    const failed = errorToJson(error);
    const isStalled = this.#verdict?.as === 'stalled';
    if (isFinal(error)) {
      const dead = definition.deadLetter || error instanceof SkipTask || isUnreadable(error);
      return this.#tell('failed', (engine) =>
        engine.fail(this.lease, { error: failed, then: dead ? 'deadLettered' : 'failed' }),
      );
    }
    const policy = definition.retry ?? NO_RETRY;
    const mayRetry = record.attempt < this.#attempts && (!isStalled || definition.onStall === 'retry');
    if (mayRetry && worthRetrying(policy, error, record.attempt, host)) {
      const retryAfterMs = pauseBefore(policy, record.attempt, error, host);
      return this.#tell('retried', (engine) => engine.fail(this.lease, { error: failed, then: { retryAfterMs } }));
    }
    const then = definition.deadLetter
      ? 'deadLettered'
      : isStalled
        ? 'stalled'
        : state === TIMED_OUT
          ? 'timedOut'
          : 'failed';
    return this.#tell('failed', (engine) => engine.fail(this.lease, { error: failed, then }));
  }

  async #tell(ending: Ending, what: (engine: Engine) => Promise<void>): Promise<Ending> {
    return (await this.host.tell(this, what)) ? ending : 'lost';
  }

  async #call(hook: () => unknown, name: string): Promise<void> {
    try {
      await hook();
    } catch (error) {
      this.host.report(error, `${name} threw`);
    }
  }

  get #attempts(): number {
    return this.#overrides.attempts ?? this.definition.retry?.attempts ?? 1;
  }

  get #overrides(): { readonly timeoutMs?: number; readonly attempts?: number } {
    const { overrides } = this.record;
    return overrides === undefined ? {} : (JSON.parse(overrides) as object);
  }

  get #isManagerEnding(): boolean {
    return this.#manager![schedulerOf].ending;
  }
}

/** What was stored can't be read: it waits among the dead letters for somebody who can. */
class UnreadableError extends InvalidInputError {}

function isUnreadable(error: unknown): boolean {
  return error instanceof UnreadableError;
}

/** Whether another attempt would come to the same. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof SkipTask ||
    error instanceof InvalidInputError ||
    error instanceof InvalidOutputError ||
    error instanceof ForbiddenError ||
    error instanceof NotRegisteredError
  );
}

function asOutputError(error: unknown): unknown {
  if (error instanceof InvalidOutputError || !(error instanceof InvalidInputError)) return error;
  return new InvalidOutputError(error.message, { cause: error.cause, issues: error.issues });
}
