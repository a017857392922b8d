/**
 * Draws a Mermaid text as a picture, for pages that are shown where Mermaid isn't.
 *
 *   node --import tsx examples/nightly-report.ts | node --import tsx scripts/draw-mermaid.ts --mermaid FILE --out FILE.svg [--nth N]
 *
 * `--mermaid` is mermaid.min.js of the package mermaid, which this project doesn't depend on. Of what comes in, the nth
 * flowchart is drawn, by a Chromium: CHROMIUM_PATH names one, else it is `chromium`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { mermaid: { type: 'string' }, out: { type: 'string' }, nth: { type: 'string', default: '1' } },
});
const { mermaid, out, nth } = values;
const { CHROMIUM_PATH = 'chromium' } = process.env;
if (mermaid === undefined || out === undefined) throw new TypeError('say --mermaid FILE and --out FILE.svg');

const charts = (await text(process.stdin)).split(/^(?=flowchart )/m).slice(1);
const chart = charts[Number(nth) - 1]?.split(/\n\n/)[0];
if (chart === undefined) throw new RangeError(`there are ${charts.length} flowcharts, and no ${nth}th`);

const page = `<!doctype html><script src="${pathToFileURL(mermaid)}"></script><body><script>
  mermaid.initialize({ startOnLoad: false, theme: 'neutral', htmlLabels: false, flowchart: { htmlLabels: false } });
  mermaid.render('flow', ${JSON.stringify(chart)}).then(({ svg }) => {
    const pre = document.createElement('pre');
    pre.id = 'svg';
    pre.textContent = btoa(unescape(encodeURIComponent(svg)));
    document.body.replaceChildren(pre);
  });
</script>`;
const folder = mkdtempSync(join(tmpdir(), 'mermaid-'));
try {
  const file = join(folder, 'page.html');
  writeFileSync(file, page);
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=20000', '--dump-dom'];
  const dom = execFileSync(CHROMIUM_PATH, [...flags, file], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [, svg] = dom.match(/<pre id="svg">([^<]+)</) ?? [];
  if (svg === undefined) throw new Error('nothing was drawn');
  // With its own size: as an image, it would be as wide as the page.
  const sized = Buffer.from(svg, 'base64')
    .toString('utf8')
    .replace(/width="100%"(.*?)viewBox="0 0 (\S+) (\S+)"/s, 'width="$2" height="$3"$1viewBox="0 0 $2 $3"');
  writeFileSync(out, `${sized}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
