/**
 * A web server that takes jobs: `npm run example:jobs`, then
 *
 *     curl -d '{"to":"you@example.com","pages":20}' localhost:8080/jobs
 *     curl localhost:8080/jobs/<id>           how far it is, and where it was last
 *     curl -N localhost:8080/jobs/<id>/events what happens to it, as it happens
 *     curl -X DELETE localhost:8080/jobs/<id>
 *
 * - A job is a call of a registered task: checked at once, stored, answered with its id. Nobody waits for it to end.
 * - One customer's jobs run one after the other, at most two a second; another one's don't wait for them.
 * - A page that fails is printed again, and what was printed before isn't: each page is a step.
 * - Ctrl-C: what runs goes back to the queue with no attempt counted, and the server says what it has left.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ShutdownError } from 'errand';
import { CallEndedError, Dispatcher, defineTask, InvalidInputError, type StandardSchema } from 'errand/tasks';

interface Order {
  readonly to: string;
  readonly pages: number;
}

/** What the input has to be. A schema of zod, valibot or arktype does the same, and says more. */
const order: StandardSchema<Order> = {
  '~standard': {
    version: 1,
    vendor: 'example',
    validate(value) {
      const { to, pages } = (value ?? {}) as Partial<Order>;
      const issues = [
        ...(typeof to === 'string' && to.includes('@') ? [] : [{ message: 'must be an address', path: ['to'] }]),
        ...(Number.isInteger(pages) && pages! > 0 ? [] : [{ message: 'must be a number from 1', path: ['pages'] }]),
      ];
      return issues.length > 0 ? { issues } : { value: { to: to!, pages: pages! } };
    },
  },
};

const { PAGE_MS: pageMs = 100 } = process.env;

const print = defineTask({
  name: 'report.print',
  input: order,
  queue: 'reports',
  onDuplicate: 'serial',
  key: ({ to }) => to,
  rateLimit: { limit: 2, intervalMs: 1_000, key: ({ to }) => to },
  retry: { attempts: 3, baseMs: 100, jitter: 'full' },
  stallAfterMs: 10_000,
  deadLetter: true,
  onShutdown: 'requeue',
  run: async (ctx, { to, pages }) => {
    ctx.log(`printing ${pages} pages for ${to}`);
    for (let page = 1; page <= pages; page++) {
      await ctx.step(`page ${page}`, async () => {
        await sleep(Number(pageMs), undefined, { signal: ctx.signal });
        if (page === 3 && ctx.attempt === 1) throw new Error('the printer is out of paper');
        return page;
      });
      ctx.heartbeat(`page ${page}/${pages}`);
      ctx.progress({ page, pages });
    }
    return { sent: to };
  },
});

const dispatcher = new Dispatcher({ tasks: [print], queues: { reports: { concurrency: 4 } } });
await dispatcher.start();

const server = createServer((request, response) => {
  handle(request, response).catch((error: unknown) => {
    if (!response.headersSent) answer(response, statusOf(error), { error: (error as Error).message });
    else response.end();
  });
});

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, jobs, id, more] = (request.url ?? '/').split('/');
  if (jobs !== 'jobs') return answer(response, 404, { error: 'there are only /jobs' });
  if (request.method === 'POST') {
    const call = await dispatcher.submit(print, (await bodyOf(request)) as Order);
    return answer(response, 202, { id: call.id, status: call.status });
  }
  const call = id === undefined ? undefined : await dispatcher.calls.get(id);
  if (call === undefined) return answer(response, 404, { error: 'there is no such job' });
  if (request.method === 'DELETE') {
    await call.cancel('the customer has changed his mind');
    return answer(response, 202, { id });
  }
  if (more !== 'events') {
    const { state, attempt, where, progress, output, error } = call.info;
    return answer(response, 200, { id, state, attempt, where, progress, output, error: (error as Error)?.message });
  }
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  const left = new AbortController();
  response.once('close', () => left.abort());
  for await (const event of call.events({ signal: left.signal })) {
    const { type } = event;
    response.write(
      `${JSON.stringify(type === 'log' ? event : { type, state: event.call.state, where: event.call.where })}\n`,
    );
  }
  response.end();
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidInputError('the body must be JSON', { cause: error });
  }
}

function statusOf(error: unknown): number {
  if (error instanceof InvalidInputError) return 400;
  if (error instanceof ShutdownError) return 503;
  return error instanceof CallEndedError ? 409 : 500;
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

async function stop(): Promise<void> {
  console.log('stopping');
  server.close().closeIdleConnections();
  const { completed, requeued, left } = await dispatcher.stop({ graceMs: 100 });
  console.log(`stopped: ${completed} completed, ${requeued} back in the queue, ${left} left`);
  server.closeAllConnections();
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

server.listen(Number(process.argv[2] ?? 8080), () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`taking jobs on http://localhost:${address?.port}/jobs`);
});
