/** What is done with each input, and with which resources: here, or in threads. */
import type { TaskContext, TaskManagerOptions } from '../manager/index.ts';

export interface Work {
  /** How a TaskManager has resources, if it needs any. */
  readonly resources: Pick<TaskManagerOptions<unknown>, 'onCreate' | 'onDestroy' | 'checkHealth'>;
  /** Calls the function. Resolves with its value as JSON, so that one which has none is a failure like others. */
  call(input: unknown, ctx: TaskContext<unknown>, resource: unknown): Promise<string>;
}

/** What JSON has no word for is null. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value) ?? 'null';
}
