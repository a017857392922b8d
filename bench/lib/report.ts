/** The results as a table: for a terminal, or in Markdown for the docs. */
import { type FigureResult, meets, type Results, type Spread, type SuiteResult } from './results.ts';
import type { Mode } from './suite.ts';

const HEAD = ['question', 'context kept', 'at most', '', 'asyncContext: false', 'at most', ''];

/** Every figure with its budget, then what a task cost in each case. */
export function table(results: Results): string {
  const lines = [`Node ${results.node}, ${results.processes} process${results.processes === 1 ? '' : 'es'} a suite`];
  const rows = results.suites.map((suite) => suite.figures.map((figure) => row(figure, 'MISSED')));
  const widths = HEAD.map((head, i) => Math.max(head.length, ...rows.flat().map((cells) => cells[i]!.length)));
  lines.push('', pad(HEAD, widths));
  for (const [i, suite] of results.suites.entries()) {
    lines.push('', `${suite.name}: ${suite.question}`, ...rows[i]!.map((cells) => pad(cells, widths)), costsOf(suite));
  }
  const missed = rows.flat().reduce((sum, cells) => sum + cells.filter((cell) => cell === 'MISSED').length, 0);
  lines.push('', missed === 0 ? 'All budgets met.' : `${missed} budget${missed === 1 ? '' : 's'} MISSED.`);
  return lines.join('\n');
}

function pad(cells: readonly string[], widths: readonly number[]): string {
  return `  ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd();
}

function costsOf(suite: SuiteResult): string {
  const costs = Object.entries(suite.costs).map(([name, cost]) => `${name} ${cost}`);
  return `  ${suite.unit} a task: ${costs.join('; ')}`;
}

function row(figure: FigureResult, missed: string): string[] {
  return [figure.question, ...column(figure, 'kept', missed), ...column(figure, 'off', missed)];
}

function column(figure: FigureResult, mode: Mode, missed: string): string[] {
  const met = meets(figure, mode);
  const budget = figure.budget?.[mode === 'kept' ? 0 : 1];
  return [
    withSpread(figure[mode]),
    budget === undefined ? '' : String(budget),
    met === undefined ? '' : met ? 'met' : missed,
  ];
}

function withSpread(figure: Spread | undefined): string {
  if (figure === undefined) return '';
  if (figure.min === figure.max) return short(figure.median);
  return `${short(figure.median)} (${short(figure.min)}-${short(figure.max)})`;
}

/** A ratio with two decimals, bytes with none. */
export function short(value: number): string {
  return value.toFixed(Math.abs(value) < 10 ? 2 : 0);
}

/** The figures alone, without what they cost in ns on one machine. */
export function markdown(results: Results): string {
  const lines = [
    `### Node ${results.node}`,
    '',
    '| | context kept | at most | `asyncContext: false` | at most |',
    '|---|---|---|---|---|',
  ];
  for (const suite of results.suites) {
    lines.push(`| **${suite.name}** | | | | |`);
    for (const figure of suite.figures) {
      const [question, kept, keptBudget, keptMet, off, offBudget, offMet] = row(figure, 'missed');
      lines.push(
        `| ${question} | ${kept} | ${budgetCell(keptBudget, keptMet)} | ${off} | ${budgetCell(offBudget, offMet)} |`,
      );
    }
  }
  return lines.join('\n');
}

function budgetCell(budget: string | undefined, met: string | undefined): string {
  return met === 'missed' ? `${budget}, **missed**` : (budget ?? '');
}

/** Puts text between the markers of a document. */
export function between(document: string, text: string): string {
  const [start, end] = ['<!-- bench:start -->', '<!-- bench:end -->'];
  const from = document.indexOf(start);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`the document has no ${start} ... ${end}`);
  return `${document.slice(0, from + start.length)}\n${text}\n${document.slice(to)}`;
}
