/** The options of a submission, checked. Wrong ones make the submission reject before anything is stored. */

import { checkPriority } from '../manager/task-options.ts';
import { checkHeaders, checkPrincipals } from './authorize.ts';
import {
  COUNT,
  checkName,
  checkNames,
  checkNumber,
  checkObject,
  DURATION,
  DURATION_OR_NONE,
  wrongRange,
  wrongType,
} from './checks.ts';
import type { Definition } from './definition.ts';
import type { CallerContext, Overridable, SubmitOptions } from './types.ts';

/** As dictionaries, so that the compiler sees to it that none is missing. */
const OPTIONS: Readonly<Record<keyof SubmitOptions, true>> = {
  id: true,
  delayMs: true,
  runAt: true,
  context: true,
  priority: true,
  queue: true,
  timeoutMs: true,
  attempts: true,
};
/** They are stored as JSON, which has no Infinity. */
const CHECKS: Readonly<Record<Overridable, (value: unknown) => unknown>> = {
  priority: checkPriority,
  queue: (value) => checkName('queue', value),
  timeoutMs: (value) => checkNumber('timeoutMs', value, DURATION),
  attempts: (value) => checkNumber('attempts', value, COUNT),
};

/** @throws TypeError or RangeError for the first option that is wrong, or that the definition doesn't let one change */
export function checkSubmitOptions(definition: Definition, options: SubmitOptions): void {
  checkObject('options', options);
  checkNames('a submission', options, Object.keys(OPTIONS));
  const { id, delayMs, runAt, context } = options;
  if (id !== undefined) checkName('id', id);
  if (delayMs !== undefined) checkNumber('delayMs', delayMs, DURATION_OR_NONE);
  if (runAt !== undefined) checkTime('runAt', runAt);
  if (delayMs !== undefined && runAt !== undefined) {
    throw new TypeError('delayMs and runAt exclude each other: both say when the call is due');
  }
  if (context !== undefined) checkCallerContext(context);
  for (const [name, check] of Object.entries(CHECKS) as [Overridable, (value: unknown) => unknown][]) {
    if (options[name] === undefined) continue;
    if (!definition.overridable.has(name)) {
      throw new TypeError(
        `${name} is fixed by the definition of ${definition.name}, which doesn't name it in overridable`,
      );
    }
    check(options[name]);
  }
}

function checkCallerContext(context: CallerContext): void {
  if (Array.isArray(context)) throw wrongType('context', 'an object of principals and headers', context);
  checkObject('context', context);
  checkNames('a context', context, ['principals', 'headers']);
  if (context.principals !== undefined) checkPrincipals(context.principals, 'context.principals');
  if (context.headers !== undefined) checkHeaders(context.headers, 'context.headers');
}

function checkTime(name: string, value: unknown): void {
  if (!(value instanceof Date) && typeof value !== 'number')
    throw wrongType(name, 'a Date or ms since the epoch', value);
  if (!Number.isFinite(Number(value))) throw wrongRange(name, 'a valid Date or finite ms since the epoch', value);
}
