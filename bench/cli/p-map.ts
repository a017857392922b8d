/** The same, shorter and faster, for as many inputs as memory holds: `p-map.js <module> <from> <to> <concurrency>` */
import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import pMap from 'p-map';
import type { MapModule } from './jobs.ts';

const [module, from, to, concurrency] = process.argv.slice(2);
const { default: map } = (await import(pathToFileURL(module!).href)) as MapModule;
const inputs = (await readFile(from!, 'utf8')).split('\n').filter((line) => line !== '');
const results = await pMap(inputs, async (input) => `${JSON.stringify({ input, value: await map(input) })}\n`, {
  concurrency: Number(concurrency),
});
await writeFile(to!, results.join(''));
