/** What does a task cost on an idle manager, each awaited before the next is submitted? */
import { noop, type Submit } from './lib/batch.ts';
import { createManagers } from './lib/errand.ts';
import { floor, withFastq, withPLimit, withPQueue } from './lib/peers.ts';
import { type Case, type Mode, ratio, type Suite } from './lib/suite.ts';

const TASKS = 100_000;

export const suite: Suite = {
  name: 'one-by-one',
  question: 'one task after the other, each awaited',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('a task / the floor', 'errand', 'floor'),
    ratio('a task / p-limit', 'errand', 'p-limit'),
    ratio('a task / fastq.promise', 'errand', 'fastq'),
    ratio('a task / p-queue', 'errand', 'p-queue'),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const { managers, tearDown } = await createManagers();
    const chain = (name: string, submit: Submit, mode?: Mode): Case => ({
      name,
      tasks,
      ...(mode && { mode }),
      run: () => oneByOne(submit, tasks),
    });
    const cases = [
      ...managers.map(([mode, manager]) => chain('errand', (task) => manager.queueTask(task), mode)),
      chain('p-limit', withPLimit()),
      chain('fastq', withFastq()),
      chain('p-queue', withPQueue()),
      chain('floor', floor),
    ];
    return { cases, tearDown };
  },
};

async function oneByOne(submit: Submit, tasks: number): Promise<void> {
  for (let i = 0; i < tasks; i++) await submit(noop, i);
}
