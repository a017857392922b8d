/** Promises 3 and 4 of DESIGN section 1. */
import { programs } from './support/arbitraries.ts';
import { property } from './support/check.ts';
import { holds } from './support/world.ts';

property(
  'the limit is real: a function that outlives its task keeps its worker until it is given up',
  60,
  programs({ manager: { timeoutMs: 5, abandonAfterMs: 20, concurrencyPerKey: 1 }, weights: { resize: 3 } }),
  holds,
);

property(
  'every resource is destroyed exactly once, and nothing is left',
  75,
  programs({
    manager: {
      resource: { createMs: 3, failEvery: 4, hangEvery: 0, deafEvery: 9, destroyMs: 2, destroyThrows: true },
      maxUses: 3,
    },
    weights: { recycle: 3, resize: 3, runOnEach: 3 },
  }),
  holds,
);
