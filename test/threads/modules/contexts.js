// What functions know of their calls.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { currentContext, isCancelled } from 'errand/threads';

export const BEGUN = 0;
export const ENDED = 1;
export const LET_GO = 2;

function say(index) {
  Atomics.add(workerData, index, 1);
  Atomics.notify(workerData, index);
}

const outside = currentContext();

function describe({ id, attempt, deadline, err, cause, signal }) {
  return { id, attempt, deadline, err: err?.name, cause, isAborted: signal.aborted, isCancelled: isCancelled() };
}

export function show() {
  return describe(currentContext());
}

export function showOutside() {
  return new Promise((resolve) => {
    later = () => resolve(describe(currentContext()));
  });
}

/** Called by a timer that no call has made. */
let later = () => {};
setInterval(() => {
  later();
  later = () => {};
}, 5).unref();

export function isSame() {
  const context = currentContext();
  return context === currentContext() && context !== outside;
}

export async function throughAwaits() {
  const ids = [currentContext().id];
  await null;
  ids.push(currentContext().id);
  await sleep(1);
  ids.push(currentContext().id);
  await new Promise((resolve) => setImmediate(() => process.nextTick(resolve)));
  ids.push(currentContext().id);
  await Promise.all([turn().then(() => ids.push(currentContext().id))]);
  return ids;
}

/** Until its signal fires. */
export async function waitForSignal() {
  const { signal } = currentContext();
  say(BEGUN);
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true });
  });
  say(ENDED);
  throw signal.reason;
}

/** Until done() resolves; what is known then. */
export async function waitForDone() {
  const context = currentContext();
  say(BEGUN);
  await context.done();
  last = describe(context);
  say(ENDED);
}

let last;

export function seen() {
  return last;
}

/** A loop that asks, and hears nothing else. */
export function count() {
  say(BEGUN);
  let n = 0;
  while (!isCancelled()) n++;
  say(ENDED);
  return n;
}

/** A loop that asks its own context, which it has kept. */
export async function countLater() {
  const context = currentContext();
  await null;
  say(BEGUN);
  while (!context.isCancelled());
  say(ENDED);
}

/** Holds the thread up until it is let go, whatever happens. */
export function block() {
  say(BEGUN);
  Atomics.wait(workerData, LET_GO, 0);
  say(ENDED);
  return isCancelled();
}

export function blockThen(value) {
  say(BEGUN);
  Atomics.wait(workerData, LET_GO, 0);
  return value;
}

/** Counts how often it has run. */
export function mark() {
  say(3);
}

/** Ends, and throws, only some turns after its signal has fired. */
export async function reluctant() {
  const { signal } = currentContext();
  say(BEGUN);
  while (!signal.aborted) await turn();
  for (let i = 0; i < 10; i++) await turn();
  say(ENDED);
  return 'late';
}

/** Never ends, and hears nothing. */
export function loop() {
  say(BEGUN);
  for (;;);
}

/** Never ends, and leaves the event loop its turns. */
export async function forever() {
  say(BEGUN);
  await new Promise(() => {});
}
