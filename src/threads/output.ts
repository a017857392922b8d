/** What threads write to stdout and stderr: by lines, and with the thread's number. */
import type { Readable } from 'node:stream';

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

/** Hands the lines of a stream to `write`, tagged. What isn't ended by a line break is a line when the stream ends. */
export function tagLines(stream: Readable, threadId: number, write: (line: string) => void): void {
  let rest = '';
  const tell = (line: string): void => {
    try {
      write(`[thread ${threadId}] ${line}`);
    } catch {
      // A logger's fault is nobody's here.
    }
  };
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) tell(line.endsWith('\r') ? line.slice(0, -1) : line);
  });
  stream.on('end', () => {
    if (rest !== '') tell(rest);
  });
}
