/** A task's definition, checked and with its defaults: what a dispatcher goes by. */
import type { DuplicatePolicy, LaneLimit, Retention } from '../engines/index.ts';
import type { RetryPolicy } from '../manager/types.ts';
import type { FlowPlan } from './flows/plan.ts';
import type { Observed } from './signals/observe.ts';
import type { StandardSchema } from './standard-schema.ts';
import type { CallContext, Example, Overridable, Principal } from './types.ts';

/** What a registered task is. */
export interface Definition {
  /** Unique together with the version. */
  readonly name: string;
  /** From 1. */
  readonly version: number;
  /** For people. */
  readonly description: string | undefined;
  /** What an input must be. */
  readonly inputSchema: StandardSchema | undefined;
  /** What an output must be. */
  readonly outputSchema: StandardSchema | undefined;
  /** Makes the input of an older version one of this. */
  readonly migrate: ((input: unknown, version: number) => unknown) | undefined;
  /** The queue of a call. @throws InvalidInputError when the definition's own route fails */
  readonly route: (input: unknown) => string;
  /** The queue, if it is always the same. */
  readonly fixedQueue: string | undefined;
  /** All queues that the route can name; empty if it doesn't say. */
  readonly queues: readonly string[];
  /** Higher goes first. */
  readonly priority: number;
  /** What a submission may change. */
  readonly overridable: ReadonlySet<Overridable>;
  /** Of each attempt. */
  readonly timeoutMs: number | undefined;
  /** How failed attempts are repeated. */
  readonly retry: RetryPolicy | undefined;
  /** What becomes of a call when there is another one of its key. */
  readonly onDuplicate: DuplicatePolicy;
  /**
   * The key among duplicates, of an input and its JSON; undefined if duplicates run in parallel.
   * @throws InvalidInputError when the definition's own function fails
   */
  readonly keyOf: (input: unknown, json: string) => string | undefined;
  /** What a call counts against. @throws InvalidInputError when a function for a key fails */
  readonly lanesOf: (input: unknown) => readonly string[];
  /** What the lanes of {@link Definition.lanesOf} are limited to. The versions of a task share them. */
  readonly limits: ReadonlyMap<string, LaneLimit>;
  /** How long a run may be silent. */
  readonly stallAfterMs: number | undefined;
  /** How often at most the engine is told of heartbeats. */
  readonly heartbeatEveryMs: number;
  /** What becomes of a stalled call. */
  readonly onStall: 'fail' | 'retry';
  /** What becomes of a call whose dispatcher died. */
  readonly onWorkerLost: 'retry' | 'fail';
  /** What becomes of running calls at a stop. */
  readonly onShutdown: 'stop' | 'requeue' | 'drain';
  /** Whether calls that failed for good are kept. */
  readonly deadLetter: boolean;
  /** The permissions that the principals must have between them, or who decides. */
  readonly authorize:
    | readonly string[]
    | ((principals: readonly Principal[], input: unknown) => boolean | PromiseLike<boolean>)
    | undefined;
  /** How long ended calls are kept. */
  readonly retention: Retention;
  /** The TaskManager that it runs on. */
  readonly manager: string;
  /** Which calls are measured, and which are traced. */
  readonly observe: Observed;
  /** What goes in and what comes out. */
  readonly examples: readonly Example<unknown, unknown>[];
  /** What it is made of, if it is a flow. */
  readonly flow?: FlowPlan | undefined;
  /** The work. */
  readonly run: (ctx: CallContext, input: unknown, resource: unknown) => unknown;
}
