/**
 * `npm run bench`: measures every suite, or those whose names contain one of the arguments, and prints what they say.
 * Budgets are only shown: a run fails when a suite crashes (the others go on), never because it is slow. More of it in
 * docs/benchmarks.md.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { comparison } from './lib/compare.ts';
import { measureInProcess } from './lib/processes.ts';
import { between, markdown, table } from './lib/report.ts';
import { combine, type Measured, type Results, readResults, type SuiteResult, writeResults } from './lib/results.ts';
import type { Suite } from './lib/suite.ts';

/** The order in which they are run and shown: those of the manager, with budgets first; the ground floor; the command; threads. */
const SUITES = [
  'throughput',
  'deep-queue',
  'priorities',
  'cancel',
  'timeouts',
  'memory',
  'map',
  'one-by-one',
  'shallow-queue',
  'submitting',
  'options',
  'functions',
  'ping-pong',
  'rendezvous',
  'buffered',
  'select',
  'semaphore',
  'mutex',
  'group',
  'tasks',
  'cli',
  'threads',
];

const RESULTS = new URL('./results/', import.meta.url);
const DOCUMENT = new URL('../docs/benchmarks.md', import.meta.url);

const { values: flags, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: 'boolean', default: false },
    processes: { type: 'string' },
    json: { type: 'string' },
    from: { type: 'string' },
    compare: { type: 'string' },
    markdown: { type: 'boolean', default: false },
  },
});
const { smoke } = flags;
const processes = Number(flags.processes ?? (smoke ? 1 : 3));
if (!Number.isInteger(processes) || processes < 1) throw new RangeError(`--processes ${flags.processes}: from 1`);
const names = SUITES.filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)));
if (names.length === 0) throw new RangeError(`no suite matches; there are ${SUITES.join(', ')}`);
const before = flags.compare === undefined ? undefined : readResults(flags.compare);

const results = flags.from === undefined ? await measureAll() : readResults(flags.from);
console.log(`\n${table(results)}`);
if (before !== undefined) console.log(`\n${comparison(before, results)}`);
if (flags.from === undefined) keep(results);
if (flags.markdown) document();

async function measureAll(): Promise<Results> {
  const suites: SuiteResult[] = [];
  for (const name of names) {
    try {
      suites.push(await measureSuite(name));
    } catch (error) {
      console.error(error);
      process.exitCode = 1;
    }
  }
  return { node: process.versions.node, processes, suites };
}

async function measureSuite(name: string): Promise<SuiteResult> {
  const { suite } = (await import(new URL(`./${name}.bench.ts`, import.meta.url).href)) as { suite: Suite };
  const found: Measured[] = [];
  for (let i = 1; i <= processes; i++) {
    const begun = performance.now();
    const where = `${name}, process ${i}/${processes}`;
    const measured = await measureInProcess(name, smoke, (round, of) => progress(`${where}, round ${round}/${of}`));
    progress(`${where}: ${((performance.now() - begun) / 1_000).toFixed(1)} s`, true);
    found.push(measured);
  }
  return combine(suite, found);
}

/** One line that is written over on a terminal; elsewhere only what lasts. */
function progress(text: string, lasting = false): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}${lasting ? '\n' : ''}`);
  else if (lasting) process.stderr.write(`${text}\n`);
}

/** A full run is kept under the Node version's name; what is partial, only where it is asked for. */
function keep(results: Results): void {
  const full = !smoke && results.suites.length === SUITES.length;
  if (flags.json !== undefined) writeResults(flags.json, results);
  else if (full) {
    mkdirSync(RESULTS, { recursive: true });
    writeResults(new URL(`${process.versions.node.split('.')[0]}.json`, RESULTS), results);
  }
}

/** Writes the kept results of all Node versions into the document. */
function document(): void {
  const files = existsSync(RESULTS) ? readdirSync(RESULTS).filter((file) => /^\d+\.json$/.test(file)) : [];
  files.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  const text = files.map((file) => markdown(readResults(new URL(file, RESULTS)))).join('\n\n');
  writeFileSync(DOCUMENT, between(readFileSync(DOCUMENT, 'utf8'), `\n${text}\n`));
}
