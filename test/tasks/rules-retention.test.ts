/** How long calls are kept when they have ended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CallContext, defineTask, type TaskDefinition } from '../../src/tasks/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { failureOf, passing, rigOf, settle } from './kit.ts';

type Rules = Partial<TaskDefinition<string, string, string, unknown>>;
const HOUR = 3_600_000;

/** Runs calls that complete, fail and are canceled, and gives the states of those that are known after these times. */
async function keptAfter(rules: Rules, times: readonly number[]): Promise<string[]> {
  const task = defineTask({
    name: 'task',
    ...rules,
    run: (_ctx: CallContext, input: string) => {
      if (input === 'fails') throw new Error('boom');
      return input;
    },
  });
  await using rig = await rigOf(task);
  const { dispatcher, clock } = rig;
  const canceled = await dispatcher.submit(task, 'canceled', { delayMs: 1_000 });
  const [completed, failed] = await dispatcher.submitMany(task, ['completes', 'fails']);
  await canceled.cancel();
  assert.equal(await completed!.result, 'completes');
  assert.equal((await failureOf(failed!)).message, 'boom');
  assert.equal((await failureOf(canceled)).name, 'AbortError');
  await passing(clock, dispatcher.stop()); // an hour is long for who looks for work every few seconds
  const kept: string[] = [];
  for (const time of times) {
    await clock.advanceTo(time);
    const states = (await dispatcher.calls.history()).map(({ state }) => state);
    kept.push(states.sort().join(' '));
  }
  return kept;
}

test(
  'by default completed calls are kept for a minute, the others for a day',
  withLeakCheck(async () => {
    assert.deepEqual(await keptAfter({}, [59_999, 60_000, 24 * HOUR - 1, 24 * HOUR]), [
      'canceled completed failed',
      'canceled failed',
      'canceled failed',
      '',
    ]);
  }),
);

test(
  'calls are kept as long as the definition says, each by how it ended',
  withLeakCheck(async () => {
    const retain = { completed: 5_000, failed: 2_000 };
    const kept = await keptAfter({ retain }, [1_999, 2_000, 4_999, 5_000]);
    assert.deepEqual(kept, ['canceled completed failed', 'completed', 'completed', '']);
  }),
);

test(
  'with 0 nothing is kept, and who has the call hears of its end all the same',
  withLeakCheck(async () => {
    assert.deepEqual(await keptAfter({ retain: { completed: 0, failed: 0 } }, [1]), ['']);
    assert.deepEqual(await keptAfter({ retain: { completed: 0 } }, [1]), ['canceled failed']);
  }),
);

test(
  'with Infinity they are kept until somebody removes them',
  withLeakCheck(async () => {
    const forEver = Number.POSITIVE_INFINITY;
    const kept = await keptAfter({ retain: { completed: forEver, failed: forEver } }, [10_000 * HOUR]);
    assert.deepEqual(kept, ['canceled completed failed']);
  }),
);

test(
  'dead letters are kept whatever the definition says, and when one has completed it is kept as such',
  withLeakCheck(async () => {
    let isWell = false;
    const task = defineTask({
      name: 'task',
      deadLetter: true,
      retain: { completed: 10, failed: 0 },
      run: () => {
        if (!isWell) throw new Error('boom');
      },
    });
    await using rig = await rigOf(task);
    const { calls, deadLetters } = rig.dispatcher;
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(1_000);
    assert.equal((await calls.get(call.id))?.status, 'deadLettered');
    isWell = true;
    await deadLetters.resubmit(call.id);
    await settle();
    assert.equal((await calls.get(call.id))?.status, 'completed');
    await rig.clock.advance(10);
    assert.equal(await calls.get(call.id), undefined);
  }),
);

test(
  'a call that is not kept any more is as one that never was: its id can be used again',
  withLeakCheck(async () => {
    let runs = 0;
    const task = defineTask({ name: 'task', retain: { completed: 100 }, run: () => ++runs });
    await using rig = await rigOf(task);
    const submit = () => rig.dispatcher.call(task, undefined, { id: 'mine' });
    assert.equal(await submit(), 1);
    await rig.clock.advance(99);
    assert.equal(await submit(), 1);
    await rig.clock.advance(1);
    assert.equal(await submit(), 2);
  }),
);

test(
  'calls that have ended can be removed by hand; those that have not stay',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', run: () => {} });
    await using rig = await rigOf(task);
    const { dispatcher } = rig;
    const done = await dispatcher.submit(task, undefined);
    const later = await dispatcher.submit(task, undefined, { delayMs: 10 });
    await done.result;
    assert.deepEqual(await dispatcher.calls.remove({ task: 'task' }), [done.id]);
    assert.deepEqual(
      (await dispatcher.calls.history()).map(({ id }) => id),
      [later.id],
    );
  }),
);
