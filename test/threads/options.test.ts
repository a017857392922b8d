/** The options of threads(): what each is for, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceLimits } from 'node:worker_threads';
import { TaskManager } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { threads } from '../../src/threads/index.ts';
import { manage, rejectionOf, source, work } from './kit.ts';

const MODULE = work('calls.js');

/** Wrong options, and what the error has to say. */
const WRONG: readonly (readonly [options: unknown, kind: typeof TypeError | typeof RangeError, message: RegExp])[] = [
  [null, TypeError, /^options must be an object, but is null$/],
  ['fast', TypeError, /^options must be an object, but is "fast"$/],
  [{ size: 4 }, TypeError, /^size is not an option of threads; those are terminateAfterMs, /],
  [new AbortController().signal, TypeError, /is not an option of threads/],
  [{ terminateAfterMs: '1s' }, TypeError, /^terminateAfterMs must be a number of at least 0 or Infinity, but is "1s"$/],
  [{ terminateAfterMs: null }, TypeError, /^terminateAfterMs must be /],
  [{ terminateAfterMs: -1 }, RangeError, /^terminateAfterMs must be .*, but is -1$/],
  [{ terminateAfterMs: Number.NaN }, RangeError, /^terminateAfterMs must be .*, but is NaN$/],
  [{ resourceLimits: 64 }, TypeError, /^resourceLimits must be an object, but is 64$/],
  [{ resourceLimits: { maxHeapMb: 64 } }, TypeError, /^maxHeapMb is not an option of resourceLimits; those are /],
  [{ resourceLimits: { stackSizeMb: '4' } }, TypeError, /^resourceLimits\.stackSizeMb must be a number above 0/],
  [{ resourceLimits: { maxOldGenerationSizeMb: 0 } }, RangeError, /^resourceLimits\.maxOldGenerationSizeMb must be /],
  [{ resourceLimits: { maxYoungGenerationSizeMb: -1 } }, RangeError, /^resourceLimits\.maxYoungGenerationSizeMb /],
  [{ resourceLimits: { codeRangeSizeMb: Number.POSITIVE_INFINITY } }, RangeError, /^resourceLimits\.codeRangeSizeMb /],
  [{ env: 'PATH=/' }, TypeError, /^env must be an object, but is "PATH=\/"$/],
  [{ execArgv: '--no-warnings' }, TypeError, /^execArgv must be an array of strings, but is "--no-warnings"$/],
  [{ execArgv: ['--no-warnings', 7] }, TypeError, /^execArgv must be an array of strings/],
  [{ logger: 'console' }, TypeError, /^logger must be an object, but is "console"$/],
  [{ logger: { info() {} } }, TypeError, /^logger\.warn must be a function, but is undefined$/],
  [
    { workerData: () => {} },
    TypeError,
    /^workerData must be what can be sent to a thread \(.*could not be cloned.*\), but is /,
  ],
  [{ workerData: { deep: [Symbol('x')] } }, TypeError, /^workerData must be what can be sent to a thread/],
];

for (const [options, kind, message] of WRONG) {
  test(`refused: ${String(message)}`, () => {
    assert.throws(
      () => threads(MODULE, options as never),
      (error: Error) => {
        assert.equal(error.constructor, kind);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('a module must be a URL or an absolute path, as a relative path is relative to nobody knows what', () => {
  for (const module of ['./work.js', 'work.js', 'work', 'errand', '', undefined, null, 7, {}, ['/work.js']]) {
    assert.throws(
      () => threads(module as never),
      /^TypeError: the module must be a URL or an absolute path, such as new URL\('\.\/work\.js', import\.meta\.url\), but is /,
    );
  }
});

test('nothing is started before there is a manager, and undefined stands for the default', () => {
  threads(work('missing.js'));
  threads(MODULE, {
    terminateAfterMs: undefined,
    workerData: undefined,
    resourceLimits: undefined,
    env: undefined,
    execArgv: undefined,
    logger: undefined,
  });
  assert.doesNotThrow(() => threads(MODULE, { terminateAfterMs: 0 }));
  assert.doesNotThrow(() => threads(MODULE, { terminateAfterMs: Number.POSITIVE_INFINITY, resourceLimits: {} }));
});

test(
  'workerData is each thread’s, a copy; env replaces process.env; execArgv are its flags; resourceLimits its limits',
  withLeakCheck(async () => {
    const module = source(`
      import { resourceLimits, workerData } from 'node:worker_threads';
      export const told = () => ({ workerData, env: { ...process.env }, execArgv: process.execArgv, resourceLimits });
      export const change = () => { workerData.list.push(7); };
    `);
    const workerData = { list: [1] };
    const manager = manage(module, {
      workerCount: 2,
      workerData,
      env: { ONLY: 'this' },
      execArgv: ['--no-warnings'],
      resourceLimits: { maxOldGenerationSizeMb: 128, stackSizeMb: 2 },
    });
    await manager.ready();
    await manager.queueTask((_, thread) => thread.call('change'));
    const told = (await manager.runOnEach((_, thread) => thread.call('told'))) as {
      workerData: { list: number[] };
      env: unknown;
      execArgv: unknown;
      resourceLimits: ResourceLimits;
    }[];
    const lists = told.map((each) => each.workerData.list.length);
    assert.deepEqual(lists.sort(), [1, 2], 'only one of them is changed');
    for (const { env, execArgv, resourceLimits } of told) {
      assert.deepEqual(env, { ONLY: 'this' });
      assert.deepEqual(execArgv, ['--no-warnings']);
      assert.equal(resourceLimits.maxOldGenerationSizeMb, 128);
      assert.equal(resourceLimits.stackSizeMb, 2);
    }
    assert.deepEqual(workerData, { list: [1] });
    await manager.stop();
  }),
);

test(
  'without them a thread has a copy of process.env, and the flags of this process',
  withLeakCheck(async () => {
    const module = source(`
      export const told = () => ({ path: process.env.PATH, execArgv: process.execArgv });
      export const set = () => { process.env.ERRAND_TEST = 'set'; };
    `);
    const manager = new TaskManager({ ...threads(module), workerCount: 1 });
    const { PATH: path } = process.env;
    const told = await manager.queueTask((_, thread) => thread.call('told'));
    assert.deepEqual(told, { path, execArgv: process.execArgv });
    await manager.queueTask((_, thread) => thread.call('set'));
    assert.equal('ERRAND_TEST' in process.env, false);
    await manager.stop();
  }),
);

test(
  'flags that Node doesn’t take fail ready()',
  withLeakCheck(async () => {
    const manager = manage(MODULE, { execArgv: ['--no-such-flag'], createAttempts: 1 });
    const { cause } = await rejectionOf(manager.ready());
    assert.equal((cause as NodeJS.ErrnoException).code, 'ERR_WORKER_INVALID_EXEC_ARGV');
    await manager.kill();
  }),
);
