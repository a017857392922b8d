/** Tasks that submit tasks: children go with their parent, and never wait for a worker that waits for them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type TaskContext, TaskManager } from 'errand';

// One worker is enough for any depth: when every worker's task waits for children, the oldest child runs on its
// parent's worker.
await using manager = new TaskManager({ workerCount: 1, maxWorkerCount: 1 });

async function sumOf(ctx: TaskContext, from: number, to: number): Promise<number> {
  if (from === to) return from;
  const middle = Math.floor((from + to) / 2);
  const [left, right] = await Promise.all([
    ctx.queueTask((child) => sumOf(child, from, middle)),
    ctx.queueTask((child) => sumOf(child, middle + 1, to)),
  ]);
  return left + right;
}
console.log(await manager.queueTask((ctx) => sumOf(ctx, 1, 100)));

// Cancelling the parent cancels what it began.
const parent = manager.queueTaskAsync(async (ctx) => {
  await ctx.queueTask(async (child) => {
    child.defer(() => console.log(`the child ended, ${child.signal.aborted ? 'canceled' : 'undisturbed'}`));
    await sleep(60_000, undefined, { signal: child.signal });
  });
});
await sleep(10);
parent.cancel();
await manager.onIdle();
await manager.stop();
console.log(`the parent is ${parent.state}`);
