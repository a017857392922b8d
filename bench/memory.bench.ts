/**
 * How many bytes does a queued task hold, its promise included? Measured on the heap, after a collection, with all
 * slots taken by tasks that wait; the array that holds the promises is made before and so isn't counted, nor is the
 * function, which all share.
 */
import { noop, type Submit } from './lib/batch.ts';
import { CONCURRENCY, createManager, type Manager } from './lib/errand.ts';
import { settle } from './lib/measure.ts';
import { withAsync, withFastq, withPLimit, withPQueue } from './lib/peers.ts';
import { type Budget, type Case, type Figure, MODES, type Mode, type Suite } from './lib/suite.ts';

const TASKS = 200_000;

/** Submits a task; what it returns, if anything, is kept as a caller would keep it. */
type Keep = (task: () => Promise<void>, index: number) => unknown;

export const suite: Suite = {
  name: 'memory',
  question: 'bytes a queued task',
  unit: 'bytes',
  rounds: 3,
  warmup: 1,
  figures: [
    bytes('a plain queued task, its promise included', 'errand', [400, 280]),
    bytes('the same with timeoutMs', 'timeoutMs'),
    bytes('a handle, nobody awaits it', 'handle'),
    bytes('go', 'go'),
    ...['p-limit', 'fastq', 'async', 'p-queue'].map((name) => bytes(name, name)),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const errand = (name: string, submit: (manager: Manager) => Keep): Case[] =>
      MODES.map((mode) => ({ name, mode, tasks, run: () => inManager(mode, submit, tasks) }));
    const peer = (name: string, make: () => Submit): Case => ({ name, tasks, run: () => bytesOf(make(), tasks) });
    const cases = [
      ...errand('errand', (manager) => (task) => manager.queueTask(task)),
      ...errand('timeoutMs', (manager) => (task) => manager.queueTask(task, { timeoutMs: 60_000 })),
      ...errand('handle', (manager) => (task) => manager.queueTaskAsync(task)),
      ...errand('go', (manager) => (task) => manager.go(task)),
      peer('p-limit', withPLimit),
      peer('fastq', withFastq),
      peer('async', withAsync),
      peer('p-queue', withPQueue),
    ];
    return { cases };
  },
};

function bytes(question: string, name: string, budget?: Budget): Figure {
  return { question, value: (cost) => cost(name), ...(budget && { budget }) };
}

async function inManager(mode: Mode, submit: (manager: Manager) => Keep, tasks: number): Promise<number> {
  const manager = await createManager(mode);
  const found = await bytesOf(submit(manager), tasks);
  await manager.stop();
  return found;
}

async function bytesOf(submit: Keep, tasks: number): Promise<number> {
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const blockers = Array.from({ length: CONCURRENCY }, (_, i) => submit(() => gate, i));
  const all = new Array<unknown>(tasks);
  await settle();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < tasks; i++) all[i] = submit(noop, i);
  await settle();
  const after = process.memoryUsage().heapUsed;
  open();
  await Promise.all([...blockers, ...all]);
  return after - before;
}
