/**
 * The calls that a coordinator has made, or is making, and that haven't ended as far as it knows. It is told of their
 * ends; as what is told may get lost on its way, it can also look.
 */
import type { CallRecord, Engine } from '../../engines/index.ts';
import { isEnded } from '../../engines/moves.ts';

/** So many at a time are asked for. */
const PAGE = 1_000;

export class UnderWay<T> {
  readonly #engine: Engine;
  readonly #onEnd: (what: T, record: CallRecord) => void;
  readonly #calls = new Map<string, { readonly what: T; readonly unwatch: () => void }>();

  constructor(engine: Engine, onEnd: (what: T, record: CallRecord) => void) {
    this.#engine = engine;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** As it is now: what ends meanwhile stays in it. */
  list(): [id: string, what: T][] {
    return [...this.#calls].map(([id, { what }]) => [id, what]);
  }

  /** Follows a call, which need not be stored yet. */
  add(id: string, what: T): void {
    if (this.#calls.has(id)) return;
    const unwatch = this.#engine.watch(id, (event) => {
      if (event.type === 'state') this.note(event.record);
    });
    this.#calls.set(id, { what, unwatch });
  }

  /** What is known of a call by now. */
  note(record: CallRecord): void {
    if (isEnded(record.state)) this.drop(record.id, record);
  }

  /** Follows a call no more: it has ended, or isn't there. */
  drop(id: string, record?: CallRecord): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    call.unwatch();
    if (record !== undefined) this.#onEnd(call.what, record);
  }

  /** Looks where all of them stand. Gives those that aren't there. */
  async look(): Promise<T[]> {
    const missing: T[] = [];
    for (let ids = [...this.#calls.keys()]; ids.length > 0; ids = ids.slice(PAGE)) {
      const page = ids.slice(0, PAGE);
      const found = new Map((await this.#engine.scan({ id: page }, { limit: PAGE })).map((each) => [each.id, each]));
      for (const id of page) {
        const record = found.get(id);
        const call = this.#calls.get(id);
        if (record !== undefined) this.note(record);
        else if (call !== undefined) {
          this.drop(id);
          missing.push(call.what);
        }
      }
    }
    return missing;
  }

  close(): void {
    for (const { unwatch } of this.#calls.values()) unwatch();
    this.#calls.clear();
  }
}
