/**
 * `queueWithContext`: a utility of one's own, for a code base where every call is given a context, first and never left
 * out, as in Go.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  background,
  type Context,
  type TaskFunction,
  TaskManager,
  type TaskOptions,
  withCancel,
  withTimeout,
} from 'errand';

/**
 * Queues a task for as long as `context` lasts: the task inherits its deadline and values, and is canceled with it,
 * queued or running. A context that has ended queues nothing.
 */
function queueWithContext<R, T>(
  context: Context,
  manager: TaskManager<R>,
  fn: TaskFunction<R, T>,
  options?: Omit<TaskOptions, 'signal'>,
): Promise<Awaited<T>> {
  return manager.queueTask(fn, { ...options, signal: context });
}

await using manager = new TaskManager({ workerCount: 2 });

async function loadPage(context: Context, url: string): Promise<string> {
  return queueWithContext(
    context,
    manager,
    async (ctx) => {
      await sleep(url === '/slow' ? 60_000 : 1, undefined, { signal: ctx.signal });
      return `<h1>${url}</h1>`;
    },
    { key: url },
  );
}

async function main(parent: Context): Promise<void> {
  console.log(await loadPage(parent, '/fast'));

  const [context, cancel] = withTimeout(parent, 20);
  using _ = cancel;
  await loadPage(context, '/slow').catch((error) => console.log(`/slow: ${error.name}`));
  await loadPage(context, '/fast').catch((error) => console.log(`/fast, too late: ${error.name}`));
}

const [root, cancelAll] = withCancel(background());
await main(root);
cancelAll();
await loadPage(root, '/fast').catch((error) => console.log(`/fast, after the end: ${error.name}`));
