/**
 * `log` of a function in a thread. It goes by the thread's stderr, so that it stays in line with what else is printed there,
 * comes before the call is over, and gets out of a loop that never ends; with a mark, as it isn't to be shown as printed.
 */

/** Of a private area of Unicode: nobody prints it. */
const MARK = '\u{F8FE}';

/** What is written to stderr, ended. */
export function marked(text: string): string {
  return `${MARK}${text.replaceAll('\n', `\n${MARK}`)}\n`;
}

/** A line of stderr, as it comes: if it was marked, then without the tag. */
export function unmarked(line: string): string {
  const [before = '', logged] = line.split(MARK);
  if (logged === undefined) return line;
  // Something may have been printed there before, without a line break.
  return /^\[thread \d+\] $/.test(before) ? logged : `${before}\n${logged}`;
}
