/** Values that can't be sent: a clear error on the side that made them. Or not be read: the end of the thread. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { NotCloneableError, ThreadCrashError } from '../../src/threads/index.ts';
import { collect, manage, rejectionOf, work } from './kit.ts';

/** What modules/values.js exports. */
interface Values {
  echo(...args: unknown[]): unknown[];
  make(kind: string): unknown;
  makeLater(kind: string): Promise<unknown>;
  makeEach(kind: string): Generator<unknown>;
  makeAtEnd(kind: string): Generator<unknown>;
  deep(levels: number): unknown[];
}

const VALUES = work('values.js');

const UNSENDABLE = {
  fn: () => {},
  symbol: Symbol('here'),
  promise: Promise.resolve(1),
  weak: new WeakMap(),
  proxy: new Proxy({}, {}),
  getter: {
    get broken() {
      throw new RangeError('a broken getter');
    },
  },
};

test(
  'an argument that can’t be sent fails the call here, before anything is sent, and says which it is',
  withLeakCheck(async () => {
    const manager = manage<Values>(VALUES);
    await manager.queueTask(async (_, { api }) => {
      for (const [kind, value] of Object.entries(UNSENDABLE)) {
        const error = await rejectionOf(api.echo(1, value, 3));
        assert.ok(error instanceof NotCloneableError, kind);
        assert.equal(error.code, 'ERR_NOT_CLONEABLE');
        assert.match(error.message, /^echo can't be called in a thread: argument 2 can't be sent to it: /);
        assert.ok(error.cause instanceof Error, kind);
        // It is thrown, not handed over: the stack leads to the call.
        assert.match(error.stack!, /not-cloneable\.test/);
      }
      assert.equal((await rejectionOf(api.makeEach(UNSENDABLE.fn as never).next())).name, 'NotCloneableError');
      assert.deepEqual(await api.echo('still', 'here'), ['still', 'here']);
    });
    await manager.stop();
  }),
);

test(
  'a result that can’t be sent fails the call there, and the caller hears what it was',
  withLeakCheck(async () => {
    const manager = manage<Values>(VALUES);
    await manager.queueTask(async (_, { api }) => {
      for (const name of ['make', 'makeLater'] as const) {
        for (const kind of [...Object.keys(UNSENDABLE), 'self']) {
          const error = await rejectionOf(api[name](kind));
          assert.ok(error instanceof NotCloneableError, `${name} ${kind}: ${error}`);
          assert.equal(error.code, 'ERR_NOT_CLONEABLE');
          assert.match(error.message, new RegExp(`^what ${name} has returned can't be sent to its caller: `));
          assert.ok(error.cause instanceof Error);
        }
      }
      const error = await rejectionOf(api.make('generator'));
      assert.match(error.message, /To stream values, export a generator function/);
      assert.deepEqual(await api.echo('still', 'here'), ['still', 'here']);
    });
    await manager.stop();
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'a value that is yielded, or returned at the end of a stream, and can’t be sent fails the stream',
  withLeakCheck(async () => {
    const manager = manage<Values>(VALUES);
    await manager.queueTask(async (_, { api }) => {
      for (const name of ['makeEach', 'makeAtEnd'] as const) {
        const stream = api[name]('fn');
        assert.deepEqual(await stream.next(), { done: false, value: 1 });
        const error = await rejectionOf(stream.next());
        assert.ok(error instanceof NotCloneableError);
        assert.match(
          error.message,
          name === 'makeEach' ? /^what makeEach has yielded/ : /^what makeAtEnd has returned/,
        );
        assert.deepEqual(await collect(stream), []);
      }
    });
    await manager.stop();
  }),
);

test(
  'a result too deep for the stack here costs its thread, and nothing else',
  withLeakCheck(async () => {
    const manager = manage<Values>(VALUES);
    for (const levels of [7_000, 7_000]) {
      const error = await rejectionOf(manager.queueTask((_, { api }) => api.deep(levels)));
      assert.ok(error instanceof ThreadCrashError);
      assert.match(error.message, /^thread \d+ ended under deep: it has sent what can't be read: Maximum call stack/);
      assert.equal(error.hasBegun, true);
      assert.ok(error.cause instanceof RangeError);
    }
    assert.equal((await manager.queueTask((_, { api }) => api.deep(100))).length, 1);
    await manager.stop();
  }),
);

test(
  'and so it does when the answer is looked out for',
  withLeakCheck(async () => {
    const manager = manage<Values>(VALUES);
    const error = await rejectionOf(
      manager.queueTask(async (_, { api }) => {
        for (let i = 0; i < 100; i++) await api.echo(i);
        await api.deep(7_000);
      }),
    );
    assert.ok(error instanceof ThreadCrashError);
    await manager.stop();
  }),
);

test(
  'an argument too deep for the stack there costs the thread, and its task doesn’t run again',
  withLeakCheck(async () => {
    const manager = manage<Values>(VALUES, { resourceLimits: { stackSizeMb: 0.7 } });
    let deep: unknown[] = [];
    for (let i = 0; i < 2_000; i++) deep = [deep];
    for (const calls of [0, 100]) {
      let runs = 0;
      const error = await rejectionOf(
        manager.queueTask(async (_, { api }) => {
          runs++;
          for (let i = 0; i < calls; i++) await api.echo(i);
          await api.echo(deep);
        }),
      );
      assert.ok(error instanceof ThreadCrashError);
      assert.match(error.message, /what it was called with can't be read: Maximum call stack size exceeded/);
      assert.equal(error.hasBegun, true);
      assert.equal(runs, 1);
    }
    await manager.stop();
  }),
);
