/**
 * What has been done, on disk before anybody hears of it: so a run that was killed can be taken up again.
 *
 * The first line says what the journal was written with; each line after it is an outcome, as it is printed. Invariant:
 * all lines but the last are whole, and what `append` has resolved for is on disk.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { UsageError } from './usage-error.ts';

/** What outcomes depend on; another run must not differ in it. */
export interface JournalHeader {
  readonly module: string;
  readonly digest: string;
  readonly json: boolean;
  readonly timeoutMs: number | null;
  readonly retries: number;
}

/** An outcome that the journal holds. */
export interface Kept {
  readonly offset: number;
  readonly failed: boolean;
}

const VERSION = 1;
/** How every journal begins. */
const MARK = '{"journal":"errand map"';
const NEWLINE = 10;
const CHUNK_BYTES = 64 * 1024;

export class Journal {
  readonly #file: FileHandle;
  /**
   * Where the outcomes of an input begin, by the digest of the input; it may be there more than once. A place is twice
   * the offset, and one more if the outcome is a failure: there may be millions of them.
   */
  readonly #places: Map<string, number | number[]>;
  /** Whether it was there before. */
  readonly isResumed: boolean;
  /** Where the next outcome goes. */
  #end: number;
  /** What was read last. */
  #block = { start: 0, bytes: Buffer.alloc(0) };

  private constructor(file: FileHandle, places: Map<string, number | number[]>, end: number) {
    this.#file = file;
    this.#places = places;
    this.isResumed = end > 0;
    this.#end = end;
  }

  /**
   * Opens a journal, or begins one. A torn last line is cut off.
   * @throws UsageError when it was written with something else, isn't a journal, or can't be opened
   */
  static async open(path: string, header: JournalHeader): Promise<Journal> {
    let file: FileHandle;
    try {
      file = await open(path, 'a+').then(async (made) => {
        await made.close(); // it is there now; writing needs places, which appending doesn't know
        return open(path, 'r+');
      });
    } catch (error) {
      throw new UsageError(`--journal ${path} can't be opened: ${(error as NodeJS.ErrnoException).code}`, {
        cause: error,
      });
    }
    try {
      return await Journal.#read(path, file, header);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  static async #read(path: string, file: FileHandle, header: JournalHeader): Promise<Journal> {
    const places = new Map<string, number | number[]>();
    let number = 0;
    let end = 0;
    for await (const { text, offset, next } of linesOf(file)) {
      number++;
      const record = parse(text);
      if (number === 1) compare(path, record, header);
      else if (record === undefined || !('input' in record)) {
        throw new UsageError(`line ${number} of the journal ${path} is no outcome: ${text.slice(0, 80)}`);
      } else add(places, digestOf(record.input), offset * 2 + ('error' in record ? 1 : 0));
      end = next;
    }
    if (number === 0) await checkTorn(path, file);
    await file.truncate(end);
    const journal = new Journal(file, places, end);
    if (number === 0) await journal.append([JSON.stringify({ journal: 'errand map', version: VERSION, ...header })]);
    return journal;
  }

  /** An outcome of this input that nobody has taken yet, if there is one. */
  take(input: unknown): Kept | undefined {
    if (this.#places.size === 0) return undefined; // nor is a digest made for nothing
    const digest = digestOf(input);
    const place = this.#places.get(digest);
    if (place === undefined) return undefined;
    const first = typeof place === 'object' ? place.shift()! : place;
    if (typeof place !== 'object' || place.length === 0) this.#places.delete(digest);
    return { offset: Math.floor(first / 2), failed: first % 2 === 1 };
  }

  /** Its line. Those that stand close together are read at once. */
  async read({ offset }: Kept): Promise<string> {
    for (let size = CHUNK_BYTES; ; size *= 2) {
      const { start, bytes } = this.#block;
      const end = offset < start ? -1 : bytes.indexOf(NEWLINE, offset - start);
      if (end !== -1) return bytes.toString('utf8', offset - start, end);
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(size), 0, size, offset);
      if (start === offset && bytesRead <= bytes.length) {
        throw new Error(`the journal has no outcome at ${offset}: was it changed meanwhile?`);
      }
      this.#block = { start: offset, bytes: buffer.subarray(0, bytesRead) };
    }
  }

  /** Resolves when the lines are on disk. One call at a time. */
  async append(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, written, bytes.length - written, this.#end + written);
      written += bytesWritten;
    }
    this.#end += bytes.length;
    await this.#file.datasync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

interface Line {
  readonly text: string;
  readonly offset: number;
  /** Where the next line begins. */
  readonly next: number;
}

/** The lines of a file; not the last one if it isn't ended. */
async function* linesOf(file: FileHandle): AsyncGenerator<Line> {
  let rest = Buffer.alloc(0);
  let offset = 0; // of the rest
  for (;;) {
    const size = Math.max(CHUNK_BYTES, rest.length); // a line of megabytes is put together a few times, not many
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size, offset + rest.length);
    if (bytesRead === 0) return;
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    let start = 0;
    for (let at = rest.indexOf(NEWLINE); at !== -1; at = rest.indexOf(NEWLINE, start)) {
      yield { text: rest.toString('utf8', start, at), offset: offset + start, next: offset + at + 1 };
      start = at + 1;
    }
    rest = rest.subarray(start);
    offset += start;
  }
}

/** A line of a journal: whatever it holds, if it is an object. */
interface RecordLine {
  readonly [name: string]: unknown;
  readonly input?: unknown;
  readonly journal?: unknown;
  readonly version?: unknown;
  readonly module?: unknown;
  readonly digest?: unknown;
}

function parse(text: string): RecordLine | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as RecordLine) : undefined;
  } catch {
    return undefined;
  }
}

/** All there is isn't a line. It mustn't be cut off unless it is the beginning of a header. */
async function checkTorn(path: string, file: FileHandle): Promise<void> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(MARK.length), 0, MARK.length, 0);
  if (!MARK.startsWith(buffer.toString('latin1', 0, bytesRead))) {
    throw new UsageError(`${path} is no journal of errand map`);
  }
}

function compare(path: string, found: RecordLine | undefined, header: JournalHeader): void {
  if (found?.journal !== 'errand map') throw new UsageError(`${path} is no journal of errand map`);
  if (found.version !== VERSION) {
    throw new UsageError(`the journal ${path} has version ${String(found.version)}, and this errand writes ${VERSION}`);
  }
  const differences: string[] = [];
  if (found.digest !== header.digest) {
    differences.push(
      found.module === header.module
        ? `the module ${header.module} has changed since`
        : `the module was ${String(found.module)} and is ${header.module}`,
    );
  }
  for (const [name, flag] of [
    ['json', '--json'],
    ['timeoutMs', '--timeout'],
    ['retries', '--retries'],
  ] as const) {
    if (found[name] !== header[name]) differences.push(`${flag} was ${show(found[name])} and is ${show(header[name])}`);
  }
  if (differences.length === 0) return;
  throw new UsageError(
    `the journal ${path} was written by another run: ${differences.join('; ')}. Name another journal, or remove this one.`,
  );
}

function show(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}

/** Inputs are told apart by 96 bits: short, as there may be millions. */
function digestOf(input: unknown): string {
  return createHash('sha1').update(JSON.stringify(input)).digest('base64').slice(0, 16);
}

function add(places: Map<string, number | number[]>, digest: string, place: number): void {
  const present = places.get(digest);
  if (present === undefined) places.set(digest, place);
  else if (typeof present === 'object') present.push(place);
  else places.set(digest, [present, place]);
}
