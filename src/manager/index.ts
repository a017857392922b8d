/** The public face of the heart. */
export type { TaskContext } from './context.ts';
export { MaxRetriesError, QueueFullError, ResourceError, ShutdownError, ThreadCrashError } from './errors.ts';
export type { TaskHandle } from './handle.ts';
export { TaskManager } from './manager.ts';
export type { TaskMap } from './map.ts';
export type { SignalDisposer } from './process-signals.ts';
export { decide, type ScalingPolicy, type ScalingState } from './scaling.ts';
export type { TaskStream } from './stream.ts';
export type {
  BackoffFunction,
  ChildOptions,
  CreateContext,
  IndexedResult,
  Logger,
  ManagerEvents,
  ManagerMetrics,
  ManagerState,
  ManagerStats,
  MapOptions,
  Overflow,
  ReplaceReason,
  RetryPolicy,
  RunOptions,
  StopOptions,
  StopSummary,
  StreamFunction,
  StreamOptions,
  TaskCallback,
  TaskFailure,
  TaskFilter,
  TaskFunction,
  TaskManagerOptions,
  TaskOptions,
  TaskSnapshot,
  TaskState,
} from './types.ts';
