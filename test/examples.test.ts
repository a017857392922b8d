/** Every program in examples/ runs, says what it should, and ends by itself. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { ManagerStats } from 'errand';
import measure, { key, onCreate, priority } from '../examples/measure.js';
import { ROOT, start } from './programs.ts';

interface Expected {
  readonly says: readonly string[];
  /** Its exit code, where that isn't 0. */
  readonly code?: number;
  readonly args?: readonly string[];
}

/** What each example prints. */
const EXAMPLES: Readonly<Record<string, Expected>> = {
  'back-pressure': {
    says: [
      'reject: 7 served, 13 refused',
      'retry: 20 served, 13 or more refusals on the way',
      'wait: 20 served, never more than 5 in the queue',
      'drop-oldest: 7 served, the last order 20',
    ],
  },
  'batch-job': {
    says: [
      '196 imported, 4 refused',
      '- record 100 has no name',
      '- record 150 has no name',
      '- record 200 has no name',
      '- record 50 has no name',
    ],
    code: 1,
  },
  callbacks: {
    says: [
      'the answer is 42',
      'a callback threw: my mistake',
      'failed: the task ran longer than its timeoutMs (20 ms)',
    ],
  },
  'context-aware': {
    says: [
      'downloading',
      'AbortError: the task was canceled: the user has left',
      'temporary file removed',
      'stopped counting',
      'request 7: fetch',
      'request 7: resize',
      'request 7: upload',
      'fulfilled',
      'fulfilled',
      'rejected',
      'the request ended with TimeoutError',
    ],
  },
  fairness: {
    says: [
      'big 1, small 1, big 2, small 2, big 3, big 4, big 5',
      "4 workers, but never more than 2 of one tenant's tasks at a time",
      '3 tasks of the leaver',
      '3 canceled',
    ],
  },
  'fan-in': {
    says: [
      'web 1, web 2, web 3',
      'mail 1, mail 2',
      '5 lines are enough',
      'all is well',
      'failed: the disk is full',
      'ended: backup, clock, mail, sensor, web',
    ],
  },
  'large-file': {
    says: [
      'Athens: 3.0 of 5000',
      'Bergen: 13.0 of 5000',
      'Cairo: 23.0 of 5000',
      'Dakar: 33.0 of 4980',
      '20 lines were wrong',
      'the first: Athens, 0',
      '0 files are open in the thread',
    ],
  },
  map: { says: ['1 4 9 16 25 36 49 64', 'no 3', '0 still busy', 'failed: 1 3', 'sum: 14'] },
  metrics: {
    says: [
      '2 running, 9 queued of at most 100',
      'a task failed at attempt 1: no luck',
      '10 completed, 91 % of all',
      'most had to wait',
      '{ failed: 1 }',
      'errand_tasks_completed_total{app="example"} 10',
    ],
  },
  nested: { says: ['5050', 'the child ended, canceled', 'the parent is canceled'] },
  passwords: {
    says: [
      '4 passwords hashed; meanwhile the event loop went on',
      'ada: welcome',
      'ada, guessing: refused',
      'of 20 guesses at once 6 were looked at',
    ],
  },
  pipeline: { says: ['20 words', 'no page /pages/missing', '0 still reading'] },
  pixels: {
    says: [
      '8 strips of 153600 bytes',
      '0 bytes of the first are left, 307200 came back',
      '        =++***+++++==--:',
      '    ***########****+++==--:.',
      ' +**############****+++==--:..',
      '=+***########******+++===--:..',
      '==++***********++++====--::..',
      ' :-===++++++++=====---:::.',
      '    ::----------::::...',
    ],
  },
  'prime-sieve': { says: ['2 3 5 7 11 13 17 19 23 29 31 37 41 43 47'] },
  priorities: {
    says: [
      'a report, a payment, an order, another order, a newsletter',
      'an order at once, the newsletter, an order much later',
    ],
  },
  'queue-with-context': {
    says: [
      '<h1>/fast</h1>',
      '/slow: TimeoutError',
      '/fast, too late: TimeoutError',
      '/fast, after the end: AbortError',
    ],
  },
  'quick-start': {
    says: [
      [1, 2, 3, 4, 5, 6, 7, 8].map((id) => `rows of user ${id}`).join(', '),
      'after the stop: 0 completed, 0 failed',
    ],
  },
  quiz: {
    args: ['4', '56', '12'],
    says: [
      '2 + 2 = ?',
      '4: right',
      '7 * 8 = ?',
      '56: right',
      '100 / 8 = ?',
      '12: no, 12.5',
      '3 * 37 = ?',
      'the time is up',
      '2 of 4',
    ],
  },
  'rate-limited-client': { says: ['without a limiter, some were refused', 'with one, 20 of 20 were answered'] },
  resources: {
    says: [
      '2 connections',
      'a connection was replaced: unhealthy',
      'rows of orders at attempt 2',
      'a connection was replaced: unhealthy',
      'once: ConnectionLostError',
      'a connection was replaced: retired',
      '2 warmed up',
      'rows of health',
      '0 connections',
    ],
  },
  retries: {
    says: ['done at attempt 3', 'no such page, after 1 attempt', 'TimeoutError, after 1 attempt', '2 retries'],
  },
  shutdown: {
    says: [
      'a late task: the task manager is stopping: it takes no new tasks',
      'took its time',
      'saved its work',
      'canceled by the stop',
      'was still in the queue',
      '{ completed: 3, failed: 0, canceled: 1, abandoned: 0 }',
    ],
  },
  streaming: {
    says: [
      'rows of page 1',
      'rows of page 2',
      'rows of page 3',
      'cursor closed',
      'hardly any page was made in vain',
      '0 busy workers',
    ],
  },
  timeouts: {
    says: [
      'true the task ran longer than its timeoutMs (10 ms)',
      'the task waited longer than its queueTimeoutMs (10 ms)',
      'timed out; 1 worker is stuck',
      'next; the function has returned',
      'task ... was abandoned: its function has not returned after its end',
      'next; 1 function has been abandoned',
    ],
  },
  'worker-pool': {
    says: [
      'channels: 1 4 9 16 25 36 49 64 81, 3 at a time',
      'group: 1 4 9 16 25 36 49 64 81, 3 at a time',
      'manager: 1 4 9 16 25 36 49 64 81, 3 at a time',
    ],
  },
};

/** Modules for `errand map`, those that run until they are told to end, and those whose words vary have tests of their own. */
const OTHERS = ['fetch.ts', 'ingest.ts', 'jobs.ts', 'measure.js', 'nightly-report.ts', 'telemetry.ts', 'web-server.ts'];

/** So large that it is never read to its end, and takes no place on the disk: a sparse file. */
const ENDLESS = 2 ** 38;

async function fileOf(t: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'errand-example-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'file');
  await writeFile(path, text);
  return path;
}

/** The lines that `errand map` prints, in the order of their inputs. */
function outcomesIn(stdout: string): { readonly input: string; readonly value: unknown }[] {
  const outcomes = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly input: string; readonly value: unknown });
  return outcomes.sort((a, b) => (a.input < b.input ? -1 : 1));
}

test('every example is tested', () => {
  const files = readdirSync(join(ROOT, 'examples')).filter((name) => /\.[jt]s$/.test(name));
  assert.deepEqual(files.sort(), [...Object.keys(EXAMPLES).map((name) => `${name}.ts`), ...OTHERS].sort());
});

describe('example', { concurrency: 2, timeout: 60_000 }, () => {
  for (const [name, { says, code = 0, args = [] }] of Object.entries(EXAMPLES)) {
    test(name, async (t) => {
      const program = start(t, `examples/${name}.ts`, { args });
      const ended = await program.ended;
      assert.deepEqual(program.stdout.trimEnd().split('\n'), says, program.stderr);
      assert.equal(program.stderr, '');
      assert.equal(ended, code);
    });
  }

  describe('web-server', () => {
    test('answers, refuses what would wait too long, cancels what nobody waits for, and ends after its last answer', async (t) => {
      const program = start(t, 'examples/web-server.ts', { args: ['0'] });
      const [, url] = await program.until(/listening on (\S+)/);
      const stats = async (): Promise<ManagerStats> => (await (await fetch(`${url}/health`)).json()) as ManagerStats;
      const untilStats = async (field: keyof ManagerStats, value: number): Promise<void> => {
        while ((await stats())[field] !== value);
      };

      const answer = await fetch(`${url}/users`);
      assert.equal(answer.status, 200);
      assert.equal(await answer.text(), 'rows of /users\n');

      // Two workers and four places, so of ten at once four are refused.
      const leaving = new AbortController();
      const waiting = Array.from({ length: 6 }, () => fetch(`${url}/slow?ms=60000`, { signal: leaving.signal }));
      const left = Promise.allSettled(waiting);
      await untilStats('queuedTasks', 4);
      const refused = await fetch(`${url}/more`);
      assert.equal(refused.status, 503);
      assert.equal(refused.headers.get('retry-after'), '1');
      leaving.abort();
      await left;
      await untilStats('busyWorkers', 0);
      assert.equal((await stats()).queuedTasks, 0);

      const last = fetch(`${url}/last?ms=300`);
      await untilStats('runningTasks', 1);
      program.child.kill('SIGTERM');
      await program.until(/stopping/);
      // Refused by the server, or on a connection that was open already, by the manager.
      const late = await fetch(`${url}/late`).then(
        ({ status }) => status,
        () => 'no connection',
      );
      assert.ok(late === 503 || late === 'no connection', String(late));
      assert.equal(await (await last).text(), 'rows of /last\n');
      assert.equal(await program.ended, 0);
      assert.match(program.stdout, /stopped: 1 completed, 0 canceled\n$/);
      assert.equal(program.stderr, '');
    });
  });

  describe('jobs', () => {
    test('takes jobs, shows their progress, refuses what is wrong, cancels, and hands back what runs at Ctrl-C', async (t) => {
      const program = start(t, 'examples/jobs.ts', { args: ['0'], env: { PAGE_MS: '5' } });
      const [, url] = await program.until(/taking jobs on (\S+)/);
      const post = (body: object): Promise<Response> => fetch(url!, { method: 'POST', body: JSON.stringify(body) });

      const wrong = await post({ to: 'nobody', pages: 0 });
      assert.equal(wrong.status, 400);
      assert.match(((await wrong.json()) as { error: string }).error, /to.*must be an address/s);

      const accepted = await post({ to: 'a@example.com', pages: 4 });
      assert.equal(accepted.status, 202);
      const { id } = (await accepted.json()) as { id: string };
      const told = (await (await fetch(`${url}/${id}/events`)).text()).trimEnd().split('\n');
      const last = JSON.parse(told.at(-1)!) as { state: string; where: string };
      assert.equal(last.state, 'completed');
      assert.match(last.where, /^last at step page 4\/4 at \d\d:\d\d:\d\d$/);
      const shown = (await (await fetch(`${url}/${id}`)).json()) as object;
      assert.deepEqual(
        { ...shown, where: '' },
        {
          id,
          state: 'completed',
          attempt: 2,
          where: '',
          progress: { page: 4, pages: 4 },
          output: { sent: 'a@example.com' },
          error: 'the printer is out of paper',
        },
      );
      assert.equal((await fetch(`${url}/${id}`, { method: 'DELETE' })).status, 409);

      const long = (await (await post({ to: 'b@example.com', pages: 100_000 })).json()) as { id: string };
      assert.equal((await fetch(`${url}/${long.id}`, { method: 'DELETE' })).status, 202);
      await (await fetch(`${url}/${long.id}/events`)).text();
      assert.equal(((await (await fetch(`${url}/${long.id}`)).json()) as { state: string }).state, 'canceled');

      const running = (await (await post({ to: 'c@example.com', pages: 100_000 })).json()) as { id: string };
      const attempt = async (): Promise<number> =>
        ((await (await fetch(`${url}/${running.id}`)).json()) as { attempt: number }).attempt;
      while ((await attempt()) < 2);
      program.child.kill('SIGINT');
      assert.equal(await program.ended, 0, program.stderr);
      assert.match(program.stdout, /stopping\nstopped: 0 completed, 1 back in the queue, 0 left\n$/);
      assert.equal(program.stderr, '');
    });
  });

  describe('nightly-report', () => {
    test('fails for the page that is none, and is resumed with that page alone when it is mended', async (t) => {
      const program = start(t, 'examples/nightly-report.ts');
      assert.equal(await program.ended, 0, program.stderr);
      assert.equal(program.stderr, '');
      const count = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md')).length + 1;
      assert.deepEqual(program.stdout.replace(/\d+ words; .*/, 'WORDS').split('\n'), [
        'report.nightly:1 cron 0 2 * * * in Europe/Berlin runs next at 02:00 in Berlin; now it runs out of turn',
        'failed: broken.md is a folder',
        '',
        ...pictureOf(`${count - 1} of ${count}, 1 failed`, [
          '  classDef completed fill:#dafbe1,stroke:#1a7f37,color:#24292f',
          '  class n0,n4 completed',
          '  classDef failed fill:#ffebe9,stroke:#cf222e,color:#24292f',
          '  class n1,n2,n3 failed',
        ]),
        'a dead letter: report.nightly, broken.md is a folder',
        '',
        `mended, and resubmitted: ${count} pages, WORDS`,
        'pages read again: 1',
        '',
        ...pictureOf(`${count} of ${count}`, [
          '  classDef completed fill:#dafbe1,stroke:#1a7f37,color:#24292f',
          '  class n0,n1,n2,n3 completed',
          '  classDef skipped fill:#ffffff,stroke:#8c959f,color:#8c959f,stroke-dasharray:4 3',
          '  class n4 skipped',
        ]),
        '',
      ]);
    });

    function pictureOf(measured: string, states: readonly string[]): string[] {
      return [
        'flowchart LR',
        '  n0["list"]',
        `  n1[["measure<br/>${measured}"]]`,
        '  n2["summarize"]',
        '  n3["send"]',
        '  n4("alarm")',
        '  n0 --> n1',
        '  n1 --> n2',
        '  n2 --> n3',
        '  n1 -. on error .-> n4',
        ...states,
        '',
      ];
    }
  });

  test('ingest: each tenant has its turns, all but what has nothing of its own is stored, and nothing is left', async (t) => {
    const program = start(t, 'examples/ingest.ts');
    assert.equal(await program.ended, 0, program.stderr);
    assert.equal(program.stderr, '');
    const lines = program.stdout.trimEnd().split('\n');
    const all = readdirSync(join(ROOT, 'src'), { recursive: true }).map(String);
    const documents = all.filter((name) => name.endsWith('.ts') && /[\\/]/.test(name));
    const indexes = documents.filter((name) => name.endsWith('index.ts'));
    const tenants = lines.slice(0, -2).map((line) => line.match(/^(\S+) +(\d+) \|([ ▁▂▃▄▅▆▇█]+)\|$/)!);
    const sizes = Object.fromEntries(tenants.map(([, tenant, size]) => [tenant, Number(size)]));
    const expected: Record<string, number> = {};
    for (const name of documents) {
      const [tenant] = name.split(/[\\/]/);
      expected[tenant!] = (expected[tenant!] ?? 0) + 1;
    }
    assert.deepEqual(sizes, expected);
    const [, , size, drawn] = tenants[0]!;
    assert.ok(drawn!.replaceAll(' ', '').length >= Number(size) / 10, 'the largest takes its time');
    assert.deepEqual(lines.slice(-2), [
      `${documents.length - indexes.length} of ${documents.length} documents stored, 1 came twice`,
      'left when it stopped: 0',
    ]);
  });

  describe('telemetry', () => {
    test('tells of spans in one trace, of metrics, of events, and has none of what is neither slow nor sampled', async (t) => {
      const program = start(t, 'examples/telemetry.ts');
      assert.equal(await program.ended, 0, program.stderr);
      assert.equal(program.stderr, '');
      const said = program.stdout;
      const lines = said.split('\n');
      for (const line of [
        "[ 'a.png.small', 'b.png.small' ]",
        'errand_dispatcher_tasks_processed_total{task="thumbnail",queue="default",status="completed"} 2',
        'errand_dispatcher_tasks_processed_total{task="ping",queue="default",status="completed"} 10',
        'errand_dispatcher_tasks_retried_total{task="thumbnail",queue="default"} 1',
        'scheduled: the disk is busy',
      ]) {
        assert.ok(lines.includes(line), line);
      }
      const spans = [...said.matchAll(/^ {2}name: '(.*)',$/gm)].map(([, name]) => name);
      const expected = ['process album', 'process thumbnail', 'process thumbnail', 'process thumbnail'];
      assert.deepEqual(spans.sort(), [...expected, 'send album', 'send thumbnail', 'send thumbnail']);
      assert.equal(new Set([...said.matchAll(/^ {2}traceId: '(.*)',$/gm)].map(([, id]) => id)).size, 1);
      for (const name of ['tasks_processed', 'execution_time', 'engine_operations']) {
        assert.ok(said.includes(`    name: 'errand.dispatcher.${name}',`), name);
      }
    });
  });

  describe('measure', () => {
    const never = new AbortController().signal;

    test('counts the bytes and lines of a text, and digests it, through a buffer it is lent', async (t) => {
      const path = await fileOf(t, 'one\ntwo\n');
      const sha256 = createHash('sha256').update('one\ntwo\n').digest('hex');
      assert.deepEqual(await measure(path, { signal: never }, Buffer.alloc(3)), { bytes: 8, lines: 2, sha256 });
      assert.deepEqual(await measure(path, { signal: never }, onCreate()), { bytes: 8, lines: 2, sha256 });
    });

    test('counts no lines of what is no text, and none of nothing', async (t) => {
      const binary = await measure(await fileOf(t, 'one\n\0'), { signal: never }, onCreate());
      assert.equal(binary.lines, null);
      const empty = await measure(await fileOf(t, ''), { signal: never }, onCreate());
      assert.deepEqual([empty.bytes, empty.lines], [0, 0]);
    });

    test('ends between two reads when it is told to', async (t) => {
      const path = await fileOf(t, '');
      await truncate(path, ENDLESS);
      const controller = new AbortController();
      const reason = new Error('enough');
      const measured = measure(path, { signal: controller.signal }, onCreate());
      setImmediate(() => controller.abort(reason));
      await assert.rejects(measured, reason);
    });

    test('has small files go first, and folders take turns', async (t) => {
      const [empty, small, same, large] = await Promise.all(
        [0, 3, 4, 5_000].map((bytes) => fileOf(t, 'x'.repeat(bytes)).then(priority)),
      );
      assert.ok(empty! > small! && small === -2 && same === -3 && same > large!, `${empty} ${small} ${same} ${large}`);
      assert.equal(key('src/go/channel.ts'), 'src/go');
    });

    test('runs in threads of the command that is started from its sources as well', async (t) => {
      const args = ['map', 'examples/measure.js', 'LICENSE', 'nowhere', '--threads', '--quiet'];
      const program = start(t, 'src/cli/main.ts', { args });
      assert.equal(await program.ended, 1, program.stderr);
      assert.deepEqual(
        outcomesIn(program.stdout).map(({ input }) => input),
        ['LICENSE'],
      );
      assert.match(program.stderr, /^failed: nowhere: ENOENT/);
    });

    test('is what `npm start` runs, on all of this project, with the flags it is given', async () => {
      const { NODE_TEST_CONTEXT, ...env } = process.env;
      const { stdout, stderr } = await promisify(execFile)('npm', ['start', '--silent', '--', '--concurrency', '2'], {
        cwd: ROOT,
        env,
        maxBuffer: 2 ** 24,
      });
      const outcomes = outcomesIn(stdout);
      const inputs = outcomes.map(({ input }) => input);
      for (const path of ['README.md', 'package.json', 'src/cli/main.ts', 'examples/measure.js']) {
        assert.ok(inputs.includes(path), path);
      }
      const { value } = outcomes.find(({ input }) => input === 'package.json')!;
      const text = readFileSync(join(ROOT, 'package.json'));
      const lines = text.toString().split('\n').length - 1;
      const sha256 = createHash('sha256').update(text).digest('hex');
      assert.deepEqual(value, { bytes: text.length, lines, sha256 });
      assert.match(stderr, new RegExp(`^Inputs +${inputs.length} of ${inputs.length} done`, 'm'));
      const wrong = promisify(execFile)('npm', ['start', '--silent', '--', '--concurrency', '0'], { cwd: ROOT, env });
      await assert.rejects(wrong, /--concurrency takes a whole number from 1/);
    });
  });

  describe('fetch', () => {
    test('tries again what was refused for now, and takes any other answer', async (t) => {
      let asked = 0;
      const server = createServer(({ url }, response) => {
        const status = url === '/missing' ? 404 : url === '/busy' && asked++ < 2 ? 503 : 200;
        response.writeHead(status).end('text');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => server.close().closeAllConnections());
      const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const urls = ['/busy', '/fine', '/missing'].map((path) => base + path);
      const args = ['map', 'examples/fetch.ts', ...urls, '--retries', '2', '--quiet'];
      const program = start(t, 'src/cli/main.ts', { args });
      assert.equal(await program.ended, 0, program.stderr);
      assert.equal(program.stderr, '');
      const expected = [200, 200, 404].map((status, i) => ({ input: urls[i], value: { status, bytes: 4 } }));
      assert.deepEqual(outcomesIn(program.stdout), expected);
      assert.equal(asked, 3);
    });

    test('fails with the answer when there is no further try, and with an input that is no URL', async (t) => {
      const server = createServer((_, response) => void response.writeHead(503).end());
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => server.close().closeAllConnections());
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      const args = ['map', 'examples/fetch.ts', url, 'nonsense', '--quiet'];
      const program = start(t, 'src/cli/main.ts', { args });
      assert.equal(await program.ended, 1);
      assert.equal(program.stdout, '');
      assert.ok(program.stderr.includes(`failed: ${url}: 503 Service Unavailable\n`), program.stderr);
      assert.match(program.stderr, /failed: nonsense: TypeError: Invalid URL\n/);
    });
  });
});
