import assert from 'node:assert/strict';
import { test } from 'node:test';
import { background, CanceledError, withValue } from '../../src/go/index.ts';
import {
  ResourceError,
  ShutdownError,
  type TaskContext,
  type TaskHandle,
  TaskManager,
} from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import {
  assertBooks,
  deferred,
  heard,
  noop,
  type Resource,
  Stock,
  settle,
  stateOf,
  untilCanceled,
  within,
} from './kit.ts';

class Lost extends Error {}

// ---- no deadlock ----------------------------------------------------------------------------------------------------

test(
  'a child runs on its parent’s worker when that is the only one, and shares its resource',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    const seen = await within(
      manager.queueTask(async (ctx, mine) => {
        const childs = await ctx.queueTask((_, resource) => {
          const { runningTasks, busyWorkers } = manager.stats();
          assert.deepEqual({ runningTasks, busyWorkers }, { runningTasks: 2, busyWorkers: 1 });
          return resource;
        });
        return [mine, childs];
      }),
    );
    assert.equal(seen[0], seen[1]);
    await manager.stop();
    assert.equal(stock.made.length, 1);
    stock.assertAllDestroyedOnce();
  }),
);

for (const workerCount of [1, 2, 3, 4]) {
  test(
    `with ${workerCount} worker(s), parents on all of them get all their children`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ workerCount, burstIntervalMs: 0 });
      const parents = Array.from({ length: 3 * workerCount }, (_, parent) =>
        manager.queueTask(async (ctx) => {
          const children = Array.from({ length: 5 }, (_, child) =>
            ctx.queueTask(async () => {
              await settle(1);
              return `${parent}.${child}`;
            }),
          );
          return (await Promise.all(children)).length;
        }),
      );
      assert.deepEqual(
        await within(Promise.all(parents), 1_000),
        parents.map(() => 5),
      );
      assert.equal(assertBooks(manager).totalTasksCompleted, 6 * parents.length);
      await manager.stop();
    }),
  );

  test(
    `with ${workerCount} worker(s), children 50 deep come to their end`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ workerCount, burstIntervalMs: 0 });
      const dig = async (ctx: TaskContext<undefined>, depth: number): Promise<number> =>
        depth === 50 ? depth : ctx.queueTask((inner) => dig(inner, depth + 1));
      const bottoms = Array.from({ length: workerCount }, () => manager.queueTask((ctx) => dig(ctx, 0)));
      assert.deepEqual(
        await within(Promise.all(bottoms)),
        bottoms.map(() => 50),
      );
      assertBooks(manager);
      await manager.stop();
    }),
  );
}

test(
  'a child goes to a free worker if there is one',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    await manager.ready();
    const shared = await manager.queueTask(async (ctx, mine) => mine === (await ctx.queueTask((_, theirs) => theirs)));
    assert.equal(shared, false);
    await manager.stop();
  }),
);

test(
  'while any worker works on something else, a child waits for it instead of sharing',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    const release = deferred();
    const other = manager.queueTask((_, resource) => release.promise.then(() => resource));
    const parent = manager.queueTask(async (ctx, mine) => ({
      mine,
      childs: await ctx.queueTask((_, resource) => resource),
    }));
    await settle();
    assert.equal(manager.stats().queuedTasks, 1);
    release.resolve();
    const { mine, childs } = await within(parent);
    assert.notEqual(mine, childs);
    assert.equal(childs, await other);
    await manager.stop();
  }),
);

test(
  'the child that was submitted first is the first to get its parent’s worker, whatever the priorities',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const order: string[] = [];
    await within(
      manager.queueTask(async (ctx) => {
        const first = ctx.queueTask(() => order.push('first'), { priority: -5 });
        const second = ctx.queueTask(() => order.push('second'));
        const third = ctx.queueTask(() => order.push('third'), { priority: 5 });
        await Promise.all([first, second, third]);
      }),
    );
    assert.equal(order[0], 'first');
    assert.equal(order.length, 3);
    await manager.stop();
  }),
);

test(
  'children of one worker’s task run there one at a time',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    let alive = 0;
    let most = 0;
    await within(
      manager.queueTask(async (ctx) => {
        const child = async (): Promise<void> => {
          most = Math.max(most, ++alive);
          await settle(1);
          alive--;
        };
        await Promise.all([1, 2, 3, 4].map(() => ctx.queueTask(child)));
      }),
    );
    assert.equal(most, 1);
    await manager.stop();
  }),
);

test(
  'a worker that goes for good leaves nobody waiting for it',
  withLeakCheck(async () => {
    // Its replacement is never made: whoever is left is all there is.
    const gate = deferred();
    const stock = new Stock((call) => (call > 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    const release = deferred();
    const other = manager.queueTask(async (ctx) => {
      await release.promise;
      ctx.retireResource();
    });
    const parent = manager.queueTask((ctx) => ctx.queueTask(() => 'child'));
    await settle();
    release.resolve();
    await other;
    assert.equal(await within(parent), 'child');
    gate.resolve();
    await manager.stop();
  }),
);

test(
  'a task that is settled while its function lives keeps no child of another from running',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const release = deferred();
    const stuck = manager.queueTaskAsync(() => release.promise);
    const parent = manager.queueTask((ctx) => ctx.queueTask(() => 'child'));
    await settle();
    assert.equal(await stateOf(parent), 'pending');
    stuck.cancel();
    assert.equal(await within(parent), 'child');
    release.resolve();
    await manager.stop();
  }),
);

test(
  'random families come to their end on any number of workers',
  withLeakCheck(async () => {
    let seed = 20_260_101;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    for (let round = 0; round < 60; round++) {
      const stock = new Stock();
      const perKey = [undefined, 1, 2][random(3)];
      const manager = new TaskManager({
        workerCount: 1 + random(3),
        burstIntervalMs: 0,
        maxTemporary: 100,
        concurrencyPerKey: perKey,
        asyncContext: random(2) === 0,
        maxQueueSize: random(2) === 0 ? 0 : Number.POSITIVE_INFINITY,
        overflow: 'wait',
        ...stock.hooks,
      });
      let begun = 0;
      const grow = async (ctx: TaskContext<Resource>, depth: number): Promise<void> => {
        begun++;
        const children: PromiseLike<unknown>[] = [];
        for (let i = random(depth > 4 ? 1 : 4); i > 0; i--) {
          const options = { priority: random(3), ownResource: random(4) === 0 };
          const fn = (inner: TaskContext<Resource>): unknown => (random(5) === 0 ? begun++ : grow(inner, depth + 1));
          children.push(random(6) === 0 ? ctx.runTask(fn) : ctx.queueTask(fn, options));
          if (random(3) === 0) await children.at(-1);
        }
        await Promise.all(children);
      };
      const families = Array.from({ length: 1 + random(6) }, (_, i) => {
        const options = { key: `k${i % 2}` };
        return random(4) === 0
          ? manager.runTask((ctx) => grow(ctx, 0))
          : manager.queueTask((ctx) => grow(ctx, 0), options);
      });
      await within(Promise.all(families), 3_000);
      await within(manager.stop());
      assert.equal(assertBooks(manager).totalTasksCompleted, begun, `round ${round}`);
      stock.assertAllDestroyedOnce();
    }
  }),
);

// ---- ownResource ----------------------------------------------------------------------------------------------------

test(
  'a child with ownResource gets a temporary one instead of sharing its parent’s',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxTemporary: 0, ...stock.hooks });
    await manager.ready();
    const ids = await within(
      manager.queueTask(async (ctx, { id }) => [id, await ctx.queueTask((_, own) => own.id, { ownResource: true })]),
    );
    assert.deepEqual(ids, [1, 2]);
    await settle();
    assert.deepEqual(
      stock.made.map(({ destroyed }) => destroyed),
      [0, 1],
    );
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a child with ownResource goes to a free worker if there is one',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    await manager.ready();
    await manager.queueTask((ctx) => ctx.queueTask(noop, { ownResource: true }));
    assert.equal(stock.made.length, 2);
    await manager.stop();
  }),
);

for (const [what, hooks] of [
  ['', (stock: Stock) => stock.hooks],
  [' without onCreate', () => ({})],
] as const) {
  test(
    `siblings of a child with ownResource have their turn after it${what}`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, ...(hooks(new Stock()) as object) });
      const names = await within(
        manager.queueTask((ctx) =>
          Promise.all([
            ctx.queueTask(() => 'own', { ownResource: true }),
            ctx.queueTask(() => 'shared'),
            ctx.queueTask(() => 'own again', { ownResource: true }),
          ]),
        ),
      );
      assert.deepEqual(names, ['own', 'shared', 'own again']);
      await manager.stop();
    }),
  );
}

test(
  'a resource of its own that can’t be made fails the child, and its siblings have their turn',
  withLeakCheck(async () => {
    const stock = new Stock((call) => {
      if (call === 2) throw new Error('no more connections');
    });
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    const [own, shared] = await within(
      manager.queueTask((ctx) =>
        Promise.allSettled([ctx.queueTask(noop, { ownResource: true }), ctx.queueTask(() => 'shared')]),
      ),
    );
    assert.ok(own.status === 'rejected' && own.reason instanceof ResourceError);
    assert.ok(shared.status === 'fulfilled');
    await manager.stop();
    assertBooks(manager);
  }),
);

test(
  'a child canceled while its own resource is made leaves the way to its siblings free',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    const result = manager.queueTask(async (ctx) => {
      const own = ctx.queueTaskAsync(noop, { ownResource: true });
      const shared = ctx.queueTask(() => 'shared');
      await settle();
      own.cancel();
      return shared;
    });
    assert.equal(await within(result), 'shared');
    gate.resolve();
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

// ---- what a child inherits --------------------------------------------------------------------------------------------

test(
  'a child inherits priority, key, values and deadline, and may have its own',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: 1_000_000 });
    const manager = new TaskManager({ workerCount: 4, clock });
    const root = withValue(withValue(background(), 'user', 'Ada'), 'tenant', 7);
    const look = (ctx: TaskContext) => ({
      priority: ctx.priority,
      key: manager.tasks({ id: ctx.id })[0]!.key,
      user: ctx.value('user'),
      tenant: ctx.value('tenant'),
      deadline: Math.round(ctx.deadline!),
    });
    const seen = await within(
      manager.queueTask(
        async (ctx) => {
          const child = ctx.queueTask(look);
          const grandchild = ctx.queueTask((inner) => inner.queueTask(look));
          const own = ctx.queueTask(look, {
            priority: -1,
            key: 'other',
            timeoutMs: 100,
            signal: withValue(background(), 'user', 'Bob'),
          });
          const urgent = ctx.queueTaskWithPriority(look, { timeoutMs: 60_000 });
          return { child: await child, grandchild: await grandchild, own: await own, urgent: await urgent };
        },
        { priority: 3, key: 'mine', timeoutMs: 5_000, signal: root },
      ),
    );
    const inherited = { priority: 3, key: 'mine', user: 'Ada', tenant: 7, deadline: 1_005_000 };
    assert.deepEqual(seen.child, inherited);
    assert.deepEqual(seen.grandchild, inherited);
    assert.deepEqual(seen.own, { priority: -1, key: 'other', user: 'Bob', tenant: 7, deadline: 1_000_100 });
    assert.deepEqual(seen.urgent, { ...inherited, priority: 1 });
    await manager.stop();
  }),
);

test(
  'a parent’s cancellation is its children’s, queued and running, with the same error',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const reason = new Error('the client has left');
    const children: TaskHandle<void>[] = [];
    const causes: unknown[] = [];
    const parent = manager.queueTaskAsync(async (ctx) => {
      const watch = async (inner: TaskContext): Promise<void> => {
        await inner.done();
        causes.push(inner.cause);
      };
      for (let i = 0; i < 3; i++) children.push(ctx.queueTaskAsync(watch));
      await ctx.done();
    });
    await settle();
    assert.deepEqual(
      children.map(({ state }) => state),
      ['running', 'queued', 'queued'],
    );
    parent.cancel(reason);
    assert.deepEqual(
      children.map(({ state }) => state),
      ['canceled', 'canceled', 'canceled'],
    );
    const errors = await Promise.all(
      [parent, ...children].map(async (handle) => handle.result.catch((error) => error)),
    );
    assert.equal(errors[0].cause ?? errors[0], reason);
    for (const error of errors) assert.equal(error, errors[0]);
    await settle();
    assert.equal(causes.length, 1);
    await manager.stop();
    assert.equal(assertBooks(manager).totalTasksCanceled, 4);
  }),
);

test(
  'a parent’s timeout times its children out',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 2, clock });
    let child: TaskHandle<void> | undefined;
    const parent = manager.queueTaskAsync(
      async (ctx) => {
        child = ctx.queueTaskAsync(untilCanceled);
        await child;
      },
      { timeoutMs: 100 },
    );
    await clock.advance(100);
    assert.deepEqual([parent.state, child!.state], ['timedOut', 'timedOut']);
    await assert.rejects(child!.result, { name: 'TimeoutError' });
    await parent.result.catch(noop);
    await manager.stop();
  }),
);

test(
  'a child that fails or is canceled leaves its parent be',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const result = await within(
      manager.queueTask(async (ctx) => {
        const failing = ctx.queueTask(() => {
          throw new Error('mine alone');
        });
        await assert.rejects(failing, { message: 'mine alone' });
        const canceled = ctx.queueTaskAsync(untilCanceled);
        await settle();
        canceled.cancel();
        await assert.rejects(canceled.result, CanceledError);
        return ctx.err ?? 'unharmed';
      }),
    );
    assert.equal(result, 'unharmed');
    await manager.stop();
  }),
);

// ---- bounds -----------------------------------------------------------------------------------------------------------

for (const overflow of ['reject', 'wait', 'drop-oldest', 'drop-lowest'] as const) {
  test(
    `children are exempt from the bound of the queue (${overflow})`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 1, overflow });
      const begun = deferred();
      const go = deferred();
      const parent = manager.queueTask(async (ctx) => {
        begun.resolve();
        await go.promise;
        const children = [1, 2, 3].map((i) => ctx.queueTask(() => i, { priority: -1 }));
        const { queuedTasks, queueUsage, waitingForRoom } = manager.stats();
        assert.deepEqual(
          { queuedTasks, queueUsage, waitingForRoom },
          { queuedTasks: 3, queueUsage: 1, waitingForRoom: 0 },
        );
        return Promise.all(children);
      });
      await begun.promise;
      const stranger = manager.queueTaskAsync(() => 'stranger');
      const late = overflow === 'wait' ? undefined : manager.queueTaskAsync(() => 'late');
      go.resolve();
      assert.deepEqual(await within(parent), [1, 2, 3], 'none of them is refused, and none dropped for another');
      await Promise.allSettled([stranger.result, late?.result]);
      await manager.stop();
      assertBooks(manager);
    }),
  );
}

test(
  'at a rendezvous (maxQueueSize 0) children are admitted all the same',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 0 });
    assert.equal(await within(manager.queueTask((ctx) => ctx.queueTask(() => 'child'))), 'child');
    await manager.stop();
  }),
);

for (const workerCount of [1, 2]) {
  test(
    `a child of a task at its key’s limit isn’t held back by it (${workerCount} worker(s))`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ workerCount, burstIntervalMs: 0, concurrencyPerKey: 1 });
      const grandchildren = manager.queueTask(
        (ctx) => ctx.queueTask((inner) => Promise.all([inner.queueTask(() => 1), inner.queueTask(() => 2)])),
        { key: 'a' },
      );
      const next = manager.queueTask(() => 'next', { key: 'a' });
      assert.deepEqual(await within(grandchildren), [1, 2]);
      assert.equal(await within(next), 'next');
      await manager.stop();
    }),
  );
}

// ---- the end of the parent ------------------------------------------------------------------------------------------

for (const [how, end] of [
  ['returns', () => 'done'],
  [
    'throws',
    () => {
      throw new Error('of the parent');
    },
  ],
] as const) {
  test(
    `children still unsettled when their parent ${how} are canceled`,
    withLeakCheck(async () => {
      const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
      const children: TaskHandle<void>[] = [];
      const parent = manager.queueTaskAsync(async (ctx) => {
        children.push(ctx.queueTaskAsync(untilCanceled), ctx.queueTaskAsync(untilCanceled));
        await settle();
        return end();
      });
      await parent.result.catch(noop);
      assert.deepEqual(
        children.map(({ state }) => state),
        ['canceled', 'canceled'],
      );
      for (const child of children) await assert.rejects(child.result, CanceledError);
      await manager.stop();
      assert.equal(assertBooks(manager).totalTasksCanceled, 2);
    }),
  );
}

test(
  'when a parent ends, none of its queued children gets to run on the way',
  withLeakCheck(async () => {
    for (const asyncContext of [true, false]) {
      const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, asyncContext });
      let ran = 0;
      const children: TaskHandle<unknown>[] = [];
      await manager.queueTask((ctx) => {
        children.push(ctx.queueTaskAsync(untilCanceled));
        for (let i = 0; i < 5; i++) children.push(ctx.queueTaskAsync(() => ran++));
      });
      await Promise.allSettled(children.map(({ result }) => result));
      await settle();
      assert.equal(ran, 0);
      await manager.stop();
      assert.equal(assertBooks(manager).totalTasksCanceled, 6);
    }
  }),
);

test(
  'a child submitted after its parent has settled is refused, in every form',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    let context!: TaskContext<undefined>;
    await manager.queueTask((ctx) => {
      context = ctx;
    });
    let ran = false;
    const fn = (): void => {
      ran = true;
    };
    await assert.rejects(context.queueTask(fn), CanceledError);
    await assert.rejects(context.runTask(fn), CanceledError);
    const handle = context.queueTaskAsync(fn);
    await assert.rejects(handle.result, CanceledError);
    await assert.rejects(handle.admitted, CanceledError);
    assert.equal(handle.state, 'rejected');
    assert.equal(typeof handle.id, 'string');
    assert.equal(handle.cancel(), false);
    const calledBack = await new Promise((resolve) => context.queueTaskWithCallback(fn, resolve));
    assert.ok(calledBack instanceof CanceledError);
    const failed = heard(manager, 'taskFailed');
    context.go(fn);
    assert.equal(failed.length, 1);
    const mapped = context.map([1, 2], fn);
    await assert.rejects(mapped.next(), CanceledError);
    const stream = context.queueTaskStream(function* () {
      yield 1;
    });
    await assert.rejects(stream.next(), CanceledError);
    assert.equal(ran, false);
    assert.equal(assertBooks(manager).totalTasksArrived, 1);
    assert.ok(manager.metrics().totalTasksRejected >= 6);
    await manager.stop();
  }),
);

test(
  'a canceled parent whose function lives on can’t submit any more: it hears why',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2 });
    const reason = new Error('the client has left');
    const refusal = deferred<unknown>();
    const parent = manager.queueTaskAsync(async (ctx) => {
      await ctx.done();
      await ctx.queueTask(noop).catch(refusal.resolve);
    });
    await settle();
    parent.cancel(reason);
    const error = (await refusal.promise) as Error;
    assert.equal(error.cause ?? error, reason);
    await parent.result.catch(noop);
    await manager.stop();
  }),
);

test(
  'each attempt of a parent has children of its own: those of the attempt before are canceled',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const first: TaskHandle<void>[] = [];
    const result = await within(
      manager.queueTask(
        async (ctx) => {
          if (ctx.attempt === 1) {
            first.push(ctx.queueTaskAsync(untilCanceled));
            await settle();
            throw new Error('once more');
          }
          return ctx.queueTask(() => 'child of the second');
        },
        { retry: { attempts: 2, baseMs: 0 } },
      ),
    );
    assert.equal(result, 'child of the second');
    assert.equal(first[0]!.state, 'canceled');
    await manager.stop();
    assertBooks(manager);
  }),
);

// ---- guests ---------------------------------------------------------------------------------------------------------

test(
  'a worker is free only when its guest’s function has returned too',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const release = deferred();
    let alive = 0;
    const parent = manager.queueTask(async (ctx) => {
      await ctx
        .queueTask(
          async () => {
            alive++;
            await release.promise;
            alive--;
          },
          { timeoutMs: 100 },
        )
        .catch(noop);
      return 'gone on';
    });
    const next = manager.queueTask(() => alive);
    await clock.advance(100);
    assert.equal(await within(parent), 'gone on');
    await settle();
    assert.equal(await stateOf(next), 'pending', 'the function of the child is alive on that resource');
    assert.equal(manager.stats().busyWorkers, 1);
    release.resolve();
    assert.equal(await within(next), 0);
    await manager.stop();
  }),
);

test(
  'a guest that is given up takes its host’s resource with it, once the host has ended',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const options = { workerCount: 1, burstIntervalMs: 0, abandonAfterMs: 500, clock, ...stock.hooks };
    const manager = new TaskManager(options);
    await clock.advance(0);
    const release = deferred();
    const parent = manager.queueTask(async (ctx, resource) => {
      await ctx.queueTask(() => new Promise(noop), { timeoutMs: 100 }).catch(noop);
      await release.promise;
      return resource.destroyed;
    });
    await clock.advance(600);
    assert.equal(manager.stats().abandonedTasks, 1);
    release.resolve();
    assert.equal(await within(parent), 0);
    assert.equal(await within(manager.queueTask((_, { id }) => id)), 2);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a guest whose resource turns out bad runs again on another, and the bad one goes with its host',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({
      workerCount: 1,
      burstIntervalMs: 0,
      maxRetries: 1,
      checkHealth: (error) => !(error instanceof Lost),
      ...stock.hooks,
    });
    await manager.ready();
    const result = await within(
      manager.queueTask(async (ctx, mine) => {
        const child = await ctx.queueTask((_, resource) => {
          if (resource.id === 1) throw new Lost();
          return resource.id;
        });
        return { child, host: mine.destroyed };
      }),
    );
    assert.deepEqual(result, { child: 2, host: 0 });
    assert.equal(await within(manager.queueTask((_, { id }) => id)), 3);
    assert.equal(stock.made[0]!.destroyed, 1);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a guest runs again by its retry policy, on its parent’s worker',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const parent = manager.queueTask((ctx) =>
      ctx.queueTask(
        ({ attempt }) => {
          if (attempt < 3) throw new Error('not yet');
          return attempt;
        },
        { retry: { attempts: 3, baseMs: 100 } },
      ),
    );
    await clock.advance(1_000);
    assert.equal(await within(parent), 3);
    await manager.stop();
    assertBooks(manager);
  }),
);

// ---- runTask, streams and maps as parents and children ----------------------------------------------------------------

test(
  'a parent of runTask gets its children, on a worker, or on its own resource when all wait',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({
      workerCount: 1,
      burstIntervalMs: 0,
      resourcePoolSize: 1,
      maxTemporary: 0,
      ...stock.hooks,
    });
    await manager.ready();
    assert.deepEqual(
      await within(manager.runTask(async (ctx, { id }) => [id, await ctx.queueTask((_, child) => child.id)])),
      [2, 1],
    );
    // Each waits for a child, and the only worker is one of them.
    const both = Promise.all([
      manager.queueTask((ctx) => settle(2).then(() => ctx.queueTask(() => 'of the queue'))),
      manager.runTask((ctx) => ctx.queueTask(() => 'past it')),
    ]);
    assert.deepEqual(await within(both), ['of the queue', 'past it']);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a parent of runTask waits for a worker that works on something else',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const release = deferred();
    const busy = manager.queueTask(() => release.promise);
    const parent = manager.runTask((ctx) => ctx.queueTask(() => 'child'));
    await settle();
    assert.equal(await stateOf(parent), 'pending');
    release.resolve();
    assert.equal(await within(parent), 'child');
    await busy;
    await manager.stop();
  }),
);

test(
  'a task may map and stream through its context on the only worker',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const result = await within(
      manager.queueTask(async (ctx) => {
        const values: number[] = [];
        for await (const value of ctx.map([1, 2, 3], async (i) => 10 * i)) values.push(value);
        const stream = ctx.queueTaskStream(async function* () {
          for (let i = 0; i < 40; i++) yield i;
        });
        let sum = 0;
        for await (const i of stream) sum += i;
        return { values, sum };
      }),
    );
    assert.deepEqual(result, { values: [10, 20, 30], sum: 780 });
    await manager.stop();
  }),
);

test(
  'the functions of runOnEach may have children, on every worker at once',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 3, burstIntervalMs: 0 });
    const each = manager.runOnEach((ctx) => Promise.all([ctx.queueTask(() => 1), ctx.queueTask(() => 2)]));
    assert.deepEqual(await within(each), [
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    await manager.stop();
  }),
);

// ---- pause and end ----------------------------------------------------------------------------------------------------

test(
  'a pause holds children too, and its end lets them go',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const begun = deferred();
    const go = deferred();
    const parent = manager.queueTask(async (ctx) => {
      begun.resolve();
      await go.promise;
      return ctx.queueTask(() => 'child');
    });
    await begun.promise;
    manager.pause();
    go.resolve();
    await settle();
    assert.equal(await stateOf(parent), 'pending');
    manager.resume();
    assert.equal(await within(parent), 'child');
    await manager.stop();
  }),
);

test(
  'a kill ends a family as a whole',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const handles: TaskHandle<unknown>[] = [];
    const spread = async (ctx: TaskContext<undefined>, depth: number): Promise<void> => {
      for (let i = 0; i < 2 && depth < 3; i++) handles.push(ctx.queueTaskAsync((inner) => spread(inner, depth + 1)));
      await ctx.done();
    };
    handles.push(manager.queueTaskAsync((ctx) => spread(ctx, 0)));
    await settle();
    assert.ok(handles.length > 3);
    await within(manager.kill());
    const outcomes = await Promise.allSettled(handles.map(({ result }) => result));
    const reasons = new Set(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason));
    assert.equal(reasons.size, 1);
    assert.ok([...reasons][0] instanceof ShutdownError);
    assertBooks(manager);
  }),
);
