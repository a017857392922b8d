/** What does it cost to define a task once and to keep its calls, next to running a bare function on the same workers? */
import { Dispatcher, defineTask, memoryEngine, type Task } from '../src/tasks/index.ts';
import { batch, noop } from './lib/batch.ts';
import { CONCURRENCY, createManager } from './lib/errand.ts';
import { type Case, ratio, type Suite } from './lib/suite.ts';

const CALLS = 50_000;
const MANY = 1_000_000;
/** How many are on their way at once where few wait. */
const FEW = 10;

const plain = defineTask({ name: 'plain', run: noop });
/** Limits that hold nothing back, so that the cost is that of asking. */
const limited = defineTask({
  name: 'limited',
  rateLimit: { limit: 100_000_000 },
  concurrency: { limit: 1_000, key: (n) => `tenant-${n % 100}` },
  run: async (_, _n: number) => {},
});
const validated = defineTask({
  name: 'validated',
  onDuplicate: 'serial',
  key: (n) => String(n),
  retry: { attempts: 3 },
  timeoutMs: 60_000,
  run: async (_, _n: number) => {},
});

export const suite: Suite = {
  name: 'tasks',
  question: 'a call of a registered task, submitted, fetched, run and acknowledged in memory',
  unit: 'ns',
  rounds: 5,
  warmup: 2,
  figures: [
    ratio('a call / a bare queueTask', 'call', 'queueTask', [6]),
    ratio('with 10 waiting at a time / a bare queueTask', 'few', 'queueTask', [6]),
    ratio('with a million waiting / with 10', 'million', 'few', [1.5]),
    ratio('with limits by rate and by key / without', 'limited', 'call'),
    ratio('with a key, retries and a timeout / without', 'rules', 'call'),
    ratio('submitted in one step / one by one', 'submitMany', 'call'),
  ],
  async setUp({ size, smoke }) {
    const calls = size(CALLS);
    const many = smoke ? size(MANY) : MANY;
    const manager = await createManager('kept');
    const dispatcher = new Dispatcher({
      tasks: [plain, limited, validated],
      engine: memoryEngine(),
      concurrency: CONCURRENCY,
    });
    await dispatcher.start();
    const cases: Case[] = [
      batch('queueTask', calls, (task) => manager.queueTask(task)),
      { name: 'call', tasks: calls, run: () => callAll(dispatcher, plain, calls) },
      { name: 'few', tasks: calls, run: () => callFew(dispatcher, calls) },
      { name: 'million', tasks: many, run: () => callMany(dispatcher, many) },
      { name: 'limited', tasks: calls, run: () => callAll(dispatcher, limited, calls) },
      { name: 'rules', tasks: calls, run: () => callAll(dispatcher, validated, calls) },
      { name: 'submitMany', tasks: calls, run: () => callMany(dispatcher, calls) },
    ];
    return {
      cases,
      async tearDown() {
        await dispatcher.stop();
        await manager.stop();
      },
    };
  },
};

/** All at once, each by itself. */
async function callAll<I>(dispatcher: Dispatcher, task: Task<I, void>, calls: number): Promise<void> {
  const all = new Array<Promise<void>>(calls);
  for (let i = 0; i < calls; i++) all[i] = dispatcher.call(task, i as I);
  await Promise.all(all);
  await dispatcher.calls.remove({ state: 'completed' });
}

async function callFew(dispatcher: Dispatcher, calls: number): Promise<void> {
  for (let i = 0; i < calls; i += FEW) {
    const all = new Array<Promise<void>>(FEW);
    for (let j = 0; j < FEW; j++) all[j] = dispatcher.call(plain, undefined);
    await Promise.all(all);
  }
  await dispatcher.calls.remove({ state: 'completed' });
}

async function callMany(dispatcher: Dispatcher, calls: number): Promise<void> {
  const submitted = await dispatcher.submitMany(plain, new Array<undefined>(calls).fill(undefined));
  await submitted.at(-1)!.result;
  await dispatcher.calls.remove({ state: 'completed' });
}
