/**
 * The soak: managers with random options, and engines with dispatchers of random tasks, one after the other, under random
 * work with real timers, for minutes. The books are checked from inside and outside as it goes, and after each of them
 * everything must be gone.
 *
 *   npm run soak -- [--minutes 3] [--seed 1]
 */
import { parseArgs } from 'node:util';
import { type ManagerMetrics, type Overflow, type TaskContext, type TaskHandle, TaskManager } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { taskLife } from './tasks.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '3' }, seed: { type: 'string' } },
});
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const until = performance.now() + Number(values.minutes) * 60_000;
console.log(`soak: seed ${seed}, ${values.minutes} minutes`);

/** Mulberry32: small, and the same for the same seed everywhere. */
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const chance = (p: number): boolean => random() < p;
const below = (n: number): number => Math.floor(random() * n);
const oneOf = <T>(of: readonly T[]): T => of[below(of.length)]!;

const trail: string[] = [];
function did(what: string): void {
  trail.push(what);
  if (trail.length > 40) trail.shift();
}

class Sick extends Error {}

/** One manager from birth to end. */
async function life(): Promise<number> {
  let alive = 0;
  let made = 0;
  const overflow = oneOf<Overflow>(['reject', 'wait', 'drop-oldest', 'drop-lowest']);
  const options = {
    workerCount: 1 + below(6),
    burstIntervalMs: oneOf([0, 5]),
    maxQueueSize: oneOf([0, 5, 100, Number.POSITIVE_INFINITY]),
    overflow,
    agingMs: oneOf([undefined, 5]),
    concurrencyPerKey: oneOf([undefined, 1, 3]),
    timeoutMs: oneOf([undefined, 20]),
    queueTimeoutMs: oneOf([undefined, undefined, 50]),
    abandonAfterMs: oneOf([5, 200]),
    killGraceMs: 50,
    maxUses: oneOf([undefined, 20]),
    maxAgeMs: oneOf([undefined, 30]),
    asyncContext: chance(0.7),
  };
  did(`new ${JSON.stringify(options)}`);
  const manager = new TaskManager<{ open: boolean }>({
    ...options,
    onCreate: async () => {
      if (chance(0.5)) await pause(below(3));
      if (chance(0.1)) throw new Error('no connection');
      alive++;
      made++;
      return { open: true };
    },
    onDestroy: (resource) => {
      if (!resource.open) fail('a resource was destroyed twice');
      resource.open = false;
      alive--;
    },
    checkHealth: (error) => !(error instanceof Sick),
  });
  const handles: TaskHandle<unknown>[] = [];
  const signals = [new AbortController(), new AbortController()];
  const promises: Promise<unknown>[] = [];
  const books = (): ManagerMetrics => {
    const m = manager.metrics();
    const { queuedTasks, runningTasks, busyWorkers, idleWorkers, activeWorkers, stuckWorkers } = manager.stats();
    const ended = m.totalTasksCompleted + m.totalTasksFailed + m.totalTasksTimedOut;
    const sum = queuedTasks + runningTasks + ended + m.totalTasksCanceled + m.totalTasksDropped;
    if (m.totalTasksArrived !== sum)
      fail(`the books don't balance: ${m.totalTasksArrived} arrived, ${sum} accounted for`);
    if (activeWorkers !== busyWorkers + idleWorkers || stuckWorkers > busyWorkers + 50)
      fail('the workers do not add up');
    return m;
  };

  const body = (depth: number) => {
    const plan = random();
    const ms = below(8);
    return async (context: TaskContext<{ open: boolean }>, resource: { open: boolean }): Promise<number> => {
      if (!resource.open && !context.signal.aborted) fail('a task got a destroyed resource');
      if (chance(0.2)) books();
      if (chance(0.1)) context.defer(() => pause(1));
      if (chance(0.02)) context.retireResource();
      if (depth < 2 && chance(0.15)) {
        const children = Array.from({ length: 1 + below(3) }, () => context.queueTask(body(depth + 1)));
        await Promise.allSettled(children);
      }
      if (plan < 0.3) return plan;
      await pause(plan > 0.97 ? 60 : ms);
      if (plan > 0.9) throw chance(0.5) ? new Sick('bad resource') : new Error('failed');
      return plan;
    };
  };

  const steps = 200 + below(600);
  for (let step = 0; step < steps; step++) {
    const signal = chance(0.1) ? oneOf(signals).signal : undefined;
    const common = {
      priority: chance(0.3) ? below(5) - 2 : undefined,
      key: chance(0.3) ? oneOf(['a', 'b', 'c']) : undefined,
      timeoutMs: chance(0.1) ? 1 + below(15) : undefined,
      queueTimeoutMs: chance(0.1) ? below(20) : undefined,
      retry: chance(0.1) ? { attempts: 3, baseMs: below(5), jitter: 'full' as const } : undefined,
      signal,
    };
    const kind = random();
    if (kind < 0.6) {
      const handle = manager.queueTaskAsync(body(0), common);
      handles.push(handle);
      promises.push(handle.result.then(noop, noop));
    } else if (kind < 0.7) promises.push(manager.queueTask(body(0), common).then(noop, noop));
    else if (kind < 0.75) promises.push(manager.runTask(body(0)).then(noop, noop));
    else if (kind < 0.78) promises.push(read(manager));
    else if (kind < 0.8) manager.go(body(0));
    else if (kind < 0.86 && handles.length > 0) oneOf(handles).cancel('soak');
    else if (kind < 0.9 && handles.length > 0) oneOf(handles).setPriority(below(5));
    else if (kind < 0.91) manager.pause();
    else if (kind < 0.93) manager.resume();
    else if (kind < 0.94) manager.resize({ workerCount: 1 + below(6) });
    else if (kind < 0.945) manager.recycle();
    else if (kind < 0.95) manager.clear('soak');
    else if (kind < 0.953) {
      const index = below(2);
      signals[index]!.abort();
      signals[index] = new AbortController();
    } else if (kind > 0.97) await pause(below(6));
    if (chance(0.1)) books();
  }
  const before = books();
  did('end');
  manager.resume();
  if (chance(0.3)) await manager.kill('soak');
  else await manager.stop({ graceMs: below(50), timeoutMs: 2_000 });
  await Promise.all(promises);
  const after = books();
  const { queuedTasks, runningTasks, activeWorkers } = manager.stats();
  if (queuedTasks + runningTasks + activeWorkers > 0) fail('something was left after the end');
  if (after.totalTasksArrived < before.totalTasksArrived) fail('a count went down');
  // What a creation returns after a kill is destroyed when it comes.
  for (let turn = 0; alive > 0 && turn < 50; turn++) await pause(2);
  if (alive > 0) fail(`${alive} of ${made} resources were not destroyed`);
  // Strays run on for a while; nothing of theirs is the manager's any more.
  for (let turn = 0; manager.stats().abandonedTasks > 0 && turn < 100; turn++) await pause(5);
  if (manager.stats().abandonedTasks > 0) fail('a stray was never counted back');
  return after.totalTasksArrived;
}

/** Maps and streams, left early now and then. */
async function read(manager: TaskManager<{ open: boolean }>): Promise<void> {
  const stream = chance(0.5)
    ? manager.map(counting(), async (item) => item * 2, { settled: true })
    : manager.queueTaskStream(counting);
  let left = below(40);
  try {
    for await (const _ of stream) if (left-- === 0) break;
  } catch {
    // Ended by the manager's end, a timeout, or a refusal.
  }
}

function* counting(): Generator<number> {
  for (let i = 0; i < 30; i++) yield i;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function noop(): void {}

function fail(why: string): never {
  console.error(`soak: FAILED: ${why}\nseed ${seed}\nlast steps:\n${trail.join('\n')}`);
  process.exit(1);
}

process.on('unhandledRejection', (error) => {
  console.error(error);
  fail('an unhandled rejection');
});

let lives = 0;
let tasks = 0;
let calls = 0;
let told = performance.now();
const checkedLife = withLeakCheck(async () => {
  if (chance(0.5)) tasks += await life();
  else calls += await taskLife({ chance, below, oneOf, did, fail });
});
while (performance.now() < until) {
  try {
    await checkedLife();
  } catch (error) {
    console.error(error);
    fail('a leak, or a throw');
  }
  lives++;
  if (performance.now() - told > 5_000) {
    told = performance.now();
    const mb = Math.round(process.memoryUsage().heapUsed / 2 ** 20);
    console.log(
      `soak: ${lives} lives, ${tasks} tasks, ${calls} calls, heap ${mb} MB, ${Math.round((until - told) / 1_000)} s to go`,
    );
  }
}
console.log(`soak: passed: ${lives} lives, ${tasks} tasks, ${calls} calls, seed ${seed}`);
