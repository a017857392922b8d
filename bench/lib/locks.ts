/** Semaphores and locks, as errand and its peers have them, and the two loops that measure them. */
import { Effect, Semaphore as EffectSemaphore } from 'effect';
import { type Case, type Figure, ratio } from './suite.ts';

/** What lets in so many at once. What it gives its holders stays as its library has it. */
export interface Gate {
  enter(): Promise<unknown>;
  leave(permit: unknown): void;
}

/** One that is a semaphore of so many permits, or a lock. */
export type CreateGate = () => Gate;

const LOOPS = 1_000;

/** effect wakes all who might get in at every release, of a thousand: so many more would take seconds. */
const FEWER = 20_000;

/** Both questions to a gate that lets in so many: what it costs when nobody waits, and when nearly all do. */
export function lockCases(gates: Record<string, CreateGate>, permits: number, size: (tasks: number) => number): Case[] {
  const [alone, together, fewer] = [size(200_000), size(100_000), size(FEWER)];
  const all = Object.entries({ ...gates, floor: () => new Floor(permits) });
  return [
    ...all.map(([name, create]) => ({ name: `free, ${name}`, tasks: alone, run: () => enterAlone(create(), alone) })),
    { name: 'free, effect', tasks: alone, run: () => enterAloneInFiber(permits, alone) },
    ...all.map(([name, create]) => ({
      name: `taken, ${name}`,
      tasks: together,
      run: () => enterAll(create(), together),
    })),
    { name: 'taken, effect', tasks: fewer, run: () => enterAllInFibers(permits, fewer) },
  ];
}

export function lockFigures(peers: readonly string[]): Figure[] {
  return (['free', 'taken'] as const).flatMap((state) => [
    ratio(`${state} / the floor`, `${state}, errand`, `${state}, floor`, [1.5]),
    ...peers.map((peer) => ratio(`${state} / ${peer}`, `${state}, errand`, `${state}, ${peer}`, [1])),
  ]);
}

/** One loop that never has to wait. */
async function enterAlone(gate: Gate, times: number): Promise<void> {
  for (let i = 0; i < times; i++) gate.leave(await gate.enter());
}

/**
 * A thousand loops that enter and leave by turns, so that nearly all of them always wait. What they hold they hold over
 * an await, as what holds nothing over one needs no lock.
 */
async function enterAll(gate: Gate, times: number): Promise<void> {
  const loops = Math.min(LOOPS, times);
  await Promise.all(Array.from({ length: loops }, () => enterByTurns(gate, times / loops)));
}

async function enterByTurns(gate: Gate, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const permit = await gate.enter();
    await undefined;
    gate.leave(permit);
  }
}

function enterAloneInFiber(permits: number, times: number): Promise<void> {
  const program = Effect.gen(function* () {
    const semaphore = yield* EffectSemaphore.make(permits);
    const enter = semaphore.withPermits(1)(Effect.void);
    for (let i = 0; i < times; i++) yield* enter;
  });
  return Effect.runPromise(program);
}

function enterAllInFibers(permits: number, times: number): Promise<void> {
  const loops = Math.min(LOOPS, times);
  const program = Effect.gen(function* () {
    const semaphore = yield* EffectSemaphore.make(permits);
    const enter = semaphore.withPermits(1)(Effect.yieldNow);
    const loop = Effect.gen(function* () {
      for (let i = 0; i < times / loops; i++) yield* enter;
    });
    yield* Effect.forEach(Array.from({ length: loops }), () => loop, { concurrency: 'unbounded', discard: true });
  });
  return Effect.runPromise(program);
}

/**
 * The least that a gate can cost which answers by a promise: one promise for each that enters; the others wait in a
 * ring that never has to grow. Nothing tells who leaves without having entered, nothing ends a wait, and all want one.
 */
class Floor implements Gate {
  #free: number;
  readonly #ring = new Array<(() => void) | undefined>(1_024).fill(undefined);
  #first = 0;
  #waiting = 0;

  constructor(permits: number) {
    this.#free = permits;
  }

  enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#ring[(this.#first + this.#waiting++) & 1_023] = resolve;
    });
  }

  leave(): void {
    if (this.#waiting === 0) {
      this.#free++;
      return;
    }
    const next = this.#ring[this.#first]!;
    this.#first = (this.#first + 1) & 1_023;
    this.#waiting--;
    next();
  }
}
