/** The manager under test, as an application would make it, with the limit that all contenders share. */
import { TaskManager, type TaskManagerOptions } from '../../src/index.ts';
import { MODES, type Mode } from './suite.ts';

/** How many tasks run at once, in errand and in its peers. */
export const CONCURRENCY = 8;

export type Manager = TaskManager<undefined>;

/** A manager that is ready: eight workers, no bursts, everything else as it comes. */
export async function createManager(mode: Mode, options: TaskManagerOptions<undefined> = {}): Promise<Manager> {
  const manager = new TaskManager({
    workerCount: CONCURRENCY,
    maxWorkerCount: CONCURRENCY,
    ...(mode === 'off' && { asyncContext: false }),
    ...options,
  });
  await manager.ready();
  return manager;
}

/** A manager of each mode with more options, and how to end them. */
export async function createManagers(
  options: TaskManagerOptions<undefined> = {},
): Promise<{ managers: [Mode, Manager][]; tearDown: () => Promise<void> }> {
  const managers: [Mode, Manager][] = [];
  for (const mode of MODES) managers.push([mode, await createManager(mode, options)]);
  return {
    managers,
    tearDown: async () => {
      for (const [, manager] of managers) await manager.stop();
    },
  };
}
