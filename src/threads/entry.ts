/**
 * The thread's side: loads the module, and runs its functions for whoever calls. Bundled into a file of its own, as a
 * thread loads it at each start; so it imports as little as can be.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, type Transferable } from 'node:worker_threads';
import { encodeError } from './error-record.ts';
import { Outbox } from './outbox.ts';
import {
  ASKS,
  BEGUN,
  CALL,
  CANCEL,
  CLOSE,
  type ExportRecord,
  FAILURE,
  FROM_HOST,
  ITEM,
  inThread,
  isAhead,
  isFlagged,
  LEAVE,
  LOADED,
  NOT_LOADED,
  nextCall,
  type Order,
  PULL,
  REFUSED,
  type Report,
  type Setup,
  VALUE,
  WINDOW,
} from './protocol.ts';
import { type Inbox, ThreadLookout } from './thread-lookout.ts';

type Fn = (...args: readonly unknown[]) => unknown;
type Run = <T>(what: () => T) => T;
type Iterators = Iterator<unknown> | AsyncIterator<unknown>;

/** A call whose function has not returned yet. */
interface Running {
  readonly context: unknown;
  stream?: Stream;
}

const GENERATORS = new Set(['GeneratorFunction', 'AsyncGeneratorFunction']);

class Entry implements Inbox {
  readonly #outbox: Outbox;
  readonly #port: MessagePort;
  readonly #shared: Int32Array;
  readonly #lookout: ThreadLookout | undefined;
  readonly #functions: ReadonlyMap<string, Fn>;
  readonly #exports: ExportRecord;
  readonly #running = new Map<number, Running>();
  #taken = 0;

  constructor({ port, shared, spins }: Setup, outbox: Outbox, functions: ReadonlyMap<string, Fn>) {
    this.#outbox = outbox;
    this.#port = port;
    this.#shared = shared;
    this.#lookout = spins ? new ThreadLookout(this) : undefined;
    this.#functions = functions;
    this.#exports = exportsOf(functions);
    port.on('message', (order: Order) => {
      this.#lookout?.turned();
      this.#take(order);
      this.#lookout?.look();
    });
    port.on('messageerror', (error) => this.#onUnreadable(error));
    inThread.onApi = () => this.send([ASKS, 0]);
    if (inThread.api !== undefined) inThread.onApi();
    this.send([LOADED, 0, this.#exports]);
  }

  send(report: Report, list?: readonly Transferable[]): void {
    this.#outbox.send(report, list);
  }

  /** Sends what a function has made. @throws when that can't be sent */
  sendMade(kind: typeof VALUE | typeof ITEM, call: number, name: string, value: unknown): void {
    try {
      this.send([kind, call, value], inThread.api?.takeTransferList(value));
    } catch (error) {
      const what = kind === ITEM ? 'yielded' : 'returned';
      const why = error instanceof Error ? error.message : String(error);
      const message = `what ${name} has ${what} can't be sent to its caller: ${why}${adviceFor(value)}`;
      const failure = Object.assign(new Error(message, { cause: error }), { code: 'ERR_NOT_CLONEABLE' });
      failure.name = 'NotCloneableError';
      throw failure;
    }
  }

  #take(order: Order): void {
    this.#taken = (this.#taken + 1) | 0;
    const call = order[1];
    switch (order[0]) {
      case CALL:
        Atomics.store(this.#shared, BEGUN, call);
        this.#begin(order);
        break;
      case CANCEL: {
        const running = this.#running.get(call);
        if (running?.context !== undefined) inThread.api?.cancel(running.context, order[2]);
        running?.stream?.leave();
        break;
      }
      case PULL:
        this.#running.get(call)?.stream?.pull(order[2]);
        break;
      case LEAVE:
        this.#running.get(call)?.stream?.leave();
        break;
      case CLOSE:
        // Listeners of 'exit' are called.
        process.exit();
    }
  }

  #begin([, call, name, args, deadline, id = '', attempt = 1]: Extract<
    Order,
    readonly [typeof CALL, ...unknown[]]
  >): void {
    if (isFlagged(this.#shared, call)) {
      this.send([REFUSED, call]);
      return;
    }
    const fn = this.#functions.get(name)!;
    const { api } = inThread;
    const context = api?.open({ call, shared: this.#shared, deadline, id, attempt });
    let result: unknown;
    try {
      result = api === undefined ? fn(...args) : api.run(context, fn, args);
      if (this.#exports[name] === 'generator') {
        const run: Run = (what) => (api === undefined ? what() : api.run(context, what, []));
        const stream = new Stream(this, call, name, result as Iterators, run);
        this.#running.set(call, { context, stream });
        stream.run().then(
          (value) => this.#end(call, name, value),
          (error: unknown) => this.#endFailed(call, error),
        );
        return;
      }
      if (isThenable(result)) {
        this.#running.set(call, { context });
        Promise.resolve(result).then(
          (value) => this.#end(call, name, value),
          (error: unknown) => this.#endFailed(call, error),
        );
        return;
      }
    } catch (error) {
      this.#fail(call, error);
      return;
    }
    this.#answer(call, name, result);
  }

  #end(call: number, name: string, value: unknown): void {
    this.#running.delete(call);
    this.#answer(call, name, value);
    this.#lookout?.look();
  }

  #endFailed(call: number, error: unknown): void {
    this.#running.delete(call);
    this.#fail(call, error);
    this.#lookout?.look();
  }

  #answer(call: number, name: string, value: unknown): void {
    try {
      this.sendMade(VALUE, call, name, value);
    } catch (error) {
      this.#fail(call, error);
    }
  }

  #fail(call: number, error: unknown): void {
    this.send([FAILURE, call, encodeError(error)]);
  }

  get hasMore(): boolean {
    return isAhead(Atomics.load(this.#shared, FROM_HOST), this.#taken);
  }

  get isFree(): boolean {
    return this.#running.size === 0;
  }

  takeNext(): void {
    const order = this.#receive();
    if (order !== undefined) this.#take(order);
  }

  #receive(): Order | undefined {
    try {
      return receiveMessageOnPort(this.#port)?.message as Order | undefined;
    } catch (error) {
      this.#onUnreadable(error);
    }
  }

  /** A call, as all else is small: too deep for the stack here, for one thing. It would be so on any other thread. */
  #onUnreadable(error: unknown): never {
    Atomics.store(this.#shared, BEGUN, nextCall(Atomics.load(this.#shared, BEGUN)));
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`what it was called with can't be read: ${why}`, { cause: error });
  }
}

/** A generator whose values go to the caller, as many as there is room for. */
class Stream {
  readonly #entry: Entry;
  readonly #call: number;
  readonly #name: string;
  readonly #iterator: Iterators;
  readonly #run: Run;
  #room = WINDOW;
  #isLeft = false;
  #wake: (() => void) | undefined;

  constructor(entry: Entry, call: number, name: string, iterator: Iterators, run: Run) {
    this.#entry = entry;
    this.#call = call;
    this.#name = name;
    this.#iterator = iterator;
    this.#run = run;
  }

  /** To its end, or until the reader leaves. */
  async run(): Promise<unknown> {
    for (;;) {
      if (this.#isLeft) return this.#finish();
      const result = await this.#run(() => this.#iterator.next());
      if (result.done === true) return result.value;
      if (this.#isLeft) return this.#finish();
      try {
        this.#entry.sendMade(ITEM, this.#call, this.#name, result.value);
      } catch (error) {
        await this.#finish();
        throw error;
      }
      this.#room--;
      if (this.#room === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  pull(values: number): void {
    this.#room += values;
    this.#go();
  }

  leave(): void {
    this.#isLeft = true;
    this.#go();
  }

  async #finish(): Promise<void> {
    await this.#run(() => this.#iterator.return?.());
  }

  #go(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function isThenable(value: unknown): boolean {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as PromiseLike<unknown>).then === 'function'
  );
}

function adviceFor(value: unknown): string {
  const isStream =
    typeof value === 'object' && value !== null && typeof (value as Iterator<unknown>).next === 'function';
  return isStream ? '. To stream values, export a generator function: async function* or function*' : '';
}

function exportsOf(functions: ReadonlyMap<string, Fn>): ExportRecord {
  const record: Record<string, 'function' | 'generator'> = {};
  for (const [name, fn] of functions) record[name] = GENERATORS.has(fn.constructor.name) ? 'generator' : 'function';
  return record;
}

/** The functions that a module exports; of a CommonJS one, those of its `module.exports` as well. */
function functionsOf(exported: object): ReadonlyMap<string, Fn> {
  const functions = new Map<string, Fn>();
  const { default: inner } = exported as { readonly default?: unknown };
  for (const from of [typeof inner === 'object' && inner !== null ? inner : {}, exported]) {
    for (const [name, value] of Object.entries(from)) {
      if (typeof value === 'function') functions.set(name, value as Fn);
    }
  }
  return functions;
}

parentPort!.once('message', async (setup: Setup) => {
  const outbox = new Outbox(setup.port, setup.shared);
  outbox.takeOutput();
  try {
    new Entry(setup, outbox, functionsOf((await import(setup.href)) as object));
  } catch (error) {
    outbox.send([NOT_LOADED, 0, encodeError(error)]);
  }
});
