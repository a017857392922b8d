/** Promise 8: a task runs in the async context of its own submission, never in that of whatever the worker ran before. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type TaskContext, TaskManager, type TaskManagerOptions } from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, noop, type Resource, Stock, settle, within } from './kit.ts';

const storage = new AsyncLocalStorage<string>();
const store = (): string | undefined => storage.getStore();

/** The store at every point of a function where it could get lost. */
async function look(): Promise<string> {
  const seen = [store()];
  await null;
  seen.push(store());
  await settle(1);
  seen.push(store());
  queueMicrotask(() => seen.push(store()));
  await null;
  return [...new Set(seen)].join(' then ');
}

type Submitter = TaskManager<Resource> | TaskContext<Resource>;
type Fn = () => unknown;

/** Every way to submit; each gives what the function returned. */
const forms: Readonly<Record<string, (to: Submitter, fn: Fn) => Promise<unknown>>> = {
  queueTask: (to, fn) => to.queueTask(fn),
  queueTaskAsync: (to, fn) => to.queueTaskAsync(fn).result,
  queueTaskWithCallback: (to, fn) => calledBack((callback) => to.queueTaskWithCallback(fn, callback)),
  queueTaskWithTimeout: (to, fn) => to.queueTaskWithTimeout(fn, 60_000),
  queueTaskWithPriority: (to, fn) => to.queueTaskWithPriority(fn),
  queueTaskWithPriorityAsync: (to, fn) => to.queueTaskWithPriorityAsync(fn).result,
  queueTaskWithPriorityWithCallback: (to, fn) =>
    calledBack((callback) => to.queueTaskWithPriorityWithCallback(fn, callback)),
  queueTaskWithPriorityWithTimeout: (to, fn) => to.queueTaskWithPriorityWithTimeout(fn, 60_000),
  queueTaskOnce: (to, fn) => to.queueTaskOnce(fn),
  queueTaskOnceAsync: (to, fn) => to.queueTaskOnceAsync(fn).result,
  queueTaskOnceWithCallback: (to, fn) => calledBack((callback) => to.queueTaskOnceWithCallback(fn, callback)),
  queueTaskOnceWithTimeout: (to, fn) => to.queueTaskOnceWithTimeout(fn, 60_000),
  queueTaskWithPriorityOnce: (to, fn) => to.queueTaskWithPriorityOnce(fn),
  queueTaskWithPriorityOnceAsync: (to, fn) => to.queueTaskWithPriorityOnceAsync(fn).result,
  queueTaskWithPriorityOnceWithCallback: (to, fn) =>
    calledBack((callback) => to.queueTaskWithPriorityOnceWithCallback(fn, callback)),
  queueTaskWithPriorityOnceWithTimeout: (to, fn) => to.queueTaskWithPriorityOnceWithTimeout(fn, 60_000),
  runTask: (to, fn) => to.runTask(fn),
  runTaskAsync: (to, fn) => to.runTaskAsync(fn).result,
  runTaskWithCallback: (to, fn) => calledBack((callback) => to.runTaskWithCallback(fn, callback)),
  runTaskWithTimeout: (to, fn) => to.runTaskWithTimeout(fn, 60_000),
  tryQueueTask: (to, fn) => to.tryQueueTask(fn)!.result,
  'queueTask with all its options': (to, fn) =>
    to.queueTask(fn, {
      priority: 2,
      key: 'k',
      timeoutMs: 60_000,
      queueTimeoutMs: 60_000,
      signal: new AbortController().signal,
      retry: { attempts: 2 },
    }),
  go: (to, fn) =>
    new Promise((resolve) => {
      to.go(async () => resolve(await fn()));
    }),
  queueTaskStream: (to, fn) =>
    first(
      to.queueTaskStream(async function* () {
        yield await fn();
      }),
    ),
  map: (to, fn) => first(to.map([1], fn)),
  queueTasks: async (to, fn) => {
    const outcome = await first(to.queueTasks([fn]));
    return outcome.status === 'fulfilled' ? outcome.value : outcome.reason;
  },
};

/** What the function returned, if the callback too is called in the context of the submission. */
function calledBack(submit: (callback: (error: unknown, value?: unknown) => void) => void): Promise<unknown> {
  const mine = store();
  return new Promise((resolve, reject) => {
    submit((error, value) => {
      if (error !== null) reject(error);
      else resolve(store() === mine ? value : `called back in ${store()}`);
    });
  });
}

async function first<E>(iterable: AsyncIterable<E>): Promise<E> {
  for await (const value of iterable) return value;
  throw new Error('it was empty');
}

const NAMES = ['ann', 'bob', 'cid'];

function manage(options: TaskManagerOptions<Resource> = {}): TaskManager<Resource> {
  const { hooks } = new Stock(() => settle(1));
  return new TaskManager<Resource>({ workerCount: 1, burstIntervalMs: 0, maxTemporary: 9, ...hooks, ...options });
}

for (const [form, submit] of Object.entries(forms)) {
  test(
    `${form}: each function runs in the context of its own submission`,
    withLeakCheck(async () => {
      const manager = manage();
      // While the resource is made, while the worker is busy, and when it is idle.
      const waiting = NAMES.map((name) => storage.run(name, () => submit(manager, look)));
      assert.deepEqual(await within(Promise.all(waiting)), NAMES);
      const busy = storage.run('busy', () => manager.queueTask(() => settle(2)));
      const queued = NAMES.map((name) => storage.run(name, () => submit(manager, look)));
      assert.deepEqual(await within(Promise.all(queued)), NAMES);
      await busy;
      for (const name of NAMES) assert.equal(await storage.run(name, () => submit(manager, look)), name);
      const synchronous = NAMES.map((name) => storage.run(name, () => submit(manager, store)));
      assert.deepEqual(await within(Promise.all(synchronous)), NAMES);
      await manager.stop();
    }),
  );

  test(
    `${form} through a task’s context: the child runs in the context of that call`,
    withLeakCheck(async () => {
      const manager = manage();
      const seen = await within(
        storage.run('parent', () =>
          manager.queueTask(async (ctx) => {
            const children = NAMES.map((name) => storage.run(name, () => submit(ctx, look)));
            const inherited = submit(ctx, look);
            return [...(await Promise.all(children)), await inherited, await look()];
          }),
        ),
        1_000,
      );
      assert.deepEqual(seen, [...NAMES, 'parent', 'parent']);
      await manager.stop();
    }),
  );
}

test(
  'a task that waited for room runs in the context of its submission',
  withLeakCheck(async () => {
    const manager = manage({ maxQueueSize: 1, overflow: 'wait' });
    const tasks = NAMES.map((name) => storage.run(name, () => manager.queueTask(look)));
    const handles = NAMES.map((name) => storage.run(name, () => manager.queueTaskAsync(look).result));
    assert.ok(manager.stats().waitingForRoom > 0);
    assert.deepEqual(await within(Promise.all([...tasks, ...handles])), [...NAMES, ...NAMES]);
    await manager.stop();
  }),
);

test(
  'runOnEach runs in the context of its call, on idle, busy and creating workers',
  withLeakCheck(async () => {
    const manager = manage({ workerCount: 2 });
    assert.deepEqual(await storage.run('creating', () => manager.runOnEach(look)), ['creating', 'creating']);
    assert.deepEqual(await storage.run('idle', () => manager.runOnEach(look)), ['idle', 'idle']);
    const busy = storage.run('other', () => manager.queueTask(() => settle(2)));
    assert.deepEqual(await storage.run('busy', () => manager.runOnEach(look)), ['busy', 'busy']);
    await busy;
    await manager.stop();
  }),
);

test(
  'every attempt runs in the context of the submission: at once, after a pause, on a new resource',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    class Lost extends Error {}
    const manager = manage({ clock, checkHealth: (error) => !(error instanceof Lost) });
    const run = async (
      name: string,
      submit: (fn: (ctx: TaskContext<Resource>) => Promise<string>) => PromiseLike<string>,
    ) => {
      const seen: string[] = [];
      const task = storage.run(name, () =>
        submit(async ({ attempt }) => {
          seen.push(await look());
          if (attempt === 1) throw new Lost();
          if (attempt === 2) throw new Error('at once');
          if (attempt === 3) throw new Error('after a pause');
          return name;
        }),
      );
      return async () => {
        await task;
        return seen;
      };
    };
    const retry = { attempts: 3, backoff: (attempt: number) => (attempt === 1 ? 0 : 100) };
    const results = [
      await run('plain', (fn) => manager.queueTask(fn, { retry })),
      await run('handle', (fn) => manager.queueTaskAsync(fn, { retry })),
      await run('past', (fn) => manager.runTask(fn, { retry })),
    ];
    const noise = storage.run('noise', () => Promise.all(Array.from({ length: 20 }, () => manager.queueTask(look))));
    await storage.run('the clock', () => clock.advance(1_000));
    assert.deepEqual(await results[0]!(), Array(4).fill('plain'));
    assert.deepEqual(await results[1]!(), Array(4).fill('handle'));
    assert.deepEqual(await results[2]!(), Array(4).fill('past'));
    await noise;
    await manager.stop();
  }),
);

test(
  'a synchronous throw keeps the context for the next attempt',
  withLeakCheck(async () => {
    const manager = manage();
    const seen: unknown[] = [];
    const task = storage.run('mine', () =>
      manager.queueTask(
        ({ attempt }) => {
          seen.push(store());
          if (attempt < 3) throw new Error('once more');
        },
        { retry: { attempts: 3, baseMs: 0 } },
      ),
    );
    await storage.run('other', () => manager.queueTask(noop));
    await task;
    assert.deepEqual(seen, ['mine', 'mine', 'mine']);
    await manager.stop();
  }),
);

test(
  'deferred functions run in the context of their task',
  withLeakCheck(async () => {
    const manager = manage();
    const seen: unknown[] = [];
    const tasks = NAMES.map((name) =>
      storage.run(name, () =>
        manager.queueTask(async (ctx) => {
          ctx.defer(() => seen.push(store()));
          ctx.defer(async () => {
            await settle(1);
            seen.push(store());
          });
          await settle(1);
        }),
      ),
    );
    await Promise.all(tasks);
    assert.deepEqual(
      seen,
      NAMES.flatMap((name) => [name, name]),
    );
    await manager.stop();
  }),
);

test(
  'a generator keeps its context while a reader elsewhere holds it up',
  withLeakCheck(async () => {
    const manager = manage();
    const stream = storage.run('generator', () =>
      manager.queueTaskStream(
        async function* () {
          for (let i = 0; i < 5; i++) yield store();
        },
        { highWaterMark: 1 },
      ),
    );
    const seen: unknown[] = [];
    await storage.run('reader', async () => {
      for await (const value of stream) {
        seen.push(value, store());
        await settle(1);
      }
    });
    assert.deepEqual(seen, Array(5).fill(['generator', 'reader']).flat());
    await manager.stop();
  }),
);

test(
  'map pulls and runs in its caller’s context, whatever frees the slots',
  withLeakCheck(async () => {
    const manager = manage({ workerCount: 2 });
    const results = NAMES.map((name) =>
      storage.run(name, async () => {
        const seen = new Set<unknown>();
        const input = function* () {
          for (let i = 0; i < 30; i++) {
            seen.add(store());
            yield i;
          }
        };
        for await (const value of manager.map(input(), look)) seen.add(value);
        return [...seen];
      }),
    );
    assert.deepEqual(
      await within(Promise.all(results), 2_000),
      NAMES.map((name) => [name]),
    );
    await manager.stop();
  }),
);

test(
  'resources are made and destroyed in the context of the manager’s construction, whoever has brought that about',
  withLeakCheck(async () => {
    const seen = new Set<unknown>();
    const clock = new VirtualClock();
    const manager = storage.run(
      'manager',
      () =>
        new TaskManager({
          workerCount: 1,
          maxWorkerCount: 2,
          scaling: () => {
            seen.add(`scaled in ${store()}`);
            return 2;
          },
          clock,
          onCreate: async () => {
            await null;
            seen.add(`created in ${store()}`);
            return 1;
          },
          onDestroy: () => seen.add(`destroyed in ${store()}`),
        }),
    );
    await clock.advance(0);
    await storage.run('task', async () => {
      await manager.queueTask((ctx) => ctx.retireResource());
      await manager.runTask((ctx) => ctx.retireResource());
      const slow = manager.queueTask(() => new Promise<void>((resolve) => clock.setTimeout(resolve, 200)));
      await clock.advance(1_000);
      await slow;
    });
    await storage.run('end', () => manager.stop());
    assert.deepEqual([...seen].sort(), ['created in manager', 'destroyed in manager', 'scaled in manager']);
  }),
);

test(
  'what a task submits to the manager itself runs in the context of that call',
  withLeakCheck(async () => {
    const manager = manage();
    const inner = deferred<unknown>();
    await storage.run('outer', () =>
      manager.queueTask(() => {
        storage.run('inner', () => void manager.queueTask(look).then(inner.resolve));
      }),
    );
    assert.equal(await inner.promise, 'inner');
    await manager.stop();
  }),
);

test(
  'without a store a task has none, whoever ran before it',
  withLeakCheck(async () => {
    const manager = manage();
    const before = storage.run('before', () => manager.queueTask(() => settle(1)));
    const task = storage.exit(() => manager.queueTask(store));
    await before;
    assert.equal(await task, undefined);
    await manager.stop();
  }),
);

test(
  'several storages are kept apart at once',
  withLeakCheck(async () => {
    const other = new AsyncLocalStorage<number>();
    const manager = manage();
    const tasks = NAMES.map((name, i) =>
      storage.run(name, () =>
        other.run(i, () =>
          manager.queueTask(async () => {
            await settle(1);
            return [store(), other.getStore()];
          }),
        ),
      ),
    );
    assert.deepEqual(
      await Promise.all(tasks),
      NAMES.map((name, i) => [name, i]),
    );
    await manager.stop();
  }),
);

// Without a leak check, which itself keeps hold of what it has seen.
test('what a submission’s context holds can be freed when its task has ended, though the manager lives', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const requests = new AsyncLocalStorage<object>();
  const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 2, burstIntervalMs: 5, scaling: () => 2 });
  const refs: WeakRef<object>[] = [];
  for (let i = 0; i < 10; i++) {
    const request = { size: new Array(1_000) };
    refs.push(new WeakRef(request));
    const options = { timeoutMs: 60_000, queueTimeoutMs: 60_000 };
    await requests.run(request, () => manager.queueTask(() => settle(1), options));
    await manager.runTask(noop);
  }
  await settle();
  collect();
  await settle();
  collect();
  const held = refs.filter((ref) => ref.deref() !== undefined);
  assert.ok(held.length <= 1, `${held.length} of 10 are held; the last may be`);
  assert.ok(!held.includes(refs[0]!), 'not the first, by what lives as long as the manager');
  await manager.stop();
});

test(
  'asyncContext: false runs every form all the same',
  withLeakCheck(async () => {
    const manager = manage({ asyncContext: false });
    for (const [form, submit] of Object.entries(forms)) {
      const busy = manager.queueTask(() => settle(1));
      assert.equal(await within(submit(manager, () => form).then(String)), form);
      await busy;
      const child = manager.queueTask((ctx) => submit(ctx, () => settle(1).then(() => form)));
      assert.equal(await within(child), form);
    }
    await manager.stop();
  }),
);
