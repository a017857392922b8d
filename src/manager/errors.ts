/** The errors a TaskManager settles tasks with, beside CanceledError and DeadlineExceededError of `errand/go`. */

import { show } from '../go/checks.ts';
import { CanceledError, ErrandError, isA, withoutStack } from '../go/errors.ts';

/** The manager is stopping, stopped or killed. `cause` is the reason given to `kill()`, or the parent signal's. */
export class ShutdownError extends ErrandError {
  constructor(message = 'the task manager is shut down', options?: ErrorOptions) {
    super('ERR_SHUTDOWN', message, options);
  }
}

/** There was no room in the queue: the task was refused, or dropped in favour of another. */
export class QueueFullError extends ErrandError {
  constructor(message = 'the queue is full', options?: ErrorOptions) {
    super('ERR_QUEUE_FULL', message, options);
  }
}

/** A task's resources turned out bad `maxRetries` times in a row. `cause` is the last error. */
export class MaxRetriesError extends ErrandError {
  constructor(message = 'the task failed on a bad resource too many times', options?: ErrorOptions) {
    super('ERR_MAX_RETRIES', message, options);
  }
}

/** A resource could not be had: its creation failed or timed out, or none is free. `cause` is the creation's error. */
export class ResourceError extends ErrandError {
  constructor(message = 'no resource is available', options?: ErrorOptions) {
    super('ERR_RESOURCE', message, options);
  }
}

/** What is known of the end of a thread. */
export interface ThreadCrashOptions extends ErrorOptions {
  /** See {@link ThreadCrashError.exitCode}. */
  readonly exitCode?: number | undefined;
  /** See {@link ThreadCrashError.hasBegun}. */
  readonly hasBegun?: boolean | undefined;
}

/**
 * A thread ended under a call: it crashed, exited, ran out of memory, or was terminated because a canceled function
 * wouldn't return; or its module couldn't be loaded. `cause` is the error that it ended with, if any.
 */
export class ThreadCrashError extends ErrandError {
  /** What the thread exited with: of `process.exit(code)`, and 1 after an error. Undefined if it has never run. */
  readonly exitCode: number | undefined;
  /** Whether the call had begun in the thread: if not, it can't be what ended it, and is safe to make again. */
  readonly hasBegun: boolean;

  constructor(message = 'the thread ended', options: ThreadCrashOptions = {}) {
    super('ERR_THREAD_CRASH', message, options);
    this.exitCode = options.exitCode;
    this.hasBegun = options.hasBegun ?? true;
  }
}

/** What a message says of the reason that somebody gave. */
export function messageOf(reason: unknown): string {
  try {
    if (reason instanceof Error) return String(reason.message);
    return typeof reason === 'string' ? reason : show(reason);
  } catch {
    // A proxy, a getter: the end it is the reason of comes all the same.
    return 'a reason that cannot be shown';
  }
}

/** The error for a task that was canceled for `reason`: that itself if it is one already. */
export function canceledBecause(reason: unknown): CanceledError {
  if (isA(reason, CanceledError)) return reason;
  return withoutStack(() =>
    reason === undefined
      ? new CanceledError('the task was canceled')
      : new CanceledError(`the task was canceled: ${messageOf(reason)}`, { cause: reason }),
  );
}

/** Inside only: the worker a task was meant for is no more. */
export class WorkerGoneError extends CanceledError {
  constructor() {
    super('the worker it was meant for is gone');
  }
}
