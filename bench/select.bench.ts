/**
 * What does a select cost over 2 channels and over 16, all of which have a value, or none, so that it waits for the
 * sender that comes to one of them?
 */
import * as thing from '@thi.ng/csp';
import { Effect, Fiber, Queue } from 'effect';
import { Chan, recv, Select } from 'ts-chan';
import { Channel, receive, select } from '../src/go/index.ts';
import { type Case, ratio, type Suite } from './lib/suite.ts';

const SELECTS = 50_000;
/** For effect, which starts a fiber for each channel at every select. */
const FEWER = 2_000;
const COUNTS = [2, 16] as const;
const STATES = ['ready', 'waiting'] as const;
const PEERS = ['@thi.ng/csp', 'ts-chan', 'effect'] as const;

/** Channels, over each of which go values that say which one it is. */
interface Lines {
  /** Puts a value into one that is empty. */
  fill(index: number): void;
  send(index: number): Promise<unknown>;
  select(): Promise<unknown>;
  /** The value of what was selected. */
  read(selected: unknown): number;
}

type CreateLines = (count: number, capacity: number) => Lines;

export const suite: Suite = {
  name: 'select',
  question: 'a select over 2 or 16 channels, with a value in each, or waiting for one',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: STATES.flatMap((state) =>
    COUNTS.flatMap((count) => {
      const what = `${count} ${state}`;
      return [
        ratio(`${what} / the floor`, `${what}, errand`, `${what}, floor`, [1.5]),
        ...PEERS.map((peer) => ratio(`${what} / ${peer}`, `${what}, errand`, `${what}, ${peer}`, [1])),
      ];
    }),
  ),
  async setUp({ size }) {
    const [tasks, fewer] = [size(SELECTS), size(FEWER)];
    const contenders: Record<string, CreateLines> = {
      errand: createErrand,
      floor: (count, capacity) => new Floor(count, capacity),
      '@thi.ng/csp': createThing,
      'ts-chan': createTsChan,
    };
    const cases: Case[] = COUNTS.flatMap((count) => [
      ...Object.entries(contenders).flatMap(([name, create]) => [
        { name: `${count} ready, ${name}`, tasks, run: () => selectReady(create(count, 1), count, tasks) },
        { name: `${count} waiting, ${name}`, tasks, run: () => selectWaiting(create(count, 0), count, tasks) },
      ]),
      { name: `${count} ready, effect`, tasks: fewer, run: () => selectInFibers(count, fewer, true) },
      { name: `${count} waiting, effect`, tasks: fewer, run: () => selectInFibers(count, fewer, false) },
    ]);
    return { cases };
  },
};

async function selectReady(lines: Lines, count: number, times: number): Promise<void> {
  for (let i = 0; i < count; i++) lines.fill(i);
  for (let i = 0; i < times; i++) lines.fill(lines.read(await lines.select()));
}

/** The select waits first, and then for each value. */
async function selectWaiting(lines: Lines, count: number, times: number): Promise<void> {
  let [sent, received] = [0, 0];
  async function consume(): Promise<void> {
    for (let i = 0; i < times; i++) received += lines.read(await lines.select());
  }
  async function produce(): Promise<void> {
    const pick = picker(count);
    for (let i = 0; i < times; i++) {
      const index = pick();
      sent += index;
      await lines.send(index);
    }
  }
  await Promise.all([consume(), produce()]);
  if (received !== sent) throw new Error(`of ${sent}, ${received} was received`);
}

/** The same random numbers for all. */
function picker(count: number): () => number {
  let seed = 1;
  return () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (seed >>> 16) % count;
  };
}

/** Cases are made for each select, as in the manual; who has sixteen channels has them in an object. */
function createErrand(count: number, capacity: number): Lines {
  const channels = Array.from({ length: count }, () => new Channel<number>(capacity));
  const [a, b] = channels;
  const cases = Object.fromEntries(channels.map((channel, i) => [`channel${i}`, channel]));
  return {
    fill: (index) => void channels[index]!.trySend(index),
    send: (index) => channels[index]!.send(index),
    select: count === 2 ? () => select({ a: receive(a), b: receive(b) }) : () => select(cases),
    read: ({ value }: { readonly value: number | undefined }) => value ?? Number.NaN,
  };
}

/** It takes the first that is ready. A channel has room for one value, and a write is told when that is read. */
function createThing(count: number): Lines {
  const channels = Array.from({ length: count }, () => thing.channel<number>(1));
  const [first, ...rest] = channels;
  return {
    fill: (index) => void channels[index]!.offer(index),
    send: (index) => channels[index]!.write(index),
    select: () => thing.select(first!, ...rest),
    read: ([value]: [number | undefined, unknown]) => value ?? Number.NaN,
  };
}

/** A Select is made once, for the loop, and as errand does, it lets timers live. */
function createTsChan(count: number, capacity: number): Lines {
  const channels = Array.from({ length: count }, () => new Chan<number>(capacity));
  const selection = new Select(channels.map((channel) => recv(channel)));
  return {
    fill: (index) => void channels[index]!.trySend(index),
    send: (index) => channels[index]!.send(index),
    select: () => selection.wait(),
    read: (index: number) => selection.recv(selection.cases[index]!).value ?? Number.NaN,
  };
}

/** A race of takes: those that lose are interrupted, and have taken nothing. */
function selectInFibers(count: number, times: number, ready: boolean): Promise<void> {
  const program = Effect.gen(function* () {
    const queues: Queue.Queue<number>[] = [];
    for (let i = 0; i < count; i++) queues.push(yield* Queue.bounded<number>(ready ? 1 : 0));
    const select = Effect.raceAllFirst(queues.map((queue) => Queue.take(queue)));
    if (ready) {
      for (const [i, queue] of queues.entries()) yield* Queue.offer(queue, i);
      for (let i = 0; i < times; i++) {
        const index = yield* select;
        yield* Queue.offer(queues[index]!, index);
      }
      return;
    }
    let [sent, received] = [0, 0];
    const producer = yield* Effect.forkChild(
      Effect.gen(function* () {
        const pick = picker(count);
        for (let i = 0; i < times; i++) {
          const index = pick();
          sent += index;
          yield* Queue.offer(queues[index]!, index);
        }
      }),
    );
    for (let i = 0; i < times; i++) received += yield* select;
    yield* Fiber.join(producer);
    if (received !== sent) throw new Error(`of ${sent}, ${received} was received`);
  });
  return Effect.runPromise(program);
}

/**
 * The least a select can cost that leaves nothing behind: a look at each channel, and one promise; when it waits, also
 * a place taken at each channel and given up again. A channel has room for one value, and for one sender that waits.
 */
class Floor implements Lines {
  readonly #capacity: number;
  readonly #values: (number | undefined)[];
  readonly #senders: ((() => void) | undefined)[];
  readonly #waiting: (((value: number) => void) | undefined)[];

  constructor(count: number, capacity: number) {
    this.#capacity = capacity;
    this.#values = new Array(count).fill(undefined);
    this.#senders = new Array(count).fill(undefined);
    this.#waiting = new Array(count).fill(undefined);
  }

  fill(index: number): void {
    this.#values[index] = index;
  }

  send(index: number): Promise<void> {
    const receiver = this.#waiting[index];
    if (receiver !== undefined) {
      for (let i = 0; i < this.#waiting.length; i++) this.#waiting[i] = undefined;
      receiver(index);
      return DONE;
    }
    this.#values[index] = index;
    if (this.#capacity > 0) return DONE;
    return new Promise((resolve) => {
      this.#senders[index] = resolve;
    });
  }

  select(): Promise<number> {
    let chosen = -1;
    let ready = 0;
    for (let i = 0; i < this.#values.length; i++) {
      if (this.#values[i] !== undefined && Math.random() * ++ready < 1) chosen = i;
    }
    if (chosen < 0) {
      return new Promise((resolve) => {
        for (let i = 0; i < this.#waiting.length; i++) this.#waiting[i] = resolve;
      });
    }
    const value = this.#values[chosen]!;
    this.#values[chosen] = undefined;
    this.#senders[chosen]?.();
    this.#senders[chosen] = undefined;
    return Promise.resolve(value);
  }

  read(selected: number): number {
    return selected;
  }
}

const DONE: Promise<void> = Promise.resolve();
