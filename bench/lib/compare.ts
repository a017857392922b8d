/** Two runs side by side, to judge a change of the hot path: by ratios, for the machine may be busier or another. */

import { short } from './report.ts';
import type { Results, Spread } from './results.ts';
import { MODES } from './suite.ts';

/** Every figure that both runs have: before, after, and the change. `*`: their spreads don't touch. */
export function comparison(before: Results, after: Results): string {
  const old = new Map(before.suites.flatMap((suite) => suite.figures.map((figure) => [key(suite, figure), figure])));
  const rows: string[][] = [];
  for (const suite of after.suites) {
    for (const figure of suite.figures) {
      for (const mode of MODES) {
        const [was, is] = [old.get(key(suite, figure))?.[mode], figure[mode]];
        if (was === undefined || is === undefined) continue;
        const name = mode === 'off' ? `${figure.question}, context off` : figure.question;
        rows.push([suite.name, name, short(was.median), short(is.median), change(was, is)]);
      }
    }
  }
  const head = ['suite', 'question', 'before', 'after', 'change'];
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((cells) => cells[i]!.length)));
  return [head, ...rows]
    .map((cells) =>
      cells
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function key(suite: { readonly name: string }, figure: { readonly question: string }): string {
  return `${suite.name}: ${figure.question}`;
}

function change(was: Spread, is: Spread): string {
  const apart = is.min > was.max || is.max < was.min ? ' *' : '';
  // What little an option adds may well double, or fall below nothing: a percentage of it would only alarm.
  if (was.median < 0.25) return `${signed(is.median - was.median, 2)}${apart}`;
  return `${signed((is.median / was.median - 1) * 100, 1)} %${apart}`;
}

function signed(value: number, digits: number): string {
  return `${value > 0 ? '+' : ''}${value.toFixed(digits)}`;
}
