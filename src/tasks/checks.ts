/** Checks of single values that only tasks have, beside those of the manager. */
import { show } from '../go/checks.ts';
import { wrongRange, wrongType } from '../manager/checks.ts';

export * from '../manager/checks.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it looks for
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f]/;

/** A name that people read in logs, and that engines make other names of. */
export function checkName(name: string, value: unknown): string {
  if (typeof value !== 'string') throw wrongType(name, 'a string', value);
  if (!isName(value)) {
    throw wrongRange(name, 'a text that is not empty and has no control characters', value);
  }
  return value;
}

export function isName(text: string): boolean {
  return text !== '' && !CONTROL_CHARACTERS.test(text);
}

/** Several names, as a copy that stays. */
export function checkNameList(name: string, value: unknown): readonly string[] {
  return Object.freeze(checkArray(name, value).map((item, index) => checkName(`${name}[${index}]`, item)));
}

export function checkArray(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrongType(name, 'an array', value);
  return value;
}

export function checkOneOf<T extends string>(name: string, value: unknown, known: readonly T[]): T {
  if (!known.includes(value as T)) throw wrongRange(name, `one of ${known.join(', ')}`, value);
  return value as T;
}

export function optionalOneOf<T extends string>(name: string, value: unknown, known: readonly T[], fallback: T): T {
  return value === undefined ? fallback : checkOneOf(name, value, known);
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw wrongType(name, 'a function', value);
}

/** What an error says, or what was thrown in the place of one. Never throws. */
export function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : show(error);
  } catch {
    return 'something that cannot be shown';
  }
}
