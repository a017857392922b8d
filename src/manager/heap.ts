/**
 * A binary heap that knows where each of its items is, so that any of them can leave or move in O(log n).
 * Invariant: `item.heapIndex` is its index in `items`, or -1 when it isn't in the heap.
 */

export interface HeapItem {
  heapIndex: number;
}

export class Heap<T extends HeapItem> {
  readonly items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** @param before says whether `a` must come out before `b`. */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get first(): T | undefined {
    return this.items[0];
  }

  push(item: T): void {
    this.items.push(item);
    item.heapIndex = this.items.length - 1;
    this.#up(item, item.heapIndex);
  }

  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.items.pop()!;
    if (last === item) return;
    this.items[index] = last;
    last.heapIndex = index;
    this.update(last);
  }

  /** Restores the order after `item`'s rank has changed. */
  update(item: T): void {
    if (!this.#up(item, item.heapIndex)) this.#down(item, item.heapIndex);
  }

  #up(item: T, start: number): boolean {
    const items = this.items;
    let index = start;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = items[parentIndex]!;
      if (!this.#before(item, parent)) break;
      items[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    items[index] = item;
    item.heapIndex = index;
    return index !== start;
  }

  #down(item: T, start: number): void {
    const items = this.items;
    const length = items.length;
    let index = start;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= length) break;
      const right = childIndex + 1;
      if (right < length && this.#before(items[right]!, items[childIndex]!)) childIndex = right;
      const child = items[childIndex]!;
      if (!this.#before(child, item)) break;
      items[index] = child;
      child.heapIndex = index;
      index = childIndex;
    }
    items[index] = item;
    item.heapIndex = index;
  }
}
