/**
 * How a resource can give each task a view of its own, bound to that task's context: a thread hands on the task's
 * cancellation with every call. For rooms above; the option has no name that a user could write.
 */
import type { TaskContext } from './context.ts';

/** The key of an option of TaskManager: called before each run, with what the task's function gets instead. */
export const lendResource: unique symbol = Symbol('errand.lendResource');

export type Lend = (resource: unknown, context: TaskContext) => unknown;

/** Such a view, if it is to hear of the end of the run: with a listener it would need a scope for each task. */
export interface Lent {
  canceled(cause: unknown): void;
}
