/**
 * The flaws of dispatcherd that its table names: that registered tasks haven't got them.
 *
 * Not here, as it is of a room to come: "no durability" (durable engines).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TaskManager } from '../../src/index.ts';
import { type CallContext, defineTask, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failing, fetchAndDie, hangs, passing, pause, rigOf, settle, statesOf, untilCanceled } from './kit.ts';

test(
  'dispatcherd flaw: cancel-all mutated while iterating and cancelled 2 of 4',
  withLeakCheck(async () => {
    await using rig = await rigOf(hangs, { concurrency: 4 });
    const calls = await rig.dispatcher.submitMany(hangs, [1, 2, 3, 4, 5, 6, 7, 8]);
    await settle();
    const outcomes = await rig.dispatcher.cancel({ task: 'hangs' });
    await settle();
    assert.equal(outcomes.size, 8);
    assert.deepEqual(statesOf(calls), Array(8).fill('canceled'));
  }),
);

test(
  'dispatcherd flaw: a dead worker kept its task, so duplicates stayed blocked',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', onDuplicate: 'serial', key: () => 'k', run: () => 'done' });
    await using rig = await rigOf(task, { queues: { none: {} } });
    const calls = await rig.dispatcher.submitMany(task, [1, 2]);
    await fetchAndDie(rig.engine, 1, 1_000);
    await rig.dispatcher.setQueues({ default: {} });
    await rig.clock.advance(1_000);
    assert.deepEqual(statesOf(calls), ['completed', 'completed']);
  }),
);

test(
  'dispatcherd flaw: work_cleared fired while held tasks remained',
  withLeakCheck(async () => {
    const done: unknown[] = [];
    const task = defineTask({
      name: 'task',
      onDuplicate: 'serial',
      key: () => 'k',
      run: (_ctx: CallContext, input: number) => void done.push(input),
    });
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    await using rig = await rigOf(task, { clock, engine });
    rig.dispatcher.on('idle', () => done.push('idle'));
    for (const ms of [0, 10]) {
      engine.slowDown(ms);
      await passing(clock, rig.dispatcher.submitMany(task, [1, 2, 3]));
      await clock.advance(1_000);
      assert.deepEqual(done.splice(0), [1, 2, 3, 'idle'], `with an engine that takes ${ms} ms`);
    }
    engine.slowDown(0);
  }),
);

test(
  'dispatcherd flaw: scale-down never triggered for a count never busy at once',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const manager = new TaskManager({ clock, workerCount: 1, maxWorkerCount: 4, idleMs: 1_000 });
    const task = defineTask({ name: 'task', manager: 'elastic', run: () => pause(clock, 150) });
    {
      await using rig = await rigOf(task, { clock, managers: { elastic: manager } });
      await rig.dispatcher.submitMany(task, Array(20).fill(1));
      await clock.advance(6_000);
      assert.equal((await rig.dispatcher.calls.count()).completed, 20);
      await manager.resize({ workerCount: 4 });
      await manager.resize({ workerCount: 1 });
      // One at a time from here on: never are all busy.
      for (let i = 0; i < 10; i++) {
        await rig.dispatcher.submit(task, 1);
        await clock.advance(500);
      }
      assert.equal(manager.stats().activeWorkers, 1);
    }
    await passing(clock, manager.stop());
  }),
);

test(
  'dispatcherd flaw: scheduled tasks ignored timeout and on_duplicate',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', timeoutMs: 50, onDuplicate: 'discard', run: untilCanceled });
    await using rig = await rigOf(task);
    const first = await rig.dispatcher.submit(task, 'a', { delayMs: 100 });
    const second = await rig.dispatcher.submit(task, 'a', { delayMs: 120 });
    await rig.clock.advance(200);
    assert.deepEqual(statesOf([first, second]), ['timedOut', 'discarded']);
  }),
);

test(
  'dispatcherd flaw: no bound',
  withLeakCheck(async () => {
    await using rig = await rigOf(hangs, { concurrency: 2 });
    await rig.dispatcher.submitMany(hangs, Array(1_000).fill(undefined));
    await rig.clock.advance(60_000);
    const { started, queued } = await rig.dispatcher.calls.count();
    assert.deepEqual([started, queued], [2, 998], 'what there is no room for stays in the engine');
    const [workers] = await rig.dispatcher.control.workers();
    assert.equal(workers!.managers.get('default')!.queuedTasks, 0);
  }),
);

test(
  'dispatcherd flaw: results discarded',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const { id } = await rig.dispatcher.submit(echo, { rows: 3 });
    await settle();
    const later = await rig.dispatcher.calls.get(id);
    assert.deepEqual(await later!.result, { rows: 3 });
  }),
);

test(
  'dispatcherd flaw: callbacks run even after failure',
  withLeakCheck(async () => {
    const hooks: string[] = [];
    const task = failing(1, { retry: { attempts: 2, baseMs: 0 } });
    await using rig = await rigOf(task, {
      afterRun: ({ attempt }) => hooks.push(`afterRun ${attempt}`),
      onError: ({ attempt }) => hooks.push(`onError ${attempt}`),
    });
    await rig.dispatcher.call(task, undefined);
    assert.deepEqual(hooks, ['onError 1', 'afterRun 2']);
  }),
);

test(
  'dispatcherd flaw: scheduled tasks ignored timeout and on_duplicate, by a schedule',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', timeoutMs: 1_500, onDuplicate: 'discard', run: untilCanceled });
    await using rig = await rigOf(task);
    await rig.dispatcher.every(1_000, task, 'a');
    await rig.clock.advance(3_200);
    const calls = await rig.dispatcher.calls.history();
    assert.deepEqual(calls.map(({ state }) => state).reverse(), ['timedOut', 'discarded', 'started']);
  }),
);

test(
  'dispatcherd flaw: control dispatch by `hasattr` instead of an allowlist',
  withLeakCheck(async () => {
    await using rig = await rigOf(echo);
    const heard: string[] = [];
    await rig.engine.begin('control:x', { onWake() {}, onCancel() {}, onMessage: (text) => void heard.push(text) });
    for (const command of ['stop', 'messenger', '#obey', 'constructor', 'toString', '__proto__', 'probe', 'started']) {
      await rig.engine.broadcast(
        JSON.stringify({ errand: 'control', kind: 'request', id: command, command, params: {} }),
      );
    }
    await settle();
    assert.equal(heard.length, 8, 'nobody has answered');
    assert.equal(rig.dispatcher.state, 'running');
    assert.equal(await rig.dispatcher.call(echo, 1), 1);
  }),
);

test(
  'dispatcherd flaw: cancel-all mutated while iterating and cancelled 2 of 4, by control',
  withLeakCheck(async () => {
    await using one = await rigOf(hangs, { concurrency: 2 });
    await using _ = await rigOf(hangs, { clock: one.clock, engine: one.engine, concurrency: 2 });
    const calls = await one.dispatcher.submitMany(hangs, [1, 2, 3, 4, 5, 6]);
    await settle();
    assert.equal((await one.dispatcher.control.cancel({ task: 'hangs' })).size, 6);
    await settle();
    assert.deepEqual(statesOf(calls), Array(6).fill('canceled'));
  }),
);
