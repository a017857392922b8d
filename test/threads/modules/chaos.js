// Functions that do well, and that don't; each says in shared memory that it has run.
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { currentContext, isCancelled } from 'errand/threads';

function ran(index) {
  Atomics.add(workerData, index, 1);
}

export function quick(index) {
  ran(index);
  return index;
}

export async function later(index, ms) {
  ran(index);
  await sleep(ms);
  return index;
}

export async function heedful(index) {
  ran(index);
  const { signal } = currentContext();
  await sleep(60_000, undefined, { signal });
}

export function busy(index) {
  ran(index);
  while (!isCancelled());
  return index;
}

/** Only its thread's end ends it. */
export function endless(index) {
  ran(index);
  for (;;);
}

export function fail(index) {
  ran(index);
  throw Object.assign(new RangeError('failed'), { index });
}

export async function failLater(index, ms) {
  ran(index);
  await sleep(ms);
  throw Object.assign(new RangeError('failed later'), { index });
}

export function unsendable(index) {
  ran(index);
  return () => {};
}

export function exit(index) {
  ran(index);
  process.exit(3);
}

export function crashSoon(index) {
  ran(index);
  setImmediate(() => {
    throw new Error('crashed');
  });
  return index;
}

export async function* stream(index, to) {
  ran(index);
  for (let i = 0; i < to; i++) {
    if (i % 7 === 0) await null;
    yield i;
  }
}
