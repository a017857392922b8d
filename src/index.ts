/** errand: a concurrency toolkit in the idiom of Go. The heart is {@link TaskManager}; `errand/go` has the building blocks. */
export * from './go/index.ts';
export * from './manager/index.ts';
export type { MetricsCollector, TaskMetrics, TaskTimings } from './metrics/index.ts';
export { DefaultCollector } from './metrics/index.ts';
