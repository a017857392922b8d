/** The user's module: what its inputs are given to, and what else it may export. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'node:util';
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
  /** The digest of its source, to tell whether a journal was written by the same one. What it imports isn't in it. */
  readonly digest: string;
}

/** The folder of the command's own files. */
const HERE = fileURLToPath(new URL('.', import.meta.url));
const LOADER = 'With tsx installed (npm install --save-dev tsx):  NODE_OPTIONS="--import tsx" errand map ...';
/** What Node says of an ES module that it takes for the other kind. */
const TAKEN_FOR_COMMONJS = /Unexpected token 'export'|import statement outside a module|top level bodies of modules/;
/** The first line of an error that begins with where it is. */
const PLACE = /^\S.*:\d+\n/;
const HOOKS = ['onCreate', 'onDestroy', 'checkHealth', 'priority', 'key'] as const;

/** Loads a module from a path. @throws UsageError that says what is wrong with it */
export async function loadMapModule(path: string): Promise<MapModule> {
  const file = resolve(path);
  const source = await readSource(path, file);
  const exported = await load(path, file);
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
  const digest = createHash('sha256').update(source).digest('hex');
  return { run: run as MapModule['run'], onCreate, onDestroy, checkHealth, priority, key, digest };
}

async function readSource(path: string, file: string): Promise<Buffer> {
  try {
    if ((await stat(file)).isDirectory()) throw new UsageError(`${path} is a folder: name the module's file`);
    return await readFile(file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`the module ${path} can't be read: ${code === 'ENOENT' ? 'there is no such file' : code}`, {
      cause: error,
    });
  }
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
    throw new UsageError(`the module ${path} failed to load: ${await whereIn(file, error)}${adviceOn(error)}`, {
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

function isTypeScriptRefusal(error: unknown, file: string): boolean {
  if (!/\.[mc]?tsx?$/.test(file)) return false;
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ERR_UNKNOWN_FILE_EXTENSION' && String(message).includes(file);
}

function howToLoadTypeScript(path: string): string {
  const needs = path.endsWith('x') ? 'JSX needs a loader' : 'TypeScript needs Node 22.18 or later, or a loader';
  return `Node ${process.versions.node} can't load ${path}: ${needs}.\n${LOADER}`;
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
