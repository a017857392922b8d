/** One process of one suite: measures it, tells the parent every round and at last what it found, and ends. */

import { measureBytes, measureTime } from './measure.ts';
import { evaluate, type Measured } from './results.ts';
import type { Suite } from './suite.ts';
import { label, scaleOf } from './suite.ts';

/** What the parent hears. */
export type Message =
  | { readonly type: 'round'; readonly round: number; readonly of: number }
  | { readonly type: 'done'; readonly measured: Measured };

const [name, smoke] = process.argv.slice(2);
const { suite } = (await import(new URL(`../${name}.bench.js`, import.meta.url).href)) as { suite: Suite };
const { cases, tearDown } = await suite.setUp(scaleOf(smoke === 'smoke'));
const measure = suite.unit === 'bytes' ? measureBytes : measureTime;
const medians = await measure(cases, {
  rounds: smoke === 'smoke' ? 1 : suite.rounds,
  warmup: smoke === 'smoke' ? 0 : suite.warmup,
  onRound: (round, of) => send({ type: 'round', round, of }),
});
await tearDown?.();
const costs = Object.fromEntries(cases.map((entry, i) => [label(entry), medians[i]!]));
send({ type: 'done', measured: evaluate(suite, costs) });
// Peers may have left a timer or a fiber behind; the measuring is over.
process.disconnect?.();

function send(message: Message): void {
  process.send?.(message);
}
