// Bundles the `errand` command, and all libraries that it needs, into dist/cli: so nobody has to install those that only
// it needs, and it starts faster, as Node has a single file to find and to load. Its threads load another.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.js';

const OUT = 'dist/cli';

// Identifiers stay: errors are named for their classes.
const minified = { minifySyntax: true, minifyWhitespace: true };
const inputs = await Promise.all([
  bundle({
    ...minified,
    entryPoints: ['src/cli/main.ts'],
    outfile: join(OUT, 'main.js'),
    // What is CommonJS among them asks for Node's modules by `require`, which modules don't have.
    banner: { js: "import { createRequire as from } from 'node:module';\nconst require = from(import.meta.url);" },
  }),
  // What the threads of --threads load: a file of its own, as small as can be.
  bundle({ ...minified, entryPoints: ['src/cli/map-thread.ts'], outfile: join(OUT, 'map-thread.js') }),
]);

// Their licenses ask to be handed on.
const bundled = new Set();
for (const input of inputs.flat()) {
  const match = /^(.*node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(input);
  if (match !== null) bundled.add(match[1]);
}
const texts = [...bundled].sort().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = existsSync(folder) && readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no license file: it can't be bundled`);
  return `${name} ${version}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
});
writeFileSync(join(OUT, 'LICENSES.txt'), `The command contains these libraries.\n\n${texts.join('\n----\n\n')}`);
