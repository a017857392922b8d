/** What does an item cost that goes through a bounded, lazy map, next to effect's forEach? */
import { Effect } from 'effect';
import { CONCURRENCY, createManagers, type Manager } from './lib/errand.ts';
import { ratio, type Suite } from './lib/suite.ts';

const ITEMS = 200_000;

export const suite: Suite = {
  name: 'map',
  question: `an item of ${ITEMS.toLocaleString('en')} mapped, concurrency 8`,
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ratio('map(iterable, fn) / effect forEach', 'map', 'effect', [0.8, 0.8]),
    ratio('the same, ordered', 'map, ordered', 'effect'),
  ],
  async setUp({ size }) {
    const tasks = size(ITEMS);
    const items = Array.from({ length: tasks }, (_, i) => i);
    const { managers, tearDown } = await createManagers();
    const cases = [
      ...managers.flatMap(([mode, manager]) => [
        { name: 'map', mode, tasks, run: () => mapAll(manager, items, false) },
        { name: 'map, ordered', mode, tasks, run: () => mapAll(manager, items, true) },
      ]),
      { name: 'effect', tasks, run: () => forEach(items) },
    ];
    return { cases, tearDown };
  },
};

async function double(item: number): Promise<number> {
  return item * 2;
}

async function mapAll(manager: Manager, items: readonly number[], ordered: boolean): Promise<void> {
  let sum = 0;
  for await (const value of manager.map(items, double, { ordered })) sum += value;
  check(sum, items);
}

async function forEach(items: readonly number[]): Promise<void> {
  const effect = Effect.forEach(items, (item) => Effect.promise(() => double(item)), { concurrency: CONCURRENCY });
  let sum = 0;
  for (const value of await Effect.runPromise(effect)) sum += value;
  check(sum, items);
}

/** Both did the work. */
function check(sum: number, items: readonly number[]): void {
  if (sum !== items.length * (items.length - 1)) throw new Error(`the sum is ${sum}`);
}
