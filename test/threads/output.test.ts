/** What threads write to stdout and stderr. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import type { LineLogger } from '../../src/threads/index.ts';
import { start } from '../programs.ts';
import { held, manage, Probe, rejectionOf, source, until, work } from './kit.ts';

/** What modules/prints.js exports. */
interface Prints {
  print(text: string): void;
  warn(text: string): void;
  log(...values: unknown[]): void;
  pieces(pieces: readonly Uint8Array[]): Promise<void>;
  printMany(lines: number): void;
  encoded(): void;
  printAndDie(text: string, code: number): never;
  printAndThrow(text: string): Promise<never>;
  printAtExit(text: string): void;
  printInLoop(flag: Int32Array): void;
}

const PRINTS = work('prints.js');

/** Notes what it is told, and by which method. */
class Notes implements LineLogger {
  readonly lines: string[] = [];
  info(line: string): void {
    this.lines.push(`info ${line}`);
  }
  warn(line: string): void {
    this.lines.push(`warn ${line}`);
  }
  /** Without the numbers of threads. */
  get plain(): string[] {
    return this.lines.map((line) => line.replace(/\[thread \d+\] /, ''));
  }
}

function printing(body: (manager: ReturnType<typeof manage<Prints>>, notes: Notes) => Promise<void>) {
  return withLeakCheck(async () => {
    const notes = new Notes();
    const manager = manage<Prints>(PRINTS, { logger: notes });
    await body(manager, notes);
    await manager.kill();
  });
}

test(
  'lines go to the logger with the number of the thread: stdout as info, stderr as warn',
  printing(async (manager, notes) => {
    const id = await manager.queueTask(async (_, { api, threadId }) => {
      await api.print('to stdout\n');
      await api.warn('to stderr\n');
      await api.log('by console.log', 7, { a: 1 });
      return threadId;
    });
    await manager.stop();
    assert.deepEqual(notes.lines.sort(), [
      `info [thread ${id}] by console.log 7 { a: 1 }`,
      `info [thread ${id}] to stdout`,
      `warn [thread ${id}] to stderr`,
    ]);
  }),
);

test(
  'whole lines, however they were written: in pieces, many at once, empty ones, with carriage returns',
  printing(async (manager, notes) => {
    await manager.queueTask(async (_, { api }) => {
      await api.print('one ');
      await api.print('line\ntwo\n\nfo');
      await api.print('ur\r\nfive');
      await api.print('\n');
    });
    await manager.stop();
    assert.deepEqual(notes.plain, ['info one line', 'info two', 'info ', 'info four', 'info five']);
  }),
);

test(
  'text in another encoding is what it stands for',
  printing(async (manager, notes) => {
    await manager.queueTask((_, { api }) => api.encoded());
    await manager.stop();
    assert.deepEqual(notes.plain, ['info hex', 'info base64', 'info all at once']);
  }),
);

test(
  'a character that was written in pieces is whole',
  printing(async (manager, notes) => {
    const bytes = new TextEncoder().encode('grün \u{1f600}\n');
    await manager.queueTask((_, { api }) => api.pieces([...bytes].map((byte) => Uint8Array.of(byte))));
    await manager.stop();
    assert.deepEqual(notes.plain, ['info grün \u{1f600}']);
  }),
);

test(
  'all that an idle thread has written is told when stop() resolves, its last line without a line break too',
  printing(async (manager, notes) => {
    await manager.queueTask(async (_, { api }) => {
      await api.printMany(1_000);
      await api.print('the last');
      await api.warn('no break');
    });
    await manager.stop();
    const info = notes.plain.filter((line) => line.startsWith('info'));
    assert.equal(info.length, 1_001);
    assert.equal(info.at(-1), 'info the last');
    assert.deepEqual(
      notes.plain.filter((line) => line.startsWith('warn')),
      ['warn no break'],
    );
  }),
);

test(
  'what a thread writes in an exit listener is told as well',
  printing(async (manager, notes) => {
    await manager.queueTask((_, { api }) => api.printAtExit('bye'));
    await manager.stop();
    assert.deepEqual(notes.plain, ['info bye']);
  }),
);

test(
  'what a thread has written before it dies is told',
  printing(async (manager, notes) => {
    await rejectionOf(manager.queueTask((_, { api }) => api.printAndDie('last words', 3)));
    await rejectionOf(manager.queueTask((_, { api }) => api.printAndThrow('before the throw\n')));
    await until(() => notes.lines.length === 2);
    assert.deepEqual(notes.plain, ['info last words', 'info before the throw']);
  }),
);

test(
  'what a busy function prints is told while it is busy',
  withLeakCheck(async () => {
    const probe = new Probe();
    const seen: string[] = [];
    const goOn = (line: string): void => {
      seen.push(line.replace(/^\[thread \d+\] /, ''));
      if (line.endsWith('still before')) probe.set(0, 1);
    };
    const manager = manage<Prints>(PRINTS, { logger: { info: goOn, warn: goOn } });
    await manager.queueTask((_, { api }) => api.printInLoop(probe.cells));
    assert.deepEqual(seen, ['before', 'still before']);
    await manager.stop();
  }),
);

test(
  'what a module prints while it loads is told, and what a call prints is told before its result comes',
  withLeakCheck(async () => {
    const notes = new Notes();
    const module = source(
      "console.log('loaded'); export const f = () => { console.log('called'); console.warn('too'); }",
    );
    const manager = manage(module, { logger: notes });
    await manager.ready();
    assert.deepEqual(notes.plain, ['info loaded']);
    await manager.queueTask((_, thread) => thread.call('f'));
    assert.deepEqual(notes.plain, ['info loaded', 'info called', 'warn too']);
    await manager.stop();
  }),
);

test(
  'of a thread that dies while nobody calls, the logger is told why',
  withLeakCheck(async () => {
    const notes = new Notes();
    const module = source("export const f = () => { setTimeout(() => { throw new Error('on its own'); }); }");
    const manager = manage(module, { logger: notes });
    const replaced = new Promise((resolve) => manager.on('workerReplaced', resolve));
    await manager.queueTask((_, thread) => thread.call('f'));
    assert.deepEqual(await held(replaced), { reason: 'retired' });
    assert.deepEqual(
      notes.plain.filter((line) => line.includes('idle')),
      ['warn ended while idle: it has crashed: on its own'],
    );
    await manager.stop();
  }),
);

test(
  'a logger that throws breaks nothing',
  withLeakCheck(async () => {
    let calls = 0;
    const logger: LineLogger = {
      info() {
        calls++;
        throw new Error('a broken logger');
      },
      warn() {
        calls++;
        throw new Error('a broken logger');
      },
    };
    const manager = manage<Prints>(PRINTS, { logger });
    await manager.queueTask(async (_, { api }) => {
      await api.print('one\ntwo\n');
      await api.warn('three\n');
    });
    await manager.stop();
    assert.equal(calls, 3);
  }),
);

test('without a logger, lines go to this process’s own streams, tagged', async (t) => {
  const program = start(t, 'test/threads/process.program.ts', { args: ['print'] });
  assert.equal(await program.ended, 0);
  assert.match(program.stdout, /^\[thread (\d+)\] to stdout\n\[thread \1\] without a break\n$/);
  assert.match(program.stderr, /^\[thread \d+\] to stderr\n$/);
});
