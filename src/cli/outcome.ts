/** What comes of an input: a line of JSON, for the results or the failures and for the journal. */
import type { Permit } from '../go/semaphore.ts';
import { messageOf, recordOf } from './failure.ts';
import type { FailureShown } from './tally.ts';
import { cutMiddle, printableInput } from './text.ts';

/** So many columns of a failed input are said: it may have megabytes. */
const SAID_COLUMNS = 160;

export interface Outcome {
  readonly index: number;
  /** The place that its input holds. */
  readonly permit: Permit;
  /** A call of the function; the journal, where it is already; or the input itself, which can't be given to the function. */
  readonly of: 'call' | 'journal' | 'input';
  /** Without one there is nothing to write. */
  readonly text?: string | undefined;
  /** A success has none. */
  readonly failure?: FailureShown | undefined;
}

export function succeeded(input: string, value: string): Pick<Outcome, 'text'> {
  return { text: `{"input":${input},"value":${value}}` };
}

export function failed(input: string, error: unknown, attempts: number): Pick<Outcome, 'text' | 'failure'> {
  const record = recordOf(error);
  const message = messageOf(record);
  return {
    text: `{"input":${input},"error":${JSON.stringify(record)},"attempts":${attempts}}`,
    failure: { input, message: record.name === 'Error' ? message : `${record.name}: ${message}` },
  };
}

/** All of them, each ended. */
export function lines(outcomes: readonly Outcome[]): string {
  return outcomes.map(({ text }) => `${text}\n`).join('');
}

/** For the terminal. */
export function saying({ input, message }: FailureShown): string {
  return `failed: ${cutMiddle(printableInput(input), SAID_COLUMNS)}: ${message}`;
}
