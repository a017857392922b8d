/** Keys: tenants take turns, however much one of them sends, and none has more than its share at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TaskManager } from 'errand';

{
  await using manager = new TaskManager({ workerCount: 1, maxWorkerCount: 1 });
  manager.pause();
  const order: string[] = [];
  for (let i = 1; i <= 5; i++) manager.go(() => void order.push(`big ${i}`), { key: 'big' });
  manager.go(() => void order.push('small 1'), { key: 'small' });
  manager.go(() => void order.push('small 2'), { key: 'small' });
  manager.resume();
  await manager.onIdle();
  console.log(order.join(', '));
}

{
  await using manager = new TaskManager({ workerCount: 4, maxWorkerCount: 4, concurrencyPerKey: 2 });
  let running = 0;
  let most = 0;
  const tasks = Array.from({ length: 10 }, () =>
    manager.queueTask(
      async () => {
        most = Math.max(most, ++running);
        await sleep(2);
        running--;
      },
      { key: 'big' },
    ),
  );
  await Promise.all(tasks);
  console.log(`4 workers, but never more than ${most} of one tenant's tasks at a time`);

  // What a tenant has in the works can be seen and canceled as one.
  manager.pause();
  for (let i = 0; i < 3; i++) manager.go(() => {}, { key: 'leaver' });
  console.log(`${manager.tasks({ key: 'leaver' }).length} tasks of the leaver`);
  console.log(`${manager.cancel({ key: 'leaver' }, 'has left')} canceled`);
}
