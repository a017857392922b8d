/** Errors that have come from the other side: of the class they were, where that is known here. */
import { CanceledError, ClosedChannelError, DeadlineExceededError, NotHeldError } from '../go/errors.ts';
import { MaxRetriesError, QueueFullError, ResourceError, ShutdownError, ThreadCrashError } from '../manager/errors.ts';
import type { ErrorParts, ErrorRecord } from './error-record.ts';
import { NotCloneableError } from './errors.ts';

const STANDARD = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
/** Classes of errand's errors by their code. */
export type ErrorKinds = Readonly<Record<string, new (message: string) => Error>>;

const OURS: ErrorKinds = {
  ERR_CANCELED: CanceledError,
  ERR_CLOSED_CHANNEL: ClosedChannelError,
  ERR_DEADLINE_EXCEEDED: DeadlineExceededError,
  ERR_MAX_RETRIES: MaxRetriesError,
  ERR_NOT_CLONEABLE: NotCloneableError,
  ERR_NOT_HELD: NotHeldError,
  ERR_QUEUE_FULL: QueueFullError,
  ERR_RESOURCE: ResourceError,
  ERR_SHUTDOWN: ShutdownError,
  ERR_THREAD_CRASH: ThreadCrashError,
};

/** The thrown value that a record is of; `more` are the classes of rooms above. */
export function decodeError(
  record: ErrorRecord,
  more: ErrorKinds = {},
  known = new Map<ErrorRecord, Error>(),
): unknown {
  if ('value' in record) return record.value;
  const same = known.get(record);
  if (same !== undefined) return same;
  const { name, stack, own, cause, errors } = record;
  const error = makeError(record, more);
  known.set(record, error);
  define(error, 'stack', stack, false);
  // By definition, as what an error inherits may have only a getter.
  if (error.name !== name) define(error, 'name', name, false);
  if (cause !== undefined) define(error, 'cause', decodeError(cause, more, known), false);
  if (errors !== undefined) {
    define(
      error,
      'errors',
      errors.map((part) => decodeError(part, more, known)),
      false,
    );
  }
  for (const [key, value] of Object.entries(own)) {
    if (error[key as never] !== value) define(error, key, value, true);
  }
  return error;
}

function makeError({ name, message, own, errors, isDOMException }: ErrorParts, more: ErrorKinds): Error {
  if (isDOMException) return new DOMException(message, name);
  if (errors !== undefined) return new AggregateError([], message);
  const { code } = own;
  if (typeof code === 'string') {
    for (const kinds of [OURS, more]) {
      if (!Object.hasOwn(kinds, code)) continue;
      const error = new kinds[code]!(message);
      // Others have codes of the same name.
      if (error.name === name) return error;
    }
  }
  const Kind = Object.hasOwn(STANDARD, name) ? STANDARD[name as keyof typeof STANDARD] : Error;
  return new Kind(message);
}

function define(target: object, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(target, key, { value, enumerable, writable: true, configurable: true });
}
