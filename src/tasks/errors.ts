/** What submitting and running calls fails with. */
import { show } from '../go/checks.ts';
import { ErrandError } from '../go/errors.ts';
import type { SchemaIssue } from './standard-schema.ts';

/** No task of this name, or of this version, is registered here. */
export class NotRegisteredError extends ErrandError {
  constructor(message = 'the task is not registered', options?: ErrorOptions) {
    super('ERR_NOT_REGISTERED', message, options);
  }
}

/** The input isn't what the task takes: it doesn't fit the schema, JSON can't hold it, or it is too large. */
export class InvalidInputError extends ErrandError {
  /** What the schema finds wrong; empty if it is something else. */
  readonly issues: readonly SchemaIssue[];

  constructor(
    message = 'the input is invalid',
    options: ErrorOptions & { readonly issues?: readonly SchemaIssue[] } = {},
  ) {
    super('ERR_INVALID_INPUT', message, options);
    this.issues = options.issues ?? [];
  }
}

/** What a run has returned isn't what the task says it gives: not to be tried again. */
export class InvalidOutputError extends ErrandError {
  /** What the schema finds wrong; empty if it is something else. */
  readonly issues: readonly SchemaIssue[];

  constructor(
    message = 'the output is invalid',
    options: ErrorOptions & { readonly issues?: readonly SchemaIssue[] } = {},
  ) {
    super('ERR_INVALID_OUTPUT', message, options);
    this.issues = options.issues ?? [];
  }
}

/** Inside only: what was stored can't be read. It waits among the dead letters for somebody who can. */
export class UnreadableError extends InvalidInputError {}

/** The principals of a call may not run this task. */
export class ForbiddenError extends ErrandError {
  constructor(message = 'the caller may not run this task', options?: ErrorOptions) {
    super('ERR_FORBIDDEN', message, options);
  }
}

/** `beforeSubmit` has stopped a submission. */
export class SubmitStoppedError extends ErrandError {
  constructor(message = 'beforeSubmit has stopped the submission', options?: ErrorOptions) {
    super('ERR_SUBMIT_STOPPED', message, options);
  }
}

/** The call was a duplicate: it never ran. `message` says which one it gave way to. */
export class DuplicateCallError extends ErrandError {
  constructor(message = 'the call is a duplicate', options?: ErrorOptions) {
    super('ERR_DUPLICATE_CALL', message, options);
  }
}

/** A run has given no heartbeat for too long. */
export class StalledError extends ErrandError {
  constructor(message = 'the call has stalled', options?: ErrorOptions) {
    super('ERR_STALLED', message, options);
  }
}

/** The process that ran the call has died, or lost the engine. */
export class WorkerLostError extends ErrandError {
  constructor(message = 'the process that ran the call is lost', options?: ErrorOptions) {
    super('ERR_WORKER_LOST', message, options);
  }
}

/**
 * To be thrown by a task that will never succeed: no further attempt, and the call becomes a dead letter at once.
 *
 * @example
 * if (response.status === 410) throw new SkipTask('the page is gone for good');
 */
export class SkipTask extends ErrandError {
  constructor(reason: unknown = 'the task was skipped', options?: ErrorOptions) {
    super('ERR_SKIPPED', typeof reason === 'string' ? reason : `the task was skipped: ${show(reason)}`, options);
  }
}

/** No dispatcher of this name is alive on the engine. */
export class UnknownDispatcherError extends ErrandError {
  constructor(message = 'there is no such dispatcher', options?: ErrorOptions) {
    super('ERR_UNKNOWN_DISPATCHER', message, options);
  }
}

/** No task names this queue, no dispatcher takes from it, and no call waits in it. */
export class UnknownQueueError extends ErrandError {
  constructor(message = 'there is no such queue', options?: ErrorOptions) {
    super('ERR_UNKNOWN_QUEUE', message, options);
  }
}
