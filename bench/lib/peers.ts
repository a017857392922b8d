/** What errand is compared with: the libraries that bound concurrency, used as their manuals say, and the floor. */
import * as async from 'async';
import fastq from 'fastq';
import pLimit from 'p-limit';
import PQueue from 'p-queue';
import type { Submit } from './batch.ts';
import { CONCURRENCY } from './errand.ts';

/**
 * The least that anything could cost that promises a result of its own: one promise more for each task. There is no
 * queue in it, and no bound.
 */
export const floor: Submit = (task) =>
  new Promise((resolve) => {
    task().then(resolve);
  });

export function withPLimit(): Submit {
  const limit = pLimit(CONCURRENCY);
  return (task) => limit(task);
}

export function withFastq(): Submit {
  const queue = fastq.promise(async (task: () => Promise<void>) => task(), CONCURRENCY);
  return (task) => queue.push(task);
}

/** async's queue speaks in callbacks; a caller who wants a promise wraps one around each. */
export function withAsync(): Submit {
  const queue = async.queue<() => Promise<void>>((task, done) => {
    task().then(() => done(), done);
  }, CONCURRENCY);
  return (task) =>
    new Promise((resolve, reject) => {
      queue.push<void>(task, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
}

export function withPQueue(): Submit {
  const queue = new PQueue({ concurrency: CONCURRENCY });
  return (task) => queue.add(task);
}
