/**
 * `npm start [-- DIR]`: digests and measures every file of a tree on a TaskManager.
 *
 * What it shows of errand: workers that each own a resource (a buffer to read into), small files first by priority,
 * folders that take turns by key, a timeout a file, a queue whose bound holds the walk back instead of filling the
 * memory, Ctrl-C as a clean end and twice as a quick one, and the figures a manager keeps.
 */
import { constants } from 'node:os';
import { join } from 'node:path';
import { TaskManager } from 'errand';
import { BUFFER_BYTES, measureFile } from './tour/measure.ts';
import { readOptions, type TourOptions, USAGE, UsageError } from './tour/options.ts';
import { Progress } from './tour/progress.ts';
import { writeReport } from './tour/report.ts';
import { Tally } from './tour/tally.ts';
import { type FoundFile, walk } from './tour/walk.ts';

const QUEUE_SIZE = 1_000;
const PROJECT = join(import.meta.dirname, '..');

/** Ctrl-C may come twice for one press: from the terminal, and once more from npm, which hands it on. */
const SAME_PRESS_MS = 200;

async function tour({ root, workers, timeoutMs, graceMs }: TourOptions): Promise<number> {
  const tally = new Tally();
  const manager = new TaskManager({
    workerCount: workers,
    onCreate: () => Buffer.allocUnsafe(BUFFER_BYTES),
    maxQueueSize: QUEUE_SIZE,
    overflow: 'wait',
    timeoutMs,
  });
  const progress = new Progress(process.stderr, () => ({ tally, stats: manager.stats() }));
  const walking = new AbortController();
  const interruption = onInterrupt((times) => {
    if (times === 1) {
      const { runningTasks, queuedTasks } = manager.stats();
      progress.say(`Stopping: ${runningTasks} may finish, ${queuedTasks} waiting canceled. Ctrl-C again ends at once.`);
      walking.abort();
      manager.clear('interrupted');
      void manager.stop({ graceMs, timeoutMs: graceMs + 5_000 });
    } else {
      progress.say('Ending at once.');
      void manager.kill('interrupted twice');
    }
  });

  try {
    const found = walk(root, walking.signal, {
      onFolder: () => tally.folders++,
      onFolderSkipped: () => tally.foldersSkipped++,
      onOther: () => tally.others++,
      onFailure: (path, error) => tally.unreadable(path, error),
    });
    for await (const file of found) if (!(await submit(manager, root, file, tally))) break;
    await manager.onIdle();
    await manager.stop();
  } finally {
    progress.end();
    interruption.forget();
  }
  const { signal } = interruption;
  writeReport(process.stdout, {
    root,
    tally,
    metrics: manager.metrics(),
    interrupted: signal && `early, by ${signal}${manager.stats().state === 'killed' ? ', killed' : ''}`,
  });
  if (signal !== undefined) return 128 + constants.signals[signal];
  return tally.problems > 0 ? 1 : 0;
}

/** Resolves when the file has a place in the queue: that is what holds the walk back. False: no more are taken. */
async function submit(manager: TaskManager<Buffer>, root: string, file: FoundFile, tally: Tally): Promise<boolean> {
  const { path, folder, bytes } = file;
  const handle = manager.queueTaskAsync(
    ({ signal }, buffer) => {
      tally.current = path;
      return measureFile(join(root, path), buffer, signal, (read) => {
        tally.bytesRead += read;
      });
    },
    // Small files first, by powers of two: a level for every size would be a level for every file.
    { priority: -Math.ceil(Math.log2(bytes + 1)), key: folder },
  );
  handle.result.then(
    (measured) => tally.measured(path, measured),
    (error: unknown) => {
      if (handle.state !== 'rejected') tally.ended(path, handle.state, error);
    },
  );
  return handle.admitted.then(
    () => true,
    () => false,
  );
}

interface Interruption {
  /** The signal that came first, if one came. */
  readonly signal: 'SIGINT' | 'SIGTERM' | undefined;
  forget(): void;
}

/** `manager.stopOnSignals()` does this for programs that aren't run by npm and have nothing to say about it. */
function onInterrupt(listener: (times: number) => void): Interruption {
  let first: 'SIGINT' | 'SIGTERM' | undefined;
  let times = 0;
  let last = Number.NEGATIVE_INFINITY;
  const onSignal = (signal: NodeJS.Signals): void => {
    const isSame = performance.now() - last < SAME_PRESS_MS;
    last = performance.now();
    if (isSame) return;
    first ??= signal as 'SIGINT' | 'SIGTERM';
    listener(++times);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    get signal() {
      return first;
    },
    forget() {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

// Whoever reads our output may leave: `npm start | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
try {
  const options = await readOptions(process.argv.slice(2), PROJECT);
  if (options === undefined) console.log(USAGE);
  else process.exitCode = await tour(options);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
}
