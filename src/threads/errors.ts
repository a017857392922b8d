/** What calls of a thread fail with, beside what its functions throw and `ThreadCrashError`. */
import { ErrandError } from '../go/errors.ts';

/**
 * A value can't be sent to the other side: a function, a promise, a class's private parts. It is thrown on the side that
 * made the value; `cause` is the platform's error.
 */
export class NotCloneableError extends ErrandError {
  constructor(message = 'the value cannot be sent to another thread', options?: ErrorOptions) {
    super('ERR_NOT_CLONEABLE', message, options);
  }
}
