/**
 * A report that is made every night of a folder of pages: `node --import tsx examples/nightly-report.ts`.
 *
 * - A schedule fires it at 02:00 in Berlin, once for all dispatchers on the engine; here it is fired out of turn.
 * - A flow: the pages are listed, each is measured by a call of its own, and what has come of them is collected.
 * - A page that can't be read just now is tried again. One that can't be read at all fails the run, which is kept as a
 *   dead letter, and somebody is told.
 * - When the page is mended, the run is resubmitted: what had been measured isn't measured again.
 * - The pictures of both runs are Mermaid's; README shows them as they came out of here.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CallContext, Dispatcher, defineTask, flow, SkipTask } from 'errand/tasks';

interface Measured {
  readonly page: string;
  readonly words: number;
  readonly links: number;
}

// Pages to report on: a copy of docs/, where somebody has put a folder in the place of a page.
const folder = await mkdtemp(join(tmpdir(), 'pages-'));
await cp(new URL('../docs/', import.meta.url), folder, { recursive: true, filter: (path) => !/images/.test(path) });
await mkdir(join(folder, 'broken.md'));

let reads = 0;

const list = defineTask({
  name: 'pages.list',
  run: async (_ctx: CallContext, path: string) => (await readdir(path)).filter((name) => name.endsWith('.md')).sort(),
});

const measure = defineTask({
  name: 'page.measure',
  queue: 'pages',
  concurrency: 4,
  retry: { attempts: 3, baseMs: 10 },
  run: async (ctx: CallContext, page: string): Promise<Measured> => {
    reads++;
    // The disk of this example is busy at times.
    if (page.startsWith('t') && ctx.attempt === 1) throw new Error(`${page}: resource temporarily unavailable`);
    const text = await readFile(join(folder, page), { encoding: 'utf8', signal: ctx.signal }).catch((error) => {
      // Another attempt would come to the same.
      throw error.code === 'EISDIR' ? new SkipTask(`${page} is a folder`, { cause: error }) : error;
    });
    return { page, words: text.split(/\s+/).length, links: text.match(/\]\(/g)?.length ?? 0 };
  },
});

const summarize = defineTask({
  name: 'report.summarize',
  run: (_ctx: CallContext, pages: readonly Measured[]) => {
    const longest = pages.reduce((a, b) => (a.words >= b.words ? a : b)).page;
    const sum = (of: 'words' | 'links') => pages.reduce((total, page) => total + page[of], 0);
    return { pages: pages.length, words: sum('words'), links: sum('links'), longest };
  },
});

const send = defineTask({
  name: 'report.send',
  run: (ctx: CallContext, text: string) => {
    ctx.log(text);
    return text;
  },
});

const nightly = flow<string>({ name: 'report.nightly' })
  .node('list', list)
  .each('measure', measure, { after: 'list', over: ({ list: pages }) => pages })
  .then('summarize', summarize)
  .then('send', send, {
    input: ({ summarize: { pages, words, longest } }) => `${pages} pages, ${words} words; the longest is ${longest}`,
  })
  .onError('alarm', send, { of: 'measure', input: ({ node, error }) => `${node} has failed: ${error.message}` })
  .build(({ send: sent }) => sent);

const dispatcher = new Dispatcher({ tasks: [nightly], concurrency: 8 });
await dispatcher.start();

const schedule = await dispatcher.schedule('0 2 * * *', nightly, folder, {
  timeZone: 'Europe/Berlin',
  overlap: 'skip',
  missed: 'once',
});
const berlin = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', timeStyle: 'short' });
console.log(`${schedule.name} runs next at ${berlin.format(schedule.next())} in Berlin; now it runs out of turn`);

const run = await schedule.trigger();
await run.result.catch((error: Error) => console.log(`failed: ${error.message}`));
console.log(`\n${nightly.toMermaid(await dispatcher.flows.get(run.id))}`);

const [letter] = await dispatcher.deadLetters.list({ task: nightly.name });
console.log(`a dead letter: ${letter!.task}, ${(letter!.error as Error).message}`);

await rm(join(folder, 'broken.md'), { recursive: true });
await writeFile(join(folder, 'broken.md'), '# Mended\n\nIt has [a link](tasks.md) now.\n');
const before = reads;
await dispatcher.deadLetters.resubmit(run.id);
const again = await dispatcher.calls.get<string>(run.id);
console.log(`\nmended, and resubmitted: ${await again?.result}`);
console.log(`pages read again: ${reads - before}`);
console.log(`\n${nightly.toMermaid(await dispatcher.flows.get(run.id))}`);

await dispatcher.stop();
await rm(folder, { recursive: true });
