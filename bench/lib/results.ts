/** What a run says: figures from several processes, brought together, as they are kept in `bench/results`. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './measure.ts';
import { type Budget, type Costs, type Figure, label, MODES, type Mode, type Suite, type Unit } from './suite.ts';

/** The median of the processes' figures, and the least and the greatest of them. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface FigureResult {
  readonly question: string;
  /** Where it is there once, this is it. */
  readonly kept?: Spread;
  readonly off?: Spread;
  readonly budget?: Budget;
}

export interface SuiteResult {
  readonly name: string;
  readonly question: string;
  readonly unit: Unit;
  readonly figures: readonly FigureResult[];
  /** What one task cost in each case, in the suite's unit. True of one machine only. */
  readonly costs: Readonly<Record<string, number>>;
}

export interface Results {
  readonly node: string;
  readonly processes: number;
  readonly suites: readonly SuiteResult[];
}

/** What one process found. */
export interface Measured {
  readonly figures: readonly { readonly kept?: number; readonly off?: number }[];
  readonly costs: Readonly<Record<string, number>>;
}

/** Makes the suite's figures from the costs of its cases, keyed by {@link label}. */
export function evaluate(suite: Suite, costs: Readonly<Record<string, number>>): Measured {
  const figures = suite.figures.map((figure) => {
    const kept = figure.value(costsIn(costs, 'kept'));
    return hasModes(figure, costs) ? { kept, off: figure.value(costsIn(costs, 'off')) } : { kept };
  });
  return { figures, costs };
}

/** Whether a figure speaks of a case that is there with the async context and without. */
function hasModes(figure: Figure, costs: Readonly<Record<string, number>>): boolean {
  let found = false;
  figure.value((name) => {
    found ||= label({ name, mode: 'off' }) in costs;
    return Number.NaN;
  });
  return found;
}

function costsIn(costs: Readonly<Record<string, number>>, mode: Mode): Costs {
  return (name) => {
    const cost = costs[label({ name, mode })] ?? costs[name];
    if (cost === undefined) throw new Error(`no case is named ${JSON.stringify(name)}`);
    return cost;
  };
}

/** Brings the processes of one suite together: figure by figure, the median of what each of them found. */
export function combine(suite: Suite, processes: readonly Measured[]): SuiteResult {
  const figures = suite.figures.map((figure, i) => {
    const result: { -readonly [K in keyof FigureResult]: FigureResult[K] } = { question: figure.question };
    for (const mode of MODES) {
      const values = processes.map((process) => process.figures[i]?.[mode]).filter((value) => value !== undefined);
      if (values.length > 0) result[mode] = spread(values);
    }
    if (figure.budget) result.budget = figure.budget;
    return result;
  });
  const costs: Record<string, number> = {};
  for (const name of Object.keys(processes[0]?.costs ?? {})) {
    costs[name] = Math.round(median(processes.map((process) => process.costs[name] ?? Number.NaN)));
  }
  return { name: suite.name, question: suite.question, unit: suite.unit, figures, costs };
}

function spread(values: readonly number[]): Spread {
  return { median: rounded(median(values)), min: rounded(Math.min(...values)), max: rounded(Math.max(...values)) };
}

function rounded(value: number): number {
  return Number(value.toFixed(value < 10 ? 3 : 1));
}

/** Whether a figure keeps its budget; undefined where it has none. */
export function meets(figure: FigureResult, mode: Mode): boolean | undefined {
  const found = figure[mode];
  const budget = budgetOf(figure, mode);
  if (budget === undefined || found === undefined) return undefined;
  return found.median <= budget;
}

export function budgetOf({ budget }: FigureResult, mode: Mode): number | undefined {
  return budget?.[mode === 'kept' ? 0 : 1];
}

export function readResults(file: string | URL): Results {
  return JSON.parse(readFileSync(file, 'utf8')) as Results;
}

export function writeResults(file: string | URL, results: Results): void {
  mkdirSync(dirname(file instanceof URL ? fileURLToPath(file) : file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}
