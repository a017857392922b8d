/** Limits on running and on waiting, and what becomes of a function that doesn't listen. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DeadlineExceededError, TaskManager } from 'errand';

await using manager = new TaskManager({ workerCount: 1, maxWorkerCount: 1, abandonAfterMs: 40 });
// What was abandoned, for one, is told here. Without a listener nothing happens.
manager.on('error', (error) => console.log((error as Error).message.replace(/task \w+/, 'task ...')));

// 1. A run: the promise rejects at once, and the signal fires for the function to end as well.
await manager
  .queueTaskWithTimeout(({ signal }) => sleep(60_000, undefined, { signal }), 10)
  .catch((error) => console.log(error instanceof DeadlineExceededError, error.message));

// 2. A wait: who can't begin in time needn't begin. The function never runs.
const busy = manager.queueTask(({ signal }) => sleep(30, undefined, { signal }));
await manager
  .queueTask(() => console.log('never'), { queueTimeoutMs: 10 })
  .catch((error) => console.log(error.message));
await busy;

// 3. A function that doesn't listen keeps its worker: the limit of one at a time stays true.
let returned = false;
const deaf = manager.queueTask(
  async () => {
    await sleep(20);
    returned = true;
  },
  { timeoutMs: 5 },
);
await deaf.catch(() => console.log(`timed out; ${manager.stats().stuckWorkers} worker is stuck`));
await manager.queueTask(() => console.log(`next; the function has ${returned ? '' : 'not '}returned`));

// 4. ...but not for ever: after `abandonAfterMs` the worker is replaced, and the stray function counted.
let release = (): void => {};
manager.go(
  () =>
    new Promise<void>((resolve) => {
      release = resolve;
    }),
  { timeoutMs: 5 },
);
await manager.queueTask(() => console.log(`next; ${manager.stats().abandonedTasks} function has been abandoned`));
release();
