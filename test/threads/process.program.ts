/**
 * What process.test.ts and output.test.ts run as a process of its own: `process.program.ts <scenario>`. Nothing of its
 * own holds the process, so that it ends as soon as no thread does.
 */
import { TaskManager } from '../../src/index.ts';
import { threads } from '../../src/threads/index.ts';

const MODULE = `data:text/javascript,${encodeURIComponent(`
  import { setTimeout as sleep } from 'node:timers/promises';
  export const add = (a, b) => a + b;
  export const spin = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); return 'spun'; };
  export const wait = (ms) => sleep(ms, 'waited');
  export function* count() { for (let i = 0; ; i++) yield i; }
  export async function* slow() { try { yield 1; yield 2; } finally { await sleep(50); } }
  export const forever = () => { for (;;); };
  export const print = () => {
    process.stdout.write('to stdout\\nwithout a break');
    process.stderr.write('to stderr\\n');
  };
  setInterval(() => {}, 1_000);
`)}`;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const options = { ...threads(MODULE, { execArgv: [] }), workerCount: 2 };

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  /** Managers of threads that have nothing to do, or nothing any more. */
  async idle() {
    new TaskManager(options);
    const used = new TaskManager(options);
    await used.ready();
    await used.queueTask((_, thread) => thread.call('add', 1, 2));
    await used.runTask((_, thread) => thread.call('add', 1, 2));
    for await (const _ of used.queueTaskStream((_, thread) => thread.call('count') as never)) break;
    const paused = new TaskManager(options);
    await paused.ready();
    paused.pause();
    say('idle');
  },

  /** Only tasks hold the process: that wait for their threads, which are busy, or wait themselves. */
  async busy() {
    const manager = new TaskManager(options);
    say(String(await manager.queueTask((_, thread) => thread.call('spin', 50))));
    say(String(await manager.queueTask((_, thread) => thread.call('wait', 50))));
    say(String(await manager.runTask((_, thread) => thread.call('wait', 50))));
    // The second waits in the queue, while its worker is taken.
    const one = new TaskManager({ ...options, workerCount: 1, burstIntervalMs: 0 });
    void one.queueTask((_, thread) => thread.call('spin', 50));
    say(String(await one.queueTask((_, thread) => thread.call('wait', 20))));
    let last = 0;
    const stream = manager.queueTaskStream((_, thread) => thread.call('count') as unknown as AsyncIterable<number>);
    for await (const value of stream) {
      last = value;
      if (value === 100) break;
    }
    say(String(last));
  },

  /** What was canceled holds it until it has ended: somebody may wait for that. */
  async canceled() {
    const manager = new TaskManager(options);
    const map = manager.map([1, 2, 3], (_, __, thread) => thread.call('forever'), { timeoutMs: 20, settled: true });
    for await (const { status } of map) say(status);
    const stream = manager.queueTaskStream((_, thread) => thread.call('slow') as unknown as AsyncIterable<number>);
    for await (const value of stream) {
      say(String(value));
      break;
    }
    say('left');
    await manager.queueTask((_, thread) => thread.call('forever'), { timeoutMs: 20 }).catch(() => {});
    say('timed out');
  },

  /** stop() is waited for. */
  async stop() {
    const manager = new TaskManager(options);
    await manager.ready();
    const task = manager.queueTask((_, thread) => thread.call('spin', 50));
    await manager.stop();
    say(String(await task));
    say('stopped');
  },

  /** The process ends itself, with threads at work. */
  async exit() {
    const manager = new TaskManager(options);
    await manager.ready();
    void manager.queueTask((_, thread) => thread.call('forever'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    say('exiting');
    process.exit(5);
  },

  async print() {
    const manager = new TaskManager({ ...options, workerCount: 1 });
    await manager.queueTask((_, thread) => thread.call('print'));
    await manager.stop();
  },
};

await scenarios[process.argv[2]!]!();
