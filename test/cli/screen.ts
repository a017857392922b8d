/** A terminal in miniature: what is on the screen after what was written, as far as the command's writing goes. */
import { type Terminal, widthOf } from '../../src/cli/text.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
const TOKENS = /\x1b\[(\??\d*)([A-Za-z])|[\r\n]|[^\x1b\r\n]/gu;

export class Screen implements Terminal {
  readonly isTTY = true;
  columns: number;
  /** All that was written. */
  written = '';
  row = 0;
  column = 0;
  wraps = true;
  readonly #rows: string[][] = [[]];

  constructor(columns: number) {
    this.columns = columns;
  }

  /** The rows, without colors. */
  get text(): string {
    return this.#rows.map((row) => Array.from(row, (cell) => cell ?? ' ').join('')).join('\n');
  }

  write(text: Uint8Array | string): boolean {
    this.written += String(text);
    for (const [token, argument, command] of String(text).matchAll(TOKENS)) {
      if (command !== undefined) this.#obey(`${argument}${command}`);
      else if (token === '\r') this.column = 0;
      else if (token === '\n') this.#feed();
      else this.#put(token);
    }
    return true;
  }

  #obey(command: string): void {
    if (command === 'J') {
      this.#rows.length = this.row + 1;
      this.#rows[this.row]!.length = Math.min(this.column, this.#rows[this.row]!.length);
    } else if (command === '?7l') this.wraps = false;
    else if (command === '?7h') this.wraps = true;
    else if (!command.endsWith('m')) throw new Error(`the screen doesn't know the command ${command}`);
  }

  #put(character: string): void {
    if (this.column + widthOf(character) > this.columns) {
      if (!this.wraps) return;
      this.#feed();
    }
    this.#rows[this.row]![this.column] = character;
    this.column += widthOf(character);
  }

  #feed(): void {
    this.row++;
    this.column = 0;
    this.#rows[this.row] ??= [];
  }
}
