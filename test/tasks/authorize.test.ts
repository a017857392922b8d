import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkHeaders, checkPrincipals, isAllowed } from '../../src/tasks/authorize.ts';
import { definitionOf } from '../../src/tasks/define-task.ts';
import { defineTask, type Principal, type TaskDefinition } from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

type Authorize = TaskDefinition<unknown, unknown, unknown, unknown>['authorize'];

function allowed(authorize: Authorize, principals: readonly Principal[], input: unknown = 1): unknown {
  return isAllowed(definitionOf(defineTask({ name: 'a', authorize, run: () => 1 })), principals, input);
}

const nobody: readonly Principal[] = [];
const anna = { name: 'anna', permissions: ['images:read', 'images:write'] };
const bert = { name: 'bert', permissions: ['mail:send'] };
const guest = { name: 'guest' };

test(
  'where nothing is said anybody may, and nobody too',
  withLeakCheck(async () => {
    assert.equal(allowed(undefined, nobody), true);
    assert.equal(allowed([], nobody), true);
  }),
);

test(
  'the principals must have all permissions between them',
  withLeakCheck(async () => {
    assert.equal(allowed(['images:write'], [anna]), true);
    assert.equal(allowed(['images:write'], [guest, anna]), true);
    assert.equal(allowed(['images:write', 'mail:send'], [anna]), false);
    assert.equal(allowed(['images:write', 'mail:send'], [anna, bert]), true);
    assert.equal(allowed(['images:write'], [bert, guest]), false);
    assert.equal(allowed(['images:write'], nobody), false);
    assert.equal(allowed(['images'], [anna]), false);
  }),
);

test(
  'a function decides by the principals and the input, at once or later',
  withLeakCheck(async () => {
    const owns: Authorize = (principals, input) => principals.some(({ name }) => name === input);
    assert.equal(allowed(owns, [bert, anna], 'anna'), true);
    assert.equal(allowed(owns, [bert], 'anna'), false);
    const later: Authorize = async (principals, input) => owns(principals, input) as boolean;
    assert.equal(await allowed(later, [anna], 'anna'), true);
    assert.equal(await allowed(later, [bert], 'anna'), false);
  }),
);

test(
  'an answer that is neither yes nor no opens nothing',
  withLeakCheck(async () => {
    for (const answer of [undefined, 1, 'yes', [], {}, null]) {
      const slip = { name: 'TypeError', message: /^authorize must return a boolean, but returned / };
      await assert.rejects(async () => allowed(() => answer as never, [anna]), slip);
      await assert.rejects(async () => allowed(async () => answer as never, [anna]), slip);
    }
  }),
);

test(
  'what the function throws goes through: it is no verdict',
  withLeakCheck(async () => {
    const error = new Error('the directory is down');
    assert.throws(
      () =>
        allowed(() => {
          throw error;
        }, [anna]),
      error,
    );
    await assert.rejects(async () => allowed(() => Promise.reject(error), [anna]), error);
  }),
);

test(
  'principals are taken as they are now, and stay so',
  withLeakCheck(async () => {
    const permissions = ['images:read'];
    const given = [{ name: 'anna', permissions }, { name: 'guest' }];
    const principals = checkPrincipals(given);
    permissions.push('root');
    given.push({ name: 'mallory' });
    assert.deepEqual(principals, [{ name: 'anna', permissions: ['images:read'] }, { name: 'guest' }]);
    assert.throws(() => (principals as Principal[]).push({ name: 'mallory' }), TypeError);
    assert.throws(() => (principals[0]!.permissions as string[]).push('root'), TypeError);
    assert.throws(() => Object.assign(principals[1]!, { permissions: ['root'] }), TypeError);
  }),
);

test(
  'wrong principals are refused by name',
  withLeakCheck(async () => {
    const wrong: readonly (readonly [unknown, string, RegExp])[] = [
      ['anna', 'TypeError', /^principals must be an array, but is "anna"$/],
      [{ name: 'anna' }, 'TypeError', /^principals must be an array/],
      [['anna'], 'TypeError', /^principals\[0\] must be an object, but is "anna"$/],
      [[guest, {}], 'TypeError', /^principals\[1\]\.name must be a string, but is undefined$/],
      [[{ name: '' }], 'RangeError', /^principals\[0\]\.name must be a text that is not empty/],
      [[{ name: 'a', roles: [] }], 'TypeError', /^roles is not an option of principals\[0\]; those are name, perm/],
      [[{ name: 'a', permissions: 'all' }], 'TypeError', /^principals\[0\]\.permissions must be an array/],
      [
        [{ name: 'a', permissions: [1] }],
        'TypeError',
        /^principals\[0\]\.permissions\[0\] must be a string, but is 1$/,
      ],
    ];
    for (const [value, name, message] of wrong) assert.throws(() => checkPrincipals(value), { name, message });
  }),
);

test(
  'headers are texts by name, taken as they are now',
  withLeakCheck(async () => {
    const given = { traceparent: '00-1', '': 'odd' };
    const headers = checkHeaders(given);
    given.traceparent = 'other';
    assert.deepEqual(headers, { traceparent: '00-1', '': 'odd' });
    assert.throws(() => Object.assign(headers, { a: 'b' }), TypeError);
    const own = checkHeaders(JSON.parse('{"__proto__":"text"}'));
    assert.deepEqual(Object.entries(own), [['__proto__', 'text']]);
  }),
);

test(
  'headers that are no texts are refused by name',
  withLeakCheck(async () => {
    assert.throws(() => checkHeaders({ a: 'a', n: 5 }), {
      name: 'TypeError',
      message: 'headers["n"] must be a string, but is 5',
    });
    for (const value of [undefined, null, 'a: b', ['a'], new Map([['a', 'b']]), new Headers({ a: 'b' })]) {
      assert.throws(() => checkHeaders(value), { name: 'TypeError', message: /^headers must be an object/ });
    }
  }),
);
