/** `errand/tasks`: tasks that are defined once, with their rules, and whose calls are kept. Re-exports, nothing else. */

export * from '../engines/index.ts';
export type {
  CallTimings,
  DispatcherMetrics,
  OperationFigures,
  ProcessedStatus,
  RunStatus,
  ScheduleFigures,
  TaskFigures,
  TimingFigures,
} from '../metrics/dispatcher-metrics.ts';
export { Call, type CallMove, waitForAll, waitForAny } from './call.ts';
export type { CallInfo } from './call-info.ts';
export type { Canceled } from './cancel.ts';
export type { BroadcastOptions } from './control/broadcast.ts';
export type { Control, DispatcherStatus, DispatcherWorkers, PingOptions, Pong, Status } from './control/control.ts';
export type { WorkersAnswered } from './control/probe.ts';
export type {
  QueueControl,
  QueueCounts,
  QueueInfo,
  QueueScope,
  QueueTaker,
  Reached,
} from './control/queue-control.ts';
export { defineTask } from './define-task.ts';
export { Dispatcher, type DispatcherState, type DispatcherStopSummary } from './dispatcher.ts';
export type { DispatcherEvents, LogLevel } from './dispatcher-events.ts';
export type { DispatcherOptions, DispatcherStopOptions } from './dispatcher-options.ts';
export {
  DuplicateCallError,
  ForbiddenError,
  InvalidInputError,
  InvalidOutputError,
  NotRegisteredError,
  SkipTask,
  StalledError,
  SubmitStoppedError,
  UnknownDispatcherError,
  UnknownQueueError,
  WorkerLostError,
} from './errors.ts';
export { type ExampleOptions, testExamples } from './examples.ts';
export type { FlowNodeState } from './flows/board.ts';
export type { After, FlowBuilder, ItemOutcome, NodeOptions, NodeRules, OnFailure } from './flows/builder.ts';
export { type Flow, type FlowOptions, flow } from './flows/flow.ts';
export type { FlowError } from './flows/flow-error.ts';
export type { FlowNode, FlowRun, Flows } from './flows/flows.ts';
export type { FlowFailure } from './flows/inputs.ts';
export { toMermaid } from './flows/mermaid.ts';
export type { PollOptions } from './poll.ts';
export type { QueueMap, QueueOptions } from './queues.ts';
export type { Calls, DeadLetterFilter, DeadLetters } from './records.ts';
export { type Fake, TaskRegistry, type Undo } from './registry.ts';
export { atRandom, byHash, type KnownRoute, type RandomOptions, type Route, roundRobin, weighted } from './routes.ts';
export type { RunHooks, RunInfo } from './run.ts';
export type { Schedule } from './schedules/schedule.ts';
export type {
  EveryOptions,
  OnStartOptions,
  ScheduledInput,
  ScheduleOptions,
  Tick,
} from './schedules/schedule-options.ts';
export type { Schedules } from './schedules/schedules.ts';
export type { TickEvent } from './schedules/ticker.ts';
export type {
  DispatcherEvent,
  DispatcherEventType,
  DispatcherNews,
  EventOptions,
  EventStream,
} from './signals/event-stream.ts';
export type { Granularity, ObserveOptions } from './signals/observe.ts';
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts';
export type { BeforeSubmit, Draft } from './submitter.ts';
export type {
  AnyTask,
  CallContext,
  CallerContext,
  Example,
  Overridable,
  Principal,
  SubmitOptions,
  Task,
  TaskConcurrency,
  TaskDefinition,
  TaskRateLimit,
} from './types.ts';
