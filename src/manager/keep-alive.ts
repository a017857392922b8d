/** Keeps the process up while there is work, or somebody waits: one timer that never matters, held or let go. */
import { AsyncResource } from 'node:async_hooks';

const LONGEST_MS = 2 ** 31 - 1;

export class KeepAlive {
  /** Else the timer would hold on to the async context of the first task as long as the manager lives. */
  readonly #origin = new AsyncResource('errand.keepAlive');
  #timer: NodeJS.Timeout | undefined;
  #held = false;
  #pins = 0;
  #letGo: NodeJS.Immediate | undefined;
  #closed = false;

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    this.#ref();
  }

  /** Lets go with the turn of the event loop, so that tasks one after the other in a turn don't flip it each time. */
  letGo(): void {
    this.#held = false;
    if (this.#closed) return;
    this.#letGo ??= setImmediate(() => {
      this.#letGo = undefined;
      if (!this.#held && this.#pins === 0) this.#timer?.unref();
    });
  }

  /** Holds, work or not, until as many calls of `unpin` or the close. */
  pin(): void {
    this.#pins++;
    this.#ref();
  }

  unpin(): void {
    this.#pins--;
    if (!this.#held) this.letGo();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    clearImmediate(this.#letGo);
    this.#timer = undefined;
  }

  #ref(): void {
    if (this.#closed) return;
    if (this.#timer === undefined) {
      this.#timer = this.#origin.runInAsyncScope(setInterval, undefined, () => {}, LONGEST_MS) as NodeJS.Timeout;
    } else this.#timer.ref();
  }
}
