/** How closely a task is looked at: what is timed, and what is left out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Histogram } from '../../src/metrics/histogram.ts';
import { defineTask, type ObserveOptions } from '../../src/tasks/index.ts';
import { thresholdOf } from '../../src/tasks/signals/observe.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { seed } from '../properties/support/seed.ts';
import { passing, pause, rigOf } from './kit.ts';

/** The figures of a task that takes as long as it is told, after calls that take so long each. */
async function figuresAfter(metrics: ObserveOptions['metrics'], calls: readonly number[]) {
  const clock = new VirtualClock();
  const task = defineTask({ name: 'task', observe: { metrics }, run: (_ctx, ms: number) => pause(clock, ms) });
  await using rig = await rigOf(task, { clock });
  const submitted = await rig.dispatcher.submitMany(task, calls);
  await passing(clock, Promise.all(submitted.map((call) => call.result)));
  return rig.dispatcher.metrics().tasks[0]!;
}

test(
  'with metrics: off calls are counted, and no histogram is touched',
  withLeakCheck(async () => {
    const { record } = Histogram.prototype;
    let recorded = 0;
    Histogram.prototype.record = function (ms) {
      recorded++;
      record.call(this, ms);
    };
    try {
      const off = await figuresAfter('off', [1, 2, 3]);
      assert.equal(recorded, 0);
      assert.deepEqual([off.submitted, off.processed.completed, off.executionTime.count], [3, 3, 0]);
      const all = await figuresAfter('all', [1, 2, 3]);
      assert.equal(recorded, 9);
      assert.deepEqual([all.executionTime.count, all.timeInQueue.count, all.endToEndLatency.count], [3, 3, 3]);
    } finally {
      Histogram.prototype.record = record;
    }
  }),
);

test(
  'with slowerThanMs only slow runs are timed, whatever is timed of them',
  withLeakCheck(async () => {
    const { processed, executionTime, timeInQueue, endToEndLatency } = await figuresAfter(
      { slowerThanMs: 100 },
      [1, 100, 101, 250],
    );
    assert.equal(processed.completed, 4);
    assert.deepEqual([executionTime.count, executionTime.minMs, executionTime.maxMs], [2, 101, 250]);
    assert.deepEqual([timeInQueue.count, endToEndLatency.count], [2, 2]);
  }),
);

test(
  'with a sample about so many calls are timed, and all of them are counted',
  withLeakCheck(async () => {
    const { processed, executionTime } = await figuresAfter(
      { sample: 0.25 },
      Array.from({ length: 400 }, () => 0),
    );
    assert.equal(processed.completed, 400);
    assert.ok(executionTime.count > 50 && executionTime.count < 150, String(executionTime.count));
  }),
);

test('the sample is by the id alone, even among ids that differ little, and a larger one has all of a smaller', () => {
  const isIn = (sample: number, id: string) => thresholdOf({ sample }, id) === 0;
  for (const share of [0.01, 0.1, 0.5, 0.9]) {
    let count = 0;
    for (let i = 0; i < 20_000; i++) if (isIn(share, `01HZX5K4${String(i).padStart(18, '0')}`)) count++;
    assert.ok(Math.abs(count / 20_000 - share) < 0.02, `${count} of 20000 for ${share}`);
  }
  fc.assert(
    fc.property(fc.string(), fc.double({ min: 0, max: 1 }), fc.double({ min: 0, max: 1 }), (id, a, b) => {
      assert.equal(isIn(0, id), false);
      assert.equal(isIn(1, id), true);
      if (isIn(Math.min(a, b), id)) assert.ok(isIn(Math.max(a, b), id));
    }),
    { seed },
  );
});

test(
  'what observe can not be is refused by name',
  withLeakCheck(async () => {
    const refused = (observe: unknown, name: string, message: RegExp) =>
      assert.throws(() => defineTask({ name: 'task', observe: observe as ObserveOptions, run: () => 1 }), {
        name,
        message,
      });
    refused('off', 'TypeError', /observe/);
    refused([], 'TypeError', /observe/);
    refused({ metric: 'off' }, 'TypeError', /metric .*metrics, traces/);
    refused({ metrics: 'some' }, 'RangeError', /observe\.metrics/);
    refused({ traces: 0.1 }, 'RangeError', /observe\.traces/);
    refused({ traces: null }, 'RangeError', /observe\.traces/);
    refused({ traces: {} }, 'TypeError', /either sample or slowerThanMs/);
    refused({ traces: { sample: 0.1, slowerThanMs: 1 } }, 'TypeError', /either sample or slowerThanMs/);
    refused({ traces: { sample: 1.1 } }, 'RangeError', /sample.*from 0 to 1/);
    refused({ traces: { sample: -0.1 } }, 'RangeError', /sample/);
    refused({ traces: { sample: Number.NaN } }, 'RangeError', /sample/);
    refused({ metrics: { slowerThanMs: '5' } }, 'TypeError', /slowerThanMs/);
    refused({ metrics: { slowerThan: 5 } }, 'TypeError', /slowerThan /);
  }),
);
