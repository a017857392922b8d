/** All calls, by id and by age; where each stands; and who is told of it. */
import { tellOne } from './consumers.ts';
import type { CallEvent, CallFilter, CallRecord, CallState, Page } from './engine.ts';
import { UnknownCallError } from './errors.ts';
import { MOVES } from './moves.ts';
import { isMatch, recordOf, type StoredCall } from './stored-call.ts';

const PAGE = 100;

type Watcher = (event: CallEvent) => void;

export class CallStore {
  readonly #calls = new Map<string, StoredCall>();
  #newest: StoredCall | undefined = undefined;
  /** Apart, as they are looked for among all others, and are few. */
  readonly #deadLetters = new Set<StoredCall>();
  /** Those that other calls have submitted, by these: as the nodes of a flow are looked for by its run. */
  readonly #children = new Map<string, Set<StoredCall>>();
  readonly #counts = Object.fromEntries(Object.keys(MOVES).map((state) => [state, 0])) as Record<CallState, number>;
  readonly #watchers = new Map<string, Set<Watcher>>();
  /** Of all calls. */
  readonly #watchersOfAll = new Set<Watcher>();
  /** What watchers and consumers are to be told when the work under way is done. */
  #untold: (() => void)[] = [];
  #isTelling = false;

  get(id: string): StoredCall | undefined {
    return this.#calls.get(id);
  }

  /** @throws UnknownCallError */
  known(id: string): StoredCall {
    const call = this.#calls.get(id);
    if (call === undefined) throw new UnknownCallError(`there is no call ${id}, or none any more`);
    return call;
  }

  /** Stores a call as submitted. */
  add(call: StoredCall): void {
    this.#calls.set(call.id, call);
    call.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = call;
    this.#newest = call;
    if (call.parentId !== undefined) this.#adopt(call.parentId, call);
    this.#counts.submitted++;
    this.#note(call, 'state');
  }

  remove(call: StoredCall): void {
    this.#calls.delete(call.id);
    const { older, newer } = call;
    if (older !== undefined) older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    this.#counts[call.state]--;
    this.#deadLetters.delete(call);
    if (call.parentId === undefined) return;
    const siblings = this.#children.get(call.parentId)!;
    siblings.delete(call);
    if (siblings.size === 0) this.#children.delete(call.parentId);
  }

  /** The one place where a call changes its state; all else about it must be set by then. */
  move(call: StoredCall, state: CallState): void {
    const from = call.state;
    if (!MOVES[from].includes(state)) throw new Error(`call ${call.id} can't go from ${from} to ${state}`);
    this.#counts[from]--;
    this.#counts[state]++;
    if (from === 'deadLettered') this.#deadLetters.delete(call);
    if (state === 'deadLettered') this.#deadLetters.add(call);
    call.state = state;
    this.#note(call, 'state');
  }

  noteUpdate(call: StoredCall): void {
    this.#note(call, 'update');
  }

  noteLines(call: StoredCall, lines: readonly string[]): void {
    if (this.#isWatched(call)) this.#tellLater(call.id, { type: 'log', record: recordOf(call), lines: [...lines] });
  }

  /** Has something told after the work under way, in line with what watchers are told. */
  later(tell: () => void): void {
    this.#untold.push(tell);
  }

  /** Tells all that is to be told. What is done meanwhile by those who are told is told too, after it. */
  tellAll(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      while (this.#untold.length > 0) {
        const untold = this.#untold;
        this.#untold = [];
        for (const tell of untold) tell();
      }
    } finally {
      this.#isTelling = false;
    }
  }

  watch(id: string | undefined, watcher: Watcher): () => void {
    // A function of its own each time: one listener can watch twice.
    const own: Watcher = (event) => watcher(event);
    if (id === undefined) {
      this.#watchersOfAll.add(own);
      return () => void this.#watchersOfAll.delete(own);
    }
    let watchers = this.#watchers.get(id);
    if (watchers === undefined) {
      watchers = new Set();
      this.#watchers.set(id, watchers);
    }
    const its = watchers.add(own);
    return () => {
      its.delete(own);
      if (its.size === 0 && this.#watchers.get(id) === its) this.#watchers.delete(id);
    };
  }

  /** Those that match, the newest first. */
  find(filter: CallFilter): StoredCall[] {
    return [...this.#matches(filter)];
  }

  scan(filter: CallFilter, { limit = PAGE, after }: Page): CallRecord[] {
    const records: CallRecord[] = [];
    if (!(limit > 0)) return records;
    for (const call of this.#matches(filter, after)) {
      records.push(recordOf(call));
      if (records.length >= limit) break;
    }
    return records;
  }

  count(filter: CallFilter): Record<CallState, number> {
    if (Object.values(filter).every((wanted) => wanted === undefined)) return { ...this.#counts };
    const counts = Object.fromEntries(Object.keys(MOVES).map((state) => [state, 0])) as Record<CallState, number>;
    for (const call of this.#matches(filter)) counts[call.state]++;
    return counts;
  }

  clear(): void {
    this.#calls.clear();
    this.#newest = undefined;
    this.#deadLetters.clear();
    this.#children.clear();
    const watchers = [...this.#watchersOfAll, ...[...this.#watchers.values()].flatMap((its) => [...its])];
    this.#watchers.clear();
    this.#watchersOfAll.clear();
    this.#untold = [];
    for (const watcher of watchers) tellOne(watcher, (its) => its({ type: 'closed' }));
  }

  *#matches(filter: CallFilter, after?: string): Iterable<StoredCall> {
    const last = after === undefined ? undefined : this.#calls.get(after);
    if (after !== undefined && last === undefined)
      throw new UnknownCallError(`there is no call ${after} to go on after`);
    const few = this.#few(filter);
    if (few === undefined) {
      let call = last === undefined ? this.#newest : last.older;
      for (; call !== undefined; call = call.older) if (isMatch(call, filter)) yield call;
      return;
    }
    few.sort((a, b) => b.order - a.order);
    for (const call of few) if ((last === undefined || call.order < last.order) && isMatch(call, filter)) yield call;
  }

  /** Those that alone can match, if that can be known. */
  #few({ id, state, parentId }: CallFilter): StoredCall[] | undefined {
    if (id !== undefined) {
      const ids = typeof id === 'string' ? [id] : [...new Set(id)];
      return ids.map((each) => this.#calls.get(each)).filter((call) => call !== undefined);
    }
    if (parentId !== undefined) return [...(this.#children.get(parentId) ?? [])];
    const only = typeof state === 'object' && state.length === 1 ? state[0] : state;
    return only === 'deadLettered' ? [...this.#deadLetters] : undefined;
  }

  #adopt(parentId: string, call: StoredCall): void {
    const siblings = this.#children.get(parentId);
    if (siblings === undefined) this.#children.set(parentId, new Set([call]));
    else siblings.add(call);
  }

  #note(call: StoredCall, type: 'state' | 'update'): void {
    if (this.#isWatched(call)) this.#tellLater(call.id, { type, record: recordOf(call) });
  }

  #isWatched({ id }: StoredCall): boolean {
    return this.#watchersOfAll.size > 0 || (this.#watchers.size > 0 && this.#watchers.has(id));
  }

  #tellLater(id: string, event: CallEvent): void {
    this.#tellThese(this.#watchers.get(id), event);
    this.#tellThese(this.#watchersOfAll, event);
  }

  #tellThese(watchers: ReadonlySet<Watcher> | undefined, event: CallEvent): void {
    if (watchers === undefined || watchers.size === 0) return;
    const those = [...watchers];
    this.later(() => {
      // One that has left meanwhile isn't told.
      for (const watcher of those) if (watchers.has(watcher)) tellOne(watcher, (its) => its(event));
    });
  }
}
