/** Values that are moved to the other side instead of copied. */
import type { Transferable } from 'node:worker_threads';
import { show } from '../go/checks.ts';

/** Known on this side by the value itself, so that it keeps its type, and the other side gets no wrapper. */
const lists = new WeakMap<object, readonly Transferable[]>();

/**
 * Marks a value to be moved into, or out of, a thread: the buffers and ports in `list` go over without a copy, and are
 * empty here from then on. For an argument as it stands in the call, for what a function returns, and for what a
 * generator yields. Returns `value` itself. After the web's `postMessage(value, transfer)`.
 *
 * @example
 * const pixels = new Uint8Array(1_000_000);
 * await thread.api.blur(transfer(pixels, [pixels.buffer]), 3);
 * // and in the thread:
 * export function blur(pixels: Uint8Array, radius: number) {
 *   return transfer(pixels, [pixels.buffer]);
 * }
 * @throws TypeError when `value` isn't an object, or `list` isn't an array
 */
export function transfer<T extends object>(value: T, list: readonly Transferable[]): T {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
    throw new TypeError(`transfer takes an object that holds what is in the list, but got ${show(value)}`);
  }
  if (!Array.isArray(list)) throw new TypeError(`the list of what to transfer must be an array, but is ${show(list)}`);
  lists.set(value, list);
  return value;
}

/** Internal: what is to be transferred with a value, once. @throws TypeError when a buffer has been transferred before */
export function takeTransferList(value: unknown): readonly Transferable[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const list = lists.get(value);
  if (list === undefined) return undefined;
  lists.delete(value);
  for (const item of list) {
    // Node 20 would send it, and the other side couldn't read the message. A view on such a buffer can't be made.
    if (item instanceof ArrayBuffer && item.byteLength === 0) new Uint8Array(item);
  }
  return list;
}
