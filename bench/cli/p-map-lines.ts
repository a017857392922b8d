/** What `errand map` replaces: inputs line by line, results as they come: `p-map-lines.js <module> <from> <to> <concurrency>` */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { pMapIterable } from 'p-map';
import type { MapModule } from './jobs.ts';

const [module, from, to, concurrency] = process.argv.slice(2);
const { default: map } = (await import(pathToFileURL(module!).href)) as MapModule;
const source = await open(from!);
const results = createWriteStream(to!);
const lines = pMapIterable(
  source.readLines(),
  async (input) => `${JSON.stringify({ input, value: await map(input) })}\n`,
  { concurrency: Number(concurrency) },
);
for await (const line of lines) if (!results.write(line)) await once(results, 'drain');
results.end();
