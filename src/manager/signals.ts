/**
 * Tasks under the signals they were given. However many tasks share a signal, it gets one listener, which is gone when
 * the last of them is.
 */
import { type Context, contextOf } from '../go/context.ts';
import { CancelScope } from '../go/scope.ts';
import { List, type ListNode } from './list.ts';
import type { Task } from './task.ts';

/** The reason with which a source that has fired already would end a task; undefined if it hasn't. */
export function firedReason(source: AbortSignal | Context): { reason: unknown } | undefined {
  if (source instanceof AbortSignal) return source.aborted ? { reason: source.reason } : undefined;
  return source.err === undefined ? undefined : { reason: source.cause };
}

/** Has `listener` called with the reason when `source` fires, until the function returned is called. */
export function onFired(source: AbortSignal | Context, listener: (reason: unknown) => void): () => void {
  const scope = new CancelScope(contextOf(source));
  scope.subscribe((_, cause) => listener(cause));
  return () => scope.release();
}

/** `err` says whether it was a deadline; `reason` is what its setter has to say of that. */
type EndTask = (task: Task, reason: unknown, err: Error) => void;

export class Signals {
  readonly #groups = new Map<AbortSignal | Context, List<Task>>();
  readonly #end: EndTask;

  /** @param end ends one task for the reason its signal gave. */
  constructor(end: EndTask) {
    this.#end = end;
  }

  /** Puts a task under a signal that hasn't fired yet. */
  watch(source: AbortSignal | Context, task: Task): ListNode<Task> {
    let group = this.#groups.get(source);
    if (group === undefined) {
      group = new SignalGroup(source, this.#groups, this.#end);
      this.#groups.set(source, group);
    }
    return group.push(task);
  }
}

class SignalGroup extends List<Task> {
  readonly #source: AbortSignal | Context;
  readonly #groups: Map<AbortSignal | Context, List<Task>>;
  readonly #scope: CancelScope;

  constructor(source: AbortSignal | Context, groups: Map<AbortSignal | Context, List<Task>>, end: EndTask) {
    super();
    this.#source = source;
    this.#groups = groups;
    this.#scope = new CancelScope(contextOf(source));
    this.#scope.subscribe((err, cause) => {
      // Ending a task takes it off the list.
      for (let node = this.first; node !== undefined; node = this.first) {
        end(node.value, cause, err);
        if (node.list === this) this.remove(node);
      }
    });
  }

  override remove(node: ListNode<Task>): void {
    super.remove(node);
    if (this.size > 0) return;
    this.#groups.delete(this.#source);
    this.#scope.release();
  }
}
