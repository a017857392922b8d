import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf, recordOf } from '../../src/cli/failure.ts';
import { InOrder } from '../../src/cli/in-order.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

test(
  'whatever is thrown can be told in JSON',
  withLeakCheck(() => {
    const circular: { self?: unknown } = {};
    circular.self = circular;
    for (const [thrown, message] of [
      ['no luck', 'no luck'],
      [undefined, 'undefined'],
      [null, 'null'],
      [7n, '7n'],
      [Symbol('gone'), 'Symbol(gone)'],
      [{ status: 404 }, '{ status: 404 }'],
      [circular, '<ref *1> { self: [Circular *1] }'],
      [Object.create(null), '[Object: null prototype] {}'],
      [Object.assign(new Error('odd'), { code: 10n, cause: circular }), 'odd: <ref *1> { self: [Circular *1] }'],
      [Object.assign(new Error('odd'), { message: 7n, name: Symbol('name'), stack: circular }), '7'],
    ] as const) {
      const record = recordOf(thrown);
      assert.equal(messageOf(record), message);
      assert.doesNotThrow(() => JSON.stringify(record));
    }
  }),
);

test(
  'an error is told with its name, its code, and its causes, even if they go round in a circle',
  withLeakCheck(() => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const failed = new TypeError('fetch failed', { cause: refused });
    const record = recordOf(failed);
    assert.equal(record.name, 'TypeError');
    assert.equal(record.stack, failed.stack);
    assert.equal(record.cause?.code, 'ECONNREFUSED');
    assert.equal(messageOf(record), 'fetch failed: connect ECONNREFUSED');
    assert.equal(recordOf(new DOMException('the end', 'AbortError')).code, DOMException.ABORT_ERR);

    // As Node has it where a name has several addresses.
    const nowhere = Object.assign(new AggregateError([refused], ''), { code: 'ECONNREFUSED' });
    assert.equal(messageOf(recordOf(new TypeError('fetch failed', { cause: nowhere }))), 'fetch failed: ECONNREFUSED');

    refused.cause = failed;
    assert.match(messageOf(recordOf(failed)), /^fetch failed: connect ECONNREFUSED/);
    // What tells its cause itself isn't told twice.
    assert.equal(messageOf(recordOf(new Error('no: why', { cause: new Error('why') }))), 'no: why');
    assert.equal(messageOf(recordOf(new Error('no', { cause: new Error('') }))), 'no');
  }),
);

test(
  'what comes in any order is put in order, as soon as that can be',
  withLeakCheck(() => {
    const order = new InOrder<string>();
    assert.deepEqual([...order.after(1, 'b')], []);
    assert.deepEqual([...order.after(3, 'd')], []);
    assert.deepEqual([...order.after(0, 'a')], ['a', 'b']);
    assert.deepEqual([...order.after(2, 'c')], ['c', 'd']);
    assert.deepEqual([...order.after(4, 'e')], ['e']);
  }),
);
