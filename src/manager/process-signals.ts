/** Listening for the signals that tell a process to end. */
import { checkSignalNames } from './options.ts';

/** Undoes `stopOnSignals`: call it, or let `using` do so. */
export interface SignalDisposer extends Disposable {
  (): void;
}

/** Who listens, as a set, so that all can be undone at once. */
export type SignalListeners = Set<SignalDisposer>;

/** Those that ask for an end. */
export const ENDING_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT'];

/**
 * One Ctrl-C can arrive twice, milliseconds apart: from the terminal, which sends it to the whole process group, and
 * from npm, which hands it on to its script.
 */
const ECHO_MS = 50;

/**
 * Calls `stop` at the first of these signals, and `hurry` with each that comes after it, its echo aside, until the function
 * that it gives is called. That is in `listeners` until then.
 * @throws TypeError or RangeError for what is no signal one can listen for
 */
export function onEndingSignals(
  signals: readonly NodeJS.Signals[],
  listeners: SignalListeners,
  stop: () => void,
  hurry: (signal: NodeJS.Signals) => void,
): SignalDisposer {
  checkSignalNames(signals);
  let first: { readonly signal: NodeJS.Signals; readonly at: number } | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const at = performance.now();
    if (first === undefined) {
      first = { signal, at };
      stop();
    } else if (signal !== first.signal || at - first.at > ECHO_MS) hurry(signal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  const undo = (): void => {
    for (const signal of signals) process.off(signal, onSignal);
    listeners.delete(disposer);
  };
  const disposer: SignalDisposer = Object.assign(undo, { [Symbol.dispose]: undo });
  listeners.add(disposer);
  return disposer;
}
