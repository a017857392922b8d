/** What is mapped: words of the command line, files found by globs, or the lines of a file or of stdin; one at a time. */
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { glob, isDynamicPattern } from 'tinyglobby';
import { UsageError } from './usage-error.ts';

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

/** Patterns become the files they fit, in order; the rest stays as it is. */
async function expand(words: readonly string[]): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const word of words) {
    // A file may be called what looks like a pattern.
    if (!isDynamicPattern(word) || existsSync(word)) {
      entries.push({ input: word });
      continue;
    }
    const paths = await glob(word, { onlyFiles: true, expandDirectories: false });
    if (paths.length === 0) throw new UsageError(`no file fits ${JSON.stringify(word)}`);
    for (const path of paths.sort()) entries.push({ input: path });
  }
  return entries;
}

async function openFile(path: string): Promise<AsyncIterable<Uint8Array>> {
  try {
    const file = await open(path);
    if ((await file.stat()).isDirectory()) {
      await file.close();
      throw new UsageError(`--from ${path}: that is a folder, not a file of lines`);
    }
    return file.createReadStream();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--from ${path} can't be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
}

/** Line by line, without those that are empty. A line break is \n or \r\n. */
async function* readLines(source: AsyncIterable<Uint8Array>, name: string, json: boolean): AsyncGenerator<Entry> {
  let number = 0;
  const toEntry = (line: string): Entry | undefined => {
    number++;
    const text = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (text === '') return undefined;
    return json ? parse(text, `line ${number} of ${name}`) : { input: text };
  };
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of source) {
    const lines = (rest + decoder.write(chunk as Buffer)).split('\n');
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
