/** How it is doing: figures of this instant, of the whole life, as events, and for Prometheus. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MetricsCollector, TaskManager } from 'errand';
import { DefaultCollector, prometheusText } from 'errand/metrics';

/** A collector of one's own hears of every arrival and end. All its methods but `metrics` may be left out. */
class FailuresByReason implements MetricsCollector {
  readonly counts: Record<string, number> = {};

  recordFailure(_timings: unknown, reason: string): void {
    this.counts[reason] = (this.counts[reason] ?? 0) + 1;
  }

  metrics() {
    return {};
  }
}

const failures = new FailuresByReason();
await using manager = new TaskManager({
  workerCount: 2,
  maxWorkerCount: 2,
  maxQueueSize: 100,
  collector: [new DefaultCollector(), failures],
});
manager.on('taskFailed', ({ state, attempt, error }) =>
  console.log(`a task ${state} at attempt ${attempt}: ${(error as Error).message}`),
);

for (let i = 0; i < 10; i++) manager.go(() => sleep(2));
manager.go(() => {
  throw new Error('no luck');
});
const { runningTasks, queuedTasks, queueCapacity } = manager.stats();
console.log(`${runningTasks} running, ${queuedTasks} queued of at most ${queueCapacity}`);

await manager.onIdle();
const { totalTasksCompleted, successRate, p95WaitTimeMs } = manager.metrics();
console.log(`${totalTasksCompleted} completed, ${Math.round(100 * successRate)} % of all`);
console.log(p95WaitTimeMs > 0 ? 'most had to wait' : 'nobody had to wait');
console.log(failures.counts);

const text = prometheusText(manager, { labels: { app: 'example' } });
for (const line of text.split('\n')) if (line.startsWith('errand_tasks_completed_total')) console.log(line);
