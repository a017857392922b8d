/**
 * The acceptance criteria of the seed, Tasker's list of enhancements: one test each, named after it. What Go has by
 * other names has ours here: a goroutine's blocking is a turn of the event loop, a channel is a handle that is iterated,
 * `Config.Ctx` is the option `signal`, `context.DeadlineExceeded` is DeadlineExceededError.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  background,
  DeadlineExceededError,
  type MetricsCollector,
  QueueFullError,
  ShutdownError,
  TaskManager,
  withCancelCause,
} from '../src/index.ts';
import { withLeakCheck } from '../src/testing/index.ts';
import { collect, Deferred, end, hold, managing, rejectionOf, turn } from './manager/support.ts';
import { ROOT } from './programs.ts';

/** A page of the documentation, section by section. */
async function sectionsOf(page: string): Promise<Map<string, string>> {
  const text = await readFile(join(ROOT, page), 'utf8');
  const parts = text.split(/^## /m).slice(1);
  return new Map(parts.map((part) => [part.slice(0, part.indexOf('\n')), part]));
}

/** The program in a section; readme.test.ts runs it. */
function snippetIn(sections: Map<string, string>, title: string): string {
  const section = sections.get(title);
  assert.ok(section !== undefined, `there is no section "${title}" among ${[...sections.keys()].join(', ')}`);
  const snippet = /^```ts\n(.*?)^```$/ms.exec(section)?.[1];
  assert.ok(snippet !== undefined, `"${title}" shows no code`);
  return snippet;
}

// ---- 1. non-blocking task submission --------------------------------------------------------------------------------------

test(
  '1.1 users can submit tasks without blocking the calling goroutine',
  managing({ workerCount: 1 }, async (manager) => {
    const until = new Deferred();
    const submissions = [
      () => manager.queueTaskAsync(() => until.promise),
      () => manager.queueTaskWithPriorityAsync(() => until.promise),
      () => manager.queueTaskOnceAsync(() => until.promise),
      () => manager.queueTaskWithPriorityOnceAsync(() => until.promise),
      () => manager.runTaskAsync(() => until.promise),
    ];
    const handles = submissions.map((submit) => submit());
    // The next line runs in the same turn, though none of them can end.
    assert.ok(handles.every(({ state }) => state === 'queued' || state === 'running'));
    until.resolve();
    await Promise.all(handles);
  }),
);

test(
  '1.2 results are retrievable via a channel, with proper error handling',
  managing({ workerCount: 2 }, async (manager) => {
    const error = new Error('boom');
    assert.deepEqual(await collect(manager.queueTaskAsync(() => 'result')), [{ status: 'fulfilled', value: 'result' }]);
    assert.deepEqual(await collect(manager.queueTaskAsync(() => Promise.reject(error))), [
      { status: 'rejected', reason: error },
    ]);
    // One channel for many.
    const outcomes = await collect(manager.queueTasks([() => 1, () => Promise.reject(error), () => 3]));
    assert.deepEqual(
      outcomes.toSorted((a, b) => a.index - b.index),
      [
        { status: 'fulfilled', value: 1, index: 0 },
        { status: 'rejected', reason: error, index: 1 },
        { status: 'fulfilled', value: 3, index: 2 },
      ],
    );
    // A result nobody receives is buffered, and blocks nobody.
    const late = manager.queueTaskAsync(() => 'late');
    await manager.onIdle();
    assert.equal(await late, 'late');
  }),
);

test('1.3 metrics and logging reflect async submissions accurately', async () => {
  const recorded: string[] = [];
  const collector: MetricsCollector = {
    recordArrival: () => void recorded.push('arrival'),
    recordCompletion: () => void recorded.push('completion'),
    recordFailure: (_, reason) => void recorded.push(reason),
    recordRejection: (reason) => void recorded.push(`rejected: ${reason}`),
    metrics: () => ({}),
  };
  const logged: unknown[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (...details: unknown[]) => void logged.push(details[1]) };
  await managing({ workerCount: 1, collector, logger }, async (manager) => {
    await manager.queueTaskAsync(() => {});
    const error = new Error('boom');
    manager.go(() => Promise.reject(error));
    await manager.onIdle();
    manager.queueTaskAsync(() => {}, { priority: Number.NaN });
    assert.deepEqual(recorded, ['arrival', 'completion', 'arrival', 'failed', 'rejected: invalid']);
    const { totalTasksArrived, totalTasksCompleted, totalTasksFailed, totalTasksRejected } = manager.metrics();
    assert.deepEqual([totalTasksArrived, totalTasksCompleted, totalTasksFailed, totalTasksRejected], [2, 1, 1, 1]);
    assert.deepEqual(logged, [error]);
  })();
});

// ---- 2. context -----------------------------------------------------------------------------------------------------------

test(
  '2.1 tasks receive a context that is cancelled when Config.Ctx is cancelled or during shutdown',
  withLeakCheck(async () => {
    const reason = new Error('the application ends');
    const [parent, cancelParent] = withCancelCause(background());
    const controller = new AbortController();
    const ways: [Partial<{ signal: AbortSignal | typeof parent }>, (manager: TaskManager) => Promise<unknown>][] = [
      [{ signal: parent }, async () => cancelParent(reason)],
      [{ signal: controller.signal }, async () => controller.abort(reason)],
      [{}, (manager) => manager.kill(reason)],
      [{}, (manager) => manager.stop({ graceMs: 0 })],
    ];
    for (const [options, way] of ways) {
      const manager = new TaskManager({ workerCount: 1, ...options });
      const seen = new Deferred<unknown>();
      const task = rejectionOf(
        manager.queueTask(async (ctx) => {
          assert.equal(ctx.signal.aborted, false);
          await ctx.done();
          assert.equal(ctx.signal.aborted, true);
          seen.resolve(ctx.err);
        }),
      );
      await way(manager);
      assert.ok((await task) instanceof ShutdownError);
      assert.ok((await seen.promise) instanceof ShutdownError);
      await manager.kill();
    }
  }),
);

test(
  '2.2 long-running tasks can check ctx.Done() to exit gracefully',
  managing({ workerCount: 2 }, async (manager) => {
    const exits: string[] = [];
    const polling = manager.queueTaskAsync(async (ctx) => {
      while (ctx.err === undefined) await turn();
      exits.push('polling');
    });
    const waiting = manager.queueTaskAsync(async (ctx) => {
      await ctx.done();
      exits.push('waiting');
    });
    polling.cancel();
    waiting.cancel();
    await Promise.all([polling, waiting].map(rejectionOf));
    while (manager.stats().busyWorkers > 0) await turn();
    assert.deepEqual(exits.toSorted(), ['polling', 'waiting']);
    // And in a stop they hear of it before anybody is cut off.
    const stopping = manager.queueTask(async (ctx) => {
      while (!ctx.stopping.aborted) await turn();
      return 'came to an end by itself';
    });
    const stopped = manager.stop();
    assert.equal(await stopping, 'came to an end by itself');
    assert.equal((await stopped).canceled, 0);
  }),
);

test(
  '2.3 existing task submission patterns remain backward-compatible',
  managing({ workerCount: 1, onCreate: () => 'resource' }, async (manager) => {
    // A task that takes no notice of its context is as good as ever, in every form there was.
    assert.equal(await manager.queueTask(() => 1), 1);
    assert.equal(await manager.queueTaskWithPriority(() => 2), 2);
    assert.equal(await manager.queueTaskOnce(() => 3), 3);
    assert.equal(await manager.queueTaskWithPriorityOnce(() => 4), 4);
    assert.equal(await manager.runTask(() => 5), 5);
    assert.equal(await manager.queueTask((_, resource) => resource), 'resource');
  }),
);

// ---- 3. per-task timeout --------------------------------------------------------------------------------------------------

test(
  '3.1 tasks exceeding the specified timeout return context.DeadlineExceeded',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const task = rejectionOf(manager.queueTaskWithTimeout((ctx) => ctx.done(), 100));
    await clock.advance(101);
    const error = await task;
    assert.ok(error instanceof DeadlineExceededError);
    assert.equal(error.code, 'ERR_DEADLINE_EXCEEDED');
  }),
);

test(
  '3.2 metrics reflect timeout failures accurately',
  managing({ workerCount: 1 }, async (manager, clock) => {
    await manager.queueTaskWithTimeout(() => 'in time', 100);
    const task = rejectionOf(manager.queueTaskWithTimeout((ctx) => ctx.done(), 100));
    await clock.advance(101);
    await task;
    const { totalTasksCompleted, totalTasksTimedOut, totalTasksFailed, successRate, failureRate } = manager.metrics();
    assert.deepEqual([totalTasksCompleted, totalTasksTimedOut, totalTasksFailed], [1, 1, 0]);
    assert.deepEqual([successRate, failureRate], [0.5, 0.5]);
  }),
);

test(
  '3.3 timeout functionality works with both synchronous and asynchronous submissions',
  managing({ workerCount: 8 }, async (manager, clock) => {
    const fn = (ctx: { done(): Promise<void> }): Promise<void> => ctx.done();
    const called = new Deferred<unknown>();
    const tasks: PromiseLike<unknown>[] = [
      manager.queueTaskWithTimeout(fn, 100),
      manager.queueTaskWithPriorityWithTimeout(fn, 100),
      manager.queueTaskOnceWithTimeout(fn, 100),
      manager.queueTaskWithPriorityOnceWithTimeout(fn, 100),
      manager.runTaskWithTimeout(fn, 100),
      manager.queueTaskAsync(fn, { timeoutMs: 100 }),
      called.promise,
      collect(
        manager.queueTaskStream(
          async function* (ctx) {
            yield 1;
            await ctx.done();
          },
          { timeoutMs: 100 },
        ),
      ),
    ];
    manager.queueTaskWithCallback(fn, (error) => called.reject(error), { timeoutMs: 100 });
    const errors = tasks.map(rejectionOf);
    await clock.advance(101);
    for (const error of errors) assert.ok((await error) instanceof DeadlineExceededError);
  }),
);

// ---- 4. callbacks ---------------------------------------------------------------------------------------------------------

test(
  '4.1 callbacks are invoked with task results or errors post-execution',
  managing({ workerCount: 1 }, async (manager) => {
    const order: unknown[] = [];
    const both = new Deferred();
    const error = new Error('boom');
    manager.queueTaskWithCallback(
      () => {
        order.push('executed');
        return 'result';
      },
      (...args) => void order.push(args),
    );
    manager.queueTaskWithCallback(
      () => Promise.reject(error),
      (...args) => {
        order.push(args);
        both.resolve();
      },
    );
    await both.promise;
    assert.deepEqual(order, ['executed', [null, 'result'], [error]]);
  }),
);

test(
  '4.2 no additional goroutine boilerplate required by users',
  managing({ workerCount: 1 }, async (manager) => {
    // No promise to await or to handle, and neither the worker nor the submitter waits for the callback.
    const results: unknown[] = [];
    const families = [
      manager.queueTaskWithCallback,
      manager.queueTaskWithPriorityWithCallback,
      manager.queueTaskOnceWithCallback,
      manager.queueTaskWithPriorityOnceWithCallback,
      manager.runTaskWithCallback,
    ];
    for (const submit of families) {
      const returned: void = submit.call(
        manager,
        () => 'value',
        (_: unknown, value: unknown) => void results.push(value),
      );
      assert.equal(returned, undefined);
    }
    assert.deepEqual(results, []);
    await manager.stop();
    assert.deepEqual(results, Array(families.length).fill('value'));
  }),
);

test(
  '4.3 callbacks handle shutdown errors correctly',
  managing({ workerCount: 1 }, async (manager, clock) => {
    const errors: unknown[] = [];
    // Running, queued, and too late: under load, each is told once.
    for (let i = 0; i < 500; i++)
      manager.queueTaskWithCallback(
        (ctx) => ctx.done(),
        (error) => void errors.push(error),
      );
    await end(manager, clock);
    manager.queueTaskWithCallback(
      () => {},
      (error) => void errors.push(error),
    );
    await turn();
    assert.equal(errors.length, 501);
    assert.ok(errors.every((error) => error instanceof ShutdownError && error.code === 'ERR_SHUTDOWN'));
  }),
);

// ---- 5. documentation -----------------------------------------------------------------------------------------------------

test('5.1 new patterns cover common async use cases (e.g., web servers, batch processing)', async () => {
  const patterns = await sectionsOf('docs/patterns.md');
  assert.match(snippetIn(patterns, 'A web server'), /createServer/);
  assert.match(snippetIn(patterns, 'A batch job'), /manager\.(map|queueTasks)/);
  assert.match(snippetIn(patterns, 'Submit now, use the result later'), /queueTaskAsync/);
  assert.match(snippetIn(patterns, 'Results by callback'), /WithCallback/);
  for (const title of [
    'Back-pressure by rejection',
    'Back-pressure by rejection and retry',
    'Back-pressure by waiting',
  ]) {
    assert.match(snippetIn(patterns, title), /maxQueueSize/);
  }
});

test('5.2 documentation includes clear examples of context cancellation in tasks', async () => {
  const patterns = await sectionsOf('docs/patterns.md');
  assert.match(snippetIn(patterns, 'A task that knows when to end'), /signal|done\(\)/);
  assert.match(snippetIn(patterns, 'queueWithContext'), /function queueWithContext/);
  const pitfalls = await sectionsOf('docs/pitfalls.md');
  assert.match(pitfalls.get('Time')!, /^### Ignoring the signal$/m);
});

test('5.3 users can implement async workflows with minimal external code', async () => {
  // What the patterns import is errand, Node, and the stand-in for the user's own database.
  const text = await readFile(join(ROOT, 'docs/patterns.md'), 'utf8');
  const sources = [...text.matchAll(/^import .* from '(.*)';$/gm)].map(([, source]) => source!);
  assert.ok(sources.includes('errand'));
  assert.deepEqual(
    sources.filter((source) => source !== 'errand' && !/^(errand\/|node:|\.\/database\.ts$)/.test(source)),
    [],
  );
});

// ---- 6. back-pressure -----------------------------------------------------------------------------------------------------

test('6.1 task submissions are rejected or delayed when queues reach MaxQueueSize', async () => {
  await managing({ workerCount: 1, maxQueueSize: 1, overflow: 'reject' }, async (manager) => {
    await hold(manager);
    const queued = manager.queueTaskAsync(() => {});
    assert.ok((await rejectionOf(manager.queueTask(() => assert.fail('it ran')))) instanceof QueueFullError);
    assert.equal(queued.state, 'queued');
  })();
  await managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const { release } = await hold(manager);
    const first = manager.queueTaskAsync(() => 'first');
    const delayed = manager.queueTaskAsync(() => 'delayed');
    assert.deepEqual([first.state, delayed.state], ['queued', 'waiting']);
    await release();
    assert.deepEqual(await Promise.all([first, delayed]), ['first', 'delayed']);
  })();
});

test(
  '6.2 metrics and stats reflect queue pressure accurately',
  managing({ workerCount: 1, maxQueueSize: 2 }, async (manager) => {
    await hold(manager);
    const pressure = () => {
      const { queueCapacity, queueUsage, queuedTasks, waitingForRoom } = manager.stats();
      return [queueCapacity, queueUsage, queuedTasks, waitingForRoom, manager.metrics().totalTasksRejected];
    };
    assert.deepEqual(pressure(), [2, 0, 0, 0, 0]);
    manager.queueTaskAsync(() => {});
    assert.deepEqual(pressure(), [2, 1, 1, 0, 0]);
    manager.queueTaskAsync(() => {});
    assert.deepEqual(pressure(), [2, 2, 2, 0, 0]);
    manager.queueTaskAsync(() => {});
    assert.deepEqual(pressure(), [2, 2, 2, 0, 1]);
    manager.queueTaskAsync(() => {}, { overflow: 'wait' });
    assert.deepEqual(pressure(), [2, 2, 2, 1, 1]);
    manager.queueTaskAsync(() => {}, { overflow: 'drop-oldest' });
    assert.deepEqual([...pressure(), manager.metrics().totalTasksDropped], [2, 2, 2, 1, 1, 1]);
  }),
);

test(
  '6.3 applications can handle backpressure errors gracefully',
  managing({ workerCount: 1, maxQueueSize: 1 }, async (manager) => {
    const done: number[] = [];
    let refused = 0;
    // Try, and when refused wait for room and try again: nothing is lost, nothing grows.
    const submit = async (item: number): Promise<void> => {
      for (;;) {
        try {
          await manager.queueTask(async () => {
            await turn();
            done.push(item);
          });
          return;
        } catch (error) {
          if (!(error instanceof QueueFullError)) throw error;
          refused++;
          await manager.onSizeLessThan(1);
        }
      }
    };
    await Promise.all(Array.from({ length: 10 }, (_, item) => submit(item)));
    assert.deepEqual(
      done.toSorted((a, b) => a - b),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.ok(refused > 0);
    // Other errors can be told from it.
    const other = await rejectionOf(manager.queueTask(() => Promise.reject(new Error('boom'))));
    assert.ok(!(other instanceof QueueFullError));
  }),
);
