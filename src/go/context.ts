/**
 * Go's package context: a Context carries cancellation, a deadline and values down a tree of calls.
 *
 * Invariant: a context that is canceled stays so, with the first error and cause it was given, and so is, from that
 * very call on, everything derived from it. Nothing ever travels up. What has ended holds no timer and no listener.
 */
import { show } from './checks.ts';
import { type Clock, type ClockTimer, realClock } from './clock.ts';
import { CanceledError, DeadlineExceededError } from './errors.ts';
import { CancelScope, follow, isContext, isSignal, scopeFor, scopeOf } from './scope.ts';

export { isContext };

/** What a call is told about whether, and until when, its result is wanted. Anyone may implement it. */
export interface Context {
  /** Aborts when the context is canceled; its reason is {@link Context.cause}. Made when first read. */
  readonly signal: AbortSignal;
  /** When the context ends by itself, in ms since the Unix epoch; `undefined`: never. */
  readonly deadline: number | undefined;
  /**
   * `undefined` until the context is canceled, then a {@link CanceledError} or {@link DeadlineExceededError} for good.
   * Deadlines are seen by a timer, so a synchronous loop never sees one pass: let it await now and then.
   */
  readonly err: Error | undefined;
  /** Why: the cause the first canceler gave, else {@link Context.err}. */
  readonly cause: unknown;
  /** A promise that resolves when the context is canceled, and never rejects; the same one every time if it can. */
  done(): Promise<void>;
  /** The nearest value that {@link withValue} put under this very key (`===`), here or above; else `undefined`. */
  value(key: unknown): unknown;
}

/** Cancels its context; only the first call does anything. With `using`, it is called at the end of the block. */
export interface CancelFunc extends Disposable {
  (): void;
}

/** A {@link CancelFunc} that says why. Without a cause, or disposed of, the cause is the {@link CanceledError} itself. */
export interface CancelCauseFunc extends Disposable {
  (cause?: unknown): void;
}

/** The root of every tree: never canceled, no deadline, no values. Always the same one. */
export function background(): Context {
  return root;
}

/**
 * A child of `parent` that `cancel()` ends. Always call it when the work is over: until then the parent holds on to
 * the child.
 *
 * ```ts
 * const [ctx, cancel] = withCancel(parent);
 * using _ = cancel;
 * ```
 * @throws TypeError when `parent` is neither a Context nor an AbortSignal, here and in all the others.
 */
export function withCancel(parent: Context | AbortSignal): [ctx: Context, cancel: CancelFunc] {
  const above = contextOf(parent);
  const scope = new CancelScope(above);
  return [new Derived(above, scope, above.deadline), canceler(scope)];
}

/** {@link withCancel}, whose `cancel(cause)` also says why: `cause` becomes `ctx.cause` and `ctx.signal.reason`. */
export function withCancelCause(parent: Context | AbortSignal): [ctx: Context, cancel: CancelCauseFunc] {
  const above = contextOf(parent);
  const scope = new CancelScope(above);
  const cancel = (cause?: unknown) => cancelScope(scope, cause);
  const ctx = new Derived(above, scope, above.deadline);
  return [ctx, Object.assign(cancel, { [Symbol.dispose]: () => cancelScope(scope) })];
}

/**
 * A child of `parent` that ends with a {@link DeadlineExceededError} `ms` from now, unless canceled before. 0 or less
 * ends it at once, `Infinity` sets no limit. `cause`, if given, is its cause then (not when `cancel` ends it).
 *
 * The timer doesn't hold the process, unless something of errand waits under the context. Call `cancel` when the work is
 * over, or the timer lives on for its full time.
 * @throws TypeError or RangeError when `ms` isn't a number.
 */
export function withTimeout(parent: Context | AbortSignal, ms: number, cause?: unknown): [Context, CancelFunc] {
  checkNumber('ms', ms);
  const above = contextOf(parent);
  const scope = new CancelScope(above);
  return withLimit(above, scope, scope.clock.timeOrigin + scope.clock.now() + ms, cause);
}

/**
 * {@link withTimeout} with the point in time itself, a Date or ms since the Unix epoch. The parent's deadline stands
 * if it is the nearer one.
 * @throws TypeError or RangeError when `deadline` isn't a number or a valid Date.
 */
export function withDeadline(
  parent: Context | AbortSignal,
  deadline: number | Date,
  cause?: unknown,
): [Context, CancelFunc] {
  const at = deadline instanceof Date ? deadline.getTime() : deadline;
  checkNumber('deadline', at);
  const above = contextOf(parent);
  return withLimit(above, new CancelScope(above), at, cause);
}

/**
 * A child of `parent` that answers `value(key)` with `value`. For what belongs to a request and crosses layers (a user,
 * a trace), not for optional arguments. Keys are compared by `===`: a symbol or an object of your module can't collide.
 * @throws TypeError when `key` is undefined or null.
 */
export function withValue(parent: Context | AbortSignal, key: unknown, value: unknown): Context {
  if (key === undefined || key === null) throw new TypeError(`key must be defined, got ${key}`);
  const above = contextOf(parent);
  return new Derived(above, above, above.deadline, key, value);
}

/**
 * A child of `parent` below which all time is that of `clock`: deadlines, and waits such as `sleep`. For tests with the
 * virtual clock of `errand/testing`.
 *
 * ```ts
 * const [ctx] = withTimeout(withClock(background(), clock), 60_000);
 * await clock.advance(60_000);
 * ```
 */
export function withClock(parent: Context | AbortSignal, clock: Clock): Context {
  const above = contextOf(parent);
  return new Derived(above, new CancelScope(above, clock), above.deadline);
}

/**
 * A child of `parent` with its values alone, and its clock: for work that must outlive it, such as a rollback or a log
 * line.
 */
export function withoutCancel(parent: Context): Context {
  const above = contextOf(parent);
  const clock = scopeFor(above)?.clock ?? realClock;
  return new Derived(above, clock === realClock ? new Never() : new CancelScope(undefined, clock));
}

/**
 * Runs `fn` once, in a microtask of its own, after `ctx` is canceled, or right away if it is already. What `fn` throws
 * is an uncaught error, as with any callback nobody awaits; it doesn't reach whoever canceled.
 *
 * The returned `stop()` is true if it kept `fn` from running, and false if `fn` has been started or stopped before.
 * @throws TypeError when `fn` isn't a function.
 */
export function afterFunc(ctx: Context | AbortSignal, fn: () => void): () => boolean {
  if (typeof fn !== 'function') throw new TypeError(`fn must be a function, got ${show(fn)}`);
  // What is never canceled gets a scope nobody cancels, so that stop() tells the truth there too.
  const scope = scopeFor(contextOf(ctx, 'ctx')) ?? new CancelScope();
  return scope.subscribe(() => queueMicrotask(fn));
}

/**
 * The context that is canceled when `signal` aborts: with a {@link DeadlineExceededError} if the reason is named
 * `'TimeoutError'` (as `AbortSignal.timeout` has it), else a {@link CanceledError}; the cause is the reason. It listens
 * on `signal` only while something waits for it, and with one listener however much that is.
 * @throws TypeError when `signal` isn't an AbortSignal.
 */
export function fromSignal(signal: AbortSignal): Context {
  if (!isSignal(signal)) throw new TypeError(`signal must be an AbortSignal, got ${show(signal)}`);
  return new Derived(root, follow(signal));
}

/** Internal: what is written `Context | AbortSignal` in a signature, as a Context. `name` is for the TypeError. */
export function contextOf(source: Context | AbortSignal, name = 'parent'): Context {
  if (isContext(source)) return source;
  if (isSignal(source)) return fromSignal(source);
  throw new TypeError(`${name} must be a Context or an AbortSignal, got ${show(source)}`);
}

/** What is never canceled: the core of the root, and of what withoutCancel cuts loose. Nothing hangs on it. */
class Never extends CancelScope {
  /** A new one each time: one that lived for ever would remember everybody who ever waited for it. */
  override done(): Promise<void> {
    return new Promise(() => {});
  }
}

/** What can be canceled about a context: a scope, or a foreign context itself. */
type Core = Pick<Context, 'signal' | 'err' | 'cause' | 'done'>;

/** Every context of ours. Those without a key of their own have the key `undefined`, which nobody can set. */
class Derived implements Context {
  readonly deadline: number | undefined;
  readonly #parent: Context | undefined;
  readonly #core: Core;
  readonly #key: unknown;
  readonly #value: unknown;

  constructor(parent: Context | undefined, core: Core, deadline?: number, key?: unknown, value?: unknown) {
    this.#parent = parent;
    // Not `parent` if that only hands on: a long chain of values isn't walked for its `err`.
    this.#core = core instanceof Derived ? core.#core : core;
    this.deadline = deadline;
    this.#key = key;
    this.#value = value;
  }

  get signal(): AbortSignal {
    return this.#core.signal;
  }

  get err(): Error | undefined {
    return this.#core.err;
  }

  get cause(): unknown {
    return this.#core.cause;
  }

  done(): Promise<void> {
    return this.#core.done();
  }

  value(key: unknown): unknown {
    let ctx: Context | undefined = this;
    while (ctx instanceof Derived) {
      if (ctx.#key === key) return ctx.#value;
      ctx = ctx.#parent;
    }
    return ctx?.value(key);
  }

  [scopeOf](): CancelScope | undefined {
    const core = this.#core;
    if (core instanceof Never) return undefined;
    return core instanceof CancelScope ? core : scopeFor(core as Context);
  }
}

const root: Context = new Derived(undefined, new Never());

function withLimit(parent: Context, scope: CancelScope, at: number, cause: unknown): [Context, CancelFunc] {
  const { clock } = scope;
  const { deadline } = parent;
  // If the parent's end comes first it is ours, and if ours never comes no timer is needed either.
  const nearer = at < (deadline ?? Infinity);
  let timer: ClockTimer;
  const check = () => {
    const leftMs = at - clock.timeOrigin - clock.now();
    if (leftMs <= 0) scope.cancel(new DeadlineExceededError(undefined, optionsFor(cause)), cause);
    else if (nearer) {
      scope.timed = true;
      timer = clock.setTimeout(check, leftMs);
    }
  };
  if (scope.err === undefined) check();
  if (timer !== undefined) scope.subscribe(() => clock.clearTimeout(timer));
  return [new Derived(parent, scope, nearer ? at : deadline), canceler(scope)];
}

function canceler(scope: CancelScope): CancelFunc {
  const cancel = () => cancelScope(scope);
  return Object.assign(cancel, { [Symbol.dispose]: cancel });
}

function cancelScope(scope: CancelScope, cause?: unknown): void {
  // An error costs its stack trace: none for the usual second call.
  if (scope.err === undefined) scope.cancel(new CanceledError(undefined, optionsFor(cause)), cause);
}

function optionsFor(cause: unknown): ErrorOptions | undefined {
  return cause === undefined ? undefined : { cause };
}

function checkNumber(name: string, value: number): void {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, got ${show(value)}`);
  if (Number.isNaN(value)) throw new RangeError(`${name} must be a number, got NaN`);
}
