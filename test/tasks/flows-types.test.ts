/** What the compiler must think of flows: `npx tsc` fails here if a type regresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  type Dispatcher,
  defineTask,
  type Flow,
  type FlowFailure,
  flow,
  type ItemOutcome,
  type Task,
} from '../../src/tasks/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;

interface Customer {
  readonly id: string;
}
interface Report {
  readonly customer: string;
  readonly pages: number;
}

const list = defineTask({ name: 'list', run: (_ctx, _input: { readonly day: string }): Customer[] => [] });
const make = defineTask({ name: 'make', run: (_ctx, { id }: Customer): Report => ({ customer: id, pages: 1 }) });
const bind = defineTask({ name: 'bind', run: (_ctx, reports: readonly Report[]) => reports.length });
const stamp = defineTask({ name: 'stamp', run: (_ctx, pages: number) => `${pages}` });
const alarm = defineTask({ name: 'alarm', run: (_ctx, failure: FlowFailure) => failure.node.length });
const both = defineTask({ name: 'both', run: (_ctx, _both: { readonly book: number; readonly customers: Customer[] }) => true }); // biome-ignore format: short
const anything = defineTask({ name: 'anything', run: (_ctx, input) => input });

const begin = flow({ name: 'nightly', input: z.object({ day: z.string(), width: z.coerce.number<string>() }) }).node('customers', list); // biome-ignore format: short
const nightly = begin
  .each('reports', make, { after: 'customers', over: ({ customers }, { width }) => customers.slice(width) })
  .then('book', bind)
  .node('both', both, { after: ['book', 'customers'] })
  .node('stamp', stamp, { after: ['book', 'reports'], input: ({ book, reports }, { day }) => book + reports.length + day.length }) // biome-ignore format: short
  .onError('alarm', alarm, { of: ['reports', 'book'] });
const last = nightly.build();
const all = nightly.build(({ customers, reports, book, both: yes, stamp: text, alarm: told }) => ({
  customers,
  reports,
  book,
  yes,
  text,
  told,
}));
const plain = flow<string>({ name: 'plain' }).node('a', anything).build();
const unsaid = flow({ name: 'unsaid' }).node('a', anything).build();
const skips = flow<Customer>({ name: 'skips' })
  .node('may', make, { onFailure: 'skip' })
  .then('after', anything)
  .node('sure', make)
  .node('joined', anything, { after: ['sure', 'after'] })
  .build((results) => results);
const settled = flow<Customer[]>({ name: 'settled' }).each('all', make, { over: (_, input) => input, settled: true }).build(); // biome-ignore format: short
const later = begin.then('later', stamp, { input: ({ customers }) => customers.length }).build();
const nested = flow<{ day: string; width: string }>({ name: 'outer' }).node('inner', last, {}).build();

export type Built = [
  Expect<Equal<typeof last, Flow<{ day: string; width: string }, number | undefined>>>,
  Expect<
    Equal<
      typeof all,
      Flow<
        { day: string; width: string },
        {
          customers: Customer[];
          reports: Report[];
          book: number;
          yes: boolean;
          text: string;
          told: number | undefined;
        }
      >
    >
  >,
  Expect<Equal<typeof plain, Flow<string, unknown>>>,
  Expect<Equal<typeof unsaid, Flow<unknown, unknown>>>,
  Expect<Equal<typeof settled, Flow<Customer[], ItemOutcome<Report>[]>>>,
  Expect<Equal<typeof later, Flow<{ day: string; width: string }, string>>>,
  Expect<Equal<typeof nested, Flow<{ day: string; width: string }, number | undefined>>>,
  Expect<
    Equal<
      typeof skips extends Flow<Customer, infer O> ? { [K in keyof O]: O[K] } : never,
      {
        readonly may: Report | undefined;
        readonly after: unknown;
        readonly sure: Report;
        readonly joined: unknown;
      }
    >
  >,
];

/** Never called: the compiler checks it. */
export async function using(dispatcher: Dispatcher): Promise<void> {
  const task: Task<{ day: string; width: string }, number | undefined> = last;
  const run = await dispatcher.submit(task, { day: 'today', width: '1' });
  const pages: number | undefined = await run.result;
  // @ts-expect-error: the schema takes a text
  await dispatcher.submit(last, { day: 'today', width: 1 });
  void pages;
}

/** What must not compile. */
export function wrong(): void {
  // @ts-expect-error: the input of the flow isn't what the root takes
  flow<number>({ name: 'a' }).node('a', make);
  // @ts-expect-error: nor is the result of the node before
  begin.then('b', stamp);
  // @ts-expect-error: nor that of one named
  begin.node('b', bind, { after: 'customers' });
  // @ts-expect-error: nor are the results of several
  begin.node('b', stamp, { after: ['customers'] });
  // @ts-expect-error: what input gives isn't, either
  begin.node('b', stamp, { after: 'customers', input: ({ customers }) => customers });
  // @ts-expect-error: a node that there isn't
  begin.node('b', anything, { after: 'nobody' });
  // @ts-expect-error: the result of one that this one isn't after
  nightly.node('b', anything, { after: 'book', input: ({ customers }) => customers });
  // @ts-expect-error: items that the task doesn't take
  begin.each('b', stamp, { after: 'customers', over: ({ customers }) => customers });
  // @ts-expect-error: each needs items
  begin.each('b', make, { after: 'customers' });
  // @ts-expect-error: a handler takes a failure
  begin.onError('b', stamp, { of: 'customers' });
  // @ts-expect-error: and has to say of what
  begin.onError('b', alarm, {});
  // @ts-expect-error: what may have been left out isn't always there
  nightly.build(({ alarm: told }) => told.toFixed());
  // @ts-expect-error: an option that there isn't
  begin.then('b', anything, { retries: 3 });
  // @ts-expect-error: a flow has no manager
  flow({ name: 'a', manager: 'db' });
}

test('what the compiler thinks of flows is what they do', () => {
  assert.deepEqual(last.nodes, ['customers', 'reports', 'book', 'both', 'stamp', 'alarm']);
});
