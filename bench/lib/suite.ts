/**
 * What a suite is: cases that are measured side by side in one process, and figures made from their costs. A case of
 * a manager is there twice, once with the async context of each submission kept and once without, and so is its figure.
 */

export type Unit = 'ns' | 'bytes';

/** How a manager is made: with its defaults, or with `asyncContext: false`. */
export type Mode = 'kept' | 'off';

export const MODES: readonly Mode[] = ['kept', 'off'];

/** One contender. */
export interface Case {
  readonly name: string;
  /** The mode of the manager that is measured; a case without one (a peer, the floor) stands in both columns. */
  readonly mode?: Mode;
  /** How many tasks one run has, or hand-overs, or whatever the suite counts: costs are per one of them. */
  readonly tasks: number;
  /** One whole batch, from the first submission to the last end. A suite in bytes says how many the batch took. */
  run(): Promise<number | void>;
  /** Throws if the batch has not done all its work. Its time isn't counted. */
  check?(): void;
}

/** What a case costs, by name: that of the mode the figure is made for if there is one, else that of neither. */
export type Costs = (name: string) => number;

/** One row of the table. Where none of its cases has a mode, it is there once. */
export interface Figure {
  readonly question: string;
  value(cost: Costs): number;
  /** What it must not exceed, [async context kept, `asyncContext: false`], or once. Without: for information. */
  readonly budget?: Budget;
}

export type Budget = readonly [kept: number, off?: number];

/** The sizes of this run: as asked for, or tiny when all it has to show is that the suites run. */
export interface Scale {
  readonly smoke: boolean;
  /** How many tasks to queue where a real run has `tasks`. */
  size(tasks: number): number;
}

/** What a suite measured with: its cases, and how to end what they use. */
export interface Setup {
  readonly cases: readonly Case[];
  tearDown?(): Promise<void>;
}

export interface Suite {
  readonly name: string;
  readonly question: string;
  readonly figures: readonly Figure[];
  /** Measured rounds; each runs every case once. */
  readonly rounds: number;
  /** Rounds before those, not counted. */
  readonly warmup: number;
  /** What a case costs: the time of `run`, or the bytes it returns. */
  readonly unit: Unit;
  setUp(scale: Scale): Promise<Setup>;
}

/** A figure of the commonest kind: what one case costs, divided by what another does. */
export function ratio(question: string, name: string, by: string, budget?: Budget): Figure {
  return { question, value: (cost) => cost(name) / cost(by), ...(budget && { budget }) };
}

/** What something adds to a plain task, in floors: the cost of one promise for each task. */
export function added(question: string, name: string, to: string, budget?: Budget): Figure {
  return { question, value: (cost) => (cost(name) - cost(to)) / cost('floor'), ...(budget && { budget }) };
}

export function scaleOf(smoke: boolean): Scale {
  return { smoke, size: (tasks) => (smoke ? Math.min(tasks, 300) : tasks) };
}

/** A case's name where both modes stand together. */
export function label(entry: { readonly name: string; readonly mode?: Mode }): string {
  return entry.mode === 'off' ? `${entry.name}, context off` : entry.name;
}
