/** Which state may follow which: the one table that all engines go by. */
import type { CallState } from './engine.ts';

/** By state: those that a call can go to from there. An ended one goes nowhere. */
export const MOVES: Readonly<Record<CallState, readonly CallState[]>> = {
  submitted: ['scheduled', 'held', 'queued', 'discarded'],
  scheduled: ['held', 'queued', 'discarded', 'canceled', 'scheduled'],
  held: ['queued', 'discarded', 'canceled'],
  queued: ['started', 'scheduled', 'canceled'],
  started: ['completed', 'failed', 'timedOut', 'canceled', 'stalled', 'deadLettered', 'queued', 'scheduled'],
  completed: [],
  failed: [],
  timedOut: [],
  canceled: [],
  discarded: [],
  stalled: [],
  deadLettered: ['queued', 'held'],
};

/** Whether nothing happens any more to a call in this state by itself. */
export function isEnded(state: CallState): boolean {
  return state === 'deadLettered' || MOVES[state].length === 0;
}
