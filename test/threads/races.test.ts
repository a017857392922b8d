/** Two things at once: a cancellation and the begin, an answer and the end, a load and a kill; each at many moments. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ResourceError } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { assertBooks } from '../manager/kit.ts';
import { held, type ManageOptions, manage, Probe, rejectionOf, source, until, work } from './kit.ts';

/** What modules/contexts.js exports, of that which these tests call. */
interface Contexts {
  waitForSignal(): Promise<never>;
  reluctant(): Promise<string>;
  count(): number;
  mark(): void;
  show(): { id: string };
  loop(): never;
}

const BEGUN = 0;
const ENDED = 1;
const MARKED = 3;

const CONTEXTS = work('contexts.js');

function racing(
  options: ManageOptions,
  body: (manager: ReturnType<typeof manage<Contexts>>, probe: Probe) => Promise<void>,
): () => Promise<void> {
  return withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Contexts>(CONTEXTS, { workerData: probe.cells, ...options });
    await manager.ready();
    await body(manager, probe);
    await until(() => manager.stats().stuckWorkers === 0);
    assertBooks(manager);
    await manager.stop();
  });
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

for (const name of ['waitForSignal', 'reluctant', 'count'] as const) {
  test(
    `${name}: a cancellation about the moment in which a call begins is never missed`,
    racing({ terminateAfterMs: 3_600_000, abandonAfterMs: Number.POSITIVE_INFINITY }, async (manager, probe) => {
      for (let i = 0; i < 200; i++) {
        const handle = manager.queueTaskAsync<unknown>((_, thread) => thread.call(name));
        await turns(i % 8);
        handle.cancel();
        await rejectionOf(handle);
      }
      await manager.queueTask((_, { api }) => api.mark());
      assert.equal(probe.get(BEGUN), probe.get(ENDED), 'what has begun has been told of its end');
      assert.equal(manager.metrics().totalResourcesCreated, 1);
    }),
  );
}

test(
  'an answer about the moment in which its thread is terminated: the task hears of one of both, and goes on',
  racing({ terminateAfterMs: 0 }, async (manager) => {
    const lates = { answers: 0, crashes: 0 };
    for (let i = 0; i < 30; i++) {
      const handle = manager.queueTaskAsync(async (_, { api }) => {
        await api.waitForSignal().catch((error) => {
          if (error.code === 'ERR_THREAD_CRASH') lates.crashes++;
          else lates.answers++;
        });
      });
      await turns(i % 8);
      handle.cancel();
      await rejectionOf(handle);
    }
    await manager.queueTask((_, { api }) => api.mark());
    const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
    assert.equal(totalResourcesCreated, totalResourcesDestroyed + 1);
    assert.ok(lates.crashes >= totalResourcesDestroyed - 1, 'no thread is replaced for nothing');
  }),
);

test(
  'a timeout about the moment in which the answer comes: each task has one end',
  racing({ terminateAfterMs: 3_600_000, workerCount: 2 }, async (manager) => {
    const tasks = Array.from({ length: 400 }, (_, i) =>
      manager.queueTask((_, { api }) => api.show(), { timeoutMs: 0.05 + (i % 20) / 20 }),
    );
    const results = await Promise.allSettled(tasks);
    const { totalTasksCompleted, totalTasksTimedOut } = assertBooks(manager);
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, totalTasksCompleted);
    assert.equal(totalTasksCompleted + totalTasksTimedOut, 400);
  }),
);

test(
  'a kill at any moment of a load leaves no thread',
  withLeakCheck(async () => {
    for (let i = 0; i < 20; i++) {
      const manager = manage(source('export const f = () => 7'), { workerCount: 2, killGraceMs: 5_000 });
      const ready = manager.ready().catch((error) => error);
      const task = manager.queueTask((_, thread) => thread.call('f')).catch((error) => error);
      // From before the start to after the first answer.
      await Promise.race([turns(i * i * 4), task]);
      await manager.kill();
      await Promise.all([ready, task]);
      assertBooks(manager);
      const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
      assert.equal(totalResourcesCreated, totalResourcesDestroyed);
    }
  }),
);

test(
  'a thread that dies about the moment in which it is called: the task runs on another, and once',
  withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage(work('deaths.js'), { workerData: probe.cells, maxRetries: 10 });
    const outcomes = { done: 0, crashed: 0 };
    for (let i = 1; i <= 15; i++) {
      await manager.queueTask((_, thread) => thread.call('dieSoon'));
      await turns(i % 5);
      const error = await manager
        .queueTask((_, thread) => thread.call('mark'))
        .then(
          () => undefined,
          (failure) => failure,
        );
      if (error === undefined) outcomes.done++;
      else {
        assert.equal(error.hasBegun, true);
        outcomes.crashed++;
      }
      assert.ok(probe.get(MARKED) <= i, 'it has never run twice');
    }
    assert.ok(probe.get(MARKED) >= outcomes.done);
    assertBooks(manager);
    await manager.stop();
  }),
);

test(
  'a thread that dies while it is closed, and one that is called while it is',
  withLeakCheck(async () => {
    for (let i = 0; i < 8; i++) {
      const manager = manage(work('deaths.js'), { workerData: new Probe().cells });
      await manager.queueTask((_, thread) => thread.call('dieSoon'));
      await turns(i);
      await manager.stop();
      const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
      assert.equal(totalResourcesCreated, totalResourcesDestroyed);
    }
  }),
);

test(
  'streams that are left at any moment end, and their thread lives on',
  withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<{ endless(): Generator<number>; endlessLater(): AsyncGenerator<number> }>(
      work('streams.js'),
      { workerData: probe.cells, terminateAfterMs: 3_600_000 },
    );
    await manager.ready();
    for (let i = 0; i < 60; i++) {
      await manager.queueTask(async (_, { api }) => {
        const stream = i % 2 === 0 ? api.endless() : api.endlessLater();
        const reads = Array.from({ length: i % 20 }, () => stream.next());
        await turns(i % 7);
        const [left] = await Promise.all([stream.return(), ...reads]);
        assert.deepEqual(left, { done: true, value: undefined });
      });
      const handle = manager.queueTaskAsync(async (ctx, { api }) => {
        const stream = i % 2 === 0 ? api.endless() : api.endlessLater();
        for (let read = 0; read < i % 20; read++) await stream.next();
        await ctx.done();
        await Promise.allSettled([stream.next(), stream.return(), stream.return()]);
      });
      await turns(i % 9);
      handle.cancel();
      await rejectionOf(handle);
    }
    await manager.queueTask(() => {});
    assert.equal(manager.metrics().totalResourcesCreated, 1);
    await manager.stop();
  }),
);

test(
  'a call within another, from a getter of an argument, is a call of its own',
  racing({}, async (manager) => {
    await manager.queueTask(async (_, thread) => {
      const inner: Promise<unknown>[] = [];
      const show = thread.api.show as (arg: object) => Promise<{ id: string }>;
      const outer = show({
        get again() {
          inner.push(thread.api.show());
          return 1;
        },
      });
      assert.ok((await outer).id !== '');
      assert.equal(inner.length, 1);
      assert.deepEqual(await inner[0], await outer);
    });
  }),
);

test(
  'a flood of calls leaves timers their turns, in the thread and here',
  withLeakCheck(async () => {
    const probe = new Probe();
    const ticking = source(`
      import { workerData } from 'node:worker_threads';
      setInterval(() => Atomics.add(workerData, 0, 1), 1);
      export const add = (a, b) => a + b;
      export const addLater = async (a, b) => a + b;
    `);
    const manager = manage(ticking, { workerData: probe.cells });
    for (const [name, parallel] of [
      ['add', 1],
      ['add', 8],
      ['addLater', 1],
      ['addLater', 8],
    ] as const) {
      await manager.queueTask(async (_, thread) => {
        let here = 0;
        const timer = setInterval(() => here++, 1);
        const there = probe.get(0);
        let isOver = false;
        const flood = Promise.all(
          Array.from({ length: parallel }, async () => {
            while (!isOver) await thread.call(name, 1, 2);
          }),
        );
        // Each tick comes between calls that follow one another without a pause.
        await until(() => here >= 20 && probe.get(0) >= there + 20);
        isOver = true;
        clearInterval(timer);
        await flood;
      });
    }
    await manager.stop();
  }),
);

test(
  'no message is missed when short and long calls alternate, with pauses and without',
  withLeakCheck(async () => {
    const module = source(`
      export const add = (a, b) => a + b;
      export const addLater = async (a, b) => { await null; return a + b; };
      export const spin = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); return ms; };
      export function* count(to) { for (let i = 1; i <= to; i++) yield i; }
    `);
    const manager = manage<{
      add(a: number, b: number): number;
      addLater(a: number, b: number): Promise<number>;
      spin(ms: number): number;
      count(to: number): Generator<number>;
    }>(module);
    await manager.queueTask(async (_, { api }) => {
      for (let i = 0; i < 600; i++) {
        assert.equal(await api.add(i, 1), i + 1);
        if (i % 3 === 0) assert.equal(await api.addLater(i, 2), i + 2);
        if (i % 7 === 0) await turns(i % 5);
        if (i % 31 === 0) assert.equal(await api.spin(0.5 + (i % 3)), 0.5 + (i % 3));
        if (i % 41 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        if (i % 53 === 0) {
          let sum = 0;
          for await (const n of api.count(40)) sum += n;
          assert.equal(sum, 820);
        }
        const several = [api.add(i, 3), api.addLater(i, 4), api.add(i, 5)];
        if (i % 5 === 0) assert.deepEqual(await Promise.all(several), [i + 3, i + 4, i + 5]);
        else await Promise.all(several);
      }
    });
    await manager.stop();
  }),
);

test(
  'a worker that gets no thread any more leaves its task to the others',
  withLeakCheck(async () => {
    const probe = new Probe();
    const once = source(`
      import { workerData } from 'node:worker_threads';
      if (Atomics.add(workerData, 0, 1) > 0) throw new Error('one is enough');
      export const f = () => 7;
    `);
    const manager = manage(once, { workerData: probe.cells, workerCount: 2, createAttempts: 2 });
    const tasks = Array.from({ length: 20 }, () => manager.queueTask((_, thread) => thread.call('f')));
    assert.deepEqual(await Promise.all(tasks), Array(20).fill(7));
    manager.recycle();
    const failure = await held(rejectionOf(manager.ready()));
    assert.ok(failure instanceof ResourceError);
    await manager.kill();
  }),
);
