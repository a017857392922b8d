/** transfer: what is moved to the other side instead of copied. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { withLeakCheck } from '../../src/testing/index.ts';
import { NotCloneableError, transfer } from '../../src/threads/index.ts';
import { held, manage, rejectionOf, work } from './kit.ts';

/** What modules/transfers.js exports. */
interface Transfers {
  keep(bytes: Uint8Array): number;
  give(): Uint8Array;
  giveLater(): Promise<Uint8Array>;
  copy(): Uint8Array;
  left(): number;
  chunks(count: number, size: number): Generator<Uint8Array>;
  both(a: Uint8Array, b: Uint8Array): number[];
  open(port: MessagePort): void;
  giveWrong(): Uint8Array;
  empty(): Uint8Array;
}

const TRANSFERS = work('transfers.js');

test(
  'what is not marked is copied, in both directions',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    await manager.queueTask(async (_, { api }) => {
      const bytes = new Uint8Array(1_000);
      await api.keep(bytes);
      assert.equal(bytes.byteLength, 1_000);
      assert.equal((await api.copy()).byteLength, 1_000);
      assert.equal(await api.left(), 1_000);
    });
    await manager.stop();
  }),
);

test(
  'an argument is moved: the buffer is empty here, and there whole',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    await manager.queueTask(async (_, { api }) => {
      const bytes = new Uint8Array(1_000).fill(7);
      const call = api.keep(transfer(bytes, [bytes.buffer]));
      assert.equal(bytes.byteLength, 0, 'with the call, not later');
      assert.equal(await call, 1_000);
      assert.deepEqual(await api.copy(), new Uint8Array(1_000).fill(7));
    });
    await manager.stop();
  }),
);

test(
  'a result is moved: the buffer is empty there, and here whole',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    await manager.queueTask(async (_, { api }) => {
      for (const give of ['give', 'giveLater'] as const) {
        await api.keep(new Uint8Array(1_000).fill(7));
        assert.deepEqual(await api[give](), new Uint8Array(1_000).fill(7));
        assert.equal(await api.left(), 0);
      }
    });
    await manager.stop();
  }),
);

test(
  'what a generator yields is moved',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    await manager.queueTask(async (_, { api }) => {
      let i = 0;
      for await (const chunk of api.chunks(40, 100)) assert.deepEqual(chunk, new Uint8Array(100).fill(i++));
      assert.equal(i, 40);
      assert.equal(await api.left(), 0);
    });
    await manager.stop();
  }),
);

test(
  'an argument of a generator is moved when the generator begins, with the first next()',
  withLeakCheck(async () => {
    const manager = manage<{ chunks(first: Uint8Array): AsyncGenerator<number> }>(
      'data:text/javascript,export async function* chunks(first) { yield first.byteLength; }',
    );
    await manager.queueTask(async (_, { api }) => {
      const bytes = new Uint8Array(10);
      const stream = api.chunks(transfer(bytes, [bytes.buffer]));
      assert.equal(bytes.byteLength, 10);
      const first = stream.next();
      assert.equal(bytes.byteLength, 0);
      assert.deepEqual(await first, { done: false, value: 10 });
      await stream.return();
    });
    await manager.stop();
  }),
);

test(
  'several arguments are moved at once',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    await manager.queueTask(async (_, { api }) => {
      const [a, b] = [new Uint8Array(1), new Uint8Array(2)];
      assert.deepEqual(await api.both(transfer(a, [a.buffer]), transfer(b, [b.buffer])), [1, 2]);
      assert.deepEqual([a.byteLength, b.byteLength], [0, 0]);
    });
    await manager.stop();
  }),
);

test(
  'a port is moved, and works from there',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    const { port1, port2 } = new MessageChannel();
    await manager.queueTask((_, { api }) => api.open(transfer(port2, [port2])));
    port1.postMessage('hello');
    assert.deepEqual(await held(once(port1, 'message')), ['HELLO']);
    await held(once(port1, 'close'));
    await manager.stop();
  }),
);

test(
  'a list is used once: the next call with the same value copies it',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    await manager.queueTask(async (_, { api }) => {
      const bytes = new Uint8Array(10);
      transfer(bytes, []);
      await api.keep(bytes);
      assert.equal(bytes.byteLength, 10, 'an empty list moves nothing');
      await api.keep(transfer(bytes, [bytes.buffer]));
      assert.equal(bytes.byteLength, 0);
      const again = new Uint8Array(10);
      transfer(transfer(again, []), [again.buffer]); // the last list counts
      await api.keep(again);
      assert.equal(again.byteLength, 0);
      const image = { bytes: new Uint8Array(10), byteLength: 7 };
      await api.keep(transfer(image, [image.bytes.buffer]) as never);
      assert.equal(image.bytes.byteLength, 0);
      image.bytes = new Uint8Array(20);
      await api.keep(image as never);
      assert.equal(image.bytes.byteLength, 20);
    });
    await manager.stop();
  }),
);

test(
  'a list that nothing is to be moved by fails on the side that made it, and moves nothing',
  withLeakCheck(async () => {
    const manager = manage<Transfers>(TRANSFERS);
    await manager.queueTask(async (_, { api }) => {
      const bytes = new Uint8Array(10);
      const wrong = await rejectionOf(api.keep(transfer(bytes, [bytes.buffer, 'a string' as never])));
      assert.ok(wrong instanceof NotCloneableError);
      assert.match(wrong.message, /^keep can't be called in a thread: /);
      assert.equal(bytes.byteLength, 10);
      const twice = await rejectionOf(
        api.both(transfer(bytes, [bytes.buffer]), transfer(bytes.subarray(1), [bytes.buffer])),
      );
      assert.ok(twice instanceof NotCloneableError);
      assert.equal(bytes.byteLength, 10);
      structuredClone(bytes, { transfer: [bytes.buffer] });
      assert.ok((await rejectionOf(api.keep(transfer(bytes, [bytes.buffer])))) instanceof NotCloneableError);
      await api.keep(new Uint8Array(3));
      for (const give of ['giveWrong', 'empty'] as const) {
        const error = await rejectionOf(api[give]());
        assert.ok(error instanceof NotCloneableError, give);
        assert.match(error.message, new RegExp(`^what ${give} has returned can't be sent to its caller: `));
      }
      assert.equal(await api.left(), 3);
    });
    await manager.stop();
  }),
);

test('transfer gives the value back, and refuses what it makes no sense for', () => {
  const value = {};
  assert.equal(transfer(value, []), value);
  for (const wrong of [undefined, null, 7, 'text', true]) assert.throws(() => transfer(wrong as never, []), TypeError);
  for (const wrong of [undefined, null, new ArrayBuffer(1), {}]) {
    assert.throws(() => transfer(value, wrong as never), /the list of what to transfer must be an array, but is /);
  }
});
