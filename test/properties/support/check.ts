/**
 * How the properties are run: with a seed that a failure prints, and that can be given.
 *
 *   ERRAND_SEED=123 npm test properties    the programs of that run again
 *   ERRAND_RUNS=20 npm test properties     twenty times as many programs
 */
import { test } from 'node:test';
import fc from 'fast-check';
import { withLeakCheck } from '../../../src/testing/index.ts';

const { ERRAND_SEED, ERRAND_RUNS, ERRAND_PATH } = process.env;

/** The seed of this process: the one given, or any. */
export const seed = ERRAND_SEED === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(ERRAND_SEED);

/** How many runs, with `usual` the number without ERRAND_RUNS. */
export function runs(usual: number): number {
  return Math.max(1, Math.round(usual * Number(ERRAND_RUNS ?? 1)));
}

/**
 * A test that `holds` for whatever `arbitrary` makes. Every single run is checked for leaks, so that a leak shrinks to
 * the program that causes it.
 */
export function property<T>(
  name: string,
  usualRuns: number,
  arbitrary: fc.Arbitrary<T>,
  holds: (value: T) => Promise<void>,
): void {
  test(name, async () => {
    const checked = withLeakCheck(holds);
    await fc.assert(fc.asyncProperty(arbitrary, checked), {
      seed,
      numRuns: runs(usualRuns),
      ...(ERRAND_PATH !== undefined && { path: ERRAND_PATH }),
      interruptAfterTimeLimit: 120_000,
      markInterruptAsFailure: true,
    });
  });
}
