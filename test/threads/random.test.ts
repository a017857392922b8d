/**
 * A thousand calls under random cancellations, timeouts, crashes, exits and kills. The same ones each time; others by
 * ERRAND_SEED (see test/properties/support/seed.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { TaskContext, TaskHandle } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import type { Thread } from '../../src/threads/index.ts';
import { assertBooks } from '../manager/kit.ts';
import { seed } from '../properties/support/seed.ts';
import { manage, until, work } from './kit.ts';

/** What modules/chaos.js exports. */
interface Chaos {
  quick(index: number): number;
  later(index: number, ms: number): Promise<number>;
  heedful(index: number): Promise<void>;
  busy(index: number): number;
  endless(index: number): never;
  fail(index: number): never;
  failLater(index: number, ms: number): Promise<never>;
  unsendable(index: number): unknown;
  exit(index: number): never;
  crashSoon(index: number): number;
  stream(index: number, to: number): AsyncGenerator<number>;
}

/** One call that a task makes, and what it does with it. */
interface Step {
  readonly name: keyof Chaos;
  readonly size: number;
  /** Of a stream: how many values are read. */
  readonly read: number;
  readonly isAwaited: boolean;
}

interface Plan {
  readonly steps: readonly Step[];
  /** All calls at once, or one after the other. */
  readonly isParallel: boolean;
  readonly isChild: boolean;
  readonly isPast: boolean;
  readonly timeoutMs: number | undefined;
  /** So many turns of the event loop after its begin. */
  readonly cancelAfter: number | undefined;
  readonly priority: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  name: fc.oneof(
    { weight: 80, arbitrary: fc.constantFrom('quick' as const, 'later' as const, 'stream' as const) },
    { weight: 24, arbitrary: fc.constantFrom('fail' as const, 'failLater' as const, 'unsendable' as const) },
    { weight: 12, arbitrary: fc.constantFrom('heedful' as const, 'busy' as const) },
    { weight: 3, arbitrary: fc.constantFrom('exit' as const, 'crashSoon' as const, 'endless' as const) },
  ),
  size: fc.nat(5),
  read: fc.nat(60),
  isAwaited: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
});

/** Seldom so. */
const seldom = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

function seldomNumber(max: number): fc.Arbitrary<number | undefined> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max }) },
  );
}

const plan: fc.Arbitrary<Plan> = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 3 }),
  isParallel: fc.boolean(),
  isChild: seldom,
  isPast: seldom,
  timeoutMs: seldomNumber(30),
  cancelAfter: seldomNumber(20),
  priority: fc.nat(2),
});

const CALLS = 1_000;
/** What never ends by itself. */
const ENDLESS = new Set<keyof Chaos>(['heedful', 'busy', 'endless']);

/** Plans of so many calls. What never ends by itself is limited, or canceled, one way or the other. */
function plansOf(calls: number): Plan[] {
  const plans: Plan[] = [];
  let count = 0;
  for (const one of fc.sample(plan, { seed, numRuns: calls })) {
    if (count >= calls) break;
    const steps = one.steps.slice(0, calls - count);
    count += steps.length;
    const needsLimit = steps.some(({ name }) => ENDLESS.has(name));
    plans.push({ ...one, steps, timeoutMs: one.timeoutMs ?? (needsLimit ? 20 : undefined) });
  }
  return plans;
}

class Storm {
  readonly runs = new Int32Array(new SharedArrayBuffer(4 * CALLS));
  readonly manager = manage<Chaos>(work('chaos.js'), {
    workerData: this.runs,
    workerCount: 2,
    terminateAfterMs: 15,
    killGraceMs: 5_000,
    resourcePoolSize: 2,
    maxTemporary: 20,
  });
  /** Calls whose functions have returned, or thrown, and those that have settled at all. */
  readonly returned = new Set<number>();
  readonly settled = new Set<number>();
  readonly made = new Set<number>();
  readonly handles: TaskHandle<void>[] = [];
  #next = 0;

  submit(one: Plan): void {
    const first = this.#next;
    this.#next += one.steps.length;
    const body = async (_: TaskContext<Thread<Chaos>>, thread: Thread<Chaos>): Promise<void> => {
      if (one.cancelAfter !== undefined) void cancel(one.cancelAfter);
      const calls: Promise<unknown>[] = [];
      for (const [i, each] of one.steps.entries()) {
        const call = this.#call(first + i, each, thread);
        if (!each.isAwaited) call.catch(() => {});
        else if (one.isParallel) calls.push(call);
        else await call;
      }
      await Promise.all(calls);
    };
    const { timeoutMs, priority } = one;
    const fn = one.isChild ? (ctx: TaskContext<Thread<Chaos>>) => ctx.queueTask(body).then(() => {}) : body;
    const handle = one.isPast
      ? this.manager.runTaskAsync(fn, { timeoutMs })
      : this.manager.queueTaskAsync(fn, { timeoutMs, priority });
    const cancel = async (turns: number): Promise<void> => {
      for (let i = 0; i < turns; i++) await turn();
      handle.cancel();
    };
    handle.result.catch(() => {});
    this.handles.push(handle);
  }

  async #call(index: number, { name, size, read }: Step, { api }: Thread<Chaos>): Promise<void> {
    this.made.add(index);
    try {
      if (name === 'stream') {
        let count = 0;
        for await (const value of api.stream(index, size * 10)) {
          assert.equal(value, count++);
          if (count > read) break;
        }
      } else await (api[name] as (index: number, ms: number) => Promise<unknown>)(index, size);
      this.returned.add(index);
    } finally {
      this.settled.add(index);
    }
  }

  /** What must hold when all is over. */
  check(): void {
    const { manager, handles, made, settled, returned, runs } = this;
    const states = new Map<string, number>();
    for (const { state } of handles) states.set(state, (states.get(state) ?? 0) + 1);
    assert.deepEqual(
      [...states.keys()].filter((state) => ['waiting', 'queued', 'running'].includes(state)),
      [],
      'each task has ended',
    );
    assert.deepEqual([...settled].sort(), [...made].sort(), 'each call has settled');
    const twice = [...runs.keys()].filter((index) => runs[index]! > 1);
    assert.deepEqual(twice, [], 'no function has run twice');
    for (const index of returned) assert.equal(runs[index], 1, `call ${index} has run`);
    assertBooks(manager);
    const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
    assert.equal(totalResourcesCreated, totalResourcesDestroyed, 'no thread is left');
  }
}

for (const end of ['stop', 'kill'] as const) {
  test(
    `${CALLS} random calls, ended by ${end}(): each settles once, none runs twice, no thread is left, the books balance`,
    { timeout: 120_000 },
    withLeakCheck(async () => {
      const storm = new Storm();
      const { manager } = storm;
      const plans = plansOf(CALLS);
      try {
        await manager.ready();
        for (const [i, one] of plans.entries()) {
          storm.submit(one);
          assertBooks(manager);
          // Not all at once, so that there are ends between the beginnings.
          if (i % 10 === 9) await until(() => manager.stats().queuedTasks + manager.stats().runningTasks < 5);
          if (end === 'kill' && i > plans.length / 2) break;
        }
        if (end === 'stop') await manager.stop();
        else await manager.kill();
        // What a call of a settled task hears comes in the turns after.
        await until(() => storm.settled.size === storm.made.size);
        storm.check();
        assert.ok(storm.made.size > (end === 'stop' ? 0.7 : 0.3) * CALLS, `only ${storm.made.size} calls were made`);
      } catch (error) {
        throw new Error(`with ERRAND_SEED=${seed}: ${(error as Error).message}`, { cause: error });
      }
    }),
  );
}
