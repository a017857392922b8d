/**
 * What do many priorities cost, submitted in turn and run level by level? Part of it is no queue's doing: promises
 * that settle in another order than they were made are dearer by themselves, being scattered over the memory.
 */
import PQueue from 'p-queue';
import { batch, type Submit } from './lib/batch.ts';
import { CONCURRENCY, createManagers } from './lib/errand.ts';
import { ratio, type Suite } from './lib/suite.ts';

const TASKS = 200_000;
const PRIORITIES = 1_000;
/** For p-queue, which inserts into a sorted array: a batch of 200,000 would take ten seconds. */
const FEWER = 50_000;

export const suite: Suite = {
  name: 'priorities',
  question: `${PRIORITIES.toLocaleString('en')} interleaved priorities, ${TASKS.toLocaleString('en')} queued`,
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('1,000 priorities / one', 'priorities', 'one priority', [2.1, 2.1]),
    ratio('the same in p-queue, 50,000 queued', 'p-queue priorities', 'p-queue one'),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const fewer = size(FEWER);
    const { managers, tearDown } = await createManagers();
    const errand = (name: string, priority: (i: number) => number) =>
      managers.map(([mode, manager]) =>
        batch(name, tasks, (task, i) => manager.queueTask(task, { priority: priority(i) }), mode),
      );
    const queue = new PQueue({ concurrency: CONCURRENCY });
    const inPQueue =
      (priority: (i: number) => number): Submit =>
      (task, i) =>
        queue.add(task, { priority: priority(i) });
    const cases = [
      ...errand('one priority', same),
      ...errand('priorities', inTurn),
      batch('p-queue one', fewer, inPQueue(same)),
      batch('p-queue priorities', fewer, inPQueue(inTurn)),
    ];
    return { cases, tearDown };
  },
};

function same(): number {
  return 1;
}

function inTurn(i: number): number {
  return i % PRIORITIES;
}
