/**
 * A pipeline: stages that work at the same time, each connected to the next by a channel. A slow stage holds back those
 * before it; the end travels forward by `close`; a failure in one stage ends all of them. From the pipelines of the Go
 * blog.
 */
import { background, Channel, ErrGroup, sleep, WaitGroup } from 'errand/go';

/** Reads pages, up to three at a time, and counts their words. */
async function countWords(names: readonly string[]): Promise<number> {
  const [group, ctx] = ErrGroup.withContext(background());
  const paths = new Channel<string>();
  const pages = new Channel<string>(10);

  // First stage: what there is to read. Who sends closes.
  void group.go(async () => {
    for (const name of names) await paths.send(`/pages/${name}`, { signal: ctx });
    paths.close();
  });

  // Second stage: three readers share a channel. When the last of them has ended, so has what they send.
  const readers = new WaitGroup();
  const reader = async () => {
    for await (const path of paths.values({ signal: ctx })) await pages.send(await read(path), { signal: ctx });
  };
  for (let i = 0; i < 3; i++) void group.go(() => readers.go(reader));
  void group.go(async () => {
    await readers.wait();
    pages.close();
  });

  // Third stage: what becomes of them.
  let sum = 0;
  void group.go(async () => {
    for await (const page of pages.values({ signal: ctx })) sum += page.split(' ').length;
  });

  await group.wait(); // rejects with the first error of any stage, when all of them have ended
  return sum;
}

let isReading = 0;
async function read(path: string): Promise<string> {
  isReading++;
  try {
    await sleep(2);
    if (path.endsWith('/missing')) throw new Error(`no page ${path}`);
    return `this is the page ${path}`;
  } finally {
    isReading--;
  }
}

console.log(`${await countWords(['home', 'about', 'news', 'contact'])} words`);

await countWords(['home', 'missing', 'news', 'contact']).catch((error) => console.log(error.message));
console.log(`${isReading} still reading`);
