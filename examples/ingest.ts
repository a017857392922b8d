/**
 * An ingest pipeline with limits by tenant: `node --import tsx examples/ingest.ts`.
 *
 * - The tenants are the folders of src/, their documents the files there: the largest has many times what the smallest
 *   has.
 * - For each document a flow runs: it is read, what it exports is extracted in the same call, and stored.
 * - A tenant's documents are read at most 10 in any 100 ms, and 3 at once: so the large don't stand before the small.
 * - A document that comes twice is stored once, and one that can't be stored is a dead letter.
 * - What has happened is read from the stream of events, and drawn: a line for each tenant, a column for each 50 ms.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CallContext, Dispatcher, defineTask, flow } from 'errand/tasks';

interface Document {
  readonly tenant: string;
  readonly path: string;
}

const root = fileURLToPath(new URL('../src/', import.meta.url));
const index = new Map<string, { tenant: string; symbols: number }>();

const read = defineTask({
  name: 'document.read',
  queue: 'documents',
  rateLimit: { limit: 10, intervalMs: 100, key: ({ tenant }) => tenant },
  concurrency: { limit: 3, key: ({ tenant }) => tenant },
  retry: { attempts: 3, baseMs: 20 },
  run: async (ctx: CallContext, { tenant, path }: Document) => {
    const text = await readFile(join(root, path), { encoding: 'utf8', signal: ctx.signal });
    return { tenant, path, text };
  },
});

const extract = defineTask({
  name: 'document.extract',
  run: (_ctx: CallContext, { tenant, path, text }: Document & { readonly text: string }) => ({
    tenant,
    path,
    symbols: text.match(/^export /gm)?.length ?? 0,
  }),
});

const store = defineTask({
  name: 'document.store',
  queue: 'store',
  deadLetter: true,
  run: (_ctx: CallContext, { tenant, path, symbols }: Document & { readonly symbols: number }) => {
    if (path.endsWith('index.ts')) throw new Error(`${path} has nothing of its own`);
    index.set(path, { tenant, symbols });
    return symbols;
  },
});

const ingest = flow<Document>({
  name: 'document.ingest',
  onDuplicate: 'discard',
  key: ({ path }) => path,
  deadLetter: false,
})
  .node('read', read)
  .then('extract', extract, { inline: true })
  .then('store', store, { onFailure: 'skip' })
  .build();

const dispatcher = new Dispatcher({
  tasks: [ingest],
  concurrency: 16,
  queues: { store: {}, documents: { concurrency: 12 }, default: {} },
});
await dispatcher.start();

// Who has begun when, from the stream of all that happens.
const begun = new Map<string, number[]>();
let firstAt: number | undefined;
const watching = (async () => {
  for await (const event of dispatcher.events()) {
    if (event.type !== 'started' || event.call.queue !== 'documents') continue;
    const { tenant } = event.call.input as Document;
    firstAt ??= event.call.startedAt!;
    begun.set(tenant, [...(begun.get(tenant) ?? []), event.call.startedAt! - firstAt]);
  }
})();

const documents: Document[] = [];
for (const path of (await readdir(root, { recursive: true })).sort()) {
  const [tenant, ...rest] = path.split(/[\\/]/);
  if (path.endsWith('.ts') && rest.length > 0) documents.push({ tenant: tenant!, path });
}
// The largest tenant comes first with all it has, and one document comes twice.
const sizeOf = (tenant: string) => documents.filter((document) => document.tenant === tenant).length;
documents.sort((a, b) => sizeOf(b.tenant) - sizeOf(a.tenant));
const runs = await dispatcher.submitMany(ingest, [...documents, documents[0]!]);
const outcomes = await Promise.allSettled(runs.map(({ result }) => result));
const summary = await dispatcher.stop();
await watching;

const COLUMN_MS = 50;
const width = Math.ceil((Math.max(...[...begun.values()].flat()) + 1) / COLUMN_MS);
for (const [tenant, times] of [...begun].sort(([, a], [, b]) => b.length - a.length)) {
  const columns = Array.from({ length: width }, () => 0);
  for (const time of times) columns[Math.floor(time / COLUMN_MS)]!++;
  const line = columns.map((count) => (count === 0 ? ' ' : '▁▂▃▄▅▆▇█'[Math.min(count, 8) - 1])).join('');
  console.log(`${tenant.padEnd(8)} ${String(times.length).padStart(3)} |${line}|`);
}
const refused = outcomes.filter(({ status }) => status === 'rejected').length;
console.log(`${index.size} of ${documents.length} documents stored, ${refused} came twice`);
console.log(`left when it stopped: ${summary.left}`);
