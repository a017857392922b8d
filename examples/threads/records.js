/** What examples/large-file.ts runs in a thread. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * @typedef {{ city: string, celsius: number }} Reading
 * @typedef {{ readings: Reading[], wrong: number }} Batch
 */

/** A module has its own variables in each thread. */
let open = 0;

/** How many files this thread has open. */
export function openFiles() {
  return open;
}

/**
 * The records of a file of JSON lines, many at a time: a message for each would cost more than its parsing.
 *
 * @param {string} path
 * @param {number} size
 * @returns {AsyncGenerator<Batch, void, undefined>}
 */
export async function* records(path, size) {
  const file = createReadStream(path);
  open++;
  /** @type {Batch} */
  let batch = { readings: [], wrong: 0 };
  try {
    for await (const line of createInterface({ input: file, crlfDelay: Number.POSITIVE_INFINITY })) {
      try {
        batch.readings.push(JSON.parse(line));
      } catch {
        batch.wrong++;
      }
      if (batch.readings.length === size) {
        yield batch; // waits here while the reader is busy
        batch = { readings: [], wrong: 0 };
      }
    }
    yield batch;
  } finally {
    // However it ends: at the end of the file, with an error, or because the reader has left.
    file.destroy();
    open--;
  }
}
