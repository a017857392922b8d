// Bundles what a thread of errand/threads starts with into dist/threads/entry.js: one file is loaded sooner than several,
// and a thread loads it at each start. The sources use it too, when they run uncompiled: threads of Node 20 load no
// TypeScript, whatever loader the process has. So this is run by `npm ci` and before the tests as well.
//   node scripts/build-thread.js [another folder than dist]
import { bundle } from './bundle.js';

const [folder = 'dist'] = process.argv.slice(2);

await bundle({
  entryPoints: ['src/threads/entry.ts'],
  outfile: `${folder}/threads/entry.js`,
  legalComments: 'none',
});
