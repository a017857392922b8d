/**
 * The rules of engines once more, as plainly as they can be put: a list of calls that is gone through again and again.
 * What an engine does is held against it.
 */
import type { CallState, DuplicatePolicy, LaneLimit } from '../../../src/engines/index.ts';

export interface ModelCall {
  readonly id: string;
  readonly order: number;
  readonly queue: string;
  readonly manager: string;
  readonly priority: number;
  readonly lanes: readonly string[];
  readonly key: string | undefined;
  readonly onDuplicate: DuplicatePolicy;
  readonly keptMs: number;
  state: CallState;
  attempt: number;
  dueAt: number;
  /** In the order in which calls came to be held. */
  heldAs: number;
  isActive: boolean;
  holder: string | undefined;
  /** The number of the delivery that holds it; of the one that ended last, and how. */
  lease: number | undefined;
  ended: { readonly lease: number; readonly how: string } | undefined;
  expiresAt: number;
  isLost: boolean;
  isUnwanted: boolean;
  forgetAt: number;
}

/** One delivery, for the lanes: while it counts for rates, and while it runs. */
interface Spent {
  readonly lease: number;
  readonly call: ModelCall;
  at: number;
  counts: boolean;
  runs: boolean;
  /** Its number among deliveries and late starts. */
  number: number;
}

const ENDED: readonly CallState[] = ['completed', 'failed', 'canceled', 'discarded', 'deadLettered'];

export class EngineModel {
  now = 0;
  calls: ModelCall[] = [];
  readonly spent: Spent[] = [];
  readonly #limits = new Map<string, LaneLimit>();
  /** Deliveries and late starts up to this number don't count for the rate of a name. */
  readonly #since = new Map<string, number>();
  #submitted = 0;
  #numbers = 0;
  #held = 0;

  find(id: string): ModelCall | undefined {
    return this.calls.find((call) => call.id === id);
  }

  submit(
    call: Pick<ModelCall, 'id' | 'queue' | 'manager' | 'priority' | 'lanes' | 'key' | 'onDuplicate' | 'keptMs'>,
    delayMs: number,
  ): void {
    if (this.find(call.id) !== undefined) return;
    const stored: ModelCall = {
      ...call,
      order: this.#submitted++,
      state: 'submitted',
      attempt: 0,
      dueAt: 0,
      heldAs: 0,
      isActive: false,
      holder: undefined,
      lease: undefined,
      ended: undefined,
      expiresAt: 0,
      isLost: false,
      isUnwanted: false,
      forgetAt: Infinity,
    };
    this.calls.push(stored);
    this.#wait(stored, delayMs);
  }

  /** What is to be fetched now, and has been. */
  fetch(
    holder: string,
    queues: readonly { readonly name: string; readonly max: number }[],
    max: number,
    room: Readonly<Record<string, number>>,
    leaseMs: number,
  ): ModelCall[] {
    const fetched: ModelCall[] = [];
    for (const queue of queues) {
      for (let n = 0; n < queue.max && fetched.length < max; n++) {
        const left = (manager: string) =>
          (room[manager] ?? 0) - fetched.filter((call) => call.manager === manager).length;
        const [call] = this.fetchable().filter((each) => each.queue === queue.name && left(each.manager) > 0);
        if (call === undefined) break;
        call.state = 'started';
        call.attempt++;
        call.holder = holder;
        call.lease = this.spent.length + 1;
        call.expiresAt = this.now + leaseMs;
        this.spent.push({ lease: call.lease, call, at: this.now, counts: true, runs: true, number: ++this.#numbers });
        fetched.push(call);
      }
    }
    return fetched;
  }

  /** The most urgent first. */
  fetchable(): ModelCall[] {
    return this.calls
      .filter(({ state, lanes }) => state === 'queued' && lanes.every((lane) => this.isOpen(lane)))
      .sort((a, b) => b.priority - a.priority || a.order - b.order);
  }

  isOpen(lane: string): boolean {
    const name = lane.split('\n')[0]!;
    const { rate, concurrency = Infinity } = this.#limits.get(name) ?? {};
    const spent = this.spent.filter(({ call }) => call.lanes.includes(lane));
    if (spent.filter(({ runs }) => runs).length >= concurrency) return false;
    return rate === undefined || this.#recent(lane, rate).length < rate.limit;
  }

  /** A call begins later than it was fetched. */
  start(id: string, lease: number): boolean | 'stale' {
    const call = this.find(id);
    if (call?.lease !== lease) return 'stale';
    const own = this.spent[lease - 1]!;
    const hasRoom = call.lanes.every((lane) => {
      const { rate } = this.#limits.get(lane.split('\n')[0]!) ?? {};
      return rate === undefined || this.#recent(lane, rate).filter((spent) => spent !== own).length < rate.limit;
    });
    if (hasRoom) Object.assign(own, { at: this.now, number: ++this.#numbers });
    return hasRoom;
  }

  #recent(lane: string, { intervalMs }: { readonly intervalMs: number }): Spent[] {
    const since = this.#since.get(lane.split('\n')[0]!) ?? 0;
    return this.spent.filter(
      ({ call, counts, at, number }) =>
        call.lanes.includes(lane) && counts && number > since && at + intervalMs > this.now,
    );
  }

  limit(name: string, limit: LaneLimit | undefined): void {
    if (this.#limits.get(name)?.rate === undefined) this.#since.set(name, this.#numbers);
    if (limit === undefined) this.#limits.delete(name);
    else this.#limits.set(name, limit);
  }

  /** Whether a lease may say so; if it does for the first time, `then` says what becomes of the call. */
  close(id: string, lease: number, how: string, isUnspent: boolean, then: (call: ModelCall) => void): boolean {
    const call = this.find(id);
    if (call === undefined) return false;
    if (call.lease !== lease) return call.ended?.lease === lease && call.ended.how === how;
    call.ended = { lease, how };
    if (!isUnspent) call.isLost = false;
    this.#void(call, isUnspent);
    if (how === 'release') call.attempt--;
    then(call);
    return true;
  }

  goOn(call: ModelCall, delayMs: number): void {
    if (call.isUnwanted) this.end(call, 'canceled');
    else this.#wait(call, delayMs);
  }

  end(call: ModelCall, state: CallState): void {
    call.state = state;
    call.isActive = false;
    if (state !== 'deadLettered') {
      call.forgetAt = this.now + call.keptMs;
      if (call.keptMs === 0) this.forget(call);
    }
    const twins = this.#twins(call);
    if (call.key === undefined || twins.some(({ isActive }) => isActive)) return;
    const [next] = twins.filter(({ state }) => state === 'held').sort((a, b) => a.heldAs - b.heldAs);
    if (next !== undefined) this.#queue(next);
  }

  forget(call: ModelCall): void {
    this.calls = this.calls.filter((other) => other !== call);
  }

  cancel(id: string): 'canceled' | 'requested' | 'ended' | 'unknown' {
    const call = this.find(id);
    if (call === undefined) return 'unknown';
    if (ENDED.includes(call.state)) return 'ended';
    if (call.state !== 'started') {
      this.end(call, 'canceled');
      return 'canceled';
    }
    call.isUnwanted = true;
    return 'requested';
  }

  schedule(id: string, delayMs: number): 'done' | 'ended' | 'unknown' {
    const call = this.find(id);
    if (call === undefined) return 'unknown';
    if (call.state !== 'scheduled' && call.state !== 'queued') return 'ended';
    if (call.state === 'scheduled' || delayMs > 0) this.#wait(call, delayMs);
    return 'done';
  }

  loseAllOf(holder: string): void {
    for (const call of [...this.calls]) if (call.state === 'started' && call.holder === holder) this.#lose(call);
  }

  resubmit(): string[] {
    const letters = this.calls.filter(({ state }) => state === 'deadLettered');
    for (const call of letters) {
      call.isUnwanted = false;
      call.attempt = 0;
      const others = this.#twins(call).some(({ isActive }) => isActive);
      if (call.key !== undefined && call.onDuplicate !== 'parallel' && others) this.#hold(call);
      else this.#queue(call);
    }
    return letters.map(({ id }) => id);
  }

  removeEnded(): string[] {
    const ended = this.calls.filter(({ state }) => ENDED.includes(state));
    for (const call of ended) this.forget(call);
    return ended.map(({ id }) => id);
  }

  /** Leases expire, calls come due, ended ones are forgotten: in this order where times are the same, and none are. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const times = this.calls.map((call) => this.#nextOf(call)).filter((time) => time <= end);
      if (times.length === 0) break;
      this.now = Math.min(...times);
      for (const call of [...this.calls]) {
        if (this.#nextOf(call) !== this.now) continue;
        if (call.state === 'started') this.#lose(call);
        else if (call.state === 'scheduled') this.#admit(call);
        else this.forget(call);
      }
    }
    this.now = end;
  }

  #nextOf(call: ModelCall): number {
    if (call.state === 'started') return call.expiresAt;
    return call.state === 'scheduled' ? call.dueAt : call.forgetAt;
  }

  #lose(call: ModelCall): void {
    this.#void(call, false);
    call.isLost = true;
    this.goOn(call, 0);
  }

  #void(call: ModelCall, isUnspent: boolean): void {
    const spent = this.spent[call.lease! - 1]!;
    spent.runs = false;
    if (isUnspent) spent.counts = false;
    call.holder = undefined;
    call.lease = undefined;
  }

  #wait(call: ModelCall, delayMs: number): void {
    if (delayMs === 0) {
      this.#admit(call);
    } else {
      call.state = 'scheduled';
      call.dueAt = this.now + delayMs;
    }
  }

  #admit(call: ModelCall): void {
    const active = this.#twins(call).some(({ isActive }) => isActive);
    if (call.key === undefined || call.isActive || !active || call.onDuplicate === 'parallel') {
      this.#queue(call);
    } else if (call.onDuplicate === 'discard') {
      this.end(call, 'discarded');
    } else {
      const held = this.#twins(call).filter(({ state }) => state === 'held');
      const last = held.sort((a, b) => a.heldAs - b.heldAs).at(-1);
      this.#hold(call);
      if (call.onDuplicate === 'queueOne' && last?.onDuplicate === 'queueOne') this.end(last, 'discarded');
    }
  }

  #queue(call: ModelCall): void {
    call.isActive = true;
    call.state = 'queued';
  }

  #hold(call: ModelCall): void {
    call.state = 'held';
    call.heldAs = this.#held++;
  }

  /** The others of its key. */
  #twins(call: ModelCall): ModelCall[] {
    return this.calls.filter((other) => other !== call && other.key === call.key);
  }
}
