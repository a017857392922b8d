import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  type Logger,
  type ManagerEvents,
  type ManagerStats,
  type TaskFailure,
  TaskManager,
} from '../../src/manager/index.ts';
import {
  DefaultCollector,
  type FailureReason,
  type MetricsCollector,
  prometheusText,
  type TaskTimings,
} from '../../src/metrics/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { assertBooks, deferred, heard, noop, Stock, settle, untilCanceled, within } from './kit.ts';

const ORIGIN = 1_700_000_000_000;

/** A task that takes `ms` of the clock's time. */
function taking(clock: VirtualClock, ms: number): () => Promise<void> {
  return () => new Promise((resolve) => clock.setTimeout(resolve, ms));
}

function assertNear(actual: number, expected: number, what = 'it'): void {
  assert.ok(Math.abs(actual - expected) <= 0.016 * expected + 0.001, `${what}: ${actual} is near ${expected}`);
}

// ---- stats ------------------------------------------------------------------------------------------------------------

const FRESH: ManagerStats = {
  state: 'running',
  baseWorkers: 2,
  activeWorkers: 2,
  burstWorkers: 0,
  idleWorkers: 2,
  busyWorkers: 0,
  stuckWorkers: 0,
  queuedTasks: 0,
  priorityTasks: 0,
  runningTasks: 0,
  availableResources: 0,
  abandonedTasks: 0,
  queueCapacity: Number.POSITIVE_INFINITY,
  queueUsage: 0,
  waitingForRoom: 0,
};

test(
  'stats() of a manager that has done nothing yet',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2 });
    assert.deepEqual(manager.stats(), FRESH);
    await manager.stop();
    assert.deepEqual(manager.stats(), { ...FRESH, state: 'stopped', baseWorkers: 0, activeWorkers: 0, idleWorkers: 0 });
  }),
);

test(
  'stats() tells workers that wait for their resource from those that have it',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call === 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 2, ...stock.hooks });
    assert.deepEqual(manager.stats(), { ...FRESH, activeWorkers: 0, idleWorkers: 0 });
    await settle();
    assert.deepEqual(manager.stats(), { ...FRESH, activeWorkers: 1, idleWorkers: 1 });
    gate.resolve();
    await manager.ready();
    assert.deepEqual(manager.stats(), FRESH);
    await manager.stop();
  }),
);

test(
  'stats() counts each task where it is, from submission to its end',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({
      workerCount: 2,
      burstIntervalMs: 0,
      maxQueueSize: 3,
      overflow: 'wait',
      abandonAfterMs: 1_000,
      clock,
    });
    const fresh = { ...FRESH, queueCapacity: 3 };
    const release = deferred();
    const busy = { ...fresh, idleWorkers: 0, busyWorkers: 2, runningTasks: 2 };
    const long = manager.queueTaskAsync(() => release.promise);
    const deaf = manager.queueTaskAsync(() => new Promise(noop), { timeoutMs: 500 });
    assert.deepEqual(manager.stats(), busy);
    const low = manager.queueTaskAsync(noop, { priority: -1 });
    const plain = manager.queueTaskAsync(noop);
    const high = manager.queueTaskAsync(noop, { priority: 1 });
    assert.deepEqual(manager.stats(), { ...busy, queuedTasks: 3, priorityTasks: 1, queueUsage: 3 });
    const waiting = manager.queueTaskAsync(noop, { priority: 2 });
    assert.deepEqual(manager.stats(), { ...busy, queuedTasks: 3, priorityTasks: 1, queueUsage: 3, waitingForRoom: 1 });
    plain.setPriority(3);
    assert.equal(manager.stats().priorityTasks, 2);
    low.cancel();
    assert.deepEqual(manager.stats(), { ...busy, queuedTasks: 3, priorityTasks: 3, queueUsage: 3 });
    assert.equal(waiting.state, 'queued');
    await clock.advance(500);
    const stuck = { ...busy, runningTasks: 1, stuckWorkers: 1, queuedTasks: 3, priorityTasks: 3, queueUsage: 3 };
    assert.equal(deaf.state, 'timedOut');
    assert.deepEqual(manager.stats(), stuck, 'settled, but its worker is busy');
    await clock.advance(1_000);
    assert.deepEqual(manager.stats(), { ...fresh, idleWorkers: 1, busyWorkers: 1, runningTasks: 1, abandonedTasks: 1 });
    const past = manager.runTask(() => release.promise);
    assert.equal(manager.stats().runningTasks, 2);
    assert.equal(manager.stats().busyWorkers, 1);
    release.resolve();
    await Promise.all([long, past, high, plain, waiting]);
    await settle();
    assert.deepEqual(manager.stats(), { ...fresh, availableResources: 1, abandonedTasks: 1 });
    await Promise.allSettled([low.result, deaf.result]);
    await manager.stop();
  }),
);

test(
  'a task between two attempts is queued, and takes no room',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, maxQueueSize: 1, burstIntervalMs: 0, clock });
    const task = manager.queueTask(
      ({ attempt }) => {
        if (attempt === 1) throw new Error('once more');
      },
      { priority: 1, retry: { attempts: 2, baseMs: 100 } },
    );
    await clock.advance(0);
    const { queuedTasks, priorityTasks, queueUsage, runningTasks } = manager.stats();
    assert.deepEqual(
      { queuedTasks, priorityTasks, queueUsage, runningTasks },
      { queuedTasks: 1, priorityTasks: 1, queueUsage: 0, runningTasks: 0 },
    );
    await clock.advance(100);
    await task;
    assert.equal(manager.stats().queueUsage, 0);
    await manager.stop();
  }),
);

test(
  'stats() names the state the manager is in',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    const states = [manager.stats().state];
    manager.pause();
    states.push(manager.stats().state);
    manager.resume();
    states.push(manager.stats().state);
    const task = manager.queueTask(() => settle(1));
    const stopped = manager.stop();
    states.push(manager.stats().state);
    await Promise.all([task, stopped]);
    states.push(manager.stats().state);
    const other = new TaskManager({ workerCount: 1 });
    const killed = other.kill();
    states.push(other.stats().state);
    await killed;
    assert.deepEqual(states, ['running', 'paused', 'running', 'stopping', 'stopped', 'killed']);
  }),
);

test(
  'what is told is a snapshot, not the manager’s own',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const stats = manager.stats();
    const metrics = manager.metrics();
    const release = deferred();
    const task = manager.queueTask(() => release.promise, { id: 'mine' });
    const tasks = manager.tasks();
    release.resolve();
    await task;
    assert.equal(stats.idleWorkers, 1);
    assert.equal(metrics.totalTasksArrived, 0);
    assert.equal(tasks[0]!.state, 'running');
    await manager.stop();
  }),
);

// ---- metrics ------------------------------------------------------------------------------------------------------------

test(
  'metrics() of a manager that has done nothing are all 0',
  withLeakCheck(async () => {
    for (const collector of [undefined, false] as const) {
      const manager = new TaskManager({ workerCount: 1, collector });
      for (const [name, value] of Object.entries(manager.metrics())) assert.equal(value, 0, name);
      await manager.stop();
    }
  }),
);

/** Brings about every end there is, and asserts the books at every step. */
async function everyEnd(options: { readonly collector?: MetricsCollector | readonly MetricsCollector[] | false }) {
  const clock = new VirtualClock({ timeOrigin: ORIGIN });
  const stock = new Stock();
  const manager = new TaskManager({
    workerCount: 1,
    burstIntervalMs: 0,
    maxQueueSize: 2,
    overflow: 'drop-oldest',
    abandonAfterMs: 1_000,
    clock,
    ...stock.hooks,
    ...options,
  });
  const outcomes: PromiseLike<unknown>[] = [];
  const submit = (...args: Parameters<typeof manager.queueTaskAsync<unknown>>): void => {
    outcomes.push(manager.queueTaskAsync(...args).result.catch(noop));
    assertBooks(manager);
  };
  const pass = async (ms: number): Promise<void> => {
    await clock.advance(ms);
    assertBooks(manager);
  };
  await pass(1_000);
  submit(taking(clock, 10)); // completed
  await pass(10);
  submit(() => taking(clock, 20)().then(() => Promise.reject(new Error('mine')))); // failed
  await pass(20);
  submit(taking(clock, 30), { timeoutMs: 25 }); // timed out, running
  await pass(30);
  submit(taking(clock, 40)); // completed
  submit(noop, { queueTimeoutMs: 15 }); // timed out, queued
  await pass(40);
  submit(taking(clock, 50), { id: 'running' }); // canceled, running
  submit(noop, { id: 'queued' }); // canceled, queued
  await pass(5);
  assert.equal(manager.cancel({ id: 'running' }), 1);
  assert.equal(manager.cancel({ id: 'queued' }), 1);
  await pass(45);
  submit(taking(clock, 60)); // completed
  submit(noop); // dropped
  submit(noop, { signal: AbortSignal.abort() }); // rejected
  submit('no function' as never); // rejected
  submit(noop, { overflow: 'reject', id: 'first' });
  submit(noop, { overflow: 'reject' }); // rejected: full
  submit(noop, { overflow: 'drop-oldest' }); // drops the other
  await pass(60);
  const retry = { attempts: 3, baseMs: 5, backoff: 'constant' } as const;
  submit(({ attempt }) => taking(clock, 10)().then(() => (attempt < 3 ? Promise.reject(new Error('again')) : 'ok')), {
    retry,
  });
  await pass(40);
  submit((ctx) => ctx.queueTask(taking(clock, 10))); // two that complete
  await pass(10);
  outcomes.push(manager.runTask(taking(clock, 10)));
  await pass(10);
  submit(() => new Promise(noop), { timeoutMs: 10 }); // timed out, abandoned
  await pass(1_010);
  assert.equal(manager.stats().abandonedTasks, 1);
  const stopped = manager.stop();
  submit(noop); // rejected
  await pass(0);
  await stopped;
  await Promise.all(outcomes);
  assertBooks(manager);
  return { manager, stock };
}

const TOTALS = {
  totalTasksArrived: 16,
  totalTasksCompleted: 9,
  totalTasksFailed: 1,
  totalTasksTimedOut: 3,
  totalTasksCanceled: 2,
  totalTasksDropped: 1,
  totalTasksRejected: 4,
  totalTasksRetried: 2,
};
const LIFE = {
  totalTasksAbandoned: 1,
  totalResourcesCreated: 3,
  totalResourcesDestroyed: 3,
  totalCreateFailures: 0,
  totalDestroyFailures: 0,
};

function pick<T extends object>(from: object, like: T): T {
  return Object.fromEntries(Object.keys(like).map((key) => [key, (from as Record<string, unknown>)[key]])) as T;
}

test(
  'metrics() counts every end once, and at every step the books balance',
  withLeakCheck(async () => {
    const { manager } = await everyEnd({});
    const metrics = manager.metrics();
    assert.deepEqual(pick(metrics, TOTALS), TOTALS);
    assert.deepEqual(pick(metrics, LIFE), LIFE);
    assert.equal(metrics.totalTasksExecuted, 13, 'all but two canceled or timed out in the queue, and one dropped');
    assertNear(metrics.successRate, 9 / 16);
    assertNear(metrics.failureRate, 4 / 16);
  }),
);

test(
  'the collector’s own books are the manager’s',
  withLeakCheck(async () => {
    const collector = new DefaultCollector();
    await everyEnd({ collector });
    assert.deepEqual(pick(collector.metrics(), TOTALS), TOTALS);
  }),
);

test(
  'metrics() tells how long tasks ran and waited',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    for (const ms of [10, 20, 30, 40]) void manager.queueTask(taking(clock, ms));
    await clock.advance(1_000);
    const metrics = manager.metrics();
    const expected = {
      averageExecutionTimeMs: 25,
      minExecutionTimeMs: 10,
      maxExecutionTimeMs: 40,
      p50ExecutionTimeMs: 20,
      p95ExecutionTimeMs: 40,
      p99ExecutionTimeMs: 40,
      totalExecutionTimeMs: 100,
      // They waited 0, 10, 30 and 60.
      averageWaitTimeMs: 25,
      minWaitTimeMs: 0,
      maxWaitTimeMs: 60,
      p50WaitTimeMs: 10,
      p95WaitTimeMs: 60,
      p99WaitTimeMs: 60,
      totalWaitTimeMs: 100,
    };
    for (const [name, value] of Object.entries(expected))
      assertNear(pick(metrics, expected)[name as never], value, name);
    assert.equal(metrics.successRate, 1);
    assert.equal(metrics.failureRate, 0);
    await manager.stop();
  }),
);

test(
  'a task’s execution is its last run, and its wait all before that',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock });
    void manager.queueTask(
      ({ attempt }) => taking(clock, 10 * attempt)().then(() => (attempt < 3 ? Promise.reject(new Error('again')) : 0)),
      {
        retry: { attempts: 3, baseMs: 100, backoff: 'constant' },
      },
    );
    await clock.advance(1_000);
    const { totalExecutionTimeMs, totalWaitTimeMs } = manager.metrics();
    assertNear(totalExecutionTimeMs, 30);
    assertNear(totalWaitTimeMs, 10 + 100 + 20 + 100);
    await manager.stop();
  }),
);

test(
  'rates are of the last seconds: they follow, and are 0 again when nothing happens',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 4, burstIntervalMs: 0, clock });
    const pace = async (perSecond: number, seconds: number): Promise<void> => {
      for (let i = 0; i < perSecond * seconds; i++) {
        void manager.queueTask(noop);
        await clock.advance(1_000 / perSecond);
      }
    };
    const near = (perSecond: number): void => {
      const { taskArrivalRate, taskCompletionRate } = manager.metrics();
      assert.ok(Math.abs(taskArrivalRate - perSecond) <= 0.05 * perSecond, `${taskArrivalRate} is near ${perSecond}`);
      assert.ok(Math.abs(taskCompletionRate - perSecond) <= 0.05 * perSecond);
    };
    await pace(20, 20);
    near(20);
    await clock.advance(3_600_000);
    near(0);
    await pace(50, 12);
    near(50);
    await manager.stop();
  }),
);

// ---- collectors -----------------------------------------------------------------------------------------------------------

type Call = [method: string, ...details: unknown[]];

/** Writes down what it is told, times in ms since the origin, rounded. */
class Notes implements MetricsCollector {
  readonly calls: Call[] = [];
  readonly timings: TaskTimings[] = [];

  recordArrival(queuedAt: number): void {
    this.calls.push(['arrival', Math.round(queuedAt - ORIGIN)]);
  }
  recordCompletion(timings: TaskTimings): void {
    this.calls.push(['completion', ...this.#rounded(timings)]);
  }
  recordFailure(timings: TaskTimings, reason: FailureReason): void {
    this.calls.push([reason, ...this.#rounded(timings)]);
  }
  recordRetry(): void {
    this.calls.push(['retry']);
  }
  recordRejection(reason: string): void {
    this.calls.push(['rejection', reason]);
  }
  metrics() {
    return { averageExecutionTimeMs: 4_711 };
  }

  #rounded(timings: TaskTimings): (number | undefined)[] {
    this.timings.push(timings);
    const { queuedAt, startedAt, finishedAt } = timings;
    return [queuedAt, startedAt, finishedAt].map((time) => time && Math.round(time - ORIGIN));
  }
}

test(
  'a collector of one’s own hears of everything, with times since the epoch, and gives the figures',
  withLeakCheck(async () => {
    const notes = new Notes();
    const { manager } = await everyEnd({ collector: notes });
    const ofKind = (kind: string): Call[] => notes.calls.filter(([method]) => method === kind);
    assert.equal(ofKind('arrival').length, 16);
    assert.deepEqual(ofKind('arrival')[0], ['arrival', 1_000]);
    assert.equal(ofKind('completion').length, 9);
    assert.deepEqual(ofKind('completion')[0], ['completion', 1_000, 1_000, 1_010]);
    assert.deepEqual(ofKind('failed'), [['failed', 1_010, 1_010, 1_030]]);
    assert.deepEqual(ofKind('timedOut').slice(0, 2), [
      ['timedOut', 1_030, 1_030, 1_055],
      ['timedOut', 1_060, undefined, 1_075],
    ]);
    assert.deepEqual(ofKind('canceled'), [
      ['canceled', 1_100, 1_100, 1_105],
      ['canceled', 1_100, undefined, 1_105],
    ]);
    assert.deepEqual(ofKind('dropped'), [['dropped', 1_150, undefined, 1_150]]);
    assert.deepEqual(ofKind('retry'), [['retry'], ['retry']]);
    assert.deepEqual(
      ofKind('rejection').map(([, reason]) => reason),
      ['canceled', 'invalid', 'full', 'stopped'],
    );
    assert.equal(notes.calls.length, 16 + 9 + 1 + 3 + 2 + 1 + 2 + 4);
    const metrics = manager.metrics();
    assert.equal(metrics.averageExecutionTimeMs, 4_711);
    assert.equal(metrics.p95ExecutionTimeMs, 0, 'what it doesn’t give is 0');
    assert.deepEqual(pick(metrics, TOTALS), TOTALS, 'the totals are the manager’s own');
  }),
);

test(
  'a collector needs no method but metrics()',
  withLeakCheck(async () => {
    const { manager } = await everyEnd({ collector: { metrics: () => ({}) } });
    assert.deepEqual(pick(manager.metrics(), TOTALS), TOTALS);
  }),
);

test(
  'several collectors all hear of everything; the first gives the figures',
  withLeakCheck(async () => {
    const [first, second] = [new Notes(), new Notes()];
    const standard = new DefaultCollector();
    const { manager } = await everyEnd({ collector: [first, standard, second] });
    assert.deepEqual(first.calls, second.calls);
    assert.deepEqual(pick(standard.metrics(), TOTALS), TOTALS);
    assert.equal(manager.metrics().averageExecutionTimeMs, 4_711);
  }),
);

test(
  'one collector’s fault is reported, and keeps nothing from the others nor from the tasks',
  withLeakCheck(async () => {
    const bug = new Error('a bug in the collector');
    const fail = (): never => {
      throw bug;
    };
    const broken = {
      recordArrival: fail,
      recordCompletion: fail,
      recordFailure: fail,
      recordRetry: fail,
      recordRejection: fail,
      metrics: () => ({}),
    };
    const notes = new Notes();
    const manager = new TaskManager({ workerCount: 1, collector: [broken, notes], retry: { attempts: 2, baseMs: 0 } });
    const errors = heard(manager, 'error');
    assert.equal(await manager.queueTask(() => 'value'), 'value');
    await assert.rejects(
      manager.queueTask(() => {
        throw new Error('mine');
      }),
      { message: 'mine' },
    );
    await assert.rejects(manager.queueTask(5 as never), TypeError);
    assert.deepEqual(
      notes.calls.map(([method]) => method),
      ['arrival', 'completion', 'arrival', 'retry', 'failed', 'rejection'],
    );
    assert.deepEqual(errors, Array(6).fill(bug));
    assertBooks(manager);
    await manager.stop();
  }),
);

test(
  'a collector whose metrics() throws is reported, and its figures are 0',
  withLeakCheck(async () => {
    const bug = new Error('a bug in the collector');
    const collector = {
      metrics(): never {
        throw bug;
      },
    };
    const manager = new TaskManager({ workerCount: 1, collector });
    const errors = heard(manager, 'error');
    await manager.queueTask(noop);
    assert.equal(manager.metrics().totalTasksCompleted, 1);
    assert.equal(manager.metrics().averageExecutionTimeMs, 0);
    assert.deepEqual(errors, [bug, bug]);
    await manager.stop();
  }),
);

test(
  'collector: false still has the manager’s own totals',
  withLeakCheck(async () => {
    const { manager } = await everyEnd({ collector: false });
    const metrics = manager.metrics();
    assert.deepEqual(pick(metrics, { ...TOTALS, ...LIFE }), { ...TOTALS, ...LIFE });
    assert.equal(metrics.averageExecutionTimeMs, 0);
    assert.equal(metrics.taskArrivalRate, 0);
    const none = await everyEnd({ collector: [] });
    assert.deepEqual(none.manager.metrics(), metrics);
  }),
);

test(
  'a collector may serve several managers',
  withLeakCheck(async () => {
    const collector = new DefaultCollector();
    const managers = [new TaskManager({ workerCount: 1, collector }), new TaskManager({ workerCount: 1, collector })];
    for (const manager of managers) await manager.queueTask(noop);
    assert.equal(collector.metrics().totalTasksCompleted, 2);
    assert.equal(managers[0]!.metrics().totalTasksCompleted, 1);
    await Promise.all(managers.map((manager) => manager.stop()));
  }),
);

test('a wrong collector is a TypeError', () => {
  for (const collector of [true, 'default', {}, [{}], [null], null]) {
    assert.throws(() => new TaskManager({ collector: collector as never }), {
      name: 'TypeError',
      message: /collector/,
    });
  }
});

// ---- tasks --------------------------------------------------------------------------------------------------------------

test(
  'tasks() shows every living task as it is',
  withLeakCheck(async () => {
    const clock = new VirtualClock({ timeOrigin: ORIGIN });
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 2, overflow: 'wait', clock });
    assert.deepEqual(manager.tasks(), []);
    const retried = manager.queueTaskAsync(
      () => {
        throw new Error('once more');
      },
      { id: 'retried', key: 'r', retry: { attempts: 2, baseMs: 60_000 } },
    );
    await clock.advance(100);
    const release = deferred();
    const running = manager.queueTaskAsync(() => release.promise, { id: 'running', priority: 3 });
    await clock.advance(100);
    const handles = [
      manager.queueTaskAsync(noop, { id: 'low', key: 'k' }),
      manager.queueTaskAsync(noop, { id: 'high', priority: 5 }),
      manager.queueTaskAsync(noop, { id: 'waiting', priority: 9 }),
    ];
    const rounded = manager.tasks().map(({ queuedAt, startedAt, ...rest }) => ({
      ...rest,
      queuedAt: Math.round(queuedAt - ORIGIN),
      startedAt: startedAt && Math.round(startedAt - ORIGIN),
    }));
    assert.deepEqual(rounded, [
      { id: 'waiting', state: 'waiting', priority: 9, key: undefined, attempt: 0, queuedAt: 200, startedAt: undefined },
      { id: 'high', state: 'queued', priority: 5, key: undefined, attempt: 0, queuedAt: 200, startedAt: undefined },
      { id: 'low', state: 'queued', priority: 0, key: 'k', attempt: 0, queuedAt: 200, startedAt: undefined },
      { id: 'retried', state: 'queued', priority: 0, key: 'r', attempt: 1, queuedAt: 0, startedAt: undefined },
      { id: 'running', state: 'running', priority: 3, key: undefined, attempt: 1, queuedAt: 100, startedAt: 100 },
    ]);
    handles[0]!.setPriority(8);
    assert.equal(manager.tasks({ id: 'low' })[0]!.priority, 8);
    manager.cancel(() => true);
    assert.deepEqual(manager.tasks(), [], 'what has ended is no more, though its function may live');
    release.resolve();
    await Promise.allSettled([retried, running, ...handles].map(({ result }) => result));
    await manager.stop();
  }),
);

test(
  'tasks() shows guests and the tasks of runTask',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const release = deferred();
    const parent = manager.queueTask((ctx) => ctx.queueTask(() => release.promise, { id: 'guest' }), { id: 'parent' });
    const past = manager.runTask(() => release.promise, { id: 'past' });
    await settle();
    assert.deepEqual(
      manager
        .tasks({ state: 'running' })
        .map(({ id }) => id)
        .sort(),
      ['guest', 'parent', 'past'],
    );
    release.resolve();
    await Promise.all([parent, past]);
    await manager.stop();
  }),
);

test(
  'tasks(filter) shows those that match every field, or the predicate',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const release = deferred();
    const submit = (id: string, key: string | undefined, priority: number) =>
      manager.queueTask(() => release.promise, { id, key, priority });
    const tasks = [submit('a', 'x', 1), submit('b', 'x', 0), submit('c', 'y', 1), submit('d', undefined, 0)];
    const ids = (filter?: Parameters<typeof manager.tasks>[0]): string =>
      manager
        .tasks(filter)
        .map(({ id }) => id)
        .sort()
        .join('');
    assert.equal(ids(), 'abcd');
    assert.equal(ids({}), 'abcd');
    assert.equal(ids({ key: 'x' }), 'ab');
    assert.equal(ids({ key: 'x', priority: 1 }), 'a');
    assert.equal(ids({ state: 'running' }), 'a');
    assert.equal(ids({ state: 'queued', priority: 0 }), 'bd');
    assert.equal(ids({ id: 'c', key: undefined }), 'c', 'an undefined field asks nothing');
    assert.equal(ids({ id: 'z' }), '');
    assert.equal(
      ids((task) => task.id > 'b'),
      'cd',
    );
    assert.throws(() => manager.tasks({ name: 'x' } as never), { name: 'TypeError', message: /name/ });
    assert.throws(() => manager.tasks(7 as never), TypeError);
    release.resolve();
    await Promise.all(tasks);
    await manager.stop();
  }),
);

// ---- events -------------------------------------------------------------------------------------------------------------

/** Writes down the names of events as they come. */
function listenTo(manager: TaskManager, ...names: (keyof ManagerEvents)[]): string[] {
  const order: string[] = [];
  for (const name of names) manager.on(name, () => order.push(name));
  return order;
}

test(
  'idle comes when nothing is queued and nothing runs any more, once each time',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0 });
    const order = listenTo(manager, 'idle');
    const submit = (): Promise<void> => manager.queueTask(() => settle(1));
    await Promise.all([submit(), submit(), submit()]);
    assert.deepEqual(order, ['idle']);
    await manager.runTask(noop);
    assert.deepEqual(order, ['idle', 'idle']);
    const canceled = manager.queueTaskAsync(untilCanceled);
    canceled.cancel();
    assert.deepEqual(order, ['idle', 'idle', 'idle'], 'a canceled task is over though its function lives');
    await canceled.result.catch(noop);
    await manager.stop();
  }),
);

test(
  'empty comes when the queue has got empty, full and drain at the bound',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, maxQueueSize: 2 });
    const order = listenTo(manager, 'empty', 'full', 'drain');
    const releases = [deferred(), deferred(), deferred(), deferred()];
    const tasks = releases.slice(0, 3).map(({ promise }) => manager.queueTask(() => promise));
    assert.deepEqual(order, ['full']);
    await assert.rejects(manager.queueTask(noop), { code: 'ERR_QUEUE_FULL' });
    assert.deepEqual(order, ['full'], 'it was full already');
    releases[0]!.resolve();
    await tasks[0];
    assert.deepEqual(order, ['full', 'drain']);
    tasks.push(manager.queueTask(() => releases[3]!.promise));
    assert.deepEqual(order, ['full', 'drain', 'full']);
    for (const { resolve } of releases) resolve();
    await Promise.all(tasks);
    assert.deepEqual(order, ['full', 'drain', 'full', 'drain', 'empty']);
    await manager.stop();
  }),
);

test(
  'taskFailed tells of those that failed or timed out for good, and of nobody else',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 4, burstIntervalMs: 0, clock });
    const failures = heard(manager, 'taskFailed');
    const mine = new Error('mine');
    const fail = (): never => {
      throw mine;
    };
    const outcomes = Promise.allSettled([
      manager.queueTask(noop),
      manager.queueTask(fail, { id: 'failed' }),
      manager.queueTask(fail, { id: 'retried', retry: { attempts: 3, baseMs: 1 } }),
      manager.queueTask(untilCanceled, { id: 'timed out', timeoutMs: 50 }),
      manager.runTask(fail, { id: 'past' }),
      manager.queueTask(({ attempt }) => attempt === 1 && fail(), { retry: { attempts: 2, baseMs: 1 } }),
    ]);
    const canceled = manager.queueTaskAsync(untilCanceled);
    const aborted = manager.queueTask(noop, { signal: AbortSignal.abort() }).catch(noop);
    await clock.advance(10);
    canceled.cancel();
    await clock.advance(100);
    await Promise.allSettled([outcomes, canceled.result, aborted]);
    const told = failures.map(({ id, state, error, attempt }) => [id, state, error === mine, attempt]);
    assert.deepEqual(
      told.sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
      [
        ['failed', 'failed', true, 1],
        ['past', 'failed', true, 1],
        ['retried', 'failed', true, 3],
        ['timed out', 'timedOut', false, 1],
      ],
    );
    await manager.stop();
  }),
);

test(
  'of a task of go(), taskFailed and the logger hear every end but completion, once',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const lines: unknown[][] = [];
    const logger = { debug: noop, info: noop, warn: noop, error: (...line: unknown[]) => void lines.push(line) };
    const options = {
      workerCount: 1,
      burstIntervalMs: 0,
      maxQueueSize: 1,
      overflow: 'drop-oldest',
      clock,
      logger,
    } as const;
    const manager = new TaskManager(options);
    const failures: TaskFailure[] = heard(manager, 'taskFailed');
    const take = (): string[] => {
      const states = failures.splice(0).map(({ state }) => state);
      assert.equal(lines.splice(0).length, states.length, 'as many lines as events');
      return states;
    };
    manager.go(noop);
    await clock.advance(0);
    assert.deepEqual(take(), []);
    manager.go(() => {
      throw new Error('mine');
    });
    await clock.advance(0);
    assert.deepEqual(take(), ['failed']);
    manager.go(untilCanceled, { timeoutMs: 10 });
    await clock.advance(10);
    assert.deepEqual(take(), ['timedOut']);
    manager.go(untilCanceled, { id: 'mine' });
    manager.cancel({ id: 'mine' });
    assert.deepEqual(take(), ['canceled']);
    await clock.advance(0);
    const release = deferred();
    const busy = manager.queueTask(() => release.promise);
    manager.go(noop);
    manager.go(noop, { priority: 1 });
    assert.deepEqual(take(), ['dropped']);
    manager.go(noop, { overflow: 'reject' });
    manager.go(noop, { signal: AbortSignal.abort() });
    assert.deepEqual(take(), ['rejected', 'rejected']);
    assert.throws(() => manager.go('fn' as never), TypeError);
    assert.deepEqual(take(), [], 'its caller has heard of that one');
    release.resolve();
    await busy;
    await manager.stop();
    manager.go(noop);
    assert.deepEqual(take(), ['rejected']);
  }),
);

test(
  'listeners come and go with on, once and off, and with node:events',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, maxQueueSize: 1 });
    let calls = 0;
    const listener = (): void => {
      calls++;
    };
    assert.equal(manager.on('idle', listener), manager);
    await manager.queueTask(noop);
    assert.equal(calls, 1);
    assert.equal(manager.off('idle', listener), manager);
    await manager.queueTask(noop);
    assert.equal(calls, 1);
    manager.once('idle', listener);
    await manager.queueTask(noop);
    await manager.queueTask(noop);
    assert.equal(calls, 2);
    manager.on('idle', listener).removeListener('idle', listener);
    const idle = once(manager as never, 'idle');
    await manager.queueTask(noop);
    assert.deepEqual(await idle, []);
    assert.equal(calls, 2);
    const replaced = once(manager as never, 'workerReplaced');
    manager.recycle();
    assert.deepEqual(await replaced, [{ reason: 'recycled' }]);
    await manager.stop();
  }),
);

// ---- faults of listeners, hooks and loggers -----------------------------------------------------------------------------

const ALL_EVENTS: readonly (keyof ManagerEvents)[] = [
  'idle',
  'empty',
  'full',
  'drain',
  'taskFailed',
  'workerReplaced',
  'scaled',
  'stopping',
  'stopped',
  'error',
];

for (const [how, fault] of [
  [
    'throws',
    (error: Error): never => {
      throw error;
    },
  ],
  ['rejects', (error: Error): Promise<never> => Promise.reject(error)],
] as const) {
  test(
    `a listener that ${how} is reported, and disturbs nothing, whatever the event`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const lines: unknown[][] = [];
      const logger = { debug: noop, info: noop, warn: noop, error: (...line: unknown[]) => void lines.push(line) };
      const stock = new Stock();
      const manager = new TaskManager({
        workerCount: 1,
        maxWorkerCount: 2,
        scaling: ({ queuedTasks }) => (queuedTasks > 0 ? 2 : 1),
        maxQueueSize: 2,
        maxUses: 3,
        logger,
        clock,
        ...stock.hooks,
      });
      const errors: unknown[] = [];
      manager.on('error', (error) => void errors.push(error));
      const told = new Set<string>();
      for (const event of ALL_EVENTS) {
        manager.on(event, (() => {
          told.add(event);
          return fault(new Error(`a bug in the listener of ${event}`));
        }) as never);
      }
      await clock.advance(0);
      const failing = (): Promise<never> => taking(clock, 300)().then(() => Promise.reject(new Error('mine')));
      const tasks = [
        manager.queueTask(taking(clock, 300)),
        manager.queueTask(failing).catch((error) => error.message),
        manager.queueTask(taking(clock, 300)).then(() => 'third'),
      ];
      const refused = manager.queueTask(noop).catch((error) => error.code);
      await clock.advance(2_000);
      assert.deepEqual(await Promise.all([...tasks, refused]), [undefined, 'mine', 'third', 'ERR_QUEUE_FULL']);
      for (let i = 0; i < 3; i++) assert.equal(await manager.queueTask(() => i), i);
      await clock.advance(0);
      const stopped = manager.stop();
      await clock.advance(1_000);
      const summary = await within(stopped);
      assert.equal(summary.failed, 0);
      await settle();
      assert.deepEqual([...told].sort(), [...ALL_EVENTS].sort());
      for (const event of ALL_EVENTS) {
        const message = `a bug in the listener of ${event}`;
        assert.ok(
          lines.some(([, error]) => (error as Error).message === message),
          `${message} is logged`,
        );
        const isTold = errors.some((error) => (error as Error).message === message);
        assert.equal(isTold, event !== 'error', `${message} goes to the error event, unless it comes from there`);
      }
      stock.assertAllDestroyedOnce();
      assertBooks(manager);
    }),
  );
}

test(
  'without a listener of the error event an error goes to the logger, and nowhere else',
  withLeakCheck(async () => {
    const lines: unknown[][] = [];
    const logger: Logger = { debug: noop, info: noop, warn: noop, error: (...line) => void lines.push(line) };
    const bug = new Error('already closed');
    const manager = new TaskManager({
      workerCount: 1,
      logger,
      onCreate: () => 1,
      onDestroy: () => Promise.reject(bug),
    });
    await manager.ready();
    await manager.stop();
    assert.deepEqual(lines, [['onDestroy threw', bug]]);
  }),
);

test(
  'faults of hooks reach the error event: retryIf, backoff, callbacks, deferred functions, creations',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const throwing = (message: string) => (): never => {
      throw new Error(message);
    };
    const stock = new Stock((call) => {
      if (call === 1) throw new Error('no database');
    });
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, clock, ...stock.hooks });
    const errors = heard(manager, 'error');
    await clock.advance(10_000);
    const fail = throwing('mine');
    const outcomes = Promise.allSettled([
      manager.queueTask(fail, { retry: { attempts: 2, retryIf: throwing('retryIf') } }),
      manager.queueTask(fail, { retry: { attempts: 2, backoff: throwing('backoff') } }),
      manager.queueTask((ctx) => ctx.defer(throwing('deferred'))),
    ]);
    manager.queueTaskWithCallback(noop, throwing('callback'));
    manager.queueTaskWithCallback(noop, () => Promise.reject(new Error('async callback')));
    await clock.advance(1_000);
    await outcomes;
    const messages = errors.map((error) => (error as Error).message).sort();
    assert.deepEqual(messages, [
      'async callback',
      'backoff',
      'callback',
      'deferred',
      'retryIf',
      'the creation of a resource failed: no database',
    ]);
    assert.equal(await manager.queueTask(() => 'still at work'), 'still at work');
    await manager.stop();
  }),
);

test(
  'a logger that throws is ignored',
  withLeakCheck(async () => {
    const fail = (): never => {
      throw new Error('the disk is full');
    };
    const logger = { debug: fail, info: fail, warn: fail, error: fail };
    const stock = new Stock((call) => {
      if (call === 1) throw new Error('no database');
    });
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, logger, clock, ...stock.hooks });
    const errors = heard(manager, 'error');
    manager.go(() => {
      throw new Error('mine');
    });
    await clock.advance(10_000);
    assert.equal(errors.length, 1, 'the error event has heard of it');
    assert.equal(await manager.queueTask(() => 'still at work'), 'still at work');
    await manager.stop();
  }),
);

test(
  'console and a class with methods serve as loggers',
  withLeakCheck(async () => {
    class Log implements Logger {
      readonly #lines: string[] = [];
      debug(): void {}
      info(): void {}
      warn(): void {}
      error(message: string): void {
        this.#lines.push(message);
      }
      get lines(): readonly string[] {
        return this.#lines;
      }
    }
    const log = new Log();
    const manager = new TaskManager({ workerCount: 1, logger: log });
    manager.go(() => {
      throw new Error('mine');
    });
    await manager.stop();
    assert.equal(log.lines.length, 1);
    await new TaskManager({ workerCount: 1, logger: console }).stop();
    assert.throws(() => new TaskManager({ logger: { error: noop } as never }), {
      name: 'TypeError',
      message: /logger\.debug/,
    });
  }),
);

// ---- Prometheus ---------------------------------------------------------------------------------------------------------

/** The samples of a text, by name and labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      const value = line.slice(space + 1);
      return [line.slice(0, space), value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value)];
    }),
  );
}

test(
  'prometheusText(manager) says what stats() and metrics() say',
  withLeakCheck(async () => {
    const { manager } = await everyEnd({});
    const samples = samplesOf(prometheusText(manager));
    const stats = manager.stats();
    const metrics = manager.metrics();
    const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    for (const [name, value] of Object.entries(stats)) {
      if (typeof value === 'number') assert.equal(samples.get(`errand_${snake(name)}`), value, name);
    }
    for (const name of Object.keys(TOTALS) as (keyof typeof TOTALS)[]) {
      const sample = `errand_${snake(name).replace('total_', '')}_total`;
      assert.equal(samples.get(sample), metrics[name], sample);
    }
    assert.equal(samples.get('errand_manager_state{state="stopped"}'), 1);
    assert.equal(samples.get('errand_manager_state{state="running"}'), 0);
    assert.equal(samples.get('errand_task_execution_seconds_count'), metrics.totalTasksExecuted);
    assertNear(samples.get('errand_task_execution_seconds_sum')!, metrics.totalExecutionTimeMs / 1_000);
    assertNear(samples.get('errand_task_execution_seconds{quantile="0.95"}')!, metrics.p95ExecutionTimeMs / 1_000);
    assert.equal(samples.get('errand_task_wait_seconds_count'), 16);
    assertNear(samples.get('errand_task_success_ratio')!, metrics.successRate);
  }),
);

test(
  'prometheusText() tells several managers apart, and works for one without a collector',
  withLeakCheck(async () => {
    const images = new TaskManager({ workerCount: 3, maxQueueSize: 100 });
    const mails = new TaskManager({ workerCount: 1, collector: false });
    await images.queueTask(noop);
    const text = prometheusText([
      { source: images, labels: { pool: 'images' } },
      { source: mails, labels: { pool: 'mails' } },
    ]);
    const samples = samplesOf(text);
    assert.equal(samples.get('errand_base_workers{pool="images"}'), 3);
    assert.equal(samples.get('errand_base_workers{pool="mails"}'), 1);
    assert.equal(samples.get('errand_tasks_completed_total{pool="images"}'), 1);
    assert.equal(samples.get('errand_tasks_completed_total{pool="mails"}'), 0);
    assert.equal(samples.get('errand_queue_capacity{pool="images"}'), 100);
    assert.equal(samples.get('errand_queue_capacity{pool="mails"}'), Number.POSITIVE_INFINITY);
    for (const line of text.trimEnd().split('\n'))
      assert.match(line, /^(# (HELP|TYPE) errand_\w+ .+|errand_\w+(\{.*\})? \S+)$/);
    await Promise.all([images.stop(), mails.stop()]);
  }),
);
