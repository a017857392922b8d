/** Programs of channels at random. */
import fc from 'fast-check';
import { ANY, type Cancel, kind, REASON, SOURCE, steps, UNDER, type Wait } from './go-arbitraries.ts';
import type { Under } from './go-operations.ts';
import { THENABLE } from './go-show.ts';

export type Case =
  | { readonly on: 'receive' | 'bare'; readonly channel: number }
  | { readonly on: 'send'; readonly channel: number; readonly value: unknown }
  | { readonly on: 'nothing'; readonly kind: 'receive' | 'send' | 'undefined' }
  | { readonly on: 'after'; readonly ms: number }
  | { readonly on: 'timer'; readonly timer: number }
  | { readonly on: 'source'; readonly source: number };

/** What is done at once. */
export type Act =
  | { readonly do: 'send'; readonly channel: number; readonly value: unknown; readonly under: Under }
  | { readonly do: 'receive'; readonly channel: number; readonly under: Under }
  | { readonly do: 'receiveTime'; readonly timer: number; readonly under: Under }
  | { readonly do: 'next' | 'return'; readonly iterator: number }
  | {
      readonly do: 'select';
      readonly cases: readonly Case[];
      /** Where among the cases there is a default, if anywhere. */
      readonly defaultAt: number | undefined;
      /** What is picked by among several, in hundredths, over and over. */
      readonly random: readonly number[];
      readonly under: Under;
    }
  | ActAtOnce
  | Cancel<Act>;

/** What needs no wait. */
export type ActAtOnce =
  | { readonly do: 'trySend'; readonly channel: number; readonly value: unknown }
  | { readonly do: 'tryReceive'; readonly channel: number }
  | { readonly do: 'close'; readonly channel: number; readonly error: unknown };

export type Step = Act | Wait | { readonly do: 'advance'; readonly ms: number };

export interface ChannelProgram {
  readonly capacities: readonly number[];
  readonly iterators: readonly { readonly channel: number; readonly under: number | undefined }[];
  /** When the shared timers are due. */
  readonly timers: readonly number[];
  /** When a shared context ends by itself. */
  readonly deadline: number;
  readonly steps: readonly Step[];
}

/** How often a step comes. */
type Weights = Readonly<Record<Step['do'], number>>;

const USUAL: Weights = {
  send: 90,
  receive: 70,
  receiveTime: 5,
  next: 30,
  return: 3,
  trySend: 20,
  tryReceive: 20,
  select: 120,
  close: 7,
  cancel: 8,
  cancelOwn: 15,
  tick: 30,
  turn: 30,
  advance: 10,
};

const VALUE: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 18, arbitrary: fc.nat(9_999) },
  { weight: 2, arbitrary: fc.constantFrom<unknown[]>(undefined, null, THENABLE) },
);
const MS = fc.integer({ min: -1, max: 8 });
const CAPACITY = fc.constantFrom(0, 0, 0, 1, 2, 5, Number.POSITIVE_INFINITY);

const CASE = fc.oneof(
  { weight: 6, arbitrary: kind('receive', 'on', { channel: ANY }) },
  { weight: 2, arbitrary: kind('bare', 'on', { channel: ANY }) },
  { weight: 7, arbitrary: kind('send', 'on', { channel: ANY, value: VALUE }) },
  { weight: 1, arbitrary: kind('after', 'on', { ms: MS }) },
  { weight: 1, arbitrary: kind('timer', 'on', { timer: ANY }) },
  { weight: 2, arbitrary: kind('source', 'on', { source: SOURCE }) },
  { weight: 1, arbitrary: kind('nothing', 'on', { kind: fc.constantFrom('receive', 'send', 'undefined') }) },
);

const ACTS = {
  send: { channel: ANY, value: VALUE, under: UNDER },
  receive: { channel: ANY, under: UNDER },
  receiveTime: { timer: ANY, under: UNDER },
  next: { iterator: ANY },
  return: { iterator: ANY },
  trySend: { channel: ANY, value: VALUE },
  tryReceive: { channel: ANY },
  select: {
    cases: fc.array(CASE, { maxLength: 5 }),
    defaultAt: fc.option(fc.nat(5), { nil: undefined, freq: 6 }),
    random: fc.array(fc.nat(99), { minLength: 1, maxLength: 4 }),
    under: UNDER,
  },
  close: { channel: ANY, error: REASON },
};

/** What a property bends. */
interface Focus {
  /** At most so many channels. Default 3. */
  readonly channels?: number;
  readonly weights?: Partial<Weights>;
}

export function channelPrograms({ channels = 3, weights }: Focus = {}): fc.Arbitrary<ChannelProgram> {
  const iterator = fc.record({ channel: ANY, under: fc.option(fc.nat(9), { nil: undefined, freq: 2 }) });
  return fc.record({
    capacities: fc.array(CAPACITY, { minLength: 1, maxLength: channels }),
    iterators: fc.array(iterator, { minLength: 1, maxLength: 3 }),
    timers: fc.array(MS, { minLength: 1, maxLength: 2 }),
    deadline: fc.integer({ min: 1, max: 12 }),
    steps: steps<Step>(ACTS, { ...USUAL, ...weights }, { advance: { ms: fc.nat(6) } }),
  });
}
