import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { background, SingleFlight, withCancelCause } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Deferred, rejectionOf, stateOf } from '../manager/support.ts';

test(
  'one who asks alone gets the value, not shared',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    assert.deepEqual(await flights.do('key', () => 'bar'), { value: 'bar', shared: false });
    assert.deepEqual(await flights.do('key', async () => 7), { value: 7, shared: false });
    assert.deepEqual(await flights.do('key', () => undefined), { value: undefined, shared: false });
  }),
);

test(
  'one who asks alone gets the error, of a rejection and of a synchronous throw, and the key is free then',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    for (const error of [new Error('some error'), 'no error', undefined]) {
      const rejecting = flights.do('key', () => Promise.reject(error));
      assert.equal(await rejectionOf(rejecting), error);
      const throwing = flights.do('key', () => {
        throw error;
      });
      assert.equal(await rejectionOf(throwing), error);
    }
    assert.deepEqual(await flights.do('key', () => 'well'), { value: 'well', shared: false });
  }),
);

test(
  'the function is called at once, and what is asked for meanwhile isn’t called again',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    const page = new Deferred<string>();
    let calls = 0;
    const load = () => {
      calls++;
      return page.promise;
    };
    const asked = Array.from({ length: 10 }, () => flights.do('page', load));
    assert.equal(calls, 1);
    assert.equal(await stateOf(asked[0]!), 'pending');
    page.resolve('bar');
    const results = await Promise.all(asked);
    assert.deepEqual(
      results,
      results.map(() => ({ value: 'bar', shared: true })),
    );
    assert.equal(calls, 1);
    assert.deepEqual(await flights.do('page', load), { value: 'bar', shared: false });
    assert.equal(calls, 2);
  }),
);

test(
  'a call that is over as it begins is shared by those who ask in the same turn',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    const results = await Promise.all([flights.do('key', () => 1), flights.do('key', () => 2)]);
    assert.deepEqual(results, [
      { value: 1, shared: true },
      { value: 1, shared: true },
    ]);
  }),
);

test(
  'keys are apart, and may be anything that a Map takes',
  withLeakCheck(async () => {
    const flights = new SingleFlight<object | number>();
    const [one, other] = [{}, {}];
    const keys = [one, other, 1, Number.NaN];
    const gates = keys.map(() => new Deferred());
    const asked = keys.map((key, i) => flights.do(key, () => gates[i]!.promise.then(() => i)));
    const again = keys.map((key) => flights.do(key, () => assert.fail('it is under way')));
    for (const gate of gates) gate.resolve();
    assert.deepEqual(
      (await Promise.all(asked)).map(({ value }) => value),
      [0, 1, 2, 3],
    );
    assert.ok((await Promise.all(again)).every(({ shared }) => shared));
  }),
);

test(
  'a failure goes to all who wait for it',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    const failing = new Deferred();
    const asked = Array.from({ length: 5 }, () => flights.do('key', () => failing.promise));
    const boom = new Error('boom');
    failing.reject(boom);
    const outcomes = await Promise.allSettled(asked);
    assert.deepEqual(
      outcomes,
      outcomes.map(() => ({ status: 'rejected', reason: boom })),
    );
  }),
);

test(
  'after forget the next one calls anew, while those before it share what is under way',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    const [old, fresh] = [new Deferred<string>(), new Deferred<string>()];
    const first = flights.do('key', () => old.promise);
    flights.forget('key');
    const second = flights.do('key', () => fresh.promise);
    const third = flights.do('key', () => assert.fail('it is under way'));
    fresh.resolve('fresh');
    assert.deepEqual(await second, { value: 'fresh', shared: true });
    assert.deepEqual(await third, { value: 'fresh', shared: true });
    assert.equal(await stateOf(first), 'pending');
    old.resolve('old');
    assert.deepEqual(await first, { value: 'old', shared: false });
  }),
);

test(
  'the end of a call that was forgotten leaves the new one in its place, whichever way it ends',
  withLeakCheck(async () => {
    for (const end of ['resolve', 'reject'] as const) {
      const flights = new SingleFlight();
      const [old, fresh] = [new Deferred<string>(), new Deferred<string>()];
      const first = flights.do('key', () => old.promise);
      flights.forget('key');
      const second = flights.do('key', () => fresh.promise);
      old[end]('old');
      await Promise.allSettled([first]);
      const third = flights.do('key', () => assert.fail('it is under way'));
      fresh.resolve('fresh');
      assert.deepEqual(await Promise.all([second, third]), [
        { value: 'fresh', shared: true },
        { value: 'fresh', shared: true },
      ]);
    }
  }),
);

test(
  'forgetting what is not under way does nothing',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    flights.forget('key');
    assert.deepEqual(await flights.do('key', () => 1), { value: 1, shared: false });
    flights.forget('key');
  }),
);

test(
  'a signal or context ends the wait of its caller, and the call goes on for the others',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    const page = new Deferred<string>();
    const controller = new AbortController();
    const [ctx, cancel] = withCancelCause(background());
    const starter = flights.do('page', () => page.promise, { signal: controller.signal });
    const joiner = flights.do('page', () => assert.fail('it is under way'), { signal: ctx });
    const patient = flights.do('page', () => assert.fail('it is under way'));
    const reason = new Error('enough');
    controller.abort(reason);
    assert.equal(await rejectionOf(starter), reason);
    cancel('no more');
    assert.equal(await rejectionOf(joiner), 'no more');
    assert.equal(await stateOf(patient), 'pending');
    page.resolve('bar');
    assert.deepEqual(await patient, { value: 'bar', shared: true });
  }),
);

test(
  'when all callers have left, the call still holds its key, and nobody is told how it ends',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    const failing = new Deferred();
    const controller = new AbortController();
    const left = flights.do('key', () => failing.promise, { signal: controller.signal });
    controller.abort();
    await rejectionOf(left);
    const back = flights.do('key', () => assert.fail('it is under way'));
    const boom = new Error('boom');
    failing.reject(boom);
    assert.equal(await rejectionOf(back), boom);

    const again = new AbortController();
    const failingAlone = new Deferred();
    const alone = flights.do('key', () => failingAlone.promise, { signal: again.signal });
    again.abort();
    await rejectionOf(alone);
    failingAlone.reject(boom);
    assert.deepEqual(await flights.do('other', () => 1), { value: 1, shared: false });
  }),
);

test(
  'nothing is called for one whose signal has fired before, and no listener is left on one that hasn’t',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    const reason = new Error('too late');
    const fired = AbortSignal.abort(reason);
    assert.equal(await rejectionOf(flights.do('key', () => assert.fail('nobody wants it'), { signal: fired })), reason);
    const { signal } = new AbortController();
    assert.deepEqual(await flights.do('key', () => 1, { signal }), { value: 1, shared: false });
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  }),
);

test(
  'a function may ask for another key, and for its own if it does not wait for it',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    let own: Promise<unknown> | undefined;
    const outer = await flights.do('outer', async () => {
      own = flights.do('outer', () => assert.fail('it is under way'));
      return (await flights.do('inner', () => 'inner')).value;
    });
    assert.deepEqual(outer, { value: 'inner', shared: true });
    assert.deepEqual(await own, outer);
  }),
);

test(
  'what is no function is refused, and leaves the key free',
  withLeakCheck(async () => {
    const flights = new SingleFlight();
    await assert.rejects(flights.do('key', 1 as never), { name: 'TypeError', message: 'fn must be a function, got 1' });
    await assert.rejects(
      flights.do('key', () => 1, { signal: {} as never }),
      { name: 'TypeError' },
    );
    assert.deepEqual(await flights.do('key', () => 1), { value: 1, shared: false });
  }),
);
