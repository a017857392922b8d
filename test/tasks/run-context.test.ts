/** What a running call has: its context, steps, logs, heartbeats, and the calls that it makes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CanceledError, TaskManager, withTimeout } from '../../src/index.ts';
import {
  type Call,
  type CallContext,
  defineTask,
  ForbiddenError,
  InvalidInputError,
  memoryEngine,
  NotRegisteredError,
} from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, failureOf, noop, rigOf, settle, untilCanceled, within } from './kit.ts';

// ---- what it is ------------------------------------------------------------------------------------------------------

test(
  'a running call knows what it is, and its context is a Go context',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let seen: CallContext | undefined;
    const task = defineTask({
      name: 'task',
      version: 3,
      queue: 'q',
      timeoutMs: 100,
      run: async (ctx) => {
        seen = ctx;
        assert.deepEqual(
          [ctx.task, ctx.version, ctx.queue, ctx.attempt, ctx.parentId, ctx.deadline],
          ['task', 3, 'q', 1, undefined, 100],
        );
        assert.deepEqual([ctx.principals, ctx.headers], [[], {}]);
        assert.equal(ctx.err, undefined);
        assert.equal(ctx.value('nothing'), undefined);
        const [inner] = withTimeout(ctx, 9_999);
        await inner.done();
        assert.equal(inner.cause, ctx.cause);
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, 0);
    await clock.advance(99);
    assert.equal(seen!.id, call.id);
    assert.equal(seen!.signal.aborted, false);
    await clock.advance(1);
    assert.equal(seen!.signal.reason.name, 'TimeoutError');
    assert.equal(seen!.err!.name, 'TimeoutError');
    assert.equal(call.status, 'timedOut');
  }),
);

test(
  'what is deferred is done when the run is over, the last first, before anybody knows of the end',
  withLeakCheck(async () => {
    const order: string[] = [];
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      run: (ctx) => {
        ctx.defer(() => order.push('first'));
        ctx.defer(async () => {
          await gate.promise;
          order.push('second');
          throw new Error('not told to the call');
        });
        return 'done';
      },
    });
    await using rig = await rigOf(task);
    const reported: unknown[] = [];
    rig.dispatcher.on('error', (error) => reported.push(error));
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(call.status, 'started');
    gate.resolve();
    assert.equal(await within(call.result), 'done');
    assert.deepEqual(order, ['second', 'first']);
    assert.match(String(reported[0]), /not told to the call/);
  }),
);

// ---- steps -----------------------------------------------------------------------------------------------------------

test(
  'a step that was done is not done again: its result is kept for all attempts, as JSON has it',
  withLeakCheck(async () => {
    const done: string[] = [];
    const task = defineTask({
      name: 'task',
      retry: { attempts: 3, baseMs: 0 },
      run: async (ctx) => {
        const at = await ctx.step('fetch', () => {
          done.push(`fetch ${ctx.attempt}`);
          return new Date(0);
        });
        const nothing = await ctx.step('nothing', async () => void done.push(`nothing ${ctx.attempt}`));
        const shaky = await ctx.step('shaky', () => {
          done.push(`shaky ${ctx.attempt}`);
          if (ctx.attempt < 3) throw new Error('boom');
          return { __proto__: null, ok: true };
        });
        return [at, nothing ?? null, shaky];
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.deepEqual(await within(call.result), ['1970-01-01T00:00:00.000Z', null, { ok: true }]);
    assert.deepEqual(done, ['fetch 1', 'nothing 1', 'shaky 1', 'shaky 2', 'shaky 3']);
  }),
);

test(
  'steps of one name at once are one step; one that failed can be done again in the same attempt',
  withLeakCheck(async () => {
    let done = 0;
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        const step = () =>
          ctx.step('__proto__', async () => {
            await undefined;
            if (++done === 1) throw new Error('boom');
            return done;
          });
        const failed = await Promise.allSettled([step(), step()]);
        assert.deepEqual([...new Set(failed.map(({ status }) => status))], ['rejected']);
        return [...(await Promise.all([step(), step()])), await step()];
      },
    });
    await using rig = await rigOf(task);
    assert.deepEqual(await within(rig.dispatcher.call(task, 0)), [2, 2, 2]);
  }),
);

test(
  'a wrong step is refused, and so is one of a run that is over',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let late: CallContext | undefined;
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        late = ctx;
        await assert.rejects(ctx.step('', noop), TypeError);
        await assert.rejects(ctx.step(7 as never, noop), TypeError);
        await assert.rejects(ctx.step('a', 7 as never), TypeError);
        await assert.rejects(
          ctx.step('a', () => 1n as never),
          /the result of step a is a BigInt/,
        );
        await ctx.done();
        await assert.rejects(
          ctx.step('b', () => assert.fail('it must not be done')),
          (error) => error === ctx.cause,
        );
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    await call.cancel();
    await settle();
    assert.equal(call.status, 'canceled');
    await assert.rejects(late!.step('c', noop), CanceledError);
  }),
);

// ---- what it says ----------------------------------------------------------------------------------------------------

test(
  'what is said in one go is told in one go, and what is said while the engine listens together',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const task = defineTask({
      name: 'task',
      run: async (ctx) => {
        for (let i = 0; i < 500; i++) {
          ctx.log(i);
          ctx.progress(i);
          ctx.heartbeat(`step ${i}`);
        }
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 1_000));
      },
    });
    await using rig = await rigOf(task, { clock, engine });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(engine.calls('update'), 2);
    assert.equal((await engine.logs(call.id)).length, 500);
    assert.deepEqual([call.progress, call.info.step], [499, 'step 499']);
    await clock.advance(1_000);
  }),
);

test(
  'the end of a run is told after all that it said, however slow the engine is',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const engine = faultyEngine(store);
    const task = defineTask({
      name: 'task',
      run: (ctx) => {
        ctx.log('last words');
        ctx.progress('done');
      },
    });
    await using rig = await rigOf(task, { clock, engine });
    engine.slowDown(500);
    const submitted = rig.dispatcher.submit(task, 0);
    await clock.advance(10_000);
    const call = await submitted;
    assert.equal(call.status, 'completed');
    assert.deepEqual(await store.logs(call.id), ['last words']);
    assert.equal(call.progress, 'done');
    engine.slowDown(0);
  }),
);

test(
  'what a run says when it is over is not heard, and wrong words are refused',
  withLeakCheck(async () => {
    let late: CallContext | undefined;
    const task = defineTask({
      name: 'task',
      run: (ctx) => {
        late = ctx;
        assert.throws(() => ctx.heartbeat(7 as never), TypeError);
        assert.throws(() => ctx.progress(1n), TypeError);
        assert.throws(() => ctx.progress('x'.repeat(2_000)), RangeError);
      },
    });
    await using rig = await rigOf(task, { maxPayloadBytes: 1_000 });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.equal(call.status, 'completed');
    late!.log('late');
    late!.heartbeat('late');
    late!.progress('late');
    await settle();
    assert.deepEqual(await rig.engine.logs(call.id), []);
    assert.deepEqual([call.progress, call.info.step], [undefined, undefined]);
  }),
);

// ---- calls of calls --------------------------------------------------------------------------------------------------

test(
  'a call that a call makes knows its parent, and has its principals and headers, as far as it is given no others',
  withLeakCheck(async () => {
    const seen: Record<string, unknown> = {};
    const child = defineTask({
      name: 'child',
      run: async (ctx, name: string) => {
        seen[name] = [ctx.parentId, ctx.principals, ctx.headers];
        if (name === 'plain') await (await ctx.submit(child, 'grandchild')).result;
      },
    });
    const parent = defineTask({
      name: 'parent',
      run: async (ctx) => {
        const calls = [
          await ctx.submit(child, 'plain'),
          await ctx.submit(child, 'more', { context: { headers: { locale: 'en' } } }),
          await ctx.submit<string, void>('child', 'other', { context: { principals: [{ name: 'system' }] } }),
        ];
        for (const { result } of calls) await result;
        return calls.map(({ id }) => id);
      },
    });
    await using rig = await rigOf([parent, child]);
    const ann = { name: 'ann', permissions: ['mail'] };
    const headers = { trace: 't1' };
    const call = await rig.dispatcher.submit(parent, 0, { context: { principals: [ann], headers } });
    const [plain] = await within(call.result);
    assert.deepEqual(seen, {
      plain: [call.id, [ann], headers],
      more: [call.id, [ann], { trace: 't1', locale: 'en' }],
      other: [call.id, [{ name: 'system' }], headers],
      grandchild: [plain, [ann], headers],
    });
    assert.equal((await rig.dispatcher.calls.history({ parentId: call.id })).length, 3);
  }),
);

test(
  'a wrong submission from within is refused as from without, and nothing is stored',
  withLeakCheck(async () => {
    const secret = defineTask({ name: 'secret', authorize: ['secrets'], run: noop });
    const errors: unknown[] = [];
    const parent = defineTask({
      name: 'parent',
      run: async (ctx) => {
        for (const submit of [
          () => ctx.submit('nobody', 0),
          () => ctx.submit(secret, 0),
          () => ctx.submit('parent', 1n),
          () => ctx.submit('parent', 0, { priority: 3 }),
        ]) {
          await submit().catch((error) => errors.push(error));
        }
      },
    });
    await using rig = await rigOf([parent, secret]);
    await within(rig.dispatcher.call(parent, 0));
    const [missing, forbidden, invalid, option] = errors;
    assert.ok(missing instanceof NotRegisteredError);
    assert.ok(forbidden instanceof ForbiddenError);
    assert.ok(invalid instanceof InvalidInputError);
    assert.ok(option instanceof TypeError);
    assert.equal((await rig.dispatcher.calls.history()).length, 1);
  }),
);

test(
  'a run that was ended, or is over, submits nothing more',
  withLeakCheck(async () => {
    const child = defineTask({ name: 'child', run: noop });
    let late: CallContext | undefined;
    const parent = defineTask({
      name: 'parent',
      run: async (ctx) => {
        late = ctx;
        await ctx.done();
        await ctx.submit(child, 0);
      },
    });
    await using rig = await rigOf([parent, child]);
    const call = await rig.dispatcher.submit(parent, 0);
    await settle();
    await call.cancel('enough');
    await settle();
    assert.equal((await failureOf(call)).cause, 'enough');
    await assert.rejects(late!.submit(child, 0), CanceledError);
    assert.equal((await rig.dispatcher.calls.history()).length, 1);
  }),
);

test(
  'a run that is given up while it is prepared never begins, and leaves no timer',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const gate = deferred();
    let begun = 0;
    const task = defineTask({
      name: 'task',
      stallAfterMs: 1_000,
      run: () => {
        begun++;
      },
    });
    const slow = new TaskManager({ clock, workerCount: 1, abandonAfterMs: 50 });
    const engine = memoryEngine({ clock });
    await using rig = await rigOf(task, {
      clock,
      engine,
      managers: { default: slow },
      beforeRun: () => gate.promise,
    });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    await call.cancel();
    await clock.advance(50);
    assert.equal(call.status, 'canceled', 'it was given up');
    gate.resolve();
    await settle();
    assert.equal(begun, 0);
    await rig.dispatcher.stop();
    await slow.stop();
    await engine.close();
    assert.equal(clock.timerCount, 0);
  }),
);

test(
  'a child outlives a parent that does not wait for it, and can be followed from anywhere',
  withLeakCheck(async () => {
    const gate = deferred<string>();
    const child = defineTask({ name: 'child', run: () => gate.promise });
    const parent = defineTask({ name: 'parent', run: async (ctx) => (await ctx.submit(child, 0)).id });
    await using rig = await rigOf([parent, child]);
    const id = await within(rig.dispatcher.call(parent, 0));
    const call = (await rig.dispatcher.calls.get<string>(id)) as Call<string>;
    assert.equal(call.status, 'started');
    gate.resolve('done');
    assert.equal(await within(call.result), 'done');
  }),
);

test(
  'a resource can be used up, and its manager makes another',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let made = 0;
    const db = new TaskManager({
      clock,
      workerCount: 1,
      maxWorkerCount: 1,
      onCreate: () => ({ id: ++made }),
      checkHealth: (error) => (error as Error).message !== 'connection lost',
    });
    const task = defineTask({
      name: 'task',
      manager: 'db',
      retry: { attempts: 2, baseMs: 10 },
      run: (ctx, _input: number, { id }: { readonly id: number }) => {
        if (ctx.attempt === 1) throw new Error('connection lost');
        return id;
      },
    });
    await using rig = await rigOf([task, defineTask({ name: 'never', run: untilCanceled })], {
      clock,
      managers: { db },
    });
    const call = await rig.dispatcher.submit(task, 0);
    await clock.advance(1_000);
    assert.equal(await within(call.result), 2);
    assert.equal(call.info.attempt, 2);
    await db.stop();
  }),
);
