/** What is said of an error: anything can be thrown. */
import { inspect } from 'node:util';

/** So deep are causes told; they may go round in a circle. */
const CAUSES = 4;

/** An error as JSON has it. */
export interface FailureRecord {
  readonly name: string;
  readonly message: string;
  readonly code: string | number | undefined;
  readonly stack: string | undefined;
  readonly cause: FailureRecord | undefined;
}

/** What was thrown in another thread, and told from there. */
export class FailureElsewhere extends Error {
  readonly record: FailureRecord;

  constructor(record: FailureRecord) {
    super(record.message);
    this.record = record;
  }
}

export function recordOf(error: unknown, causes = CAUSES): FailureRecord {
  if (error instanceof FailureElsewhere) return error.record;
  if (!(error instanceof Error)) {
    const message = typeof error === 'string' ? error : inspect(error);
    return { name: 'Error', message, code: undefined, stack: undefined, cause: undefined };
  }
  const { code } = error as NodeJS.ErrnoException;
  return {
    // Their classes say what these are, and nobody keeps them to it.
    name: String(error.name),
    message: String(error.message),
    code: typeof code === 'string' || typeof code === 'number' ? code : undefined,
    stack: error.stack === undefined ? undefined : String(error.stack),
    cause: error.cause === undefined || causes === 0 ? undefined : recordOf(error.cause, causes - 1),
  };
}

/** The message, and those of its causes where it doesn't tell them itself. */
export function messageOf({ message, cause }: FailureRecord): string {
  if (cause === undefined) return message;
  // Of a connection that was refused at several addresses, the code is all there is.
  const why = messageOf(cause) || String(cause.code ?? '');
  return why === '' || message.includes(why) ? message : `${message}: ${why}`;
}
