/**
 * One life of the consumer: from when the engine was reached until it is lost, or the dispatcher stops. It fetches what
 * there is room for, and has a ledger of what it has.
 *
 * Invariants: nothing here waits for a task, so no task's progress can keep others from being fetched. One fetch is under
 * way at a time; whatever may be a reason for another while it is, is one for another after it.
 */
import { StaleLeaseError } from '../engines/errors.ts';
import type { Delivery, Engine, Failure, FetchRequest } from '../engines/index.ts';
import type { ClockTimer } from '../go/clock.ts';
import { DeadlineExceededError } from '../go/errors.ts';
import { inNextTurn, isTurnOver } from '../go/turn.ts';
import { canceledBecause } from '../manager/errors.ts';
import { backOff } from './backoff.ts';
import { SelfCheck } from './control/self-check.ts';
import { FLOWS } from './flows/ids.ts';
import { Ledger, MOST_FAILURES } from './ledger.ts';
import { Run } from './run.ts';

/** What a life asks of its dispatcher. */
export interface LifeHost {
  /** Tells the engine what it has to know before it delivers; nothing if it `isKnown` and hasn't changed. */
  prepare(isKnown: boolean): Promise<void> | undefined;
  /** Room on each manager, by name. */
  room(): Record<string, number>;
  /** Which queues to ask for so many calls, and how many of each at most. */
  plan(max: number): FetchRequest['queues'];
  /** What has come of a request. */
  fetched(request: FetchRequest, deliveries: readonly Delivery[]): void;
  /** Every so often, before it looks by itself. */
  polled(): void;
  /** It has nothing, and there was nothing to be had. */
  idle(): void;
  /** Makes a run of a delivery, or says why there can't be one. Never throws. */
  accept(delivery: Delivery): Run | Refusal;
  /** Starts it on its manager. */
  launch(run: Run): void;
  /** The engine has failed; `failures` times in a row by now. */
  failed(error: unknown, failures: number): void;
  /** It has failed for good. */
  lost(life: Life, error: unknown): void;
}

/** Why a delivery isn't run. */
export interface Refusal {
  readonly failure: Failure;
  /** The engine knows. */
  told(): void;
}

export interface LifeOptions {
  readonly name: string;
  readonly epoch: number;
  readonly engine: Engine;
  readonly leaseMs: number;
  readonly host: LifeHost;
}

/** A wake-up can be lost on its way: one looks by oneself after so long. */
const POLL_MS = 5_000;

export class Life {
  readonly epoch: number;
  readonly ledger: Ledger;
  /** Whether a fetch has ever succeeded. */
  hasFetched = false;
  readonly #options: LifeOptions;
  readonly #over = new AbortController();
  #isTaking = true;
  #isFetching = false;
  #fetchesAgain = false;
  /** Whether something has come for which there is always room. */
  #isEndless = false;
  /** Why calls are to be canceled that may be on their way here: nobody says it again. */
  readonly #early = new Map<string, unknown>();
  /** Of fetches, in a row. */
  #failures = 0;
  #pollTimer: ClockTimer;
  readonly #selfCheck: SelfCheck;
  /** Attempts to fetch; how many there had been at the last poll, and how many polls have found the same one under way. */
  #fetches = 0;
  #polledAt = 0;
  #slowPolls = 0;
  #onQuiet: (() => void) | undefined;

  constructor(options: LifeOptions) {
    const { engine, leaseMs, host, epoch } = options;
    this.#options = options;
    this.epoch = epoch;
    this.ledger = new Ledger(engine, leaseMs, {
      signal: this.#over.signal,
      failed: (error, failures) => host.failed(error, failures),
      lost: (error) => host.lost(this, error),
      emptied: () => this.#checkQuiet(),
    });
    this.#selfCheck = new SelfCheck({
      engine,
      everyMs: POLL_MS,
      isIdle: () => this.ledger.size === 0,
      failed: (error, failures) => host.failed(error, failures),
      lost: (error) => host.lost(this, error),
    });
    this.#pollTimer = engine.clock.setTimeout(this.#onPoll, POLL_MS);
  }

  /** Takes no more calls; those it has go on. */
  drain(): void {
    this.#isTaking = false;
  }

  /** Resolves when it has nothing any more, and nothing is on its way. */
  quiet(): Promise<void> {
    return new Promise((resolve) => {
      this.#onQuiet = resolve;
      this.#checkQuiet();
    });
  }

  /** It is over: what it still has is lost. */
  end(reason: unknown): void {
    if (this.#over.signal.aborted) return;
    this.#isTaking = false;
    this.#options.engine.clock.clearTimeout(this.#pollTimer);
    this.#over.abort(reason);
    this.ledger.close(reason);
  }

  /** The engine has told something. */
  heard(): void {
    this.#selfCheck.heard();
  }

  /** Somebody wants a call canceled that it has, or that is on its way. */
  cancel(id: string, error: unknown): void {
    this.ledger.find(id)?.end('canceled', error);
    if (this.#isFetching) this.#early.set(id, error);
  }

  /** There may be something to fetch, or room for it. */
  look(): void {
    if (!this.#isTaking) return;
    this.#fetchesAgain = true;
    if (!this.#isFetching) void this.#fetch();
  }

  async #fetch(): Promise<void> {
    this.#isFetching = true;
    while (this.#isTaking && this.#fetchesAgain) {
      this.#fetchesAgain = false;
      this.#isEndless = false;
      if (await this.#fetchOnce()) this.#fetchesAgain = true;
      this.#early.clear();
      // However many there are, timers and I/O get their turn; for what waits for workers, the managers see to that.
      if (this.#isEndless && isTurnOver()) await new Promise<void>(inNextTurn);
    }
    this.#isFetching = false;
    this.#checkQuiet();
  }

  /** Whether there may be more. */
  async #fetchOnce(): Promise<boolean> {
    const { name, engine, leaseMs, host } = this.#options;
    // Asked before the fetch: the end of a call makes room for those that it has kept waiting.
    const hadNothing = this.ledger.size === 0;
    this.#fetches++;
    let request: FetchRequest;
    let deliveries: Delivery[];
    try {
      const prepared = host.prepare(this.hasFetched);
      if (prepared !== undefined) await prepared;
      const room = host.room();
      const max = sumOf(room);
      if (max === 0) return false;
      const queues = host.plan(max);
      if (queues.length === 0) return false;
      request = { consumer: name, epoch: this.epoch, queues, max, room, leaseMs };
      deliveries = await engine.fetch(request);
    } catch (error) {
      return this.#failed(error);
    }
    // The engine has them back already.
    if (this.#over.signal.aborted) return false;
    this.hasFetched = true;
    this.#failures = 0;
    host.fetched(request, deliveries);
    for (const delivery of deliveries) this.#take(delivery);
    if (deliveries.length > 0) return true;
    if (hadNothing) host.idle();
    return false;
  }

  async #failed(error: unknown): Promise<boolean> {
    const { engine, host } = this.#options;
    const { signal } = this.#over;
    if (signal.aborted) return false;
    host.failed(error, ++this.#failures);
    if (error instanceof StaleLeaseError || this.#failures >= MOST_FAILURES) {
      host.lost(this, error);
      return false;
    }
    return backOff(this.#failures, signal, engine.clock).then(
      () => true,
      () => false,
    );
  }

  #take(delivery: Delivery): void {
    const { host } = this.#options;
    const { lease, record } = delivery;
    if (!this.#isTaking) {
      // It has come too late: as if it had never been delivered.
      this.ledger.add(lease, undefined);
      void this.ledger.end(lease, (engine) => engine.release(lease));
      return;
    }
    const run = host.accept(delivery);
    if (!(run instanceof Run)) {
      this.#isEndless = true;
      this.ledger.add(lease, undefined);
      void this.ledger.end(lease, async (engine) => {
        await engine.fail(lease, run.failure);
        run.told();
      });
      return;
    }
    if (record.manager === FLOWS) this.#isEndless = true;
    this.ledger.add(lease, run);
    if (this.#early.has(record.id)) run.end('canceled', this.#early.get(record.id));
    else if (record.cancelRequested) run.end('canceled', canceledBecause(undefined));
    host.launch(run);
  }

  readonly #onPoll = (): void => {
    const { engine, host } = this.#options;
    this.#pollTimer = engine.clock.setTimeout(this.#onPoll, POLL_MS);
    if (!this.#isTaking) return;
    this.#selfCheck.look();
    this.#checkFetch();
    host.polled();
    this.look();
  };

  /** A fetch that is never answered would be the last: what it may still bring is given up, and all begins anew. */
  #checkFetch(): void {
    const isSame = this.#isFetching && this.#fetches === this.#polledAt;
    this.#polledAt = this.#fetches;
    this.#slowPolls = isSame ? this.#slowPolls + 1 : 0;
    if (this.#slowPolls * POLL_MS < this.#options.leaseMs || this.#slowPolls < 2) return;
    const error = new DeadlineExceededError('the engine has not answered a fetch within the time of a lease');
    this.#options.host.failed(error, 1);
    this.#options.host.lost(this, error);
  }

  #checkQuiet(): void {
    if (this.#onQuiet === undefined) return;
    // What a fetch brings when it is over isn't taken any more.
    if (!this.#over.signal.aborted && (this.#isFetching || this.ledger.size > 0)) return;
    this.#onQuiet();
    this.#onQuiet = undefined;
  }
}

function sumOf(room: Readonly<Record<string, number>>): number {
  let sum = 0;
  for (const name in room) sum += room[name]!;
  return sum;
}
