import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, type ScalingState, TaskManager } from '../../src/manager/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { type Deferred, deferred, heard, noop, Stock, settle } from './kit.ts';

const HOUR_MS = 3_600_000;

// ---- the policy, as a function --------------------------------------------------------------------------------------

const NOW = 100_000;
const INTERVAL_MS = 100;

/** Two of two to eight workers, both busy, nobody waits. */
const BUSY: ScalingState = {
  workers: 2,
  workerCount: 2,
  maxWorkerCount: 8,
  idleWorkers: 0,
  busyWorkers: 2,
  queuedTasks: 0,
  oldestQueuedAt: undefined,
  quietSince: undefined,
  arrivalRate: 0,
  completionRate: 0,
  intervalMs: INTERVAL_MS,
};
const YOUNG = NOW - INTERVAL_MS;
const OLD = NOW - 2 * INTERVAL_MS;
const CALM = NOW - 10 * INTERVAL_MS;

const table: readonly [when: string, state: Partial<ScalingState>, wanted: number][] = [
  ['nobody waits', {}, 2],
  ['nobody waits, whatever the rates', { arrivalRate: 1_000, completionRate: 1 }, 2],
  [
    'tasks wait, but not for a worker: one is idle',
    { queuedTasks: 9, oldestQueuedAt: OLD, idleWorkers: 1, arrivalRate: 99 },
    2,
  ],
  [
    'what leaves keeps up with what arrives',
    { queuedTasks: 3, oldestQueuedAt: YOUNG, arrivalRate: 10, completionRate: 10 },
    2,
  ],
  // Two workers complete 10 a second, so 5 each: 20 a second too few are 4 workers.
  ['more arrives than leaves', { queuedTasks: 1, oldestQueuedAt: YOUNG, arrivalRate: 30, completionRate: 10 }, 6],
  ['a part of a worker is one', { queuedTasks: 1, oldestQueuedAt: YOUNG, arrivalRate: 11, completionRate: 10 }, 3],
  ['more than the most allowed', { queuedTasks: 1, oldestQueuedAt: YOUNG, arrivalRate: 500, completionRate: 10 }, 8],
  ['nothing has left yet', { queuedTasks: 5, oldestQueuedAt: YOUNG, arrivalRate: 50, completionRate: 0 }, 3],
  ['the first of them waits too long', { queuedTasks: 1, oldestQueuedAt: OLD, arrivalRate: 0, completionRate: 10 }, 3],
  [
    'a backlog is old: to be cleared in a second',
    { queuedTasks: 20, oldestQueuedAt: OLD, arrivalRate: 0, completionRate: 10 },
    6,
  ],
  [
    'an old backlog, and nothing ever left',
    { queuedTasks: 20, oldestQueuedAt: OLD, arrivalRate: 0, completionRate: 0 },
    3,
  ],
  ['the greater need counts', { queuedTasks: 5, oldestQueuedAt: OLD, arrivalRate: 25, completionRate: 10 }, 5],
  ['no worker is there yet to compare with', { busyWorkers: 0, queuedTasks: 5, oldestQueuedAt: OLD }, 3],
  ['base workers stay, however quiet it is', { idleWorkers: 2, busyWorkers: 0, quietSince: 0 }, 2],
  ['it is quiet, but not for long', { workers: 8, idleWorkers: 8, busyWorkers: 0, quietSince: CALM + 1 }, 8],
  [
    'it has long been quiet: half of the spare ones go',
    { workers: 8, idleWorkers: 8, busyWorkers: 0, quietSince: CALM },
    5,
  ],
  ['of one spare worker all', { workers: 3, idleWorkers: 3, busyWorkers: 0, quietSince: CALM }, 2],
  // dispatcherd counted down only when all were idle at once: a steady trickle kept every worker of a burst for ever.
  ['it is quiet while some work', { workers: 8, idleWorkers: 5, busyWorkers: 3, quietSince: CALM }, 5],
  ['only idle workers are spare', { workers: 8, idleWorkers: 1, busyWorkers: 7, quietSince: CALM }, 7],
];

for (const [when, state, wanted] of table) {
  test(`decide() says ${wanted} when ${when}`, () => {
    assert.equal(decide({ ...BUSY, ...state }, NOW), wanted);
  });
}

test('decide() is pure: the same state gives the same answer, and is left as it is', () => {
  const state = Object.freeze({ ...BUSY, queuedTasks: 5, oldestQueuedAt: OLD, arrivalRate: 30, completionRate: 10 });
  assert.equal(decide(state, NOW), decide(state, NOW));
});

test('decide() comes down to the base from any height, step by step, and stays there', () => {
  for (let workers = 2; workers <= 8; workers++) {
    let now = workers;
    for (let step = 0; step < 4; step++) {
      const next = decide({ ...BUSY, workers: now, idleWorkers: now, busyWorkers: 0, quietSince: CALM }, NOW);
      assert.ok(next < now || next === 2);
      now = next;
    }
    assert.equal(now, 2);
  }
});

// ---- in life ----------------------------------------------------------------------------------------------------------

/** A task that takes `ms` of the clock's time. */
function taking(clock: VirtualClock, ms: number): () => Promise<void> {
  return () => new Promise((resolve) => clock.setTimeout(resolve, ms));
}

/** Submits `perStep` tasks every `stepMs`, `steps` times. */
async function load(
  manager: TaskManager<never> | TaskManager,
  clock: VirtualClock,
  { steps, stepMs, perStep, task }: { steps: number; stepMs: number; perStep: number; task: () => unknown },
): Promise<void> {
  for (let step = 0; step < steps; step++) {
    for (let i = 0; i < perStep; i++) void (manager as TaskManager).queueTask(task);
    await clock.advance(stepMs);
  }
}

test(
  'workers come with a burst, never more than maxWorkerCount, and go when it is over',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 5, clock, ...stock.hooks });
    const scaled = heard(manager, 'scaled');
    await clock.advance(1_000);
    assert.equal(manager.stats().activeWorkers, 1);
    // One worker does 20 a second; 100 arrive.
    await load(manager as never, clock, { steps: 30, stepMs: 100, perStep: 10, task: taking(clock, 50) });
    const { activeWorkers, burstWorkers, baseWorkers } = manager.stats();
    assert.deepEqual(
      { activeWorkers, burstWorkers, baseWorkers },
      { activeWorkers: 5, burstWorkers: 4, baseWorkers: 1 },
    );
    assert.ok(stock.made.length === 5, 'no worker came and went meanwhile');
    await clock.advance(60_000);
    assert.equal(manager.metrics().totalTasksCompleted, 300);
    assert.equal(manager.stats().activeWorkers, 1);
    assert.equal(stock.alive, 1);
    assert.equal(scaled[0]!.from, 1);
    assert.equal(scaled.at(-1)!.to, 1);
    assert.ok(Math.max(...scaled.map(({ to }) => to)) === 5);
    for (let i = 1; i < scaled.length; i++) assert.equal(scaled[i]!.from, scaled[i - 1]!.to);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'a load that one worker can carry brings no other',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 5, clock });
    const scaled = heard(manager, 'scaled');
    await load(manager, clock, { steps: 600, stepMs: 100, perStep: 1, task: taking(clock, 50) });
    assert.deepEqual(scaled, []);
    await manager.stop();
  }),
);

test(
  'one task that waits too long behind a slow one brings a worker, whatever the rates',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 2, clock });
    const release = deferred();
    const slow = manager.queueTask(() => release.promise);
    const waiting = manager.queueTask(() => 'done');
    await clock.advance(1_000);
    assert.equal(await waiting, 'done');
    release.resolve();
    await slow;
    await manager.stop();
  }),
);

test(
  'burst workers go although some worker is always busy: a steady trickle doesn’t keep them',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 8, clock });
    await load(manager, clock, { steps: 20, stepMs: 100, perStep: 20, task: taking(clock, 50) });
    assert.equal(manager.stats().activeWorkers, 8);
    // At every instant from here on a task runs: one ends after the next has begun.
    let busiest = 0;
    let idlest = 8;
    const trickle = setIntervalOf(clock, 40, () => {
      void manager.queueTask(taking(clock, 60));
    });
    await clock.advance(1_000);
    for (let i = 0; i < 100; i++) {
      await clock.advance(137);
      const { busyWorkers } = manager.stats();
      busiest = Math.max(busiest, busyWorkers);
      idlest = Math.min(idlest, busyWorkers);
    }
    assert.ok(idlest >= 1 && busiest <= 2);
    assert.ok(manager.stats().activeWorkers <= 2, `${manager.stats().activeWorkers} workers for two at most`);
    trickle();
    await clock.advance(5_000);
    await manager.stop();
  }),
);

function setIntervalOf(clock: VirtualClock, ms: number, tick: () => void): () => void {
  let isOver = false;
  const again = (): void => {
    if (isOver) return;
    tick();
    clock.setTimeout(again, ms);
  };
  again();
  return () => {
    isOver = true;
  };
}

test(
  'the rates are of the last seconds: after an hour at one pace a new one is seen as soon as at first',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const states: ScalingState[] = [];
    const manager = new TaskManager({
      workerCount: 8,
      maxWorkerCount: 9,
      burstIntervalMs: 1_000,
      scaling: (state) => {
        states.push(state);
        return state.workers;
      },
      clock,
    });
    const rates = (): readonly [arrival: number, completion: number] => {
      const { arrivalRate, completionRate } = states.at(-1)!;
      return [Math.round(arrivalRate), Math.round(completionRate)];
    };
    const release = deferred();
    const anchor = manager.queueTask(() => release.promise); // so that there is always something to ask about
    const task = taking(clock, 10);
    await load(manager, clock, { steps: 60, stepMs: 1_000, perStep: 10, task });
    assert.deepEqual(rates(), [10, 10]);
    await load(manager, clock, { steps: 3_600, stepMs: 1_000, perStep: 10, task });
    await load(manager, clock, { steps: 60, stepMs: 1_000, perStep: 100, task });
    assert.deepEqual(rates(), [100, 100]);
    await load(manager, clock, { steps: 60, stepMs: 1_000, perStep: 10, task });
    assert.deepEqual(rates(), [10, 10]);
    release.resolve();
    await anchor;
    await manager.stop();
  }),
);

test(
  'an hour after the start a burst is met by as many workers as in the first minute',
  withLeakCheck(async () => {
    const workersAfter = async (quietMs: number): Promise<number[]> => {
      const clock = new VirtualClock();
      const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 10, clock });
      await load(manager, clock, { steps: quietMs / 5_000, stepMs: 5_000, perStep: 3, task: taking(clock, 20) });
      const counts: number[] = [];
      for (let i = 0; i < 10; i++) {
        await load(manager, clock, { steps: 1, stepMs: 100, perStep: 20, task: taking(clock, 20) });
        counts.push(manager.stats().activeWorkers);
      }
      await clock.advance(30_000);
      await manager.stop();
      return counts;
    };
    assert.deepEqual(await workersAfter(HOUR_MS), await workersAfter(60_000));
  }),
);

test(
  'a policy of one’s own is asked every burstIntervalMs while there is work, with the state of things',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const asked: [state: ScalingState, now: number][] = [];
    const manager = new TaskManager({
      workerCount: 2,
      maxWorkerCount: 6,
      burstIntervalMs: 250,
      scaling: (state, now) => {
        asked.push([state, now]);
        return state.workers;
      },
      clock,
    });
    await clock.advance(HOUR_MS);
    assert.equal(asked.length, 0, 'nothing to do, nothing to ask');
    assert.equal(clock.timerCount, 0);
    const release = deferred();
    const tasks = Array.from({ length: 5 }, () => manager.queueTask(() => release.promise));
    await clock.advance(1_000);
    assert.deepEqual(
      asked.map(([, now]) => now - HOUR_MS),
      [250, 500, 750, 1_000],
    );
    const { oldestQueuedAt, arrivalRate, ...state } = asked[0]![0];
    assert.deepEqual(state, {
      workers: 2,
      workerCount: 2,
      maxWorkerCount: 6,
      idleWorkers: 0,
      busyWorkers: 2,
      queuedTasks: 3,
      quietSince: undefined,
      completionRate: 0,
      intervalMs: 250,
    });
    assert.equal(Math.round(oldestQueuedAt!), HOUR_MS);
    assert.equal(arrivalRate, 16, 'of the four that came after the first, over 250 ms');
    release.resolve();
    await Promise.all(tasks);
    await clock.advance(HOUR_MS);
    assert.ok(asked.length <= 5);
    const again = manager.queueTask(taking(clock, 600));
    await clock.advance(600);
    await again;
    assert.ok(asked.length >= 6, 'with work it is asked again');
    await manager.stop();
  }),
);

test(
  'a policy’s answer is brought within workerCount and maxWorkerCount',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let wanted = 1_000;
    const manager = new TaskManager({ workerCount: 2, maxWorkerCount: 4, scaling: () => wanted, clock });
    const scaled = heard(manager, 'scaled');
    const release = deferred();
    const task = manager.queueTask(() => release.promise);
    await clock.advance(100);
    assert.equal(manager.stats().activeWorkers, 4);
    wanted = -5;
    await clock.advance(100);
    assert.equal(manager.stats().activeWorkers, 2);
    assert.deepEqual(scaled, [
      { from: 2, to: 4 },
      { from: 4, to: 2 },
    ]);
    release.resolve();
    await task;
    await manager.stop();
  }),
);

for (const [what, answer] of [
  [
    'throws',
    () => {
      throw new Error('a bug in the policy');
    },
  ],
  ['answers with NaN', () => Number.NaN],
  ['answers with a fraction', () => 2.5],
  ['answers with nothing', () => undefined],
  ['answers with a promise', () => Promise.resolve(3)],
] as const) {
  test(
    `a policy that ${what} is reported, changes nothing, and is asked again`,
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      let isBroken = true;
      const manager = new TaskManager({
        workerCount: 1,
        maxWorkerCount: 3,
        scaling: () => (isBroken ? (answer() as number) : 3),
        clock,
      });
      const errors = heard(manager, 'error');
      const release = deferred();
      const task = manager.queueTask(() => release.promise);
      await clock.advance(300);
      assert.equal(errors.length, 3);
      assert.ok(errors.every((error) => error instanceof Error));
      assert.equal(manager.stats().activeWorkers, 1);
      isBroken = false;
      await clock.advance(100);
      assert.equal(manager.stats().activeWorkers, 3);
      release.resolve();
      await task;
      await manager.stop();
    }),
  );
}

test(
  'burstIntervalMs 0: nobody is asked, and no worker comes',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let asked = 0;
    const manager = new TaskManager({
      workerCount: 1,
      maxWorkerCount: 9,
      burstIntervalMs: 0,
      scaling: () => ++asked,
      clock,
    });
    const release = deferred();
    const tasks = [manager.queueTask(() => release.promise), manager.queueTask(noop)];
    await clock.advance(60_000);
    assert.equal(asked, 0);
    assert.equal(manager.stats().activeWorkers, 1);
    release.resolve();
    await Promise.all(tasks);
    await manager.stop();
  }),
);

test(
  'maxWorkerCount equal to workerCount allows no burst',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 2, maxWorkerCount: 2, clock });
    const release = deferred();
    const tasks = Array.from({ length: 10 }, () => manager.queueTask(() => release.promise));
    await clock.advance(10_000);
    assert.equal(manager.stats().activeWorkers, 2);
    release.resolve();
    await Promise.all(tasks);
    await manager.stop();
  }),
);

test(
  'no worker comes while the manager is paused, nor once it is stopping',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 4, scaling: () => 4, clock });
    manager.pause();
    const queued = manager.queueTask(noop);
    await clock.advance(1_000);
    assert.equal(manager.stats().activeWorkers, 1);
    manager.resume();
    await queued;
    const busy = manager.queueTask(taking(clock, 3_000));
    const stopped = manager.stop();
    await clock.advance(1_000);
    assert.equal(manager.stats().activeWorkers, 1);
    await clock.advance(2_000);
    await Promise.all([busy, stopped]);
  }),
);

test(
  'a burst worker whose resource turns out bad is replaced as long as it is wanted',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({
      workerCount: 1,
      maxWorkerCount: 2,
      scaling: () => 2,
      maxRetries: 0,
      checkHealth: () => false,
      clock,
      ...stock.hooks,
    });
    await clock.advance(0);
    const release = deferred();
    const fail = (): Promise<never> => release.promise.then(() => Promise.reject(new Error('lost')));
    const tasks = [manager.queueTask(fail), manager.queueTask(fail)];
    const verdict = Promise.allSettled(tasks);
    await clock.advance(100);
    assert.equal(manager.stats().busyWorkers, 2);
    release.resolve();
    await verdict;
    await clock.advance(0);
    const { activeWorkers, baseWorkers, burstWorkers } = manager.stats();
    assert.deepEqual(
      { activeWorkers, baseWorkers, burstWorkers },
      { activeWorkers: 2, baseWorkers: 1, burstWorkers: 1 },
    );
    assert.equal(stock.made.length, 4);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'an idle manager with burst workers left comes down and then sets no more timers',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 8, clock });
    await load(manager, clock, { steps: 20, stepMs: 100, perStep: 20, task: taking(clock, 50) });
    await clock.advance(60_000);
    assert.equal(manager.stats().activeWorkers, 1);
    assert.equal(clock.timerCount, 0);
    await manager.stop();
  }),
);

// ---- resize -----------------------------------------------------------------------------------------------------------

/** Tasks that wait to be let go, and how many of them are alive. */
class Work {
  readonly gates: Deferred<void>[] = [];
  alive = 0;

  readonly task = async (): Promise<void> => {
    const gate = deferred();
    this.gates.push(gate);
    this.alive++;
    await gate.promise;
    this.alive--;
  };

  async finish(count = this.gates.length): Promise<void> {
    for (const gate of this.gates.splice(0, count)) gate.resolve();
    await settle();
  }
}

test(
  'resize() up starts what waits on the new workers at once',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, ...stock.hooks });
    const work = new Work();
    const tasks = [1, 2, 3, 4, 5].map(() => manager.queueTask(work.task));
    await settle();
    assert.equal(work.alive, 1);
    manager.resize({ workerCount: 4 });
    await settle();
    assert.equal(work.alive, 4);
    assert.equal(manager.stats().baseWorkers, 4);
    await work.finish();
    await work.finish();
    await Promise.all(tasks);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'resize() down lets surplus workers finish their task, and starts no more than the new number',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 4, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    const work = new Work();
    const tasks = Array.from({ length: 10 }, () => manager.queueTask(work.task));
    await settle();
    assert.equal(work.alive, 4);
    manager.resize({ workerCount: 2 });
    await settle();
    assert.equal(work.alive, 4, 'nobody is torn from his work');
    assert.equal(stock.alive, 4);
    await work.finish(2);
    assert.equal(work.alive, 2, 'whoever is free first goes');
    assert.equal(stock.alive, 2);
    for (let i = 0; i < 4; i++) {
      await work.finish(2);
      assert.ok(work.alive <= 2);
    }
    await Promise.all(tasks);
    assert.equal(manager.stats().activeWorkers, 2);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'resize() down takes idle workers before busy ones',
  withLeakCheck(async () => {
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 4, burstIntervalMs: 0, ...stock.hooks });
    await manager.ready();
    for (const busy of [1, 2]) {
      manager.resize({ workerCount: 4 });
      await manager.ready();
      const work = new Work();
      const tasks = [1, 2, 3, 4].map(() => manager.queueTask(work.task));
      await settle();
      // The oldest workers, which are the last to be taken, stay busy.
      await work.finish(4 - busy);
      manager.resize({ workerCount: 2 });
      assert.equal(manager.stats().activeWorkers, 2, 'two of the idle ones are gone at once');
      assert.equal(manager.stats().busyWorkers, busy);
      tasks.push(...[1, 2, 3, 4].map(() => manager.queueTask(work.task)));
      await settle();
      assert.equal(work.alive, 2, 'the limit is real');
      while (work.gates.length > 0) await work.finish();
      await Promise.all(tasks);
      assert.equal(manager.stats().activeWorkers, 2);
    }
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'resize() down lets go of resources still in creation first',
  withLeakCheck(async () => {
    const gate = deferred();
    const stock = new Stock((call) => (call > 2 ? gate.promise : undefined));
    const manager = new TaskManager({ workerCount: 4, burstIntervalMs: 0, ...stock.hooks });
    await settle();
    manager.resize({ workerCount: 2 });
    await manager.ready();
    assert.equal(manager.stats().activeWorkers, 2);
    gate.resolve();
    await settle();
    assert.equal(stock.alive, 2);
    await manager.stop();
    stock.assertAllDestroyedOnce();
  }),
);

test(
  'resize() makes base workers of burst workers before it makes new ones',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const stock = new Stock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 3, scaling: () => 3, clock, ...stock.hooks });
    const release = deferred();
    const task = manager.queueTask(() => release.promise);
    await clock.advance(100);
    assert.equal(stock.made.length, 3);
    manager.resize({ workerCount: 3, maxWorkerCount: 3 });
    await clock.advance(1_000);
    const { baseWorkers, burstWorkers } = manager.stats();
    assert.deepEqual({ baseWorkers, burstWorkers }, { baseWorkers: 3, burstWorkers: 0 });
    assert.equal(stock.made.length, 3);
    assert.equal(stock.alive, 3);
    release.resolve();
    await task;
    await manager.stop();
  }),
);

test(
  'a lower maxWorkerCount sends burst workers away',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 6, scaling: () => 6, clock });
    const release = deferred();
    const task = manager.queueTask(() => release.promise);
    await clock.advance(100);
    assert.equal(manager.stats().activeWorkers, 6);
    manager.resize({ maxWorkerCount: 3 });
    assert.equal(manager.stats().activeWorkers, 3);
    await clock.advance(1_000);
    assert.equal(manager.stats().activeWorkers, 3);
    release.resolve();
    await task;
    await manager.stop();
  }),
);

test(
  'every change of the number of workers wanted is told: by the policy, by resize(), by idleMs',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({
      workerCount: 1,
      maxWorkerCount: 3,
      idleMs: 1_000,
      scaling: ({ workers, queuedTasks }) => (queuedTasks > 0 ? 3 : workers),
      clock,
    });
    const scaled = heard(manager, 'scaled');
    const release = deferred();
    const tasks = [1, 2, 3].map(() => manager.queueTask(() => release.promise));
    await clock.advance(100);
    release.resolve();
    await Promise.all(tasks);
    await clock.advance(2_000);
    manager.resize({ workerCount: 4 });
    manager.resize({ workerCount: 4 });
    manager.resize({ maxWorkerCount: 6 });
    assert.deepEqual(scaled, [
      { from: 1, to: 3 },
      { from: 3, to: 2 },
      { from: 2, to: 1 },
      { from: 1, to: 4 },
    ]);
    await manager.stop();
    assert.equal(scaled.length, 4, 'the end is no change of mind');
  }),
);

test(
  'resize() works while paused',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1 });
    manager.pause();
    const work = new Work();
    const tasks = [manager.queueTask(work.task), manager.queueTask(work.task)];
    manager.resize({ workerCount: 2 });
    await settle();
    assert.equal(work.alive, 0);
    manager.resume();
    await settle();
    assert.equal(work.alive, 2);
    await work.finish();
    await Promise.all(tasks);
    await manager.stop();
  }),
);

test(
  'resize() refuses wrong numbers, and changes nothing then; after the end it is a TypeError',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 2, maxWorkerCount: 4 });
    assert.throws(() => manager.resize({ workerCount: 0 }), { name: 'RangeError', message: /workerCount.*0/ });
    assert.throws(() => manager.resize({ workerCount: 1.5 }), RangeError);
    assert.throws(() => manager.resize({ workerCount: '3' as never }), {
      name: 'TypeError',
      message: /workerCount.*"3"/,
    });
    assert.throws(() => manager.resize({ workerCount: 3, maxWorkerCount: 2 }), {
      name: 'RangeError',
      message: /maxWorkerCount/,
    });
    assert.throws(() => manager.resize({ maxWorkerCount: 1 }), { name: 'RangeError', message: /maxWorkerCount/ });
    assert.equal(manager.stats().baseWorkers, 2);
    const stopped = manager.stop();
    assert.throws(() => manager.resize({ workerCount: 3 }), TypeError);
    await stopped;
    assert.throws(() => manager.resize({ workerCount: 3 }), TypeError);
  }),
);
