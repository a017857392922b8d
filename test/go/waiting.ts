/** What the tests of whatever waits share: who waits, what can end a wait, how it ended, and chance with a seed. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { sendersOf } from '../../src/go/channel.ts';
import { background, type Context, withCancelCause } from '../../src/go/index.ts';
import { receiversOf } from '../../src/go/receivable.ts';

/** How many wait at a channel, to receive and to send. */
export function waitingAt(channel: object): { receivers: number; senders: number } {
  const { [receiversOf]: receivers, [sendersOf]: senders } = channel as Partial<Queues>;
  return { receivers: lengthOf(receivers), senders: lengthOf(senders) };
}

export const NOBODY = { receivers: 0, senders: 0 };

interface Queue {
  readonly first: Link | undefined;
}
interface Link {
  readonly next: Link | undefined;
}
interface Queues {
  readonly [receiversOf]: Queue;
  readonly [sendersOf]: Queue;
}

function lengthOf(queue: Queue | undefined): number {
  let length = 0;
  for (let link = queue?.first; link !== undefined; link = link.next) length++;
  return length;
}

/** How many listen for the abort of a signal. */
export function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

/** What ends a wait: made anew for each test, with the function that fires it. */
export interface Ender {
  readonly signal: AbortSignal | Context;
  fire(reason?: unknown): void;
}

/** The two kinds of it, by name. */
export const ENDERS: readonly (readonly [name: string, make: () => Ender])[] = [
  [
    'an AbortSignal',
    () => {
      const controller = new AbortController();
      return { signal: controller.signal, fire: (reason) => controller.abort(reason) };
    },
  ],
  [
    'a Context',
    () => {
      const [signal, fire] = withCancelCause(background());
      return { signal, fire };
    },
  ],
];

/** Asserts that a promise rejects with this very reason. */
export async function rejectsWith(promise: Promise<unknown>, reason: unknown): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.equal(error, reason);
    return true;
  });
}

/** Whole numbers from `from` up to, but not with, `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** Numbers from 0 to below 1, the same for a seed every time: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
