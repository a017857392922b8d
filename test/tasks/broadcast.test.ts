/** Broadcasts: a call for each dispatcher that is alive, and none that waits for one that isn't. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CallContext, Dispatcher, defineTask, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failureOf, hangs, mortal, passing, rigOf, settle } from './kit.ts';

/** A task that notes where it runs, and dispatchers of it on one engine. */
function where() {
  const clock = new VirtualClock();
  const engine = faultyEngine(memoryEngine({ clock }));
  const runs: string[] = [];
  const task = defineTask({
    name: 'task',
    deadLetter: true,
    run: ({ queue }: CallContext, input: unknown) => {
      runs.push(queue);
      return input;
    },
  });
  return { clock, engine, runs, task };
}

test(
  'a broadcast reaches every dispatcher once, with a result from each',
  withLeakCheck(async () => {
    const { clock, engine, runs, task } = where();
    await using one = await rigOf(task, { clock, engine, name: 'one' });
    await using _two = await rigOf(task, { clock, engine, name: 'two', queues: {} });
    await using _three = await rigOf(task, { clock, engine, name: 'three', queues: { other: {} }, order: 'weighted' });
    const calls = await one.dispatcher.broadcast(task, 'reload');
    assert.deepEqual([...calls.keys()], ['one', 'two', 'three']);
    assert.deepEqual(await Promise.all([...calls.values()].map(({ result }) => result)), Array(3).fill('reload'));
    assert.deepEqual(runs.sort(), ['dispatcher:one', 'dispatcher:three', 'dispatcher:two']);
    assert.deepEqual(
      [...calls].map(([name, { info }]) => info.consumer === name),
      [true, true, true],
    );
    await clock.advance(10_000);
    assert.equal(runs.length, 3);
  }),
);

test(
  'a dispatcher that was never started can broadcast, and gets none itself; without any there are no calls',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    const asking = new Dispatcher({ tasks: [task], engine, name: 'asking' });
    assert.deepEqual(await asking.broadcast(task, 1), new Map());
    assert.deepEqual(await engine.scan({}), []);
    await using _ = await rigOf(task, { clock, engine, name: 'one' });
    const calls = await asking.broadcast(task, 1);
    assert.deepEqual([...calls.keys()], ['one']);
    assert.equal(await calls.get('one')?.result, 1);
    await asking.stop();
  }),
);

test(
  'broadcasts go before all else, in strict order too, and no pause holds them back',
  withLeakCheck(async () => {
    const { clock, engine, runs, task } = where();
    await using one = await rigOf(task, { clock, engine, name: 'one', concurrency: 1, queues: { default: {} } });
    await one.dispatcher.control.queues.pause('default');
    await one.dispatcher.submitMany(task, Array(20).fill(0), {});
    const first = await one.dispatcher.broadcast(task, 1);
    assert.equal(await first.get('one')?.result, 1);
    assert.deepEqual(runs, ['dispatcher:one']);
    const second = one.dispatcher.broadcast(task, 2);
    await one.dispatcher.control.queues.resume('default');
    await (await second).get('one')?.result;
    assert.ok(runs.indexOf('dispatcher:one', 1) <= 2, runs.join());
    await settle();
    assert.equal(runs.length, 22);
  }),
);

test(
  'a call of a broadcast has all guarantees: attempts, a lease, a dead letter, who is behind it',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let attempts = 0;
    const task = defineTask({
      name: 'task',
      overridable: ['priority'],
      retry: { attempts: 3, baseMs: 10 },
      deadLetter: true,
      authorize: ['all'],
      run: ({ principals }: CallContext) => {
        attempts++;
        throw new Error(`boom for ${principals[0]?.name}`);
      },
    });
    await using rig = await rigOf(task, { clock, name: 'one' });
    const context = { principals: [{ name: 'Ada', permissions: ['all'] }] };
    const calls = await rig.dispatcher.broadcast(task, undefined, { context, delayMs: 100, priority: 4 });
    const call = calls.get('one')!;
    assert.deepEqual([call.status, call.info.priority], ['scheduled', 4]);
    await clock.advance(1_000);
    assert.equal(attempts, 3);
    assert.equal(call.status, 'deadLettered');
    assert.equal((await failureOf(call)).message, 'boom for Ada');
    await rig.dispatcher.deadLetters.resubmit(call.id);
    await clock.advance(1_000);
    assert.equal(attempts, 6, 'on the same dispatcher');
  }),
);

test(
  'what is wrong with a broadcast is said before anything is stored',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    await using rig = await rigOf(task, { clock, engine, name: 'one' });
    const { dispatcher } = rig;
    await assert.rejects(dispatcher.broadcast(echo, 1), { code: 'ERR_NOT_REGISTERED' });
    await assert.rejects(
      dispatcher.broadcast(task, () => {}),
      { code: 'ERR_INVALID_INPUT' },
    );
    await assert.rejects(dispatcher.broadcast(task, 1, { id: 'x' } as object), /id is not an option of a broadcast/);
    await assert.rejects(
      dispatcher.broadcast(task, 1, { queue: 'x' } as object),
      /queue is not an option of a broadcast/,
    );
    await assert.rejects(dispatcher.broadcast(task, 1, { priority: 2 }), TypeError);
    await assert.rejects(dispatcher.broadcast(task, 1, 5 as never), TypeError);
    for (const waitMs of [0, -1, Number.NaN, Infinity]) {
      await assert.rejects(dispatcher.broadcast(task, 1, { waitMs }), RangeError);
    }
    await assert.rejects(dispatcher.broadcast(task, 1, { waitMs: '1' as never }), TypeError);
    engine.failNext('submitMany', { error: new Error('full') });
    await assert.rejects(dispatcher.broadcast(task, 1), /full/);
    assert.deepEqual(await engine.scan({}), []);
    await dispatcher.stop();
    await assert.rejects(dispatcher.broadcast(task, 1), { code: 'ERR_SHUTDOWN' });
  }),
);

test(
  'a hook sees a broadcast once; its input is stored for all',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    let seen = 0;
    await using one = await rigOf(task, {
      clock,
      engine,
      name: 'one',
      beforeSubmit: (draft) => {
        draft.input = ++seen;
      },
    });
    await using _ = await rigOf(task, { clock, engine, name: 'two' });
    const calls = await one.dispatcher.broadcast(task, 'x');
    assert.deepEqual(await Promise.all([...calls.values()].map(({ result }) => result)), [1, 1]);
  }),
);

test(
  'duplicates are found among the calls for one dispatcher: none gives way to that of another',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const task = defineTask({ name: 'task', onDuplicate: 'discard', key: () => 'k', run: (ctx) => ctx.done() });
    await using one = await rigOf(task, { clock, engine, name: 'one' });
    await using _ = await rigOf(task, { clock, engine, name: 'two' });
    const states = async () =>
      [...(await one.dispatcher.broadcast(task, undefined)).values()].map(({ status }) => status);
    assert.ok(!(await states()).includes('discarded'));
    await settle();
    assert.equal((await engine.count({})).started, 2);
    assert.deepEqual(await states(), ['discarded', 'discarded']);
  }),
);

// ---- nobody takes it any more -----------------------------------------------------------------------------------------

test(
  'what waits for a dispatcher that stops is canceled, what it hands back too, and says why',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const tasks = [hangs, echo];
    await using one = await rigOf(tasks, { clock, engine, name: 'one', concurrency: 1 });
    const two = await rigOf(tasks, { clock, engine, name: 'two', concurrency: 1 });
    const running = await one.dispatcher.broadcast(hangs, 0);
    await settle();
    const waiting = await one.dispatcher.broadcast(echo, 1);
    await settle();
    assert.deepEqual([running.get('two')?.status, waiting.get('two')?.status], ['started', 'queued']);
    await passing(clock, two.dispatcher.stop({ graceMs: 0 }));
    for (const calls of [running, waiting]) {
      const error = await failureOf(calls.get('two')!);
      assert.equal(error.name, 'AbortError');
      assert.match(error.message, /the call was for dispatcher two alone, which has stopped/);
    }
    assert.equal(waiting.get('one')?.status, 'queued', 'those of others stay');
    await running.get('one')?.cancel();
    assert.equal(await waiting.get('one')?.result, 1);
  }),
);

test(
  'what waits for a dispatcher that has died is canceled by the next that looks: one that starts, or broadcasts',
  withLeakCheck(async () => {
    for (const who of ['starts', 'broadcasts']) {
      const clock = new VirtualClock();
      const store = memoryEngine({ clock });
      const { engine, die } = mortal(store);
      const one = await rigOf(echo, { clock, engine: store, name: 'one' });
      const two = await rigOf(echo, { clock, engine, name: 'two' });
      die();
      const calls = await one.dispatcher.broadcast(echo, 1);
      assert.equal(await calls.get('one')?.result, 1);
      assert.equal(calls.get('two')?.status, 'queued', 'it is not known yet');
      await store.end('two', 1e9); // an old epoch: nothing
      for (let epoch = 0; epoch < 5; epoch++) await store.end('two', epoch);
      let other: Awaited<ReturnType<typeof rigOf>> | undefined;
      if (who === 'starts') other = await rigOf(echo, { clock, engine: store, name: 'three' });
      else await one.dispatcher.broadcast(echo, 2);
      await settle();
      const error = await failureOf(calls.get('two')!);
      assert.match(error.message, /dispatcher two alone, which is not alive on the engine any more/);
      await other?.[Symbol.asyncDispose]();
      await one[Symbol.asyncDispose]();
      await passing(clock, two.dispatcher.stop());
      assert.equal(await store.read('control:broadcasts'), undefined, 'nothing is left');
    }
  }),
);

test(
  'a dispatcher that leaves just as one broadcasts leaves no call behind',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    await using one = await rigOf(task, { clock, engine, name: 'one', queues: {} });
    const two = await rigOf(task, { clock, engine, name: 'two' });
    engine.slowDown(10);
    const broadcast = one.dispatcher.broadcast(task, 1);
    await clock.advance(15);
    const stopped = two.dispatcher.stop({ graceMs: 0 });
    engine.slowDown(0);
    await passing(clock, stopped);
    const calls = await passing(clock, broadcast);
    await settle();
    const { status } = calls.get('two')!;
    assert.ok(['canceled', 'completed'].includes(status), status);
  }),
);

test(
  'a call that its dispatcher never takes is canceled after waitMs, even if who broadcast it is gone',
  withLeakCheck(async () => {
    for (const isGone of [false, true]) {
      const clock = new VirtualClock();
      const engine = memoryEngine({ clock });
      const task = defineTask({ name: 'task', manager: 'missing', run: () => 0 });
      await using other = await rigOf(echo, { clock, engine, name: 'one' });
      const asking = new Dispatcher({ tasks: [task], engine });
      const short = await asking.broadcast(task, undefined, { waitMs: 5_000, delayMs: 1_000 });
      const long = await asking.broadcast(task, undefined);
      if (isGone) await asking.stop();
      await clock.advance(5_999);
      if (isGone) await other.dispatcher.broadcast(echo, 0);
      assert.equal(short.get('one')?.status, 'queued');
      await clock.advance(1);
      if (isGone) await other.dispatcher.broadcast(echo, 0);
      const error = await failureOf(short.get('one')!);
      assert.match(error.message, /has not begun it within 5000 ms/);
      await clock.advance(290_000);
      if (isGone) await other.dispatcher.broadcast(echo, 0);
      assert.equal(long.get('one')?.status, 'queued');
      await clock.advance(10_000);
      if (isGone) await other.dispatcher.broadcast(echo, 0);
      assert.equal((await failureOf(long.get('one')!)).name, 'TimeoutError');
      await asking.stop();
      await passing(clock, other.dispatcher.stop());
      await engine.close();
      assert.equal(clock.timerCount, 0);
    }
  }),
);

test(
  'one that runs, or waits for another attempt, is not canceled for having waited',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      retry: { attempts: 2, backoff: 'constant', baseMs: 20_000 },
      run: ({ attempt }: CallContext) => {
        if (attempt === 1) throw new Error('boom');
        return attempt;
      },
    });
    await using rig = await rigOf([task, hangs], { clock, name: 'one' });
    const retried = (await rig.dispatcher.broadcast(task, undefined, { waitMs: 1_000 })).get('one')!;
    const running = (await rig.dispatcher.broadcast(hangs, undefined, { waitMs: 1_000 })).get('one')!;
    await clock.advance(10_000);
    assert.deepEqual([retried.status, running.status], ['scheduled', 'started']);
    await clock.advance(20_000);
    assert.equal(retried.status, 'completed');
  }),
);

test(
  'a task that a dispatcher does not have fails there, and nowhere else',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    await using one = await rigOf(task, { clock, engine, name: 'one' });
    await using _ = await rigOf(echo, { clock, engine, name: 'two' });
    const calls = await one.dispatcher.broadcast(task, 1);
    assert.equal(await calls.get('one')?.result, 1);
    await settle();
    assert.equal((await failureOf(calls.get('two')!)).code, 'ERR_NOT_REGISTERED');
  }),
);

test(
  'a note that nobody can read is written over',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    await using rig = await rigOf(task, { clock, engine, name: 'one' });
    for (const text of ['no JSON', '7', '{}', '[1]']) {
      await engine.write('control:broadcasts', text, await engine.read('control:broadcasts'));
      assert.equal(await (await rig.dispatcher.broadcast(task, text)).get('one')?.result, text);
      assert.equal(await engine.read('control:broadcasts'), '["one"]');
    }
  }),
);

test(
  'what is stored is said to be, though the look at those who are gone has failed',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    const errors: unknown[] = [];
    const submitMany: typeof engine.submitMany = async (calls) => {
      const records = await engine.submitMany(calls);
      engine.failNext('read', { error: new Error('gone') });
      return records;
    };
    await using rig = await rigOf(task, { clock, engine: { ...engine, submitMany }, name: 'one' });
    rig.dispatcher.on('error', (error) => errors.push(error));
    const calls = await rig.dispatcher.broadcast(task, 1);
    assert.equal(await calls.get('one')?.result, 1);
    assert.deepEqual(errors.map(String), ['Error: gone']);
  }),
);

test(
  'a stop says so when calls for it could not be canceled, and ends all the same',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    const rig = await rigOf(task, { clock, engine, name: 'one' });
    const errors: unknown[] = [];
    rig.dispatcher.on('error', (error) => errors.push(error));
    engine.failNext('read', { error: new Error('gone') });
    await passing(clock, rig.dispatcher.stop());
    assert.deepEqual(errors.map(String), ['Error: gone']);
  }),
);

test(
  'one that is begun under the name of another gets what waits for that, whatever the other does at its end',
  withLeakCheck(async () => {
    const { clock, engine } = where();
    const one = await rigOf(hangs, { clock, engine, name: 'one', concurrency: 1 });
    await one.dispatcher.submit(hangs, undefined);
    await clock.advance(1);
    await using successor = await rigOf(hangs, { clock, engine, name: 'one', concurrency: 1 });
    await clock.advance(1);
    const call = (await successor.dispatcher.broadcast(hangs, undefined)).get('one')!;
    await one[Symbol.asyncDispose]();
    assert.equal((await engine.get(call.id))?.state, 'queued');
  }),
);

test(
  'a dead letter of a broadcast that is resubmitted when its dispatcher is gone is canceled',
  withLeakCheck(async () => {
    const { clock, engine } = where();
    const fails = defineTask({ name: 'fails', deadLetter: true, run: () => Promise.reject(new Error('boom')) });
    const one = await rigOf(fails, { clock, engine, name: 'one' });
    await using two = await rigOf(fails, { clock, engine, name: 'two' });
    const calls = await one.dispatcher.broadcast(fails, undefined);
    await clock.advance(300_000);
    await one[Symbol.asyncDispose]();
    await two.dispatcher.deadLetters.resubmit({});
    await settle();
    const states = await Promise.all([...calls.values()].map(async ({ id }) => (await engine.get(id))?.state));
    assert.deepEqual(states, ['canceled', 'deadLettered'], 'that of the other has failed once more');
  }),
);

test(
  'a call that is due in a month and then waits for too long is canceled, though no timer is that long',
  withLeakCheck(async () => {
    const { clock, engine, task } = where();
    const dispatcher = new Dispatcher({ tasks: [task], engine });
    const epoch = await engine.begin('busy', { onWake() {}, onCancel() {}, onMessage() {} });
    const month = 30 * 86_400_000;
    const call = (await dispatcher.broadcast(task, 0, { delayMs: month, waitMs: 1_000 })).get('busy')!;
    await clock.advance(month + 999);
    assert.equal(call.status, 'queued');
    await clock.advance(1);
    assert.equal(call.status, 'canceled');
    await engine.end('busy', epoch);
    await dispatcher.stop();
  }),
);
