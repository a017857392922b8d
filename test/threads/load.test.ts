/** Modules that won't load, threads that won't live: what ready() says, and how often it is tried. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { DeadlineExceededError, ResourceError } from '../../src/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { ThreadCrashError } from '../../src/threads/index.ts';
import { heard } from '../manager/kit.ts';
import { type ManageOptions, manage, Probe, rejectionOf, source, work } from './kit.ts';

/** Runs `body`, which is told how many threads have been started since. */
async function counting(body: (started: () => number) => Promise<void>): Promise<void> {
  await turn(); // in which a loader's own may be announced
  const workers = new Set<Worker>();
  const onWorker = (worker: Worker): unknown => workers.add(worker);
  process.on('worker', onWorker);
  try {
    await body(() => workers.size);
  } finally {
    process.off('worker', onWorker);
  }
}

const BROKEN: Readonly<Record<string, { readonly url: URL | string; readonly error: RegExp; readonly cause: object }>> =
  {
    'a syntax error': {
      url: source('export const = 1'),
      error: /could not be loaded in a thread: Unexpected token '='/,
      cause: { name: 'SyntaxError' },
    },
    'a throw at its top level': {
      url: source(
        "throw Object.assign(new RangeError('not today'), { code: 'E_TODAY', cause: new Error('the root') })",
      ),
      error: /could not be loaded in a thread: not today$/,
      cause: { name: 'RangeError', message: 'not today', code: 'E_TODAY', cause: new Error('the root') },
    },
    'something thrown that is no error': {
      url: source("throw 'just a text'"),
      error: /could not be loaded in a thread: just a text$/,
      cause: 'just a text' as never,
    },
    'a file that is not there': {
      url: work('missing.js'),
      error: /^.*missing\.js could not be loaded in a thread: Cannot find module/,
      cause: { code: 'ERR_MODULE_NOT_FOUND' },
    },
    'an import of it that is not there': {
      url: source("import 'node:not-there'"),
      error: /could not be loaded in a thread: No such built-in module/,
      cause: { code: 'ERR_UNKNOWN_BUILTIN_MODULE' },
    },
    'an exit': {
      url: source('process.exit(3)'),
      error: /could not be loaded in a thread: it has exited with code 3$/,
      cause: undefined as never,
    },
    'a crash while it waits for something': {
      url: source("setTimeout(() => { throw new RangeError('in between') }); await new Promise(() => {})"),
      error: /could not be loaded in a thread: in between$/,
      cause: { name: 'RangeError', message: 'in between' },
    },
    'a wait for what never comes': {
      url: source('await new Promise(() => {})'),
      error: /could not be loaded in a thread: it has exited with code (0|13)$/,
      cause: undefined as never,
    },
  };

for (const [what, { url, error, cause }] of Object.entries(BROKEN)) {
  test(
    `a module with ${what} fails ready(), after so many threads as there are attempts`,
    withLeakCheck(() =>
      counting(async (started) => {
        const manager = manage(url, { createAttempts: 2 });
        const failure = await rejectionOf(manager.ready());
        assert.ok(failure instanceof ResourceError);
        assert.match(failure.message, /2 creations in a row have failed/);
        const crash = failure.cause as ThreadCrashError;
        assert.ok(crash instanceof ThreadCrashError);
        assert.match(crash.message, error);
        assert.equal(crash.hasBegun, false);
        if (cause === undefined) assert.equal('cause' in crash, false);
        else if (typeof cause === 'string') assert.equal(crash.cause, cause);
        else {
          for (const [key, value] of Object.entries(cause)) assert.deepEqual((crash.cause as never)[key], value);
        }
        assert.equal(started(), 2);
        await manager.kill();
        assert.equal(started(), 2);
      }),
    ),
  );
}

test(
  'a module that needs more memory than there may be fails ready() as well',
  withLeakCheck(async () => {
    const manager = manage(source('const all = []; for (;;) all.push({ n: all.length })'), {
      createAttempts: 1,
      resourceLimits: { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4 },
    });
    const { cause } = await rejectionOf(manager.ready());
    assert.match((cause as Error).message, /could not be loaded in a thread: .*memory/);
    await manager.kill();
  }),
);

test(
  'a module that takes longer than createTimeoutMs is ended with its thread',
  withLeakCheck(async () => {
    for (const text of ['for (;;);', 'setInterval(() => {}, 100); await new Promise(() => {})']) {
      const manager = manage(source(text), { createAttempts: 1, createTimeoutMs: 200 });
      const failure = await rejectionOf(manager.ready());
      assert.match(failure.message, /took more than createTimeoutMs \(200 ms\)/);
      await manager.kill();
    }
  }),
);

test(
  'kill() in the midst of a load leaves no thread, and neither does stop()',
  withLeakCheck(async () => {
    const probe = new Probe();
    const slow = source(`
      import { workerData } from 'node:worker_threads';
      Atomics.add(workerData, 0, 1);
      for (;;);
    `);
    for (const [i, end] of (['kill', 'stop'] as const).entries()) {
      const manager = manage(slow, { workerData: probe.cells });
      const ready = rejectionOf(manager.ready());
      await probe.reached(0, i + 1);
      await manager[end]();
      await ready;
    }
    // Before the thread has so much as begun.
    const manager = manage(work('calls.js'));
    await manager.kill();
  }),
);

test(
  'queued tasks wait for a module that won’t load, until their own timeouts',
  withLeakCheck(async () => {
    const manager = manage(source('export const = 1'), { createAttempts: 1 });
    const task = rejectionOf(manager.queueTask((_, thread) => thread.call('f'), { queueTimeoutMs: 200 }));
    await rejectionOf(manager.ready());
    assert.ok((await task) instanceof DeadlineExceededError);
    await manager.kill();
  }),
);

test(
  'a module that loads at last is used',
  withLeakCheck(async () => {
    const probe = new Probe();
    const moody = source(`
      import { workerData } from 'node:worker_threads';
      if (Atomics.add(workerData, 0, 1) < 2) throw new Error('not yet');
      export const f = () => 'at last';
    `);
    const manager = manage(moody, { workerData: probe.cells });
    await manager.ready();
    assert.equal(await manager.queueTask((_, thread) => thread.call('f')), 'at last');
    assert.equal(probe.get(0), 3);
    await manager.stop();
  }),
);

/** Loads, and dies by itself. */
const MORTAL = source(`
  import { workerData } from 'node:worker_threads';
  Atomics.add(workerData, 0, 1);
  export const f = () => 'alive';
  setTimeout(() => process.exit(1));
`);

function mortal(options: ManageOptions, body: (manager: ReturnType<typeof manage>, probe: Probe) => Promise<void>) {
  return withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage(MORTAL, { workerData: probe.cells, ...options });
    await body(manager, probe);
    await manager.kill();
  });
}

test(
  'threads that die one after the other, with no call between, are replaced with growing pauses',
  mortal({}, async (_, probe) => {
    const began = performance.now();
    await probe.reached(0, 6);
    // At least half of 100, 200, 400 and 800; the first two go without.
    assert.ok(performance.now() - began > 750, 'however fast they start');
  }),
);

test(
  'a pause longer than createTimeoutMs is none for ever: what was waited for is not waited for again',
  mortal({ createTimeoutMs: 300, createAttempts: 100 }, async (_, probe) => {
    // From the fifth on, the pause is above 300 ms.
    await probe.reached(0, 6);
  }),
);

/** Shorter than the pause after nine deaths in a row, which therefore would be an error. */
const createTimeoutMs = 2_000;

test(
  'an answer shows that threads live: the next that dies is replaced at once',
  withLeakCheck(async () => {
    const probe = new Probe();
    const manager = manage(work('deaths.js'), { workerData: probe.cells, createTimeoutMs });
    const errors = heard(manager, 'error');
    for (let i = 0; i < 10; i++) {
      await manager.queueTask((_, thread) => thread.call('alive'));
      await rejectionOf(manager.queueTask((_, thread) => thread.call('exit', 1)));
    }
    await manager.queueTask((_, thread) => thread.call('alive'));
    assert.deepEqual(errors, []);
    await manager.stop();
  }),
);

test(
  'threads that had to be terminated are replaced at once, however many in a row',
  withLeakCheck(async () => {
    const endless = source('export function f() { for (;;); }');
    const manager = manage(endless, { terminateAfterMs: 0, createTimeoutMs });
    const errors = heard(manager, 'error');
    for (let i = 0; i < 10; i++) {
      await rejectionOf(manager.queueTask((_, thread) => thread.call('f'), { timeoutMs: 1 }));
    }
    await manager.queueTask(() => {});
    assert.deepEqual(errors, []);
    await manager.stop();
  }),
);
