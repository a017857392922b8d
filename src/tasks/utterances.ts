/**
 * What a run says of itself while it goes on. The engine is told one thing after the other; what is said while it
 * listens is put together. What can't be told is lost, as it only tells of the way.
 */
import type { Update } from '../engines/index.ts';

export class Utterances {
  readonly #tell: (update: Update) => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #lines: string[] = [];
  #sign: { step?: string; progress?: string } | undefined;
  #telling: Promise<void> | undefined;

  constructor(tell: (update: Update) => Promise<void>, onError: (error: unknown) => void) {
    this.#tell = tell;
    this.#onError = onError;
  }

  log(text: string): void {
    for (const line of text.split('\n')) this.#lines.push(line);
    this.#telling ??= this.#tellAll();
  }

  /** It is alive. */
  sign(sign: { readonly step?: string; readonly progress?: string }): void {
    this.#sign = { ...this.#sign, ...sign };
    this.#telling ??= this.#tellAll();
  }

  /** Resolves when all has been told. */
  async told(): Promise<void> {
    await this.#telling;
  }

  async #tellAll(): Promise<void> {
    // All that is said in one go is told together.
    await undefined;
    while (this.#lines.length > 0 || this.#sign !== undefined) {
      const log = this.#lines;
      const sign = this.#sign;
      this.#lines = [];
      this.#sign = undefined;
      if (log.length > 0) await this.#try({ log });
      if (sign !== undefined) await this.#try(sign);
    }
    this.#telling = undefined;
  }

  async #try(update: Update): Promise<void> {
    try {
      await this.#tell(update);
    } catch (error) {
      this.#onError(error);
    }
  }
}
