/** What users test their tasks with: time, faults, fakes, calls taken by hand, leaks. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { DeadlineExceededError, TaskManager } from '../../src/index.ts';
import {
  type CallContext,
  defineTask,
  flow,
  InvalidOutputError,
  NotRegisteredError,
  TaskRegistry,
} from '../../src/tasks/index.ts';
import { LeakError, leakCheck, testDispatcher, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { pause, untilCanceled } from '../tasks/kit.ts';

const send = defineTask({
  name: 'mail.send',
  run: async (_ctx: CallContext, { to }: { to: string }): Promise<{ sent: string }> => {
    throw new Error(`a real mail to ${to}`);
  },
});
const invite = defineTask({
  name: 'invite',
  retry: { attempts: 3, baseMs: 60_000, maxMs: 60_000, jitter: 'none' },
  run: async (ctx: CallContext, names: readonly string[]) => {
    if (ctx.attempt === 1) throw new Error('not yet');
    for (const name of names) await ctx.submit(send, { to: name }, { delayMs: 3_600_000 });
    return names.length;
  },
});

test(
  'all that is submitted is run, with delays, retries and children, in no time',
  withLeakCheck(async () => {
    const fake = mock.fn((_ctx: CallContext, { to }: { to: string }) => ({ sent: to }));
    await using t = testDispatcher({ tasks: [invite, send], fakes: { 'mail.send': fake } });
    const call = await t.dispatcher.submit(invite, ['ada', 'bob'], { delayMs: 86_400_000 / 2 });
    const ended = await t.runAll();
    assert.deepEqual(
      ended.map(({ task, state, attempt, output }) => ({ task, state, attempt, output })),
      [
        { task: 'invite', state: 'completed', attempt: 2, output: 2 },
        { task: 'mail.send', state: 'completed', attempt: 1, output: { sent: 'ada' } },
        { task: 'mail.send', state: 'completed', attempt: 1, output: { sent: 'bob' } },
      ],
    );
    assert.equal(t.clock.now(), 86_400_000 / 2 + 60_000 + 3_600_000);
    assert.equal(fake.mock.callCount(), 2);
    assert.equal(await call.result, 2);
    assert.deepEqual(await t.runAll(), []);
  }),
);

test(
  'limits and the managers of the test go by its clock',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const db = new TaskManager({ workerCount: 2, onCreate: () => 'db', clock });
    const slow = defineTask({
      name: 'slow',
      manager: 'db',
      timeoutMs: 5_000,
      rateLimit: { limit: 1, intervalMs: 60_000 },
      run: (ctx: CallContext, ms: number) => Promise.race([ctx.done(), pause(clock, ms)]),
    });
    {
      await using t = testDispatcher({ tasks: [slow], clock, managers: { db } });
      await t.dispatcher.submitMany(slow, [1_000, 1_000_000]);
      const ended = await t.runAll();
      assert.deepEqual(
        ended.map(({ state, startedAt, endedAt }) => ({ state, startedAt, endedAt })),
        [
          { state: 'completed', startedAt: 0, endedAt: 1_000 },
          { state: 'timedOut', startedAt: 60_000, endedAt: 65_000 },
        ],
      );
    }
    await db.stop();
  }),
);

test(
  'the engine has faults to switch on, and the test itself is spared them',
  withLeakCheck(async () => {
    await using t = testDispatcher({ tasks: [send], fakes: { 'mail.send': () => 'sent' } });
    t.engine.failNext('ack', { times: 2 });
    t.engine.failNext('scan');
    t.engine.failNext('count');
    await t.dispatcher.submit(send, { to: 'ada' });
    assert.deepEqual(
      (await t.runAll()).map(({ state }) => state),
      ['completed'],
    );
    assert.equal(t.engine.calls('ack'), 3);
    t.engine.goDown();
    await assert.rejects(t.dispatcher.submit(send, { to: 'bob' }), /down/);
  }),
);

test(
  'calls that never end are named when time is up',
  withLeakCheck(async () => {
    const forever = defineTask({
      name: 'forever',
      run: untilCanceled,
    });
    await using t = testDispatcher({ tasks: [forever, send], queues: { default: {} } });
    for (let index = 0; index < 7; index++) await t.dispatcher.submit(forever, undefined, { id: `call ${index}` });
    await assert.rejects(t.runAll({ withinMs: 10_000 }), (error: Error) => {
      assert.ok(error instanceof DeadlineExceededError);
      assert.match(error.message, /^after 10000 ms .*forever \(call 0, started in default\).* and 2 more$/);
      return true;
    });
    assert.equal(t.clock.now(), 10_000);
    await assert.rejects(t.until(new Promise(() => {}), { withinMs: 5 }), DeadlineExceededError);
    await assert.rejects(t.until(Promise.reject(new TypeError('its own'))), TypeError);
  }),
);

test(
  'a call is popped in the place of the dispatcher, the most urgent first, and ended by the test',
  withLeakCheck(async () => {
    const other = defineTask({ name: 'other', priority: 5, run: () => 1 });
    await using t = testDispatcher({ tasks: [send, other, invite] });
    assert.equal(await t.popCall(), undefined);
    const context = { principals: [{ name: 'ada' }], headers: { trace: '1' } };
    const mail = await t.dispatcher.submit(send, { to: 'bob' }, { context });
    const late = await t.dispatcher.submit(send, { to: 'late' }, { delayMs: 1_000 });
    const more = await t.dispatcher.submit(other, undefined);
    const popped = (await t.popCall(send))!;
    assert.deepEqual(
      { input: popped.input, headers: popped.headers, principals: popped.principals, state: popped.info.state },
      { input: { to: 'bob' }, headers: { trace: '1' }, principals: [{ name: 'ada' }], state: 'started' },
    );
    await popped.complete({ sent: 'bob' });
    assert.deepEqual(await mail.result, { sent: 'bob' });
    assert.equal(await t.popCall(send, { withinMs: 999 }), undefined);
    assert.equal(t.clock.now(), 999);
    const first = (await t.popCall())!;
    assert.equal(first.info.task, 'other');
    await first.release();
    const again = (await t.popCall('other'))!;
    await again.fail(new RangeError('no'));
    await assert.rejects(more.result, RangeError);
    const second = (await t.popCall(undefined, { withinMs: 10_000 }))!;
    assert.deepEqual([second.info.id, t.clock.now()], [late.id, 1_000]);
    await assert.rejects(second.complete(1n as never), InvalidOutputError);
    await second.complete({ sent: 'late' });
    assert.equal(late.status, 'completed');
    await assert.rejects(t.popCall('nobody'), NotRegisteredError);
    await t.dispatcher.start();
    await assert.rejects(t.popCall(), /has been started/);
  }),
);

test(
  'a popped call that fails is a dead letter if its task says so, a run of a flow too',
  withLeakCheck(async () => {
    const letter = defineTask({ name: 'letter', deadLetter: true, run: () => {} });
    const graph = flow({ name: 'graph' }).node('a', letter).build();
    await using t = testDispatcher({ tasks: [letter, graph] });
    const call = await t.dispatcher.submit(letter, undefined);
    await (await t.popCall(letter))!.fail(new RangeError('no'));
    assert.equal(call.status, 'deadLettered');
    const run = await t.dispatcher.submit(graph, undefined);
    await (await t.popCall(graph))!.fail(new RangeError('no'));
    assert.equal(run.status, 'deadLettered');
    await t.dispatcher.deadLetters.resubmit(run.id);
    await (await t.popCall(graph))!.complete();
    assert.equal((await t.dispatcher.calls.get(run.id))!.status, 'completed');
  }),
);

test(
  'who follows calls hears that the engine is closed, deaf as they are',
  withLeakCheck(async () => {
    const t = testDispatcher({ tasks: [send] });
    const call = await t.dispatcher.submit(send, { to: 'ada' });
    t.engine.deafen();
    await t[Symbol.asyncDispose]();
    await assert.rejects(call.result, /the engine was closed before call/);
  }),
);

test(
  'fakes are of one test: the registry that they stand in for tasks of stays as it was',
  withLeakCheck(async () => {
    const registry = new TaskRegistry([send]);
    {
      await using t = testDispatcher({ tasks: registry, fakes: { 'mail.send': () => ({ sent: 'no one' }) } });
      const once = t.fake(send, () => ({ sent: 'once' }));
      assert.deepEqual(await t.until(t.dispatcher.start().then(() => t.dispatcher.call(send, { to: 'a' }))), {
        sent: 'once',
      });
      once();
      assert.deepEqual(await t.until(t.dispatcher.call(send, { to: 'a' })), { sent: 'no one' });
    }
    assert.equal(registry.get('mail.send'), send);
  }),
);

test(
  'what is wrong is said at once',
  withLeakCheck(async () => {
    assert.throws(() => testDispatcher(undefined as never), TypeError);
    assert.throws(() => testDispatcher({ tasks: [send], clock: {} as never }), /clock must be a VirtualClock/);
    assert.throws(() => testDispatcher({ tasks: [send], fakes: { mail: () => 1 } }), NotRegisteredError);
    assert.throws(() => testDispatcher({ tasks: [send], engine: 1 } as never), TypeError);
    await using t = testDispatcher({ tasks: [send] });
    await assert.rejects(t.runAll({ withinMs: -1 }), RangeError);
    await assert.rejects(t.until(Promise.resolve(1), { withinMs: Number.NaN }), RangeError);
  }),
);

test('a leak check for `after` says what was left', async () => {
  const check = leakCheck();
  const timer = setInterval(() => {}, 1_000_000);
  await assert.rejects(check(), LeakError);
  clearInterval(timer);
  await leakCheck()();
});
