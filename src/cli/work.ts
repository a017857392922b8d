/** What is done with each input, and with which resources: here, or in threads. */
import type { TaskContext, TaskManagerOptions } from '../manager/index.ts';

export interface Work {
  /** How a TaskManager has resources, if it needs any. */
  readonly resources: Pick<TaskManagerOptions<unknown>, 'onCreate' | 'onDestroy' | 'checkHealth'>;
  /** Calls the function. */
  call(input: unknown, ctx: TaskContext<unknown>, resource: unknown): unknown;
  /** What a call has resolved with, as JSON. Throws if it has none: a failure like others. */
  jsonOf(value: unknown): string;
}

/** What JSON has no word for is null. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value) ?? 'null';
}
