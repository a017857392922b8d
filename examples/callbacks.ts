/** Results by callback, error first as in Node: for code that has no use for promises. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TaskManager } from 'errand';

await using manager = new TaskManager({ workerCount: 2 });

manager.queueTaskWithCallback(
  async () => {
    await sleep(5);
    return 6 * 7;
  },
  (error, value) => console.log(error === null ? `the answer is ${value}` : `failed: ${error}`),
);

// Refusals come the same way as failures: there is one place to look.
manager.queueTaskWithPriorityWithCallback(
  async ({ signal }) => sleep(60_000, undefined, { signal }),
  (error) => console.log(`failed: ${(error as Error).message}`),
  { timeoutMs: 20 },
);

// A callback is called in a turn of the event loop of its own, when the worker is free again. What it throws reaches
// the `error` event, and disturbs no worker.
manager.on('error', (error) => console.log(`a callback threw: ${(error as Error).message}`));
manager.queueTaskWithCallback(
  () => 'done',
  () => {
    throw new Error('my mistake');
  },
);

await manager.onIdle();
