/**
 * The function is called in worker threads, each of which has loaded the module and has a resource of its own. A call
 * that doesn't heed its signal is ended with its thread, be it in an endless loop.
 *
 * Invariant: what a call has logged is said before the call is over.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type CreateContext, type TaskContext, ThreadCrashError } from '../manager/index.ts';
import { type Thread, type ThreadResources, threads, transfer } from '../threads/index.ts';
import { FailureElsewhere, messageOf, recordOf } from './failure.ts';
import type { MapModule } from './import-module.ts';
import type { ThreadData, ThreadFailure } from './map-thread.ts';
import { UsageError } from './usage-error.ts';
import type { Work } from './work.ts';

type ThreadModule = typeof import('./map-thread.ts');
type MapThread = Thread<ThreadModule>;

/** Built, as threads of Node 20 load no TypeScript. The same two folders up from the source and from the command. */
const THREAD = new URL('../../dist/cli/map-thread.js', import.meta.url);
/** How long a function may go on after its signal has fired. */
const TERMINATE_AFTER_MS = 1_000;

/** What the function has thrown, and whether the resource is to blame. */
class CallFailure extends FailureElsewhere {
  readonly isBroken: boolean;

  constructor({ failure, isBroken }: ThreadFailure) {
    super(failure);
    this.isBroken = isBroken;
  }
}

export class WorkInThreads implements Work {
  readonly resources: Work['resources'];
  readonly #module: MapModule;
  readonly #path: string;
  readonly #say: (text: string) => void;
  readonly #threads: ThreadResources<ThreadModule>;
  /** Where the `log` of each arrives. */
  readonly #logs = new Map<number, MessagePort>();

  /** @param path the module's, as the user has named it */
  constructor(module: MapModule, path: string, say: (text: string) => void) {
    this.#module = module;
    this.#path = path;
    this.#say = say;
    this.#threads = threads<ThreadModule>(THREAD, {
      workerData: { module: path } satisfies ThreadData,
      terminateAfterMs: TERMINATE_AFTER_MS,
      // Nothing that is written in a thread gets among the results.
      logger: { info: say, warn: say },
    });
    this.resources = {
      ...this.#threads,
      onCreate: (context) => this.#create(context),
      onDestroy: (thread) => this.#destroy(thread as MapThread),
      checkHealth: (error) => (error instanceof CallFailure ? !error.isBroken : this.#threads.checkHealth(error)),
    };
  }

  async call(input: unknown, _ctx: TaskContext<unknown>, resource: unknown): Promise<string> {
    const thread = resource as MapThread;
    const log = this.#logs.get(thread.threadId)!;
    try {
      const answer = await thread.api.run(input);
      if (typeof answer === 'string') return answer;
      throw new CallFailure(answer);
    } catch (error) {
      throw inPlainWords(error);
    } finally {
      this.#hear(log);
    }
  }

  /** It has become that already, where it was made. */
  jsonOf(value: unknown): string {
    return value as string;
  }

  async #create(context: CreateContext): Promise<MapThread> {
    const thread = await this.#threads.onCreate(context).catch((error: unknown) => {
      throw this.#notLoaded(error);
    });
    const { port1, port2 } = new MessageChannel();
    this.#logs.set(thread.threadId, port1);
    port1.on('message', this.#say).unref();
    try {
      await this.#open(thread, port2, context.signal);
      return thread;
    } catch (error) {
      await this.#end(thread);
      throw inPlainWords(error);
    }
  }

  /** Has the module's `onCreate` called, and told when nobody wants the resource any more. */
  async #open(thread: MapThread, port: MessagePort, signal: AbortSignal): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      thread.api.giveUp(messageOf(recordOf(signal.reason))).catch(() => {}); // it may have ended
      timer = setTimeout(() => void this.#threads.onDestroy(thread), TERMINATE_AFTER_MS);
    };
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    try {
      await thread.api.open(transfer(port, [port]));
    } finally {
      signal.removeEventListener('abort', onAbort);
      clearTimeout(timer);
    }
  }

  async #destroy(thread: MapThread): Promise<void> {
    try {
      if (this.#module.onDestroy !== undefined) await thread.api.close();
    } catch (error) {
      // Of a thread that ended before, all has been told.
      if (!(error instanceof ThreadCrashError) || error.hasBegun) throw inPlainWords(error);
    } finally {
      await this.#end(thread);
    }
  }

  async #end(thread: MapThread): Promise<void> {
    await this.#threads.onDestroy(thread);
    const log = this.#logs.get(thread.threadId)!;
    this.#logs.delete(thread.threadId);
    this.#hear(log);
    log.close();
  }

  /** Says what has been logged so far: another port than that of the answers may lag behind it. */
  #hear(log: MessagePort): void {
    for (let it = receiveMessageOnPort(log); it !== undefined; it = receiveMessageOnPort(log)) {
      this.#say(it.message as string);
    }
  }

  /** That it can't be loaded won't change; that a thread has crashed over it may. */
  #notLoaded(error: unknown): unknown {
    if (!(error instanceof ThreadCrashError)) return error;
    const { cause } = error;
    if (cause instanceof Error && cause.name === UsageError.name) return new UsageError(cause.message);
    return new Error(`the module ${this.#path} failed to load in a thread: it ${howItEnded(error)}`, { cause });
  }
}

/** How a thread has ended, for those who know nothing of what happens in here; any other error as it is. */
function inPlainWords(error: unknown): unknown {
  if (!(error instanceof ThreadCrashError)) return error;
  const { cause, exitCode, hasBegun } = error;
  return new ThreadCrashError(`its thread ${howItEnded(error)}`, { cause, exitCode, hasBegun });
}

function howItEnded({ cause, exitCode }: ThreadCrashError): string {
  return cause === undefined ? `has exited with code ${exitCode}` : `has crashed: ${messageOf(recordOf(cause))}`;
}
