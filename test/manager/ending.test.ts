import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { background, CanceledError, withCancelCause, withTimeout } from '../../src/go/index.ts';
import { QueueFullError, ShutdownError, type StopSummary, TaskManager } from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { ROOT } from '../programs.ts';
import { assertBooks, deferred, heard, noop, Stock, settle, stateOf, untilCanceled, within } from './kit.ts';

/** What a promise rejects with. */
async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'it should have rejected' });
}

function shutdownError(error: unknown): ShutdownError {
  assert.ok(error instanceof ShutdownError, `a ShutdownError, not ${String(error)}`);
  assert.equal(error.code, 'ERR_SHUTDOWN');
  return error;
}

// ---- stop -----------------------------------------------------------------------------------------------------------

test(
  'a stop finishes what runs and what is queued, and destroys every resource',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0, ...stock.hooks });
    const tasks = Array.from({ length: 20 }, (_, i) => manager.queueTask(() => settle(1).then(() => i)));
    const summary = await within(manager.stop());
    assert.deepEqual(
      await Promise.all(tasks),
      tasks.map((_, i) => i),
    );
    assert.deepEqual(summary, { completed: 20, failed: 0, canceled: 0, abandoned: 0 });
    assert.equal(manager.stats().state, 'stopped');
    assert.equal(manager.stats().activeWorkers, 0);
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'from the stop on new work is refused, in every form',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const release = deferred();
    const running = manager.queueTask(() => release.promise);
    const stopped = manager.stop();
    assert.equal(manager.stats().state, 'stopping');
    for (const when of ['stopping', 'stopped']) {
      let ran = false;
      const fn = (): void => {
        ran = true;
      };
      shutdownError(await rejection(manager.queueTask(fn)));
      shutdownError(await rejection(manager.queueTask(fn, { priority: 1, id: 'mine' })));
      shutdownError(await rejection(manager.queueTaskWithTimeout(fn, 100)));
      shutdownError(await rejection(manager.queueTaskAsync(fn)));
      shutdownError(await rejection(manager.queueTaskAsync(fn).admitted));
      shutdownError(await rejection(manager.tryQueueTask(fn)!));
      shutdownError(await rejection(manager.runTask(fn)));
      shutdownError(await rejection(manager.runOnEach(fn)));
      shutdownError(await rejection(manager.map([1], fn).next()));
      shutdownError(await rejection(manager.queueTaskStream(function* () {}).next()));
      shutdownError(await new Promise((resolve) => manager.queueTaskWithCallback(fn, resolve)));
      const failed = heard(manager, 'taskFailed');
      manager.go(fn);
      shutdownError(failed[0]!.error);
      assert.equal(failed[0]!.state, 'rejected');
      await settle();
      assert.equal(ran, false);
      assert.equal(assertBooks(manager).totalTasksArrived, 1);
      if (when === 'stopping') {
        release.resolve();
        await running;
        await stopped;
      }
    }
  }),
);

test(
  'a task submits through its context while the manager stops, but not past it',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const begun = deferred();
    const go = deferred();
    const running = manager.queueTask(async (ctx) => {
      begun.resolve();
      await go.promise;
      shutdownError(await rejection(manager.queueTask(noop)));
      return ctx.queueTask((inner) => inner.queueTask(() => 'grandchild'));
    });
    const queued = manager.queueTask((ctx) => ctx.queueTask(() => 'child of one that was queued'));
    await begun.promise;
    const stopped = manager.stop();
    go.resolve();
    assert.equal(await within(running), 'grandchild');
    assert.equal(await within(queued), 'child of one that was queued');
    assert.equal((await stopped).completed, 5);
  }),
);

test(
  'ctx.stopping fires at the stop, and ctx.signal doesn’t',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const begun = deferred();
    const running = manager.queueTask(async (ctx) => {
      const { stopping, signal } = ctx;
      assert.equal(stopping.aborted, false);
      begun.resolve();
      await once(stopping, 'abort');
      return { reason: stopping.reason, aborted: signal.aborted, err: ctx.err };
    });
    const later = manager.queueTask(({ stopping }) => [stopping.aborted, stopping.reason]);
    await begun.promise;
    const stopped = manager.stop();
    const { reason, aborted, err } = await within(running);
    shutdownError(reason);
    assert.deepEqual({ aborted, err }, { aborted: false, err: undefined });
    assert.deepEqual(await later, [true, reason], 'who begins later finds it fired');
    await stopped;

    const other = new TaskManager({ workerCount: 1 });
    other.pause();
    const first = other.queueTask(({ stopping }) => stopping.aborted);
    const otherStopped = other.stop();
    assert.equal(await first, true, 'also if nobody has read it before the stop');
    await otherStopped;
  }),
);

test(
  'a stop ends a pause',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    manager.pause();
    const queued = manager.queueTask(() => 'done');
    const stopped = manager.stop();
    assert.equal(await within(queued), 'done');
    assert.equal((await stopped).completed, 1);
    const other = new TaskManager({ workerCount: 1 });
    other.pause();
    const each = other.runOnEach(() => 'each');
    const otherStopped = other.stop();
    assert.deepEqual(await within(each), ['each']);
    await otherStopped;
  }),
);

test(
  'a task that runs graceMs after the stop is canceled with a ShutdownError, and its signal fires',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, clock });
    let reason: unknown;
    const task = manager.queueTaskAsync(async (ctx) => {
      await once(ctx.signal, 'abort');
      reason = ctx.signal.reason;
    });
    await clock.advance(10_000);
    const stopped = manager.stop({ graceMs: 500 });
    await clock.advance(499);
    assert.equal(task.state, 'running');
    await clock.advance(1);
    assert.equal(task.state, 'canceled');
    const error = shutdownError(await rejection(task));
    await settle();
    assert.equal(reason, error);
    assert.deepEqual(await stopped, { completed: 0, failed: 0, canceled: 1, abandoned: 0 });
    assert.equal(manager.stats().state, 'stopped', 'a stop, not a kill');
  }),
);

test(
  'the grace of a task that begins later counts from its own start',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const release = deferred();
    const first = manager.queueTask(() => release.promise);
    const second = manager.queueTaskAsync(untilCanceled);
    await clock.advance(0);
    const stopped = manager.stop({ graceMs: 500 });
    await clock.advance(400);
    release.resolve();
    await first;
    await clock.advance(499);
    assert.equal(second.state, 'running');
    await clock.advance(1);
    assert.equal(second.state, 'canceled');
    shutdownError(await rejection(second));
    assert.deepEqual(await stopped, { completed: 1, failed: 0, canceled: 1, abandoned: 0 });
  }),
);

test(
  'graceMs is 5,000 and timeoutMs 30,000 unless told',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, abandonAfterMs: Number.POSITIVE_INFINITY, clock });
    const task = manager.queueTaskAsync(() => new Promise(noop));
    const stopped = manager.stop();
    await clock.advance(4_999);
    assert.equal(task.state, 'running');
    await clock.advance(1);
    assert.equal(task.state, 'canceled');
    await rejection(task);
    await clock.advance(24_999);
    assert.equal(manager.stats().state, 'stopping');
    await clock.advance(1);
    assert.equal(manager.stats().state, 'killed');
    await clock.advance(1_000);
    assert.deepEqual(await within(stopped), { completed: 0, failed: 0, canceled: 1, abandoned: 1 });
  }),
);

test(
  'graceMs 0 aborts at once what runs; what is queued still gets its start',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const running = manager.queueTaskAsync(untilCanceled);
    const long = manager.queueTaskAsync(untilCanceled);
    const short = manager.queueTaskAsync(() => 'done');
    await settle();
    const stopped = manager.stop({ graceMs: 0 });
    assert.equal(running.state, 'canceled');
    shutdownError(await rejection(running));
    await clock.advance(0);
    await clock.advance(0);
    assert.deepEqual([long.state, short.state], ['canceled', 'completed']);
    shutdownError(await rejection(long));
    assert.deepEqual(await within(stopped), { completed: 1, failed: 0, canceled: 2, abandoned: 0 });
  }),
);

test(
  'a task’s own timeout goes on counting in a stop: the nearer limit ends it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 2, clock });
    const hasty = manager.queueTaskAsync(untilCanceled, { timeoutMs: 300 });
    const patient = manager.queueTaskAsync(untilCanceled, { timeoutMs: 3_000 });
    await clock.advance(100);
    const stopped = manager.stop({ graceMs: 500 });
    await clock.advance(200);
    assert.deepEqual([hasty.state, patient.state], ['timedOut', 'running']);
    await clock.advance(300);
    assert.equal(patient.state, 'canceled');
    shutdownError(await rejection(patient));
    await rejection(hasty);
    assert.deepEqual(await stopped, { completed: 0, failed: 1, canceled: 1, abandoned: 0 });
  }),
);

test(
  'a stop waits for the function of a task it has canceled',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, clock, ...stock.hooks });
    await clock.advance(0);
    const release = deferred();
    const task = manager.queueTask(() => release.promise);
    const stopped = manager.stop({ graceMs: 100 });
    const error = rejection(task);
    await clock.advance(5_000);
    shutdownError(await error);
    assert.equal(await stateOf(stopped), 'pending');
    assert.equal(stock.made[0]!.destroyed, 0, 'not under a living function');
    release.resolve();
    assert.deepEqual(await within(stopped), { completed: 0, failed: 0, canceled: 1, abandoned: 0 });
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'after timeoutMs a stop becomes a kill, and still resolves to its summary',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, killGraceMs: 200, clock, ...stock.hooks });
    await clock.advance(0);
    const running = manager.queueTask(() => new Promise(noop));
    const queued = [manager.queueTask(noop), manager.queueTask(noop)];
    const stopped = manager.stop({ graceMs: 60_000, timeoutMs: 1_000 });
    const errors = Promise.all([running, ...queued].map(rejection));
    await clock.advance(999);
    assert.equal(manager.stats().state, 'stopping');
    await clock.advance(1);
    assert.equal(manager.stats().state, 'killed');
    const [error, ...others] = await errors;
    assert.match(String(shutdownError(error).cause), /timeoutMs \(1000 ms\)/);
    for (const other of others) assert.equal(other, error, 'one error for all');
    await clock.advance(200);
    assert.deepEqual(await within(stopped), { completed: 0, failed: 0, canceled: 3, abandoned: 1 });
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a stop without a limit (Infinity) waits as long as it takes',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const release = deferred();
    const task = manager.queueTask(() => release.promise);
    const stopped = manager.stop({ graceMs: Number.POSITIVE_INFINITY, timeoutMs: Number.POSITIVE_INFINITY });
    await clock.advance(86_400_000);
    assert.equal(await stateOf(stopped), 'pending');
    release.resolve();
    await task;
    assert.equal((await within(stopped)).completed, 1);
  }),
);

test(
  'the summary counts what happened from the stop on, and nothing before',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, abandonAfterMs: 1_000, clock });
    const fail = (): never => {
      throw new Error('mine');
    };
    await manager.queueTask(noop);
    await rejection(manager.queueTask(fail));
    const before = manager.queueTaskAsync(untilCanceled);
    before.cancel();
    await rejection(before);
    const slow = rejection(manager.queueTask(untilCanceled, { timeoutMs: 5 }));
    await clock.advance(5);
    await slow;
    const outcomes = Promise.allSettled([
      manager.queueTask(() => settle(1)),
      manager.queueTask(fail),
      manager.queueTask(untilCanceled, { timeoutMs: 10 }),
      manager.queueTask(() => new Promise(noop), { timeoutMs: 10 }),
      manager.queueTask(noop),
      manager.queueTask(untilCanceled),
    ]);
    const stopped = manager.stop({ graceMs: 100 });
    await clock.advance(5_000);
    assert.deepEqual(await within(stopped), { completed: 2, failed: 3, canceled: 1, abandoned: 1 });
    await outcomes;
    assertBooks(manager);
  }),
);

test(
  'a second stop gives the same promise, and may only shorten the times',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 2, killGraceMs: 0, clock });
    const polite = manager.queueTaskAsync(untilCanceled);
    const deaf = manager.queueTaskAsync(() => new Promise(noop));
    const first = manager.stop({ graceMs: 1_000, timeoutMs: 10_000 });
    await clock.advance(100);
    const longer = manager.stop({ graceMs: 5_000, timeoutMs: 50_000 });
    assert.equal(longer, first);
    const shorter = manager.stop({ graceMs: 300, timeoutMs: 2_000 });
    assert.equal(shorter, first);
    await clock.advance(299);
    assert.equal(polite.state, 'running');
    await clock.advance(1);
    assert.deepEqual([polite.state, deaf.state], ['canceled', 'canceled']);
    await clock.advance(1_699);
    assert.equal(manager.stats().state, 'stopping');
    await clock.advance(1);
    assert.equal(manager.stats().state, 'killed');
    await clock.advance(1);
    const summary = await within(first);
    assert.deepEqual(summary, { completed: 0, failed: 0, canceled: 2, abandoned: 1 });
    assert.equal(await manager.stop(), summary, 'afterwards too');
    await Promise.all([rejection(polite), rejection(deaf)]);
  }),
);

test(
  'a longer second stop changes nothing, for what runs, what is queued, and the stop itself',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const running = manager.queueTaskAsync(untilCanceled);
    const queued = manager.queueTaskAsync(untilCanceled);
    const deaf = manager.queueTaskAsync(() => new Promise(noop));
    const stopped = manager.stop({ graceMs: 200, timeoutMs: 1_000 });
    await clock.advance(150);
    void manager.stop({ graceMs: 10_000, timeoutMs: 10_000 });
    await clock.advance(50);
    assert.deepEqual([running.state, queued.state], ['canceled', 'running']);
    await clock.advance(200);
    assert.equal(queued.state, 'canceled');
    await clock.advance(600);
    assert.equal(manager.stats().state, 'killed');
    await clock.advance(1_000);
    assert.equal((await within(stopped)).canceled, 3);
    await Promise.all([running, queued, deaf].map(rejection));
  }),
);

test(
  'a shorter grace that would end later doesn’t: the nearer end stands',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, clock });
    const task = manager.queueTaskAsync(untilCanceled);
    const stopped = manager.stop({ graceMs: 1_000 });
    await clock.advance(900);
    void manager.stop({ graceMs: 500 });
    await clock.advance(100);
    assert.equal(task.state, 'canceled');
    await rejection(task);
    await stopped;
  }),
);

test(
  'a retry in a stop has its run: its pause is waited for',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, clock });
    const task = manager.queueTask(
      ({ attempt }) => {
        if (attempt < 3) throw new Error('once more');
        return attempt;
      },
      { retry: { attempts: 3, baseMs: 500, backoff: 'constant' } },
    );
    const stopped = manager.stop();
    await clock.advance(500);
    assert.equal(await stateOf(stopped), 'pending');
    await clock.advance(500);
    assert.equal(await within(task), 3);
    assert.deepEqual(await within(stopped), { completed: 1, failed: 0, canceled: 0, abandoned: 0 });
  }),
);

test(
  'whoever waits for room is refused by a stop, and counted as rejected',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 1, overflow: 'wait' });
    const release = deferred();
    const admitted = [manager.queueTask(() => release.promise), manager.queueTask(() => 'queued')];
    const waiting = [manager.queueTaskAsync(noop), manager.queueTaskAsync(noop)];
    assert.equal(manager.stats().waitingForRoom, 2);
    const stopped = manager.stop();
    for (const handle of waiting) {
      assert.equal(handle.state, 'rejected');
      shutdownError(await rejection(handle));
      shutdownError(await rejection(handle.admitted));
    }
    release.resolve();
    await Promise.all(admitted);
    assert.deepEqual(await stopped, { completed: 2, failed: 0, canceled: 0, abandoned: 0 });
    assert.equal(assertBooks(manager).totalTasksRejected, 2);
  }),
);

test(
  'a stop waits until every callback has been called',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    let called = 0;
    for (let i = 0; i < 5; i++) manager.queueTaskWithCallback(noop, () => called++);
    await manager.stop();
    assert.equal(called, 5);
  }),
);

test(
  'a stop waits for an idle manager’s resources in creation: they are told, and destroyed',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock(() => gate.promise);
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    await settle();
    const stopped = manager.stop();
    assert.ok(stock.signals.every((signal) => signal.aborted));
    await settle();
    assert.equal(await stateOf(stopped), 'pending');
    gate.resolve();
    await within(stopped);
    assert.equal(stock.made.length, 2);
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a stop waits for resources that queued tasks need',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock(() => gate.promise);
    const manager = new TaskManager({ workerCount: 1, ...stock.hooks });
    const task = manager.queueTask(() => 'done');
    const stopped = manager.stop();
    await settle();
    gate.resolve();
    assert.equal(await within(task), 'done');
    assert.equal((await stopped).completed, 1);
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'stopping and stopped are told, once each and in that order',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const order: unknown[] = [];
    manager.on('stopping', () => order.push(['stopping', manager.stats().state]));
    manager.on('stopped', (summary) => order.push(['stopped', manager.stats().state, summary]));
    const task = manager.queueTask(() => order.push('task'));
    const stopped = manager.stop();
    void manager.stop();
    await task;
    const summary = await stopped;
    await manager.stop();
    assert.deepEqual(order, ['task', ['stopping', 'stopping'], ['stopped', 'stopped', summary]]);
  }),
);

test(
  'onIdle(), onEmpty() and onSizeLessThan() come true in a stop',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const tasks = [1, 2, 3].map(() => manager.queueTask(() => settle(1)));
    const waits = [manager.onIdle(), manager.onEmpty(), manager.onSizeLessThan(2)];
    const stopped = manager.stop();
    await within(Promise.all(waits));
    await Promise.all([...tasks, stopped]);
  }),
);

test(
  'await using stops the manager at the end of the block',
  withLeakCheck(async () => {
    const stock = new Stock();
    let task: Promise<string>;
    let seen: TaskManager<unknown>;
    {
      await using manager = new TaskManager({ workerCount: 1, ...stock.hooks });
      seen = manager as TaskManager<unknown>;
      task = manager.queueTask(() => settle(1).then(() => 'done'));
    }
    assert.equal(await task, 'done');
    assert.equal(seen.stats().state, 'stopped');
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a task may call stop(), and even wait for it: its grace ends that',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, abandonAfterMs: 100, clock });
    const harmless = manager.queueTask(() => {
      void manager.stop({ graceMs: 200 });
      return 'done';
    });
    assert.equal(await harmless, 'done');
    await within(manager.stop());

    const other = new TaskManager({ workerCount: 1, abandonAfterMs: 100, clock });
    let summary: StopSummary | undefined;
    const foolish = rejection(
      other.queueTask(async () => {
        summary = await other.stop({ graceMs: 200 });
      }),
    );
    await clock.advance(300);
    shutdownError(await foolish);
    assert.deepEqual(await within(other.stop()), { completed: 0, failed: 0, canceled: 1, abandoned: 1 });
    await settle();
    assert.deepEqual(summary, await other.stop());
  }),
);

// ---- kill -----------------------------------------------------------------------------------------------------------

test(
  'a kill rejects all that is queued or runs at once, with one ShutdownError whose cause is the reason',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0, maxQueueSize: 3, overflow: 'wait' });
    const reasons: unknown[] = [];
    let strangersRan = 0;
    const watch = async (ctx: { readonly signal: AbortSignal }): Promise<void> => {
      await once(ctx.signal, 'abort');
      reasons.push(ctx.signal.reason);
    };
    const running = [manager.queueTaskAsync(watch), manager.queueTaskAsync(watch)];
    const queued = [1, 2, 3].map(() => manager.queueTaskAsync(() => strangersRan++));
    const waiting = [1, 2].map(() => manager.queueTaskAsync(() => strangersRan++));
    const past = manager.runTaskAsync(watch);
    await settle();
    const reason = new Error('out of memory');
    const killed = manager.kill(reason);
    assert.deepEqual(
      [...running, ...queued, past].map(({ state }) => state),
      Array.from({ length: 6 }, () => 'canceled'),
    );
    assert.deepEqual(
      waiting.map(({ state }) => state),
      ['rejected', 'rejected'],
    );
    assert.equal(manager.stats().state, 'killed');
    const errors = await Promise.all([...running, ...queued, ...waiting, past].map(rejection));
    const error = shutdownError(errors[0]);
    assert.equal(error.cause, reason);
    assert.match(error.message, /out of memory/);
    for (const other of errors) assert.equal(other, error);
    await within(killed);
    assert.deepEqual(reasons, [error, error, error], 'every signal has fired with it');
    shutdownError(await rejection(manager.queueTask(noop)));
    assert.equal(strangersRan, 0);
    const { totalTasksCanceled, totalTasksRejected } = assertBooks(manager);
    assert.deepEqual({ totalTasksCanceled, totalTasksRejected }, { totalTasksCanceled: 6, totalTasksRejected: 3 });
  }),
);

test(
  'a task killed between its assignment and its first step doesn’t run',
  withLeakCheck(async () => {
    for (const asyncContext of [true, false]) {
      for (let microtasks = 0; microtasks < 6; microtasks++) {
        const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, asyncContext });
        const release = deferred();
        let ran = false;
        const first = manager.queueTaskAsync(() => release.promise);
        const second = manager.queueTaskAsync(() => {
          ran = true;
        });
        release.resolve();
        for (let i = 0; i < microtasks; i++) await null;
        const stateAtKill = second.state;
        const ranAtKill = ran;
        await within(manager.kill());
        assert.equal(ran, ranAtKill, `nothing begins after the kill (it was ${stateAtKill})`);
        await Promise.allSettled([first.result, second.result]);
        assertBooks(manager);
      }
    }
  }),
);

test(
  'a kill waits for functions to return',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 2, clock, ...stock.hooks });
    await clock.advance(0);
    const release = deferred();
    const task = rejection(manager.queueTask(() => release.promise));
    const killed = manager.kill();
    await settle();
    assert.deepEqual(stock.made.map(({ destroyed }) => destroyed).sort(), [0, 1], 'the idle one at once');
    await clock.advance(900);
    assert.equal(await stateOf(killed), 'pending');
    release.resolve();
    await within(killed);
    stock.assertAllDestroyedOnce();
    assert.equal(manager.metrics().totalTasksAbandoned, 0);
    await task;
  }),
);

test(
  'after killGraceMs a kill destroys the rest, and resolves',
  withLeakCheck(async () => {
    for (const killGraceMs of [undefined, 300, 0]) {
      const clock = new VirtualClock();
      const stock = new Stock();
      const manager = new TaskManager({ workerCount: 1, killGraceMs, clock, ...stock.hooks });
      await clock.advance(0);
      const release = deferred();
      const task = rejection(manager.queueTask(() => release.promise));
      const killed = manager.kill();
      if (killGraceMs !== 0) {
        await clock.advance((killGraceMs ?? 1_000) - 1);
        assert.equal(await stateOf(killed), 'pending');
      }
      await clock.advance(1);
      await within(killed);
      stock.assertAllDestroyedOnce();
      assert.equal(manager.stats().abandonedTasks, 1);
      assert.equal(clock.timerCount, 0);
      shutdownError(await task);
      release.resolve();
      await settle();
      assert.equal(manager.stats().abandonedTasks, 0);
      stock.assertAllDestroyedOnce();
    }
  }),
);

test(
  'a kill overtakes a stop, whose promise resolves to what became of all',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const stoppedEvents = heard(manager, 'stopped');
    const tasks = [manager.queueTaskAsync(untilCanceled), manager.queueTaskAsync(noop), manager.queueTaskAsync(noop)];
    await settle();
    const stopped = manager.stop({ graceMs: 10_000 });
    await clock.advance(50);
    const killed = manager.kill('no time');
    const errors = await Promise.all(tasks.map(rejection));
    for (const error of errors) assert.equal(shutdownError(error).cause, 'no time');
    await within(killed);
    const summary = await within(stopped);
    assert.deepEqual(summary, { completed: 0, failed: 0, canceled: 3, abandoned: 0 });
    assert.equal(manager.stats().state, 'killed');
    assert.deepEqual(stoppedEvents, [summary]);
  }),
);

test(
  'ctx.stopping fires at a kill too',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    let reason: unknown;
    const task = rejection(
      manager.queueTask(async ({ stopping }) => {
        await once(stopping, 'abort');
        reason = stopping.reason;
      }),
    );
    await within(manager.kill());
    assert.equal(reason, await task);
  }),
);

test(
  'the first kill’s reason stands, and every kill and stop after it resolves with it',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const task = rejection(manager.queueTask(untilCanceled));
    const ends = [manager.kill('first'), manager.kill('second'), manager.stop()];
    await within(Promise.all(ends));
    assert.equal(shutdownError(await task).cause, 'first');
    await manager.kill('third');
    assert.equal((await manager.stop()).canceled, 1);
    assert.equal(shutdownError(await rejection(manager.queueTask(noop))).cause, 'first');
  }),
);

test(
  'a kill without a reason has no cause',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const task = rejection(manager.queueTask(untilCanceled));
    await manager.kill();
    assert.equal(shutdownError(await task).cause, undefined);
  }),
);

test(
  'a kill after a stop has ended changes nothing',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    await manager.stop();
    await manager.kill('too late');
    assert.equal(manager.stats().state, 'stopped');
    assert.equal(shutdownError(await rejection(manager.queueTask(noop))).cause, undefined);
  }),
);

test(
  'a kill ends a pause in a retry, a wait for a resource, and what is between them',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({
      workerCount: 1,
      createConcurrency: 2,
      burstIntervalMs: 0,
      clock,
      ...stock.hooks,
    });
    await clock.advance(0);
    const failing = (): never => {
      throw new Error('once more');
    };
    const retried = manager.queueTaskAsync(failing, { retry: { attempts: 2, baseMs: 60_000 } });
    await clock.advance(0);
    const past = manager.runTaskAsync(noop);
    const pinned = rejection(manager.runOnEach(untilCanceled));
    const waiting = rejection(manager.runOnEach(noop));
    await clock.advance(0);
    const killed = manager.kill();
    const errors = await Promise.all([rejection(retried), rejection(past), pinned, waiting]);
    for (const error of errors) assert.equal(error, errors[0]);
    gate.resolve();
    await within(killed);
    assert.equal(clock.timerCount, 0);
    stock.assertAllDestroyedOnce();
    assertBooks(manager);
  }),
);

test(
  'with a kill from within a task all ends as well',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const task = rejection(
      manager.queueTask(async () => {
        await manager.kill('from within');
      }),
    );
    const queued = rejection(manager.queueTask(noop));
    await clock.advance(1_000);
    assert.equal(shutdownError(await task).cause, 'from within');
    assert.equal(await queued, await task);
    await within(manager.kill());
  }),
);

test(
  'a synchronous task that kills is canceled like the others',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const error = await rejection(
      manager.queueTask(() => {
        void manager.kill('from within');
      }),
    );
    shutdownError(error);
    await within(manager.kill());
    assert.equal(assertBooks(manager).totalTasksCanceled, 1);
  }),
);

// ---- the parent signal ------------------------------------------------------------------------------------------------

test(
  'the parent signal aborted is a kill with its reason',
  withLeakCheck(async () => {
    const controller = new AbortController();
    const stock = new Stock();
    // No burst: on a slow machine a second worker would run what is to wait.
    const signal = controller.signal;
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, signal, ...stock.hooks });
    const tasks = [manager.queueTaskAsync(untilCanceled), manager.queueTaskAsync(noop)];
    await settle();
    const reason = new Error('the server goes down');
    controller.abort(reason);
    assert.equal(manager.stats().state, 'killed');
    for (const task of tasks) assert.equal(shutdownError(await rejection(task)).cause, reason);
    await within(manager.kill());
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'the parent context canceled is a kill with its cause',
  withLeakCheck(async () => {
    const [ctx, cancel] = withCancelCause(background());
    const manager = new TaskManager({ workerCount: 1, signal: ctx });
    const task = manager.queueTaskAsync(untilCanceled);
    cancel('no more');
    assert.equal(shutdownError(await rejection(task)).cause, 'no more');
    await within(manager.kill());
  }),
);

test(
  'the parent context’s deadline is a kill, and the deadline of every task',
  withLeakCheck(async () => {
    const [ctx, cancel] = withTimeout(background(), 5);
    const manager = new TaskManager({ workerCount: 1, signal: ctx });
    const task = await rejection(
      manager.queueTask(async (run) => {
        assert.equal(run.deadline, ctx.deadline);
        await run.done();
      }),
    );
    assert.equal((shutdownError(task).cause as Error).name, 'TimeoutError');
    await within(manager.kill());
    cancel();
  }),
);

for (const [kind, aborted] of [
  ['signal', (reason: unknown) => AbortSignal.abort(reason)],
  [
    'context',
    (reason: unknown) => {
      const [ctx, cancel] = withCancelCause(background());
      cancel(reason);
      return ctx;
    },
  ],
] as const) {
  test(
    `a manager made under a parent ${kind} that has fired is killed from the beginning`,
    withLeakCheck(async () => {
      const reason = new Error('too late');
      const stock = new Stock();
      const manager = new TaskManager({ workerCount: 2, signal: aborted(reason), ...stock.hooks });
      assert.equal(manager.stats().state, 'killed');
      assert.equal(shutdownError(await rejection(manager.queueTask(noop))).cause, reason);
      assert.equal(shutdownError(await rejection(manager.runTask(noop))).cause, reason);
      assert.equal(shutdownError(await rejection(manager.ready())).cause, reason);
      assert.throws(() => manager.runTaskSync(noop), ShutdownError);
      await within(manager.kill());
      assert.deepEqual(await within(manager.stop()), { completed: 0, failed: 0, canceled: 0, abandoned: 0 });
      assert.equal(stock.calls, 0, 'no resource is made for nobody');
    }),
  );
}

test(
  'a manager that has ended listens no more on its parent signal',
  withLeakCheck(async () => {
    const controller = new AbortController();
    const manager = new TaskManager({ workerCount: 1, signal: controller.signal });
    await manager.stop();
    controller.abort();
    assert.equal(manager.stats().state, 'stopped');
    const another = new TaskManager({ workerCount: 1, signal: new AbortController().signal });
    await another.kill(); // the leak check sees the listener, if one is left
  }),
);

// ---- pause, resume, clear, cancel -------------------------------------------------------------------------------------

test(
  'a pause starts nothing more of the queue, and leaves alone what runs',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0 });
    const release = deferred();
    const running = manager.queueTask(() => release.promise.then(() => 'done'));
    manager.pause();
    manager.pause();
    assert.equal(manager.stats().state, 'paused');
    let started = 0;
    const queued = [1, 2, 3].map(() => manager.queueTask(() => started++));
    release.resolve();
    assert.equal(await running, 'done');
    await settle();
    assert.equal(started, 0);
    assert.equal(manager.stats().queuedTasks, 3);
    manager.resume();
    assert.equal(manager.stats().state, 'running');
    await Promise.all(queued);
    manager.resume();
    await manager.stop();
  }),
);

test(
  'what fell due in a pause is as it was: priorities, timeouts, retries',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const order: string[] = [];
    const retried = manager.queueTask(
      ({ attempt }) => {
        order.push(`retried ${attempt}`);
        if (attempt === 1) throw new Error('once more');
      },
      { retry: { attempts: 2, baseMs: 10 } },
    );
    await clock.advance(0);
    manager.pause();
    const hasty = rejection(manager.queueTask(noop, { queueTimeoutMs: 100 }));
    const low = manager.queueTask(() => order.push('low'));
    const high = manager.queueTask(() => order.push('high'), { priority: 1 });
    await clock.advance(1_000);
    assert.equal(((await hasty) as Error).name, 'TimeoutError', 'a queueTimeoutMs counts in a pause too');
    manager.resume();
    await within(Promise.all([retried, low, high]));
    assert.deepEqual(order, ['retried 1', 'high', 'retried 2', 'low']);
    await manager.stop();
  }),
);

test(
  'pause() and recycle() make no sense at the end, resume() is harmless',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const stopped = manager.stop();
    assert.throws(() => manager.pause(), { name: 'TypeError', message: /pause.*(stopping|stopped)/ });
    assert.throws(() => manager.recycle(), TypeError);
    manager.resume();
    await stopped;
    assert.throws(() => manager.pause(), { name: 'TypeError', message: /stopped/ });
    manager.resume();
    assert.equal(manager.stats().state, 'stopped');
  }),
);

test(
  'clear() cancels what is queued and says how many; what runs goes on',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 2, clock });
    const drained = deferred();
    manager.once('drain', () => drained.resolve());
    const retried = manager.queueTaskAsync(
      () => {
        throw new Error('once more');
      },
      { retry: { attempts: 2, baseMs: 60_000 } },
    );
    await clock.advance(0);
    const release = deferred();
    const running = manager.queueTask(() => release.promise.then(() => 'done'));
    const queued = [manager.queueTaskAsync(noop), manager.queueTaskAsync(noop, { priority: 9 })];
    const waiting = manager.queueTaskAsync(noop, { overflow: 'wait' });
    assert.equal(manager.clear('a new configuration'), 4);
    assert.equal(waiting.state, 'rejected');
    for (const task of [retried, ...queued]) {
      assert.equal(task.state, 'canceled');
      const error = await rejection(task);
      assert.ok(error instanceof CanceledError);
      assert.equal(error.cause, 'a new configuration');
    }
    assert.ok((await rejection(waiting)) instanceof CanceledError);
    await drained.promise;
    assert.equal(manager.clear(), 0);
    release.resolve();
    assert.equal(await running, 'done');
    await manager.stop();
    assert.equal(assertBooks(manager).totalTasksCanceled, 3);
  }),
);

test(
  'cancel() ends the tasks that match, queued, running or waiting, and says how many',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 4, overflow: 'wait' });
    let cause: unknown;
    const submit = (id: string, key?: string, priority = 0) =>
      manager.queueTaskAsync(
        async (ctx) => {
          await ctx.done();
          cause = ctx.cause;
        },
        { id, key, priority },
      );
    const a1 = submit('a1', 'a');
    const a2 = submit('a2', 'a');
    const b1 = submit('b1', 'b', 5);
    const c1 = submit('c1');
    const c2 = submit('c2');
    const a3 = submit('a3', 'a');
    await settle();
    const states = () => [a1, a2, b1, c1, c2, a3].map(({ state }) => state);
    assert.deepEqual(states(), ['running', 'queued', 'queued', 'queued', 'queued', 'waiting']);
    assert.equal(manager.cancel({ key: 'nobody' }), 0);
    assert.equal(manager.cancel({ key: 'a', priority: 1 }), 0, 'every field has to match');
    assert.equal(manager.cancel({ id: 'c2' }), 1);
    assert.equal(manager.cancel({ id: 'c2' }), 0, 'it has ended');
    assert.equal(
      manager.cancel((task) => task.priority > 3),
      1,
    );
    assert.deepEqual(states(), ['running', 'queued', 'canceled', 'queued', 'canceled', 'queued']);
    assert.equal(manager.cancel({ key: 'a' }, 'the tenant has left'), 3);
    await settle();
    assert.equal(cause, 'the tenant has left');
    assert.equal(manager.cancel({ state: 'running' }), 1, 'the next has begun');
    for (const task of [a1, a2, a3]) {
      const error = await rejection(task);
      assert.ok(error instanceof CanceledError);
      assert.equal(error.cause, 'the tenant has left');
    }
    await Promise.allSettled([b1, c1, c2]);
    await manager.stop();
    assertBooks(manager);
  }),
);

test(
  'a canceled task’s worker goes on to the next only when its function has returned',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const release = deferred();
    const deaf = manager.queueTaskAsync(() => release.promise, { id: 'deaf' });
    const next = manager.queueTask(() => 'next');
    assert.equal(manager.cancel({ id: 'deaf' }), 1);
    await rejection(deaf);
    await settle();
    assert.equal(await stateOf(next), 'pending');
    const { runningTasks, busyWorkers, stuckWorkers, queuedTasks } = manager.stats();
    assert.deepEqual(
      { runningTasks, busyWorkers, stuckWorkers, queuedTasks },
      { runningTasks: 0, busyWorkers: 1, stuckWorkers: 1, queuedTasks: 1 },
    );
    release.resolve();
    assert.equal(await within(next), 'next');
    await manager.stop();
  }),
);

test(
  'a wrong filter is a TypeError, and a predicate’s throw is its caller’s',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const task = manager.queueTask(() => settle(1));
    assert.throws(() => manager.cancel('all' as never), TypeError);
    assert.throws(() => manager.cancel({ name: 'x' } as never), { name: 'TypeError', message: /name/ });
    const bug = new Error('a bug');
    const predicate = (): never => {
      throw bug;
    };
    assert.throws(() => manager.cancel(predicate), bug);
    await task;
    await manager.stop();
  }),
);

test(
  'a stop drops nobody for want of room, and a kill refuses whoever waits',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 1, overflow: 'drop-oldest' });
    const tasks = [manager.queueTaskAsync(untilCanceled), manager.queueTaskAsync(noop), manager.queueTaskAsync(noop)];
    assert.ok((await rejection(tasks[1]!)) instanceof QueueFullError);
    await within(manager.kill());
    shutdownError(await rejection(tasks[2]!));
    await rejection(tasks[0]!);
    assert.equal(assertBooks(manager).totalTasksDropped, 1);
  }),
);

// ---- process signals --------------------------------------------------------------------------------------------------

test(
  'stopOnSignals listens on SIGTERM, SIGINT and SIGQUIT unless told, until disposed of',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const signals = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const;
    const before = signals.map((signal) => process.listenerCount(signal));
    const more = () => signals.map((signal, i) => process.listenerCount(signal) - before[i]!);
    const dispose = manager.stopOnSignals();
    assert.deepEqual(more(), [1, 1, 1, 0]);
    dispose();
    dispose();
    assert.deepEqual(more(), [0, 0, 0, 0]);
    {
      using _ = manager.stopOnSignals(['SIGHUP']);
      assert.deepEqual(more(), [0, 0, 0, 1]);
    }
    assert.deepEqual(more(), [0, 0, 0, 0]);
    manager.stopOnSignals();
    await manager.stop();
    assert.deepEqual(more(), [0, 0, 0, 0], 'the end of the manager takes them back');
  }),
);

test(
  'stopOnSignals hands its options to the stop',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, clock });
    manager.stopOnSignals(['SIGHUP'], { graceMs: 50 });
    const task = manager.queueTaskAsync(untilCanceled);
    process.emit('SIGHUP', 'SIGHUP');
    await clock.advance(49);
    assert.equal(task.state, 'running');
    await clock.advance(1);
    assert.equal(task.state, 'canceled');
    await rejection(task);
    await manager.stop();
  }),
);

test(
  'stopOnSignals refuses wrong names and options',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    assert.throws(() => manager.stopOnSignals(['SIGNOTHING' as never]), { name: 'RangeError', message: /SIGNOTHING/ });
    assert.throws(() => manager.stopOnSignals('SIGTERM' as never), TypeError);
    assert.throws(() => manager.stopOnSignals([]), TypeError);
    assert.throws(() => manager.stopOnSignals(['SIGTERM'], { graceMs: -1 }), RangeError);
    await manager.stop();
  }),
);

const PROGRAM = join(ROOT, 'test/manager/ending.program.ts');

/** A scenario of ending.program.ts as a process, and the lines it says. */
class Program {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown[]>;
  #onLine = noop;

  constructor(args: readonly string[], signal: AbortSignal) {
    this.#child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      signal,
      killSignal: 'SIGKILL',
    });
    this.#child.on('error', noop); // of the abort at the test's end
    this.#closed = once(this.#child, 'close');
    createInterface(this.#child.stdout!).on('line', (line) => {
      this.lines.push(line);
      this.#onLine();
    });
  }

  /** Waits until it has said `line`. */
  async says(line: string): Promise<void> {
    while (!this.lines.includes(line)) {
      const heardLine = new Promise<void>((resolve) => {
        this.#onLine = resolve;
      });
      await Promise.race([heardLine, this.#closed]);
      if (this.#child.exitCode !== null && !this.lines.includes(line)) {
        throw new assert.AssertionError({ message: `it ended without saying ${line}, but: ${this.lines.join(', ')}` });
      }
    }
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** How it ended. */
  async ended(): Promise<[code: number | null, signal: NodeJS.Signals | null]> {
    return (await this.#closed) as [number | null, NodeJS.Signals | null];
  }
}

const PATIENCE = { timeout: 30_000 };

test('an idle manager doesn’t hold the process', PATIENCE, async (t) => {
  const program = new Program(['idle'], t.signal);
  assert.deepEqual(await program.ended(), [0, null]);
  assert.deepEqual(program.lines, ['idle']);
});

test('a manager with work, queued, running, or under way, holds the process', PATIENCE, async (t) => {
  const program = new Program(['busy'], t.signal);
  const [code] = await program.ended();
  assert.deepEqual(program.lines, [
    'running',
    'running again',
    'past the queue',
    'queued',
    'between two attempts',
    'waiting for a resource',
    'to be ready',
    'to be called back',
    'stopping',
    'being killed',
  ]);
  assert.equal(code, 0);
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
  test(
    `the first ${signal} stops: tasks come to their end, resources are destroyed, the process ends by itself`,
    PATIENCE,
    async (t) => {
      const program = new Program(['signals'], t.signal);
      await program.says('running');
      program.send(signal);
      assert.deepEqual(await program.ended(), [0, null]);
      assert.deepEqual(program.lines.slice(0, 2), ['running', 'stopping']);
      assert.deepEqual(program.lines.slice(2).sort(), [
        'destroyed',
        'done',
        'stopped {"completed":1,"failed":0,"canceled":0,"abandoned":0}',
      ]);
    },
  );
}

test('the second signal kills', PATIENCE, async (t) => {
  const program = new Program(['signals', 'patient'], t.signal);
  await program.says('running');
  program.send('SIGTERM');
  await program.says('stopping');
  program.send('SIGINT');
  assert.deepEqual(await program.ended(), [0, null]);
  assert.deepEqual(program.lines.slice(0, 3), [
    'running',
    'stopping',
    'ShutdownError: the task manager was killed: SIGINT received while stopping',
  ]);
  assert.ok(program.lines.includes('stopped {"completed":0,"failed":0,"canceled":1,"abandoned":0}'));
});

test('disposed of, signals are the process’s own again', PATIENCE, async (t) => {
  const program = new Program(['disposed'], t.signal);
  await program.says('running');
  program.send('SIGTERM');
  assert.deepEqual(await program.ended(), [null, 'SIGTERM']);
});
