// The plain ways to be called.
import { threadId } from 'node:worker_threads';

export function add(a, b) {
  return a + b;
}

export async function addLater(a, b) {
  await new Promise((resolve) => setImmediate(resolve));
  return a + b;
}

export const double = (n) => 2 * n;

export function echo(...args) {
  return args;
}

export function where() {
  return threadId;
}

export function thenable() {
  return { then: (resolve) => resolve('adopted') };
}

export function nothing() {}

export function* count(to) {
  for (let i = 1; i <= to; i++) yield i;
  return 'counted';
}

export async function* countLater(to) {
  for (let i = 1; i <= to; i++) {
    await null;
    yield i;
  }
  return 'counted later';
}

export const answer = 42;

export default function unnamed() {
  return 'default';
}
