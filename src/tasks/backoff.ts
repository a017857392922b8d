/** How long to leave an engine alone that has failed. */
import type { Clock } from '../go/clock.ts';
import { sleep } from '../manager/resources.ts';

const BASE_MS = 100;
const MAX_MS = 5_000;

/** How long the pause is after so many failures in a row, in ms. */
export function pauseAfter(failures: number): number {
  const ms = Math.min(MAX_MS, BASE_MS * 2 ** (failures - 1));
  // Not all who have lost an engine at once shall come back at once.
  return ms * (0.5 + Math.random() / 2);
}

/** Sleeps longer after each failure in a row. Rejects with the signal's reason. */
export function backOff(failures: number, signal: AbortSignal, clock: Clock): Promise<void> {
  return sleep(signal, pauseAfter(failures), clock);
}
