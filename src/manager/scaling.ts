/**
 * How many workers there should be: a pure policy, and the loop that asks it.
 */
import { AsyncResource } from 'node:async_hooks';
import { execute, isAbortError, spawn } from 'abort-controller-x';
import { sleep } from './resources.ts';
import type { Scheduler } from './scheduler.ts';

/** What a scaling policy may look at. Rates are a second, over the last seconds; times are of the manager's clock. */
export interface ScalingState {
  /** Workers wanted now. */
  readonly workers: number;
  /** No fewer are allowed. */
  readonly workerCount: number;
  /** No more are allowed. */
  readonly maxWorkerCount: number;
  /** Workers that wait for a task. */
  readonly idleWorkers: number;
  /** Workers with a living function. */
  readonly busyWorkers: number;
  /** Tasks that a worker could take now. */
  readonly queuedTasks: number;
  /** When the longest waiting of them was submitted. */
  readonly oldestQueuedAt: number | undefined;
  /** Since when no task has had to wait, and a worker has been idle. */
  readonly quietSince: number | undefined;
  /** Tasks admitted a second. */
  readonly arrivalRate: number;
  /** Runs that ended, in whatever way. */
  readonly completionRate: number;
  /** `burstIntervalMs`. */
  readonly intervalMs: number;
}

/** Says how many workers there should be; asked every `burstIntervalMs`. The answer is brought within the limits. */
export type ScalingPolicy = (state: ScalingState, now: number) => number;

/** A task that has waited for so many intervals asks for workers whatever the rates are. */
const PATIENCE = 2;
/** Burst workers go after so many intervals in which nobody waited. */
const CALM = 10;

/**
 * The default policy, after Tasker's: while tasks wait, as many more workers as it takes for what leaves to keep up with
 * what arrives, and to clear the backlog within a second once its oldest has waited two intervals. When nobody has
 * waited for ten intervals, half of the idle burst workers go.
 */
export function decide(state: ScalingState, now: number): number {
  const { workers, workerCount, maxWorkerCount, idleWorkers, busyWorkers, queuedTasks, oldestQueuedAt } = state;
  const { arrivalRate, completionRate, intervalMs, quietSince } = state;
  if (queuedTasks > 0 && idleWorkers === 0) {
    const perWorker = completionRate / Math.max(1, busyWorkers);
    const add = (rate: number): number => (perWorker > 0 ? Math.ceil(rate / perWorker) : 1);
    let more = arrivalRate > completionRate ? add(arrivalRate - completionRate) : 0;
    if (oldestQueuedAt !== undefined && now - oldestQueuedAt >= PATIENCE * intervalMs) {
      more = Math.max(more, 1, add(queuedTasks));
    }
    return Math.min(maxWorkerCount, workers + more);
  }
  if (quietSince !== undefined && now - quietSince >= CALM * intervalMs) {
    const spare = Math.min(idleWorkers, workers - workerCount);
    return workers - Math.ceil(spare / 2);
  }
  return workers;
}

/** So many intervals are what a rate is taken over. */
const SAMPLES = 50;

interface Sample {
  readonly at: number;
  readonly arrived: number;
  readonly left: number;
}

/** Asks the policy every `burstIntervalMs` while there is work or a burst worker, and sleeps otherwise. */
export class Scaling {
  readonly #scheduler: Scheduler;
  readonly #controller = new AbortController();
  /** The loop lives as long as the manager: not in the async context of the task that has set it going. */
  readonly #origin = new AsyncResource('errand.scaling');
  readonly #samples: Sample[] = [];
  #quietSince: number | undefined;
  #wake: (() => void) | undefined;
  #running = false;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** There is work: the loop begins, or goes on. */
  wake(): void {
    if (this.#samples.length === 0) this.#sample(this.#scheduler.now());
    if (this.#wake !== undefined) {
      const wake = this.#wake;
      this.#wake = undefined;
      wake();
    } else if (!this.#running) this.#origin.runInAsyncScope(this.#run, this);
  }

  close(): void {
    this.#controller.abort();
  }

  #run(): void {
    const { settings } = this.#scheduler;
    if (settings.burstIntervalMs === 0 || this.#controller.signal.aborted) return;
    this.#running = true;
    spawn(this.#controller.signal, async (signal) => {
      for (;;) {
        await sleep(signal, settings.burstIntervalMs, settings.clock);
        if (this.#tick()) continue;
        this.#samples.length = 0;
        await execute<void>(signal, (resolve) => {
          this.#wake = () => resolve();
          return () => {};
        });
      }
    }).catch((error) => {
      if (!isAbortError(error)) this.#scheduler.reports.report(error, 'the scaling loop failed');
    });
  }

  /** Asks once; false when there is nothing to ask about. */
  #tick(): boolean {
    const scheduler = this.#scheduler;
    const { crew } = scheduler;
    if (scheduler.unsettled === 0 && crew.burstCount === 0) return false;
    const now = scheduler.now();
    const state = this.#look(now);
    const policy = scheduler.settings.scaling ?? decide;
    try {
      const wanted = policy(state, now);
      if (!Number.isInteger(wanted))
        throw new RangeError(`a scaling policy must return an integer, but returned ${wanted}`);
      if (scheduler.state === 'running') crew.scale(wanted);
    } catch (error) {
      scheduler.reports.report(error, 'the scaling policy failed');
    }
    return true;
  }

  #look(now: number): ScalingState {
    const scheduler = this.#scheduler;
    const { crew, queue, settings } = scheduler;
    const { arrived, left } = this.#sample(now);
    const first = this.#samples[0]!;
    const seconds = Math.max(settings.burstIntervalMs, now - first.at) / 1_000;
    const idleWorkers = crew.idle.length;
    const queuedTasks = queue.size;
    const quiet = queuedTasks === 0 && idleWorkers > 0;
    this.#quietSince = quiet ? (this.#quietSince ?? now) : undefined;
    return {
      workers: crew.wanted,
      workerCount: settings.workerCount,
      maxWorkerCount: settings.maxWorkerCount,
      idleWorkers,
      busyWorkers: crew.active - idleWorkers,
      queuedTasks,
      oldestQueuedAt: queue.peek()?.queuedAt,
      quietSince: this.#quietSince,
      arrivalRate: (arrived - first.arrived) / seconds,
      completionRate: (left - first.left) / seconds,
      intervalMs: settings.burstIntervalMs,
    };
  }

  /** What the books say now, kept for the rates to come. */
  #sample(at: number): Sample {
    const { arrived, completed, failed, timedOut, canceled } = this.#scheduler;
    const sample = { at, arrived, left: completed + failed + timedOut + canceled };
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    return sample;
  }
}
