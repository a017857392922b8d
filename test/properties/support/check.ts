/**
 * How the properties are run: with a seed that a failure prints, and that can be given (seed.ts).
 *
 *   ERRAND_RUNS=20 npm test properties     twenty times as many
 */
import { test } from 'node:test';
import fc from 'fast-check';
import { withLeakCheck } from '../../../src/testing/index.ts';
import { seed } from './seed.ts';

const { ERRAND_RUNS, ERRAND_PATH } = process.env;

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
