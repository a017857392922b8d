/** `errand map`: its flags, and how its parts are put together. */
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { sayByConsole } from './console.ts';
import { openInputs } from './inputs.ts';
import { onInterrupt } from './interrupt.ts';
import { Journal } from './journal.ts';
import { loadMapModule } from './map-module.ts';
import { MapRun } from './map-run.ts';
import { Output, ReaderGoneError } from './output.ts';
import { Progress } from './progress.ts';
import { report } from './report.ts';
import { refuseSameFile } from './same-file.ts';
import { Tally } from './tally.ts';
import { printable } from './text.ts';
import { UsageError } from './usage-error.ts';
import { parseCount, parseDuration, parseRate, type Rate } from './values.ts';
import { WorkHere } from './work-here.ts';
import { WorkInThreads } from './work-in-threads.ts';

/** What a second Ctrl-C leaves for resources to be destroyed and for outcomes to be written. */
const KILL_MS = 3_000;

interface Flags {
  readonly from?: string;
  readonly json?: true;
  readonly concurrency: number;
  readonly threads?: true;
  readonly timeout?: number;
  readonly retries: number;
  readonly rate?: Rate;
  readonly ordered?: true;
  readonly out?: string;
  readonly errors?: string;
  readonly journal?: string;
  readonly replay?: true;
  readonly failFast?: true;
  readonly quiet?: true;
}

const EXAMPLES = `
The module's default export is the function; it may also export onCreate, onDestroy, checkHealth, priority(input) and
key(input), as a TaskManager and its tasks take them. All calls share one thread, which does for work that waits. For
work that computes there is --threads: it uses all processors, and its --timeout and Ctrl-C end endless loops, too.

  // size.mjs
  import { stat } from 'node:fs/promises';
  export default async (path, { signal, attempt, log }) => (await stat(path)).size;

Examples:
  errand map size.mjs 'src/**/*.ts' > sizes.ndjson
  cat urls.txt | errand map fetch.mjs --from - --concurrency 20 --timeout 5s --retries 3 --rate 10/s
  errand map hash.mjs 'photos/**' --threads --timeout 1m > hashes.ndjson
  errand map import.mjs --from rows.ndjson --json --journal rows.journal    (again after a crash: goes on)

Exit codes: 0 all done, 1 some failed, 2 wrong usage, 130 interrupted.`;

/** Is told the exit code, and whether functions or reads may be left that would keep the process up. */
export type Done = (exitCode: number, isAtOnce: boolean) => void;

/** The command. */
export function mapCommand(done: Done): Command {
  return new Command('map')
    .description('run the function of a JavaScript module over inputs, in parallel')
    .argument('<module>', 'a file whose default export is (input, { signal, attempt, log }, resource) => value')
    .argument('[inputs...]', 'inputs, or globs of files (quote them)')
    .option('--from <file>', 'take the lines of a file as inputs; - is stdin')
    .option('--json', 'inputs are JSON, one to a line')
    .option(
      '--concurrency <n>',
      'how many run at once',
      flag((text) => parseCount('--concurrency', text, 1)),
      availableParallelism(),
    )
    .option('--threads', 'run in worker threads: on all processors, and a timeout ends even an endless loop')
    .option(
      '--timeout <time>',
      'a limit for each run, such as 500ms or 5s; a run that exceeds it is not repeated',
      flag((text) => parseDuration('--timeout', text)),
    )
    .option(
      '--retries <n>',
      'run a failed input again, up to n times, with growing pauses',
      flag((text) => parseCount('--retries', text, 0)),
      0,
    )
    .option(
      '--rate <rate>',
      'begin at most so many, such as 10/s or 100/m',
      flag((text) => parseRate('--rate', text)),
    )
    .option('--ordered', 'print results in the order of the inputs')
    .option('--out <file>', 'write results to a file instead of stdout')
    .option('--errors <file>', 'write failures to a file, as JSON lines')
    .option('--journal <file>', 'keep outcomes in a file, and skip those it holds already')
    .option('--replay', 'print the outcomes that the journal holds as well')
    .option('--fail-fast', 'end with the first failure')
    .option('--quiet', 'show no progress and no report')
    .addHelpText('after', EXAMPLES)
    .action(async (module: string, inputs: string[], flags: Flags) => map(module, inputs, flags, done));
}

/** Has a flag's value checked with the command line, so that commander says which flag it was. */
function flag<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof UsageError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

async function map(modulePath: string, words: readonly string[], flags: Flags, done: Done): Promise<void> {
  const {
    retries,
    threads = false,
    ordered = false,
    failFast = false,
    replay = false,
    quiet = false,
    json = false,
  } = flags;
  if (replay && flags.journal === undefined)
    throw new UsageError('--replay prints what a journal holds: name it with --journal');
  let say = (text: string): void => void process.stderr.write(`${printable(text)}\n`);
  sayByConsole((text) => say(text));
  const module = await loadMapModule(modulePath);
  const inputs = await openInputs({ words, from: flags.from, json });
  await refuseSameFile({
    'the module': modulePath,
    '--from': flags.from === '-' ? undefined : flags.from,
    '--out': flags.out,
    '--errors': flags.errors,
    '--journal': flags.journal,
  });
  const journal =
    flags.journal === undefined
      ? undefined
      : await Journal.open(flags.journal, {
          module: modulePath,
          digest: module.digest,
          json,
          timeoutMs: flags.timeout ?? null,
          retries,
        });
  // What earlier runs have written stays, unless it is written again.
  const append = journal?.isResumed === true && !replay;
  const results = flags.out === undefined ? Output.stdout() : await Output.file('--out', flags.out, append);
  const errors = flags.errors === undefined ? undefined : await Output.file('--errors', flags.errors, append);

  const tally = new Tally();
  const progress = new Progress(process.stderr, tally, { quiet });
  say = (text) => progress.say(text);
  if (flags.out === undefined && process.stdout.isTTY) results.around = (write) => progress.around(write);
  const work = threads ? new WorkInThreads(module, modulePath, say) : new WorkHere(module, say);
  // Nor are resources made for which there will be no input.
  const concurrency = Math.max(1, Math.min(flags.concurrency, inputs.total ?? Number.POSITIVE_INFINITY));
  const run = new MapRun(
    { module, work, inputs, journal, results, errors, tally, say },
    { concurrency, timeoutMs: flags.timeout, retries, rate: flags.rate, ordered, failFast, replay },
  );
  const interrupt = onInterrupt((times) => {
    if (times === 1) {
      say('Stopping: what runs may come to its end. Ctrl-C again ends it at once.');
      run.stop();
    } else {
      run.kill();
      // Nor a reader that doesn't read, nor a hook that never ends may hold it up.
      setTimeout(() => process.exit(interrupt.exitCode), KILL_MS).unref();
    }
  });
  let failure: { readonly error: unknown } | undefined;
  try {
    await run.run();
  } catch (error) {
    failure = { error };
  } finally {
    progress.end();
    interrupt.forget();
    await journal?.close();
    if (flags.from === '-') process.stdin.destroy(); // else a terminal or a pipe would keep the process up
  }
  const isInterrupted = interrupt.exitCode !== undefined;
  const isReaderGone = failure?.error instanceof ReaderGoneError;
  if (!quiet && !isReaderGone) process.stderr.write(report(tally, { interrupted: isInterrupted }));
  if (failure !== undefined && !isReaderGone) throw failure.error;
  const exitCode = isReaderGone || tally.failed === 0 ? 0 : 1;
  done(interrupt.exitCode ?? exitCode, run.hasStrays || isInterrupted);
}
