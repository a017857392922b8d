/**
 * Draws docs/images/throughput.svg from kept results: what a task costs in errand and in its peers, in floors.
 * `node --import tsx bench/plot.ts [results.json]`; without a file, the results of the Node version that runs it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { type Results, readResults } from './lib/results.ts';

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly ours: boolean;
}

const WIDTH = 760;
const LEFT = 236;
const RIGHT = 70;
const TOP = 74;
const ROW = 34;
const THICK = 20;

/** What is measured of them. */
const NAMES: Record<string, string> = { async: 'async.queue', fastq: 'fastq.promise' };

const IMAGES = new URL('../docs/images/', import.meta.url);

const file = process.argv[2] ?? new URL(`./results/${process.versions.node.split('.')[0]}.json`, import.meta.url);
const results = readResults(file);
mkdirSync(IMAGES, { recursive: true });
writeFileSync(new URL('throughput.svg', IMAGES), draw(barsOf(results), `Node ${results.node.split('.')[0]}`));

/** Errand first, then the peers from the fastest on. */
function barsOf({ suites }: Results): Bar[] {
  const figures = suites.find((suite) => suite.name === 'throughput')?.figures ?? [];
  const bars: Bar[] = [];
  const peers: Bar[] = [];
  for (const { question, kept, off } of figures) {
    const [name, by] = question.split(' / ');
    if (by !== 'the floor' || name === undefined || name.startsWith('never') || kept === undefined) continue;
    if (off === undefined) peers.push({ name: NAMES[name] ?? name, value: kept.median, ours: false });
    else {
      bars.push({ name: 'errand', value: kept.median, ours: true });
      bars.push({ name: 'errand, asyncContext: false', value: off.median, ours: true });
    }
  }
  if (bars.length === 0) throw new Error('the results have no throughput suite');
  return [...bars, ...peers.sort((a, b) => a.value - b.value)];
}

function draw(bars: readonly Bar[], node: string): string {
  const height = TOP + bars.length * ROW + 34;
  const most = Math.max(...bars.map((bar) => bar.value));
  const scale = (WIDTH - LEFT - RIGHT) / most;
  const floor = LEFT + scale;
  const bottom = TOP + bars.length * ROW;
  const rows = bars.map((bar, i) => drawBar(bar, TOP + i * ROW, bar.value * scale));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title">
<title id="title">The cost of a task against the floor: ${bars.map((bar) => `${bar.name} ${bar.value.toFixed(2)}`).join(', ')}</title>
<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #24292f; }
.head { font-size: 16px; font-weight: 600; }
.soft { font-size: 12px; fill: #57606a; }
.bold { font-weight: 600; }
.ours { fill: #0969da; }
.peer { fill: #afb8c1; }
.floor { stroke: #57606a; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .soft { fill: #9198a1; }
  .ours { fill: #4493f8; }
  .peer { fill: #545d68; }
  .floor { stroke: #9198a1; }
}
</style>
<text class="head" x="16" y="28">The cost of a task, in floors: less is better</text>
<text class="soft" x="16" y="48">200,000 async no-ops queued at once, concurrency 8, ${node}</text>
${rows.join('\n')}
<line class="floor" x1="${floor.toFixed(1)}" x2="${floor.toFixed(1)}" y1="${TOP - 8}" y2="${bottom}"/>
<text class="soft" x="${floor.toFixed(1)}" y="${bottom + 18}" text-anchor="middle">1: the floor, one promise more for each task, no queue</text>
</svg>
`;
}

function drawBar({ name, value, ours }: Bar, y: number, length: number): string {
  const base = y + THICK / 2 + 4.5;
  const weight = ours ? ' class="bold"' : '';
  return [
    `<text${weight} x="${LEFT - 12}" y="${base}" text-anchor="end">${name}</text>`,
    `<rect class="${ours ? 'ours' : 'peer'}" x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${THICK}" rx="3"/>`,
    `<text${weight} x="${(LEFT + length + 8).toFixed(1)}" y="${base}">${value.toFixed(2)}</text>`,
  ].join('\n');
}
