/** Where results go: a stream or a file, at the pace at which it takes them. */
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { UsageError } from './usage-error.ts';

/** Whoever read the results has gone: `errand map ... | head`. Nothing is wrong. */
export class ReaderGoneError extends Error {}

export class Output {
  readonly #stream: Writable;
  readonly #isOwn: boolean;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  /** Called when the stream fails, be it between two writes. */
  onFailure: (error: Error) => void = () => {};
  /** Called with each write, which it has to make: what else is on the same terminal may have to give way. */
  around: (write: () => boolean) => boolean = (write) => write();

  private constructor(stream: Writable, isOwn: boolean) {
    this.#stream = stream;
    this.#isOwn = isOwn;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= failureOf(error);
      this.#wake?.();
      this.onFailure(this.#failure);
    });
    stream.on('drain', () => this.#wake?.());
  }

  static stdout(): Output {
    return new Output(process.stdout, false);
  }

  /** @throws UsageError when the file can't be opened */
  static async file(flag: string, path: string, append: boolean): Promise<Output> {
    const stream = createWriteStream(path, { flags: append ? 'a' : 'w' });
    await new Promise<void>((resolve, reject) => {
      stream.once('open', () => resolve());
      stream.once('error', (error: NodeJS.ErrnoException) =>
        reject(new UsageError(`${flag} ${path} can't be written: ${error.code}`, { cause: error })),
      );
    });
    return new Output(stream, true);
  }

  /** Resolves when there is room for more. Rejects when the stream has failed. One call at a time. */
  async write(text: string): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.around(() => this.#stream.write(text))) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when all is written. */
  async end(): Promise<void> {
    if (this.#failure !== undefined) return;
    const error = await new Promise<Error | null | undefined>((resolve) => {
      this.#wake = () => resolve(undefined); // in case it fails
      // What they are called with comes before the error event.
      if (this.#isOwn) this.#stream.end(resolve);
      else this.#stream.write('', resolve);
    });
    if (error) throw this.#failure ?? failureOf(error);
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function failureOf(error: NodeJS.ErrnoException): Error {
  return error.code === 'EPIPE' ? new ReaderGoneError('the reader has gone', { cause: error }) : error;
}
