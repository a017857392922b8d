/** A user's module is imported: by the command, and again by each of its threads. Errors say what is wrong, and where. */
import { parse, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import { UsageError } from './usage-error.ts';

/** What the function is told besides its input. */
export interface MapContext {
  /** Aborts when the run times out, or the command is interrupted twice. */
  readonly signal: AbortSignal;
  /** From 1. */
  readonly attempt: number;
  /** Says something on stderr, above the progress. */
  log(...values: unknown[]): void;
}

/** A function over inputs, and what a TaskManager can be given besides. */
export interface MapModule {
  readonly run: (input: unknown, context: MapContext, resource: unknown) => unknown;
  readonly onCreate: ((context: { readonly signal: AbortSignal }) => unknown) | undefined;
  readonly onDestroy: ((resource: unknown) => unknown) | undefined;
  readonly checkHealth: ((error: unknown) => boolean) | undefined;
  readonly priority: ((input: unknown) => number) | undefined;
  readonly key: ((input: unknown) => string) | undefined;
}

/** The folder of the command's own files. */
const HERE = fileURLToPath(new URL('.', import.meta.url));
const LOADER = 'With tsx installed (npm install --save-dev tsx):  NODE_OPTIONS="--import tsx" errand map ...';
/** What Node says of an ES module that it takes for the other kind. */
const TAKEN_FOR_COMMONJS = /Unexpected token 'export'|import statement outside a module|top level bodies of modules/;
/** The first line of an error that begins with where it is. */
const PLACE = /^\S.*:\d+\n/;
const TYPESCRIPT = /\.[mc]?tsx?$/;
const HOOKS = ['onCreate', 'onDestroy', 'checkHealth', 'priority', 'key'] as const;

/** Imports a module from a path. @throws UsageError that says what is wrong with it */
export async function importMapModule(path: string): Promise<MapModule> {
  const exported = await load(path, resolve(path));
  const { default: run } = exported;
  if (typeof run !== 'function') {
    throw new UsageError(
      `${path} has no function as its default export${describe(exported)}: it needs export default (input, { signal }) => ...`,
    );
  }
  for (const hook of HOOKS) {
    const value = exported[hook];
    if (value !== undefined && typeof value !== 'function') {
      throw new UsageError(`${path} exports ${hook}, but that is no function, it is ${typeof value}`);
    }
  }
  const { onCreate, onDestroy, checkHealth, priority, key } = exported as Partial<MapModule>;
  if (onDestroy !== undefined && onCreate === undefined) {
    throw new UsageError(`${path} exports onDestroy, but no onCreate: there is nothing to destroy`);
  }
  return { run: run as MapModule['run'], onCreate, onDestroy, checkHealth, priority, key };
}

/** What an import gives. */
interface Exported {
  readonly [name: string]: unknown;
  readonly default?: unknown;
}

async function load(path: string, file: string): Promise<Exported> {
  try {
    const exported = (await import(pathToFileURL(file).href)) as Exported;
    // A CommonJS module compiled from `export default` hides it one level down.
    const inner = exported.default as Exported | undefined;
    const isNested = typeof inner === 'object' && inner !== null && typeof inner.default === 'function';
    return isNested ? inner : exported;
  } catch (error) {
    if (isTypeScriptRefusal(error, file)) throw new UsageError(howToLoadTypeScript(path), { cause: error });
    const where = isMainThread ? '' : ' in a thread';
    throw new UsageError(`the module ${path} failed to load${where}: ${await whereIn(file, error)}${adviceOn(error)}`, {
      cause: error,
    });
  }
}

/** An error with the places in the user's own files. */
async function whereIn(file: string, error: unknown): Promise<string> {
  if (!(error instanceof Error)) return format(error);
  const lines = (error.stack ?? error.message).split('\n');
  const ours = lines.findIndex((line) => isFrame(line) && line.includes(HERE));
  const theirs = (ours === -1 ? lines : lines.slice(0, ours)).filter((it) => !isFrame(it) || !/[ (]node:/.test(it));
  const text = theirs.join('\n');
  if (!(error instanceof SyntaxError) || text.includes('://') || PLACE.test(text)) return text;
  // Node tells the place of it to nobody but the terminal.
  const { spawnSync } = await import('node:child_process');
  const said = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' }).stderr;
  return /^[\s\S]*?^SyntaxError: .*$/m.exec(said)?.[0] ?? text;
}

function isFrame(line: string): boolean {
  return /^ +at /.test(line);
}

/** Of a thread, what the module imports counts too: outside of it, a loader has loaded all of that. */
function isTypeScriptRefusal(error: unknown, file: string): boolean {
  const { code, message } = (error ?? {}) as NodeJS.ErrnoException;
  if (code !== 'ERR_UNKNOWN_FILE_EXTENSION') return false;
  return isMainThread ? TYPESCRIPT.test(file) && message.includes(file) : /"\.[mc]?tsx?"/.test(message);
}

function howToLoadTypeScript(path: string): string {
  const node = `Node ${process.versions.node}`;
  if (!isMainThread) return `${node} loads no TypeScript in threads, whatever loader it has: ${compiling(path)}`;
  const needs = path.endsWith('x') ? 'JSX needs a loader' : 'TypeScript needs Node 22.18 or later, or a loader';
  return `${node} can't load ${path}: ${needs}.\n${LOADER}`;
}

function compiling(path: string): string {
  const flags = '--bundle --platform=node --format=esm --packages=external';
  const compiled = `${parse(path).name}.compiled.mjs`;
  return `use Node 22.18 or later, or compile it first:\nnpx esbuild ${path} ${flags} --outfile=${compiled}`;
}

/** What to do about an error whose message doesn't say it; beginning with a line break. */
export function adviceOn(error: unknown): string {
  if (!(error instanceof SyntaxError)) return '';
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') return `\nNode takes types away, and can't do more.\n${LOADER}`;
  if (!TAKEN_FOR_COMMONJS.test(message)) return '';
  return '\nNode takes the file for CommonJS: call it .mjs or .mts, or say "type": "module" in its package.json.';
}

function describe(exported: Exported): string {
  const names = Object.keys(exported).filter((name) => name !== 'default');
  if ('default' in exported) return ` (it is ${typeof exported.default})`;
  return names.length === 0 ? ' (it exports nothing)' : ` (it exports ${names.join(', ')})`;
}
