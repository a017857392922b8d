/** What examples/pixels.ts runs in threads. JavaScript with types in comments, since threads of Node 20 run nothing else. */
import { isCancelled, transfer } from 'errand/threads';

/**
 * Red, green, blue and opacity of each pixel, to its brightness alone. The result goes back without a copy.
 *
 * @param {Uint8Array} pixels
 */
export function toGray(pixels) {
  const gray = new Uint8Array(pixels.length / 4);
  for (let i = 0; i < gray.length; i++) {
    // A read of shared memory: cheap, but not for every pixel.
    if (i % 65_536 === 0 && isCancelled()) break;
    gray[i] = (299 * pixels[4 * i] + 587 * pixels[4 * i + 1] + 114 * pixels[4 * i + 2]) / 1_000;
  }
  return transfer(gray, [gray.buffer]);
}
