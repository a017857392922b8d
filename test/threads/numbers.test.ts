/** The numbers of calls, which begin anew some day, and the flags of those that are canceled. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { withLeakCheck } from '../../src/testing/index.ts';
import {
  BEGUN,
  FROM_HOST,
  FROM_THREAD,
  hasBegun,
  isFlagged,
  lowerFlag,
  nextCall,
  raiseFlag,
  SHARED_LENGTH,
} from '../../src/threads/protocol.ts';
import { seed } from '../properties/support/seed.ts';
import { manage, Probe, rejectionOf, until, work } from './kit.ts';

const LAST = 2 ** 31 - 1;

/** The number of the call so many calls after another. */
function after(call: number, count: number): number {
  return ((call - 1 + count) % LAST) + 1;
}

test('numbers go from 1 to the last that a flag can hold, and begin anew', () => {
  assert.equal(nextCall(0), 1);
  assert.equal(nextCall(1), 2);
  assert.equal(nextCall(LAST - 1), LAST);
  assert.equal(nextCall(LAST), 1);
  assert.equal(new Int32Array([LAST])[0], LAST);
});

test('a call has begun when it isn’t after the last that has, wherever the numbers begin anew', () => {
  const anywhere = fc.oneof(
    fc.integer({ min: 1, max: LAST }),
    fc.integer({ min: 1, max: 1_000 }),
    fc.integer({ min: LAST - 1_000, max: LAST }),
  );
  // As many calls as could be alive at once, and more.
  const count = fc.integer({ min: 0, max: 1_000_000 });
  fc.assert(
    fc.property(anywhere, count, (call, ahead) => {
      assert.equal(hasBegun(call, after(call, ahead)), true);
      assert.equal(hasBegun(after(call, ahead + 1), call), false);
    }),
    { seed },
  );
  assert.equal(hasBegun(1, 0), false, 'none has begun at first');
});

test('calls that follow one another have flags of their own, apart from all else that is shared', () => {
  for (const first of [1, 1_000, LAST - 100]) {
    const shared = new Int32Array(SHARED_LENGTH);
    const calls = Array.from({ length: 255 }, (_, i) => after(first, i));
    for (const call of calls.filter((_, i) => i % 3 === 0)) raiseFlag(shared, call);
    calls.forEach((call, i) => {
      assert.equal(isFlagged(shared, call), i % 3 === 0);
    });
    for (const index of [BEGUN, FROM_HOST, FROM_THREAD]) assert.equal(shared[index], 0);
    for (const call of calls) lowerFlag(shared, call);
    assert.ok(shared.every((value) => value === 0));
  }
});

test('a flag that another call has taken over stays that one’s', () => {
  const shared = new Int32Array(SHARED_LENGTH);
  raiseFlag(shared, 7);
  raiseFlag(shared, 7 + 256);
  assert.equal(isFlagged(shared, 7), false);
  lowerFlag(shared, 7);
  assert.equal(isFlagged(shared, 7 + 256), true);
});

test(
  'when a canceled call is over its flag is down, so that a call of the same number can begin some day',
  withLeakCheck(async (t: { mock: typeof import('node:test').mock }) => {
    const stores = t.mock.method(Atomics, 'store');
    const probe = new Probe();
    const manager = manage<{ waitForSignal(): Promise<never>; mark(): void }>(work('contexts.js'), {
      workerData: probe.cells,
    });
    const handle = manager.queueTaskAsync((_, { api }) => Promise.all([api.waitForSignal(), api.waitForSignal()]));
    await probe.reached(0, 2);
    handle.cancel();
    await rejectionOf(handle);
    await until(() => manager.stats().stuckWorkers === 0);
    const shared = stores.mock.calls
      .map(({ arguments: [array] }) => array as unknown as Int32Array)
      .find(({ length }) => length === SHARED_LENGTH)!;
    stores.mock.restore();
    assert.ok([1, 2].every((call) => !isFlagged(shared, call)));
    await manager.stop();
  }),
);

test(
  'more calls than there are flags are canceled all the same',
  withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<{ waitForSignal(): Promise<never> }>(work('contexts.js'), { workerData: probe.cells });
    const handle = manager.queueTaskAsync((_, { api }) =>
      Promise.allSettled(Array.from({ length: 600 }, () => api.waitForSignal())),
    );
    await probe.reached(0, 600);
    handle.cancel();
    await rejectionOf(handle);
    await until(() => manager.stats().stuckWorkers === 0);
    assert.equal(probe.get(1), 600);
    assert.equal(manager.metrics().totalResourcesCreated, 1);
    await manager.stop();
  }),
);
