import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NotHeldError, type Permit, RWMutex } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, range, rejectsWith, seeded } from './waiting.ts';

const why = new Error('why');

/** What can be had now, without keeping it. */
function free(mutex: RWMutex): { read: boolean; write: boolean } {
  const [read, write] = [() => mutex.tryReadLock(), () => mutex.tryLock()].map((attempt) => {
    const permit = attempt();
    permit?.release();
    return permit !== undefined;
  });
  return { read: read!, write: write! };
}

describe('a lock of readers and writers', () => {
  test(
    'many read together',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      const readers = await Promise.all(range(0, 1_000).map(() => mutex.readLock()));
      assert.deepEqual(free(mutex), { read: true, write: false });
      for (const reader of readers.slice(1)) reader.release();
      assert.deepEqual(free(mutex), { read: true, write: false });
      readers[0]!.release();
      assert.deepEqual(free(mutex), { read: true, write: true });
    }),
  );

  test(
    'a writer is alone',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      const writer = await mutex.lock();
      assert.deepEqual(free(mutex), { read: false, write: false });
      const waiting = [mutex.readLock(), mutex.lock()];
      await settle();
      for (const lock of waiting) assert.equal(await stateOf(lock), 'pending');
      writer.release();
      (await waiting[0]!).release();
      (await waiting[1]!).release();
      assert.deepEqual(free(mutex), { read: true, write: true });
    }),
  );

  test(
    'never has a writer beside anyone, among many who hammer at it, and counts right',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      const random = seeded(2);
      let readers = 0;
      let writers = 0;
      let most = 0;
      let count = 0;
      const pause = () => (random() < 0.5 ? turn() : Promise.resolve());
      const write = async (permit: Permit | undefined) => {
        if (permit === undefined) return;
        using _ = permit;
        assert.deepEqual([readers, ++writers], [0, 1]);
        const read = count;
        await pause();
        count = read + 1;
        writers--;
      };
      const read = async (permit: Permit | undefined) => {
        if (permit === undefined) return;
        using _ = permit;
        most = Math.max(most, ++readers);
        assert.equal(writers, 0);
        await pause();
        readers--;
      };
      let written = 0;
      await Promise.all(
        range(0, 12).map(async (worker) => {
          for (const round of range(0, 50)) {
            if ((worker + round) % 4 === 0) {
              await write(await mutex.lock());
              written++;
            } else if ((worker + round) % 4 === 1) {
              const permit = mutex.tryLock();
              if (permit !== undefined) written++;
              await write(permit);
            } else {
              await read(round % 2 === 0 ? await mutex.readLock() : mutex.tryReadLock());
            }
          }
        }),
      );
      assert.equal(count, written);
      assert.ok(most > 1, 'readers do read together');
      assert.deepEqual(free(mutex), { read: true, write: true });
    }),
  );

  test(
    'serves all in the order of coming: readers that come after a writer wait for it, those beside each other go together',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      const first = await mutex.readLock();
      const inside = new Set<string>();
      const wait = async (name: string, lock: Promise<Permit>) => {
        const permit = await lock;
        inside.add(name);
        return () => {
          inside.delete(name);
          permit.release();
        };
      };
      const names = ['w1', 'r1', 'r2', 'w2', 'w3', 'r3'];
      const all = names.map((name) => wait(name, name.startsWith('w') ? mutex.lock() : mutex.readLock()));
      const steps: string[] = [];
      first.release();
      for (let i = 0; i < 10; i++) {
        await settle();
        if (inside.size === 0) break;
        steps.push([...inside].join());
        for (const name of [...inside]) (await all[names.indexOf(name)])!();
      }
      assert.deepEqual(steps, ['w1', 'r1,r2', 'w2', 'w3', 'r3']);
    }),
  );

  test(
    'a writer isn’t starved by readers who are never all gone',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      let stopped = false;
      let reads = 0;
      const readers = range(0, 5).map(async (i) => {
        for (let left = i; left > 0; left--) await turn(); // so that they overlap
        while (!stopped && reads++ < 10_000) {
          using _ = await mutex.readLock();
          for (let left = 5; left > 0; left--) await turn();
        }
      });
      await settle(10);
      const writer = await mutex.lock();
      stopped = true;
      assert.ok(reads < 100, `${reads} reads before the writer`);
      writer.release();
      await Promise.all(readers);
    }),
  );

  test(
    'a reader isn’t starved by writers who come again and again',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      let stopped = false;
      let writes = 0;
      const writers = range(0, 3).map(async () => {
        while (!stopped && writes++ < 10_000) {
          using _ = await mutex.lock();
          await turn();
        }
      });
      await settle();
      const reader = await mutex.readLock();
      stopped = true;
      assert.ok(writes < 100);
      reader.release();
      await Promise.all(writers);
    }),
  );

  test(
    'the try forms take nothing past one who waits',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      const reader = mutex.tryReadLock()!;
      assert.ok(mutex.tryReadLock()!.release() === undefined);
      const writer = mutex.lock();
      assert.deepEqual(free(mutex), { read: false, write: false }, 'a writer waits');
      reader.release();
      (await writer).release();
      const alone = mutex.tryLock()!;
      assert.deepEqual(free(mutex), { read: false, write: false });
      alone.release();
    }),
  );

  test(
    'what was given is given back once; the end of a block after that is quiet',
    withLeakCheck(async () => {
      const mutex = new RWMutex();
      const other = await mutex.readLock();
      for (const lock of [() => mutex.readLock(), () => Promise.resolve(mutex.tryReadLock()!)]) {
        using permit = await lock();
        permit.release();
        assert.throws(() => permit.release(), NotHeldError);
      }
      assert.deepEqual(free(mutex), { read: true, write: false });
      other.release();
      const writer = await mutex.lock();
      writer.release();
      assert.throws(() => writer.release(), NotHeldError);
      assert.deepEqual(free(mutex), { read: true, write: true });
    }),
  );

  for (const [kind, make] of ENDERS) {
    test(
      `${kind} ends the wait of a writer, and lets in the readers behind it`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const mutex = new RWMutex();
        const reader = await mutex.readLock();
        const writer = mutex.lock({ signal });
        const readers = [mutex.readLock(), mutex.readLock()];
        await settle();
        assert.equal(await stateOf(readers[0]!), 'pending');
        fire(why);
        await rejectsWith(writer, why);
        for (const permit of [reader, ...(await Promise.all(readers))]) permit.release();
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
        assert.deepEqual(free(mutex), { read: true, write: true });
      }),
    );

    test(
      `${kind} ends the wait of a reader, and has fired for those who come`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const mutex = new RWMutex();
        const writer = await mutex.lock();
        const reader = mutex.readLock({ signal });
        fire(why);
        await rejectsWith(reader, why);
        await rejectsWith(mutex.lock({ signal }), why);
        writer.release();
        await rejectsWith(mutex.readLock({ signal }), why);
        assert.deepEqual(free(mutex), { read: true, write: true });
      }),
    );
  }
});
