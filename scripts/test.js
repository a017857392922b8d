// Runs the tests under node:test. Node 20 has no globs for `--test`, so the files are found here.
//   node scripts/test.js [part of a path ...] [--flags for node]
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
const parts = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const files = readdirSync('test', { recursive: true })
  .map((name) => join('test', String(name)))
  .filter((name) => name.endsWith('.test.ts') && (parts.length === 0 || parts.some((part) => name.includes(part))))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${parts.join(' ')}`);
  process.exit(1);
}
// Modules that run in threads import what is built, threads start from a bundle, and compiled tests load in half the time.
rmSync('.test', { recursive: true, force: true });
const commands = [
  ['npm', 'run', 'build', '--silent'],
  [process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'test'],
  [process.execPath, 'scripts/build-thread.js', '.test/dist'],
];
for (const [command, ...rest] of commands) {
  const shell = command === 'npm' && process.platform === 'win32';
  const { status } = spawnSync(command, rest, { stdio: 'inherit', shell });
  if (status !== 0) process.exit(status ?? 1);
}
const compiled = files.map((name) => join('.test', name.replace(/ts$/, 'js')));
// One for each processor, where node would leave one idle.
const limits = [`--test-concurrency=${availableParallelism()}`, '--test-timeout=60000'];
// To have lines of the sources in all errors' stacks costs a fifth: it is for who looks at a few files.
const lines = parts.length > 0 ? ['--enable-source-maps'] : [];
const child = spawn(process.execPath, [...lines, '--test', ...limits, ...flags, ...compiled], {
  stdio: 'inherit',
});
child.on('exit', (code) => process.exit(code ?? 1));
