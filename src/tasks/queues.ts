/** Which queues a dispatcher takes calls from, in which order, and how many of each it may run. */
import type { Delivery, FetchRequest, LaneLimit } from '../engines/index.ts';
import {
  COUNT,
  checkName,
  checkNames,
  checkNumber,
  checkObject,
  DURATION,
  optionalNumber,
  wrongRange,
} from './checks.ts';

/** What can be said of one queue. */
export interface QueueOptions {
  /** How many of its calls this dispatcher runs at once. Default: as many as it has room for. */
  readonly concurrency?: number | undefined;
  /** At most so many starts in any window, in all dispatchers on the engine together. `intervalMs` is 1,000 unless told. */
  readonly rateLimit?: { readonly limit: number; readonly intervalMs?: number | undefined } | undefined;
  /** Its share where `order` is 'weighted'. Default 1. */
  readonly weight?: number | undefined;
}

/** The queues of a dispatcher by name: with 'strict', those named first go first. */
export type QueueMap = Readonly<Record<string, QueueOptions>>;

/** What control has said of a queue: it goes before what the dispatcher has been told. */
export interface QueueRule {
  /** Nothing is taken from it. */
  readonly isPaused?: boolean;
  readonly concurrency?: number;
  /** Null: none. */
  readonly rateLimit?: { readonly limit: number; readonly intervalMs: number } | null;
}

/** How a dispatcher takes from a queue at present. */
export interface QueueUse extends Required<QueueRule> {
  readonly name: string;
  readonly weight: number;
}

interface QueueState {
  readonly name: string;
  readonly concurrency: number;
  readonly weight: number;
  /** By weight: where its turn is. Each call delivered moves it on by 1 / weight. */
  turn: number;
  /** Whether it had nothing left when it was last asked, or no room. Meanwhile it saves up no turns. */
  isIdle: boolean;
  /** Whether it had nothing left in this very look, whose room others may have now. */
  isDry: boolean;
}

type Request = FetchRequest['queues'][number];

/** The lane of all calls of a queue. */
export function queueLane(name: string): string {
  return `queue:${name}`;
}

/** Consumers of such names only ask dispatchers, and are none. */
export const CONTROL_PREFIX = 'control:';
const OWN_PREFIX = 'dispatcher:';

/** The queue that one dispatcher takes from, and no other: for broadcasts. */
export function ownQueue(dispatcher: string): string {
  return `${OWN_PREFIX}${dispatcher}`;
}

export function isOwnQueue(name: string): boolean {
  return name.startsWith(OWN_PREFIX);
}

/** Whose queue it is. */
export function ownerOf(queue: string): string {
  return queue.slice(OWN_PREFIX.length);
}

export function checkQueues(queues: QueueMap): void {
  checkObject('queues', queues);
  for (const [name, options] of Object.entries(queues)) {
    checkName('the name of a queue', name);
    if (isOwnQueue(name))
      throw wrongRange('the name of a queue', `one without ${OWN_PREFIX}, which is for broadcasts`, name);
    checkObject(`queues.${name}`, options);
    checkNames(`the queue ${name}`, options, ['concurrency', 'rateLimit', 'weight']);
    optionalNumber(`queues.${name}.concurrency`, options.concurrency, { ...COUNT, infinite: true }, 0);
    optionalNumber(`queues.${name}.weight`, options.weight, DURATION, 1);
    const { rateLimit } = options;
    if (rateLimit === undefined) continue;
    checkObject(`queues.${name}.rateLimit`, rateLimit);
    checkNames('rateLimit', rateLimit, ['limit', 'intervalMs']);
    checkNumber(`queues.${name}.rateLimit.limit`, rateLimit.limit, COUNT);
    optionalNumber(`queues.${name}.rateLimit.intervalMs`, rateLimit.intervalMs, DURATION, 0);
  }
}

export class Queues {
  readonly #running = new Map<string, number>();
  readonly #order: 'strict' | 'weighted';
  #states: QueueState[] = [];
  #options: QueueMap = {};
  #rules: ReadonlyMap<string, QueueRule> = new Map();
  /** By weight: the turn of the last call delivered. */
  #turn = 0;

  constructor(order: 'strict' | 'weighted') {
    this.#order = order;
  }

  get names(): string[] {
    return this.#states.map(({ name }) => name);
  }

  /** How many it takes from, but for those that are paused. */
  get open(): number {
    return this.#states.filter(({ name }) => !this.#rules.get(name)?.isPaused).length;
  }

  /** Another set of queues from now on; what runs of those that are gone comes to its end. */
  set(queues: QueueMap): void {
    this.#options = queues;
    this.#turn = 0;
    this.#states = Object.entries(queues).map(([name, { concurrency = Number.POSITIVE_INFINITY, weight = 1 }]) => ({
      name,
      concurrency,
      weight,
      turn: 0,
      isIdle: false,
      isDry: false,
    }));
  }

  /** What control says of queues from now on. */
  rule(rules: ReadonlyMap<string, QueueRule>): void {
    this.#rules = rules;
  }

  /** How it takes from each at present. */
  uses(): QueueUse[] {
    return this.#states.map(({ name, concurrency, weight }) => {
      const { rate } = this.limitOf(name) ?? {};
      const rule = this.#rules.get(name);
      return {
        name,
        weight,
        isPaused: rule?.isPaused ?? false,
        concurrency: rule?.concurrency ?? concurrency,
        rateLimit: rate ?? null,
      };
    });
  }

  /** What the engine has to know of a queue. */
  limitOf(name: string): LaneLimit | undefined {
    const rule = this.#rules.get(name)?.rateLimit;
    const rateLimit = rule === undefined ? this.#options[name]?.rateLimit : rule;
    return rateLimit ? { rate: { limit: rateLimit.limit, intervalMs: rateLimit.intervalMs ?? 1_000 } } : undefined;
  }

  /** Whether control has said what it is limited to. */
  isRuled(name: string): boolean {
    return this.#rules.get(name)?.rateLimit !== undefined;
  }

  began(name: string): void {
    this.#running.set(name, (this.#running.get(name) ?? 0) + 1);
  }

  ended(name: string): void {
    const running = this.#running.get(name)! - 1;
    if (running === 0) this.#running.delete(name);
    else this.#running.set(name, running);
  }

  /** What to ask for when there is room for `max` calls: of which queues, in order, and how many of each at most. */
  plan(max: number): Request[] {
    if (this.#order === 'weighted') return this.#shares(max);
    return this.#states.map((state) => requestOf(state, Math.min(max, this.#roomOf(state)))).filter(isSome);
  }

  /** What has come of a request. */
  fetched({ queues, max }: FetchRequest, deliveries: readonly Delivery[]): void {
    if (this.#order === 'strict') return;
    const counts = new Map<string, number>();
    for (const { record } of deliveries) counts.set(record.queue, (counts.get(record.queue) ?? 0) + 1);
    const isFull = deliveries.length === max;
    // Those after it weren't asked if it has filled the room.
    const last = queues.findLastIndex(({ name }) => counts.has(name));
    const now = this.#turn;
    for (const [index, { name, max: asked }] of queues.entries()) {
      const state = this.#states.find((each) => each.name === name);
      if (state === undefined) continue;
      const count = counts.get(name) ?? 0;
      if (count > 0) {
        const turn = turnOf(state, now);
        state.turn = turn + count / state.weight;
        state.isIdle = false;
        this.#turn = Math.max(this.#turn, turn + (count - 1) / state.weight);
      }
      if (count < asked && (!isFull || index < last)) {
        state.isIdle = true;
        state.isDry = true;
      }
    }
    // The look is over: there is no room, or nothing more.
    if (isFull || deliveries.length === 0) for (const state of this.#states) state.isDry = false;
  }

  /**
   * By weight: who is to have the next call, and the next, as if all queues had some; then, for what these leave, those
   * that have no share in so little room, or have nothing left.
   */
  #shares(max: number): Request[] {
    const rest = this.#states.map((state) => ({
      state,
      turn: turnOf(state, this.#turn),
      room: Math.min(max, this.#roomOf(state)),
      share: 0,
    }));
    const open = rest.filter(({ room }) => room > 0).sort((a, b) => a.turn - b.turn);
    for (const { state, room } of rest) if (room === 0) state.isIdle = true;
    const shared: typeof open = [];
    for (let left = max; left > 0; left--) {
      let next: (typeof open)[number] | undefined;
      for (const queue of open) {
        if (queue.state.isDry || queue.share === queue.room) continue;
        if (next === undefined || queue.turn < next.turn) next = queue;
      }
      if (next === undefined) break;
      if (next.share === 0) shared.push(next);
      next.share++;
      next.turn += 1 / next.state.weight;
    }
    return [
      ...shared.map(({ state, share }) => requestOf(state, share)),
      ...open.filter(({ share }) => share === 0).map(({ state, room }) => requestOf(state, room)),
    ];
  }

  #roomOf({ name, concurrency }: QueueState): number {
    const rule = this.#rules.get(name);
    if (rule?.isPaused === true) return 0;
    return Math.max(0, (rule?.concurrency ?? concurrency) - (this.#running.get(name) ?? 0));
  }
}

function turnOf({ turn, isIdle }: QueueState, now: number): number {
  return isIdle ? Math.max(turn, now) : turn;
}

function requestOf({ name }: QueueState, max: number): Request {
  return { name, max };
}

function isSome({ max }: Request): boolean {
  return max > 0;
}
