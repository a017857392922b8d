/** Groups: what may run at once, in which order, and what is told, against what a list of the calls says. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { background, ErrGroup, QueueFullError, TaskManager } from '../../src/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { property } from './support/check.ts';

interface Plan {
  readonly turns: number;
  readonly fails: boolean;
  readonly how: 'go' | 'tryGo' | 'goAll';
  readonly pause: boolean;
  /** The turn in which its signal fires, if it has one. */
  readonly leavesAt: number | undefined;
}

const plans: fc.Arbitrary<Plan[]> = fc.array(
  fc.record({
    turns: fc.nat(4),
    fails: fc.boolean(),
    how: fc.constantFrom('go', 'go', 'tryGo', 'goAll'),
    pause: fc.boolean(),
    leavesAt: fc.option(fc.nat(6), { nil: undefined }),
  }),
  { maxLength: 30 },
);

/** A signal that fires in a while, if it is to, and whether its function began before or never did. */
function leaver({ leavesAt }: Plan, hasBegun: () => boolean): { signal?: AbortSignal; obeyed?: Promise<boolean> } {
  if (leavesAt === undefined) return {};
  const controller = new AbortController();
  const check = async () => {
    for (let i = 0; i < leavesAt; i++) await (i % 3 === 2 ? turn() : undefined);
    const had = hasBegun();
    controller.abort('left');
    await turn();
    return hasBegun() === had;
  };
  return { signal: controller.signal, obeyed: check() };
}

property(
  'whatever is begun, no more than the limit run at once, all run in their order, and the first error is told',
  100,
  fc.record({ limit: fc.integer({ min: 1, max: 4 }), plans }),
  async ({ limit, plans }) => {
    const [group, ctx] = ErrGroup.withContext(background());
    group.setLimit(limit);
    const started: number[] = [];
    const wanted: number[] = [];
    const refused = new Set<number>();
    const goes: Promise<unknown>[] = [];
    const leavers: (Promise<boolean> | undefined)[] = [];
    let alive = 0;
    let most = 0;
    let first: string | undefined;
    for (const [index, plan] of plans.entries()) {
      const run = async (): Promise<number> => {
        started.push(index);
        most = Math.max(most, ++alive);
        for (let i = 0; i < plan.turns; i++) await (i % 2 === 0 ? undefined : turn());
        alive--;
        if (plan.fails) {
          first ??= `error ${index}`;
          throw `error ${index}`;
        }
        return index;
      };
      wanted.push(index);
      if (plan.how === 'tryGo') {
        if (group.tryGo(run)) assert.equal(started.at(-1), index);
        else refused.add(index);
      } else if (plan.how === 'goAll') {
        goes.push(
          group.goAll([run]).then(
            ([value]) => assert.equal(value, index),
            () => assert.ok(plan.fails),
          ),
        );
      } else {
        const { signal, obeyed } = leaver(plan, () => started.includes(index));
        leavers.push(obeyed);
        goes.push(
          group.go(run, { signal }).catch((reason) => {
            assert.equal(reason, 'left');
            refused.add(index);
          }),
        );
      }
      if (plan.pause) await turn();
    }
    const [outcome] = await Promise.allSettled([group.wait()]);
    await Promise.all(goes);
    assert.ok(!(await Promise.all(leavers)).includes(false), 'none begins after its signal has fired');
    assert.equal(alive, 0);
    assert.ok(most <= limit, `${most} at once`);
    assert.deepEqual(
      started,
      wanted.filter((index) => !refused.has(index)),
    );
    assert.deepEqual(
      outcome,
      first === undefined ? { status: 'fulfilled', value: undefined } : { status: 'rejected', reason: first },
    );
    assert.equal(ctx.cause, first ?? ctx.err);
  },
);

property(
  'a group of tasks keeps to its limit and to the workers, begins nothing after its first error, and joins what it began',
  50,
  fc.record({
    workerCount: fc.integer({ min: 1, max: 3 }),
    limit: fc.constantFrom(1, 2, 5, Number.POSITIVE_INFINITY),
    maxQueueSize: fc.constantFrom(1, 4, Number.POSITIVE_INFINITY),
    overflow: fc.constantFrom('reject' as const, 'wait' as const),
    plans,
  }),
  async ({ workerCount, limit, maxQueueSize, overflow, plans }) => {
    const manager = new TaskManager({ workerCount, burstIntervalMs: 0, maxQueueSize, overflow });
    try {
      const group = manager.group();
      group.setLimit(limit);
      const started: number[] = [];
      const goes: Promise<unknown>[] = [];
      const leavers: (Promise<boolean> | undefined)[] = [];
      let alive = 0;
      let most = 0;
      const late: number[] = [];
      let isKnown = false;
      let first: string | undefined;
      for (const [index, plan] of plans.entries()) {
        const run = async (): Promise<number> => {
          if (isKnown) late.push(index);
          started.push(index);
          most = Math.max(most, ++alive);
          for (let i = 0; i < plan.turns; i++) await (i % 2 === 0 ? undefined : turn());
          alive--;
          if (!plan.fails) return index;
          first ??= `error ${index}`;
          // The manager hears of it in a microtask.
          setImmediate(() => {
            isKnown = true;
          });
          throw `error ${index}`;
        };
        if (plan.how === 'tryGo') group.tryGo(run);
        else if (plan.how === 'goAll') goes.push(group.goAll([run]).catch(() => {}));
        else {
          const { signal, obeyed } = leaver(plan, () => started.includes(index));
          leavers.push(obeyed);
          goes.push(group.go(run, { signal }).catch((reason) => assert.equal(reason, 'left')));
        }
        if (plan.pause) await turn();
      }
      const [outcome] = await Promise.allSettled([group.wait()]);
      await Promise.all(goes);
      assert.ok(!(await Promise.all(leavers)).includes(false), 'none begins after its signal has fired');
      assert.equal(alive, 0);
      assert.ok(most <= Math.min(limit, workerCount), `${most} at once`);
      assert.deepEqual(late, [], 'nothing begins after the first error');
      assert.deepEqual(
        started,
        [...started].sort((one, other) => one - other),
      );
      const error: unknown = outcome.status === 'rejected' ? outcome.reason : undefined;
      const isRefusal = error instanceof QueueFullError && overflow === 'reject' && maxQueueSize < plans.length;
      if (!isRefusal) assert.equal(error, first);
      const { runningTasks, queuedTasks, waitingForRoom } = manager.stats();
      assert.deepEqual(
        { runningTasks, queuedTasks, waitingForRoom },
        { runningTasks: 0, queuedTasks: 0, waitingForRoom: 0 },
      );
    } finally {
      await manager.kill();
    }
  },
);
