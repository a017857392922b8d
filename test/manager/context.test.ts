import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeTime } from 'ulid';
import {
  afterFunc,
  background,
  CanceledError,
  type Context,
  DeadlineExceededError,
  isContext,
  withCancel,
  withCancelCause,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from '../../src/go/index.ts';
import { ShutdownError, type TaskContext, TaskManager } from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, heard, noop, Stock, settle, stateOf, untilCanceled, within } from './kit.ts';

const ORIGIN = 1_700_000_000_000;

/** Runs `fn` as the first task of a manager, and what it says of its context. */
async function contextOf(manager: TaskManager, options = {}): Promise<TaskContext<undefined>> {
  let context!: TaskContext<undefined>;
  await manager.queueTask((ctx) => {
    context = ctx;
  }, options);
  return context;
}

function assertNear(actual: number | undefined, expected: number, message?: string): void {
  // Times of submission may be ns apart from the clock's, as no two are the same.
  assert.ok(actual !== undefined && Math.abs(actual - expected) < 0.1, message ?? `${actual} is near ${expected}`);
}

// ---- laziness ---------------------------------------------------------------------------------------------------------

test(
  'no AbortController is made for a task that doesn’t read its signal, however it ends',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 2, burstIntervalMs: 0, clock });
    const original = globalThis.AbortController;
    let made = 0;
    globalThis.AbortController = class extends original {
      constructor() {
        super();
        made++;
      }
    };
    try {
      const errors: unknown[] = [];
      const outcomes = Promise.allSettled([
        ...Array.from({ length: 50 }, () => manager.queueTask(() => settle(1))),
        manager.queueTask(() => {
          throw new Error('mine');
        }),
        manager.queueTask(
          async (ctx) => {
            errors.push(ctx.err, ctx.cause);
            await ctx.done();
            errors.push(ctx.err);
          },
          { timeoutMs: 100 },
        ),
        manager.queueTask((ctx) => ctx.queueTask((inner) => [inner.id, inner.deadline, inner.value('x')])),
        manager.queueTask(
          ({ attempt }) => {
            if (attempt < 3) throw new Error('once more');
          },
          { retry: { attempts: 3, baseMs: 10 } },
        ),
        manager.runTask(noop),
      ]);
      const handle = manager.queueTaskAsync(untilCanceled);
      await clock.advance(1_000);
      handle.cancel();
      await Promise.allSettled([handle]);
      await outcomes;
      assert.deepEqual(errors.slice(0, 2), [undefined, undefined]);
      assert.ok(errors[2] instanceof DeadlineExceededError);
      assert.equal(made, 0);
      await manager.queueTask((ctx) => {
        assert.equal(ctx.signal, ctx.signal);
      });
      assert.equal(made, 1);
    } finally {
      globalThis.AbortController = original;
    }
    await manager.stop();
  }),
);

test(
  'a signal read only after the end of the run has fired, with the reason of the end',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    let context!: TaskContext<undefined>;
    const handle = manager.queueTaskAsync(async (ctx) => {
      context = ctx;
      await ctx.done();
    });
    await settle();
    handle.cancel('too slow');
    assert.equal(context.signal.aborted, true);
    assert.equal(context.signal.reason, context.cause);
    assert.equal(context.cause, 'too slow');
    await handle.result.catch(noop);
    await manager.stop();
  }),
);

// ---- the end of a run, as its context tells it ------------------------------------------------------------------------

interface End {
  readonly err: Error | undefined;
  readonly cause: unknown;
  readonly reason: unknown;
  readonly rejection: unknown;
}

/** What a task's context says when `end` has ended it from outside. */
async function endOf(
  end: (manager: TaskManager, clock: VirtualClock, cancel: (reason: unknown) => boolean) => unknown,
  options = {},
): Promise<End> {
  const clock = new VirtualClock();
  const manager = new TaskManager({ workerCount: 1, clock });
  let seen!: Omit<End, 'rejection'>;
  const handle = manager.queueTaskAsync(async (ctx) => {
    const { signal } = ctx;
    await ctx.done();
    seen = { err: ctx.err, cause: ctx.cause, reason: signal.reason };
  }, options);
  await clock.advance(0);
  await end(manager, clock, (reason) => handle.cancel(reason));
  await clock.advance(0);
  const [outcome] = await Promise.allSettled([handle.result]);
  await manager.kill();
  assert.ok(outcome?.status === 'rejected');
  return { ...seen, rejection: outcome.reason };
}

test(
  'a timeout ends the context with the DeadlineExceededError that the task rejects with',
  withLeakCheck(async () => {
    const { err, cause, reason, rejection } = await endOf((_, clock) => clock.advance(100), { timeoutMs: 100 });
    assert.ok(err instanceof DeadlineExceededError);
    assert.equal(err.name, 'TimeoutError');
    assert.deepEqual([cause, reason, rejection], [err, err, err]);
  }),
);

test(
  'a cancellation ends it with a CanceledError, and the reason given as cause',
  withLeakCheck(async () => {
    const why = { user: 'left' };
    const { err, cause, reason, rejection } = await endOf((_, __, cancel) => cancel(why));
    assert.ok(err instanceof CanceledError);
    assert.equal(rejection, err);
    assert.equal(err.cause, why);
    assert.deepEqual([cause, reason], [why, why]);
  }),
);

test(
  'a cancellation without a reason has the CanceledError as cause',
  withLeakCheck(async () => {
    const { err, cause, reason, rejection } = await endOf((_, __, cancel) => cancel(undefined));
    assert.ok(err instanceof CanceledError);
    assert.deepEqual([cause, reason, rejection], [err, err, err]);
  }),
);

test(
  'the task’s own signal ends it with a CanceledError; cause, reason and rejection are the signal’s reason',
  withLeakCheck(async () => {
    for (const why of [new Error('my own'), 'a string', null]) {
      const controller = new AbortController();
      const { err, cause, reason, rejection } = await endOf(() => controller.abort(why), { signal: controller.signal });
      assert.ok(err instanceof CanceledError);
      assert.deepEqual([cause, reason, rejection], [why, why, why]);
    }
  }),
);

test(
  'the task’s own context ends it with its cause',
  withLeakCheck(async () => {
    const [ctx, cancelContext] = withCancelCause(background());
    const why = new Error('my own');
    const { err, cause, reason, rejection } = await endOf(() => cancelContext(why), { signal: ctx });
    assert.ok(err instanceof CanceledError);
    assert.deepEqual([cause, reason, rejection], [why, why, why]);
  }),
);

test(
  'a kill ends it with the ShutdownError',
  withLeakCheck(async () => {
    const { err, cause, reason, rejection } = await endOf((manager) => manager.kill('enough'));
    assert.ok(err instanceof ShutdownError);
    assert.equal(err.cause, 'enough');
    assert.deepEqual([cause, reason, rejection], [err, err, err]);
  }),
);

test(
  'the first end stands',
  withLeakCheck(async () => {
    const { cause } = await endOf(
      async (_, clock, cancel) => {
        assert.equal(cancel('first'), true);
        assert.equal(cancel('second'), false);
        await clock.advance(100);
      },
      { timeoutMs: 100 },
    );
    assert.equal(cause, 'first');
  }),
);

test(
  'a run that comes to its own end is not canceled, neither then nor later',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, clock });
    const context = await contextOf(manager, { timeoutMs: 100 });
    await clock.advance(1_000);
    assert.deepEqual([context.err, context.cause, context.signal.aborted], [undefined, undefined, false]);
    assert.equal(await stateOf(context.done()), 'pending');
    await manager.stop();
  }),
);

test(
  'done() is one promise, resolves at the end, and never rejects',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const begun = deferred<TaskContext>();
    const handle = manager.queueTaskAsync(async (ctx) => {
      begun.resolve(ctx);
      await ctx.done();
    });
    const ctx = await begun.promise;
    const done = ctx.done();
    assert.equal(ctx.done(), done);
    assert.equal(await stateOf(done), 'pending');
    handle.cancel(new Error('whatever'));
    assert.equal(await done, undefined);
    assert.equal(await ctx.done(), undefined);
    await handle.result.catch(noop);
    await manager.stop();
  }),
);

// ---- deadline -----------------------------------------------------------------------------------------------------------

test(
  'deadline is the nearest of the timeout, the given context’s, the parent task’s and the manager’s',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: ORIGIN });
    const at = (ms: number): Context => withDeadlineOn(ORIGIN + ms);
    const cases: [
      managers: number | undefined,
      given: number | undefined,
      timeoutMs: number | undefined,
      expected: number | undefined,
    ][] = [
      [undefined, undefined, undefined, undefined],
      [undefined, undefined, 500, 500],
      [undefined, 400, 500, 400],
      [undefined, 600, 500, 500],
      [300, 400, 500, 300],
      [700, 400, undefined, 400],
      [700, undefined, undefined, 700],
      [undefined, 400, Number.POSITIVE_INFINITY, 400],
    ];
    for (const [managers, given, timeoutMs, expected] of cases) {
      const manager = new TaskManager({
        workerCount: 1,
        clock,
        signal: managers === undefined ? undefined : at(managers),
      });
      const context = await contextOf(manager, { timeoutMs, signal: given === undefined ? undefined : at(given) });
      const left = context.deadline === undefined ? undefined : Math.round(context.deadline - ORIGIN);
      assert.equal(left, expected, `of ${managers}, ${given}, ${timeoutMs}`);
      await manager.stop();
    }
  }),
);

/** A context that says it has a deadline, and leaves it at that: no timer. */
function withDeadlineOn(deadline: number): Context {
  return {
    deadline,
    signal: new AbortController().signal,
    err: undefined,
    cause: undefined,
    done: () => new Promise(noop),
    value: () => undefined,
  };
}

test(
  'the manager’s timeoutMs counts in the deadline, unless the task has its own; Infinity is none',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: ORIGIN });
    const manager = new TaskManager({ workerCount: 1, timeoutMs: 1_000, clock });
    assertNear((await contextOf(manager)).deadline, ORIGIN + 1_000);
    assertNear((await contextOf(manager, { timeoutMs: 5_000 })).deadline, ORIGIN + 5_000);
    assert.equal((await contextOf(manager, { timeoutMs: Number.POSITIVE_INFINITY })).deadline, undefined);
    await manager.stop();
  }),
);

test(
  'the deadline counts from the start of the attempt',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: ORIGIN });
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    const release = deferred();
    const busy = manager.queueTask(() => release.promise);
    const deadlines: number[] = [];
    const task = manager.queueTask(
      (ctx) => {
        deadlines.push(ctx.deadline! - ORIGIN);
        if (ctx.attempt === 1) throw new Error('once more');
      },
      { timeoutMs: 100, retry: { attempts: 2, baseMs: 50 } },
    );
    await clock.advance(1_000);
    release.resolve();
    await clock.advance(50);
    await Promise.all([busy, task]);
    assertNear(deadlines[0], 1_100);
    assertNear(deadlines[1], 1_150);
    await manager.stop();
  }),
);

// ---- values -------------------------------------------------------------------------------------------------------------

test(
  'value() asks the given context, then the parent task, then the manager’s context',
  withLeakCheck(async () => {
    const manager = new TaskManager({
      workerCount: 2,
      signal: withValue(withValue(withValue(background(), 'a', 'manager'), 'b', 'manager'), 'c', 'manager'),
    });
    const read = (ctx: Context): unknown[] => ['a', 'b', 'c', 'd'].map((key) => ctx.value(key));
    const given = withValue(withValue(background(), 'a', 'task'), 'b', 'task');
    const seen = await manager.queueTask(
      async (ctx) => [read(ctx), await ctx.queueTask(read, { signal: withValue(background(), 'a', 'child') })],
      { signal: given },
    );
    assert.deepEqual(seen, [
      ['task', 'task', 'manager', undefined],
      ['child', 'task', 'manager', undefined],
    ]);
    assert.deepEqual(await manager.queueTask(read), ['manager', 'manager', 'manager', undefined]);
    await manager.stop();
  }),
);

test(
  'a value that is null or false is a value: it hides the one above',
  withLeakCheck(async () => {
    for (const value of [null, false, 0, '']) {
      const manager = new TaskManager({ workerCount: 1, signal: withValue(background(), 'key', 'manager') });
      const seen = await manager.queueTask((ctx) => ctx.value('key'), {
        signal: withValue(background(), 'key', value),
      });
      assert.equal(seen, value);
      await manager.stop();
    }
  }),
);

// ---- what a run knows of itself ---------------------------------------------------------------------------------------

test(
  'id is a ULID that tells the time of submission, and sorts by it',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: ORIGIN });
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    await clock.advance(12_345);
    const release = deferred();
    const busy = manager.queueTask(() => release.promise);
    const handles = Array.from({ length: 100 }, (_, i) =>
      manager.queueTaskAsync((ctx) => [ctx.id, ctx.id], { priority: i % 3 }),
    );
    release.resolve();
    await busy;
    const ids = handles.map(({ id }) => id);
    for (const id of ids) {
      assert.match(id, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
      assert.equal(decodeTime(id), ORIGIN + 12_345);
    }
    assert.deepEqual(ids.toSorted(), ids);
    assert.equal(new Set(ids).size, 100);
    for (const [i, handle] of handles.entries()) assert.deepEqual(await handle, [ids[i], ids[i]]);
    await manager.stop();
  }),
);

test(
  'a caller’s id is the task’s everywhere',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const failures = heard(manager, 'taskFailed');
    const handle = manager.queueTaskAsync(
      async (ctx) => {
        assert.equal(ctx.id, 'mine');
        assert.deepEqual(
          manager.tasks({ id: 'mine' }).map(({ id }) => id),
          ['mine'],
        );
        throw new Error('to be told');
      },
      { id: 'mine' },
    );
    assert.equal(handle.id, 'mine');
    await handle.result.catch(noop);
    assert.equal(failures[0]!.id, 'mine');
    assert.equal(handle.id, 'mine');
    await manager.stop();
  }),
);

test(
  'attempt, priority, queuedAt and startedAt tell how the run came about',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: ORIGIN });
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    await clock.advance(1_000);
    const release = deferred();
    const busy = manager.queueTask(async (ctx) => {
      assert.equal(ctx.attempt, 1);
      assert.equal(ctx.priority, 0);
      assertNear(ctx.queuedAt, ORIGIN + 1_000);
      assertNear(ctx.startedAt, ORIGIN + 1_000);
      await release.promise;
    });
    const runs: TaskContext<undefined>[] = [];
    const handle = manager.queueTaskAsync(
      (ctx) => {
        runs.push(ctx);
        if (ctx.attempt < 3) throw new Error('once more');
      },
      { priority: 2, retry: { attempts: 3, baseMs: 100, backoff: 'constant' } },
    );
    handle.setPriority(7);
    await clock.advance(500);
    release.resolve();
    await clock.advance(1_000);
    await busy;
    await handle;
    assert.deepEqual(
      runs.map(({ attempt }) => attempt),
      [1, 2, 3],
    );
    assert.deepEqual(
      runs.map(({ priority }) => priority),
      [7, 7, 7],
    );
    for (const run of runs) assertNear(run.queuedAt, ORIGIN + 1_000);
    for (const [i, run] of runs.entries()) assertNear(run.startedAt, ORIGIN + 1_500 + 100 * i);
    await manager.stop();
  }),
);

test(
  'each family of methods has its priority: 1 with WithPriority, else 0, unless told',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const priority = (ctx: TaskContext): number => ctx.priority;
    assert.equal(await manager.queueTask(priority), 0);
    assert.equal(await manager.queueTaskOnce(priority), 0);
    assert.equal(await manager.queueTaskWithPriority(priority), 1);
    assert.equal(await manager.queueTaskWithPriorityOnce(priority), 1);
    assert.equal(await manager.queueTaskWithPriority(priority, { priority: -2.5 }), -2.5);
    assert.equal(await manager.runTask(priority), 0);
    await manager.stop();
  }),
);

test(
  'stopping is one signal for all tasks of a manager',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2 });
    const first = await manager.queueTask((ctx) => ctx.stopping);
    assert.equal(await manager.queueTask((ctx) => ctx.stopping), first);
    assert.equal(first.aborted, false);
    await manager.stop();
    assert.equal(first.aborted, true);
  }),
);

// ---- defer --------------------------------------------------------------------------------------------------------------

test(
  'what is deferred runs when the function has returned, the last first, one after the other, before the task settles',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const order: string[] = [];
    const handle = manager.queueTaskAsync(async (ctx) => {
      ctx.defer(async () => {
        order.push('first, begun');
        await settle(1);
        order.push('first, done');
      });
      ctx.defer(() => order.push('second'));
      ctx.defer(async () => {
        order.push(`third, begun while ${handle.state}`);
        await settle(1);
        order.push('third, done');
      });
      await settle(1);
      order.push('returned');
      return 'value';
    });
    assert.equal(await handle, 'value');
    order.push('settled');
    const expected = [
      'returned',
      'third, begun while running',
      'third, done',
      'second',
      'first, begun',
      'first, done',
      'settled',
    ];
    assert.deepEqual(order, expected);
    await manager.stop();
  }),
);

test(
  'what is deferred runs also when the function throws, is canceled or times out',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 3, burstIntervalMs: 0, clock });
    const deferredOf: string[] = [];
    const run = (name: string, fn: (ctx: TaskContext) => unknown, options = {}) =>
      manager.queueTaskAsync((ctx) => {
        ctx.defer(() => deferredOf.push(`${name}: ${ctx.err?.name}`));
        return fn(ctx);
      }, options);
    const failing = run('failing', () => {
      throw new Error('mine');
    });
    const canceled = run('canceled', untilCanceled);
    const timedOut = run('timed out', untilCanceled, { timeoutMs: 100 });
    await clock.advance(0);
    canceled.cancel();
    await clock.advance(100);
    assert.deepEqual(deferredOf, ['failing: undefined', 'canceled: AbortError', 'timed out: TimeoutError']);
    await Promise.allSettled([failing, canceled, timedOut]);
    await manager.stop();
  }),
);

test(
  'the worker and its resource are free only when all that was deferred is done',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, ...stock.hooks });
    const release = deferred();
    let destroyedUnder: number | undefined;
    const first = manager.queueTask((ctx, resource) => {
      ctx.retireResource();
      ctx.defer(async () => {
        await release.promise;
        destroyedUnder = resource.destroyed;
      });
    });
    const next = manager.queueTask(() => 'next');
    await settle();
    assert.equal(await stateOf(next), 'pending');
    release.resolve();
    await first;
    assert.equal(destroyedUnder, 0);
    assert.equal(await within(next), 'next');
    await manager.stop();
  }),
);

test(
  'a deferred function may defer more, and submit children',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const order: string[] = [];
    await within(
      manager.queueTask((ctx) => {
        ctx.defer(async () => {
          ctx.defer(() => order.push('deferred by the deferred'));
          order.push(await ctx.queueTask(() => 'child'));
        });
      }),
    );
    assert.deepEqual(order, ['child', 'deferred by the deferred']);
    await manager.stop();
  }),
);

test(
  'what a deferred function throws goes to the error event; the others run, and the outcome stands',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const errors = heard(manager, 'error');
    const order: string[] = [];
    const bugs = [new Error('thrown'), new Error('rejected')];
    const run = (outcome: () => unknown) =>
      manager.queueTask((ctx) => {
        ctx.defer(() => order.push('last'));
        ctx.defer(() => {
          throw bugs[0];
        });
        ctx.defer(() => Promise.reject(bugs[1]));
        ctx.defer(() => order.push('first'));
        return outcome();
      });
    assert.equal(await run(() => 'value'), 'value');
    await assert.rejects(
      run(() => {
        throw new Error('mine');
      }),
      { message: 'mine' },
    );
    assert.deepEqual(order, ['first', 'last', 'first', 'last']);
    assert.deepEqual(errors, [bugs[1], bugs[0], bugs[1], bugs[0]]);
    await manager.stop();
  }),
);

test(
  'each attempt has its own deferred functions',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const order: string[] = [];
    await manager.queueTask(
      (ctx) => {
        ctx.defer(() => order.push(`deferred by ${ctx.attempt}`));
        order.push(`run ${ctx.attempt}`);
        if (ctx.attempt < 3) throw new Error('once more');
      },
      { retry: { attempts: 3, baseMs: 0 } },
    );
    assert.deepEqual(order, ['run 1', 'deferred by 1', 'run 2', 'deferred by 2', 'run 3', 'deferred by 3']);
    await manager.stop();
  }),
);

test(
  'a timeout that comes while deferred functions run ends the task all the same',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, clock });
    const release = deferred();
    const handle = manager.queueTaskAsync((ctx) => ctx.defer(() => release.promise), { timeoutMs: 100 });
    await clock.advance(100);
    assert.equal(handle.state, 'timedOut');
    await handle.result.catch(noop);
    assert.equal(manager.stats().stuckWorkers, 1);
    release.resolve();
    assert.equal(await within(manager.queueTask(() => 'free again')), 'free again');
    await manager.stop();
  }),
);

test(
  'defer() takes a function, and only while the run lasts',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const context = await contextOf(manager);
    await assert.rejects(
      manager.queueTask((ctx) => ctx.defer('close' as never)),
      {
        name: 'TypeError',
        message: /"close"/,
      },
    );
    assert.throws(() => context.defer(noop), CanceledError);
    await manager.stop();
  }),
);

// ---- contexts derived from a task’s -----------------------------------------------------------------------------------

test(
  'contexts derived from a task’s are canceled with it, with its err and cause',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const begun = deferred<Context[]>();
    const after: string[] = [];
    const handle = manager.queueTaskAsync(async (ctx) => {
      const [canceled, cancel] = withCancel(ctx);
      const [limited, lift] = withTimeout(ctx, 3_600_000);
      const deep = withValue(withCancel(limited)[0], 'depth', 2);
      afterFunc(ctx, () => after.push('called'));
      begun.resolve([canceled, limited, deep, withoutCancel(ctx)]);
      await deep.done();
      cancel();
      lift();
    });
    const [canceled, limited, deep, free] = await begun.promise;
    assert.ok([canceled, limited, deep].every((ctx) => ctx!.err === undefined));
    handle.cancel('the client has left');
    for (const ctx of [canceled, limited, deep]) {
      assert.ok(ctx!.err instanceof CanceledError);
      assert.equal(ctx!.cause, 'the client has left');
      assert.equal(ctx!.signal.aborted, true);
    }
    assert.equal(free!.err, undefined);
    await settle();
    assert.deepEqual(after, ['called']);
    await handle.result.catch(noop);
    await manager.stop();
  }),
);

test(
  'a derived context’s own cancellation leaves the task be',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const seen = await manager.queueTask((ctx) => {
      const [inner, cancel] = withCancel(ctx);
      cancel();
      return [inner.err instanceof CanceledError, ctx.err];
    });
    assert.deepEqual(seen, [true, undefined]);
    await manager.stop();
  }),
);

test(
  'withTimeout() on a task’s context counts by the manager’s clock, and knows the nearer deadline',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: ORIGIN });
    const manager = new TaskManager({ workerCount: 1, clock });
    const task = manager.queueTask(
      async (ctx) => {
        const [short] = withTimeout(ctx, 100);
        const [long, lift] = withTimeout(ctx, 5_000);
        const [dated] = withDeadline(ctx, ORIGIN + 100);
        await Promise.all([short.done(), dated.done()]);
        lift();
        return { short: short.deadline, long: long.deadline, dated: dated.deadline, err: short.err, own: ctx.err };
      },
      { timeoutMs: 1_000 },
    );
    await clock.advance(100);
    const { short, long, dated, err, own } = await within(task);
    assertNear(short, ORIGIN + 100);
    assertNear(long, ORIGIN + 1_000);
    assertNear(dated, ORIGIN + 100);
    assert.ok(err instanceof DeadlineExceededError);
    assert.equal(own, undefined);
    await manager.stop();
  }),
);

test(
  'a task’s context may be the signal of another manager’s task, and hands on its values',
  withLeakCheck(async () => {
    const outer = new TaskManager({ workerCount: 1 });
    const inner = new TaskManager({ workerCount: 1 });
    let seen: unknown;
    const begun = deferred();
    const handle = outer.queueTaskAsync(
      async (ctx) => {
        assert.ok(isContext(ctx));
        await inner.queueTask(
          async (their) => {
            seen = their.value('user');
            begun.resolve();
            await their.done();
            assert.equal(their.cause, 'the client has left');
          },
          { signal: ctx },
        );
      },
      { signal: withValue(background(), 'user', 'Ada') },
    );
    await begun.promise;
    handle.cancel('the client has left');
    await handle.result.catch(noop);
    await inner.onIdle();
    assert.equal(seen, 'Ada');
    assert.equal(inner.metrics().totalTasksCanceled, 1);
    await Promise.all([outer.stop(), inner.stop()]);
  }),
);

test(
  'every run has a context of its own',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const contexts = new Set<TaskContext<undefined>>();
    for (let i = 0; i < 5; i++) contexts.add(await contextOf(manager));
    assert.equal(contexts.size, 5);
    assert.equal(new Set([...contexts].map(({ id }) => id)).size, 5);
    await manager.stop();
  }),
);
