/** How far a schedule has come: a note in the engine, which all dispatchers share that have a schedule of the name. */
import type { Engine } from '../../engines/index.ts';

/** What the note says. */
export interface Mark {
  /** The text of the timetable that it belongs to. */
  readonly timetable: string;
  /** All ticks up to here have been seen to. */
  readonly at: number;
  /** Where the grid of a period lies. */
  readonly origin: number;
  /** How often it has begun anew, because the clock had been wrong: part of the ids of calls from then on. */
  readonly round: number;
  /** The dispatcher that has written it: who comes too late to write the same isn't taken for it. */
  readonly by: string;
  /** The id of the last call that was fired, or is about to be. */
  readonly call?: string | undefined;
}

export class Cursor {
  readonly #engine: Engine;
  readonly #key: string;
  /** As it was last read, or written. */
  #text: string | undefined = undefined;

  constructor(engine: Engine, name: string) {
    this.#engine = engine;
    this.#key = `schedule:${name}`;
  }

  /** Undefined: there is none yet. */
  async read(): Promise<Mark | undefined> {
    this.#text = await this.#engine.read(this.#key);
    return markOf(this.#text);
  }

  /** Writes over what was last read or written here. False when somebody else has written since. */
  async write(mark: Mark): Promise<boolean> {
    const text = JSON.stringify(mark);
    const isWritten = await this.#engine.write(this.#key, text, this.#text);
    if (isWritten) this.#text = text;
    return isWritten;
  }
}

/** What can't be read was written by nobody here: it is as if there were nothing. */
function markOf(text: string | undefined): Mark | undefined {
  if (text === undefined) return undefined;
  try {
    const mark = JSON.parse(text) as Mark;
    const isWhole = [mark.at, mark.origin, mark.round].every(Number.isFinite);
    return isWhole ? mark : undefined;
  } catch {
    return undefined;
  }
}
