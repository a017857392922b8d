/** Programs of this repository as child processes, for tests: what they print, how they end, and signals in between. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';

/** Where the package is: the tests run as they are, or compiled, in a folder below. */
export const ROOT = rootAbove(import.meta.dirname);

function rootAbove(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : rootAbove(dirname(folder));
}

export interface RunOptions {
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Who runs it, where the test may choose. */
  readonly uid?: number;
}

/** A program that was started. */
export interface Program {
  readonly child: ChildProcess;
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves with the exit code, or the name of the signal that ended it, when all output is here. */
  readonly ended: Promise<number | string>;
  /**
   * Resolves with the first match in what comes on stdout or stderr, from now on or before. Rejects with all output if
   * the program ends without.
   */
  until(pattern: RegExp): Promise<RegExpMatchArray>;
}

/** Starts `path`, from the root of the repository on; it is killed, if it still is there, when the test ends. */
export function start(t: TestContext, path: string, { args = [], env = {}, uid }: RunOptions = {}): Program {
  const child = spawn(process.execPath, ['--import', 'tsx', join(ROOT, path), ...args], {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid !== undefined && { uid }),
  });
  return watch(t, child, path);
}

/** Takes down what a child says, which is called `name`. It is killed, if it still is there, when the test ends. */
export function watch(t: TestContext, child: ChildProcess, name: string): Program {
  let stdout = '';
  let stderr = '';
  const waiters = new Set<() => void>();
  const told = (): void => {
    for (const waiter of waiters) waiter();
  };
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text;
    told();
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    told();
  });
  let isOver = false;
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      isOver = true;
      resolve(code ?? signal ?? 'unknown');
      told();
    });
  });
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    child,
    ended,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = stdout.match(pattern) ?? stderr.match(pattern);
          if (match !== null) resolve(match);
          else if (isOver) reject(new Error(`${name} never said ${pattern}:\n${stdout}\n${stderr}`));
          else return;
          waiters.delete(look);
        };
        waiters.add(look);
        look();
      }),
  };
}
