/**
 * What does a function cost that a group runs, eight at once? All given to it at once, as p-limit's manual has it;
 * and one by one, each as soon as it can begin, so that no more than eight are ever alive.
 */
import pLimit from 'p-limit';
import { ErrGroup } from '../src/go/index.ts';
import { noop } from './lib/batch.ts';
import { CONCURRENCY } from './lib/errand.ts';
import { ratio, type Suite } from './lib/suite.ts';

const TASKS = 50_000;
const BEGUN = Promise.resolve();

export const suite: Suite = {
  name: 'group',
  question: `a function of ${TASKS.toLocaleString('en')} in a group with a limit of ${CONCURRENCY}`,
  unit: 'ns',
  rounds: 9,
  warmup: 3,
  figures: [
    ratio('await go / the floor', 'go', 'floor', [1.5]),
    ratio('goAll / p-limit', 'goAll', 'p-limit', [1]),
    ratio('await go / p-limit, which queues them all', 'go', 'p-limit'),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const cases = [
      { name: 'go', tasks, run: () => goOneByOne(tasks) },
      { name: 'goAll', tasks, run: () => goAll(tasks) },
      { name: 'p-limit', tasks, run: () => limitAll(tasks) },
      { name: 'floor', tasks, run: () => runInFloor(tasks) },
    ];
    return { cases };
  },
};

async function goOneByOne(tasks: number): Promise<void> {
  const group = new ErrGroup();
  group.setLimit(CONCURRENCY);
  for (let i = 0; i < tasks; i++) await group.go(noop);
  await group.wait();
}

async function goAll(tasks: number): Promise<void> {
  const group = new ErrGroup();
  group.setLimit(CONCURRENCY);
  await group.goAll(new Array<typeof noop>(tasks).fill(noop));
}

async function limitAll(tasks: number): Promise<void> {
  const limit = pLimit(CONCURRENCY);
  const all = new Array<Promise<void>>(tasks);
  for (let i = 0; i < tasks; i++) all[i] = limit(noop);
  await Promise.all(all);
}

/**
 * The least that lets a loop begin a function only when fewer than eight run: a count, one listener to the end of each
 * function, and a promise for the loop to await, each time, as it can't know that there is room. What the functions
 * give and what they throw is lost.
 */
async function runInFloor(tasks: number): Promise<void> {
  let running = 0;
  let proceed: (() => void) | undefined;
  const ended = (): void => {
    running--;
    proceed?.();
    proceed = undefined;
  };
  const wait = (): Promise<void> =>
    new Promise((resolve) => {
      proceed = resolve;
    });
  for (let i = 0; i < tasks; i++) {
    await (running === CONCURRENCY ? wait() : BEGUN);
    running++;
    noop().then(ended, ended);
  }
  while (running > 0) await wait();
}
