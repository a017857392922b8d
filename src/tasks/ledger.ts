/**
 * The leases of one life of the consumer: what it has of the engine's, until the engine has been told of the end.
 *
 * Invariants: a lease is in the ledger from its delivery until the engine knows what has become of it, or has declared
 * it stale, or the life is over. All that are in it are renewed in time, or given up before somebody else may have them.
 */
import { StaleLeaseError } from '../engines/errors.ts';
import type { Engine, Lease } from '../engines/index.ts';
import type { ClockTimer } from '../go/clock.ts';
import { DeadlineExceededError } from '../go/errors.ts';
import { canceledBecause } from '../manager/errors.ts';
import { backOff } from './backoff.ts';
import type { Run } from './run.ts';

/** Who is told how the engine is doing. */
export interface LedgerHost {
  /** Until the life is over. */
  readonly signal: AbortSignal;
  /** The engine has failed; `failures` times in a row by now. */
  failed(error: unknown, failures: number): void;
  /** It has failed for good. */
  lost(error: unknown): void;
  /** Nothing is in the ledger any more. */
  emptied(): void;
}

interface Held {
  readonly lease: Lease;
  /** None if it is only to be refused, or handed back. */
  readonly run: Run | undefined;
  /** While the engine is being told of it: after how many renewals it was. */
  toldAfter: number | undefined;
}

/** So often in a row the engine may fail to hear of an end. */
export const MOST_FAILURES = 5;
/** So many times within a lease all are renewed. */
const RENEWALS = 3;

export class Ledger {
  readonly #engine: Engine;
  readonly #leaseMs: number;
  readonly #host: LedgerHost;
  readonly #held = new Map<string, Held>();
  /** For the next renewal; while that is under way, for when it would come too late. */
  #timer: ClockTimer;
  #renewals = 0;

  constructor(engine: Engine, leaseMs: number, host: LedgerHost) {
    this.#engine = engine;
    this.#leaseMs = leaseMs;
    this.#host = host;
    this.#arm();
  }

  get size(): number {
    return this.#held.size;
  }

  *runs(): Generator<Run> {
    for (const { run } of [...this.#held.values()]) if (run !== undefined) yield run;
  }

  find(id: string): Run | undefined {
    return this.#held.get(id)?.run;
  }

  has({ id, token }: Lease): boolean {
    return this.#held.get(id)?.lease.token === token;
  }

  add(lease: Lease, run: Run | undefined): void {
    // If the engine delivers the call anew, the lease that it had is void, whether we have heard of that or not.
    this.#lose(lease.id);
    this.#held.set(lease.id, { lease, run, toldAfter: undefined });
  }

  /** Tells the engine of the end of a lease. False when it isn't ours to end any more. */
  async end(lease: Lease, what: (engine: Engine) => Promise<void>): Promise<boolean> {
    try {
      return await this.tell(lease, what);
    } finally {
      this.remove(lease);
    }
  }

  /** Tells the engine something of a lease, again and again if it fails. False when the lease isn't ours any more. */
  async tell(lease: Lease, what: (engine: Engine) => Promise<void>): Promise<boolean> {
    for (let failures = 1; this.has(lease); failures++) {
      const held = this.#held.get(lease.id)!;
      held.toldAfter = this.#renewals;
      try {
        await what(this.#engine);
        held.toldAfter = undefined;
        return true;
      } catch (error) {
        held.toldAfter = undefined;
        if (!this.has(lease)) break;
        if (error instanceof StaleLeaseError) {
          this.#lose(lease.id);
          break;
        }
        this.#host.failed(error, failures);
        if (failures >= MOST_FAILURES) {
          this.#host.lost(error);
          break;
        }
      }
      try {
        await backOff(failures, this.#host.signal, this.#engine.clock);
      } catch {
        break;
      }
    }
    return false;
  }

  remove(lease: Lease): void {
    if (!this.has(lease)) return;
    this.#held.delete(lease.id);
    if (this.#held.size === 0) this.#host.emptied();
  }

  /** The life is over, and every lease is void. What still runs is told to end. */
  close(reason: unknown): void {
    this.#engine.clock.clearTimeout(this.#timer);
    const runs = [...this.runs()];
    this.#held.clear();
    for (const run of runs) run.end('lost', reason);
    this.#host.emptied();
  }

  #lose(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.remove(held.lease);
    held.run?.end('lost', new StaleLeaseError('the lease was lost: somebody else may run the call'));
  }

  #arm(): void {
    this.#timer = this.#engine.clock.setTimeout(() => void this.#renew(), this.#leaseMs / RENEWALS);
  }

  async #renew(): Promise<void> {
    const { clock } = this.#engine;
    const { signal } = this.#host;
    this.#renewals++;
    if (this.#isLate()) return;
    let failure: unknown;
    // Before they expire, so that who runs has some time to hear of it.
    this.#timer = clock.setTimeout(() => {
      if (failure === undefined) {
        failure = new DeadlineExceededError('the engine has not answered in time to renew the leases');
        this.#host.failed(failure, 1);
      }
      this.#host.lost(failure);
    }, this.#leaseMs / 2);
    for (let failures = 1; this.#held.size > 0; failures++) {
      try {
        const leases = [...this.#held.values()].map(({ lease }) => lease);
        const stale = await this.#engine.renew(leases, this.#leaseMs);
        if (signal.aborted) return;
        for (const lease of stale) if (this.has(lease)) this.#lose(lease.id);
        break;
      } catch (error) {
        if (signal.aborted) return;
        failure = error;
        this.#host.failed(error, failures);
      }
      try {
        await backOff(failures, signal, clock);
      } catch {
        return;
      }
    }
    if (signal.aborted) return;
    clock.clearTimeout(this.#timer);
    this.#arm();
    await this.#lookForCancels();
  }

  /** Whether the engine has been told something and never answered: all begins anew, and the call with it. */
  #isLate(): boolean {
    const isLate = ({ toldAfter = Infinity }: Held) => this.#renewals - toldAfter > RENEWALS;
    if (![...this.#held.values()].some(isLate)) return false;
    const error = new DeadlineExceededError('the engine has not answered within the time of a lease');
    this.#host.failed(error, 1);
    this.#host.lost(error);
    return true;
  }

  /**
   * What a consumer is told may get lost on its way: that a call is to be canceled, too. The leases are renewed all the
   * same when this fails; it comes again with the next renewal.
   */
  async #lookForCancels(): Promise<void> {
    const ids = [...this.#held.keys()];
    if (ids.length === 0) return;
    try {
      for (const { id, cancelRequested } of await this.#engine.scan({ id: ids }, { limit: ids.length })) {
        if (cancelRequested) this.find(id)?.end('canceled', canceledBecause(undefined));
      }
    } catch (error) {
      if (!this.#host.signal.aborted) this.#host.failed(error, 1);
    }
  }
}
