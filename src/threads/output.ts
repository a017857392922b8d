/** What threads write to stdout and stderr: by lines, and with the thread's number. */

/** Where the lines of threads can go: as console and pino have it. */
export interface LineLogger {
  /** A line that was written to stdout. */
  info(message: string): void;
  /** A line that was written to stderr. */
  warn(message: string): void;
}

/** Lines to the process's own streams, each as `[thread 3] line`. */
export const tagging: LineLogger = {
  info: (line) => void process.stdout.write(`${line}\n`),
  warn: (line) => void process.stderr.write(`${line}\n`),
};

/** Makes lines of what comes in pieces, and hands them to `write`, tagged. */
export class Lines {
  readonly #threadId: number;
  readonly #write: (line: string) => void;
  /** Pieces of bytes may end within a character. */
  readonly #decoder = new TextDecoder();
  #rest = '';

  constructor(threadId: number, write: (line: string) => void) {
    this.#threadId = threadId;
    this.#write = write;
  }

  push(chunk: string | Uint8Array): void {
    const text = typeof chunk === 'string' ? chunk : this.#decoder.decode(chunk, { stream: true });
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) this.#tell(line.endsWith('\r') ? line.slice(0, -1) : line);
  }

  /** What isn't ended by a line break is a line when the thread has ended. */
  end(): void {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = '';
    if (rest !== '') this.#tell(rest);
  }

  #tell(line: string): void {
    try {
      this.#write(`[thread ${this.#threadId}] ${line}`);
    } catch {
      // A logger's fault is nobody's here.
    }
  }
}
