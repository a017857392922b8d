/** The ages of resources: whose is told of when it reaches `maxAgeMs`. */
import { Deadline } from './deadlines.ts';
import type { Scheduler } from './scheduler.ts';
import type { Worker } from './worker.ts';

export class Ages {
  readonly #scheduler: Scheduler;
  readonly #onAge: (worker: Worker) => void;
  readonly #deadlines = new WeakMap<Worker, Deadline<Worker>>();

  constructor(scheduler: Scheduler, onAge: (worker: Worker) => void) {
    this.#scheduler = scheduler;
    this.#onAge = onAge;
  }

  /** The worker has got its resource. */
  begin(worker: Worker): void {
    const { deadlines, settings } = this.#scheduler;
    if (settings.maxAgeMs === undefined) return;
    const deadline = new Deadline(worker, this.#onAge);
    this.#deadlines.set(worker, deadline);
    deadlines.set(deadline, settings.maxAgeMs, this.#scheduler.now());
  }

  /** The worker goes. */
  end(worker: Worker): void {
    const deadline = this.#deadlines.get(worker);
    if (deadline !== undefined) this.#scheduler.deadlines.lift(deadline);
  }
}
