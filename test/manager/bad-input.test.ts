/** Every wrong option, argument and call order of every public method, and what it gets for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CanceledError, type TaskContext, TaskManager, type TaskManagerOptions } from '../../src/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { assertBalanced, collect, Deferred, end, hold, managing, rejectionOf, turn } from './support.ts';

type ErrorClass = typeof TypeError | typeof RangeError;
type Wrong = readonly [value: unknown, error: ErrorClass];

const ok = (): void => {};

/** What no number is. */
const NOT_A_NUMBER: readonly Wrong[] = [
  ['7', TypeError],
  [null, TypeError],
  [7n, TypeError],
  [{}, TypeError],
  [true, TypeError],
  [() => 7, TypeError],
];
const NAN: Wrong = [Number.NaN, RangeError];
const MINUS: Wrong = [-1, RangeError];
const ZERO: Wrong = [0, RangeError];
const FRACTION: Wrong = [1.5, RangeError];
const INFINITE: Wrong = [Number.POSITIVE_INFINITY, RangeError];
const MINUS_INFINITE: Wrong = [Number.NEGATIVE_INFINITY, RangeError];
const ANY_NUMBER = [...NOT_A_NUMBER, NAN, MINUS, MINUS_INFINITE];
const COUNT = [...ANY_NUMBER, ZERO, FRACTION, INFINITE];
const COUNT_OR_INFINITE = [...ANY_NUMBER, ZERO, FRACTION];
const COUNT_OR_NONE = [...ANY_NUMBER, FRACTION, INFINITE];
const COUNT_OR_NONE_OR_INFINITE = [...ANY_NUMBER, FRACTION];
const TIME = [...ANY_NUMBER, ZERO];
const TIME_OR_NONE = ANY_NUMBER;
const TIME_OR_NONE_FINITE = [...ANY_NUMBER, INFINITE];
const NOT_A_FUNCTION: readonly Wrong[] = [
  ['f', TypeError],
  [null, TypeError],
  [{}, TypeError],
  [7, TypeError],
];
const NOT_A_BOOLEAN: readonly Wrong[] = [
  ['true', TypeError],
  [null, TypeError],
  [1, TypeError],
];
const NOT_A_SIGNAL: readonly Wrong[] = [
  ['signal', TypeError],
  [null, TypeError],
  [{}, TypeError],
  [{ aborted: false }, TypeError],
  [new AbortController(), TypeError],
];
const NOT_AN_OBJECT: readonly Wrong[] = [
  ['text', TypeError],
  [null, TypeError],
  [7, TypeError],
  [true, TypeError],
];
const NOT_A_STRING: readonly Wrong[] = [
  [7, TypeError],
  [null, TypeError],
  [Symbol('id'), TypeError],
  [{}, TypeError],
];
const PRIORITY = [...NOT_A_NUMBER, NAN, INFINITE, MINUS_INFINITE];
const OVERFLOW: readonly Wrong[] = [
  ['drop', RangeError],
  [null, RangeError],
  [7, RangeError],
];

const RETRY: Record<string, readonly Wrong[]> = {
  'retry.attempts': [[undefined, TypeError], ...COUNT_OR_INFINITE],
  'retry.backoff': [
    ['quadratic', RangeError],
    [7, RangeError],
    [null, RangeError],
  ],
  'retry.baseMs': TIME_OR_NONE_FINITE,
  'retry.maxMs': TIME_OR_NONE,
  'retry.jitter': [
    ['some', RangeError],
    [null, RangeError],
  ],
  'retry.retryIf': NOT_A_FUNCTION,
  'retry.tries': [[3, TypeError]],
};

/** By the name that the error must tell; a name with a dot is that of a part. */
const MANAGER: Record<string, readonly Wrong[]> = {
  workerCount: COUNT,
  maxWorkerCount: COUNT,
  burstIntervalMs: TIME_OR_NONE_FINITE,
  scaling: NOT_A_FUNCTION,
  onCreate: NOT_A_FUNCTION,
  onDestroy: NOT_A_FUNCTION,
  checkHealth: NOT_A_FUNCTION,
  maxRetries: COUNT_OR_NONE,
  createConcurrency: COUNT,
  createTimeoutMs: TIME,
  createRate: NOT_AN_OBJECT,
  'createRate.limit': [[undefined, TypeError], ...COUNT],
  'createRate.intervalMs': [[undefined, TypeError], ...TIME, INFINITE],
  'createRate.perMs': [[1, TypeError]],
  createAttempts: COUNT,
  maxUses: COUNT_OR_INFINITE,
  maxAgeMs: TIME,
  idleMs: TIME,
  resourcePoolSize: COUNT_OR_NONE,
  maxTemporary: COUNT_OR_NONE_OR_INFINITE,
  maxQueueSize: COUNT_OR_NONE_OR_INFINITE,
  overflow: OVERFLOW,
  agingMs: TIME,
  concurrencyPerKey: COUNT_OR_INFINITE,
  timeoutMs: TIME,
  queueTimeoutMs: TIME_OR_NONE,
  retry: NOT_AN_OBJECT,
  ...RETRY,
  abandonAfterMs: TIME_OR_NONE,
  killGraceMs: TIME_OR_NONE_FINITE,
  asyncContext: NOT_A_BOOLEAN,
  yieldAfter: NOT_AN_OBJECT,
  'yieldAfter.tasks': COUNT_OR_INFINITE,
  'yieldAfter.ms': TIME,
  'yieldAfter.turns': [[1, TypeError]],
  collector: [
    ['default', TypeError],
    [null, TypeError],
    [true, TypeError],
    [[null], TypeError],
  ],
  'collector.metrics': [[undefined, TypeError], ...NOT_A_FUNCTION],
  'collector.recordArrival': NOT_A_FUNCTION,
  'collector.recordFailure': NOT_A_FUNCTION,
  logger: NOT_AN_OBJECT,
  'logger.warn': [[undefined, TypeError], ...NOT_A_FUNCTION],
  clock: NOT_AN_OBJECT,
  'clock.now': [[undefined, TypeError], ...NOT_A_FUNCTION],
  'clock.setTimeout': NOT_A_FUNCTION,
  'clock.clearTimeout': NOT_A_FUNCTION,
  'clock.timeOrigin': [[undefined, TypeError], ...NOT_A_NUMBER, NAN, FRACTION, INFINITE],
  signal: NOT_A_SIGNAL,
  workers: [[4, TypeError]],
  concurrency: [[undefined, TypeError]],
  ['toString' as string]: [[7, TypeError]],
};

/** What is right beside a wrong part. */
const WHOLE: Record<string, () => object> = {
  retry: () => ({ attempts: 2 }),
  createRate: () => ({ limit: 1, intervalMs: 1 }),
  yieldAfter: () => ({}),
  collector: () => ({ metrics: () => ({}) }),
  logger: () => ({ debug: ok, info: ok, warn: ok, error: ok }),
  clock: () => ({ now: () => 0, timeOrigin: 0, setTimeout: ok, clearTimeout: ok }),
};

/** Options with a wrong value at `name`. */
function withWrong(name: string, value: unknown): Record<string, unknown> {
  const [whole, part] = name.split('.') as [string, string | undefined];
  if (part === undefined) {
    return name === 'onDestroy' ? { onCreate: ok, onDestroy: value } : { [whole]: value };
  }
  return { [whole]: { ...WHOLE[whole]!(), [part]: value } };
}

/** The error must be of the class, and name the option and the value. */
function assertTells(error: unknown, errorClass: ErrorClass, name: string, value: unknown): void {
  const what = `${name}: ${String(value)}`;
  assert.ok(error instanceof errorClass, `${what} gives ${String(error)}`);
  const part = name.split('.').at(-1)!;
  assert.ok(error.message.includes(part), `${what} is not named in ${error.message}`);
  const isUnknown = error.message.includes('not an option');
  if (!isUnknown && (typeof value === 'string' || typeof value === 'number')) {
    assert.ok(error.message.includes(String(value)), `the value of ${what} is not in ${error.message}`);
  }
}

for (const [name, wrongs] of Object.entries(MANAGER)) {
  test(
    `new TaskManager throws at once for a wrong ${name}`,
    withLeakCheck(() => {
      for (const [value, errorClass] of wrongs) {
        let thrown: unknown;
        try {
          new TaskManager(withWrong(name, value) as TaskManagerOptions<unknown>);
        } catch (error) {
          thrown = error;
        }
        assertTells(thrown, errorClass, name, value);
      }
    }),
  );
}

test('new TaskManager throws at once for options that are no object', () => {
  for (const options of [null, 7, 'options', true, new AbortController().signal]) {
    assert.throws(() => new TaskManager(options as never), TypeError);
  }
});

test('new TaskManager throws for options that contradict each other', () => {
  assert.throws(
    () => new TaskManager({ workerCount: 4, maxWorkerCount: 3 }),
    (error) => error instanceof RangeError && /maxWorkerCount.*workerCount \(4\).*3/.test(error.message),
  );
  assert.throws(
    () => new TaskManager({ onDestroy: ok }),
    (error) => error instanceof TypeError && /onDestroy needs onCreate/.test(error.message),
  );
});

test(
  'a manager whose construction failed leaves nothing behind, whatever came before the wrong option',
  withLeakCheck(() => {
    const { signal } = new AbortController();
    let created = 0;
    assert.throws(() => new TaskManager({ signal, onCreate: () => created++, collector: 'x' as never }), TypeError);
    assert.equal(created, 0);
  }),
);

test(
  'the edges of what is right are right',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({
      workerCount: 1,
      maxWorkerCount: 1,
      burstIntervalMs: 0,
      onCreate: () => ({}),
      onDestroy: ok,
      maxRetries: 0,
      createTimeoutMs: Infinity,
      createRate: { limit: 1, intervalMs: 0.5 },
      maxUses: Infinity,
      maxAgeMs: Infinity,
      idleMs: Infinity,
      resourcePoolSize: 0,
      maxTemporary: 0,
      maxQueueSize: 0,
      agingMs: Infinity,
      concurrencyPerKey: Infinity,
      timeoutMs: Infinity,
      queueTimeoutMs: 0,
      retry: { attempts: Infinity, baseMs: 0, maxMs: Infinity },
      abandonAfterMs: 0,
      killGraceMs: 0,
      yieldAfter: { tasks: Infinity, ms: Infinity },
      collector: [],
      clock,
    });
    await manager.ready();
    assert.equal(await manager.queueTask(() => 1), 1);
    await manager.stop({ graceMs: 0, timeoutMs: Infinity });
  }),
);

test('undefined is as good as leaving an option out', async () => {
  const known = Object.keys(MANAGER).filter((name) => !/\.|^workers$|^concurrency$|^toString$/.test(name));
  const manager = new TaskManager(Object.fromEntries(known.map((name) => [name, undefined])));
  const handle = manager.queueTaskAsync(() => 1, Object.fromEntries(TASK_NAMES.map((name) => [name, undefined])));
  assert.equal(await handle, 1);
  await manager.stop({ graceMs: undefined, timeoutMs: undefined });
});

// ---- submissions ----------------------------------------------------------------------------------------------------------

const TASK: Record<string, readonly Wrong[]> = {
  id: NOT_A_STRING,
  priority: PRIORITY,
  timeoutMs: TIME,
  queueTimeoutMs: TIME_OR_NONE,
  signal: NOT_A_SIGNAL,
  key: NOT_A_STRING,
  once: NOT_A_BOOLEAN,
  retry: NOT_AN_OBJECT,
  ...RETRY,
  overflow: OVERFLOW,
  timeout: [[100, TypeError]],
  ownResource: [[true, TypeError]],
  highWaterMark: [[1, TypeError]],
  ordered: [[true, TypeError]],
  settled: [[true, TypeError]],
  ['toString' as string]: [[7, TypeError]],
};

const TASK_NAMES = ['id', 'priority', 'timeoutMs', 'queueTimeoutMs', 'signal', 'key', 'once', 'retry', 'overflow'];

type Any = (...args: unknown[]) => unknown;
type Methods = Record<string, Any>;

/** How to call a method so that what it gives is a promise, which must reject. */
interface Submission {
  readonly submit: (on: Methods, fn: unknown, options?: unknown) => PromiseLike<unknown>;
  /** Throws instead, as there is nobody to await. */
  readonly throws?: true;
  readonly run?: true;
  readonly once?: true;
  /** Options that it knows besides. */
  readonly knows?: readonly string[];
  /** Options that it doesn't. */
  readonly lacks?: readonly string[];
}

function call(on: Methods, name: string, ...args: unknown[]): unknown {
  return on[name]!(...args);
}

function called(start: (callback: (error: unknown, value?: unknown) => void) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

const SUBMISSIONS: Record<string, Submission> = {
  tryQueueTask: { submit: (on, fn, o) => call(on, 'tryQueueTask', fn, o) as PromiseLike<unknown> },
  go: { throws: true, submit: async (on, fn, o) => call(on, 'go', fn, o) },
  queueTaskStream: {
    knows: ['highWaterMark'],
    submit: (on, fn, o) => collect(call(on, 'queueTaskStream', fn, o) as AsyncIterable<unknown>),
  },
  map: {
    knows: ['highWaterMark', 'ordered', 'settled'],
    submit: (on, fn, o) => collect(call(on, 'map', [1], fn, o) as AsyncIterable<unknown>),
  },
  queueTasks: {
    knows: ['highWaterMark', 'ordered', 'settled'],
    submit: (on, fn, o) => collect(call(on, 'queueTasks', fn, o) as AsyncIterable<unknown>),
  },
};
for (const family of ['queueTask', 'queueTaskWithPriority', 'queueTaskOnce', 'queueTaskWithPriorityOnce', 'runTask']) {
  const run = family === 'runTask' ? ({ run: true } as const) : {};
  const once = family.endsWith('Once') ? ({ once: true } as const) : {};
  const traits = { ...run, ...once };
  SUBMISSIONS[family] = { ...traits, submit: (on, fn, o) => call(on, family, fn, o) as Promise<unknown> };
  SUBMISSIONS[`${family}Async`] = {
    ...traits,
    submit: (on, fn, o) => call(on, `${family}Async`, fn, o) as PromiseLike<unknown>,
  };
  SUBMISSIONS[`${family}WithCallback`] = {
    ...traits,
    submit: (on, fn, o) => called((callback) => call(on, `${family}WithCallback`, fn, callback, o)),
  };
  SUBMISSIONS[`${family}WithTimeout`] = {
    ...traits,
    lacks: ['timeoutMs'], // the argument is the one that counts
    submit: (on, fn, o) => call(on, `${family}WithTimeout`, fn, 100, o) as Promise<unknown>,
  };
}
/** What the manager says and does must be as if nothing had been. */
async function assertWorksOn(manager: TaskManager, refused: number): Promise<void> {
  assertBalanced(manager);
  const { totalTasksArrived, totalTasksRejected } = manager.metrics();
  assert.deepEqual([totalTasksArrived, totalTasksRejected], [0, refused]);
  assert.equal(await manager.queueTask(() => 'works on'), 'works on');
}

for (const [name, { submit, run, once, knows = [], lacks = [] }] of Object.entries(SUBMISSIONS)) {
  const fn = name === 'queueTasks' ? [() => assert.fail('it ran')] : () => assert.fail('it ran');
  const rows = Object.entries(TASK).filter(([option]) => !knows.includes(option) && !lacks.includes(option));

  test(
    `${name} rejects for every wrong option, and the books count it as rejected`,
    managing({}, async (manager) => {
      let refused = 0;
      for (const [option, wrongs] of rows) {
        for (const [value, errorClass] of wrongs) {
          const error = await rejectionOf(submit(manager as never, fn, withWrong(option, value)));
          assertTells(error, errorClass, option, value);
          refused++;
        }
      }
      for (const options of [null, 7, 'options', true, new AbortController().signal]) {
        assert.ok((await rejectionOf(submit(manager as never, fn, options))) instanceof TypeError, String(options));
        refused++;
      }
      await assertWorksOn(manager, refused);
    }),
  );

  test(
    `${name} rejects for what is no function`,
    managing({}, async (manager) => {
      // Letters are iterable: queueTasks finds out what is wrong with them one by one.
      const wrongs = [undefined, null, 7, {}, Promise.resolve(), true, ...(name === 'queueTasks' ? [] : ['f'])];
      for (const wrong of wrongs) {
        const error = await rejectionOf(submit(manager as never, wrong));
        assert.ok(error instanceof TypeError, `${String(wrong)} gives ${String(error)}`);
      }
      await assertWorksOn(manager, wrongs.length);
    }),
  );

  if (once) {
    test(
      `${name} rejects for retry`,
      managing({}, async (manager) => {
        const error = await rejectionOf(submit(manager as never, fn, { retry: { attempts: 2 } }));
        assert.ok(error instanceof TypeError);
        assert.match(error.message, /once.*retry/);
        await assertWorksOn(manager, 1);
      }),
    );
  } else {
    test(
      `${name} rejects for once together with retry`,
      managing({}, async (manager) => {
        const error = await rejectionOf(submit(manager as never, fn, { once: true, retry: { attempts: 2 } }));
        assert.ok(error instanceof TypeError);
        assert.match(error.message, /once.*retry/);
        await assertWorksOn(manager, 1);
      }),
    );
  }

  if (run) {
    test(
      `${name} rejects for the options of the queue`,
      managing({}, async (manager) => {
        const queue = { priority: 1, key: 'k', overflow: 'reject', queueTimeoutMs: 100 };
        for (const [option, value] of Object.entries(queue)) {
          const error = await rejectionOf(submit(manager as never, fn, { [option]: value }));
          assert.ok(error instanceof TypeError);
          assert.ok(error.message.startsWith(option), error.message);
        }
        await assertWorksOn(manager, 4);
      }),
    );
  }
}

test('the table above has every way to submit', () => {
  assert.equal(Object.keys(SUBMISSIONS).length, 25);
});

test(
  'queueTask rejects for an id that a living task has, queued, running or waiting for room',
  managing({ workerCount: 1, maxQueueSize: 1, overflow: 'wait' }, async (manager) => {
    const until = new Deferred();
    for (const id of ['running', 'queued', 'waiting']) manager.go(() => until.promise, { id });
    for (const id of ['running', 'queued', 'waiting']) {
      const error = await rejectionOf(manager.queueTask(ok, { id }));
      assert.ok(error instanceof RangeError);
      assert.match(error.message, new RegExp(`id "${id}"`));
    }
    assert.equal(manager.metrics().totalTasksRejected, 3);
    until.resolve();
    await manager.onIdle();
  }),
);

test(
  'WithTimeout rejects for a wrong time, and for one left out',
  managing({ timeoutMs: 1_000 }, async (manager) => {
    const methods = [
      manager.queueTaskWithTimeout,
      manager.queueTaskWithPriorityWithTimeout,
      manager.queueTaskOnceWithTimeout,
      manager.queueTaskWithPriorityOnceWithTimeout,
      manager.runTaskWithTimeout,
    ] as Any[];
    for (const method of methods) {
      for (const [value, errorClass] of TIME) {
        assertTells(
          await rejectionOf(method.call(manager, ok, value) as Promise<void>),
          errorClass,
          'timeoutMs',
          value,
        );
      }
      const missing = await rejectionOf(method.call(manager, ok) as Promise<void>);
      assertTells(missing, TypeError, 'timeoutMs', null);
    }
    await assertWorksOn(manager, methods.length * (TIME.length + 1));
  }),
);

test(
  'WithCallback throws for what is no callback, as there is nobody to tell',
  managing({}, async (manager) => {
    const methods = [
      manager.queueTaskWithCallback,
      manager.queueTaskWithPriorityWithCallback,
      manager.queueTaskOnceWithCallback,
      manager.queueTaskWithPriorityOnceWithCallback,
      manager.runTaskWithCallback,
    ] as Any[];
    for (const method of methods) {
      for (const [value] of NOT_A_FUNCTION) {
        assert.throws(
          () => method.call(manager, () => assert.fail('it ran'), value),
          (error) => error instanceof TypeError && error.message.startsWith('callback'),
        );
      }
    }
    await assertWorksOn(manager, methods.length * NOT_A_FUNCTION.length);
  }),
);

test(
  'go throws at once: nobody awaits it',
  managing({}, async (manager) => {
    const failures: unknown[] = [];
    manager.on('taskFailed', (failure) => failures.push(failure));
    assert.throws(() => manager.go('f' as never), TypeError);
    assert.throws(() => manager.go(ok, { priority: Number.NaN }), RangeError);
    assert.deepEqual(failures, []);
    await assertWorksOn(manager, 2);
  }),
);

test(
  'map and queueTasks reject in their loop for what is no iterable',
  managing({}, async (manager) => {
    const wrongs = [undefined, null, 7, {}, ok, true];
    for (const wrong of wrongs) {
      for (const results of [manager.map(wrong as never, ok), manager.queueTasks(wrong as never)]) {
        assert.ok((await rejectionOf(collect<unknown>(results))) instanceof TypeError);
        assert.equal((await results.next()).done, true);
      }
    }
    const unread = manager.map(7 as never, ok);
    await unread.return();
    await assertWorksOn(manager, 2 * wrongs.length + 1);
  }),
);

test(
  'map, queueTasks and queueTaskStream reject in their loop for their own options',
  managing({}, async (manager) => {
    let refused = 0;
    for (const [value, errorClass] of COUNT_OR_NONE) {
      const options = { highWaterMark: value } as never;
      for (const results of [
        manager.map([1], ok, options),
        manager.queueTasks([ok], options),
        manager.queueTaskStream(() => [1], options),
      ] as AsyncIterable<unknown>[]) {
        assertTells(await rejectionOf(collect(results)), errorClass, 'highWaterMark', value);
        refused++;
      }
    }
    for (const [value, errorClass] of NOT_A_BOOLEAN) {
      assertTells(
        await rejectionOf(collect(manager.map([1], ok, { ordered: value as never }))),
        errorClass,
        'ordered',
        value,
      );
      assertTells(
        await rejectionOf(collect(manager.map([1], ok, { settled: value as never }))),
        errorClass,
        'settled',
        value,
      );
      refused += 2;
    }
    assertTells(await rejectionOf(collect(manager.map([1], ok, { id: 'x' } as never))), TypeError, 'id', undefined);
    await assertWorksOn(manager, refused + 1);
  }),
);

test(
  'a stream that was refused for its options has a state and an id',
  managing({}, async (manager) => {
    const stream = manager.queueTaskStream(7 as never);
    assert.equal(stream.state, 'rejected');
    assert.match(stream.id, /^[0-9A-Z]{26}$/);
    assert.equal(stream.cancel(), false);
    assert.deepEqual(await stream.return(), { done: true, value: undefined });
  }),
);

test(
  'runTaskSync throws for what is no function',
  managing({}, async (manager) => {
    for (const [value] of NOT_A_FUNCTION) assert.throws(() => manager.runTaskSync(value as never), TypeError);
    await assertWorksOn(manager, NOT_A_FUNCTION.length);
  }),
);

test(
  'runOnEach rejects for what is no function',
  managing({}, async (manager) => {
    for (const [value] of NOT_A_FUNCTION) {
      assert.ok((await rejectionOf(manager.runOnEach(value as never))) instanceof TypeError);
    }
    await assertWorksOn(manager, NOT_A_FUNCTION.length);
  }),
);

test(
  'a wrong submission is found wrong before the end of the manager, a full queue or a fired signal are',
  managing({ workerCount: 1, maxQueueSize: 0 }, async (manager, clock) => {
    await hold(manager);
    const signal = AbortSignal.abort('gone');
    assert.ok((await rejectionOf(manager.queueTask(ok, { priority: Number.NaN }))) instanceof RangeError);
    assert.ok((await rejectionOf(manager.queueTask(ok, { priority: Number.NaN, signal }))) instanceof RangeError);
    await end(manager, clock);
    assert.ok((await rejectionOf(manager.queueTask(ok, { priority: Number.NaN }))) instanceof RangeError);
    assert.ok((await rejectionOf(manager.queueTask('f' as never))) instanceof TypeError);
  }),
);

// ---- handles and contexts -------------------------------------------------------------------------------------------------

test(
  'setPriority throws for what is no finite number, and moves nothing',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const handle = manager.queueTaskAsync(ok, { priority: 2 });
    for (const [value, errorClass] of [...PRIORITY, [undefined, TypeError] as const]) {
      assert.throws(
        () => handle.setPriority(value as never),
        (error) => {
          assertTells(error, errorClass, 'priority', value);
          return true;
        },
      );
    }
    assert.deepEqual(
      manager.tasks({ state: 'queued' }).map(({ priority }) => priority),
      [2],
    );
  }),
);

test(
  'a context’s defer throws for what is no function, and when the run is over',
  managing({}, async (manager) => {
    let context: TaskContext<undefined> | undefined;
    await manager.queueTask((ctx) => {
      context = ctx;
      for (const [value] of NOT_A_FUNCTION) assert.throws(() => ctx.defer(value as never), TypeError);
    });
    assert.throws(() => context!.defer(ok), CanceledError);
  }),
);

test(
  'a context checks its children as the manager checks tasks, and knows one option more',
  managing({}, async (manager) => {
    const errors = await manager.queueTask(async (ctx) => {
      assert.equal(await ctx.queueTask(() => 'child', { ownResource: true }), 'child');
      return Promise.all(
        [
          ctx.queueTask('f' as never),
          ctx.queueTask(ok, { priority: Number.NaN }),
          ctx.queueTask(ok, { ownResource: 1 as never }),
          ctx.queueTask(ok, { ordered: true } as never),
          ctx.queueTaskAsync(ok, { key: 7 as never }),
          ctx.runTask(ok, { key: 'k' } as never),
        ].map(rejectionOf),
      );
    });
    assert.deepEqual(
      errors.map((error) => (error as Error).name),
      ['TypeError', 'RangeError', 'TypeError', 'TypeError', 'TypeError', 'TypeError'],
    );
    assert.equal(manager.metrics().totalTasksRejected, 6);
  }),
);

test(
  'a context whose run is over refuses children: what is settled has none',
  managing({}, async (manager) => {
    const ctx = await manager.queueTask((context) => context);
    assert.ok((await rejectionOf(ctx.queueTask(ok))) instanceof CanceledError);
    assert.ok((await rejectionOf(ctx.runTask(ok))) instanceof CanceledError);
    assert.ok((await rejectionOf(collect(ctx.map([1], ok)))) instanceof CanceledError);
    assert.ok((await rejectionOf(collect(ctx.queueTaskStream(() => [1])))) instanceof CanceledError);
    assert.equal(manager.metrics().totalTasksRejected, 4);
  }),
);

// ---- the other methods ----------------------------------------------------------------------------------------------------

test(
  'cancel and tasks throw for what is no filter',
  managing({}, async (manager) => {
    const wrongs: [unknown, ErrorClass][] = [
      [null, TypeError],
      ['id', TypeError],
      [7, TypeError],
      [{ name: 'x' }, TypeError],
      [{ ID: 'x' }, TypeError],
      [{ state: 'finished' }, RangeError],
      [{ state: null }, RangeError],
    ];
    for (const [filter, errorClass] of wrongs) {
      assert.throws(() => manager.cancel(filter as never), errorClass);
      assert.throws(() => manager.tasks(filter as never), errorClass);
    }
    assert.throws(() => manager.cancel(undefined as never), TypeError);
    assert.deepEqual(manager.tasks({ id: undefined, state: undefined }), []);
  }),
);

test(
  'a predicate that throws is heard by who called, and nothing is canceled',
  managing({ workerCount: 1 }, async (manager) => {
    await hold(manager);
    const handle = manager.queueTaskAsync(ok);
    const error = new Error('the predicate is broken');
    const broken = (): never => {
      throw error;
    };
    assert.throws(
      () => manager.cancel(broken),
      (thrown) => thrown === error,
    );
    assert.throws(
      () => manager.tasks(broken),
      (thrown) => thrown === error,
    );
    assert.equal(handle.state, 'queued');
  }),
);

test(
  'onSizeLessThan rejects for a wrong size, and all waiting methods for wrong options',
  managing({}, async (manager) => {
    for (const [value, errorClass] of [...COUNT, [undefined, TypeError] as const]) {
      assertTells(await rejectionOf(manager.onSizeLessThan(value as never)), errorClass, 'size', value);
    }
    for (const [value, errorClass] of [...NOT_AN_OBJECT, [new AbortController().signal, TypeError] as const]) {
      for (const waiting of [
        manager.onIdle(value as never),
        manager.onEmpty(value as never),
        manager.onSizeLessThan(1, value as never),
      ]) {
        assert.ok((await rejectionOf(waiting)) instanceof errorClass, String(value));
      }
    }
    for (const [value, errorClass] of NOT_A_SIGNAL) {
      assertTells(await rejectionOf(manager.onIdle({ signal: value as never })), errorClass, 'signal', value);
    }
    assertTells(await rejectionOf(manager.onIdle({ timeoutMs: 7 } as never)), TypeError, 'timeoutMs', 7);
  }),
);

test(
  'resize throws for wrong counts, and changes nothing',
  managing({ workerCount: 2, maxWorkerCount: 4 }, async (manager) => {
    for (const [value, errorClass] of COUNT) {
      for (const name of ['workerCount', 'maxWorkerCount']) {
        assert.throws(
          () => manager.resize({ [name]: value }),
          (error) => {
            assertTells(error, errorClass, name, value);
            return true;
          },
        );
      }
    }
    for (const [value] of [...NOT_AN_OBJECT, [undefined] as const]) {
      assert.throws(() => manager.resize(value as never), TypeError);
    }
    assert.throws(() => manager.resize({ workers: 3 } as never), TypeError);
    assert.throws(() => manager.resize({ maxWorkerCount: 1 }), RangeError);
    assert.throws(() => manager.resize({ workerCount: 5, maxWorkerCount: 4 }), RangeError);
    manager.resize({});
    assert.equal(manager.stats().baseWorkers, 2);
  }),
);

test(
  'stop rejects for wrong times, and stops nothing',
  managing({}, async (manager) => {
    for (const name of ['graceMs', 'timeoutMs']) {
      for (const [value, errorClass] of TIME_OR_NONE) {
        assertTells(await rejectionOf(manager.stop({ [name]: value })), errorClass, name, value);
      }
    }
    for (const [value] of NOT_AN_OBJECT)
      assert.ok((await rejectionOf(manager.stop(value as never))) instanceof TypeError);
    assert.ok((await rejectionOf(manager.stop({ grace: 5 } as never))) instanceof TypeError);
    assert.equal(manager.stats().state, 'running');
    assert.equal(await manager.queueTask(() => 'works on'), 'works on');
  }),
);

test(
  'stopOnSignals throws for what is no signal one can listen for, and listens to nothing',
  managing({}, async (manager) => {
    const before = process.eventNames().length;
    for (const [value, errorClass] of [
      ['SIGTERM', TypeError],
      [[], TypeError],
      [null, TypeError],
      [['SIGTERM', 'SIGNOTHING'], RangeError],
      [['SIGTERM', 'SIGKILL'], RangeError],
      [['SIGSTOP'], RangeError],
      [[15], RangeError],
      [['toString'], RangeError],
    ] as const) {
      assert.throws(() => manager.stopOnSignals(value as never), errorClass, String(value));
    }
    assert.throws(() => manager.stopOnSignals(['SIGTERM'], { graceMs: -1 }), RangeError);
    assert.equal(process.eventNames().length, before);
    await manager.stop();
    assert.throws(() => manager.stopOnSignals(['SIGTERM']), TypeError);
  }),
);

test(
  'on and once throw for an event there isn’t, and for what is no listener',
  managing({}, async (manager) => {
    for (const method of ['on', 'once'] as const) {
      for (const event of ['finished', '', 'toString', undefined, Symbol('idle')]) {
        assert.throws(
          () => manager[method](event as never, ok),
          (error) => error instanceof RangeError && error.message.startsWith('event'),
        );
      }
      for (const [value] of NOT_A_FUNCTION) assert.throws(() => manager[method]('idle', value as never), TypeError);
    }
    manager.off('idle', ok); // harmless, as with any EventEmitter
    await turn();
  }),
);

test(
  'pause, resize and recycle throw once the manager is stopping, and say so',
  managing({ workerCount: 1 }, async (manager) => {
    const { release } = await hold(manager);
    const stopped = manager.stop();
    const calls = {
      pause: () => manager.pause(),
      resize: () => manager.resize({ workerCount: 3 }),
      recycle: () => manager.recycle(),
    };
    const assertRefused = (state: string): void => {
      for (const [name, call] of Object.entries(calls)) {
        assert.throws(
          call,
          (error) => error instanceof TypeError && error.message.includes(name) && error.message.includes(state),
        );
      }
    };
    assertRefused('stopping');
    manager.resume(); // there is no pause to end
    await release();
    await stopped;
    assertRefused('stopped');
  }),
);

test(
  'what asks and what ends may be called at any time, any number of times',
  managing({}, async (manager) => {
    manager.resume();
    await manager.kill();
    await manager.kill('again');
    await manager.stop();
    assert.equal(manager.clear(), 0);
    assert.equal(manager.cancel({ key: 'x' }), 0);
    assert.deepEqual(manager.tasks(), []);
    assert.equal(manager.stats().state, 'killed');
    await manager.onIdle();
    await manager.onEmpty();
    await manager.onSizeLessThan(1);
    assert.equal(manager.metrics().totalTasksArrived, 0);
  }),
);
