/**
 * A large file, read and parsed in a thread: a generator there streams records back, in batches, at the reader's pace. The
 * event loop here has the results to do with, and not the parsing.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TaskManager } from 'errand';
import { threads } from 'errand/threads';

const CITIES = ['Athens', 'Bergen', 'Cairo', 'Dakar'];
const LINES = 20_000;

const folder = await mkdtemp(join(tmpdir(), 'errand-large-file-'));
const path = join(folder, 'readings.ndjson');
const file = createWriteStream(path);
for (let i = 0; i < LINES; i++) {
  const reading = { city: CITIES[i % 4], celsius: 10 * (i % 4) + (i % 7) };
  file.write(i % 1_000 === 999 ? 'torn off\n' : `${JSON.stringify(reading)}\n`);
}
await once(file.end(), 'finish');

const manager = new TaskManager({
  ...threads<typeof import('./threads/records.js')>(new URL('./threads/records.js', import.meta.url)),
  workerCount: 1,
  maxWorkerCount: 1,
});

const cities = new Map<string, { count: number; sum: number }>();
let wrong = 0;
for await (const batch of manager.queueTaskStream((_, thread) => thread.api.records(path, 500))) {
  wrong += batch.wrong;
  for (const { city, celsius } of batch.readings) {
    const { count, sum } = cities.get(city) ?? { count: 0, sum: 0 };
    cities.set(city, { count: count + 1, sum: sum + celsius });
  }
}
for (const [city, { count, sum }] of cities) console.log(`${city}: ${(sum / count).toFixed(1)} of ${count}`);
console.log(`${wrong} lines were wrong`);

// Leaving the loop ends the generator in the thread: the rest of the file isn't read.
for await (const { readings } of manager.queueTaskStream((_, thread) => thread.api.records(path, 1))) {
  console.log(`the first: ${readings[0]?.city}, ${readings[0]?.celsius}`);
  break;
}
const open = await manager.queueTask((_, thread) => thread.api.openFiles());
console.log(`${open} files are open in the thread`);

await manager.stop();
await rm(folder, { recursive: true });
