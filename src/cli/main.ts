#!/usr/bin/env node
/** The `errand` command. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { messageOf, recordOf } from './failure.ts';
import { mapCommand } from './map-command.ts';
import { printable } from './text.ts';
import { UsageError } from './usage-error.ts';

const WRONG_USAGE = 2;

/** How the process ends. */
interface End {
  readonly exitCode: number;
  /** Whether something may be left that would keep it up: of the user's module, or a read from a pipe. */
  readonly isAtOnce: boolean;
}

const outputs = [process.stdout, process.stderr];
// Nobody listens to what is said any more: that is no reason to stop working. Who writes results looks for himself.
for (const output of outputs) output.on('error', () => {});
const { exitCode, isAtOnce } = await main(process.argv);
process.exitCode = exitCode;
if (isAtOnce) {
  await Promise.all(outputs.map((output) => new Promise((written) => output.write('', written))));
  process.exit();
}

async function main(args: readonly string[]): Promise<End> {
  let end: End = { exitCode: 0, isAtOnce: false };
  const program = new Command('errand')
    .description('concurrency for the shell')
    .version(version(), '-V, --version')
    .showHelpAfterError('(errand --help says more)')
    .exitOverride()
    .addCommand(
      mapCommand((exitCode, isAtOnce) => {
        end = { exitCode, isAtOnce };
      })
        .exitOverride()
        .showHelpAfterError('(errand map --help says more)'),
    );
  try {
    await program.parseAsync(args);
    return end;
  } catch (error) {
    // Commander has said it already: help, the version, or what was wrong.
    if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : WRONG_USAGE, isAtOnce: false };
    const isUsage = error instanceof UsageError;
    process.stderr.write(`errand: ${printable(isUsage ? error.message : messageOf(recordOf(error)))}\n`);
    return { exitCode: isUsage ? WRONG_USAGE : 1, isAtOnce: true };
  }
}

/** The same two folders up from the source and from what is built of it. */
function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
