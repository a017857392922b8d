import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { show } from '../../src/go/checks.ts';
import { background, WaitGroup, withCancelCause } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Deferred, rejectionOf, stateOf } from '../manager/support.ts';

test(
  'wait resolves at once when nothing is under way',
  withLeakCheck(async () => {
    await new WaitGroup().wait();
  }),
);

test(
  'wait resolves when all are done, and not before, for all who wait; and again in the next round',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    const told: number[] = [];
    for (let round = 0; round < 3; round++) {
      group.add(16);
      const waits = [group.wait(), group.wait(), group.wait()].map((wait) => wait.then(() => told.push(round)));
      for (let i = 0; i < 16; i++) {
        assert.equal(await stateOf(waits[0]!), 'pending');
        group.done();
      }
      await Promise.all(waits);
    }
    assert.deepEqual(told, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
  }),
);

test(
  'who waits goes on when the counter has been 0, even if a new round has begun in the same turn',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    group.add();
    const first = group.wait();
    group.done();
    group.add();
    const second = group.wait();
    await first;
    assert.equal(await stateOf(second), 'pending');
    group.done();
    await second;
  }),
);

test(
  'more done than begun is an error, and leaves the counter as it was',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    assert.throws(() => group.done(), { name: 'RangeError', message: 'negative counter: 0 under way, and 1 done' });
    group.add(2);
    assert.throws(() => group.add(-3), { name: 'RangeError', message: 'negative counter: 2 under way, and 3 done' });
    const waiting = group.wait();
    assert.equal(await stateOf(waiting), 'pending');
    group.add(-2);
    await waiting;
  }),
);

test(
  'only whole numbers count',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    for (const wrong of [0.5, Number.NaN, Infinity, '1', null]) {
      assert.throws(() => group.add(wrong as number), {
        name: 'RangeError',
        message: `n must be a whole number, got ${show(wrong)}`,
      });
    }
    group.add(0);
    await group.wait();
  }),
);

test(
  'go runs its function now, gives what it gives, and counts until it has settled',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    const answer = new Deferred<number>();
    let began = false;
    const result = group.go(() => {
      began = true;
      return answer.promise;
    });
    assert.equal(began, true);
    const plain = group.go(() => 'plain');
    const waiting = group.wait();
    assert.equal(await plain, 'plain');
    assert.equal(await stateOf(waiting), 'pending');
    answer.resolve(42);
    await waiting;
    assert.equal(await result, 42);
  }),
);

test(
  'a function that fails, at once or later, is done; its error is for the caller of go, not for who waits',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    const [now, later] = [new Error('now'), new Error('later')];
    const failed = new Deferred();
    const first = group.go(() => {
      throw now;
    });
    const second = group.go(() => failed.promise);
    assert.equal(await rejectionOf(first), now);
    const waiting = group.wait();
    assert.equal(await stateOf(waiting), 'pending');
    failed.reject(later);
    assert.equal(await rejectionOf(second), later);
    await waiting;
  }),
);

test(
  'a failure that nobody handles is an unhandled rejection, as it would be a panic in Go',
  withLeakCheck(async () => {
    const seen = new Deferred<unknown>();
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.once('unhandledRejection', (error) => seen.resolve(error));
    try {
      const boom = new Error('boom');
      void new WaitGroup().go(() => Promise.reject(boom));
      assert.equal(await seen.promise, boom);
    } finally {
      for (const other of others) process.on('unhandledRejection', other);
    }
  }),
);

test(
  'what is no function is refused and not counted',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    await assert.rejects(group.go('fn' as never), { name: 'TypeError', message: 'fn must be a function, got "fn"' });
    await group.wait();
  }),
);

test(
  'functions may begin others: the group waits for all',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    let visited = 0;
    const visit = async (depth: number): Promise<void> => {
      visited++;
      await Promise.resolve();
      if (depth === 0) return;
      void group.go(() => visit(depth - 1));
      void group.go(() => visit(depth - 1));
    };
    void group.go(() => visit(4));
    await group.wait();
    assert.equal(visited, 31);
  }),
);

test(
  'a signal or context ends a wait with its reason, and nothing else',
  withLeakCheck(async () => {
    const group = new WaitGroup();
    group.add();
    const controller = new AbortController();
    const [ctx, cancel] = withCancelCause(background());
    const bySignal = group.wait({ signal: controller.signal });
    const byContext = group.wait({ signal: ctx });
    const patient = group.wait();
    const reason = new Error('enough');
    controller.abort(reason);
    assert.equal(await rejectionOf(bySignal), reason);
    cancel('no more');
    assert.equal(await rejectionOf(byContext), 'no more');
    assert.equal(await rejectionOf(group.wait({ signal: ctx })), 'no more');
    assert.equal(await stateOf(patient), 'pending');
    group.done();
    await patient;
    const unused = new AbortController().signal;
    await group.wait({ signal: unused });
    assert.equal(getEventListeners(unused, 'abort').length, 0);
    await assert.rejects(group.wait({ signal: 1 as never }), {
      name: 'TypeError',
      message: 'signal must be a Context or an AbortSignal, got 1',
    });
  }),
);

test(
  '`await using` waits at the end of the block',
  withLeakCheck(async () => {
    const gate = new Deferred();
    let ended = false;
    const block = (async () => {
      await using group = new WaitGroup();
      void group.go(async () => {
        await gate.promise;
        ended = true;
      });
    })();
    assert.equal(await stateOf(block), 'pending');
    gate.resolve();
    await block;
    assert.equal(ended, true);
  }),
);
