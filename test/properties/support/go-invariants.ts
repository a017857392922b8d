/** What must be true of every channel at every moment, by the inside of it. */
import assert from 'node:assert/strict';
import { sendersOf } from '../../../src/go/channel.ts';
import type { Channel } from '../../../src/go/index.ts';
import { receiversOf } from '../../../src/go/receivable.ts';
import type { Waiter, WaitQueue } from '../../../src/go/wait-queue.ts';

/** Nobody waits while there is something for him. */
export function checkNobodyWaitsInVain(channel: Channel<never> | Channel<unknown>): void {
  const { length, capacity, closed } = channel;
  if (channel[receiversOf].first !== undefined) {
    assert.equal(length, 0, 'a receiver waits and there is a value');
    assert.equal(closed, false, 'a receiver waits at a closed channel');
  }
  if (channel[sendersOf].first !== undefined) {
    assert.ok(length >= capacity, 'a sender waits and there is room');
    assert.equal(closed, false, 'a sender waits at a closed channel');
  }
}

/** Who waits, in order, from a list that must be whole. */
export function waiting<W extends Waiter>(queue: WaitQueue<W>): W[] {
  const all: W[] = [];
  for (let waiter = queue.first; waiter !== undefined; waiter = waiter.next) {
    assert.equal(waiter.queued, true);
    assert.equal(waiter.previous, all.at(-1));
    all.push(waiter);
  }
  return all;
}
