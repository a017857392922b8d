/** `flow()`: a graph of tasks that is a task itself. */
import { checkNames, checkObject } from '../checks.ts';
import { complete, DefinedTask, definitionOf, type Given } from '../define-task.ts';
import type { Definition } from '../definition.ts';
import type { RunContext } from '../run-context.ts';
import type { StandardSchema } from '../standard-schema.ts';
import type { CallContext, Task, TaskDefinition } from '../types.ts';
import { type FlowBuilder, newBuilder } from './builder.ts';
import { coordinate } from './coordinator.ts';
import type { FlowRun } from './flows.ts';
import { FLOWS } from './ids.ts';
import { toMermaid } from './mermaid.ts';
import { type GivenNode, planOf } from './plan.ts';

/**
 * What a flow is defined by, as tasks are; its nodes have their own rules for what is theirs: retries, workers, limits.
 * I: what is submitted; P: what the schema makes of it. All durations are in ms.
 */
export interface FlowOptions<I, P>
  extends Pick<
    TaskDefinition<I, P, unknown, unknown>,
    | 'version'
    | 'description'
    | 'migrate'
    | 'queue'
    | 'priority'
    | 'overridable'
    | 'onDuplicate'
    | 'key'
    | 'rateLimit'
    | 'concurrency'
    | 'authorize'
    | 'retain'
    | 'observe'
  > {
  /** Unique together with the version, among all tasks. */
  readonly name: string;
  /** What the input must be: any Standard Schema. Default: any JSON. */
  readonly input?: StandardSchema<I, P> | undefined;
  /** A limit on the whole run, from its start; on each round of one that is resubmitted. Default: none. */
  readonly timeoutMs?: number | undefined;
  /**
   * Whether a run that failed is kept as a dead letter, until somebody resubmits it, which runs what had not completed,
   * or removes it. Default true.
   */
  readonly deadLetter?: boolean | undefined;
}

/**
 * A flow: a task like any other, so it is registered, submitted, canceled by the id of its call, resubmitted, and can be
 * a node of another flow.
 */
export interface Flow<I = unknown, O = unknown> extends Task<I, O> {
  /** The names of its nodes, in the order they were added. */
  readonly nodes: readonly string[];
  /** Its picture, as the text of a Mermaid flowchart; with a run, where each node stands. */
  toMermaid(run?: FlowRun): string;
}

/** As a dictionary, so that the compiler sees to it that none is missing. */
const OPTIONS: Readonly<Record<keyof FlowOptions<never, never>, true>> = {
  name: true,
  version: true,
  description: true,
  input: true,
  migrate: true,
  queue: true,
  priority: true,
  overridable: true,
  timeoutMs: true,
  onDuplicate: true,
  key: true,
  rateLimit: true,
  concurrency: true,
  deadLetter: true,
  authorize: true,
  retain: true,
  observe: true,
};

/**
 * Begins a flow. Add nodes to it, each a task, and build it: that gives a task, whose calls are the runs of the flow.
 * After Jobbers' DAGs and mycorda's stages.
 *
 * What goes in is known from the schema, or is said: `flow<string>({ name })`.
 *
 * @example
 * const nightly = flow({ name: 'nightly', input: z.object({ day: z.string() }) })
 *   .node('customers', listCustomers)
 *   .each('reports', makeReport, { after: 'customers', over: ({ customers }) => customers })
 *   .then('mail', sendAll)
 *   .onError('alarm', page, { of: 'reports' })
 *   .build(({ mail }) => mail);
 * @throws TypeError or RangeError when an option is wrong
 */
export function flow<P = unknown, I = P>(options: FlowOptions<I, P>): FlowBuilder<I, P> {
  checkObject('options', options);
  checkNames('a flow', options, Object.keys(OPTIONS));
  const { deadLetter = true } = options;
  // How often it is told where the nodes stand is for the publisher to say.
  const given = { ...options, deadLetter, heartbeatEveryMs: 0, run: () => {} } as unknown as Given;
  // All that is wrong beside the graph is found here.
  const definition = complete(given);
  return newBuilder<I, P>((nodes, output) => new FlowTask(definition, nodes, output) as never);
}

class FlowTask<I, O> extends DefinedTask<I, O> implements Flow<I, O> {
  constructor(own: Definition, given: readonly GivenNode[], output: ((results: never) => unknown) | undefined) {
    const plan = planOf(own.name, own.version, given, output);
    const queues = plan.nodes.map(({ options }) => options?.queue).filter((queue) => queue !== undefined);
    super(
      Object.freeze({
        ...own,
        manager: FLOWS,
        flow: plan,
        // Those that its nodes are sent to: somebody has to take their calls.
        queues: Object.freeze([...new Set([...own.queues, ...queues])]),
        run: (ctx: CallContext, input: unknown) => coordinate(plan, ctx as RunContext, input),
      }),
    );
  }

  get nodes(): readonly string[] {
    return definitionOf(this).flow!.nodes.map(({ name }) => name);
  }

  toMermaid(run?: FlowRun): string {
    return toMermaid(this, run);
  }
}
