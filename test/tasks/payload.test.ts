import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';
import fc from 'fast-check';
import { InvalidInputError, InvalidOutputError } from '../../src/tasks/index.ts';
import { decodePayload, encodePayload } from '../../src/tasks/payload.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { seed } from '../properties/support/seed.ts';

const { ERRAND_RUNS } = process.env;
const RUNS = Math.round(1_000 * Number(ERRAND_RUNS ?? 1));
const NO_LIMIT = Number.POSITIVE_INFINITY;

function roundTrip(value: unknown): unknown {
  return decodePayload(encodePayload(value, 'input', NO_LIMIT));
}

function refusal(value: unknown): InvalidInputError {
  let text: string;
  try {
    text = encodePayload(value, 'input', NO_LIMIT);
  } catch (error) {
    assert.ok(error instanceof InvalidInputError, String(error));
    return error;
  }
  assert.fail(`was taken: ${text}`);
}

/** JSON has no -0, and nobody misses it. */
function withoutMinusZero(value: unknown): unknown {
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(withoutMinusZero);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutMinusZero(item)]));
}

test(
  'whatever JSON holds comes back as it was',
  withLeakCheck(async () => {
    fc.assert(
      fc.property(fc.jsonValue({ depthSize: 'small', stringUnit: 'binary' }), (value) => {
        assert.deepEqual(roundTrip(value), withoutMinusZero(value));
      }),
      { seed, numRuns: RUNS },
    );
  }),
);

test(
  'anything at all is refused, or comes back without a loss',
  withLeakCheck(async () => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withNullPrototype: true,
      withSparseArray: true,
      withTypedArray: true,
    });
    const seen = { taken: 0, refused: 0 };
    fc.assert(
      fc.property(anything, (value) => {
        let text: string;
        try {
          text = encodePayload(value, 'input', NO_LIMIT);
        } catch (error) {
          assert.ok(error instanceof InvalidInputError);
          assert.match(error.message, /^input/);
          seen.refused += 1;
          return;
        }
        seen.taken += 1;
        assert.ok(isWhole(value, decodePayload(text)), `${text} is less than there was`);
      }),
      { seed, numRuns: RUNS },
    );
    assert.ok(seen.taken > RUNS / 20 && seen.refused > RUNS / 20, JSON.stringify(seen));
  }),
);

/** Whether `copy` has all of `value`: written anew, to be another opinion than the code's. */
function isWhole(value: unknown, copy: unknown): boolean {
  if (value instanceof Date) return copy === value.toISOString();
  if (typeof value !== 'object' || value === null) return value === copy || (value === 0 && copy === 0);
  if (typeof copy !== 'object' || copy === null || Array.isArray(value) !== Array.isArray(copy)) return false;
  if (!Array.isArray(value) && ![null, Object.prototype].includes(Object.getPrototypeOf(value))) return false;
  if (Array.isArray(value) && value.length !== (copy as unknown[]).length) return false;
  const items = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return items.every(([key, item]) => {
    if (item === undefined) return !Array.isArray(value) && !Object.hasOwn(copy, key);
    return Object.hasOwn(copy, key) && isWhole(item, (copy as Record<PropertyKey, unknown>)[key]);
  });
}

test(
  'undefined, the input of tasks without one, comes back as undefined',
  withLeakCheck(async () => {
    assert.equal(encodePayload(undefined, 'input', 0), '');
    assert.equal(decodePayload(''), undefined);
    assert.equal(roundTrip(null), null);
  }),
);

test(
  'what JSON does its own way is taken: dates, toJSON, properties that are undefined, instances as their properties',
  withLeakCheck(async () => {
    class Point {
      x = 1;
      y = 2;
      get sum() {
        return this.x + this.y;
      }
    }
    class Own {
      #cents = 5;
      toJSON() {
        return { cents: this.#cents };
      }
    }
    assert.equal(roundTrip(new Date(0)), '1970-01-01T00:00:00.000Z');
    assert.deepEqual(roundTrip([new Point()]), [{ x: 1, y: 2 }]);
    assert.deepEqual(roundTrip({ a: new Own() }), { a: { cents: 5 } });
    assert.deepEqual(roundTrip(new Itself()), { x: 1 });
    assert.deepEqual(roundTrip({ a: undefined, b: 1 }), { b: 1 });
    assert.equal(roundTrip(new URL('https://example.com/')), 'https://example.com/');
    assert.deepEqual(roundTrip(Buffer.from('a')), { type: 'Buffer', data: [97] });
    const shared = { deep: [] };
    assert.deepEqual(roundTrip([shared, shared, { shared }]), [shared, shared, { shared }]);
  }),
);

test(
  'objects of another realm are as plain as ours',
  withLeakCheck(async () => {
    assert.deepEqual(roundTrip(vm.runInNewContext('({ a: {}, b: [{}], c: new Date(0) })')), {
      a: {},
      b: [{}],
      c: '1970-01-01T00:00:00.000Z',
    });
    assert.match(refusal(vm.runInNewContext('({ a: new Map() })')).message, /^input\.a is an instance of Map/);
    assert.match(refusal(vm.runInNewContext('({ a: new Date(NaN) })')).message, /^input\.a is an invalid Date/);
  }),
);

test(
  'a property named __proto__ is a property, and stays one',
  withLeakCheck(async () => {
    const value: unknown = JSON.parse('{"__proto__":{"admin":true}}');
    const copy = roundTrip(value) as object;
    assert.deepEqual(Object.keys(copy), ['__proto__']);
    assert.equal(Object.getPrototypeOf(copy), Object.prototype);
    assert.equal((copy as { admin?: unknown }).admin, undefined);
    assert.match(
      refusal(JSON.parse('{"__proto__":{}}', (key, item) => (key === '' ? item : 1n))).message,
      /__proto__ is a BigInt/,
    );
  }),
);

class OnlyPrivate {
  #secret = 1;
  get secret() {
    return this.#secret;
  }
}
const cyclic: { list: unknown[] } = { list: [{}] };
cyclic.list.push({ 'a b': cyclic.list });
const shared = {};
class Itself {
  readonly x = 1;
  toJSON() {
    return this;
  }
}
const throws = (): never => {
  throw new Error('not today');
};

const refused: readonly (readonly [name: string, value: unknown, message: RegExp])[] = [
  ['a BigInt', { user: { id: 1n } }, /^input\.user\.id is a BigInt, which JSON can't hold$/],
  ['a BigInt alone', 1n, /^input is a BigInt/],
  ['a function', { a: [{ fn: () => 1 }] }, /^input\.a\[0\]\.fn is a function/],
  ['a class', class {}, /^input is a function/],
  ['a symbol', { a: Symbol('s') }, /^input\.a is a symbol/],
  ['NaN in an object', { a: Number.NaN }, /^input\.a is NaN/],
  ['NaN', [1, Number.NaN], /^input\[1\] is NaN/],
  ['Infinity', { a: Number.POSITIVE_INFINITY }, /^input\.a is Infinity/],
  ['-Infinity', Number.NEGATIVE_INFINITY, /^input is -Infinity/],
  ['undefined in an array', { a: [1, undefined] }, /^input\.a\[1\] is undefined/],
  ['a hole in an array', new Array(2), /^input\[0\] is undefined/],
  ['a cycle', cyclic, /^input\.list\[1\]\["a b"\] is one of the objects around it: a cycle$/],
  ['a Map', { a: new Map([[1, 2]]) }, /^input\.a is an instance of Map/],
  ['a Set', new Set([1]), /^input is an instance of Set/],
  ['a Map that something hangs on', Object.assign(new Map(), { a: 1 }), /^input is an instance of Map/],
  ['a typed array', { a: new Uint8Array(2) }, /^input\.a is an instance of Uint8Array/],
  ['an ArrayBuffer', new ArrayBuffer(2), /^input is an instance of ArrayBuffer/],
  ['a RegExp', /a/, /^input is an instance of RegExp/],
  ['an Error', new TypeError('a'), /^input is an instance of TypeError/],
  ['an Error with a code', Object.assign(new Error('a'), { code: 1 }), /^input is an instance of Error/],
  ['a promise', [Promise.resolve(1)], /^input\[0\] is an instance of Promise/],
  ['a boxed text', { a: new String('a') }, /^input\.a is an instance of String/],
  ['a WeakMap', new WeakMap(), /^input is an instance of WeakMap/],
  ['an instance that keeps all to itself', { a: new OnlyPrivate() }, /^input\.a is an instance of OnlyPrivate/],
  ['an invalid Date', { a: new Date(Number.NaN) }, /^input\.a is an invalid Date$/],
  ['a toJSON that throws', { a: { toJSON: throws } }, /^input\.a can't be made JSON: its toJSON threw: not today$/],
  ['a toJSON that gives nothing', { a: { toJSON() {} } }, /^input\.a is undefined, .* \(in what toJSON gives\)$/],
  ['a toJSON that gives what is lost', [{ toJSON: () => ({ b: new Map() }) }], /^input\[0\]\.b is an instance of Map/],
  ['a toJSON that gives what is around it', toJsonCycle(), /^input\.a is one of the objects around it/],
  [
    'a getter that throws',
    { a: Object.defineProperty({}, 'b', { get: throws, enumerable: true }) },
    /^input\.a can't be read: not today$/,
  ],
  ['a BigInt beside an object that is there twice', [shared, shared, new Itself(), 1n], /^input\[3\] is a BigInt/],
  ['a proxy that throws', { a: new Proxy({}, { ownKeys: throws }) }, /^input\.a can't be read: not today$/],
];

function toJsonCycle(): unknown {
  const around = { a: { toJSON: (): unknown => around } };
  return around;
}

for (const [name, value, message] of refused) {
  test(
    `${name} is refused, by its path`,
    withLeakCheck(async () => {
      assert.match(refusal(value).message, message);
    }),
  );
}

test(
  'what throws in the hands of JSON is the cause of the refusal',
  withLeakCheck(async () => {
    const cause = new Error('mine');
    const value = {
      toJSON() {
        throw cause;
      },
    };
    assert.equal(refusal({ a: [value] }).cause, cause);
  }),
);

test(
  'what has no end, or goes too deep, is refused and nothing overflows',
  withLeakCheck(async () => {
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level += 1) deep = [deep];
    assert.match(refusal({ deep }).message, /^input\.deep(\[0\]){19} and \d+ deeper is nested too deeply$/);
    const endless = () => Object.defineProperty({}, 'next', { get: endless, enumerable: true });
    assert.match(refusal(endless()).message, /deeper is nested too deeply$/);
  }),
);

test(
  'a toJSON that answers differently each time can make no payload that is not JSON',
  withLeakCheck(async () => {
    let times = 0;
    const fickle = { toJSON: () => (times++ === 0 ? undefined : 1) };
    assert.match(refusal(fickle).message, /^input has a toJSON that gives nothing$/);
  }),
);

test(
  'the size is counted in bytes of UTF-8, and named when it is too large',
  withLeakCheck(async () => {
    for (const text of ['a'.repeat(8), 'ä'.repeat(4), '€€ab', '😀😀']) {
      assert.equal(encodePayload(text, 'input', 10), `"${text}"`);
      assert.throws(() => encodePayload(text, 'input', 9), {
        name: 'InvalidInputError',
        message: 'input takes 10 bytes as JSON, more than the 9 there may be',
      });
    }
  }),
);

test(
  'what is refused is named, and so is the error: of the input, of the output, or of something else',
  withLeakCheck(async () => {
    assert.throws(() => encodePayload({ a: 1n }, 'output', 99), InvalidOutputError);
    assert.throws(() => encodePayload({ a: 1n }, 'the progress', 99), {
      name: 'TypeError',
      message: "the progress.a is a BigInt, which JSON can't hold",
    });
    assert.throws(() => encodePayload('long', 'the progress', 1), { name: 'RangeError' });
  }),
);

test(
  'a text that is no payload is refused',
  withLeakCheck(async () => {
    assert.throws(() => decodePayload('{'), SyntaxError);
  }),
);
