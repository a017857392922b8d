/**
 * The resources of `runTask`, past the queue: a pool made when first needed, and temporary ones beyond it, each for one
 * task. Also the temporary resources of children that asked for their own.
 */
import { Ages } from './ages.ts';
import { ResourceError } from './errors.ts';
import { type Resources, URGENT } from './resources.ts';
import type { Scheduler } from './scheduler.ts';
import { QUEUED, type Task } from './task.ts';
import type { ReplaceReason } from './types.ts';
import { BUSY, CREATING, GONE, IDLE, Worker, type WorkerHome } from './worker.ts';

export class RunPool implements WorkerHome {
  readonly workers = new Set<Worker>();
  readonly idle: Worker[] = [];
  closing = false;
  pooled = 0;
  temporary = 0;
  readonly #scheduler: Scheduler;
  readonly #resources: Resources;
  readonly #ages: Ages;

  constructor(scheduler: Scheduler, resources: Resources) {
    this.#scheduler = scheduler;
    this.#resources = resources;
    this.#ages = new Ages(scheduler, (worker) => this.#retire(worker, 'maxAge'));
  }

  /** An idle worker, or a new one; undefined when all that there may be are busy. */
  claim(): Worker | undefined {
    const { resourcePoolSize, maxTemporary } = this.#scheduler.settings;
    const idle = this.idle.pop();
    if (idle !== undefined) return idle;
    if (this.pooled < resourcePoolSize) return this.#make('pooled');
    if (this.temporary < maxTemporary) return this.#make('temporary');
    return undefined;
  }

  /** Gives back a claimed worker whose resource wasn't asked for yet. */
  unclaim(worker: Worker): void {
    this.#drop(worker);
  }

  /** Whether a claimed worker has its resource. */
  isReady(worker: Worker): boolean {
    return worker.phase === IDLE || this.#resources.trivial;
  }

  /** An idle worker with its resource, for a task that can't wait. */
  claimReady(): Worker | undefined {
    const idle = this.idle.pop();
    if (idle !== undefined || !this.#resources.trivial) return idle;
    return this.claim();
  }

  /** A temporary worker, however many there are: for a child without which nothing would move. */
  claimTemporary(): Worker {
    return this.#make('temporary');
  }

  /** Makes a resource ready for a `runTaskSync` to come. */
  warm(): void {
    if (this.closing || this.pooled >= this.#scheduler.settings.resourcePoolSize) return;
    for (const worker of this.workers) if (worker.phase === CREATING) return;
    const worker = this.#make('pooled');
    this.#create(worker, () => this.#rest(worker)).catch(() => {});
  }

  /**
   * Begins `task` on `worker` once the worker has its resource; the task counts as queued until then. `onDecided` is
   * called when it is clear whether the resource comes.
   */
  run(worker: Worker, task: Task, onDecided?: () => void): void {
    if (this.isReady(worker)) {
      onDecided?.();
      this.#scheduler.startOn(worker, task);
      return;
    }
    const extras = task.rare();
    extras.leave = () => {
      extras.leave = undefined;
      if (worker.phase === CREATING) this.#drop(worker);
    };
    this.#scheduler.offQueue.add(task);
    const decided = (): void => {
      onDecided?.();
      this.#scheduler.offQueue.delete(task);
      extras.leave = undefined;
    };
    const use = (): void => {
      decided();
      this.#scheduler.startOn(worker, task);
    };
    this.#create(worker, use).catch((error) => {
      decided();
      if (task.state === QUEUED) this.#scheduler.settlement.failQueued(task, error);
      this.#scheduler.children.relieve();
    });
  }

  release(worker: Worker): void {
    worker.uses++;
    const { maxUses } = this.#scheduler.settings;
    if (worker.kind === 'temporary' || worker.retire !== undefined || worker.uses >= maxUses || this.closing) {
      this.#drop(worker);
    } else this.#rest(worker);
    // It may have been a child's own, for which its siblings have waited; or the child is queued again, for any worker.
    this.#scheduler.pump();
  }

  abandoned(worker: Worker): void {
    this.#drop(worker);
  }

  /** Destroys what is idle; what is busy goes when it is free. */
  recycle(): void {
    for (const worker of [...this.workers]) this.#retire(worker, 'recycled');
  }

  close(): void {
    this.closing = true;
    for (const worker of [...this.workers]) if (worker.phase !== BUSY) this.#drop(worker);
  }

  #make(kind: 'pooled' | 'temporary'): Worker {
    const worker = new Worker(this.#scheduler, this, kind);
    this.workers.add(worker);
    if (kind === 'pooled') this.pooled++;
    else this.temporary++;
    return worker;
  }

  async #create(worker: Worker, use: () => void): Promise<void> {
    worker.creation = new AbortController();
    try {
      await this.#resources.create(
        URGENT,
        worker.creation.signal,
        (resource) => {
          worker.creation = undefined;
          worker.resource = resource;
          worker.phase = BUSY;
          this.#ages.begin(worker);
          use();
        },
        () => this.#retire(worker, 'retired'),
      );
    } catch (error) {
      if (worker.phase !== GONE) this.#drop(worker);
      throw error;
    }
  }

  #retire(worker: Worker, reason: ReplaceReason): void {
    if (worker.phase === IDLE) this.#drop(worker);
    else worker.retire ??= reason;
  }

  #rest(worker: Worker): void {
    worker.phase = IDLE;
    this.idle.push(worker);
  }

  #drop(worker: Worker): void {
    const { phase } = worker;
    // The destruction of one resource calls back, and may have sent others away.
    if (phase === GONE) return;
    if (phase === IDLE) this.idle.splice(this.idle.indexOf(worker), 1);
    worker.phase = GONE;
    this.workers.delete(worker);
    if (worker.kind === 'pooled') this.pooled--;
    else this.temporary--;
    this.#ages.end(worker);
    if (phase === CREATING) worker.creation?.abort(new ResourceError('the resource is not wanted any more'));
    else if (!this.#resources.trivial) void this.#resources.destroy(worker.resource);
    this.#scheduler.settlement.workerGone(worker);
  }
}
