/** How closely a task is looked at: which of its calls are measured, and which are traced. */
import { checkNames, checkNumber, checkObject, DURATION_OR_NONE, wrongRange, wrongType } from '../checks.ts';

/**
 * Which calls: `'all'`; `'off'`: none; `{ sample }`: this share of them, from 0 to 1, chosen by their ids, so that all
 * attempts of a call, who submits it and who runs it agree; `{ slowerThanMs }`: only runs that have taken longer.
 */
export type Granularity = 'all' | 'off' | { readonly sample: number } | { readonly slowerThanMs: number };

/** How closely a task is looked at: for many small ones less is enough. Its calls are counted whatever it says. */
export interface ObserveOptions {
  /** Which calls have their times measured. Default 'all'. */
  readonly metrics?: Granularity | undefined;
  /** Which calls are traced, if anybody traces: their submission, and their runs. Default 'all'. */
  readonly traces?: Granularity | undefined;
}

export type Observed = Readonly<Record<keyof ObserveOptions, Granularity>>;

export const ALL: Observed = Object.freeze({ metrics: 'all', traces: 'all' });

/** @throws TypeError or RangeError for what is wrong */
export function checkObserve(observe: unknown): Observed {
  if (observe === undefined) return ALL;
  if (Array.isArray(observe)) throw wrongType('observe', 'an object of metrics and traces', observe);
  checkObject('observe', observe);
  checkNames('observe', observe, Object.keys(ALL));
  const { metrics, traces } = observe as ObserveOptions;
  return Object.freeze({
    metrics: checkGranularity('observe.metrics', metrics),
    traces: checkGranularity('observe.traces', traces),
  });
}

function checkGranularity(name: string, value: unknown): Granularity {
  if (value === undefined) return 'all';
  if (value === 'all' || value === 'off') return value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongRange(name, "'all', 'off', { sample } or { slowerThanMs }", value);
  }
  checkNames(name, value, ['sample', 'slowerThanMs']);
  const { sample, slowerThanMs } = value as { readonly sample?: unknown; readonly slowerThanMs?: unknown };
  if ((sample === undefined) === (slowerThanMs === undefined)) {
    throw new TypeError(`${name} takes either sample or slowerThanMs`);
  }
  if (slowerThanMs !== undefined) {
    return Object.freeze({ slowerThanMs: checkNumber(`${name}.slowerThanMs`, slowerThanMs, DURATION_OR_NONE) });
  }
  const share = checkNumber(`${name}.sample`, sample, DURATION_OR_NONE);
  if (share > 1) throw wrongRange(`${name}.sample`, 'a share from 0 to 1', share);
  return Object.freeze({ sample: share });
}

/** How long a run of a call must take to be looked at, in ms: `0`: any run is; `Infinity`: none is. */
export function thresholdOf(granularity: Granularity, id: string): number {
  if (granularity === 'all') return 0;
  if (granularity === 'off') return Number.POSITIVE_INFINITY;
  if ('slowerThanMs' in granularity) return granularity.slowerThanMs;
  return shareOf(id) < granularity.sample ? 0 : Number.POSITIVE_INFINITY;
}

/** Where an id falls between 0 and 1, evenly, and everywhere the same: FNV-1a, mixed as in MurmurHash3. */
function shareOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
