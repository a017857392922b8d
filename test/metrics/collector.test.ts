import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zeroMetrics } from '../../src/metrics/collector.ts';
import type { FailureReason, MetricsCollector, RejectionReason, TaskTimings } from '../../src/metrics/index.ts';
import { DefaultCollector } from '../../src/metrics/index.ts';
import { recorderOf } from '../../src/metrics/recorder.ts';
import { VirtualClock } from '../../src/testing/index.ts';

const TIME_ORIGIN = 1_700_000_000_000;
const virtualClock = () => new VirtualClock({ timeOrigin: TIME_ORIGIN });
const unexpected = (error: unknown) => assert.fail(String(error));

/** A collector that writes down what it hears. */
class Scribe implements MetricsCollector {
  readonly heard: unknown[][] = [];

  recordArrival(queuedAt: number): void {
    this.heard.push(['arrival', queuedAt]);
  }
  recordCompletion(timings: TaskTimings): void {
    this.heard.push(['completion', timings]);
  }
  recordFailure(timings: TaskTimings, reason: FailureReason): void {
    this.heard.push(['failure', timings, reason]);
  }
  recordRetry(): void {
    this.heard.push(['retry']);
  }
  recordRejection(reason: RejectionReason): void {
    this.heard.push(['rejection', reason]);
  }
  metrics() {
    return {};
  }
}

test('a new collector has the zero metrics', () => {
  assert.deepEqual(new DefaultCollector({ clock: virtualClock() }).metrics(), zeroMetrics());
  assert.deepEqual(new DefaultCollector().metrics(), zeroMetrics());
});

test('execution and waiting are told apart', () => {
  const collector = new DefaultCollector({ clock: virtualClock() });
  collector.completion(0, 10, 110);
  collector.completion(0, 30, 330);
  const metrics = collector.metrics();
  assert.equal(metrics.minExecutionTimeMs, 100);
  assert.equal(metrics.maxExecutionTimeMs, 300);
  assert.equal(metrics.averageExecutionTimeMs, 200);
  assert.equal(metrics.totalExecutionTimeMs, 400);
  assert.equal(metrics.p50ExecutionTimeMs, 100);
  assert.equal(metrics.p99ExecutionTimeMs, 300);
  assert.equal(metrics.minWaitTimeMs, 10);
  assert.equal(metrics.maxWaitTimeMs, 30);
  assert.equal(metrics.averageWaitTimeMs, 20);
  assert.equal(metrics.totalWaitTimeMs, 40);
  assert.equal(metrics.p95WaitTimeMs, 30);
});

test('a task that never ran has waited to its end, and has no execution time', () => {
  const collector = new DefaultCollector({ clock: virtualClock() });
  collector.failure(5, Number.NaN, 25, 'canceled');
  const metrics = collector.metrics();
  assert.equal(metrics.totalTasksExecuted, 0);
  assert.equal(metrics.maxExecutionTimeMs, 0);
  assert.equal(metrics.averageWaitTimeMs, 20);
});

test('every end has its total, and the shares are of all ends', () => {
  const collector = new DefaultCollector({ clock: virtualClock() });
  for (let i = 0; i < 10; i++) collector.arrival(0);
  for (let i = 0; i < 4; i++) collector.completion(0, 1, 2);
  for (let i = 0; i < 2; i++) collector.failure(0, 1, 2, 'failed');
  collector.failure(0, 1, 2, 'timedOut');
  collector.failure(0, 1, 2, 'canceled');
  for (let i = 0; i < 2; i++) collector.failure(0, Number.NaN, 2, 'dropped');
  collector.retry();
  collector.rejection('full');
  collector.rejection('stopped');
  const metrics = collector.metrics();
  assert.equal(metrics.totalTasksArrived, 10);
  assert.equal(metrics.totalTasksExecuted, 8);
  assert.equal(metrics.totalTasksCompleted, 4);
  assert.equal(metrics.totalTasksFailed, 2);
  assert.equal(metrics.totalTasksTimedOut, 1);
  assert.equal(metrics.totalTasksCanceled, 1);
  assert.equal(metrics.totalTasksDropped, 2);
  assert.equal(metrics.totalTasksRetried, 1);
  assert.equal(metrics.totalTasksRejected, 2);
  assert.equal(metrics.successRate, 0.4);
  assert.equal(metrics.failureRate, 0.3);
});

test('rates slide: they follow the last seconds, not the whole life', async () => {
  const clock = virtualClock();
  const collector = new DefaultCollector({ clock, windowMs: 1_000 });
  await clock.advance(60_000);
  for (let i = 0; i < 95; i++) collector.arrival(clock.now());
  for (let i = 0; i < 19; i++) collector.failure(0, Number.NaN, clock.now(), 'dropped');
  assert.equal(collector.metrics().taskArrivalRate, 100);
  assert.equal(collector.metrics().taskCompletionRate, 20);
  await clock.advance(1_000);
  assert.equal(collector.metrics().taskArrivalRate, 0);
  assert.equal(collector.metrics().taskCompletionRate, 0);
});

test('the public face takes times since the epoch and says the same', () => {
  const [one, other] = [virtualClock(), virtualClock()].map((clock) => new DefaultCollector({ clock }));
  one!.arrival(1);
  one!.completion(1, 2, 4);
  one!.failure(1, 3, 8, 'failed');
  one!.failure(1, Number.NaN, 8, 'canceled');
  one!.retry();
  one!.rejection('invalid');
  const at = (ms: number) => TIME_ORIGIN + ms;
  other!.recordArrival(at(1));
  other!.recordCompletion({ queuedAt: at(1), startedAt: at(2), finishedAt: at(4) });
  other!.recordFailure({ queuedAt: at(1), startedAt: at(3), finishedAt: at(8) }, 'failed');
  other!.recordFailure({ queuedAt: at(1), startedAt: undefined, finishedAt: at(8) }, 'canceled');
  other!.recordRetry();
  other!.recordRejection('invalid');
  assert.deepEqual(one!.metrics(), other!.metrics());
});

test('wrong options are refused by name', () => {
  assert.throws(() => new DefaultCollector({ windowMs: 0 }), { name: 'RangeError', message: /windowMs .* not 0/ });
  assert.throws(() => new DefaultCollector({ windowMs: Number.POSITIVE_INFINITY }), RangeError);
  assert.throws(() => new DefaultCollector({ windowMs: '1' as never }), { name: 'TypeError', message: /windowMs/ });
  assert.throws(() => new DefaultCollector({ clock: {} as never }), { name: 'TypeError', message: /clock/ });
});

test('an unknown reason is refused', () => {
  const timings = { queuedAt: 0, startedAt: undefined, finishedAt: 0 };
  assert.throws(() => new DefaultCollector().recordFailure(timings, 'bored' as never), /reason .* not bored/);
});

test('no collectors make no recorder', () => {
  assert.equal(recorderOf([], virtualClock(), unexpected), undefined);
});

test('a single default collector is its own recorder', () => {
  const clock = virtualClock();
  const collector = new DefaultCollector({ clock });
  assert.equal(recorderOf([collector], clock, unexpected), collector);
});

test('a default collector with a method of its own, or another clock, is called by its public face', () => {
  const clock = virtualClock();
  let retries = 0;
  const spied = new DefaultCollector({ clock });
  spied.recordRetry = () => void retries++;
  recorderOf([spied], clock, unexpected)!.retry();
  class Subclass extends DefaultCollector {
    override recordRetry(): void {
      retries++;
    }
  }
  recorderOf([new Subclass({ clock })], clock, unexpected)!.retry();
  assert.equal(retries, 2);
  const elsewhere = new DefaultCollector({ clock: virtualClock() });
  assert.notEqual(recorderOf([elsewhere], clock, unexpected), elsewhere);
});

test('a collector of the user hears times since the epoch', () => {
  const scribe = new Scribe();
  const recorder = recorderOf([scribe], virtualClock(), unexpected)!;
  recorder.arrival(1);
  recorder.completion(1, 2, 3);
  recorder.failure(1, 2, 3, 'timedOut');
  recorder.failure(1, Number.NaN, 3, 'dropped');
  recorder.retry();
  recorder.rejection('resource');
  const at = (ms: number) => TIME_ORIGIN + ms;
  assert.deepEqual(scribe.heard, [
    ['arrival', at(1)],
    ['completion', { queuedAt: at(1), startedAt: at(2), finishedAt: at(3) }],
    ['failure', { queuedAt: at(1), startedAt: at(2), finishedAt: at(3) }, 'timedOut'],
    ['failure', { queuedAt: at(1), startedAt: undefined, finishedAt: at(3) }, 'dropped'],
    ['retry'],
    ['rejection', 'resource'],
  ]);
});

test('a collector may lack every method but metrics', () => {
  const recorder = recorderOf([{ metrics: () => ({}) }], virtualClock(), unexpected)!;
  recorder.arrival(1);
  recorder.completion(1, 2, 3);
  recorder.failure(1, 2, 3, 'failed');
  recorder.retry();
  recorder.rejection('full');
});

test('a collector that throws is reported each time and costs the others nothing', () => {
  const clock = virtualClock();
  const thrower = new Proxy({} as MetricsCollector, {
    get: (_target, method) => () => {
      throw new Error(String(method));
    },
  });
  const standard = new DefaultCollector({ clock });
  const scribe = new Scribe();
  const errors: string[] = [];
  const recorder = recorderOf([standard, thrower, scribe], clock, (error) => errors.push((error as Error).message))!;
  recorder.arrival(1);
  recorder.completion(1, 2, 3);
  recorder.failure(1, 2, 3, 'failed');
  recorder.retry();
  recorder.rejection('full');
  assert.deepEqual(errors, ['recordArrival', 'recordCompletion', 'recordFailure', 'recordRetry', 'recordRejection']);
  assert.equal(scribe.heard.length, 5);
  const { totalTasksArrived, totalTasksCompleted, totalTasksFailed, totalTasksRetried, totalTasksRejected } =
    standard.metrics();
  assert.deepEqual(
    [totalTasksArrived, totalTasksCompleted, totalTasksFailed, totalTasksRetried, totalTasksRejected],
    [1, 1, 1, 1, 1],
  );
});
