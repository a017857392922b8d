/**
 * Errors on their way between threads. The structured clone keeps the names of seven classes and loses `code` and what
 * else an error has; so errors go over as records. Made into errors again in `decode-error.ts`: apart, as this is all
 * that a thread needs to start.
 */

/** What is sent of a thrown value: an error's parts, or the value itself. Records can be parts of one another. */
export type ErrorRecord = { readonly value: unknown } | ErrorParts;

export interface ErrorParts {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Own properties: `code`, and what else can be cloned. */
  readonly own: Readonly<Record<string, unknown>>;
  cause?: ErrorRecord;
  errors?: readonly ErrorRecord[];
  readonly isDOMException?: true;
}

/** What is deeper than so many causes is left out: nobody reads it, and the structured clone has only so much stack. */
const MOST_CAUSES = 100;
const PARTS = new Set(['name', 'message', 'stack', 'cause', 'errors']);

/** What is sent of something thrown: always something that can be. Never throws, whatever it is. */
export function encodeError(thrown: unknown, known = new Map<unknown, ErrorParts>(), depth = 0): ErrorRecord {
  const same = known.get(thrown);
  if (same !== undefined) return same;
  try {
    if (!(thrown instanceof Error)) return { value: nonErrorOf(thrown) };
    // All that may throw comes first.
    const { cause, errors } = thrown as Partial<AggregateError>;
    const parts = Array.isArray(errors) ? [...(errors as unknown[])] : undefined;
    const record: ErrorParts = {
      name: String(thrown.name),
      message: String(thrown.message),
      stack: typeof thrown.stack === 'string' ? thrown.stack : undefined,
      own: ownOf(thrown),
      ...(thrown instanceof DOMException && { isDOMException: true as const }),
    };
    known.set(thrown, record);
    if (depth === MOST_CAUSES) return record;
    if (cause !== undefined) record.cause = encodeError(cause, known, depth + 1);
    if (parts !== undefined) record.errors = parts.map((part) => encodeError(part, known, depth + 1));
    return record;
  } catch (error) {
    // A proxy, or a getter that throws.
    return { value: `a thrown value that can't be read: ${describe(error)}` };
  }
}

function ownOf(error: Error): Readonly<Record<string, unknown>> {
  const own: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(error)) {
    if (PARTS.has(key)) continue;
    const value = (error as never)[key] as unknown;
    const copy = copyOf(value);
    if (copy !== undefined || value === undefined) own[key] = copy;
  }
  return own;
}

function nonErrorOf(thrown: unknown): unknown {
  const copy = copyOf(thrown);
  return copy === undefined && thrown !== undefined ? describe(thrown) : copy;
}

/** A copy that can be sent, as a getter that has worked once need not work twice; undefined if there can be none. */
function copyOf(value: unknown): unknown {
  try {
    if (typeof value === 'object') return structuredClone(value);
    return typeof value === 'function' || typeof value === 'symbol' ? undefined : value;
  } catch {
    return undefined;
  }
}

function describe(value: unknown): string {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
