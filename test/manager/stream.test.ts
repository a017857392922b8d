import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { CanceledError, DeadlineExceededError, MaxRetriesError, ShutdownError } from '../../src/index.ts';
import { collect, Deferred, end, hold, managing, rejectionOf, stateOf, turn } from './support.ts';

function* count(to: number): Generator<number> {
  for (let i = 0; i < to; i++) yield i;
}

test(
  'a stream gives what the generator yields, in order, and ends with it',
  managing({ workerCount: 1 }, async (manager) => {
    const stream = manager.queueTaskStream(async function* () {
      yield 'a';
      await turn();
      yield 'b';
      yield 'c';
    });
    assert.deepEqual(await collect(stream), ['a', 'b', 'c']);
    assert.equal(stream.state, 'completed');
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
    assert.equal(manager.metrics().totalTasksCompleted, 1);
  }),
);

test(
  'a synchronous generator, an array and any iterable stream as well',
  managing({ workerCount: 1 }, async (manager) => {
    assert.deepEqual(await collect(manager.queueTaskStream(() => count(3))), [0, 1, 2]);
    assert.deepEqual(await collect(manager.queueTaskStream(() => ['x', 'y'])), ['x', 'y']);
    assert.deepEqual(await collect(manager.queueTaskStream(() => new Set([1, 1, 2]))), [1, 2]);
    assert.deepEqual(await collect(manager.queueTaskStream(() => [])), []);
  }),
);

test(
  'a generator gets its context and its resource',
  managing({ workerCount: 1, onCreate: () => ['row 1', 'row 2'] }, async (manager) => {
    const stream = manager.queueTaskStream(async function* (ctx, rows) {
      yield ctx.attempt;
      yield* rows;
    });
    assert.deepEqual(await collect(stream), [1, 'row 1', 'row 2']);
  }),
);

test(
  'many more values than the high-water mark come through in order',
  managing({ workerCount: 1 }, async (manager) => {
    const values = await collect(manager.queueTaskStream(() => count(10_000), { highWaterMark: 3 }));
    assert.deepEqual(values, [...count(10_000)]);
  }),
);

test('a generator is held when highWaterMark values wait for the reader, 16 by default', async () => {
  for (const [highWaterMark, ahead] of [
    [undefined, 16],
    [1, 1],
    [5, 5],
  ] as const) {
    await managing({ workerCount: 1 }, async (manager) => {
      let yielded = 0;
      const stream = manager.queueTaskStream(
        function* () {
          for (;;) yield ++yielded;
        },
        { highWaterMark },
      );
      for (let i = 0; i < 5; i++) await turn();
      assert.equal(yielded, ahead);
      assert.equal((await stream.next()).value, 1);
      assert.equal((await stream.next()).value, 2);
      for (let i = 0; i < 5; i++) await turn();
      assert.equal(yielded, ahead + 2);
      await stream.return();
    })();
  }
});

test(
  'a failure throws in the loop, once, after the values before it',
  managing({ workerCount: 1 }, async (manager) => {
    const error = new Error('boom');
    const stream = manager.queueTaskStream(async function* () {
      yield 1;
      yield 2;
      throw error;
    });
    const seen: number[] = [];
    const thrown = await rejectionOf(
      (async () => {
        for await (const value of stream) seen.push(value);
      })(),
    );
    assert.equal(thrown, error);
    assert.deepEqual(seen, [1, 2]);
    assert.equal(stream.state, 'failed');
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  }),
);

test(
  'a failure nobody reads causes no unhandled rejection',
  managing({ workerCount: 1 }, async (manager) => {
    const stream = manager.queueTaskStream(() => {
      throw new Error('boom');
    });
    await manager.onIdle();
    await turn();
    assert.equal(stream.state, 'failed');
  }),
);

test(
  'a function that returns no iterable fails with a TypeError',
  managing({ workerCount: 1 }, async (manager) => {
    const error = await rejectionOf(manager.queueTaskStream((() => 42) as never).next());
    assert.ok(error instanceof TypeError);
    assert.match(error.message, /generator function.*42/);
  }),
);

test(
  'leaving the loop early runs the generator’s finally and frees the worker',
  managing({ workerCount: 1 }, async (manager) => {
    const order: string[] = [];
    const stream = manager.queueTaskStream(async function* (ctx) {
      try {
        for (const value of count(1_000)) yield value;
      } finally {
        order.push(`aborted: ${ctx.signal.aborted}`);
        await turn();
        order.push('cleaned up');
      }
    });
    for await (const value of stream) if (value === 3) break;
    order.push('left');
    assert.deepEqual(order, ['aborted: true', 'cleaned up', 'left']);
    const { busyWorkers, idleWorkers, stuckWorkers } = manager.stats();
    assert.deepEqual([busyWorkers, idleWorkers, stuckWorkers], [0, 1, 0]);
    assert.equal(stream.state, 'canceled');
    assert.equal(await manager.queueTask(() => 'next'), 'next');
  }),
);

test(
  'leaving the loop by a throw does so too, and the throw is heard',
  managing({ workerCount: 1 }, async (manager) => {
    let closed = false;
    const mine = new Error('mine');
    const thrown = await rejectionOf(
      (async () => {
        for await (const _ of manager.queueTaskStream(function* () {
          try {
            yield* count(100);
          } finally {
            closed = true;
          }
        })) {
          throw mine;
        }
      })(),
    );
    assert.equal(thrown, mine);
    assert.ok(closed);
  }),
);

test(
  'a stream left before it started never runs',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const stream = manager.queueTaskStream((): Iterable<number> => assert.fail('it ran'));
    assert.equal(stream.state, 'queued');
    assert.deepEqual(await stream.return(), { done: true, value: undefined });
    assert.equal(stream.state, 'canceled');
    await release();
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  }),
);

test(
  'a read that is pending when the reader leaves ends without a value or an error',
  managing({ workerCount: 1 }, async (manager) => {
    const stream = manager.queueTaskStream(async function* (ctx) {
      await ctx.done();
      yield 'too late';
    });
    const pending = [stream.next(), stream.next()];
    assert.equal(await stateOf(pending[0]!), 'pending');
    await stream.return();
    for (const read of pending) assert.deepEqual(await read, { done: true, value: undefined });
  }),
);

test(
  'reads may be made ahead, and are served in order',
  managing({ workerCount: 1 }, async (manager) => {
    const stream = manager.queueTaskStream(async function* () {
      for (const value of count(3)) {
        await turn();
        yield value;
      }
    });
    const reads = await Promise.all(Array.from({ length: 5 }, () => stream.next()));
    assert.deepEqual(
      reads.map(({ value, done }) => (done ? 'done' : value)),
      [0, 1, 2, 'done', 'done'],
    );
  }),
);

test(
  'cancel ends the loop with the error',
  managing({ workerCount: 1 }, async (manager) => {
    const stream = manager.queueTaskStream(
      async function* (ctx) {
        yield 1;
        await ctx.done();
      },
      { id: 'mine' },
    );
    assert.equal(stream.id, 'mine');
    assert.equal((await stream.next()).value, 1);
    assert.equal(stream.cancel('enough'), true);
    assert.equal(stream.cancel(), false);
    const error = await rejectionOf(stream.next());
    assert.ok(error instanceof CanceledError);
    assert.equal(error.cause, 'enough');
  }),
);

test(
  'a signal ends the loop with its reason',
  managing({ workerCount: 1 }, async (manager) => {
    const controller = new AbortController();
    const stream = manager.queueTaskStream(() => count(1_000), { signal: controller.signal });
    await stream.next();
    const reason = new Error('gone');
    controller.abort(reason);
    // What has been yielded already is still read first.
    const rest = collect(stream);
    assert.equal(await rejectionOf(rest), reason);
  }),
);

test(
  'timeoutMs counts the generator’s time and not the reader’s',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const gate = new Deferred();
    const stream = manager.queueTaskStream(
      async function* () {
        yield 1;
        yield 2;
        await gate.promise;
        yield 3;
      },
      { timeoutMs: 100, highWaterMark: 1 },
    );
    await clock.advance(10_000); // the generator is held: 1 waits for the reader
    assert.equal(stream.state, 'running');
    assert.equal((await stream.next()).value, 1);
    await clock.advance(10_000); // held again, by 2
    assert.equal(stream.state, 'running');
    assert.equal((await stream.next()).value, 2);
    await turn();
    await clock.advance(90); // its own time now
    assert.equal(stream.state, 'running');
    await clock.advance(20);
    assert.equal(stream.state, 'timedOut');
    assert.ok((await rejectionOf(stream.next())) instanceof DeadlineExceededError);
    gate.resolve();
  }),
);

test(
  'the generator’s time adds up over its pauses',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const gates = Array.from({ length: 5 }, () => new Deferred());
    const stream = manager.queueTaskStream(
      async function* () {
        for (const gate of gates) {
          await gate.promise;
          yield 'value';
        }
      },
      { timeoutMs: 100, highWaterMark: 1 },
    );
    for (const gate of gates.slice(0, 3)) {
      await clock.advance(30);
      gate.resolve();
      await clock.advance(1_000);
      assert.equal((await stream.next()).value, 'value');
      await turn();
    }
    assert.equal(stream.state, 'running');
    await clock.advance(11);
    assert.equal(stream.state, 'timedOut');
    for (const gate of gates) gate.resolve();
  }),
);

test(
  'a thousand pauses of a stream with a timeout hold no thousand timers',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const stream = manager.queueTaskStream(() => count(1_000), { timeoutMs: 60_000, highWaterMark: 1 });
    for (const _ of count(900)) {
      await stream.next();
      await clock.advance(0.1);
    }
    assert.ok(clock.timerCount < 200, `${clock.timerCount} timers`);
    await stream.return();
  }),
);

test(
  'a stream whose resource turned out bad runs again before its first value',
  managing(
    { workerCount: 1, onCreate: () => ({}), checkHealth: (error) => (error as Error).message !== 'bad' },
    async (manager) => {
      const stream = manager.queueTaskStream(async function* ({ attempt }) {
        await turn();
        if (attempt < 3) throw new Error('bad');
        yield attempt;
      });
      assert.deepEqual(await collect(stream), [3]);
      assert.equal(manager.metrics().totalTasksRetried, 2);
    },
  ),
);

test(
  'and not after it: what was read can’t be unread',
  managing(
    {
      workerCount: 1,
      onCreate: () => ({}),
      checkHealth: (error) => (error as Error).message !== 'bad',
      retry: { attempts: 5, baseMs: 0 },
    },
    async (manager) => {
      for (const message of ['bad', 'boom']) {
        let runs = 0;
        const stream = manager.queueTaskStream(async function* () {
          runs++;
          yield 'value';
          throw new Error(message);
        });
        assert.equal((await stream.next()).value, 'value');
        const error = await rejectionOf(stream.next());
        assert.equal((error as Error).message, message);
        assert.equal(runs, 1);
      }
      assert.equal(manager.metrics().totalTasksRetried, 0);
    },
  ),
);

test(
  'a stream with retry runs again before its first value, and rejects as any task does when that is in vain',
  managing(
    { workerCount: 1, maxRetries: 1, onCreate: () => ({}), checkHealth: (error) => (error as Error).message !== 'bad' },
    async (manager) => {
      const values = await collect(
        manager.queueTaskStream(
          function* ({ attempt }) {
            if (attempt === 1) throw new Error('boom');
            yield attempt;
          },
          { retry: { attempts: 2, baseMs: 0 } },
        ),
      );
      assert.deepEqual(values, [2]);
      const bad = manager.queueTaskStream(() => {
        throw new Error('bad');
      });
      assert.ok((await rejectionOf(bad.next())) instanceof MaxRetriesError);
    },
  ),
);

test(
  'in a stop a stream is finished if it is read, and its grace ends it if it isn’t',
  managing({ workerCount: 2 }, async (manager, clock) => {
    const read = manager.queueTaskStream(() => count(50));
    const unread = manager.queueTaskStream(() => count(50));
    await turn();
    const stopped = manager.stop({ graceMs: 1_000 });
    assert.deepEqual(await collect(read), [...count(50)]);
    await clock.advance(990);
    assert.equal(unread.state, 'running');
    await clock.advance(20);
    assert.equal(unread.state, 'canceled');
    const seen: number[] = [];
    const error = await rejectionOf(
      (async () => {
        for await (const value of unread) seen.push(value);
      })(),
    );
    assert.ok(error instanceof ShutdownError);
    assert.deepEqual(seen, [...count(16)]);
    assert.deepEqual(await stopped, { completed: 1, failed: 0, canceled: 1, abandoned: 0 });
  }),
);

test(
  'kill ends a stream that is held, and its finally runs',
  managing({ workerCount: 1 }, async (manager, clock) => {
    let closed = false;
    const stream = manager.queueTaskStream(function* () {
      try {
        yield* count(100);
      } finally {
        closed = true;
      }
    });
    await turn();
    await end(manager, clock);
    assert.ok(closed);
    assert.ok((await rejectionOf(collect(stream))) instanceof ShutdownError);
  }),
);

test(
  'a stream refused tells so in the loop',
  managing({ workerCount: 1, maxQueueSize: 0 }, async (manager) => {
    await hold(manager);
    const stream = manager.queueTaskStream(() => count(3));
    assert.equal(stream.state, 'rejected');
    assert.equal(((await rejectionOf(stream.next())) as { code: string }).code, 'ERR_QUEUE_FULL');
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
    assert.deepEqual(await stream.return(), { done: true, value: undefined });
  }),
);

test(
  'a generator runs in the async context of its submission, not in its reader’s',
  managing({ workerCount: 1 }, async (manager) => {
    const storage = new AsyncLocalStorage<string>();
    const stream = storage.run('writer', () =>
      manager.queueTaskStream(
        async function* () {
          for (const _ of count(4)) yield storage.getStore();
        },
        { highWaterMark: 1 },
      ),
    );
    const seen = await storage.run('reader', () => collect(stream));
    assert.deepEqual(seen, ['writer', 'writer', 'writer', 'writer']);
  }),
);

test(
  'streams of several workers run side by side',
  managing({ workerCount: 3 }, async (manager) => {
    const streams = [0, 1, 2].map((which) =>
      manager.queueTaskStream(async function* () {
        for (const value of count(50)) yield which * 100 + value;
      }),
    );
    assert.equal(manager.stats().busyWorkers, 3);
    const all = await Promise.all(streams.map(collect));
    assert.deepEqual(
      all,
      [0, 1, 2].map((which) => [...count(50)].map((value) => which * 100 + value)),
    );
  }),
);

test(
  'a child may be streamed within its parent',
  managing({ workerCount: 1 }, async (manager) => {
    const sum = await manager.queueTask(async (ctx) => {
      let total = 0;
      for await (const value of ctx.queueTaskStream(() => count(5))) total += value;
      return total;
    });
    assert.equal(sum, 10);
  }),
);
