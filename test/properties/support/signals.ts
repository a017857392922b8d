/** Signals that many tasks share: two AbortSignals and two Contexts, each replaced by a new one when it has fired. */
import { background, type Context, withCancelCause } from '../../../src/go/context.ts';

export interface SharedSignal {
  readonly source: AbortSignal | Context;
  readonly fire: (reason: unknown) => void;
}

export function abortSignal(): SharedSignal {
  const controller = new AbortController();
  return { source: controller.signal, fire: (reason) => controller.abort(reason) };
}

export function context(): SharedSignal {
  const [source, cancel] = withCancelCause(background());
  return { source, fire: (reason) => cancel(reason) };
}

export class SharedSignals {
  readonly #slots: SharedSignal[] = [abortSignal(), abortSignal(), context(), context()];

  source(slot: number): AbortSignal | Context {
    return this.#slots[slot]!.source;
  }

  fire(slot: number, reason: unknown): void {
    const fired = this.#slots[slot]!;
    this.#slots[slot] = slot < 2 ? abortSignal() : context();
    fired.fire(reason);
  }
}
