import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { Channel, merge } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { settle } from '../manager/kit.ts';
import { ENDERS, listenersOf, NOBODY, range, rejectsWith, waitingAt } from './waiting.ts';

const why = new Error('why');

/** Notes that it was ended. */
function endless(value: number): AsyncIterable<number> & { readonly ended: boolean } {
  let ended = false;
  return {
    get ended() {
      return ended;
    },
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) yield value;
      } finally {
        ended = true;
      }
    },
  };
}

describe('merge', () => {
  for (const count of [0, 1, 2, 10]) {
    for (const capacity of [0, 5]) {
      test(
        `of ${count} sources gives the values of all, those of each in order, with capacity ${capacity}`,
        withLeakCheck(async () => {
          const sources = range(0, count).map((source) =>
            Channel.from(range(0, 100).map((value) => ({ source, value }))),
          );
          const merged = merge(sources, { capacity });
          assert.equal(merged.capacity, capacity);
          const all = await merged.toArray();
          assert.equal(all.length, count * 100);
          for (const i of range(0, count)) {
            assert.deepEqual(
              all.filter(({ source }) => source === i).map(({ value }) => value),
              range(0, 100),
            );
          }
        }),
      );
    }
  }

  test(
    'takes sources of several kinds, given by a generator',
    withLeakCheck(async () => {
      const merged = merge<number>(
        (function* () {
          yield Channel.from([1, 2]);
          yield Readable.from([3, 4]);
          yield (async function* () {
            yield* [5, 6];
          })();
        })(),
      );
      assert.deepEqual((await merged.toArray()).sort(), [1, 2, 3, 4, 5, 6]);
    }),
  );

  test(
    'gives values as they come, whichever source they come from',
    withLeakCheck(async () => {
      const [a, b] = [new Channel<string>(), new Channel<string>()];
      const merged = merge([a, b]);
      for (const [channel, value] of [
        [b, 'b1'],
        [b, 'b2'],
        [a, 'a1'],
        [b, 'b3'],
      ] as const) {
        await channel.send(value);
        assert.deepEqual(await merged.receive(), { value, ok: true });
      }
      a.close();
      b.close();
      assert.equal((await merged.receive()).ok, false);
    }),
  );

  test(
    'isn’t closed before all have ended',
    withLeakCheck(async () => {
      const sources = range(0, 3).map(() => new Channel<number>());
      const merged = merge(sources);
      for (const source of sources) {
        await settle();
        assert.equal(merged.closed, false);
        source.close();
      }
      await settle();
      assert.equal(merged.closed, true);
    }),
  );

  test(
    'one that is always ready doesn’t keep out another',
    withLeakCheck(async () => {
      const controller = new AbortController();
      const merged = merge([endless(1), endless(2)], { signal: controller.signal });
      const values: number[] = [];
      for await (const value of merged) if (values.push(value) === 100) break;
      controller.abort();
      await settle();
      assert.equal(values.filter((value) => value === 1).length, 50);
    }),
  );

  test(
    'of no sources is closed at once',
    withLeakCheck(async () => {
      const { signal } = new AbortController();
      assert.deepEqual(await merge([], { signal }).toArray(), []);
      assert.equal(listenersOf(signal), 0);
    }),
  );

  test(
    'reads no more than one value ahead from each source',
    withLeakCheck(async () => {
      const sources = range(0, 3).map(() => {
        const source = new Channel<number>(10);
        for (const i of range(0, 10)) source.trySend(i);
        return source;
      });
      const controller = new AbortController();
      merge(sources, { capacity: 2, signal: controller.signal });
      await settle();
      assert.equal(
        sources.reduce((sum, { length }) => sum + length, 0),
        30 - 3 - 2,
      );
      controller.abort();
    }),
  );

  test(
    'fails with the first source that does, and ends the others',
    withLeakCheck(async () => {
      const [broken, waiting, ready] = [new Channel<number>(), new Channel<number>(), endless(1)];
      const merged = merge<number>([broken, waiting, ready]);
      await settle();
      broken.close(why);
      await settle();
      assert.equal(ready.ended, true);
      assert.deepEqual(waitingAt(waiting), NOBODY);
      assert.equal(waiting.trySend(1), false, 'nobody reads it any more');
      await rejectsWith(merged.toArray(), why);
    }),
  );

  for (const [kind, make] of ENDERS) {
    test(
      `fails with the reason of ${kind}, and ends all sources`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const [full, waiting, ready] = [new Channel<number>(3), new Channel<number>(), endless(1)];
        for (const i of range(0, 3)) full.trySend(i);
        const merged = merge<number>([full, waiting, ready], { signal });
        await settle();
        fire(why);
        await settle();
        await rejectsWith(merged.receive(), why);
        assert.equal(ready.ended, true);
        assert.deepEqual(waitingAt(waiting), NOBODY);
        assert.equal(full.length, 2, 'all but the one on its way stay');
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
      }),
    );
  }

  test(
    'closed by who reads it, ends the sources that have something',
    withLeakCheck(async () => {
      const sources = [endless(1), endless(2)];
      const merged = merge(sources);
      await merged.receive();
      await settle();
      merged.close();
      await settle();
      assert.deepEqual(
        sources.map(({ ended }) => ended),
        [true, true],
      );
    }),
  );

  test(
    'one source that is none fails it with a TypeError',
    withLeakCheck(async () => {
      const merged = merge([new Channel<number>(), 5 as unknown as Channel<number>]);
      await assert.rejects(merged.receive(), { name: 'TypeError', message: /source must be/ });
    }),
  );
});
