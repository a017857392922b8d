/**
 * What a run of a flow does: it makes the calls of the nodes, follows them, and ends when they have. It holds no worker
 * and does no work, so any number of them can wait, for one another too.
 *
 * Invariants: a call of a node has an id that follows from the run's, so it is made once, whoever makes it again. What is
 * heard, found and decided goes through one loop, step by step. It leaves calls behind only when somebody else is to take
 * up the run; when it is canceled, or has no time left, it ends after they have.
 */
import { abortable } from 'abort-controller-x';
import type { CallRecord, NewCall } from '../../engines/index.ts';
import type { ClockTimer } from '../../go/clock.ts';
import { DeadlineExceededError, isA } from '../../go/errors.ts';
import { inNextTurn, isTurnOver } from '../../go/turn.ts';
import { canceledBecause } from '../../manager/errors.ts';
import { backOff } from '../backoff.ts';
import { definitionOf } from '../define-task.ts';
import { errorFromJson, errorToJson } from '../error-json.ts';
import { InvalidInputError } from '../errors.ts';
import type { Run } from '../run.ts';
import { type RunContext, runOf } from '../run-context.ts';
import { Board } from './board.ts';
import { cancelNodes, cancelOne } from './cancel-nodes.ts';
import { nodeCallId } from './ids.ts';
import { inputOf, itemsOf, outputOf, type Source, sourceOf } from './inputs.ts';
import { type Entry, FlowMemory } from './memory.ts';
import { Outcomes } from './outcomes.ts';
import type { FlowPlan, PlanNode } from './plan.ts';
import { Publisher } from './publisher.ts';
import { UnderWay } from './under-way.ts';

/** What a coordinator is told may get lost on its way: it looks by itself after so long. */
const LOOK_MS = 5_000;
/** So many calls are made at a time. */
const MOST_AT_ONCE = 500;
/** An outcome is to be there when somebody takes up the run. */
const LEAST_RETENTION_MS = 600_000;

const NEVER = new AbortController().signal;

/** One call: of a node, or of one item of it. */
interface Job {
  readonly node: PlanNode;
  readonly item: number | undefined;
  readonly input: unknown;
}

/** Runs a flow with its input, which has been checked. */
export async function coordinate(plan: FlowPlan, ctx: RunContext, flowInput: unknown): Promise<unknown> {
  const coordinator = new Coordinator(plan, ctx, flowInput);
  try {
    return await coordinator.run();
  } finally {
    coordinator.close();
  }
}

class Coordinator {
  readonly #ctx: RunContext;
  readonly #run: Run;
  readonly #board: Board;
  readonly #source: Source;
  readonly #memory: FlowMemory;
  readonly #outcomes: Outcomes;
  readonly #publisher: Publisher;
  /** Of calls that somebody else has made it isn't known what they are for. */
  readonly #underWay: UnderWay<Job | undefined>;
  /** Calls to be made; those before `#next` have been. */
  #jobs: Job[] = [];
  #next = 0;
  /** What was heard since the last step. */
  #ended: { readonly job: Job; readonly record: CallRecord }[] = [];
  #wake: (() => void) | undefined;
  #isToLook = false;
  #lookTimer: ClockTimer;
  /** Whether the run is canceled, or has no time left. */
  #isOver = false;
  /** Fires when somebody else is to take up the run. */
  readonly #leave = new AbortController();

  constructor(plan: FlowPlan, ctx: RunContext, flowInput: unknown) {
    this.#ctx = ctx;
    this.#run = ctx[runOf]();
    this.#board = new Board(plan);
    this.#source = sourceOf(this.#board, flowInput);
    this.#memory = new FlowMemory(this.#run);
    this.#outcomes = new Outcomes(this.#board, this.#memory.round);
    this.#publisher = new Publisher(this.#run, this.#board, this.#outcomes);
    this.#underWay = new UnderWay(this.#run.host.engine, (job, record) => {
      if (job !== undefined) this.#ended.push({ job, record });
      this.#wake?.();
    });
    ctx.signal.addEventListener('abort', this.#onSignal);
    ctx.stopping.addEventListener('abort', this.#onStopping);
    this.#onLookTime();
  }

  async run(): Promise<unknown> {
    try {
      if (this.#ctx.stopping.aborted) this.#onStopping();
      await this.#goThrough();
    } catch (error) {
      if (this.#isOver) await this.#endNodes();
      else if (this.#leave.signal.aborted) await this.#memory.written().catch(() => {});
      else await this.#endRound(error);
      throw this.#isOver || !this.#leave.signal.aborted ? error : this.#leave.signal.reason;
    }
    if (this.#board.fault !== undefined) {
      const error = errorFromJson(this.#board.fault.error);
      await this.#endRound(error);
      throw error;
    }
    const output = await this.#output();
    await this.#publisher.publishLast();
    return output;
  }

  close(): void {
    this.#ctx.signal.removeEventListener('abort', this.#onSignal);
    this.#ctx.stopping.removeEventListener('abort', this.#onStopping);
    this.#run.host.clock.clearTimeout(this.#lookTimer);
    this.#publisher.close();
    this.#underWay.close();
    if (this.#run.endedAs === 'lost') void this.#endOrphans();
  }

  async #output(): Promise<unknown> {
    try {
      return await outputOf(this.#board, this.#source);
    } catch (error) {
      await this.#endRound(error);
      throw error;
    }
  }

  async #endRound(error: unknown): Promise<void> {
    await this.#publisher.publishLast();
    await this.#memory.end(errorToJson(error));
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------

  async #goThrough(): Promise<void> {
    await this.#memory.begin();
    this.#outcomes.recall(this.#memory.entries());
    for (;;) {
      this.#check();
      this.#takeIn();
      this.#makeJobs();
      this.#publisher.offer();
      if (this.#board.open === 0) return;
      if (this.#next < this.#jobs.length) await this.#launch();
      else if (this.#isToLook) await this.#look();
      else if (this.#ended.length === 0) await this.#news();
    }
  }

  /** @throws what ends the run here */
  #check(): void {
    if (this.#isOver) throw this.#ctx.cause;
    if (this.#leave.signal.aborted) throw this.#leave.signal.reason;
  }

  #takeIn(): void {
    const ended = this.#ended;
    this.#ended = [];
    for (const { job, record } of ended) {
      const state = record.state === 'completed' || record.state === 'canceled' ? record.state : 'failed';
      const text =
        state === 'completed'
          ? (record.output ?? '')
          : (record.error ?? errorToJson(new Error(`the call is ${record.state}`)));
      this.#note(job, state, text);
    }
  }

  #note({ node, item }: Pick<Job, 'node' | 'item'>, state: Entry['state'], text: string): void {
    const entry: Entry = {
      node: node.name,
      ...(item !== undefined && { item }),
      round: this.#memory.round,
      state,
      text,
    };
    this.#memory.note(entry);
    for (const more of this.#outcomes.take(entry)) this.#memory.note(more);
  }

  /** Has the calls of nodes made that may begin. */
  #makeJobs(): void {
    const { plan, slots } = this.#board;
    const { round } = this.#memory;
    for (let index = this.#board.next(); index !== undefined; index = this.#board.next()) {
      const node = plan.nodes[index]!;
      const source = { ...this.#source, fault: slots[index]!.fault };
      try {
        if (node.kind === 'each') this.#makeEach(node, itemsOf(node, source));
        else {
          this.#jobs.push({ node, item: undefined, input: inputOf(node, source) });
          this.#board.begin(index, round);
        }
      } catch (error) {
        this.#board.begin(index, round);
        this.#note({ node, item: undefined }, 'failed', errorToJson(error));
      }
    }
  }

  #makeEach(node: PlanNode, inputs: readonly unknown[]): void {
    this.#board.begin(node.index, this.#memory.round);
    for (const item of this.#outcomes.expect(node, inputs.length)) {
      this.#jobs.push({ node, item, input: inputs[item] });
    }
    for (const entry of this.#outcomes.conclude(node)) this.#memory.note(entry);
  }

  /** Makes some of the calls that are to be made. */
  async #launch(): Promise<void> {
    const jobs = this.#jobs.slice(this.#next, this.#next + MOST_AT_ONCE);
    this.#next += jobs.length;
    if (this.#next === this.#jobs.length) {
      this.#jobs = [];
      this.#next = 0;
    }
    const calls: NewCall[] = [];
    const made: Job[] = [];
    for (const [index, job] of jobs.entries()) {
      try {
        calls.push(await abortable(this.#leave.signal, this.#prepare(job)));
        made.push(job);
      } catch (error) {
        this.#check();
        this.#note(job, 'failed', errorToJson(error));
      }
      // However many there are, others get their turn.
      if (index % 50 === 49 && isTurnOver()) await new Promise<void>(inNextTurn);
    }
    if (calls.length === 0) return;
    const { id } = this.#run.record;
    const records = await this.#insist(() => {
      for (const [index, call] of calls.entries()) this.#underWay.add(call.id, made[index]);
      return this.#run.host.engine.submitMany(calls);
    });
    for (const record of records) {
      if (record.parentId === id) this.#underWay.note(record);
      else this.#refuse(record);
    }
  }

  async #prepare({ node, item, input }: Job): Promise<NewCall> {
    const { host, record, caller } = this.#run;
    const call = await host.prepare(node.task, input, node.options, { id: record.id, caller });
    const { completedMs, failedMs } = call.retention;
    return {
      ...call,
      id: nodeCallId(record.id, node.name, item, this.#memory.round),
      retention: {
        completedMs: Math.max(completedMs, LEAST_RETENTION_MS),
        failedMs: Math.max(failedMs, LEAST_RETENTION_MS),
      },
    };
  }

  /** Somebody has submitted a call with the id of a node's. */
  #refuse({ id, task }: CallRecord): void {
    const error = new InvalidInputError(`the id ${id} is taken by another call, of ${task}`);
    this.#underWay.drop(id, { id, state: 'failed', error: errorToJson(error) } as CallRecord);
  }

  async #look(): Promise<void> {
    this.#isToLook = false;
    // What somebody has removed is made again.
    const missing = await this.#insist(() => this.#underWay.look());
    this.#jobs.push(...missing.filter((job) => job !== undefined));
  }

  /** Resolves when there is something to do. */
  async #news(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  /** Does something in the engine, again and again if it fails. */
  async #insist<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#leave;
    for (let failures = 1; ; failures++) {
      try {
        return await abortable(signal, work());
      } catch (error) {
        this.#check();
        this.#run.host.failed(error, failures);
      }
      await backOff(failures, signal, this.#run.host.clock);
      this.#check();
    }
  }

  readonly #onLookTime = (): void => {
    this.#lookTimer = this.#run.host.clock.setTimeout(this.#onLookTime, LOOK_MS);
    this.#isToLook = true;
    this.#wake?.();
  };

  // ---- the end --------------------------------------------------------------------------------------------------------

  readonly #onStopping = (): void => {
    this.#leave.abort(this.#ctx.stopping.reason);
    this.#wake?.();
  };

  readonly #onSignal = (): void => {
    const { endedAs } = this.#run;
    this.#isOver = endedAs === 'canceled' || (endedAs === undefined && isA(this.#ctx.cause, DeadlineExceededError));
    // Else somebody else has it by now, or will.
    if (!this.#isOver) this.#leave.abort(this.#ctx.cause);
    this.#wake?.();
  };

  /** It is over with the run: cancels what is under way, and waits for that to end. */
  async #endNodes(): Promise<void> {
    const error = errorToJson(canceledBecause(this.#ctx.cause));
    if (!(await this.#persist(() => this.#cancelAll(error)))) return;
    while (this.#underWay.size > 0 && !this.#leave.signal.aborted) {
      if (!this.#isToLook) await this.#news();
      else if (!(await this.#persist(() => this.#underWay.look()))) return;
      else this.#isToLook = false;
    }
    this.#takeIn();
    await this.#publisher.publishLast();
    if (this.#run.endedAs === undefined) await this.#memory.end(errorToJson(this.#ctx.cause)).catch(() => {});
  }

  /** It is canceled, maybe, and nobody will take it up: then what was made before that was heard of is canceled here. */
  async #endOrphans(): Promise<void> {
    const { host, record } = this.#run;
    try {
      const now = await host.engine.get(record.id);
      const isCanceled = now === undefined || now.cancelRequested || now.state === 'canceled';
      if (isCanceled) await cancelNodes(host.engine, [record.id], errorToJson(canceledBecause(this.#ctx.cause)));
    } catch (error) {
      host.failed(error, 1);
    }
  }

  async #cancelAll(error: string): Promise<void> {
    const { host, record } = this.#run;
    const nested: string[] = [];
    for (const [id, job] of this.#underWay.list()) {
      await cancelOne(host.engine, id, error);
      if (job !== undefined && definitionOf(job.node.task).flow !== undefined) nested.push(id);
    }
    // Whoever had the run before may have left calls that aren't known here yet.
    const runs = this.#memory.isTakenUp ? [record.id] : nested;
    for (const id of await cancelNodes(host.engine, runs, error)) this.#underWay.add(id, undefined);
    await this.#underWay.look();
  }

  /** Does something in the engine until it has succeeded; false if the run isn't ours any more. */
  async #persist(work: () => Promise<unknown>): Promise<boolean> {
    const { host } = this.#run;
    for (let failures = 1; host.holds(this.#run); failures++) {
      try {
        await work();
        return true;
      } catch (error) {
        host.failed(error, failures);
        await backOff(failures, NEVER, host.clock);
      }
    }
    return false;
  }
}
