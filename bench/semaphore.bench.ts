/** What does a permit of a semaphore cost, taken and given back, when it is free, and when a thousand want it? */
import { Semaphore as AsyncMutexSemaphore } from 'async-mutex';
import { Sema } from 'async-sema';
import { type Permit, Semaphore } from '../src/go/index.ts';
import { type Gate, lockCases, lockFigures } from './lib/locks.ts';
import type { Suite } from './lib/suite.ts';

const PERMITS = 8;

export const suite: Suite = {
  name: 'semaphore',
  question: `a permit of ${PERMITS}, free or wanted by 1,000, taken and given back`,
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: lockFigures(['async-mutex', 'async-sema', 'effect']),
  async setUp({ size }) {
    const gates = { errand: createErrand, 'async-mutex': createAsyncMutex, 'async-sema': createSema };
    return { cases: lockCases(gates, PERMITS, size) };
  },
};

function createErrand(): Gate {
  const semaphore = new Semaphore(PERMITS);
  return { enter: () => semaphore.acquire(), leave: (permit: Permit) => permit.release() };
}

function createAsyncMutex(): Gate {
  const semaphore = new AsyncMutexSemaphore(PERMITS);
  return { enter: () => semaphore.acquire(), leave: ([, release]: [number, () => void]) => release() };
}

function createSema(): Gate {
  const semaphore = new Sema(PERMITS, { capacity: 1_000 });
  return { enter: () => semaphore.acquire(), leave: () => semaphore.release() };
}
