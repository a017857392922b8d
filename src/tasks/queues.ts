/** Which queues a dispatcher takes calls from, in which order, and how many of each it may run. */
import type { LaneLimit } from '../engines/index.ts';
import { COUNT, checkNames, checkNumber, checkObject, DURATION, optionalNumber } from '../manager/checks.ts';

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

interface QueueState {
  readonly name: string;
  concurrency: number;
  weight: number;
  /** Of the smooth weighted round robin. */
  credit: number;
}

/** The lane of all calls of a queue. */
export function queueLane(name: string): string {
  return `queue:${name}`;
}

export function checkQueues(queues: QueueMap): void {
  checkObject('queues', queues);
  for (const [name, options] of Object.entries(queues)) {
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

  constructor(order: 'strict' | 'weighted') {
    this.#order = order;
  }

  get names(): string[] {
    return this.#states.map(({ name }) => name);
  }

  /** Another set of queues from now on; what runs of those that are gone comes to its end. */
  set(queues: QueueMap): void {
    this.#options = queues;
    this.#states = Object.entries(queues).map(([name, { concurrency = Number.POSITIVE_INFINITY, weight = 1 }]) => ({
      name,
      concurrency,
      weight,
      credit: 0,
    }));
  }

  /** What the engine has to know of a queue. */
  limitOf(name: string): LaneLimit | undefined {
    const rateLimit = this.#options[name]?.rateLimit;
    return rateLimit && { rate: { limit: rateLimit.limit, intervalMs: rateLimit.intervalMs ?? 1_000 } };
  }

  began(name: string): void {
    this.#running.set(name, (this.#running.get(name) ?? 0) + 1);
  }

  ended(name: string): void {
    const running = this.#running.get(name)! - 1;
    if (running === 0) this.#running.delete(name);
    else this.#running.set(name, running);
  }

  /** What to ask for when there is room for `max` calls: of each queue, in order, how many at most. */
  request(max: number): { name: string; max: number }[] {
    return this.#states
      .map((state) => ({ name: state.name, max: Math.min(max, this.#roomOf(state)) }))
      .filter((queue) => queue.max > 0);
  }

  /**
   * The same where `max` is shared by weight: after nginx's smooth weighted round robin, so that shares hold over any
   * number of turns. Undefined where the order is strict.
   */
  share(max: number): { name: string; max: number }[] | undefined {
    if (this.#order === 'strict' || max === 0) return undefined;
    const rooms = new Map(this.#states.map((state) => [state, this.#roomOf(state)]));
    const shares = new Map<string, number>();
    for (let left = max; left > 0; left--) {
      const open = this.#states.filter((state) => rooms.get(state)! > 0);
      if (open.length === 0) break;
      const total = open.reduce((sum, { weight }) => sum + weight, 0);
      for (const state of open) state.credit += state.weight;
      const best = open.reduce((a, b) => (b.credit > a.credit ? b : a));
      best.credit -= total;
      rooms.set(best, rooms.get(best)! - 1);
      shares.set(best.name, (shares.get(best.name) ?? 0) + 1);
    }
    return [...shares].map(([name, count]) => ({ name, max: count }));
  }

  #roomOf({ name, concurrency }: QueueState): number {
    return Math.max(0, concurrency - (this.#running.get(name) ?? 0));
  }
}
