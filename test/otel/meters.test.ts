/** What a dispatcher has measured, as OpenTelemetry collects it. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Histogram } from '@opentelemetry/sdk-metrics';
import { instrument } from '../../src/otel/index.ts';
import { type CallContext, defineTask, memoryEngine } from '../../src/tasks/index.ts';
import { faultyEngine, VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { echo, failing, passing, pause, rigOf } from '../tasks/kit.ts';
import { followed, telemetryOf, useGlobals } from './kit.ts';

before(() => useGlobals());

test(
  'counts are by task and queue, and of calls that ended by their status',
  withLeakCheck(async () => {
    const task = failing(1, { retry: { attempts: 2, baseMs: 0 } });
    await using rig = await followed([task, echo]);
    const { telemetry, dispatcher } = rig;
    await passing(rig.clock, dispatcher.call(task, undefined));
    await dispatcher.call(echo, 1);
    const processed = await telemetry.points('tasks_processed');
    assert.equal(processed.get('failing default completed'), 1);
    assert.equal(processed.get('failing default failed'), 0);
    assert.equal(processed.get('echo default completed'), 1);
    assert.deepEqual(
      await telemetry.points('tasks_retried'),
      new Map([
        ['failing default', 1],
        ['echo default', 0],
      ]),
    );
    assert.equal((await telemetry.points('tasks_selected')).get('failing default'), 2);
    assert.equal((await telemetry.points('tasks_submitted')).get('echo default'), 1);
    await dispatcher.call(echo, 1);
    assert.equal((await telemetry.points('tasks_submitted')).get('echo default'), 2);
  }),
);

test(
  'times are histograms in seconds, of those tasks that are timed',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const timed = defineTask({ name: 'timed', run: () => pause(clock, 400) });
    const untimed = defineTask({ name: 'untimed', observe: { metrics: 'off' }, run: () => pause(clock, 400) });
    await using rig = await followed([timed, untimed], { clock });
    for (const task of [timed, untimed]) await rig.dispatcher.submit(task, undefined);
    await clock.advance(1_000);
    const points = await rig.telemetry.points('execution_time');
    assert.deepEqual([...points.keys()], ['timed default']);
    const { count, sum, min, max } = points.get('timed default') as Histogram;
    assert.deepEqual([count, sum, min, max], [1, 0.4, 0.4, 0.4]);
    assert.equal(((await rig.telemetry.points('time_in_queue')).get('timed default') as Histogram).count, 1);
    assert.equal(((await rig.telemetry.points('end_to_end_latency')).get('timed default') as Histogram).sum, 0.4);
    assert.equal((await rig.telemetry.points('tasks_processed')).get('untimed default completed'), 1);
  }),
);

test(
  'the engine is there by operation, cancels and dead letters by their count',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = faultyEngine(memoryEngine({ clock }));
    const dead = defineTask({
      name: 'dead',
      deadLetter: true,
      run: (_ctx: CallContext) => {
        throw new Error('for good');
      },
    });
    await using rig = await followed(dead, { clock, engine });
    engine.failNext('fetch');
    const call = await rig.dispatcher.submit(dead, undefined);
    const late = await rig.dispatcher.submit(dead, undefined, { delayMs: 60_000 });
    await clock.advance(2_000);
    assert.equal(call.status, 'deadLettered');
    await late.cancel();
    const { telemetry } = rig;
    assert.equal((await telemetry.points('engine_errors')).get('fetch'), 1);
    assert.equal((await telemetry.points('engine_operations')).get('fail'), 1);
    assert.equal((await telemetry.points('engine_refusals')).get('fail'), 0);
    assert.equal((await telemetry.points('tasks_dead_lettered')).get('dead default'), 1);
    assert.deepEqual(await telemetry.points('cancellations_requested'), new Map([['', 1]]));
  }),
);

test(
  'what is disposed of is told no more',
  withLeakCheck(async () => {
    await using telemetry = telemetryOf();
    await using rig = await rigOf(echo);
    const following = instrument(rig.dispatcher, telemetry.providers);
    await rig.dispatcher.call(echo, 1);
    assert.equal((await telemetry.points('tasks_submitted')).get('echo default'), 1);
    following[Symbol.dispose]();
    await rig.dispatcher.call(echo, 2);
    assert.equal(((await telemetry.points('execution_time')).get('echo default') as Histogram).count, 1);
    assert.notEqual((await telemetry.points('tasks_submitted')).get('echo default'), 2);
  }),
);
