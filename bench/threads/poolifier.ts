/** The functions as poolifier's threads have them. They can't move what they return. */
import { ThreadWorker } from 'poolifier';
import { type Bytes, compute, echo, noop } from './functions.ts';

export default new ThreadWorker<unknown, unknown>({
  compute: (limit) => compute(limit as number),
  echo: (bytes) => echo(bytes as Bytes),
  move: (bytes) => bytes,
  noop,
});
