/** What the compiler must think of `errand/threads`: `npx tsc` fails here if a type regresses. */
import { test } from 'node:test';
import { TaskManager, type TaskStream } from '../../src/index.ts';
import {
  type AnyModule,
  currentContext,
  type FunctionName,
  isCancelled,
  type LineLogger,
  type Thread,
  type ThreadApi,
  type ThreadContext,
  ThreadCrashError,
  type ThreadResources,
  type ThreadStream,
  type ThreadsOptions,
  threads,
  transfer,
} from '../../src/threads/index.ts';
import { work } from './kit.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;
type IsAny<T> = 0 extends 1 & T ? true : false;

type Work = typeof import('./modules/typed.ts');
type Point = import('./modules/typed.ts').Point;

const url = work('calls.js');
declare const thread: Thread<Work>;
declare const anyThread: Thread;

// ---- api is the module, seen from outside ----------------------------------------------------------------------------------

type Api = ThreadApi<Work>;
type Result<K extends keyof Api> = ReturnType<Api[K]>;

export type Names = [
  Expect<
    Equal<
      keyof Api,
      | 'add'
      | 'addLater'
      | 'double'
      | 'either'
      | 'eitherLater'
      | 'maybe'
      | 'nothing'
      | 'never'
      | 'list'
      | 'map'
      | 'text'
      | 'thenable'
      | 'twice'
      | 'unknown'
      | 'moved'
      | 'count'
      | 'countLater'
      | 'plain'
      | 'plainLater'
      | 'iterated'
      | 'iterator'
      | 'optional'
      | 'generic'
      | 'default'
    >
  >,
  Expect<Equal<FunctionName<Work>, keyof Api>>,
];

export type Results = [
  Expect<Equal<Result<'add'>, Promise<number>>>,
  Expect<Equal<Result<'addLater'>, Promise<number>>>,
  Expect<Equal<Result<'double'>, Promise<number>>>,
  Expect<Equal<Result<'either'>, Promise<number | string>>>,
  Expect<Equal<Result<'eitherLater'>, Promise<number | string>>>,
  Expect<Equal<Result<'maybe'>, Promise<Point | undefined>>>,
  Expect<Equal<Result<'nothing'>, Promise<void>>>,
  Expect<Equal<Result<'never'>, Promise<never>>>,
  Expect<Equal<Result<'list'>, Promise<readonly Point[]>>>,
  Expect<Equal<Result<'map'>, Promise<Map<string, Set<number>>>>>,
  Expect<Equal<Result<'text'>, Promise<string>>>,
  Expect<Equal<Result<'thenable'>, Promise<Point>>>,
  Expect<Equal<Result<'twice'>, Promise<number>>>,
  Expect<Equal<Result<'unknown'>, Promise<unknown>>>,
  Expect<Equal<Result<'moved'>, Promise<Uint8Array>>>,
  Expect<Equal<Result<'count'>, ThreadStream<number, string>>>,
  Expect<Equal<Result<'countLater'>, ThreadStream<Point, boolean>>>,
  Expect<Equal<Result<'plain'>, ThreadStream<1 | 'two', void>>>,
  Expect<Equal<Result<'plainLater'>, ThreadStream<bigint, void>>>,
  Expect<Equal<Result<'iterated'>, ThreadStream<Date>>>,
  Expect<Equal<Result<'optional'>, Promise<string>>>,
  Expect<Equal<Result<'default'>, Promise<boolean>>>,
];

export type Arguments = [
  Expect<Equal<Parameters<Api['add']>, [a: number, b: number]>>,
  Expect<Equal<Parameters<Api['addLater']>, [a: number, b?: number | undefined, ...more: number[]]>>,
  Expect<Equal<Parameters<Api['optional']>, [name?: string | undefined, options?: { loud?: boolean } | undefined]>>,
];

// ---- call is the same, by name ---------------------------------------------------------------------------------------------

/** Compiled, never called. */
export async function calls(): Promise<void> {
  const sum = thread.call('add', 1, 2);
  const stream = thread.call('count', 3);
  const any = anyThread.call('whatever', 1, 'two', {});
  const { whatever } = anyThread.api;
  const loose = whatever!(1);
  const checks: [
    Expect<Equal<typeof sum, Promise<number>>>,
    Expect<Equal<typeof stream, ThreadStream<number, string>>>,
    Expect<Equal<typeof any, Promise<unknown>>>,
    Expect<Equal<typeof loose, Promise<unknown>>>,
    Expect<Equal<typeof thread.threadId, number>>,
  ] = [true, true, true, true, true];
  void checks;
  for await (const point of thread.api.countLater(3)) {
    const check: Expect<Equal<typeof point, Point>> = true;
    void check;
  }
  const result = await thread.api.count(3).next();
  if (result.done === true) {
    const check: Expect<Equal<typeof result.value, string | undefined>> = true;
    void check;
  } else {
    const check: Expect<Equal<typeof result.value, number>> = true;
    void check;
  }
}

// ---- a manager of them -----------------------------------------------------------------------------------------------------

const typed = new TaskManager({ ...threads<Work>(url), workerCount: 1 });
const untyped = new TaskManager({ ...threads(url), workerCount: 1 });
const wrapped = new TaskManager<Thread<Work>>(threads<Work>(url, { terminateAfterMs: 100 }));

/** Compiled, never called. */
export function managers() {
  return {
    sum: typed.queueTask((_, { api }) => api.add(1, 2)),
    stream: typed.queueTaskStream((_, { api }) => api.countLater(3)),
    any: untyped.queueTask((_, each) => each.call('whatever')),
    each: wrapped.runOnEach((_, { api }) => api.double(2)),
  };
}

type Managers = ReturnType<typeof managers>;

export type ManagerChecks = [
  Expect<Equal<typeof typed, TaskManager<Thread<Work>>>>,
  Expect<Equal<typeof untyped, TaskManager<Thread<AnyModule>>>>,
  Expect<Equal<Managers['sum'], Promise<number>>>,
  Expect<Equal<Managers['stream'], TaskStream<Point>>>,
  Expect<Equal<Managers['any'], Promise<unknown>>>,
  Expect<Equal<Managers['each'], Promise<number[]>>>,
];

// ---- inside a thread -------------------------------------------------------------------------------------------------------

export type Inside = [
  Expect<Equal<ReturnType<typeof currentContext>, ThreadContext>>,
  Expect<Equal<ReturnType<typeof isCancelled>, boolean>>,
  Expect<Equal<ThreadContext['signal'], AbortSignal>>,
  Expect<Equal<ThreadContext['id'], string>>,
  Expect<Equal<ThreadContext['attempt'], number>>,
  Expect<Equal<ThreadContext['deadline'], number | undefined>>,
  Expect<Equal<ThreadCrashError['exitCode'], number | undefined>>,
  Expect<Equal<ThreadCrashError['hasBegun'], boolean>>,
  Expect<Equal<ReturnType<typeof transfer<Uint8Array>>, Uint8Array>>,
];

// ---- what must not compile -------------------------------------------------------------------------------------------------

/** Compiled, never called. */
export function refused(): void {
  const { api } = thread;
  // @ts-expect-error There is no such function.
  api.sub(1, 2);
  // @ts-expect-error There is no such function.
  thread.call('sub', 1, 2);
  // @ts-expect-error A class can't be called.
  thread.call('NotAFunction');
  // @ts-expect-error A number can't be called.
  api.answer;
  // @ts-expect-error Nor can an object.
  api.point;
  // @ts-expect-error A text is no number.
  api.add('1', 2);
  // @ts-expect-error An argument is missing.
  api.add(1);
  // @ts-expect-error There are too many.
  api.add(1, 2, 3);
  // @ts-expect-error The same by name.
  thread.call('add', 1, '2');
  // @ts-expect-error An answer comes later.
  const now: number = api.add(1, 2);
  void now;
  // @ts-expect-error What comes of a generator is no promise.
  api.count(3).then(() => {});
  // @ts-expect-error What comes of a function is no stream.
  api.add(1, 2).next();
  // @ts-expect-error The functions are for calling.
  api.add = async () => 0;
  // @ts-expect-error The number is for reading.
  thread.threadId = 7;
  // @ts-expect-error A module is given by its address.
  threads(7);
  // @ts-expect-error There is no such option.
  threads(url, { size: 4 });
  // @ts-expect-error A time is a number.
  threads(url, { terminateAfterMs: '1s' });
  // @ts-expect-error There is no such limit.
  threads(url, { resourceLimits: { maxHeapMb: 64 } });
  // @ts-expect-error A logger can warn.
  threads(url, { logger: { info: () => {} } });
  // @ts-expect-error Only objects can hold what is moved.
  transfer(7, []);
  // @ts-expect-error A text can't be moved.
  transfer({}, ['text']);
  // @ts-expect-error A thread of one module is not one of another.
  const other: Thread<{ other(): void }> = thread;
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
  Expect<Equal<AnyIn<Thread>, never>>,
  Expect<Equal<AnyIn<Api>, never>>,
  Expect<Equal<AnyIn<ThreadResources<Work>>, never>>,
  Expect<Equal<AnyIn<Required<ThreadsOptions>>, never>>,
  Expect<Equal<AnyIn<ThreadContext>, never>>,
  Expect<Equal<AnyIn<LineLogger>, never>>,
  // TypeScript's own: every iterator may have it, and it takes any.
  Expect<Equal<AnyIn<Required<ThreadStream<number>>>, 'throw'>>,
];

test('the types of threads are as this file says: checked by tsc', async () => {
  await Promise.all([typed, untyped, wrapped].map((manager) => manager.kill()));
  currentContext();
  isCancelled();
  transfer({}, []);
  void new ThreadCrashError();
});
