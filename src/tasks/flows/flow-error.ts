/** Errors as flows tell them: what JSON holds of any. */
import { messageOf } from '../checks.ts';
import { errorFromJson } from '../error-json.ts';

/** An error, as JSON holds it. */
export interface FlowError {
  /** Of the error's class. */
  readonly name: string;
  /** What it says. */
  readonly message: string;
  /** Its code, if it has one. */
  readonly code?: string | undefined;
}

/** An error as JSON holds it. */
export function flowErrorOf(text: string): FlowError {
  const error = errorFromJson(text);
  if (!(error instanceof Error)) return { name: 'Error', message: messageOf(error) };
  const { name, message, code } = error as Error & { readonly code?: unknown };
  return { name, message, ...(typeof code === 'string' && { code }) };
}
