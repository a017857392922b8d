/** The memory engine under random programs, held against a model that is too plain to be wrong. */
import fc from 'fast-check';
import { memoryEngine } from '../../src/engines/index.ts';
import { VirtualClock } from '../../src/testing/index.ts';
import { property } from './support/check.ts';
import { EngineRun, type EngineStep } from './support/engine-world.ts';

// Things of different kinds never happen at one instant, for their order then is nobody's business: steps are at
// multiples of 4, leases expire 1 after, delays end 2 after, and calls are forgotten 3 after.
const delayMs = fc.constantFrom(0, 2, 10, 42);
const leaseMs = fc.constantFrom(5, 41, 201);
const keptMs = fc.constantFrom(Infinity, Infinity, 0, 43);
const which = fc.nat(1_000);
/** Mostly one of the last, counted from the end. */
const recent = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: -4, max: -1 }) }, { weight: 1, arbitrary: which });
const limit = fc.option(
  fc.record(
    {
      rate: fc.record({ limit: fc.constantFrom(0, 1, 2, 2, 3), intervalMs: fc.constant(40) }),
      concurrency: fc.nat(3),
    },
    { requiredKeys: [] },
  ),
  { nil: undefined, freq: 6 },
);
const consumer = fc.nat(1);
const all = fc.constant({
  queues: ['x', 'y'].map((name) => ({ name, max: 1_000 })),
  max: 1_000,
  room: { m: 1_000, n: 1_000 },
});
const some = fc.record({
  queues: fc.array(fc.record({ name: fc.constantFrom('x', 'y', 'none'), max: fc.nat(4) }), { maxLength: 3 }),
  max: fc.nat(5),
  room: fc.dictionary(fc.constantFrom('m', 'n'), fc.nat(3), { noNullPrototype: true }),
});

const step: fc.Arbitrary<EngineStep> = fc.oneof<fc.WeightedArbitrary<EngineStep>[]>(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('submit'),
      queue: fc.constantFrom('x', 'y'),
      manager: fc.constantFrom('m', 'n'),
      priority: fc.constantFrom(0, 0, 0, 1, -0.5),
      lanes: fc.constantFrom<string[][]>([], ['a'], ['a\n1'], ['a', 'b'], ['b\n1', 'a'], ['a\n1', 'b\n2'], ['b', 'b']),
      key: fc.constantFrom(undefined, undefined, 'k', 'l'),
      onDuplicate: fc.constantFrom('parallel', 'serial', 'serial', 'discard', 'queueOne', 'queueOne'),
      keptMs,
      delayMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: delayMs }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('submitAgain'), which }) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(consumer, leaseMs, fc.oneof(all, some))
      .map(([consumer, leaseMs, wish]) => ({ do: 'fetch', consumer, leaseMs, ...wish })),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('ack'), which: recent }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('start'), which: recent }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release'), which: recent, delayMs, hasBegun: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('fail'),
      which: recent,
      then: fc.oneof(fc.constantFrom('failed', 'deadLettered'), delayMs),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('renew'), which: recent, leaseMs }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('cancel'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('schedule'), which, delayMs }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('begin', 'end'), consumer }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('limit'), lane: fc.constantFrom('a', 'b'), limit }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('resubmit', 'remove') }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('advance'), ms: fc.constantFrom(0, 4, 12, 40, 44) }) },
);

property(
  'whatever happens, the memory engine does as the model says: order, leases, limits, duplicates, and every call ends',
  150,
  fc.record({ a: limit, b: limit, steps: fc.array(step, { maxLength: 80, size: 'max' }) }),
  async ({ a, b, steps }) => {
    const clock = new VirtualClock();
    const limits = Object.entries({ a, b }).map(([lane, limit]): EngineStep => ({ do: 'limit', lane, limit }));
    await new EngineRun(memoryEngine({ clock }), clock).run([...limits, ...steps]);
  },
);
