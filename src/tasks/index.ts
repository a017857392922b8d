/** `errand/tasks`: tasks that are defined once, with their rules, and whose calls are kept. Re-exports, nothing else. */

export * from '../engines/index.ts';
export { Call, type CallMove, waitForAll, waitForAny } from './call.ts';
export type { CallInfo } from './call-info.ts';
export type { Canceled } from './cancel.ts';
export { defineTask } from './define-task.ts';
export type { Definition } from './definition.ts';
export { Dispatcher, type DispatcherState, type DispatcherStopSummary } from './dispatcher.ts';
export type { DispatcherEvents } from './dispatcher-events.ts';
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
