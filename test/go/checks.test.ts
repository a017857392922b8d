import assert from 'node:assert/strict';
import { test } from 'node:test';
import { show } from '../../src/go/checks.ts';

test('an error message shows a wrong value so that one sees what is wrong with it', () => {
  const shown: [unknown, string][] = [
    [1, '1'],
    ['1', '"1"'],
    [1n, '1n'],
    [undefined, 'undefined'],
    [null, 'null'],
    [Symbol('s'), 'Symbol(s)'],
    [[1, 2], 'an array of 2'],
    [Promise.resolve(1), 'an instance of Promise'],
    [{ toString: () => assert.fail('not called') }, 'an instance of Object'],
    [Object.create(null), 'an instance of null'],
    [assert.throws, 'function throws'],
    [() => {}, 'function (anonymous)'],
  ];
  for (const [value, text] of shown) assert.equal(show(value), text);
});
