/**
 * Passwords, hashed in threads, with a bound: slow on purpose, so that many logins at once would stand still together.
 *
 * Node's own asynchronous `scrypt` runs on a pool of four threads that all files and names of hosts share: enough logins,
 * and nobody reads a file. These have threads of their own, and a queue that can be full.
 */
import { QueueFullError, TaskManager } from 'errand';
import { threads } from 'errand/threads';

await using manager = new TaskManager({
  ...threads<typeof import('./threads/passwords.js')>(new URL('./threads/passwords.js', import.meta.url)),
  workerCount: 2,
  maxWorkerCount: 2,
  maxQueueSize: 4,
  timeoutMs: 10_000,
});
await manager.ready(); // no logins before the threads are up

let ticks = 0;
const clock = setInterval(() => ticks++, 1);
const users = new Map<string, string>();
const passwords = { ada: 'analytical engine', grace: 'nanosecond', linus: 'penguin', margaret: 'apollo' };
const hashing = manager.map(
  Object.entries(passwords),
  async ([name, password], _, thread) => [name, await thread.api.hash(password)] as const,
);
for await (const [name, hashed] of hashing) users.set(name, hashed);
clearInterval(clock);
console.log(`${users.size} passwords hashed; meanwhile the event loop ${ticks > 0 ? 'went on' : 'stood still'}`);

async function login(name: string, password: string): Promise<boolean> {
  const hashed = users.get(name);
  if (hashed === undefined) return false;
  return manager.queueTask((_, thread) => thread.api.verify(password, hashed), { key: name });
}
console.log(`ada: ${(await login('ada', 'analytical engine')) ? 'welcome' : 'refused'}`);
console.log(`ada, guessing: ${(await login('ada', '123456')) ? 'welcome' : 'refused'}`);

// Who guesses at full speed gets the places that there are, and a refusal for the rest.
const guesses = Array.from({ length: 20 }, (_, i) => login('grace', `guess ${i}`));
const outcomes = await Promise.allSettled(guesses);
const refused = outcomes.filter((o) => o.status === 'rejected' && o.reason instanceof QueueFullError);
console.log(`of 20 guesses at once ${20 - refused.length} were looked at`);
