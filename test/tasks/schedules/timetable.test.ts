/** The times of schedules: what a pattern means, also on the days when clocks are set. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cronTimetable, periodTimetable } from '../../../src/tasks/schedules/timetable.ts';
import { withLeakCheck } from '../../../src/testing/index.ts';
import { property } from '../../properties/support/check.ts';
import { DAY, HOUR, SECOND, timeOf } from './kit.ts';

/** The ticks in a time, as UTC. */
function ticksOf(pattern: string, timeZone: string, from: string, hours: number): string[] {
  const { next } = cronTimetable(pattern, timeZone);
  const ticks: string[] = [];
  const start = Date.parse(from);
  for (let at = next(start - 1, 0); at !== undefined && at < start + hours * HOUR; at = next(at, 0)) {
    ticks.push(timeOf(at).slice(0, -3));
  }
  return ticks;
}

/** [what, pattern, zone, from, hours, the ticks in UTC] */
const TABLE: readonly (readonly [string, string, string, string, number, string])[] = [
  // 29 March 2026: at 02:00 it is 03:00, 01:00 UTC.
  [
    'a time that there isn’t fires at the end of the gap',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-03-27T23:00Z',
    72,
    '03-28 01:30, 03-29 01:00, 03-30 00:30',
  ],
  [
    'one after it fires as ever',
    '30 3 * * *',
    'Europe/Berlin',
    '2026-03-27T23:00Z',
    72,
    '03-28 02:30, 03-29 01:30, 03-30 01:30',
  ],
  [
    'so it is for each time of a list',
    '30 2,14 * * *',
    'Europe/Berlin',
    '2026-03-28T23:00Z',
    24,
    '03-29 01:00, 03-29 12:30',
  ],
  [
    'two times that meet at the end of the gap fire once',
    '0 2,3 * * *',
    'Europe/Berlin',
    '2026-03-28T23:00Z',
    24,
    '03-29 01:00',
  ],
  [
    'quarters of an hour go on',
    '*/15 * * * *',
    'Europe/Berlin',
    '2026-03-29T00:30Z',
    1,
    '03-29 00:30, 03-29 00:45, 03-29 01:00, 03-29 01:15',
  ],
  [
    'steps in the hour that there isn’t are left out',
    '*/15 2 * * *',
    'Europe/Berlin',
    '2026-03-28T23:00Z',
    26,
    '03-30 00:00, 03-30 00:15, 03-30 00:30, 03-30 00:45',
  ],
  ['hours go on', '0 * * * *', 'Europe/Berlin', '2026-03-29T00:00Z', 3, '03-29 00:00, 03-29 01:00, 03-29 02:00'],
  // 25 October 2026: at 03:00 it is 02:00 again, 01:00 UTC.
  [
    'a time that there is twice fires the first time',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-10-23T22:00Z',
    73,
    '10-24 00:30, 10-25 00:30, 10-26 01:30',
  ],
  [
    'so it is for each time of a list then',
    '30 2,14 * * *',
    'Europe/Berlin',
    '2026-10-24T22:00Z',
    25,
    '10-25 00:30, 10-25 13:30',
  ],
  [
    'quarters of an hour go on through both',
    '*/15 * * * *',
    'Europe/Berlin',
    '2026-10-25T00:30Z',
    1.5,
    '10-25 00:30, 10-25 00:45, 10-25 01:00, 10-25 01:15, 10-25 01:30, 10-25 01:45',
  ],
  [
    'hours go on through both',
    '0 * * * *',
    'Europe/Berlin',
    '2026-10-25T00:00Z',
    3,
    '10-25 00:00, 10-25 01:00, 10-25 02:00',
  ],
  [
    'steps in the hour that there is twice fire in both',
    '*/15 2 * * *',
    'Europe/Berlin',
    '2026-10-24T22:00Z',
    25,
    '10-25 00:00, 10-25 00:15, 10-25 00:30, 10-25 00:45, 10-25 01:00, 10-25 01:15, 10-25 01:30, 10-25 01:45',
  ],
  [
    'times of a list around the end of it fire once each',
    '0 2,3 * * *',
    'Europe/Berlin',
    '2026-10-24T22:00Z',
    25,
    '10-25 00:00, 10-25 02:00',
  ],
  [
    'a range is a list',
    '30 1-3 * * *',
    'Europe/Berlin',
    '2026-10-24T22:00Z',
    25,
    '10-24 23:30, 10-25 00:30, 10-25 02:30',
  ],
  // 8 March 2026: at 02:00 it is 03:00, 07:00 UTC; 1 November 2026: at 02:00 it is 01:00 again, 06:00 UTC.
  [
    'a time that there isn’t in America',
    '30 2 * * *',
    'America/New_York',
    '2026-03-07T05:00Z',
    72,
    '03-07 07:30, 03-08 07:00, 03-09 06:30',
  ],
  [
    'a time that there is twice in America',
    '30 1 * * *',
    'America/New_York',
    '2026-10-31T04:00Z',
    73,
    '10-31 05:30, 11-01 05:30, 11-02 06:30',
  ],
  [
    'one that there is once there',
    '30 2 * * *',
    'America/New_York',
    '2026-10-31T04:00Z',
    73,
    '10-31 06:30, 11-01 07:30, 11-02 07:30',
  ],
  ['half an hour of change', '15 2 * * *', 'Australia/Lord_Howe', '2026-10-02T13:00Z', 48, '10-02 15:45, 10-03 15:30'],
  ['no change in UTC', '30 2 * * *', 'UTC', '2026-03-28T00:00Z', 48, '03-28 02:30, 03-29 02:30'],
  ['the last day of the month', '0 0 L * *', 'UTC', '2026-02-01T00:00Z', 24 * 59, '02-28 00:00, 03-31 00:00'],
  [
    'working hours',
    '0 9-11 * * MON-FRI',
    'UTC',
    '2026-01-02T00:00Z',
    96,
    '01-02 09:00, 01-02 10:00, 01-02 11:00, 01-05 09:00, 01-05 10:00, 01-05 11:00',
  ],
  ['the first Monday', '0 9 * * MON#1', 'UTC', '2026-01-01T00:00Z', 24 * 40, '01-05 09:00, 02-02 09:00'],
  ['the first if it is a Monday', '0 9 1 * +MON', 'UTC', '2026-01-01T00:00Z', 24 * 200, '06-01 09:00'],
  ['the first and Mondays', '0 9 1 * MON', 'UTC', '2026-01-01T00:00Z', 24 * 10, '01-01 09:00, 01-05 09:00'],
  ['a name', '@daily', 'Asia/Kolkata', '2026-01-01T00:00Z', 24, '01-01 18:30'],
];

for (const [what, pattern, zone, from, hours, ticks] of TABLE) {
  test(
    `'${pattern}' in ${zone}: ${what}`,
    withLeakCheck(async () => {
      assert.equal(ticksOf(pattern, zone, from, hours).join(', '), ticks);
    }),
  );
}

test(
  'a pattern with seconds fires by them, one with a year in it alone',
  withLeakCheck(async () => {
    const { next, newest } = cronTimetable('*/20 * * * * *', 'UTC');
    assert.equal(next(0, 0), 20 * SECOND);
    assert.equal(next(19_999, 0), 20 * SECOND);
    assert.equal(next(20_000, 0), 40 * SECOND);
    assert.equal(newest(20_000, 0), 20 * SECOND);
    assert.equal(newest(39_999.5, 0), 20 * SECOND);
    const once = cronTimetable('0 0 0 1 1 * 2030', 'UTC');
    assert.equal(timeOf(once.next(0, 0)), '01-01 00:00:00');
    assert.equal(once.next(Date.parse('2030-01-01'), 0), undefined);
    assert.equal(once.newest(Date.parse('2040-01-01'), 0), Date.parse('2030-01-01'));
  }),
);

test(
  'a period lies on a grid, whatever is asked for',
  withLeakCheck(async () => {
    const { next, newest } = periodTimetable(300);
    assert.deepEqual([next(1_000, 1_000), next(1_299, 1_000), next(1_300, 1_000)], [1_300, 1_300, 1_600]);
    assert.deepEqual([newest(1_299, 1_000), newest(1_300, 1_000), newest(900, 1_000)], [1_000, 1_300, 700]);
    assert.equal(next(1_000, undefined), undefined);
  }),
);

const patterns = fc
  .tuple(
    fc.constantFrom('0', '30', '*/20', '5,35', '10-12'),
    fc.constantFrom('0', '2', '1,2', '*', '*/3', '1-3'),
    fc.constantFrom('*', '*/2', '25,29', 'L', '1'),
    fc.constantFrom('*', '*', '3,10,11'),
    fc.constantFrom('*', '*', 'SUN', 'MON-FRI'),
  )
  .map((fields) => fields.join(' '));
const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu');
const times = fc.oneof(
  fc.integer({ min: Date.parse('2026-03-07'), max: Date.parse('2026-03-30') }),
  fc.integer({ min: Date.parse('2026-10-03'), max: Date.parse('2026-11-03') }),
);

property(
  'the last tick up to a time is the one that the ticks from before it come to',
  150,
  fc.record({ pattern: patterns, zone: zones, from: times, ms: fc.integer({ min: 0, max: 3 * DAY }) }),
  async ({ pattern, zone, from, ms }) => {
    const { next, newest } = cronTimetable(pattern, zone);
    let last: number | undefined;
    for (let at = next(from, 0); at !== undefined && at <= from + ms; at = next(at, 0)) last = at;
    const found = newest(from + ms, 0);
    if (last === undefined)
      assert.ok(found === undefined || found <= from, `${timeOf(found)} is after ${timeOf(from)}`);
    else assert.equal(timeOf(found), timeOf(last));
  },
);
