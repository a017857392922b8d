/** The results as a table: for a terminal, or in Markdown for the docs. */
import { budgetOf, type FigureResult, meets, type Results, type Spread, type SuiteResult } from './results.ts';
import { MODES, type Mode } from './suite.ts';

/** Suites that share their columns: of managers, with a column for each mode; of the rest, with a single one. */
interface Part {
  readonly modes: readonly Mode[];
  readonly columns: readonly string[];
  readonly suites: readonly SuiteResult[];
}

function partsOf({ suites }: Results): Part[] {
  const hasModes = (suite: SuiteResult): boolean => suite.figures.some((figure) => figure.off !== undefined);
  const parts: Part[] = [
    { modes: MODES, columns: ['context kept', 'asyncContext: false'], suites: suites.filter(hasModes) },
    { modes: ['kept'], columns: ['figure'], suites: suites.filter((suite) => !hasModes(suite)) },
  ];
  return parts.filter((part) => part.suites.length > 0);
}

/** Every figure with its budget, then what a task or a hand-over cost in each case. */
export function table(results: Results): string {
  const lines = [`Node ${results.node}, ${results.processes} process${results.processes === 1 ? '' : 'es'} a suite`];
  let missed = 0;
  for (const { modes, columns, suites } of partsOf(results)) {
    const head = ['question', ...columns.flatMap((column) => [column, 'at most', ''])];
    const rows = suites.map((suite) => suite.figures.map((figure) => row(figure, modes, 'MISSED')));
    const widths = head.map((cell, i) => Math.max(cell.length, ...rows.flat().map((cells) => cells[i]!.length)));
    lines.push('', pad(head, widths));
    for (const [i, suite] of suites.entries()) {
      lines.push(
        '',
        `${suite.name}: ${suite.question}`,
        ...rows[i]!.map((cells) => pad(cells, widths)),
        costsOf(suite),
      );
    }
    missed += rows.flat(2).filter((cell) => cell === 'MISSED').length;
  }
  lines.push('', missed === 0 ? 'All budgets met.' : `${missed} budget${missed === 1 ? '' : 's'} MISSED.`);
  return lines.join('\n');
}

function pad(cells: readonly string[], widths: readonly number[]): string {
  return `  ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd();
}

function costsOf(suite: SuiteResult): string {
  const costs = Object.entries(suite.costs).map(([name, cost]) => `${name} ${cost}`);
  return `  ${suite.unit} each: ${costs.join('; ')}`;
}

function row(figure: FigureResult, modes: readonly Mode[], missed: string): string[] {
  return [figure.question, ...modes.flatMap((mode) => column(figure, mode, missed))];
}

function column(figure: FigureResult, mode: Mode, missed: string): string[] {
  const met = meets(figure, mode);
  return [
    withSpread(figure[mode]),
    String(budgetOf(figure, mode) ?? ''),
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
  const lines = [`### Node ${results.node}`];
  for (const { modes, columns, suites } of partsOf(results)) {
    const line = (first: string, rest: readonly string[]): string => `| ${[first, ...rest].join(' | ')} |`;
    const names = columns.map((column) => (column.includes(':') ? `\`${column}\`` : column));
    lines.push(
      '',
      line(
        '',
        names.flatMap((name) => [name, 'at most']),
      ),
      `|${'---|'.repeat(1 + 2 * modes.length)}`,
    );
    for (const suite of suites) {
      lines.push(
        line(
          `**${suite.name}**`,
          modes.flatMap(() => ['', '']),
        ),
      );
      for (const figure of suite.figures)
        lines.push(
          line(
            figure.question,
            modes.flatMap((mode) => cells(figure, mode)),
          ),
        );
    }
  }
  return lines.join('\n');
}

function cells(figure: FigureResult, mode: Mode): string[] {
  const [found = '', budget = '', met] = column(figure, mode, 'missed');
  return [found, met === 'missed' ? `${budget}, **missed**` : budget];
}

/** Puts text between the markers of a document. */
export function between(document: string, text: string): string {
  const [start, end] = ['<!-- bench:start -->', '<!-- bench:end -->'];
  const from = document.indexOf(start);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`the document has no ${start} ... ${end}`);
  return `${document.slice(0, from + start.length)}\n${text}\n${document.slice(to)}`;
}
