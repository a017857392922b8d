/**
 * Where time comes from. Everything in errand that waits asks a Clock, so that a test can hand in a virtual one
 * (`errand/testing`) and move it by hand.
 */

/** A timer made by a {@link Clock}; opaque to everyone but the clock that made it. */
export type ClockTimer = unknown;

/** A source of time and timers. */
export interface Clock {
  /** Monotonic time in ms, fractional; its zero is {@link Clock.timeOrigin}. */
  now(): number;
  /** What `now() === 0` means in ms since the Unix epoch: a whole number. */
  readonly timeOrigin: number;
  /**
   * The time of day in ms since the Unix epoch, as clocks on the wall show it: somebody may set it, forward or back.
   * Default: `timeOrigin + now()`, which nobody can set.
   */
  wallTime?(): number;
  /**
   * Calls `callback` once, `ms` from now or a little later. Delays above 2^31-1 ms may fire early: check `now()`.
   * The timer keeps the process up only if `hold` is true: somebody waits for it and for nothing else.
   */
  setTimeout(callback: () => void, ms: number, hold?: boolean): ClockTimer;
  /** Forgets a timer; harmless when it has fired. */
  clearTimeout(timer: ClockTimer): void;
}

const MAX_DELAY_MS = 2 ** 31 - 1;

/** The machine's own monotonic clock. */
export const realClock: Clock = {
  now: () => performance.now(),
  timeOrigin: Math.floor(performance.timeOrigin),
  wallTime: () => Date.now(),
  setTimeout(callback, ms, hold = false) {
    const timer: unknown = setTimeout(callback, Math.min(ms, MAX_DELAY_MS));
    // Node's timers are objects that can let the process go; a browser's are numbers.
    if (!hold) (timer as { unref?: () => void }).unref?.();
    return timer;
  },
  clearTimeout(timer) {
    clearTimeout(timer as Parameters<typeof clearTimeout>[0]);
  },
};

/** The time of day by a clock. */
export function wallTimeOf(clock: Clock): number {
  return clock.wallTime?.() ?? clock.timeOrigin + clock.now();
}

let holds = 0;
let holding: unknown;

/** Keeps the process up until the function it returns is called. */
export function holdProcess(): () => void {
  if (holds++ === 0) holding = setInterval(() => {}, MAX_DELAY_MS);
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    if (--holds === 0) clearInterval(holding as Parameters<typeof clearInterval>[0]);
  };
}
