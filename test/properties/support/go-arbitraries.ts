/** What programs of channels and programs of locks have in common. Any number stands for one of what there is. */
import fc from 'fast-check';
import type { Under } from './go-operations.ts';
import { LAST_CANCELED } from './go-scopes.ts';

export interface Cancel<Act> {
  readonly do: 'cancel' | 'cancelOwn';
  readonly which: number;
  readonly cause: unknown;
  /** What is done inside. */
  readonly within: readonly Act[];
}

/** What takes time. */
export type Wait = { readonly do: 'tick'; readonly count: number } | { readonly do: 'turn' };

export const ANY = fc.nat(11);

export const SOURCE = fc.oneof(
  { weight: 9, arbitrary: fc.nat(9) },
  { weight: 1, arbitrary: fc.constant(LAST_CANCELED) },
);

/** What ends a wait, if anything. */
export const UNDER: fc.Arbitrary<Under> = fc.oneof(
  { weight: 6, arbitrary: fc.constant(undefined) },
  { weight: 2, arbitrary: SOURCE },
  { weight: 2, arbitrary: fc.constant('own' as const) },
);

/** Why things are canceled or closed: anything, and it must be told. */
export const REASON: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: fc.nat(99).map((n) => new Error(`reason ${n}`)) },
  { weight: 2, arbitrary: fc.constantFrom<unknown[]>(undefined, null, 0, '', 'a text') },
);

export type Fields = Record<string, fc.Arbitrary<unknown>>;

/** Records told apart by the field `under`. */
export function kind(name: string, under: 'do' | 'on', fields: Fields): fc.Arbitrary<unknown> {
  return fc.record({ [under]: fc.constant(name), ...fields });
}

/** Up to 60 steps: acts, cancels with acts inside, and waits, each so often. */
export function steps<Step>(
  acts: Record<string, Fields>,
  weights: Readonly<Record<string, number>>,
  waits: Record<string, Fields> = {},
): fc.Arbitrary<Step[]> {
  const weighted = (all: Record<string, Fields>) =>
    Object.entries(all).map(([name, fields]) => ({ weight: weights[name]!, arbitrary: kind(name, 'do', fields) }));
  const simple = weighted(acts);
  const within = fc.oneof(fc.constant([]), fc.array(fc.oneof(...simple), { maxLength: 3 }));
  const cancel = { which: ANY, cause: REASON, within };
  const rest = { cancel, cancelOwn: cancel, tick: { count: fc.integer({ min: 1, max: 4 }) }, turn: {}, ...waits };
  const step = fc.oneof(...simple, ...weighted(rest)) as fc.Arbitrary<Step>;
  return fc.array(step, { maxLength: 60, size: 'max' });
}
