/** Control of queues: paused, resumed, resized and limited live, for all dispatchers or for one, and kept by the engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CallContext, Dispatcher, defineTask, memoryEngine, type QueueInfo } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, hangs, mortal, passing, pause, rigOf, settle, statesOf } from './kit.ts';

/** Two dispatchers on one engine, which run a task of the queue `images` each 100 ms at a time. */
async function pair(options: { readonly concurrency?: number } = {}) {
  const clock = new VirtualClock();
  const engine = faultyEngine(memoryEngine({ clock }));
  const task = defineTask({ name: 'task', queue: 'images', run: (_ctx: CallContext, ms: number) => pause(clock, ms) });
  const queues = { images: options };
  const one = await rigOf(task, { clock, engine, name: 'one', queues });
  const two = await rigOf(task, { clock, engine, name: 'two', queues });
  const started = async () => (await engine.count({})).started;
  return {
    clock,
    engine,
    task,
    one: one.dispatcher,
    two: two.dispatcher,
    started,
    [Symbol.asyncDispose]: async () => {
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

function named(queues: readonly QueueInfo[], name: string): QueueInfo {
  return queues.find((queue) => queue.name === name)!;
}

test(
  'nothing is taken from a paused queue, in no dispatcher; what runs goes on; resumed, all is run',
  withLeakCheck(async () => {
    await using world = await pair();
    const { clock, one, two, task } = world;
    const running = await one.submit(task, 100);
    await settle();
    assert.deepEqual(await one.control.queues.pause('images'), { dispatchers: ['one', 'two'], silent: [] });
    const calls = await one.submitMany(task, Array(30).fill(0));
    await clock.advance(20_000);
    assert.equal(running.status, 'completed');
    assert.deepEqual([...new Set(statesOf(calls))], ['queued']);
    assert.equal(named(await two.control.queues.list(), 'images').isPaused, true);
    await two.control.queues.resume('images');
    await clock.advance(0);
    assert.deepEqual([...new Set(statesOf(calls))], ['completed']);
    assert.equal(named(await one.control.queues.list(), 'images').isPaused, false);
  }),
);

test(
  'a pause holds back one queue, and no other',
  withLeakCheck(async () => {
    for (const order of ['strict', 'weighted'] as const) {
      const tasks = ['a', 'b'].map((queue) => defineTask({ name: queue, queue, run: () => queue }));
      await using rig = await rigOf(tasks, { order });
      await rig.dispatcher.control.queues.pause('a');
      const calls = await Promise.all([0, 1, 0, 1].map((i) => rig.dispatcher.submit(tasks[i]!, undefined)));
      await rig.clock.advance(6_000);
      assert.deepEqual(statesOf(calls), ['queued', 'completed', 'queued', 'completed']);
    }
  }),
);

test(
  'a pause, a size and a limit hold for dispatchers that start later',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const task = defineTask({
      name: 'task',
      queue: 'images',
      run: (_ctx: CallContext, ms: number) => pause(clock, ms),
    });
    const early = new Dispatcher({ tasks: [task], engine, name: 'early' });
    assert.deepEqual(await early.control.queues.resize('images', 2), { dispatchers: [], silent: [] });
    await early.control.queues.limit('images', { limit: 3, intervalMs: 60_000 });
    await early.control.queues.pause('images');
    await using late = await rigOf(task, {
      clock,
      engine,
      name: 'late',
      queues: { images: { rateLimit: { limit: 9 } } },
    });
    await late.dispatcher.submitMany(task, Array(5).fill(10));
    await clock.advance(10_000);
    assert.equal((await engine.count({})).queued, 5);
    await early.control.queues.resume('images');
    await settle();
    assert.equal((await engine.count({})).started, 2);
    await clock.advance(1_000);
    assert.equal((await engine.count({})).completed, 3, 'its own limit would let all go');
    await early.stop();
  }),
);

test(
  'a word that is lost on its way is found in the note, with the next look',
  withLeakCheck(async () => {
    await using world = await pair();
    const { clock, engine, one, task, started } = world;
    await settle();
    engine.deafen();
    const { silent } = await passing(clock, one.control.queues.pause('images'));
    assert.deepEqual(silent, ['one', 'two']);
    await clock.advance(5_000);
    engine.deafen(false);
    await one.submitMany(task, [10, 10]);
    await settle();
    assert.equal(await started(), 0);
    engine.deafen();
    await passing(clock, one.control.queues.resume('images'));
    await clock.advance(5_000);
    assert.equal((await engine.count({})).completed, 2);
    engine.deafen(false);
  }),
);

test(
  'a message that the engine fails to send makes no difference, once the word is kept; one that is not kept is an error',
  withLeakCheck(async () => {
    await using world = await pair();
    const { engine, one, clock } = world;
    engine.failNext('broadcast');
    assert.deepEqual(await one.control.queues.pause('images'), { dispatchers: [], silent: [] });
    assert.equal(named(await one.control.queues.list(), 'images').isPaused, true);
    engine.failNext('write', { error: new Error('disk full') });
    await assert.rejects(one.control.queues.resume('images'), /disk full/);
    assert.equal(named(await one.control.queues.list(), 'images').isPaused, true);
    await clock.advance(0);
  }),
);

test(
  'words said at the same time from several dispatchers are all kept',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const queues = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, {}]));
    await using one = await rigOf(echo, { clock, engine, name: 'one', queues });
    await using two = await rigOf(echo, { clock, engine, name: 'two', queues });
    engine.slowDown(5);
    const said = Promise.all([
      one.dispatcher.control.queues.pause('a'),
      two.dispatcher.control.queues.pause('b'),
      one.dispatcher.control.queues.resize('c', 1),
      two.dispatcher.control.queues.resize('d', 2),
    ]);
    await passing(clock, said);
    engine.slowDown(0);
    const list = await one.dispatcher.control.queues.list();
    assert.deepEqual(
      list.map(({ name, isPaused, takers }) => [name, isPaused, takers[0]?.concurrency]),
      [
        ['a', true, Infinity],
        ['b', true, Infinity],
        ['c', false, 1],
        ['d', false, 2],
        ['default', false, undefined],
      ],
    );
  }),
);

test(
  'one dispatcher can be told apart; the last word holds, and what is said for all replaces what was said for one',
  withLeakCheck(async () => {
    await using world = await pair({ concurrency: 3 });
    const { clock, one, two, task, started } = world;
    const { queues } = one.control;
    await queues.pause('images', { dispatcher: 'two' });
    await one.submitMany(task, Array(20).fill(1e6));
    await settle();
    assert.equal(await started(), 3);
    await queues.resize('images', 1, { dispatcher: 'two' });
    await queues.resume('images', { dispatcher: 'two' });
    await settle();
    assert.equal(await started(), 4);
    await queues.resize('images', 2);
    await settle();
    assert.equal(await started(), 5, 'those of one that run go on, though they are more');
    assert.deepEqual(
      named(await two.control.queues.list(), 'images').takers,
      ['one', 'two'].map((dispatcher) => ({ dispatcher, concurrency: 2, weight: 1, isPaused: false })),
    );
    await queues.pause('images');
    await queues.resume('images', { dispatcher: 'one' });
    const { isPaused, takers } = named(await queues.list(), 'images');
    assert.deepEqual([isPaused, ...takers.map((taker) => taker.isPaused)], [true, false, true]);
    await queues.resize('images', Infinity, { dispatcher: 'one' });
    await settle();
    assert.equal(await started(), 12, 'as many as it has room for');
    await queues.reset('images');
    const [reset] = await queues.list();
    assert.deepEqual(
      reset?.takers.map(({ concurrency, isPaused }) => [concurrency, isPaused]),
      [
        [3, false],
        [3, false],
      ],
    );
    await passing(clock, two.cancel({ task: 'task' }));
    await clock.advance(1e6);
  }),
);

test(
  'a rate limit goes before those of all dispatchers, those that set their queues anew included, until it is reset',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const task = defineTask({ name: 'task', queue: 'images', run: () => 0 });
    const rateLimit = { limit: 5, intervalMs: 10_000 };
    await using one = await rigOf(task, { clock, engine, name: 'one', queues: { images: { rateLimit } } });
    await using two = await rigOf(task, { clock, engine, name: 'two', queues: {} });
    const { queues } = two.dispatcher.control;
    const completed = async () => (await engine.count({})).completed;
    await queues.limit('images', { limit: 2, intervalMs: 10_000 });
    await one.dispatcher.submitMany(task, Array(40).fill(undefined));
    await settle();
    assert.equal(await completed(), 2);
    await two.dispatcher.setQueues({ images: {} });
    await one.dispatcher.setQueues({ images: { rateLimit: { limit: 7, intervalMs: 10_000 } } });
    await settle();
    assert.equal(await completed(), 2);
    assert.deepEqual(named(await queues.list(), 'images').rateLimit, { limit: 2, intervalMs: 10_000 });
    await clock.advance(10_000);
    assert.equal(await completed(), 4);
    await queues.reset('images');
    assert.deepEqual(named(await queues.list(), 'images').rateLimit, { limit: 7, intervalMs: 10_000 });
    await clock.advance(10_000);
    const before = await completed();
    await clock.advance(10_000);
    assert.equal((await completed()) - before, 7);
    await queues.limit('images', undefined);
    await settle();
    assert.equal(await completed(), 40);
    assert.equal(named(await queues.list(), 'images').rateLimit, undefined);
  }),
);

test(
  'who takes from a queue without a rate limit leaves that of another dispatcher alone, and takes back its own',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const rateLimit = { limit: 2, intervalMs: 10_000 };
    await using one = await rigOf(echo, { clock, engine, name: 'one', queues: { default: { rateLimit } } });
    await using two = await rigOf(echo, { clock, engine, name: 'two', queues: {} });
    const completed = async () => (await engine.count({})).completed;
    await one.dispatcher.submitMany(echo, Array(9).fill(0));
    await two.dispatcher.setQueues({ default: {} });
    await settle();
    assert.equal(await completed(), 2);
    await one.dispatcher.setQueues({ other: {} });
    await clock.advance(10_000);
    assert.equal(await completed(), 4, 'who has left the queue has said nothing else of it');
    await one.dispatcher.setQueues({ default: {} });
    await settle();
    assert.equal(await completed(), 9);
  }),
);

test(
  'what was said to single dispatchers, and then to all, is kept once',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo, { name: 'one' });
    const { queues } = rig.dispatcher.control;
    await queues.pause('default', { dispatcher: 'one' });
    await queues.resume('default');
    assert.equal(await rig.engine.read('control:queues'), '[["default",{"isPaused":false},[]]]');
  }),
);

test(
  'the list has every queue: how it stands, who takes from it, and whether nobody does',
  withLeakCheck(async () => {
    const tasks = ['images', 'mail', 'misspelled'].map((queue) =>
      defineTask({ name: queue, queue, run: hangsFor(queue) }),
    );
    await using one = await rigOf(tasks, { name: 'one', queues: { images: { concurrency: 1, weight: 2 }, mail: {} } });
    const shared = { clock: one.clock, engine: one.engine };
    await using _ = await rigOf(tasks, { ...shared, name: 'two', queues: { images: {} } });
    const asking = new Dispatcher({ tasks: [echo], engine: one.engine });
    await one.dispatcher.submitMany(tasks[0]!, Array(15).fill(0));
    await one.dispatcher.submit(tasks[2]!, 0);
    await one.dispatcher.submit(tasks[1]!, 0, { delayMs: 1_000 });
    await settle();
    const list = await asking.control.queues.list();
    assert.deepEqual(
      list.map(({ name, isUnattended }) => [name, isUnattended]),
      [
        ['default', false],
        ['images', false],
        ['mail', false],
        ['misspelled', true],
      ],
    );
    const images = named(list, 'images');
    assert.deepEqual(images.counts, { queued: 4, held: 0, scheduled: 0, started: 11, deadLettered: 0 });
    assert.deepEqual(images.takers, [
      { dispatcher: 'one', concurrency: 1, weight: 2, isPaused: false },
      { dispatcher: 'two', concurrency: Infinity, weight: 1, isPaused: false },
    ]);
    assert.equal(named(list, 'mail').counts.scheduled, 1);
    await asking.stop();
  }),
);

function hangsFor(_queue: string) {
  return (ctx: CallContext) => ctx.done();
}

test(
  'the size of a queue holds for dispatchers that take all that their tasks name',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', queue: 'images', run: (ctx) => ctx.done() });
    await using rig = await rigOf([task, hangs]);
    await rig.dispatcher.control.queues.resize('images', 2);
    await rig.dispatcher.submitMany(task, Array(5).fill(undefined));
    await settle();
    assert.equal((await rig.engine.count({})).started, 2);
  }),
);

test(
  'wrong words are refused, and nothing is half done',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo, { name: 'one' });
    const { queues } = rig.dispatcher.control;
    for (const refused of [
      () => queues.pause('defualt'),
      () => queues.resume('defualt'),
      () => queues.resize('defualt', 1),
      () => queues.limit('defualt', undefined),
      () => queues.reset('defualt'),
    ]) {
      await assert.rejects(refused, { code: 'ERR_UNKNOWN_QUEUE', message: /there is no queue defualt/ });
    }
    await assert.rejects(queues.pause('default', { dispatcher: 'two' }), { code: 'ERR_UNKNOWN_DISPATCHER' });
    await assert.rejects(queues.pause('default', { name: 'one' } as object), TypeError);
    await assert.rejects(queues.pause('default', null as never), TypeError);
    await assert.rejects(queues.pause(''), RangeError);
    await assert.rejects(queues.pause(7 as never), TypeError);
    await assert.rejects(queues.pause('dispatcher:one'), /isn't for broadcasts/);
    for (const size of [0, -1, 1.5, Number.NaN]) await assert.rejects(queues.resize('default', size), RangeError);
    await assert.rejects(queues.resize('default', '2' as never), TypeError);
    for (const limit of [{ limit: 0 }, { limit: 1, intervalMs: 0 }]) {
      await assert.rejects(queues.limit('default', limit), RangeError);
    }
    await assert.rejects(queues.limit('default', { limit: 1, perMs: 1 } as never), TypeError);
    await assert.rejects(queues.limit('default', 5 as never), TypeError);
    assert.equal(await rig.engine.read('control:queues'), undefined);
    await assert.rejects(rig.dispatcher.setQueues({ 'dispatcher:two': {} }), RangeError);
  }),
);

test(
  'a queue is known by a call that waits in it, by somebody who takes from it, or by what was said of it',
  withLeakCheck(async () => {
    await using one = await rigOf(echo, { name: 'one', queues: { taken: {} } });
    const asking = new Dispatcher({ tasks: [echo], engine: one.engine });
    const { queues } = asking.control;
    await queues.pause('taken');
    await passing(one.clock, one.dispatcher.setQueues({}));
    await queues.resume('taken');
    const routed = defineTask({ name: 'routed', queue: (input: string) => input, run: () => 0 });
    const other = new Dispatcher({ tasks: [routed], engine: one.engine });
    await other.submit(routed, 'waited in');
    await queues.pause('waited in');
    await asking.stop();
    await other.stop();
  }),
);

test(
  'a note that nobody can read changes nothing, and is written over',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    await using rig = await rigOf(echo, { clock, engine });
    await rig.dispatcher.control.queues.pause('default');
    const kept = await engine.read('control:queues');
    for (const text of [
      'no JSON',
      '7',
      '[[1]]',
      '{"default":{}}',
      '[["default",{"concurrency":-1},[]]]',
      '[["default",[],[]]]',
    ]) {
      await engine.write('control:queues', text, await engine.read('control:queues'));
      const call = await rig.dispatcher.submit(echo, 0);
      await clock.advance(5_000);
      assert.equal(call.status, 'queued', `still paused with ${text}`);
    }
    await engine.write('control:queues', kept, await engine.read('control:queues'));
    await engine.write('control:queues', 'no JSON', kept);
    await rig.dispatcher.control.queues.resume('default');
    await settle();
    assert.equal((await engine.count({})).completed, 6);
  }),
);

test(
  'queues of any name can be steered',
  withLeakCheck(async () => {
    const names = ['__proto__', 'constructor', 'queue:x', "'; drop table calls; --", 'ünïcödé'];
    const tasks = names.map((queue) => defineTask({ name: queue, queue, run: () => 0 }));
    await using rig = await rigOf(tasks, {
      queues: JSON.parse(JSON.stringify(Object.fromEntries(names.map((name) => [name, {}])))),
    });
    for (const name of names) await rig.dispatcher.control.queues.pause(name);
    for (const task of tasks) await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(6_000);
    assert.equal((await rig.engine.count({})).queued, names.length);
    for (const name of names) await rig.dispatcher.control.queues.reset(name);
    await settle();
    assert.equal((await rig.engine.count({})).completed, names.length);
    assert.equal(await rig.engine.read('control:queues'), undefined, 'nothing is left of what was said');
  }),
);

test(
  'a dispatcher that has died is silent, and no obstacle',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const store = memoryEngine({ clock });
    const { engine, die } = mortal(store);
    await using one = await rigOf(echo, { clock, engine: store, name: 'one' });
    const two = await rigOf(echo, { clock, engine, name: 'two' });
    die();
    const reached = await passing(clock, one.dispatcher.control.queues.pause('default'));
    assert.deepEqual(reached, { dispatchers: ['one'], silent: ['two'] });
    await passing(clock, two.dispatcher.stop());
  }),
);
