/** Workers that own a connection each: made by them, checked after a failure, replaced when lost, closed at the end. */
import { TaskManager } from 'errand';
import { ConnectionLostError, connect, connections } from './support/database.ts';

const manager = new TaskManager({
  workerCount: 2,
  maxWorkerCount: 2,
  onCreate: ({ signal }) => connect({ signal }),
  onDestroy: (connection) => connection.close(),
  // false: the connection is bad. The task then runs again, on another one.
  checkHealth: (error) => !(error instanceof ConnectionLostError),
});
manager.on('workerReplaced', ({ reason }) => console.log(`a connection was replaced: ${reason}`));

await manager.ready();
console.log(`${connections.open} connections`);

// The connection breaks in the middle of a task: its promise never hears of it.
let broken = false;
const rows = await manager.queueTask(async ({ signal, attempt }, connection) => {
  if (!broken) {
    broken = true;
    connection.lose();
  }
  return `${await connection.query('orders', { signal })} at attempt ${attempt}`;
});
console.log(rows);

// What must not be run twice says so, and gets the error.
await manager
  .queueTaskOnce((_, connection) => {
    connection.lose();
    return connection.query('charge the card');
  })
  .catch((error) => console.log(`once: ${error.name === 'Error' ? error.constructor.name : error.name}`));

// A task may find its connection worn out, though nothing has failed.
await manager.queueTask((ctx) => ctx.retireResource());

// On every worker: to warm up, to broadcast.
const warmed = await manager.runOnEach((_, connection) => connection.query('select 1'));
console.log(`${warmed.length} warmed up`);

// Past the queue, on a connection of another pool: a health check should not wait behind the work.
console.log(await manager.runTask((_, connection) => connection.query('health')));

await manager.stop();
console.log(`${connections.open} connections`);
