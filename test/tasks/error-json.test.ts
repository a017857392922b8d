/** Errors as they are kept with a call: whatever is thrown becomes JSON, and comes back as what it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CanceledError, DeadlineExceededError, ErrandError, ShutdownError } from '../../src/index.ts';
import { errorFromJson, errorToJson } from '../../src/tasks/error-json.ts';
import {
  CallEndedError,
  DuplicateCallError,
  ForbiddenError,
  InvalidInputError,
  InvalidOutputError,
  NotRegisteredError,
  SkipTask,
  StaleLeaseError,
  StalledError,
  SubmitStoppedError,
  UnknownCallError,
  WorkerLostError,
} from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { seed } from '../properties/support/seed.ts';

function roundTrip(thrown: unknown): unknown {
  return errorFromJson(errorToJson(thrown));
}

const OURS = [
  CallEndedError,
  CanceledError,
  DeadlineExceededError,
  DuplicateCallError,
  ForbiddenError,
  InvalidInputError,
  InvalidOutputError,
  NotRegisteredError,
  ShutdownError,
  SkipTask,
  StaleLeaseError,
  StalledError,
  SubmitStoppedError,
  UnknownCallError,
  WorkerLostError,
];

test(
  "each of errand's errors comes back as one of its class",
  withLeakCheck(async () => {
    for (const Kind of OURS) {
      const error = new Kind('why', { cause: new Kind('the root') });
      const copy = roundTrip(error) as ErrandError;
      assert.ok(copy instanceof Kind && copy instanceof ErrandError, Kind.name);
      assert.deepEqual([copy.name, copy.code, copy.message, copy.stack], [error.name, error.code, 'why', error.stack]);
      assert.ok(copy.cause instanceof Kind);
    }
  }),
);

test(
  'issues of a schema come along',
  withLeakCheck(async () => {
    const issues = [{ message: 'must be a string', path: ['a', 0] }];
    const copy = roundTrip(new InvalidInputError('the input is invalid', { issues })) as InvalidInputError;
    assert.deepEqual(copy.issues, issues);
  }),
);

test(
  'standard errors, errors of many, and errors of the web keep what they are',
  withLeakCheck(async () => {
    assert.ok(roundTrip(new RangeError('boom')) instanceof RangeError);
    const many = roundTrip(new AggregateError([new TypeError('a'), 'b'], 'both')) as AggregateError;
    assert.ok(many instanceof AggregateError && many.errors[0] instanceof TypeError);
    assert.deepEqual([many.message, many.errors[1]], ['both', 'b']);
    const web = roundTrip(new DOMException('enough', 'AbortError')) as DOMException;
    assert.ok(web instanceof DOMException);
    assert.deepEqual([web.name, web.message], ['AbortError', 'enough']);
    class Own extends Error {
      override readonly name = 'Own';
      readonly status = 410;
    }
    const own = roundTrip(new Own('gone')) as Own;
    assert.ok(own instanceof Error);
    assert.deepEqual([own.name, own.message, own.status], ['Own', 'gone', 410]);
  }),
);

test(
  'what is thrown and is no error comes back as it was, as far as JSON holds it',
  withLeakCheck(async () => {
    for (const value of ['boom', 7, true, null, { a: [1, 'b'] }]) assert.deepEqual(roundTrip(value), value);
    assert.equal(roundTrip(undefined), null);
    assert.equal(roundTrip(7n), '7');
    assert.match(String(roundTrip(Symbol('s'))), /Symbol\(s\)/);
    assert.match(String(roundTrip(() => 1)), /=>/);
  }),
);

test(
  'what JSON cannot hold of an error is left out, and the rest of it stays',
  withLeakCheck(async () => {
    const ring: { self?: unknown } = {};
    ring.self = ring;
    const deep = Object.assign(new TypeError('root'), { ring, code: 'E_ROOT' });
    const error = Object.assign(new Error('boom', { cause: deep }), { ring, big: 5n, code: 'E_BOOM', fn: () => 1 });
    const copy = roundTrip(error) as typeof error;
    assert.deepEqual([copy.message, copy.code, copy.big], ['boom', 'E_BOOM', '5']);
    assert.equal('fn' in copy, false);
    assert.equal((copy.cause as typeof deep).code, 'E_ROOT');
    assert.equal(roundTrip(ring), '[object Object]');
    const around = new Error('around');
    around.cause = around;
    assert.equal((roundTrip(around) as Error).message, 'around');
  }),
);

test(
  'whatever is thrown becomes JSON, and that an error or a value again',
  withLeakCheck(async () => {
    const carried = fc.anything({ withBigInt: true, withMap: true, withDate: true, withNullPrototype: true });
    fc.assert(
      fc.property(carried, fc.dictionary(fc.string(), carried), fc.boolean(), (value, own, isError) => {
        const thrown = isError ? Object.assign(new Error('boom', { cause: value }), own) : value;
        const text = errorToJson(thrown);
        JSON.parse(text);
        const copy = errorFromJson(text);
        if (isError) assert.ok(copy instanceof Error);
      }),
      { seed },
    );
  }),
);

test(
  'what an engine says in its own words, or somebody has spoilt, is an error all the same',
  withLeakCheck(async () => {
    const own = errorFromJson(
      '{"name":"DuplicateCallError","code":"ERR_DUPLICATE_CALL","message":"gave way","otherId":"b"}',
    );
    assert.ok(own instanceof DuplicateCallError);
    assert.deepEqual([own.message, (own as { otherId?: unknown }).otherId], ['gave way', 'b']);
    assert.equal((errorFromJson('{}') as Error).message, '');
    assert.equal(errorFromJson('7'), 7);
    for (const text of ['', '{', '{"own":null}', '{"own":{},"cause":7,"name":"E","message":"m"}']) {
      const error = errorFromJson(text);
      assert.ok(error instanceof Error, text);
    }
    assert.match((errorFromJson('{') as Error).message, /can't be read: \{/);
  }),
);
