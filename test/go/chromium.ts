/** Chromium for tests: a page in it runs modules, and what they export as `results` comes back. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Result } from './browser/result.ts';

/** What of a module's run came back: its results, or the error that kept it from giving any. */
export type Report = readonly Result[] | { readonly error: string };

/** Well under the limit of the test runner, so that what Chromium said is still shown. */
const LIMIT_MS = 40_000;
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const FLAGS = [
  '--headless',
  '--no-sandbox', // it won't start as root with one, and opens nothing but our own page
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--remote-debugging-pipe', // never used, but Chromium ends when it closes, as it does however we end
  '--enable-logging=stderr', // the page's console, too
];

/** `CHROMIUM_PATH`, or what there is in the PATH. */
export function findChromium(): string | undefined {
  const { CHROMIUM_PATH, PATH = '' } = process.env;
  if (CHROMIUM_PATH) return CHROMIUM_PATH;
  const places = NAMES.flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)));
  return places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Runs modules, given by name, one after the other in one page. Leaves no process and no file. */
export async function runInChromium(
  chromium: string,
  modules: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, Report>>> {
  const site = await openSite(modules);
  const profile = await mkdtemp(join(tmpdir(), 'errand-chromium-'));
  const child = spawn(chromium, [...FLAGS, `--user-data-dir=${profile}`, site.url], {
    detached: true, // a process group of its own, to be ended as a whole
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (part) => {
    said += part.replace(/^.*dbus.*\n/gim, ''); // which it misses on a server, and doesn't need
  });
  const ended = once(child, 'close');
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      site.reports,
      ended.then(([code, signal]) => Promise.reject(new Error(`${chromium} ended with ${code ?? signal}:\n${said}`))),
      new Promise<never>((_, reject) => {
        const error = () => new Error(`no report came in ${LIMIT_MS} ms; ${chromium} said:\n${said}`);
        timer = setTimeout(() => reject(error()), LIMIT_MS);
      }),
    ]);
  } finally {
    clearTimeout(timer);
    if (child.pid !== undefined) endGroup(child.pid);
    await ended.catch(() => {}); // it wasn't started, as the race has told
    await site.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  }
}

function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // All of them have ended.
  }
}

/** A server of a page that imports the modules and posts what they export. It never answers a request for /silence. */
async function openSite(modules: Readonly<Record<string, string>>) {
  const pages = new Map([['/', { type: 'text/html', body: pageFor(Object.keys(modules)) }]]);
  for (const [index, body] of Object.values(modules).entries()) {
    pages.set(`/${index}.js`, { type: 'text/javascript', body });
  }
  const server = createServer(({ url = '' }, response) => {
    const page = pages.get(url);
    if (page !== undefined) response.setHeader('content-type', `${page.type}; charset=utf-8`).end(page.body);
    else if (url !== '/silence') response.writeHead(404).end();
  });
  const reports = new Promise<Record<string, Report>>((resolve, reject) => {
    server.on('request', (request: IncomingMessage) => {
      if (request.method === 'POST') text(request).then(JSON.parse).then(resolve, reject);
    });
  });
  reports.catch(() => {}); // nobody may be there any more
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    reports,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function pageFor(modules: readonly string[]): string {
  return `<!doctype html>
<link rel="icon" href="data:,">
<script type="module">
  const reports = {};
  for (const [index, name] of ${JSON.stringify(modules)}.entries()) {
    try {
      reports[name] = (await import('/' + index + '.js')).results;
    } catch (error) {
      reports[name] = { error: String(error) };
    }
  }
  await fetch('/reports', { method: 'POST', body: JSON.stringify(reports) });
</script>`;
}
