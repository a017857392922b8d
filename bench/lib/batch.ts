/** The batch that nearly all suites measure: many tasks submitted in one turn, then all awaited. */
import type { Case, Mode } from './suite.ts';

/** A way to have a function run, sooner or later, that says when it has. `index` is its place in the batch. */
export type Submit = (task: () => Promise<void>, index: number) => Promise<void>;

/** The task of most suites: async, and nothing more. */
export async function noop(): Promise<void> {}

/** Every contender goes through this one loop, so none has a call site of its own that would be faster. */
export async function submitAll(submit: Submit, tasks: number): Promise<void> {
  const all = new Array<Promise<void>>(tasks);
  for (let i = 0; i < tasks; i++) all[i] = submit(noop, i);
  await Promise.all(all);
}

/** A case that is one such batch. */
export function batch(name: string, tasks: number, submit: Submit, mode?: Mode): Case {
  return { name, tasks, ...(mode && { mode }), run: () => submitAll(submit, tasks) };
}
