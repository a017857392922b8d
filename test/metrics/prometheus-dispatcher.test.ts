import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TaskManager } from '../../src/index.ts';
import {
  type DispatcherMetrics,
  prometheusText,
  type TaskFigures,
  type TimingFigures,
} from '../../src/metrics/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { seed } from '../properties/support/seed.ts';
import { echo, rigOf } from '../tasks/kit.ts';
import { find, parse } from './prometheus-kit.ts';

const NEVER: TimingFigures = { count: 0, sumMs: 0, minMs: 0, maxMs: 0, p50Ms: 0, p95Ms: 0, p99Ms: 0 };

function figuresOf(figures: Partial<TaskFigures> = {}): TaskFigures {
  return {
    task: 'mail',
    queue: 'slow',
    submitted: 0,
    selected: 0,
    processed: { completed: 0, failed: 0, timedOut: 0, canceled: 0, stalled: 0, deadLettered: 0 },
    retried: 0,
    requeued: 0,
    lost: 0,
    deadLettered: 0,
    noHandler: 0,
    executionTime: NEVER,
    timeInQueue: NEVER,
    endToEndLatency: NEVER,
    ...figures,
  };
}

function sourceOf(metrics: Partial<DispatcherMetrics> = {}) {
  return { metrics: () => ({ tasks: [], schedules: [], engine: [], cancellationsRequested: 0, ...metrics }) };
}

test('counters of a dispatcher are labeled with task and queue, and those of ended calls with how they ended', () => {
  const processed = { completed: 5, failed: 1, timedOut: 0, canceled: 2, stalled: 0, deadLettered: 3 };
  const tasks = [figuresOf({ submitted: 12, processed, deadLettered: 3 }), figuresOf({ queue: 'fast', retried: 4 })];
  const samples = parse(prometheusText(sourceOf({ tasks, cancellationsRequested: 2 })));
  const slow = { task: 'mail', queue: 'slow' };
  assert.equal(find(samples, 'errand_dispatcher_tasks_submitted_total', slow), 12);
  assert.equal(find(samples, 'errand_dispatcher_tasks_processed_total', { ...slow, status: 'canceled' }), 2);
  assert.equal(find(samples, 'errand_dispatcher_tasks_dead_lettered_total', slow), 3);
  assert.equal(find(samples, 'errand_dispatcher_tasks_retried_total', { task: 'mail', queue: 'fast' }), 4);
  assert.equal(find(samples, 'errand_dispatcher_cancellations_requested_total'), 2);
});

test('times are summaries in seconds, and a task that is not timed has none', () => {
  const executionTime = { ...NEVER, count: 3, sumMs: 600, p50Ms: 200, p95Ms: 300, p99Ms: 300 };
  const tasks = [figuresOf({ executionTime }), figuresOf({ task: 'untimed' })];
  const text = prometheusText(sourceOf({ tasks }));
  const samples = parse(text);
  const mail = { task: 'mail', queue: 'slow' };
  assert.equal(find(samples, 'errand_dispatcher_execution_time_seconds', { ...mail, quantile: '0.5' }), 0.2);
  assert.equal(find(samples, 'errand_dispatcher_execution_time_seconds_sum', mail), 0.6);
  assert.equal(find(samples, 'errand_dispatcher_execution_time_seconds_count', mail), 3);
  assert.doesNotMatch(text, /_seconds.*untimed/);
  assert.doesNotMatch(text, /time_in_queue/);
});

test('the engine is told of by operation, and schedules by name', () => {
  const engine = [
    { operation: 'fetch', calls: 7, errors: 2, refused: 0 },
    { operation: 'ack', calls: 4, errors: 0, refused: 1 },
  ];
  const dispatchLatency = { ...NEVER, count: 2, sumMs: 30 };
  const schedules = [{ schedule: 'nightly', ticks: { submitted: 1, skipped: 1 }, dispatchLatency }];
  const samples = parse(prometheusText(sourceOf({ engine, schedules })));
  assert.equal(find(samples, 'errand_dispatcher_engine_operations_total', { operation: 'fetch' }), 7);
  assert.equal(find(samples, 'errand_dispatcher_engine_errors_total', { operation: 'fetch' }), 2);
  assert.equal(find(samples, 'errand_dispatcher_engine_refusals_total', { operation: 'ack' }), 1);
  const nightly = { schedule: 'nightly' };
  assert.equal(find(samples, 'errand_dispatcher_schedule_ticks_total', { ...nightly, outcome: 'skipped' }), 1);
  assert.equal(find(samples, 'errand_dispatcher_schedule_dispatch_latency_seconds_sum', nightly), 0.03);
});

test('any names of tasks and queues make text that reads back the same', () => {
  const text = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(text, text, fc.nat(), (task, queue, submitted) => {
      const samples = parse(prometheusText(sourceOf({ tasks: [figuresOf({ task, queue, submitted })] })));
      assert.equal(find(samples, 'errand_dispatcher_tasks_submitted_total', { task, queue }), submitted);
    }),
    { seed },
  );
});

test('labels that samples of a dispatcher have are refused, and so are two dispatchers that nothing tells apart', () => {
  for (const label of ['task', 'queue', 'status', 'operation', 'schedule', 'outcome', 'quantile']) {
    assert.throws(() => prometheusText(sourceOf(), { labels: { [label]: 'x' } }), RangeError, label);
  }
  const sources = [sourceOf(), sourceOf()].map((source) => ({ source, labels: {} }));
  assert.throws(() => prometheusText(sources), { name: 'RangeError', message: /twice/ });
});

test(
  'a manager and a dispatcher make one text, in which no family is there twice',
  withLeakCheck(async () => {
    await using manager = new TaskManager({ workerCount: 1 });
    await using rig = await rigOf(echo);
    await rig.dispatcher.call(echo, 'x');
    const sources = [manager, rig.dispatcher].map((source) => ({ source, labels: {} }));
    const samples = parse(prometheusText(sources, { prefix: 'app', labels: { host: 'h' } }));
    assert.equal(find(samples, 'app_tasks_retried_total', { host: 'h' }), 0);
    assert.equal(find(samples, 'app_dispatcher_tasks_retried_total', { host: 'h', task: 'echo' }), 0);
    const completed = { task: 'echo', queue: 'default', status: 'completed' };
    assert.equal(find(samples, 'app_dispatcher_tasks_processed_total', completed), 1);
  }),
);
