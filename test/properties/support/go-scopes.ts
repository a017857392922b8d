/**
 * What ends waits in programs of channels and locks: signals and contexts as errand has them, each with a model of whom
 * it has to tell. A program can act inside of a cancel too, when the source says it is canceled and nobody knows yet.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  background,
  CanceledError,
  type Context,
  fromSignal,
  withCancelCause,
  withTimeout,
  withValue,
} from '../../../src/go/index.ts';
import { show } from './go-show.ts';

/** A scope that can be canceled, and who is to be told, in order. */
export class ModelScope {
  canceled = false;
  /** As it is shown. */
  cause = '';
  readonly listeners = new Set<() => void>();
  readonly #children: ModelScope[] = [];

  constructor(parent?: ModelScope) {
    if (parent !== undefined) parent.#children.push(this);
  }

  /** Whether it has to hear of a cancel. */
  get isWatched(): boolean {
    return this.listeners.size > 0 || this.#children.some((child) => !child.canceled);
  }

  /** It and those below that are canceled with it, itself first. */
  get family(): ModelScope[] {
    const found: ModelScope[] = [this];
    for (const scope of found) found.push(...scope.#children.filter((child) => !child.canceled));
    return found;
  }

  mark(cause: string): void {
    this.canceled = true;
    this.cause = cause;
  }

  tell(): void {
    for (const listener of this.listeners) {
      this.listeners.delete(listener);
      listener();
    }
  }
}

/** What can end a wait. */
export interface Source {
  readonly given: AbortSignal | Context;
  readonly model: ModelScope;
}

/** A source that a program can cancel. */
export class Cancelable implements Source {
  readonly given: AbortSignal | Context;
  readonly model: ModelScope;
  readonly #signal: AbortSignal;
  /** Errand can only listen to it. */
  readonly #isFollowed: boolean;
  readonly #listeners: number;
  readonly #cancel: (cause: unknown) => void;
  #within: () => void = () => {};

  constructor(given: AbortSignal | Context, cancel: (cause: unknown) => void, parent?: Cancelable) {
    this.given = given;
    this.model = new ModelScope(parent?.model);
    this.#cancel = cancel;
    this.#isFollowed = given instanceof AbortSignal || given instanceof Foreign;
    this.#signal = given instanceof AbortSignal ? given : given.signal;
    // Before anyone of errand's listens.
    this.#signal.addEventListener('abort', () => this.#within(), { once: true });
    if (given instanceof Foreign) given.listen();
    this.#listeners = getEventListeners(this.#signal, 'abort').length;
  }

  /** `within` is done when the source says that it is canceled, and nobody who waits has been told. */
  cancel(cause: unknown, within: () => void = () => {}): void {
    const { model } = this;
    if (model.canceled) return;
    const isFollowed = this.#isFollowed;
    const shown = cause !== undefined ? show(cause) : isFollowed ? 'This operation was aborted' : 'canceled';
    // A context marks all below it before it tells anyone. What follows a signal is marked only when it is told.
    const marked = isFollowed ? [model] : model.family;
    for (const scope of marked) scope.mark(shown);
    this.#within = within;
    this.#cancel(cause);
    const told = isFollowed ? model.family : marked;
    for (const scope of told) scope.mark(shown);
    for (const scope of told) scope.tell();
  }

  /** Errand has one listener on a signal while somebody waits under it, and none else. */
  check(): void {
    const { canceled, isWatched } = this.model;
    const expected = (canceled ? 0 : this.#listeners) + (this.#isFollowed && isWatched ? 1 : 0);
    assert.equal(getEventListeners(this.#signal, 'abort').length, expected, 'listeners on a signal');
  }
}

export function cancelableSignal(): Cancelable {
  const controller = new AbortController();
  return new Cancelable(controller.signal, (cause) => controller.abort(cause));
}

/** A context of somebody else, which hears of its own end after others have. */
class Foreign implements Context {
  readonly signal: AbortSignal;
  readonly deadline = undefined;
  err: Error | undefined;
  cause: unknown;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  listen(): void {
    const onAbort = () => {
      this.err = new CanceledError();
      this.cause = this.signal.reason;
    };
    this.signal.addEventListener('abort', onAbort, { once: true });
  }

  done(): Promise<void> {
    throw new Error('errand follows the signal');
  }

  value(): undefined {}
}

function cancelableForeigner(): Cancelable {
  const controller = new AbortController();
  return new Cancelable(new Foreign(controller.signal), (cause) => controller.abort(cause));
}

function cancelableContext(parent?: Cancelable): Cancelable {
  const [context, cancel] = withCancelCause(parent?.given ?? background());
  return new Cancelable(context, cancel, parent);
}

const HOUR = 3_600_000;

/** One that time would end, but the program does: who waits under it holds the process, and must let go of it. */
function cancelableLimit(): Cancelable {
  const [parent, cancel] = withCancelCause(background());
  const [context] = withTimeout(parent, HOUR);
  return new Cancelable(context, cancel);
}

/** Stands for the source that was canceled last, or is being canceled. */
export const LAST_CANCELED = 100;

/** What the operations of a program share: two signals, contexts of all kinds, other faces of these. */
export class SharedSources {
  readonly #cancelable: Cancelable[];
  readonly #all: Source[];
  #last: Source;

  constructor() {
    const [signal, other] = [cancelableSignal(), cancelableSignal()];
    const parent = cancelableContext();
    const child = cancelableContext(parent);
    this.#cancelable = [
      signal,
      other,
      parent,
      child,
      cancelableContext(signal),
      cancelableForeigner(),
      cancelableLimit(),
    ];
    this.#last = signal;
    const faces = [
      { given: fromSignal(other.given as AbortSignal), model: other.model },
      { given: withValue(child.given, 'key', 'value'), model: child.model },
    ];
    this.#all = [...this.#cancelable, ...faces];
  }

  /** Any number stands for one. */
  at(index: number): Source {
    if (index === LAST_CANCELED) return this.#last;
    return this.#all[index % this.#all.length]!;
  }

  /** One that ends by itself. */
  add(source: Source): void {
    this.#all.push(source);
  }

  cancel(index: number, cause: unknown, within?: () => void): void {
    const source = this.#cancelable[index % this.#cancelable.length]!;
    this.#last = source;
    source.cancel(cause, within);
  }

  cancelAll(): void {
    for (const source of this.#cancelable) source.cancel('the end');
  }

  check(): void {
    for (const source of this.#cancelable) source.check();
  }
}
