/** What is mapped: words of the command line, files found by globs, or the lines of a file or of stdin; one at a time. */
import { closeSync, createReadStream, existsSync, fstatSync, open } from 'node:fs';
import { Socket } from 'node:net';
import { isAbsolute } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { promisify } from 'node:util';
import { glob, isDynamicPattern } from 'tinyglobby';
import { UsageError } from './usage-error.ts';

const BYTE_ORDER_MARK = '\uFEFF';

const openDescriptor = promisify(open);

/** One input, or a line that isn't one. */
export type Entry =
  | { readonly input: unknown; readonly error?: undefined }
  /** `input` is the text as it stands there. */
  | { readonly input: string; readonly error: Error };

export interface Inputs extends AsyncIterable<Entry> {
  /** How many there are, if that is known beforehand. */
  readonly total: number | undefined;
}

export interface InputOptions {
  readonly words: readonly string[];
  /** A path, or `-` for stdin. */
  readonly from: string | undefined;
  readonly json: boolean;
}

/** @throws UsageError when there are none, a pattern fits no file, or a file can't be opened */
export async function openInputs({ words, from, json }: InputOptions): Promise<Inputs> {
  if (from === undefined && words.length === 0) {
    throw new UsageError('there is nothing to map: name inputs or globs, or a file of lines with --from, or --from -');
  }
  const listed = json ? words.map((word, i) => parse(word, `input ${i + 1}`)) : await expand(words);
  if (from === undefined) return { total: listed.length, [Symbol.asyncIterator]: () => iterate(listed) };
  const source = from === '-' ? process.stdin : await openFile(from);
  const name = from === '-' ? 'stdin' : from;
  const entries = async function* (): AsyncGenerator<Entry> {
    yield* listed;
    yield* readLines(source, name, json);
  };
  return { total: undefined, [Symbol.asyncIterator]: entries };
}

async function* iterate(entries: readonly Entry[]): AsyncGenerator<Entry> {
  yield* entries;
}

/** Patterns become the files they fit, in order, absolute ones absolute; the rest stays as it is. */
async function expand(words: readonly string[]): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const word of words) {
    // A file may be called what looks like a pattern, and a URL often looks like one.
    if (!isDynamicPattern(word) || word.includes('://') || existsSync(word)) {
      entries.push({ input: word });
      continue;
    }
    const paths = await glob(word, { onlyFiles: true, expandDirectories: false, absolute: isAbsolute(word) });
    if (paths.length === 0) {
      throw new UsageError(
        `no file fits the pattern ${JSON.stringify(word)}. Inputs that only look like patterns can come by --from.`,
      );
    }
    for (const path of paths.sort()) entries.push({ input: path });
  }
  return entries;
}

async function openFile(path: string): Promise<AsyncIterable<Uint8Array>> {
  let fd: number;
  try {
    fd = await openDescriptor(path, 'r');
  } catch (error) {
    throw new UsageError(`--from ${path} can't be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
  const stats = fstatSync(fd);
  if (stats.isDirectory()) {
    closeSync(fd);
    throw new UsageError(`--from ${path}: that is a folder, not a file of lines`);
  }
  // As a file, a pipe whose writer says nothing would keep the process from its end, even by process.exit().
  return stats.isFIFO() ? new Socket({ fd, readable: true, writable: false }) : createReadStream(path, { fd });
}

/** Line by line, without those that are empty. A line break is \n or \r\n. */
async function* readLines(source: AsyncIterable<Uint8Array>, name: string, json: boolean): AsyncGenerator<Entry> {
  let number = 0;
  const toEntry = (line: string): Entry | undefined => {
    number++;
    const text = line.slice(
      number === 1 && line.startsWith(BYTE_ORDER_MARK) ? 1 : 0,
      line.endsWith('\r') ? -1 : undefined,
    );
    if (text === '') return undefined;
    return json ? parse(text, `line ${number} of ${name}`) : { input: text };
  };
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of source) {
    const lines = decoder.write(chunk as Buffer).split('\n');
    lines[0] = rest + lines[0]!; // of a line of megabytes, the parts are put together once
    rest = lines.pop()!;
    for (const line of lines) {
      const entry = toEntry(line);
      if (entry !== undefined) yield entry;
    }
  }
  rest += decoder.end();
  const last = rest === '' ? undefined : toEntry(rest);
  if (last !== undefined) yield last;
}

function parse(text: string, where: string): Entry {
  try {
    return { input: JSON.parse(text) as unknown };
  } catch (error) {
    return { input: text, error: new SyntaxError(`${where} is no JSON: ${(error as Error).message}`) };
  }
}
