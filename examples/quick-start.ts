/** The shortest useful program: workers with a connection each, some tasks, a clean end. */
import { TaskManager } from 'errand';
import { connect } from './support/database.ts';

const manager = new TaskManager({
  workerCount: 4,
  onCreate: ({ signal }) => connect({ signal }),
  onDestroy: (connection) => connection.close(),
});

const ids = [1, 2, 3, 4, 5, 6, 7, 8];
const users = await Promise.all(
  ids.map((id) =>
    manager.queueTask(({ signal }, connection) => connection.query(`user ${id}`, { signal }), { timeoutMs: 2_000 }),
  ),
);
console.log(users.join(', '));

const { completed, failed } = await manager.stop();
console.log(`after the stop: ${completed} completed, ${failed} failed`);
