/** The functions as workerpool's threads have them. */
import workerpool from 'workerpool';
import { type Bytes, compute, echo, noop } from './functions.ts';

function move(bytes: Bytes): unknown {
  return new workerpool.Transfer(bytes, [bytes.buffer]);
}

workerpool.worker({ compute, echo, move, noop });
