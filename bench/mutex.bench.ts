/** What does a lock cost, taken and given back, when it is free, and when a thousand want it? */
import { Mutex as AsyncMutex } from 'async-mutex';
import { Sema } from 'async-sema';
import { Mutex, type Permit } from '../src/go/index.ts';
import { type Gate, lockCases, lockFigures } from './lib/locks.ts';
import type { Suite } from './lib/suite.ts';

export const suite: Suite = {
  name: 'mutex',
  question: 'a lock, free or wanted by 1,000, taken and given back',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: lockFigures(['async-mutex', 'async-sema', 'effect']),
  async setUp({ size }) {
    const gates = { errand: createErrand, 'async-mutex': createAsyncMutex, 'async-sema': createSema };
    return { cases: lockCases(gates, 1, size) };
  },
};

function createErrand(): Gate {
  const mutex = new Mutex();
  return { enter: () => mutex.lock(), leave: (permit: Permit) => permit.release() };
}

function createAsyncMutex(): Gate {
  const mutex = new AsyncMutex();
  return { enter: () => mutex.acquire(), leave: (release: () => void) => release() };
}

/** It has no lock; one of its semaphores with a single permit is one, and so it is with effect. */
function createSema(): Gate {
  const semaphore = new Sema(1, { capacity: 1_000 });
  return { enter: () => semaphore.acquire(), leave: () => semaphore.release() };
}
