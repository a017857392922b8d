/**
 * What stands where in a run of a flow, by the rules of its graph; nothing is waited for or told here.
 *
 * A node begins when all that it is after have completed; it fails as soon as one of them has failed; it is skipped when
 * all have ended and one is out: skipped itself, or failed with `onFailure: 'skip'`. What handles failures begins as soon
 * as one of those it is for has failed, and is skipped when all have ended and none has.
 *
 * Invariant: each end is passed on once, to each that waits for it, so a graph costs as much as it has edges.
 */
import type { FlowPlan, PlanNode } from './plan.ts';

/** Where a node stands: it waits for others; its call is under way; it has ended, or will never begin. */
export type FlowNodeState = 'waiting' | 'running' | 'completed' | 'failed' | 'skipped' | 'canceled';

/** Which node has failed, and with what, as JSON of an error. */
export interface Fault {
  readonly node: string;
  readonly error: string;
}

/** What is known of one node. */
export class Slot {
  state: FlowNodeState = 'waiting';
  /** JSON of what it has completed with. */
  output: string | undefined = undefined;
  /** Why it failed; of one that couldn't begin, why another did. What handles a failure has that. */
  fault: Fault | undefined = undefined;
  /** In which round its call was made; undefined if it has none. */
  round: number | undefined = undefined;
  /** How many of those it waits for haven't ended. */
  left: number;
  /** Whether one of them is out. */
  isOut = false;

  constructor(node: PlanNode) {
    this.left = node.after.length + node.of.length;
  }
}

export class Board {
  readonly plan: FlowPlan;
  readonly slots: readonly Slot[];
  /** Nodes that haven't ended. */
  open: number;
  /** Why the flow will fail: the first failure that isn't let pass. */
  fault: Fault | undefined = undefined;
  /** How many moves there have been, those of items included, and of how many things. */
  moves = 0;
  size: number;
  /** Nodes that may begin, and how many of them have been given out. */
  #ready: number[] = [];
  #given = 0;
  /** Those whose end hasn't been passed on. */
  readonly #ended: number[] = [];
  #isPassing = false;

  constructor(plan: FlowPlan) {
    this.plan = plan;
    this.slots = plan.nodes.map((node) => new Slot(node));
    this.open = plan.nodes.length;
    this.size = plan.nodes.length;
    for (const [index, { left }] of this.slots.entries()) if (left === 0) this.#ready.push(index);
  }

  /** The next node that may begin, if there is one. */
  next(): number | undefined {
    while (this.#given < this.#ready.length) {
      const index = this.#ready[this.#given++]!;
      // It may be known already what has become of it.
      if (this.slots[index]!.state === 'waiting') return index;
    }
    this.#ready = [];
    this.#given = 0;
    return undefined;
  }

  begin(index: number, round: number): void {
    const slot = this.slots[index]!;
    slot.state = 'running';
    slot.round = round;
    this.moves++;
  }

  complete(index: number, output: string): void {
    this.slots[index]!.output = output;
    this.#end(index, 'completed');
  }

  fail(index: number, fault: Fault, state: 'failed' | 'canceled' = 'failed'): void {
    this.slots[index]!.fault = fault;
    if (this.plan.nodes[index]!.onFailure === 'fail') this.fault ??= fault;
    this.#end(index, state);
  }

  #end(index: number, state: FlowNodeState): void {
    this.slots[index]!.state = state;
    this.open--;
    this.moves++;
    this.#ended.push(index);
    if (this.#isPassing) return;
    this.#isPassing = true;
    for (let next = this.#ended.pop(); next !== undefined; next = this.#ended.pop()) this.#passOn(next);
    this.#isPassing = false;
  }

  #passOn(index: number): void {
    const { plan, slots } = this;
    const { dependents, handlers, onFailure } = plan.nodes[index]!;
    const { state, fault } = slots[index]!;
    for (const each of dependents) {
      const slot = slots[each]!;
      slot.left--;
      if (slot.state !== 'waiting') continue;
      if (hasFailed(state) && onFailure === 'fail') {
        this.fail(each, fault!, state);
        continue;
      }
      if (state !== 'completed') slot.isOut = true;
      if (slot.left > 0) continue;
      if (slot.isOut) this.#end(each, 'skipped');
      // One that runs inline has begun with this one.
      else if (!plan.nodes[each]!.isInline) this.#ready.push(each);
    }
    for (const each of handlers) {
      const slot = slots[each]!;
      slot.left--;
      if (slot.state !== 'waiting' || slot.fault !== undefined) continue;
      if (hasFailed(state)) {
        slot.fault = fault;
        this.#ready.push(each);
      } else if (slot.left === 0) {
        this.#end(each, 'skipped');
      }
    }
  }
}

/** Whether a node in this state has failed: one that somebody has canceled gives as little. */
export function hasFailed(state: FlowNodeState): state is 'failed' | 'canceled' {
  return state === 'failed' || state === 'canceled';
}
