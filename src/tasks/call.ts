/** A call as those who have submitted it see it. */
import type { CallEvent, CallRecord, CallState, Engine } from '../engines/index.ts';
import { isEnded } from '../engines/moves.ts';
import { Channel } from '../go/channel.ts';
import { type WaitOptions, waitScope } from '../go/wait-queue.ts';
import { canceledBecause, ShutdownError } from '../manager/errors.ts';
import { type CallInfo, describeCall } from './call-info.ts';
import { checkNumber, DURATION_OR_NONE } from './checks.ts';
import { errorFromJson, errorToJson } from './error-json.ts';
import { InvalidOutputError } from './errors.ts';
import { cancelCall } from './flows/cancel-nodes.ts';
import { decodePayload } from './payload.ts';

/** Something that has happened to a call. */
export type CallMove =
  /** It has moved, and stands there now. */
  | { readonly type: 'state'; readonly state: CallState; readonly call: CallInfo }
  /** It has given a sign of life, or is to be canceled. */
  | { readonly type: 'progress'; readonly call: CallInfo }
  /** It has logged something. */
  | { readonly type: 'log'; readonly lines: readonly string[] };

/**
 * One run of a task that was submitted, with all its attempts. It follows the call: `status` and `progress` are as of
 * the last news.
 */
export class Call<O = unknown> {
  /** Unique for ever. */
  readonly id: string;
  readonly #engine: Engine;
  /** As it was last heard of. */
  #record: CallRecord | undefined;
  #unwatch: (() => void) | undefined;
  #result: Promise<O> | undefined = undefined;
  /** Of unknown, so that a call of something is a call of anything. */
  #resolve: ((value: unknown) => void) | undefined = undefined;
  #reject: ((error: unknown) => void) | undefined = undefined;
  readonly #readers = new Set<Channel<CallEvent>>();
  #onOver: (() => void) | undefined = undefined;
  /** The engine was closed before it has ended. */
  #isCut = false;

  private constructor(engine: Engine, id: string) {
    this.id = id;
    this.#engine = engine;
  }

  /**
   * @internal The call that has just been submitted, or asked for: it is followed before the answer has come, as it may
   * have ended by then. Undefined if there is none.
   */
  static async of<O>(
    engine: Engine,
    id: string,
    answer: Promise<CallRecord | undefined>,
  ): Promise<Call<O> | undefined> {
    const call = new Call<O>(engine, id);
    try {
      call.#unwatch = engine.watch(id, call.#onEvent);
    } catch (error) {
      await answer; // which says the same, if the engine is closed
      throw error;
    }
    try {
      const record = await answer;
      // What was heard meanwhile is newer.
      call.#record ??= record;
    } catch (error) {
      call.#unwatch();
      throw error;
    }
    if (call.#record === undefined || isEnded(call.#record.state)) call.#unwatch();
    return call.#record && call;
  }

  /** Where it stands. */
  get status(): CallState {
    return this.#last.state;
  }

  /** All that is known of it. */
  get info(): CallInfo {
    return describeCall(this.#last);
  }

  /** What it has said last of how far it is. */
  get progress(): unknown {
    const { progress } = this.#last;
    return progress === undefined ? undefined : decodePayload(progress);
  }

  /**
   * What it completes with. Rejects with the last error of a call that failed for good (timed out, stalled), with a
   * CanceledError, with a DuplicateCallError when it was discarded, or with a ShutdownError when the engine is closed
   * before it has ended. A dead letter that is resubmitted is followed anew by `dispatcher.calls.get`. Nobody has to read it: a failure that nobody
   * waits for is no unhandled rejection.
   */
  get result(): Promise<O> {
    this.#result ??= new Promise<O>((resolve, reject) => {
      this.#resolve = resolve as (value: unknown) => void;
      this.#reject = reject;
      this.#settle();
    });
    return this.#result;
  }

  /**
   * Cancels it: at once while it waits; if it runs, its signal fires, and it is canceled when its function has returned.
   * Rejects with a CallEndedError when it has ended already.
   */
  async cancel(reason?: unknown): Promise<void> {
    await cancelCall(this.#engine, this.id, errorToJson(canceledBecause(reason)));
  }

  /**
   * Has it be due after `delayMs` (0: now) while it waits for its time or in its queue. Rejects with a CallEndedError when
   * it doesn't any more, and with a TypeError or RangeError for what is no duration.
   */
  async reschedule(delayMs: number): Promise<void> {
    await this.#engine.schedule(this.id, checkNumber('delayMs', delayMs, DURATION_OR_NONE));
  }

  /** What it does from now on, until it has ended: first where it stands. To be left at any time. */
  async *events(options?: WaitOptions): AsyncGenerator<CallMove, void, undefined> {
    const coming = this.#follow();
    try {
      yield stateOf(this.#last);
      for await (const event of coming.values(options)) {
        if (event.type === 'closed') return;
        if (event.type === 'log') yield { type: 'log', lines: event.lines };
        else if (event.type === 'state') yield stateOf(event.record);
        else yield { type: 'progress', call: describeCall(event.record) };
      }
    } finally {
      this.#readers.delete(coming);
    }
  }

  /** The lines that `ctx.log` keeps: first those there are, then those to come, until it has ended. */
  async *logs(options?: WaitOptions): AsyncGenerator<string, void, undefined> {
    const coming = this.#follow();
    try {
      yield* await this.#engine.logs(this.id);
      for await (const event of coming.values(options)) if (event.type === 'log') yield* event.lines;
    } finally {
      this.#readers.delete(coming);
    }
  }

  get #last(): CallRecord {
    return this.#record!;
  }

  /** Events from this very moment on. */
  #follow(): Channel<CallEvent> {
    const channel = new Channel<CallEvent>(Number.POSITIVE_INFINITY);
    if (this.#isCut || isEnded(this.#last.state)) channel.close();
    else this.#readers.add(channel);
    return channel;
  }

  /** @internal Calls `fn` when it has ended, or can't be followed any more. */
  whenOver(fn: () => void): void {
    this.#onOver = fn;
  }

  readonly #onEvent = (event: CallEvent): void => {
    if (event.type === 'closed') {
      this.#isCut = true;
      this.#ended();
      return;
    }
    if (event.type !== 'log') this.#record = event.record;
    for (const reader of this.#readers) reader.trySend(event);
    if (event.type === 'state' && isEnded(event.record.state)) this.#ended();
  };

  #ended(): void {
    this.#unwatch?.();
    for (const reader of this.#readers) reader.close();
    this.#readers.clear();
    this.#settle();
    this.#onOver?.();
    this.#onOver = undefined;
  }

  /** Settles the result, if anybody has asked for it. */
  #settle(): void {
    const { state, output, error } = this.#last;
    if (this.#resolve === undefined) return;
    if (this.#isCut)
      this.#reject!(new ShutdownError(`the engine was closed before call ${this.id} has ended: it is ${state}`));
    if (!isEnded(state)) return;
    if (state !== 'completed') {
      this.#reject!(error === undefined ? new Error(`the call is ${state}`) : errorFromJson(error));
      return;
    }
    try {
      this.#resolve(decodePayload(output ?? ''));
    } catch (cause) {
      this.#reject!(new InvalidOutputError(`the output of call ${this.id} can't be read`, { cause }));
    }
  }
}

function stateOf(record: CallRecord): CallMove {
  return { type: 'state', state: record.state, call: describeCall(record) };
}

/** Rejects with the cause when what the options name is canceled first. */
function aborting<T>(options: WaitOptions | undefined, promise: Promise<T>): Promise<T> {
  const scope = waitScope(options);
  if (scope === undefined) return promise;
  return new Promise((resolve, reject) => {
    const unsubscribe = scope.subscribeWaiter((_, cause) => reject(cause));
    promise.then(resolve, reject).finally(unsubscribe);
  });
}

/** Resolves when all calls have ended, to their outcomes in order; never rejects for a call's failure. */
export async function waitForAll<O>(
  calls: Iterable<Call<O>>,
  options?: WaitOptions,
): Promise<PromiseSettledResult<O>[]> {
  return aborting(options, Promise.allSettled([...calls].map((call) => call.result)));
}

/** Resolves to the first call of these that has ended, however it has. */
export async function waitForAny<O>(calls: Iterable<Call<O>>, options?: WaitOptions): Promise<Call<O>> {
  const all = [...calls];
  if (all.length === 0) throw new RangeError('waitForAny needs at least one call to wait for');
  const ends = all.map((call) =>
    call.result.then(
      () => call,
      () => call,
    ),
  );
  return aborting(options, Promise.race(ends));
}
