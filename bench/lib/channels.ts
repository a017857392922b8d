/** Channels of numbers: errand's, those of its peers, and the floor, made alike so that one loop can measure them all. */
import { channel } from '@thi.ng/csp';
import { Channel as AsyncChannel } from 'async-channel';
import { Channel } from '../../src/go/index.ts';

/** A channel. What a receive gives stays as its library has it, for to unwrap it in a promise would cost one more. */
export interface Line {
  send(value: number): Promise<unknown>;
  receive(): Promise<unknown>;
  /** The value of what was received. */
  read(received: unknown): number;
  /** What `for await` loops over, until the close. */
  readonly values: AsyncIterable<number>;
  close(): void;
}

/** How to make one of each kind. effect's Queue isn't among them: its loops are fibers, and so its own. */
export const LINES: readonly (readonly [name: string, create: (capacity: number) => Line])[] = [
  ['errand', (capacity) => new ErrandLine(capacity)],
  ['floor', (capacity) => new Floor(capacity)],
  ['@thi.ng/csp', (capacity) => new ThingLine(capacity)],
  ['async-channel', (capacity) => new AsyncChannelLine(capacity)],
];

/**
 * The least that lets two loops hand over, each of which awaits what it does: one promise for each value, by which
 * waits whoever comes first. There is one place for a loop that waits at either end, where a channel has a line; there
 * is no signal, no select, and nothing that lets timers live.
 */
class Floor implements Line, AsyncIterator<number> {
  readonly values: AsyncIterable<number> = { [Symbol.asyncIterator]: () => this };
  readonly #capacity: number;
  readonly #buffer: number[] = [];
  /** Of the one who waits to receive: by `receive`, or by `next`. */
  #receiver: ((value: number) => void) | undefined;
  #reader: ((result: IteratorResult<number>) => void) | undefined;
  #sender: (() => void) | undefined;
  #sent = 0;
  #closed = false;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  send(value: number): Promise<void> {
    const receiver = this.#receiver;
    const reader = this.#reader;
    if (receiver !== undefined) {
      this.#receiver = undefined;
      receiver(value);
      return DONE;
    }
    if (reader !== undefined) {
      this.#reader = undefined;
      reader({ value, done: false });
      return DONE;
    }
    if (this.#buffer.length < this.#capacity) {
      this.#buffer.push(value);
      return DONE;
    }
    this.#sent = value;
    return new Promise((resolve) => {
      this.#sender = resolve;
    });
  }

  receive(): Promise<number> {
    if (this.#hasValue()) return Promise.resolve(this.#take());
    return new Promise((resolve) => {
      this.#receiver = resolve;
    });
  }

  next(): Promise<IteratorResult<number>> {
    if (this.#hasValue()) return Promise.resolve({ value: this.#take(), done: false });
    if (this.#closed) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => {
      this.#reader = resolve;
    });
  }

  read(received: number): number {
    return received;
  }

  close(): void {
    this.#closed = true;
    this.#reader?.({ value: undefined, done: true });
  }

  #hasValue(): boolean {
    return this.#buffer.length > 0 || this.#sender !== undefined;
  }

  #take(): number {
    const sender = this.#sender;
    const value = this.#buffer.shift() ?? this.#sent;
    if (sender !== undefined) {
      this.#sender = undefined;
      if (this.#capacity > 0) this.#buffer.push(this.#sent);
      sender();
    }
    return value;
  }
}

const DONE: Promise<void> = Promise.resolve();

class ErrandLine implements Line {
  readonly values: Channel<number>;

  constructor(capacity: number) {
    this.values = new Channel(capacity);
  }

  send(value: number): Promise<void> {
    return this.values.send(value);
  }

  receive(): ReturnType<Channel<number>['receive']> {
    return this.values.receive();
  }

  read({ value }: { readonly value: number | undefined }): number {
    return value ?? Number.NaN;
  }

  close(): void {
    this.values.close();
  }
}

/** A write is told when the value is read, with a buffer too, so that only who doesn't await it ever fills one. */
class ThingLine implements Line {
  readonly values: ReturnType<typeof channel<number>>;

  constructor(capacity: number) {
    this.values = channel<number>(Math.max(1, capacity));
  }

  send(value: number): Promise<boolean> {
    return this.values.write(value);
  }

  receive(): Promise<number | undefined> {
    return this.values.read();
  }

  read(received: number | undefined): number {
    return received ?? Number.NaN;
  }

  close(): void {
    this.values.close();
  }
}

class AsyncChannelLine implements Line {
  readonly values: AsyncChannel<number>;

  constructor(capacity: number) {
    this.values = new AsyncChannel(capacity);
  }

  send(value: number): Promise<void> {
    return this.values.push(value);
  }

  receive(): Promise<number> {
    return this.values.get();
  }

  read(received: number): number {
    return received;
  }

  close(): void {
    this.values.close();
  }
}

/** That each of the values 0, 1, ... has come through once. */
export function checkSum(sum: number, values: number): void {
  if (sum !== (values * (values - 1)) / 2) throw new Error(`the sum of ${values} values is ${sum}`);
}
