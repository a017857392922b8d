#!/usr/bin/env node
/** The `errand` command. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { mapCommand } from './map-command.ts';
import { UsageError } from './usage-error.ts';

const WRONG_USAGE = 2;

// Nobody listens to what is said any more: that is no reason to stop working.
process.stderr.on('error', () => {});
process.exitCode = await main(process.argv);

async function main(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command('errand')
    .description('concurrency for the shell')
    .version(version(), '-V, --version')
    .showHelpAfterError('(errand --help says more)')
    .exitOverride()
    .addCommand(
      mapCommand((code) => (exitCode = code))
        .exitOverride()
        .showHelpAfterError('(errand map --help says more)'),
    );
  try {
    await program.parseAsync(args);
    return exitCode;
  } catch (error) {
    // Commander has said it already: help, the version, or what was wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE;
    process.stderr.write(`errand: ${error instanceof UsageError ? error.message : messageOf(error)}\n`);
    return error instanceof UsageError ? WRONG_USAGE : 1;
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message;
}

/** The same two folders up from the source and from what is built of it. */
function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
