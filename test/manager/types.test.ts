/** What the compiler must think of the public face of TaskManager: `npx tsc` fails here if a type regresses. */
import { test } from 'node:test';
import {
  type BackoffFunction,
  type ChildOptions,
  type Context,
  type CreateContext,
  type IndexedResult,
  type ManagerEvents,
  type ManagerMetrics,
  type ManagerState,
  type ManagerStats,
  type Overflow,
  type RetryPolicy,
  type RunOptions,
  type StopSummary,
  type StreamOptions,
  type TaskCallback,
  type TaskContext,
  type TaskFilter,
  type TaskHandle,
  TaskManager,
  type TaskManagerOptions,
  type TaskMap,
  type TaskOptions,
  type TaskSnapshot,
  type TaskState,
  type TaskStream,
} from '../../src/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;
type IsAny<T> = 0 extends 1 & T ? true : false;

interface Db {
  readonly name: string;
  close(): Promise<void>;
}

const db: Db = { name: 'db', close: async () => {} };
declare const signal: AbortSignal;
declare const context: Context;
const plain = new TaskManager();
const withDb = new TaskManager({ onCreate: () => db });

// ---- R is inferred from onCreate -------------------------------------------------------------------------------------------

const empty = new TaskManager({});
const counted = new TaskManager({ workerCount: 4, maxQueueSize: 10, overflow: 'wait' });
const withAsync = new TaskManager({ onCreate: async () => db });
const withSignal = new TaskManager({ onCreate: async ({ signal: wanted }) => ({ wanted }) });
const withEither = new TaskManager({ onCreate: () => (Math.random() > 0.5 ? db : Promise.resolve(db)) });
const withAll = new TaskManager({
  onCreate: () => db,
  onDestroy: (resource) => resource.close(),
  checkHealth: (error) => error instanceof Error,
});
const explicit = new TaskManager<Db>({ onCreate: () => db });

export type Resources = [
  Expect<Equal<typeof plain, TaskManager<undefined>>>,
  Expect<Equal<typeof empty, TaskManager<undefined>>>,
  Expect<Equal<typeof counted, TaskManager<undefined>>>,
  Expect<Equal<typeof withDb, TaskManager<Db>>>,
  Expect<Equal<typeof withAsync, TaskManager<Db>>>,
  Expect<Equal<typeof withSignal, TaskManager<{ wanted: AbortSignal }>>>,
  Expect<Equal<typeof withEither, TaskManager<Db>>>,
  Expect<Equal<typeof withAll, TaskManager<Db>>>,
  Expect<Equal<typeof explicit, TaskManager<Db>>>,
  Expect<Equal<CreateContext['signal'], AbortSignal>>,
];

// ---- results are inferred from functions -----------------------------------------------------------------------------------

const sync = (): number => 7;
const asynchronous = async (): Promise<number> => 7;
const twice = async (): Promise<Promise<number>> => Promise.resolve(7) as never;
const thenable = (): PromiseLike<number> => Promise.resolve(7);
const either = (): number | Promise<string> => 7;
const nothing = (): void => {};
const never = (): never => {
  throw new Error();
};

export function promises() {
  return {
    sync: plain.queueTask(sync),
    asynchronous: plain.queueTask(asynchronous),
    twice: plain.queueTask(twice),
    thenable: plain.queueTask(thenable),
    either: plain.queueTask(either),
    nothing: plain.queueTask(nothing),
    never: plain.queueTask(never),
    literal: plain.queueTask(() => 'on' as const),
    generic: plain.queueTask(() => new Map<string, Date>()),
    priority: plain.queueTaskWithPriority(asynchronous, { priority: 2 }),
    once: plain.queueTaskOnce(asynchronous),
    priorityOnce: plain.queueTaskWithPriorityOnce(asynchronous),
    run: plain.runTask(asynchronous),
    timeout: plain.queueTaskWithTimeout(asynchronous, 100),
    priorityTimeout: plain.queueTaskWithPriorityWithTimeout(asynchronous, 100),
    onceTimeout: plain.queueTaskOnceWithTimeout(asynchronous, 100),
    priorityOnceTimeout: plain.queueTaskWithPriorityOnceWithTimeout(asynchronous, 100),
    runTimeout: plain.runTaskWithTimeout(asynchronous, 100),
  };
}

type Promises = ReturnType<typeof promises>;

export type PromiseChecks = [
  Expect<Equal<Promises['sync'], Promise<number>>>,
  Expect<Equal<Promises['asynchronous'], Promise<number>>>,
  Expect<Equal<Promises['twice'], Promise<number>>>,
  Expect<Equal<Promises['thenable'], Promise<number>>>,
  Expect<Equal<Promises['either'], Promise<number | string>>>,
  Expect<Equal<Promises['nothing'], Promise<void>>>,
  Expect<Equal<Promises['never'], Promise<never>>>,
  Expect<Equal<Promises['literal'], Promise<'on'>>>,
  Expect<Equal<Promises['generic'], Promise<Map<string, Date>>>>,
  Expect<Equal<Promises['priority'], Promise<number>>>,
  Expect<Equal<Promises['once'], Promise<number>>>,
  Expect<Equal<Promises['priorityOnce'], Promise<number>>>,
  Expect<Equal<Promises['run'], Promise<number>>>,
  Expect<Equal<Promises['timeout'], Promise<number>>>,
  Expect<Equal<Promises['priorityTimeout'], Promise<number>>>,
  Expect<Equal<Promises['onceTimeout'], Promise<number>>>,
  Expect<Equal<Promises['priorityOnceTimeout'], Promise<number>>>,
  Expect<Equal<Promises['runTimeout'], Promise<number>>>,
];

export function others() {
  return {
    handle: plain.queueTaskAsync(asynchronous),
    priorityHandle: plain.queueTaskWithPriorityAsync(asynchronous),
    onceHandle: plain.queueTaskOnceAsync(sync),
    priorityOnceHandle: plain.queueTaskWithPriorityOnceAsync(sync),
    runHandle: plain.runTaskAsync(asynchronous),
    tried: plain.tryQueueTask(asynchronous),
    gone: plain.go(asynchronous),
    called: plain.queueTaskWithCallback(asynchronous, () => {}),
    now: plain.runTaskSync(sync),
    notNow: () => plain.runTaskSync(asynchronous),
    each: withDb.runOnEach(async (_, resource) => resource.name),
    stream: plain.queueTaskStream(async function* () {
      yield 1;
    }),
    syncStream: plain.queueTaskStream(function* () {
      yield 'a';
    }),
    arrayStream: plain.queueTaskStream(() => [true]),
    map: plain.map([1, 2], (item) => item.toFixed()),
    asyncMap: plain.map([1, 2], async (item) => item.toFixed(), { ordered: true, highWaterMark: 3 }),
    unsettledMap: plain.map([1], (item) => item, { settled: false }),
    settledMap: plain.map(new Set(['a']), async (item) => item.length, { settled: true }),
    eitherMap: plain.map([1], (item) => item, { settled: Math.random() > 0.5 }),
    tasks: plain.queueTasks([asynchronous, async () => 8]),
  };
}

type Others = ReturnType<typeof others>;

export type OtherChecks = [
  Expect<Equal<Others['handle'], TaskHandle<number>>>,
  Expect<Equal<Others['priorityHandle'], TaskHandle<number>>>,
  Expect<Equal<Others['onceHandle'], TaskHandle<number>>>,
  Expect<Equal<Others['priorityOnceHandle'], TaskHandle<number>>>,
  Expect<Equal<Others['runHandle'], TaskHandle<number>>>,
  Expect<Equal<Others['tried'], TaskHandle<number> | undefined>>,
  Expect<Equal<Others['gone'], void>>,
  Expect<Equal<Others['called'], void>>,
  Expect<Equal<Others['now'], number>>,
  Expect<Equal<ReturnType<Others['notNow']>, never>>,
  Expect<Equal<Others['each'], Promise<string[]>>>,
  Expect<Equal<Others['stream'], TaskStream<number>>>,
  Expect<Equal<Others['syncStream'], TaskStream<string>>>,
  Expect<Equal<Others['arrayStream'], TaskStream<boolean>>>,
  Expect<Equal<Others['map'], TaskMap<string>>>,
  Expect<Equal<Others['asyncMap'], TaskMap<string>>>,
  Expect<Equal<Others['unsettledMap'], TaskMap<number>>>,
  Expect<Equal<Others['settledMap'], TaskMap<IndexedResult<number>>>>,
  Expect<Equal<Others['eitherMap'], TaskMap<number | IndexedResult<number>>>>,
  Expect<Equal<Others['tasks'], TaskMap<IndexedResult<number>>>>,
  Expect<Equal<Awaited<TaskHandle<number>>, number>>,
  Expect<Equal<TaskHandle<number>['result'], Promise<number>>>,
  Expect<Equal<TaskHandle<number>['admitted'], Promise<void>>>,
  Expect<Equal<TaskHandle<number>['state'], TaskState>>,
  Expect<Equal<TaskHandle<number>['id'], string>>,
  Expect<Equal<ReturnType<TaskHandle<number>['cancel']>, boolean>>,
  Expect<Equal<TaskCallback<number>, (error: unknown, value?: number) => void>>,
];

/** Compiled, never called: what a loop over each gives. */
export async function loops(): Promise<void> {
  for await (const outcome of plain.queueTaskAsync(asynchronous)) {
    const check: Expect<Equal<typeof outcome, PromiseSettledResult<number>>> = true;
    void check;
  }
  for await (const value of plain.queueTaskStream(() => [1n])) {
    const check: Expect<Equal<typeof value, bigint>> = true;
    void check;
  }
  for await (const outcome of plain.queueTasks([sync])) {
    const index: number = outcome.index;
    if (outcome.status === 'fulfilled') {
      const check: Expect<Equal<typeof outcome.value, number>> = true;
      void check;
    }
    void index;
  }
}

// ---- what functions get ----------------------------------------------------------------------------------------------------

/** Compiled, never called. */
export function parameters(): void {
  withDb.queueTask((ctx, resource) => {
    const checks: [
      Expect<Equal<typeof ctx, TaskContext<Db>>>,
      Expect<Equal<typeof resource, Db>>,
      Expect<Equal<typeof ctx.signal, AbortSignal>>,
      Expect<Equal<typeof ctx.stopping, AbortSignal>>,
      Expect<Equal<typeof ctx.deadline, number | undefined>>,
      Expect<Equal<typeof ctx.err, Error | undefined>>,
      Expect<Equal<typeof ctx.cause, unknown>>,
      Expect<Equal<typeof ctx.id, string>>,
      Expect<Equal<typeof ctx.attempt, number>>,
      Expect<Equal<typeof ctx.priority, number>>,
      Expect<Equal<typeof ctx.queuedAt, number>>,
      Expect<Equal<typeof ctx.startedAt, number>>,
    ] = [true, true, true, true, true, true, true, true, true, true, true, true];
    void checks;
    const asContext: Context = ctx;
    void asContext;
    // A child has the same resource, and its result is inferred as well.
    const child = ctx.queueTask(async (_, shared) => shared.name, { ownResource: true });
    const check: Expect<Equal<typeof child, Promise<string>>> = true;
    void check;
  });
  plain.queueTask((ctx, resource) => {
    const checks: [Expect<Equal<typeof ctx, TaskContext<undefined>>>, Expect<Equal<typeof resource, undefined>>] = [
      true,
      true,
    ];
    void checks;
  });
  withDb.queueTaskWithCallback(
    (_, resource) => resource.name,
    (error, value) => {
      const checks: [Expect<Equal<typeof error, unknown>>, Expect<Equal<typeof value, string | undefined>>] = [
        true,
        true,
      ];
      void checks;
    },
  );
  withDb.map(new Map([['a', 1]]), (item, ctx, resource) => {
    const checks: [
      Expect<Equal<typeof item, [string, number]>>,
      Expect<Equal<typeof ctx, TaskContext<Db>>>,
      Expect<Equal<typeof resource, Db>>,
    ] = [true, true, true];
    void checks;
  });
  withDb.queueTaskStream(async function* (ctx, resource) {
    const checks: [Expect<Equal<typeof ctx, TaskContext<Db>>>, Expect<Equal<typeof resource, Db>>] = [true, true];
    yield checks;
  });
  plain.on('taskFailed', (failure) => {
    const check: Expect<Equal<typeof failure, ManagerEvents['taskFailed'][0]>> = true;
    void check;
  });
  plain.on('idle', (...details) => {
    const check: Expect<Equal<typeof details, []>> = true;
    void check;
  });
  plain.cancel((task) => {
    const check: Expect<Equal<typeof task, TaskSnapshot>> = true;
    return check;
  });
}

// ---- options ---------------------------------------------------------------------------------------------------------------

/** Compiled, never called: all of these are right. */
export function right(): void {
  const options: TaskOptions = {
    id: 'x',
    priority: -1.5,
    timeoutMs: Infinity,
    queueTimeoutMs: 0,
    signal,
    key: 'k',
    once: false,
    retry: { attempts: 3, backoff: (attempt) => attempt * 10, jitter: 'full', retryIf: () => true },
    overflow: 'drop-oldest',
  };
  plain.queueTask(sync, options);
  plain.queueTask(sync, { signal: context });
  plain.queueTask(sync, { timeoutMs: undefined, retry: undefined, signal: undefined });
  plain.tasks();
  plain.tasks({ state: 'running', key: undefined });
  plain.resize({ workerCount: 3 });
  const disposer = plain.stopOnSignals(['SIGTERM'], { graceMs: 1 });
  disposer();
  disposer[Symbol.dispose]();
  const disposable: AsyncDisposable = plain;
  void disposable;
  const typed: TaskManagerOptions<Db> = {
    onCreate: () => db,
    signal: context,
    collector: false,
    yieldAfter: { ms: 5 },
  };
  void typed;
}

/** Compiled, never called: none of these is. */
export function misuse(): void {
  // @ts-expect-error There is no such option.
  new TaskManager({ workers: 4 });
  // @ts-expect-error A number is no text.
  new TaskManager({ workerCount: '4' });
  // @ts-expect-error onDestroy gets what onCreate makes.
  new TaskManager({ onCreate: () => db, onDestroy: (resource: string) => resource });
  // @ts-expect-error There are four policies.
  new TaskManager({ overflow: 'drop' });
  // @ts-expect-error A controller is no signal.
  new TaskManager({ signal: new AbortController() });
  // @ts-expect-error A retry says how often.
  plain.queueTask(sync, { retry: { baseMs: 10 } });
  // @ts-expect-error The option has another name.
  plain.queueTask(sync, { timeout: 100 });
  // @ts-expect-error A task is a function.
  plain.queueTask(asynchronous());
  // @ts-expect-error A signal is an option, not the options.
  plain.queueTask(sync, signal);
  // @ts-expect-error ownResource is for children.
  plain.queueTask(sync, { ownResource: true });
  // @ts-expect-error highWaterMark is for streams.
  plain.queueTask(sync, { highWaterMark: 1 });
  // @ts-expect-error runTask passes the queue by.
  plain.runTask(sync, { priority: 1 });
  // @ts-expect-error runTask passes the queue by.
  plain.runTaskAsync(sync, { key: 'k' });
  // @ts-expect-error The timeout is the second argument.
  plain.queueTaskWithTimeout(sync, { timeoutMs: 100 });
  // @ts-expect-error The callback is the second argument.
  plain.queueTaskWithCallback(sync, { priority: 1 });
  // @ts-expect-error The callback's value is what the task gives.
  plain.queueTaskWithCallback(sync, (_: unknown, value: string) => value);
  // @ts-expect-error There is no resource to speak of.
  plain.queueTask((_, resource) => resource.name);
  // @ts-expect-error That is another kind of resource.
  withDb.queueTask((_, resource) => resource.missing);
  // @ts-expect-error Every item of a map is a task of its own.
  plain.map([1], sync, { id: 'x' });
  // @ts-expect-error queueTasks is always settled.
  plain.queueTasks([sync], { settled: false });
  // @ts-expect-error A number can't be iterated.
  plain.map(7, sync);
  // @ts-expect-error A stream yields more than one value.
  plain.queueTaskStream(sync);
  // @ts-expect-error There is no such event.
  plain.on('finished', () => {});
  // @ts-expect-error There is no such state.
  plain.tasks({ state: 'finished' });
  // @ts-expect-error The size is a number.
  plain.onSizeLessThan('10');
  // @ts-expect-error There is no such process signal.
  plain.stopOnSignals(['SIGNOTHING']);
  // @ts-expect-error Statistics are for reading.
  plain.stats().queuedTasks = 0;
  // @ts-expect-error A handle is for reading.
  plain.queueTaskAsync(sync).id = 'x';
  // @ts-expect-error Managers of different resources are not the same.
  const other: TaskManager<string> = withDb;
  void other;
}

// ---- no any anywhere -------------------------------------------------------------------------------------------------------

/** The names of the members of T that are any, take any, or give any. */
type AnyIn<T> = {
  [K in keyof T]: IsAny<T[K]> extends true
    ? K
    : T[K] extends (...args: infer A) => infer R
      ? true extends IsAny<A> | IsAny<R> | IsAny<Awaited<R>> | { [I in keyof A]: IsAny<A[I]> }[number & keyof A]
        ? K
        : never
      : never;
}[keyof T];

export type NoAny = [
  Expect<Equal<AnyIn<TaskManager<Db>>, never>>,
  Expect<Equal<AnyIn<TaskContext<Db>>, never>>,
  Expect<Equal<AnyIn<TaskHandle<number>>, never>>,
  // TypeScript's own: every iterator may have it, and it takes any.
  Expect<Equal<AnyIn<Required<TaskStream<number>>>, 'throw'>>,
  Expect<Equal<AnyIn<Required<TaskMap<number>>>, 'throw'>>,
  Expect<Equal<AnyIn<Required<TaskManagerOptions<Db>>>, never>>,
  Expect<Equal<AnyIn<Required<TaskOptions>>, never>>,
  Expect<Equal<AnyIn<Required<ChildOptions>>, never>>,
  Expect<Equal<AnyIn<Required<StreamOptions>>, never>>,
  Expect<Equal<AnyIn<Required<RunOptions>>, never>>,
  Expect<Equal<AnyIn<Required<RetryPolicy>>, never>>,
  Expect<Equal<AnyIn<ManagerStats>, never>>,
  Expect<Equal<AnyIn<ManagerMetrics>, never>>,
  Expect<Equal<AnyIn<ManagerEvents>, never>>,
  Expect<Equal<AnyIn<StopSummary>, never>>,
  Expect<Equal<AnyIn<TaskSnapshot>, never>>,
  Expect<Equal<IsAny<TaskFilter>, false>>,
  Expect<Equal<IsAny<ReturnType<BackoffFunction>>, false>>,
];

// biome-ignore lint/suspicious/noExplicitAny: what is to be found
type Any = any;

/** That the check above sees what it is to see. */
export type SeesAny = [
  Expect<
    Equal<AnyIn<{ a: Any; b: number; c(x: number, y: Any): void; d(): Any; e(): Promise<Any> }>, 'a' | 'c' | 'd' | 'e'>
  >,
];

export type Names = [
  Expect<Equal<Overflow, 'reject' | 'wait' | 'drop-oldest' | 'drop-lowest'>>,
  Expect<Equal<ManagerState, 'running' | 'paused' | 'stopping' | 'stopped' | 'killed'>>,
  Expect<
    Equal<
      TaskState,
      'waiting' | 'queued' | 'running' | 'completed' | 'failed' | 'timedOut' | 'canceled' | 'dropped' | 'rejected'
    >
  >,
  Expect<
    Equal<
      keyof ManagerEvents,
      | 'idle'
      | 'empty'
      | 'full'
      | 'drain'
      | 'taskFailed'
      | 'workerReplaced'
      | 'scaled'
      | 'stopping'
      | 'stopped'
      | 'error'
    >
  >,
  Expect<
    Equal<
      keyof ManagerStats,
      | 'state'
      | 'baseWorkers'
      | 'activeWorkers'
      | 'burstWorkers'
      | 'idleWorkers'
      | 'busyWorkers'
      | 'stuckWorkers'
      | 'queuedTasks'
      | 'priorityTasks'
      | 'runningTasks'
      | 'availableResources'
      | 'abandonedTasks'
      | 'queueCapacity'
      | 'queueUsage'
      | 'waitingForRoom'
    >
  >,
  Expect<Equal<keyof StopSummary, 'completed' | 'failed' | 'canceled' | 'abandoned'>>,
];

test('the types of the task manager are as this file says: checked by tsc', async () => {
  await Promise.all(
    [plain, withDb, empty, counted, withAsync, withSignal, withEither, withAll, explicit].map((m) => m.kill()),
  );
});
