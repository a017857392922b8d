/** Parties that run free and share a lock, or a buffer under one: who is in, with whom, and whether all get on. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Cond, Mutex, type WaitOptions } from '../../../src/go/index.ts';
import { turn } from '../../../src/testing/turn.ts';
import { UNDER } from './go-arbitraries.ts';
import { fits, type Gate, realGate, weightFor } from './go-gates.ts';
import type { Under } from './go-operations.ts';
import { type Cancelable, cancelableSignal, SharedSources } from './go-scopes.ts';

interface Party {
  readonly weight: number;
  readonly count: number;
  /** Doesn't wait. */
  readonly tries: boolean;
  readonly under: Under;
  /** What comes in between and within, in turn: that many microtasks, or, for 0, a turn of the event loop. */
  readonly pauses: readonly number[];
  /** When its signal, or the shared one, fires, in turns of the event loop; `undefined`: at the end. */
  readonly cancelAt: number | undefined;
}

const PARTY = fc.record<Party>({
  weight: fc.integer({ min: 1, max: 6 }),
  count: fc.integer({ min: 1, max: 8 }),
  tries: fc.nat(4).map((n) => n === 0),
  under: UNDER,
  pauses: fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }),
  cancelAt: fc.option(fc.nat(12), { nil: undefined }),
});

const MOST_TURNS = 1_000;

/** What parties need: their scopes, their pauses, and somebody to see to it that all get to their end. */
class Stage {
  readonly #sources = new SharedSources();
  readonly #own: Cancelable[] = [];
  #living = 0;
  readonly #played: Promise<void>[] = [];
  #turns = 0;
  readonly #cancels: { readonly at: number; readonly cancel: () => void }[] = [];

  optionsFor({ under, cancelAt }: Party): WaitOptions | undefined {
    if (under === undefined) return undefined;
    const own = under === 'own' ? cancelableSignal() : undefined;
    if (own !== undefined) this.#own.push(own);
    const cancel = () => (typeof under === 'number' ? this.#sources.cancel(under, 'enough') : own?.cancel('enough'));
    if (cancelAt !== undefined) this.#cancels.push({ at: cancelAt, cancel });
    return { signal: (own ?? this.#sources.at(under as number)).given };
  }

  play(part: () => Promise<void>): void {
    this.#living++;
    const played = part().finally(() => this.#living--);
    played.catch(() => {}); // until it is awaited
    this.#played.push(played);
  }

  /** Until all have come to their end, by themselves. */
  async end(): Promise<void> {
    for (; this.#turns < MOST_TURNS && this.#living > 0; this.#turns++) {
      for (const { at, cancel } of this.#cancels) if (at === this.#turns) cancel();
      await turn();
    }
    assert.equal(this.#living, 0, 'somebody waits for ever');
    await Promise.all(this.#played);
    for (const own of this.#own) own.check();
    this.#sources.check();
    this.#sources.cancelAll();
    for (const own of this.#own) own.cancel('the end');
  }
}

async function pause({ pauses }: Party, count: number): Promise<void> {
  const ticks = pauses[count % pauses.length]!;
  if (ticks === 0) await turn();
  else for (let i = 0; i < ticks; i++) await undefined;
}

function rethrowFailures(error: unknown): void {
  if (error instanceof assert.AssertionError) throw error;
}

interface Sections {
  readonly gate: Gate;
  readonly parties: readonly Party[];
}

export const sections: fc.Arbitrary<Sections> = fc.record({
  gate: fc.oneof(
    fc.record({ kind: fc.constant('semaphore' as const), size: fc.constant(6) }),
    fc.constantFrom<Gate[]>({ kind: 'mutex' }, { kind: 'rwMutex' }),
  ),
  parties: fc.array(PARTY, { minLength: 1, maxLength: 10, size: 'max' }),
});

/** Each party comes and goes by `using`. */
export async function runSections({ gate, parties }: Sections): Promise<void> {
  const stage = new Stage();
  const real = realGate(gate);
  const inside: number[] = [];
  let tickets = 0;
  let last = -1;
  const visit = async (party: Party, options: WaitOptions | undefined): Promise<void> => {
    const weight = weightFor(gate, party.weight);
    const ticket = tickets++;
    using permit = party.tries ? real.tryAcquire(weight) : await real.acquire(weight, options);
    if (permit === undefined) return;
    assert.ok(fits(gate, inside, weight), `${weight} is in beside ${inside}`);
    // Where one is in at a time, it can be seen who was first.
    if (gate.kind === 'mutex') assert.ok(ticket > last, `${ticket} is in after ${last}`);
    last = ticket;
    inside.push(weight);
    await pause(party, ticket);
    inside.splice(inside.indexOf(weight), 1);
  };
  for (const party of parties) {
    const options = stage.optionsFor(party);
    stage.play(async () => {
      for (let i = 0; i < party.count; i++) {
        await visit(party, options).catch(rethrowFailures);
        await pause(party, i);
      }
    });
  }
  await stage.end();
  assert.notEqual(real.tryAcquire(weightFor(gate, 6)), undefined, 'all of it can be had again');
}

interface Buffer {
  readonly capacity: number;
  readonly producers: readonly Party[];
  readonly consumers: readonly Party[];
}

const PARTIES = fc.array(PARTY, { minLength: 1, maxLength: 5, size: 'max' });
export const buffers: fc.Arbitrary<Buffer> = fc.record({
  capacity: fc.integer({ min: 1, max: 3 }),
  producers: PARTIES,
  consumers: PARTIES,
});

/** The buffer of the textbooks: it stands still if a single signal is lost, and breaks if two are in at once. */
export async function runBuffer({ capacity, producers, consumers }: Buffer): Promise<void> {
  const stage = new Stage();
  const mutex = new Mutex();
  const [hasRoom, hasItems] = [new Cond(mutex), new Cond(mutex)];
  const total = producers.reduce((sum, { count }) => sum + count, 0);
  let [length, taken] = [0, 0];
  let holder: Party | undefined;

  /** Waits until it is so; who is canceled meanwhile goes on waiting without a signal. */
  const until = async (party: Party, cond: Cond, isSo: () => boolean, options?: WaitOptions): Promise<void> => {
    let given = options;
    while (!isSo()) {
      holder = undefined;
      await cond.wait(given).catch(() => (given = undefined));
      assert.equal(holder, undefined, 'who has waited holds the mutex');
      assert.ok(mutex.locked, 'who has waited holds the mutex');
      holder = party;
    }
  };
  const section = async (party: Party, work: () => Promise<void>): Promise<void> => {
    using _ = await mutex.lock();
    assert.equal(holder, undefined);
    holder = party;
    await work();
    await pause(party, length);
    holder = undefined;
  };
  for (const producer of producers) {
    const options = stage.optionsFor(producer);
    const put = async (): Promise<void> => {
      await until(producer, hasRoom, () => length < capacity, options);
      length++;
      hasItems.signal();
    };
    stage.play(async () => {
      for (let i = 0; i < producer.count; i++) await section(producer, put);
    });
  }
  for (const consumer of consumers) {
    const options = stage.optionsFor(consumer);
    const get = async (): Promise<void> => {
      await until(consumer, hasItems, () => length > 0 || taken === total, options);
      if (taken === total) return;
      length--;
      hasRoom.signal();
      if (++taken === total) hasItems.broadcast();
    };
    stage.play(async () => {
      while (taken < total) await section(consumer, get);
    });
  }
  await stage.end();
  assert.equal(taken, total);
  assert.equal(length, 0);
  assert.equal(mutex.locked, false);
}
