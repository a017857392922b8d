/** A task's definition, checked and with its defaults: what a dispatcher goes by. */
import type { DuplicatePolicy, LaneLimit, Retention } from '../engines/index.ts';
import type { RetryPolicy } from '../manager/types.ts';
import type { FlowPlan } from './flows/plan.ts';
import type { Observed } from './signals/observe.ts';
import type { StandardSchema } from './standard-schema.ts';
import type { CallContext, Example, Overridable, Principal } from './types.ts';

/** What a registered task is. */
export interface Definition {
  readonly name: string;
  readonly version: number;
  readonly description: string | undefined;
  readonly inputSchema: StandardSchema | undefined;
  readonly outputSchema: StandardSchema | undefined;
  /** Makes the input of an older version one of this. */
  readonly migrate: ((input: unknown, version: number) => unknown) | undefined;
  /** The queue of a call. @throws InvalidInputError when the definition's own route fails */
  readonly route: (input: unknown) => string;
  /** The queue, if it is always the same. */
  readonly fixedQueue: string | undefined;
  /** All queues that the route can name; empty if it doesn't say. */
  readonly queues: readonly string[];
  readonly priority: number;
  readonly overridable: ReadonlySet<Overridable>;
  readonly timeoutMs: number | undefined;
  readonly retry: RetryPolicy | undefined;
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
  readonly stallAfterMs: number | undefined;
  readonly heartbeatEveryMs: number;
  readonly onStall: 'fail' | 'retry';
  readonly onWorkerLost: 'retry' | 'fail';
  readonly onShutdown: 'stop' | 'requeue' | 'drain';
  readonly deadLetter: boolean;
  /** The permissions that the principals must have between them, or who decides. */
  readonly authorize:
    | readonly string[]
    | ((principals: readonly Principal[], input: unknown) => boolean | PromiseLike<boolean>)
    | undefined;
  readonly retention: Retention;
  /** The TaskManager that it runs on. */
  readonly manager: string;
  readonly observe: Observed;
  readonly examples: readonly Example<unknown, unknown>[];
  /** What it is made of, if it is a flow. */
  readonly flow?: FlowPlan | undefined;
  readonly run: (ctx: CallContext, input: unknown, resource: unknown) => unknown;
}
