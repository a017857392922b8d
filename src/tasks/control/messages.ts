/**
 * What dispatchers say to each other through the engine. Whoever reaches the engine can send anything: what isn't one of
 * these messages, to the letter, is ignored, and nothing that one says is ever a name of code to run.
 */
import { show } from '../../go/checks.ts';

/** Does something, and answers. */
export interface Request {
  readonly kind: 'request';
  /** Of this very question: answers carry it, as they can be late, or come twice. */
  readonly id: string;
  /** One dispatcher; undefined: all. */
  readonly to: string | undefined;
  readonly command: string;
  readonly params: unknown;
}

/** What somebody answers. */
export interface Reply {
  readonly kind: 'reply';
  readonly id: string;
  readonly from: string;
  readonly value: unknown;
}

/** To oneself: whether messages come through. */
export interface Check {
  readonly kind: 'check';
}

export type Message = Request | Reply | Check;

/** In characters: nobody has that much to say, and it would have to be read at once. */
const MOST_LENGTH = 1_000_000;

/** @throws RangeError when it is too long to be heard */
export function encodeMessage(message: Message): string {
  const text = JSON.stringify({ errand: 'control', ...message });
  if (text.length > MOST_LENGTH) {
    throw new RangeError(`a ${message.kind} of ${text.length} characters is too long: ${MOST_LENGTH} are heard`);
  }
  return text;
}

/** @throws TypeError or RangeError when it isn't a message */
export function decodeMessage(text: unknown): Message {
  if (typeof text !== 'string') throw new TypeError(`a message must be a text, but is ${show(text)}`);
  if (text.length > MOST_LENGTH) throw new RangeError(`a message of ${text.length} characters is too long`);
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (cause) {
    throw new TypeError('a message is no JSON', { cause });
  }
  const { errand, kind, id, to, from, command, params, value } = isObject(given) ? given : {};
  if (errand !== 'control') throw new TypeError('a message is not one of a dispatcher');
  if (kind === 'check') return { kind };
  if (kind === 'request' && isText(id) && isText(command) && (to === undefined || isText(to))) {
    return { kind, id, to, command, params };
  }
  if (kind === 'reply' && isText(id) && isText(from)) return { kind, id, from, value };
  throw new TypeError(`a message of the kind ${show(kind)} isn't known, or isn't whole`);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
