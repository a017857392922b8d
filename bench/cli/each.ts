/** What xargs starts for one input or many, and the least a script can be that maps an input: `each.js <module> <input>...` */
import { pathToFileURL } from 'node:url';
import type { MapModule } from './jobs.ts';

const [module, ...inputs] = process.argv.slice(2);
const { default: map } = (await import(pathToFileURL(module!).href)) as MapModule;
let results = '';
for (const input of inputs) results += `${JSON.stringify({ input, value: await map(input) })}\n`;
process.stdout.write(results);
