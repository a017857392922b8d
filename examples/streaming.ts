/** A generator that runs on a worker, read elsewhere at the reader's pace. */
import { TaskManager } from 'errand';
import { connect } from './support/database.ts';

await using manager = new TaskManager({
  workerCount: 1,
  onCreate: ({ signal }) => connect({ signal }),
  onDestroy: (connection) => connection.close(),
});

let made = 0;
const pages = manager.queueTaskStream(
  async function* ({ signal }, connection) {
    try {
      for (let page = 1; ; page++) {
        made++;
        yield await connection.query(`page ${page}`, { signal, ms: 1 });
      }
    } finally {
      console.log('cursor closed');
    }
  },
  // No more than so many pages are made ahead of the reader.
  { highWaterMark: 2, timeoutMs: 1_000 },
);

let read = 0;
for await (const page of pages) {
  console.log(page);
  // Leaving the loop ends the generator and frees its worker, before the next line runs.
  if (++read === 3) break;
}
console.log(made - read <= 3 ? 'hardly any page was made in vain' : `${made} pages were made`);
console.log(`${manager.stats().busyWorkers} busy workers`);
