/** Promises that must be settled, whichever way, by the time all is over. */
export class Pending {
  readonly #names = new Map<number, string>();
  #count = 0;

  get size(): number {
    return this.#names.size;
  }

  follow(name: string, promise: PromiseLike<unknown>): void {
    const number = this.#count++;
    this.#names.set(number, name);
    const done = (): void => {
      this.#names.delete(number);
    };
    promise.then(done, done);
  }

  has(start: string): boolean {
    return [...this.#names.values()].some((name) => name.startsWith(start));
  }

  toString(): string {
    return [...this.#names.values()].join('; ');
  }
}
