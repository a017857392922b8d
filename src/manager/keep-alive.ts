/** Keeps the process up while there is work: one timer that never matters, held or let go. */

const LONGEST_MS = 2 ** 31 - 1;

export class KeepAlive {
  #timer: NodeJS.Timeout | undefined;
  #held = false;
  #pinned = false;
  #letGo: NodeJS.Immediate | undefined;
  #closed = false;

  hold(): void {
    if (this.#held || this.#closed) return;
    this.#held = true;
    if (this.#timer === undefined) this.#timer = setInterval(() => {}, LONGEST_MS);
    else this.#timer.ref();
  }

  /** Lets go with the turn of the event loop, so that tasks one after the other in a turn don't flip it each time. */
  letGo(): void {
    this.#held = false;
    if (this.#closed) return;
    this.#letGo ??= setImmediate(() => {
      this.#letGo = undefined;
      if (!this.#held && !this.#pinned) this.#timer?.unref();
    });
  }

  /** Holds until closed. */
  pin(): void {
    this.hold();
    this.#pinned = true;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    clearImmediate(this.#letGo);
    this.#timer = undefined;
  }
}
