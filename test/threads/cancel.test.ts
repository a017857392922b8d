/** The end of a call from outside: by signal, cancel(), timeout; and of its thread, when the function doesn't heed it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CanceledError, DeadlineExceededError, ShutdownError } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { ThreadCrashError } from '../../src/threads/index.ts';
import { settle } from '../manager/kit.ts';
import { deferred, type ManageOptions, manage, Probe, rejectionOf, until, work } from './kit.ts';

/** What modules/contexts.js exports, of that which these tests call. */
interface Contexts {
  block(): boolean;
  blockThen(value: string): string;
  mark(): void;
  waitForSignal(): Promise<never>;
  reluctant(): Promise<string>;
  loop(): never;
  forever(): Promise<void>;
  count(): number;
}

const BEGUN = 0;
const ENDED = 1;
const LET_GO = 2;
const MARKED = 3;

const CONTEXTS = work('contexts.js');

function ending(
  options: ManageOptions,
  body: (manager: ReturnType<typeof manage<Contexts>>, probe: Probe) => Promise<void>,
) {
  return withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Contexts>(CONTEXTS, { workerData: probe.cells, ...options });
    await body(manager, probe);
    await manager.stop();
  });
}

for (const name of ['loop', 'forever'] as const) {
  test(
    `${name}: a timeout ends what never ends: its task at once, and its thread after terminateAfterMs`,
    ending({ terminateAfterMs: 200 }, async (manager, probe) => {
      let late: unknown;
      let isLate = false;
      const task = manager.queueTask(
        async (_, { api }) => {
          late = await rejectionOf(api[name]());
          isLate = true;
        },
        { timeoutMs: 50 },
      );
      const error = await rejectionOf(task);
      assert.ok(error instanceof DeadlineExceededError);
      assert.equal(isLate, false, 'the task hasn’t waited for the thread');
      assert.equal(manager.metrics().totalTasksTimedOut, 1);
      assert.equal(manager.stats().stuckWorkers, 1);
      assert.equal(probe.get(BEGUN), 1);
      await until(() => isLate);
      assert.ok(late instanceof ThreadCrashError);
      assert.match(
        late.message,
        new RegExp(
          `^thread \\d+ ended under ${name}: ${name} was canceled and has not returned within terminateAfterMs \\(200 ms\\)$`,
        ),
      );
      assert.equal(late.hasBegun, true);
      // Its worker has another thread.
      await manager.queueTask((_, { api }) => api.mark());
      assert.equal(probe.get(MARKED), 1);
      const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
      assert.deepEqual([totalResourcesCreated, totalResourcesDestroyed], [2, 1]);
      assert.equal(manager.stats().abandonedTasks, 0);
    }),
  );
}

test(
  'a task with an aborted signal and one that is canceled are settled at once, however busy their thread is',
  ending({ terminateAfterMs: 0 }, async (manager, probe) => {
    const controller = new AbortController();
    const task = manager.queueTask((_, { api }) => api.loop(), { signal: controller.signal });
    await probe.reached(BEGUN, 1);
    controller.abort('enough');
    assert.equal(await rejectionOf(task), 'enough');
    const handle = manager.queueTaskAsync((_, { api }) => api.loop());
    await probe.reached(BEGUN, 2);
    handle.cancel('really');
    const error = await rejectionOf(handle);
    assert.ok(error instanceof CanceledError);
    assert.equal(error.cause, 'really');
    assert.equal(manager.metrics().totalTasksCanceled, 2);
  }),
);

test(
  'a function that heeds its signal keeps its thread, even if it takes its time',
  ending({ terminateAfterMs: 60_000 }, async (manager, probe) => {
    for (let i = 1; i <= 3; i++) {
      const handle = manager.queueTaskAsync((_, { api }) => api.reluctant());
      await probe.reached(BEGUN, i);
      handle.cancel();
      await rejectionOf(handle);
      await probe.reached(ENDED, i);
    }
    await manager.queueTask((_, { api }) => api.mark());
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'a function that has returned in time keeps its thread, however late that is heard of here',
  ending({ terminateAfterMs: 20 }, async (manager, probe) => {
    const handle = manager.queueTaskAsync((_, { api }) => api.waitForSignal());
    await probe.reached(BEGUN);
    handle.cancel();
    while (probe.get(ENDED) === 0); // nothing is heard meanwhile
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    await rejectionOf(handle);
    await until(() => manager.stats().stuckWorkers === 0);
    await manager.queueTask((_, { api }) => api.mark());
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'many calls that never end have their thread terminated once, without a warning of too many listeners',
  ending({ terminateAfterMs: 20 }, async (manager, probe) => {
    const warnings: string[] = [];
    const onWarning = ({ name }: Error): unknown => warnings.push(name);
    process.on('warning', onWarning);
    const handle = manager.queueTaskAsync((_, { api }) =>
      Promise.allSettled(Array.from({ length: 20 }, () => api.forever())),
    );
    await probe.reached(BEGUN, 20);
    handle.cancel();
    await rejectionOf(handle);
    await until(() => manager.stats().stuckWorkers === 0);
    await settle();
    process.off('warning', onWarning);
    assert.deepEqual(warnings, []);
  }),
);

test(
  'what a function returns after its end is not lost to the task’s function',
  ending({}, async (manager, probe) => {
    let late: unknown;
    const handle = manager.queueTaskAsync(async (_, { api }) => {
      late = await api.reluctant();
    });
    await probe.reached(BEGUN);
    handle.cancel();
    await rejectionOf(handle);
    await manager.queueTask(() => {});
    assert.equal(late, 'late');
  }),
);

test(
  'a call that is canceled before it has begun doesn’t begin, and rejects with the reason',
  ending({ terminateAfterMs: 60_000 }, async (manager, probe) => {
    const late: unknown[] = [];
    const handle = manager.queueTaskAsync(async (_, { api }) => {
      const first = api.block(); // holds up the thread
      for (const call of [api.mark(), api.mark()]) call.catch((error) => late.push(error));
      await first;
    });
    await probe.reached(BEGUN);
    const reason = new RangeError('not any more');
    handle.cancel(reason);
    await rejectionOf(handle);
    probe.set(LET_GO, 1);
    await manager.queueTask(() => {});
    assert.deepEqual(late, [reason, reason]);
    assert.equal(probe.get(MARKED), 0);
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'a call after the end of its task rejects with the reason of that, and is never made',
  ending({}, async (manager, probe) => {
    const late: unknown[] = [];
    const controller = new AbortController();
    const task = manager.queueTask(
      async (_, thread) => {
        await rejectionOf(thread.api.waitForSignal());
        late.push(await rejectionOf(thread.api.mark()), await rejectionOf(thread.call('mark')));
      },
      { signal: controller.signal },
    );
    await probe.reached(BEGUN);
    const reason = new Error('over');
    controller.abort(reason);
    await rejectionOf(task);
    await manager.queueTask(() => {});
    assert.deepEqual(late, [reason, reason]);
    assert.equal(probe.get(MARKED), 0);
  }),
);

test(
  'calls that a task has made and not waited for end with it: canceled, and waited for before its thread is free',
  ending({}, async (manager, probe) => {
    const value = await manager.queueTask(async (_, { api }) => {
      api.waitForSignal();
      void api.waitForSignal();
      await probe.reached(BEGUN, 2);
      return 'done';
    });
    assert.equal(value, 'done');
    assert.equal(probe.get(ENDED), 2);
    // And no rejection of theirs is unhandled: the leak check looks.
    const failed = manager.queueTask(async (_, { api }) => {
      api.waitForSignal();
      throw new Error('its own');
    });
    assert.equal((await rejectionOf(failed)).message, 'its own');
    assert.equal(probe.get(ENDED), probe.get(BEGUN));
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'one of them that doesn’t heed it costs the thread, and the task waits for that',
  ending({ terminateAfterMs: 50 }, async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      api.loop();
      await probe.reached(BEGUN);
    });
    await manager.queueTask((_, { api }) => api.mark());
    const { totalResourcesCreated, totalTasksCompleted } = manager.metrics();
    assert.deepEqual([totalResourcesCreated, totalTasksCompleted], [2, 2]);
  }),
);

test(
  'calls that are canceled and not waited for cause no unhandled rejection',
  ending({ terminateAfterMs: 50 }, async (manager, probe) => {
    const handle = manager.queueTaskAsync(async (ctx, { api }) => {
      api.waitForSignal();
      api.loop();
      await ctx.done();
    });
    await probe.reached(BEGUN, 2);
    handle.cancel();
    await rejectionOf(handle);
    await until(() => manager.stats().stuckWorkers === 0);
    await settle();
  }),
);

test(
  'nor does one that is made after that, and refused',
  ending({}, async (manager) => {
    const gate = deferred();
    let late: unknown;
    const handle = manager.queueTaskAsync(async (ctx, { api }) => {
      await ctx.done();
      const call = api.mark() as unknown as Promise<void>;
      await gate.promise;
      late = await rejectionOf(call);
    });
    await until(() => handle.state === 'running');
    handle.cancel();
    const error = await rejectionOf(handle);
    await settle();
    gate.resolve();
    await until(() => manager.stats().stuckWorkers === 0);
    assert.equal(late, error);
  }),
);

test(
  'what a call that nobody waits for has thrown by itself is its task’s to hear',
  withLeakCheck(async () => {
    const manager = manage('data:text/javascript,export function f() { throw new Error("mine"); }');
    const unhandled: unknown[] = [];
    const listeners = process.rawListeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    const onRejection = (reason: unknown): unknown => unhandled.push(reason);
    process.on('unhandledRejection', onRejection);
    await manager.queueTask(async (_, thread) => {
      thread.call('f');
      await thread.call('f').catch(() => {});
      await settle();
    });
    process.off('unhandledRejection', onRejection);
    for (const listener of listeners) process.on('unhandledRejection', listener as () => void);
    assert.deepEqual(
      unhandled.map((error) => (error as Error).message),
      ['mine'],
    );
    await manager.stop();
  }),
);

test(
  'a child that is canceled takes nothing of its parent’s with it, if it heeds that',
  ending({}, async (manager, probe) => {
    await manager.queueTask(async (ctx, { api }) => {
      const own = api.count();
      await probe.reached(BEGUN);
      const child = ctx.queueTaskAsync((_, thread) => thread.api.mark());
      await settle();
      child.cancel();
      await rejectionOf(child);
      void own;
    });
    assert.equal(probe.get(MARKED), 0);
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'kill() ends a loop at once: its task is canceled, and its thread gone when it resolves',
  withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Contexts>(CONTEXTS, {
      workerData: probe.cells,
      workerCount: 2,
      killGraceMs: 500,
      terminateAfterMs: 60_000,
    });
    const tasks = [0, 1, 2].map(() => manager.queueTask((_, { api }) => api.loop()));
    const errors = tasks.map(rejectionOf);
    await probe.reached(BEGUN, 2);
    await manager.kill('enough');
    for (const error of await Promise.all(errors)) assert.ok(error instanceof ShutdownError);
    assert.equal(probe.get(BEGUN), 2);
    assert.equal(manager.metrics().totalResourcesDestroyed, 2);
  }),
);

test(
  'stop() ends a loop after its grace: the task is canceled, its thread terminated',
  withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Contexts>(CONTEXTS, { workerData: probe.cells, terminateAfterMs: 20 });
    const task = rejectionOf(manager.queueTask((_, { api }) => api.loop()));
    await probe.reached(BEGUN);
    const { canceled, abandoned } = await manager.stop({ graceMs: 20 });
    assert.deepEqual([canceled, abandoned], [1, 0]);
    assert.ok((await task) instanceof ShutdownError);
  }),
);

test(
  'abandonAfterMs before terminateAfterMs: the manager gives the function up, and its thread with it',
  ending({ terminateAfterMs: 60_000, abandonAfterMs: 20 }, async (manager, probe) => {
    let late: unknown;
    const task = manager.queueTask(
      async (_, { api }) => {
        late = await rejectionOf(api.loop());
      },
      { timeoutMs: 20 },
    );
    manager.on('error', () => {});
    await rejectionOf(task);
    await until(() => late !== undefined);
    assert.ok(late instanceof ThreadCrashError);
    assert.match(late.message, /it was closed$/);
    await manager.queueTask((_, { api }) => api.mark());
    assert.equal(probe.get(MARKED), 1);
    assert.equal(manager.stats().abandonedTasks, 0);
  }),
);

test(
  'terminateAfterMs: Infinity leaves a thread its function for ever, until the manager gives it up',
  ending({ terminateAfterMs: Number.POSITIVE_INFINITY, abandonAfterMs: 50 }, async (manager, probe) => {
    manager.on('error', () => {});
    await rejectionOf(manager.queueTask((_, { api }) => api.loop(), { timeoutMs: 20 }));
    await manager.queueTask((_, { api }) => api.mark());
    assert.equal(probe.get(MARKED), 1);
  }),
);
