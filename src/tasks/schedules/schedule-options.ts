/** What a schedule is made with: its types, and the checks. */
import { checkName, checkNames, checkObject, optionalOneOf } from '../checks.ts';
import type { SubmitOptions } from '../types.ts';

/** One firing of a schedule. */
export interface Tick {
  /** The schedule's name. */
  readonly schedule: string;
  /** The time that it is due, which is not later than now. */
  readonly at: Date;
}

/** What a schedule submits: an input, or what makes one for each tick. It may be asked again for a tick that failed. */
export type ScheduledInput<I> = I | ((tick: Tick) => I | PromiseLike<I>);

/** What can be said of any schedule. The rest is said of each submission, see {@link SubmitOptions}. */
export interface OnStartOptions extends Omit<SubmitOptions, 'id' | 'delayMs' | 'runAt'> {
  /**
   * What it is called, unique in its dispatcher. Dispatchers that share an engine fire each tick of a name once between
   * them. Default: made of the task and the times.
   */
  readonly name?: string | undefined;
}

/** What can be said of a schedule with a period. */
export interface EveryOptions extends OnStartOptions {
  /**
   * What becomes of a tick while the call of the one before hasn't ended: it is fired all the same (`allow`), dropped
   * (`skip`), or fired to run after it (`queue`). Default 'allow': whether calls may run side by side is for the task's
   * `onDuplicate` and `concurrency` to say.
   */
  readonly overlap?: 'allow' | 'skip' | 'queue' | undefined;
  /**
   * What becomes of ticks that nobody has fired in time, as when all dispatchers were down: they are dropped (`skip`), one
   * is fired for all of them (`once`), or each is (`all`). Default 'once'.
   */
  readonly missed?: 'skip' | 'once' | 'all' | undefined;
}

/** What can be said of a schedule by cron. */
export interface ScheduleOptions extends EveryOptions {
  /** The time zone of the pattern, by its IANA name. Default 'UTC'. */
  readonly timeZone?: string | undefined;
}

/** The rules of a schedule, checked and apart from what each submission is told. */
export interface ScheduleRules {
  readonly name: string | undefined;
  readonly timeZone: unknown;
  readonly overlap: 'allow' | 'skip' | 'queue';
  readonly missed: 'skip' | 'once' | 'all';
  readonly submission: SubmitOptions;
}

const ON_START: readonly (keyof OnStartOptions)[] = ['name', 'context', 'priority', 'queue', 'timeoutMs', 'attempts'];

/** What may be said, by how it is scheduled. */
export const KNOWN = {
  schedule: [...ON_START, 'overlap', 'missed', 'timeZone'],
  every: [...ON_START, 'overlap', 'missed'],
  onStart: ON_START,
} as const satisfies Record<string, readonly (keyof ScheduleOptions)[]>;

/** @throws TypeError or RangeError for the first rule that is wrong; what submissions are told is for the submitter */
export function checkScheduleOptions(how: keyof typeof KNOWN, options: ScheduleOptions): ScheduleRules {
  checkObject('options', options);
  checkNames(how, options, KNOWN[how]);
  const { name, timeZone, overlap, missed, ...submission } = options;
  return {
    name: name === undefined ? undefined : checkName('name', name),
    timeZone,
    overlap: optionalOneOf('overlap', overlap, ['allow', 'skip', 'queue'], 'allow'),
    missed: optionalOneOf('missed', missed, ['skip', 'once', 'all'], 'once'),
    submission,
  };
}
