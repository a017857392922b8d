/** The end of a thread by itself: what becomes of its calls, their tasks, and the worker. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { ThreadCrashError } from '../../src/threads/index.ts';
import { assertBooks, settle } from '../manager/kit.ts';
import { collect, type ManageOptions, manage, Probe, rejectionOf, until, work } from './kit.ts';

/** What modules/deaths.js exports. */
interface Deaths {
  alive(): string;
  throwFromTimer(): Promise<never>;
  rejectUnheard(): Promise<never>;
  rejectWithText(): Promise<never>;
  exit(code?: number): never;
  exitLater(code?: number): Promise<never>;
  exitUnderWay(after: number, code: number): Generator<number>;
  fillMemory(): never;
  overflow(): number;
  dieSoon(): void;
  answerAndDie(): string;
  blockAndDie(): void;
  dieWhenLetGo(): void;
  mark(): void;
  throwCrash(): never;
}

const BEGUN = 0;
const LET_GO = 2;
const MARKED = 3;
const LOADED = 4;

const DEATHS = work('deaths.js');

function dying(
  options: ManageOptions,
  body: (manager: ReturnType<typeof manage<Deaths>>, probe: Probe) => Promise<void>,
) {
  return withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage<Deaths>(DEATHS, { workerData: probe.cells, ...options });
    await body(manager, probe);
    assertBooks(manager);
    await manager.stop();
    const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
    assert.equal(totalResourcesCreated, totalResourcesDestroyed);
    assert.equal(probe.get(LOADED), totalResourcesCreated, 'no more threads have started than there were workers for');
  });
}

test(
  'a throw from a timer fails the call with a ThreadCrashError, whose cause it is; and the worker has a new thread',
  dying({}, async (manager, probe) => {
    const error = await rejectionOf(manager.queueTask((_, { api }) => api.throwFromTimer()));
    assert.ok(error instanceof ThreadCrashError);
    assert.equal(error.code, 'ERR_THREAD_CRASH');
    assert.match(error.message, /^thread \d+ ended under throwFromTimer: it has crashed: from a timer$/);
    assert.equal(error.exitCode, 1);
    assert.equal(error.hasBegun, true);
    const cause = error.cause as Error;
    assert.ok(cause instanceof RangeError);
    assert.equal(cause.message, 'from a timer');
    assert.equal(await manager.queueTask((_, { api }) => api.alive()), 'alive');
    assert.equal(probe.get(BEGUN), 1, 'it has not run again');
    assert.equal(manager.metrics().totalTasksFailed, 1);
  }),
);

test(
  'an unhandled rejection in the thread is a crash as well, whatever it was rejected with',
  dying({}, async (manager) => {
    const error = await rejectionOf(manager.queueTask((_, { api }) => api.rejectUnheard()));
    assert.ok(error instanceof ThreadCrashError);
    assert.equal((error.cause as Error).message, 'unheard');
    const other = await rejectionOf(manager.queueTask((_, { api }) => api.rejectWithText()));
    assert.ok(other instanceof ThreadCrashError);
    assert.match((other.cause as Error).message, /just a text/);
  }),
);

test(
  'process.exit in a thread ends that thread alone, and the error has the code',
  dying({}, async (manager) => {
    for (const [name, code] of [
      ['exit', 0],
      ['exit', 3],
      ['exitLater', 42],
    ] as const) {
      const error = await rejectionOf(manager.queueTask((_, { api }) => api[name](code)));
      assert.ok(error instanceof ThreadCrashError);
      assert.match(error.message, new RegExp(`^thread \\d+ ended under ${name}: it has exited with code ${code}$`));
      assert.equal(error.exitCode, code);
      assert.equal(error.hasBegun, true);
      assert.equal('cause' in error, false);
    }
  }),
);

test(
  'a thread that runs out of memory ends alone',
  dying({ resourceLimits: { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4 } }, async (manager) => {
    const error = await rejectionOf(manager.queueTask((_, { api }) => api.fillMemory()));
    assert.ok(error instanceof ThreadCrashError);
    assert.match(error.message, /reaching memory limit/);
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ERR_WORKER_OUT_OF_MEMORY');
    assert.equal(await manager.queueTask((_, { api }) => api.alive()), 'alive');
  }),
);

test(
  'a stack overflow is an error like any',
  dying({}, async (manager) => {
    const error = await rejectionOf(manager.queueTask((_, { api }) => api.overflow()));
    assert.ok(error instanceof RangeError);
    assert.equal(await manager.queueTask((_, { api }) => api.alive()), 'alive');
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'a stream of a thread that dies gives what has come, and throws then',
  dying({}, async (manager) => {
    await manager.queueTask(async (_, { api }) => {
      const values: number[] = [];
      const error = await rejectionOf(
        (async () => {
          for await (const value of api.exitUnderWay(40, 5)) values.push(value);
        })(),
      );
      assert.ok(error instanceof ThreadCrashError);
      assert.equal(error.exitCode, 5);
      assert.deepEqual(
        values,
        Array.from({ length: 40 }, (_, i) => i + 1),
      );
    });
    const stream = manager.queueTaskStream((_, { api }) => api.exitUnderWay(3, 5));
    assert.ok((await rejectionOf(collect(stream))) instanceof ThreadCrashError);
  }),
);

test(
  'return() of a stream whose thread has died rejects with that, and doesn’t wait for ever',
  dying({}, async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      const stream = api.exitUnderWay(100, 5);
      await stream.next();
      const block = rejectionOf(api.blockAndDie());
      await probe.reached(BEGUN);
      const left = rejectionOf(stream.return());
      probe.set(LET_GO, 1);
      assert.ok((await left) instanceof ThreadCrashError);
      await block;
      assert.deepEqual(await stream.next(), { done: true, value: undefined });
    });
  }),
);

test(
  'a thread that dies when no call is alive in it is replaced, and no task hears of it',
  dying({}, async (manager, probe) => {
    const reasons: string[] = [];
    manager.on('workerReplaced', ({ reason }) => reasons.push(reason));
    await manager.queueTask((_, { api }) => api.dieSoon());
    await until(() => probe.get(LOADED) === 2 && manager.stats().idleWorkers === 1);
    assert.deepEqual(reasons, ['retired']);
    assert.equal(await manager.queueTask((_, { api }) => api.alive()), 'alive');
  }),
);

test(
  'an answer that a thread has sent before its end counts',
  dying({}, async (manager) => {
    for (let i = 0; i < 3; i++) {
      assert.equal(await manager.queueTask((_, { api }) => api.answerAndDie()), 'last words');
    }
  }),
);

test(
  'a task whose call had not begun when its thread died runs again by itself, on another thread',
  dying({}, async (manager, probe) => {
    await manager.queueTask((_, { api }) => api.dieWhenLetGo());
    await probe.reached(BEGUN);
    const threads: number[] = [];
    await manager.queueTask(async (ctx, thread) => {
      threads.push(thread.threadId);
      assert.equal(ctx.attempt, threads.length);
      const call = thread.api.mark();
      probe.set(LET_GO, 1);
      await call;
    });
    assert.equal(new Set(threads).size, 2);
    assert.equal(probe.get(MARKED), 1);
    assert.equal(manager.metrics().totalTasksFailed, 0);
  }),
);

test(
  'every call of a thread that dies fails: what had begun with hasBegun, what had not without',
  dying({}, async (manager, probe) => {
    await manager.queueTask(async (_, { api }) => {
      const calls = [api.blockAndDie(), api.mark(), api.mark()].map(rejectionOf);
      await probe.reached(BEGUN);
      probe.set(LET_GO, 1);
      const errors = (await Promise.all(calls)) as ThreadCrashError[];
      assert.deepEqual(
        errors.map(({ hasBegun, exitCode }) => [hasBegun, exitCode]),
        [
          [true, 9],
          [false, 9],
          [false, 9],
        ],
      );
      assert.match(errors[1]!.message, /^thread \d+ ended before mark began: it has exited with code 9$/);
      assert.equal(probe.get(MARKED), 0);
      // And so does every call from then on.
      const late = await rejectionOf(api.mark());
      assert.ok(late instanceof ThreadCrashError);
      assert.equal(late.hasBegun, false);
      assert.ok((await rejectionOf(api.exitUnderWay(1, 0).next())) instanceof ThreadCrashError);
    });
  }),
);

test(
  'calls that are waited for one after the other all fail, and none of them is an unhandled rejection',
  dying({}, async (manager) => {
    const error = await rejectionOf(
      manager.queueTask(async (_, { api }) => {
        const calls = [api.exitLater(3), api.exitLater(3)];
        for (const call of calls) await call;
      }),
    );
    assert.ok(error instanceof ThreadCrashError);
    await settle();
    await manager.queueTask(async (_, { api }) => {
      await rejectionOf(api.exitLater(3));
      const refused = api.exitLater(3);
      await settle();
      assert.ok((await rejectionOf(refused)) instanceof ThreadCrashError);
    });
  }),
);

test(
  'a task that has had a call before is not run again, whatever becomes of its next',
  dying({}, async (manager, probe) => {
    let runs = 0;
    const error = await rejectionOf(
      manager.queueTask(async (_, { api }) => {
        runs++;
        await api.mark();
        const death = rejectionOf(api.exitLater(1));
        await death;
        await api.mark(); // on a thread that is no more
      }),
    );
    assert.ok(error instanceof ThreadCrashError);
    assert.equal(error.hasBegun, false);
    assert.equal(runs, 1);
    assert.equal(probe.get(MARKED), 1);
  }),
);

test(
  'nor is one that hands on a crash of other threads',
  dying({}, async (manager) => {
    let runs = 0;
    const error = await rejectionOf(
      manager.queueTask((_, { api }) => {
        runs++;
        return api.throwCrash();
      }),
    );
    assert.equal(error.message, 'not of this thread');
    assert.equal(runs, 1);
    assert.equal(manager.metrics().totalResourcesCreated, 1);
    const own = new ThreadCrashError('made elsewhere', { hasBegun: false });
    assert.equal(await rejectionOf(manager.queueTask(() => Promise.reject(own))), own);
    assert.equal(manager.metrics().totalResourcesCreated, 1);
  }),
);

test(
  'queueTaskOnce runs no task again, and rejects with the crash',
  dying({}, async (manager, probe) => {
    await manager.queueTask((_, { api }) => api.dieWhenLetGo());
    await probe.reached(BEGUN);
    const error = await rejectionOf(
      manager.queueTaskOnce(async (_, { api }) => {
        const call = api.mark();
        probe.set(LET_GO, 1);
        await call;
      }),
    );
    assert.ok(error instanceof ThreadCrashError);
    assert.equal(error.hasBegun, false);
    assert.equal(probe.get(MARKED), 0);
  }),
);

test(
  'runTask runs it again as well',
  dying({}, async (manager, probe) => {
    await manager.runTask((_, { api }) => api.dieWhenLetGo());
    await probe.reached(BEGUN);
    let runs = 0;
    await manager.runTask(async (_, { api }) => {
      runs++;
      const call = api.mark();
      probe.set(LET_GO, 1);
      await call;
    });
    assert.deepEqual([runs, probe.get(MARKED)], [2, 1]);
  }),
);

test(
  'a child that was to share the thread of its parent gets another when that one is no more',
  dying({}, async (manager) => {
    await manager.queueTask(async (ctx, { api, threadId }) => {
      await rejectionOf(api.exit(1));
      const threads: number[] = [];
      const child = ctx.queueTask((_, thread) => {
        threads.push(thread.threadId);
        return thread.api.alive();
      });
      assert.equal(await child, 'alive');
      assert.deepEqual(threads.indexOf(threadId), 0);
      assert.equal(threads.length, 2);
    });
  }),
);
