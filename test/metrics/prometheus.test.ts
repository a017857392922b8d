import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { zeroMetrics } from '../../src/metrics/collector.ts';
import { type PrometheusSource, prometheusText, type TaskMetrics } from '../../src/metrics/index.ts';
import { find, parse } from './prometheus-kit.ts';

function sourceOf(metrics: Partial<TaskMetrics> = {}, stats: Partial<ReturnType<PrometheusSource['stats']>> = {}) {
  const source: PrometheusSource = {
    stats: () => ({
      state: 'running',
      baseWorkers: 4,
      activeWorkers: 5,
      burstWorkers: 1,
      idleWorkers: 2,
      busyWorkers: 3,
      stuckWorkers: 0,
      queuedTasks: 7,
      priorityTasks: 6,
      runningTasks: 3,
      availableResources: 2,
      abandonedTasks: 0,
      queueCapacity: Number.POSITIVE_INFINITY,
      queueUsage: 0,
      waitingForRoom: 0,
      ...stats,
    }),
    metrics: () => ({ ...zeroMetrics(), ...metrics }),
  };
  return source;
}

test('gauges come from stats, and a queue without a bound has room for +Inf', () => {
  const samples = parse(prometheusText(sourceOf()));
  assert.equal(find(samples, 'errand_base_workers'), 4);
  assert.equal(find(samples, 'errand_queued_tasks'), 7);
  assert.equal(find(samples, 'errand_queue_capacity'), Number.POSITIVE_INFINITY);
  assert.match(prometheusText(sourceOf()), /^errand_queue_capacity \+Inf$/m);
});

test('the state is a gauge with a 1 for the state the manager is in', () => {
  assert.match(prometheusText(sourceOf()), /^errand_manager_state\{state="running"\} 1$/m);
  const samples = parse(prometheusText(sourceOf({}, { state: 'paused' })));
  assert.equal(find(samples, 'errand_manager_state', { state: 'paused' }), 1);
  assert.equal(find(samples, 'errand_manager_state', { state: 'running' }), 0);
});

test('counters come from the totals', () => {
  const samples = parse(
    prometheusText(sourceOf({ totalTasksArrived: 9, totalTasksTimedOut: 2, totalTasksRejected: 1, successRate: 0.5 })),
  );
  assert.equal(find(samples, 'errand_tasks_arrived_total'), 9);
  assert.equal(find(samples, 'errand_tasks_timed_out_total'), 2);
  assert.equal(find(samples, 'errand_tasks_rejected_total'), 1);
  assert.equal(find(samples, 'errand_task_success_ratio'), 0.5);
});

test('summaries are in seconds, with the sum and count of what they are about', () => {
  const samples = parse(
    prometheusText(
      sourceOf({
        totalTasksCompleted: 3,
        totalTasksCanceled: 1,
        totalTasksExecuted: 3,
        totalExecutionTimeMs: 600,
        p50ExecutionTimeMs: 200,
        p99ExecutionTimeMs: 300,
        totalWaitTimeMs: 1_500,
        p95WaitTimeMs: 0.5,
        maxWaitTimeMs: 1_000,
      }),
    ),
  );
  assert.equal(find(samples, 'errand_task_execution_seconds', { quantile: '0.5' }), 0.2);
  assert.equal(find(samples, 'errand_task_execution_seconds', { quantile: '0.99' }), 0.3);
  assert.equal(find(samples, 'errand_task_execution_seconds_sum'), 0.6);
  assert.equal(find(samples, 'errand_task_execution_seconds_count'), 3);
  assert.equal(find(samples, 'errand_task_wait_seconds', { quantile: '0.95' }), 0.0005);
  assert.equal(find(samples, 'errand_task_wait_seconds_sum'), 1.5);
  assert.equal(find(samples, 'errand_task_wait_seconds_count'), 4);
  assert.equal(find(samples, 'errand_task_wait_max_seconds'), 1);
});

test('quantiles of nothing are NaN', () => {
  const samples = parse(prometheusText(sourceOf()));
  assert.equal(find(samples, 'errand_task_wait_seconds', { quantile: '0.5' }), Number.NaN);
  assert.equal(find(samples, 'errand_task_wait_seconds_count'), 0);
});

test('any numbers and labels make text that reads back the same', () => {
  const number = fc.oneof(fc.double({ min: 0 }), fc.nat());
  const name = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_]{0,8}$/).filter((s) => s !== 'state' && s !== 'quantile');
  const labels = fc.dictionary(name, fc.string({ unit: 'binary' }), { noNullPrototype: true });
  fc.assert(
    fc.property(number, number, labels, (queueUsage, totalTasksFailed, labels) => {
      const samples = parse(prometheusText(sourceOf({ totalTasksFailed }, { queueUsage }), { labels }));
      assert.equal(find(samples, 'errand_queue_usage', labels), queueUsage);
      assert.equal(find(samples, 'errand_tasks_failed_total', labels), totalTasksFailed);
    }),
  );
});

test('several sources share their HELP and TYPE lines and are told apart by labels', () => {
  const sources = [
    { source: sourceOf({}, { queuedTasks: 1 }), labels: { pool: 'a' } },
    { source: sourceOf({}, { queuedTasks: 2 }), labels: { pool: 'b' } },
  ];
  const samples = parse(prometheusText(sources, { prefix: 'app', labels: { host: 'h' } }));
  assert.equal(find(samples, 'app_queued_tasks', { host: 'h', pool: 'a' }), 1);
  assert.equal(find(samples, 'app_queued_tasks', { host: 'h', pool: 'b' }), 2);
});

test('no sources make no text', () => {
  assert.equal(prometheusText([]), '');
});

test('what Prometheus would refuse is refused here, by name', () => {
  const source = sourceOf();
  const refused = (options: unknown, name: string, message: RegExp) =>
    assert.throws(() => prometheusText(source, options as never), { name, message });
  refused({ prefix: '9lives' }, 'RangeError', /prefix .* not "9lives"/);
  refused({ prefix: 1 }, 'TypeError', /prefix .* not 1/);
  refused({ labels: { 'a-b': 'x' } }, 'RangeError', /labels .* not "a-b"/);
  refused({ labels: { __name__: 'x' } }, 'RangeError', /labels .* not "__name__"/);
  refused({ labels: { quantile: 'x' } }, 'RangeError', /labels .* quantile/);
  refused({ labels: { a: 1 } }, 'TypeError', /labels\.a .* not 1/);
  const twins = [
    { source, labels: { a: '1', b: '2' } },
    { source, labels: { b: '2', a: '1' } },
  ];
  assert.throws(() => prometheusText(twins), { name: 'RangeError', message: /twice/ });
});
