/** When a schedule is due: by a cron pattern in a time zone, or by a period. Times are in ms since the epoch. */
import { Cron } from 'croner';
import { messageOf, wrongRange, wrongType } from '../checks.ts';

/** The times of a schedule. All of it is computed: it has no state. */
export interface Timetable {
  /** What it goes by; with another text it is another timetable. */
  readonly text: string;
  /**
   * The first tick after a time; undefined if there is none. Those of a period lie on a grid through `origin`: where that
   * isn't known, none is.
   */
  next(after: number, origin: number | undefined): number | undefined;
  /** The last tick up to a time, that time included. */
  newest(upTo: number, origin: number): number | undefined;
}

const PATTERN = "a cron pattern of 5 to 7 fields, such as '30 2 * * *', or a name such as '@daily'";
const ZONE = "an IANA time zone, such as 'Europe/Berlin'";
const SECOND_MS = 1_000;

/**
 * By a cron pattern. Patterns with fixed times fire once a day for each, also on the days when clocks are set.
 * @throws TypeError or RangeError when the pattern can't be read, never fires, or there is no such time zone
 */
export function cronTimetable(pattern: unknown, timeZone: unknown): Timetable {
  const zone = checkZone(timeZone);
  if (typeof pattern !== 'string') throw wrongType('cron', PATTERN, pattern);
  const cron = read(pattern, zone);
  const text = `cron ${pattern.trim().split(/\s+/).join(' ')} in ${zone}`;
  return {
    text,
    next: (after) => cron.nextRun(new Date(after))?.getTime(),
    // It gives those before a time, and goes by whole seconds.
    newest: (upTo) =>
      cron.previousRuns(1, new Date(Math.floor(upTo / SECOND_MS) * SECOND_MS + SECOND_MS))[0]?.getTime(),
  };
}

/** Every so many ms, from a first time on. Nothing drifts: each tick is a multiple after it. */
export function periodTimetable(periodMs: number): Timetable {
  const before = (time: number, origin: number) => origin + Math.floor((time - origin) / periodMs) * periodMs;
  return {
    text: `every ${periodMs} ms`,
    next: (after, origin) => (origin === undefined ? undefined : before(after, origin) + periodMs),
    newest: before,
  };
}

function read(pattern: string, timezone: string): Cron {
  let cron: Cron;
  try {
    // Without a function it sets no timer. Without wildcards a time is a time of the day, also in a list.
    cron = new Cron(pattern, { timezone, fixedTimeRule: 'no-wildcard' });
  } catch (error) {
    const why = messageOf(error).replace(/^CronPattern: /, '');
    throw new RangeError(`${wrongRange('cron', PATTERN, pattern).message}: ${why}`, { cause: error });
  }
  // It would take a date as well, for a single time.
  if (cron.getOnce() !== null) throw wrongRange('cron', `${PATTERN}; for a single time submit with runAt`, pattern);
  return cron;
}

/** Offsets are refused: not all versions of Node know them, and they have no daylight-saving time. */
function checkZone(zone: unknown): string {
  if (zone === undefined) return 'UTC';
  if (typeof zone !== 'string') throw wrongType('timeZone', ZONE, zone);
  try {
    if (/^[A-Za-z]/.test(zone) && new Intl.DateTimeFormat('en', { timeZone: zone })) return zone;
  } catch {
    // It says no more than that.
  }
  throw wrongRange('timeZone', ZONE, zone);
}
