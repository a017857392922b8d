/** Wrong schedules are refused with what is wrong, and nothing of them is left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  type Dispatcher,
  defineTask,
  ForbiddenError,
  InvalidInputError,
  NotRegisteredError,
} from '../../../src/tasks/index.ts';
import { withLeakCheck } from '../../../src/testing/index.ts';
import { deferred, settle } from '../kit.ts';
import { MINUTE, noted, partyOf } from './kit.ts';

const strict = defineTask({ name: 'strict', input: z.object({ n: z.number() }), run: () => {} });
const secret = defineTask({ name: 'secret', authorize: ['all'], run: () => {} });
const unknown = defineTask({ name: 'unknown', run: () => {} });

/** [what, who makes it, the error's class, what it says] */
type Row = readonly [string, (dispatcher: Dispatcher) => Promise<unknown>, new () => Error, RegExp];

/** Calls with whatever is wrong, which the compiler would say. */
const cron = (given: unknown, options: unknown = {}) => {
  return (dispatcher: Dispatcher) => dispatcher.schedule(given as string, noted, 1, options as { name?: string });
};
const every = (given: unknown, options: unknown = {}) => {
  return (dispatcher: Dispatcher) => dispatcher.every(given as number, noted, 1, options as { name?: string });
};
const onStart = (options: unknown) => {
  return (dispatcher: Dispatcher) => dispatcher.onStart(noted, 1, options as { name?: string });
};

const ROWS: readonly Row[] = [
  [
    'no pattern',
    cron(undefined),
    TypeError,
    /cron must be a cron pattern of 5 to 7 fields, such as '30 2 \* \* \*'.*but is undefined/,
  ],
  ['an empty pattern', cron(''), RangeError, /cron must be .* but is "".*five, six, or seven/],
  ['too few fields', cron('* * *'), RangeError, /cron must be .* but is "\* \* \*"/],
  ['too many fields', cron('* * * * * * * *'), RangeError, /cron must be/],
  [
    'a minute that there is not',
    cron('61 * * * *'),
    RangeError,
    /but is "61 \* \* \* \*": Invalid value for minute: 61/,
  ],
  ['a step of nothing', cron('*/0 * * * *'), RangeError, /stepping: 0/],
  ['a name that there is not', cron('@fortnightly'), RangeError, /cron must be/],
  ['an event of the machine', cron('@reboot'), RangeError, /reboot/],
  ['a single time', cron('2030-01-01T00:00:00'), RangeError, /for a single time submit with runAt/],
  [
    'a day that there never is',
    cron('0 0 31 2 *'),
    RangeError,
    /cron must be a pattern that fires some day, but is "0 0 31 2 \*"/,
  ],
  ['a year that has been', cron('0 0 0 1 1 * 2020'), RangeError, /fires some day/],
  [
    'no time zone',
    cron('* * * * *', { timeZone: '' }),
    RangeError,
    /timeZone must be an IANA time zone, such as 'Europe\/Berlin', but is ""/,
  ],
  [
    'a time zone that there is not',
    cron('* * * * *', { timeZone: 'Mars/Phobos' }),
    RangeError,
    /but is "Mars\/Phobos"/,
  ],
  ['an offset', cron('* * * * *', { timeZone: '+02:00' }), RangeError, /but is "\+02:00"/],
  ['a number for a time zone', cron('* * * * *', { timeZone: 2 }), TypeError, /timeZone must be .* but is 2/],
  [
    'an option by another name',
    cron('* * * * *', { timezone: 'UTC' }),
    TypeError,
    /timezone is not an option of schedule; those are name, .*timeZone/,
  ],
  ['an id', cron('* * * * *', { id: 'mine' }), TypeError, /id is not an option of schedule/],
  ['a delay', cron('* * * * *', { delayMs: 5 }), TypeError, /delayMs is not an option/],
  [
    'another overlap',
    cron('* * * * *', { overlap: 'drop' }),
    RangeError,
    /overlap must be one of allow, skip, queue, but is "drop"/,
  ],
  [
    'another rule for what was missed',
    cron('* * * * *', { missed: 'twice' }),
    RangeError,
    /missed must be one of skip, once, all/,
  ],
  ['a number for a name', cron('* * * * *', { name: 7 }), TypeError, /name must be a string, but is 7/],
  ['an empty name', cron('* * * * *', { name: '' }), RangeError, /name must be a text that is not empty/],
  ['no options', cron('* * * * *', null), TypeError, /options must be an object, but is null/],
  ['a principal that is none', cron('* * * * *', { context: { principals: ['me'] } }), TypeError, /principals\[0\]/],
  ['headers that are none', cron('* * * * *', { context: { headers: new Map() } }), TypeError, /headers must be/],
  [
    'what the definition fixes',
    cron('* * * * *', { priority: 3 }),
    TypeError,
    /priority is fixed by the definition of noted/,
  ],
  ['no period', every(undefined), TypeError, /ms must be an integer of at least 1, but is undefined/],
  ['a period of nothing', every(0), RangeError, /ms must be an integer of at least 1, but is 0/],
  ['part of a ms', every(1.5), RangeError, /but is 1.5/],
  ['no number', every(Number.NaN), RangeError, /but is NaN/],
  ['a period without an end', every(Number.POSITIVE_INFINITY), RangeError, /but is Infinity/],
  ['a period beyond all dates', every(1e15), RangeError, /ms must be at most a hundred years/],
  ['a time zone for a period', every(MINUTE, { timeZone: 'UTC' }), TypeError, /timeZone is not an option of every/],
  ['an overlap at the start', onStart({ overlap: 'skip' }), TypeError, /overlap is not an option of onStart/],
  ['missed starts', onStart({ missed: 'all' }), TypeError, /missed is not an option of onStart/],
  [
    'a name that is taken',
    cron('* * * * *', { name: 'taken' }),
    TypeError,
    /there is a schedule "taken" here already: give this one another name/,
  ],
  ['a task that is not registered', (d) => d.schedule('* * * * *', unknown, undefined), NotRegisteredError, /unknown/],
  [
    'a name of no task',
    (d) => d.every(MINUTE, 'unknown', 1),
    NotRegisteredError,
    /the task unknown is not registered here: there are noted, secret, strict/,
  ],
  ['what is no task', (d) => d.onStart(7 as never, 1), TypeError, /task must be what defineTask has given, but is 7/],
  ['an input that does not fit', (d) => d.every(MINUTE, strict, { n: 'one' } as never), InvalidInputError, /input.n/],
  [
    'a function that gives one',
    (d) => d.every(MINUTE, strict, () => ({ n: 'one' }) as never),
    InvalidInputError,
    /input.n/,
  ],
  [
    'a function that throws',
    (d) =>
      d.every(MINUTE, strict, () => {
        throw new Error('no');
      }),
    InvalidInputError,
    /the input function of schedule strict:1 every 60000 ms threw for .*: no/,
  ],
  ['what JSON cannot hold', (d) => d.every(MINUTE, noted, 1n), InvalidInputError, /BigInt/],
  ['no permission', (d) => d.every(MINUTE, secret, undefined), ForbiddenError, /nobody may not run secret/],
];

for (const [what, make, kind, says] of ROWS) {
  test(
    `${what} is refused`,
    withLeakCheck(async () => {
      await using party = partyOf([noted, strict, secret]);
      const dispatcher = party.join();
      await dispatcher.schedule('* * * * *', noted, 1, { name: 'taken' });
      await assert.rejects(make(dispatcher), (error: Error) => {
        assert.ok(error instanceof kind, String(error));
        assert.match(error.message, says);
        return true;
      });
      assert.equal(dispatcher.schedules.list().length, 1);
    }),
  );
}

test(
  'of two schedules that are made of one name at once, one is',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    const gate = deferred<number>();
    const made = [1, 2].map(() => dispatcher.every(MINUTE, noted, () => gate.promise));
    gate.resolve(1);
    const [one, other] = await Promise.allSettled(made);
    assert.equal(one!.status, 'fulfilled');
    assert.match(String((other as PromiseRejectedResult).reason), /there is a schedule/);
    assert.equal(dispatcher.schedules.list().length, 1);
  }),
);

test(
  'a stop while a schedule is being made refuses it',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    const gate = deferred<number>();
    const made = assert.rejects(
      dispatcher.every(MINUTE, noted, () => gate.promise),
      { code: 'ERR_SHUTDOWN' },
    );
    await settle();
    await dispatcher.stop();
    gate.resolve(1);
    await made;
    assert.deepEqual(dispatcher.schedules.list(), []);
  }),
);
