/** Who goes first: by priority, then in order; moved while waiting; and nobody waits for ever. */
import { TaskManager } from 'errand';

/** One worker, and a pause while the tasks come in, so that the order is only theirs. */
const options = { workerCount: 1, maxWorkerCount: 1 };

{
  await using manager = new TaskManager(options);
  manager.pause();
  const order: string[] = [];
  const run = (name: string) => () => void order.push(name);
  manager.go(run('a newsletter'), { priority: -5 });
  manager.go(run('an order'));
  manager.go(run('another order'));
  void manager.queueTaskWithPriority(run('a payment'));
  const report = manager.queueTaskAsync(run('a report'), { priority: -1 });
  report.setPriority(10);
  manager.resume();
  await manager.onIdle();
  console.log(order.join(', '));
}

// With ageing, a task that waits rises by one priority per `agingMs`: the newsletter, five below, is before all orders
// that come more than 5 x 2 ms after it.
{
  await using manager = new TaskManager({ ...options, agingMs: 2 });
  manager.pause();
  const order: string[] = [];
  manager.go(() => void order.push('the newsletter'), { priority: -5 });
  manager.go(() => void order.push('an order at once'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  manager.go(() => void order.push('an order much later'));
  manager.resume();
  await manager.onIdle();
  console.log(order.join(', '));
}
