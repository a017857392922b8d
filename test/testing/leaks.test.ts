import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, getEventListeners, once } from 'node:events';
import { createServer } from 'node:net';
import { extname } from 'node:path';
import { type TestContext, test } from 'node:test';
import nodeTimers, { setTimeout as importedSetTimeout } from 'node:timers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MessageChannel, Worker } from 'node:worker_threads';
import { LeakError, trackLeaks, withLeakCheck } from '../../src/testing/index.ts';

const HOUR = 3_600_000;
const noop = () => {};

/**
 * What a tracker finds when `leak` runs; then `cleanUp`, given what it returned, must leave nothing behind.
 */
async function leaksOf<T>(leak: () => T | Promise<T>, cleanUp: (made: T) => unknown): Promise<readonly string[]> {
  const tracker = trackLeaks();
  const made = await leak();
  const error = await tracker.check().then(noop, (error: unknown) => error);
  await cleanUp(made);
  assert.ok(error instanceof LeakError, `found nothing, but ${String(error)}`);
  const afterwards = trackLeaks();
  await cleanUp(await leak());
  await afterwards.check();
  return error.leaks;
}

test('a pending timeout is found, with the place where it was made', async () => {
  const leaks = await leaksOf(() => setTimeout(noop, HOUR), clearTimeout);
  assert.equal(leaks.length, 1);
  assert.match(leaks[0]!, /^a setTimeout of 3600000 ms is pending, made\n +at .*leaks\.test/);
});

test('an unreferenced timeout is found', async () => {
  const leaks = await leaksOf(() => setTimeout(noop, HOUR).unref(), clearTimeout);
  assert.equal(leaks.length, 1);
  assert.match(leaks[0]!, /setTimeout .*unreferenced/);
});

test('an interval is found, and may be cleared by its number', async () => {
  const leaks = await leaksOf(
    () => setInterval(noop, HOUR),
    (interval) => clearInterval(Number(interval)),
  );
  assert.equal(leaks.length, 1);
  assert.match(leaks[0]!, /setInterval/);
});

test('immediates that go on for ever are found', async () => {
  const leaks = await leaksOf(
    () => {
      const loop = { immediate: setImmediate(noop) };
      const next = () => {
        loop.immediate = setImmediate(next);
      };
      next();
      return loop;
    },
    ({ immediate }) => clearImmediate(immediate),
  );
  assert.equal(leaks.length, 1);
  assert.match(leaks[0]!, /setImmediate/);
});

test('timers of node:timers are found, however they were imported', async () => {
  assert.match((await leaksOf(() => nodeTimers.setTimeout(noop, HOUR), clearTimeout))[0]!, /setTimeout/);
  assert.match((await leaksOf(() => importedSetTimeout(noop, HOUR), clearTimeout))[0]!, /setTimeout/);
});

test('a timer out of sight is found as a resource, when it holds the process', async () => {
  const leaks = await leaksOf(
    () => {
      const controller = new AbortController();
      const waiting = delay(HOUR, undefined, { signal: controller.signal }).catch(noop);
      return { controller, waiting };
    },
    async ({ controller, waiting }) => {
      controller.abort();
      await waiting;
    },
  );
  assert.equal(leaks.length, 2);
  assert.ok(leaks.some((leak) => /kind Timeout/.test(leak)));
  assert.ok(leaks.some((leak) => /'abort' listener/.test(leak)));
});

test('an abort listener is found on a signal older than the tracker, but not those it had', async () => {
  const { signal } = new AbortController();
  const listener = () => {};
  signal.addEventListener('abort', noop);
  const leaks = await leaksOf(
    () => signal.addEventListener('abort', listener),
    () => signal.removeEventListener('abort', listener),
  );
  assert.equal(leaks.length, 1);
  assert.match(leaks[0]!, /^an 'abort' listener is on an AbortSignal, added\n +at .*leaks\.test/);
});

test('an onabort handler is found until it is taken away', async () => {
  const { signal } = new AbortController();
  const leaks = await leaksOf(
    () => {
      signal.onabort = noop;
    },
    () => {
      signal.onabort = null;
    },
  );
  assert.equal(leaks.length, 1);
});

test('a listener that the abort has called is no leak; one added after it is', async () => {
  const tracker = trackLeaks();
  const controller = new AbortController();
  controller.signal.addEventListener('abort', noop, { once: true });
  controller.signal.addEventListener('abort', () => {});
  controller.abort();
  await tracker.check();
  const leaks = await leaksOf(
    () => controller.signal.addEventListener('abort', noop),
    () => controller.signal.removeEventListener('abort', noop),
  );
  assert.match(leaks[0]!, /aborted AbortSignal/);
});

test('a thousand listeners taken away again are no leak, and one among them is', async () => {
  const tracker = trackLeaks();
  const controllers = Array.from({ length: 3_000 }, () => new AbortController());
  for (const { signal } of controllers) signal.addEventListener('abort', noop, { once: true });
  for (const controller of controllers.slice(1)) controller.abort();
  for (let i = 0; i < 3_000; i++) clearTimeout(setTimeout(noop, HOUR));
  await assert.rejects(tracker.check(), (error: LeakError) => error.leaks.length === 1);
});

test('a listener on process is found by its event', async () => {
  const leaks = await leaksOf(
    () => process.on('SIGUSR2', noop),
    () => process.off('SIGUSR2', noop),
  );
  assert.deepEqual(leaks, ["1 more listener(s) on process for 'SIGUSR2'"]);
});

test('a worker thread is found, an unreferenced one too', async () => {
  const leaks = await leaksOf(
    async () => {
      const worker = new Worker('setInterval(() => {}, 1_000)', { eval: true });
      await once(worker, 'online');
      worker.unref();
      return worker;
    },
    (worker) => worker.terminate(),
  );
  assert.equal(leaks.length, 1);
  assert.match(leaks[0]!, /^worker thread \d+ is alive$/);
});

test('a worker thread made just before the tracker is no leak', async () => {
  const worker = new Worker('setInterval(() => {}, 1_000)', { eval: true });
  const tracker = trackLeaks();
  await once(worker, 'online');
  await tracker.check();
  await worker.terminate();
});

test('a child process is found, an unreferenced one too', async () => {
  const leaks = await leaksOf(
    () => {
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1_000)'], { stdio: 'ignore' });
      child.unref();
      return child;
    },
    async (child) => {
      child.ref();
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  );
  assert.equal(leaks.length, 1);
  assert.match(leaks[0]!, /^child process \d+, .*node.* is alive$/);
});

test('a message port that listens is found', async () => {
  const leaks = await leaksOf(
    () => {
      const { port1 } = new MessageChannel();
      port1.on('message', noop);
      return port1;
    },
    (port) => port.close(),
  );
  assert.deepEqual(leaks, ['1 more active resource(s) of kind MessagePort']);
});

test('a server that listens is found', async () => {
  const leaks = await leaksOf(
    async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    },
    (server) => new Promise((resolve) => server.close(resolve)),
  );
  assert.deepEqual(leaks, ['1 more active resource(s) of kind TCPServerWrap']);
});

test('an unhandled rejection is found', async () => {
  // The test runner would count it as this test's own failure.
  const listeners = process.rawListeners('unhandledRejection') as (() => void)[];
  process.removeAllListeners('unhandledRejection');
  try {
    const tracker = trackLeaks();
    void Promise.reject(new Error('nobody cares'));
    await assert.rejects(tracker.check(), (error: LeakError) => /not handled: Error: nobody cares/.test(error.message));
  } finally {
    for (const listener of listeners) process.on('unhandledRejection', listener);
  }
});

test('all leaks are in one error', async () => {
  const tracker = trackLeaks();
  const timer = setTimeout(noop, HOUR);
  process.on('SIGUSR2', noop);
  await assert.rejects(tracker.check(), (error: LeakError) => {
    assert.match(error.message, /^2 leak\(s\):\n- .*setTimeout.*\n- .*SIGUSR2/s);
    return error.name === 'LeakError' && error.leaks.length === 2;
  });
  clearTimeout(timer);
  process.off('SIGUSR2', noop);
});

test('what was there before is no leak, nor is what ends within some turns', async () => {
  const timer = setTimeout(noop, HOUR);
  const interval = setInterval(noop, HOUR);
  process.on('SIGUSR2', noop);
  const tracker = trackLeaks();
  setImmediate(() => setImmediate(() => setImmediate(noop)));
  await new Promise((resolve) => setTimeout(resolve, 0));
  void Promise.resolve().then(noop);
  await tracker.check();
  clearTimeout(timer);
  clearInterval(interval);
  process.off('SIGUSR2', noop);
});

test('check and stop put everything back as it was', async () => {
  const functions = () => [
    setTimeout,
    setInterval,
    setImmediate,
    nodeTimers.setTimeout,
    nodeTimers.setInterval,
    nodeTimers.setImmediate,
    importedSetTimeout,
    AbortSignal.prototype.addEventListener,
    AbortSignal.prototype.removeEventListener,
    ...process.eventNames(),
    ...process.eventNames().map((event) => process.listenerCount(event)),
  ];
  const before = functions();
  const checked = trackLeaks();
  assert.notEqual(importedSetTimeout, before[6]);
  await checked.check();
  assert.deepEqual(functions(), before);
  const stopped = trackLeaks();
  stopped.stop();
  stopped.stop();
  assert.deepEqual(functions(), before);
  const failed = trackLeaks();
  const timer = setTimeout(noop, HOUR);
  await assert.rejects(failed.check());
  clearTimeout(timer);
  assert.deepEqual(functions(), before);
  assert.equal(Object.hasOwn(AbortSignal.prototype, 'addEventListener'), false);
});

test('timers work while tracked as they do otherwise', async () => {
  const tracker = trackLeaks();
  assert.equal(await promisify(setTimeout)(0, 'promisified'), 'promisified');
  assert.equal(setTimeout.name, 'setTimeout');
  assert.equal(await new Promise((resolve) => setTimeout(resolve, 0, 'argument')), 'argument');
  const { signal } = new AbortController();
  await assert.rejects(once(new EventEmitter(), 'never', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  signal.addEventListener('abort', noop);
  signal.removeEventListener('abort', noop);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  await tracker.check();
});

test('one tracker is at work at a time, and each gives one verdict', async () => {
  const tracker = trackLeaks();
  assert.throws(() => trackLeaks(), /only one tracker/);
  await tracker.check();
  await assert.rejects(tracker.check(), /already/);
  trackLeaks().stop();
});

test('wrong options are refused by name, and nothing is tracked then', () => {
  assert.throws(() => trackLeaks({ turns: 0 }), { name: 'RangeError', message: /turns .* 0/ });
  assert.throws(() => trackLeaks({ turns: '1' as never }), { name: 'TypeError', message: /turns .* 1/ });
  trackLeaks().stop();
});

test(
  'a wrapped test gets its context and passes when it leaves nothing',
  withLeakCheck(async (t: TestContext) => {
    assert.equal(typeof t.diagnostic, 'function');
    await t.test('within which a test may be', async () => {
      await new Promise((resolve) => setTimeout(resolve, 0));
    });
  }),
);

test(
  'a wrapped test needs no types of its own',
  withLeakCheck(async (t) => {
    assert.equal(t.name, 'a wrapped test needs no types of its own');
  }),
);

test('a wrapped function keeps its parameters and result, and fails when it leaves something', async () => {
  const add = withLeakCheck((a: number, b: number) => a + b);
  assert.equal(await add(1, 2), 3);
  const leak = withLeakCheck(() => setTimeout(noop, HOUR).unref());
  await assert.rejects(leak(), LeakError);
});

test('the error of a wrapped function is its verdict, and tracking ends', async () => {
  const broken = withLeakCheck(async () => {
    setTimeout(noop, HOUR).unref();
    throw new Error('its own');
  });
  await assert.rejects(broken(), { message: 'its own' });
  trackLeaks().stop();
});

test('in the `after` of a file, what the test runner has made is no leak, and what tests leave is', async () => {
  const extension = extname(import.meta.url);
  const file = fileURLToPath(new URL(`./support/in-after${extension}`, import.meta.url));
  const flags = extension === '.ts' ? ['--import', 'tsx'] : [];
  const verdictOf = async (LEAK: string): Promise<string> => {
    // Without the mark of who runs this test, or it would answer in its words.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawn(process.execPath, [...flags, '--test', file], { env: { ...env, LEAK } });
    let told = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (told += String(chunk)));
    const [code] = await once(child, 'close');
    return code === 0 ? 'none' : told.slice(told.indexOf('leak(s)') - 2);
  };
  const [none, ...some] = await Promise.all(['', 'timer', 'listener', 'abort'].map(verdictOf));
  assert.equal(none, 'none');
  const patterns = [
    /^1 leak\(s\):\s+- a setTimeout/,
    /^1 leak\(s\):\s+- 1 more .*SIGUSR2/,
    /^1 leak\(s\):\s+- an 'abort' listener/,
  ];
  for (const [index, pattern] of patterns.entries()) assert.match(some[index]!, pattern);
});
