/** What a dispatcher shows of calls that are, or were: the present, the history, and the dead letters. */

import { UnknownCallError } from '../engines/errors.ts';
import type { CallFilter, CallState, Engine, Page } from '../engines/index.ts';
import { isEnded } from '../engines/moves.ts';
import { Call } from './call.ts';
import { type CallInfo, describeCall } from './call-info.ts';
import { checkNames, checkObject, optionalBoolean } from './checks.ts';
import { checkFilter, checkId, checkPage, type DeadLetterFilter, OF_LETTERS } from './filters.ts';

export type { DeadLetterFilter };

/** The calls that the engine knows. */
export class Calls {
  readonly #engine: Engine;
  /** Those that were asked for and have not ended: each is followed once, however often it is asked for. */
  readonly #followed = new Map<string, Call<unknown>>();

  /** @internal */
  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The call of an id, to follow it or to cancel it. Undefined when there is none, or none any more. */
  async get<O = unknown>(id: string): Promise<Call<O> | undefined> {
    const known = this.#followed.get(checkId(id));
    if (known !== undefined) return known as Call<O>;
    const call = await Call.of<O>(this.#engine, id, this.#engine.get(id));
    if (call !== undefined && !isEnded(call.status)) {
      this.#followed.set(id, call);
      call.whenOver(() => this.#followed.delete(id));
    }
    return call;
  }

  /** What calls that match are and were, the newest first; 100 unless the page says how many. */
  async history(filter: CallFilter = {}, page?: Page): Promise<CallInfo[]> {
    return (await this.#engine.scan(checkFilter(filter), checkPage(page))).map(describeCall);
  }

  /** How many calls there are in each state. */
  async count(filter: CallFilter = {}): Promise<Readonly<Record<CallState, number>>> {
    return this.#engine.count(checkFilter(filter));
  }

  /** Forgets calls that have ended. Resolves to their ids. */
  async remove(filter: CallFilter): Promise<string[]> {
    return this.#engine.remove(checkFilter(filter));
  }
}

/** Calls that failed for good, and are kept until somebody has decided what becomes of them. */
export class DeadLetters {
  readonly #engine: Engine;
  readonly #resubmitted: (ids: readonly string[]) => Promise<void>;

  /** @internal */
  constructor(engine: Engine, resubmitted: (ids: readonly string[]) => Promise<void>) {
    this.#engine = engine;
    this.#resubmitted = resubmitted;
  }

  /** Those that match, the newest first; 100 unless the page says how many. */
  async list(filter: DeadLetterFilter = {}, page?: Page): Promise<CallInfo[]> {
    return (await this.#engine.scan(filterOf(filter), checkPage(page))).map(describeCall);
  }

  /** One of them. Undefined when there is none of this id. */
  async get(id: string): Promise<CallInfo | undefined> {
    return (await this.list({ id: checkId(id) }))[0];
  }

  /**
   * Has them run again: one by its id, or all that match. With `resetAttempts` (the default) they have all their attempts
   * again, else one. Resolves to their ids. Rejects with an UnknownCallError when nothing matches, or one that is named by
   * its id is no dead letter: then nothing is done.
   */
  async resubmit(
    which: string | DeadLetterFilter,
    options: { readonly resetAttempts?: boolean | undefined } = {},
  ): Promise<string[]> {
    checkObject('options', options);
    checkNames('resubmit', options, ['resetAttempts']);
    const resetAttempts = optionalBoolean('resetAttempts', options.resetAttempts, true);
    const filter = filterOf(which);
    await this.#check(filter);
    const ids = some(filter, await this.#engine.resubmit(filter, { resetAttempts }));
    await this.#resubmitted(ids);
    return ids;
  }

  /** Forgets them: one by its id, or all that match. As {@link DeadLetters.resubmit} otherwise. */
  async remove(which: string | DeadLetterFilter): Promise<string[]> {
    const filter = filterOf(which);
    await this.#check(filter);
    return some(filter, await this.#engine.remove(filter));
  }

  /** All that are named must be dead letters. @throws UnknownCallError */
  async #check({ id }: CallFilter): Promise<void> {
    if (id === undefined) return;
    const ids = typeof id === 'string' ? [id] : id;
    const found = await this.#engine.scan({ id: ids }, { limit: Math.max(1, ids.length) });
    const states = new Map(found.map((record) => [record.id, record.state]));
    for (const each of ids) {
      const state = states.get(each);
      if (state === 'deadLettered') continue;
      const what = state === undefined ? 'there is no such call' : `the call is ${state}`;
      throw new UnknownCallError(`there is no dead letter ${each}: ${what}`);
    }
  }
}

function filterOf(which: string | DeadLetterFilter): CallFilter {
  return { ...checkFilter(typeof which === 'string' ? { id: which } : which, OF_LETTERS), state: 'deadLettered' };
}

function some({ state: _, ...filter }: CallFilter, ids: string[]): string[] {
  if (ids.length > 0) return ids;
  throw new UnknownCallError(`no dead letter matches ${JSON.stringify(filter)}`);
}
