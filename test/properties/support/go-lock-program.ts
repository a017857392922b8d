/** Programs of semaphores, locks and conditions at random. */
import fc from 'fast-check';
import { ANY, type Cancel, type Fields, steps, UNDER, type Wait } from './go-arbitraries.ts';
import type { Gate } from './go-gates.ts';
import type { Under } from './go-operations.ts';

/** What is done at once. `which` is any number, for a permit that is held. */
export type Act =
  | { readonly do: 'acquire'; readonly weight: number; readonly under: Under }
  | { readonly do: 'tryAcquire'; readonly weight: number }
  | { readonly do: 'release' | 'releaseTwice' | 'dispose' | 'releaseCount'; readonly which: number }
  | { readonly do: 'releaseTooMuch'; readonly extra: number }
  | { readonly do: 'wait'; readonly which: number; readonly under: Under }
  | { readonly do: 'waitFree'; readonly under: Under }
  | { readonly do: 'signal' | 'broadcast'; readonly free: boolean }
  | Cancel<Act>;

export type Step = Act | Wait;

export interface LockProgram {
  readonly gate: Gate;
  readonly steps: readonly Step[];
}

const WEIGHT = fc.integer({ min: 1, max: 6 });
const FREE = fc.nat(3).map((n) => n === 0);

const ACTS: Record<string, Fields> = {
  acquire: { weight: fc.oneof({ weight: 30, arbitrary: WEIGHT }, fc.constantFrom(0, -1, 1.5, 7)), under: UNDER },
  tryAcquire: { weight: fc.oneof({ weight: 30, arbitrary: WEIGHT }, fc.constantFrom(0, -1, 1.5, 7)) },
  release: { which: ANY },
  releaseTwice: { which: ANY },
  dispose: { which: ANY },
  releaseCount: { which: ANY },
  releaseTooMuch: { extra: fc.constantFrom(1, 2, 5) },
};

const COND_ACTS: Record<string, Fields> = {
  ...ACTS,
  wait: { which: ANY, under: UNDER },
  waitFree: { under: UNDER },
  signal: { free: FREE },
  broadcast: { free: FREE },
};

const USUAL = {
  acquire: 120,
  tryAcquire: 20,
  release: 50,
  releaseTwice: 5,
  dispose: 15,
  releaseCount: 10,
  releaseTooMuch: 5,
  wait: 80,
  waitFree: 15,
  signal: 40,
  broadcast: 10,
  cancel: 10,
  cancelOwn: 30,
  tick: 30,
  turn: 40,
};

export const semaphorePrograms: fc.Arbitrary<LockProgram> = fc.record({
  gate: fc.record({ kind: fc.constant('semaphore' as const), size: fc.integer({ min: 1, max: 6 }) }),
  steps: steps<Step>(ACTS, USUAL),
});

export const rwMutexPrograms: fc.Arbitrary<LockProgram> = fc.record({
  gate: fc.constant<Gate>({ kind: 'rwMutex' }),
  steps: steps<Step>(ACTS, USUAL),
});

/** With a condition. */
export const mutexPrograms: fc.Arbitrary<LockProgram> = fc.record({
  gate: fc.constant<Gate>({ kind: 'mutex' }),
  steps: steps<Step>(COND_ACTS, USUAL),
});
