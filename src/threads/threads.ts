/** `threads()`: worker threads as the resources of a TaskManager. */
import { lendResource } from '../manager/lend.ts';
import type { CreateContext } from '../manager/types.ts';
import { asThread, BoundThread, harmless } from './bound-thread.ts';
import { Deaths } from './deaths.ts';
import type { LineLogger } from './output.ts';
import { checkThreadsOptions } from './settings.ts';
import { ThreadHost } from './thread-host.ts';
import type { AnyModule, Thread, ThreadModule, ThreadsOptions } from './types.ts';

/** The options of a TaskManager whose resources are threads. */
export interface ThreadResources<M extends ThreadModule> {
  /** Starts a thread, and resolves when it has loaded the module. */
  readonly onCreate: (context: CreateContext) => Promise<Thread<M>>;
  /** Ends a thread, and resolves when it has ended. */
  readonly onDestroy: (thread: Thread<M>) => Promise<void>;
  /** False when the thread has died before any call of the task had begun: it is run again, on another thread. */
  readonly checkHealth: (error: unknown) => boolean;
}

/**
 * Worker threads as the resources of a TaskManager: each worker owns a thread that has loaded `module`, and tasks call
 * the functions that it exports. For work that keeps a processor busy, of which the event loop can do one at a time.
 *
 * A call is canceled with its task: its context ({@link currentContext}) is, and {@link isCancelled} says so. A function
 * that heeds neither is terminated with its thread after `terminateAfterMs`, so that a timeout ends an endless loop. A
 * thread that dies is replaced: at once, and with growing pauses when threads die one after the other. Its task fails
 * with a ThreadCrashError; one of which no call had begun runs again by itself.
 *
 * @param module the module's URL, or its absolute path
 * @throws TypeError or RangeError when an option is wrong
 * @example
 * const manager = new TaskManager({
 *   ...threads<typeof import('./work.js')>(new URL('./work.js', import.meta.url)),
 *   workerCount: 4,
 * });
 * const digest = await manager.queueTask((ctx, thread) => thread.api.hash(password), { timeoutMs: 5_000 });
 */
export function threads<M extends ThreadModule = AnyModule>(
  module: URL | string,
  options: ThreadsOptions = {},
): ThreadResources<M> {
  const settings = checkThreadsOptions(module, options);
  const deaths = new Deaths();
  const resources: ThreadResources<M> & { readonly [lendResource]: (thread: unknown, context: never) => unknown } = {
    async onCreate({ signal, retire }) {
      await deaths.pause(signal);
      const host = new ThreadHost(settings, {
        onEnd(isByItself, why) {
          if (isByItself) deaths.add();
          if (why !== undefined) warn(settings.logger, `[thread ${host.threadId}] ended while idle: ${why}`);
          retire();
        },
        onAnswer: () => deaths.clear(),
      });
      await host.loaded(signal);
      return asThread<M>(new BoundThread(host, undefined));
    },
    onDestroy: (thread) => (thread as unknown as BoundThread).host.close(),
    checkHealth: (error) => !harmless.has(error as object),
    [lendResource]: (thread, context) => new BoundThread((thread as BoundThread).host, context),
  };
  return resources;
}

function warn(logger: LineLogger, line: string): void {
  try {
    logger.warn(line);
  } catch {
    // A logger's fault is nobody's here.
  }
}
