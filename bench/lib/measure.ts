/**
 * Runs the cases of a suite in turn, round after round, so that whatever slows the machine for a while slows them all;
 * and each round begins with another case, so that no case always pays for the garbage of the same one before it.
 *
 * One iteration of tinybench is one batch. No garbage collection is forced between timed batches: it would hide what a
 * contender leaves behind, and it resets V8's idea of how large the heap may grow, so that the next batch, whoever's it
 * is, is charged for a full collection in its middle.
 */
import { Bench } from 'tinybench';
import { type Case, label } from './suite.ts';

export interface Rounds {
  readonly rounds: number;
  readonly warmup: number;
  onRound(round: number, of: number): void;
}

/**
 * The numbers below `length`, in another order for each round, and the same for the same: who comes after a contender that
 * leaves much behind pays for it, so it must not always be the same one.
 */
function shuffled(length: number, round: number): number[] {
  const order = Array.from({ length }, (_, i) => i);
  let state = round + 1;
  for (let i = length - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** The cost of one task in ns, the median of the rounds, for each case in its order. */
export async function measureTime(cases: readonly Case[], { rounds, warmup, onRound }: Rounds): Promise<number[]> {
  // Tinybench runs all iterations of a task before the next task; one iteration a run, and many runs, interleave them.
  const bench = new Bench({ iterations: 1, time: 0, warmup: false, throws: true });
  for (const entry of cases) bench.add(label(entry), () => entry.run(), { async: true, beforeEach: turn });
  const { tasks } = bench;
  const samples: number[][] = cases.map(() => []);
  for (let round = 0; round < warmup + rounds; round++) {
    onRound(round + 1, warmup + rounds);
    for (const i of shuffled(tasks.length, round)) {
      const task = tasks[i]!;
      task.reset();
      const { result } = await task.run();
      if (result.state === 'errored') throw result.error;
      cases[i]!.check?.();
      if (round < warmup || result.state !== 'completed') continue;
      samples[i]!.push((result.latency.p50 * 1e6) / cases[i]!.tasks);
    }
  }
  return samples.map(median);
}

/** The same for a suite whose batches say themselves what they took. */
export async function measureBytes(cases: readonly Case[], { rounds, warmup, onRound }: Rounds): Promise<number[]> {
  const samples: number[][] = cases.map(() => []);
  for (let round = 0; round < warmup + rounds; round++) {
    onRound(round + 1, warmup + rounds);
    for (const [i, entry] of cases.entries()) {
      await settle();
      const bytes = await entry.run();
      if (round >= warmup) samples[i]!.push(Number(bytes) / entry.tasks);
    }
  }
  return samples.map(median);
}

/** Lets what is pending happen. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** The same, then collects the garbage. */
export async function settle(): Promise<void> {
  await turn();
  if (globalThis.gc === undefined) throw new Error('the bench needs node --expose-gc');
  globalThis.gc();
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
