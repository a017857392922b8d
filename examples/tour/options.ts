/** What the tour is told on the command line. */
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const USAGE = `Usage: npm start [-- [DIR] [options]]

Digests and measures every file below DIR (default: this project).

  --workers N    files read at once            (default: ${availableParallelism()}, the number of CPUs)
  --timeout MS   time a file may take          (default: 30000)
  --grace MS     time Ctrl-C leaves what runs  (default: 5000)
  --help         shows this`;

/** Said to the user as it is, without a stack. */
export class UsageError extends Error {}

export interface TourOptions {
  readonly root: string;
  readonly workers: number;
  readonly timeoutMs: number;
  readonly graceMs: number;
}

/** Undefined: help was asked for. Throws UsageError. */
export async function readOptions(args: string[], defaultRoot: string): Promise<TourOptions | undefined> {
  const { values, positionals } = parse(args);
  if (values.help === true) return undefined;
  if (positionals.length > 1) throw new UsageError(`one folder is enough, but there are ${positionals.length}`);
  const root = resolve(positionals[0] ?? defaultRoot);
  let isFolder: boolean;
  try {
    isFolder = (await stat(root)).isDirectory();
  } catch (error) {
    throw new UsageError(`${root} can't be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  if (!isFolder) throw new UsageError(`${root} is not a folder`);
  return {
    root,
    workers: readNumber('workers', values.workers, 1, availableParallelism()),
    timeoutMs: readNumber('timeout', values.timeout, 1, 30_000),
    graceMs: readNumber('grace', values.grace, 0, 5_000),
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        workers: { type: 'string' },
        timeout: { type: 'string' },
        grace: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function readNumber(name: string, text: string | undefined, least: number, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= least) return value;
  throw new UsageError(`--${name} takes a whole number of at least ${least}, not ${JSON.stringify(text)}`);
}
