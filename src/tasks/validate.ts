/** Values checked by a schema of any library. */
import { isPromise } from 'node:util/types';
import { show } from '../go/checks.ts';
import { messageOf } from './checks.ts';
import { InvalidInputError, InvalidOutputError } from './errors.ts';
import { pathText } from './paths.ts';
import type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts';

/** What is checked, and so which error it is when it is wrong. */
export type Checked = 'input' | 'output';

/**
 * What a schema makes of a value: a promise if the schema gives one, else at once.
 * @throws InvalidInputError or InvalidOutputError, or rejects with it, when the value doesn't fit, or the schema fails
 */
export function validate<P>(
  schema: StandardSchema<unknown, P>,
  value: unknown,
  what: Checked = 'input',
): P | Promise<P> {
  let result: SchemaResult<P> | Promise<SchemaResult<P>>;
  try {
    result = schema['~standard'].validate(value);
  } catch (error) {
    throw failure(what, error);
  }
  if (!isPromiseLike(result)) return take(result, what);
  return Promise.resolve(result).then(
    (late) => take(late, what),
    (error: unknown) => {
      throw failure(what, error);
    },
  );
}

function take<P>(result: SchemaResult<P>, what: Checked): P {
  const issues = issuesOf(result, what);
  if (issues === undefined) return (result as { readonly value: P }).value;
  const shown = issues.slice(0, MOST_ISSUES).map((issue) => issueText(issue, what));
  if (issues.length > MOST_ISSUES) shown.push(`and ${issues.length - MOST_ISSUES} more`);
  throw new (errorOf(what))(`the ${what} is invalid: ${shown.join('; ') || 'its schema says no more'}`, { issues });
}

/** By the spec, whether there are issues tells, and nothing else. What isn't by the spec must not pass for valid. */
function issuesOf(result: SchemaResult<unknown>, what: Checked): readonly SchemaIssue[] | undefined {
  const isResult = typeof result === 'object' && result !== null && ('value' in result || Array.isArray(result.issues));
  if (isResult) return result.issues;
  throw failure(what, new TypeError(`it returned ${show(result)} instead of a value or issues`));
}

/** So many of what is wrong an error's message tells; all are in its `issues`. */
const MOST_ISSUES = 5;

function issueText({ message, path = [] }: SchemaIssue, what: Checked): string {
  const keys = path.map((step) => (typeof step === 'object' ? step.key : step));
  return `${pathText(what, keys)}: ${message}`;
}

function failure(what: Checked, error: unknown): Error {
  return new (errorOf(what))(`the schema of the ${what} failed: ${messageOf(error)}`, { cause: error });
}

function errorOf(what: Checked): typeof InvalidInputError | typeof InvalidOutputError {
  return what === 'input' ? InvalidInputError : InvalidOutputError;
}

function isPromiseLike<T>(value: T | Promise<T>): value is Promise<T> {
  return isPromise(value) || typeof (value as { then?: unknown } | undefined)?.then === 'function';
}
