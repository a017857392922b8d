import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import {
  CanceledError,
  DeadlineExceededError,
  type IndexedResult,
  ShutdownError,
  type TaskMap,
} from '../../src/index.ts';
import { collect, Deferred, hold, managing, rejectionOf, stateOf, turn } from './support.ts';

function* count(to = Infinity): Generator<number> {
  for (let i = 0; i < to; i++) yield i;
}

/** A source that counts what is pulled from it, and notes that it was closed. */
function counted(to = Infinity) {
  const source = {
    pulled: 0,
    closed: false,
    *[Symbol.iterator](): Generator<number> {
      try {
        for (; source.pulled < to; ) yield source.pulled++;
      } finally {
        source.closed = true;
      }
    },
  };
  return source;
}

/** An async source that gives what is pushed, when it is pushed. */
function pushed<T>() {
  const waiting: Deferred<IteratorResult<T>>[] = [];
  const source = {
    returned: 0,
    push(value: T): void {
      waiting.shift()!.resolve({ done: false, value });
    },
    end(): void {
      waiting.shift()!.resolve({ done: true, value: undefined });
    },
    fail(error: unknown): void {
      waiting.shift()!.reject(error);
    },
    get asked(): number {
      return waiting.length;
    },
    [Symbol.asyncIterator](): AsyncIterator<T> {
      return {
        next: () => {
          const deferred = new Deferred<IteratorResult<T>>();
          waiting.push(deferred);
          return deferred.promise;
        },
        // Like that of an async generator: it waits for the read that is pending.
        return: () => {
          source.returned++;
          return new Deferred<IteratorResult<T>>().promise;
        },
      };
    },
  };
  return source;
}

test(
  'map gives the value of the function for every item, as they come',
  managing({ workerCount: 2 }, async (manager) => {
    const gates = [new Deferred(), new Deferred(), new Deferred()];
    const results = manager.map([0, 1, 2], async (item) => {
      await gates[item]!.promise;
      return `value ${item}`;
    });
    const first = results.next();
    gates[1]!.resolve();
    assert.deepEqual(await first, { done: false, value: 'value 1' });
    gates[2]!.resolve();
    assert.equal((await results.next()).value, 'value 2');
    gates[0]!.resolve();
    assert.equal((await results.next()).value, 'value 0');
    assert.deepEqual(await results.next(), { done: true, value: undefined });
    assert.deepEqual(await results.next(), { done: true, value: undefined });
  }),
);

test(
  'map takes every kind of iterable',
  managing({ workerCount: 1 }, async (manager) => {
    const double = (item: unknown): string => `${item}${item}`;
    assert.deepEqual(await collect(manager.map(['a', 'b'], double)), ['aa', 'bb']);
    assert.deepEqual(await collect(manager.map('ab', double)), ['aa', 'bb']);
    assert.deepEqual(await collect(manager.map(new Set([1, 2]), double)), ['11', '22']);
    assert.deepEqual(await collect(manager.map(count(2), double)), ['00', '11']);
    const source = async function* () {
      yield 1;
      await turn();
      yield 2;
    };
    assert.deepEqual(await collect(manager.map(source(), double)), ['11', '22']);
    assert.deepEqual(await collect(manager.map([], double)), []);
    assert.deepEqual(await collect(manager.map(new Map([['k', 'v']]), ([key, value]) => key + value)), ['kv']);
  }),
);

test(
  'the function gets the item, the context and the resource',
  managing({ workerCount: 1, onCreate: () => 'db' }, async (manager) => {
    const seen = await collect(manager.map([7], (item, ctx, db) => [item, ctx.attempt, ctx.signal.aborted, db]));
    assert.deepEqual(seen, [[7, 1, false, 'db']]);
  }),
);

test(
  'ordered gives the values in the order of the input',
  managing({ workerCount: 3 }, async (manager) => {
    const gates = Array.from({ length: 3 }, () => new Deferred());
    const results = manager.map(
      [0, 1, 2],
      async (item) => {
        await gates[item]!.promise;
        return item;
      },
      { ordered: true },
    );
    const first = results.next();
    gates[2]!.resolve();
    gates[1]!.resolve();
    assert.equal(await stateOf(first), 'pending');
    gates[0]!.resolve();
    assert.equal((await first).value, 0);
    assert.deepEqual(await collect(results), [1, 2]);
  }),
);

test(
  'ordered keeps the workers busy behind a slow item, as far as the high-water mark',
  managing({ workerCount: 2 }, async (manager) => {
    const slow = new Deferred();
    let started = 0;
    const results = manager.map(
      count(),
      async (item) => {
        started++;
        if (item === 0) await slow.promise;
        return item;
      },
      { ordered: true, highWaterMark: 10 },
    );
    const first = results.next();
    for (let i = 0; i < 20; i++) await turn();
    // The slow one, its neighbour, and as many results as may wait.
    assert.ok(started >= 10 && started <= 12, `${started} started`);
    slow.resolve();
    assert.equal((await first).value, 0);
    for (const expected of [1, 2, 3, 4, 5]) assert.equal((await results.next()).value, expected);
    await results.return();
  }),
);

test(
  'a thousand items in random time come out complete, ordered or not',
  managing({ workerCount: 4 }, async (manager) => {
    const fn = async (item: number): Promise<number> => {
      for (let i = 0; i < (item * 7) % 5; i++) await turn();
      return item;
    };
    const all = [...count(1_000)];
    assert.deepEqual(await collect(manager.map(all, fn, { ordered: true })), all);
    const unordered = await collect(manager.map(all, fn));
    assert.deepEqual(
      unordered.toSorted((a, b) => a - b),
      all,
    );
  }),
);

test(
  'nothing is pulled before the first read',
  managing({ workerCount: 2 }, async (manager) => {
    const source = counted();
    const results = manager.map(source, (item) => item);
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(source.pulled, 0);
    await results.return();
    assert.equal(manager.metrics().totalTasksArrived, 0);
  }),
);

test('of an endless input no more is pulled than the workers hold plus the high-water mark', async () => {
  for (const [highWaterMark, most] of [
    [undefined, 2 + 16],
    [0, 2],
    [5, 2 + 5],
  ] as const) {
    await managing({ workerCount: 2 }, async (manager) => {
      const source = counted();
      const results = manager.map(source, async (item) => item, { highWaterMark });
      assert.equal((await results.next()).value, 0);
      for (let i = 0; i < 20; i++) await turn();
      assert.ok(source.pulled <= most + 1, `${source.pulled} pulled`);
      assert.ok(source.pulled >= most, `${source.pulled} pulled`);
      for (let read = 1; read < 50; read++) {
        await results.next();
        assert.ok(source.pulled <= read + 1 + most, `${source.pulled} pulled after ${read + 1} reads`);
      }
      await results.return();
      assert.ok(source.closed);
    })();
  }
});

test(
  'no more run at once than there are workers, and others’ tasks get their turn',
  managing({ workerCount: 3 }, async (manager) => {
    let alive = 0;
    let most = 0;
    let others = 0;
    const mapped = collect(
      manager.map(count(300), async () => {
        most = Math.max(most, ++alive);
        await turn();
        alive--;
      }),
    );
    for (let i = 0; i < 20; i++) {
      await manager.queueTask(async () => {
        others++;
      });
    }
    assert.ok(alive > 0, 'the map is still at work');
    assert.equal(others, 20);
    await mapped;
    assert.equal(most, 3);
  }),
);

test(
  'several reads ahead are all served, with one worker too',
  managing({ workerCount: 1 }, async (manager) => {
    const results = manager.map([1, 2, 3], async (item) => item * 10);
    const reads = await Promise.all([results.next(), results.next(), results.next(), results.next()]);
    assert.deepEqual(
      reads.map(({ value }) => value),
      [10, 20, 30, undefined],
    );
  }),
);

test(
  'the first failure cancels the rest, joins what runs, closes the source, and throws',
  managing({ workerCount: 3 }, async (manager) => {
    const source = counted();
    const error = new Error('boom');
    const slow = new Deferred();
    const order: string[] = [];
    const reasons: unknown[] = [];
    const results = manager.map(source, async (item, ctx) => {
      if (item < 2) ctx.signal.addEventListener('abort', () => reasons.push(ctx.signal.reason));
      if (item === 0) {
        await slow.promise; // it doesn't care for its signal
        order.push('the slow one has returned');
      } else if (item === 1) await ctx.done();
      else throw error;
    });
    const reading = rejectionOf(results.next()).then((thrown) => {
      order.push('thrown');
      return thrown;
    });
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual(order, []);
    assert.deepEqual(reasons, [error, error]);
    assert.ok(source.closed);
    slow.resolve();
    assert.equal(await reading, error);
    assert.deepEqual(order, ['the slow one has returned', 'thrown']);
    assert.deepEqual(await results.next(), { done: true, value: undefined });
    assert.equal(source.pulled, 3);
    assert.equal(manager.stats().busyWorkers, 0);
  }),
);

test(
  'what was ready before the failure is read before it is thrown',
  managing({ workerCount: 1 }, async (manager) => {
    const error = new Error('boom');
    const results = manager.map(count(), async (item) => {
      if (item === 5) throw error;
      return item;
    });
    assert.equal((await results.next()).value, 0);
    for (let i = 0; i < 10; i++) await turn();
    const seen: number[] = [];
    const thrown = await rejectionOf(
      (async () => {
        for await (const value of results) seen.push(value);
      })(),
    );
    assert.equal(thrown, error);
    assert.deepEqual(seen, [1, 2, 3, 4]);
  }),
);

test(
  'a failure joins a task that is queued behind others as well: it never runs',
  managing({ workerCount: 2 }, async (manager) => {
    const { release } = await hold(manager);
    const error = new Error('boom');
    let runs = 0;
    const results = manager.map([0, 1], async () => {
      runs++;
      throw error;
    });
    assert.equal(await rejectionOf(results.next()), error);
    assert.equal(runs, 1);
    assert.equal(manager.stats().queuedTasks, 0);
    await release();
  }),
);

test(
  'settled gives every outcome with its index and never throws',
  managing({ workerCount: 2 }, async (manager) => {
    const error = new Error('odd');
    const results = manager.map(
      count(5),
      async (item) => {
        if (item % 2 === 1) throw error;
        return item * 10;
      },
      { settled: true, ordered: true },
    );
    assert.deepEqual(await collect<IndexedResult<number>>(results), [
      { status: 'fulfilled', value: 0, index: 0 },
      { status: 'rejected', reason: error, index: 1 },
      { status: 'fulfilled', value: 20, index: 2 },
      { status: 'rejected', reason: error, index: 3 },
      { status: 'fulfilled', value: 40, index: 4 },
    ]);
  }),
);

test(
  'leaving the loop early cancels the rest, joins what runs, and closes the source',
  managing({ workerCount: 2 }, async (manager) => {
    const source = counted();
    const order: string[] = [];
    const results = manager.map(source, async (item, ctx) => {
      if (item === 0) return item;
      await ctx.done();
      await turn();
      order.push('cleaned up');
      return item;
    });
    for await (const value of results) {
      assert.equal(value, 0);
      break;
    }
    order.push('left');
    assert.equal(order.at(-1), 'left');
    assert.ok(order.length > 1, 'somebody was cleaned up');
    assert.ok(source.closed);
    const { busyWorkers, runningTasks, queuedTasks } = manager.stats();
    assert.deepEqual([busyWorkers, runningTasks, queuedTasks], [0, 0, 0]);
    assert.deepEqual(await results.next(), { done: true, value: undefined });
  }),
);

test(
  'reads that are pending when the reader leaves end without a value or an error',
  managing({ workerCount: 1 }, async (manager) => {
    const results = manager.map(count(), (_, ctx) => ctx.done());
    const pending = [results.next(), results.next()];
    await results.return();
    for (const read of pending) assert.deepEqual(await read, { done: true, value: undefined });
  }),
);

test('a source that fails throws in the loop, when what runs has been joined: sync or async, settled too', async () => {
  const error = new Error('the source is broken');
  const broken = {
    *sync(): Generator<number> {
      yield 0;
      yield 1;
      throw error;
    },
    async *async(): AsyncGenerator<number> {
      yield 0;
      await turn();
      yield 1;
      throw error;
    },
  };
  for (const kind of ['sync', 'async'] as const) {
    for (const settled of [false, true] as const) {
      await managing({ workerCount: 4 }, async (manager) => {
        const slow = new Deferred();
        const results = manager.map(broken[kind](), () => slow.promise, { settled: settled as false });
        const thrown = rejectionOf(collect(results));
        assert.equal(await stateOf(thrown), 'pending');
        slow.resolve();
        assert.equal(await thrown, error);
      })();
    }
  }
});

test(
  'a failure is thrown though an async source is still being asked',
  managing({ workerCount: 2 }, async (manager) => {
    const source = pushed<number>();
    const error = new Error('boom');
    const gate = new Deferred();
    const results = manager.map(source, async () => {
      await gate.promise;
      throw error;
    });
    const reading = rejectionOf(results.next());
    source.push(1);
    await turn();
    assert.equal(source.asked, 1);
    gate.resolve();
    assert.equal(await reading, error);
    assert.equal(source.returned, 1);
  }),
);

test(
  'leaving ends the iteration though an async source is still being asked',
  managing({ workerCount: 2 }, async (manager) => {
    const source = pushed<number>();
    const results = manager.map(source, async (item) => item);
    const pending = results.next();
    assert.equal(source.asked, 1);
    await results.return();
    assert.deepEqual(await pending, { done: true, value: undefined });
    source.push(1); // comes too late, and is nobody's
    await turn();
    assert.equal(manager.metrics().totalTasksArrived, 0);
  }),
);

test(
  'a signal ends the map with its reason: aborted before, while something runs, and while the source is asked',
  managing({ workerCount: 2 }, async (manager) => {
    const reason = new Error('gone');
    const before = manager.map(counted(), (item) => item, { signal: AbortSignal.abort(reason) });
    assert.equal(await rejectionOf(before.next()), reason);

    const running = new AbortController();
    const whileRunning = manager.map(counted(), (_, ctx) => ctx.done(), { signal: running.signal });
    const reading = rejectionOf(whileRunning.next());
    await turn();
    running.abort(reason);
    assert.equal(await reading, reason);

    const asking = new AbortController();
    const source = pushed<number>();
    const whileAsking = rejectionOf(manager.map(source, (item) => item, { signal: asking.signal }).next());
    assert.equal(source.asked, 1);
    asking.abort(reason);
    assert.equal(await whileAsking, reason);
    assert.equal(source.returned, 1);
  }),
);

test(
  'a signal ends a settled map without a throw',
  managing({ workerCount: 1 }, async (manager) => {
    const controller = new AbortController();
    const reason = new Error('gone');
    const results = manager.map(count(), (_, ctx) => ctx.done(), { signal: controller.signal, settled: true });
    const reading = collect(results);
    await turn();
    controller.abort(reason);
    assert.deepEqual(await reading, [{ status: 'rejected', reason, index: 0 }]);
    const source = pushed<number>();
    const asking = new AbortController();
    const idle = collect(manager.map(source, (item) => item, { signal: asking.signal, settled: true }));
    asking.abort(reason);
    assert.deepEqual(await idle, []);
  }),
);

test(
  'an async source is asked for one item at a time, and not before there is a worker for it',
  managing({ workerCount: 2 }, async (manager) => {
    const source = pushed<number>();
    const gate = new Deferred();
    const results = manager.map(source, async (item) => {
      await gate.promise;
      return item;
    });
    const reading = results.next();
    assert.equal(source.asked, 1);
    source.push(1);
    await turn();
    assert.equal(source.asked, 1);
    source.push(2);
    await turn();
    assert.equal(source.asked, 0, 'both workers are taken');
    gate.resolve();
    await reading;
    await turn();
    assert.equal(source.asked, 1);
    source.end();
    assert.equal((await results.next()).value, 2);
    assert.equal((await results.next()).done, true);
  }),
);

test(
  'the options of tasks hold for every item',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const { release } = await hold(manager);
    const order: string[] = [];
    const low = manager.queueTask(() => void order.push('low'));
    const mapped = collect(
      manager.map(['high'], (item, ctx) => void order.push(`${item} ${ctx.priority}`), { priority: 3, key: 'k' }),
    );
    assert.deepEqual(
      manager.tasks({ key: 'k' }).map(({ priority }) => priority),
      [3],
    );
    await release();
    await Promise.all([low, mapped]);
    assert.deepEqual(order, ['high 3', 'low']);
    const until = new Deferred();
    const slow = rejectionOf(collect(manager.map([1], () => until.promise, { timeoutMs: 100 })));
    await clock.advance(101);
    assert.equal(await stateOf(slow), 'pending', 'it joins what runs');
    until.resolve();
    assert.ok((await slow) instanceof DeadlineExceededError);
    const retried = manager.map([1], (_, { attempt }) => (attempt < 3 ? Promise.reject(new Error('again')) : attempt), {
      retry: { attempts: 3, baseMs: 0 },
    });
    assert.deepEqual(await collect(retried), [3]);
  }),
);

test('a bounded queue is waited for, whatever the manager’s overflow policy', async () => {
  for (const overflow of ['reject', 'wait', 'drop-oldest', 'drop-lowest'] as const) {
    for (const maxQueueSize of [0, 1]) {
      await managing({ workerCount: 2, maxQueueSize, overflow }, async (manager) => {
        const { release } = await hold(manager, 2);
        const mapped = collect(manager.map(count(20), async (item) => item, { ordered: true }));
        await turn();
        await release();
        assert.deepEqual(await mapped, [...count(20)]);
        assert.equal(manager.metrics().totalTasksRejected + manager.metrics().totalTasksDropped, 0);
      })();
    }
  }
});

test(
  'a paused manager maps on when it resumes',
  managing({ workerCount: 1 }, async (manager) => {
    manager.pause();
    const mapped = collect(manager.map(count(5), (item) => item));
    assert.equal(await stateOf(mapped), 'pending');
    manager.resume();
    assert.deepEqual(await mapped, [...count(5)]);
  }),
);

test(
  'a stop ends a map with a ShutdownError, a settled one with the refusal as its last outcome',
  managing({ workerCount: 1 }, async (manager) => {
    const sources = [counted(), counted()];
    const plain = manager.map(sources[0]!, async (item) => item, { highWaterMark: 0 });
    const settled = manager.map(sources[1]!, async (item) => item, { highWaterMark: 0, settled: true });
    assert.equal((await plain.next()).value, 0);
    assert.equal((await settled.next()).value?.status, 'fulfilled');
    await manager.stop();
    const seen: unknown[] = [];
    const thrown = await rejectionOf(
      (async () => {
        for await (const value of plain) seen.push(value);
      })(),
    );
    assert.ok(thrown instanceof ShutdownError);
    const rest = await collect(settled);
    const last = rest.at(-1)!;
    assert.ok(last.status === 'rejected' && last.reason instanceof ShutdownError);
    assert.ok(rest.length <= 3, `${rest.length} outcomes after the stop`);
    assert.ok(sources.every(({ closed }) => closed));
  }),
);

test(
  'a stop lets what a map has under way end in peace, and then throws',
  managing({ workerCount: 3 }, async (manager) => {
    const gates = [new Deferred(), new Deferred(), new Deferred()];
    const source = counted();
    const results = manager.map(source, async (item) => {
      await gates[item]!.promise;
      return item;
    });
    const seen: number[] = [];
    const reading = rejectionOf(
      (async () => {
        for await (const value of results) seen.push(value);
      })(),
    );
    await turn();
    const stopped = manager.stop();
    for (const gate of gates) {
      gate.resolve();
      for (let i = 0; i < 3; i++) await turn();
    }
    assert.ok((await reading) instanceof ShutdownError);
    assert.deepEqual(seen, [0, 1, 2]);
    assert.ok(source.closed);
    assert.deepEqual(await stopped, { completed: 3, failed: 0, canceled: 0, abandoned: 0 });
  }),
);

test('a stop or a kill ends a map whose source is being asked', async () => {
  for (const way of ['stop', 'kill'] as const) {
    for (const settled of [false, true]) {
      await managing({ workerCount: 2 }, async (manager) => {
        const source = pushed<number>();
        const reading = collect<unknown>(manager.map(source, (item) => item, { settled }));
        assert.equal(source.asked, 1);
        await manager[way]();
        if (settled) assert.deepEqual(await reading, []);
        else assert.ok((await rejectionOf(reading)) instanceof ShutdownError);
        assert.equal(source.returned, 1);
        const late = pushed<number>();
        assert.ok((await rejectionOf(collect(manager.map(late, (item) => item)))) instanceof ShutdownError);
      })();
    }
  }
});

test(
  'a map of children whose source is being asked goes on in a stop, and ends when its parent is ended',
  managing({ workerCount: 2 }, async (manager) => {
    const source = pushed<number>();
    const outcome = new Deferred<unknown>();
    const seen: number[] = [];
    const parent = manager.queueTaskAsync(async (ctx) => {
      try {
        for await (const value of ctx.map(source, (item) => item)) seen.push(value);
      } catch (error) {
        outcome.resolve(error);
      }
    });
    const stopped = manager.stop();
    source.push(7);
    while (seen.length === 0 || source.asked === 0) await turn();
    assert.deepEqual(seen, [7]);
    parent.cancel('enough');
    assert.equal(await outcome.promise, 'enough');
    await stopped;
  }),
);

test(
  'a kill while a map is at work throws a ShutdownError in its loop',
  managing({ workerCount: 2 }, async (manager) => {
    const reading = rejectionOf(collect(manager.map(count(), (_, ctx) => ctx.done())));
    await turn();
    await manager.kill('enough');
    assert.ok((await reading) instanceof ShutdownError);
  }),
);

test(
  'items run in the async context in which map was called, whoever reads',
  managing({ workerCount: 2 }, async (manager) => {
    const storage = new AsyncLocalStorage<string>();
    const results = storage.run('caller', () =>
      manager.map(count(40), async () => storage.getStore(), { highWaterMark: 2 }),
    );
    const seen = await storage.run('reader', () => collect(results));
    assert.deepEqual(new Set(seen), new Set(['caller']));
  }),
);

test(
  'a map of children runs within its parent, with one worker too',
  managing({ workerCount: 1 }, async (manager) => {
    const sum = await manager.queueTask(async (ctx) => {
      let total = 0;
      for await (const value of ctx.map(count(10), async (item) => item)) total += value;
      return total;
    });
    assert.equal(sum, 45);
  }),
);

test(
  'a map of children ends with its parent',
  managing({ workerCount: 2 }, async (manager) => {
    let results: TaskMap<void> | undefined;
    let reading: Promise<unknown> | undefined;
    const parent = manager.queueTaskAsync(async (ctx) => {
      results = ctx.map(count(), (_, child) => child.done());
      reading = rejectionOf(results.next());
      await turn();
    });
    await parent;
    assert.ok((await reading) instanceof CanceledError);
    assert.equal((await results!.next()).done, true);
  }),
);

test(
  'a map of children whose parent has timed out ends, though its function lives on',
  managing({ workerCount: 2 }, async (manager, clock) => {
    const until = new Deferred();
    const outcome = new Deferred<unknown>();
    const parent = rejectionOf(
      manager.queueTaskWithTimeout(async (ctx) => {
        await until.promise;
        outcome.resolve(await rejectionOf(ctx.map([1, 2], () => assert.fail('it ran')).next()));
      }, 10),
    );
    await clock.advance(11);
    assert.ok((await parent) instanceof DeadlineExceededError);
    until.resolve();
    assert.ok((await outcome.promise) instanceof DeadlineExceededError);
  }),
);

test(
  'queueTasks gives every outcome with its index, in the order of completion',
  managing({ workerCount: 3 }, async (manager) => {
    const gates = [new Deferred<string>(), new Deferred<string>(), new Deferred<string>()];
    const outcomes = manager.queueTasks(gates.map((gate) => () => gate.promise));
    const error = new Error('boom');
    const first = outcomes.next();
    gates[2]!.resolve('two');
    assert.deepEqual((await first).value, { status: 'fulfilled', value: 'two', index: 2 });
    gates[0]!.reject(error);
    assert.deepEqual((await outcomes.next()).value, { status: 'rejected', reason: error, index: 0 });
    gates[1]!.resolve('one');
    assert.deepEqual((await outcomes.next()).value, { status: 'fulfilled', value: 'one', index: 1 });
    assert.equal((await outcomes.next()).done, true);
  }),
);

test(
  'queueTasks is lazy, takes generators and async generators, and hands on context and resource',
  managing({ workerCount: 1, onCreate: () => 'db' }, async (manager) => {
    let pulled = 0;
    const jobs = async function* () {
      for (; ; pulled++) yield (ctx: { attempt: number }, db: string) => `${pulled} ${ctx.attempt} ${db}`;
    };
    const outcomes = manager.queueTasks(jobs(), { highWaterMark: 2 });
    await turn();
    assert.equal(pulled, 0);
    const { value } = await outcomes.next();
    assert.ok(value?.status === 'fulfilled');
    assert.match(value.value, /^\d+ 1 db$/);
    for (let i = 0; i < 10; i++) await turn();
    assert.ok(pulled <= 4, `${pulled} pulled`);
    await outcomes.return();
  }),
);

test(
  'queueTasks ordered gives the outcomes in the order of the input',
  managing({ workerCount: 3 }, async (manager) => {
    const jobs = [3, 1, 2].map((turns) => async () => {
      for (let i = 0; i < turns; i++) await turn();
      return turns;
    });
    const outcomes = await collect(manager.queueTasks(jobs, { ordered: true }));
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status === 'fulfilled' && outcome.value),
      [3, 1, 2],
    );
  }),
);

test(
  'what is no function among queueTasks is an outcome like any other',
  managing({ workerCount: 1 }, async (manager) => {
    const outcomes = await collect(manager.queueTasks([() => 1, 'no function' as never, () => 3], { ordered: true }));
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.ok(outcomes[1]!.status === 'rejected' && outcomes[1]!.reason instanceof TypeError);
  }),
);

test(
  'ten thousand items leave no more than a handful of tasks at once in the books',
  managing({ workerCount: 4 }, async (manager) => {
    let most = 0;
    let sum = 0;
    for await (const value of manager.map(count(10_000), (item) => item)) {
      sum += value;
      const { queuedTasks, runningTasks } = manager.stats();
      most = Math.max(most, queuedTasks + runningTasks);
    }
    assert.equal(sum, (10_000 * 9_999) / 2);
    assert.ok(most <= 4, `${most} at once`);
    assert.equal(manager.metrics().totalTasksCompleted, 10_000);
  }),
);
