/** The functions as piscina's threads have them. */
import { move as moved } from 'piscina';
import type { Bytes } from './functions.ts';

export { compute, echo, noop } from './functions.ts';

export function move(bytes: Bytes): unknown {
  return moved(bytes);
}
