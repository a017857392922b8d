/** The types of the public face of `errand/tasks`. All durations are in ms, all times in ms since the epoch. */
import type { CallRecord, CallState, DuplicatePolicy } from '../engines/index.ts';
import type { Context } from '../go/context.ts';
import type { RetryPolicy } from '../manager/types.ts';
import type { Call } from './call.ts';
import type { Route } from './routes.ts';
import type { ObserveOptions } from './signals/observe.ts';
import type { StandardSchema } from './standard-schema.ts';

/** Somebody on whose behalf a call is made: a user, a service, a token. */
export interface Principal {
  /** Who it is. */
  readonly name: string;
  /** What it may do, by the names that `authorize` of a task asks for. */
  readonly permissions?: readonly string[] | undefined;
}

/** What goes along with a call, and with the calls that it makes. */
export interface CallerContext {
  /** On whose behalf. Default: nobody. */
  readonly principals?: readonly Principal[] | undefined;
  /** Whatever should be known where the call runs: trace ids, a locale, a tenant. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What a definition fixes, and can let a submission change by naming it in `overridable`. */
export type Overridable = 'priority' | 'queue' | 'timeoutMs' | 'attempts';

/** What can be said of one submission. */
export interface SubmitOptions {
  /** Your own id, unique for ever: a second submission with it gives the first call. Default: a ULID. */
  readonly id?: string | undefined;
  /** Not before so long from now. Not with `runAt`. */
  readonly delayMs?: number | undefined;
  /** Not before this time, by the clock on the wall as it is set at the submission; at once if that has passed. */
  readonly runAt?: number | Date | undefined;
  /** What goes along. For the calls that a task submits: what isn't given is inherited. */
  readonly context?: CallerContext | undefined;
  /** Higher goes first. Only where the definition says that it is overridable, as the next ones. */
  readonly priority?: number | undefined;
  /** Another queue. */
  readonly queue?: string | undefined;
  /** Another limit on each attempt. */
  readonly timeoutMs?: number | undefined;
  /** Another number of attempts. */
  readonly attempts?: number | undefined;
}

/** A limit on the starts of a task: at most `limit` in any window of `intervalMs`. */
export interface TaskRateLimit<I> {
  /** How many. */
  readonly limit: number;
  /** In how long. Default 1,000. */
  readonly intervalMs?: number | undefined;
  /** Whose limit it is: each key has its own. Without it there is one for the task. */
  readonly key?: ((input: I) => string) | undefined;
}

/** A limit on the calls that run at once. */
export interface TaskConcurrency<I> {
  /** How many. */
  readonly limit: number;
  /** Whose limit it is: each key has its own. Without it there is one for the task. */
  readonly key?: ((input: I) => string) | undefined;
}

/** An example of what goes in and what comes out, run as a test by `testExamples`. */
export interface Example<I, O> {
  /** What is submitted. */
  readonly input: I;
  /** What comes of it. */
  readonly output: O;
}

/**
 * What is submitted, for functions that may need less of it: it is known from the schema, or from `run`, and not from
 * them. While it isn't known, as when there is neither, they may ask for anything.
 */
type Known<I> = unknown extends I ? never : NoInfer<I>;

/**
 * What a task is defined by. I: what is submitted; P: what the schema makes of it; Q: what `run` returns; O: what the
 * schema makes of that, and so what comes out; R: the resource.
 */
export interface TaskDefinition<I, P, O, R, Q = O> {
  /** Unique together with the version. */
  readonly name: string;
  /** A whole number from 1. Several versions can live side by side. Default 1. */
  readonly version?: number | undefined;
  /** For people. */
  readonly description?: string | undefined;
  /** What the input must be: any Standard Schema, as of zod, valibot, arktype. Default: any JSON. */
  readonly input?: StandardSchema<I, P> | undefined;
  /** What the output must be. Default: any JSON. */
  readonly output?: StandardSchema<Q, O> | undefined;
  /** Makes the input of an older version one of this, for calls whose version isn't registered any more. */
  readonly migrate?: ((input: unknown, version: number) => NoInfer<I> | PromiseLike<NoInfer<I>>) | undefined;
  /** Where calls wait: a queue's name, or a route. Default 'default'. */
  readonly queue?: string | Route<Known<I>> | undefined;
  /** Higher goes first. Default 0. */
  readonly priority?: number | undefined;
  /** What a submission may change. Default: nothing. */
  readonly overridable?: readonly Overridable[] | undefined;
  /** A limit on each attempt. Default: none. */
  readonly timeoutMs?: number | undefined;
  /** How failed and timed-out attempts are repeated. Default: not at all. */
  readonly retry?: RetryPolicy | undefined;
  /** What becomes of a call when there is another one of the same key. Default 'parallel'. */
  readonly onDuplicate?: DuplicatePolicy | undefined;
  /** The key for `onDuplicate`. Default: the input's JSON, whatever the order of its properties. */
  readonly key?: ((input: Known<I>) => string) | undefined;
  /** Starts in a time. Default: no limit. Several hold all at once. */
  readonly rateLimit?: TaskRateLimit<Known<I>> | readonly TaskRateLimit<Known<I>>[] | undefined;
  /** How many run at once. Default: no limit. */
  readonly concurrency?: number | TaskConcurrency<Known<I>> | readonly TaskConcurrency<Known<I>>[] | undefined;
  /** A run that hasn't called `ctx.heartbeat` for so long is stalled: its signal fires. Default: never. */
  readonly stallAfterMs?: number | undefined;
  /**
   * Heartbeats and progress of a run are told to the engine at most once in so long: the first at once, those in between
   * together, the last before the run's end is told. 0: as often as they are said. Stalls are found by those said, not
   * told. Default 1,000.
   */
  readonly heartbeatEveryMs?: number | undefined;
  /** What becomes of a stalled call: it ends as stalled, or goes on as after a failed attempt. Default 'fail'. */
  readonly onStall?: 'fail' | 'retry' | undefined;
  /** What becomes of a call whose dispatcher died: another attempt at once, or its end. Default 'retry'. */
  readonly onWorkerLost?: 'retry' | 'fail' | undefined;
  /**
   * What becomes of running calls when the dispatcher stops: `stop` cancels them, `requeue` hands them back without
   * counting the attempt, `drain` waits for them. Default 'requeue'.
   */
  readonly onShutdown?: 'stop' | 'requeue' | 'drain' | undefined;
  /** Whether calls that failed for good are kept as dead letters, until somebody resubmits or removes them. Default false. */
  readonly deadLetter?: boolean | undefined;
  /** Who may submit it: permissions that the principals must have between them, or a function. Default: anybody. */
  readonly authorize?:
    | readonly string[]
    | ((principals: readonly Principal[], input: Known<I>) => boolean | PromiseLike<boolean>)
    | undefined;
  /** How long ended calls are kept. Default: completed ones 60,000, the others 86,400,000. Dead letters stay. */
  readonly retain?: { readonly completed?: number | undefined; readonly failed?: number | undefined } | undefined;
  /** The TaskManager whose resource it runs on, by the name that the dispatcher knows it by. */
  readonly manager?: string | undefined;
  /** How closely its calls are looked at: which are measured, and which are traced. Default: all. */
  readonly observe?: ObserveOptions | undefined;
  /** What goes in and what comes out. */
  readonly examples?: readonly Example<NoInfer<I>, NoInfer<O>>[] | undefined;
  /** The work. */
  readonly run: (ctx: CallContext, input: P, resource: R) => Q | PromiseLike<Q>;
}

/** A task as `defineTask` gives it: to be registered, and submitted. One that takes more fits where less is submitted. */
export interface Task<I = unknown, O = unknown> {
  /** Its name. */
  readonly name: string;
  /** Its version. */
  readonly version: number;
  /** Only in types: what goes in, and what comes out. */
  readonly '~types'?: { readonly input: (input: I) => void; readonly output: O } | undefined;
}

/** Any task, whatever goes in and comes out. It says nothing of either, so that nothing is inferred from it. */
export interface AnyTask {
  /** Its name. */
  readonly name: string;
  /** Its version. */
  readonly version: number;
  /** Only in types. */
  readonly '~types'?: { readonly input: unknown; readonly output: unknown } | undefined;
}

/** What a running call has: a Go context, what is known of the call, and ways to say something. */
export interface CallContext extends Context {
  /** The call's. */
  readonly id: string;
  /** The task's name. */
  readonly task: string;
  /** The version that the call was submitted with. */
  readonly version: number;
  /** Which run this is, from 1. */
  readonly attempt: number;
  /** Where it waited. */
  readonly queue: string;
  /** The call that has submitted it, if one has. */
  readonly parentId: string | undefined;
  /** On whose behalf. */
  readonly principals: readonly Principal[];
  /** What goes along. */
  readonly headers: Readonly<Record<string, string>>;
  /** Fires as soon as the dispatcher stops. */
  readonly stopping: AbortSignal;
  /** Says that it is alive, and at which step. */
  heartbeat(step?: string): void;
  /** Keeps a line with the call: `call.logs()`. */
  log(...values: readonly unknown[]): void;
  /** Says how far it is: anything that JSON holds. Also a heartbeat. */
  progress(progress: unknown): void;
  /** Does something once for all attempts: its result, which must be JSON, is kept under `key`. */
  step<T>(key: string, fn: () => T | PromiseLike<T>): Promise<T>;
  /** Submits another call, with this one as its parent; principals and headers go along. */
  submit<I, O>(task: Task<I, O> | string, input: NoInfer<I>, options?: SubmitOptions): Promise<Call<O>>;
  /** Calls `fn` when the run is over, the last first. */
  defer(fn: () => unknown): void;
  /** Has the resource that it runs on destroyed and replaced when the run is over: for one that is worn out. */
  retireResource(): void;
}

export type { CallRecord, CallState };
