/** Calls of functions in threads: which there are, what goes in, what comes back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import type { Thread, ThreadStream } from '../../src/threads/index.ts';
import { collect, manage, rejectionOf, source, work } from './kit.ts';

/** What modules/calls.js exports. */
interface Calls {
  add(a: number, b: number): number;
  addLater(a: number, b: number): Promise<number>;
  double(n: number): number;
  echo(...args: unknown[]): unknown[];
  where(): number;
  thenable(): PromiseLike<string>;
  nothing(): void;
  count(to: number): Generator<number, string>;
  countLater(to: number): AsyncGenerator<number, string>;
  readonly answer: number;
  default(): string;
}

const CALLS = work('calls.js');

test(
  'a function in the thread is called by its name: synchronous, asynchronous, an arrow, the default export',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS);
    await manager.queueTask(async (_, thread) => {
      assert.equal(await thread.call('add', 1, 2), 3);
      assert.equal(await thread.call('addLater', 3, 4), 7);
      assert.equal(await thread.call('double', 5), 10);
      assert.equal(await thread.call('default'), 'default');
      assert.equal(await thread.call('nothing'), undefined);
      assert.equal(await thread.call('thenable'), 'adopted');
    });
    await manager.stop();
  }),
);

test(
  'api is the same, as methods',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS);
    await manager.queueTask(async (_, { api }) => {
      assert.equal(await api.add(1, 2), 3);
      assert.equal(await api.addLater(3, 4), 7);
      const { double } = api;
      assert.equal(await double(5), 10);
      assert.deepEqual(await collect(api.count(3)), [1, 2, 3]);
    });
    await manager.stop();
  }),
);

test(
  'api lists the functions that the module exports, and nothing else; it is no promise, and is never written to',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS);
    await manager.queueTask(async (_, { api }) => {
      assert.deepEqual(
        Object.keys(api).sort(),
        ['add', 'addLater', 'count', 'countLater', 'default', 'double', 'echo', 'nothing', 'thenable', 'where'].sort(),
      );
      assert.equal('add' in api, true);
      for (const name of ['answer', 'toString', 'constructor', 'then']) {
        assert.equal(name in api, false);
        assert.equal(api[name as never], undefined);
      }
      assert.equal(await api, api);
      assert.throws(() => Object.assign(api, { add: () => 0 }), TypeError);
      assert.throws(() => Object.defineProperty(api, 'sub', { value: () => 0 }), TypeError);
      assert.equal(Reflect.deleteProperty(api, 'add'), false);
      assert.deepEqual(Object.keys({ ...api }).length, 10);
    });
    await manager.stop();
  }),
);

test(
  'arguments and results are copied as structuredClone does it',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS);
    const ring: { self?: unknown } = {};
    ring.self = ring;
    const values = [
      undefined,
      null,
      -0,
      Number.NaN,
      10n,
      'é\u{1f600}\ud800',
      new Date(7),
      /a+/giu,
      new Map([[{ a: 1 }, new Set([1])]]),
      new Uint8Array([1, 2, 3]),
      new ArrayBuffer(3),
      new Array(2).fill(1, 1),
      ring,
    ];
    const back = await manager.queueTask((_, thread) => thread.call('echo', ...values));
    assert.deepStrictEqual(back, values);
    const shared = new Int32Array(new SharedArrayBuffer(4));
    const [same] = (await manager.queueTask((_, thread) => thread.call('echo', shared))) as [Int32Array];
    shared[0] = 7;
    assert.equal(same[0], 7);
    await manager.stop();
  }),
);

test(
  'a generator streams its values, and what it returns is the value of the end',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS);
    await manager.queueTask(async (_, { api }) => {
      assert.deepEqual(
        await collect(api.count(100)),
        Array.from({ length: 100 }, (_, i) => i + 1),
      );
      assert.deepEqual(
        await collect(api.countLater(100)),
        Array.from({ length: 100 }, (_, i) => i + 1),
      );
      const stream = api.count(1);
      assert.deepEqual(await stream.next(), { done: false, value: 1 });
      assert.deepEqual(await stream.next(), { done: true, value: 'counted' });
      assert.deepEqual(await stream.next(), { done: true, value: undefined });
      assert.deepEqual(await api.countLater(0).next(), { done: true, value: 'counted later' });
    });
    await manager.stop();
  }),
);

test(
  'a function that the module has not is a TypeError that says what it has',
  withLeakCheck(async () => {
    const manager = manage(CALLS);
    await manager.queueTask(async (_, thread) => {
      for (const name of ['sub', 'answer', 'toString', '__proto__', 'constructor', '', 7, undefined, Symbol('add')]) {
        const error = await rejectionOf(thread.call(name as string));
        assert.ok(error instanceof TypeError);
        assert.match(error.message, /exports no function .*, but .*add, .*count/s);
      }
      assert.throws(() => (thread.api as unknown as { sub(): void }).sub(), TypeError);
    });
    const empty = manage(source('export const a = 1'));
    const error = await rejectionOf(empty.queueTask((_, thread) => thread.call('a')));
    assert.match(error.message, /exports no function "a", but no function at all/);
    await Promise.all([manager.stop(), empty.stop()]);
  }),
);

test(
  'several calls of one task are in the thread at once',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS);
    const sums = await manager.queueTask((_, { api }) =>
      Promise.all(Array.from({ length: 500 }, (_, i) => (i % 2 === 0 ? api.add(i, 1) : api.addLater(i, 1)))),
    );
    assert.deepEqual(
      sums,
      Array.from({ length: 500 }, (_, i) => i + 1),
    );
    await manager.stop();
  }),
);

test(
  'each worker has a thread of its own, whose number is threadId',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS, { workerCount: 3 });
    await manager.ready();
    const pairs = await manager.runOnEach(async (_, thread) => [thread.threadId, await thread.api.where()]);
    assert.equal(new Set(pairs.map(([id]) => id)).size, 3);
    for (const [outside, inside] of pairs) assert.equal(outside, inside);
    await manager.stop();
  }),
);

test(
  'map spreads its items over the threads',
  withLeakCheck(async () => {
    const manager = manage<Calls>(CALLS, { workerCount: 2 });
    const items = Array.from({ length: 200 }, (_, i) => i);
    const map = manager.map(items, (i, _, thread) => thread.api.double(i), { ordered: true });
    assert.deepEqual(
      await collect(map),
      items.map((i) => 2 * i),
    );
    await manager.stop();
  }),
);

test(
  'a CommonJS module is called as well, by the functions of its module.exports',
  withLeakCheck(async () => {
    const manager = manage<{ add(a: number, b: number): number; count(to: number): Generator<number> }>(
      work('plain.cjs'),
    );
    await manager.queueTask(async (_, { api }) => {
      assert.deepEqual(Object.keys(api).sort(), ['add', 'count']);
      assert.equal(await api.add(1, 2), 3);
      assert.deepEqual(await collect(api.count(3)), [1, 2, 3]);
    });
    await manager.stop();
  }),
);

test(
  'a module is given by a URL, an absolute path, a data: URL, or the name of one of Node’s own',
  withLeakCheck(async () => {
    const byPath = manage(CALLS.pathname);
    assert.equal(await byPath.queueTask((_, thread) => thread.call('add', 1, 2)), 3);
    const byText = manage(String(CALLS));
    assert.equal(await byText.queueTask((_, thread) => thread.call('add', 1, 2)), 3);
    const byData = manage(source('export function* f(a) { yield a; }'));
    const stream = await byData.queueTask((_, thread) =>
      collect(thread.call('f', 7) as unknown as ThreadStream<number>),
    );
    assert.deepEqual(stream, [7]);
    const byName = manage<typeof import('node:path')>('node:path');
    assert.equal(await byName.queueTask((_, { api }) => api.basename('/a/b.txt')), 'b.txt');
    await Promise.all([byPath, byText, byData, byName].map((manager) => manager.stop()));
  }),
);

test(
  'a thread that a task has kept is of no use after it',
  withLeakCheck(async () => {
    let kept: Thread<Calls> | undefined;
    const manager = manage<Calls>(CALLS);
    await manager.queueTask((_, thread) => {
      kept = thread;
    });
    const error = await rejectionOf(kept!.api.add(1, 2));
    assert.equal(error.code, 'ERR_CANCELED');
    const failed = await rejectionOf(kept!.api.count(1).next());
    assert.equal(failed.code, 'ERR_CANCELED');
    await manager.stop();
  }),
);
