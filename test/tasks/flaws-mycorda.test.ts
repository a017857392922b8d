/** The flaws of mycorda's tasks that its table names: that registered tasks haven't got them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  defineTask,
  InvalidInputError,
  InvalidOutputError,
  memoryEngine,
  NotRegisteredError,
} from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failureOf, rigOf, settle } from './kit.ts';

test(
  'mycorda flaw: unchecked casts',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      input: z.object({ n: z.number() }),
      output: z.number(),
      run: (_ctx, { n }) => (n < 0 ? ('negative' as never) : n),
    });
    await using rig = await rigOf(task);
    await assert.rejects(rig.dispatcher.submit('task', { n: '1' }), InvalidInputError);
    await assert.rejects(rig.dispatcher.call(task, { n: -1 }), InvalidOutputError);
  }),
);

test(
  'mycorda flaw: remoting drops principals and headers',
  withLeakCheck(async () => {
    const seen: unknown[] = [];
    const task = defineTask({
      name: 'task',
      run: ({ principals, headers, attempt }) => {
        seen.push({ principals, headers });
        if (attempt === 1) throw new Error('boom');
      },
      retry: { attempts: 2, baseMs: 0 },
    });
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    await using here = await rigOf(task, { clock, engine, queues: { none: {} } });
    const context = { principals: [{ name: 'ada', permissions: ['x'] }], headers: { 'x-trace': 'ünï' } };
    const call = await here.dispatcher.submit(task, undefined, { context });
    await using _ = await rigOf(task, { clock, engine });
    await call.result;
    assert.deepEqual(seen, [context, context]);
  }),
);

test(
  'mycorda flaw: class loading from wire data',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    for (const name of ['__proto__', 'constructor', 'toString', 'node:fs', '../kit.ts']) {
      await assert.rejects(rig.dispatcher.submit(name, 1), NotRegisteredError, name);
    }
    const call = await rig.dispatcher.submit(echo, 1, { id: 'forged', delayMs: 1 });
    const record = await rig.engine.get(call.id);
    for (const name of ['__proto__', 'constructor', 'Function', 'AbortController']) {
      const id = `${name} forged`;
      await rig.engine.submit({ ...record!, id, delayMs: 0, task: name });
      await settle();
      assert.equal((await rig.engine.get(id))?.state, 'deadLettered', 'nobody knows such a task');
    }
    await rig.engine.cancel(call.id, JSON.stringify({ name: 'Function', message: 'return 1', own: {} }));
    const failure = await failureOf(call);
    assert.equal(Object.getPrototypeOf(failure), Error.prototype);
  }),
);

test(
  'mycorda flaw: a log URL makes the server dial out',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const context = { logs: 'http://example.com/logs' } as object;
    await assert.rejects(rig.dispatcher.submit(echo, 1, { context }), TypeError);
  }),
);

test(
  'mycorda flaw: last line without newline lost, UTF-8 mangled',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      run: (ctx) => {
        ctx.log('première ligne\nzweite Zeile 🐙');
        ctx.log('最後');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    const lines: string[] = [];
    for await (const line of call.logs()) lines.push(line);
    assert.deepEqual(lines, ['première ligne', 'zweite Zeile 🐙', '最後']);
  }),
);

test(
  'mycorda flaw: duplicate message breaks the result',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    let runs = 0;
    const task = defineTask({ name: 'task', run: () => ++runs });
    await using rig = await rigOf(task, { clock, engine });
    engine.failNext('submit', { when: 'after' });
    engine.failNext('ack', { when: 'after' });
    const submit = () => rig.dispatcher.submit(task, undefined, { id: 'mine' });
    await assert.rejects(submit());
    const again = await submit();
    await clock.advance(10_000);
    assert.deepEqual([await again.result, await (await submit()).result, runs], [1, 1, 1]);
  }),
);

test(
  'mycorda flaw: a thread pool per context, never shut down',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    {
      await using rig = await rigOf(echo, { clock });
      await Promise.all((await rig.dispatcher.submitMany(echo, Array(100).fill(1))).map(({ result }) => result));
      await rig.dispatcher.stop();
      await rig.engine.close();
    }
    assert.equal(clock.timerCount, 0);
  }),
);
