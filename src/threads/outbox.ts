/** What a thread sends: reports of its calls, and what is written to its stdout and stderr. */
import type { MessagePort, Transferable } from 'node:worker_threads';
import { FROM_THREAD, OUTPUT, type Report, STDERR, STDOUT } from './protocol.ts';

/** What a stream is to write. Text comes in any encoding: the bytes that it stands for are meant. */
interface Written {
  readonly chunk: string | Uint8Array;
  readonly encoding: BufferEncoding;
}

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
      const write = ({ chunk, encoding }: Written): void => {
        const isReady = typeof chunk !== 'string' || /^utf-?8$/i.test(encoding);
        this.send([OUTPUT, which, isReady ? chunk : Buffer.from(chunk, encoding)]);
      };
      stream._write = (chunk: string | Uint8Array, encoding, callback) => {
        write({ chunk, encoding });
        callback();
      };
      stream._writev = (chunks, callback) => {
        (chunks as Written[]).forEach(write);
        callback();
      };
    }
  }
}
