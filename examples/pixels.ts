/**
 * Work on pixels in threads: an image goes over in strips, and comes back in strips, without being copied. Two cores
 * take half of the time of one, and the event loop lives meanwhile.
 */
import { TaskManager } from 'errand';
import { threads, transfer } from 'errand/threads';

const WIDTH = 640;
const HEIGHT = 480;
const STRIPS = 8;

await using manager = new TaskManager({
  ...threads<typeof import('./threads/pixels.js')>(new URL('./threads/pixels.js', import.meta.url)),
  workerCount: 2,
  maxWorkerCount: 2,
});

/** A red ball in a blue light: some rows of it, four bytes a pixel. */
function paint(from: number, to: number): Uint8Array<ArrayBuffer> {
  const pixels = new Uint8Array(4 * WIDTH * (to - from));
  for (let y = from; y < to; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const [right, down] = [(2 * x) / WIDTH - 1, (2 * y) / HEIGHT - 1];
      const height = 1 - right * right - down * down;
      const light = height < 0 ? 0 : Math.max(0.1, (2 * Math.sqrt(height) - right - down) / Math.sqrt(6));
      pixels.set([255 * light, 180 * light, 40 + 100 * light, 255], 4 * (WIDTH * (y - from) + x));
    }
  }
  return pixels;
}

const rows = HEIGHT / STRIPS;
const strips = Array.from({ length: STRIPS }, (_, i) => paint(i * rows, (i + 1) * rows));
console.log(`${STRIPS} strips of ${strips[0]!.length} bytes`);

const image = new Uint8Array(WIDTH * HEIGHT);
let at = 0;
const done = manager.map(strips, (strip, _, thread) => thread.api.toGray(transfer(strip, [strip.buffer])), {
  ordered: true,
});
for await (const gray of done) {
  image.set(gray, at);
  at += gray.length;
}

// What was transferred is gone here.
console.log(`${strips[0]!.length} bytes of the first are left, ${image.length} came back`);
const SHADES = ' .:-=+*#%@';
for (let y = 30; y < HEIGHT; y += 60) {
  const line = Array.from({ length: 32 }, (_, i) => SHADES[Math.floor(image[WIDTH * y + 20 * i + 10]! / 26)]);
  console.log(line.join('').trimEnd());
}
