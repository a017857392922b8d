/** A first-in, first-out buffer in a circular array that doubles when it is full: the values of a channel. */

const FIRST_SIZE = 8;
/** An array larger than this is given up when it is empty: a burst of a million mustn't be paid for ever. */
const LARGEST_KEPT = 1_024;

export class Ring<T> {
  length = 0;
  #items: (T | undefined)[] = [];
  #head = 0;

  push(value: T): void {
    if (this.length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.length) & (this.#items.length - 1)] = value;
    this.length++;
  }

  /** The oldest value; only to be called when there is one. */
  shift(): T {
    const items = this.#items;
    const value = items[this.#head] as T;
    items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (items.length - 1);
    this.length--;
    if (this.length === 0 && items.length > LARGEST_KEPT) this.#items = [];
    return value;
  }

  /** The size stays a power of two, so that a mask does for the modulo. */
  #grow(): void {
    const { length } = this;
    const grown = new Array<T | undefined>(Math.max(FIRST_SIZE, length * 2)).fill(undefined);
    for (let i = 0; i < length; i++) grown[i] = this.#items[(this.#head + i) & (length - 1)];
    this.#items = grown;
    this.#head = 0;
  }
}
