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
  UnknownDispatcherError,
  UnknownQueueError,
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
  ERR_UNKNOWN_DISPATCHER: UnknownDispatcherError,
  ERR_UNKNOWN_QUEUE: UnknownQueueError,
  ERR_WORKER_LOST: WorkerLostError,
};

/** The JSON of whatever was thrown. Never throws. */
export function errorToJson(thrown: unknown): string {
  return JSON.stringify(jsonable(encodeError(thrown)), asText);
}

/** What was thrown, from its JSON. What an engine says in its own words becomes an error too. Never throws. */
export function errorFromJson(text: string): unknown {
  try {
    return decodeError(recordOf(JSON.parse(text)), OURS);
  } catch (cause) {
    return new Error(`an error that can't be read: ${text}`, { cause });
  }
}

/** A chain of causes that goes on is a ring, or nobody reads it. */
const MOST_CAUSES = 8;

/** Leaves out what JSON can't hold of what an error carries: the rest of it is worth more. */
function jsonable(record: ErrorRecord, depth = 0): ErrorRecord {
  if ('value' in record) return { value: held(record.value) ?? null };
  const { cause, errors, ...parts } = record;
  const isDeep = depth === MOST_CAUSES;
  return {
    ...parts,
    own: Object.fromEntries(Object.entries(record.own).map(([name, value]) => [name, held(value)])),
    ...(cause && !isDeep && { cause: jsonable(cause, depth + 1) }),
    ...(errors && !isDeep && { errors: errors.map((error) => jsonable(error, depth + 1)) }),
  };
}

/** A value if JSON holds it, else what it is like. */
function held(value: unknown): unknown {
  try {
    JSON.stringify(value, asText);
    return value;
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/** A replacer. */
function asText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

function recordOf(given: unknown): ErrorRecord {
  if (typeof given !== 'object' || given === null) return { value: given };
  if ('value' in given || 'own' in given) return given as ErrorRecord;
  const { name = 'Error', message = '', ...own } = given as Readonly<Record<string, unknown>>;
  return { name: String(name), message: String(message), stack: `${name}: ${message}`, own };
}
