/** Words, figures and colors for a terminal: how wide they are, how they are cut, and what must not get there. */
import { stripVTControlCharacters } from 'node:util';
import picocolors from 'picocolors';
import type { Colors } from 'picocolors/types.js';
import stringWidth from 'string-width';
import { onceValue } from '../go/once.ts';

const CONTROLS = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;
/** No character that is seen takes more code units a column than this. */
const CODE_UNITS_PER_COLUMN = 16;
const SECONDS_PER_DAY = 86_400;

// Made when first needed: each takes milliseconds, which every start would pay.
const characters = onceValue(() => new Intl.Segmenter());
const number = onceValue(() => new Intl.NumberFormat('en-US'));

/** The part of a stream that is looked at. */
export type Terminal = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'>;

/** Colors where they are wanted: on a terminal, unless NO_COLOR says no; elsewhere if FORCE_COLOR says yes. */
export function colorsFor({ isTTY }: Pick<Terminal, 'isTTY'>): Colors {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  let isWanted = isTTY === true && TERM !== 'dumb';
  if (FORCE_COLOR !== undefined) isWanted = FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  if (NO_COLOR) isWanted = false; // an empty one says nothing: no-color.org
  return picocolors.createColors(isWanted);
}

/**
 * A text of one or more lines that can't command the terminal: colors and the like are taken out, and what else isn't
 * to be seen is escaped, but for line breaks and tabs.
 */
export function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll('\r\n', '\n')
    .replaceAll(CONTROLS, (it) => (it === '\n' || it === '\t' ? it : escaped(it)));
}

/** The same on a single line. */
export function printableLine(text: string): string {
  return printable(text).trim().replaceAll(/\s+/g, ' ');
}

/** An input, which is given as JSON: a string that says something is shown without its quotes. */
export function printableInput(json: string): string {
  const text = json.startsWith('"') ? (JSON.parse(json) as string) : json;
  return (text.trim() === '' ? json : text).replaceAll(CONTROLS, escaped);
}

function escaped(character: string): string {
  return `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`;
}

/** How many columns a text takes. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

/** The beginning of a text that fits in so many columns. */
export function cut(text: string, columns: number): string {
  const whole = start(text, columns);
  return whole.length === text.length ? text : `${start(text, columns - 1)}…`;
}

/** Both ends of a text that fit in so many columns: of a path, a URL or JSON, they say the most. */
export function cutMiddle(text: string, columns: number): string {
  if (start(text, columns).length === text.length) return text;
  const first = start(text, Math.floor((columns - 1) / 3));
  return `${first}…${end(text, columns - 1 - widthOf(first))}`;
}

function start(text: string, columns: number): string {
  let width = 0;
  for (const { segment, index } of characters().segment(text)) {
    width += widthOf(segment);
    if (width > columns) return text.slice(0, index);
  }
  return text;
}

function end(text: string, columns: number): string {
  // An input may have megabytes.
  const near = text.slice(Math.max(0, text.length - columns * CODE_UNITS_PER_COLUMN));
  let from = near.length;
  let width = 0;
  for (const { segment, index } of [...characters().segment(near)].reverse()) {
    width += widthOf(segment);
    if (width > columns) break;
    from = index;
  }
  return near.slice(from);
}

export function count(value: number): string {
  return number().format(value);
}

/** Outcomes a second, or a minute if they are few. */
export function rate(perSecond: number): string {
  if (perSecond >= 9.95) return `${count(Math.round(perSecond))}/s`;
  if (perSecond >= 0.95 || perSecond === 0) return `${Number(perSecond.toFixed(1))}/s`;
  return `${Number((perSecond * 60).toFixed(1))}/min`;
}

/** As exact as it can be read. */
export function duration(ms: number): string {
  if (ms < 0.995) return `${ms.toFixed(2)} ms`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  return roughly(ms);
}

/** In whole seconds, then minutes, then hours. */
export function roughly(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < SECONDS_PER_DAY) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.round(seconds / 3_600);
  return `${count(Math.floor(hours / 24))} d ${hours % 24} h`;
}
