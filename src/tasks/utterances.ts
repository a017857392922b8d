/**
 * What a run says of itself while it goes on. The engine is told one thing after the other; what is said while it
 * listens, or within a time after it was told that the run is alive, is put together. What can't be told is lost, as it
 * only tells of the way.
 */
import type { Update } from '../engines/index.ts';
import type { Clock, ClockTimer } from '../go/clock.ts';

export interface UtterancesOptions {
  readonly clock: Clock;
  /** Signs of life are told at most once in so long. Lines aren't held up. */
  readonly everyMs: number;
  readonly tell: (update: Update) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

export class Utterances {
  readonly #options: UtterancesOptions;
  #lines: string[] = [];
  /** The sign that is to be told; apart, so that one more costs nothing. */
  #hasSign = false;
  #step: string | undefined;
  #progress: string | undefined;
  /** When the next one may be told. */
  #nextAt = Number.NEGATIVE_INFINITY;
  #timer: ClockTimer;
  #isOver = false;
  #telling: Promise<void> | undefined;

  constructor(options: UtterancesOptions) {
    this.#options = options;
  }

  log(text: string): void {
    for (const line of text.split('\n')) this.#lines.push(line);
    this.#telling ??= this.#tellAll();
  }

  /** It is alive, `now` by the clock. */
  sign(now: number, step: string | undefined, progress?: string): void {
    if (step !== undefined) this.#step = step;
    if (progress !== undefined) this.#progress = progress;
    this.#hasSign = true;
    if (this.#telling !== undefined || this.#timer !== undefined) return;
    if (now < this.#nextAt) this.#wait(now);
    else this.#telling = this.#tellAll();
  }

  /** Nothing more will be said. Resolves when all has been told. */
  async told(): Promise<void> {
    this.end();
    if (this.#hasSign) this.#telling ??= this.#tellAll();
    await this.#telling;
  }

  /** Nothing more will be said, and nobody has to be told the last of it. */
  end(): void {
    this.#isOver = true;
    this.#options.clock.clearTimeout(this.#timer);
  }

  #wait(now: number): void {
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      this.#telling ??= this.#tellAll();
    }, this.#nextAt - now);
  }

  async #tellAll(): Promise<void> {
    // All that is said in one go is told together.
    await undefined;
    const { clock, everyMs } = this.#options;
    let now = clock.now();
    while (this.#lines.length > 0 || this.#mayTell(now)) {
      const log = this.#lines;
      if (log.length > 0) {
        this.#lines = [];
        await this.#try({ log });
      }
      now = clock.now();
      if (!this.#mayTell(now)) continue;
      this.#nextAt = now + everyMs;
      const sign = { step: this.#step, progress: this.#progress };
      this.#hasSign = false;
      this.#step = undefined;
      this.#progress = undefined;
      await this.#try(sign);
      now = clock.now();
    }
    this.#telling = undefined;
    if (this.#hasSign && this.#timer === undefined) this.#wait(now);
  }

  #mayTell(now: number): boolean {
    return this.#hasSign && (this.#isOver || now >= this.#nextAt);
  }

  async #try(update: Update): Promise<void> {
    try {
      await this.#options.tell(update);
    } catch (error) {
      this.#options.onError(error);
    }
  }
}
