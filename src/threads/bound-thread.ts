/**
 * A thread as one task has it: calls carry the task's id, attempt and deadline, and are canceled with it.
 *
 * Invariant: when the task's function has returned and its worker is free, none of its calls is alive in the thread.
 */
import { show } from '../go/checks.ts';
import { CanceledError } from '../go/errors.ts';
import { scopeOf } from '../go/scope.ts';
import type { TaskContext } from '../manager/context.ts';
import { HostedStream } from './hosted-stream.ts';
import { type Caller, Pending, type ThreadHost } from './thread-host.ts';
import type { Thread, ThreadApi, ThreadModule } from './types.ts';

class PendingCall extends Pending {
  readonly #thread: BoundThread;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;

  constructor(name: string, thread: BoundThread, resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    super(name);
    this.#thread = thread;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onValue(value: unknown): void {
    this.#thread.ended(this);
    this.#resolve(value);
  }

  onFailure(error: unknown): void {
    this.#thread.ended(this);
    this.#reject(error);
  }
}

export class BoundThread {
  readonly host: ThreadHost;
  readonly #context: TaskContext | undefined;
  readonly #open = new Set<Pending>();
  #api: object | undefined = undefined;
  #isWatching = false;
  #unsubscribe: (() => boolean) | undefined = undefined;
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
    const { exports } = this.host;
    if (typeof name !== 'string' || !Object.hasOwn(exports, name)) {
      const names = Object.keys(exports).join(', ') || 'no function at all';
      return Promise.reject(new TypeError(`the thread's module exports no function ${show(name)}, but ${names}`));
    }
    if (exports[name] === 'generator') return new HostedStream(this, name, args);
    return new Promise((resolve, reject) => this.begin(new PendingCall(name, this, resolve, reject), args));
  }

  /** @throws what keeps the call from being made */
  begin(pending: Pending, args: readonly unknown[]): void {
    if (this.#context !== undefined) this.#watch(this.#context);
    this.host.begin(pending, args, this.#context as Caller | undefined);
    this.#open.add(pending);
  }

  ended(pending: Pending): void {
    this.#open.delete(pending);
    if (this.#open.size === 0) this.#onLast?.();
  }

  /** From the first call on, until the task's function has returned. */
  #watch(context: TaskContext): void {
    if (context.err !== undefined) throw context.cause;
    if (this.#isWatching) return;
    context.defer(this.#settle);
    this.#isWatching = true;
    this.#unsubscribe = context[scopeOf]().subscribe((_, cause) => {
      for (const pending of this.#open) this.host.cancel(pending, cause);
    });
  }

  /** The task's function has returned: what it hasn't waited for ends with it. */
  readonly #settle = (): Promise<void> | undefined => {
    this.#isWatching = false;
    this.#unsubscribe?.();
    if (this.#open.size === 0) return undefined;
    const reason = new CanceledError('the task that made the call has returned without waiting for it');
    for (const pending of this.#open) this.host.cancel(pending, reason);
    return new Promise((resolve) => {
      this.#onLast = () => {
        this.#onLast = undefined;
        resolve();
      };
    });
  };
}

const API: ProxyHandler<BoundThread> = {
  get: (thread, name) =>
    typeof name === 'string' && Object.hasOwn(thread.host.exports, name)
      ? (...args: readonly unknown[]) => thread.call(name, ...args)
      : undefined,
  has: (thread, name) => Object.hasOwn(thread.host.exports, name),
  ownKeys: (thread) => Object.keys(thread.host.exports),
  set: () => false,
};

/** A thread as its users see it. */
export function asThread<M extends ThreadModule>(thread: BoundThread): Thread<M> {
  return thread as { readonly threadId: number; api: object; call: unknown } as {
    readonly threadId: number;
    readonly api: ThreadApi<M>;
    readonly call: Thread<M>['call'];
  };
}
