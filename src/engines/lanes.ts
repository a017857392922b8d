/**
 * Lanes: what calls count against. A lane is open while its limits let one more call be delivered, and knows which
 * branches of the ready queue it has shut meanwhile.
 *
 * Invariants: a lane with branches shut is closed; one that is closed by its rate alone, with branches shut, has an alarm
 * set for when it opens. A lane that nobody counts against any more is forgotten, once there are many, when its rate
 * remembers nothing.
 */
import { show } from '../go/checks.ts';
import type { Clock } from '../go/clock.ts';
import { SlidingWindow } from '../go/sliding-window.ts';
import { Deadline, Deadlines } from '../manager/deadlines.ts';
import { type Alarmed, Alarms } from './alarms.ts';
import type { LaneLimit } from './engine.ts';
import type { Branch } from './ready-queue.ts';
import type { StoredCall } from './stored-call.ts';

/** Fewer lanes than these are kept, even if nobody uses them: making them anew costs more. */
const MANY_LANES = 256;

const NO_LANES: readonly Lane[] = [];

/** All lanes of a name: `name`, and each `name\n...`. */
interface Family {
  readonly name: string;
  limit: LaneLimit | undefined;
  readonly lanes: Set<Lane>;
}

export class Lane implements Alarmed {
  readonly name: string;
  readonly family: Family;
  /** Calls that haven't ended, and those that run. */
  calls = 0;
  running = 0;
  /** The last deliveries, if there is a limit on the rate, and how many of all the engine's there had been before. */
  window: SlidingWindow | undefined = undefined;
  windowSince = 0;
  /** Its branches, linked by `nextOfLane`; and which of them are shut. */
  branch: Branch | undefined = undefined;
  shut: Set<Branch> | undefined = undefined;
  /** When it opens, while an alarm is set. */
  at = 0;
  heapIndex = -1;
  readonly order: number;
  forgetting: Deadline<Lane> | undefined = undefined;

  constructor(name: string, family: Family, order: number) {
    this.name = name;
    this.family = family;
    this.order = order;
  }

  get isKeyed(): boolean {
    return this.name !== this.family.name;
  }

  isOpen(now: number): boolean {
    const { limit } = this.family;
    return limit === undefined || (this.#hasPlace(limit) && this.opensAt(now) === now);
  }

  /** When its rate lets the next call be delivered: now, or later. */
  opensAt(now: number): number {
    const { window } = this;
    if (window === undefined) return now;
    return window.limit === 0 ? Infinity : window.earliest(1, now);
  }

  /** Whether only time can open it. */
  get waitsForTime(): boolean {
    const { limit } = this.family;
    return limit !== undefined && this.#hasPlace(limit);
  }

  #hasPlace({ concurrency }: LaneLimit): boolean {
    return concurrency === undefined || this.running < concurrency;
  }
}

export class Lanes {
  readonly #families = new Map<string, Family>();
  readonly #lanes = new Map<string, Lane>();
  readonly #alarms: Alarms<Lane>;
  readonly #forgetting: Deadlines;
  readonly #onOpen: (lane: Lane) => void;
  #made = 0;
  /** How many deliveries there have been, and late starts, for all lanes. */
  #deliveries = 0;

  /** @param onOpen is called when a lane with branches shut has opened */
  constructor(clock: Clock, onOpen: (lane: Lane) => void) {
    this.#onOpen = onOpen;
    this.#alarms = new Alarms(clock, (lane, now) => this.#review(lane, now));
    this.#forgetting = new Deadlines(clock);
  }

  /** For tests: how many are remembered. */
  get size(): number {
    return this.#lanes.size;
  }

  /** The lanes of a new call, those that many share first: so the ways of calls part as late as they can. */
  join(call: StoredCall): void {
    const names = call.laneNames;
    if (names.length === 0) return;
    const lanes = names.length === 1 ? [this.#lane(names[0]!)] : [...new Set(names)].map((name) => this.#lane(name));
    if (lanes.length > 1) lanes.sort(byWidth);
    for (const lane of lanes) {
      lane.calls++;
      if (lane.forgetting !== undefined) this.#forgetting.lift(lane.forgetting);
    }
    call.lanes = lanes;
  }

  /** The call has ended. */
  part(call: StoredCall, now: number): void {
    const { lanes } = call;
    if (lanes.length === 0) return;
    call.lanes = NO_LANES;
    for (const lane of lanes) if (--lane.calls === 0) this.#onIdle(lane, now);
  }

  /** The call is delivered: all its lanes are open. */
  spend(call: StoredCall, now: number): void {
    call.delivery = ++this.#deliveries;
    call.deliveredAt = now;
    for (const lane of call.lanes) {
      lane.running++;
      lane.window?.add(1, now);
    }
  }

  /** The call begins later than it was delivered: its part of the rates moves to now. False when there is no room now. */
  spendAgain(call: StoredCall, now: number): boolean {
    const rated = call.lanes.filter(({ window }) => window !== undefined);
    for (const lane of rated) if (call.delivery > lane.windowSince) lane.window!.remove(1, call.deliveredAt);
    const hasRoom = rated.every((lane) => lane.opensAt(now) === now);
    if (hasRoom) {
      call.delivery = ++this.#deliveries;
      call.deliveredAt = now;
    }
    for (const lane of rated) if (call.delivery > lane.windowSince) lane.window!.add(1, call.deliveredAt);
    return hasRoom;
  }

  /** The call doesn't run any more. With `asIfNever`, it gives back its part of the rates too. */
  leave(call: StoredCall, asIfNever: boolean, now: number): void {
    for (const lane of call.lanes) {
      lane.running--;
      const { window } = lane;
      if (asIfNever && call.delivery > lane.windowSince) window?.remove(1, call.deliveredAt);
      this.#review(lane, now);
    }
  }

  shut(branch: Branch, lane: Lane, now: number): void {
    lane.shut ??= new Set();
    lane.shut.add(branch);
    if (lane.heapIndex === -1 && lane.waitsForTime) this.#alarms.set(lane, lane.opensAt(now));
  }

  /** @throws TypeError or RangeError when the limit is wrong */
  limit(name: string, limit: LaneLimit | undefined, now: number): void {
    checkLimit(limit);
    const family = this.#family(name);
    family.limit = limit === undefined ? undefined : { ...limit };
    for (const lane of family.lanes) {
      this.#fit(lane);
      this.#alarms.lift(lane);
      this.#review(lane, now);
      if (lane.calls === 0) this.#onIdle(lane, now);
    }
    if (limit === undefined && family.lanes.size === 0) this.#families.delete(name);
  }

  close(): void {
    this.#alarms.close();
    this.#forgetting.close();
    this.#families.clear();
    this.#lanes.clear();
  }

  /** Gives a lane the window that its limit wants, with what is known of the past. */
  #fit(lane: Lane): void {
    const rate = lane.family.limit?.rate;
    if (rate === undefined) {
      lane.window = undefined;
    } else if (lane.window === undefined) {
      lane.window = new SlidingWindow(rate.intervalMs, rate.limit);
      lane.windowSince = this.#deliveries;
    } else {
      if (lane.window.intervalMs !== rate.intervalMs) lane.window = lane.window.copy(rate.intervalMs);
      lane.window.limit = rate.limit;
    }
  }

  /** Something may have opened the lane, or changed what it waits for. */
  #review(lane: Lane, now: number): void {
    if (lane.shut === undefined) return;
    if (lane.isOpen(now)) {
      this.#alarms.lift(lane);
      this.#onOpen(lane);
    } else if (lane.waitsForTime) {
      this.#alarms.lift(lane);
      this.#alarms.set(lane, lane.opensAt(now));
    }
  }

  #lane(name: string): Lane {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      const end = name.indexOf('\n');
      const family = this.#family(end === -1 ? name : name.slice(0, end));
      lane = new Lane(name, family, ++this.#made);
      family.lanes.add(lane);
      this.#lanes.set(name, lane);
      this.#fit(lane);
    }
    return lane;
  }

  #family(name: string): Family {
    let family = this.#families.get(name);
    if (family === undefined) {
      family = { name, limit: undefined, lanes: new Set() };
      this.#families.set(name, family);
    }
    return family;
  }

  #onIdle(lane: Lane, now: number): void {
    if (lane.forgetting !== undefined) this.#forgetting.lift(lane.forgetting);
    if (this.#lanes.size <= MANY_LANES) return;
    if (lane.window === undefined) {
      this.#forget(lane);
    } else {
      lane.forgetting ??= new Deadline(lane, (idle) => this.#forget(idle));
      this.#forgetting.set(lane.forgetting, lane.window.intervalMs, now);
    }
  }

  #forget(lane: Lane): void {
    this.#alarms.lift(lane);
    while (lane.branch !== undefined) lane.branch.remove();
    this.#lanes.delete(lane.name);
    const { family } = lane;
    family.lanes.delete(lane);
    if (family.lanes.size === 0 && family.limit === undefined) this.#families.delete(family.name);
  }
}

function byWidth(a: Lane, b: Lane): number {
  return a.isKeyed === b.isKeyed ? a.order - b.order : a.isKeyed ? 1 : -1;
}

function checkLimit(limit: LaneLimit | undefined): void {
  if (limit === undefined) return;
  const { rate, concurrency } = limit;
  if (rate !== undefined) {
    checkCount('rate.limit', rate.limit);
    const { intervalMs } = rate;
    if (typeof intervalMs !== 'number')
      throw new TypeError(`rate.intervalMs must be a number, got ${show(intervalMs)}`);
    if (!(intervalMs > 0 && intervalMs < Infinity)) {
      throw new RangeError(`rate.intervalMs must be greater than 0 and finite, got ${intervalMs}`);
    }
  }
  if (concurrency !== undefined) checkCount('concurrency', concurrency);
}

function checkCount(name: string, value: number): void {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, got ${show(value)}`);
  if (!(Number.isInteger(value) && value >= 0) && value !== Infinity) {
    throw new RangeError(`${name} must be a whole number of at least 0, or Infinity, got ${value}`);
  }
}
