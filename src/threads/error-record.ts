/**
 * Errors on their way between threads. The structured clone keeps the names of seven classes and loses `code` and what
 * else an error has; so errors go over as records. Made into errors again in `decode-error.ts`: apart, as this is all
 * that a thread needs to start.
 */

/** What is sent of a thrown value: an error's parts, or the value itself. */
export type ErrorRecord =
  | { readonly value: unknown }
  | {
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      /** Own properties: `code`, and what else can be cloned. */
      readonly own: Readonly<Record<string, unknown>>;
      readonly cause?: ErrorRecord;
      readonly errors?: readonly ErrorRecord[];
      readonly isDOMException?: true;
    };

/** A chain of causes that goes on is a ring, or nobody reads it. */
const MOST_CAUSES = 8;
const PARTS = new Set(['name', 'message', 'stack', 'cause', 'errors']);

/** What is sent of something thrown. Never throws, whatever it is. */
export function encodeError(thrown: unknown, depth = 0): ErrorRecord {
  try {
    if (!(thrown instanceof Error)) return { value: isCloneable(thrown) ? thrown : describe(thrown) };
    const own: Record<string, unknown> = {};
    for (const key of Object.keys(thrown)) {
      const value = (thrown as never)[key] as unknown;
      if (!PARTS.has(key) && isCloneable(value)) own[key] = value;
    }
    const { errors } = thrown as Partial<AggregateError>;
    const isDeep = depth >= MOST_CAUSES;
    return {
      name: String(thrown.name),
      message: String(thrown.message),
      stack: typeof thrown.stack === 'string' ? thrown.stack : undefined,
      own,
      ...(thrown.cause !== undefined && !isDeep && { cause: encodeError(thrown.cause, depth + 1) }),
      ...(Array.isArray(errors) && !isDeep && { errors: errors.map((error) => encodeError(error, depth + 1)) }),
      ...(thrown instanceof DOMException && { isDOMException: true as const }),
    };
  } catch (error) {
    // A proxy, or a getter that throws.
    return { value: `a thrown value that can't be read: ${describe(error)}` };
  }
}

/** Asked only of what errors carry, so the price of trying is of no matter. */
function isCloneable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function' && typeof value !== 'symbol';
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

function describe(value: unknown): string {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
