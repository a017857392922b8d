/** Time for a world: virtual in the properties, real in the soak. */
import { type Clock, type ClockTimer, realClock } from '../../../src/go/clock.ts';
import { VirtualClock } from '../../../src/testing/index.ts';

export interface Time {
  /** The manager's clock. */
  readonly clock: Clock;
  /** Whether, after `pass`, everything due has happened and settled. */
  readonly exact: boolean;
  pass(ms: number): Promise<void>;
  /** Timers of the manager's that are pending; undefined when that can't be known. */
  timers(): number | undefined;
  /** For the functions of tasks: their timers aren't the manager's. */
  setTimeout(callback: () => void, ms: number): ClockTimer;
  clearTimeout(timer: ClockTimer): void;
}

/** Rejects with the reason of `signal` if that fires first. */
export function sleep(time: Time, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      time.clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = time.setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export function virtualTime(): Time {
  const clock = new VirtualClock();
  const own = new Set<ClockTimer>();
  return {
    clock,
    exact: true,
    pass: (ms) => clock.advance(ms),
    timers: () => clock.timerCount - own.size,
    setTimeout(callback, ms) {
      const timer = clock.setTimeout(() => {
        own.delete(timer);
        callback();
      }, ms);
      own.add(timer);
      return timer;
    },
    clearTimeout(timer) {
      own.delete(timer);
      clock.clearTimeout(timer);
    },
  };
}

export function realTime(): Time {
  return {
    clock: realClock,
    exact: false,
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    timers: () => undefined,
    setTimeout: (callback, ms) => setTimeout(callback, ms),
    clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
  };
}
