/** What a flow's nodes are called with: made of results, of a failure, or of the flow's input. */
import { isPromise } from 'node:util/types';
import { show } from '../../go/checks.ts';
import { messageOf } from '../checks.ts';
import { copyOf } from '../copy.ts';
import { InvalidInputError } from '../errors.ts';
import { decodePayload } from '../payload.ts';
import type { Board, Fault } from './board.ts';
import { type FlowError, flowErrorOf } from './flow-error.ts';
import type { FlowPlan, Mapper, PlanNode } from './plan.ts';

/** What a handler of failures is told. */
export interface FlowFailure {
  /** The node that has failed: one of those named, or one before it, without which that couldn't begin. */
  readonly node: string;
  /** What it has failed with. */
  readonly error: FlowError;
}

/** What nodes take their inputs from. */
export interface Source {
  /** The flow's own. */
  readonly flowInput: unknown;
  /** What a node has completed with. */
  resultOf(name: string): unknown;
  /** Why one that handles failures begins. */
  readonly fault: Fault | undefined;
}

/** So many there can be of a list: what is longer has no end, or should be taken in parts. */
const MOST_ITEMS = 1_000_000;

/** What a node is called with. @throws InvalidInputError when the function for it throws */
export function inputOf(node: PlanNode, source: Source): unknown {
  const { kind, input, after, takesMany } = node;
  if (kind === 'onError') {
    const failure = failureOf(source.fault!);
    return input === undefined ? failure : ask(node, 'input', input, failure, source.flowInput);
  }
  if (input !== undefined) return ask(node, 'input', input, resultsOf(after, source), source.flowInput);
  if (after.length === 0 && !takesMany) return source.flowInput;
  return takesMany ? resultsOf(after, source) : source.resultOf(after[0]!);
}

/** The items of a node that has a call for each. @throws InvalidInputError when there is no list of them */
export function itemsOf(node: PlanNode, source: Source): unknown[] {
  const over = `over of the node ${node.name}`;
  const items = ask(node, 'over', node.over!, resultsOf(node.after, source), source.flowInput);
  if (typeof (items as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] !== 'function') {
    throw new InvalidInputError(`${over} must return a list of items, but returned ${show(items)}`);
  }
  const list: unknown[] = [];
  try {
    for (const item of items as Iterable<unknown>) if (list.push(item) > MOST_ITEMS) break;
  } catch (cause) {
    throw new InvalidInputError(`${over} threw: ${messageOf(cause)}`, { cause });
  }
  if (list.length > MOST_ITEMS) throw new InvalidInputError(`${over} gives more than ${MOST_ITEMS} items`);
  return list;
}

/** What the nodes that wait for no other are called with. */
export function* rootInputs(plan: FlowPlan, flowInput: unknown): Generator<{ node: PlanNode; input: unknown }> {
  const source: Source = { flowInput, resultOf: () => undefined, fault: undefined };
  for (const node of plan.nodes) {
    if (node.after.length + node.of.length > 0) continue;
    if (node.kind !== 'each') yield { node, input: inputOf(node, source) };
    else for (const input of itemsOf(node, source)) yield { node, input };
  }
}

/** What a flow completes with. */
export function outputOf({ plan, slots }: Board, source: Source): unknown {
  if (plan.output === undefined) {
    const last = plan.nodes.at(-1)!;
    return slots[last.index]!.state === 'completed' ? source.resultOf(last.name) : undefined;
  }
  const names = plan.nodes.filter(({ index }) => slots[index]!.state === 'completed').map(({ name }) => name);
  return plan.output(resultsOf(names, source) as never);
}

/** Each result is read once, however many take it. */
export function sourceOf({ plan, slots }: Board, flowInput: unknown): Source {
  const results = new Map<string, unknown>();
  return {
    flowInput,
    fault: undefined,
    resultOf: (name) => {
      if (!results.has(name)) results.set(name, decodePayload(slots[plan.byName.get(name)!]!.output!));
      return results.get(name);
    },
  };
}

function failureOf({ node, error }: Fault): FlowFailure {
  return { node, error: flowErrorOf(error) };
}

function resultsOf(names: readonly string[], source: Source): Readonly<Record<string, unknown>> {
  return Object.fromEntries(names.map((name) => [name, source.resultOf(name)]));
}

/**
 * What a function of the user's makes. It gets copies, as others are given the same.
 *
 * @throws InvalidInputError when it throws, or gives a promise
 */
export function ask(
  { name }: Pick<PlanNode, 'name'>,
  what: string,
  fn: Mapper,
  given: unknown,
  flowInput: unknown,
): unknown {
  let made: unknown;
  try {
    made = fn(copyOf(given) as never, copyOf(flowInput) as never);
  } catch (cause) {
    throw new InvalidInputError(`${what} of the node ${name} threw: ${messageOf(cause)}`, { cause });
  }
  if (!isPromise(made)) return made;
  // It has been told already that nobody waits for it.
  made.catch(() => {});
  const why = 'but returned a promise: what has to be waited for is a node';
  throw new InvalidInputError(`${what} of the node ${name} must return its value, ${why}`);
}
