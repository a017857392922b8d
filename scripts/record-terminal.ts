/**
 * Takes a picture of a command at work in a real terminal: what it shows halfway, and what it shows at the end.
 *
 *   node --import tsx scripts/record-terminal.ts --out FILE.svg [--columns N] [--rows N] -- COMMAND LINE
 *
 * README's, docs/images/errand-map.svg, is of 110 columns, while examples/web-server.ts runs beside; that refuses some:
 *
 *   errand map examples/fetch.ts http://localhost:{8081,8080/{1..800}} --concurrency 7 --retries 3 > ok.ndjson
 *
 * The line is typed into a shell in the root of the project, in a terminal of tmux, which has to be installed; `errand`
 * is this project's, from its sources. The picture has no path of the machine in it, or there is none.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { drawTerminals } from './terminal-svg.ts';

const ROOT = join(import.meta.dirname, '..');
const PROMPT = '$';
const LOOK_MS = 40;
const LIMIT_MS = 120_000;

interface Look {
  readonly at: number;
  /** As tmux captures it: rows, with the codes for colors. */
  readonly screen: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    columns: { type: 'string', default: '100' },
    rows: { type: 'string', default: '40' },
  },
});
const line = positionals.join(' ');
if (values.out === undefined || line === '') throw new Error('it takes --out FILE.svg and, after --, a command line');

const looks = await record(line, values.columns, values.rows);
const [halfway, end] = choose(looks);
refuseMachine(halfway + end);
// A command that says all at its end is shown once.
const frames = [...(halfway === end ? [] : [{ title: 'at work', screen: halfway }]), { title: 'done', screen: end }];
writeFileSync(values.out, drawTerminals(line, frames, Number(values.columns)));
console.log(`${values.out}: of ${looks.length} looks at the terminal, one halfway and the last`);

async function record(line: string, columns: string, rows: string): Promise<Look[]> {
  const folder = mkdtempSync(join(tmpdir(), 'record-terminal-'));
  const tsx = join(ROOT, 'node_modules/tsx/dist/loader.mjs');
  const main = join(ROOT, 'src/cli/main.ts');
  writeFileSync(join(folder, 'errand'), `#!/bin/sh\nexec node --import ${tsx} ${main} "$@"\n`, { mode: 0o755 });
  const { NO_COLOR, FORCE_COLOR, TMUX, PATH, ...inherited } = process.env;
  const env = { ...inherited, LC_ALL: 'C.UTF-8', PATH: `${folder}:${PATH}` };
  // A server of its own, without anybody's settings.
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-u', '-f', '/dev/null', '-S', join(folder, 'socket'), ...args], { encoding: 'utf8', env });
  const look = (): Look => ({ at: performance.now(), screen: tmux('capture-pane', '-e', '-p').trimEnd() });
  try {
    const shell = `PS1='${PROMPT} ' exec bash --norc --noprofile`;
    tmux('new-session', '-d', '-x', columns, '-y', rows, '-c', ROOT, shell);
    try {
      return await watch(look, () => void tmux('send-keys', '-l', `${line}\n`));
    } finally {
      tmux('kill-server');
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Types the line when the shell asks for one, and looks until it asks for the next. */
async function watch(look: () => Look, type: () => void): Promise<Look[]> {
  const looks: Look[] = [];
  let isTyped = false;
  for (const began = performance.now(); performance.now() - began < LIMIT_MS; await sleep(LOOK_MS)) {
    const seen = look();
    const rows = stripVTControlCharacters(seen.screen).split('\n');
    const isAsked = rows.at(-1)!.trimEnd() === PROMPT;
    if (!isTyped && isAsked) {
      type();
      isTyped = true;
    } else if (isTyped && isAsked && rows.length > 1) {
      return [...looks, { at: seen.at, screen: seen.screen.slice(0, seen.screen.lastIndexOf('\n')) }];
    } else if (isTyped && rows.length > 1) looks.push(seen);
  }
  throw new Error(`the command didn't end within ${LIMIT_MS / 1_000} s; the terminal shows:\n${look().screen}`);
}

function choose(looks: readonly Look[]): [halfway: string, end: string] {
  const [first, last] = [looks[0]!, looks.at(-1)!];
  const middle = (first.at + last.at) / 2;
  const halfway = looks.reduce((a, b) => (Math.abs(b.at - middle) < Math.abs(a.at - middle) ? b : a));
  if (halfway === last) throw new Error('the command is so quick that it was never seen at work');
  return [halfway.screen, last.screen];
}

function refuseMachine(text: string): void {
  for (const word of [ROOT, homedir(), tmpdir(), hostname()]) {
    if (text.includes(word)) throw new Error(`the terminal shows ${word}, which nobody needs to know:\n${text}`);
  }
}
