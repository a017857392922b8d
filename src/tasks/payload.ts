/**
 * Payloads as JSON texts. Everything goes through JSON, also where it wouldn't have to: so what works in memory works
 * anywhere. JSON.stringify silently leaves out, or makes null, what JSON can't hold; here it is refused, by its path.
 */
import { messageOf } from './checks.ts';
import { InvalidInputError, InvalidOutputError } from './errors.ts';
import { pathText } from './paths.ts';

/**
 * A value as JSON text; the empty text for undefined. `what` is how an error calls the value.
 *
 * A property that is undefined is left out, as everybody expects. A class instance is taken as its properties, unless
 * it has none: then what it is lies elsewhere, as with a Map, and would be lost.
 *
 * @throws InvalidInputError if `what` is 'input', InvalidOutputError if it is 'output', else TypeError for what JSON
 * can't hold and RangeError for what takes more than `maxBytes` of UTF-8
 */
export function encodePayload(value: unknown, what: string, maxBytes: number): string {
  if (value === undefined) return '';
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    const fault = faultIn(value, new Set()) ?? { what: `can't be made JSON: ${messageOf(error)}`, path: [] };
    throw refusal(what, `${pathText(what, fault.path.reverse())} ${fault.what}`, TypeError, error);
  }
  // As it is thrice as long at most, short texts needn't be measured.
  if (text !== undefined && text.length * 3 > maxBytes) {
    const bytes = Buffer.byteLength(text);
    if (bytes > maxBytes) {
      throw refusal(what, `${what} takes ${bytes} bytes as JSON, more than the ${maxBytes} there may be`, RangeError);
    }
  }
  const fault = faultIn(value, undefined);
  if (fault !== undefined) {
    throw refusal(what, `${pathText(what, fault.path.reverse())} ${fault.what}`, TypeError, fault.cause);
  }
  return text!;
}

/** The value of a text that {@link encodePayload} has given. @throws SyntaxError for any other */
export function decodePayload(text: string): unknown {
  return text === '' ? undefined : JSON.parse(text);
}

/** What is wrong, and where: from the inside out, as it is put together on the way back. */
interface Fault {
  readonly what: string;
  readonly path: PropertyKey[];
  readonly cause?: unknown;
}

/**
 * What JSON can't hold of a value; undefined if all is well. `above` are the objects around it: needed only when the
 * value has turned out not to be encodable, as what is has no cycles.
 *
 * One walk beside JSON.stringify costs about as much again; a replacer function, which would see the same, five times as much.
 */
function faultIn(value: unknown, above: Set<object> | undefined): Fault | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined;
    case 'number':
      return Number.isFinite(value) ? undefined : fault(`is ${value}, which JSON can't hold`);
    case 'object':
      return value === null ? undefined : faultInObject(value, above);
    case 'undefined':
      return fault('is undefined, which JSON would make null');
    case 'bigint':
      return fault("is a BigInt, which JSON can't hold");
    default:
      return fault(`is a ${typeof value}, which JSON can't hold`);
  }
}

/** What users' getters, proxies and toJSON throw is a fault of theirs. */
function faultInObject(value: object, above: Set<object> | undefined): Fault | undefined {
  try {
    if (above === undefined) return faultInside(value, above);
    if (above.has(value)) return fault('is one of the objects around it: a cycle');
    above.add(value);
    const found = faultInside(value, above);
    above.delete(value);
    return found;
  } catch (error) {
    if (error instanceof RangeError) return { ...fault('is nested too deeply'), cause: error };
    return { ...fault(`can't be read: ${messageOf(error)}`), cause: error };
  }
}

function faultInside(value: object, above: Set<object> | undefined): Fault | undefined {
  const { toJSON } = value as { readonly toJSON?: unknown };
  if (typeof toJSON === 'function') return faultInOwnForm(value, toJSON, above);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const found = faultIn(value[index], above);
      if (found !== undefined) return within(found, index);
    }
    return undefined;
  }
  const keys = Object.keys(value);
  for (const key of keys) {
    const item = (value as Record<string, unknown>)[key];
    if (item === undefined) continue;
    const found = faultIn(item, above);
    if (found !== undefined) return within(found, key);
  }
  if (isPlain(value)) return undefined;
  // Built-ins, of which JSON would at most keep what somebody has hung on them; and those that keep all to themselves.
  if (keys.length > 0 && Object.prototype.toString.call(value) === '[object Object]') return undefined;
  return fault(`is an instance of ${value.constructor?.name || 'a class'}, of which JSON would keep nothing`);
}

function faultInOwnForm(value: object, toJSON: unknown, above: Set<object> | undefined): Fault | undefined {
  if (value instanceof Date && Number.isNaN(value.getTime())) return fault('is an invalid Date');
  let form: unknown;
  try {
    form = (toJSON as (key: string) => unknown).call(value, '');
  } catch (error) {
    return { ...fault(`can't be made JSON: its toJSON threw: ${messageOf(error)}`), cause: error };
  }
  // JSON.stringify doesn't ask a second time.
  const found =
    typeof form === 'object' &&
    form !== null &&
    form !== value &&
    typeof (form as { toJSON?: unknown }).toJSON !== 'function'
      ? faultInObject(form, above)
      : typeof form === 'object'
        ? undefined
        : faultIn(form, above);
  return found && { ...found, what: `${found.what} (after toJSON)` };
}

/** An object of no class, of this realm or another. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function fault(what: string): Fault {
  return { what, path: [] };
}

function within(found: Fault, key: PropertyKey): Fault {
  found.path.push(key);
  return found;
}

function refusal(what: string, message: string, Other: typeof TypeError, cause?: unknown): Error {
  const options = cause === undefined ? undefined : { cause };
  if (what === 'input') return new InvalidInputError(message, options);
  return what === 'output' ? new InvalidOutputError(message, options) : new Other(message, options);
}
