/** `errand/tasks`: tasks that are defined once, with their rules, and whose calls are kept. Re-exports, nothing else. */
export { defineTask } from './define-task.ts';
export type { Definition } from './definition.ts';
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
export { type AnyTask, type Fake, TaskRegistry, type Undo } from './registry.ts';
export { atRandom, byHash, type KnownRoute, type RandomOptions, type Route, roundRobin, weighted } from './routes.ts';
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts';
export type {
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
