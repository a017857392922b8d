// Ways for a thread to die.
import { workerData } from 'node:worker_threads';

export const BEGUN = 0;
export const LET_GO = 2;

/** How many threads have loaded this. */
const LOADED = 4;
Atomics.add(workerData, LOADED, 1);

function say() {
  Atomics.add(workerData, BEGUN, 1);
  Atomics.notify(workerData, BEGUN);
}

export function alive() {
  return 'alive';
}

export async function throwFromTimer() {
  say();
  setTimeout(() => {
    throw Object.assign(new RangeError('from a timer'), { code: 'E_TIMER', cause: new Error('the root') });
  });
  await new Promise(() => {});
}

export async function rejectUnheard() {
  say();
  Promise.reject(new RangeError('unheard'));
  await new Promise(() => {});
}

export async function rejectWithText() {
  Promise.reject('just a text');
  await new Promise(() => {});
}

export function exit(code) {
  say();
  process.exit(code);
}

export async function exitLater(code) {
  say();
  setImmediate(() => process.exit(code));
  await new Promise(() => {});
}

export function* exitUnderWay(after, code) {
  for (let i = 1; i <= after; i++) yield i;
  process.exit(code);
}

export function fillMemory() {
  say();
  const all = [];
  // Of arrays alone, V8 13.6 (Node 24) would make a loop that nothing stops.
  for (;;) all.push({ n: all.length });
}

export function overflow() {
  return overflow() + 1;
}

/** When no call is alive any more. */
export function dieSoon() {
  say();
  setImmediate(() => {
    throw new Error('died alone');
  });
}

/** Answers, and dies in the same turn. */
export function answerAndDie() {
  queueMicrotask(() => process.exit(7));
  return 'last words';
}

/** Holds the thread until it is let go, and dies then: calls behind it never begin. */
export function blockAndDie() {
  say();
  Atomics.wait(workerData, LET_GO, 0);
  process.exit(9);
}

/** Returns, and then holds the thread until it is let go, and dies: what is called meanwhile never begins. */
export function dieWhenLetGo() {
  setImmediate(() => {
    say();
    Atomics.wait(workerData, LET_GO, 0);
    process.exit(9);
  });
}

export function mark() {
  Atomics.add(workerData, 3, 1);
}

export function throwCrash() {
  throw Object.assign(new Error('not of this thread'), {
    name: 'ThreadCrashError',
    code: 'ERR_THREAD_CRASH',
    hasBegun: false,
  });
}
