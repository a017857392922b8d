/** Promises 1 and 2 of DESIGN section 1. */
import { programs } from './support/arbitraries.ts';
import { property } from './support/check.ts';
import { holds } from './support/world.ts';

property('every task is settled exactly once, whatever is done to it', 150, programs(), holds);

property(
  'every task is settled exactly once, when many are canceled by handle, signal and filter',
  50,
  programs({ weights: { cancel: 4, abort: 4, cancelBy: 6, recycle: 2, stop: 3, kill: 3 } }),
  holds,
);

property(
  'the books balance at every instant, seen from tasks, listeners and collectors too',
  50,
  programs({ manager: { collectors: 'several' }, weights: { setPriority: 2, resize: 3, pause: 2 } }),
  holds,
);

property(
  'the books balance when a queue is short, and tasks are dropped, refused or wait',
  50,
  programs({ manager: { collectors: 'counting', maxQueueSize: 1 }, weights: { advance: 0.5 } }),
  holds,
);
