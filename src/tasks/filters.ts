/** Which calls, and how many of them: checked, as what can't match anything would look as if there were nothing. */
import type { CallFilter, CallState, Page } from '../engines/index.ts';
import { MOVES } from '../engines/moves.ts';
import { COUNT, checkNames, checkNumber, checkObject, checkOneOf, wrongType } from './checks.ts';

/** Which dead letters. */
export type DeadLetterFilter = Omit<CallFilter, 'state'>;

/** As a dictionary, so that the compiler sees to it that none is missing. */
const CHECKS: Readonly<Record<keyof CallFilter, (name: string, value: unknown) => unknown>> = {
  id: checkTexts,
  task: checkText,
  version: (name, value) => checkNumber(name, value, COUNT),
  queue: checkText,
  state: (name, value) => {
    for (const state of checkTexts(name, value)) checkOneOf(name, state, STATES);
  },
  key: checkText,
  parentId: checkText,
};
const OF_CALLS = Object.keys(CHECKS) as (keyof CallFilter)[];
/** What a filter has whose states are given. */
export const OF_LETTERS = OF_CALLS.filter((name) => name !== 'state');
const STATES = Object.keys(MOVES) as CallState[];

/** What is no filter must not stand for all calls. @throws TypeError or RangeError */
export function checkFilter<F extends CallFilter>(filter: F, names: readonly (keyof CallFilter)[] = OF_CALLS): F {
  if (typeof filter !== 'object' || filter === null || Array.isArray(filter)) {
    throw wrongType('filter', 'an object', filter);
  }
  checkNames('a filter', filter, names);
  for (const name of names) if (filter[name] !== undefined) CHECKS[name](`filter.${name}`, filter[name]);
  return filter;
}

/** @throws TypeError or RangeError */
export function checkPage(page: Page | undefined): Page | undefined {
  if (page === undefined) return undefined;
  checkObject('page', page);
  checkNames('a page', page, ['limit', 'after']);
  if (page.limit !== undefined) checkNumber('page.limit', page.limit, { ...COUNT, infinite: true });
  if (page.after !== undefined) checkText('page.after', page.after);
  return page;
}

/** The id of a call that is asked for. @throws TypeError */
export function checkId(id: unknown): string {
  return checkText('id', id);
}

function checkText(name: string, value: unknown): string {
  if (typeof value !== 'string') throw wrongType(name, 'a string', value);
  return value;
}

function checkTexts(name: string, value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
  throw wrongType(name, 'a string or an array of strings', value);
}
