/** `errand/threads`: worker threads as the resources of a TaskManager. Re-exports, nothing else. */
export { ThreadCrashError } from '../manager/errors.ts';
export { NotCloneableError } from './errors.ts';
export type { LineLogger } from './output.ts';
export { currentContext, isCancelled, type ThreadContext } from './thread-context.ts';
export { type ThreadResources, threads } from './threads.ts';
export { transfer } from './transfer.ts';
export type {
  AnyModule,
  FunctionName,
  Thread,
  ThreadApi,
  ThreadModule,
  ThreadResult,
  ThreadStream,
  ThreadsOptions,
} from './types.ts';
