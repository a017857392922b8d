/**
 * A module for `errand map`: digests and measures files. `npm start` runs it on this project; on others
 * `errand map measure.ts 'src/**'`, or `git ls-files | errand map measure.ts --from -`.
 *
 * What it shows: a buffer to read into that each worker owns, small files first, folders that take turns, and a signal
 * that ends a long file between two reads.
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

export interface Measured {
  readonly bytes: number;
  /** `null`: not text. */
  readonly lines: number | null;
  readonly sha256: string;
}

/** Called once for each worker: what it returns is the third argument below, and nobody else's meanwhile. */
export function onCreate(): Buffer {
  return Buffer.allocUnsafe(BUFFER_BYTES);
}

/** Small files first, by powers of two: a level for every size would be a level for every file. */
export function priority(path: string): number {
  return -Math.ceil(Math.log2(statSync(path).size + 1));
}

export function key(path: string): string {
  return dirname(path);
}

export default async function measure(
  path: string,
  { signal }: { readonly signal: AbortSignal },
  buffer: Buffer,
): Promise<Measured> {
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

function countLines(piece: Buffer): number {
  let lines = 0;
  for (let at = piece.indexOf(NEWLINE); at !== -1; at = piece.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}
