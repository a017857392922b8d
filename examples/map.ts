/** Many items through few workers: pulled when there is a worker, as they are done or in their order. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TaskManager } from 'errand';

await using manager = new TaskManager({ workerCount: 3, maxWorkerCount: 3 });

/** Endless, and so never too much: an item is made when a worker can take it. */
function* numbers(): Generator<number> {
  for (let n = 1; ; n++) yield n;
}

async function square(n: number): Promise<number> {
  await sleep(n % 3);
  return n * n;
}

// In the order of the input.
const squares: number[] = [];
for await (const value of manager.map(numbers(), square, { ordered: true })) {
  if (squares.push(value) === 8) break;
}
console.log(squares.join(' '));

// As they come. The first failure cancels the rest, waits for what runs, and throws.
try {
  for await (const _ of manager.map([1, 2, 3, 4, 5], (n) => (n === 3 ? Promise.reject(new Error('no 3')) : square(n))));
} catch (error) {
  console.log((error as Error).message);
}
console.log(`${manager.stats().busyWorkers} still busy`);

// Every outcome, with its index.
const failed: number[] = [];
const settled = manager.map([1, 2, 3, 4, 5], (n) => (n % 2 ? square(n) : Promise.reject(new Error())), {
  settled: true,
});
for await (const outcome of settled) if (outcome.status === 'rejected') failed.push(outcome.index);
console.log(`failed: ${failed.sort().join(' ')}`);

// The same for functions: Go's one result channel for many.
let sum = 0;
for await (const outcome of manager.queueTasks([() => square(1), () => square(2), () => square(3)])) {
  if (outcome.status === 'fulfilled') sum += outcome.value;
}
console.log(`sum: ${sum}`);
