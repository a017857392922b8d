/**
 * A flow as it is run: its nodes, what each waits for, and who waits for it. Everything that can be wrong with a graph is
 * found here, before anything is run.
 *
 * Invariant: a plan has no cycle, and every name in it is a node's.
 */
import { show } from '../../go/checks.ts';
import {
  checkFunction,
  checkName,
  checkNames,
  checkObject,
  optionalBoolean,
  optionalFunction,
  optionalOneOf,
  wrongType,
} from '../checks.ts';
import { definitionOf } from '../define-task.ts';
import type { Definition } from '../definition.ts';
import { checkSubmitOptions } from '../submit-options.ts';
import type { AnyTask, SubmitOptions } from '../types.ts';
import { sharedName } from './ids.ts';
import { chainTask, checkInline } from './inline.ts';

/** What a node is: one call; a call for each item; one call if others have failed. */
export type NodeKind = 'node' | 'each' | 'onError';

/** A function of the user's: of results by name, or of a failure, and of the flow's input. */
export type Mapper = (results: never, flowInput: never) => unknown;

/** A node as the builder was told of it. */
export interface GivenNode {
  readonly kind: NodeKind;
  readonly name: unknown;
  readonly task: unknown;
  readonly options: unknown;
}

/** A node, and its place among the others, which are given by their indexes. */
export interface PlanNode {
  readonly name: string;
  readonly index: number;
  readonly kind: NodeKind;
  /** What its call is of: with those that run inline after it. */
  readonly task: AnyTask;
  /** Those whose results it takes. */
  readonly after: readonly string[];
  /** Whether it takes them by name, even if there is but one. */
  readonly takesMany: boolean;
  /** Those whose failure it handles. */
  readonly of: readonly string[];
  readonly input: Mapper | undefined;
  readonly over: Mapper | undefined;
  /** Whether it gives what has become of each item, failures too. */
  readonly isSettled: boolean;
  readonly onFailure: 'fail' | 'skip';
  readonly options: SubmitOptions | undefined;
  /** Whether it runs in the call of the node before it. */
  readonly isInline: boolean;
  /** The node itself, and those that run inline after it, in order. */
  readonly chain: readonly number[];
  /**
   * What its outcome is of: '' for a call of its own, 'each', or the names of those that share its call. In another
   * deployment of the flow the node may have had another one: then nothing of that is its own.
   */
  readonly shape: string;
  readonly dependents: readonly number[];
  readonly handlers: readonly number[];
  /** Whether it handles a failure, or follows what does. */
  readonly isHandling: boolean;
}

/** A flow, whole and checked. */
export interface FlowPlan {
  readonly name: string;
  readonly version: number;
  readonly nodes: readonly PlanNode[];
  readonly byName: ReadonlyMap<string, number>;
  /** Makes the flow's output of all results; without it, it is that of the last node. */
  readonly output: ((results: never) => unknown) | undefined;
  /** What the flow needs to be registered: the tasks of its nodes, and those of nodes that share a call. */
  readonly tasks: readonly AnyTask[];
}

type Draft = { -readonly [K in keyof PlanNode]: PlanNode[K] } & {
  readonly dependents: number[];
  readonly handlers: number[];
  readonly own: Definition;
};

const COMMON = ['after', 'onFailure', 'delayMs', 'priority', 'queue', 'timeoutMs', 'attempts'];
const OPTIONS: Readonly<Record<NodeKind, readonly string[]>> = {
  node: [...COMMON, 'input', 'inline'],
  each: [...COMMON, 'over', 'settled'],
  onError: [...COMMON.slice(1), 'of', 'input'],
};

/** So many nodes of a cycle an error names. */
const MOST_NAMES = 20;

/** @throws TypeError or RangeError that names the flow, and what is wrong with it */
export function planOf(
  name: string,
  version: number,
  given: readonly GivenNode[],
  output: ((results: never) => unknown) | undefined,
): FlowPlan {
  const title = `the flow ${name}`;
  if (given.length === 0) throw new TypeError(`${title} has no nodes: add one with node()`);
  optionalFunction('output', output);
  const nodes = given.map((node, index) => draftOf(title, node, index));
  const byName = new Map<string, number>();
  for (const node of nodes) {
    if (byName.has(node.name)) throw new TypeError(`${title} has two nodes of the name ${show(node.name)}`);
    byName.set(node.name, node.index);
  }
  link(title, nodes, byName);
  const order = inOrder(title, nodes, byName);
  for (const node of order) {
    const before = [...node.after, ...node.of].map((each) => nodes[byName.get(each)!]!);
    node.isHandling = node.kind === 'onError' || before.some(({ isHandling }) => isHandling);
  }
  const shared = joinInline(title, name, version, order, nodes, byName);
  return {
    name,
    version,
    nodes: nodes.map(({ own: _, ...node }) => Object.freeze(node)),
    byName,
    output,
    tasks: [...new Set([...given.map(({ task }) => task as AnyTask), ...shared])],
  };
}

function draftOf(
  title: string,
  { kind, name: givenName, task, options: givenOptions }: GivenNode,
  index: number,
): Draft {
  const name = checkName(`the name of a node of ${title}`, givenName);
  const called = `the node ${name} of ${title}`;
  const own = definitionOf(task as AnyTask, `the task of ${called}`);
  const options = (givenOptions ?? {}) as Readonly<Record<string, unknown>>;
  checkObject(`the options of ${called}`, options);
  checkNames(called, options, OPTIONS[kind]);
  const { after, of, input, over, settled, onFailure, inline, ...rest } = options;
  if (kind === 'each') checkFunction(`over of ${called}`, over);
  optionalFunction(`input of ${called}`, input);
  const handled = namesOf(`of of ${called}`, of);
  if (kind === 'onError' && handled.length === 0) throw new TypeError(`of of ${called} names no node`);
  const submission = Object.keys(rest).length === 0 ? undefined : (Object.freeze(rest) as SubmitOptions);
  if (submission !== undefined) checkSubmitOptions(own, submission);
  return {
    name,
    index,
    kind,
    task: task as AnyTask,
    after: namesOf(`after of ${called}`, after),
    takesMany: Array.isArray(after),
    of: handled,
    input: input as Mapper | undefined,
    over: over as Mapper | undefined,
    isSettled: optionalBoolean(`settled of ${called}`, settled, false),
    onFailure: optionalOneOf(`onFailure of ${called}`, onFailure, ['fail', 'skip'], 'fail'),
    options: submission,
    isInline: optionalBoolean(`inline of ${called}`, inline, false),
    chain: Object.freeze([index]),
    shape: kind === 'each' ? kind : '',
    dependents: [],
    handlers: [],
    isHandling: false,
    own,
  };
}

function namesOf(name: string, value: unknown): readonly string[] {
  if (value === undefined) return [];
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  for (const each of names) {
    if (typeof each !== 'string') throw wrongType(name, 'the name of a node, or an array of names', value);
  }
  return Object.freeze([...new Set(names as string[])]);
}

function link(title: string, nodes: readonly Draft[], byName: ReadonlyMap<string, number>): void {
  const find = (node: Draft, name: string, what: string): Draft => {
    const index = byName.get(name);
    if (index !== undefined) return nodes[index]!;
    throw new TypeError(`the node ${node.name} of ${title} is ${what} ${show(name)}, which is none of its nodes`);
  };
  for (const node of nodes) {
    for (const name of node.after) find(node, name, 'after').dependents.push(node.index);
    for (const name of node.of) find(node, name, 'to handle the failure of').handlers.push(node.index);
  }
}

/** Each after all that it waits for. */
function inOrder(title: string, nodes: readonly Draft[], byName: ReadonlyMap<string, number>): Draft[] {
  const left = nodes.map(({ after, of }) => after.length + of.length);
  const order = nodes.filter(({ index }) => left[index] === 0);
  for (const { dependents, handlers } of order) {
    for (const index of [...dependents, ...handlers]) if (--left[index]! === 0) order.push(nodes[index]!);
  }
  if (order.length === nodes.length) return order;
  // Whoever is left waits for somebody who is left: going back from any of them ends in going round.
  const path: Draft[] = [];
  const at = new Map<Draft, number>();
  let node = nodes.find(({ index }) => left[index]! > 0)!;
  while (!at.has(node)) {
    at.set(node, path.push(node) - 1);
    const before: string = [...node.after, ...node.of].find((name) => left[byName.get(name)!]! > 0)!;
    node = nodes[byName.get(before)!]!;
  }
  const ring = path.slice(at.get(node)).reverse();
  const names = [...ring, ring[0]!].map(({ name }) => name);
  const leftOut = names.length - MOST_NAMES;
  if (leftOut > 0) names.splice(MOST_NAMES - 1, leftOut, `(${leftOut} more)`);
  throw new TypeError(`${title} has a cycle: ${names.join(' -> ')}`);
}

/** Has nodes that run inline share the call of the one before; gives the tasks of these calls. */
function joinInline(
  title: string,
  name: string,
  version: number,
  order: readonly Draft[],
  nodes: readonly Draft[],
  byName: ReadonlyMap<string, number>,
): AnyTask[] {
  const heads = new Map<Draft, Draft>();
  const chains = new Map<Draft, Draft[]>();
  for (const node of order) {
    if (!node.isInline) continue;
    const parent = node.after.length === 1 ? nodes[byName.get(node.after[0]!)!] : undefined;
    checkInline(title, node, node.own, parent, parent?.own);
    const head = heads.get(parent!) ?? parent!;
    heads.set(node, head);
    if (!chains.has(head)) chains.set(head, [head]);
    chains.get(head)!.push(node);
  }
  const tasks: AnyTask[] = [];
  for (const [head, chain] of chains) {
    head.chain = Object.freeze(chain.map(({ index }) => index));
    head.shape = sharedName(chain.map((node) => node.name));
    head.task = chainTask(`${name}/${head.name}`, version, chain);
    tasks.push(head.task);
  }
  return tasks;
}
