/** What the tour has seen so far. Of single files only the few worth naming are kept, however many there are. */
import type { TaskState } from 'errand';
import type { Measured } from './measure.ts';

const NAMED = 5;
const NAMED_FAILURES = 10;

export interface MeasuredFile extends Measured {
  readonly path: string;
}

/** The `size` greatest of what was added, the greatest first. */
class Top<T> {
  readonly items: T[] = [];
  readonly #size: number;
  readonly #rank: (item: T) => number;

  constructor(size: number, rank: (item: T) => number) {
    this.#size = size;
    this.#rank = rank;
  }

  add(item: T): void {
    const { items } = this;
    if (items.length === this.#size && this.#rank(item) <= this.#rank(items.at(-1)!)) return;
    const place = items.findIndex((other) => this.#rank(other) < this.#rank(item));
    items.splice(place === -1 ? items.length : place, 0, item);
    if (items.length > this.#size) items.pop();
  }
}

export class Tally {
  files = 0;
  bytes = 0;
  lines = 0;
  binaries = 0;
  folders = 0;
  foldersSkipped = 0;
  others = 0;
  failed = 0;
  timedOut = 0;
  canceled = 0;
  /** Read so far, those of files under way included. */
  bytesRead = 0;
  /** The file begun last. */
  current = '';
  readonly slowest = new Top<MeasuredFile>(NAMED, (file) => file.ms);
  readonly largest = new Top<MeasuredFile>(NAMED, (file) => file.bytes);
  /** The first failures, with their reasons. */
  readonly failures: { readonly path: string; readonly reason: string }[] = [];
  readonly #began = performance.now();

  get elapsedMs(): number {
    return performance.now() - this.#began;
  }

  /** All that went wrong; a cancellation is somebody's wish. */
  get problems(): number {
    return this.failed + this.timedOut;
  }

  measured(path: string, measured: Measured): void {
    this.files++;
    this.bytes += measured.bytes;
    if (measured.lines === undefined) this.binaries++;
    else this.lines += measured.lines;
    const file = { path, ...measured };
    this.slowest.add(file);
    this.largest.add(file);
  }

  /** A file's task has ended without a result. */
  ended(path: string, state: TaskState, error: unknown): void {
    if (state === 'canceled') this.canceled++;
    else if (state === 'timedOut') {
      this.timedOut++;
      this.#name(path, 'timed out');
    } else this.unreadable(path, error);
  }

  unreadable(path: string, error: unknown): void {
    this.failed++;
    const { code, message } = error as NodeJS.ErrnoException;
    this.#name(path, code ?? message);
  }

  #name(path: string, reason: string): void {
    if (this.failures.length < NAMED_FAILURES) this.failures.push({ path, reason });
  }
}
