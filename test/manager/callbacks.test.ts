import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { CanceledError, DeadlineExceededError, QueueFullError, ShutdownError } from '../../src/index.ts';
import { Deferred, end, hold, managing, turn } from './support.ts';

type Outcome = { error: unknown; value: unknown; count: number };

/** A callback, and what it was called with. */
function recording(): { callback: (...args: unknown[]) => void; calls: unknown[][]; called: Promise<unknown[]> } {
  const calls: unknown[][] = [];
  const deferred = new Deferred<unknown[]>();
  return {
    calls,
    called: deferred.promise,
    callback: (...args) => {
      calls.push(args);
      deferred.resolve(args);
    },
  };
}

test(
  'a callback hears null and the value of what completed',
  managing({}, async (manager) => {
    for (const fn of [(): unknown => 7, async () => 7]) {
      const { callback, called } = recording();
      manager.queueTaskWithCallback(fn, callback);
      assert.deepEqual(await called, [null, 7]);
    }
  }),
);

test(
  'a callback hears the error alone of what failed, be it undefined',
  managing({}, async (manager) => {
    for (const error of [new Error('boom'), 'text', undefined]) {
      const { callback, called } = recording();
      manager.queueTaskWithCallback(() => Promise.reject(error), callback);
      assert.deepEqual(await called, [error]);
    }
  }),
);

test(
  'a callback hears every end exactly once: refusals, cancellations, timeouts, drops',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager, clock) => {
    await hold(manager);
    const outcomes: Record<string, Outcome> = {};
    const callback =
      (name: string) =>
      (error: unknown, value?: unknown): void => {
        outcomes[name] = { error, value, count: (outcomes[name]?.count ?? 0) + 1 };
      };
    manager.queueTaskWithCallback(() => {}, callback('canceled'), { id: 'canceled' });
    manager.queueTaskWithCallback(() => {}, callback('full'));
    manager.cancel({ id: 'canceled' }, 'enough');
    manager.queueTaskWithCallback(() => {}, callback('timedOut'), { queueTimeoutMs: 5 });
    await clock.advance(10);
    manager.queueTaskWithCallback(() => {}, callback('dropped'));
    manager.queueTaskWithCallback(() => {}, callback('killed'), { overflow: 'drop-oldest' });
    manager.queueTaskWithCallback(() => {}, callback('invalid'), { priority: Number.NaN });
    manager.queueTaskWithCallback(() => {}, callback('aborted'), { signal: AbortSignal.abort('gone') });
    await end(manager, clock);
    manager.queueTaskWithCallback(() => {}, callback('late'));
    await turn();
    const { canceled, full, timedOut, dropped, killed, invalid, aborted, late } = outcomes;
    assert.ok(canceled!.error instanceof CanceledError);
    assert.ok(full!.error instanceof QueueFullError);
    assert.ok(timedOut!.error instanceof DeadlineExceededError);
    assert.ok(dropped!.error instanceof QueueFullError);
    assert.ok(killed!.error instanceof ShutdownError);
    assert.ok(invalid!.error instanceof RangeError);
    assert.equal(aborted!.error, 'gone');
    assert.ok(late!.error instanceof ShutdownError);
    for (const [name, outcome] of Object.entries(outcomes)) {
      assert.equal(outcome.count, 1, name);
      assert.equal(outcome.value, undefined, name);
    }
  }),
);

test(
  'a callback is never called in the turn of the submission',
  managing({ workerCount: 1, maxQueueSize: 0 }, async (manager) => {
    const { calls, callback, called } = recording();
    manager.queueTaskWithCallback(() => 1, callback);
    assert.deepEqual(calls, []);
    await called;
    await hold(manager);
    const refused = recording();
    manager.queueTaskWithCallback(() => 1, refused.callback);
    assert.deepEqual(refused.calls, []);
    assert.ok((await refused.called)[0] instanceof QueueFullError);
  }),
);

test(
  'the worker is free by the time of the callback',
  managing({ workerCount: 1 }, async (manager) => {
    const seen = new Deferred<number[]>();
    manager.queueTaskWithCallback(
      async () => {},
      () => {
        const { busyWorkers, idleWorkers, runningTasks } = manager.stats();
        seen.resolve([busyWorkers, idleWorkers, runningTasks]);
      },
    );
    assert.deepEqual(await seen.promise, [0, 1, 0]);
  }),
);

test(
  'callbacks come in the order of the ends, many in one turn',
  managing({ workerCount: 1 }, async (manager) => {
    const order: number[] = [];
    const turns = new Set<number>();
    let turnNumber = 0;
    let done = false;
    const count = (): void => {
      turnNumber++;
      if (!done) setImmediate(count);
    };
    const all = new Deferred();
    for (let i = 0; i < 500; i++) {
      manager.queueTaskWithCallback(
        () => i,
        (_, value) => {
          order.push(value!);
          turns.add(turnNumber);
          if (order.length === 500) all.resolve();
        },
      );
    }
    setImmediate(count);
    await all.promise;
    done = true;
    assert.deepEqual(
      order,
      Array.from({ length: 500 }, (_, i) => i),
    );
    assert.ok(turns.size <= 50, `${turns.size} turns for 500 callbacks`);
    await turn();
  }),
);

test(
  'a callback that throws goes to the error event, and the next ones are called',
  managing({ workerCount: 1 }, async (manager) => {
    const errors: unknown[] = [];
    manager.on('error', (error) => errors.push(error));
    const thrown = new Error('the callback is broken');
    manager.queueTaskWithCallback(
      () => 1,
      () => {
        throw thrown;
      },
    );
    const { callback, called } = recording();
    manager.queueTaskWithCallback(() => 2, callback);
    assert.deepEqual(await called, [null, 2]);
    assert.deepEqual(errors, [thrown]);
    assert.equal(manager.metrics().totalTasksCompleted, 2);
  }),
);

test(
  'an async callback that rejects goes to the error event too',
  managing({ workerCount: 1 }, async (manager) => {
    const errors: unknown[] = [];
    manager.on('error', (error) => errors.push(error));
    const thrown = new Error('the async callback is broken');
    manager.queueTaskWithCallback(
      () => 1,
      async () => {
        await turn();
        throw thrown;
      },
    );
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual(errors, [thrown]);
  }),
);

test(
  'a callback that throws, with no listener and a logger that throws, breaks nothing',
  (() => {
    const broken = (): never => {
      throw new Error('the logger is broken');
    };
    const logger = { debug: broken, info: broken, warn: broken, error: broken };
    return managing({ workerCount: 1, logger }, async (manager) => {
      manager.queueTaskWithCallback(
        () => 1,
        () => {
          throw new Error('the callback is broken');
        },
      );
      const { callback, called } = recording();
      manager.queueTaskWithCallback(() => 2, callback);
      assert.deepEqual(await called, [null, 2]);
    });
  })(),
);

test(
  'a callback may submit, and a callback of that comes in a later turn',
  managing({ workerCount: 1 }, async (manager) => {
    const order: string[] = [];
    const done = new Deferred();
    manager.queueTaskWithCallback(
      () => {},
      () => {
        order.push('outer begins');
        manager.queueTaskWithCallback(
          () => {},
          () => {
            order.push('inner');
            done.resolve();
          },
        );
        order.push('outer ends');
      },
    );
    await done.promise;
    assert.deepEqual(order, ['outer begins', 'outer ends', 'inner']);
  }),
);

test(
  'a callback runs in the async context of its submission',
  managing({ workerCount: 1 }, async (manager) => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const done = new Deferred();
    for (const name of ['a', 'b', 'c']) {
      storage.run(name, () =>
        manager.queueTaskWithCallback(
          () => name,
          (_, value) => {
            seen.push([value, storage.getStore()]);
            if (seen.length === 3) done.resolve();
          },
        ),
      );
    }
    await done.promise;
    assert.deepEqual(seen, [
      ['a', 'a'],
      ['b', 'b'],
      ['c', 'c'],
    ]);
  }),
);

test(
  'stop resolves only when all callbacks have been called',
  managing({ workerCount: 2 }, async (manager) => {
    let called = 0;
    for (let i = 0; i < 100; i++)
      manager.queueTaskWithCallback(
        async () => {},
        () => void called++,
      );
    await manager.stop();
    assert.equal(called, 100);
  }),
);

test(
  'kill resolves only when all callbacks have heard of it, under load too',
  managing({ workerCount: 2 }, async (manager, clock) => {
    const errors: unknown[] = [];
    const until = new Deferred();
    for (let i = 0; i < 1_000; i++) {
      manager.queueTaskWithCallback(
        () => until.promise,
        (error) => errors.push(error),
      );
    }
    await end(manager, clock);
    assert.equal(errors.length, 1_000);
    assert.ok(errors.every((error) => error instanceof ShutdownError && error === errors[0]));
    until.resolve();
  }),
);
