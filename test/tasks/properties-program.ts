/** Random programs for {@link World}. */
import fc from 'fast-check';
import type { QueueMap } from '../../src/tasks/index.ts';
import type { EngineOperation } from '../../src/testing/index.ts';
import { type Act, type Input, QUEUES, type Rules, type Step, World } from './properties-world.ts';

const act: fc.Arbitrary<Act> = fc.record({
  does: fc.oneof(
    { weight: 6, arbitrary: fc.constant('ends' as const) },
    { weight: 3, arbitrary: fc.constant('fails' as const) },
    { weight: 1, arbitrary: fc.constantFrom('waits' as const, 'is deaf' as const, 'skips' as const) },
    { weight: 2, arbitrary: fc.constant('steps' as const) },
  ),
  ms: fc.constantFrom(0, 0, 1, 7, 30, 150, 1_100),
});
const input: fc.Arbitrary<Input> = fc.record({
  key: fc.constantFrom('x', 'y', 'z'),
  acts: fc.array(act, { minLength: 1, maxLength: 3 }),
});

function maybe<T>(arbitrary: fc.Arbitrary<T>, freq = 2): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { nil: undefined, freq });
}

const rules: fc.Arbitrary<Rules> = fc.record({
  queue: fc.constantFrom(...QUEUES),
  priority: fc.constantFrom(0, 0, 1, -1),
  retry: maybe(
    fc.record({
      attempts: fc.integer({ min: 1, max: 3 }),
      baseMs: fc.constantFrom(0, 5, 40),
      backoff: fc.constantFrom('constant' as const, 'linear' as const, 'exponential' as const),
      jitter: fc.constantFrom('none' as const, 'full' as const),
    }),
    3,
  ),
  timeoutMs: maybe(fc.constantFrom(10, 100, 2_000)),
  stallAfterMs: maybe(fc.constantFrom(20, 500)),
  onStall: fc.constantFrom('fail' as const, 'retry' as const),
  onWorkerLost: fc.constantFrom('retry' as const, 'retry' as const, 'fail' as const),
  onShutdown: fc.constantFrom('stop' as const, 'requeue' as const, 'drain' as const),
  onDuplicate: maybe(fc.constantFrom('parallel' as const, 'serial' as const, 'discard' as const, 'queueOne' as const)),
  deadLetter: fc.boolean(),
  rate: maybe(
    fc.record({
      limit: fc.integer({ min: 1, max: 3 }),
      intervalMs: fc.constantFrom(25, 130),
      isKeyed: fc.boolean(),
    }),
  ),
  concurrency: maybe(fc.record({ limit: fc.integer({ min: 1, max: 2 }), isKeyed: fc.boolean() })),
});

const OPERATIONS: readonly EngineOperation[] = [
  'submit',
  'begin',
  'fetch',
  'renew',
  'ack',
  'fail',
  'release',
  'update',
  'limit',
];

const which = fc.nat(5);
const queues = fc.constantFrom<QueueMap>(
  { a: {}, b: {} },
  { b: { weight: 3 }, a: {} },
  { a: { concurrency: 1 }, b: {} },
  { b: {} },
);
const step: fc.Arbitrary<Step> = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constant('submit'),
      task: fc.nat(3),
      inputs: fc.array(input, { minLength: 1, maxLength: 8 }),
      id: maybe(fc.nat(8), 5),
      delayMs: fc.constantFrom(0, 0, 0, 10, 200),
      which,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel'), call: fc.nat(100) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('fail'),
      operation: fc.constantFrom(...OPERATIONS),
      times: fc.constantFrom(1, 1, 2, 4, 6),
      when: fc.constantFrom('before', 'after'),
      which,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('lose', 'go down', 'deafen'), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('come up'), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash'), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop'), graceMs: fc.constantFrom(0, 50, 500), which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('open'),
      name: maybe(fc.constant('same'), 2),
      order: fc.constantFrom('strict', 'weighted'),
      queues: maybe(queues),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('set queues'), queues, which }) },
);

export const program = fc.record({
  rules: fc.array(rules, { minLength: 1, maxLength: 3, size: 'max' }),
  steps: fc.array(fc.tuple(fc.constantFrom(0, 0, 0, 1, 5, 20, 100, 700), step), {
    minLength: 1,
    maxLength: 60,
    size: 'max',
  }),
  random: fc.integer({ min: 1, max: 2_147_483_646 }),
});

/** Runs a program to its end. Rejects with what isn't as it should be. */
export async function runProgram({
  rules,
  steps,
  random,
}: typeof program extends fc.Arbitrary<infer P> ? P : never): Promise<void> {
  const { random: realRandom } = Math;
  let last = random;
  Math.random = () => {
    last = (last * 48_271) % 2_147_483_647;
    return last / 2_147_483_647;
  };
  try {
    const world = new World(rules);
    world.open(undefined, 'strict', undefined);
    for (const [ms, step] of steps) {
      await world.clock.advance(ms);
      world.perform(step);
    }
    await world.finish();
  } finally {
    Math.random = realRandom;
  }
}
