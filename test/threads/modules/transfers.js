// Values that are moved.
import { transfer } from 'errand/threads';

let kept;

export function keep(bytes) {
  kept = bytes;
  return bytes.byteLength;
}

export function give() {
  return transfer(kept, [kept.buffer]);
}

export async function giveLater() {
  await null;
  return transfer(kept, [kept.buffer]);
}

export function copy() {
  return kept;
}

export function left() {
  return kept.byteLength;
}

export function* chunks(count, size) {
  for (let i = 0; i < count; i++) {
    kept = new Uint8Array(size).fill(i);
    yield transfer(kept, [kept.buffer]);
  }
}

export function both(a, b) {
  return [a.byteLength, b.byteLength];
}

export function open(port) {
  port.on('message', (text) => {
    port.postMessage(text.toUpperCase());
    port.close();
  });
}

export function giveWrong() {
  return transfer(kept, ['not to be transferred']);
}

export function empty() {
  const bytes = new Uint8Array(8);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return transfer(bytes, [bytes.buffer]);
}
