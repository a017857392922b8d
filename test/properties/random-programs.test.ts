/**
 * Promises 1 to 4 and 6 under random programs: submissions of every form and option, cancellations, failures, timeouts,
 * bad resources, resizes, pauses, stops and kills, in virtual time. `support/world.ts` runs a program and checks, after
 * every step and from inside of tasks, listeners and collectors: that each task is settled exactly once, that the books
 * balance, that no more functions are alive than there are workers, that each resource is destroyed exactly once, and
 * that nothing is left pending, leaking or unhandled.
 */
import { programs } from './support/arbitraries.ts';
import { property } from './support/check.ts';
import { run } from './support/world.ts';

property(
  'random programs: settled once, books balanced, the limit kept, resources destroyed once, nothing left',
  100,
  programs(),
  async (program) => {
    await run(program);
  },
);
