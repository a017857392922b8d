/**
 * A thread as one task has it: calls carry the task's id, attempt and deadline, and are canceled with it.
 *
 * Invariant: when the task's function has returned and its worker is free, none of its calls is alive in the thread.
 */
import { show } from '../go/checks.ts';
import { CanceledError } from '../go/errors.ts';
import type { TaskContext } from '../manager/context.ts';
import type { ThreadCrashError } from '../manager/errors.ts';
import type { Lent } from '../manager/lend.ts';
import { Calls } from './calls.ts';
import { HostedStream } from './hosted-stream.ts';
import { type Caller, Pending, type ThreadHost } from './thread-host.ts';
import type { Thread, ThreadApi, ThreadModule } from './types.ts';

class PendingCall extends Pending {
  readonly promise: Promise<unknown>;
  readonly #thread: BoundThread;
  #resolve!: (value: unknown) => void;
  #reject!: (error: unknown) => void;

  constructor(name: string, thread: BoundThread) {
    super(name);
    this.#thread = thread;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  onValue(value: unknown): void {
    this.#thread.ended(this);
    this.#resolve(value);
  }

  onFailure(error: unknown): void {
    this.#thread.ended(this, error);
    // Of several calls that end with their thread, a task may wait for the first alone.
    if (this.#thread.host.hasEnded) letGo(this.promise);
    this.#reject(error);
  }

  onCancel(): void {
    letGo(this.promise);
  }
}

/** Nobody has to hear of its rejection. */
function letGo(promise: Promise<unknown>): void {
  promise.catch(() => {});
}

/** Crashes before any call of their task had begun: it can be run again, on another thread. */
export const harmless = new WeakSet<object>();

export class BoundThread implements Lent {
  readonly host: ThreadHost;
  readonly #context: TaskContext | undefined;
  readonly #open = new Calls<Pending>();
  #api: object | undefined = undefined;
  #isWatching = false;
  #hasBegun = false;
  #onLast: (() => void) | undefined = undefined;

  constructor(host: ThreadHost, context: TaskContext | undefined) {
    this.host = host;
    this.#context = context;
  }

  get threadId(): number {
    return this.host.threadId;
  }

  get api(): object {
    this.#api ??= new Proxy(this, API);
    return this.#api;
  }

  call(name: string, ...args: readonly unknown[]): unknown {
    return this.callWith(name, args);
  }

  callWith(name: string, args: readonly unknown[]): unknown {
    const { exports } = this.host;
    if (typeof name !== 'string' || !Object.hasOwn(exports, name)) {
      const names = Object.keys(exports).join(', ') || 'no function at all';
      return Promise.reject(new TypeError(`the thread's module exports no function ${show(name)}, but ${names}`));
    }
    if (exports[name] === 'generator') return new HostedStream(this, name, args);
    const pending = new PendingCall(name, this);
    try {
      this.begin(pending, args);
    } catch (error) {
      const refused = Promise.reject(error);
      if (this.host.hasEnded || this.#context?.err !== undefined) letGo(refused);
      return refused;
    }
    return pending.promise;
  }

  /** @throws what keeps the call from being made */
  begin(pending: Pending, args: readonly unknown[]): void {
    if (this.#context !== undefined) this.#watch(this.#context);
    try {
      this.host.begin(pending, args, this.#context as Caller | undefined);
    } catch (error) {
      if (this.host.hasEnded) this.#crashed(error as ThreadCrashError);
      throw error;
    }
    this.#open.add(pending);
  }

  ended(pending: Pending, error?: unknown): void {
    this.#open.delete(pending);
    if (this.host.hasEnded) this.#crashed(error as ThreadCrashError);
    else this.#hasBegun = true;
    if (this.#open.size === 0) this.#onLast?.();
  }

  #crashed(error: ThreadCrashError): void {
    if (error.hasBegun) this.#hasBegun = true;
    // What no task makes stands for itself.
    if (this.#context === undefined ? !error.hasBegun : !this.#hasBegun) harmless.add(error);
  }

  /** From the first call on, until the task's function has returned. */
  #watch(context: TaskContext): void {
    if (context.err !== undefined) throw context.cause;
    if (this.#isWatching) return;
    context.defer(this.#settle);
    this.#isWatching = true;
    context.lent = this;
  }

  /** The task was. */
  canceled(cause: unknown): void {
    for (const pending of this.#open.all()) this.host.cancel(pending, cause);
  }

  /** The task's function has returned: what it hasn't waited for ends with it. */
  readonly #settle = (): Promise<void> | undefined => {
    this.#isWatching = false;
    if (this.#open.size === 0) return undefined;
    const reason = new CanceledError('the task that made the call has returned without waiting for it');
    for (const pending of this.#open.all()) this.host.cancel(pending, reason);
    return new Promise((resolve) => {
      this.#onLast = () => {
        this.#onLast = undefined;
        resolve();
      };
    });
  };
}

function functionOf(thread: BoundThread, name: string | symbol): unknown {
  return typeof name === 'string' && Object.hasOwn(thread.host.exports, name)
    ? (...args: readonly unknown[]) => thread.callWith(name, args)
    : undefined;
}

/** An object that has the module's functions and nothing else, and stays as it is. */
const API: ProxyHandler<BoundThread> = {
  get: functionOf,
  has: (thread, name) => Object.hasOwn(thread.host.exports, name),
  ownKeys: (thread) => Object.keys(thread.host.exports),
  getOwnPropertyDescriptor(thread, name) {
    const value = functionOf(thread, name);
    return value === undefined ? undefined : { value, enumerable: true, configurable: true };
  },
  set: () => false,
  defineProperty: () => false,
  deleteProperty: () => false,
};

/** A thread as its users see it. */
export function asThread<M extends ThreadModule>(thread: BoundThread): Thread<M> {
  return thread as { readonly threadId: number; api: object; call: unknown } as {
    readonly threadId: number;
    readonly api: ThreadApi<M>;
    readonly call: Thread<M>['call'];
  };
}
