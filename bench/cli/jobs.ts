/** What commands are given to map, how they are run, and what they must have done. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A module whose function is mapped. */
export interface MapModule {
  readonly default: (input: string) => Promise<number>;
}

/** A function, and what it is mapped over. */
export interface Job {
  readonly module: string;
  /** How many inputs there are. */
  readonly size: number;
  /** The file whose lines they are. */
  readonly from: string;
  /** Where the results go, of all commands. */
  readonly to: string;
  /** The results, sorted: commands end in whatever order they like. */
  readonly results: readonly string[];
}

/** The path of a script or module of this folder, as it is built. */
export function scriptOf(name: string): string {
  return fileURLToPath(new URL(`./${name}.js`, import.meta.url));
}

/** A job in a folder, of the function of a module of this folder. */
export async function createJob(folder: string, name: string, inputs: readonly string[]): Promise<Job> {
  const module = scriptOf(name);
  const { default: map } = (await import(module)) as MapModule;
  const results = await Promise.all(inputs.map(async (input) => JSON.stringify({ input, value: await map(input) })));
  const from = join(folder, `${name}-${inputs.length}.txt`);
  writeFileSync(from, `${inputs.join('\n')}\n`);
  return { module, size: inputs.length, from, to: join(folder, 'results.ndjson'), results: results.sort() };
}

/** Runs a command to its end: with the job's inputs on stdin, and stdout for the results, if it doesn't take the files. */
export function run({ from, to }: Job, command: string, ...args: readonly string[]): void {
  const [stdin, stdout] = [openSync(from, 'r'), openSync(to, 'w')];
  const { error, status, stderr } = spawnSync(command, args, { stdio: [stdin, stdout, 'pipe'], encoding: 'utf8' });
  closeSync(stdin);
  closeSync(stdout);
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr}`);
}

/** @throws Error when the results aren't those of all inputs, once each */
export function check({ to, results }: Job): void {
  const found = linesOf(to).sort();
  const wrong = found.findIndex((line, i) => line !== results[i]);
  if (wrong === -1 && found.length === results.length) return;
  throw new Error(`${found.length} of ${results.length} results${wrong === -1 ? '' : `, and ${found[wrong]}`}`);
}

export function linesOf(file: string): string[] {
  return readFileSync(file, 'utf8').split('\n').slice(0, -1);
}
