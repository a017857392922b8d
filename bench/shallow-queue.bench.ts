/** What does a task cost in a queue of ordinary depth, where the garbage collector has little to say? */
import { type Submit, submitAll } from './lib/batch.ts';
import { createManagers } from './lib/errand.ts';
import { floor, withAsync, withFastq, withPLimit, withPQueue } from './lib/peers.ts';
import { type Case, type Mode, ratio, type Suite } from './lib/suite.ts';

const DEPTH = 1_000;
const TIMES = 200;

export const suite: Suite = {
  name: 'shallow-queue',
  question: `a task of ${DEPTH.toLocaleString('en')} queued at once`,
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('a task / the floor', 'errand', 'floor'),
    ratio('a task / p-limit', 'errand', 'p-limit'),
    ratio('a task / fastq.promise', 'errand', 'fastq'),
    ratio('a task / async.queue', 'errand', 'async'),
    ratio('a task / p-queue', 'errand', 'p-queue'),
  ],
  async setUp({ size }) {
    const depth = size(DEPTH);
    const times = size(TIMES);
    const { managers, tearDown } = await createManagers();
    const batches = (name: string, submit: Submit, mode?: Mode): Case => ({
      name,
      tasks: depth * times,
      ...(mode && { mode }),
      run: () => again(submit, depth, times),
    });
    const cases = [
      ...managers.map(([mode, manager]) => batches('errand', (task) => manager.queueTask(task), mode)),
      batches('p-limit', withPLimit()),
      batches('fastq', withFastq()),
      batches('async', withAsync()),
      batches('p-queue', withPQueue()),
      batches('floor', floor),
    ];
    return { cases, tearDown };
  },
};

async function again(submit: Submit, depth: number, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await submitAll(submit, depth);
}
