/**
 * The workers of the queue: so many base workers, always brought back to their number, and burst workers beyond them.
 *
 * Invariant: every worker here is creating, idle, or busy; the idle ones that may be taken are on the stack, the last
 * used on top, so that warm resources are reused and cold ones can be let go.
 */

import { Ages } from './ages.ts';
import { Deadline } from './deadlines.ts';
import { ResourceError } from './errors.ts';
import { FOR_BASE, FOR_BURST, type Resources } from './resources.ts';
import type { Scheduler } from './scheduler.ts';
import type { ReplaceReason } from './types.ts';
import { BUSY, CREATING, GONE, IDLE, Worker, type WorkerHome } from './worker.ts';

interface ReadyWaiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Crew implements WorkerHome {
  readonly workers = new Set<Worker>();
  /** The idle ones, the last used on top. */
  readonly idle: Worker[] = [];
  baseCount = 0;
  burstCount = 0;
  /** Workers with a resource; and those of them that are base workers. */
  active = 0;
  #activeBase = 0;
  /** No worker is replaced any more, and each goes when it is free. */
  closing = false;
  /** How many burst workers are wanted. */
  #burstWanted = 0;
  /** How many workers are wanted by the last `scaled` event. */
  #told = 0;
  readonly #scheduler: Scheduler;
  readonly #resources: Resources;
  readonly #readyWaiters = new Set<ReadyWaiter>();
  readonly #ages: Ages;
  readonly #rests = new WeakMap<Worker, Deadline<Worker>>();
  #lastFailure: ResourceError | undefined;

  constructor(scheduler: Scheduler, resources: Resources) {
    this.#scheduler = scheduler;
    this.#resources = resources;
    this.#ages = new Ages(scheduler, (worker) => this.#retire(worker, 'maxAge'));
  }

  get size(): number {
    return this.workers.size;
  }

  /** How many workers are wanted now. */
  get wanted(): number {
    return this.#scheduler.settings.workerCount + this.#burstWanted;
  }

  /** Brings the crew to its number: hires what is missing, lets go what is too much once it is free. */
  staff(): void {
    if (this.closing) return;
    const { workerCount, maxWorkerCount } = this.#scheduler.settings;
    this.#burstWanted = Math.min(this.#burstWanted, maxWorkerCount - workerCount);
    if (this.baseCount < workerCount) {
      const best = this.#dispensable('burst').reverse();
      for (const worker of best.slice(0, workerCount - this.baseCount)) this.#promote(worker);
    } else if (this.baseCount > workerCount) {
      for (const worker of this.#dispensable('base').slice(0, this.baseCount - workerCount)) this.#demote(worker);
    }
    // Who is hired may begin at once, and have the crew resized or closed.
    while (!this.closing && this.baseCount < this.#scheduler.settings.workerCount) this.#hire('base');
    while (!this.closing && this.burstCount < this.#burstWanted) this.#hire('burst');
    this.#dismissSurplus();
    this.#tell();
  }

  /** Sets how many workers the scaling policy wants; those beyond the base are burst workers. */
  scale(wanted: number): void {
    const { workerCount, maxWorkerCount } = this.#scheduler.settings;
    const to = Math.max(workerCount, Math.min(maxWorkerCount, wanted));
    if (to === this.wanted) return;
    this.#burstWanted = to - workerCount;
    this.staff();
  }

  /** Resolves when all base workers have a resource. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.closing) reject(this.#scheduler.shutdownError);
      else if (this.#isReady()) resolve();
      else if (this.#hopeless()) reject(this.#hopelessError());
      else {
        this.#readyWaiters.add({ resolve, reject });
        this.#scheduler.holdProcess();
      }
    });
  }

  createFailed(error: ResourceError): void {
    this.#lastFailure = error;
    if (!this.#hopeless()) return;
    const hopeless = this.#hopelessError();
    this.#endWaits((waiter) => waiter.reject(hopeless));
  }

  release(worker: Worker, now: number): void {
    const { settings } = this.#scheduler;
    if (++worker.uses >= settings.maxUses) worker.retire ??= 'maxUses';
    if (worker.retire !== undefined) this.#replace(worker, worker.retire);
    else if (this.closing || this.#isSurplus(worker)) this.dismiss(worker);
    else {
      this.#scheduler.next(worker, now);
      return;
    }
    // What it leaves in the queue may be for another worker that is idle, or for a child's parent.
    this.#scheduler.pump();
    if (this.#scheduler.admission.attentive) this.#scheduler.admission.refill();
  }

  /** Its function wouldn't return: the resource is destroyed under it. */
  abandoned(worker: Worker): void {
    this.#replace(worker, 'abandoned');
  }

  /** Nothing to do for it now. */
  rest(worker: Worker): void {
    worker.phase = IDLE;
    this.idle.push(worker);
    const { idleMs } = this.#scheduler.settings;
    if (idleMs !== undefined && worker.kind === 'burst') this.#setRest(worker, idleMs);
  }

  /** The last used of the idle workers, taken off the stack. */
  take(): Worker | undefined {
    const worker = this.idle.pop();
    if (worker !== undefined && worker.kind === 'burst') this.#liftRest(worker);
    return worker;
  }

  /** A given one of the idle workers. */
  takeThis(worker: Worker): void {
    this.#unrest(worker);
  }

  /** Replaces every resource: at once where its worker is idle, else when the worker is free. */
  recycle(): void {
    for (const worker of [...this.workers]) {
      if (worker.phase !== CREATING) this.#retire(worker, 'recycled');
    }
  }

  /** Lets all go who are free, or wait for a resource; the others when they are free. */
  close(reason: unknown): void {
    this.closing = true;
    this.#endWaits((waiter) => waiter.reject(reason));
    this.idle.length = 0; // else each would be looked for in it
    for (const worker of [...this.workers]) {
      if (worker.phase !== BUSY) this.dismiss(worker, reason);
    }
  }

  /** The worker goes, and its resource with it. */
  dismiss(worker: Worker, reason?: unknown): void {
    const { phase } = worker;
    // The destruction of one resource calls back, and may have sent others away.
    if (phase === GONE) return;
    if (phase === IDLE) this.#unrest(worker);
    worker.phase = GONE;
    this.workers.delete(worker);
    if (worker.kind === 'base') this.baseCount--;
    else this.burstCount--;
    this.#ages.end(worker);
    if (phase === CREATING) worker.creation?.abort(reason ?? new ResourceError('the resource is not wanted any more'));
    else {
      this.active--;
      if (worker.kind === 'base') this.#activeBase--;
      if (!this.#resources.trivial) void this.#resources.destroy(worker.resource);
    }
    this.#scheduler.settlement.workerGone(worker);
  }

  #replace(worker: Worker, reason: ReplaceReason): void {
    this.dismiss(worker);
    if (this.closing) return;
    this.staff();
    this.#scheduler.emit('workerReplaced', { reason });
  }

  #hire(kind: 'base' | 'burst'): void {
    const worker = new Worker(this.#scheduler, this, kind);
    this.workers.add(worker);
    if (kind === 'base') this.baseCount++;
    else this.burstCount++;
    if (this.#resources.trivial) {
      this.#begin(worker, undefined);
      return;
    }
    worker.creation = new AbortController();
    const use = (resource: unknown): void => this.#begin(worker, resource);
    // It rejects when the worker was let go; failures have been told one by one.
    this.#resources
      .createEventually(kind === 'base' ? FOR_BASE : FOR_BURST, worker.creation.signal, use, () =>
        this.#retire(worker, 'retired'),
      )
      .catch(() => {});
  }

  #begin(worker: Worker, resource: unknown): void {
    worker.creation = undefined;
    worker.resource = resource;
    this.active++;
    if (worker.kind === 'base') this.#activeBase++;
    this.#ages.begin(worker);
    worker.phase = IDLE;
    if (this.#readyWaiters.size > 0 && this.#isReady()) this.#endWaits((waiter) => waiter.resolve());
    if (this.#isSurplus(worker)) this.dismiss(worker);
    else this.#scheduler.hired(worker);
  }

  #retire(worker: Worker, reason: ReplaceReason): void {
    if (worker.phase === IDLE) this.#replace(worker, reason);
    else worker.retire ??= reason;
  }

  #endWaits(tell: (waiter: ReadyWaiter) => void): void {
    for (const waiter of this.#readyWaiters) {
      tell(waiter);
      this.#scheduler.letProcessGo();
    }
    this.#readyWaiters.clear();
  }

  #isReady(): boolean {
    return this.#activeBase >= this.#scheduler.settings.workerCount;
  }

  #hopeless(): boolean {
    return this.active === 0 && this.#resources.failuresInRow >= this.#scheduler.settings.createAttempts;
  }

  #hopelessError(): ResourceError {
    const { failuresInRow } = this.#resources;
    return new ResourceError(
      `no worker is ready: ${failuresInRow} creations in a row have failed, the last one with: ${this.#lastFailure?.message}`,
      { cause: this.#lastFailure?.cause ?? this.#lastFailure },
    );
  }

  #promote(worker: Worker): void {
    worker.kind = 'base';
    this.burstCount--;
    this.baseCount++;
    if (worker.phase !== CREATING) this.#activeBase++;
    this.#liftRest(worker);
  }

  #demote(worker: Worker): void {
    worker.kind = 'burst';
    this.baseCount--;
    this.burstCount++;
    if (worker.phase !== CREATING) this.#activeBase--;
    const { idleMs } = this.#scheduler.settings;
    if (idleMs !== undefined && worker.phase === IDLE) this.#setRest(worker, idleMs);
  }

  /** Whether a free worker goes because there are too many. If it isn't the one who should, that one stays for it. */
  #isSurplus(worker: Worker): boolean {
    if (this.burstCount <= this.#burstWanted) return false;
    if (worker.kind === 'base') {
      this.#promote(this.#dispensable('burst').at(-1)!);
      this.#demote(worker);
    }
    return true;
  }

  /** Who is busy goes when free. */
  #dismissSurplus(): void {
    if (this.burstCount <= this.#burstWanted) return;
    for (const worker of this.#dispensable('burst').slice(0, this.burstCount - this.#burstWanted)) {
      // The destruction of one's resource calls back, and may have changed the numbers.
      if (worker.kind !== 'burst' || this.burstCount <= this.#burstWanted) continue;
      if (worker.phase !== BUSY) this.dismiss(worker);
    }
  }

  /** In the order in which they may go: those in creation, the newest first, then the longest idle, then the busy. */
  #dispensable(kind: 'base' | 'burst'): Worker[] {
    const workers = [...this.workers].filter((worker) => worker.kind === kind);
    const creating = workers.filter(({ phase }) => phase === CREATING).reverse();
    const idle = this.idle.filter((worker) => worker.kind === kind);
    return [...creating, ...idle, ...workers.filter(({ phase }) => phase === BUSY)];
  }

  #unrest(worker: Worker): void {
    const index = this.idle.lastIndexOf(worker);
    if (index >= 0) this.idle.splice(index, 1);
    this.#liftRest(worker);
  }

  /** Tells of the number of workers wanted, if it has changed. */
  #tell(): void {
    const from = this.#told;
    const to = this.wanted;
    if (from === to) return;
    this.#told = to;
    this.#scheduler.emit('scaled', { from, to });
  }

  #setRest(worker: Worker, idleMs: number): void {
    let rest = this.#rests.get(worker);
    if (rest === undefined) {
      rest = new Deadline(worker, this.#onRested);
      this.#rests.set(worker, rest);
    }
    if (rest.list === undefined) this.#scheduler.deadlines.set(rest, idleMs, this.#scheduler.now());
  }

  #liftRest(worker: Worker): void {
    const rest = this.#rests.get(worker);
    if (rest !== undefined) this.#scheduler.deadlines.lift(rest);
  }

  readonly #onRested = (worker: Worker): void => {
    this.#burstWanted = Math.max(0, this.#burstWanted - 1);
    this.dismiss(worker);
    this.#tell();
  };
}
