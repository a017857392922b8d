/** The tour's last word: totals, times, and the files worth naming. */
import type { WriteStream } from 'node:tty';
import type { ManagerMetrics } from 'errand';
import type { MeasuredFile, Tally } from './tally.ts';
import { count, counted, cutFront, duration, printable, size, widthOf } from './text.ts';
import { SKIPPED } from './walk.ts';

const LABEL_COLUMNS = 11;
const DIGEST_SHOWN = 12;

export interface Report {
  readonly root: string;
  readonly tally: Tally;
  readonly metrics: ManagerMetrics;
  /** How it was cut short, if it was. */
  readonly interrupted: string | undefined;
}

/** Fits in the columns of `stream`; where those aren't known, nothing is cut. */
export function writeReport(stream: WriteStream, report: Report): void {
  const columns = stream.columns || Number.POSITIVE_INFINITY;
  const { NO_COLOR, TERM } = process.env;
  const isColored = stream.isTTY === true && !NO_COLOR && TERM !== 'dumb';
  const bold = (text: string): string => (isColored ? `\x1b[1m${text}\x1b[22m` : text);
  stream.write(`${linesOf(report, columns, bold).join('\n')}\n`);
}

function linesOf(report: Report, columns: number, bold: (text: string) => string): string[] {
  const { tally, metrics } = report;
  const fact = (label: string, text: string): string => `${bold(label.padEnd(LABEL_COLUMNS))}${text}`;
  const lines = [
    fact('Folder', cutFront(printable(report.root), columns - LABEL_COLUMNS)),
    fact('Files', filesOf(tally)),
    fact('Size', `${size(tally.bytes)}, ${counted(tally.lines, 'line')} of text`),
    fact('Folders', foldersOf(tally)),
    fact('Took', tookOf(tally)),
  ];
  if (report.interrupted !== undefined) lines.push(fact('Ended', report.interrupted));
  lines.push('', ...timesOf(metrics, bold));
  lines.push(...filesTable('Slowest', tally.slowest.items, columns, bold));
  lines.push(...filesTable('Largest', tally.largest.items, columns, bold));
  lines.push(...failuresOf(tally, columns, bold));
  return lines;
}

function filesOf(tally: Tally): string {
  const parts = [`${count(tally.files)} measured`];
  if (tally.binaries > 0) parts.push(`${count(tally.binaries)} of them not text`);
  if (tally.failed > 0) parts.push(`${count(tally.failed)} failed`);
  if (tally.timedOut > 0) parts.push(`${count(tally.timedOut)} timed out`);
  if (tally.canceled > 0) parts.push(`${count(tally.canceled)} canceled`);
  return parts.join(', ');
}

function foldersOf(tally: Tally): string {
  const parts = [count(tally.folders)];
  if (tally.foldersSkipped > 0) parts.push(`${count(tally.foldersSkipped)} skipped (${SKIPPED.join(', ')})`);
  if (tally.others > 0) parts.push(`${counted(tally.others, 'link')} and the like not followed`);
  return parts.join(', ');
}

function tookOf(tally: Tally): string {
  const seconds = Math.max(tally.elapsedMs, 1) / 1_000;
  return `${duration(tally.elapsedMs)}: ${counted(Math.round(tally.files / seconds), 'file')} and ${size(tally.bytes / seconds)} a second`;
}

function timesOf(metrics: ManagerMetrics, bold: (text: string) => string): string[] {
  const row = (label: string, values: readonly number[]): string =>
    `${label.padEnd(LABEL_COLUMNS)}${values.map((ms) => duration(ms).padStart(LABEL_COLUMNS)).join('')}`;
  const heads = ['p50', 'p95', 'p99', 'longest'].map((head) => head.padStart(LABEL_COLUMNS)).join('');
  return [
    bold(`${'Times'.padEnd(LABEL_COLUMNS)}${heads}`),
    row('waiting', [metrics.p50WaitTimeMs, metrics.p95WaitTimeMs, metrics.p99WaitTimeMs, metrics.maxWaitTimeMs]),
    row('running', [
      metrics.p50ExecutionTimeMs,
      metrics.p95ExecutionTimeMs,
      metrics.p99ExecutionTimeMs,
      metrics.maxExecutionTimeMs,
    ]),
  ];
}

function filesTable(
  title: string,
  files: readonly MeasuredFile[],
  columns: number,
  bold: (text: string) => string,
): string[] {
  if (files.length === 0) return [];
  const figures = files.map(({ ms, bytes, lines, digest }) => [
    duration(ms),
    size(bytes),
    lines === undefined ? '-' : count(lines),
    digest.slice(0, DIGEST_SHOWN),
  ]);
  const heads = ['time', 'size', 'lines', 'sha256'];
  const widths = heads.map((head, i) => Math.max(head.length, ...figures.map((row) => row[i]!.length)));
  const cells = (row: readonly string[]): string => row.map((cell, i) => cell.padStart(widths[i]! + 2)).join('');
  const room = Math.max(title.length, columns - cells(heads).length);
  const names = files.map(({ path }) => cutFront(printable(path), room));
  const nameWidth = Math.max(title.length, ...names.map(widthOf));
  const name = (text: string): string => text + ' '.repeat(nameWidth - widthOf(text));
  return ['', bold(name(title) + cells(heads)), ...names.map((text, i) => name(text) + cells(figures[i]!))];
}

function failuresOf({ problems, failures }: Tally, columns: number, bold: (text: string) => string): string[] {
  if (problems === 0) return [];
  const widest = Math.max(...failures.map(({ reason }) => reason.length)) + 2;
  const lines = failures.map(
    ({ path, reason }) => reason.padEnd(widest) + cutFront(printable(path), Math.max(1, columns - widest)),
  );
  if (problems > failures.length) lines.push(`and ${count(problems - failures.length)} more`);
  return ['', bold('Failed'), ...lines];
}
