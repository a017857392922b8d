/**
 * Looks out for the answers of threads that have just been called, for a tenth of a millisecond, one look a turn of the
 * event loop: to be woken takes longer than a short call itself. Timers and I/O have their turns all the same.
 */
import { availableParallelism } from 'node:os';
import { SPIN_MS } from './protocol.ts';

/** Somebody whose answer may have come. */
export interface Awaited {
  /** Takes what has come. False when nothing more is awaited. */
  drain(): boolean;
}

/** With one processor, who looks out keeps the other side from going on. */
export const canSpin = availableParallelism() > 1;

const awaited = new Set<Awaited>();
let until = 0;
let isLooking = false;

export function lookOutFor(one: Awaited, now: number): void {
  awaited.add(one);
  until = now + SPIN_MS;
  if (isLooking) return;
  isLooking = true;
  setImmediate(look);
}

function look(): void {
  for (const one of awaited) if (!one.drain()) awaited.delete(one);
  if (awaited.size > 0 && performance.now() < until) setImmediate(look);
  else {
    awaited.clear();
    isLooking = false;
  }
}
