/**
 * Leak checks for tests: whether everything that was begun since has ended. After goleak, for the event loop: where Go
 * counts goroutines, this looks at timers, listeners, handles and rejections.
 *
 * Invariant: at most one tracker is at work in a process, since what it patches is global.
 */
import { turn } from './turn.ts';
import {
  type Watch,
  watchAbortListeners,
  watchProcesses,
  watchProcessListeners,
  watchRejections,
  watchResources,
  watchTimers,
} from './watches.ts';

/** What {@link trackLeaks} can be told. */
export interface LeakTrackerOptions {
  /** How many turns of the event loop things have to settle before they count as left. Default 20. */
  readonly turns?: number | undefined;
}

/** Watches from {@link trackLeaks} on, until it is checked or stopped. */
export interface LeakTracker {
  /**
   * Waits for things to settle, ends tracking, and rejects with {@link LeakError} when something is left. It doesn't
   * sleep: it gives the event loop a bounded number of turns, and fifty times as many for what only the operating
   * system has to close.
   */
  check(): Promise<void>;
  /** Ends tracking without a verdict, and restores what was patched. Harmless when that has happened. */
  stop(): void;
}

/** Something was left. */
export class LeakError extends Error {
  /** Each thing left, in words, with the place where it was made when that is known. */
  readonly leaks: readonly string[];

  constructor(leaks: readonly string[]) {
    super([`${leaks.length} leak(s):`, ...leaks.map((leak) => `- ${leak}`)].join('\n'));
    this.name = 'LeakError';
    this.leaks = leaks;
  }
}

const HANDLE_TURNS = 50;

let isTracking = false;

/**
 * Begins to watch for what is made from now on and must be gone at the end:
 *
 * - timers, intervals and immediates, unreferenced ones too, by the functions of the globals and `node:timers`
 * - 'abort' listeners on AbortSignals, but not those that an abort has called
 * - listeners on `process`
 * - worker threads and child processes, unreferenced ones too
 * - other handles that hold the process: servers, sockets, message ports
 * - unhandled rejections
 *
 * Not seen are work on promises alone, requests under way (to read a file, say: they end by themselves), unreferenced
 * timers of `node:timers/promises` or of a function taken from the globals before, and what Node's test runner makes for
 * itself. While it tracks, an unhandled rejection doesn't end the process: `check()` reports it.
 *
 * @throws TypeError or RangeError when an option is wrong
 * @throws Error when another tracker is at work: tests that track can't run concurrently in one process
 */
export function trackLeaks(options: LeakTrackerOptions = {}): LeakTracker {
  const { turns = 20 } = options;
  if (typeof turns !== 'number') throw new TypeError(`turns must be a number, not ${String(turns)}`);
  if (!(turns >= 1)) throw new RangeError(`turns must be at least 1, not ${turns}`);
  if (isTracking) throw new Error('leaks are being tracked already: only one tracker may be at work in a process');
  isTracking = true;

  const timers = watchTimers();
  const handles = [watchProcesses(), watchResources(timers)];
  const rest = [timers, watchAbortListeners(), watchRejections()];
  rest.push(watchProcessListeners()); // last: the others listen on process themselves
  const watches = [...rest, ...handles];
  let isStopped = false;

  const stop = () => {
    if (isStopped) return;
    isStopped = true;
    for (const watch of watches) watch.stop();
    isTracking = false;
  };

  return {
    stop,
    async check() {
      if (isStopped) throw new Error('the tracker has been checked or stopped already');
      try {
        for (let i = 0; i < turns; i++) {
          await turn();
          // A rejection may still come, so two turns at least.
          if (i > 0 && leftOf(watches).length === 0) return;
        }
        const leaks = leftOf(rest);
        for (let i = 0; i < HANDLE_TURNS * turns && leftOf(handles).length > 0; i++) await turn();
        leaks.push(...leftOf(handles));
        if (leaks.length > 0) throw new LeakError(leaks);
      } finally {
        stop();
      }
    },
  };
}

/**
 * Watches from now on, and gives what checks: for the `after` of a file of tests, or of a suite. What the test runner
 * makes for itself doesn't count. Run such files by `node --test`: without it, Node 22 and later tell of an `after` that
 * fails, and exit with 0 all the same.
 *
 * @example
 * after(leakCheck());
 * @returns a function that does what {@link LeakTracker.check} does
 * @throws as {@link trackLeaks}
 */
export function leakCheck(options?: LeakTrackerOptions): () => Promise<void> {
  const tracker = trackLeaks(options);
  return () => tracker.check();
}

/**
 * Wraps a test so that it fails when it leaves something behind:
 * `test('name', withLeakCheck(async (t) => { ... }))`.
 *
 * The check comes when the function's promise has settled: before the hooks of `t.after`, so clean up within. When it
 * throws, that error is the verdict, and nothing is checked: what a broken test leaves says nothing.
 *
 * @returns a function with the same parameters and result. It rejects as {@link LeakTracker.check} does.
 */
export function withLeakCheck<Args extends unknown[], Result>(
  fn: (...args: Args) => Result | PromiseLike<Result>,
): (...args: Args) => Promise<Result> {
  return async (...args) => {
    const tracker = trackLeaks();
    let result: Result;
    try {
      result = await fn(...args);
    } catch (error) {
      tracker.stop();
      throw error;
    }
    await tracker.check();
    return result;
  };
}

function leftOf(watches: readonly Watch[]): string[] {
  return watches.flatMap((watch) => watch.left());
}
