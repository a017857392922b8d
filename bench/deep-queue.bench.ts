/** Does a queue that is a million deep still cost the same a task? Mostly a question to the garbage collector. */
import { batch } from './lib/batch.ts';
import { createManagers } from './lib/errand.ts';
import { floor } from './lib/peers.ts';
import { ratio, type Suite } from './lib/suite.ts';

const TASKS = 1_000_000;

export const suite: Suite = {
  name: 'deep-queue',
  question: 'a task of a million queued at once, against the floor with a million',
  unit: 'ns',
  rounds: 5,
  warmup: 1,
  figures: [ratio('a task of a million / the floor', 'errand', 'floor', [1.5, 1.25])],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const { managers, tearDown } = await createManagers();
    const cases = [
      ...managers.map(([mode, manager]) => batch('errand', tasks, (task) => manager.queueTask(task), mode)),
      batch('floor', tasks, floor),
    ];
    return { cases, tearDown };
  },
};
