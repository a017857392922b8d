/**
 * Calls that are under way, by their numbers. Mostly there is one at a time, which has a place of its own: a Map would
 * make its table anew each time the last one goes.
 */
export class Calls<T extends { readonly call: number }> {
  #one: T | undefined = undefined;
  #more: Map<number, T> | undefined = undefined;

  get size(): number {
    return (this.#one === undefined ? 0 : 1) + (this.#more?.size ?? 0);
  }

  get(call: number): T | undefined {
    return this.#one?.call === call ? this.#one : this.#more?.get(call);
  }

  has({ call }: T): boolean {
    return this.get(call) !== undefined;
  }

  add(one: T): void {
    if (this.#one === undefined) {
      this.#one = one;
      return;
    }
    this.#more ??= new Map();
    this.#more.set(one.call, one);
  }

  delete(one: T): void {
    if (this.#one === one) this.#one = undefined;
    else this.#more?.delete(one.call);
  }

  clear(): void {
    this.#one = undefined;
    this.#more = undefined;
  }

  all(): T[] {
    const more = this.#more === undefined ? [] : [...this.#more.values()];
    return this.#one === undefined ? more : [this.#one, ...more];
  }
}
