/** What becomes of calls with one key: `onDuplicate`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Call,
  type CallContext,
  DuplicateCallError,
  defineTask,
  type TaskDefinition,
} from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { failureOf, fetchAndDie, pause, rigOf, settle, statesOf } from './kit.ts';

interface Input {
  readonly key: string;
  readonly name: string;
}
type Rules = Pick<
  TaskDefinition<Input, Input, void, unknown>,
  'onDuplicate' | 'retry' | 'timeoutMs' | 'onWorkerLost' | 'deadLetter' | 'version' | 'name'
>;

/** Runs that take 10 ms, and when each began: `${name} at ${time}`. No two of one key may be alive at once. */
class Keyed {
  readonly clock = new VirtualClock();
  readonly starts: string[] = [];
  /** How long runs take, by name. */
  readonly ms = new Map<string, number>();
  /** Which runs fail: by name and attempt. */
  readonly failures = new Set<string>();
  isExclusive = true;
  readonly #alive = new Set<string>();

  task(rules: Partial<Rules>) {
    return defineTask({
      name: 'task',
      key: ({ key }: Input) => key,
      ...rules,
      run: async ({ attempt }: CallContext, { key, name }: Input) => {
        this.starts.push(`${name} at ${this.clock.now()}`);
        assert.ok(!this.isExclusive || !this.#alive.has(key), `two of ${key} are alive`);
        this.#alive.add(key);
        await pause(this.clock, this.ms.get(name) ?? 10);
        this.#alive.delete(key);
        if (this.failures.has(`${name}${attempt}`)) throw new Error('boom');
      },
    });
  }
}

function named(...names: string[]): Input[] {
  return names.map((name) => ({ key: 'k', name }));
}

async function assertGaveWay(call: Call<unknown>, other: Call<unknown>): Promise<void> {
  const failure = await failureOf(call);
  assert.ok(failure instanceof DuplicateCallError);
  assert.ok(failure.message.includes(other.id), failure.message);
  assert.equal(call.status, 'discarded');
}

test(
  'parallel, the default: calls alike run beside each other',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.isExclusive = false;
    const task = defineTask({ name: 'task', run: (ctx: CallContext) => void keyed.starts.push(ctx.id) });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const calls = await rig.dispatcher.submitMany(task, [1, 1]);
    await settle();
    assert.deepEqual(
      keyed.starts,
      calls.map(({ id }) => id),
    );
  }),
);

// ---- serial ----------------------------------------------------------------------------------------------------------

test(
  'serial: one after the other in their order, all of them; other keys beside them',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'serial' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const calls = await rig.dispatcher.submitMany(task, [...named('a', 'b', 'c'), { key: 'other', name: 'o' }]);
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'held', 'held', 'started']);
    await keyed.clock.advance(100);
    assert.deepEqual(keyed.starts, ['a at 0', 'o at 0', 'b at 10', 'c at 20']);
    for (const status of statesOf(calls)) assert.equal(status, 'completed');
  }),
);

test(
  'without a key of its own, inputs alike have one, whatever the order of their properties',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'task',
      onDuplicate: 'discard',
      run: (_ctx, input: object) => JSON.stringify(input),
    });
    await using rig = await rigOf(task, { clock });
    const calls = await rig.dispatcher.submitMany(task, [{ a: 1, b: { c: 2, d: 3 } }, { b: { d: 3, c: 2 }, a: 1 }, {}]);
    await settle();
    assert.deepEqual(statesOf(calls), ['completed', 'discarded', 'completed']);
  }),
);

test(
  'keys are of a task: another one may have the same, another version may not',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'serial' });
    const newer = keyed.task({ onDuplicate: 'serial', version: 2 });
    const other = defineTask({ name: 'other', onDuplicate: 'serial', key: () => 'k', run: () => {} });
    await using rig = await rigOf([task, newer, other], { clock: keyed.clock });
    const calls = [
      await rig.dispatcher.submit(task, { key: 'k', name: 'a' }),
      await rig.dispatcher.submit(newer, { key: 'k', name: 'b' }),
      await rig.dispatcher.submit(other, undefined),
    ];
    await settle();
    assert.deepEqual(statesOf(calls), ['started', 'held', 'completed']);
  }),
);

test(
  'serial: a call keeps its key through its retries, and the pauses between them',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.failures.add('a1').add('a2');
    const task = keyed.task({ onDuplicate: 'serial', retry: { attempts: 3, backoff: 'constant', baseMs: 100 } });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const [a, b] = await rig.dispatcher.submitMany(task, named('a', 'b'));
    await keyed.clock.advance(50);
    assert.deepEqual(statesOf([a!, b!]), ['scheduled', 'held']);
    await keyed.clock.advance(500);
    assert.deepEqual(keyed.starts, ['a at 0', 'a at 110', 'a at 220', 'b at 230']);
  }),
);

test(
  'serial: the next comes when the one before has failed, and not before its function has returned',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.ms.set('deaf', 1_000);
    keyed.ms.set('canceled', 1_000);
    keyed.failures.add('fails1');
    const task = keyed.task({ onDuplicate: 'serial', timeoutMs: 500 });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const calls = await rig.dispatcher.submitMany(task, named('deaf', 'canceled', 'fails', 'last'));
    await keyed.clock.advance(1_100);
    await calls[1]!.cancel();
    await keyed.clock.advance(2_000);
    assert.deepEqual(keyed.starts, ['deaf at 0', 'canceled at 1000', 'fails at 2000', 'last at 2010']);
    assert.deepEqual(statesOf(calls), ['timedOut', 'canceled', 'failed', 'completed']);
  }),
);

test(
  'serial: one that is held can be canceled, and those after it come in its place',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'serial' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const calls = await rig.dispatcher.submitMany(task, named('a', 'b', 'c'));
    await calls[1]!.cancel('not needed');
    assert.equal(calls[1]!.status, 'canceled');
    await keyed.clock.advance(100);
    assert.deepEqual(keyed.starts, ['a at 0', 'c at 10']);
  }),
);

test(
  'serial: a delayed call takes its key when it is due',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.ms.set('now', 100);
    const task = keyed.task({ onDuplicate: 'serial' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const later = await rig.dispatcher.submit(task, { key: 'k', name: 'later' }, { delayMs: 50 });
    const now = await rig.dispatcher.submit(task, { key: 'k', name: 'now' });
    await keyed.clock.advance(40);
    assert.deepEqual(statesOf([later, now]), ['scheduled', 'started']);
    await keyed.clock.advance(20);
    assert.deepEqual(statesOf([later, now]), ['held', 'started']);
    await keyed.clock.advance(100);
    assert.deepEqual(keyed.starts, ['now at 0', 'later at 100']);
  }),
);

for (const [onWorkerLost, starts] of [
  ['retry', ['a at 1000', 'b at 1010']],
  ['fail', ['b at 1000']],
] as const) {
  test(
    `serial: who dies with a key doesn't keep it for ever (onWorkerLost: ${onWorkerLost})`,
    withLeakCheck(async () => {
      const keyed = new Keyed();
      const task = keyed.task({ onDuplicate: 'serial', onWorkerLost });
      await using rig = await rigOf(task, { clock: keyed.clock, queues: { other: {} } });
      const calls = await rig.dispatcher.submitMany(task, named('a', 'b'));
      await fetchAndDie(rig.engine, 9, 1_000);
      await rig.dispatcher.setQueues({ default: {} });
      await keyed.clock.advance(999);
      assert.deepEqual(keyed.starts, [], 'nobody knows yet');
      await keyed.clock.advance(500);
      assert.deepEqual(keyed.starts, starts);
      assert.deepEqual(statesOf(calls), [onWorkerLost === 'retry' ? 'completed' : 'failed', 'completed']);
    }),
  );
}

test(
  'serial: a dead letter that comes to life waits its turn',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.failures.add('a1');
    const task = keyed.task({ onDuplicate: 'serial', deadLetter: true });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const [a] = await rig.dispatcher.submitMany(task, named('a'));
    await keyed.clock.advance(20);
    assert.equal(a!.status, 'deadLettered');
    keyed.failures.clear();
    const [b] = await rig.dispatcher.submitMany(task, named('b'));
    await rig.dispatcher.deadLetters.resubmit(a!.id);
    assert.equal((await rig.dispatcher.calls.get(a!.id))?.status, 'held');
    await keyed.clock.advance(100);
    assert.equal(b!.status, 'completed');
    assert.deepEqual(keyed.starts, ['a at 0', 'b at 20', 'a at 30']);
  }),
);

// ---- discard ---------------------------------------------------------------------------------------------------------

test(
  'discard: while there is one of the key, queued, running or between two attempts, no other comes',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.failures.add('first1');
    const task = keyed.task({ onDuplicate: 'discard', retry: { attempts: 2, backoff: 'constant', baseMs: 100 } });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const submit = (name: string) => rig.dispatcher.submit(task, { key: 'k', name });
    const [first, whileQueued] = await rig.dispatcher.submitMany(task, named('first', 'whileQueued'));
    await settle();
    assert.equal(first!.status, 'started');
    const whileRunning = await submit('whileRunning');
    await keyed.clock.advance(50);
    assert.equal(first!.status, 'scheduled');
    const whilePausing = await submit('whilePausing');
    for (const call of [whileQueued!, whileRunning, whilePausing]) await assertGaveWay(call, first!);
    await keyed.clock.advance(100);
    assert.equal(first!.status, 'completed');
    const after = await submit('after');
    await keyed.clock.advance(100);
    assert.equal(after.status, 'completed');
    assert.deepEqual(keyed.starts, ['first at 0', 'first at 110', 'after at 150']);
  }),
);

test(
  'discard: a delayed call gives way when it is due, if it has to',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.ms.set('now', 100);
    const task = keyed.task({ onDuplicate: 'discard' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const soon = await rig.dispatcher.submit(task, { key: 'k', name: 'soon' }, { delayMs: 50 });
    const late = await rig.dispatcher.submit(task, { key: 'k', name: 'late' }, { delayMs: 200 });
    const now = await rig.dispatcher.submit(task, { key: 'k', name: 'now' });
    await keyed.clock.advance(300);
    await assertGaveWay(soon, now);
    assert.deepEqual(statesOf([late, now]), ['completed', 'completed']);
  }),
);

test(
  "discard: who dies with a key doesn't keep it for ever",
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'discard', onWorkerLost: 'fail' });
    await using rig = await rigOf(task, { clock: keyed.clock, queues: { other: {} } });
    const [a, b] = await rig.dispatcher.submitMany(task, named('a', 'b'));
    await fetchAndDie(rig.engine, 9, 1_000);
    await rig.dispatcher.setQueues({ default: {} });
    await assertGaveWay(b!, a!);
    await keyed.clock.advance(1_000);
    assert.equal(a!.status, 'failed');
    const [c] = await rig.dispatcher.submitMany(task, named('c'));
    await keyed.clock.advance(100);
    assert.equal(c!.status, 'completed');
  }),
);

test(
  'a second submission of one id is no duplicate, it is the first one again',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'discard' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const first = await rig.dispatcher.submit(task, { key: 'k', name: 'a' }, { id: 'mine' });
    const again = await rig.dispatcher.submit(task, { key: 'k', name: 'b' }, { id: 'mine' });
    await keyed.clock.advance(100);
    await Promise.all([first.result, again.result]);
    assert.deepEqual(keyed.starts, ['a at 0']);
  }),
);

// ---- queueOne --------------------------------------------------------------------------------------------------------

test(
  'queueOne: the present one and one more, which is the newest',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'queueOne' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const calls = await rig.dispatcher.submitMany(task, named('a', 'b', 'c'));
    await keyed.clock.advance(5);
    calls.push(...(await rig.dispatcher.submitMany(task, named('d'))));
    assert.deepEqual(statesOf(calls), ['started', 'discarded', 'discarded', 'held']);
    await keyed.clock.advance(7);
    assert.deepEqual(statesOf(calls).at(-1), 'started');
    calls.push(...(await rig.dispatcher.submitMany(task, named('e'))));
    await keyed.clock.advance(100);
    await assertGaveWay(calls[1]!, calls[2]!);
    await assertGaveWay(calls[2]!, calls[3]!);
    assert.deepEqual(keyed.starts, ['a at 0', 'd at 10', 'e at 20']);
  }),
);

test(
  'queueOne: the one more waits for the retries of the present one, and is replaced meanwhile',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.failures.add('a1');
    const task = keyed.task({ onDuplicate: 'queueOne', retry: { attempts: 2, backoff: 'constant', baseMs: 100 } });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const calls = await rig.dispatcher.submitMany(task, named('a', 'b'));
    await keyed.clock.advance(50);
    calls.push(...(await rig.dispatcher.submitMany(task, named('c'))));
    assert.deepEqual(statesOf(calls), ['scheduled', 'discarded', 'held']);
    await keyed.clock.advance(200);
    assert.deepEqual(keyed.starts, ['a at 0', 'a at 110', 'c at 120']);
  }),
);

test(
  'queueOne: a delayed call is the newest when it is due',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    keyed.ms.set('a', 100);
    const task = keyed.task({ onDuplicate: 'queueOne' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    const later = await rig.dispatcher.submit(task, { key: 'k', name: 'later' }, { delayMs: 50 });
    const [a, b] = await rig.dispatcher.submitMany(task, named('a', 'b'));
    await keyed.clock.advance(60);
    assert.deepEqual(statesOf([a!, b!, later]), ['started', 'discarded', 'held']);
    await keyed.clock.advance(100);
    assert.deepEqual(keyed.starts, ['a at 0', 'later at 100']);
  }),
);

test(
  "queueOne: who dies with a key doesn't keep it for ever, and the newest follows",
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'queueOne' });
    await using rig = await rigOf(task, { clock: keyed.clock, queues: { other: {} } });
    await rig.dispatcher.submitMany(task, named('a', 'b'));
    await fetchAndDie(rig.engine, 9, 1_000);
    await rig.dispatcher.submitMany(task, named('c'));
    await rig.dispatcher.setQueues({ default: {} });
    await keyed.clock.advance(2_000);
    assert.deepEqual(keyed.starts, ['a at 1000', 'c at 1010']);
  }),
);

test(
  'a key that has no calls any more is as one that never had any',
  withLeakCheck(async () => {
    const keyed = new Keyed();
    const task = keyed.task({ onDuplicate: 'queueOne' });
    await using rig = await rigOf(task, { clock: keyed.clock });
    for (let i = 0; i < 3; i++) {
      const [call] = await rig.dispatcher.submitMany(task, named(`${i}`));
      await keyed.clock.advance(10);
      assert.equal(call!.status, 'completed');
    }
  }),
);
