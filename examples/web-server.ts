/**
 * A web server whose requests share a few connections, and which ends well: `node --import tsx examples/web-server.ts`,
 * then `curl 'localhost:8080/users?ms=100'` and Ctrl-C.
 *
 * - A request that would wait too long is refused at once (503), one that takes too long is given up (504).
 * - When the client leaves, its task is canceled, queued or running.
 * - Clients take turns: one who sends a thousand requests doesn't stand before another one's first.
 * - On SIGTERM no more requests are taken, those that are here get their answers, and the process ends by itself.
 */
import { createServer, type ServerResponse } from 'node:http';
import { DeadlineExceededError, QueueFullError, ShutdownError, TaskManager } from 'errand';
import { connect } from './support/database.ts';

const manager = new TaskManager({
  workerCount: 2,
  maxWorkerCount: 2,
  onCreate: ({ signal }) => connect({ signal }),
  onDestroy: (connection) => connection.close(),
  maxQueueSize: 4,
  queueTimeoutMs: 2_000,
  timeoutMs: 5_000,
});

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname === '/health') {
    answer(response, 200, JSON.stringify(manager.stats()));
    return;
  }
  const client = new AbortController();
  response.once('close', () => client.abort());
  try {
    const rows = await manager.queueTask(
      ({ signal }, connection) =>
        connection.query(url.pathname, { signal, ms: Number(url.searchParams.get('ms') ?? 5) }),
      { signal: client.signal, key: request.socket.remoteAddress ?? '' },
    );
    answer(response, 200, rows);
  } catch (error) {
    if (!client.signal.aborted) answer(response, statusOf(error), (error as Error).message);
  }
});

function statusOf(error: unknown): number {
  if (error instanceof QueueFullError || error instanceof ShutdownError) return 503;
  if (error instanceof DeadlineExceededError) return 504;
  return 500;
}

function answer(response: ServerResponse, status: number, text: string): void {
  if (status === 503) response.setHeader('retry-after', '1');
  // Or a client that keeps its connection open would keep the process, after the last answer.
  if (isStopping) response.setHeader('connection', 'close');
  response.writeHead(status).end(`${text}\n`);
}

let isStopping = false;
manager.stopOnSignals(['SIGTERM', 'SIGINT'], { graceMs: 3_000, timeoutMs: 10_000 });
manager.on('stopping', () => {
  console.log('stopping');
  isStopping = true;
  server.close();
});
manager.on('stopped', ({ completed, canceled }) =>
  console.log(`stopped: ${completed} completed, ${canceled} canceled`),
);

await manager.ready();
server.listen(Number(process.argv[2] ?? 8080), () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`listening on http://localhost:${address?.port}`);
});
