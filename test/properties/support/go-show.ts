/** Outcomes are compared as text, which a failure shows as well. */
import { ClosedChannelError, NotHeldError } from '../../../src/go/index.ts';

/** A value that nobody may unwrap on its way through a channel. */
export const THENABLE = {
  then(): never {
    throw new Error('a value was taken for a promise');
  },
};

export function show(value: unknown): string {
  if (value === THENABLE) return 'thenable';
  if (value instanceof ClosedChannelError) return 'closed';
  if (value instanceof NotHeldError) return 'not held';
  if (value instanceof RangeError) return 'RangeError';
  return value instanceof Error ? value.message : String(value);
}
