/** Questions to all dispatchers on an engine, or to one, and their answers, as far as they come in time. */
import { abortable } from 'abort-controller-x';
import { ulid } from 'ulid';
import type { Engine } from '../../engines/index.ts';
import { DeadlineExceededError } from '../../go/errors.ts';
import { UnknownDispatcherError } from '../errors.ts';
import { CONTROL_PREFIX } from '../queues.ts';
import { decodeMessage, encodeMessage, type Message, type Request } from './messages.ts';

export interface MessengerHost {
  readonly engine: Engine;
  readonly name: string;
  /** Whether it hears messages as a dispatcher. */
  readonly isHeard: boolean;
  /** Does what a request says. @throws when it can't be done: then there is no answer */
  answer(command: string, params: unknown): Promise<unknown>;
  warn(what: string, error: unknown): void;
}

export interface Inquiry {
  /** One dispatcher; default: all that are alive. */
  readonly to?: string | undefined;
  readonly timeoutMs: number;
}

/** What a dispatcher has answered, and after how long. */
export interface Answer {
  readonly value: unknown;
  readonly ms: number;
}

/** What all have answered that were asked; undefined of those that were silent. */
export type Answers = ReadonlyMap<string, Answer | undefined>;

/** A question that waits for its answers. */
interface Waiting {
  readonly answers: Map<string, Answer | undefined>;
  readonly askedAt: number;
  left: number;
  readonly done: () => void;
}

/** Of the consumers of an engine those that are dispatchers. */
export async function dispatchersOf(engine: Engine): Promise<string[]> {
  return (await engine.consumers()).filter((name) => !name.startsWith(CONTROL_PREFIX));
}

export class Messenger {
  readonly #host: MessengerHost;
  readonly #waiting = new Map<string, Waiting>();

  constructor(host: MessengerHost) {
    this.#host = host;
  }

  /**
   * Asks all dispatchers, or one, and waits for their answers until all have come or time is up.
   * @throws UnknownDispatcherError; DeadlineExceededError when the engine itself doesn't answer, or whatever it fails with
   */
  async ask(command: string, params: unknown, { to, timeoutMs }: Inquiry): Promise<Answers> {
    const { engine } = this.#host;
    const limit = new AbortController();
    const onTime = (): void =>
      limit.abort(new DeadlineExceededError(`the engine has not answered ${command} within ${timeoutMs} ms`));
    const timer = engine.clock.setTimeout(onTime, timeoutMs, true);
    const request: Request = { kind: 'request', id: ulid(), to, command, params };
    const leave = this.#host.isHeard ? undefined : this.#listen();
    try {
      await within(limit.signal, leave?.begun);
      const alive = await within(limit.signal, dispatchersOf(engine));
      if (to !== undefined && !alive.includes(to)) {
        throw new UnknownDispatcherError(
          `no dispatcher ${to} is alive on the engine; those are ${alive.join(', ') || 'none'}`,
        );
      }
      return await this.#gather(request, to === undefined ? alive : [to], limit.signal);
    } finally {
      engine.clock.clearTimeout(timer);
      this.#waiting.delete(request.id);
      leave?.end();
    }
  }

  /** What a dispatcher hears. Never throws. */
  hear(text: string): void {
    const message = this.#read(text);
    if (message?.kind === 'reply') this.#note(message.id, message.from, message.value);
    else if (message?.kind === 'request' && (message.to ?? this.#host.name) === this.#host.name) {
      void this.#answer(message);
    }
  }

  async #gather(request: Request, names: readonly string[], signal: AbortSignal): Promise<Answers> {
    const { engine } = this.#host;
    const answers = new Map<string, Answer | undefined>(names.map((name) => [name, undefined]));
    if (names.length === 0) return answers;
    const all = new Promise<void>((done) => {
      this.#waiting.set(request.id, { answers, askedAt: engine.clock.now(), left: names.length, done });
    });
    await within(signal, engine.broadcast(encodeMessage(request)));
    // Whoever hasn't answered by then is silent.
    await within(signal, all).catch(() => {});
    return answers;
  }

  #note(id: string, from: string, value: unknown): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || !waiting.answers.has(from) || waiting.answers.get(from) !== undefined) return;
    waiting.answers.set(from, { value, ms: this.#host.engine.clock.now() - waiting.askedAt });
    if (--waiting.left === 0) waiting.done();
  }

  async #answer({ id, command, params }: Request): Promise<void> {
    const { engine, name, warn, answer } = this.#host;
    try {
      const value = await answer(command, params);
      await engine.broadcast(encodeMessage({ kind: 'reply', id, from: name, value }));
    } catch (error) {
      warn('a request was not answered', error);
    }
  }

  #read(text: string): Message | undefined {
    try {
      return decodeMessage(text);
    } catch (error) {
      this.#host.warn('a message was ignored', error);
      return undefined;
    }
  }

  /** For the time of one question, as a consumer that takes nothing. */
  #listen(): { readonly begun: Promise<unknown>; end(): void } {
    const { engine } = this.#host;
    const name = `${CONTROL_PREFIX}${ulid()}`;
    const begun = engine.begin(name, {
      onWake() {},
      onCancel() {},
      onMessage: (text) => {
        const message = this.#read(text);
        if (message?.kind === 'reply') this.#note(message.id, message.from, message.value);
      },
    });
    return {
      begun,
      // Nothing depends on it: what isn't ended has nothing, and is forgotten.
      end: () => void begun.then((epoch) => engine.end(name, epoch)).catch(() => {}),
    };
  }
}

/** Rejects with the signal's reason when it fires first. */
async function within<T>(signal: AbortSignal, promise: Promise<T> | undefined): Promise<T> {
  try {
    return await abortable(signal, Promise.resolve(promise as Promise<T>));
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}
