/** The limits of a task as an engine knows them: lanes that a call counts against, and what each is limited to. */
import type { LaneLimit } from '../engines/index.ts';
import { COUNT, checkNames, checkNumber, checkObject, DURATION, optionalFunction, optionalNumber } from './checks.ts';
import { askForKey } from './keys.ts';
import type { TaskConcurrency, TaskRateLimit } from './types.ts';

/** Part of a {@link Definition}. */
export interface Lanes {
  readonly limits: ReadonlyMap<string, LaneLimit>;
  readonly lanesOf: (input: unknown) => readonly string[];
}

interface Lane {
  readonly name: string;
  readonly option: string;
  readonly key: ((input: never) => string) | undefined;
}

/** The lanes of the options `rateLimit` and `concurrency`, which it checks. */
export function lanesFor(task: string, rateLimit: unknown, concurrency: unknown): Lanes {
  const limits = new Map<string, LaneLimit>();
  const lanes: Lane[] = [];
  const add = (name: string, option: string, key: Lane['key'], limit: LaneLimit) => {
    limits.set(name, limit);
    lanes.push({ name, option, key: optionalFunction(`${option}.key`, key) });
  };
  for (const [index, { option, value }] of listOf('rateLimit', rateLimit).entries()) {
    checkObject(option, value);
    checkNames(option, value, ['limit', 'intervalMs', 'key']);
    const { limit, intervalMs, key } = value as TaskRateLimit<never>;
    const rate = {
      limit: checkNumber(`${option}.limit`, limit, COUNT),
      intervalMs: optionalNumber(`${option}.intervalMs`, intervalMs, DURATION, 1_000),
    };
    add(`task:${task}:rate:${index}`, option, key, { rate });
  }
  const given = typeof concurrency === 'number' ? { limit: concurrency } : concurrency;
  for (const [index, { option, value }] of listOf('concurrency', given).entries()) {
    checkObject(option, value);
    checkNames(option, value, ['limit', 'key']);
    const { limit, key } = value as TaskConcurrency<never>;
    const named = typeof concurrency === 'number' ? option : `${option}.limit`;
    add(`task:${task}:concurrency:${index}`, option, key, { concurrency: checkNumber(named, limit, COUNT) });
  }
  if (lanes.some(({ key }) => key !== undefined)) return { limits, lanesOf: (input) => lanes.map(laneOf, input) };
  const names = Object.freeze(lanes.map(({ name }) => name));
  return { limits, lanesOf: () => names };
}

/** A lane's name for an input, which is `this`: of those with a key, each key has its own. */
function laneOf(this: unknown, { name, option, key }: Lane): string {
  return key === undefined ? name : `${name}\n${askForKey(`${option}.key`, key, this)}`;
}

/** One or several, each with the name by which an error calls it. */
function listOf(option: string, value: unknown): readonly { readonly option: string; readonly value: unknown }[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return [{ option, value }];
  return value.map((item, index) => ({ option: `${option}[${index}]`, value: item }));
}
