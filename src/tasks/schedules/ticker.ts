/**
 * Fires the ticks of one schedule, together with all dispatchers that have one of the name.
 *
 * Each looks when a tick is due. Who gets the lock fires what the rules say, and moves the cursor over it; the others look
 * again later, and find that nothing is due any more, or that who had the lock has died over it. That a tick isn't fired
 * twice lies not in the lock, which can be lost unnoticed, but in the ids of calls, which are made of the tick, and in the
 * cursor, which is only moved by who knows where it is.
 */
import type { Engine, EngineLock, NewCall } from '../../engines/index.ts';
import { isEnded } from '../../engines/moves.ts';
import { wallTimeOf } from '../../go/clock.ts';
import { inNextTurn } from '../../go/turn.ts';
import { Cursor, type Mark } from './cursor.ts';
import type { Firing } from './firing.ts';
import type { ScheduleRules } from './schedule-options.ts';
import type { Job } from './timekeeper.ts';
import type { Timetable } from './timetable.ts';

/** What has become of a tick. */
export interface TickEvent {
  /** The schedule's name. */
  readonly schedule: string;
  /** When it was due. */
  readonly at: Date;
  /**
   * `fired`: its call is stored. `skipped`: the call before hasn't ended, and `overlap` says so. `missed`: it was too
   * late, or another tick stands for it; of several in a row the first one is told. `refused`: its call can't be
   * submitted; the `error` event says why.
   */
  readonly outcome: 'fired' | 'skipped' | 'missed' | 'refused';
  /** The call that was fired. */
  readonly callId?: string | undefined;
  /** How long after it was due, in ms. */
  readonly latencyMs: number;
}

export interface TickerOptions {
  readonly engine: Engine;
  /** Of the dispatcher. */
  readonly owner: string;
  readonly timetable: Timetable;
  readonly rules: Pick<ScheduleRules, 'overlap' | 'missed'>;
  readonly firing: Firing;
  readonly tell: (tick: TickEvent) => void;
  /** Why a tick is refused. */
  readonly refused: (error: unknown, what: string) => void;
  readonly warn: (what: string) => void;
}

/** What is to be done next. */
interface Step {
  /** The tick that it is about: all up to it are done with then. */
  readonly at: number;
  /** The oldest of those that are passed over; undefined if there is none. */
  readonly missed: number | undefined;
  readonly isFired: boolean;
}

/** A tick that is later than this has been missed. */
const LATE_MS = 60_000;
/** A cursor that is further ahead than this was written by a clock that was wrong. */
const AHEAD_MS = 3 * 3_600_000;
/** To fire takes a few operations of the engine; the lock is renewed in between. */
const LOCK_MS = 10_000;
/** When those look again who haven't got the lock. */
const AGAIN_MS = 1_000;
/** So many ticks one look sees to. */
const MOST_TICKS = 1_000;
/** So many of them until the event loop has its turn. */
const TICKS_A_TURN = 20;

export class Ticker implements Job {
  readonly #options: TickerOptions;
  readonly #cursor: Cursor;
  /** When it was begun here. */
  #since = 0;
  /** As it was seen last. */
  #mark: Mark | undefined = undefined;
  /** The first tick after it. */
  #due: number | undefined = undefined;
  /** What is to be told as soon as it is certain that the cursor has come there. */
  #untold: { readonly at: number; readonly ticks: readonly TickEvent[] } | undefined = undefined;
  #isOver = false;

  constructor(options: TickerOptions) {
    this.#options = options;
    this.#cursor = new Cursor(options.engine, options.firing.name);
  }

  begin(now: number): void {
    this.#since = Math.floor(now);
  }

  end(): void {
    this.#isOver = true;
  }

  /** At once, until one knows how far the schedule has come, or when the clock shows that one doesn't. */
  dueAt(now: number): number | undefined {
    if (this.#mark === undefined || isAhead(this.#mark, now)) return now;
    return this.#due;
  }

  /** The first tick that is still to come; undefined while that isn't known, or if there is none. */
  next(now: number): number | undefined {
    const at = Math.max(now, this.#mark?.at ?? now);
    return this.#options.timetable.next(at, this.#mark?.origin);
  }

  async look(): Promise<number> {
    const { engine, owner, firing } = this.#options;
    if (this.#stepFrom(await this.#read()) === undefined || this.#isOver) return 0;
    const lock = await engine.lock(`schedule:${firing.name}`, owner, LOCK_MS);
    if (lock === undefined) return AGAIN_MS;
    try {
      return await this.#work(lock);
    } finally {
      await lock.release();
    }
  }

  /** Sees to what is due, tick by tick. Resolves to the pause until another look. */
  async #work(lock: EngineLock): Promise<number> {
    const { clock } = this.#options.engine;
    let heldAt = clock.now();
    let mark = await this.#read();
    for (let count = 0; count < MOST_TICKS; count++) {
      const step = this.#stepFrom(mark);
      if (step === undefined || this.#isOver) return 0;
      if (clock.now() - heldAt > LOCK_MS / 3) {
        if (!(await lock.renew(LOCK_MS))) return AGAIN_MS;
        heldAt = clock.now();
      }
      const next = await this.#take(step, mark);
      if (next === undefined) return AGAIN_MS;
      mark = next;
      // An engine in memory answers within the turn.
      if ((count + 1) % TICKS_A_TURN === 0) await new Promise<void>(inNextTurn);
    }
    return 0;
  }

  /** Does one step, and gives where that leads; undefined when somebody else has come between. */
  async #take(step: Step, mark: Mark): Promise<Mark | undefined> {
    const tick = step.isFired ? await this.#fire(step.at, mark) : undefined;
    if (tick === undefined && step.isFired) return undefined;
    const missed = step.missed === undefined ? undefined : this.#eventOf(step.missed, 'missed');
    const next: Mark = { ...mark, at: step.at, by: this.#options.owner, call: tick?.callId ?? mark.call };
    this.#untold = { at: step.at, ticks: [missed, tick].filter((each) => each !== undefined) };
    if (!(await this.#cursor.write(next))) return undefined;
    this.#see(next);
    return next;
  }

  async #fire(at: number, mark: Mark): Promise<TickEvent | undefined> {
    const { engine, firing, rules, refused } = this.#options;
    const id = this.#idOf(at, mark);
    // If it is about this very tick, it was begun before, and may have been stored.
    const isFirst = rules.overlap === 'skip' && mark.call !== id;
    if (isFirst && mark.call !== undefined) {
      const last = await engine.get(mark.call);
      if (last !== undefined && !isEnded(last.state)) return this.#eventOf(at, 'skipped');
    }
    let call: NewCall;
    try {
      call = await firing.callAt(at, id);
    } catch (error) {
      refused(error, `schedule ${firing.name} could not submit what was due at ${new Date(at).toISOString()}`);
      return this.#eventOf(at, 'refused');
    }
    if (this.#isOver) return undefined;
    // Before it is stored, so that who comes after us knows what to look for if we die.
    if (isFirst && !(await this.#cursor.write({ ...mark, call: id, by: this.#options.owner }))) return undefined;
    const event: TickEvent = { ...this.#eventOf(at, 'fired'), callId: id };
    await firing.submit(call);
    return event;
  }

  /** What is to be done from there on; undefined: nothing yet. */
  #stepFrom({ at, origin }: Mark): Step | undefined {
    const { timetable, rules } = this.#options;
    const now = this.#now();
    const first = timetable.next(at, origin);
    if (first === undefined || first > now) return undefined;
    if (rules.missed === 'all') return { at: first, missed: undefined, isFired: true };
    const newest = Math.max(first, timetable.newest(now, origin) ?? first);
    const isFired = rules.missed === 'once' || now - newest <= LATE_MS;
    return { at: newest, missed: isFired && first === newest ? undefined : first, isFired };
  }

  /** How far the schedule has come; the first who asks says that it begins here. */
  async #read(): Promise<Mark> {
    for (;;) {
      const known = await this.#cursor.read();
      const mark = this.#present(known);
      if (mark === known || (await this.#cursor.write(mark))) {
        if (known !== undefined && mark.round > known.round) this.#warnOf(known);
        this.#see(mark);
        return mark;
      }
    }
  }

  /** What the cursor says to this dispatcher, in its time, and with its timetable. */
  #present(known: Mark | undefined): Mark {
    const now = Math.floor(this.#now());
    const since = Math.min(this.#since, now);
    const { owner: by } = this.#options;
    const { text: timetable } = this.#options.timetable;
    if (known === undefined) return { timetable, at: since, origin: since, round: 0, by };
    if (isAhead(known, now)) return { ...known, timetable, at: now, round: known.round + 1, by };
    if (known.timetable === timetable) return known;
    // What another timetable has left undone is not ours to do.
    return { ...known, timetable, at: Math.max(known.at, since), origin: this.#mark?.origin ?? since, by };
  }

  #see(mark: Mark): void {
    const { timetable, owner, tell } = this.#options;
    this.#mark = mark;
    this.#due = timetable.next(mark.at, mark.origin);
    const { at, ticks } = this.#untold ?? { at: undefined, ticks: [] };
    this.#untold = undefined;
    // Our own word of it may be there though no reply has come.
    if (mark.at === at && mark.by === owner) for (const tick of ticks) tell(tick);
  }

  /** The same for all who fire the tick. */
  #idOf(at: number, { round }: Mark): string {
    const id = `schedule:${this.#options.firing.name}@${new Date(at).toISOString()}`;
    return round === 0 ? id : `${id}#${round}`;
  }

  #eventOf(at: number, outcome: TickEvent['outcome']): TickEvent {
    return { schedule: this.#options.firing.name, at: new Date(at), outcome, latencyMs: this.#now() - at };
  }

  #warnOf({ at }: Mark): void {
    const { firing, warn } = this.#options;
    warn(
      `schedule ${firing.name} has come to ${new Date(at).toISOString()}, which is hours ahead: it begins anew from now, ` +
        'as the clock must have been wrong',
    );
  }

  #now(): number {
    return wallTimeOf(this.#options.engine.clock);
  }
}

function isAhead(mark: Mark, now: number): boolean {
  return mark.at > now + AHEAD_MS;
}
