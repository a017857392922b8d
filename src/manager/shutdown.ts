/**
 * The end of a manager: in peace by `stop()`, at once by `kill()`, or the first turning into the second.
 *
 * Invariant: both resolve only when every task is settled, every function has returned or was given up, and every
 * resource's `onDestroy` has been called.
 */
import type { ClockTimer } from '../go/clock.ts';
import { messageOf, ShutdownError } from './errors.ts';
import type { Scaling } from './scaling.ts';
import type { Scheduler } from './scheduler.ts';
import { CANCELED, RUNNING } from './task.ts';
import type { StopSummary } from './types.ts';

/** What the books said when the end began. */
interface Baseline {
  readonly completed: number;
  readonly failed: number;
  readonly canceled: number;
  readonly abandoned: number;
}

export class Shutdown {
  readonly #scheduler: Scheduler;
  readonly #scaling: Scaling;
  readonly #onEnd: (summary: StopSummary) => void;
  readonly #ended: Promise<StopSummary>;
  #resolveEnded!: (summary: StopSummary) => void;
  #baseline: Baseline | undefined;
  #closed = false;
  #finished = false;
  #killed = false;
  #timer: ClockTimer;
  #killAt = Number.POSITIVE_INFINITY;

  /** @param onEnd is called once, before the promises resolve. */
  constructor(scheduler: Scheduler, scaling: Scaling, onEnd: (summary: StopSummary) => void) {
    this.#scheduler = scheduler;
    this.#scaling = scaling;
    this.#onEnd = onEnd;
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  stop({ graceMs, timeoutMs }: { readonly graceMs: number; readonly timeoutMs: number }): Promise<StopSummary> {
    if (this.#killed || this.#finished) return this.#ended;
    const scheduler = this.#scheduler;
    if (scheduler.state !== 'stopping') {
      this.#begin(new ShutdownError('the task manager is stopping: it takes no new tasks'));
      scheduler.state = 'stopping';
      scheduler.stopping.fire(scheduler.shutdownError);
      scheduler.emit('stopping');
      this.#refuseWaiters();
    }
    this.#allow(graceMs);
    // Whoever was told of it so far may have killed the manager, and an idle one has come to its end by now.
    if (this.#killed || this.#finished) return this.#ended;
    const killAt = scheduler.now() + timeoutMs;
    if (killAt < this.#killAt) {
      this.#killAt = killAt;
      this.#setTimer(timeoutMs, () => void this.kill(`stop() took more than its timeoutMs (${timeoutMs} ms)`));
    }
    // A pause is over.
    scheduler.resumeAll();
    this.#check();
    return this.#ended;
  }

  async kill(reason: unknown): Promise<void> {
    if (!this.#killed && !this.#finished) this.#kill(reason);
    await this.#ended;
  }

  #kill(reason: unknown): void {
    const scheduler = this.#scheduler;
    this.#killed = true;
    const wasStopping = scheduler.state === 'stopping';
    const error = new ShutdownError(
      reason === undefined ? 'the task manager was killed' : `the task manager was killed: ${messageOf(reason)}`,
      { cause: reason },
    );
    this.#begin(error);
    scheduler.state = 'killed';
    scheduler.shutdownError = error;
    scheduler.stopping.fire(error);
    if (!wasStopping) scheduler.emit('stopping');
    this.#scaling.close();
    this.#refuseWaiters();
    // The queue first, so that no worker that comes free finds anything in it.
    for (const task of [...scheduler.queue, ...scheduler.offQueue]) scheduler.settlement.end(task, CANCELED, error);
    for (const worker of scheduler.busyWorkers()) {
      if (worker.task?.state === RUNNING) scheduler.settlement.end(worker.task, CANCELED, error);
    }
    this.#close(error);
    this.#check();
    if (this.#finished) return;
    const { killGraceMs } = scheduler.settings;
    this.#setTimer(killGraceMs, () => {
      scheduler.settlement.abandonAll();
      this.#check();
      if (this.#finished) return;
      // Nobody can wait for ever for an onCreate or onDestroy that hangs.
      this.#setTimer(killGraceMs, () => this.#finish());
    });
  }

  #begin(error: ShutdownError): void {
    const scheduler = this.#scheduler;
    this.#baseline ??= {
      completed: scheduler.completed,
      failed: scheduler.failed + scheduler.timedOut,
      canceled: scheduler.canceled,
      abandoned: scheduler.abandonedTotal,
    };
    scheduler.shutdownError = error;
    scheduler.onProgress = () => this.#check();
    scheduler.holdProcess();
  }

  /** Bounds what runs, and what will. A later call may only shorten it. */
  #allow(graceMs: number): void {
    const scheduler = this.#scheduler;
    if (scheduler.graceMs !== undefined && scheduler.graceMs <= graceMs) return;
    scheduler.graceMs = graceMs;
    const now = scheduler.now();
    for (const worker of scheduler.busyWorkers()) {
      if (worker.task?.state !== RUNNING) continue;
      if (graceMs === 0) scheduler.settlement.end(worker.task, CANCELED, scheduler.shutdownError);
      else {
        worker.graceDue = Math.min(worker.graceDue, now + graceMs);
        scheduler.armDeadline(worker, now);
      }
    }
  }

  #refuseWaiters(): void {
    const scheduler = this.#scheduler;
    for (const task of [...scheduler.admission.waiting])
      scheduler.settlement.end(task, CANCELED, scheduler.shutdownError);
  }

  #close(reason: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#scheduler.crew.close(reason);
    this.#scheduler.pool.close();
  }

  #check(): void {
    const scheduler = this.#scheduler;
    if (this.#finished || scheduler.unsettled > 0) return;
    this.#close(scheduler.shutdownError);
    const { crew, pool, children, resources, callbacks } = scheduler;
    if (crew.workers.size + pool.workers.size + children.guests.size > 0) return;
    if (resources.pending > 0 || callbacks.size > 0) return;
    this.#finish();
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    const scheduler = this.#scheduler;
    scheduler.onProgress = undefined;
    this.#clearTimer();
    this.#scaling.close();
    scheduler.close();
    if (!this.#killed) {
      scheduler.state = 'stopped';
      scheduler.shutdownError = new ShutdownError('the task manager has stopped: it takes no tasks any more');
    }
    const { completed, failed, canceled, abandoned } = this.#baseline!;
    const summary: StopSummary = {
      completed: scheduler.completed - completed,
      failed: scheduler.failed + scheduler.timedOut - failed,
      canceled: scheduler.canceled - canceled,
      abandoned: scheduler.abandonedTotal - abandoned,
    };
    this.#onEnd(summary);
    this.#resolveEnded(summary);
  }

  #setTimer(ms: number, then: () => void): void {
    this.#clearTimer();
    if (ms === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#scheduler.settings.clock.setTimeout(then, ms);
  }

  #clearTimer(): void {
    this.#scheduler.settings.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
