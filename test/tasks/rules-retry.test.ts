/** Which failures are tried again, how often, and when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BackoffFunction, DeadlineExceededError, type RetryPolicy } from '../../src/index.ts';
import { type CallContext, defineTask, SkipTask } from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { deferred, failureOf, passing, pause, rigOf, settle, untilCanceled } from './kit.ts';

// ---- when ------------------------------------------------------------------------------------------------------------

/** When the attempts of a call begin that fails each time, under this policy. */
async function startsOf(retry: RetryPolicy): Promise<number[]> {
  const clock = new VirtualClock();
  const starts: number[] = [];
  const task = defineTask({
    name: 'fails',
    retry,
    run: () => {
      starts.push(clock.now());
      throw new Error('boom');
    },
  });
  await using rig = await rigOf(task, { clock });
  const call = await rig.dispatcher.submit(task, undefined);
  await clock.advance(10_000);
  assert.equal(call.status, 'failed');
  assert.equal(call.info.attempt, retry.attempts);
  return starts;
}

const own: BackoffFunction = (attempt, error) => (error as Error).message.length * attempt;
const pauses: [name: string, policy: Partial<RetryPolicy>, starts: number[]][] = [
  ['constant', { backoff: 'constant' }, [0, 100, 200, 300]],
  ['linear, from the first one on', { backoff: 'linear' }, [0, 100, 300, 600]],
  ['exponential', { backoff: 'exponential' }, [0, 100, 300, 700]],
  ['exponential by default', {}, [0, 100, 300, 700]],
  ['a function of the attempt and the error', { backoff: own }, [0, 4, 12, 24]],
  ['exponential up to maxMs', { maxMs: 150 }, [0, 100, 250, 400]],
  ['linear up to maxMs', { backoff: 'linear', maxMs: 250 }, [0, 100, 300, 550]],
  ['constant, cut by maxMs', { backoff: 'constant', maxMs: 30 }, [0, 30, 60, 90]],
  ['a function up to maxMs', { backoff: () => 1e9, maxMs: 50 }, [0, 50, 100, 150]],
  ['less than a second, and no whole number', { backoff: 'constant', baseMs: 0.5 }, [0, 0.5, 1, 1.5]],
  ['none at all', { baseMs: 0 }, [0, 0, 0, 0]],
];
for (const [name, policy, expected] of pauses) {
  test(
    `the pauses between attempts: ${name}`,
    withLeakCheck(async () => {
      assert.deepEqual(await startsOf({ attempts: 4, baseMs: 100, ...policy }), expected);
    }),
  );
}

const jitters: [jitter: 'none' | 'full' | 'equal', starts: number[]][] = [
  ['none', [0, 100, 300]],
  ['full', [0, 25, 75]],
  ['equal', [0, 62.5, 187.5]],
];
for (const [jitter, expected] of jitters) {
  test(
    `the pauses between attempts, with jitter '${jitter}' and a quarter drawn`,
    withLeakCheck(async (t) => {
      t.mock.method(Math, 'random', () => 0.25);
      assert.deepEqual(await startsOf({ attempts: 3, baseMs: 100, jitter }), expected);
    }),
  );
}

test(
  'jitter is drawn from what maxMs has left',
  withLeakCheck(async (t) => {
    t.mock.method(Math, 'random', () => 0.25);
    assert.deepEqual(await startsOf({ attempts: 3, baseMs: 1_000, maxMs: 100, jitter: 'full' }), [0, 25, 50]);
  }),
);

test(
  'a call between two attempts is scheduled, says when it is due, and takes no worker',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'fails once',
      retry: { attempts: 2, baseMs: 700 },
      run: ({ attempt }) => {
        if (attempt === 1) throw new Error('boom');
      },
    });
    const other = defineTask({ name: 'other', run: () => 'other' });
    await using rig = await rigOf([task, other], { concurrency: 1 });
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(1);
    assert.equal(call.status, 'scheduled');
    assert.equal(call.info.dueAt, 700);
    assert.equal((call.info.error as Error).message, 'boom');
    const meanwhile = await rig.dispatcher.submit(other, undefined);
    await settle();
    assert.equal(meanwhile.status, 'completed');
    await rig.clock.advance(700);
    assert.equal(call.status, 'completed');
    assert.equal(call.info.dueAt, undefined);
  }),
);

test(
  'a retry goes before what was submitted after it',
  withLeakCheck(async () => {
    const order: string[] = [];
    const gate = deferred();
    const task = defineTask({
      name: 'task',
      retry: { attempts: 2, baseMs: 10 },
      run: async ({ attempt }, name: string) => {
        order.push(`${name}${attempt}`);
        if (name === 'a' && attempt === 1) throw new Error('boom');
        if (name === 'b') await gate.promise;
      },
    });
    await using rig = await rigOf(task, { concurrency: 1 });
    await rig.dispatcher.submitMany(task, ['a', 'b', 'c']);
    await rig.clock.advance(100);
    gate.resolve();
    await settle();
    assert.deepEqual(order, ['a1', 'b1', 'a2', 'c1']);
  }),
);

// ---- which -----------------------------------------------------------------------------------------------------------

test(
  'without a retry there is one attempt, and the call fails with its error',
  withLeakCheck(async () => {
    const error = new RangeError('boom', { cause: 'something' });
    const task = defineTask({
      name: 'fails',
      run: () => {
        throw error;
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    const failure = await failureOf(call);
    assert.ok(failure instanceof RangeError);
    assert.equal(failure.message, 'boom');
    assert.equal(failure.cause, 'something');
    assert.equal(call.status, 'failed');
    assert.equal(call.info.attempt, 1);
  }),
);

test(
  'a call that fails for good rejects with the error of its last attempt',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'fails',
      retry: { attempts: 3, baseMs: 0 },
      run: ({ attempt }) => {
        throw new Error(`boom ${attempt}`);
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    assert.equal((await failureOf(call)).message, 'boom 3');
  }),
);

test(
  'retryIf decides by the error and the attempt',
  withLeakCheck(async () => {
    const asked: [string, number][] = [];
    const task = defineTask({
      name: 'fails',
      retry: {
        attempts: 9,
        baseMs: 0,
        retryIf: (error, attempt) => {
          asked.push([(error as Error).message, attempt]);
          return attempt < 2;
        },
      },
      run: ({ attempt }) => {
        throw new Error(`boom ${attempt}`);
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await failureOf(call);
    assert.equal(call.status, 'failed');
    assert.deepEqual(asked, [
      ['boom 1', 1],
      ['boom 2', 2],
    ]);
  }),
);

test(
  'a retryIf that throws counts as no, and is told',
  withLeakCheck(async () => {
    const thrown = new Error('retryIf is broken');
    const task = defineTask({
      name: 'fails',
      retry: {
        attempts: 9,
        retryIf: () => {
          throw thrown;
        },
      },
      run: () => {
        throw new Error('boom');
      },
    });
    await using rig = await rigOf(task);
    const reported: unknown[] = [];
    rig.dispatcher.on('error', (error) => reported.push(error));
    const call = await rig.dispatcher.submit(task, undefined);
    assert.equal((await failureOf(call)).message, 'boom');
    assert.deepEqual(reported, [thrown]);
  }),
);

test(
  'SkipTask makes a dead letter at once, whatever the definition says',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'skips',
      retry: { attempts: 9, retryIf: () => assert.fail('asked in vain') },
      deadLetter: false,
      run: () => {
        throw new SkipTask('the page is gone');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    const failure = await failureOf(call);
    assert.ok(failure instanceof SkipTask);
    assert.equal(failure.message, 'the page is gone');
    assert.equal(call.status, 'deadLettered');
    assert.deepEqual(
      (await rig.dispatcher.deadLetters.list()).map(({ id, attempt }) => [id, attempt]),
      [[call.id, 1]],
    );
  }),
);

test(
  'a call that has used up its attempts is a dead letter where the definition says so, and can have them again',
  withLeakCheck(async () => {
    let isWell = false;
    const task = defineTask({
      name: 'fails',
      retry: { attempts: 2, baseMs: 0 },
      deadLetter: true,
      run: ({ attempt }) => {
        if (!isWell) throw new Error(`boom ${attempt}`);
        return attempt;
      },
    });
    await using rig = await rigOf(task);
    const { deadLetters } = rig.dispatcher;
    const call = await rig.dispatcher.submit(task, undefined);
    assert.equal((await failureOf(call)).message, 'boom 2');
    assert.equal(call.status, 'deadLettered');
    await deadLetters.resubmit(call.id, { resetAttempts: false });
    await settle();
    assert.equal((await deadLetters.get(call.id))?.attempt, 3, 'one more');
    isWell = true;
    await deadLetters.resubmit(call.id);
    await settle();
    const again = await rig.dispatcher.calls.get<number>(call.id);
    assert.equal(await again?.result, 1, 'all of them again');
  }),
);

test(
  'the number of attempts can be another for one call, where the definition lets it be',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'fails',
      retry: { attempts: 2, baseMs: 0 },
      overridable: ['attempts'],
      run: () => {
        throw new Error('boom');
      },
    });
    await using rig = await rigOf(task);
    const calls = [
      await rig.dispatcher.submit(task, undefined, { attempts: 1 }),
      await rig.dispatcher.submit(task, undefined),
      await rig.dispatcher.submit(task, undefined, { attempts: 5 }),
    ];
    for (const call of calls) await failureOf(call);
    assert.deepEqual(
      calls.map(({ info }) => info.attempt),
      [1, 2, 5],
    );
  }),
);

test(
  'attempts can be without end, until the call is canceled',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'fails',
      retry: { attempts: Number.POSITIVE_INFINITY, backoff: 'constant', baseMs: 1 },
      run: () => {
        throw new Error('boom');
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(50);
    assert.equal(call.info.attempt, 51);
    await call.cancel('enough');
    assert.equal(call.status, 'canceled');
    await rig.clock.advance(50);
    assert.equal(call.info.attempt, 51);
  }),
);

// ---- timeouts --------------------------------------------------------------------------------------------------------

test(
  'a timeout fires the signal, and the call ends as timed out',
  withLeakCheck(async () => {
    const contexts: CallContext[] = [];
    const task = defineTask({
      name: 'hangs',
      timeoutMs: 250,
      run: async (ctx) => {
        contexts.push(ctx);
        await untilCanceled(ctx);
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(249);
    assert.equal(call.status, 'started');
    assert.equal(contexts[0]!.deadline, 250);
    assert.equal(contexts[0]!.signal.aborted, false);
    await rig.clock.advance(1);
    assert.equal(contexts[0]!.signal.reason.name, 'TimeoutError');
    assert.equal(call.status, 'timedOut');
    assert.ok((await failureOf(call)) instanceof DeadlineExceededError);
  }),
);

test(
  'the time of each attempt is counted from its start, not from the submission',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'slow',
      timeoutMs: 100,
      run: () => pause(clock, 90),
    });
    await using rig = await rigOf(task, { clock, concurrency: 1 });
    const calls = await rig.dispatcher.submitMany(task, [1, 2, 3]);
    await clock.advance(300);
    for (const call of calls) assert.equal(call.status, 'completed');
  }),
);

test(
  'timeouts are retried as failures are, and the last one makes the call timed out',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const starts: number[] = [];
    const task = defineTask({
      name: 'hangs',
      timeoutMs: 100,
      retry: { attempts: 3, backoff: 'constant', baseMs: 50 },
      run: async (ctx) => {
        starts.push(clock.now());
        await untilCanceled(ctx);
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(1_000);
    assert.deepEqual(starts, [0, 150, 300]);
    assert.equal(call.status, 'timedOut');
    assert.equal(call.info.endedAt, 400);
  }),
);

test(
  'what timed out in an early attempt and fails in the last one has failed',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'hangs, then fails',
      timeoutMs: 100,
      retry: { attempts: 2, baseMs: 0 },
      run: async (ctx) => {
        if (ctx.attempt === 2) throw new Error('boom');
        await untilCanceled(ctx);
      },
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(200);
    assert.equal(call.status, 'failed');
  }),
);

test(
  'what a run returns after its timeout comes too late',
  withLeakCheck(async () => {
    const gate = deferred();
    const task = defineTask({
      name: 'slow',
      timeoutMs: 100,
      run: () => gate.promise.then(() => 'late'),
    });
    await using rig = await rigOf(task);
    const call = await rig.dispatcher.submit(task, undefined);
    await rig.clock.advance(100);
    assert.equal(call.status, 'started', 'its function lives on');
    gate.resolve();
    await settle();
    assert.equal(call.status, 'timedOut');
    assert.equal(call.info.output, undefined);
  }),
);

test(
  'a retry never runs beside the run before it, however long that ignores its timeout',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    let alive = 0;
    let most = 0;
    const task = defineTask({
      name: 'deaf',
      timeoutMs: 10,
      retry: { attempts: 3, baseMs: 0 },
      run: async () => {
        most = Math.max(most, ++alive);
        await pause(clock, 1_000);
        alive--;
      },
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(5_000);
    assert.equal(call.status, 'timedOut');
    assert.equal(call.info.endedAt, 3_000);
    assert.equal(most, 1);
  }),
);

test(
  'a run that has timed out, and ignores it, is not forgiven by a stop',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const task = defineTask({
      name: 'deaf',
      timeoutMs: 10,
      run: () => pause(clock, 500),
    });
    await using rig = await rigOf(task, { clock });
    const call = await rig.dispatcher.submit(task, undefined);
    await clock.advance(20);
    const summary = await passing(clock, rig.dispatcher.stop({ graceMs: 0 }));
    assert.equal(call.status, 'timedOut');
    assert.deepEqual(summary, { completed: 0, failed: 1, canceled: 0, requeued: 0, left: 0 });
  }),
);

test(
  'the timeout can be another for one call, where the definition lets it be',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'hangs', timeoutMs: 100, overridable: ['timeoutMs'], run: untilCanceled });
    await using rig = await rigOf(task);
    const calls = [
      await rig.dispatcher.submit(task, undefined, { timeoutMs: 10 }),
      await rig.dispatcher.submit(task, undefined),
      await rig.dispatcher.submit(task, undefined, { timeoutMs: 300 }),
    ];
    await rig.clock.advance(1_000);
    assert.deepEqual(
      calls.map(({ info }) => info.endedAt),
      [10, 100, 300],
    );
  }),
);
