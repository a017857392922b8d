/** `errand/metrics`: what a manager measures, who keeps it, and how Prometheus reads it. */
export type {
  FailureReason,
  MetricsCollector,
  RejectionReason,
  TaskMetrics,
  TaskTimings,
} from './collector.ts';
export { DefaultCollector, type DefaultCollectorOptions } from './default-collector.ts';
export type {
  CallTimings,
  DispatcherMetrics,
  OperationFigures,
  ProcessedStatus,
  RunStatus,
  ScheduleFigures,
  TaskFigures,
  TimingFigures,
} from './dispatcher-metrics.ts';
export { type LabeledSource, type PrometheusOptions, type PrometheusSource, prometheusText } from './prometheus.ts';
export type { DispatcherSource } from './prometheus-dispatcher.ts';
