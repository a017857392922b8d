import assert from 'node:assert/strict';
import { test } from 'node:test';
import { background, Once, onceValue, withCancelCause } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { Deferred, rejectionOf, stateOf } from '../manager/support.ts';

test(
  'a Once runs the first function and no other, whoever comes',
  withLeakCheck(async () => {
    const once = new Once();
    const ran: string[] = [];
    assert.equal(once.done, false);
    await Promise.all(Array.from({ length: 10 }, (_, i) => once.do(() => ran.push(`first round ${i}`))));
    assert.equal(once.done, true);
    await once.do(() => ran.push('later'));
    assert.deepEqual(ran, ['first round 0']);
  }),
);

test(
  'a Once calls the function at once, and has those who come meanwhile wait for its end',
  withLeakCheck(async () => {
    const once = new Once();
    const loaded = new Deferred();
    let began = false;
    const first = once.do(() => {
      began = true;
      return loaded.promise;
    });
    assert.equal(began, true);
    const second = once.do(() => assert.fail('it runs once'));
    assert.equal(await stateOf(second), 'pending');
    assert.equal(once.done, false);
    loaded.resolve();
    await Promise.all([first, second]);
    assert.equal(once.done, true);
  }),
);

test(
  'a failure is told to the first caller alone, and is no reason to run again',
  withLeakCheck(async () => {
    for (const failing of [() => Promise.reject(new Error('boom')), () => assert.fail('boom')]) {
      const once = new Once();
      const first = once.do(failing);
      const meanwhile = once.do(() => assert.fail('it runs once'));
      assert.equal(((await rejectionOf(first)) as Error).message, 'boom');
      await meanwhile;
      assert.equal(once.done, true);
      await once.do(() => assert.fail('it runs once'));
    }
  }),
);

test(
  'a function may come back to its own Once, if it does not wait for it',
  withLeakCheck(async () => {
    const once = new Once();
    let runs = 0;
    let inner: Promise<void> | undefined;
    await once.do(() => {
      runs++;
      inner = once.do(() => runs++);
    });
    await inner;
    assert.equal(runs, 1);
  }),
);

test(
  'a signal ends the wait of its caller, and not the function',
  withLeakCheck(async () => {
    const once = new Once();
    const loaded = new Deferred();
    const [ctx, cancel] = withCancelCause(background());
    const first = once.do(() => loaded.promise, { signal: ctx });
    const second = once.do(() => assert.fail('it runs once'), { signal: ctx });
    const third = once.do(() => assert.fail('it runs once'));
    const reason = new Error('too late');
    cancel(reason);
    assert.equal(await rejectionOf(first), reason);
    assert.equal(await rejectionOf(second), reason);
    assert.equal(await rejectionOf(once.do(() => assert.fail('it runs once'), { signal: ctx })), reason);
    assert.equal(await stateOf(third), 'pending');
    loaded.reject(new Error('heard by nobody, as its caller has left'));
    await third;
    assert.equal(once.done, true);
  }),
);

test(
  'a Once refuses what is no function, and stays unused',
  withLeakCheck(async () => {
    const once = new Once();
    await assert.rejects(once.do('now' as never), { name: 'TypeError', message: 'fn must be a function, got "now"' });
    assert.equal(once.done, false);
    let ran = false;
    await once.do(() => {
      ran = true;
    });
    assert.equal(ran, true);
  }),
);

test(
  'onceValue calls its function at the first call, and gives the same value every time',
  withLeakCheck(() => {
    let calls = 0;
    const value = onceValue(() => ({ call: ++calls }));
    assert.equal(calls, 0);
    const first = value();
    assert.deepEqual(first, { call: 1 });
    assert.equal(value(), first);
    assert.equal(calls, 1);
  }),
);

test(
  'onceValue takes undefined for a value like any other',
  withLeakCheck(() => {
    let calls = 0;
    const run = onceValue(() => {
      calls++;
    });
    assert.equal(run(), undefined);
    assert.equal(run(), undefined);
    assert.equal(calls, 1);
  }),
);

test(
  'onceValue throws the same error every time, whatever it is',
  withLeakCheck(() => {
    for (const thrown of [new Error('boom'), 'boom', undefined, null]) {
      let calls = 0;
      const value = onceValue(() => {
        calls++;
        throw thrown;
      });
      const errors: unknown[] = [];
      for (let i = 0; i < 3; i++) {
        try {
          value();
        } catch (error) {
          errors.push(error);
        }
      }
      assert.deepEqual(errors, [thrown, thrown, thrown]);
      assert.equal(errors[2], thrown);
      assert.equal(calls, 1);
    }
  }),
);

test(
  'onceValue gives one promise to all, a rejected one too',
  withLeakCheck(async () => {
    const connection = new Deferred<string>();
    const connect = onceValue(() => connection.promise);
    const [first, second] = [connect(), connect()];
    assert.equal(first, second);
    connection.resolve('open');
    assert.equal(await connect(), 'open');

    const boom = new Error('boom');
    const fail = onceValue(() => Promise.reject(boom));
    assert.equal(await rejectionOf(fail()), boom);
    assert.equal(await rejectionOf(fail()), boom);
  }),
);

test(
  'a function that needs its own value is told so, and that is its outcome unless it makes another',
  withLeakCheck(() => {
    const itself: () => number = onceValue(() => itself() + 1);
    assert.throws(() => itself(), { message: 'a function of onceValue needs its own value' });
    assert.throws(() => itself(), { message: 'a function of onceValue needs its own value' });
    const careful: () => number = onceValue(() => {
      assert.throws(() => careful());
      return 7;
    });
    assert.equal(careful(), 7);
  }),
);

test(
  'onceValue refuses what is no function',
  withLeakCheck(() => {
    assert.throws(() => onceValue(7 as never), { name: 'TypeError', message: 'fn must be a function, got 7' });
  }),
);
