/** What does a deadline on every task add? A timer for each would add a third of the floor and more. */
import { batch } from './lib/batch.ts';
import { createManagers } from './lib/errand.ts';
import { floor } from './lib/peers.ts';
import { added, type Suite } from './lib/suite.ts';

const TASKS = 200_000;

export const suite: Suite = {
  name: 'timeouts',
  question: 'what timeoutMs adds to a plain task, in floors',
  unit: 'ns',
  // A difference of two costs is small beside both, so it takes more rounds to see it.
  rounds: 13,
  warmup: 3,
  figures: [added('timeoutMs adds / the floor', 'timeoutMs', 'plain', [0.2, 0.2])],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const { managers, tearDown } = await createManagers();
    const cases = [
      ...managers.flatMap(([mode, manager]) => [
        batch('plain', tasks, (task) => manager.queueTask(task), mode),
        batch('timeoutMs', tasks, (task) => manager.queueTask(task, { timeoutMs: 60_000 }), mode),
      ]),
      batch('floor', tasks, floor),
    ];
    return { cases, tearDown };
  },
};
