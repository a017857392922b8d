/** The functions as tinypool's threads have them. */
import Tinypool from 'tinypool';
import type { Bytes } from './functions.ts';

export { compute, echo, noop } from './functions.ts';

export function move(bytes: Bytes): unknown {
  return Tinypool.move(bytes);
}
