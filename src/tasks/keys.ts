/** Texts made of an input: the key among duplicates, the key of a limit, the name of a queue. */
import { show } from '../go/checks.ts';
import { messageOf } from './checks.ts';
import { InvalidInputError } from './errors.ts';

/** What a user's function makes of an input. @throws InvalidInputError when it throws, or gives no text */
export function askForKey(what: string, fn: (input: never) => string, input: unknown): string {
  let key: unknown;
  try {
    key = fn(input as never);
  } catch (error) {
    throw new InvalidInputError(`${what} threw for the input: ${messageOf(error)}`, { cause: error });
  }
  if (typeof key !== 'string') throw new InvalidInputError(`${what} must return a string, but returned ${show(key)}`);
  return key;
}

/** A JSON text in the one form that all have whose properties only differ in their order. */
export function canonical(json: string): string {
  return json === '' ? '' : JSON.stringify(JSON.parse(json, sorted));
}

/** A reviver. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  // An assignment of "__proto__" would make it the prototype.
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
