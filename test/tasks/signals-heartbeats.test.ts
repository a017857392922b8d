/** How often the engine is told that a run is alive: rarely, and yet all that matters. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Update } from '../../src/engines/index.ts';
import { type CallContext, defineTask, memoryEngine, StalledError } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { failureOf, passing, pause, rigOf } from './kit.ts';

/** A memory engine that keeps what it is told of runs, with the time of each. */
function listening(clock: VirtualClock) {
  const told: { readonly at: number; readonly update: Update }[] = [];
  const engine = memoryEngine({ clock });
  const { update } = engine;
  engine.update = (lease, said) => {
    told.push({ at: clock.now(), update: said });
    return update.call(engine, lease, said);
  };
  return { engine, told };
}

test(
  'a million heartbeats are as many updates as there are seconds',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const task = defineTask({
      name: 'task',
      run: async (ctx: CallContext) => {
        for (let part = 0; part < 1_000; part++) {
          for (let i = 0; i < 1_000; i++) ctx.heartbeat();
          await pause(clock, 10);
        }
      },
    });
    await using rig = await rigOf(task, { clock, engine });
    await passing(clock, rig.dispatcher.call(task, undefined));
    assert.equal(clock.now() >= 10_000, true);
    assert.equal(engine.calls('update'), 11);
  }),
);

test(
  'the first sign is told at once, those after it together, and the last before the end',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const { engine, told } = listening(clock);
    const task = defineTask({
      name: 'task',
      run: async (ctx: CallContext) => {
        ctx.heartbeat('one');
        await pause(clock, 100);
        ctx.heartbeat('two');
        ctx.progress(2);
        await pause(clock, 100);
        ctx.heartbeat('three');
        await pause(clock, 1_000);
        ctx.progress(4);
        return 'done';
      },
    });
    await using rig = await rigOf(task, { clock, engine });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(1_500);
    assert.equal(await call.result, 'done');
    assert.deepEqual(told, [
      { at: 0, update: { step: 'one', progress: undefined } },
      { at: 1_000, update: { step: 'three', progress: '2' } },
      { at: 1_200, update: { step: undefined, progress: '4' } },
    ]);
    assert.equal(call.progress, 4);
    assert.equal(call.info.step, 'three');
  }),
);

test(
  'with heartbeatEveryMs: 0 each is told, with more only so often; lines are told at once whatever it is',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    for (const [heartbeatEveryMs, times] of [
      [0, [0, 0, 10, 10, 20, 20]],
      [15, [0, 0, 10, 15, 20, 30]],
      [60_000, [0, 0, 10, 20, 30]],
    ] as const) {
      const { engine, told } = listening(clock);
      const begunAt = clock.now();
      const task = defineTask({
        name: 'task',
        heartbeatEveryMs,
        run: async (ctx: CallContext) => {
          for (let i = 0; i < 3; i++) {
            ctx.log(`line ${i}`);
            ctx.heartbeat();
            await pause(clock, 10);
          }
        },
      });
      await using rig = await rigOf(task, { clock, engine });
      const result = rig.dispatcher.call(task, undefined);
      await clock.advance(50);
      await result;
      assert.deepEqual(
        told.map(({ at }) => at - begunAt),
        times,
        String(heartbeatEveryMs),
      );
    }
  }),
);

test(
  'a run that gives heartbeats between two that are told does not stall, and one that gives none does',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const rules = { stallAfterMs: 100, heartbeatEveryMs: 60_000 };
    const alive = defineTask({
      name: 'alive',
      ...rules,
      run: async (ctx: CallContext) => {
        for (let i = 0; i < 100; i++) {
          ctx.heartbeat();
          await pause(clock, 90);
        }
        return 'alive';
      },
    });
    const silent = defineTask({
      name: 'silent',
      ...rules,
      run: async (ctx: CallContext) => {
        ctx.heartbeat();
        await ctx.done();
      },
    });
    await using rig = await rigOf([alive, silent], { clock });
    assert.equal(await passing(clock, rig.dispatcher.call(alive, undefined)), 'alive');
    const call = await rig.dispatcher.submit(silent, undefined);
    assert.ok((await passing(clock, failureOf(call))) instanceof StalledError);
  }),
);

test(
  'what an engine fails to hear is reported, and the next sign is told all the same',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const errors: unknown[] = [];
    const task = defineTask({
      name: 'task',
      run: async (ctx: CallContext) => {
        ctx.heartbeat('lost');
        await pause(clock, 2_000);
        ctx.heartbeat('heard');
        await pause(clock, 2_000);
      },
    });
    await using rig = await rigOf(task, { clock, engine });
    rig.dispatcher.on('error', (error) => errors.push(error));
    engine.failNext('update');
    const call = await rig.dispatcher.submit(task, undefined);
    await passing(clock, call.result);
    assert.equal(errors.length, 1);
    assert.equal(call.info.step, 'heard');
  }),
);

test(
  'a run whose lease is lost leaves no timer behind',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      heartbeatEveryMs: 50_000,
      retry: { attempts: 1 },
      run: async (ctx: CallContext) => {
        ctx.heartbeat('one');
        await pause(clock, 1);
        ctx.heartbeat('two');
        await pause(clock, 20_000);
      },
    });
    const { engine, told } = listening(clock);
    await using rig = await rigOf(task, { clock, engine });
    await rig.dispatcher.submit(task, undefined);
    await clock.advance(1);
    // Somebody else begins under its name.
    await engine.begin(rig.dispatcher.name, { onWake() {}, onCancel() {}, onMessage() {} });
    await clock.advance(100_000);
    const steps = told.map(({ update }) => update.step);
    assert.deepEqual(steps, ['one', 'one', 'two']);
  }),
);

test(
  'heartbeatEveryMs is a duration, or 0',
  withLeakCheck(async () => {
    const define = (heartbeatEveryMs: unknown) => () =>
      defineTask({ name: 'task', heartbeatEveryMs: heartbeatEveryMs as number, run: () => 1 });
    assert.throws(define('1'), TypeError);
    for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY]) assert.throws(define(wrong), RangeError);
  }),
);
