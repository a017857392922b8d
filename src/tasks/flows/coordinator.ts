/**
 * What a run of a flow does: it makes the calls of the nodes, follows them, and ends when they have. It holds no worker
 * and does no work, so any number of them can wait, for one another too.
 *
 * Invariants: a call of a node has an id that follows from the run's, so it is made once, whoever makes it again. What is
 * heard, found and decided goes through one loop, step by step. It leaves calls behind only when somebody else is to take
 * up the run; when it is canceled, or has no time left, it ends after they have.
 */
import { abortable } from 'abort-controller-x';
import type { CallRecord } from '../../engines/index.ts';
import type { ClockTimer } from '../../go/clock.ts';
import { DeadlineExceededError, isA } from '../../go/errors.ts';
import { canceledBecause } from '../../manager/errors.ts';
import { backOff } from '../backoff.ts';
import { definitionOf } from '../define-task.ts';
import { errorFromJson, errorToJson } from '../error-json.ts';
import type { Run } from '../run.ts';
import { type RunContext, runOf } from '../run-context.ts';
import { Board } from './board.ts';
import { CallMaker, type Job } from './call-maker.ts';
import { cancelNodes, cancelOne } from './cancel-nodes.ts';
import { inputOf, itemsOf, outputOf, type Source, sourceOf } from './inputs.ts';
import { type Entry, FlowMemory } from './memory.ts';
import { Outcomes } from './outcomes.ts';
import type { FlowPlan, PlanNode } from './plan.ts';
import { Publisher } from './publisher.ts';
import { UnderWay } from './under-way.ts';

/** What a coordinator is told may get lost on its way: it looks by itself after so long. */
const LOOK_MS = 5_000;
const NEVER = new AbortController().signal;

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
  readonly #maker: CallMaker;
  /** What was heard since the last step. */
  #ended: { readonly job: Job; readonly record: CallRecord }[] = [];
  #wake: (() => void) | undefined;
  #isToLook = false;
  #lookTimer: ClockTimer;
  /** Whether the run is canceled, or has no time left. */
  #isOver = false;
  /** Fires when somebody else is to take up the run. */
  readonly #leave = new AbortController();
  /** Fires when it is over, too. */
  readonly #end = new AbortController();

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
    this.#maker = new CallMaker(this.#run, this.#memory.round, this.#underWay, {
      signal: this.#end.signal,
      check: () => this.#check(),
      insist: (work) => this.#insist(work),
      refused: (job, error) => this.#note(job, 'failed', errorToJson(error)),
    });
    ctx.signal.addEventListener('abort', this.#onSignal);
    ctx.stopping.addEventListener('abort', this.#onStopping);
    this.#onLookTime();
  }

  async run(): Promise<unknown> {
    try {
      if (this.#ctx.signal.aborted) this.#onSignal();
      if (this.#ctx.stopping.aborted) this.#onStopping();
      await this.#goThrough();
      if (this.#board.slots.some(({ state }) => state === 'canceled')) await this.#lookForCancel();
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
    if (this.#leave.signal.aborted || this.#run.endedAs === 'lost') void this.#endOrphans();
  }

  /** Nodes are canceled with their run, and one may hear of them first. */
  async #lookForCancel(): Promise<void> {
    const { host, record } = this.#run;
    const now = await this.#insist(() => host.engine.get(record.id));
    if (now?.cancelRequested) this.#run.end('canceled', canceledBecause(undefined));
    this.#check();
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
      if (this.#maker.hasMore) await this.#maker.makeSome();
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
      ...(node.shape !== '' && { shape: node.shape }),
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
          this.#maker.add({ node, item: undefined, input: inputOf(node, source) });
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
      this.#maker.add({ node, item, input: inputs[item] });
    }
    for (const entry of this.#outcomes.conclude(node)) this.#memory.note(entry);
  }

  async #look(): Promise<void> {
    this.#isToLook = false;
    // What somebody has removed is made again.
    const missing = await this.#insist(() => this.#underWay.look());
    for (const job of missing) if (job !== undefined) this.#maker.add(job);
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
    this.#end.abort(this.#ctx.stopping.reason);
    this.#wake?.();
  };

  readonly #onSignal = (): void => {
    const { endedAs } = this.#run;
    this.#isOver = endedAs === 'canceled' || (endedAs === undefined && isA(this.#ctx.cause, DeadlineExceededError));
    // Else somebody else has it by now, or will.
    if (!this.#isOver) this.#leave.abort(this.#ctx.cause);
    this.#end.abort(this.#ctx.cause);
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
