/** Rate limiters under random programs. What holds after each step is seen to in {@link World}. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { VirtualClock } from '../../src/testing/index.ts';
import { LateClock } from '../go/limiting.ts';
import { property } from './support/check.ts';
import { INTERVAL_MS, type Step, World } from './support/rate-world.ts';

const n = fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, { weight: 3, arbitrary: fc.integer({ min: 0, max: 6 }) });
const limit = fc.integer({ min: 1, max: 6 });
const which = fc.nat(5);
const deadlineMs = fc.option(fc.integer({ min: 1, max: 600 }), { nil: undefined });
/** Quarters, as sums of them are exact. */
const quarters = fc.nat(40).map((count) => count / 4);
const ms = fc.oneof(fc.integer({ min: 0, max: 120 }), quarters);

const bucketStep = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('allow'), n }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('wait'), n, scope: which, deadlineMs }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('reserve'), n }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort'), which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cancel'), which: fc.nat(20) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('advance'), ms }) },
);
const strictStep = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 29, arbitrary: bucketStep },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('limit'), limit }) },
);

property(
  'a bucket lets pass no more than the burst and the rate, in any time, whatever is canceled',
  150,
  fc.record({
    limit,
    burst: fc.integer({ min: 1, max: 8 }),
    steps: fc.array(bucketStep, { maxLength: 60, size: 'max' }),
  }),
  async ({ limit, burst, steps }) => {
    const world = new World({ limit, burst }, new VirtualClock(), true);
    await world.run(steps);
    const events = [...world.events].sort((a, b) => a.at - b.at);
    for (const [i, first] of events.entries()) {
      let passed = 0;
      for (const { at, n } of events.slice(i)) {
        passed += n;
        const most = burst + (limit * (at - first.at)) / INTERVAL_MS;
        assert.ok(passed < most + 1e-3, `${passed} from ${first.at} to ${at}`);
      }
    }
  },
);

property(
  'no window has more than the strict limit; nobody waits or is refused while there is room, and all get their turn',
  150,
  fc.record({ limit, steps: fc.array(strictStep, { maxLength: 60, size: 'max' }) }),
  async ({ limit, steps }) => new World({ limit, strict: true }, new VirtualClock(), true).run(steps),
);

property(
  'no window has more than the strict limit, and all get their turn, in order, when timers are late or early',
  150,
  fc.record({
    limit,
    late: fc.array(fc.integer({ min: -30, max: 150 }), { minLength: 1 }),
    steps: fc.array(strictStep, { maxLength: 60, size: 'max' }),
  }),
  async ({ limit, late, steps }) => {
    let timers = 0;
    const clock = new LateClock(() => late[timers++ % late.length]!);
    await new World({ limit, strict: true }, clock, false).run(steps);
  },
);
