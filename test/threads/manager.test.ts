/** What a TaskManager does with threads as with all resources: runTask, children, retirement, stop, and the rest. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { ResourceError, ShutdownError } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import type { Thread } from '../../src/threads/index.ts';
import { assertBooks } from '../manager/kit.ts';
import { collect, held, type ManageOptions, manage, Probe, rejectionOf, until, work } from './kit.ts';

/** What modules/contexts.js exports, of that which these tests call. */
interface Contexts {
  show(): { id: string; attempt: number };
  block(): boolean;
  mark(): void;
  waitForSignal(): Promise<never>;
  count(): number;
  loop(): never;
}

const BEGUN = 0;
const ENDED = 1;
const LET_GO = 2;
const MARKED = 3;

const CONTEXTS = work('contexts.js');

function managing(
  options: ManageOptions,
  body: (manager: ReturnType<typeof manage<Contexts>>, probe: Probe) => Promise<void>,
): () => Promise<void> {
  return withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Contexts>(CONTEXTS, { workerData: probe.cells, ...options });
    await body(manager, probe);
    await manager.stop();
    assertBooks(manager);
  });
}

test(
  'runTask has threads of its own, past those of the queue',
  managing({}, async (manager, probe) => {
    const blocked = manager.queueTask((_, { api }) => api.block());
    await probe.reached(BEGUN);
    const past = await manager.runTask(async (_, { api, threadId }) => {
      await api.mark();
      return threadId;
    });
    assert.equal(probe.get(MARKED), 1);
    probe.set(LET_GO, 1);
    await blocked;
    const { threadId } = await manager.queueTask((_, thread) => thread);
    assert.notEqual(past, threadId);
  }),
);

test(
  'runTask is canceled as any task, its thread kept or terminated',
  managing({ terminateAfterMs: 20, resourcePoolSize: 1 }, async (manager, probe) => {
    const heeded = manager.runTaskAsync((_, { api }) => api.waitForSignal());
    await probe.reached(BEGUN, 1);
    heeded.cancel();
    await rejectionOf(heeded);
    await probe.reached(ENDED);
    const unheeded = manager.runTaskAsync((_, { api }) => api.loop());
    await probe.reached(BEGUN, 2);
    unheeded.cancel();
    await rejectionOf(unheeded);
    await until(() => manager.stats().stuckWorkers === 0);
    await manager.runTask((_, { api }) => api.mark());
    assert.equal(probe.get(MARKED), 1);
  }),
);

test(
  'runTaskSync has no use for a thread’s answer, which is a promise, and says so; the call is canceled',
  managing({}, async (manager, probe) => {
    assert.throws(() => manager.runTaskSync(() => 7), ResourceError);
    await until(() => manager.stats().availableResources === 1);
    assert.equal(
      manager.runTaskSync((_, { threadId }) => threadId > 0),
      true,
    );
    assert.throws(
      () => manager.runTaskSync((_, { api }) => api.waitForSignal() as never),
      /TypeError: runTaskSync takes a synchronous function/,
    );
    await until(() => manager.stats().availableResources === 1);
    assert.equal(probe.get(BEGUN), probe.get(ENDED));
  }),
);

test(
  'children share the thread of their parent when no other is free, each call with its own task’s context',
  managing({}, async (manager) => {
    await manager.queueTask(async (ctx, { api, threadId }) => {
      const own = api.show();
      const children = ['one', 'two'].map((id) =>
        ctx.queueTask(async (_, thread) => ({ ...(await thread.api.show()), threadId: thread.threadId }), { id }),
      );
      const [one, two] = await Promise.all(children);
      assert.deepEqual([one!.id, two!.id, (await own).id], ['one', 'two', ctx.id]);
      assert.deepEqual([one!.threadId, two!.threadId], [threadId, threadId]);
      const elsewhere = await ctx.queueTask((_, thread) => thread.threadId, { ownResource: true });
      assert.notEqual(elsewhere, threadId);
    });
  }),
);

test(
  'a child’s end cancels the calls of the child alone, its parent’s end those of both',
  managing({}, async (manager, probe) => {
    const parent = manager.queueTaskAsync(async (ctx, { api }) => {
      const own = api.waitForSignal();
      const child = ctx.queueTaskAsync((_, thread) => thread.api.waitForSignal());
      await probe.reached(BEGUN, 2);
      child.cancel();
      await rejectionOf(child);
      await probe.reached(ENDED, 1);
      const other = ctx.queueTask((_, thread) => thread.api.waitForSignal());
      await Promise.all([own, other]);
    });
    await probe.reached(BEGUN, 3);
    assert.equal(probe.get(ENDED), 1);
    parent.cancel();
    await rejectionOf(parent);
    await probe.reached(ENDED, 3);
    await manager.queueTask(() => {});
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'a child that has its thread terminated takes the calls of its parent with it',
  managing({ terminateAfterMs: 20 }, async (manager, probe) => {
    await manager.queueTask(async (ctx, { api }) => {
      const child = ctx.queueTask((_, thread) => thread.api.loop(), { timeoutMs: 20 });
      await probe.reached(BEGUN);
      const own = rejectionOf(api.mark());
      await rejectionOf(child);
      const error = await own;
      assert.equal(error.code, 'ERR_THREAD_CRASH');
      assert.equal(error.hasBegun, false);
    });
  }),
);

test(
  'maxUses, recycle() and retireResource() end threads in peace, with their exit listeners called',
  withLeakCheck(async () => {
    const probe = new Probe();
    const module = `data:text/javascript,${encodeURIComponent(`
      import { workerData } from 'node:worker_threads';
      process.on('exit', () => Atomics.add(workerData, 0, 1));
      export const f = () => 7;
    `)}`;
    const manager = manage(module, { workerData: probe.cells, maxUses: 2 });
    for (let i = 0; i < 4; i++) await manager.queueTask((_, thread) => thread.call('f'));
    await held(probe.reached(0, 2));
    await manager.ready();
    manager.recycle();
    await held(probe.reached(0, 3));
    await manager.queueTask((ctx) => ctx.retireResource());
    await held(probe.reached(0, 4));
    await manager.stop();
    const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
    assert.equal(totalResourcesCreated, totalResourcesDestroyed);
    assert.equal(probe.get(0), totalResourcesCreated);
  }),
);

test(
  'a thread that would not exit is terminated',
  withLeakCheck(async () => {
    const module = `data:text/javascript,${encodeURIComponent(`
      export const f = () => void process.on('exit', () => { for (;;); });
    `)}`;
    const manager = manage(module);
    await manager.queueTask((_, thread) => thread.call('f'));
    await manager.stop();
  }),
);

test(
  'a task runs in the async context of its submission, with threads as well',
  managing({}, async (manager) => {
    const storage = new AsyncLocalStorage<string>();
    const seen = await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        storage.run(name, () =>
          manager.queueTask(async (_, { api }) => {
            await api.show();
            const before = storage.getStore();
            for await (const _ of [api.show(), api.show()]);
            return [before, storage.getStore()];
          }),
        ),
      ),
    );
    assert.deepEqual(seen, [
      ['a', 'a'],
      ['b', 'b'],
      ['c', 'c'],
    ]);
  }),
);

test(
  'stop() lets calls end, and then their threads; kill() doesn’t',
  withLeakCheck(async () => {
    for (const end of ['stop', 'kill'] as const) {
      const probe = new Probe();
      const manager = manage<Contexts>(CONTEXTS, { workerData: probe.cells, workerCount: 2 });
      const blocked = [manager.queueTask((_, { api }) => api.block()), manager.queueTask((_, { api }) => api.block())];
      const results = Promise.allSettled(blocked);
      await probe.reached(BEGUN, 2);
      const ended = manager[end]();
      probe.set(LET_GO, 1);
      await ended;
      for (const result of await results) {
        if (end === 'stop') assert.deepEqual(result, { status: 'fulfilled', value: false });
        else assert.ok((result as PromiseRejectedResult).reason instanceof ShutdownError);
      }
      assert.equal(probe.get(ENDED), 2);
    }
  }),
);

test(
  'a burst of workers has threads, and loses them',
  managing({ workerCount: 1, maxWorkerCount: 3, burstIntervalMs: 5, scaling: () => 3 }, async (manager, probe) => {
    const tasks = [1, 2, 3].map(() => manager.queueTask((_, { api }) => api.block()));
    await probe.reached(BEGUN, 3);
    manager.resize({ maxWorkerCount: 1 });
    probe.set(LET_GO, 1);
    await Promise.all(tasks);
    assert.equal(manager.metrics().totalResourcesDestroyed, 2);
  }),
);

test(
  'map with a failure cancels the calls of the rest, and waits for them',
  managing({ workerCount: 2 }, async (manager, probe) => {
    const map = manager.map([1, 2], async (item, _, { api }: Thread<Contexts>) => {
      if (item === 1) return api.waitForSignal();
      await probe.reached(BEGUN);
      throw new Error('the second');
    });
    assert.equal((await rejectionOf(collect(map))).message, 'the second');
    assert.equal(probe.get(ENDED), 1);
  }),
);

test(
  'two managers can share what threads() gives, each with threads of its own',
  withLeakCheck(async () => {
    const probe = new Probe();
    const one = manage<Contexts>(CONTEXTS, { workerData: probe.cells });
    const two = manage<Contexts>(CONTEXTS, { workerData: probe.cells });
    const [a, b] = await Promise.all([one, two].map((manager) => manager.queueTask((_, { threadId }) => threadId)));
    assert.notEqual(a, b);
    await Promise.all([one.stop(), two.stop()]);
  }),
);
