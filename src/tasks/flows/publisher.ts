/**
 * Tells where the nodes of a run stand: as the progress of its call, so that it is kept with it and can be watched. All
 * of them each time; so of a large flow only now and then, and at the end.
 */
import type { ClockTimer } from '../../go/clock.ts';
import type { Run } from '../run.ts';
import { type Board, type FlowNodeState, hasFailed } from './board.ts';
import { type FlowError, flowErrorOf } from './flow-error.ts';
import type { Outcomes } from './outcomes.ts';

/** One node, as it is told. */
export interface NodeReport {
  readonly state: FlowNodeState;
  /** In which round it has had its call, if it has had one. */
  readonly round?: number;
  /** What that call is named, if others share it. */
  readonly shared?: string;
  readonly items?: { readonly total: number; readonly completed: number; readonly failed: number };
  /** Why it failed; and which node, if it couldn't begin. */
  readonly error?: FlowError;
  readonly failed?: string;
}

/** All of them, by name. */
export interface FlowReport {
  readonly nodes: Readonly<Record<string, NodeReport>>;
}

/** In so many parts at most a large flow is told, beside what is told in time. */
const PARTS = 16;
const LATEST_MS = 1_000;

export class Publisher {
  readonly #run: Run;
  readonly #board: Board;
  readonly #outcomes: Outcomes;
  readonly #errors = new Map<string, FlowError>();
  #told = -1;
  #timer: ClockTimer;

  constructor(run: Run, board: Board, outcomes: Outcomes) {
    this.#run = run;
    this.#board = board;
    this.#outcomes = outcomes;
  }

  /** Publishes if there is enough that is new; else soon. */
  offer(): void {
    const { moves, size } = this.#board;
    if (moves === this.#told) return;
    if (this.#told === -1 || moves - this.#told >= size / PARTS) this.publish();
    else this.#timer ??= this.#run.host.clock.setTimeout(this.publish, LATEST_MS);
  }

  readonly publish = (): void => {
    this.#run.report(this.#take());
  };

  /** Resolves when it is known where all stand at the end. */
  async publishLast(): Promise<void> {
    await this.#run.reportSurely(this.#take());
  }

  #take(): string {
    this.close();
    this.#told = this.#board.moves;
    const { plan } = this.#board;
    const nodes = Object.fromEntries(plan.nodes.map(({ name, index }) => [name, this.#reportOf(name, index)]));
    return JSON.stringify({ nodes } satisfies FlowReport);
  }

  close(): void {
    if (this.#timer !== undefined) this.#run.host.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Many nodes may have failed with one. */
  #errorOf(text: string): FlowError {
    let error = this.#errors.get(text);
    if (error === undefined) {
      error = flowErrorOf(text);
      this.#errors.set(text, error);
    }
    return error;
  }

  #reportOf(name: string, index: number): NodeReport {
    const { state, round, fault } = this.#board.slots[index]!;
    const items = this.#outcomes.itemsOf(index);
    const { chain, shape } = this.#board.plan.nodes[index]!;
    return {
      state,
      ...(round !== undefined && { round }),
      ...(round !== undefined && chain.length > 1 && { shared: shape }),
      ...(items?.total !== undefined && {
        items: { total: items.total, completed: items.entries.size - items.failed, failed: items.failed },
      }),
      ...(fault !== undefined && hasFailed(state) && { error: this.#errorOf(fault.error) }),
      ...(fault !== undefined && hasFailed(state) && fault.node !== name && { failed: fault.node }),
    };
  }
}
