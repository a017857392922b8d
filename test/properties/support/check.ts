/**
 * How the properties are run: with a seed that a failure prints, and that can be given.
 *
 *   ERRAND_SEED=123 npm test properties    the same programs again
 *   ERRAND_RUNS=20 npm test properties     twenty times as many
 */
import { test } from 'node:test';
import fc from 'fast-check';
import { withLeakCheck } from '../../../src/testing/index.ts';

const { ERRAND_SEED, ERRAND_RUNS, ERRAND_PATH } = process.env;

/** The seed of this process: the one given, or any. */
export const seed = ERRAND_SEED === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(ERRAND_SEED);

/** With ERRAND_SEED, the path that a failure prints leads straight to the counterexample. */
const path = ERRAND_PATH === undefined ? {} : { path: ERRAND_PATH };

/**
 * A test that `holds` for whatever `arbitrary` makes. Every single run is checked for leaks, so that a leak shrinks to
 * what causes it.
 */
export function property<T>(
  name: string,
  usualRuns: number,
  arbitrary: fc.Arbitrary<T>,
  holds: (value: T) => Promise<void>,
): void {
  const numRuns = Math.max(1, Math.round(usualRuns * Number(ERRAND_RUNS ?? 1)));
  test(name, { timeout: numRuns * 10_000 }, () =>
    fc.assert(fc.asyncProperty(arbitrary, withLeakCheck(holds)), {
      seed,
      numRuns,
      includeErrorInReport: true,
      ...path,
    }),
  );
}
