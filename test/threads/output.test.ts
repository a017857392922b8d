/** What threads print, and that they hold no process that has nothing else to do. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { TaskManager } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { threads } from '../../src/threads/index.ts';
import { held } from './kit.ts';

/** A module, as a URL of its own text. */
function moduleOf(text: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}

/** Keeps lines, by where they were written to. */
function keeper(): { lines: string[]; logger: { info(line: string): void; warn(line: string): void } } {
  const lines: string[] = [];
  return {
    lines,
    logger: {
      info: (line) => void lines.push(`out ${line.replace(/\d+/, 'N')}`),
      warn: (line) => void lines.push(`err ${line.replace(/\d+/, 'N')}`),
    },
  };
}

const PRINTER = `
  console.log('loaded');
  export function print() {
    console.log('one');
    console.error('two');
    process.stdout.write('thr');
    process.stdout.write('ee\\r\\nfo');
    process.stdout.write(Buffer.from('ür\\n').subarray(0, 1));
    process.stdout.write(Buffer.from('ür\\n').subarray(1));
    process.stdout.write('no line break');
  }
  export function printInLoop(flag) {
    console.log('before');
    console.log('still before');
    Atomics.wait(flag, 0, 0);
  }
  export function crashLater() {
    setTimeout(() => { throw new Error('on its own'); });
  }`;

test(
  'what a thread prints goes to the logger by whole lines, in order, and before the result',
  withLeakCheck(async () => {
    const { lines, logger } = keeper();
    const manager = new TaskManager({ ...threads(moduleOf(PRINTER), { logger }), workerCount: 1, burstIntervalMs: 0 });
    await manager.queueTask((_, thread) => thread.call('print'));
    assert.deepEqual(lines, [
      'out [thread N] loaded',
      'out [thread N] one',
      'err [thread N] two',
      'out [thread N] three',
      'out [thread N] foür',
    ]);
    await manager.stop();
    assert.equal(lines.at(-1), 'out [thread N] no line break');
  }),
);

test(
  'what a busy function prints is seen while it is busy',
  withLeakCheck(async () => {
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const seen: string[] = [];
    const goOn = (line: string): void => {
      seen.push(line.replace(/^\[thread \d+\] /, ''));
      if (!line.endsWith('still before')) return;
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
    };
    const manager = new TaskManager({
      ...threads(moduleOf(PRINTER), { logger: { info: goOn, warn: goOn } }),
      workerCount: 1,
      burstIntervalMs: 0,
    });
    await manager.queueTask((_, thread) => thread.call('printInLoop', flag));
    assert.deepEqual(seen, ['loaded', 'before', 'still before']);
    await manager.stop();
  }),
);

test(
  'of a thread that dies while nobody calls, the logger is told why, and it is replaced',
  withLeakCheck(async () => {
    const { lines, logger } = keeper();
    const manager = new TaskManager({ ...threads(moduleOf(PRINTER), { logger }), workerCount: 1, burstIntervalMs: 0 });
    const replaced = new Promise((resolve) => manager.on('workerReplaced', resolve));
    await manager.queueTask((_, thread) => thread.call('crashLater'));
    assert.deepEqual(await held(replaced), { reason: 'retired' });
    assert.ok(lines.includes('err [thread N] ended while idle: it has crashed: on its own'), lines.join('\n'));
    await manager.stop();
  }),
);

test(
  'idle threads hold no process, and a task that runs in one does',
  withLeakCheck(async () => {
    const program = `
      import { TaskManager } from 'errand';
      import { threads } from 'errand/threads';
      const text = 'export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms, "waited"));';
      const manager = new TaskManager({ ...threads('data:text/javascript,' + encodeURIComponent(text)), workerCount: 2 });
      await manager.ready();
      manager.queueTask((_, thread) => thread.call('wait', 50)).then(console.log);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.deepEqual({ code, out }, { code: 0, out: 'waited\n' });
  }),
);
