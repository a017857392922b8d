/** Errors on their way out of a thread: what they keep. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CanceledError, DeadlineExceededError } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { manage, Probe, type Rejection, rejectionOf, work } from './kit.ts';

/** What modules/throws.js exports. */
interface Throws {
  fail(kind: string): never;
  failLater(kind: string): Promise<never>;
  failInStream(kind: string): Generator<number>;
  reject(kind: string): PromiseLike<never>;
  badThen(): PromiseLike<never>;
  Class(): void;
}

const THROWS = work('throws.js');

interface Thrown extends Rejection {
  readonly errno?: unknown;
  readonly syscall?: unknown;
  readonly order?: unknown;
  readonly ok?: unknown;
  readonly date?: unknown;
  readonly data?: unknown;
}

type Fail = (kind: string) => Promise<Thrown>;

/** Runs a test with what has come of an error, and asserts that the thread has outlived it. */
function failing(body: (fail: Fail) => Promise<void>): () => Promise<void> {
  return withLeakCheck(async () => {
    const manager = manage<Throws>(THROWS);
    await manager.queueTask((_, { api }) => body((kind) => rejectionOf(api.fail(kind))));
    assert.equal(manager.metrics().totalResourcesCreated, 1);
    await manager.stop();
  });
}

test(
  'an error keeps its name, message, stack, code, cause, and what else is its own',
  failing(async (fail) => {
    const error = await fail('custom');
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'OrderError');
    assert.equal(error.message, 'no such order');
    assert.match(error.stack!, /^(Order)?Error: no such order\n\s+at .*throws\.js/);
    assert.equal(error.code, 'E_ORDER');
    assert.deepEqual(error.order, { id: 7, lines: ['a', 'b'] });
    const cause = error.cause as Error;
    assert.ok(cause instanceof TypeError);
    assert.equal(cause.message, 'the root');
    assert.equal(cause.cause, 'a text');
    assert.deepEqual(Object.keys(error), ['code', 'order']);
    assert.equal(String(error), 'OrderError: no such order');
  }),
);

test(
  'errors of the language keep their class; one whose name only its class knows keeps the name',
  failing(async (fail) => {
    assert.equal((await fail('plain')).constructor, Error);
    const range = await fail('range');
    assert.equal(range.constructor, RangeError);
    assert.equal(range.name, 'RangeError');
    assert.deepEqual(Object.getOwnPropertyNames(range).sort(), ['message', 'stack']);
    const inherited = await fail('inherited');
    assert.equal(inherited.name, 'Inherited');
    assert.ok(inherited instanceof Error);
    assert.equal('cause' in range, false);
  }),
);

test(
  'an error of the system keeps all that Node says',
  failing(async (fail) => {
    const { code, errno, syscall } = await fail('system');
    assert.deepEqual(
      [code, errno, syscall].map((value) => typeof value),
      ['string', 'number', 'string'],
    );
  }),
);

test(
  'errand’s own errors are of their classes; those of others with the same code are not',
  failing(async (fail) => {
    const canceled = await fail('canceled');
    assert.ok(canceled instanceof CanceledError);
    assert.equal(canceled.cause, 'why');
    assert.equal(canceled.name, 'AbortError');
    const deadline = await fail('deadline');
    assert.ok(deadline instanceof DeadlineExceededError);
    assert.equal(deadline.message, 'too late');
    const axios = await fail('axios');
    assert.equal(axios instanceof CanceledError, false);
    assert.deepEqual([axios.name, axios.code], ['CanceledError', 'ERR_CANCELED']);
  }),
);

test(
  'an AggregateError keeps its errors, and a DOMException is one',
  failing(async (fail) => {
    const aggregate = (await fail('aggregate')) as unknown as AggregateError;
    assert.ok(aggregate instanceof AggregateError);
    assert.equal(aggregate.message, 'all of them');
    const [first, second, third] = aggregate.errors;
    assert.ok(first instanceof RangeError);
    assert.equal(second, 'second');
    assert.deepEqual([third.name, third.code], ['OrderError', 'E_ORDER']);
    const dom = await fail('dom');
    assert.ok(dom instanceof DOMException);
    assert.deepEqual([dom.name, dom.message], ['NotAllowedError', 'not allowed']);
    assert.match(dom.stack!, /throws\.js/);
    const abort = await fail('abort');
    assert.ok(abort instanceof DOMException);
    assert.equal(abort.name, 'AbortError');
  }),
);

test(
  'what is thrown and no error comes as it is; what can’t be sent of that, in words',
  failing(async (fail) => {
    assert.equal(await fail('text'), 'just a text');
    assert.equal(await fail('number'), 7);
    assert.equal(await fail('nothing'), undefined);
    assert.equal(await fail('null'), null);
    assert.deepEqual(await fail('object'), { status: 404, headers: new Map([['a', 'b']]) });
    assert.equal(await fail('symbol'), 'Symbol(thrown)');
    assert.equal(await fail('fn'), 'function thrown() {}');
    assert.deepEqual({ ...(await fail('noPrototype')) }, { text: 'bare' });
    assert.equal(await fail('unprintable'), '[object Object]');
  }),
);

test(
  'own properties that can’t be sent are left out, and the rest comes',
  failing(async (fail) => {
    const error = await fail('props');
    assert.deepEqual(error.ok, [1, { deep: true }]);
    assert.deepEqual(error.date, new Date(7));
    assert.deepEqual(Object.keys(error).sort(), ['date', 'ok']);
    assert.equal(((await fail('big')).data as Uint8Array).byteLength, 1_000_000);
    assert.equal((await fail('oddCause')).cause, '[object Object]');
  }),
);

test(
  'errors that are each other’s cause, or their own part, come as such; and a chain at any length',
  failing(async (fail) => {
    const one = await fail('ring');
    assert.equal(one.message, 'one');
    const two = one.cause as Error;
    assert.equal(two.message, 'two');
    assert.equal(two.cause, one);
    const selfish = (await fail('selfish')) as unknown as AggregateError;
    assert.equal(selfish.errors.length, 20);
    for (const part of selfish.errors) assert.equal(part, selfish);
    let link: unknown = await fail('chain');
    for (let i = 99; i >= 0; i--) {
      assert.equal((link as Error).message, String(i));
      link = (link as Error).cause;
    }
    assert.equal(link, undefined);
    assert.equal((await fail('long')).message, '99999');
  }),
);

test(
  'hostile errors are told of, and break nothing',
  failing(async (fail) => {
    assert.match(String(await fail('proxy')), /can't be read/);
    assert.match(String(await fail('getters')), /can't be read/);
    const fickle = await fail('fickle');
    assert.equal(fickle.message, 'fickle');
    assert.deepEqual(fickle.data, { value: 'once' });
    assert.equal((await fail('unnamed')).message, 'unnamed');
    assert.match(String(await fail('oddName')), /odd|can't be read/);
    const noStack = await fail('noStack');
    assert.equal(noStack.message, 'no stack');
    assert.equal(noStack.stack, undefined);
  }),
);

test(
  'it is all the same from asynchronous functions, thenables and generators',
  withLeakCheck(async () => {
    const manager = manage<Throws>(THROWS);
    await manager.queueTask(async (_, { api }) => {
      for (const kind of ['custom', 'aggregate', 'text', 'proxy', 'fickle', 'selfish', 'long']) {
        const stream = api.failInStream(kind);
        await stream.next();
        const errors = await Promise.all([
          rejectionOf(api.fail(kind)),
          rejectionOf(api.failLater(kind)),
          rejectionOf(api.reject(kind)),
          rejectionOf(stream.next()),
        ]);
        for (const error of errors) assert.equal(String(error), String(errors[0]));
      }
      assert.equal((await rejectionOf(api.badThen())).message, 'a broken then');
      assert.match((await rejectionOf(api.Class())).message, /Class constructor Class cannot be invoked/);
    });
    assert.equal(manager.metrics().totalResourcesCreated, 1);
    await manager.stop();
  }),
);

test(
  'the reason of a cancellation crosses in the same way, whatever it is',
  withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<{ waitForSignal(): Promise<never> }>(work('contexts.js'), { workerData: probe.cells });
    const hostile = new Proxy(new Error('x'), {
      get() {
        throw new Error('hands off');
      },
    });
    const plain = ['text', 7, 0, null, { a: 1 }];
    let calls = 0;
    for (const reason of [...plain, new RangeError('out of it'), () => {}, Symbol('s'), hostile]) {
      let late: unknown;
      const handle = manager.queueTaskAsync(async (_, { api }) => {
        late = await rejectionOf(api.waitForSignal());
      });
      await probe.reached(0, ++calls);
      handle.cancel(reason);
      await rejectionOf(handle);
      await manager.queueTask(() => {});
      if (plain.includes(reason as never)) assert.deepEqual(late, reason);
      else if (reason instanceof RangeError) assert.equal((late as Error).message, 'out of it');
      else assert.equal(typeof late, 'string');
    }
    assert.equal(manager.metrics().totalResourcesCreated, 1);
    await manager.stop();
  }),
);
