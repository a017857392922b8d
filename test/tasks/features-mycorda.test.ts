/**
 * Each feature of mycorda's tasks, by the name of its row in the table of what registered tasks are to be a match for,
 * and each failure that its notes list. What it means in all its corners is in the tests of its own; here is that it is
 * there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { DeadlineExceededError } from '../../src/index.ts';
import {
  type CallContext,
  Dispatcher,
  defineTask,
  ForbiddenError,
  flow,
  InvalidInputError,
  memoryEngine,
  NotRegisteredError,
  TaskRegistry,
  testExamples,
} from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import {
  deferred,
  echo,
  failing,
  failureOf,
  fetchAndDie,
  hangs,
  passing,
  rigOf,
  settle,
  statesOf,
  untilCanceled,
  within,
} from './kit.ts';

test(
  'mycorda: Task',
  withLeakCheck(async () => {
    const list = defineTask({
      name: 'list',
      input: z.string(),
      output: z.array(z.string()),
      run: async (_ctx, path) => [`${path}/a`],
    });
    await using rig = await rigOf(list);
    const files: string[] = await rig.dispatcher.call(list, '/tmp');
    assert.deepEqual(files, ['/tmp/a']);
  }),
);

test(
  'mycorda: Payload',
  withLeakCheck(async () => {
    const seen: unknown[] = [];
    const task = defineTask({
      name: 'task',
      run: (_ctx: CallContext, input: unknown) => {
        seen.push(input);
        return { at: new Date(0), none: undefined, input };
      },
    });
    await using rig = await rigOf(task);
    const input = { list: [1, { deep: true }], when: new Date(0) };
    const output = await rig.dispatcher.call(task, input);
    const sent = { list: [1, { deep: true }], when: '1970-01-01T00:00:00.000Z' };
    assert.deepEqual(seen, [sent]);
    assert.notEqual(seen[0], input);
    assert.deepEqual(output, { at: '1970-01-01T00:00:00.000Z', input: sent });
    await assert.rejects(rig.dispatcher.submit(task, { big: 1n }), /input\.big is a BigInt/);
  }),
);

test(
  'mycorda: Registration',
  withLeakCheck(async () => {
    const group = [echo, hangs];
    const registry = new TaskRegistry().use(group).add(failing(0));
    assert.deepEqual(registry.list().map(({ name }) => name), ['echo', 'failing', 'hangs']); // biome-ignore format: short
    assert.throws(() => registry.add(echo), TypeError);
    await using rig = await rigOf(registry);
    {
      using _ = registry.replace(echo, () => 'fake');
      assert.equal(await rig.dispatcher.call(echo, 'real'), 'fake');
    }
    assert.equal(await rig.dispatcher.call(echo, 'real'), 'real');
  }),
);

test(
  'mycorda: Blocking client',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      run: ({ headers: { tenant } }: CallContext, input: string) => {
        if (input === '') throw new RangeError('nothing to do');
        return `${input} for ${tenant}`;
      },
    });
    await using rig = await rigOf(task);
    const context = { headers: { tenant: 'acme' } };
    assert.equal(await rig.dispatcher.call(task, 'work', { context }), 'work for acme');
    await assert.rejects(rig.dispatcher.call(task, ''), RangeError);
  }),
);

test(
  'mycorda: Async client',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      timeoutMs: 100,
      run: async (_ctx: CallContext, wait: boolean) => {
        if (wait) await gate.promise;
        return wait;
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, false, { id: 'channel' });
    await settle();
    assert.equal((await rig.dispatcher.calls.get('channel'))?.status, 'completed');
    assert.equal(await call.result, false);
    const late = await rig.dispatcher.submit(task, true);
    await rig.clock.advance(100);
    gate.resolve();
    assert.ok((await failureOf(late)) instanceof DeadlineExceededError);
  }),
);

test(
  'mycorda: Client context',
  withLeakCheck(async () => {
    const who = ({ principals, headers }: CallContext) => ({ principals, headers });
    const child = defineTask({ name: 'child', run: who });
    const parent = defineTask({ name: 'parent', run: async (ctx) => (await ctx.submit(child, undefined)).result });
    await using rig = await rigOf([parent, child]);
    const context = { principals: [{ name: 'ada', permissions: ['admin'] }], headers: { locale: 'fr' } };
    assert.deepEqual(await rig.dispatcher.call(parent, undefined, { context }), context);
  }),
);

test(
  'mycorda: Admission',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', input: z.string(), authorize: ['write'], run: () => 'done' });
    await using rig = await rigOf(task);
    const context = { principals: [{ name: 'ada', permissions: ['write'] }] };
    await assert.rejects(rig.dispatcher.submit('none', 'x'), NotRegisteredError);
    await assert.rejects(rig.dispatcher.submit(task, 'x'), ForbiddenError);
    await assert.rejects(rig.dispatcher.submit('task', 1, { context }), InvalidInputError);
    assert.equal((await rig.dispatcher.calls.history()).length, 0, 'nothing is stored');
    assert.equal(await rig.dispatcher.call(task, 'x', { context }), 'done');
    // The worker doesn't trust whoever stored it.
    const [stored] = await rig.engine.scan({});
    await rig.engine.submit({ ...stored!, id: 'forged', context: '{}' });
    await settle();
    assert.ok((await failureOf((await rig.dispatcher.calls.get('forged'))!)) instanceof ForbiddenError);
  }),
);

test(
  'mycorda: Execution context',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      version: 3,
      queue: 'q',
      run: (ctx) => {
        ctx.log('working');
        return [ctx.id, ctx.task, ctx.version, ctx.queue, ctx.attempt];
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    assert.deepEqual(await call.result, [call.id, 'task', 3, 'q', 1]);
    assert.deepEqual(await rig.engine.logs(call.id), ['working']);
  }),
);

test(
  'mycorda: Log channels',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        ctx.log('one\ntwo');
        await gate.promise;
        ctx.log('three', { four: 4 });
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await settle();
    const lines: string[] = [];
    for await (const line of call.logs()) {
      lines.push(line);
      if (line === 'two') gate.resolve();
    }
    assert.deepEqual(lines, ['one', 'two', 'three { four: 4 }']);
  }),
);

test(
  'mycorda: Docs',
  withLeakCheck(async () => {
    const add = (output: number) =>
      new TaskRegistry([
        defineTask({
          name: 'add',
          description: 'Adds two numbers.',
          input: z.tuple([z.number(), z.number()]),
          examples: [{ input: [1, 2], output }],
          run: (_ctx, [a, b]) => a + b,
        }),
      ]);
    assert.equal(await testExamples(add(3)), 1);
    await assert.rejects(testExamples(add(4)), /output is 3, but the example says 4/);
  }),
);

test(
  'mycorda: Poll',
  withLeakCheck(async () => {
    let count = 0;
    const task = defineTask({ name: 'task', run: () => ++count });
    await using rig = await rigOf(task);
    const { clock, dispatcher } = rig;
    assert.equal(
      await passing(
        clock,
        dispatcher.poll(task, undefined, (n) => n >= 3),
      ),
      3,
    );
    assert.equal(clock.now(), 2_000);
    const late = dispatcher.poll(task, undefined, () => false, { everyMs: 500, untilMs: 2_000 });
    await assert.rejects(passing(clock, late), DeadlineExceededError);
  }),
);

test(
  'mycorda: Steps',
  withLeakCheck(async () => {
    const done: string[] = [];
    const task = defineTask({
      name: 'task',
      retry: { attempts: 10, backoff: 'linear', baseMs: 10 },
      run: async (ctx) => {
        const a = await ctx.step('a', () => done.push('a'));
        const b = await ctx.step('b', () => {
          if (ctx.attempt === 1) throw new Error('boom');
          return done.push('b');
        });
        return [a, b];
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(10);
    assert.deepEqual(await call.result, [1, 2]);
    assert.deepEqual(done, ['a', 'b']);
  }),
);

test(
  'mycorda: Correlation',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const ids = [1, 2, 3].map((input) => rig.dispatcher.call(echo, input, { id: 'correlation' }));
    assert.deepEqual(await Promise.all(ids), [1, 1, 1]);
  }),
);

// The failures that its notes list.

test(
  'mycorda: failure: no capacity on one node',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', run: untilCanceled });
    await using one = await rigOf(task, { concurrency: 2 });
    await using _ = await rigOf(task, { clock: one.clock, engine: one.engine, concurrency: 2 });
    const calls = await one.dispatcher.submitMany(task, [1, 2, 3, 4, 5]);
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'started', 'started', 'started', 'queued']);
    assert.equal(new Set(calls.slice(0, 4).map(({ info }) => info.consumer)).size, 2);
  }),
);

test(
  'mycorda: failure: the task fails',
  withLeakCheck(async () => {
    const task = failing(2, { retry: { attempts: 3, baseMs: 0 } });
    await using rig = await rigOf(task);
    assert.equal(await rig.dispatcher.call(task, undefined), 3);
  }),
);

test(
  'mycorda: failure: controlled shutdown',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const call = await (async () => {
      await using rig = await rigOf(hangs, { clock, engine });
      const running = await rig.dispatcher.submit(hangs, undefined);
      await settle();
      assert.equal(running.status, 'started');
      return running;
    })();
    assert.equal(call.status, 'queued');
    const registry = new TaskRegistry([hangs]);
    registry.replace(hangs, ({ attempt }) => attempt);
    await using _ = await rigOf(registry, { clock, engine });
    assert.equal(await within(call.result), 1, 'on another node, with no attempt spent');
  }),
);

test(
  'mycorda: failure: crash',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const submitter = new Dispatcher({ tasks: [echo], engine });
    const call = await submitter.submit(echo, 'work');
    await fetchAndDie(engine, 1, 30_000);
    await using _ = await rigOf(echo, { clock, engine });
    await clock.advance(30_000);
    assert.deepEqual([call.status, call.info.attempt], ['completed', 2]);
    await submitter.stop();
  }),
);

test(
  'mycorda: failure: a new version of a task published while old calls are in progress',
  withLeakCheck(async () => {
    const one = defineTask({ name: 'task', run: (_ctx: CallContext, name: string) => `1 ${name}` });
    const two = defineTask({
      name: 'task',
      version: 2,
      migrate: (input) => ({ name: input as string }),
      run: (_ctx: CallContext, { name }: { name: string }) => `2 ${name}`,
    });
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const old = new Dispatcher({ tasks: [one], engine });
    const calls = await old.submitMany(one, ['a', 'b']);
    {
      await using rig = await rigOf([one, two], { clock, engine, concurrency: 1, queues: { none: {} } });
      const newer = await rig.dispatcher.submit('task', { name: 'c' });
      await rig.dispatcher.setQueues({ default: {} });
      assert.deepEqual(await Promise.all([...calls, newer].map(({ result }) => result)), ['1 a', '1 b', '2 c']);
    }
    const last = await old.submit(one, 'd');
    await using _ = await rigOf(two, { clock, engine });
    assert.equal(await last.result, '2 d', 'migrated, as nobody runs the old version any more');
    await old.stop();
  }),
);

test(
  'mycorda: HTTP remoting: exec, status, ping and logs, of another dispatcher',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      run: (ctx: CallContext, name: string) => {
        ctx.log(`hello ${name}`);
        return name.length;
      },
    });
    await using there = await rigOf(task, { name: 'there' });
    const here = new Dispatcher({ tasks: [task], engine: there.engine });
    const call = await here.submit(task, 'Ada');
    assert.equal(await call.result, 3, 'exec');
    assert.equal((await here.calls.get(call.id))?.status, 'completed', 'status');
    assert.deepEqual(await there.engine.logs(call.id), ['hello Ada'], 'logs');
    assert.equal((await here.control.ping()).get('there')?.isSilent, false, 'ping');
    assert.equal((await here.control.status()).dispatchers[0]?.state, 'running');
    await here.stop();
  }),
);

test(
  'mycorda: Stage outputs',
  withLeakCheck(async () => {
    const stage = defineTask({ name: 'stage', run: (_ctx: CallContext, text: string) => text.toUpperCase() });
    const build = flow<string>({ name: 'build' })
      .node('compile', stage)
      .node('test', stage, { after: 'compile', input: ({ compile }) => `tests of ${compile}` })
      .node('pack', stage, {
        after: ['compile', 'test'],
        input: (by, source) => `${by.compile}, ${by.test}, ${source}`,
      })
      .build();
    await using rig = await rigOf(build);
    assert.equal(await rig.dispatcher.call(build, 'a'), 'A, TESTS OF A, A');
  }),
);
