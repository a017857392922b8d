/**
 * What calls have come to, put on the board: those of single nodes at once, those of a node with a call for each item when
 * all are in, and of one that several nodes share for each of them.
 */
import { errorFromJson } from '../error-json.ts';
import { decodePayload } from '../payload.ts';
import type { Board } from './board.ts';
import { flowErrorOf } from './flow-error.ts';
import { blamedFor } from './inline.ts';
import type { Entry } from './memory.ts';
import type { PlanNode } from './plan.ts';

/** The items of one node. */
export class Items {
  /** How many there are, once that is known. */
  total: number | undefined = undefined;
  failed = 0;
  readonly entries = new Map<number, Entry>();

  take(entry: Entry): void {
    const former = this.entries.get(entry.item!);
    if (former !== undefined && former.state !== 'completed') this.failed--;
    if (entry.state !== 'completed') this.failed++;
    this.entries.set(entry.item!, entry);
  }

  drop(item: number): void {
    const { state } = this.entries.get(item)!;
    this.entries.delete(item);
    if (state !== 'completed') this.failed--;
  }
}

export class Outcomes {
  readonly #board: Board;
  readonly #round: number;
  readonly #items = new Map<number, Items>();

  constructor(board: Board, round: number) {
    this.#board = board;
    this.#round = round;
  }

  /** Those of a node, if it has some. */
  itemsOf(index: number): Items | undefined {
    return this.#items.get(index);
  }

  /** What was written down before: of this round all, of those before it what had completed. */
  recall(entries: Iterable<Entry>): void {
    const { plan } = this.#board;
    for (const entry of entries) {
      const node = plan.nodes[plan.byName.get(entry.node) ?? -1];
      // One that handles a failure is told of each anew.
      if (node === undefined || (entry.round !== this.#round && node.isHandling)) continue;
      // It was another kind of node when that was written down, or shared its call with others than now.
      if ((entry.shape ?? '') !== node.shape || node.isInline) continue;
      // Failed items of a node that had completed are part of what it gives.
      if (entry.round === this.#round || entry.state === 'completed' || (node.isSettled && entry.item !== undefined)) {
        this.take(entry);
      }
    }
    for (const items of this.#items.values()) if (items.total === undefined) this.#forgetFailed(items);
  }

  /** What a call has come to. Gives what follows from it, to be written down as well. */
  take(entry: Entry): Entry[] {
    const { plan, slots } = this.#board;
    const node = plan.nodes[plan.byName.get(entry.node)!]!;
    const { state } = slots[node.index]!;
    if (state !== 'waiting' && state !== 'running') return [];
    if (entry.item !== undefined) {
      this.#of(node.index).take(entry);
      this.#board.moves++;
      return this.conclude(node);
    }
    if (state === 'waiting') this.#board.begin(node.index, entry.round);
    if (entry.state !== 'completed') this.#fail(node, entry);
    else if (node.kind === 'each') {
      this.#of(node.index).total = Number(entry.text);
      this.conclude(node);
    } else if (node.chain.length > 1) this.#completeChain(node, entry.text);
    else this.#board.complete(node.index, entry.text);
    return [];
  }

  /** There are so many items. Gives those of which nothing is known. */
  expect(node: PlanNode, total: number): number[] {
    const items = this.#of(node.index);
    items.total = total;
    this.#board.size += total;
    for (const item of items.entries.keys()) if (item >= total) items.drop(item);
    return Array.from({ length: total }, (_, item) => item).filter((item) => !items.entries.has(item));
  }

  /** Ends a node if all of its items are in. Gives what is to be written down of it. */
  conclude(node: PlanNode): Entry[] {
    const items = this.#of(node.index);
    const { total, entries, failed } = items;
    if (total === undefined || entries.size < total) return [];
    const all = Array.from({ length: total }, (_, item) => entries.get(item)!);
    if (failed > 0 && !node.isSettled) {
      const first = all.find(({ state }) => state !== 'completed')!;
      this.#board.fail(node.index, { node: node.name, error: first.text }, stateOf(first));
      return [];
    }
    this.#board.complete(node.index, `[${all.map(node.isSettled ? settledText : valueText).join()}]`);
    return [{ node: node.name, shape: node.shape, round: this.#round, state: 'completed', text: `${total}` }];
  }

  #of(index: number): Items {
    let items = this.#items.get(index);
    if (items === undefined) {
      items = new Items();
      this.#items.set(index, items);
    }
    return items;
  }

  /** The items of a node that hadn't ended are run again if they failed in a round before. */
  #forgetFailed(items: Items): void {
    for (const [item, { state, round }] of items.entries) {
      if (state !== 'completed' && round !== this.#round) items.drop(item);
    }
  }

  #completeChain({ chain }: PlanNode, text: string): void {
    const outputs = (decodePayload(text) ?? {}) as Readonly<Record<string, unknown>>;
    for (const index of chain) {
      const { name } = this.#board.plan.nodes[index]!;
      const output = Object.hasOwn(outputs, name) ? outputs[name] : undefined;
      this.#board.complete(index, output === undefined ? '' : JSON.stringify(output));
    }
  }

  #fail({ chain, index, name }: PlanNode, entry: Entry): void {
    const fault = { node: name, error: entry.text };
    const blamed = chain.length > 1 ? blamedFor(errorFromJson(entry.text)) : undefined;
    const at = chain.findIndex((each) => this.#board.plan.nodes[each]!.name === blamed);
    if (at <= 0) {
      this.#board.fail(index, fault, stateOf(entry));
      return;
    }
    // Those before it have done their work, and what it came to has gone with the call.
    for (const each of chain.slice(0, at)) this.#board.complete(each, '');
    this.#board.fail(chain[at]!, { ...fault, node: blamed! }, stateOf(entry));
  }
}

function stateOf({ state }: Entry): 'failed' | 'canceled' {
  return state === 'canceled' ? 'canceled' : 'failed';
}

/** A list can't hold undefined. */
function valueText({ text }: Entry): string {
  return text === '' ? 'null' : text;
}

function settledText({ state, text }: Entry): string {
  if (state !== 'completed') return `{"status":"rejected","reason":${JSON.stringify(flowErrorOf(text))}}`;
  return text === '' ? '{"status":"fulfilled"}' : `{"status":"fulfilled","value":${text}}`;
}
