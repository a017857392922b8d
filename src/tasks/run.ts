/**
 * One delivery of a call, run on a TaskManager: from the lease to what the engine is told at its end.
 *
 * Invariant: the engine is told once, when the function has returned or was given up. So a call never runs beside its
 * own retry, and what it counts against isn't free before.
 */

import { StaleLeaseError } from '../engines/errors.ts';
import type { CallRecord, Delivery, Engine, Failure, Lease, NewCall, Update } from '../engines/index.ts';
import type { Clock, ClockTimer } from '../go/clock.ts';
import { CanceledError } from '../go/errors.ts';
import type { TaskContext } from '../manager/context.ts';
import type { TaskManager } from '../manager/manager.ts';
import type { Reporter } from '../manager/retry.ts';
import { schedulerOf, submitTo } from '../manager/submitter.ts';
import { CANCELED, type Task as ManagerTask, Receiver, type State } from '../manager/task.ts';
import type { RunStatus } from '../metrics/dispatcher-metrics.ts';
import { isAllowed } from './authorize.ts';
import type { Call } from './call.ts';
import { conclude, type Ending, type Outcome, type Verdict } from './conclusion.ts';
import type { Definition } from './definition.ts';
import { errorToJson } from './error-json.ts';
import { ForbiddenError, StalledError, UnreadableError, WorkerLostError } from './errors.ts';
import { FLOWS } from './flows/ids.ts';
import { timeLeft } from './flows/memory.ts';
import { decodePayload } from './payload.ts';
import type { AnyTask } from './registry.ts';
import { RunContext } from './run-context.ts';
import type { FollowedRun } from './signals/instrument.ts';
import type { Signals } from './signals/signals.ts';
import type { CallerContext, SubmitOptions } from './types.ts';
import { Utterances } from './utterances.ts';
import { validate } from './validate.ts';

/** What a run asks of its dispatcher. */
export interface RunHost extends Reporter {
  readonly stopping: AbortSignal;
  readonly maxPayloadBytes: number;
  readonly hooks: RunHooks;
  readonly clock: Clock;
  readonly signals: Signals;
  /** Tells the engine of the end, again and again if need be. False when the lease is stale. */
  end(run: Run, what: (engine: Engine) => Promise<void>): Promise<boolean>;
  /** Tells the engine something that matters, in the same way. */
  tell(run: Run, what: (engine: Engine) => Promise<void>): Promise<boolean>;
  /** Tells the engine something of the way. */
  update(run: Run, update: Update): Promise<void>;
  readonly engine: Engine;
  /** The engine has failed, so many times in a row. */
  failed(error: unknown, failures: number): void;
  /** Whether a run's lease is ours, as far as is known. */
  holds(run: Run): boolean;
  /** What a task is registered as: a fake, it may be. @throws NotRegisteredError */
  definitionOf(task: AnyTask): Definition;
  /** A call, checked from end to end, and not stored. */
  prepare(task: AnyTask, input: unknown, options: SubmitOptions | undefined, parent: Parent): Promise<NewCall>;
  submit(
    task: AnyTask | string,
    input: unknown,
    options: SubmitOptions | undefined,
    parent: Parent | undefined,
  ): Promise<Call<unknown>>;
  /** Its function begins: it waits for a worker no more. */
  begun(run: Run): void;
  /** Its function has returned, or will never begin: there is room for another. */
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

/** What is called around runs, and awaited. */
export interface RunHooks {
  /** Before each run, on its worker, with its input. What it throws, the run fails with. */
  readonly beforeRun?: ((run: RunInfo, input: unknown) => unknown) | undefined;
  /** After a run that has succeeded, with its output, before anybody knows. What it throws is reported. */
  readonly afterRun?: ((run: RunInfo, output: unknown) => unknown) | undefined;
  /** After a run that has failed, timed out or stalled, before it is tried again. What it throws is reported. */
  readonly onError?: ((run: RunInfo, error: unknown) => unknown) | undefined;
}

/** So often a call is run again because the process that ran it died, beyond its attempts: it may be what they die of. */
const MOST_LOST = 3;
const PRESET = { priority: undefined, once: true, run: false, attempt: false } as const;
/** Past the queue, and so never in want of a worker. */
const PAST = { ...PRESET, run: true } as const;

export class Run extends Receiver {
  readonly host: RunHost;
  readonly record: CallRecord;
  readonly lease: Lease;
  readonly definition: Definition;
  /** How often it may run. */
  readonly attempts: number;
  /** Set once the function has returned, or was given up, or will never begin. */
  isOver = false;
  /** Set when a worker has taken it. */
  hasBegun = false;
  /** Set when it has spent its part of the rates: its function may have been called. */
  isSpent = false;
  /** When a worker has taken it, by the clock. */
  begunAt = 0;
  /** From then to when its function had returned, or was given up, in ms. */
  tookMs = 0;
  /** What it has come to, once the engine has been told. */
  status: RunStatus | undefined = undefined;
  /** What it has failed with, or why it was canceled. */
  failure: unknown = undefined;
  readonly #delivery: Delivery;
  readonly #timeoutMs: number | undefined;
  readonly #memos = new Map<string, string>();
  readonly #utterances: Utterances;
  #caller: CallerContext | undefined;
  #task: ManagerTask | undefined;
  #manager: TaskManager<unknown> | undefined;
  #verdict: Verdict | undefined;
  #outcome: Outcome | undefined;
  /** Whether it has had to wait for a worker. */
  #isLate = false;
  #beatAt = 0;
  #stallTimer: ClockTimer;
  #followed: FollowedRun | undefined;

  /** @throws UnreadableError when it isn't known under which rules it is to run */
  constructor(host: RunHost, delivery: Delivery, definition: Definition) {
    super();
    const { record, lease } = delivery;
    this.host = host;
    this.#delivery = delivery;
    this.record = record;
    this.lease = lease;
    this.definition = definition;
    const overrides =
      record.overrides === undefined
        ? undefined
        : (this.#read('overrides') as { timeoutMs?: number; attempts?: number });
    const timeoutMs = overrides?.timeoutMs ?? definition.timeoutMs;
    const isFlow = definition.flow !== undefined;
    this.#timeoutMs = timeoutMs === undefined || !isFlow ? timeoutMs : timeLeft(delivery, timeoutMs, host.clock);
    this.attempts = overrides?.attempts ?? definition.retry?.attempts ?? 1;
    this.#utterances = new Utterances({
      clock: host.clock,
      everyMs: definition.heartbeatEveryMs,
      tell: (update) => host.update(this, update),
      onError: (error) => {
        if (!(error instanceof StaleLeaseError)) host.report(error, `${record.task} could not be heard`);
      },
    });
  }

  /** Who is behind the call. */
  get caller(): CallerContext {
    this.#caller ??= this.#read('context') as CallerContext;
    return this.#caller;
  }

  get info(): RunInfo {
    const { id, task, version, attempt, queue } = this.record;
    return { id, task, version, attempt, queue };
  }

  /** How the dispatcher has ended it, if it has. */
  get endedAs(): Verdict['as'] | undefined {
    return this.#verdict?.as;
  }

  /** Why it may not even begin, if so: its runs are what processes die of. */
  obstacle(): Failure | undefined {
    const { record, definition } = this;
    const { onWorkerLost, deadLetter } = definition;
    // Who coordinates a flow only waits: nothing dies of it, and it may be taken up any number of times.
    if (!this.#delivery.wasLost || definition.flow !== undefined) return undefined;
    if (onWorkerLost === 'retry' && record.attempt <= this.attempts + MOST_LOST) return undefined;
    const why = onWorkerLost === 'fail' ? '' : `, as ${MOST_LOST} before it`;
    const error = new WorkerLostError(`run ${record.attempt - 1} of ${record.task} was lost with its dispatcher${why}`);
    return { error: errorToJson(error), then: deadLetter ? 'deadLettered' : 'failed' };
  }

  /** Hands it to a manager, which has room for it; to one that is shared, it may only have room in its line. */
  start(manager: TaskManager<unknown>, isShared: boolean): void {
    if (this.#verdict !== undefined) {
      this.#outcome = { state: CANCELED, value: this.#verdict.error };
      this.#over();
      return;
    }
    this.#manager = manager;
    const work = (ctx: TaskContext, resource: unknown): unknown => this.#begin(ctx, resource);
    const timeoutMs = this.#timeoutMs;
    manager[submitTo](
      this,
      work,
      timeoutMs === undefined ? undefined : { timeoutMs },
      this.record.manager === FLOWS ? PAST : PRESET,
    );
    this.#isLate = isShared && !this.hasBegun;
  }

  /** Ends it from outside, as soon as its function has returned. */
  end(as: Verdict['as'], error: unknown): void {
    if (this.#verdict !== undefined || this.isOver) return;
    // It has timed out, and its function lives on: that it did is what is told, unless the call is to run no more.
    if (this.#outcome !== undefined && (as === 'stalled' || as === 'requeued')) return;
    this.#verdict = { as, error };
    if (this.#outcome === undefined) this.#manager?.[schedulerOf].settlement.cancel(this.#task!, error);
  }

  /** The engine has been told what it has come to, or can't be told. */
  concluded(status: RunStatus): void {
    this.status = status;
    const error = this.failure ?? this.#verdict?.error;
    const { signals } = this.host;
    const followed = this.#followed;
    if (followed !== undefined) signals.guarded(() => followed.end({ status, error, tookMs: this.tookMs }));
    signals.ended(this, status);
  }

  // ---- what its function says -----------------------------------------------------------------------------------------

  beat(step: string | undefined): void {
    if (this.isOver) return;
    this.#beatAt = this.host.clock.now();
    this.#utterances.sign(this.#beatAt, step);
  }

  say(text: string): void {
    if (!this.isOver) this.#utterances.log(text);
  }

  report(progress: string): void {
    if (this.isOver) return;
    this.#beatAt = this.host.clock.now();
    this.#utterances.sign(this.#beatAt, undefined, progress);
  }

  /** Has the progress kept, whatever the engine's faults, unless the lease is lost. */
  async reportSurely(progress: string): Promise<void> {
    await this.#utterances.told();
    await this.host.tell(this, (engine) => engine.update(this.lease, { progress }));
  }

  memo(key: string): string | undefined {
    const { memos } = this.#delivery;
    return this.#memos.get(key) ?? (Object.hasOwn(memos, key) ? memos[key] : undefined);
  }

  /** Keeps the result of a step for all attempts. Rejects when somebody else may have the call by now. */
  async keep(key: string, value: string): Promise<void> {
    const isKept = await this.host.tell(this, (engine) => engine.update(this.lease, { memo: { key, value } }));
    if (!isKept) throw new StaleLeaseError(`step ${key} could not be kept: the lease was lost`);
    this.#memos.set(key, value);
  }

  // ---- the run --------------------------------------------------------------------------------------------------------

  #begin(ctx: TaskContext, resource: unknown): Promise<unknown> {
    const { clock, signals } = this.host;
    this.hasBegun = true;
    this.begunAt = clock.now();
    if (signals.isFollowed) this.#followed = signals.running(this);
    if (this.#followed === undefined) return this.#work(ctx, resource);
    return this.#followed.inContext(() => this.#work(ctx, resource));
  }

  async #work(ctx: TaskContext, resource: unknown): Promise<unknown> {
    const { definition, host, record } = this;
    host.begun(this);
    this.isSpent = !this.#isLate || (await this.#mayBegin());
    if (!this.isSpent) this.end('requeued', new CanceledError('others have begun while the call waited for a worker'));
    if (ctx.err !== undefined) throw ctx.cause;
    let input = this.#read('input');
    if (definition.version !== record.version && definition.migrate !== undefined) {
      input = await definition.migrate(input, record.version);
    }
    if (definition.authorize !== undefined && !(await isAllowed(definition, this.caller.principals ?? [], input))) {
      throw new ForbiddenError(`the principals of the call may not run ${record.task}`);
    }
    if (definition.inputSchema !== undefined) input = await validate(definition.inputSchema, input, 'input');
    const { beforeRun } = host.hooks;
    if (beforeRun !== undefined) await beforeRun(this.info, input);
    // It may have been ended meanwhile, or even given up. Who runs a flow sees by itself to what that has under way.
    if (ctx.err !== undefined && definition.flow === undefined) throw ctx.cause;
    this.#watchForStall();
    return definition.run(new RunContext(this, ctx), input, resource);
  }

  /** Others may have begun meanwhile, and the rates let only so many. */
  async #mayBegin(): Promise<boolean> {
    let mayBegin = false;
    await this.host.tell(this, async (engine) => {
      mayBegin = await engine.start(this.lease);
    });
    return mayBegin;
  }

  #read(what: 'input' | 'context' | 'overrides'): unknown {
    const { task, [what]: text } = this.record;
    try {
      return decodePayload(text!);
    } catch (cause) {
      throw new UnreadableError(`the ${what} of ${task} can't be read: ${(cause as Error).message}`, { cause });
    }
  }

  #watchForStall(): void {
    const { stallAfterMs, name } = this.definition;
    if (stallAfterMs === undefined) return;
    const { clock } = this.host;
    this.#beatAt = clock.now();
    const look = (): void => {
      const left = this.#beatAt + stallAfterMs - clock.now();
      if (left > 0) this.#stallTimer = clock.setTimeout(look, left);
      else this.end('stalled', new StalledError(`${name} has given no heartbeat for ${stallAfterMs} ms`));
    };
    this.#stallTimer = clock.setTimeout(look, stallAfterMs);
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
    const { host } = this;
    if (this.hasBegun) this.tookMs = host.clock.now() - this.begunAt;
    if (this.#stallTimer !== undefined) host.clock.clearTimeout(this.#stallTimer);
    void this.#conclude();
    host.freed(this);
  }

  async #conclude(): Promise<void> {
    const { host, record } = this;
    let ending: Ending = 'lost';
    try {
      if (this.#verdict?.as === 'lost') this.#utterances.end();
      else await this.#utterances.told();
      ending = await conclude(this, this.#outcome!, this.#verdict);
    } catch (error) {
      host.report(error, `the end of ${record.task} could not be told`);
    }
    if (this.status === undefined) this.concluded('lost');
    host.ended(this, ending);
  }
}
