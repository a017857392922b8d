/** What do the other ways to submit cost, next to a plain promise? */
import { batch, noop } from './lib/batch.ts';
import { createManagers, type Manager } from './lib/errand.ts';
import { ratio, type Suite } from './lib/suite.ts';

const TASKS = 200_000;

export const suite: Suite = {
  name: 'submitting',
  question: 'other ways to submit, against queueTask',
  unit: 'ns',
  rounds: 5,
  warmup: 2,
  figures: [
    ratio('go', 'go', 'queueTask'),
    ratio('a handle, nobody awaits it', 'handle', 'queueTask'),
    ratio('a handle, its result awaited', 'handle.result', 'queueTask'),
    ratio('a callback', 'callback', 'queueTask'),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const { managers, tearDown } = await createManagers();
    const cases = managers.flatMap(([mode, manager]) => [
      batch('queueTask', tasks, (task) => manager.queueTask(task), mode),
      { name: 'go', mode, tasks, run: () => goAll(manager, tasks) },
      { name: 'handle', mode, tasks, run: () => handleAll(manager, tasks) },
      batch('handle.result', tasks, (task) => manager.queueTaskAsync(task).result, mode),
      { name: 'callback', mode, tasks, run: () => callbackAll(manager, tasks) },
    ]);
    return { cases, tearDown };
  },
};

async function goAll(manager: Manager, tasks: number): Promise<void> {
  for (let i = 0; i < tasks; i++) manager.go(noop);
  await manager.onIdle();
}

/** The handles are kept, as a caller would who may want to cancel. */
async function handleAll(manager: Manager, tasks: number): Promise<void> {
  const handles = new Array<unknown>(tasks);
  for (let i = 0; i < tasks; i++) handles[i] = manager.queueTaskAsync(noop);
  await manager.onIdle();
  handles.length = 0;
}

function callbackAll(manager: Manager, tasks: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = tasks;
    const callback = (error: unknown) => {
      if (error) reject(error);
      else if (--left === 0) resolve();
    };
    for (let i = 0; i < tasks; i++) manager.queueTaskWithCallback(noop, callback);
  });
}
