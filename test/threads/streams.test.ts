/** Generators in threads: back-pressure, early exit, failures, and streams over streams. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CanceledError, DeadlineExceededError } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { NotCloneableError } from '../../src/threads/index.ts';
import { settle } from '../manager/kit.ts';
import { collect, deferred, manage, Probe, rejectionOf, until, work } from './kit.ts';

/** What modules/streams.js exports. */
interface Streams {
  endless(): Generator<number, void>;
  endlessLater(): AsyncGenerator<number, void>;
  slowToEnd(): AsyncGenerator<number, void>;
  badEnd(): AsyncGenerator<number, void>;
  failing(after: number): Generator<number, void>;
  unwilling(): Generator<number | string, void>;
  heedful(): AsyncGenerator<number, void>;
  silent(): AsyncGenerator<number, void>;
  contexts(to: number): AsyncGenerator<string, void>;
  blocked(): Generator<number, void>;
  mixed(): Generator<unknown, void>;
}

const YIELDED = 0;
const ENDED = 1;
const LET_GO = 2;
const SAW_CANCEL = 3;
/** How many values may be on their way. */
const WINDOW = 16;

const STREAMS = work('streams.js');

/** Runs a test with a manager of one thread, and the numbers that the thread tells. */
function streaming(
  body: (manager: ReturnType<typeof manage<Streams>>, probe: Probe) => Promise<void>,
): () => Promise<void> {
  return withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Streams>(STREAMS, { workerData: probe.cells });
    await body(manager, probe);
    await manager.stop();
  });
}

test(
  'a generator begins with the first next()',
  streaming(async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.endless();
      await api
        .failing(0)
        .next()
        .catch(() => {}); // the thread has had time
      assert.equal(probe.get(YIELDED), 0);
      await stream.next();
      assert.ok(probe.get(YIELDED) > 0);
      await stream.return();
    });
  }),
);

for (const name of ['endless', 'endlessLater'] as const) {
  test(
    `${name}: a generator is never more than ${WINDOW} values ahead of its reader`,
    streaming(async (manager, probe) => {
      await manager.queueTask(async (_, { api }) => {
        const stream = api[name]();
        for (let read = 1; read <= 50; read++) {
          assert.deepEqual(await stream.next(), { done: false, value: read });
          if (read % 10 === 0) {
            // As far as it can go, and no further.
            await probe.reached(YIELDED, read + WINDOW / 2);
            for (let i = 0; i < 20; i++)
              await api
                .failing(0)
                .next()
                .catch(() => {});
          }
          assert.ok(probe.get(YIELDED) <= read + WINDOW, `${probe.get(YIELDED)} with ${read} read`);
        }
        await stream.return();
      });
    }),
  );

  test(
    `${name}: leaving the loop has its finally run, and waits for it`,
    streaming(async (manager, probe) => {
      await manager.queueTask(async (_, { api }) => {
        for await (const value of api[name]()) if (value === 3) break;
        assert.equal(probe.get(ENDED), 1);
        // And the thread is free for the next.
        for await (const value of api[name]()) if (value === 30) break;
        assert.equal(probe.get(ENDED), 2);
      });
    }),
  );
}

test(
  'return() waits for the end of the generator, however often it is called',
  streaming(async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.slowToEnd();
      await stream.next();
      let isOver = false;
      const returns = [stream.return(), stream.return()];
      void Promise.all(returns).then(() => {
        isOver = true;
      });
      const next = stream.next();
      await settle(20);
      assert.equal(isOver, false);
      assert.equal(probe.get(ENDED), 0);
      probe.set(LET_GO, 1);
      const over = { done: true, value: undefined };
      assert.deepEqual(await Promise.all([...returns, next, stream.return(), stream.next()]), Array(5).fill(over));
      assert.equal(probe.get(ENDED), 1);
    });
  }),
);

test(
  'return() before the first next() ends a stream that has never begun',
  streaming(async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.endless();
      assert.deepEqual(await stream.return(), { done: true, value: undefined });
      assert.deepEqual(await stream.next(), { done: true, value: undefined });
      assert.deepEqual(await stream.return(), { done: true, value: undefined });
    });
    assert.equal(probe.get(YIELDED), 0);
  }),
);

test(
  'return() at the end of a stream that nobody has read the end of is its end',
  streaming(async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.failing(3);
      await stream.next();
      await rejectionOf(api.failing(0).next()); // what came before has come too
      assert.deepEqual(await stream.return(), { done: true, value: undefined });
      assert.deepEqual(await stream.next(), { done: true, value: undefined });
    });
  }),
);

test(
  'an error in the finally of a stream that is left reaches who has left it',
  streaming(async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      const error = await rejectionOf(
        (async () => {
          for await (const _ of api.badEnd()) break;
        })(),
      );
      assert.ok(error instanceof RangeError);
      assert.equal(error.message, 'a bad end');
    });
  }),
);

test(
  'what a generator yields when it is to end is not read, and doesn’t hold it up',
  streaming(async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      const values: unknown[] = [];
      for await (const value of api.unwilling()) if (values.push(value) === 2) break;
      assert.deepEqual(values, [1, 2]);
    });
  }),
);

test(
  'an error throws in the loop, once, after the values before it',
  streaming(async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      for (const after of [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 100]) {
        const stream = api.failing(after);
        const values: number[] = [];
        const error = await rejectionOf(
          (async () => {
            for await (const value of stream) values.push(value);
          })(),
        );
        assert.equal(error.message, `failed after ${after}`);
        assert.ok(error instanceof RangeError);
        assert.equal(values.length, after);
        assert.deepEqual(await stream.next(), { done: true, value: undefined });
      }
    });
  }),
);

test(
  'many next() at once are answered in order, and those beyond the end are told of it',
  streaming(async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.failing(40);
      const results = await Promise.allSettled(Array.from({ length: 50 }, () => stream.next()));
      results.forEach((result, i) => {
        if (i < 40) assert.deepEqual(result, { status: 'fulfilled', value: { done: false, value: i + 1 } });
        else if (i === 40) assert.equal((result as PromiseRejectedResult).reason.message, 'failed after 40');
        else assert.deepEqual(result, { status: 'fulfilled', value: { done: true, value: undefined } });
      });
    });
  }),
);

test(
  'next() and return() at once: what is read is read, the rest is over',
  streaming(async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.endlessLater();
      const [first, second, left] = await Promise.all([stream.next(), stream.next(), stream.return()]);
      for (const result of [first, second, left]) assert.deepEqual(result, { done: true, value: undefined });
      assert.equal(probe.get(ENDED), probe.get(YIELDED) === 0 ? 0 : 1);
    });
  }),
);

test(
  'what a generator yields and can’t be sent ends the stream, with its finally run',
  streaming(async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.mixed();
      assert.deepEqual(await stream.next(), { done: false, value: 1 });
      const error = await rejectionOf(stream.next());
      assert.ok(error instanceof NotCloneableError);
      assert.match(error.message, /^what mixed has yielded can't be sent to its caller: .*could not be cloned/);
      assert.deepEqual(await stream.next(), { done: true, value: undefined });
    });
  }),
);

test(
  'streams of one thread go on side by side, with calls between',
  streaming(async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      const streams = Array.from({ length: 5 }, (_, i) => (i % 2 === 0 ? api.endless() : api.endlessLater()));
      for (let i = 1; i <= 60; i++) {
        for (const stream of streams) assert.equal((await stream.next()).value, i);
      }
      await Promise.all(streams.map((stream) => stream.return()));
    });
  }),
);

test(
  'it fits queueTaskStream: as what the function returns, and by yield*',
  streaming(async (manager, probe) => {
    assert.equal((await collect(manager.queueTaskStream((_, { api }) => api.contexts(40)))).length, 40);
    const doubled = manager.queueTaskStream(async function* (_, { api }) {
      for await (const value of api.endless()) yield 2 * value;
    });
    const values: number[] = [];
    for await (const value of doubled) if (values.push(value) === 100) break;
    assert.deepEqual(
      values,
      Array.from({ length: 100 }, (_, i) => 2 * (i + 1)),
    );
    assert.equal(probe.get(ENDED), 1, 'return() has waited for the generator in the thread');
    assert.ok(probe.get(YIELDED) <= 100 + 2 * WINDOW + 1);
    const failing = manager.queueTaskStream(async function* (_, { api }) {
      yield* api.failing(3);
    });
    assert.equal((await rejectionOf(collect(failing))).message, 'failed after 3');
  }),
);

test(
  'a stream ends with its task: a timeout has its signal fire, and its finally run',
  streaming(async (manager, probe) => {
    const task = manager.queueTask(
      async (_, { api }) => {
        for await (const _ of api.heedful());
      },
      { timeoutMs: 50 },
    );
    assert.ok((await rejectionOf(task)) instanceof DeadlineExceededError);
    await probe.reached(ENDED);
    assert.equal(probe.get(SAW_CANCEL), 1);
  }),
);

test(
  'a stream that waits for room is ended by a cancellation as well',
  streaming(async (manager, probe) => {
    const handle = manager.queueTaskAsync(async (ctx, { api }) => {
      const stream = api.endless();
      await stream.next();
      await ctx.done(); // reads no more
    });
    await probe.reached(YIELDED, WINDOW);
    handle.cancel();
    assert.ok((await rejectionOf(handle)) instanceof CanceledError);
    await probe.reached(ENDED);
    const { threadId } = await manager.queueTask((_, thread) => thread);
    assert.equal(typeof threadId, 'number');
  }),
);

test(
  'a stream that a task has left unread ends when its function returns, before its worker is free',
  streaming(async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      await api.endlessLater().next();
    });
    assert.equal(probe.get(ENDED), 1);
    await manager
      .queueTask(
        async (_, { api }) => {
          await api
            .silent()
            .next()
            .catch(() => {});
        },
        { timeoutMs: 50 },
      )
      .catch(() => {});
    await probe.reached(ENDED, 2);
  }),
);

test(
  'a stream that is canceled while its generator is busy ends when that yields',
  streaming(async (manager, probe) => {
    const read = deferred();
    const handle = manager.queueTaskAsync(async (_, { api }) => {
      const stream = api.blocked();
      await stream.next();
      read.resolve();
      await stream.next();
    });
    await read.promise;
    await probe.reached(YIELDED);
    handle.cancel();
    await rejectionOf(handle);
    assert.equal(manager.stats().stuckWorkers, 1);
    probe.set(LET_GO, 1);
    await until(() => manager.stats().stuckWorkers === 0);
  }),
);

test(
  'a stream that is ended by a cancellation throws its reason in the loop, as it has not come to its end',
  streaming(async (manager, probe) => {
    let seen: unknown;
    const handle = manager.queueTaskAsync(async (_, { api }) => {
      seen = await rejectionOf(collect(api.endless()));
    });
    await probe.reached(YIELDED);
    handle.cancel('enough');
    const error = await rejectionOf(handle);
    await until(() => manager.stats().stuckWorkers === 0);
    assert.ok(error instanceof CanceledError);
    assert.equal(seen, error.cause);
    assert.equal(probe.get(ENDED), 1);
  }),
);

test(
  'each step of a generator runs in the context of its call',
  streaming(async (manager) => {
    const ids = await Promise.all(
      ['a', 'b', 'c'].map((id) => manager.queueTask((_, { api }) => collect(api.contexts(40)), { id })),
    );
    assert.deepEqual(
      ids.map((of) => [...new Set(of)]),
      [['a'], ['b'], ['c']],
    );
    await manager.queueTask(async (ctx, { api }) => {
      const [one, two] = await Promise.all([
        ctx.queueTask((_, thread) => collect(thread.api.contexts(40)), { id: 'one' }),
        collect(api.contexts(40)),
      ]);
      assert.deepEqual([...new Set(one)], ['one']);
      assert.deepEqual([...new Set(two)], [ctx.id]);
    });
  }),
);
