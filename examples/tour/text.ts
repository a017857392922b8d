/** Words and figures for a terminal: how wide they are, and how they are cut. */

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const characters = new Intl.Segmenter();
const number = new Intl.NumberFormat('en-US');

/** File names may hold anything, line breaks and terminal commands too: those are shown as `?`. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '?');
}

/** How many columns a text takes. */
export function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of characters.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

/** The beginning of a text that fits in so many columns. */
export function cut(text: string, columns: number): string {
  return shorten(text, columns, false);
}

/** The end of a text that fits in so many columns: of a path, it says the most. */
export function cutFront(text: string, columns: number): string {
  return shorten(text, columns, true);
}

function shorten(text: string, columns: number, fromEnd: boolean): string {
  if (widthOf(text) <= columns) return text;
  const segments = [...characters.segment(text)].map(({ segment }) => segment);
  if (fromEnd) segments.reverse();
  const kept: string[] = [];
  let width = 1;
  for (const segment of segments) {
    width += WIDE.test(segment) ? 2 : 1;
    if (width > columns) break;
    kept.push(segment);
  }
  return fromEnd ? `…${kept.reverse().join('')}` : `${kept.join('')}…`;
}

export function count(value: number): string {
  return number.format(value);
}

/** `1 file`, `2 files`. */
export function counted(value: number, what: string): string {
  return `${count(value)} ${what}${value === 1 ? '' : 's'}`;
}

export function size(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  let value = bytes;
  let unit = -1;
  for (; value >= 999.5 && unit < 4; unit++) value /= 1_000;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${['kB', 'MB', 'GB', 'TB', 'PB'][unit]}`;
}

export function duration(ms: number): string {
  if (ms < 0.995) return `${ms.toFixed(2)} ms`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
