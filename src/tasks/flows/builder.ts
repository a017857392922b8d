/**
 * The builder of flows: what is known of the nodes so far, in the types too. It does nothing but remember; what is wrong
 * with a graph, `build` finds.
 *
 * In the types: I is what is submitted, P what the schema makes of it; R has the result of each node by name; S are the
 * names of those that may be left out though the flow completes; L is the name of the last.
 */
import { show } from '../../go/checks.ts';
import type { SubmitOptions, Task } from '../types.ts';
import type { Flow } from './flow.ts';
import type { FlowError } from './flow-error.ts';
import type { FlowFailure } from './inputs.ts';
import type { GivenNode, NodeKind } from './plan.ts';

/** What can be said of any node. Of the last four, what its task names in `overridable`. */
export interface NodeRules<F extends OnFailure>
  extends Pick<SubmitOptions, 'delayMs' | 'priority' | 'queue' | 'timeoutMs' | 'attempts'> {
  /**
   * What its failure means. `fail`, the default: what depends on it fails without running, and once all that can still
   * run has ended, the flow fails with its error. `skip`: what depends on it is skipped, and the flow doesn't fail for it.
   */
  readonly onFailure?: F | undefined;
}

/** What a node's failure means. */
export type OnFailure = 'fail' | 'skip';

/** Which nodes come before: none, one, whose result is taken, or several, whose results are taken by name. */
export type After<R> = (keyof R & string) | readonly (keyof R & string)[] | undefined;

/** Of one node: of the call for it, and of those before it. */
export interface NodeOptions<A, F extends OnFailure> extends NodeRules<F> {
  /** Which nodes come before. Default: none. */
  readonly after?: A | undefined;
  /**
   * Whether it runs in the call of the one node before it, right after it, on its worker and with its resource. Only what
   * is small, is the only node after that one, and has no rules of its own. Default false.
   */
  readonly inline?: boolean | undefined;
}

/** One item of a node with a call for each, as `settled` gives it. */
export type ItemOutcome<O> =
  | { readonly status: 'fulfilled'; readonly value: O }
  | { readonly status: 'rejected'; readonly reason: FlowError };

type NamesOf<A> = A extends string ? A : A extends readonly (infer N extends string)[] ? N : never;
type Results<R, A> = { readonly [K in NamesOf<A> & keyof R]: R[K] };
/** What a node is given unless it says what. */
type Given<P, R, A> = [A] extends [undefined] ? P : A extends keyof R ? R[A] : Results<R, A>;
type With<R, N extends string, O> = R & { readonly [K in N]: O };
/** Whether a node may be left out: as its failure is let pass, or as one before it may be. */
type Out<S extends string, N extends string, A, F extends OnFailure> =
  | S
  | ('skip' extends F ? N : never)
  | ([Extract<NamesOf<A>, S>] extends [never] ? never : N);
type AllResults<R, S> = { readonly [K in keyof R]: K extends S ? R[K] | undefined : R[K] };
type LastResult<R, S, L> = L extends keyof R ? AllResults<R, S>[L] : never;

/** See {@link flow}. Each method gives a builder of its own, and leaves this one as it is. */
export interface FlowBuilder<I, P, R = unknown, S extends string = never, L extends string = never> {
  /**
   * Adds a node: one call of a task. Without `after` it takes the flow's input; after one node its result; after several,
   * as an array, an object of their results by name. With `input`, what that makes of these results, by name, and of the
   * flow's input: it should be a pure function, as it may be asked again.
   */
  node<const N extends string, O, const A extends After<R> = undefined, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<NoInfer<Given<P, R, A>>, O>,
    options?: NodeOptions<A, F> & { readonly input?: undefined },
  ): FlowBuilder<I, P, With<R, N, O>, Out<S, N, A, F>, N>;
  node<const N extends string, T, O, const A extends After<R> = undefined, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<T, O>,
    options: NodeOptions<A, F> & {
      readonly input: (results: NoInfer<Results<R, A>>, flowInput: P) => NoInfer<T>;
    },
  ): FlowBuilder<I, P, With<R, N, O>, Out<S, N, A, F>, N>;

  /** Adds a node after the one added last. (It isn't the `then` of a promise: a builder can't be awaited.) */
  then<const N extends string, O, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<NoInfer<Given<P, R, L>>, O>,
    options?: Omit<NodeOptions<L, F>, 'after'> & { readonly input?: undefined },
  ): FlowBuilder<I, P, With<R, N, O>, Out<S, N, L, F>, N>;
  then<const N extends string, T, O, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<T, O>,
    options: Omit<NodeOptions<L, F>, 'after'> & {
      readonly input: (results: NoInfer<Results<R, L>>, flowInput: P) => NoInfer<T>;
    },
  ): FlowBuilder<I, P, With<R, N, O>, Out<S, N, L, F>, N>;

  /**
   * Adds a node with a call for each item of a list, made of the results of the nodes before it and of the flow's input
   * by a pure function. Its result is what they give, in the order of the items; undefined is null there. If one fails,
   * the others come to their ends, and the node fails with the error of the first in the list; a flow that is resubmitted
   * runs those again that failed. With `settled` it never fails by them, and gives what has become of each.
   */
  each<const N extends string, T, O, const A extends After<R> = undefined, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<T, O>,
    options: Omit<NodeOptions<A, F>, 'inline'> & {
      readonly over: (results: NoInfer<Results<R, A>>, flowInput: P) => Iterable<NoInfer<T>>;
      readonly settled?: false | undefined;
    },
  ): FlowBuilder<I, P, With<R, N, O[]>, Out<S, N, A, F>, N>;
  each<const N extends string, T, O, const A extends After<R> = undefined, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<T, O>,
    options: Omit<NodeOptions<A, F>, 'inline'> & {
      readonly over: (results: NoInfer<Results<R, A>>, flowInput: P) => Iterable<NoInfer<T>>;
      readonly settled: true;
    },
  ): FlowBuilder<I, P, With<R, N, ItemOutcome<O>[]>, Out<S, N, A, F>, N>;

  /**
   * Adds a node that runs as soon as one of others has failed, and is skipped if none has. It takes which one has failed,
   * and with what. The flow fails all the same, unless the one that failed has `onFailure: 'skip'`.
   */
  onError<const N extends string, O, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<FlowFailure, O>,
    options: NodeRules<F> & { readonly of: NonNullable<After<R>>; readonly input?: undefined },
  ): FlowBuilder<I, P, With<R, N, O>, S | N, N>;
  onError<const N extends string, T, O, F extends OnFailure = 'fail'>(
    name: N,
    task: Task<T, O>,
    options: NodeRules<F> & {
      readonly of: NonNullable<After<R>>;
      readonly input: (failure: FlowFailure, flowInput: P) => NoInfer<T>;
    },
  ): FlowBuilder<I, P, With<R, N, O>, S | N, N>;

  /**
   * The flow. It gives the result of the node added last, or what `output` makes of all results by name, where those that
   * were skipped, or failed without harm, are missing.
   *
   * @throws TypeError or RangeError for a flow without nodes, a name twice, an edge to an unknown node, a cycle (it names
   * the nodes), a task that isn't one, an option that is wrong, a node that can't run inline
   */
  build(): Flow<I, LastResult<R, S, L>>;
  build<O>(output: (results: AllResults<R, S>) => O | PromiseLike<O>): Flow<I, O>;
}

/** Makes the flow of the nodes there are. */
type Make = (nodes: readonly GivenNode[], output: ((results: never) => unknown) | undefined) => never;

/** A builder without nodes. */
export function newBuilder<I, P>(make: Make): FlowBuilder<I, P> {
  return new Builder(make, undefined, undefined) as unknown as FlowBuilder<I, P>;
}

class Builder {
  readonly #make: Make;
  readonly #before: Builder | undefined;
  readonly #node: GivenNode | undefined;

  constructor(make: Make, before: Builder | undefined, node: GivenNode | undefined) {
    this.#make = make;
    this.#before = before;
    this.#node = node;
  }

  node(name: unknown, task: unknown, options: unknown): Builder {
    return this.#with('node', name, task, options);
  }

  /** An await of a builder comes by here, and must not wait for ever. */
  then(name: unknown, task: unknown, options: unknown): Builder {
    if (typeof name === 'function') {
      throw new TypeError('a flow that is being built is no promise to await: build() gives the flow');
    }
    if (this.#node === undefined) throw new TypeError(`${show(name)} comes after no node: begin with node() or each()`);
    if (Object.hasOwn(Object(options), 'after')) {
      throw new TypeError(`then takes no after: ${show(name)} comes after ${show(this.#node.name)}`);
    }
    return this.#with('node', name, task, { ...(options as object | undefined), after: this.#node.name });
  }

  each(name: unknown, task: unknown, options: unknown): Builder {
    return this.#with('each', name, task, options);
  }

  onError(name: unknown, task: unknown, options: unknown): Builder {
    return this.#with('onError', name, task, options);
  }

  build(output: ((results: never) => unknown) | undefined): unknown {
    const nodes: GivenNode[] = [];
    for (let last: Builder | undefined = this; last !== undefined; last = last.#before) {
      if (last.#node !== undefined) nodes.push(last.#node);
    }
    return this.#make(nodes.reverse(), output);
  }

  #with(kind: NodeKind, name: unknown, task: unknown, options: unknown): Builder {
    return new Builder(this.#make, this, { kind, name, task, options });
  }
}
