/** What comes in any order, put in the order of its numbers, from 0 without a gap. */
export class InOrder<T> {
  readonly #early = new Map<number, T>();
  #next = 0;

  /** Those whose turn it is, now that this one has come. */
  *after(number: number, item: T): Generator<T> {
    this.#early.set(number, item);
    for (let next = this.#early.get(this.#next); next !== undefined; next = this.#early.get(this.#next)) {
      this.#early.delete(this.#next++);
      yield next;
    }
  }
}
