/** How the runs of a dispatcher that stops come to their ends. */
import type { Clock } from '../go/clock.ts';
import type { ShutdownError } from '../manager/errors.ts';
import { sleep } from '../manager/resources.ts';
import type { Consumer } from './consumer.ts';

export interface StopTimes {
  readonly graceMs: number;
  readonly timeoutMs: number;
}

/** What is left of a stop's time is for those who don't hear. */
export const KILL_MS = 1_000;

/** Ends what runs by the `onShutdown` of its task after `graceMs`, and all of it after `timeoutMs`. */
export async function endRuns(
  consumer: Consumer,
  reason: ShutdownError,
  { graceMs, timeoutMs }: StopTimes,
  clock: Clock,
): Promise<void> {
  // What waits for a worker needs no time to end.
  for (const run of consumer.runs) if (!run.hasBegun) run.end('requeued', reason);
  const timers = [
    clock.setTimeout(() => tellRuns(consumer, reason, false), graceMs),
    clock.setTimeout(() => tellRuns(consumer, reason, true), timeoutMs),
  ];
  if (graceMs === 0) tellRuns(consumer, reason, false);
  if (timeoutMs === 0) tellRuns(consumer, reason, true);
  await within(timeoutMs + KILL_MS, consumer.quiet(), clock);
  for (const timer of timers) clock.clearTimeout(timer);
}

/** Waits, but no longer. */
export async function within(ms: number, wait: Promise<void>, clock: Clock): Promise<void> {
  const patience = new AbortController();
  await Promise.race([wait, sleep(patience.signal, ms, clock).catch(() => {})]);
  patience.abort();
}

/** Ends what runs as its task says, or all of it. */
function tellRuns(consumer: Consumer, reason: ShutdownError, all: boolean): void {
  for (const run of consumer.runs) {
    const { onShutdown } = run.definition;
    if (onShutdown === 'stop') run.end('canceled', reason);
    else if (onShutdown === 'requeue' || all) run.end('requeued', reason);
  }
}
