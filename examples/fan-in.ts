/** Fan-in: many sources read as one, as they come; how it ends, and how to leave before the end. */
import { background, type Context, merge, sleep, withCancel } from 'errand/go';

const ended: string[] = [];

/** A service that writes its log at its own pace. */
async function* service(ctx: Context, name: string, lines = Infinity): AsyncGenerator<string> {
  try {
    for (let n = 1; n <= lines; n++) {
      await sleep(Math.random() * 5, ctx);
      yield `${name} ${n}`;
    }
  } finally {
    ended.push(name);
  }
}

// 1. Until the last one has ended. Between the services there is no order; within each there is.
const root = background();
const log = await merge([service(root, 'web', 3), service(root, 'mail', 2)]).toArray();
for (const name of ['web', 'mail']) console.log(log.filter((line) => line.startsWith(name)).join(', '));

// 2. These two would never end. Who has read enough cancels them; leaving the loop alone doesn't.
{
  const [ctx, cancel] = withCancel(root);
  let count = 0;
  for await (const _ of merge([service(ctx, 'clock'), service(ctx, 'sensor')], { signal: ctx })) {
    if (++count === 5) break;
  }
  cancel();
  console.log(`${count} lines are enough`);
}

// 3. When one fails, its error comes to the reader, and the others are ended.
async function* failing(): AsyncGenerator<string> {
  yield 'all is well';
  throw new Error('the disk is full');
}
try {
  for await (const line of merge([failing(), service(root, 'backup')])) console.log(line);
} catch (error) {
  console.log(`failed: ${(error as Error).message}`);
}

await sleep(20);
console.log(`ended: ${ended.sort().join(', ')}`);
