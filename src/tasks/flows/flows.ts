/** How the runs of flows are doing, read from what is kept with their calls. */
import type { CallRecord, CallState, Engine } from '../../engines/index.ts';
import { isEnded } from '../../engines/moves.ts';
import { show } from '../../go/checks.ts';
import { errorFromJson } from '../error-json.ts';
import { checkId } from '../filters.ts';
import type { TaskRegistry } from '../registry.ts';
import type { FlowNodeState } from './board.ts';
import type { FlowError } from './flow-error.ts';
import { FLOWS, nodeCallId } from './ids.ts';
import type { FlowReport, NodeReport } from './publisher.ts';

/** A node of a run, as it is at one moment. */
export interface FlowNode {
  /** Where it stands. */
  readonly state: FlowNodeState;
  /** The id of its call, to be looked at like any other; of a node with a call for each item, what their ids begin with. */
  readonly call?: string | undefined;
  /** Of a node with a call for each item: how many items there are, and how many have ended. */
  readonly items?: { readonly total: number; readonly completed: number; readonly failed: number } | undefined;
  /** Why it has failed. */
  readonly error?: FlowError | undefined;
  /** The node that has failed, if it is another one, without which this one couldn't begin. */
  readonly failed?: string | undefined;
}

/** A run of a flow, as it is at one moment: a copy. Times are in ms since the epoch. */
export interface FlowRun {
  /** The id of its call. */
  readonly id: string;
  /** The flow's name. */
  readonly flow: string;
  /** The version it was submitted with. */
  readonly version: number;
  /** Where its call stands. */
  readonly state: CallState;
  /** Its nodes, by name, in the order of the flow. */
  readonly nodes: Readonly<Record<string, FlowNode>>;
  /** What it failed with last, or why it was canceled. */
  readonly error: unknown;
  /** When it was submitted. */
  readonly submittedAt: number;
  /** When somebody began to coordinate it last. */
  readonly startedAt: number | undefined;
  /** When it ended. */
  readonly endedAt: number | undefined;
}

/** The runs of flows that the engine knows. */
export class Flows {
  readonly #engine: Engine;
  readonly #registry: TaskRegistry;

  /** @internal */
  constructor(engine: Engine, registry: TaskRegistry) {
    this.#engine = engine;
    this.#registry = registry;
  }

  /** A run, by the id of its call. Undefined when there is none, or none any more. @throws TypeError for a call of a task */
  async get(id: string): Promise<FlowRun | undefined> {
    const record = await this.#engine.get(checkId(id));
    if (record === undefined) return undefined;
    if (record.manager !== FLOWS) throw new TypeError(`the call ${show(id)} is of ${record.task}, which is no flow`);
    return this.#describe(record);
  }

  #describe(record: CallRecord): FlowRun {
    const { id, task, version, state, error, submittedAt, startedAt, endedAt } = record;
    const nodes = Object.entries(this.#reportsOf(record)).map(([name, report]) => [name, nodeOf(record, name, report)]);
    return {
      id,
      flow: task,
      version,
      state,
      nodes: Object.fromEntries(nodes) as Record<string, FlowNode>,
      error: error === undefined ? undefined : errorFromJson(error),
      submittedAt,
      startedAt,
      endedAt,
    };
  }

  /** What was told last; before anything was, all wait. */
  #reportsOf({ progress, task, version }: CallRecord): FlowReport['nodes'] {
    const told = progress === undefined ? undefined : (JSON.parse(progress) as Partial<FlowReport> | null)?.nodes;
    // What stands in for a flow, in tests, may say of its progress what it likes.
    if (typeof told === 'object' && told !== null) return told;
    if (!this.#registry.has(task, version)) return {};
    const names = this.#registry.resolve(task, version).flow?.nodes.map(({ name }) => name) ?? [];
    return Object.fromEntries(names.map((name) => [name, { state: 'waiting' }]));
  }
}

function nodeOf({ id, state: run }: CallRecord, name: string, { round, shared, ...report }: NodeReport): FlowNode {
  const isOpen = report.state === 'waiting' || report.state === 'running';
  return {
    ...report,
    // Of a run that was canceled while nobody had it, nobody could tell.
    ...(isOpen && isEnded(run) && { state: 'canceled' }),
    ...(round !== undefined && { call: nodeCallId(id, name, undefined, round, shared) }),
  };
}
