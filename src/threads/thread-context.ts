/** What a function knows, inside the thread, of the call it runs for. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from '../go/context.ts';
import { CanceledError, ErrandError } from '../go/errors.ts';
import { CancelScope, scopeOf } from '../go/scope.ts';
import { decodeError } from './decode-error.ts';
import type { ErrorRecord } from './error-record.ts';
import { type CallRecord, type InThread, inThread, isFlagged } from './protocol.ts';
import { takeTransferList } from './transfer.ts';

/**
 * A Go context for one call in a thread: canceled when the task that has made the call is canceled or times out. Values
 * of the task's context don't cross.
 */
export interface ThreadContext extends Context {
  /** The id of the task that has made the call; empty if none has. */
  readonly id: string;
  /** Which run of that task it is, from 1. */
  readonly attempt: number;
  /** Whether the call is canceled: {@link isCancelled}. */
  isCancelled(): boolean;
}

class CallContext implements ThreadContext {
  readonly #record: CallRecord;
  #scope: CancelScope | undefined = undefined;

  constructor(record: CallRecord) {
    this.#record = record;
  }

  get id(): string {
    return this.#record.id;
  }

  get attempt(): number {
    return this.#record.attempt;
  }

  get deadline(): number | undefined {
    return this.#record.deadline;
  }

  get signal(): AbortSignal {
    return this[scopeOf]().signal;
  }

  get err(): Error | undefined {
    return this.#scope?.err;
  }

  get cause(): unknown {
    return this.#scope?.cause;
  }

  done(): Promise<void> {
    return this[scopeOf]().done();
  }

  value(_key: unknown): undefined {
    return undefined;
  }

  isCancelled(): boolean {
    const { call, shared } = this.#record;
    return this.#scope?.err !== undefined || (shared !== undefined && isFlagged(shared, call));
  }

  cancel(reason: ErrorRecord): void {
    const cause = decodeError(reason);
    this[scopeOf]().cancel(cause instanceof ErrandError ? cause : new CanceledError(undefined, { cause }), cause);
  }

  [scopeOf](): CancelScope {
    this.#scope ??= new CancelScope();
    return this.#scope;
  }
}

const NO_CALL = new CallContext({ call: 0, shared: undefined, deadline: undefined, id: '', attempt: 1 });

/**
 * What the thread's entry asks of this module once users have imported it: the entry is a file of its own, and starts
 * without it. Contexts cost all promises of a thread in Node 20 (AsyncLocalStorage), and are for those who ask.
 */
class Contexts implements InThread<CallContext> {
  readonly #current = new AsyncLocalStorage<CallContext>();

  open(record: CallRecord): CallContext {
    return new CallContext(record);
  }

  run<T>(context: CallContext, fn: (...args: readonly unknown[]) => T, args: readonly unknown[]): T {
    return this.#current.run(context, fn, ...args);
  }

  cancel(context: CallContext, reason: ErrorRecord): void {
    context.cancel(reason);
  }

  get current(): CallContext | undefined {
    return this.#current.getStore();
  }

  readonly takeTransferList = takeTransferList;
}

// One copy of this module serves all copies in the thread, as the entry asks one.
if (inThread.api === undefined) {
  inThread.api = new Contexts();
  inThread.onApi?.();
}
const contexts = inThread.api as Contexts;

/**
 * The context of the call that a function in a thread runs for: its signal, its deadline, and the id and attempt of the
 * task. Across awaits as well. Outside of a call it is one that is never canceled, so that the function can be tested
 * without a thread.
 *
 * @example
 * export async function load(url: string) {
 *   const { signal } = currentContext();
 *   return (await fetch(url, { signal })).text();
 * }
 */
export function currentContext(): ThreadContext {
  return contexts.current ?? NO_CALL;
}

/**
 * Whether the call that a function in a thread runs for is canceled: a read of shared memory, and so the way to ask for
 * a function that is busy in a loop, which no message reaches.
 *
 * @example
 * export function count(numbers: Float64Array) {
 *   let sum = 0;
 *   for (let i = 0; i < numbers.length; i++) {
 *     if (i % 1_000 === 0 && isCancelled()) break;
 *     sum += numbers[i]!;
 *   }
 *   return sum;
 * }
 */
export function isCancelled(): boolean {
  return currentContext().isCancelled();
}
