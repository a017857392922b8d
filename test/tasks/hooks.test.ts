/** What is called around submissions and runs, and who may make and run calls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  type Call,
  type DispatcherOptions,
  type Draft,
  defineTask,
  ForbiddenError,
  InvalidInputError,
  InvalidOutputError,
  memoryEngine,
  NotRegisteredError,
  type Principal,
  type RunInfo,
  SkipTask,
  SubmitStoppedError,
} from '../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { failureOf, noop, rigOf, settle, statesOf, untilCanceled, within } from './kit.ts';

const echo = defineTask({ name: 'echo', overridable: ['priority'], run: (_ctx, input: unknown) => input });

// ---- beforeSubmit ----------------------------------------------------------------------------------------------------

test(
  'beforeSubmit sees every submission: one, one of many, one of a running call',
  withLeakCheck(async () => {
    const drafts: unknown[] = [];
    const parent = defineTask({
      name: 'parent',
      version: 2,
      run: async (ctx) => {
        await ctx.submit(echo, 'child', { delayMs: 1_000 });
      },
    });
    await using rig = await rigOf([echo, parent], {
      beforeSubmit: ({ task, version, input, options }) => {
        drafts.push([task, version, input, options]);
      },
    });
    await rig.dispatcher.submit(echo, 'one', { priority: 3 });
    await rig.dispatcher.submitMany(echo, ['a', 'b']);
    await rig.dispatcher.submit(parent, 0);
    await settle();
    assert.deepEqual(drafts, [
      ['echo', 1, 'one', { priority: 3 }],
      ['echo', 1, 'a', {}],
      ['echo', 1, 'b', {}],
      ['parent', 2, 0, {}],
      ['echo', 1, 'child', { delayMs: 1_000 }],
    ]);
  }),
);

test(
  'what beforeSubmit changes is what is submitted, checked as if it had been given so, and changes nothing else',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', input: z.object({ n: z.number() }), run: (_ctx, input) => input });
    let change: (draft: Draft) => unknown = noop;
    await using rig = await rigOf([task, echo], { beforeSubmit: async (draft) => change(draft) });
    const options = { delayMs: 5 };
    change = (draft) => {
      draft.input = { n: 2 };
      (draft.options as { delayMs?: number }).delayMs = 100;
    };
    const changed = await rig.dispatcher.submit(task, { n: 1 }, options);
    assert.deepEqual([changed.info.input, changed.info.dueAt, options], [{ n: 2 }, 100, { delayMs: 5 }]);
    change = (draft) => {
      (draft.options as { id?: string }).id = 'given';
    };
    assert.equal((await rig.dispatcher.submit(echo, 1)).id, 'given');
    change = noop;
    assert.notEqual((await rig.dispatcher.submit(echo, 1)).id, 'given');
    change = (draft) => {
      draft.input = { n: 'wrong' };
    };
    await assert.rejects(rig.dispatcher.submit(task, { n: 1 }), InvalidInputError);
    change = (draft) => {
      draft.options = { priority: 9 };
    };
    await assert.rejects(rig.dispatcher.submit(task, { n: 1 }), /priority is fixed by the definition/);
    change = noop;
    for (const wrong of [null, 7, 'no']) {
      await assert.rejects(rig.dispatcher.submit(echo, 1, wrong as never), TypeError);
    }
  }),
);

test(
  'beforeSubmit stops a submission by false or by throwing, and nothing is stored, of many nothing either',
  withLeakCheck(async () => {
    const error = new Error('quota is used up');
    await using rig = await rigOf(echo, {
      beforeSubmit: ({ input }) => {
        if (input === 'throws') throw error;
        return input !== 'stopped';
      },
    });
    await assert.rejects(rig.dispatcher.submit(echo, 'stopped'), SubmitStoppedError);
    await assert.rejects(rig.dispatcher.submit(echo, 'throws'), error);
    await assert.rejects(rig.dispatcher.submitMany(echo, ['a', 'b', 'throws']), error);
    await assert.rejects(rig.dispatcher.call(echo, 'stopped'), /has stopped the submission of echo/);
    assert.deepEqual(await rig.dispatcher.calls.history(), []);
    assert.equal(await within(rig.dispatcher.call(echo, 'fine')), 'fine');
  }),
);

// ---- around runs -----------------------------------------------------------------------------------------------------

function noted(): { readonly notes: unknown[][]; readonly hooks: Partial<DispatcherOptions> } {
  const notes: unknown[][] = [];
  return {
    notes,
    hooks: {
      beforeRun: async ({ task, attempt }, input) => void notes.push(['before', task, attempt, input]),
      afterRun: async ({ task, attempt }, output) => void notes.push(['after', task, attempt, output]),
      onError: async ({ task, attempt }, error) =>
        void notes.push(['error', task, attempt, String((error as Error).message ?? error)]),
    },
  };
}

test(
  'beforeRun, afterRun and onError are called around each attempt, and awaited before anybody knows of its end',
  withLeakCheck(async () => {
    const { notes, hooks } = noted();
    const task = defineTask({
      name: 'task',
      input: z.object({ n: z.coerce.number<string>() }),
      retry: { attempts: 2, baseMs: 0 },
      run: ({ attempt }, { n }) => {
        notes.push(['run', attempt]);
        if (attempt === 1) throw new Error('boom');
        return n;
      },
    });
    await using rig = await rigOf(task, hooks);
    const call = await rig.dispatcher.submit(task, { n: '7' });
    assert.equal(await within(call.result), 7);
    assert.deepEqual(notes, [
      ['before', 'task', 1, { n: 7 }],
      ['run', 1],
      ['error', 'task', 1, 'boom'],
      ['before', 'task', 2, { n: 7 }],
      ['run', 2],
      ['after', 'task', 2, 7],
    ]);
  }),
);

test(
  'hooks are told which run it is',
  withLeakCheck(async () => {
    const infos: RunInfo[] = [];
    const task = defineTask({ name: 'task', version: 4, queue: 'q', run: noop });
    await using rig = await rigOf(task, { beforeRun: (info) => infos.push(info) });
    const call = await rig.dispatcher.submit(task, 0);
    await settle();
    assert.deepEqual(infos, [{ id: call.id, task: 'task', version: 4, attempt: 1, queue: 'q' }]);
  }),
);

test(
  'onError hears of timeouts, stalls and skips, but not of what was canceled or handed back',
  withLeakCheck(async () => {
    const { notes, hooks } = noted();
    const hang = defineTask({ name: 'hang', timeoutMs: 10, run: untilCanceled });
    const stall = defineTask({ name: 'stall', stallAfterMs: 10, run: untilCanceled });
    const skip = defineTask({ name: 'skip', run: () => Promise.reject(new SkipTask('gone')) });
    const cancel = defineTask({ name: 'cancel', run: untilCanceled });
    await using rig = await rigOf([hang, stall, skip, cancel], hooks);
    const calls: Call[] = [];
    for (const task of [hang, stall, skip, cancel]) calls.push(await rig.dispatcher.submit(task, 0));
    await rig.clock.advance(10);
    await calls[3]!.cancel();
    await settle();
    const requeued = await rig.dispatcher.submit(cancel, 0);
    await settle();
    await rig.dispatcher.stop({ graceMs: 0 });
    assert.deepEqual(statesOf([...calls, requeued]), ['timedOut', 'stalled', 'deadLettered', 'canceled', 'queued']);
    const failed = notes.filter(([what]) => what === 'error').map(([, task]) => task);
    assert.deepEqual(failed.sort(), ['hang', 'skip', 'stall']);
  }),
);

test(
  'a beforeRun that throws fails the attempt; what afterRun and onError throw is reported, and changes nothing',
  withLeakCheck(async () => {
    let runs = 0;
    const task = defineTask({ name: 'task', retry: { attempts: 2, baseMs: 0 }, run: () => ++runs });
    const boom = (what: string) => () => {
      throw new Error(what);
    };
    let gate = boom('not yet');
    await using rig = await rigOf(task, {
      beforeRun: () => gate(),
      afterRun: boom('after'),
      onError: async () => boom('on error')(),
    });
    const reported: string[] = [];
    rig.dispatcher.on('error', (error) => reported.push((error as Error).message));
    const failed = await rig.dispatcher.submit(task, 0);
    assert.equal((await failureOf(failed)).message, 'not yet');
    assert.equal(failed.info.attempt, 2);
    assert.equal(runs, 0);
    gate = noop as never;
    assert.equal(await within(rig.dispatcher.call(task, 0)), 1);
    assert.deepEqual(reported, ['on error', 'on error', 'after']);
  }),
);

test(
  'listeners and loggers that throw or reject break nothing, and are reported where that helps',
  withLeakCheck(async () => {
    const logged: unknown[] = [];
    const logger = { debug: noop, info: noop, warn: noop, error: (what: string) => logged.push(what) };
    await using rig = await rigOf(echo, { logger, afterRun: () => Promise.reject(new Error('hook')) });
    rig.dispatcher.on('idle', () => {
      throw new Error('idle');
    });
    rig.dispatcher.on('idle', async () => {
      throw new Error('late idle');
    });
    const told: string[] = [];
    rig.dispatcher.on('error', (error) => told.push((error as Error).message));
    rig.dispatcher.on('error', async () => {
      throw new Error('error');
    });
    assert.equal(await within(rig.dispatcher.call(echo, 1)), 1);
    await settle();
    assert.deepEqual(told, ['hook', 'idle']);
    assert.deepEqual(logged, [
      'afterRun threw',
      'a listener of the idle event threw',
      'a listener of the error event rejected',
      'a listener of the error event rejected',
    ]);
    const silent = { ...logger, error: () => assert.fail('the logger throws'), warn: () => assert.fail('too') };
    await using deaf = await rigOf(echo, { logger: silent, afterRun: () => Promise.reject(new Error('hook')) });
    assert.equal(await within(deaf.dispatcher.call(echo, 1)), 1);
  }),
);

test(
  'an async listener that rejects is reported, and crashes nothing though nobody listens to errors',
  withLeakCheck(async () => {
    const logged: unknown[] = [];
    const logger = { debug: noop, info: noop, warn: noop, error: (what: string) => logged.push(what) };
    await using rig = await rigOf(echo, { logger });
    rig.dispatcher.on('idle', async () => {
      throw new Error('idle');
    });
    assert.equal(await within(rig.dispatcher.call(echo, 1)), 1);
    await settle();
    assert.deepEqual(logged, ['a listener of the idle event rejected']);
    assert.throws(() => rig.dispatcher.on('idol' as never, noop), RangeError);
    assert.throws(() => rig.dispatcher.on('idle', 7 as never), TypeError);
  }),
);

// ---- what goes in and what comes out ---------------------------------------------------------------------------------

test(
  'what comes out is what the schema makes of what was returned, and what does not fit is not tried again',
  withLeakCheck(async () => {
    const { notes, hooks } = noted();
    let returned: unknown = { n: '7', more: 1 };
    const task = defineTask({
      name: 'task',
      output: z.object({ n: z.coerce.number<string>(), tag: z.string().default('none') }),
      retry: { attempts: 5 },
      run: () => returned as { n: string },
    });
    await using rig = await rigOf(task, hooks);
    assert.deepEqual(await within(rig.dispatcher.call(task, 0)), { n: 7, tag: 'none' });
    assert.deepEqual(notes.at(-1), ['after', 'task', 1, { n: 7, tag: 'none' }]);
    returned = { n: 'seven' };
    const call = await rig.dispatcher.submit(task, 0);
    const failure = await failureOf(call);
    assert.ok(failure instanceof InvalidOutputError);
    assert.equal(failure.issues.length, 1);
    assert.deepEqual([call.status, call.info.attempt], ['failed', 1]);
    returned = { n: '7' };
    const big = defineTask({ name: 'big', retry: { attempts: 5 }, run: () => 'x'.repeat(200) });
    const odd = defineTask({ name: 'odd', retry: { attempts: 5 }, run: () => ({ a: new Map() }) });
    await using other = await rigOf([big, odd], { maxPayloadBytes: 100 });
    for (const [each, message] of [
      [big, /output takes 202 bytes as JSON, more than the 100/],
      [odd, /output\.a is an instance of Map/],
    ] as const) {
      const call = await other.dispatcher.submit<unknown>(each.name, 0);
      const failure = await failureOf(call);
      assert.ok(failure instanceof InvalidOutputError);
      assert.match(failure.message, message);
      assert.equal(call.info.attempt, 1);
    }
  }),
);

test(
  'calls run the version that they were submitted with, and else one that can migrate their input',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    const one = defineTask({ name: 'task', version: 1, run: (_ctx, name: string) => `one ${name}` });
    const two = defineTask({
      name: 'task',
      version: 2,
      input: z.object({ name: z.string() }),
      migrate: async (input, version) => ({ name: `${input} of ${version}` }),
      run: (ctx, { name }) => `two ${name}, submitted as ${ctx.version}`,
    });
    const three = defineTask({ name: 'task', version: 3, run: () => 'three' });
    await using old = await rigOf([one, two, three], { clock, engine, queues: {} });
    const calls: Call[] = [
      await old.dispatcher.submit(one, 'a'),
      await old.dispatcher.submit(two, { name: 'b' }),
      await old.dispatcher.submit('task', 'c'),
      await old.dispatcher.submit(one, 'd', { delayMs: 100 }),
    ];
    {
      await using rig = await rigOf([one, two, three], { clock, engine });
      await settle();
      assert.deepEqual(await within(Promise.all(calls.slice(0, 3).map(({ result }) => result))), [
        'one a',
        'two b, submitted as 2',
        'three',
      ]);
      await rig.dispatcher.stop();
    }
    await using rig = await rigOf([two, three], { clock, engine });
    await clock.advance(100);
    assert.equal(await within(calls[3]!.result), 'two d of 1, submitted as 1');
    await rig.dispatcher.stop();
    await using last = await rigOf([three], { clock, engine });
    const lost = await old.dispatcher.submit(one, 'e');
    await settle();
    assert.equal(lost.status, 'deadLettered');
    assert.ok((await failureOf(lost)) instanceof NotRegisteredError);
    assert.equal(last.dispatcher.state, 'running');
  }),
);

// ---- permissions -----------------------------------------------------------------------------------------------------

const ann: Principal = { name: 'ann', permissions: ['mail:send'] };
const bob: Principal = { name: 'bob', permissions: ['mail:read', 'mail:list'] };

test(
  'who may not submit a task is refused before anything is stored',
  withLeakCheck(async () => {
    const named = defineTask({ name: 'named', authorize: ['mail:read', 'mail:send'], run: noop });
    const decided = defineTask({
      name: 'decided',
      run: noop as (ctx: unknown, input: { readonly owner: string }) => void,
      authorize: async (principals, { owner }) => principals.some(({ name }) => name === owner),
    });
    await using rig = await rigOf([named, decided]);
    const { dispatcher } = rig;
    await assert.rejects(dispatcher.submit(named, 0), /^ForbiddenError: nobody may not run named/);
    await assert.rejects(dispatcher.submit(named, 0, { context: { principals: [ann] } }), (error: Error) => {
      assert.ok(error instanceof ForbiddenError);
      assert.match(error.message, /^ann may not run named/);
      return true;
    });
    await assert.rejects(
      dispatcher.submitMany(decided, [{ owner: 'ann' }, { owner: 'bob' }], { context: { principals: [ann] } }),
      ForbiddenError,
    );
    assert.deepEqual(await dispatcher.calls.history(), []);
    await dispatcher.submit(named, 0, { context: { principals: [ann, bob] } });
    await dispatcher.submit(decided, { owner: 'ann' }, { context: { principals: [ann] } });
    await settle();
    assert.equal((await dispatcher.calls.count()).completed, 2);
  }),
);

test(
  'who may not run a task any more, or never could but for another dispatcher, is refused before it runs',
  withLeakCheck(async () => {
    const clock = new VirtualClock();
    const engine = memoryEngine({ clock });
    let mayRun = true;
    let runs = 0;
    const task = defineTask({ name: 'task', retry: { attempts: 5 }, authorize: () => mayRun, run: () => ++runs });
    await using rig = await rigOf(task, { clock, engine });
    const call = await rig.dispatcher.submit(task, 0, { delayMs: 100, context: { principals: [ann] } });
    mayRun = false;
    await clock.advance(100);
    const failure = await failureOf(call);
    assert.ok(failure instanceof ForbiddenError);
    assert.deepEqual([call.status, call.info.attempt, runs], ['failed', 1, 0]);
    const lax = defineTask({ name: 'strict', run: noop });
    const strict = defineTask({ name: 'strict', authorize: ['all'], deadLetter: true, run: () => assert.fail() });
    await using other = await rigOf(lax, { clock, engine, queues: {} });
    rig.dispatcher.tasks.add(strict);
    const smuggled = await other.dispatcher.submit(lax, 0, { context: { principals: [bob] } });
    await settle();
    assert.equal(smuggled.status, 'deadLettered');
    assert.ok((await failureOf(smuggled)) instanceof ForbiddenError);
  }),
);
