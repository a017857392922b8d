/**
 * The dispatcher's one consumer of the engine, through all its lives: it begins one as soon as the engine can be reached,
 * and when that fails for good, the books are reset, and all begins as if the process had just started. What still runs
 * is told to end, and nothing that it says is passed on: its lease is of a life that is over.
 */
import { AsyncResource } from 'node:async_hooks';
import { abortable } from 'abort-controller-x';
import { StaleLeaseError } from '../engines/errors.ts';
import type { Engine, Lease } from '../engines/index.ts';
import { DeadlineExceededError } from '../go/errors.ts';
import { ShutdownError } from '../manager/errors.ts';
import { backOff } from './backoff.ts';
import { errorFromJson } from './error-json.ts';
import { Life, type LifeHost } from './life.ts';
import type { Run } from './run.ts';

/** What the consumer asks of its dispatcher. */
export interface ConsumerHost extends Omit<LifeHost, 'lost'> {
  /** Somebody has broadcast something. */
  message(text: string): void;
  report(error: unknown, what: string): void;
  /** A life begins: the engine was reached. */
  ready(): void;
}

/** How long an engine may take to let a life begin. */
const REACH_MS = 30_000;

export class Consumer {
  readonly name: string;
  readonly #engine: Engine;
  readonly #host: ConsumerHost;
  readonly #leaseMs: number;
  readonly #end = new AbortController();
  /** Where its loops run, and so all calls: in no other's async context, be it that of the call which made room. */
  readonly #origin = new AsyncResource('errand.consumer');
  #life: Life | undefined;
  #isTaking = true;
  #isWoken = false;
  /** Lives in a row that have come to nothing. */
  #stillborn = 0;

  constructor(name: string, engine: Engine, host: ConsumerHost, leaseMs: number) {
    this.name = name;
    this.#engine = engine;
    this.#host = host;
    this.#leaseMs = leaseMs;
  }

  /** Leases that the engine hasn't been told the end of. */
  get size(): number {
    return this.#life?.ledger.size ?? 0;
  }

  /** Whether the engine has been reached, and not been lost since. */
  get isAlive(): boolean {
    return this.#life !== undefined;
  }

  get runs(): Iterable<Run> {
    return this.#life?.ledger.runs() ?? [];
  }

  /** Begins to take calls; resolves when the engine has been reached. Rejects with a ShutdownError at the end. */
  start(): Promise<void> {
    return this.#origin.runInAsyncScope(() => this.#live());
  }

  /** There may be something to fetch, or room for it. Many calls in one turn are one look. */
  readonly wake = (): void => {
    if (this.#isWoken || !this.#isTaking) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      this.#origin.runInAsyncScope(() => this.#life?.look());
    });
  };

  /** Tells the engine of the end of a run. False when it isn't ours to tell. */
  async end(lease: Lease, what: (engine: Engine) => Promise<void>): Promise<boolean> {
    return (await this.#life?.ledger.end(lease, what)) ?? false;
  }

  /** Tells the engine something of a run that goes on. False when it isn't ours to tell. */
  async tell(lease: Lease, what: (engine: Engine) => Promise<void>): Promise<boolean> {
    return (await this.#life?.ledger.tell(lease, what)) ?? false;
  }

  /** Whether a lease is ours, as far as is known. */
  holds(lease: Lease): boolean {
    return this.#life?.ledger.has(lease) ?? false;
  }

  /** A run has come to its end, whether the engine could be told or not. */
  forget(lease: Lease): void {
    this.#life?.ledger.remove(lease);
  }

  /** Takes no more calls; those it has go on. */
  drain(): void {
    this.#isTaking = false;
    this.#life?.drain();
  }

  /** Resolves when all calls that it has have come to their ends; only after {@link Consumer.drain}. */
  async quiet(): Promise<void> {
    await this.#life?.quiet();
  }

  /** Leaves the engine. What it still has is given up. */
  async leave(): Promise<void> {
    const life = this.#life;
    const reason = new ShutdownError('the dispatcher has stopped');
    this.#life = undefined;
    this.#end.abort(reason);
    if (life === undefined) return;
    life.end(reason);
    await this.#leaveAt(life.epoch);
  }

  /** Begins a life as soon as the engine can be reached. */
  async #live(): Promise<void> {
    const { signal } = this.#end;
    for (let failures = 1; ; failures++) {
      const reached = this.#reach();
      try {
        const epoch = await this.#inTime(reached);
        signal.throwIfAborted();
        this.#begin(epoch);
        return;
      } catch (error) {
        // It may be reached all the same, later.
        void reached.then((epoch) => this.#leaveAt(epoch)).catch(() => {});
        if (signal.aborted) throw signal.reason;
        this.#host.failed(error, failures);
      }
      await backOff(failures, signal, this.#engine.clock);
    }
  }

  /** The epoch, unless the engine leaves one waiting: what is asked may be lost, and the answer never come. */
  async #inTime(reached: Promise<number>): Promise<number> {
    const { clock } = this.#engine;
    const late = new DeadlineExceededError(`the engine has not answered within ${REACH_MS} ms`);
    const limit = new AbortController();
    const timer = clock.setTimeout(() => limit.abort(), REACH_MS);
    try {
      return await abortable(AbortSignal.any([this.#end.signal, limit.signal]), reached);
    } catch (error) {
      throw limit.signal.aborted ? late : error;
    } finally {
      clock.clearTimeout(timer);
    }
  }

  async #reach(): Promise<number> {
    return this.#engine.begin(this.name, {
      onWake: () => {
        this.#life?.heard();
        this.wake();
      },
      onCancel: (id, error) => {
        this.#life?.heard();
        this.#life?.cancel(id, errorFromJson(error));
      },
      onMessage: (text) => {
        this.#life?.heard();
        this.#origin.runInAsyncScope(() => this.#host.message(text));
      },
    });
  }

  #begin(epoch: number): void {
    const { name } = this;
    const host: LifeHost = { ...this.#host, lost: (life, error) => this.#lost(life, error) };
    this.#life = new Life({ name, epoch, engine: this.#engine, leaseMs: this.#leaseMs, host });
    if (!this.#isTaking) this.#life.drain();
    this.#host.ready();
    this.wake();
  }

  #lost(life: Life, error: unknown): void {
    if (life !== this.#life) return;
    this.#life = undefined;
    life.end(new StaleLeaseError('the engine was lost, and the lease with it', { cause: error }));
    this.#stillborn = life.hasFetched ? 0 : this.#stillborn + 1;
    this.#origin
      .runInAsyncScope(async () => {
        // Of two dispatchers of one name each begins anew when the other does.
        await backOff(this.#stillborn + 1, this.#end.signal, this.#engine.clock);
        await this.#live();
      })
      .catch(() => {}); // it has been told to leave
  }

  async #leaveAt(epoch: number): Promise<void> {
    try {
      await this.#engine.end(this.name, epoch);
    } catch (error) {
      this.#host.report(error, 'the engine could not be told of the end');
    }
  }
}
