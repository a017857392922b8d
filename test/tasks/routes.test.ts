import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { atRandom, byHash, type KnownRoute, roundRobin, weighted } from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { seed } from '../properties/support/seed.ts';

const { ERRAND_RUNS } = process.env;
const numRuns = Math.round(100 * Number(ERRAND_RUNS ?? 1));
const byItself = (queues: readonly string[]) => byHash(queues, (key: string) => key);
const names = fc.uniqueArray(fc.string({ minLength: 1, unit: 'grapheme-ascii' }), { minLength: 1, maxLength: 8 });

/** Chance that isn't: these numbers, again and again. */
function chances(...numbers: readonly number[]): () => number {
  let turn = 0;
  return () => numbers[turn++ % numbers.length]!;
}

/** How often each queue is named for so many keys. */
function countsOf(route: KnownRoute<string>, keys: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(route.queues.map((queue) => [queue, 0]));
  for (const key of keys) counts[route(key)]! += 1;
  return counts;
}

function keysOf(count: number, keyOf: (index: number) => string = (index) => `tenant-${index}`): string[] {
  return Array.from({ length: count }, (_, index) => keyOf(index));
}

test(
  'all routes know their queues, as they were when they were made',
  withLeakCheck(async () => {
    const queues = ['a', 'b'];
    const routes = [byItself(queues), roundRobin(queues), atRandom(queues), weighted({ a: 1, b: 2 })];
    queues.push('c');
    for (const route of routes) {
      assert.deepEqual(route.queues, ['a', 'b']);
      assert.throws(() => (route.queues as string[]).push('c'), TypeError);
      for (const key of keysOf(100)) assert.ok(route.queues.includes(route(key)));
    }
  }),
);

// ---- by weight, by chance, in turn -----------------------------------------------------------------------------------

test(
  'by weight, each queue has the part of all chances that its weight is of all weights',
  withLeakCheck(async () => {
    const steps = Array.from({ length: 400 }, (_, index) => index / 400);
    const route = weighted({ near: 3, far: 0.5, other: 0.5 }, { random: chances(...steps) });
    assert.deepEqual(countsOf(route, keysOf(400)), { near: 300, far: 50, other: 50 });
    assert.deepEqual(countsOf(weighted({ only: 1e-9 }), keysOf(10)), { only: 10 });
  }),
);

test(
  'at random, each queue has the same part of all chances',
  withLeakCheck(async () => {
    const steps = Array.from({ length: 300 }, (_, index) => index / 300);
    const route = atRandom(['a', 'b', 'c'], { random: chances(...steps) });
    assert.deepEqual(countsOf(route, keysOf(300)), { a: 100, b: 100, c: 100 });
  }),
);

test(
  'chance that is out of its bounds still names a queue',
  withLeakCheck(async () => {
    const odd = { random: chances(1, 1.5, Number.NaN, -1) };
    const routes = [weighted({ a: 1, b: 1 }, odd), atRandom(['a', 'b'], odd)];
    for (const route of routes) for (const key of keysOf(8)) assert.ok(['a', 'b'].includes(route(key)));
  }),
);

test(
  'in turn, every queue comes after the one before',
  withLeakCheck(async () => {
    const route = roundRobin(['a', 'b', 'c']);
    assert.deepEqual(
      keysOf(7).map((key) => route(key)),
      ['a', 'b', 'c', 'a', 'b', 'c', 'a'],
    );
    assert.equal(roundRobin(['a', 'b', 'c'])(1), 'a');
  }),
);

// ---- by hash ---------------------------------------------------------------------------------------------------------

test(
  'by hash, a key has the same queue in every version: these never change',
  withLeakCheck(async () => {
    const route = byItself(['q0', 'q1', 'q2', 'q3']);
    const keys = ['', 'a', 'b', 'acme', 'tenant-1', 'tenant-2', 'ü', '漢字', '😀', '\ud800', 'x'.repeat(1_000)];
    assert.deepEqual(keys.map(route), ['q1', 'q3', 'q2', 'q3', 'q1', 'q1', 'q3', 'q0', 'q0', 'q2', 'q0']);
  }),
);

test(
  'by hash, a key has one queue, whatever the order of the queues, and other queues only take keys or give theirs',
  withLeakCheck(async () => {
    fc.assert(
      fc.property(names, fc.string({ unit: 'binary' }), fc.nat(), (queues, key, chance) => {
        const queue = byItself(queues)(key);
        assert.equal(byItself(queues)(key), queue);
        assert.equal(byItself(queues.toReversed())(key), queue);
        const more = byItself([...queues, 'one more queue'])(key);
        assert.ok(more === queue || more === 'one more queue', 'a queue that came moved keys between the others');
        const gone = queues[chance % queues.length]!;
        if (queues.length > 1 && gone !== queue) {
          assert.equal(byItself(queues.filter((other) => other !== gone))(key), queue);
        }
      }),
      { seed, numRuns },
    );
  }),
);

test(
  'by hash, queues whose names have one hash have one place, whatever their order',
  withLeakCheck(async () => {
    const twins = ['queue-252828', 'queue-1389826'];
    const [one, other] = [byItself(twins), byItself(twins.toReversed())];
    for (const key of keysOf(20)) assert.equal(one(key), 'queue-1389826');
    for (const key of keysOf(20)) assert.equal(other(key), 'queue-1389826');
  }),
);

test(
  'by hash, keys spread evenly over the queues, however alike keys and queues are',
  withLeakCheck(async () => {
    const count = 8_000;
    const kinds: readonly ((index: number) => string)[] = [
      (index) => `tenant-${index}`,
      (index) => `${index}`,
      (index) => `${index}@example.com`,
      (index) => String.fromCharCode(index),
      (index) => 'x'.repeat(index % 100) + String.fromCharCode(0x4e00 + index / 100),
    ];
    for (const width of [2, 3, 8]) {
      const queues = keysOf(width, (index) => `queue-${index}`);
      for (const [kind, keyOf] of kinds.entries()) {
        const counts = Object.values(countsOf(byItself(queues), keysOf(count, keyOf)));
        const expected = count / width;
        // A fair die would exceed 5 standard deviations once in some two million.
        const most = 5 * Math.sqrt(expected * (1 - 1 / width));
        for (const each of counts) {
          assert.ok(Math.abs(each - expected) < most, `kind ${kind} over ${width}: ${counts.join(', ')}`);
        }
      }
    }
  }),
);

test(
  'by hash, the input is asked for its key',
  withLeakCheck(async () => {
    const route = byHash(['a', 'b', 'c'], ({ tenant }: { readonly tenant: string }) => tenant);
    for (const tenant of keysOf(20)) assert.equal(route({ tenant }), byItself(['a', 'b', 'c'])(tenant));
    const numbered = byHash(['a'], () => 5 as never);
    assert.throws(() => numbered(1), {
      name: 'TypeError',
      message: 'the key for the queue must be a string, but is 5',
    });
  }),
);

// ---- what is wrong ---------------------------------------------------------------------------------------------------

test(
  'wrong routes are refused at once',
  withLeakCheck(async () => {
    for (const make of [roundRobin, atRandom, byItself] as ((queues: never) => unknown)[]) {
      const wrong: readonly (readonly [unknown, string, RegExp])[] = [
        [undefined, 'TypeError', /^queues must be an array, but is undefined$/],
        ['a', 'TypeError', /^queues must be an array, but is "a"$/],
        [[], 'RangeError', /^queues must be at least one queue, but is an array of 0$/],
        [['a', ''], 'RangeError', /^queues\[1\] must be a text that is not empty/],
        [['a', 5], 'TypeError', /^queues\[1\] must be a string, but is 5$/],
        [['a', 'b', 'a'], 'RangeError', /^queues must be queues that differ, but is "a"$/],
      ];
      for (const [queues, name, message] of wrong) assert.throws(() => make(queues as never), { name, message });
    }
    const weights: readonly (readonly [unknown, string, RegExp])[] = [
      [undefined, 'TypeError', /^weights must be an object, but is undefined$/],
      [{}, 'RangeError', /^weights must be at least one queue/],
      [{ '': 1 }, 'RangeError', /^weights\[0\] must be a text that is not empty/],
      [{ a: 1, b: 0 }, 'RangeError', /^weights\.b must be a number above 0, but is 0$/],
      [{ a: -1 }, 'RangeError', /^weights\.a must be/],
      [{ a: Number.POSITIVE_INFINITY }, 'RangeError', /^weights\.a must be/],
      [{ a: '1' }, 'TypeError', /^weights\.a must be a number above 0, but is "1"$/],
    ];
    for (const [given, name, message] of weights) assert.throws(() => weighted(given as never), { name, message });
    for (const make of [
      (options: never) => weighted({ a: 1 }, options),
      (options: never) => atRandom(['a'], options),
    ]) {
      assert.throws(() => make({ random: 5 } as never), {
        name: 'TypeError',
        message: 'random must be a function, but is 5',
      });
      assert.throws(() => make({ seed: 5 } as never), { name: 'TypeError', message: /^seed is not an option of/ });
      assert.throws(() => make(null as never), {
        name: 'TypeError',
        message: 'options must be an object, but is null',
      });
    }
    assert.throws(() => byHash(['a'], 'key' as never), {
      name: 'TypeError',
      message: 'key must be a function, but is "key"',
    });
  }),
);
