/** Errors as they are kept with a call: JSON texts, made into errors of their class again. */
import { CallEndedError, StaleLeaseError, UnknownCallError } from '../engines/errors.ts';
import { decodeError, type ErrorKinds } from '../threads/decode-error.ts';
import { type ErrorRecord, encodeError } from '../threads/error-record.ts';
import {
  DuplicateCallError,
  ForbiddenError,
  InvalidInputError,
  InvalidOutputError,
  NotRegisteredError,
  SkipTask,
  StalledError,
  SubmitStoppedError,
  WorkerLostError,
} from './errors.ts';

const OURS: ErrorKinds = {
  ERR_CALL_ENDED: CallEndedError,
  ERR_DUPLICATE_CALL: DuplicateCallError,
  ERR_FORBIDDEN: ForbiddenError,
  ERR_INVALID_INPUT: InvalidInputError,
  ERR_INVALID_OUTPUT: InvalidOutputError,
  ERR_NOT_REGISTERED: NotRegisteredError,
  ERR_SKIPPED: SkipTask,
  ERR_STALE_LEASE: StaleLeaseError,
  ERR_STALLED: StalledError,
  ERR_SUBMIT_STOPPED: SubmitStoppedError,
  ERR_UNKNOWN_CALL: UnknownCallError,
  ERR_WORKER_LOST: WorkerLostError,
};

/** The JSON of whatever was thrown. */
export function errorToJson(thrown: unknown): string {
  const record = encodeError(thrown);
  const given = 'value' in record && record.value === undefined ? { value: null } : record;
  try {
    return JSON.stringify(given, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  } catch {
    // A ring, in what the error carries: the rest of it is worth more.
    return JSON.stringify('value' in record ? { value: String(record.value) } : { ...record, own: {} });
  }
}

/** What was thrown, from its JSON. */
export function errorFromJson(text: string): unknown {
  return decodeError(JSON.parse(text) as ErrorRecord, OURS);
}
