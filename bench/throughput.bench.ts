/**
 * What does a task cost that is queued with 199,999 others, next to the libraries that bound concurrency, and to the
 * floor: one promise more for each task, and no queue at all?
 */
import { batch } from './lib/batch.ts';
import { createManagers } from './lib/errand.ts';
import { floor, withAsync, withFastq, withPLimit, withPQueue } from './lib/peers.ts';
import { ratio, type Suite } from './lib/suite.ts';

const TASKS = 200_000;

export const suite: Suite = {
  name: 'throughput',
  question: `a task of ${TASKS.toLocaleString('en')} queued at once, concurrency 8`,
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('a task / p-limit', 'errand', 'p-limit', [0.75, 0.6]),
    ratio('a task / fastq.promise', 'errand', 'fastq', [0.8, 0.62]),
    ratio('a task / async.queue', 'errand', 'async', [1.2, 0.95]),
    ratio('a task / p-queue', 'errand', 'p-queue', [0.45, 0.35]),
    ratio('a task / the floor', 'errand', 'floor', [1.7, 1.45]),
    // What promise 9 costs: on Node 24, V8 takes the turns of the event loop for a full collection in mid-drain.
    ratio('never yielding / the floor', 'errand, never yielding', 'floor'),
    ...['p-limit', 'fastq', 'async', 'p-queue'].map((name) => ratio(`${name} / the floor`, name, 'floor')),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const { managers, tearDown } = await createManagers();
    const never = { tasks: Number.POSITIVE_INFINITY, ms: Number.POSITIVE_INFINITY };
    const unyielding = await createManagers({ yieldAfter: never });
    const cases = [
      ...managers.map(([mode, manager]) => batch('errand', tasks, (task) => manager.queueTask(task), mode)),
      ...unyielding.managers.map(([mode, manager]) =>
        batch('errand, never yielding', tasks, (task) => manager.queueTask(task), mode),
      ),
      batch('p-limit', tasks, withPLimit()),
      batch('fastq', tasks, withFastq()),
      batch('async', tasks, withAsync()),
      batch('p-queue', tasks, withPQueue()),
      batch('floor', tasks, floor),
    ];
    const tearDownAll = async (): Promise<void> => {
      await tearDown();
      await unyielding.tearDown();
    };
    return { cases, tearDown: tearDownAll };
  },
};
