/** Errors as flows tell them: what JSON holds of any. */
import { messageOf } from '../checks.ts';
import { errorFromJson } from '../error-json.ts';

/** An error, as JSON holds it. */
export interface FlowError {
  readonly name: string;
  readonly message: string;
  readonly code?: string | undefined;
}

/** An error as JSON holds it. */
export function flowErrorOf(text: string): FlowError {
  const error = errorFromJson(text);
  if (!(error instanceof Error)) return { name: 'Error', message: messageOf(error) };
  const { name, message, code } = error as Error & { readonly code?: unknown };
  return { name, message, ...(typeof code === 'string' && { code }) };
}
