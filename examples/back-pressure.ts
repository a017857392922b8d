/** What can be done when more comes in than goes out: refuse, come again later, wait for a place, drop the oldest. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Overflow, QueueFullError, TaskManager } from 'errand';

const ORDERS = Array.from({ length: 20 }, (_, i) => `order ${i + 1}`);

/** Two workers and five places: seven orders can be here at a time. */
function openShop(overflow: Overflow): TaskManager {
  return new TaskManager({ workerCount: 2, maxWorkerCount: 2, maxQueueSize: 5, overflow });
}

async function cook(order: string): Promise<string> {
  await sleep(5);
  return order;
}

// 1. Rejection, the default: who finds the queue full hears so at once, and can tell the client.
{
  await using shop = openShop('reject');
  const outcomes = await Promise.allSettled(ORDERS.map((order) => shop.queueTask(() => cook(order))));
  const refused = outcomes.filter((o) => o.status === 'rejected' && o.reason instanceof QueueFullError);
  console.log(`reject: ${ORDERS.length - refused.length} served, ${refused.length} refused`);
}

// 2. Rejection with retry: the same, and the client comes back, each time after a longer pause. The randomness keeps
//    those who were refused together from coming back together.
{
  await using shop = openShop('reject');
  let refusals = 0;
  const order = async (name: string): Promise<string> => {
    for (let pauseMs = 5; ; pauseMs = Math.min(2 * pauseMs, 100)) {
      try {
        return await shop.queueTask(() => cook(name));
      } catch (error) {
        if (!(error instanceof QueueFullError)) throw error;
        refusals++;
        await sleep(pauseMs * Math.random());
      }
    }
  };
  const served = await Promise.all(ORDERS.map(order));
  console.log(`retry: ${served.length} served${refusals >= 13 ? ', 13 or more refusals on the way' : ''}`);
}

// 3. Waiting: the producer goes at the pace of the workers. `admitted` is the place, awaiting the handle the result.
{
  await using shop = openShop('wait');
  let most = 0;
  const handles = [];
  for (const name of ORDERS) {
    const handle = shop.queueTaskAsync(() => cook(name));
    await handle.admitted;
    most = Math.max(most, shop.stats().queueUsage);
    handles.push(handle);
  }
  await Promise.all(handles);
  console.log(`wait: ${handles.length} served, never more than ${most} in the queue`);
}

// 4. Dropping: where only the newest matters, the oldest gives way. The dropped reject with QueueFullError too.
{
  await using shop = openShop('drop-oldest');
  const outcomes = await Promise.allSettled(ORDERS.map((order) => shop.queueTask(() => cook(order))));
  const served = outcomes.flatMap((o) => (o.status === 'fulfilled' ? [o.value] : []));
  console.log(`drop-oldest: ${served.length} served, the last ${served.at(-1)}`);
}
