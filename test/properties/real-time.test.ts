/** The promises by the real event loop: what virtual time puts in order may come in any order here. */
import { programs } from './support/arbitraries.ts';
import { property } from './support/check.ts';
import { realTime } from './support/time.ts';
import { run } from './support/world.ts';

property(
  'the promises are kept by real time too',
  12,
  programs({ maxCommands: 25, manager: { asyncContext: true } }),
  async (program) => {
    await run(program, realTime());
  },
);
