/**
 * What can be canceled about a context, inside: a tree of scopes, each of which marks and tells all below it. Contexts
 * are made of it in context.ts; nothing here is public.
 *
 * Invariant: a scope hangs on its parent until it is canceled or released, and is canceled once.
 */
import { type Clock, holdProcess, realClock } from './clock.ts';
import type { Context } from './context.ts';
import { CanceledError, DeadlineExceededError, isA } from './errors.ts';

/**
 * The method by which a Context hands out its {@link CancelScope}, for what is derived from it to hang on.
 * `undefined` says that it is never canceled. A Context without the method is followed through its `signal`.
 */
export const scopeOf: unique symbol = Symbol('errand.scopeOf');

/** Called once, synchronously, with the err and cause of the scope. It shouldn't throw. */
export type CancelListener = (err: Error, cause: unknown) => void;

/**
 * The cancelable core of a context. It hangs on its parent's scope from construction until it is canceled or
 * released; a scope born under a canceled parent is canceled with the same err and cause.
 */
export class CancelScope {
  /** The clock for timers of everything below: as given, else the parent's, else the real one. */
  readonly clock: Clock;
  /** Whether time ends it, here or above: then there is a timer, which doesn't hold the process by itself. */
  timed = false;
  #err: Error | undefined = undefined;
  #cause: unknown = undefined;
  #signal: AbortSignal | undefined = undefined;
  #done: Promise<void> | undefined = undefined;
  /** Our own place in the parent's list, and the ends of the list of those who hang on us. */
  #place: Link | undefined = undefined;
  #first: Link | undefined = undefined;
  #last: Link | undefined = undefined;

  constructor(parent?: Context, clock?: Clock) {
    const above = parent && scopeFor(parent);
    this.clock = clock ?? above?.clock ?? realClock;
    if (above === undefined) return;
    this.timed = above.timed;
    this.#err = above.err;
    if (this.#err === undefined) this.#place = above.#link(this);
    else this.#cause = above.cause;
  }

  get err(): Error | undefined {
    return this.#err;
  }

  get cause(): unknown {
    return this.#cause;
  }

  /** An AbortController costs 1.7 us on Node 20, ten times the rest of the scope: only who asks pays. */
  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      const controller = new AbortController();
      this.#signal = controller.signal;
      following.set(controller.signal, this); // who is given the signal is as well off as with the context
      this.subscribe((_, cause) => controller.abort(cause));
    }
    return this.#signal;
  }

  done(): Promise<void> {
    this.#done ??= new Promise((resolve) => this.subscribe(() => resolve()));
    return this.#done;
  }

  /**
   * Cancels this scope and all below it, and says whether it was the first to. A cause of `undefined` stands for `err`.
   * All are marked before anyone is told: whoever is told finds the whole tree canceled, and may do as he likes with it.
   * No recursion, so a chain may be as long as memory allows.
   */
  cancel(err: Error, cause?: unknown): boolean {
    if (this.#err !== undefined) return false;
    const why = cause === undefined ? err : cause;
    const canceled: CancelScope[] = [this];
    for (const scope of canceled) {
      scope.#err = err;
      scope.#cause = why;
      scope.release();
      for (let link = scope.#first; link !== undefined; link = link.next) {
        if (link.target instanceof CancelScope) canceled.push(link.target);
      }
    }
    for (const scope of canceled) {
      // Only listeners are left (the scopes below have released themselves), those not unsubscribed by one before.
      for (let link = scope.#first; link !== undefined; link = scope.#first) {
        scope.#unlink(link);
        tell(link.target as CancelListener, err, why);
      }
    }
    return true;
  }

  /**
   * `listener` is called inside `cancel()`, in the order of subscription, after the listeners of the scopes above; or
   * at once, before this returns, if the scope is canceled already. Unsubscribing is O(1) and true if that kept it
   * from being called.
   */
  subscribe(listener: CancelListener): () => boolean {
    const { err } = this;
    if (err !== undefined) {
      tell(listener, err, this.cause);
      return () => false;
    }
    const link = this.#link(listener);
    return () => this.#unlink(link);
  }

  /**
   * {@link subscribe} for one who waits, and whom nothing else may wake: if time will, the process must live until then.
   * Otherwise it would end in the middle of a wait that has a limit.
   */
  subscribeWaiter(listener: CancelListener): () => boolean {
    if (!this.timed || this.clock !== realClock) return this.subscribe(listener);
    const letGo = holdProcess();
    const unsubscribe = this.subscribe((err, cause) => {
      letGo();
      listener(err, cause);
    });
    return () => {
      letGo();
      return unsubscribe();
    };
  }

  /** Leaves the parent without being canceled: from here on only its own `cancel` can. */
  release(): void {
    const place = this.#place;
    if (place === undefined) return;
    this.#place = undefined;
    place.scope.#unlink(place);
  }

  /** Called when the first one comes to hang on this scope, and when the last one has left. */
  protected watch(): void {}
  protected unwatch(): void {}

  #link(target: CancelScope | CancelListener): Link {
    const link: Link = { scope: this, target, linked: true, previous: this.#last, next: undefined };
    if (this.#last !== undefined) this.#last.next = link;
    this.#last = link;
    if (this.#first === undefined) {
      this.#first = link;
      this.watch();
    }
    return link;
  }

  #unlink(link: Link): boolean {
    if (!link.linked) return false;
    link.linked = false;
    if (link.previous === undefined) this.#first = link.next;
    else link.previous.next = link.next;
    if (link.next === undefined) this.#last = link.previous;
    else link.next.previous = link.previous;
    // Whoever keeps an unsubscribe function mustn't keep all who left after him.
    link.previous = link.next = undefined;
    if (this.#first === undefined) this.unwatch();
    return true;
  }
}

/** One of those who hang on a scope. A list, not a Set: a shared scope can have a million, and a Set rehashes. */
interface Link {
  readonly scope: CancelScope;
  readonly target: CancelScope | CancelListener;
  linked: boolean;
  previous: Link | undefined;
  next: Link | undefined;
}

/** The scope of what we can only listen to: an AbortSignal, or somebody else's Context. */
class FollowingScope extends CancelScope {
  readonly #source: AbortSignal;
  readonly #context: Context | undefined;
  #seen: Error | undefined = undefined;
  readonly #onAbort = () => void this.cancel(this.err ?? new CanceledError(), this.cause);

  constructor(source: AbortSignal | Context) {
    super();
    this.#context = isContext(source) ? source : undefined;
    this.#source = isContext(source) ? source.signal : source;
  }

  // Asked of the source, as nobody tells us while we don't listen; and even then others may be told before us.
  override get err(): Error | undefined {
    if (this.#seen === undefined && this.#source.aborted) {
      this.#seen = this.#context?.err ?? errorFor(this.#source.reason);
    }
    return this.#seen;
  }

  override get cause(): unknown {
    return this.err && (this.#context?.cause ?? this.#source.reason);
  }

  override get signal(): AbortSignal {
    return this.#source;
  }

  protected override watch(): void {
    this.#source.addEventListener('abort', this.#onAbort);
  }

  protected override unwatch(): void {
    this.#source.removeEventListener('abort', this.#onAbort);
  }
}

/** The scope of a source: our own, or one FollowingScope for all, so that a signal shared by a million tasks has one listener. */
const following = new WeakMap<AbortSignal | Context, CancelScope>();

export function follow(source: AbortSignal | Context): CancelScope {
  let scope = following.get(source);
  if (scope === undefined) {
    scope = new FollowingScope(source);
    following.set(source, scope);
  }
  return scope;
}

export function scopeFor(ctx: Context): CancelScope | undefined {
  const { [scopeOf]: own } = ctx as { [scopeOf]?: () => CancelScope | undefined };
  return own === undefined ? follow(ctx) : own.call(ctx);
}

/** The error that stands for an abort by somebody else. */
function errorFor(reason: unknown): Error {
  if (isA(reason, CanceledError) || isA(reason, DeadlineExceededError)) return reason;
  // By name, as errors of another realm (a worker, a frame) are of other classes. A reason can be anything, null too.
  const Kind = nameOf(reason) === 'TimeoutError' ? DeadlineExceededError : CanceledError;
  return new Kind(undefined, { cause: reason });
}

function nameOf(reason: unknown): unknown {
  try {
    return (reason as { name?: unknown } | null | undefined)?.name;
  } catch {
    return undefined; // a getter's or a proxy's fault
  }
}

/** A listener that throws is reported as uncaught, after all the others have been told. */
function tell(listener: CancelListener, err: Error, cause: unknown): void {
  try {
    listener(err, cause);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Whether `value` is a {@link Context}, ours or a foreign one. Reads nothing that would be made by reading. */
export function isContext(value: unknown): value is Context {
  if (typeof value !== 'object' || value === null || !('signal' in value)) return false;
  const { done, value: lookup } = value as Partial<Context>;
  return typeof done === 'function' && typeof lookup === 'function';
}

export function isSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false;
  const { aborted, addEventListener } = value as Partial<AbortSignal>;
  return typeof aborted === 'boolean' && typeof addEventListener === 'function';
}
