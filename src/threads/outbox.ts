/** What a thread sends: reports of its calls, and what is written to its stdout and stderr. */
import type { MessagePort, Transferable } from 'node:worker_threads';
import { FROM_THREAD, OUTPUT, type Report, STDERR, STDOUT } from './protocol.ts';

export class Outbox {
  readonly #port: MessagePort;
  readonly #shared: Int32Array;
  #sent = 0;

  constructor(port: MessagePort, shared: Int32Array) {
    this.#port = port;
    this.#shared = shared;
  }

  send(report: Report, list?: readonly Transferable[]): void {
    this.#port.postMessage(report, list);
    this.#sent = (this.#sent + 1) | 0;
    Atomics.store(this.#shared, FROM_THREAD, this.#sent);
  }

  /**
   * Has all that is written go by this port. Node's own way waits for the thread's event loop after the first line, so a
   * busy function would be mute; it comes apart from the answers; and whoever reads it holds the process.
   */
  takeOutput(): void {
    for (const [stream, which] of [
      [process.stdout, STDOUT],
      [process.stderr, STDERR],
    ] as const) {
      const write = (chunk: string | Uint8Array): void => this.send([OUTPUT, which, chunk]);
      stream._write = (chunk: string | Uint8Array, _encoding, callback) => {
        write(chunk);
        callback();
      };
      stream._writev = (chunks, callback) => {
        for (const { chunk } of chunks as { readonly chunk: string | Uint8Array }[]) write(chunk);
        callback();
      };
    }
  }
}
