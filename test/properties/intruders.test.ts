/** Promise 6 of DESIGN section 1: what users hand in may throw, and may call back. */
import { programs } from './support/arbitraries.ts';
import { property } from './support/check.ts';
import { holds } from './support/world.ts';

property(
  'whatever throws in a callback, hook, logger or collector, no rejection is unhandled and no worker is lost',
  60,
  programs({ manager: { hooks: 'throwing', collectors: 'counting' } }),
  holds,
);

property(
  'listeners and hooks may do anything to the manager that calls them',
  100,
  programs({ reactive: true }),
  holds,
);
