/** What the compiler must think of `defineTask`: `npx tsc` fails here if a type regresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
import {
  byHash,
  type CallContext,
  defineTask,
  roundRobin,
  type Task,
  type TaskDefinition,
  TaskRegistry,
  testExamples,
  weighted,
} from '../../src/tasks/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;

declare const ctx: CallContext;

interface Db {
  query(text: string): Promise<number>;
}

// ---- without a schema ------------------------------------------------------------------------------------------------

const fromRun = defineTask({ name: 'a', run: async (_ctx, input: { readonly path: string }) => input.path.length });
const fromMethod = defineTask({
  name: 'a',
  run(_ctx, input: string) {
    return [input];
  },
});
const unknownInput = defineTask({ name: 'a', run: (_ctx, input) => (input === 1 ? 'one' : undefined) });
const noInput = defineTask({ name: 'a', run: () => {} });
const withResource = defineTask({ name: 'a', run: (_ctx, input: number, db: Db) => db.query(`${input}`) });
const eitherWay = defineTask({ name: 'a', run: () => (Math.random() > 0.5 ? 1 : Promise.resolve(2)) });
const explicit = defineTask<{ readonly a: number }, string>({ name: 'a', run: (_ctx, { a }) => `${a}` });
const withRules = defineTask({
  name: 'a',
  run: (_ctx, input: { readonly tenant: string }) => input.tenant,
  onDuplicate: 'serial',
  key: (input) => input.tenant,
  queue: byHash(['a', 'b'], (input) => input.tenant),
  rateLimit: [{ limit: 1 }, { limit: 2, intervalMs: 5, key: (input) => input.tenant }],
  concurrency: { limit: 1, key: ({ tenant }) => tenant },
  authorize: (principals, input) => principals.some(({ name }) => name === input.tenant),
  migrate: (input, version) => ({ tenant: `${input} ${version}` }),
  examples: [{ input: { tenant: 'a' }, output: 'a' }],
});

const limits = [{ limit: 1, key: (input: { readonly tenant: string }) => input.tenant }];
const withOthers = defineTask({
  name: 'a',
  rateLimit: limits,
  concurrency: limits,
  onDuplicate: 'serial',
  key: (input: { readonly path: string }) => input.path,
  run: async ({ attempt }, { path, tenant, size }: { path: string; tenant: string; size: number }) =>
    `${attempt} ${path} ${tenant} ${size}`,
});

export type WithoutSchema = [
  Expect<Equal<typeof withOthers, Task<{ path: string; tenant: string; size: number }, string>>>,
  Expect<Equal<typeof fromRun, Task<{ readonly path: string }, number>>>,
  Expect<Equal<typeof fromMethod, Task<string, string[]>>>,
  Expect<Equal<typeof unknownInput, Task<unknown, 'one' | undefined>>>,
  Expect<Equal<typeof noInput, Task<unknown, void>>>,
  Expect<Equal<typeof withResource, Task<number, number>>>,
  Expect<Equal<typeof eitherWay, Task<unknown, number>>>,
  Expect<Equal<typeof explicit, Task<{ readonly a: number }, string>>>,
  Expect<Equal<typeof withRules, Task<{ readonly tenant: string }, string>>>,
];

// ---- with a schema of each library -----------------------------------------------------------------------------------

const zod = z.object({ path: z.string(), width: z.coerce.number<string>(), tag: z.string().default('none') });
const valibot = v.object({
  path: v.string(),
  width: v.pipe(v.string(), v.transform(Number)),
  tag: v.optional(v.string(), 'none'),
});
const arktype = type({ path: 'string', width: 'string.numeric.parse', tag: "string = 'none'" });

interface Submitted {
  path: string;
  width: string;
  tag?: string | undefined;
}
interface Parsed {
  path: string;
  width: number;
  tag: string;
}
type Flat<T> = { [K in keyof T]: T[K] };

const withZod = defineTask({
  name: 'zod',
  input: zod,
  onDuplicate: 'serial',
  key: (input) => input.path,
  rateLimit: { limit: 1, key: (input) => input.width },
  queue: byHash(['a', 'b'], (input) => input.path),
  authorize: (_, input) => input.path !== '',
  migrate: () => ({ path: '', width: '1' }),
  examples: [{ input: { path: '/a', width: '7' }, output: { path: '/a', width: 7, tag: 'none' } }],
  run: (_ctx, input) => input,
});
const withValibot = defineTask({ name: 'valibot', input: valibot, run: async (_ctx, input) => input });
const withArktype = defineTask({ name: 'arktype', input: arktype, run: async (_ctx, input) => input });

type InputOf<T> = T extends Task<infer I, unknown> ? I : never;
type OutputOf<T> = T extends Task<never, infer O> ? O : never;

export type WithSchema = [
  Expect<Equal<Flat<InputOf<typeof withZod>>, Flat<Submitted>>>,
  Expect<Equal<Flat<OutputOf<typeof withZod>>, Flat<Parsed>>>,
  Expect<Equal<Flat<InputOf<typeof withValibot>>, Flat<Submitted>>>,
  Expect<Equal<Flat<OutputOf<typeof withValibot>>, Flat<Parsed>>>,
  Expect<Equal<InputOf<typeof withArktype>, typeof arktype.inferIn>>,
  Expect<Equal<OutputOf<typeof withArktype>, typeof arktype.infer>>,
  Expect<Equal<Flat<typeof arktype.infer>, Flat<Parsed>>>,
];

// ---- outputs ---------------------------------------------------------------------------------------------------------

const checked = defineTask({ name: 'a', output: z.object({ n: z.number() }), run: async () => ({ n: 1 }) });
const transformed = defineTask({ name: 'a', output: z.number().transform((n) => `${n}`), run: () => 1 });
const valibotOutput = defineTask({ name: 'a', output: v.array(v.string()), run: async () => ['a'] });
const arktypeOutput = defineTask({ name: 'a', output: type({ n: 'number' }), run: async () => ({ n: 1 }) });

export type Outputs = [
  Expect<Equal<typeof checked, Task<unknown, { n: number }>>>,
  Expect<Equal<typeof transformed, Task<unknown, string>>>,
  Expect<Equal<typeof valibotOutput, Task<unknown, string[]>>>,
  Expect<Equal<typeof arktypeOutput, Task<unknown, { n: number }>>>,
];

// ---- submitting, registering -----------------------------------------------------------------------------------------

/** Never called: the compiler checks it. */
export async function submitting(): Promise<void> {
  const call = await ctx.submit(withZod, { path: 'a', width: '1' });
  const width: number = (await call.result).width;
  const byName = await ctx.submit('image.resize', { anything: width });
  const output: unknown = await byName.result;
  // @ts-expect-error: width is a string
  await ctx.submit(withZod, { path: 'a', width: 1 });
  // @ts-expect-error: what may be anything isn't what it takes
  await ctx.submit(fromMethod, output);
  // @ts-expect-error: more than it takes is a slip
  await ctx.submit(fromRun, { path: 'a', more: 1 });
  // @ts-expect-error: nor is what it takes made wider by what is given
  await ctx.submit(fromRun, { path: 1 });
  // @ts-expect-error: what takes more isn't what anything can be submitted to
  const anything: Task = fromRun;
  const more: Task<{ readonly path: string; readonly more: number }, number> = fromRun;
  await ctx.submit(more, { path: 'a', more: 1 });
  void anything;
}

/** Never called, either. */
export function registering(): void {
  const registry = new TaskRegistry([withZod, withValibot, withResource, noInput]);
  // A task's place doesn't tell it what it takes.
  registry.add(
    defineTask({
      name: 'in-place',
      run: (_ctx, input: { readonly path: string }) => input.path,
      onDuplicate: 'serial',
      key: (input) => input.path,
      migrate: (input) => ({ path: `${input}` }),
      examples: [{ input: { path: 'a' }, output: 'a' }],
    }),
  );
  registry.replace(withZod, (_ctx, input) => ({ path: input.path, width: input.width.length, tag: 'fake' }));
  registry.replace(withZod, (_ctx, input: Parsed, db: Db) => db.query(input.tag));
  registry.replace('zod', (_ctx, input: Parsed) => input);
  registry.replace('zod', withValibot);
  const [any] = registry.list();
  registry.replace(any!, () => 1);
}

/** What must not compile. */
export function wrong(): void {
  // @ts-expect-error: a definition needs a name
  defineTask({ run: () => {} });
  // @ts-expect-error: and work
  defineTask({ name: 'a' });
  // @ts-expect-error: an option that there isn't
  defineTask({ name: 'a', run: () => {}, retries: 3 });
  // @ts-expect-error: the function takes something else than the schema gives
  defineTask({ name: 'a', input: z.string(), run: (_ctx, input: number) => input });
  // @ts-expect-error: it returns something else than the schema takes
  defineTask({ name: 'a', output: z.string(), run: () => 1 });
  // @ts-expect-error: the example isn't what goes in
  defineTask({ name: 'a', input: z.string(), run: () => 1, examples: [{ input: 1, output: 1 }] });
  // @ts-expect-error: nor is this what comes out
  defineTask({ name: 'a', input: z.string(), run: () => 1, examples: [{ input: 'a', output: 'b' }] });
  // @ts-expect-error: the key's function needs what the work doesn't
  defineTask({ name: 'a', onDuplicate: 'serial', key: (input: Parsed) => input.tag, run: (_ctx, input: Db) => input });
  // @ts-expect-error: or what the schema doesn't have
  defineTask({ name: 'a', input: z.string(), onDuplicate: 'serial', key: (input: Parsed) => input.tag, run: () => 1 });
  // @ts-expect-error: keys are texts
  defineTask({ name: 'a', input: z.number(), onDuplicate: 'serial', key: (input) => input, run: () => 1 });
  // @ts-expect-error: and so are permissions
  defineTask({ name: 'a', run: () => 1, authorize: [1] });
}

/** A definition can be put together by hand; routes for any input fit each. */
export const definition: TaskDefinition<string, number, string, Db> = {
  name: 'by-hand',
  input: z.string().transform(Number),
  queue: Math.random() > 0.5 ? weighted({ a: 1, b: 2 }) : roundRobin(['a', 'b']),
  run: async (_ctx, input, db) => `${await db.query(`${input}`)}`,
};

/** And is then a task of what it says. */
const byHand = defineTask(definition);
export type ByHand = [Expect<Equal<typeof byHand, Task<string, string>>>];

test('schemas of zod, valibot and arktype say what goes in, in the types as when it runs', async () => {
  const input = { path: '/a', width: '7' };
  const output = { path: '/a', width: 7, tag: 'none' };
  const examples = [{ input, output }];
  const registry = new TaskRegistry([
    withZod,
    defineTask({ name: 'valibot', input: valibot, run: async (_ctx, given) => given, examples }),
    defineTask({ name: 'arktype', input: arktype, run: async (_ctx, given) => given, examples }),
  ]);
  assert.equal(await testExamples(registry), 3);
});
