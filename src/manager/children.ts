/**
 * Tasks submitted by running tasks, and the one deadlock they could make: every worker taken by a task that waits for a
 * child no worker is free for. Then the oldest such child runs as a guest on its parent's worker.
 *
 * Invariant: `#blocked` is the number of running tasks, on workers of the queue or as guests, with unsettled children.
 */
import { CanceledError, withoutStack } from '../go/errors.ts';
import type { TaskContext } from './context.ts';
import { List } from './list.ts';
import type { Scheduler } from './scheduler.ts';
import { RUNNING, type Task } from './task.ts';
import { GONE, Worker, type WorkerHome } from './worker.ts';

export class Children implements WorkerHome {
  /** Guests, which share the resource of their host. */
  readonly guests = new Set<Worker>();
  /** Children in the queue, the oldest first. */
  readonly #queued = new List<Task>();
  #blocked = 0;
  /** Runs whose children are being ended right now. */
  #ending = 0;
  /** Temporary resources in creation for children that asked for one. */
  #ownPending = 0;
  #relieving = false;
  readonly #scheduler: Scheduler;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** A child was admitted; it will be queued or started. */
  adopt(child: Task, parent: TaskContext): void {
    const parentExtras = parent.task.rare();
    parentExtras.children ??= new List();
    child.extras!.childNode = parentExtras.children.push(child);
    if (parentExtras.children.size === 1 && isCounted(parent.task)) this.#blocked++;
  }

  queued(child: Task): void {
    child.extras!.queuedChildNode = this.#queued.push(child);
  }

  unqueued(child: Task): void {
    child.extras!.queuedChildNode!.remove();
    child.extras!.queuedChildNode = undefined;
  }

  /** A child has settled. */
  settled(child: Task): void {
    const { extras } = child;
    extras!.childNode!.remove();
    extras!.childNode = undefined;
    const parent = extras!.parent!.task;
    if (parent.extras!.children!.size === 0 && isCounted(parent)) {
      this.#blocked--;
      this.relieve();
    }
  }

  /**
   * A run with children is over, before its state changes: they end with it. `error` is what ended it early, if anything
   * did.
   */
  runEnded(parent: Task, error: unknown): void {
    const children = parent.extras!.children!;
    if (children.size === 0) return;
    // Leaving the list one by one, the last of them unblocks the parent; until then nobody is to be relieved.
    const reason = error ?? withoutStack(() => new CanceledError('the parent task settled first'));
    this.#ending++;
    for (let node = children.first; node !== undefined; node = children.first) {
      this.#scheduler.settlement.cancelFor(node.value, reason);
      if (node.list === children) node.remove();
    }
    this.#ending--;
  }

  /** If nothing can move any more but for want of a worker for a child, the oldest child gets its parent's. */
  relieve(): void {
    // Called from within, it leaves the work to the call that is at it, so that guests don't pile up on the stack.
    if (this.#relieving || this.#queued.size === 0) return;
    this.#relieving = true;
    while (this.#isStuck() && !this.#scheduler.takesTurn()) {
      const child = this.#queued.first!.value;
      this.#scheduler.unqueue(child);
      const host = child.extras!.parent!.task.home as Worker;
      if (child.extras!.ownResource || host.retire === 'unhealthy') this.#runOnOwn(child);
      else this.#runAsGuest(child, host);
    }
    this.#relieving = false;
  }

  /** Whether nothing can move any more but for want of a worker for a child. */
  #isStuck(): boolean {
    const { crew, held, running, runningPast } = this.#scheduler;
    if (this.#queued.size === 0 || this.#blocked === 0 || this.#ownPending + this.#ending > 0 || held) return false;
    return crew.idle.length === 0 && this.#blocked >= running - runningPast;
  }

  #runAsGuest(child: Task, host: Worker): void {
    const guest = new Worker(this.#scheduler, this, 'guest');
    guest.host = host;
    guest.resource = host.resource;
    host.guests++;
    this.guests.add(guest);
    this.#scheduler.startOn(guest, child);
  }

  #runOnOwn(child: Task): void {
    const { pool } = this.#scheduler;
    const worker = pool.claimTemporary();
    worker.counted = true;
    this.#ownPending++;
    pool.run(worker, child, () => {
      this.#ownPending--;
    });
  }

  release(guest: Worker, now: number): void {
    this.#leave(guest);
    const host = guest.host!;
    if (guest.retire === 'unhealthy') host.retire = 'unhealthy';
    else host.retire ??= guest.retire;
    host.guestLeft(now);
    this.#scheduler.pump();
  }

  abandoned(guest: Worker): void {
    this.#leave(guest);
    const host = guest.host!;
    host.retire ??= 'abandoned';
    host.guestLeft(this.#scheduler.now());
  }

  #leave(guest: Worker): void {
    guest.phase = GONE;
    this.guests.delete(guest);
  }
}

/** Whether a task runs on a worker of the queue, or in its stead. */
function isCounted(task: Task): boolean {
  return task.state === RUNNING && (task.home as Worker).counted;
}
