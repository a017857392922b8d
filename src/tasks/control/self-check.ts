/**
 * Whether the engine still tells this dispatcher anything. A connection that is dead in one direction looks like an
 * engine where nothing happens, so after a silence one is to ask: the engine how it is, and for a message to oneself.
 * After dispatcherd, which has learned it from a dead LISTEN.
 */
import type { Engine } from '../../engines/index.ts';
import { DeadlineExceededError } from '../../go/errors.ts';
import { encodeMessage } from './messages.ts';

export interface SelfCheckHost {
  readonly engine: Engine;
  /** How far apart looks are. */
  readonly everyMs: number;
  /** Whether nothing would be lost by beginning anew. */
  isIdle(): boolean;
  failed(error: unknown, failures: number): void;
  /** It is to begin anew. */
  lost(error: unknown): void;
}

/** So many looks without a word, and one asks. */
const QUIET_LOOKS = 6;

/** The question is answered by anything that is heard. */
interface Question {
  failure: unknown;
}

export class SelfCheck {
  readonly #host: SelfCheckHost;
  #quietLooks = 0;
  #question: Question | undefined;
  /** Why it is taken for deaf. */
  #deafness: unknown;
  #failures = 0;

  constructor(host: SelfCheckHost) {
    this.#host = host;
  }

  /** The engine has told something. */
  heard(): void {
    this.#quietLooks = 0;
    this.#question = undefined;
    this.#deafness = undefined;
    this.#failures = 0;
  }

  /** Every so often: a question has until the next look to be answered. */
  look(): void {
    const { everyMs, failed, isIdle, lost } = this.#host;
    const question = this.#question;
    if (question !== undefined) {
      this.#question = undefined;
      this.#quietLooks = 0;
      this.#deafness =
        question.failure ??
        new DeadlineExceededError(
          `the engine has told nothing, and a message to oneself has not come in ${everyMs} ms`,
        );
      failed(this.#deafness, ++this.#failures);
    }
    // Else what runs would be lost, and only for being late to hear: as long as leases can be renewed, it goes on.
    if (this.#deafness !== undefined && isIdle()) lost(this.#deafness);
    else if (++this.#quietLooks >= QUIET_LOOKS) this.#ask();
  }

  #ask(): void {
    const question: Question = { failure: undefined };
    this.#question = question;
    this.#send().catch((error: unknown) => {
      question.failure = error;
    });
  }

  async #send(): Promise<void> {
    const { engine } = this.#host;
    await engine.selfCheck();
    await engine.broadcast(encodeMessage({ kind: 'check' }));
  }
}
