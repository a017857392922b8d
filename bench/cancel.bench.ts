/**
 * What does it cost to cancel a queued task, in random order, next to running one? Both from submission to the end
 * that the caller hears of; a canceled one needs a handle, and its promise rejects.
 */
import { batch, noop } from './lib/batch.ts';
import { createManagers, type Manager } from './lib/errand.ts';
import { ratio, type Suite } from './lib/suite.ts';

const TASKS = 200_000;

export const suite: Suite = {
  name: 'cancel',
  question: 'canceling a queued task in random order, against running one',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('canceling, awaited / running', 'canceled', 'run', [1, 1]),
    ratio('canceling, awaited / running by handle', 'canceled', 'run by handle'),
    ratio('canceling, nobody awaits / running', 'canceled unheard', 'run'),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const order = shuffled(tasks);
    const { managers, tearDown } = await createManagers();
    const cases = managers.flatMap(([mode, manager]) => [
      batch('run', tasks, (task) => manager.queueTask(task), mode),
      batch('run by handle', tasks, (task) => manager.queueTaskAsync(task).result, mode),
      { name: 'canceled', mode, tasks, run: () => cancelAll(manager, order) },
      { name: 'canceled unheard', mode, tasks, run: () => cancelUnheard(manager, order) },
    ]);
    return { cases, tearDown };
  },
};

/** Queues, awaits every task, cancels them all, and is done when all promises have rejected. */
async function cancelAll(manager: Manager, order: Uint32Array): Promise<void> {
  manager.pause();
  const handles = Array.from(order, () => manager.queueTaskAsync(noop));
  await new Promise<void>((resolve) => {
    let left = handles.length;
    const rejected = (): void => {
      left--;
      if (left === 0) resolve();
    };
    for (const handle of handles) handle.result.catch(rejected);
    for (const i of order) handles[i]!.cancel();
  });
  manager.resume();
}

async function cancelUnheard(manager: Manager, order: Uint32Array): Promise<void> {
  manager.pause();
  const handles = Array.from(order, () => manager.queueTaskAsync(noop));
  for (const i of order) handles[i]!.cancel();
  await manager.onIdle();
  manager.resume();
}

/** The numbers below `length` in an order that is the same in every process: Fisher and Yates, fed by a small LCG. */
function shuffled(length: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  let seed = 1;
  for (let i = length - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    const j = Math.floor((seed / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
