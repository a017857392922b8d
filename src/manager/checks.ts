/** Checks of single values, which name what is wrong: the option, the value, what it should be. */
import { show } from '../go/checks.ts';
import { type Context, isContext } from '../go/context.ts';
import type { Overflow } from './types.ts';

export function wrongType(name: string, expected: string, value: unknown): TypeError {
  return new TypeError(`${name} must be ${expected}, but is ${show(value)}`);
}

export function wrongRange(name: string, expected: string, value: unknown): RangeError {
  return new RangeError(`${name} must be ${expected}, but is ${show(value)}`);
}

export interface NumberRule {
  readonly min: number;
  /** Whether `min` itself is too little. */
  readonly above?: boolean;
  readonly integer?: boolean;
  readonly infinite?: boolean;
}

export const COUNT: NumberRule = { min: 1, integer: true };
export const COUNT_OR_NONE: NumberRule = { min: 0, integer: true };
export const DURATION: NumberRule = { min: 0, above: true };
export const DURATION_OR_NONE: NumberRule = { min: 0 };
export const LIMIT: NumberRule = { min: 0, above: true, infinite: true };
export const LIMIT_OR_NOW: NumberRule = { min: 0, infinite: true };

export function checkNumber(name: string, value: unknown, rule: NumberRule): number {
  const { min, above = false, integer = false, infinite = false } = rule;
  const what = `${integer ? 'an integer' : 'a number'} ${above ? 'above' : 'of at least'} ${min}${infinite ? ' or Infinity' : ''}`;
  if (typeof value !== 'number') throw wrongType(name, what, value);
  if (value === Number.POSITIVE_INFINITY && infinite) return value;
  if (!Number.isFinite(value) || (integer && !Number.isInteger(value)) || value < min || (above && value === min)) {
    throw wrongRange(name, what, value);
  }
  return value;
}

export function optionalNumber<D>(name: string, value: unknown, rule: NumberRule, fallback: D): number | D {
  return value === undefined ? fallback : checkNumber(name, value, rule);
}

export function optionalFunction<F>(name: string, value: F): F {
  if (value !== undefined && typeof value !== 'function') throw wrongType(name, 'a function', value);
  return value;
}

export function optionalBoolean(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw wrongType(name, 'a boolean', value);
  return value;
}

export function checkObject(name: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null) throw wrongType(name, 'an object', value);
}

export const OVERFLOWS: readonly Overflow[] = ['reject', 'wait', 'drop-oldest', 'drop-lowest'];

export function optionalOverflow(value: unknown, fallback: Overflow): Overflow {
  if (value === undefined) return fallback;
  if (!OVERFLOWS.includes(value as Overflow)) throw wrongRange('overflow', `one of ${OVERFLOWS.join(', ')}`, value);
  return value as Overflow;
}

export function optionalSignal(name: string, value: unknown): AbortSignal | Context | undefined {
  if (value === undefined || value instanceof AbortSignal || isContext(value)) return value;
  throw wrongType(name, 'an AbortSignal or a Context', value);
}

export function checkNames(what: string, options: object, known: readonly string[]): void {
  // With inherited names: an AbortSignal in the place of options has no others.
  for (const name in options) {
    if (!known.includes(name))
      throw new TypeError(`${name} is not an option of ${what}; those are ${known.join(', ')}`);
  }
}
