/**
 * What does it cost to have a function called in a thread, and what does it bring? Against the pools of threads that
 * one would use otherwise, with as many threads, that call the same functions.
 */
import { type Case, type Figure, ratio, type Suite } from './lib/suite.ts';
import type { Bytes } from './threads/functions.ts';
import { type CreatePool, POOLS, type Pool } from './threads/pools.ts';

const ONE_BY_ONE = 1_000;
const QUEUED = 5_000;
const MOVES = 200;
const COPIES = 50;
const MEGABYTE = 1_000_000;
/** So many computations of some 30 ms each. */
const COMPUTATIONS = 6;
const LIMIT = 100_000;
/** The longest way of Collatz's from below that: from 77,031. */
const STEPS = 350;
/** So many are one measurement, as each is short. */
const STARTS = 3;
/** By 2 threads at least 1.8 times as fast as by 1. */
const SCALING = 0.555;

/** What each library has made: pools of 1 and of 2 threads, and how to make more. */
interface Contender {
  readonly create: CreatePool;
  readonly one: Pool;
  readonly two: Pool;
}

/** One row of the table, for each of the peers. */
interface Row {
  readonly name: string;
  readonly question: string;
  readonly tasks: number;
  run(contender: Contender, tasks: number): Promise<void>;
}

const ROWS: readonly Row[] = [
  {
    name: 'one',
    question: 'a no-op, one at a time',
    tasks: ONE_BY_ONE,
    async run({ one }, tasks) {
      for (let i = 0; i < tasks; i++) await one.noop();
    },
  },
  {
    name: 'queued',
    question: `a no-op of ${QUEUED.toLocaleString('en')} queued, 2 threads`,
    tasks: QUEUED,
    run: ({ two }, tasks) => allOf(tasks, () => two.noop()),
  },
  {
    name: 'moved',
    question: '1 MB moved there and back',
    tasks: MOVES,
    run: ({ one }, tasks) => passOn(tasks, (bytes) => one.move(bytes)),
  },
  {
    name: 'copied',
    question: '1 MB copied there and back',
    tasks: COPIES,
    run: ({ one }, tasks) => passOn(tasks, (bytes) => one.echo(bytes)),
  },
  {
    name: 'computed by 1',
    question: 'a computation, 1 thread',
    tasks: COMPUTATIONS,
    run: ({ one }, tasks) => allOf(tasks, () => one.compute(LIMIT)),
  },
  {
    name: 'computed by 2',
    question: 'a computation, 2 threads',
    tasks: COMPUTATIONS,
    run: ({ two }, tasks) => allOf(tasks, () => two.compute(LIMIT)),
  },
  {
    name: 'start',
    question: 'a thread started, called once, and ended',
    tasks: STARTS,
    async run({ create }, tasks) {
      for (let i = 0; i < tasks; i++) {
        const pool = await create(1, true);
        await pool.noop();
        await pool.close();
      }
    },
  },
];

export const suite: Suite = {
  name: 'threads',
  question: 'a call of a function in a thread',
  unit: 'ns',
  rounds: 7,
  warmup: 2,
  figures: [
    ...ROWS.flatMap(({ name, question }) => againstPeers(question, name)),
    ratio('a computation by 2 threads / by 1, in errand', 'computed by 2, errand', 'computed by 1, errand', [SCALING]),
  ],
  async setUp({ size }) {
    const contenders = new Map<string, Contender>();
    for (const [name, create] of POOLS) {
      const contender = { create, one: await create(1), two: await create(2) };
      await check(name, contender.one);
      await check(name, contender.two);
      contenders.set(name, contender);
    }
    const cases: Case[] = ROWS.flatMap((row) =>
      [...contenders].map(([name, contender]) => {
        const tasks = size(row.tasks);
        return { name: `${row.name}, ${name}`, tasks, run: () => row.run(contender, tasks) };
      }),
    );
    return {
      cases,
      async tearDown() {
        for (const { one, two } of contenders.values()) await Promise.all([one.close(), two.close()]);
      },
    };
  },
};

function againstPeers(question: string, name: string): Figure[] {
  const peers = POOLS.map(([peer]) => peer).filter((peer) => peer !== 'errand');
  return peers.map((peer, i) =>
    ratio(`${i === 0 ? question : 'the same'} / ${peer}`, `${name}, errand`, `${name}, ${peer}`, [1]),
  );
}

async function allOf(tasks: number, call: () => PromiseLike<unknown>): Promise<void> {
  const all = new Array<PromiseLike<unknown>>(tasks);
  for (let i = 0; i < tasks; i++) all[i] = call();
  await Promise.all(all);
}

/** A megabyte goes there and back, again and again. */
async function passOn(tasks: number, call: (bytes: Bytes) => PromiseLike<unknown>): Promise<void> {
  let bytes: Bytes = new Uint8Array(MEGABYTE);
  for (let i = 0; i < tasks; i++) bytes = (await call(bytes)) as Bytes;
  if (bytes.length !== MEGABYTE) throw new Error(`${bytes.length} bytes have come back`);
}

/** That a pool does what is measured. */
async function check(name: string, pool: Pool): Promise<void> {
  await pool.noop();
  const moved = Uint8Array.from({ length: MEGABYTE }, (_, i) => i);
  const copied = moved.slice();
  const bytes = (await pool.move(moved)) as Bytes;
  const same = (await pool.echo(copied)) as Bytes;
  const isRight =
    moved.length === 0 &&
    copied.length === MEGABYTE &&
    same !== copied &&
    Buffer.compare(bytes, copied) === 0 &&
    Buffer.compare(same, copied) === 0 &&
    (await pool.compute(LIMIT)) === STEPS;
  if (!isRight) throw new Error(`${name} has not done what it was asked for`);
}
