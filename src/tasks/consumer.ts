/**
 * The dispatcher's one consumer of the engine: it fetches what there is room for, keeps the ledger of leases that are
 * not acknowledged, and renews them.
 *
 * Invariants: nothing here waits for a task, so no task's progress can keep others from being fetched. Every delivery
 * is in the ledger until the engine has been told of its end, or has declared its lease stale.
 */

import { StaleLeaseError } from '../engines/errors.ts';
import type { CallRecord, Delivery, Engine, Failure, FetchRequest, Lease } from '../engines/index.ts';
import type { ClockTimer } from '../go/clock.ts';
import { CanceledError } from '../go/errors.ts';
import { sleep } from '../manager/resources.ts';
import { errorFromJson } from './error-json.ts';
import type { Run } from './run.ts';

/** What the consumer asks of its dispatcher. */
export interface ConsumerHost {
  /** Tells the engine what it has to know before it delivers. */
  prepare(): Promise<void>;
  /** Room on each manager, by name. */
  room(): Record<string, number>;
  /** Which queues to ask for so many calls, in rounds: what the first leaves may be filled by the next. */
  requests(max: number): readonly (readonly { name: string; max: number }[])[];
  /** Makes a run of a delivery, or says why there can't be one. */
  accept(delivery: Delivery): Run | Failure;
  /** Starts it on its manager. */
  launch(run: Run): void;
  onMessage(message: string): void;
  /** The engine fails; `failures` in a row so far. */
  onEngineFailed(error: unknown, failures: number): void;
  report(error: unknown, what: string): void;
}

const BACKOFF_BASE_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/** So often in a row an operation may fail before the consumer begins anew. */
const MOST_FAILURES = 5;
/** A wake-up can be lost on its way: one looks by oneself after so long. */
const POLL_MS = 5_000;

export class Consumer {
  readonly name: string;
  readonly #engine: Engine;
  readonly #host: ConsumerHost;
  readonly #leaseMs: number;
  readonly #ledger = new Map<string, Run>();
  readonly #end = new AbortController();
  /** Ends what belongs to the present life: aborted when the consumer begins anew. */
  #life = new AbortController();
  #epoch = 0;
  #isAlive = false;
  #isFetching = false;
  #fetchesAgain = false;
  #isTaking = false;
  #isWoken = false;
  #failures = 0;
  #renewTimer: ClockTimer;
  #pollTimer: ClockTimer;
  #onQuiet: (() => void) | undefined;

  constructor(name: string, engine: Engine, host: ConsumerHost, leaseMs: number) {
    this.name = name;
    this.#engine = engine;
    this.#host = host;
    this.#leaseMs = leaseMs;
  }

  /** Leases that the engine hasn't been told the end of. */
  get size(): number {
    return this.#ledger.size;
  }

  get runs(): Iterable<Run> {
    return this.#ledger.values();
  }

  find(id: string): Run | undefined {
    return this.#ledger.get(id);
  }

  /** Begins to take calls; resolves when the engine has been reached. */
  async start(): Promise<void> {
    this.#isTaking = true;
    await this.#begin();
  }

  /** Takes no more calls; those it has go on. */
  drain(): void {
    this.#isTaking = false;
  }

  /** Resolves when the ledger is empty. */
  quiet(): Promise<void> {
    if (this.#ledger.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onQuiet = resolve;
    });
  }

  /** Leaves the engine; what it still has is fetched by others when the lease expires, or at once if the engine can. */
  async end(): Promise<void> {
    this.#isTaking = false;
    const wasAlive = this.#isAlive;
    this.#isAlive = false;
    this.#end.abort(new CanceledError('the dispatcher has stopped'));
    this.#life.abort(this.#end.signal.reason);
    this.#stopTimers();
    if (!wasAlive) return;
    try {
      await this.#engine.end(this.name, this.#epoch);
    } catch (error) {
      this.#host.report(error, 'the engine could not be told of the end');
    }
  }

  /** There may be something to fetch, or room for it. Many calls in one turn are one look. */
  readonly wake = (): void => {
    if (this.#isWoken || !this.#isTaking) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      void this.#fetch();
    });
  };

  /** Tells the engine of the end of a run, again and again if it fails. False when somebody else has the call. */
  async tell(run: Run, what: (engine: Engine) => Promise<void>): Promise<boolean> {
    const { lease } = run;
    try {
      for (let failures = 0; ; failures++) {
        if (this.#ledger.get(lease.id) !== run) return false; // it was dropped: another life, another lease
        try {
          await what(this.#engine);
          this.#failures = 0;
          return true;
        } catch (error) {
          if (error instanceof StaleLeaseError) return false;
          this.#failed(error, failures + 1);
          if (failures + 1 >= MOST_FAILURES) {
            void this.#beginAnew(error);
            return false;
          }
        }
        await this.#pause(failures, this.#life.signal);
      }
    } catch {
      return false; // the consumer has ended, or begun anew
    } finally {
      this.#forget(run);
    }
  }

  // ---- its life -------------------------------------------------------------------------------------------------------

  async #begin(): Promise<void> {
    const life = new AbortController();
    this.#life = life;
    for (let failures = 0; ; failures++) {
      if (this.#end.signal.aborted) return;
      try {
        await this.#host.prepare();
        const epoch = await this.#engine.begin(this.name, {
          onWake: this.wake,
          onCancel: (id, error) => this.#onCancel(id, error),
          onMessage: (message) => this.#host.onMessage(message),
        });
        if (this.#end.signal.aborted) {
          await this.#engine.end(this.name, epoch);
          return;
        }
        this.#epoch = epoch;
        this.#failures = 0;
        break;
      } catch (error) {
        this.#failed(error, failures + 1);
      }
      await this.#pause(failures, this.#end.signal).catch(() => {});
    }
    this.#isAlive = true;
    this.#armTimers();
    this.wake();
  }

  /**
   * The engine has failed for good: the books are reset, and it all begins as if the process had just started. What
   * still runs is told to end, and nothing that it says is passed on: its leases are of a life that is over.
   */
  async #beginAnew(error: unknown): Promise<void> {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#stopTimers();
    this.#life.abort(error);
    const lost = [...this.#ledger.values()];
    for (const run of lost) this.#forget(run);
    const reason = new StaleLeaseError('the engine was lost, and the lease with it', { cause: error });
    for (const run of lost) run.end('lost', reason);
    await this.#begin();
  }

  #armTimers(): void {
    const { clock } = this.#engine;
    this.#renewTimer = clock.setTimeout(() => void this.#renew(), this.#leaseMs / 3);
    this.#pollTimer = clock.setTimeout(this.#onPoll, POLL_MS);
  }

  #stopTimers(): void {
    const { clock } = this.#engine;
    clock.clearTimeout(this.#renewTimer);
    clock.clearTimeout(this.#pollTimer);
  }

  readonly #onPoll = (): void => {
    if (!this.#isAlive) return;
    this.#pollTimer = this.#engine.clock.setTimeout(this.#onPoll, POLL_MS);
    this.wake();
  };

  // ---- fetching -------------------------------------------------------------------------------------------------------

  async #fetch(): Promise<void> {
    if (this.#isFetching) {
      this.#fetchesAgain = true;
      return;
    }
    this.#isFetching = true;
    try {
      do {
        this.#fetchesAgain = false;
        await this.#fetchRound();
      } while (this.#fetchesAgain && this.#isTaking && this.#isAlive);
    } finally {
      this.#isFetching = false;
    }
  }

  async #fetchRound(): Promise<void> {
    const { signal } = this.#life;
    let max = roomIn(this.#host.room());
    for (let round = 0; max > 0 && this.#isTaking && this.#isAlive; round++) {
      const queues = this.#host.requests(max)[round];
      if (queues === undefined) return;
      if (queues.length === 0) continue;
      const room = this.#host.room();
      max = roomIn(room);
      const request: FetchRequest = {
        consumer: this.name,
        epoch: this.#epoch,
        queues,
        max,
        room,
        leaseMs: this.#leaseMs,
      };
      let deliveries: Delivery[];
      try {
        deliveries = await this.#engine.fetch(request);
        this.#failures = 0;
      } catch (error) {
        await this.#fetchFailed(error, signal);
        return;
      }
      // Of a life that is over: the engine has them back already.
      if (signal.aborted) return;
      for (const delivery of deliveries) this.#take(delivery);
      max = roomIn(this.#host.room());
    }
  }

  async #fetchFailed(error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    if (error instanceof StaleLeaseError) {
      void this.#beginAnew(error);
      return;
    }
    this.#failures++;
    this.#failed(error, this.#failures);
    if (this.#failures >= MOST_FAILURES) {
      void this.#beginAnew(error);
      return;
    }
    await this.#pause(this.#failures - 1, signal).then(this.wake, () => {});
  }

  #take(delivery: Delivery): void {
    const run = this.#host.accept(delivery);
    if ('error' in run) {
      void this.#refuse(delivery.record, delivery.lease, run);
      return;
    }
    this.#ledger.set(delivery.lease.id, run);
    if (delivery.record.cancelRequested) run.end('canceled', new CanceledError('the call was canceled'));
    this.#host.launch(run);
  }

  /** Ends a call that can't be run here; if that fails, it comes again when its lease has expired. */
  async #refuse(record: CallRecord, lease: Lease, failure: Failure): Promise<void> {
    try {
      await this.#engine.fail(lease, failure);
    } catch (error) {
      if (!(error instanceof StaleLeaseError)) this.#host.report(error, `${record.task} could not be refused`);
    }
  }

  #onCancel(id: string, error: string): void {
    this.#ledger.get(id)?.end('canceled', errorFromJson(error));
  }

  #forget(run: Run): void {
    if (this.#ledger.get(run.lease.id) === run) this.#ledger.delete(run.lease.id);
    if (this.#ledger.size > 0) return;
    this.#onQuiet?.();
    this.#onQuiet = undefined;
  }

  // ---- leases ---------------------------------------------------------------------------------------------------------

  async #renew(): Promise<void> {
    const { clock } = this.#engine;
    const { signal } = this.#life;
    const until = clock.now() + (2 * this.#leaseMs) / 3;
    for (let failures = 0; this.#ledger.size > 0; failures++) {
      try {
        const stale = await this.#engine.renew(
          [...this.#ledger.values()].map(({ lease }) => lease),
          this.#leaseMs,
        );
        if (signal.aborted) return;
        for (const lease of stale) this.#lost(lease);
        break;
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error, failures + 1);
        // They expire about now: somebody else may get the calls.
        if (clock.now() >= until) {
          void this.#beginAnew(error);
          return;
        }
      }
      try {
        await this.#pause(failures, signal);
      } catch {
        return;
      }
    }
    if (this.#isAlive && !signal.aborted) {
      this.#renewTimer = clock.setTimeout(() => void this.#renew(), this.#leaseMs / 3);
    }
  }

  #lost(lease: Lease): void {
    const run = this.#ledger.get(lease.id);
    if (run?.lease.token !== lease.token) return;
    this.#forget(run);
    run.end('lost', new StaleLeaseError('the lease was lost: somebody else may run the call'));
  }

  #failed(error: unknown, failures: number): void {
    this.#host.onEngineFailed(error, failures);
  }

  async #pause(failures: number, signal: AbortSignal): Promise<void> {
    const ms = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** failures) * (0.5 + Math.random() / 2);
    await sleep(signal, ms, this.#engine.clock);
  }
}

function roomIn(room: Readonly<Record<string, number>>): number {
  let sum = 0;
  for (const name in room) sum += room[name]!;
  return sum;
}
