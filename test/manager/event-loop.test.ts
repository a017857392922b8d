/** Promise 9: however many tasks are ready, timers and I/O get their turn. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { realClock } from '../../src/go/clock.ts';
import { type TaskContext, TaskManager, type TaskManagerOptions } from '../../src/manager/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';

/** Counts runs, and the most of them in one turn of the event loop. */
class Turns {
  runs = 0;
  most = 0;
  turns = 0;
  #inThisTurn = 0;
  #immediate: NodeJS.Immediate;

  constructor() {
    this.#immediate = setImmediate(this.#onTurn);
  }

  readonly count = (): void => {
    this.runs++;
    this.most = Math.max(this.most, ++this.#inThisTurn);
  };

  readonly #onTurn = (): void => {
    this.turns++;
    this.#inThisTurn = 0;
    this.#immediate = setImmediate(this.#onTurn);
  };

  stop(): void {
    clearImmediate(this.#immediate);
  }
}

/** Runs `work`, which is to make `runs` runs, and says how many there were at most between two turns. */
async function mostInATurn(
  options: TaskManagerOptions<undefined>,
  runs: number,
  work: (manager: TaskManager, count: () => void) => unknown,
): Promise<number> {
  const manager = new TaskManager({ burstIntervalMs: 0, collector: false, ...options });
  const turns = new Turns();
  try {
    await work(manager, turns.count);
    assert.ok(turns.runs >= runs, `${turns.runs} of ${runs} runs`);
    return turns.most;
  } finally {
    turns.stop();
    await manager.stop();
  }
}

/** Runs that are under way when a turn ends belong to the next: allow for the workers, and for what isn't counted. */
const SLACK = 100;

for (const asyncContext of [true, false]) {
  for (const [kind, fn] of [
    ['synchronous', (count: () => void) => count],
    ['asynchronous', (count: () => void) => async () => count()],
    [
      'longer',
      (count: () => void) => async () => {
        for (let i = 0; i < 5; i++) await null;
        count();
      },
    ],
  ] as const) {
    test(
      `6,000 ready ${kind} tasks take turns with the event loop (asyncContext: ${asyncContext})`,
      withLeakCheck(async () => {
        // By their number alone: how many there are in 10 ms is for the machine to say.
        const yieldAfter = { ms: 60_000 };
        for (const workerCount of [1, 8]) {
          const most = await mostInATurn({ workerCount, asyncContext, yieldAfter }, 6_000, async (manager, count) => {
            const task = fn(count);
            const tasks = Array.from({ length: 6_000 }, () => manager.queueTask(task));
            await Promise.all(tasks);
          });
          assert.ok(most <= 1_000 + SLACK, `${most} runs in a turn`);
          assert.ok(most >= 500, `${most} runs in a turn: a turn for a few tasks only would be slow`);
        }
      }),
    );
  }
}

test(
  'yieldAfter.tasks is what one turn may run',
  withLeakCheck(async () => {
    for (const tasks of [1, 10, 250]) {
      const most = await mostInATurn({ workerCount: 1, yieldAfter: { tasks } }, 2_000, (manager, count) =>
        Promise.all(Array.from({ length: 2_000 }, () => manager.queueTask(count))),
      );
      assert.ok(most <= tasks + SLACK, `${most} runs in a turn of ${tasks}`);
    }
  }),
);

test(
  'yieldAfter.ms is how long one turn may run',
  withLeakCheck(async () => {
    // A clock by which each task takes a ms.
    let now = 0;
    const clock = { ...realClock, timeOrigin: 0, now: () => now };
    const most = await mostInATurn({ workerCount: 1, clock, yieldAfter: { ms: 20 } }, 2_000, (manager, count) =>
      Promise.all(
        Array.from({ length: 2_000 }, () =>
          manager.queueTask(() => {
            now++;
            count();
          }),
        ),
      ),
    );
    assert.ok(most <= 20 + SLACK, `${most} ms in a turn`);
  }),
);

test(
  'tasks submitted each after the last take turns too',
  withLeakCheck(async () => {
    for (const asyncContext of [true, false]) {
      const most = await mostInATurn({ workerCount: 4, asyncContext }, 6_000, async (manager, count) => {
        for (let i = 0; i < 6_000; i++) await manager.queueTask(count);
      });
      assert.ok(most <= 1_000 + SLACK, `${most} runs in a turn`);
    }
  }),
);

test(
  'tasks that submit their successors take turns',
  withLeakCheck(async () => {
    const most = await mostInATurn({ workerCount: 2 }, 6_000, async (manager, count) => {
      let left = 6_000;
      await new Promise<void>((resolve) => {
        const next = (): void => {
          count();
          if (--left > 0) void manager.queueTask(next);
          else resolve();
        };
        void manager.queueTask(next);
      });
    });
    assert.ok(most <= 1_000 + SLACK, `${most} runs in a turn`);
  }),
);

for (const workerCount of [1, 4]) {
  test(
    `children take turns, on ${workerCount === 1 ? 'their parent’s worker' : 'free workers'} too`,
    withLeakCheck(async () => {
      for (const asyncContext of [true, false]) {
        const inOneGo = await mostInATurn({ workerCount, asyncContext }, 5_000, (manager, count) =>
          manager.queueTask((ctx) => Promise.all(Array.from({ length: 5_000 }, () => ctx.queueTask(count)))),
        );
        assert.ok(inOneGo <= 1_000 + SLACK, `${inOneGo} runs in a turn`);
        const oneByOne = await mostInATurn({ workerCount, asyncContext }, 5_000, (manager, count) =>
          manager.queueTask(async (ctx) => {
            for (let i = 0; i < 5_000; i++) await ctx.queueTask(count);
          }),
        );
        assert.ok(oneByOne <= 1_000 + SLACK, `${oneByOne} runs in a turn`);
      }
    }),
  );
}

test(
  'a deep family takes turns',
  withLeakCheck(async () => {
    const most = await mostInATurn({ workerCount: 1 }, 5_000, (manager, count) => {
      const dig = async (ctx: TaskContext<undefined>, depth: number): Promise<void> => {
        count();
        if (depth < 5_000) await ctx.queueTask((inner) => dig(inner, depth + 1));
      };
      return manager.queueTask((ctx) => dig(ctx, 1));
    });
    assert.ok(most <= 1_000 + SLACK, `${most} runs in a turn`);
  }),
);

test(
  'failing tasks, retries and their ends take turns',
  withLeakCheck(async () => {
    const failing = await mostInATurn({ workerCount: 2 }, 5_000, (manager, count) =>
      Promise.allSettled(
        Array.from({ length: 5_000 }, () =>
          manager.queueTask(() => {
            count();
            throw new Error('mine');
          }),
        ),
      ),
    );
    assert.ok(failing <= 1_000 + SLACK, `${failing} runs in a turn`);
    const retried = await mostInATurn({ workerCount: 2 }, 5_000, (manager, count) =>
      manager
        .queueTask(
          () => {
            count();
            throw new Error('once more');
          },
          { retry: { attempts: 5_000, baseMs: 0 } },
        )
        .catch(() => {}),
    );
    assert.ok(retried <= 1_000 + SLACK, `${retried} runs in a turn`);
  }),
);

test(
  'a map over a long input takes turns',
  withLeakCheck(async () => {
    const most = await mostInATurn({ workerCount: 4 }, 5_000, async (manager, count) => {
      const input = Array.from({ length: 5_000 }, (_, i) => i);
      for await (const _ of manager.map(input, count));
    });
    assert.ok(most <= 1_000 + SLACK, `${most} runs in a turn`);
  }),
);

test(
  'timers fire and files are read while a hundred thousand tasks are ready',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 4, burstIntervalMs: 0 });
    let done = 0;
    const tasks = Array.from({ length: 100_000 }, () => manager.queueTask(() => done++));
    const doneAt = Promise.all([
      new Promise<number>((resolve) => {
        setTimeout(() => resolve(done), 1);
      }),
      readFile(fileURLToPath(import.meta.url)).then(() => done),
      new Promise<number>((resolve) => {
        setImmediate(() => resolve(done));
      }),
    ]);
    for (const count of await doneAt) assert.ok(count < 90_000, `${count} tasks were done by then`);
    await Promise.all(tasks);
    await manager.stop();
  }),
);

test(
  'while a turn is waited for, nothing is lost: the end comes in order',
  withLeakCheck(async () => {
    const manager = new TaskManager({ workerCount: 1, burstIntervalMs: 0, yieldAfter: { tasks: 3 } });
    const order: number[] = [];
    manager.pause();
    const tasks = Array.from({ length: 50 }, (_, i) => manager.queueTask(() => order.push(i)));
    const { completed } = await manager.stop();
    await Promise.all(tasks);
    assert.deepEqual(
      order,
      Array.from({ length: 50 }, (_, i) => i),
    );
    assert.equal(completed, 50);
  }),
);
