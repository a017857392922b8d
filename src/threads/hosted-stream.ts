/** The values of a generator in a thread, read here: as many are on their way as the window holds. */
import type { BoundThread } from './bound-thread.ts';
import { WINDOW } from './protocol.ts';
import { Pending } from './thread-host.ts';

/** Who waits for a value, or for the end. */
class Reader {
  readonly promise: Promise<IteratorResult<unknown, unknown>>;
  resolve!: (result: IteratorResult<unknown, unknown>) => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** The reader grants more values by so many at a time. */
const GRANT = WINDOW / 2;

export class HostedStream extends Pending implements AsyncIterableIterator<unknown, unknown, undefined> {
  readonly #thread: BoundThread;
  #args: readonly unknown[] | undefined;
  readonly #values: unknown[] = [];
  readonly #readers: Reader[] = [];
  #read = 0;
  #isLeft = false;
  #end: { readonly value: unknown } | { readonly error: unknown } | undefined = undefined;
  /** Of `return()`: resolved when the generator has ended. */
  #leavers: Reader[] = [];

  constructor(thread: BoundThread, name: string, args: readonly unknown[]) {
    super(name);
    this.#thread = thread;
    this.#args = args;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<unknown, unknown>> {
    if (this.#args !== undefined) this.#begin(this.#args);
    const reader = new Reader();
    this.#readers.push(reader);
    this.#serve();
    return reader.promise;
  }

  return(): Promise<IteratorResult<unknown, unknown>> {
    this.#values.length = 0;
    const isUnderWay = this.#args === undefined && this.#end === undefined;
    if (!isUnderWay) {
      this.#args = undefined;
      this.#end = { value: undefined };
      this.#serve();
      return Promise.resolve({ done: true, value: undefined });
    }
    const leaver = new Reader();
    this.#leavers.push(leaver);
    if (!this.#isLeft) this.#thread.host.leave(this);
    this.#isLeft = true;
    return leaver.promise;
  }

  /** That a canceled generator has returned doesn't mean that it had come to its end. Who has left asks for no more. */
  onValue(value: unknown): void {
    this.#over(this.canceled === undefined || this.#isLeft ? { value } : { error: this.canceled.reason });
  }

  onFailure(error: unknown): void {
    this.#over({ error });
  }

  onCancel(): void {
    for (const { promise } of [...this.#readers, ...this.#leavers]) promise.catch(() => {});
  }

  override onItem(value: unknown): void {
    if (this.#isLeft) return;
    this.#values.push(value);
    this.#serve();
  }

  #begin(args: readonly unknown[]): void {
    this.#args = undefined;
    try {
      this.#thread.begin(this, args);
    } catch (error) {
      this.#end = { error };
    }
  }

  #over(end: { readonly value: unknown } | { readonly error: unknown }): void {
    this.#thread.ended(this, 'error' in end ? end.error : undefined);
    this.#end = end;
    const leavers = this.#leavers;
    this.#leavers = [];
    if (leavers.length > 0) this.#end = { value: undefined };
    for (const { resolve, reject } of leavers) {
      if ('error' in end) reject(end.error);
      else resolve({ done: true, value: undefined });
    }
    this.#serve();
  }

  #serve(): void {
    while (this.#readers.length > 0) {
      if (this.#values.length > 0) {
        this.#readers.shift()!.resolve({ done: false, value: this.#values.shift() });
        this.#read++;
        if (this.#read % GRANT === 0) this.#thread.host.pull(this, GRANT);
        continue;
      }
      const end = this.#end;
      if (end === undefined) return;
      // Told once; after that the stream is over.
      this.#end = { value: undefined };
      const reader = this.#readers.shift()!;
      if ('error' in end) reader.reject(end.error);
      else reader.resolve({ done: true, value: end.value });
    }
  }
}
