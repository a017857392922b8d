/** The end: what is told to the tasks, how long they have, and what becomes of each. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ShutdownError, TaskManager } from 'errand';

const manager = new TaskManager({ workerCount: 3, maxWorkerCount: 3 });

const short = manager.queueTask(async () => {
  await sleep(20);
  return 'took its time';
});

// `stopping` fires with the stop, the signal only when the grace is over: a long task can save what it has.
const careful = manager.queueTask(async ({ stopping }) => {
  let done = 0;
  while (!stopping.aborted) {
    done++;
    await sleep(1);
  }
  return done > 0 ? 'saved its work' : 'did nothing';
});

const endless = manager.queueTask(({ signal }) => sleep(60_000, 'never', { signal }));
const queued = manager.queueTask(() => 'was still in the queue');
const outcomes = Promise.allSettled([short, careful, endless, queued]);

await sleep(5);
const stopped = manager.stop({ graceMs: 50, timeoutMs: 1_000 });
await manager.queueTask(() => 'too late').catch((error) => console.log(`a late task: ${error.message}`));

for (const outcome of await outcomes) {
  if (outcome.status === 'fulfilled') console.log(outcome.value);
  else console.log(outcome.reason instanceof ShutdownError ? 'canceled by the stop' : outcome.reason);
}
console.log(await stopped);
