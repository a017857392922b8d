/**
 * The function is called in worker threads, each of which has loaded the module and has a resource of its own. A call
 * that doesn't heed its signal is ended with its thread, be it in an endless loop.
 */
import { type CreateContext, type TaskContext, ThreadCrashError } from '../manager/index.ts';
import { type Thread, type ThreadResources, threads } from '../threads/index.ts';
import { FailureElsewhere, messageOf, recordOf } from './failure.ts';
import type { MapModule } from './import-module.ts';
import { unmarked } from './logged.ts';
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
  readonly #threads: ThreadResources<ThreadModule>;

  /** @param path the module's, as the user has named it */
  constructor(module: MapModule, path: string, say: (text: string) => void) {
    this.#module = module;
    this.#path = path;
    this.#threads = threads<ThreadModule>(THREAD, {
      workerData: { module: path } satisfies ThreadData,
      terminateAfterMs: TERMINATE_AFTER_MS,
      // Nothing that is written in a thread gets among the results.
      logger: { info: say, warn: (line) => say(unmarked(line)) },
    });
    this.resources = {
      ...this.#threads,
      onCreate: (context) => this.#create(context),
      onDestroy: (thread) => this.#destroy(thread as MapThread),
      checkHealth: isHealthy,
    };
  }

  async call(input: unknown, _ctx: TaskContext<unknown>, resource: unknown): Promise<string> {
    try {
      const answer = await (resource as MapThread).api.run(input);
      if (typeof answer === 'string') return answer;
      throw new CallFailure(answer);
    } catch (error) {
      throw inPlainWords(error);
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
    try {
      await this.#open(thread, context.signal);
      return thread;
    } catch (error) {
      await this.#threads.onDestroy(thread);
      throw inPlainWords(error);
    }
  }

  /** Has the module's `onCreate` called, and told when nobody wants the resource any more. */
  async #open(thread: MapThread, signal: AbortSignal): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      thread.api.giveUp(messageOf(recordOf(signal.reason))).catch(() => {}); // it may have ended
      timer = setTimeout(() => void this.#threads.onDestroy(thread), TERMINATE_AFTER_MS);
    };
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    try {
      await thread.api.open();
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
      await this.#threads.onDestroy(thread);
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

/** What had not begun when its thread ended runs again, in the next: each task makes one call. */
function isHealthy(error: unknown): boolean {
  if (error instanceof CallFailure) return !error.isBroken;
  return !(error instanceof ThreadCrashError) || error.hasBegun;
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
