/**
 * Workers that find task after task go on in microtasks, and would keep timers and I/O waiting. So the starts of a turn
 * of the event loop are counted, and after so many of them, or so many ms, the next has to wait for the next turn.
 */

/** Starts straight from a submission are counted so rarely that a task now and then costs no turn of its own. */
const UNCOUNTED = 64;

export class Turns {
  yielding = false;
  readonly #maxTasks: number;
  readonly #maxMs: number;
  readonly #resume: () => void;
  #tasks = 0;
  #began = 0;
  #uncounted = 0;
  #immediate: NodeJS.Immediate | undefined;

  constructor(maxTasks: number, maxMs: number, resume: () => void) {
    this.#maxTasks = maxTasks;
    this.#maxMs = maxMs;
    this.#resume = resume;
  }

  /** Counts a start; true if it has to wait for the next turn, in which `resume` is called. */
  over(now: number): boolean {
    if (this.yielding) return true;
    if (this.#tasks === 0) this.#begin(now);
    this.#tasks++;
    if (this.#tasks <= this.#maxTasks && now - this.#began < this.#maxMs) return false;
    this.yielding = true;
    return true;
  }

  /** Counts a start that isn't held back: a chain of submissions, each after the last, must let others live too. */
  count(now: number): void {
    if (this.#tasks === 0 && ++this.#uncounted < UNCOUNTED) return;
    this.over(now);
  }

  close(): void {
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
  }

  #begin(now: number): void {
    this.#began = now;
    this.#immediate ??= setImmediate(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#immediate = undefined;
    this.#tasks = 0;
    this.#uncounted = 0;
    if (!this.yielding) return;
    this.yielding = false;
    this.#resume();
  };
}
