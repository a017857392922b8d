/**
 * A client that asks no oftener than its server allows. There is a limiter on either side: the server's says no (429),
 * the client's waits.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RateLimiter, sleep } from 'errand/go';

// Of the server: never more than 10 in any 200 ms.
const quota = new RateLimiter({ limit: 10, intervalMs: 200, strict: true });
const server = createServer((_, response) => {
  response.writeHead(quota.allow() ? 200 : 429).end();
});
await new Promise<void>((resolve) => server.listen(0, resolve));
const url = `http://localhost:${(server.address() as AddressInfo).port}`;

/** How many of 20 requests, all wanted at once, are answered. */
async function ask(limiter?: RateLimiter): Promise<number> {
  const requests = Array.from({ length: 20 }, async () => {
    await limiter?.wait();
    const response = await fetch(url);
    return response.ok;
  });
  return (await Promise.all(requests)).filter(Boolean).length;
}

const careless = await ask();
console.log(careless < 20 ? 'without a limiter, some were refused' : 'the server is too patient');

await sleep(300); // until the quota is whole again

// Of the client: half of the quota, as others have the same key.
const careful = await ask(new RateLimiter({ limit: 5, intervalMs: 200, strict: true }));
console.log(`with one, ${careful} of 20 were answered`);

server.close();
server.closeAllConnections(); // fetch would keep them for a while
