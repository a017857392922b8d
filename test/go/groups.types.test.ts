/** What the compiler must think of groups and of what is done once: `npx tsc` fails here if a public type changes. */
import { test } from 'node:test';
import {
  type Context,
  ErrGroup,
  Once,
  onceValue,
  type Shared,
  SingleFlight,
  TaskManager,
  WaitGroup,
  type WaitOptions,
} from '../../src/index.ts';
import type { TaskContext } from '../../src/manager/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;
type Source = Context | AbortSignal;

interface Db {
  query(sql: string): Promise<string[]>;
}
declare const db: Db;

/** Compiled, never called. */
export async function use(parent: Source, signal: AbortSignal, functions: (() => Promise<number>)[]) {
  const group = new ErrGroup();
  const pair = ErrGroup.withContext(parent);
  const tuple = await group.goAll([() => 1, async () => 'x']);
  const contexts = await group.goAll([(ctx) => ctx, async (ctx) => ctx.deadline]);
  const list = await group.goAll(functions);
  const readonly = await group.goAll([() => 1, () => true] as const);
  const none = await group.goAll([]);
  const started = group.go((ctx) => ctx.value('key'), { signal });
  const tried = group.tryGo(async () => {});

  const manager = new TaskManager({ onCreate: () => db });
  const tasks = manager.group(parent);
  const rows = await tasks.goAll([(_, own) => own.query('one'), (ctx) => ctx.attempt, () => 'none of it']);
  await tasks.go(async (ctx, own) => own.query(ctx.id));
  await new TaskManager().group().go((_, nothing: undefined) => nothing);
  await manager.queueTask(async (ctx) => {
    await using children = ctx.group();
    const own = await children.goAll([(child, shared) => [child, shared] as const]);
    return own satisfies [readonly [TaskContext<Db>, Db]];
  });

  const waits = new WaitGroup();
  const number = waits.go(async () => 7);
  const text = waits.go(() => 'now');
  const flights = new SingleFlight();
  const page = flights.do('url', async () => ({ status: 200 }), { signal });
  const byNumber = new SingleFlight<number>().do(7, () => 'seven');
  const value = onceValue(() => 7);
  const promise = onceValue(async () => 7);
  const effect = onceValue(() => {});
  type Checks = [
    Expect<Equal<typeof group, ErrGroup>>,
    Expect<Equal<typeof group, ErrGroup<[ctx: Context]>>>,
    Expect<Equal<typeof pair, [group: ErrGroup, ctx: Context]>>,
    Expect<Equal<typeof tuple, [number, string]>>,
    Expect<Equal<typeof contexts, [Context, number | undefined]>>,
    Expect<Equal<typeof list, number[]>>,
    Expect<Equal<typeof readonly, [number, boolean]>>,
    Expect<Equal<typeof none, []>>,
    Expect<Equal<typeof started, Promise<void>>>,
    Expect<Equal<typeof tried, boolean>>,
    Expect<Equal<typeof tasks, ErrGroup<[context: TaskContext<Db>, resource: Db]>>>,
    Expect<Equal<typeof rows, [string[], number, string]>>,
    Expect<Equal<typeof number, Promise<number>>>,
    Expect<Equal<typeof text, Promise<string>>>,
    Expect<Equal<typeof page, Promise<Shared<{ status: number }>>>>,
    Expect<Equal<typeof byNumber, Promise<Shared<string>>>>,
    Expect<Equal<typeof value, () => number>>,
    Expect<Equal<typeof promise, () => Promise<number>>>,
    Expect<Equal<typeof effect, () => void>>,
    Expect<Equal<Parameters<ErrGroup['wait']>, [options?: WaitOptions | undefined]>>,
    Expect<Equal<Parameters<WaitGroup['wait']>, [options?: WaitOptions | undefined]>>,
    Expect<Equal<Parameters<WaitGroup['add']>, [n?: number | undefined]>>,
    Expect<Equal<Parameters<ErrGroup['setLimit']>, [limit: number]>>,
    Expect<Equal<Parameters<Once['do']>, [fn: () => unknown, options?: WaitOptions | undefined]>>,
    Expect<Equal<ReturnType<Once['do']>, Promise<void>>>,
    Expect<Equal<Once['done'], boolean>>,
    Expect<ErrGroup extends AsyncDisposable ? true : false>,
    Expect<WaitGroup extends AsyncDisposable ? true : false>,
  ];
  return undefined as unknown as Checks;
}

/** Who takes any group, or the context of any task, takes those of a manager with a resource, too. */
export async function lend(tasks: ErrGroup<[context: TaskContext<Db>, resource: Db]>, ctx: TaskContext<Db>) {
  const fill = (group: ErrGroup) => group.go((given) => given.done());
  const attemptOf = (task: TaskContext) => task.attempt;
  await fill(new ErrGroup());
  await fill(tasks);
  return attemptOf(ctx);
}

/** Compiled, never called. */
export async function misuse(group: ErrGroup, waits: WaitGroup, flights: SingleFlight) {
  // @ts-expect-error A group runs functions, not promises.
  await group.go(Promise.resolve());
  // @ts-expect-error Its functions are given a context and nothing else.
  await group.go((_: Context, db: Db) => db);
  // @ts-expect-error Each of them must be a function.
  await group.goAll([() => 1, 2]);
  // @ts-expect-error A limit is a number.
  group.setLimit(undefined);
  // @ts-expect-error What ends a wait is told as an option.
  await group.wait(new AbortController().signal);
  // @ts-expect-error Once says whether it is done; it can't be told.
  new Once().done = true;
  // @ts-expect-error Keys are strings unless the type says otherwise.
  await flights.do(7, () => 7);
  // @ts-expect-error The counter counts numbers.
  waits.add('one');
}

test('groups and what is done once are typed: checked by tsc', () => {});
