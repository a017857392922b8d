// @ts-check
/**
 * A module for `errand map`: digests and measures files. `npm start` runs it on this project; on others
 * `errand map measure.js 'src/**' --threads`, or `git ls-files | errand map measure.js --from - --threads`.
 *
 * What it shows: a buffer to read into that each worker owns, small files first, folders that take turns, and a signal
 * that ends a long file between two reads. It is JavaScript, as threads of Node 20 run nothing else.
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Large enough that reading isn't all overhead, small enough for a hundred workers. */
const BUFFER_BYTES = 256 * 1024;
const NEWLINE = 10;
/** As git does it: a file with a NUL byte near its beginning is no text. */
const LOOKED_AT_BYTES = 8_000;

/**
 * @typedef {object} Measured
 * @property {number} bytes
 * @property {number | null} lines `null`: not text.
 * @property {string} sha256
 */

/**
 * Called once for each worker, in its thread: what it returns is the third argument below, and nobody else's meanwhile.
 *
 * @returns {Buffer}
 */
export function onCreate() {
  return Buffer.allocUnsafe(BUFFER_BYTES);
}

/**
 * Small files first, by powers of two: a level for every size would be a level for every file.
 *
 * @param {string} path
 * @returns {number}
 */
export function priority(path) {
  return -Math.ceil(Math.log2(statSync(path).size + 1));
}

/**
 * @param {string} path
 * @returns {string}
 */
export function key(path) {
  return dirname(path);
}

/**
 * @param {string} path
 * @param {{ readonly signal: AbortSignal }} context
 * @param {Buffer} buffer
 * @returns {Promise<Measured>}
 */
export default async function measure(path, { signal }, buffer) {
  const hash = createHash('sha256');
  let bytes = 0;
  let lines = 0;
  let isText = true;
  const file = await open(path);
  try {
    for (;;) {
      // A read of a local file can't be called back, but between two reads there is a chance to stop.
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      const piece = buffer.subarray(0, bytesRead);
      if (bytes === 0) isText = !piece.subarray(0, LOOKED_AT_BYTES).includes(0);
      if (isText) lines += countLines(piece);
      hash.update(piece);
      bytes += bytesRead;
    }
  } finally {
    await file.close();
  }
  return { bytes, lines: isText ? lines : null, sha256: hash.digest('hex') };
}

/**
 * @param {Buffer} piece
 * @returns {number}
 */
function countLines(piece) {
  let lines = 0;
  for (let at = piece.indexOf(NEWLINE); at !== -1; at = piece.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}
