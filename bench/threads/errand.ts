/** The functions as errand's threads have them. */
import { transfer } from '../../src/threads/index.ts';
import type { Bytes } from './functions.ts';

export { compute, echo, noop } from './functions.ts';

/** What is moved on its way in and out. */
export function move(bytes: Bytes): Bytes {
  return transfer(bytes, [bytes.buffer]);
}
