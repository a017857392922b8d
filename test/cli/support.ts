/** The command `errand map` as a child process, in a folder of its own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { buildSync } from 'esbuild';
import { type Program, ROOT, watch } from '../programs.ts';
import { Folder, linesOf } from './folder.ts';

/** The command as it is built, for it starts several times as fast as through tsx. It goes with the process. */
export const MAIN = bundle();

/** A folder of its own, as another program may build anew meanwhile. */
function bundle(): string {
  const home = mkdtempSync(join(tmpdir(), 'errand-cli-'));
  process.once('exit', () => rmSync(home, { recursive: true, force: true }));
  buildSync({
    entryPoints: {
      'dist/cli/main': join(ROOT, 'src/cli/main.ts'),
      'dist/cli/map-thread': join(ROOT, 'src/cli/map-thread.ts'),
      'dist/threads/entry': join(ROOT, 'src/threads/entry.ts'),
    },
    outdir: home,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: { js: "import { createRequire as from } from 'node:module';\nconst require = from(import.meta.url);" },
    logLevel: 'warning',
  });
  writeFileSync(join(home, 'package.json'), readFileSync(join(ROOT, 'package.json')));
  return join(home, 'dist/cli/main.js');
}

/** A line of the results. */
export interface Result {
  readonly input: unknown;
  readonly value: unknown;
}

/** A line of the failures. */
export interface Failure {
  readonly input: unknown;
  readonly error: {
    readonly name: string;
    readonly message: string;
    readonly code?: unknown;
    readonly stack?: string;
    readonly cause?: Failure['error'];
  };
  readonly attempts: number;
}

export interface StartOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** For node itself. */
  readonly nodeFlags?: readonly string[];
}

export interface RunOptions extends StartOptions {
  /** All of stdin. Default nothing. */
  readonly stdin?: string | Uint8Array;
}

/** What a command came to. */
export interface Ended {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
  /** Of stdout. */
  readonly results: readonly Result[];
}

/** A command at work, whose stdin is the test's. */
export interface Errand extends Program {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
}

/** A folder where `errand` is run. */
export class Desk extends Folder {
  readonly #t: TestContext;

  constructor(t: TestContext) {
    super(t);
    this.#t = t;
  }

  start(args: readonly string[], { env = {}, nodeFlags = [] }: StartOptions = {}): Errand {
    const child = spawn(process.execPath, [...nodeFlags, MAIN, ...args], {
      cwd: this.path,
      env: environment(env),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.on('error', () => {}); // it may end without having read it
    return watch(this.#t, child, `errand ${args.join(' ')}`) as Errand;
  }

  /** Runs `errand` to its end. */
  async run(args: readonly string[], { stdin = '', ...options }: RunOptions = {}): Promise<Ended> {
    const errand = this.start(args, options);
    errand.child.stdin.end(stdin);
    const code = await errand.ended;
    const { stdout, stderr } = errand;
    return {
      code,
      stdout,
      stderr,
      get results() {
        return resultsOf(stdout);
      },
    };
  }

  map(args: readonly string[], options?: RunOptions): Promise<Ended> {
    return this.run(['map', ...args], options);
  }

  /** A line of a shell, in which `errand` is the command. */
  shell(line: string): Program {
    const script = `errand() { ${quote(process.execPath)} ${quote(MAIN)} "$@"; }\n${line}`;
    const child = spawn('bash', ['-c', script], {
      cwd: this.path,
      env: environment({}),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return watch(this.#t, child, line);
  }
}

export function failuresOf(text: string): Failure[] {
  return linesOf(text).map((line) => JSON.parse(line) as Failure);
}

export function resultsOf(text: string): Result[] {
  return linesOf(text).map((line) => JSON.parse(line) as Result);
}

function environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: '', NO_COLOR: '1', ...env };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
