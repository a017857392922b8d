/** What the flags of the command mean. */
import { UsageError } from './usage-error.ts';

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `250ms`, `5s`, `1.5m`, `2h`; a bare number is ms. */
export function parseDuration(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec(text.trim());
  const ms = match === null ? 0 : Number(match[1]) * UNITS_MS[(match[2] ?? 'ms') as keyof typeof UNITS_MS];
  if (ms > 0) return ms;
  throw new UsageError(`${flag} takes a time above 0 such as 500ms, 5s, 2m or 1h, not ${JSON.stringify(text)}`);
}

export interface Rate {
  readonly limit: number;
  readonly intervalMs: number;
}

/** `10/s`, `100/m`, `5000/h`, `3/500ms`; a bare number is per second. */
export function parseRate(flag: string, text: string): Rate {
  const [count, ...rest] = text.trim().split('/');
  const limit = Number(count);
  const interval = rest.join('/');
  if (count !== undefined && /^\d+$/.test(count) && limit > 0 && rest.length <= 1) {
    if (rest.length === 0) return { limit, intervalMs: 1_000 };
    const intervalMs = /^\d/.test(interval) ? interval : `1${interval}`;
    if (/^[\d.]+\s*(ms|s|m|h)$/.test(intervalMs)) return { limit, intervalMs: parseDuration(flag, intervalMs) };
  }
  throw new UsageError(`${flag} takes a rate such as 10/s, 100/m or 3/500ms, not ${JSON.stringify(text)}`);
}

/** A whole number from `least`. */
export function parseCount(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text.trim()) && Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError(`${flag} takes a whole number from ${least}, not ${JSON.stringify(text)}`);
}
