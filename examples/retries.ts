/** What happens after a failure: again after a pause, or not. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type RetryPolicy, TaskManager } from 'errand';

await using manager = new TaskManager({ workerCount: 2 });

class NotFoundError extends Error {}

/** Pauses of 2, 4, 8 ms, each shortened at random, so that what failed together doesn't come back together. */
const policy: RetryPolicy = {
  attempts: 4,
  backoff: 'exponential',
  baseMs: 2,
  maxMs: 1_000,
  jitter: 'full',
  retryIf: (error) => !(error instanceof NotFoundError),
};

const answer = await manager.queueTask(
  async ({ attempt }) => {
    if (attempt < 3) throw new Error('try later');
    return `done at attempt ${attempt}`;
  },
  { retry: policy },
);
console.log(answer);

let attempts = 0;
await manager
  .queueTask(
    () => {
      attempts++;
      throw new NotFoundError('no such page');
    },
    { retry: policy },
  )
  .catch((error) => console.log(`${error.message}, after ${attempts} attempt`));

// A timeout is final: what was too slow once has had its time.
attempts = 0;
await manager
  .queueTask(
    async ({ signal }) => {
      attempts++;
      await sleep(60_000, undefined, { signal });
    },
    { retry: policy, timeoutMs: 10 },
  )
  .catch((error) => console.log(`${error.name}, after ${attempts} attempt`));

console.log(`${manager.metrics().totalTasksRetried} retries`);
