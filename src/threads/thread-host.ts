/**
 * One worker thread, seen from outside: its calls, and its end.
 *
 * Invariant: a call is in the list from its start until the thread has said that it is over, or has ended. So when the
 * list is empty, none of the module's functions is alive.
 */
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Transferable, Worker } from 'node:worker_threads';
import { messageOf, ThreadCrashError } from '../manager/errors.ts';
import { Calls } from './calls.ts';
import { decodeError } from './decode-error.ts';
import { encodeError } from './error-record.ts';
import { NotCloneableError } from './errors.ts';
import { Awaited, canSpin } from './lookout.ts';
import { Lines } from './output.ts';
import {
  ASKS,
  BEGUN,
  CALL,
  CANCEL,
  CLOSE,
  type ExportRecord,
  FAILURE,
  FROM_HOST,
  FROM_THREAD,
  hasBegun,
  ITEM,
  isAhead,
  LEAVE,
  LOADED,
  lowerFlag,
  NOT_LOADED,
  nextCall,
  type Order,
  OUTPUT,
  PULL,
  REFUSED,
  type Report,
  raiseFlag,
  SHARED_LENGTH,
  STDOUT,
  VALUE,
} from './protocol.ts';
import type { ThreadSettings } from './settings.ts';
import { takeTransferList } from './transfer.ts';

/** Built into one file: `npm run build`, which `npm ci` and the tests do as well. */
const ENTRY = new URL('../../dist/threads/entry.js', import.meta.url);
/** How long an idle thread may take for its 'exit' listeners, and to write what it has to. */
const CLOSE_MS = 500;

/** A call that is under way. */
export abstract class Pending {
  readonly name: string;
  call = 0;
  /** Why it was canceled, if it was. */
  canceled: { readonly reason: unknown } | undefined = undefined;
  timer: NodeJS.Timeout | undefined = undefined;

  constructor(name: string) {
    this.name = name;
  }

  abstract onValue(value: unknown): void;
  abstract onFailure(error: unknown): void;
  onItem(_value: unknown): void {}
  /** It was canceled: what comes of it by that is nobody's fault who doesn't wait for it. */
  abstract onCancel(): void;
}

/** What is sent along with a call about the task that makes it. */
export interface Caller {
  readonly deadline: number | undefined;
  readonly id: string;
  readonly attempt: number;
}

export interface ThreadEvents {
  /** The thread has ended after it had loaded its module, by itself or because it had to: why, if no call hears of it. */
  onEnd(isByItself: boolean, why: string | undefined): void;
  /** It has answered a call. */
  onAnswer(): void;
}

export class ThreadHost extends Awaited {
  /** The module's functions; known once it is loaded. */
  exports: ExportRecord = {};
  readonly threadId: number;
  readonly #settings: ThreadSettings;
  readonly #events: ThreadEvents;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #shared = new Int32Array(new SharedArrayBuffer(4 * SHARED_LENGTH));
  readonly #calls = new Calls<Pending>();
  readonly #stdout: Lines;
  readonly #stderr: Lines;
  readonly #ended: Promise<void>;
  #load: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  /** Whether the module wants to know of each call which task has made it. */
  #asks = false;
  #lastCall = 0;
  #sent = 0;
  #taken = 0;
  /** What an 'error' event has said. */
  #cause: unknown;
  /** Why we have ended it. */
  #why: string | undefined;
  #exitCode: number | undefined;
  #isLoaded = false;
  #hasEnded = false;
  #isClosing = false;

  constructor(settings: ThreadSettings, events: ThreadEvents) {
    super();
    const { href, workerData, resourceLimits, env, execArgv, logger } = settings;
    this.#settings = settings;
    this.#events = events;
    const worker = new Worker(ENTRY, {
      workerData,
      ...(resourceLimits && { resourceLimits }),
      ...(env && { env }),
      ...(execArgv && { execArgv: [...execArgv] }),
    });
    this.#worker = worker;
    this.threadId = worker.threadId;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.on('message', this.#take);
    port1.on('messageerror', this.#onUnreadable);
    port1.unref();
    this.#stdout = new Lines(this.threadId, (line) => logger.info(line));
    this.#stderr = new Lines(this.threadId, (line) => logger.warn(line));
    worker.on('error', (error) => {
      this.#cause = error;
    });
    this.#ended = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#onExit(code);
        resolve();
      });
    });
    worker.postMessage({ port: port2, shared: this.#shared, href, spins: canSpin }, [port2]);
  }

  /** Resolves when the module is loaded. Until then the thread holds the process, after that no more. */
  async loaded(signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#load?.reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#load = { resolve, reject };
        if (signal.aborted) onAbort();
      });
      this.#worker.unref();
    } catch (error) {
      this.#isClosing = true;
      await this.#worker.terminate();
      throw error;
    } finally {
      this.#load = undefined;
      signal.removeEventListener('abort', onAbort);
    }
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Sends a call. @throws what keeps it from being made */
  begin(pending: Pending, args: readonly unknown[], caller: Caller | undefined): void {
    const { name } = pending;
    if (this.#hasEnded) throw this.#crash(pending, false);
    const before = this.#lastCall;
    const call = nextCall(before);
    this.#lastCall = call;
    try {
      let list: Transferable[] | undefined;
      for (const arg of args) {
        const moved = takeTransferList(arg);
        if (moved !== undefined) list = list === undefined ? [...moved] : [...list, ...moved];
      }
      const isTold = this.#asks && caller !== undefined;
      const order: Order = isTold
        ? [CALL, call, name, args, caller.deadline, caller.id, caller.attempt]
        : [CALL, call, name, args];
      this.#send(order, list);
    } catch (error) {
      // No number is left out: the thread counts along.
      if (this.#lastCall === call) this.#lastCall = before;
      throw notCloneable(name, args, error);
    }
    pending.call = call;
    this.#calls.add(pending);
    this.called();
  }

  /** Has a call's context canceled, and its thread terminated if it doesn't return. */
  cancel(pending: Pending, reason: unknown): void {
    if (pending.canceled !== undefined || !this.#calls.has(pending)) return;
    pending.canceled = { reason };
    pending.onCancel();
    raiseFlag(this.#shared, pending.call);
    this.#send([CANCEL, pending.call, encodeError(reason)]);
    this.#limit(pending, 'canceled');
  }

  /** Grants the generator of a stream so many values more. */
  pull(pending: Pending, values: number): void {
    if (this.#calls.has(pending)) this.#send([PULL, pending.call, values]);
  }

  /** Has the generator of a stream ended. */
  leave(pending: Pending): void {
    if (!this.#calls.has(pending)) return;
    this.#send([LEAVE, pending.call]);
    this.#limit(pending, 'left');
  }

  /** Has the thread terminated if a call that was given up doesn't return. That holds the process: somebody may wait. */
  #limit(pending: Pending, what: 'canceled' | 'left'): void {
    if (pending.timer !== undefined) return;
    const { terminateAfterMs } = this.#settings;
    pending.timer = setTimeout(() => {
      // It may have returned in time, while this process was too busy to hear of it.
      this.drain();
      if (!this.#calls.has(pending)) return;
      this.#terminate(
        `${pending.name} was ${what} and has not returned within terminateAfterMs (${terminateAfterMs} ms)`,
      );
    }, terminateAfterMs);
  }

  /** Ends the thread: in peace when it is idle. Resolves when it has ended. */
  async close(): Promise<void> {
    if (this.#hasEnded) return;
    this.#isClosing = true;
    this.#worker.ref(); // somebody waits for it
    if (this.#calls.size > 0) this.#terminate('it was closed');
    else {
      this.#send([CLOSE, 0]);
      const timer = setTimeout(() => this.#terminate('it would not exit'), CLOSE_MS);
      await this.#ended;
      clearTimeout(timer);
    }
    await this.#ended;
  }

  get hasMore(): boolean {
    return isAhead(Atomics.load(this.#shared, FROM_THREAD), this.#taken);
  }

  protected get isBusy(): boolean {
    return this.#calls.size > 0;
  }

  protected drain(): void {
    // No more than that: a function that prints in a loop sends faster than all can be taken.
    const sent = Atomics.load(this.#shared, FROM_THREAD);
    while (isAhead(sent, this.#taken)) {
      const report = this.#receive();
      if (report === undefined) break;
      this.#take(report);
    }
  }

  /** A message that has come, and that no event has told of yet. */
  #receive(): Report | undefined {
    for (;;) {
      try {
        return receiveMessageOnPort(this.#port)?.message as Report | undefined;
      } catch (error) {
        this.#onUnreadable(error);
      }
    }
  }

  /** Nobody knows which call it was about. It was too deep for the stack here, for one thing. */
  readonly #onUnreadable = (error: unknown): void => {
    this.#taken = (this.#taken + 1) | 0;
    this.#cause ??= error;
    this.#terminate(`it has sent what can't be read: ${messageOf(error)}`);
  };

  readonly #take = (report: Report): void => {
    this.#taken = (this.#taken + 1) | 0;
    switch (report[0]) {
      case VALUE: {
        const pending = this.#end(report[1]);
        pending?.onValue(report[2]);
        break;
      }
      case ITEM:
        this.#calls.get(report[1])?.onItem(report[2]);
        break;
      case FAILURE: {
        const pending = this.#end(report[1]);
        pending?.onFailure(decodeError(report[2]));
        break;
      }
      case REFUSED: {
        const pending = this.#end(report[1]);
        pending?.onFailure(pending.canceled?.reason);
        break;
      }
      case ASKS:
        this.#asks = true;
        break;
      case LOADED:
        this.exports = report[2];
        this.#isLoaded = true;
        this.#load?.resolve();
        break;
      case NOT_LOADED:
        this.#load?.reject(this.#notLoaded(decodeError(report[2])));
        break;
      case OUTPUT:
        (report[1] === STDOUT ? this.#stdout : this.#stderr).push(report[2]);
    }
  };

  #end(call: number): Pending | undefined {
    const pending = this.#calls.get(call);
    if (pending === undefined) return undefined;
    this.#calls.delete(pending);
    if (pending.canceled !== undefined) lowerFlag(this.#shared, call);
    if (pending.timer !== undefined) clearTimeout(pending.timer);
    this.answered();
    this.#events.onAnswer();
    return pending;
  }

  #send(order: Order, list?: readonly Transferable[]): void {
    this.#port.postMessage(order, list);
    this.#sent = (this.#sent + 1) | 0;
    Atomics.store(this.#shared, FROM_HOST, this.#sent);
  }

  #terminate(why: string): void {
    if (this.#hasEnded || this.#why !== undefined) return;
    this.#why = why;
    void this.#worker.terminate();
  }

  #onExit(code: number): void {
    // What it has said before its end counts: Node hands on all messages first, but those to a listener by turns.
    for (let report = this.#receive(); report !== undefined; report = this.#receive()) this.#take(report);
    this.#hasEnded = true;
    this.#exitCode = code;
    this.#port.close();
    this.#stdout.end();
    this.#stderr.end();
    const calls = this.#calls.all();
    this.#calls.clear();
    if (!this.#isLoaded) this.#load?.reject(this.#notLoaded(this.#cause));
    else if (!this.#isClosing) {
      this.#events.onEnd(this.#why === undefined, calls.length === 0 ? this.#ending() : undefined);
    }
    for (const pending of calls) {
      if (pending.timer !== undefined) clearTimeout(pending.timer);
      pending.onFailure(this.#crash(pending, hasBegun(pending.call, Atomics.load(this.#shared, BEGUN))));
    }
  }

  /** How it has ended, for people. */
  #ending(): string {
    const cause = this.#cause;
    return (
      this.#why ??
      (cause === undefined ? `it has exited with code ${this.#exitCode}` : `it has crashed: ${messageOf(cause)}`)
    );
  }

  #crash({ name }: Pending, begun: boolean): ThreadCrashError {
    const cause = this.#cause;
    const when = begun ? `under ${name}` : `before ${name} began`;
    return new ThreadCrashError(`thread ${this.threadId} ended ${when}: ${this.#ending()}`, {
      exitCode: this.#exitCode,
      hasBegun: begun,
      ...(cause !== undefined && { cause }),
    });
  }

  #notLoaded(cause: unknown): ThreadCrashError {
    const { href } = this.#settings;
    const exitCode = this.#exitCode;
    const why = cause === undefined ? `it has exited with code ${exitCode}` : messageOf(cause);
    return new ThreadCrashError(`the module ${href} could not be loaded in a thread: ${why}${adviceOn(href, cause)}`, {
      exitCode,
      hasBegun: false,
      ...(cause !== undefined && { cause }),
    });
  }
}

function notCloneable(name: string, args: readonly unknown[], error: unknown): NotCloneableError {
  const index = args.findIndex((arg) => {
    try {
      structuredClone(arg);
      return false;
    } catch {
      return true;
    }
  });
  const which = index === -1 ? 'its arguments' : `argument ${index + 1}`;
  return new NotCloneableError(
    `${name} can't be called in a thread: ${which} can't be sent to it: ${messageOf(error)}`,
    {
      cause: error,
    },
  );
}

function adviceOn(href: string, cause: unknown): string {
  if (cause instanceof Error && cause.message.includes(fileURLToPath(ENTRY))) {
    return ". That file is errand's own: when you bundle your program, keep errand external";
  }
  if ((cause as NodeJS.ErrnoException | undefined)?.code !== 'ERR_UNKNOWN_FILE_EXTENSION') return '';
  if (!/\.[mc]?tsx?$/.test(href)) return '';
  return `. Node ${process.versions.node} runs no TypeScript in threads: compile the module, load it by tsx (execArgv: ['--import', './register.js'], a file that calls register() of tsx/esm/api), or use Node 22.18 or later`;
}
