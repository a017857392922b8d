/** What engines refuse with. */
import { ErrandError } from '../go/errors.ts';

/** Somebody came with a lease that has expired, was given to another, or is of an earlier life of its consumer. */
export class StaleLeaseError extends ErrandError {
  constructor(message = 'the lease is stale: somebody else may have the call', options?: ErrorOptions) {
    super('ERR_STALE_LEASE', message, options);
  }
}

/** There is no such call: it never was, or isn't kept any more. */
export class UnknownCallError extends ErrandError {
  constructor(message = 'there is no such call', options?: ErrorOptions) {
    super('ERR_UNKNOWN_CALL', message, options);
  }
}

/** It is too late: the call has ended. */
export class CallEndedError extends ErrandError {
  constructor(message = 'the call has ended', options?: ErrorOptions) {
    super('ERR_CALL_ENDED', message, options);
  }
}
