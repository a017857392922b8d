/** Ctrl-C, and the signals like it. */
import { constants } from 'node:os';

/** One press can come twice, milliseconds apart: from the terminal, and from npm, which hands it on to its script. */
const SAME_PRESS_MS = 200;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Interrupt {
  /** The exit code that tells of the first signal; `undefined`: none has come. */
  readonly exitCode: number | undefined;
  forget(): void;
}

/** Calls `listener` with 1 the first time, 2 the second, and so on. */
export function onInterrupt(listener: (times: number) => void): Interrupt {
  let times = 0;
  let lastAt = Number.NEGATIVE_INFINITY;
  let exitCode: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (now - lastAt < SAME_PRESS_MS) return;
    lastAt = now; // of those that count: a key held down, or pressed in haste, gets through
    exitCode ??= 128 + constants.signals[signal];
    listener(++times);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    get exitCode() {
      return exitCode;
    },
    forget() {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
}
