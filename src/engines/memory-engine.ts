/**
 * The engine in memory: for one process, and gone with it. Everything is done at once, when a method is called: the
 * promises are the port's, and nothing is ever under way between two calls of it.
 *
 * Submitting, fetching and ending take constant time, and logarithmic time in the number of different priorities, and of
 * calls that come back out of order; however many wait, are held back, or are kept.
 */
import { type Clock, realClock } from '../go/clock.ts';
import { checkNames, checkObject, wrongType } from '../manager/checks.ts';
import { ShutdownError } from '../manager/errors.ts';
import { CallLife } from './call-life.ts';
import { tellOne } from './consumers.ts';
import {
  type CallEvent,
  type CallFilter,
  type CallRecord,
  type CallState,
  type Capabilities,
  type ConsumerListener,
  type Delivery,
  type Engine,
  type EngineLock,
  type Failure,
  type FetchRequest,
  type LaneLimit,
  type Lease,
  MOST_LOG_LINES,
  type NewCall,
  type Page,
  type Update,
} from './engine.ts';
import { CallEndedError, StaleLeaseError } from './errors.ts';
import { Locks } from './locks.ts';
import { isEnded } from './moves.ts';
import { isMatch, type LeaseEnd, recordOf, type StoredCall } from './stored-call.ts';

/** What a memory engine can be told. */
export interface MemoryEngineOptions {
  /** Where its time comes from: for tests. Default: the machine's clock. */
  readonly clock?: Clock | undefined;
}

/**
 * Makes an engine that keeps all calls in this process, until it is closed.
 *
 * @example
 * const engine = memoryEngine();
 * const dispatchers = [1, 2].map(() => new Dispatcher({ tasks, engine }));
 * @throws TypeError when an option is wrong
 */
export function memoryEngine(options: MemoryEngineOptions = {}): Engine {
  checkObject('options', options);
  checkNames('memoryEngine', options, ['clock']);
  const { clock = realClock } = options;
  if (typeof clock?.now !== 'function') throw wrongType('clock', 'a Clock, such as a VirtualClock', clock);
  return new MemoryEngine(clock);
}

const NO_MEMOS: Readonly<Record<string, string>> = Object.freeze({});

class MemoryEngine implements Engine {
  readonly name = 'memory';
  readonly capabilities: Capabilities = { durable: false, distributed: false };
  readonly clock: Clock;
  readonly #life: CallLife;
  readonly #locks: Locks;
  readonly #notes = new Map<string, string>();
  #isClosed = false;

  constructor(clock: Clock) {
    this.clock = clock;
    this.#life = new CallLife(clock);
    this.#locks = new Locks(clock);
  }

  async submit(call: NewCall): Promise<CallRecord> {
    return this.#do((now) => recordOf(this.#submit(call, now)));
  }

  async submitMany(calls: readonly NewCall[]): Promise<CallRecord[]> {
    return this.#do((now) => calls.map((call) => this.#submit(call, now)).map(recordOf));
  }

  async begin(name: string, listener: ConsumerListener): Promise<number> {
    return this.#do((now) => {
      const { consumers } = this.#life;
      const former = consumers.find(name);
      const consumer = consumers.begin(name, listener);
      if (former !== undefined) for (const call of [...former.calls]) this.#life.lose(call, now);
      return consumer.epoch;
    });
  }

  async end(name: string, epoch: number): Promise<void> {
    this.#do((now) => {
      const { consumers } = this.#life;
      const consumer = consumers.find(name, epoch);
      if (consumer === undefined) return;
      consumers.end(consumer);
      for (const call of [...consumer.calls]) this.#life.lose(call, now);
    });
  }

  async fetch(request: FetchRequest): Promise<Delivery[]> {
    return this.#do((now) => {
      const { consumers, ready } = this.#life;
      const consumer = consumers.get(request.consumer, request.epoch);
      const { room } = request;
      const taken = new Map<string, number>();
      const hasRoom = (manager: string) => (room[manager] ?? 0) > (taken.get(manager) ?? 0);
      const deliveries: Delivery[] = [];
      for (const { name, max } of request.queues) {
        for (let left = Math.min(max, request.max - deliveries.length); left > 0; left--) {
          const call = ready.next(name, hasRoom, now);
          if (call === undefined) break;
          taken.set(call.manager, (taken.get(call.manager) ?? 0) + 1);
          this.#life.deliver(call, consumer, request.leaseMs, now);
          deliveries.push(deliveryOf(call));
        }
      }
      return deliveries;
    });
  }

  async start(lease: Lease): Promise<boolean> {
    return this.#do((now) => {
      const call = this.#held(lease);
      if (call === undefined) throw this.#stale(lease);
      return this.#life.start(call, now);
    });
  }

  async renew(leases: readonly Lease[], leaseMs: number): Promise<Lease[]> {
    return this.#do((now) =>
      leases.filter((lease) => {
        const call = this.#held(lease);
        if (call !== undefined) this.#life.renew(call, leaseMs, now);
        return call === undefined;
      }),
    );
  }

  async ack(lease: Lease, output: string): Promise<void> {
    this.#do((now) => {
      const call = this.#give(lease, 'ack', now);
      if (call === undefined) return;
      call.output = output;
      this.#life.end(call, 'completed', now);
    });
  }

  async fail(lease: Lease, { error, then }: Failure): Promise<void> {
    this.#do((now) => {
      const call = this.#give(lease, 'fail', now);
      if (call === undefined) return;
      call.error = error;
      if (typeof then === 'string') this.#life.end(call, then, now);
      else this.#life.goOn(call, then.retryAfterMs, now);
    });
  }

  async release(lease: Lease, delayMs = 0, hasBegun = false): Promise<void> {
    this.#do((now) => {
      const call = this.#give(lease, 'release', now, !hasBegun);
      if (call === undefined) return;
      if (--call.attempt === 0) call.startedAt = undefined;
      this.#life.goOn(call, delayMs, now);
    });
  }

  async update(lease: Lease, { step, progress, log, memo }: Update): Promise<void> {
    this.#do((now) => {
      const call = this.#held(lease);
      if (call === undefined) throw this.#stale(lease);
      if (memo !== undefined) {
        call.memos ??= new Map();
        call.memos.set(memo.key, memo.value);
      }
      if (log !== undefined && log.length > 0) {
        call.log ??= [];
        for (const line of log) call.log.push(line);
        // Not with each line: all that stay have to move.
        if (call.log.length > 2 * MOST_LOG_LINES) call.log = call.log.slice(-MOST_LOG_LINES);
        this.#life.store.noteLines(call, log);
      }
      if (step === undefined && progress === undefined && (log !== undefined || memo !== undefined)) return;
      if (step !== undefined) call.step = step;
      if (progress !== undefined) call.progress = progress;
      this.#life.beat(call, now);
      this.#life.store.noteUpdate(call);
    });
  }

  async cancel(id: string, error: string): Promise<'canceled' | 'requested'> {
    return this.#do((now) => {
      const { store } = this.#life;
      const call = store.known(id);
      if (isEnded(call.state)) throw new CallEndedError(`call ${id} can't be canceled: it is ${call.state}`);
      if (call.state !== 'started') {
        call.error = error;
        this.#life.end(call, 'canceled', now);
        return 'canceled';
      }
      if (!call.cancelRequested) {
        call.cancelRequested = true;
        call.cancelError = error;
        store.noteUpdate(call);
      }
      const { listener } = call.holder!;
      const reason = call.cancelError!;
      store.later(() => tellOne(listener, (its) => its.onCancel(id, reason)));
      return 'requested';
    });
  }

  async schedule(id: string, delayMs: number): Promise<CallRecord> {
    return this.#do((now) => {
      const call = this.#life.store.known(id);
      if (call.state !== 'scheduled' && call.state !== 'queued') {
        throw new CallEndedError(`call ${id} can't be put off: it is ${call.state}`);
      }
      this.#life.schedule(call, delayMs, now);
      return recordOf(call);
    });
  }

  async get(id: string): Promise<CallRecord | undefined> {
    return this.#do(() => {
      const call = this.#life.store.get(id);
      return call === undefined ? undefined : recordOf(call);
    });
  }

  async logs(id: string): Promise<readonly string[]> {
    return this.#do(() => this.#life.store.get(id)?.log?.slice(-MOST_LOG_LINES) ?? []);
  }

  watch(id: string | undefined, listener: (event: CallEvent) => void): () => void {
    return this.#do(() => this.#life.store.watch(id, listener));
  }

  async scan(filter: CallFilter, page: Page = {}): Promise<CallRecord[]> {
    return this.#do(() => this.#life.store.scan(filter, page));
  }

  async count(filter: CallFilter): Promise<Readonly<Record<CallState, number>>> {
    return this.#do(() => this.#life.store.count(filter));
  }

  async resubmit(filter: CallFilter, { resetAttempts }: { readonly resetAttempts: boolean }): Promise<string[]> {
    return this.#do((now) => {
      const letters = this.#life.store
        .find({ ...filter, state: 'deadLettered' })
        .filter((call) => isMatch(call, filter));
      letters.reverse(); // so that of one key the oldest comes first
      for (const call of letters) this.#life.revive(call, resetAttempts, now);
      return letters.map(({ id }) => id);
    });
  }

  async remove(filter: CallFilter): Promise<string[]> {
    return this.#do(() => {
      const ended = this.#life.store.find(filter).filter(({ state }) => isEnded(state));
      for (const call of ended) this.#life.forget(call);
      return ended.map(({ id }) => id);
    });
  }

  async limit(lane: string, limit: LaneLimit | undefined): Promise<void> {
    this.#do((now) => this.#life.limit(lane, limit, now));
  }

  async read(key: string): Promise<string | undefined> {
    return this.#do(() => this.#notes.get(key));
  }

  async write(key: string, value: string | undefined, expected: string | undefined): Promise<boolean> {
    return this.#do(() => {
      const present = this.#notes.get(key);
      if (present === expected) {
        if (value === undefined) this.#notes.delete(key);
        else this.#notes.set(key, value);
      }
      return present === expected || present === value;
    });
  }

  async consumers(): Promise<readonly string[]> {
    return this.#do(() => this.#life.consumers.names());
  }

  async lock(name: string, _owner: string, leaseMs: number): Promise<EngineLock | undefined> {
    return this.#do(() => this.#locks.take(name, leaseMs, () => this.#check()));
  }

  async broadcast(message: string): Promise<void> {
    this.#do(() => this.#life.store.later(() => this.#life.consumers.tell((listener) => listener.onMessage(message))));
  }

  /** There is nothing between this engine and who calls it. */
  async selfCheck(): Promise<void> {
    this.#check();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#life.close();
    this.#locks.close();
    this.#notes.clear();
  }

  /** Does something at once, then tells those who want to know. */
  #do<T>(work: (now: number) => T): T {
    this.#check();
    try {
      return work(this.clock.now());
    } finally {
      this.#life.store.tellAll();
    }
  }

  #check(): void {
    if (this.#isClosed) throw new ShutdownError('the memory engine is closed');
  }

  #submit(call: NewCall, now: number): StoredCall {
    return this.#life.store.get(call.id) ?? this.#life.submit(call, now);
  }

  /** The call, if the lease holds it. */
  #held({ id, token, epoch }: Lease): StoredCall | undefined {
    const call = this.#life.store.get(id);
    return call?.token === token && call.holder?.epoch === epoch ? call : undefined;
  }

  /** Ends a lease, and gives its call; none when this very lease has been ended so before, and only the reply was lost. */
  #give(lease: Lease, how: LeaseEnd, now: number, isUnspent = false): StoredCall | undefined {
    const call = this.#held(lease);
    if (call !== undefined) {
      this.#life.endLease(call, how, isUnspent, now);
      return call;
    }
    const former = this.#life.store.get(lease.id);
    if (former?.endToken === lease.token && former.endedBy === how) return undefined;
    throw this.#stale(lease);
  }

  #stale({ id, epoch }: Lease): StaleLeaseError {
    const call = this.#life.store.get(id);
    if (call === undefined)
      return new StaleLeaseError(`the lease of call ${id} is stale: there is no such call any more`);
    return new StaleLeaseError(`the lease of call ${id} (epoch ${epoch}) is stale: the call is ${call.state}`);
  }
}

function deliveryOf(call: StoredCall): Delivery {
  return {
    record: recordOf(call),
    lease: { id: call.id, token: call.token!, epoch: call.holder!.epoch },
    memos: call.memos === undefined ? NO_MEMOS : Object.fromEntries(call.memos),
    wasLost: call.isLost,
  };
}
