/**
 * How far it is: on a terminal one line that is drawn over, elsewhere a plain line every so often. Goes to stderr, so
 * that the report on stdout can be piped.
 */
import type { WriteStream } from 'node:tty';
import type { ManagerStats } from 'errand';
import type { Tally } from './tally.ts';
import { count, counted, cut, printable, size } from './text.ts';

const REDRAW_MS = 100;
const PLAIN_MS = 1_000;
const SPINNER = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';
const CLEAR_LINE = '\r\x1b[2K';

export class Progress {
  readonly #stream: WriteStream;
  readonly #live: boolean;
  readonly #look: () => { readonly tally: Tally; readonly stats: ManagerStats };
  readonly #timer: NodeJS.Timeout;
  #drawn = false;
  #frame = 0;

  constructor(stream: WriteStream, look: () => { readonly tally: Tally; readonly stats: ManagerStats }) {
    this.#stream = stream;
    const { TERM } = process.env;
    this.#live = stream.isTTY === true && TERM !== 'dumb';
    this.#look = look;
    this.#timer = setInterval(() => this.#tick(), this.#live ? REDRAW_MS : PLAIN_MS).unref();
  }

  /** Says something on a line of its own. */
  say(text: string): void {
    this.#clear();
    this.#stream.write(`${text}\n`);
  }

  /** Leaves nothing behind. */
  end(): void {
    clearInterval(this.#timer);
    this.#clear();
  }

  #tick(): void {
    if (!this.#live) {
      this.#stream.write(`${this.#line()}\n`);
      return;
    }
    const spinner = SPINNER[this.#frame++ % SPINNER.length]!;
    const { current } = this.#look().tally;
    // The last column stays free: some terminals break the line when it is taken.
    const line = cut(`${spinner} ${this.#line()}  ${printable(current)}`, (this.#stream.columns || 80) - 1);
    this.#stream.write(`${CLEAR_LINE}${line}`);
    this.#drawn = true;
  }

  #line(): string {
    const { tally, stats } = this.#look();
    const perSecond = tally.bytesRead / (tally.elapsedMs / 1_000);
    const parts = [
      counted(tally.files, 'file'),
      `${size(tally.bytesRead)} at ${size(perSecond)}/s`,
      `${count(stats.runningTasks)} running`,
      `${count(stats.queuedTasks)} waiting`,
    ];
    if (tally.problems > 0) parts.push(`${count(tally.problems)} failed`);
    if (stats.state !== 'running') parts.unshift(stats.state);
    return parts.join(', ');
  }

  #clear(): void {
    if (this.#drawn) this.#stream.write(CLEAR_LINE);
    this.#drawn = false;
  }
}
