/** What do synchronous functions cost, and functions that are given a worker's resource, next to plain async ones? */
import { TaskManager } from '../src/index.ts';
import { batch } from './lib/batch.ts';
import { CONCURRENCY, createManagers, type Manager } from './lib/errand.ts';
import { type Case, type Mode, ratio, type Suite } from './lib/suite.ts';

const TASKS = 200_000;

interface Connection {
  queries: number;
}

export const suite: Suite = {
  name: 'functions',
  question: 'other functions and managers, against a plain async no-op',
  unit: 'ns',
  rounds: 5,
  warmup: 2,
  figures: [
    ratio('a synchronous function', 'synchronous', 'async'),
    ratio('a function that reads its context and its resource', 'resource', 'async'),
  ],
  async setUp({ size }) {
    const tasks = size(TASKS);
    const { managers, tearDown } = await createManagers();
    const pools: TaskManager<Connection>[] = [];
    const cases: Case[] = [];
    for (const [mode, manager] of managers) {
      const pool = await createPool(mode);
      pools.push(pool);
      cases.push(
        batch('async', tasks, (task) => manager.queueTask(task), mode),
        { name: 'synchronous', mode, tasks, run: () => queueSync(manager, tasks) },
        batch('resource', tasks, () => pool.queueTask(query), mode),
      );
    }
    return {
      cases,
      tearDown: async () => {
        for (const pool of pools) await pool.stop();
        await tearDown();
      },
    };
  },
};

async function createPool(mode: Mode): Promise<TaskManager<Connection>> {
  const pool = new TaskManager<Connection>({
    workerCount: CONCURRENCY,
    maxWorkerCount: CONCURRENCY,
    ...(mode === 'off' && { asyncContext: false }),
    onCreate: () => ({ queries: 0 }),
    onDestroy: () => {},
  });
  await pool.ready();
  return pool;
}

async function query(context: { readonly attempt: number }, connection: Connection): Promise<void> {
  connection.queries += context.attempt;
}

function nothing(): void {}

async function queueSync(manager: Manager, tasks: number): Promise<void> {
  const all = new Array<Promise<void>>(tasks);
  for (let i = 0; i < tasks; i++) all[i] = manager.queueTask(nothing);
  await Promise.all(all);
}
