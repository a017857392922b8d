/**
 * The root of all errors errand throws, and the two every Context can end with. The rest live beside what throws them.
 */

/** The codes by which an {@link ErrandError} can be told apart across realms and versions. */
export type ErrandErrorCode =
  | 'ERR_CALL_ENDED'
  | 'ERR_CANCELED'
  | 'ERR_CLOSED_CHANNEL'
  | 'ERR_DEADLINE_EXCEEDED'
  | 'ERR_DUPLICATE_CALL'
  | 'ERR_FORBIDDEN'
  | 'ERR_INVALID_INPUT'
  | 'ERR_INVALID_OUTPUT'
  | 'ERR_MAX_RETRIES'
  | 'ERR_NOT_CLONEABLE'
  | 'ERR_NOT_HELD'
  | 'ERR_NOT_REGISTERED'
  | 'ERR_QUEUE_FULL'
  | 'ERR_RESOURCE'
  | 'ERR_SHUTDOWN'
  | 'ERR_SKIPPED'
  | 'ERR_STALE_LEASE'
  | 'ERR_STALLED'
  | 'ERR_SUBMIT_STOPPED'
  | 'ERR_THREAD_CRASH'
  | 'ERR_UNKNOWN_CALL'
  | 'ERR_UNKNOWN_DISPATCHER'
  | 'ERR_UNKNOWN_QUEUE'
  | 'ERR_WORKER_LOST';

/** The root of every error errand makes. Tell them apart by class or by {@link ErrandError.code}. */
export class ErrandError extends Error {
  /** Which of errand's errors this is. */
  readonly code: ErrandErrorCode;

  constructor(code: ErrandErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Work was canceled. `name` is `'AbortError'`, as the web has it; `cause` is the reason given, if any. */
export class CanceledError extends ErrandError {
  constructor(message = 'canceled', options?: ErrorOptions) {
    super('ERR_CANCELED', message, options);
    this.name = 'AbortError';
  }
}

/** A time limit passed: a run timeout, a queue timeout or a deadline. `name` is `'TimeoutError'`, as the web has it. */
export class DeadlineExceededError extends ErrandError {
  constructor(message = 'deadline exceeded', options?: ErrorOptions) {
    super('ERR_DEADLINE_EXCEEDED', message, options);
    this.name = 'TimeoutError';
  }
}

/** A channel was used after its close: a send, or a second close. In Go that is a panic. */
export class ClosedChannelError extends ErrandError {
  constructor(message = 'the channel is closed', options?: ErrorOptions) {
    super('ERR_CLOSED_CHANNEL', message, options);
  }
}

/** More was released than is held: a lock twice, or a semaphore by too much. In Go that is a panic. */
export class NotHeldError extends ErrandError {
  constructor(message = 'not held: it has been released before', options?: ErrorOptions) {
    super('ERR_NOT_HELD', message, options);
  }
}

/**
 * Makes an error without a stack trace. For ends by the thousand, whose stack would only show a timer or a loop of
 * errand's own: capturing one costs ten times the rest of a cancel.
 */
export function withoutStack<E extends Error>(make: () => E): E {
  const { stackTraceLimit } = limited;
  limited.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    limited.stackTraceLimit = stackTraceLimit;
  }
}

/** V8 and JavaScriptCore heed the limit; elsewhere it is of no effect. */
const limited = Error as { stackTraceLimit?: number | undefined };

/** Internal: `instanceof` for what users hand in as a reason, which can be anything: that of a proxy may throw. */
export function isA<E>(value: unknown, kind: abstract new (...args: never[]) => E): value is E {
  try {
    return value instanceof kind;
  } catch {
    return false;
  }
}
