/**
 * Tasks that know whether, and until when, their result is wanted: cancellation, a deadline over several tasks, values
 * that cross layers, and what must be done whatever happens.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { background, TaskManager, withTimeout, withValue } from 'errand';

// One worker: what a canceled function still has to do is done before the next one begins.
await using manager = new TaskManager({ workerCount: 1, maxWorkerCount: 1 });

// 1. The signal goes to whatever can be canceled; `defer` runs when the function has returned, however it did.
const handle = manager.queueTaskAsync(async (ctx) => {
  ctx.defer(() => console.log('temporary file removed'));
  console.log('downloading');
  await sleep(60_000, undefined, { signal: ctx.signal });
});
await sleep(5);
handle.cancel('the user has left');
const [outcome] = await Promise.allSettled([handle]);
if (outcome.status === 'rejected') console.log(`${outcome.reason.name}: ${outcome.reason.message}`);
await manager.onIdle();

// 2. A loop of one's own looks at `err` now and then, and gives the event loop a turn.
const counting = manager.queueTaskAsync(async (ctx) => {
  let rounds = 0;
  while (ctx.err === undefined) {
    rounds++;
    await sleep(1);
  }
  console.log(rounds > 0 ? 'stopped counting' : 'never began');
});
await sleep(10);
counting.cancel();
await manager.onIdle();

// 3. One deadline and some values for all that belongs to a request, given as a Context in the place of a signal.
const TRACE = Symbol('trace');
const [request, done] = withTimeout(withValue(background(), TRACE, 'request 7'), 50);
const steps = ['fetch', 'resize', 'upload'].map((step) =>
  manager.queueTask(
    async (ctx) => {
      console.log(`${ctx.value(TRACE)}: ${step}`);
      await sleep(step === 'upload' ? 60_000 : 1, undefined, { signal: ctx.signal });
    },
    { signal: request },
  ),
);
for (const { status } of await Promise.allSettled(steps)) console.log(status);
console.log(`the request ended with ${request.err?.name}`);
done();
