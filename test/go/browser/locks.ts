import { Channel, Cond, Mutex, NotHeldError, RWMutex, Semaphore } from 'errand/go';
import { type Checks, equal, failureOf, nextTurn, thrownBy } from './check.ts';

export const locks: Checks = {
  'a mutex lets in one after the other': async () => {
    const mutex = new Mutex();
    const said: string[] = [];
    await Promise.all(
      ['a', 'b', 'c'].map(async (name) => {
        const lock = await mutex.lock();
        said.push(`${name} in`);
        await nextTurn();
        said.push(`${name} out`);
        lock.release();
      }),
    );
    equal(said, ['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
    const lock = mutex.tryLock();
    equal([mutex.locked, mutex.tryLock()], [true, undefined]);
    lock?.release();
    equal(
      thrownBy(() => lock?.release()),
      NotHeldError.name,
    );
  },

  'a semaphore gives as many permits as it has, in order': async () => {
    const semaphore = new Semaphore(3);
    const held = await semaphore.acquire(2);
    const two = semaphore.acquire(2);
    equal([semaphore.available, semaphore.tryAcquire(1)], [1, undefined]);
    const controller = new AbortController();
    const never = semaphore.acquire(3, { signal: controller.signal });
    held.release();
    controller.abort('enough');
    equal(await failureOf(never), 'enough');
    (await two).release();
    equal(semaphore.available, 3);
  },

  'readers read together, writers write alone': async () => {
    const mutex = new RWMutex();
    const readers = await Promise.all([mutex.readLock(), mutex.readLock()]);
    const writing = mutex.lock();
    equal([mutex.tryReadLock(), mutex.tryLock()], [undefined, undefined]);
    for (const reader of readers) reader.release();
    const writer = await writing;
    const reading = mutex.readLock();
    writer.release();
    (await reading).release();
  },

  'a condition wakes those who wait for it': async () => {
    const mutex = new Mutex();
    const changed = new Cond(mutex);
    const found = new Channel<number>(2);
    const jobs: number[] = [];
    const look = async () => {
      const lock = await mutex.lock();
      while (jobs.length === 0) await changed.wait();
      found.trySend(jobs.shift()!);
      lock.release();
    };
    const looking = [look(), look()];
    await nextTurn();
    const lock = await mutex.lock();
    jobs.push(1, 2);
    changed.signal();
    changed.broadcast();
    lock.release();
    await Promise.all(looking);
    equal([jobs, found.length, mutex.locked], [[], 2, false]);
  },
};
