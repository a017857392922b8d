/** Errand's locks, as one. */
import { Mutex, type Permit, RWMutex, Semaphore, type WaitOptions } from '../../../src/go/index.ts';

export type Gate =
  | { readonly kind: 'semaphore'; readonly size: number }
  | { readonly kind: 'mutex' }
  | { readonly kind: 'rwMutex' };

/** How much a writer weighs; a reader weighs 1. */
export const WRITER = 2;

export interface RealGate {
  readonly semaphore?: Semaphore;
  readonly mutex?: Mutex;
  acquire(weight: number, options: WaitOptions | undefined): Promise<Permit>;
  tryAcquire(weight: number): Permit | undefined;
}

export function realGate(gate: Gate): RealGate {
  if (gate.kind === 'semaphore') {
    const semaphore = new Semaphore(gate.size);
    return {
      semaphore,
      acquire: (weight, options) => semaphore.acquire(weight, options),
      tryAcquire: (weight) => semaphore.tryAcquire(weight),
    };
  }
  if (gate.kind === 'mutex') {
    const mutex = new Mutex();
    return { mutex, acquire: (_, options) => mutex.lock(options), tryAcquire: () => mutex.tryLock() };
  }
  const lock = new RWMutex();
  return {
    acquire: (weight, options) => (weight < WRITER ? lock.readLock(options) : lock.lock(options)),
    tryAcquire: (weight) => (weight < WRITER ? lock.tryReadLock() : lock.tryLock()),
  };
}

/** What a program gives as a weight, as the gate takes it: a reader or a writer; a mutex knows no weights. */
export function weightFor(gate: Gate, weight: number): number {
  if (gate.kind === 'semaphore') return weight;
  return gate.kind === 'rwMutex' && Math.abs(weight) % 3 === 0 ? WRITER : 1;
}

/** Whether it may come in beside those. */
export function fits(gate: Gate, held: readonly number[], weight: number): boolean {
  if (gate.kind === 'semaphore') return held.reduce((sum, one) => sum + one, weight) <= gate.size;
  if (gate.kind === 'mutex') return held.length === 0;
  return held.every((one) => weight < WRITER && one < WRITER);
}
