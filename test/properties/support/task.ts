/** What the world knows of one task, from its side of the API. */
import type { TaskHandle, TaskStream } from '../../../src/manager/index.ts';
import type { Body, Form, Options } from './program.ts';

/** A failure of a task's own. */
export class TaskError extends Error {
  readonly task: Task;

  constructor(task: Task) {
    super(`${task} fails`);
    this.task = task;
  }
}

/** A failure that says that the resource is bad. */
export class SickError extends TaskError {}

export interface Outcome {
  readonly ok: boolean;
  readonly value: unknown;
}

export class Task {
  readonly number: number;
  readonly what: string;
  readonly options: Options;
  readonly body: Body;
  readonly parent: Task | undefined;
  /** Its eldest ancestor, or itself. */
  readonly root: Task;
  readonly submittedAt: number;
  /** What its functions must find in AsyncLocalStorage. */
  readonly store: Task;
  /** Past the queue, or for one certain worker. */
  readonly past: boolean;
  readonly once: boolean;
  /** Its own limit on a run, beside the manager's. */
  readonly limitMs: number | undefined;
  starts = 0;
  live = 0;
  /** How often its end was told. */
  heard = 0;
  outcome: Outcome | undefined;
  handle: TaskHandle<unknown> | undefined;
  stream: TaskStream<unknown> | undefined;

  constructor(
    number: number,
    what: string,
    { options, body, form }: { options: Options; body: Body; form?: Form },
    submittedAt: number,
    relation: { parent?: Task | undefined; store?: Task; past?: boolean } = {},
  ) {
    this.number = number;
    this.what = what;
    this.options = options;
    this.body = body;
    this.submittedAt = submittedAt;
    this.parent = relation.parent;
    this.root = relation.parent?.root ?? this;
    this.store = relation.store ?? this;
    // Of runTaskSync, which takes no options, none; of the `WithTimeout` methods, always one.
    if (form?.kind !== 'runTaskSync') {
      this.limitMs = options.timeoutMs ?? (form?.kind === 'method' && form.variant === 'WithTimeout' ? 30 : undefined);
    }
    const family = form?.kind === 'method' ? form.family : form?.kind;
    this.past = relation.past === true || family === 'runTask' || family === 'runTaskSync';
    this.once =
      options.once === true ||
      family === 'queueTaskOnce' ||
      family === 'queueTaskWithPriorityOnce' ||
      family === 'runTaskSync';
  }

  toString(): string {
    return `task ${this.number} (${this.what})`;
  }
}
