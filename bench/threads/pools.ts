/** A pool of threads of each library, made and called as its documents advise for speed, with one face for all. */
import { fileURLToPath } from 'node:url';
import { FixedQueue, Piscina } from 'piscina';
import { FixedThreadPool } from 'poolifier';
import Tinypool from 'tinypool';
import workerpool from 'workerpool';
import { TaskManager } from '../../src/index.ts';
import { threads, transfer } from '../../src/threads/index.ts';
import type * as functions from './errand.ts';
import type { Bytes } from './functions.ts';

/** A pool whose threads have loaded the functions. */
export interface Pool {
  noop(): PromiseLike<unknown>;
  compute(limit: number): PromiseLike<unknown>;
  /** There and back as copies. */
  echo(bytes: Bytes): PromiseLike<unknown>;
  /** There and back without: the bytes are gone from here until they return. */
  move(bytes: Bytes): PromiseLike<unknown>;
  close(): PromiseLike<unknown>;
}

/** Makes a pool of so many threads; with `bare`, of a module that has no `move`, and so nothing of a library to import. */
export type CreatePool = (threadCount: number, bare?: boolean) => Promise<Pool>;

export const POOLS: readonly (readonly [name: string, create: CreatePool])[] = [
  ['errand', createErrand],
  ['piscina', createPiscina],
  ['tinypool', createTinypool],
  ['workerpool', createWorkerpool],
  ['poolifier', createPoolifier],
];

async function createErrand(threadCount: number, bare = false): Promise<Pool> {
  const manager = new TaskManager({
    ...threads<typeof functions>(moduleOf(bare ? 'functions' : 'errand')),
    workerCount: threadCount,
    maxWorkerCount: threadCount,
  });
  await manager.ready();
  return {
    noop: () => manager.queueTask((_, thread) => thread.api.noop()),
    compute: (limit) => manager.queueTask((_, thread) => thread.api.compute(limit)),
    echo: (bytes) => manager.queueTask((_, thread) => thread.api.echo(bytes)),
    move: (bytes) => manager.queueTask((_, thread) => thread.api.move(transfer(bytes, [bytes.buffer]))),
    close: () => manager.stop(),
  };
}

/** Its threads sleep in `Atomics.wait`, as they do if nothing else is said. */
async function createPiscina(threadCount: number, bare = false): Promise<Pool> {
  const pool = new Piscina({
    filename: moduleOf(bare ? 'functions' : 'piscina').href,
    minThreads: threadCount,
    maxThreads: threadCount,
    taskQueue: new FixedQueue(),
    recordTiming: false,
  });
  return {
    noop: () => pool.run(undefined, { name: 'noop' }),
    compute: (limit) => pool.run(limit, { name: 'compute' }),
    echo: (bytes) => pool.run(bytes, { name: 'echo' }),
    move: (bytes) => pool.run(Piscina.move(bytes), { name: 'move' }),
    close: () => pool.destroy(),
  };
}

async function createTinypool(threadCount: number, bare = false): Promise<Pool> {
  const pool = new Tinypool({
    filename: moduleOf(bare ? 'functions' : 'tinypool').href,
    minThreads: threadCount,
    maxThreads: threadCount,
  });
  return {
    noop: () => pool.run(undefined, { name: 'noop' }),
    compute: (limit) => pool.run(limit, { name: 'compute' }),
    echo: (bytes) => pool.run(bytes, { name: 'echo' }),
    move: (bytes) => pool.run(Tinypool.move(bytes), { name: 'move' }),
    close: () => pool.destroy(),
  };
}

async function createWorkerpool(threadCount: number): Promise<Pool> {
  const pool = workerpool.pool(fileURLToPath(moduleOf('workerpool')), {
    workerType: 'thread',
    minWorkers: threadCount,
    maxWorkers: threadCount,
  });
  return {
    noop: () => pool.exec('noop'),
    compute: (limit) => pool.exec('compute', [limit]),
    echo: (bytes) => pool.exec('echo', [bytes]),
    move: (bytes) => pool.exec('move', [bytes], { transfer: [bytes.buffer] }),
    close: async () => void (await pool.terminate()),
  };
}

async function createPoolifier(threadCount: number): Promise<Pool> {
  const pool = new FixedThreadPool<unknown>(threadCount, fileURLToPath(moduleOf('poolifier')));
  return {
    noop: () => pool.execute(undefined, 'noop'),
    compute: (limit) => pool.execute(limit, 'compute'),
    echo: (bytes) => pool.execute(bytes, 'echo'),
    move: (bytes) => pool.execute(bytes, 'move', undefined, [bytes.buffer]),
    close: () => pool.destroy(),
  };
}

/** The module of functions as a library's threads have them. */
function moduleOf(library: string): URL {
  return new URL(`./${library}.js`, import.meta.url);
}
