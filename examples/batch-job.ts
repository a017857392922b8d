/**
 * A batch job: an input too long for the memory, a few records at a time, failures gathered instead of thrown, a report
 * and an exit code. Ctrl-C ends it after the records that are being worked on.
 */
import { TaskManager } from 'errand';
import { connect } from './support/database.ts';

/** What could be the lines of a large file: each is made when it is asked for. */
async function* records(): AsyncGenerator<number> {
  for (let id = 1; id <= 200; id++) yield id;
}

const manager = new TaskManager({
  workerCount: 8,
  onCreate: ({ signal }) => connect({ signal }),
  onDestroy: (connection) => connection.close(),
  timeoutMs: 1_000,
  retry: { attempts: 3, baseMs: 5, jitter: 'full', retryIf: (error) => !(error instanceof TypeError) },
});
manager.stopOnSignals(['SIGINT', 'SIGTERM']);

let imported = 0;
const refused: string[] = [];
const importing = manager.map(
  records(),
  async (id, { signal }, connection) => {
    // A record that is wrong stays wrong: no use to try again.
    if (id % 50 === 0) throw new TypeError(`record ${id} has no name`);
    await connection.query(`insert ${id}`, { signal, ms: 1 });
    return id;
  },
  { settled: true },
);
for await (const outcome of importing) {
  if (outcome.status === 'fulfilled') imported++;
  else refused.push(String(outcome.reason.message));
}

await manager.stop();
console.log(`${imported} imported, ${refused.length} refused`);
for (const reason of refused.sort()) console.log(`- ${reason}`);
process.exitCode = refused.length > 0 ? 1 : 0;
