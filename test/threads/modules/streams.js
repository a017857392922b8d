// Generators that say, in shared memory, how far they are.
import { setImmediate as turn } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { currentContext, isCancelled } from 'errand/threads';

export const YIELDED = 0;
export const ENDED = 1;
export const LET_GO = 2;
export const SAW_CANCEL = 3;

function say(index) {
  Atomics.add(workerData, index, 1);
}

export function* endless() {
  try {
    for (let i = 1; ; i++) {
      say(YIELDED);
      yield i;
    }
  } finally {
    say(ENDED);
  }
}

export async function* endlessLater() {
  try {
    for (let i = 1; ; i++) {
      await turn();
      say(YIELDED);
      yield i;
    }
  } finally {
    await turn();
    say(ENDED);
  }
}

/** Ends only when it is let go. */
export async function* slowToEnd() {
  try {
    for (let i = 1; ; i++) yield i;
  } finally {
    while (Atomics.load(workerData, LET_GO) === 0) await turn();
    say(ENDED);
  }
}

export async function* badEnd() {
  try {
    for (let i = 1; ; i++) yield i;
  } finally {
    // biome-ignore lint/correctness/noUnsafeFinally: what is to be tested
    throw new RangeError('a bad end');
  }
}

export function* failing(after) {
  for (let i = 1; i <= after; i++) yield i;
  throw new RangeError(`failed after ${after}`);
}

/** Yields in its finally: what nobody reads any more. */
export function* unwilling() {
  try {
    for (let i = 1; ; i++) yield i;
  } finally {
    yield 'not read';
    say(ENDED);
  }
}

export async function* heedful() {
  const { signal } = currentContext();
  try {
    for (let i = 1; !isCancelled(); i++) {
      await turn();
      yield i;
    }
  } finally {
    // It may be told a little later than isCancelled.
    while (!signal.aborted) await turn();
    say(SAW_CANCEL);
    say(ENDED);
  }
}

/** Never yields, and never ends. */
export async function* silent() {
  say(YIELDED);
  const { signal } = currentContext();
  try {
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    yield 1;
  } finally {
    say(ENDED);
  }
}

export async function* contexts(to) {
  for (let i = 0; i < to; i++) {
    yield currentContext().id;
    await turn();
  }
}

export function* blocked() {
  yield 1;
  say(YIELDED);
  Atomics.wait(workerData, LET_GO, 0);
  yield 2;
}

export function* mixed() {
  yield 1;
  yield () => {};
  yield 3;
}
