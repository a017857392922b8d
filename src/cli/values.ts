/** What the flags of the command mean. */
import { UsageError } from './usage-error.ts';

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `250ms`, `5s`, `1.5m`, `2h`; a bare number is ms. */
export function parseDuration(flag: string, text: string): number {
  const ms = msOf(text.trim());
  if (ms > 0) return ms;
  throw new UsageError(`${flag} takes a time above 0 such as 500ms, 5s, 2m or 1h, not ${JSON.stringify(text)}`);
}

/** 0 for what is no time. */
function msOf(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec(text);
  return match === null ? 0 : Number(match[1]) * UNITS_MS[(match[2] ?? 'ms') as keyof typeof UNITS_MS];
}

export interface Rate {
  readonly limit: number;
  readonly intervalMs: number;
}

/** `10/s`, `100/m`, `5000/h`, `3/500ms`; a bare number is per second. */
export function parseRate(flag: string, text: string): Rate {
  const match = /^(\d+)(?:\/(\d.*)?(ms|s|m|h))?$/.exec(text.trim());
  if (match !== null) {
    const [, count, times = '1', unit = 's'] = match;
    const limit = Number(count);
    const intervalMs = msOf(times + unit);
    if (limit > 0 && Number.isSafeInteger(limit) && intervalMs > 0) return { limit, intervalMs };
  }
  throw new UsageError(`${flag} takes a rate such as 10/s, 100/m or 3/500ms, not ${JSON.stringify(text)}`);
}

/** A whole number from `least`. */
export function parseCount(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text.trim()) && Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError(`${flag} takes a whole number from ${least}, not ${JSON.stringify(text)}`);
}
