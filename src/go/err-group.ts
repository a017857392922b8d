/**
 * Go's x/sync/errgroup: functions that work on one thing together, of which the first error is the error of all.
 *
 * Invariant: `#active` counts the functions that run, and those let in that are about to; it is never above the limit,
 * and nobody waits while it is below.
 */
import { checkFunction, show } from './checks.ts';
import { background, type CancelCauseFunc, type Context, withCancelCause } from './context.ts';
import { type Outcome, Part, Together } from './outcome.ts';
import type { Failure } from './receivable.ts';
import type { CancelScope } from './scope.ts';
import { PromiseWaiter, type WaitOptions, WaitQueue, waitScope } from './wait-queue.ts';

/** How a group runs its functions. */
export const run: unique symbol = Symbol('run');

const STARTED = Promise.resolve();

/** As `await` does, which asks no promise for a method of its own: that might never tell us. */
const { then } = Promise.prototype;

/**
 * Runs functions, waits for all of them, and fails with the first error there was.
 *
 * ```ts
 * const [group, ctx] = ErrGroup.withContext(parent);
 * group.setLimit(8);
 * for (const url of urls) await group.go(() => fetch(url, { signal: ctx.signal }));
 * await group.wait();
 * ```
 *
 * No failure is lost, and none is an unhandled rejection, however late one waits. Always do wait: `await using` does at
 * the end of its block, and then throws the first error, unless that has been told before.
 *
 * A group can go on after a wait; its first error stays, as in Go. `Args` is what its functions are given: the group's
 * context, or in a group of a manager (`manager.group()`), whose workers run them, that of the task and the resource.
 */
export class ErrGroup<Args extends unknown[] = [ctx: Context]> implements AsyncDisposable {
  readonly #ctx: Context;
  readonly #cancel: CancelCauseFunc | undefined;
  #limit = Number.POSITIVE_INFINITY;
  #active = 0;
  /** Of the active, those that have waited and are let in: they begin in a microtask, in their callers' contexts. */
  #entering = 0;
  readonly #waiting = new WaitQueue<Entrant>();
  readonly #joining = new WaitQueue<PromiseWaiter<void>>();
  #failure: Failure | undefined = undefined;
  /** Somebody has been given the failure. */
  #told = false;
  /** One for all whose values nobody wants. */
  readonly #outcome: Outcome = {
    completed() {},
    failed: (error) => this.#fail(error),
    returned: () => this.#leave(),
  };

  /** A group without a context of its own: an error stops nothing. */
  constructor();
  /** @internal */
  constructor(ctx: Context, cancel: CancelCauseFunc);
  constructor(ctx = background(), cancel?: CancelCauseFunc) {
    this.#ctx = ctx;
    this.#cancel = cancel;
  }

  /**
   * A group, and the context for its functions: under `parent`, and canceled by the first error, which is its cause, or
   * by the end of the first `wait`. Until then the parent holds on to it.
   * @throws TypeError when `parent` is neither a Context nor an AbortSignal
   */
  static withContext(parent: Context | AbortSignal): [group: ErrGroup, ctx: Context] {
    const [ctx, cancel] = withCancelCause(parent);
    return [new ErrGroup(ctx, cancel), ctx];
  }

  /**
   * Runs `fn` as soon as the limit allows: now, if it does, else after those that came before. Resolves when it has
   * begun; its error, a synchronous throw too, goes to {@link wait}. Nobody has to await this: a wait joins those as
   * well that haven't begun.
   *
   * Rejects with the reason of `options.signal` when that fires before; `fn` never runs then, and it is no error of the
   * group. Rejects with a TypeError when `fn` isn't a function.
   */
  go(fn: (...args: Args) => unknown, options?: WaitOptions): Promise<void> {
    try {
      checkFunction('fn', fn);
      return this.#submit(fn, this.#outcome, waitScope(options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Runs `fn` now if the limit allows and nobody waits; else false. @throws TypeError when `fn` isn't a function
   */
  tryGo(fn: (...args: Args) => unknown): boolean {
    checkFunction('fn', fn);
    if (!this.#hasRoom) return false;
    this.#active++;
    void this[run](fn, this.#outcome, undefined);
    return true;
  }

  /**
   * Runs all of them under the limit, waits for all, and gives their values in order. When some fail, rejects with the
   * first error of theirs, which is also one of the group; not before all have returned.
   *
   * ```ts
   * const [user, orders] = await group.goAll([() => db.user(id), () => db.orders(id)]);
   * ```
   *
   * Rejects with a TypeError when one isn't a function; then none runs.
   */
  async goAll<F extends readonly ((...args: Args) => unknown)[]>(
    fns: readonly [...F],
  ): Promise<{ -readonly [I in keyof F]: Awaited<ReturnType<F[I]>> }> {
    if (!Array.isArray(fns)) throw new TypeError(`fns must be an array of functions, got ${show(fns)}`);
    for (const [index, fn] of fns.entries()) checkFunction(`fns[${index}]`, fn);
    const together = new Together(fns.length);
    for (const [index, fn] of fns.entries()) void this.#submit(fn, new Part(together, index, this.#outcome));
    await together.returned;
    const { failure, values } = together;
    if (failure === undefined) return values as never;
    if (failure.error === this.#failure?.error) this.#told = true;
    throw failure.error;
  }

  /**
   * No more than `limit` functions run at once from now on: a whole number, or `Infinity`, which is the default. At 0
   * none can begin.
   * @throws RangeError for other numbers, and an Error while functions run, where Go panics
   */
  setLimit(limit: number): void {
    if (!(Number.isInteger(limit) || limit === Number.POSITIVE_INFINITY) || limit < 0) {
      throw new RangeError(`limit must be a whole number from 0, or Infinity, got ${show(limit)}`);
    }
    if (this.#active > 0) throw new Error(`the limit can't be set while functions run, and ${this.#active} do`);
    this.#limit = limit;
    this.#letIn();
  }

  /**
   * Resolves when all functions have returned, those that wait for the limit too. If any has failed, rejects then with
   * the error of the first that did. Ends the group's context, if it has one.
   *
   * Rejects with the reason of `options.signal` when that fires first: that ends this wait and nothing else.
   */
  async wait(options?: WaitOptions): Promise<void> {
    await this.#join(waitScope(options));
    this.#tell();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#join();
    if (!this.#told) this.#tell();
  }

  /**
   * @internal Runs a function, and tells what becomes of it. Gives a promise if it hasn't begun yet: until it has, the
   * scope can take it back, and then all there is to tell is that it runs no more.
   */
  [run](fn: (...args: Args) => unknown, outcome: Outcome, _scope: CancelScope | undefined): Promise<void> | undefined {
    let result: Promise<unknown>;
    try {
      // What runs functions with other arguments overrides this.
      result = Promise.resolve((fn as unknown as (ctx: Context) => unknown)(this.#ctx));
    } catch (error) {
      outcome.failed(error);
      outcome.returned();
      return undefined;
    }
    then.call(
      result,
      (value) => {
        outcome.completed(value);
        outcome.returned();
      },
      (error) => {
        outcome.failed(error);
        outcome.returned();
      },
    );
    return undefined;
  }

  /** Whether one who comes now needn't wait. Not when others are about to begin, as they came before. */
  get #hasRoom(): boolean {
    return this.#active < this.#limit && this.#entering === 0;
  }

  #submit(fn: (...args: Args) => unknown, outcome: Outcome, scope?: CancelScope): Promise<void> {
    if (this.#hasRoom) {
      this.#active++;
      return this[run](fn, outcome, scope) ?? STARTED;
    }
    const entrant = new Entrant(fn, outcome, scope);
    this.#waiting.push(entrant, scope);
    this.#letIn();
    // What reacts to a promise runs in the async context in which that is said: here, the caller's.
    return entrant.promise.then(this.#enter, this.#giveUp);
  }

  /** Begins what has been let in. One function for all that wait, as is the next. */
  readonly #enter = ({ fn, outcome, scope }: Entrant): Promise<void> | undefined => {
    this.#entering--;
    if (scope?.err === undefined) return this[run](fn as (...args: Args) => unknown, outcome, scope);
    this.#leave();
    throw scope.cause;
  };

  readonly #giveUp = (reason: unknown): never => {
    this.#rest();
    throw reason;
  };

  #letIn(): void {
    while (this.#active < this.#limit) {
      const entrant = this.#waiting.shift();
      if (entrant === undefined) return;
      this.#active++;
      this.#entering++;
      entrant.resolve(entrant);
    }
  }

  #leave(): void {
    this.#active--;
    this.#letIn();
    this.#rest();
  }

  /** If nothing runs and nobody waits to, whoever waits for that is told. */
  #rest(): void {
    if (this.#active > 0 || this.#waiting.first !== undefined || this.#joining.first === undefined) return;
    // Told first: they may wait under the very context that ends here.
    for (let waiter = this.#joining.shift(); waiter !== undefined; waiter = this.#joining.shift()) waiter.resolve();
    this.#cancel?.();
  }

  async #join(scope?: CancelScope): Promise<void> {
    const waiter = new PromiseWaiter<void>();
    this.#joining.push(waiter, scope);
    this.#rest();
    await waiter.promise;
  }

  /** The first one stays. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#cancel?.(error);
  }

  /** @throws the first error, if there was one */
  #tell(): void {
    if (this.#failure === undefined) return;
    this.#told = true;
    throw this.#failure.error;
  }
}

/**
 * A function that waits for the limit; its promise gives itself. It doesn't say what the function is given: a group
 * whose type says so in a field is no subtype of any other, and so are the contexts of tasks, which make groups.
 */
class Entrant extends PromiseWaiter<Entrant> {
  readonly fn: (...args: never[]) => unknown;
  readonly outcome: Outcome;
  readonly scope: CancelScope | undefined;

  constructor(fn: (...args: never[]) => unknown, outcome: Outcome, scope: CancelScope | undefined) {
    super();
    this.fn = fn;
    this.outcome = outcome;
    this.scope = scope;
  }
}
