/** Digests and measures one file, piece by piece, through a buffer that the caller lends. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** What a worker owns: large enough that reading isn't all overhead, small enough for a hundred workers. */
export const BUFFER_BYTES = 256 * 1024;

const NEWLINE = 10;
/** As git does it: a file with a NUL byte near its beginning is no text. */
const LOOKED_AT_BYTES = 8_000;

export interface Measured {
  readonly bytes: number;
  /** Undefined: not text. */
  readonly lines: number | undefined;
  readonly digest: string;
  readonly ms: number;
}

export async function measureFile(
  path: string,
  buffer: Buffer,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Measured> {
  const began = performance.now();
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
      onBytes(bytesRead);
    }
  } finally {
    await file.close();
  }
  return { bytes, lines: isText ? lines : undefined, digest: hash.digest('hex'), ms: performance.now() - began };
}

function countLines(piece: Buffer): number {
  let lines = 0;
  for (let at = piece.indexOf(NEWLINE); at !== -1; at = piece.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}
