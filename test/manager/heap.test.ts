import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heap, type HeapItem } from '../../src/manager/heap.ts';

interface Item extends HeapItem {
  rank: number;
}

function item(rank: number): Item {
  return { rank, heapIndex: -1 };
}

function newHeap(): Heap<Item> {
  return new Heap<Item>((a, b) => a.rank < b.rank);
}

/** A small generator of pseudorandom numbers, the same in every run. */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

function drain(heap: Heap<Item>): number[] {
  const ranks: number[] = [];
  for (let first = heap.first; first !== undefined; first = heap.first) {
    ranks.push(first.rank);
    heap.remove(first);
  }
  return ranks;
}

function assertIndexed(heap: Heap<Item>): void {
  heap.items.forEach((entry, index) => {
    assert.equal(entry.heapIndex, index);
  });
}

test('an empty heap has no first', () => {
  assert.equal(newHeap().first, undefined);
});

test('what is pushed in any order comes out in the order of rank', () => {
  const random = randoms(1);
  const ranks = Array.from({ length: 500 }, () => Math.floor(random() * 100));
  const heap = newHeap();
  for (const rank of ranks) heap.push(item(rank));
  assertIndexed(heap);
  assert.deepEqual(
    drain(heap),
    ranks.toSorted((a, b) => a - b),
  );
});

test('any item can leave, and then is nowhere', () => {
  const random = randoms(2);
  const items = Array.from({ length: 300 }, () => item(random()));
  const heap = newHeap();
  for (const each of items) heap.push(each);
  const leaving = items.filter((_, index) => index % 3 === 0);
  for (const each of leaving) {
    heap.remove(each);
    assert.equal(each.heapIndex, -1);
    assertIndexed(heap);
  }
  const stay = items.filter((_, index) => index % 3 !== 0).map(({ rank }) => rank);
  assert.deepEqual(
    drain(heap),
    stay.toSorted((a, b) => a - b),
  );
});

test('removing what is not in the heap changes nothing', () => {
  const heap = newHeap();
  const inside = item(1);
  heap.push(inside);
  heap.remove(item(0));
  assert.equal(heap.first, inside);
  assert.equal(heap.items.length, 1);
});

test('an item whose rank has changed moves up or down on update', () => {
  const random = randoms(3);
  const items = Array.from({ length: 200 }, () => item(random()));
  const heap = newHeap();
  for (const each of items) heap.push(each);
  for (const each of items) {
    each.rank = random();
    heap.update(each);
    assertIndexed(heap);
  }
  assert.deepEqual(
    drain(heap),
    items.map(({ rank }) => rank).toSorted((a, b) => a - b),
  );
});
