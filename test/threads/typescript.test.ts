/** Modules in TypeScript: which Node runs them in threads, and how the others do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLeakCheck } from '../../src/testing/index.ts';
import { manage, rejectionOf, work } from './kit.ts';

type Shapes = typeof import('./modules/shapes.ts');

const { node: version } = process.versions;
/** From 22.18 and 23.6 on. */
const isNative = 'typescript' in process.features && process.features.typescript !== false;
const REGISTER = work('register-tsx.js').href;

test(
  'a .ts module runs as it is',
  { skip: !isNative && `Node ${version} runs no TypeScript in threads` },
  withLeakCheck(async () => {
    const manager = manage<Shapes>(work('shapes.ts'));
    assert.equal(await manager.queueTask((_, { api }) => api.area({ width: 3, height: 4 })), 12);
    await manager.stop();
  }),
);

test(
  'a .ts module that won’t run fails ready(), and the error says what helps',
  { skip: isNative && `Node ${version} runs TypeScript in threads` },
  withLeakCheck(async () => {
    // With the loader of this process or without: it isn't at work in threads.
    for (const execArgv of [[], process.execArgv]) {
      const manager = manage<Shapes>(work('shapes.ts'), { createAttempts: 1, execArgv });
      const { message } = await rejectionOf(manager.ready());
      assert.match(message, /shapes\.ts could not be loaded in a thread: Unknown file extension ".ts"/);
      assert.match(
        message,
        /compile the module, load it by tsx \(execArgv: \['--import', .*register.*\), or use Node 22\.18/,
      );
      await manager.kill();
    }
  }),
);

test(
  'with tsx registered by execArgv a .ts module runs on all versions',
  withLeakCheck(async () => {
    const manager = manage<Shapes>(work('shapes.ts'), { execArgv: ['--import', REGISTER] });
    assert.equal(await manager.queueTask((_, { api }) => api.area({ width: 3, height: 4 })), 12);
    await manager.stop();
  }),
);

test(
  'and so it does behind a module in JavaScript that imports it by tsx',
  withLeakCheck(async () => {
    const manager = manage<Shapes>(work('shapes-by-tsx.js'));
    assert.equal(await manager.queueTask((_, { api }) => api.area({ width: 3, height: 4 })), 12);
    await manager.stop();
  }),
);
