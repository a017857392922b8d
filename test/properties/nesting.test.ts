/** Promise 7: no deadlock by nesting; promise 8: each task in the async context of its own submission. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import fc from 'fast-check';
import { type TaskContext, TaskManager } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { seed } from './support/seed.ts';

const { ERRAND_RUNS } = process.env;
const numRuns = Math.round(40 * Number(ERRAND_RUNS ?? 1));

/** A task, and the children it waits for: all at once, or one after the other. */
interface Tree {
  readonly key: string | undefined;
  readonly together: boolean;
  readonly ownResource: boolean;
  readonly past: boolean;
  readonly sync: boolean;
  readonly children: readonly Tree[];
}

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.record({
    key: fc.constantFrom(undefined, 'a', 'b'),
    together: fc.boolean(),
    ownResource: fc.boolean(),
    past: fc.nat(9).map((n) => n === 0),
    sync: fc.boolean(),
    children: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constant([]),
      fc.array(tie('tree'), { maxLength: 4, depthIdentifier: 'tree' }),
    ),
  }),
}));

function sizeOf(node: Tree): number {
  return node.children.reduce((sum, child) => sum + sizeOf(child), 1);
}

const setting = fc.record({
  workerCount: fc.integer({ min: 1, max: 3 }),
  concurrencyPerKey: fc.constantFrom(undefined, 1, 2),
  maxQueueSize: fc.constantFrom(0, 1, Number.POSITIVE_INFINITY),
  withResource: fc.boolean(),
  asyncContext: fc.boolean(),
});

test(
  'trees of tasks that wait for their children always come to their end',
  withLeakCheck(async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(tree, { minLength: 1, maxLength: 4 }), setting, async (trees, given) => {
        const { withResource, ...options } = given;
        let alive = 0;
        const manager = new TaskManager<unknown>({
          ...options,
          maxWorkerCount: options.workerCount,
          burstIntervalMs: 0,
          maxTemporary: 1_000,
          overflow: 'wait',
          ...(withResource && { onCreate: () => ++alive, onDestroy: () => void alive-- }),
        });
        let ran = 0;
        const run =
          (node: Tree) =>
          (context: TaskContext<unknown>): Promise<void> | void => {
            ran++;
            const start = (child: Tree): Promise<void> =>
              child.past
                ? context.runTask(run(child))
                : context.queueTask(run(child), { key: child.key, ownResource: child.ownResource });
            if (node.children.length === 0 && node.sync) return;
            if (node.together) return Promise.all(node.children.map(start)).then(() => {});
            return node.children.reduce((before, child) => before.then(() => start(child)), Promise.resolve());
          };
        await Promise.all(trees.map((node) => manager.queueTask(run(node), { key: node.key })));
        assert.equal(
          ran,
          trees.reduce((sum, node) => sum + sizeOf(node), 0),
        );
        await manager.stop();
        assert.equal(alive, 0);
        const metrics = manager.metrics();
        assert.equal(metrics.totalTasksArrived, ran);
        assert.equal(metrics.totalTasksCompleted, ran);
      }),
      { seed, numRuns },
    );
  }),
);

test(
  'every run of every task finds the async store of its own submission, after an await too',
  withLeakCheck(async () => {
    const job = fc.record({ failures: fc.nat(2), waits: fc.boolean(), child: fc.boolean(), form: fc.nat(3) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(job, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 3 }),
        async (jobs, workerCount) => {
          const store = new AsyncLocalStorage<number>();
          const manager = new TaskManager({ workerCount, burstIntervalMs: 0, retry: { attempts: 3, baseMs: 0 } });
          let looks = 0;
          const look = (expected: number): void => {
            looks++;
            assert.equal(store.getStore(), expected);
          };
          const ends = jobs.map(({ failures, waits, child, form }, index) =>
            store.run(index, async () => {
              let left = failures;
              const fn = async (context: TaskContext): Promise<void> => {
                look(index);
                if (waits) await new Promise<void>((resolve) => setImmediate(resolve));
                look(index);
                if (child) await store.run(-index, () => context.queueTask(() => look(-index)));
                if (left-- > 0) throw new Error('again');
              };
              if (form === 0) await manager.queueTask(fn);
              else if (form === 1) await manager.queueTaskAsync(fn);
              else if (form === 2) for await (const _ of manager.map([0], (_item, context) => fn(context)));
              else {
                await new Promise<void>((resolve) => {
                  manager.queueTaskWithCallback(fn, () => {
                    look(index);
                    resolve();
                  });
                });
              }
            }),
          );
          await Promise.all(ends);
          await manager.stop();
          assert.ok(looks >= jobs.length * 2);
        },
      ),
      { seed, numRuns },
    );
  }),
);
