/** Draws what a terminal shows as an SVG: small, with nothing to load, and the same whatever fonts there are. */
import { widthOf } from '../src/cli/text.ts';

export interface Frame {
  readonly title: string;
  /** Rows of text with the codes for colors that `tmux capture-pane -e` gives. */
  readonly screen: string;
}

/** Text of one look, at a column. */
interface Run {
  readonly column: number;
  readonly text: string;
  readonly classes: string;
}

const CELL = { width: 7.8, height: 18 };
const SIZE = 13;
const PAD = 14;
const HEAD = 30;
const GAP = 16;
const BASELINE = 13;
const COLORS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
/** Blocks and shades are drawn: fonts leave gaps between them. */
const BLOCKS: Record<string, number> = { '█': 1, '▓': 0.75, '▒': 0.5, '░': 0.25 };

const STYLE = `
text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: ${SIZE}px; white-space: pre; }
.window { fill: #0d1117; stroke: #30363d; }
.edge { stroke: #30363d; }
.title { fill: #8b949e; text-anchor: middle; }
.row { fill: #e6edf3; }
.bold { font-weight: 700; }
.dim { opacity: .65; }
.black { fill: #6e7681; } .red { fill: #ff7b72; } .green { fill: #3fb950; } .yellow { fill: #d29922; }
.blue { fill: #58a6ff; } .magenta { fill: #bc8cff; } .cyan { fill: #39c5cf; } .white { fill: #f0f6fc; }
`;

/** One window below the other. */
export function drawTerminals(name: string, frames: readonly Frame[], columns: number): string {
  const width = Math.ceil(columns * CELL.width + PAD * 2);
  const windows: string[] = [];
  let top = 0;
  for (const { title, screen } of frames) {
    const rows = screen.split('\n');
    const height = HEAD + rows.length * CELL.height + PAD * 2;
    windows.push(drawWindow(title, rows, width, height, top));
    top += height + GAP;
  }
  const height = top - GAP;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">${escapeXml(`In a terminal: ${name}`)}</title>
<style>${STYLE}</style>
${windows.join('\n')}
</svg>
`;
}

function drawWindow(title: string, rows: readonly string[], width: number, height: number, top: number): string {
  const lines = rows.map((row, i) => {
    const y = HEAD + PAD + i * CELL.height;
    return runsOf(row)
      .map((run) => drawRun(run, y))
      .join('');
  });
  const dots = [16, 34, 52].map((x, i) => `<circle cx="${x}" cy="15" r="5" class="${['red', 'yellow', 'green'][i]}"/>`);
  return `<g transform="translate(0 ${top})">
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8" class="window"/>
${dots.join('')}<text x="${width / 2}" y="19" class="title">${escapeXml(title)}</text>
<path d="M0 ${HEAD}.5h${width}" class="edge"/>
${lines.filter((line) => line !== '').join('\n')}
</g>`;
}

/** The text is stretched to the columns it takes, as another font may have wider or narrower characters. */
function drawRun({ column, text, classes }: Run, y: number): string {
  const x = round(PAD + column * CELL.width);
  const length = round(widthOf(text) * CELL.width);
  const opacity = BLOCKS[text[0]!];
  if (opacity !== undefined) {
    const shade = opacity === 1 ? '' : ` fill-opacity="${opacity}"`;
    return `<rect x="${x}" y="${y + 3}" width="${length}" height="${CELL.height - 6}" class="row${classes}"${shade}/>`;
  }
  return `<text x="${x}" y="${y + BASELINE}" textLength="${length}" class="row${classes}">${escapeXml(text)}</text>`;
}

/** Parts a row where its look changes, at blocks, and at gaps of two columns and more, which nobody needs to draw. */
function runsOf(row: string): Run[] {
  const runs: Run[] = [];
  let column = 0;
  let look: Look = {};
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the codes begin with one
  for (const [piece, codes] of row.matchAll(/\x1b\[([\d;]*)m|█+|▓+|▒+|░+|[^\x1b█▓▒░]+/gu)) {
    if (codes !== undefined) {
      look = obey(look, codes);
      continue;
    }
    const classes = classesOf(look);
    for (const text of piece.split(/( {2,})/)) {
      if (text.trim() !== '') {
        const start = text.length - text.trimStart().length;
        runs.push({ column: column + start, text: text.trim(), classes });
      }
      column += widthOf(text);
    }
  }
  return runs;
}

interface Look {
  readonly color?: string | undefined;
  readonly bold?: boolean;
  readonly dim?: boolean;
}

function obey(look: Look, codes: string): Look {
  let next = look;
  for (const code of codes.split(';').map(Number)) {
    if (code === 0) next = {};
    else if (code === 1) next = { ...next, bold: true };
    else if (code === 2) next = { ...next, dim: true };
    else if (code === 22) next = { ...next, bold: false, dim: false };
    else if (code === 39) next = { ...next, color: undefined };
    else if (code >= 30 && code <= 37) next = { ...next, color: COLORS[code - 30] };
    else if (code >= 90 && code <= 97) next = { ...next, color: COLORS[code - 90] };
    // 49 is the background as it is; there is no other.
    else if (code !== 49) throw new Error(`the picture can't show the code ${code} yet`);
  }
  return next;
}

function classesOf({ color, bold, dim }: Look): string {
  return [color, bold && 'bold', dim && 'dim'].map((name) => (name ? ` ${name}` : '')).join('');
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
