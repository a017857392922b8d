/** The last word of a run, on stderr: what it came to, how long it took, and the inputs worth naming. */
import type { Colors } from 'picocolors/types.js';
import type { Tally } from './tally.ts';
import {
  colorsFor,
  count,
  cut,
  cutMiddle,
  duration,
  printableInput,
  printableLine,
  rate,
  type Terminal,
  widthOf,
} from './text.ts';

/** Where there is no terminal: so wide that little is cut, and no input of megabytes fills a log. */
const COLUMNS_OF_A_LOG = 200;
const LABEL_COLUMNS = 10;
/** Below this the labels stand on lines of their own. */
const NARROW = 50;
const INDENT_IF_NARROW = 2;
const GAP = '  ';
/** What a failed input may take of a line that holds its message too. */
const INPUT_SHARE = 0.4;

/** What is shown of a tally. */
export type Reported = Pick<
  Tally,
  | 'total'
  | 'pulled'
  | 'done'
  | 'completed'
  | 'failed'
  | 'retried'
  | 'skipped'
  | 'elapsedMs'
  | 'durations'
  | 'slowest'
  | 'failures'
>;

export interface ReportOptions {
  readonly interrupted: boolean;
  /** Where it goes: it fits in there, and has colors if they are wanted there. Default stderr. */
  readonly terminal?: Pick<Terminal, 'isTTY' | 'columns'>;
}

/** Lines, all ended. */
export function report(tally: Reported, { interrupted, terminal = process.stderr }: ReportOptions): string {
  const paint = colorsFor(terminal);
  const columns = terminal.isTTY ? terminal.columns || 80 : COLUMNS_OF_A_LOG;
  const indent = columns < NARROW ? INDENT_IF_NARROW : LABEL_COLUMNS;
  const room = Math.max(1, columns - 1 - indent);
  const sections: [label: string, lines: string[]][] = [
    ['Inputs', flow(totalsOf(tally, interrupted, paint), ', ', room)],
    ['Took', flow(tookOf(tally), ', ', room)],
    ['Times', flow(timesOf(tally), GAP, room)],
    ['Slowest', slowestOf(tally, room)],
    ['Failed', failuresOf(tally, room, paint)],
  ];
  const lines = sections.flatMap(([label, texts]) => {
    if (texts.length === 0) return [];
    const indented = texts.map((text) => ' '.repeat(indent) + text);
    if (columns < NARROW) return [paint.bold(label), ...indented];
    indented[0] = paint.bold(label.padEnd(indent)) + texts[0];
    return indented;
  });
  return `${lines.join('\n')}\n`;
}

/** Joins words that belong together into lines that fit. */
function flow(words: readonly string[], separator: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(word);
    else if (widthOf(last + separator + word) <= room) lines[lines.length - 1] = last + separator + word;
    else lines.push(word);
  }
  return lines;
}

function totalsOf(tally: Reported, interrupted: boolean, paint: Colors): string[] {
  const { total, pulled, done, completed, failed, retried, skipped } = tally;
  const notDone = (total ?? pulled) - done;
  const words = [total === undefined ? `${count(done)} done` : `${count(done)} of ${count(total)} done`];
  if (interrupted) words.push(paint.yellow('interrupted'));
  words.push(`${count(completed)} completed`);
  if (failed > 0) words.push(paint.red(`${count(failed)} failed`));
  if (notDone > 0) words.push(paint.yellow(`${count(notDone)} not done`));
  if (skipped > 0) words.push(`${count(skipped)} skipped`);
  if (retried > 0) words.push(`${count(retried)} retried`);
  return words;
}

/** What the journal held took no time. */
function tookOf({ elapsedMs, done, skipped }: Reported): string[] {
  return [duration(elapsedMs), rate(((done - skipped) * 1_000) / elapsedMs)];
}

function timesOf({ durations }: Reported): string[] {
  if (durations.count === 0) return [];
  const percentiles = [50, 90, 95, 99].map((p) => `p${p} ${duration(durations.percentile(p))}`);
  return [...percentiles, `longest ${duration(durations.max)}`];
}

function slowestOf({ slowest }: Reported, room: number): string[] {
  const times = slowest.map(({ ms }) => duration(ms));
  const width = Math.max(...times.map((time) => time.length));
  return slowest.map(({ input }, i) => {
    const time = times[i]!.padStart(width) + GAP;
    return time + cutMiddle(printableInput(input), Math.max(1, room - time.length));
  });
}

function failuresOf({ failed, failures }: Reported, room: number, paint: Colors): string[] {
  const most = Math.max(1, Math.floor(room * INPUT_SHARE));
  const inputs = failures.map(({ input }) => cutMiddle(printableInput(input), most));
  const width = Math.max(...inputs.map(widthOf));
  const lines = failures.map(({ message }, i) => {
    const input = inputs[i]! + ' '.repeat(width - widthOf(inputs[i]!)) + GAP;
    return input + paint.red(cut(printableLine(message), Math.max(1, room - width - GAP.length)));
  });
  if (failed > failures.length) lines.push(`and ${count(failed - failures.length)} more`);
  return lines;
}
