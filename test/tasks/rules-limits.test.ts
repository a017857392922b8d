/** How many calls run at once, and how many begin in a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TaskManager } from '../../src/index.ts';
import { type CallContext, defineTask, type TaskConcurrency, type TaskRateLimit } from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { passing, pause, rigOf, settle, statesOf } from './kit.ts';

interface Input {
  readonly key: string;
  readonly ms?: number;
}

/** Tasks whose runs take time, and what has run when: `${task} ${key}`. */
class Watched {
  readonly clock = new VirtualClock();
  readonly starts: { readonly who: string; readonly at: number }[] = [];
  readonly #alive = new Map<string, number>();
  readonly #most = new Map<string, number>();

  task(
    name: string,
    rules: {
      readonly concurrency?: number | TaskConcurrency<Input> | readonly TaskConcurrency<Input>[];
      readonly rateLimit?: TaskRateLimit<Input> | readonly TaskRateLimit<Input>[];
      readonly queue?: string;
      readonly timeoutMs?: number;
      readonly attempts?: number;
      readonly fails?: (attempt: number) => boolean;
    } = {},
  ) {
    const { concurrency, rateLimit, queue, timeoutMs, attempts = 1, fails } = rules;
    return defineTask({
      name,
      concurrency,
      rateLimit,
      queue,
      timeoutMs,
      retry: { attempts, backoff: 'constant', baseMs: 1 },
      run: async ({ attempt }: CallContext, { key, ms = 0 }: Input) => {
        this.starts.push({ who: `${name} ${key}`, at: this.clock.now() });
        for (const who of ['all', name, `${name} ${key}`]) this.#count(who, 1);
        if (ms > 0) await pause(this.clock, ms);
        for (const who of ['all', name, `${name} ${key}`]) this.#count(who, -1);
        if (fails?.(attempt)) throw new Error('boom');
      },
    });
  }

  /** The most that were alive at once. */
  most(who: string): number {
    return this.#most.get(who) ?? 0;
  }

  startsOf(who: string): number[] {
    return this.starts.filter((start) => start.who.startsWith(who)).map(({ at }) => at);
  }

  /** That a limit was kept in every window, and made full use of at least once. */
  assertRate(who: string, limit: number, intervalMs: number): void {
    const starts = this.startsOf(who);
    const most = Math.max(...starts.map((from) => starts.filter((at) => at >= from && at < from + intervalMs).length));
    assert.equal(most, limit, `${who}: ${starts}`);
  }

  #count(who: string, by: number): void {
    const alive = (this.#alive.get(who) ?? 0) + by;
    this.#alive.set(who, alive);
    this.#most.set(who, Math.max(this.most(who), alive));
  }
}

function inputs(count: number, key = 'a', ms = 0): Input[] {
  return Array.from({ length: count }, () => ({ key, ms }));
}

// ---- at once ---------------------------------------------------------------------------------------------------------

test(
  'no more of a task run at once than its concurrency, and it keeps no other task waiting',
  withLeakCheck(async () => {
    const watched = new Watched();
    const limited = watched.task('limited', { concurrency: 2 });
    const free = watched.task('free');
    await using rig = await rigOf([limited, free], { clock: watched.clock, concurrency: 6 });
    const calls = await rig.dispatcher.submitMany(limited, inputs(9, 'a', 10));
    await rig.dispatcher.submitMany(free, inputs(4, 'a', 10));
    await rig.clock.advance(100);
    assert.equal(watched.most('limited'), 2);
    assert.deepEqual(watched.startsOf('free'), [0, 0, 0, 0]);
    assert.deepEqual(watched.startsOf('limited'), [0, 0, 10, 10, 20, 20, 30, 30, 40]);
    for (const status of statesOf(calls)) assert.equal(status, 'completed');
  }),
);

test(
  'no more of a key run at once than its concurrency, and it keeps no other key waiting',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', { concurrency: { limit: 1, key: ({ key }) => key } });
    await using rig = await rigOf(task, { clock: watched.clock, concurrency: 4 });
    await rig.dispatcher.submitMany(task, [...inputs(20, 'a', 10), ...inputs(2, 'b', 10), ...inputs(1, 'c', 10)]);
    await rig.clock.advance(20);
    assert.equal(watched.most('task a'), 1);
    assert.deepEqual(watched.startsOf('task b'), [0, 10]);
    assert.deepEqual(watched.startsOf('task c'), [0]);
  }),
);

test(
  'of several limits all hold',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', { concurrency: [{ limit: 3 }, { limit: 2, key: ({ key }) => key }] });
    await using rig = await rigOf(task, { clock: watched.clock });
    await rig.dispatcher.submitMany(task, [...inputs(5, 'a', 10), ...inputs(5, 'b', 10)]);
    await rig.clock.advance(100);
    assert.equal(watched.most('task'), 3);
    assert.equal(watched.most('task a'), 2);
    assert.equal(watched.startsOf('task').length, 10);
  }),
);

test(
  'no more of a queue run at once than its concurrency, whatever the task',
  withLeakCheck(async () => {
    const watched = new Watched();
    const one = watched.task('one', { queue: 'slow' });
    const two = watched.task('two', { queue: 'slow' });
    const free = watched.task('free', { queue: 'fast' });
    const queues = { slow: { concurrency: 3 }, fast: {} };
    await using rig = await rigOf([one, two, free], { clock: watched.clock, queues });
    await rig.dispatcher.submitMany(one, inputs(5, 'a', 10));
    await rig.dispatcher.submitMany(two, inputs(5, 'a', 10));
    await rig.dispatcher.submitMany(free, inputs(5, 'a', 10));
    await rig.clock.advance(100);
    assert.deepEqual(watched.startsOf('one'), [0, 0, 0, 10, 10]);
    assert.deepEqual(watched.startsOf('two'), [10, 20, 20, 20, 30]);
    assert.deepEqual(watched.startsOf('free'), [0, 0, 0, 0, 0]);
  }),
);

test(
  'a concurrency holds for all dispatchers on an engine together, that of a queue for each',
  withLeakCheck(async () => {
    const watched = new Watched();
    const limited = watched.task('limited', { concurrency: 2 });
    const free = watched.task('free', { queue: 'queue' });
    const options = { clock: watched.clock, queues: { default: {}, queue: { concurrency: 2 } } };
    await using rig = await rigOf([limited, free], options);
    await using _ = await rigOf([limited, free], { ...options, engine: rig.engine });
    await rig.dispatcher.submitMany(limited, inputs(8, 'a', 10));
    await rig.dispatcher.submitMany(free, inputs(8, 'a', 10));
    await rig.clock.advance(100);
    assert.equal(watched.most('limited'), 2);
    assert.equal(watched.most('free'), 4);
    assert.equal(watched.starts.length, 16);
  }),
);

test(
  'a run that ignores its timeout is still one that runs',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('deaf', { concurrency: 1, timeoutMs: 10 });
    await using rig = await rigOf(task, { clock: watched.clock });
    await rig.dispatcher.submitMany(task, inputs(3, 'a', 500));
    await rig.clock.advance(2_000);
    assert.equal(watched.most('deaf'), 1);
    assert.deepEqual(watched.startsOf('deaf'), [0, 500, 1_000]);
  }),
);

test(
  'a call in the pause before its next attempt leaves its place to others',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', { concurrency: 1, attempts: 2, fails: (attempt) => attempt === 1 });
    await using rig = await rigOf(task, { clock: watched.clock });
    await rig.dispatcher.submit(task, { key: 'a' });
    await rig.dispatcher.submit(task, { key: 'b', ms: 10 });
    await rig.clock.advance(100);
    assert.deepEqual(
      watched.starts.map(({ who, at }) => `${who} ${at}`),
      ['task a 0', 'task b 0', 'task a 10', 'task b 11'],
    );
  }),
);

// ---- in a time -------------------------------------------------------------------------------------------------------

test(
  'no more of a task begin than its rate in any window, and none is lost',
  withLeakCheck(async () => {
    const watched = new Watched();
    const limited = watched.task('limited', { rateLimit: { limit: 3, intervalMs: 100 } });
    const free = watched.task('free');
    await using rig = await rigOf([limited, free], { clock: watched.clock });
    const calls = await rig.dispatcher.submitMany(limited, inputs(3));
    await rig.clock.advance(60);
    calls.push(...(await rig.dispatcher.submitMany(limited, inputs(4))));
    await rig.dispatcher.submitMany(free, inputs(2));
    await rig.clock.advance(1_000);
    assert.deepEqual(watched.startsOf('limited'), [0, 0, 0, 100, 100, 100, 200]);
    assert.deepEqual(watched.startsOf('free'), [60, 60]);
    for (const status of statesOf(calls)) assert.equal(status, 'completed');
  }),
);

test(
  'a burst that comes late, as all workers were busy, keeps the rate in every window',
  withLeakCheck(async () => {
    const watched = new Watched();
    const limited = watched.task('limited', { rateLimit: { limit: 3, intervalMs: 100 } });
    const long = watched.task('long');
    await using rig = await rigOf([limited, long], { clock: watched.clock, concurrency: 4 });
    await rig.dispatcher.submitMany(limited, inputs(2));
    await rig.dispatcher.submitMany(long, inputs(4, 'a', 150));
    for (let i = 0; i < 10; i++) {
      await rig.clock.advance(30);
      await rig.dispatcher.submitMany(limited, inputs(2, 'a', i * 7));
    }
    await rig.clock.advance(2_000);
    assert.equal(watched.startsOf('limited').length, 22);
    watched.assertRate('limited', 3, 100);
  }),
);

test(
  'each key has its own rate, and one that has used it up keeps no other key waiting',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', { rateLimit: { limit: 1, intervalMs: 50, key: ({ key }) => key } });
    await using rig = await rigOf(task, { clock: watched.clock, concurrency: 1 });
    await rig.dispatcher.submitMany(task, [...inputs(30, 'a'), ...inputs(2, 'b'), ...inputs(1, 'c')]);
    await rig.clock.advance(100);
    assert.deepEqual(watched.startsOf('task a'), [0, 50, 100]);
    assert.deepEqual(watched.startsOf('task b'), [0, 50]);
    assert.deepEqual(watched.startsOf('task c'), [0]);
  }),
);

test(
  'the rate of a queue holds for all of its tasks together',
  withLeakCheck(async () => {
    const watched = new Watched();
    const one = watched.task('one', { queue: 'slow' });
    const two = watched.task('two', { queue: 'slow' });
    const free = watched.task('free', { queue: 'fast' });
    const queues = { slow: { rateLimit: { limit: 2 } }, fast: {} };
    await using rig = await rigOf([one, two, free], { clock: watched.clock, queues });
    await rig.dispatcher.submitMany(one, inputs(3));
    await rig.dispatcher.submitMany(two, inputs(2));
    await rig.dispatcher.submitMany(free, inputs(2));
    await rig.clock.advance(5_000);
    assert.deepEqual(watched.startsOf('one'), [0, 0, 1_000]);
    assert.deepEqual(watched.startsOf('two'), [1_000, 2_000]);
    assert.deepEqual(watched.startsOf('free'), [0, 0]);
  }),
);

test(
  'of several rates all hold: of the task, of its keys, of the queue',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', {
      rateLimit: [
        { limit: 5, intervalMs: 1_000 },
        { limit: 2, intervalMs: 100, key: ({ key }) => key },
      ],
    });
    const queues = { default: { rateLimit: { limit: 3, intervalMs: 50 } } };
    await using rig = await rigOf(task, { clock: watched.clock, queues });
    await rig.dispatcher.submitMany(task, [...inputs(6, 'a'), ...inputs(6, 'b')]);
    await rig.clock.advance(10_000);
    assert.equal(watched.starts.length, 12);
    watched.assertRate('task', 5, 1_000);
    watched.assertRate('task a', 2, 100);
    watched.assertRate('task b', 2, 100);
    watched.assertRate('task', 3, 50);
  }),
);

test(
  'retries count: each attempt is a start',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', { rateLimit: { limit: 2, intervalMs: 100 }, attempts: 3, fails: () => true });
    await using rig = await rigOf(task, { clock: watched.clock });
    await rig.dispatcher.submitMany(task, inputs(2));
    await rig.clock.advance(1_000);
    assert.deepEqual(watched.startsOf('task'), [0, 0, 100, 100, 200, 200]);
  }),
);

test(
  'a slot is spent at the start, not at the submission, and not by what never starts',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', { rateLimit: { limit: 2, intervalMs: 100 } });
    await using rig = await rigOf(task, { clock: watched.clock });
    for (let i = 0; i < 2; i++) await rig.dispatcher.submit(task, { key: 'later' }, { delayMs: 50 });
    const [, , canceled] = await rig.dispatcher.submitMany(task, inputs(4, 'now'));
    await settle();
    assert.equal(canceled!.status, 'queued');
    await canceled!.cancel();
    await rig.clock.advance(1_000);
    assert.deepEqual(watched.startsOf('task now'), [0, 0, 200]);
    assert.deepEqual(watched.startsOf('task later'), [100, 100]);
  }),
);

test(
  'a dispatcher that stops and the next one keep the rate between them, also with what was handed back',
  withLeakCheck(async () => {
    const watched = new Watched();
    const task = watched.task('task', { rateLimit: { limit: 2, intervalMs: 1_000 } });
    await using rig = await rigOf(task, { clock: watched.clock });
    const calls = await rig.dispatcher.submitMany(task, inputs(3, 'a', 100));
    await rig.clock.advance(10);
    const stopping = rig.dispatcher.stop({ graceMs: 0 });
    await rig.clock.advance(100);
    assert.equal((await stopping).requeued, 2);
    await using _ = await rigOf(task, { clock: watched.clock, engine: rig.engine });
    await rig.clock.advance(5_000);
    assert.deepEqual(watched.startsOf('task'), [0, 0, 1_000, 1_000, 2_000]);
    assert.deepEqual(statesOf(calls), ['completed', 'completed', 'completed']);
  }),
);

test(
  'a call that has waited for a worker of a manager that others work on too counts from when it begins',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: number[] = [];
    const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 1, clock });
    const task = defineTask({
      name: 'task',
      manager: 'shared',
      rateLimit: { limit: 1, intervalMs: 100 },
      run: () => void starts.push(clock.now()),
    });
    {
      await using rig = await rigOf(task, { clock, managers: { shared: manager } });
      for (const ms of [90, 70, 250, 40]) void manager.queueTask(() => pause(clock, ms));
      const calls = await rig.dispatcher.submitMany(task, Array(6).fill(1));
      await clock.advance(2_000);
      for (const status of statesOf(calls)) assert.equal(status, 'completed');
      for (const [i, at] of starts.slice(1).entries()) assert.ok(at - starts[i]! >= 100, `${starts}`);
    }
    await passing(clock, manager.stop());
  }),
);

test(
  'a call that has waited for a worker for so long that others took its place goes back, and loses no attempt',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: number[] = [];
    const [busy, free] = [1, 2].map(() => new TaskManager({ workerCount: 1, maxWorkerCount: 1, clock }));
    const task = defineTask({
      name: 'task',
      manager: 'shared',
      rateLimit: { limit: 1, intervalMs: 100 },
      run: ({ attempt }) => void starts.push(clock.now() * attempt),
    });
    {
      void busy!.queueTask(() => pause(clock, 450));
      await using rig = await rigOf(task, { clock, managers: { shared: busy! } });
      const calls = await rig.dispatcher.submitMany(task, Array(9).fill(1));
      await settle();
      assert.equal(calls[0]!.status, 'started', 'as the engine sees it');
      await using _ = await rigOf(task, { clock, engine: rig.engine, managers: { shared: free! } });
      await clock.advance(2_000);
      assert.deepEqual(starts, [100, 200, 300, 400, 500, 600, 700, 800, 900]);
      assert.equal(calls[0]!.info.startedAt, 500);
    }
    await passing(clock, Promise.all([busy!.stop(), free!.stop()]));
  }),
);
