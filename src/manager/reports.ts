/**
 * What goes wrong outside of any task's own outcome: in hooks, callbacks, listeners, creations. It is told to the `error`
 * event and the logger, and never breaks whoever came upon it.
 */
import type { Settings } from './options.ts';
import { FAILED, STATE_NAMES, type State, type Task, TIMED_OUT } from './task.ts';
import type { ManagerEvents, TaskFailure } from './types.ts';

export type Emit = <E extends keyof ManagerEvents>(event: E, ...details: ManagerEvents[E]) => void;

/** Where events go. */
export interface EventTarget {
  readonly emit: Emit;
  listens(event: keyof ManagerEvents): boolean;
}

export class Reports {
  readonly #settings: Settings;
  readonly #host: EventTarget;
  readonly #idOf: (task: Task) => string;

  constructor(settings: Settings, host: EventTarget, idOf: (task: Task) => string) {
    this.#settings = settings;
    this.#host = host;
    this.#idOf = idOf;
  }

  /** Whether the resource is bad after this error. A check that throws counts as bad. */
  isUnhealthy(error: unknown): boolean {
    const { checkHealth } = this.#settings;
    if (checkHealth === undefined) return false;
    try {
      return checkHealth(error) === false;
    } catch (thrown) {
      this.report(thrown, 'checkHealth threw');
      return true;
    }
  }

  /** Tells of an error that has no task to reject: to the `error` event, and to the logger. Never throws. */
  report(error: unknown, what: string): void {
    this.log(error, what);
    if (this.#host.listens('error')) this.#host.emit('error', error);
  }

  /** Tells the logger alone. Never throws. */
  log(error: unknown, what: string): void {
    try {
      this.#settings.logger?.error(what, error);
    } catch {
      // A logger that throws has no one to tell.
    }
  }

  /** A task of `go()` has failed. `failed` and `timedOut` have had their event. */
  detachedFailure(task: Task, state: State, error: unknown): void {
    const name = STATE_NAMES[state] as TaskFailure['state'];
    this.log(error, `task ${this.#idOf(task)} ${name}`);
    if (state === FAILED || state === TIMED_OUT || !this.#host.listens('taskFailed')) return;
    this.#host.emit('taskFailed', { id: this.#idOf(task), state: name, error, attempt: task.extras?.attempt ?? 0 });
  }
}
