/**
 * How far it is, on stderr: on a terminal one line that is drawn over, elsewhere a plain line every so often.
 *
 * Invariant: between two writes the cursor is at the beginning of the line that was drawn. So what a narrower terminal
 * has broken into several rows is all below it and can be erased, and nothing has to be hidden or put back at the end.
 */
import type { Colors } from 'picocolors/types.js';
import type { Tally } from './tally.ts';
import { colorsFor, count, cut, duration, printable, rate, roughly, type Terminal } from './text.ts';

const REDRAW_MS = 100;
const PLAIN_MS = 5_000;
const SPINNER = [...'⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'];
const GAP = '  ';
const BAR = { least: 8, most: 30, share: 1 / 5 };

// A key that was pressed, ^C above all, may have been echoed.
const TO_BEGINNING = '\r';
const ERASE_BELOW = '\x1b[J';
// While the line is drawn the terminal breaks no lines: its width may have changed a moment ago.
const NO_WRAP = '\x1b[?7l';
const WRAP = '\x1b[?7h';

export interface ProgressOptions {
  /** Nothing is shown but what is said. */
  readonly quiet: boolean;
}

/** What is shown of a tally. */
export type Progressing = Pick<
  Tally,
  'startedAt' | 'total' | 'done' | 'failed' | 'retried' | 'skipped' | 'running' | 'queued' | 'durations' | 'rate'
>;

export class Progress {
  readonly #stream: Terminal;
  readonly #tally: Progressing;
  readonly #colors: Colors;
  readonly #timer: NodeJS.Timeout | undefined;
  #isLive: boolean;

  constructor(stream: Terminal, tally: Progressing, { quiet }: ProgressOptions) {
    this.#stream = stream;
    this.#tally = tally;
    this.#colors = colorsFor(stream);
    const { TERM } = process.env;
    this.#isLive = stream.isTTY === true && TERM !== 'dumb' && !quiet;
    if (quiet) return;
    const show = this.#isLive
      ? () => stream.write(this.#line())
      : () => stream.write(`${renderPlain(tally, performance.now())}\n`);
    this.#timer = setInterval(show, this.#isLive ? REDRAW_MS : PLAIN_MS).unref();
  }

  /** Says something above the progress, on a line of its own. */
  say(text: string): void {
    this.around(() => this.#stream.write(`${printable(text)}\n`));
  }

  /** Calls what writes whole lines to the same terminal, and keeps the progress below them. */
  around<T>(write: () => T): T {
    if (!this.#isLive) return write();
    this.#stream.write(TO_BEGINNING + ERASE_BELOW);
    const result = write();
    this.#stream.write(this.#line());
    return result;
  }

  /** Leaves nothing behind. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#isLive) this.#stream.write(TO_BEGINNING + ERASE_BELOW);
    this.#isLive = false;
  }

  #line(): string {
    const line = renderProgress(this.#tally, this.#stream.columns || 80, performance.now(), this.#colors);
    return TO_BEGINNING + NO_WRAP + line + ERASE_BELOW + TO_BEGINNING + WRAP;
  }
}

/** A line for a terminal of so many columns, at a time of `performance.now()`. */
export function renderProgress(tally: Progressing, columns: number, now: number, paint: Colors): string {
  // The first column is the cursor's. The last one stays free: some terminals break the line when it is taken.
  const room = Math.max(1, columns - 2);
  const parts = [barOf(tally, columns, now), ...partsOf(tally, now)];
  const width = (): number => parts.reduce((sum, { text }) => sum + text.length + GAP.length, -GAP.length);
  while (parts.length > 1 && width() > room) {
    const least = parts.reduce((a, b) => (b.rank > a.rank ? b : a));
    parts.splice(parts.indexOf(least), 1);
  }
  const painted = parts.map(({ text, color }) => {
    const fitting = cut(text, room);
    return color === undefined ? fitting : paint[color](fitting);
  });
  return ` ${painted.join(GAP)}`;
}

/** A line of all there is to say, for a log. */
export function renderPlain(tally: Progressing, now: number): string {
  const texts = partsOf(tally, now).map(({ text }) => text.trim());
  return texts.join(', ');
}

interface Part {
  /** Each character takes one column. */
  readonly text: string;
  /** The part of the highest rank is left out first. */
  readonly rank: number;
  readonly color?: 'bold' | 'dim' | 'green' | 'red' | 'yellow';
}

function barOf({ total, done }: Progressing, columns: number, now: number): Part {
  const color = 'green';
  if (total === undefined) return { text: SPINNER[Math.floor(now / REDRAW_MS) % SPINNER.length]!, rank: 3, color };
  const width = Math.round(Math.min(Math.max(columns * BAR.share, BAR.least), BAR.most));
  const filled = total === 0 ? width : Math.floor((done / total) * width);
  return { text: '█'.repeat(filled) + '░'.repeat(width - filled), rank: 3, color };
}

function partsOf(tally: Progressing, now: number): Part[] {
  const { total, done, failed, retried, skipped, running, queued, durations } = tally;
  const parts: Part[] = [];
  if (total === undefined) parts.push({ text: `${count(done)} done`, rank: 0 });
  else {
    const percent = total === 0 ? 100 : Math.floor((done / total) * 100);
    parts.push({ text: `${percent}%`.padStart(4), rank: 1, color: 'bold' });
    parts.push({ text: `${count(done).padStart(count(total).length)}/${count(total)}`, rank: 0 });
  }
  parts.push({ text: rate(tally.rate), rank: 5 });
  parts.push({ text: `${count(running)} running`, rank: 6 });
  parts.push({ text: `${count(queued)} queued`, rank: 10 });
  if (failed > 0) parts.push({ text: `${count(failed)} failed`, rank: 2, color: 'red' });
  if (retried > 0) parts.push({ text: `${count(retried)} retried`, rank: 7, color: 'yellow' });
  if (skipped > 0) parts.push({ text: `${count(skipped)} skipped`, rank: 12 });
  if (durations.count > 0) {
    parts.push({ text: `p50 ${duration(durations.percentile(50))}`, rank: 9, color: 'dim' });
    parts.push({ text: `p95 ${duration(durations.percentile(95))}`, rank: 8, color: 'dim' });
  }
  if (total !== undefined) parts.push({ text: `ETA ${etaOf(tally, total, now)}`, rank: 4 });
  parts.push({ text: `${roughly(now - tally.startedAt)} elapsed`, rank: 11, color: 'dim' });
  return parts;
}

/** At the rate of the last seconds; if nothing has come to its end in them, at that since the beginning. */
function etaOf(tally: Progressing, total: number, now: number): string {
  const { done, skipped, startedAt } = tally;
  if (done === total) return '0 s';
  const perSecond = tally.rate || ((done - skipped) * 1_000) / (now - startedAt);
  return perSecond > 0 ? roughly(((total - done) * 1_000) / perSecond) : '–';
}
