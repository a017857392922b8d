/** Promise 5: the order of starts, against a list that is sorted and searched the naive way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type TaskHandle, TaskManager } from '../../src/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { seed } from './support/seed.ts';

const { ERRAND_RUNS } = process.env;
const numRuns = Math.round(40 * Number(ERRAND_RUNS ?? 1));

interface Entry {
  readonly name: number;
  priority: number;
  readonly key: string | undefined;
  readonly at: number;
  /** Its place among those of its priority and key: by submission, and by the last move. */
  place: number;
}

type Step =
  | { readonly do: 'queue'; readonly priority: number; readonly key: string | undefined }
  | { readonly do: 'cancel' | 'move'; readonly which: number; readonly priority: number }
  | { readonly do: 'wait'; readonly ms: number };

const priority = fc.integer({ min: -2, max: 2 });
const key = fc.constantFrom(undefined, 'a', 'b', 'c');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('queue' as const), priority, key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat(200), priority }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move' as const), which: fc.nat(200), priority }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40 }) }) },
);

/** Queues by `steps` behind a pause, lets one worker start all, and returns what started, with what a model kept. */
async function startsOf(
  steps: readonly Step[],
  agingMs: number | undefined,
): Promise<{ started: number[]; model: Entry[] }> {
  const clock = new VirtualClock();
  const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 1, agingMs, clock, burstIntervalMs: 0 });
  manager.pause();
  const handles: TaskHandle<void>[] = [];
  const started: number[] = [];
  let model: Entry[] = [];
  let places = 0;
  for (const next of steps) {
    if (next.do === 'wait') await clock.advance(next.ms);
    else if (next.do === 'queue') {
      const name = handles.length;
      handles.push(manager.queueTaskAsync(() => void started.push(name), { priority: next.priority, key: next.key }));
      model.push({ name, priority: next.priority, key: next.key, at: clock.now(), place: places++ });
    } else if (handles.length > 0) {
      const name = next.which % handles.length;
      const queued = model.find((entry) => entry.name === name);
      if (next.do === 'cancel') {
        assert.equal(handles[name]!.cancel(), queued !== undefined);
        model = model.filter((entry) => entry !== queued);
      } else {
        assert.equal(handles[name]!.setPriority(next.priority), queued !== undefined);
        if (queued !== undefined) Object.assign(queued, { priority: next.priority, place: places++ });
      }
    }
  }
  assert.equal(manager.stats().queuedTasks, model.length);
  manager.resume();
  await manager.onIdle();
  await manager.stop();
  return { started, model };
}

/** The lanes of one priority take turns in the order in which they came to have something; each is first in, first out. */
function roundRobin(entries: readonly Entry[]): number[] {
  const lanes = new Map<string | undefined, Entry[]>();
  for (const entry of [...entries].sort((a, b) => a.place - b.place)) {
    const lane = lanes.get(entry.key);
    if (lane === undefined) lanes.set(entry.key, [entry]);
    else lane.push(entry);
  }
  const starts: number[] = [];
  while (lanes.size > 0) {
    for (const [name, lane] of lanes) {
      starts.push(lane.shift()!.name);
      if (lane.length === 0) lanes.delete(name);
    }
  }
  return starts;
}

test(
  'tasks start by priority, then first in, first out, whatever was canceled or moved meanwhile',
  withLeakCheck(async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const keyless = steps.map((next) => (next.do === 'queue' ? { ...next, key: undefined } : next));
        const { started, model } = await startsOf(keyless, undefined);
        const expected = [...model].sort((a, b) => b.priority - a.priority || a.place - b.place);
        assert.deepEqual(
          started,
          expected.map(({ name }) => name),
        );
      }),
      { seed, numRuns },
    );
  }),
);

test(
  'the keys of a priority take turns, and each is first in, first out',
  withLeakCheck(async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        // Without cancels and moves a lane's first turn is where its first task stands.
        const queuing = steps.filter((next) => next.do === 'queue' || next.do === 'wait');
        const { started, model } = await startsOf(queuing, undefined);
        const priorities = [...new Set(model.map((entry) => entry.priority))].sort((a, b) => b - a);
        const expected = priorities.flatMap((level) => roundRobin(model.filter((entry) => entry.priority === level)));
        assert.deepEqual(started, expected);
      }),
      { seed, numRuns },
    );
  }),
);

test(
  'with ageing, the next is the head of a level with the least time of submission less priority times agingMs',
  withLeakCheck(async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 50 }), async (steps, agingMs) => {
        const plain = steps.filter((next) => next.do !== 'move').map((next) => ({ ...next, key: undefined }) as Step);
        const { started, model } = await startsOf(plain, agingMs);
        const left = [...model];
        for (const name of started) {
          const entry = left.find((other) => other.name === name)!;
          const rank = (other: Entry): number => other.at - other.priority * agingMs;
          // Stamps of one instant differ by nanoseconds, which the model doesn't know.
          for (const other of left) assert.ok(rank(entry) <= rank(other) + 0.01, `${name} went before ${other.name}`);
          left.splice(left.indexOf(entry), 1);
        }
        assert.equal(left.length, 0);
      }),
      { seed, numRuns },
    );
  }),
);

test(
  'a retry goes back to the place of its first submission',
  withLeakCheck(async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(3), { minLength: 1, maxLength: 40 }), async (failures) => {
        const manager = new TaskManager({ workerCount: 1, maxWorkerCount: 1, burstIntervalMs: 0 });
        manager.pause();
        const runs: number[] = [];
        const results = failures.map((times, index) => {
          let left = times;
          return manager.queueTask(
            async () => {
              runs.push(index);
              if (left-- > 0) throw new Error('again');
            },
            { retry: { attempts: 4, baseMs: 0 } },
          );
        });
        manager.resume();
        await Promise.all(results);
        await manager.stop();
        assert.deepEqual(
          runs,
          failures.flatMap((times, index) => new Array(times + 1).fill(index)),
        );
      }),
      { seed, numRuns },
    );
  }),
);

test(
  'no more tasks of a key are alive than concurrencyPerKey, and no worker rests while one could start',
  withLeakCheck(async () => {
    const job = fc.record({ key, ms: fc.integer({ min: 0, max: 20 }), priority });
    await fc.assert(
      fc.asyncProperty(
        fc.array(job, { maxLength: 60 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 5 }),
        async (jobs, concurrencyPerKey, workerCount) => {
          const clock = new VirtualClock();
          const manager = new TaskManager({
            workerCount,
            maxWorkerCount: workerCount,
            concurrencyPerKey,
            clock,
            burstIntervalMs: 0,
          });
          const alive = new Map<string | undefined, number>();
          let total = 0;
          const results = jobs.map(({ key: whose, ms, priority: level }) =>
            manager.queueTask(
              async () => {
                const mine = (alive.get(whose) ?? 0) + 1;
                alive.set(whose, mine);
                total++;
                if (whose !== undefined) assert.ok(mine <= concurrencyPerKey);
                assert.ok(total <= workerCount);
                await new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
                alive.set(whose, alive.get(whose)! - 1);
                total--;
              },
              { key: whose, priority: level },
            ),
          );
          const settled = Promise.all(results);
          while (manager.stats().queuedTasks + manager.stats().runningTasks > 0) {
            await clock.advance(1);
            if (manager.stats().idleWorkers === 0) continue;
            for (const { key: whose } of manager.tasks({ state: 'queued' })) {
              assert.ok(whose !== undefined && alive.get(whose)! >= concurrencyPerKey, 'a worker rests for nothing');
            }
          }
          await settled;
          await manager.stop();
        },
      ),
      { seed, numRuns },
    );
  }),
);
