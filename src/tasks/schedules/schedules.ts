/** The schedules of a dispatcher: makes them, when all that can be checked is right, and has their times kept. */
import type { Engine } from '../../engines/index.ts';
import { wallTimeOf } from '../../go/clock.ts';
import type { Call } from '../call.ts';
import { COUNT, checkNumber, wrongRange } from '../checks.ts';
import { definitionOf } from '../define-task.ts';
import type { AnyTask, TaskRegistry } from '../registry.ts';
import type { CallSubmitter } from '../submitter.ts';
import { Firing } from './firing.ts';
import { Schedule } from './schedule.ts';
import {
  checkScheduleOptions,
  type EveryOptions,
  type OnStartOptions,
  type ScheduleOptions,
  type ScheduleRules,
} from './schedule-options.ts';
import { StartJob } from './start-job.ts';
import { type TickEvent, Ticker } from './ticker.ts';
import { type Job, Timekeeper } from './timekeeper.ts';
import { cronTimetable, periodTimetable, type Timetable } from './timetable.ts';

/** What schedules ask of their dispatcher. */
export interface SchedulesHost {
  readonly engine: Engine;
  readonly registry: TaskRegistry;
  readonly submitter: CallSubmitter;
  /** The dispatcher's name. */
  readonly owner: string;
  /** @throws ShutdownError after a stop */
  refuseAfterStop(): void;
  tell(tick: TickEvent): void;
  report(error: unknown, what: string): void;
  warn(what: string): void;
  /** The engine has failed, so many times in a row for one schedule. */
  failed(error: unknown, failures: number): void;
}

/** A schedule before it is there. */
interface Plan {
  readonly task: AnyTask | string;
  readonly input: unknown;
  readonly rules: ScheduleRules;
  /** Undefined: at the start. */
  readonly timetable: Timetable | undefined;
}

/** A job, and when it is due next. */
interface Timed extends Job {
  next(now: number): number | undefined;
}

/** A hundred years: a date must come of it. */
const LONGEST_MS = 100 * 366 * 86_400_000;

/** What fires by itself in a dispatcher: made by its `schedule`, `every` and `onStart`, and found here. */
export class Schedules {
  readonly #host: SchedulesHost;
  readonly #timekeeper: Timekeeper;
  readonly #schedules = new Map<string, Schedule>();
  #isOver = false;

  /** @internal */
  constructor(host: SchedulesHost) {
    this.#host = host;
    this.#timekeeper = new Timekeeper(host.engine.clock, (error, failures) => host.failed(error, failures));
  }

  /** All that there are, in the order of their making. */
  list(): Schedule[] {
    return [...this.#schedules.values()];
  }

  /** Undefined if there is none of the name. */
  get(name: string): Schedule | undefined {
    return this.#schedules.get(name);
  }

  /** @internal */
  async byCron(cron: string, task: AnyTask | string, input: unknown, options: ScheduleOptions = {}): Promise<Schedule> {
    const rules = checkScheduleOptions('schedule', options);
    const timetable = cronTimetable(cron, rules.timeZone);
    if (timetable.next(this.#now(), undefined) === undefined) {
      throw wrongRange('cron', 'a pattern that fires some day', cron);
    }
    return this.#add({ task, input, rules, timetable });
  }

  /** @internal */
  async byPeriod(ms: number, task: AnyTask | string, input: unknown, options: EveryOptions = {}): Promise<Schedule> {
    const rules = checkScheduleOptions('every', options);
    checkNumber('ms', ms, COUNT);
    if (ms > LONGEST_MS) throw wrongRange('ms', 'at most a hundred years', ms);
    return this.#add({ task, input, rules, timetable: periodTimetable(ms) });
  }

  /** @internal */
  async atStart(task: AnyTask | string, input: unknown, options: OnStartOptions = {}): Promise<Schedule> {
    return this.#add({ task, input, rules: checkScheduleOptions('onStart', options), timetable: undefined });
  }

  /** @internal Has them fire from now on. */
  start(): void {
    this.#timekeeper.start();
  }

  /** @internal Has them fire no more. Resolves when what is under way has come to its end. */
  stop(): Promise<void> {
    this.#isOver = true;
    return this.#timekeeper.stop();
  }

  async #add({ task: given, input, rules, timetable }: Plan): Promise<Schedule> {
    const { engine, registry, submitter } = this.#host;
    this.#host.refuseAfterStop();
    const task = typeof given === 'string' ? registry.get(given) : given;
    const { name: taskName, version } = definitionOf(task);
    const when = timetable?.text ?? 'at the start';
    const name = rules.name ?? `${taskName}:${version} ${when}`;
    this.#checkFree(name);
    const firing = new Firing({ name, task, input, rules, engine, submitter });
    const now = this.#now();
    await firing.check(timetable?.next(now, now) ?? now);
    // Others may have come first meanwhile.
    this.#host.refuseAfterStop();
    this.#checkFree(name);
    const job = this.#jobOf(firing, rules, timetable);
    const schedule: Schedule = new Schedule({
      name,
      task: taskName,
      when,
      next: () => (this.#isOver || this.#schedules.get(name) !== schedule ? undefined : job.next(this.#now())),
      trigger: () => this.#trigger(firing),
      remove: () => {
        if (this.#schedules.get(name) !== schedule) return;
        this.#schedules.delete(name);
        this.#timekeeper.remove(job);
      },
    });
    this.#schedules.set(name, schedule);
    this.#timekeeper.add(job);
    return schedule;
  }

  #jobOf(firing: Firing, rules: ScheduleRules, timetable: Timetable | undefined): Timed {
    const { engine, owner } = this.#host;
    const tell = (tick: TickEvent) => this.#host.tell(tick);
    const refused = (error: unknown, what: string) => this.#host.report(error, what);
    if (timetable === undefined) return new StartJob({ firing, now: () => this.#now(), tell, refused });
    const warn = (what: string) => this.#host.warn(what);
    return new Ticker({ engine, owner, timetable, rules, firing, tell, refused, warn });
  }

  async #trigger(firing: Firing): Promise<Call<unknown>> {
    this.#host.refuseAfterStop();
    return firing.now(this.#now());
  }

  #checkFree(name: string): void {
    if (!this.#schedules.has(name)) return;
    throw new TypeError(`there is a schedule ${JSON.stringify(name)} here already: give this one another name`);
  }

  #now(): number {
    return wallTimeOf(this.#host.engine.clock);
  }
}
