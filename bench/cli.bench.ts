/**
 * What does an input cost that the command maps, `errand map`, against what one would write or type otherwise? All are
 * child processes, so a part of it is their start-up, which is also measured by itself.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, createJob, type Job, linesOf, run, scriptOf } from './cli/jobs.ts';
import { CONCURRENCY } from './lib/errand.ts';
import { type Case, type Figure, ratio, type Suite } from './lib/suite.ts';

const INPUTS = 50_000;
/** For xargs when it starts a process for each. */
const FEW = 100;
const PER_PROCESS = 1_000;
/** So many of them are one measurement, as each is short. */
const STARTS = 5;

/** As it is published: `npm run bench` builds it. */
const ERRAND = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const NODE = process.execPath;
const HERE = fileURLToPath(new URL('.', import.meta.url));

type Command = readonly [file: string, ...args: string[]];

/** Where there is none that can run several processes, it isn't compared. */
const hasXargs = spawnSync('xargs', ['-P', '2', '-n', '1', 'true'], { input: '' }).status === 0;

const WITH_XARGS: readonly Figure[] = [
  ratio(`${FEW} inputs / xargs -P ${CONCURRENCY} -n 1, which starts a node for each`, 'few', 'few, xargs', [0.1]),
  ratio(`lengths / xargs -P ${CONCURRENCY} -n ${PER_PROCESS}, a node for ${PER_PROCESS}`, 'lengths', 'lengths, xargs'),
];

export const suite: Suite = {
  name: 'cli',
  question: `an input of ${INPUTS.toLocaleString('en')} lines, ${CONCURRENCY} at once${hasXargs ? '' : '; there is no xargs here to compare with'}`,
  unit: 'ns',
  rounds: 3,
  warmup: 0,
  figures: [
    ratio('start-up with one input / a script that maps it', 'start', 'start, script'),
    ratio('start-up with one input / node -e 0', 'start', 'start, node'),
    ...(hasXargs ? WITH_XARGS : []),
    ratio('lengths / a p-map script, line by line', 'lengths', 'lengths, p-map lines', [1.5]),
    ratio('lengths / a p-map script, all in memory', 'lengths', 'lengths, p-map'),
    ratio('sizes of files / a p-map script, line by line', 'sizes', 'sizes, p-map lines', [1.5]),
    ratio('sizes of files / a p-map script, all in memory', 'sizes', 'sizes, p-map'),
    ratio('lengths with a journal / without', 'lengths, journal', 'lengths'),
  ],
  async setUp({ size, smoke }) {
    // Beside what is built: a folder for temporary files may be in memory, and a journal waits for its disk.
    const folder = mkdtempSync(fileURLToPath(new URL('../cli-', import.meta.url)));
    const words = Array.from({ length: size(INPUTS) }, (_, i) => `record-${i}`);
    const files = readdirSync(HERE).map((name) => join(HERE, name));
    const paths = words.map((_, i) => files[i % files.length]!);
    const one = await createJob(folder, 'length', words.slice(0, 1));
    const few = await createJob(folder, 'length', words.slice(0, smoke ? 8 : FEW));
    const lengths = await createJob(folder, 'length', words);
    const sizes = await createJob(folder, 'size', paths);
    const journal = join(folder, 'journal');
    const starts = smoke ? 1 : STARTS;
    const cases = [
      times(mapping('start', one, NODE, ERRAND, 'map', one.module, words[0]!), starts),
      times(mapping('start, script', one, NODE, scriptOf('each'), one.module, words[0]!), starts),
      times({ name: 'start, node', tasks: 1, run: async () => run(one, NODE, '-e', '0') }, starts),
      mapping('few', few, ...errandMap(few)),
      mapping('lengths', lengths, ...errandMap(lengths)),
      mapping('lengths, p-map lines', lengths, ...scriptMap('p-map-lines', lengths)),
      mapping('lengths, p-map', lengths, ...scriptMap('p-map', lengths)),
      mapping('sizes', sizes, ...errandMap(sizes)),
      mapping('sizes, p-map lines', sizes, ...scriptMap('p-map-lines', sizes)),
      mapping('sizes, p-map', sizes, ...scriptMap('p-map', sizes)),
      journaled(mapping('lengths, journal', lengths, ...errandMap(lengths), '--journal', journal), journal),
    ];
    if (hasXargs) {
      cases.push(
        mapping('few, xargs', few, ...xargs(few, 1)),
        mapping('lengths, xargs', lengths, ...xargs(lengths, PER_PROCESS)),
      );
    }
    return { cases, tearDown: async () => rmSync(folder, { recursive: true }) };
  },
};

/** So many in a row. */
function times(entry: Case, count: number): Case {
  return {
    ...entry,
    tasks: entry.tasks * count,
    run: async () => {
      for (let i = 0; i < count; i++) await entry.run();
    },
  };
}

function mapping(name: string, job: Job, ...command: Command): Case {
  return { name, tasks: job.size, run: async () => run(job, ...command), check: () => check(job) };
}

/** Each time with a new journal. */
function journaled(entry: Case, journal: string): Case {
  return {
    ...entry,
    check: () => {
      entry.check?.();
      const kept = linesOf(journal).length - 1; // the first line says whose it is
      if (kept !== entry.tasks) throw new Error(`the journal holds ${kept} of ${entry.tasks}`);
      rmSync(journal);
    },
  };
}

function errandMap({ module, from, to }: Job): Command {
  return [NODE, ERRAND, 'map', module, '--from', from, '--out', to, '--concurrency', String(CONCURRENCY)];
}

function scriptMap(script: string, { module, from, to }: Job): Command {
  return [NODE, scriptOf(script), module, from, to, String(CONCURRENCY)];
}

function xargs({ module }: Job, perProcess: number): Command {
  return ['xargs', '-P', String(CONCURRENCY), '-n', String(perProcess), NODE, scriptOf('each'), module];
}
