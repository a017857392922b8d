/** Schedules fire at their times: what is submitted then, by which rules, and what their handles say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { ForbiddenError, InvalidInputError, SubmitStoppedError } from '../../../src/tasks/errors.ts';
import { type CallContext, type Draft, defineTask, type Task } from '../../../src/tasks/index.ts';
import { VirtualClock, withLeakCheck } from '../../../src/testing/index.ts';
import { deferred, echo, settle } from '../kit.ts';
import { clockAt, HOUR, MINUTE, noted, partyOf, SECOND, timeOf } from './kit.ts';

test(
  'a cron schedule fires at its times, however long the dispatcher has been up, and tells of each',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    const schedule = await dispatcher.schedule('*/20 * * * *', noted, { to: 'all' });
    assert.equal(schedule.name, 'noted:1 cron */20 * * * * in UTC');
    assert.equal(schedule.task, 'noted');
    assert.equal(timeOf(schedule.next()), '01-01 00:20:00');
    await dispatcher.start();
    await party.clock.advance(20 * MINUTE - 1);
    assert.deepEqual(await party.fired(), []);
    await party.clock.advance(1);
    assert.deepEqual(await party.fired(), ['01-01 00:20:00']);
    await party.clock.advance(HOUR);
    assert.deepEqual(await party.fired(), ['01-01 00:20:00', '01-01 00:40:00', '01-01 01:00:00', '01-01 01:20:00']);
    assert.deepEqual(
      party.ticks.map(({ at }) => timeOf(at)),
      await party.fired(),
    );
    assert.equal(timeOf(schedule.next()), '01-01 01:40:00');
    const [first] = party.ticks;
    assert.deepEqual(first, {
      schedule: schedule.name,
      at: new Date('2026-01-01T00:20:00Z'),
      outcome: 'fired',
      callId: `schedule:${schedule.name}@2026-01-01T00:20:00.000Z`,
      latencyMs: 0,
    });
    const call = await dispatcher.calls.get(first!.callId!);
    assert.deepEqual(await call!.result, { to: 'all' });
  }),
);

test(
  'a cron schedule goes by its time zone on the days when clocks are set',
  withLeakCheck(async () => {
    await using party = partyOf(noted, clockAt('2026-03-29T00:10:00Z'));
    const dispatcher = party.join();
    await dispatcher.start();
    await dispatcher.schedule('30 2 * * *', noted, 0, { timeZone: 'Europe/Berlin' });
    await dispatcher.schedule('0 * * * *', noted, 0, { timeZone: 'Europe/Berlin' });
    await party.clock.advance(2 * HOUR);
    assert.deepEqual(await party.fired(), ['03-29 01:00:00', '03-29 01:00:00', '03-29 02:00:00']);
    await using later = partyOf(noted, clockAt('2026-10-25T00:10:00Z'));
    const other = later.join();
    await other.start();
    await other.schedule('30 2 * * *', noted, 0, { timeZone: 'Europe/Berlin' });
    await other.schedule('0 * * * *', noted, 0, { timeZone: 'Europe/Berlin' });
    await later.clock.advance(2 * HOUR);
    assert.deepEqual(await later.fired(), ['10-25 00:30:00', '10-25 01:00:00', '10-25 02:00:00']);
  }),
);

test(
  'a period begins when the engine first hears of it, and goes on by its own grid',
  withLeakCheck(async () => {
    await using party = partyOf(noted, clockAt('2026-01-01T00:00:07Z'));
    const first = party.join();
    const schedule = await first.every(10 * SECOND, noted, 'beat');
    assert.equal(schedule.next(), undefined, 'nobody has asked the engine yet');
    await party.clock.advance(HOUR);
    assert.deepEqual(await party.fired(), [], 'it has not been started');
    await first.start();
    await party.clock.advance(25 * SECOND);
    assert.deepEqual(await party.fired(), ['01-01 01:00:17', '01-01 01:00:27']);
    assert.equal(timeOf(schedule.next()), '01-01 01:00:37');
    const second = party.join();
    await second.start();
    const same = await second.every(10 * SECOND, noted, 'beat');
    await party.clock.advance(SECOND);
    assert.equal(timeOf(same.next()), '01-01 01:00:37');
    await first.stop();
    await party.clock.advance(10 * SECOND);
    assert.equal((await party.fired()).at(-1), '01-01 01:00:37');
  }),
);

test(
  'at the start of each dispatcher its own call is submitted, once',
  withLeakCheck(async () => {
    await using party = partyOf();
    const before = party.join();
    const schedule = await before.onStart(noted, ({ at }) => timeOf(at), { name: 'hello' });
    await party.clock.advance(MINUTE);
    assert.deepEqual(await party.fired(), []);
    await before.start();
    await party.clock.advance(HOUR);
    assert.deepEqual(await party.fired(), ['01-01 00:01:00']);
    assert.equal(schedule.next(), undefined);
    const after = party.join();
    await after.start();
    await after.onStart(noted, 'late', { name: 'hello' });
    await party.clock.advance(MINUTE);
    assert.deepEqual(await party.fired(), ['01-01 00:01:00', '01-01 01:01:00']);
    assert.deepEqual(
      party.ticks.map((tick) => [tick.schedule, tick.outcome]),
      [
        ['hello', 'fired'],
        ['hello', 'fired'],
      ],
    );
  }),
);

test(
  'a schedule gives its task the tick: as an input, and along with it',
  withLeakCheck(async () => {
    const seen: unknown[] = [];
    const task = defineTask({
      name: 'task',
      run: ({ headers, principals }: CallContext, input: { readonly day: string }) => {
        seen.push([input.day, headers, principals]);
      },
    });
    await using party = partyOf(task);
    const dispatcher = party.join();
    await dispatcher.start();
    const principals = [{ name: 'cron' }];
    await dispatcher.schedule(
      '@daily',
      task,
      async ({ at, schedule }) => ({ day: `${schedule} ${at.toISOString().slice(0, 10)}` }),
      { name: 'nightly', context: { principals, headers: { locale: 'de' } } },
    );
    party.clock.jump(23 * HOUR + 59 * MINUTE);
    await party.clock.advance(MINUTE);
    const headers = { locale: 'de', schedule: 'nightly', 'scheduled-at': '2026-01-02T00:00:00.000Z' };
    assert.deepEqual(seen, [['nightly 2026-01-02', headers, principals]]);
  }),
);

test(
  'what a submission may override, a schedule may; all else is by the definition',
  withLeakCheck(async () => {
    const task = defineTask({
      name: 'task',
      overridable: ['priority', 'queue'],
      priority: 1,
      retain: { completed: 0 },
      run: () => {},
    });
    await using party = partyOf(task);
    const dispatcher = party.join({ queues: { other: {} } });
    await dispatcher.start();
    await dispatcher.every(MINUTE, task, undefined, { name: 'a', priority: 7, queue: 'elsewhere' });
    await party.clock.advance(MINUTE);
    const [record] = await party.engine.scan({});
    assert.equal(record!.priority, 7);
    assert.equal(record!.queue, 'elsewhere');
    assert.deepEqual(record!.retention, { completedMs: 600_000, failedMs: 86_400_000 });
    await assert.rejects(dispatcher.every(MINUTE, task, undefined, { timeoutMs: 5 }), /timeoutMs is fixed by/);
  }),
);

test(
  'every submission of a schedule goes through the hook, but not its making; one that is refused is told, and no end',
  withLeakCheck(async () => {
    const drafts: Draft[] = [];
    let isOpen = true;
    const task = defineTask({
      name: 'task',
      authorize: () => isOpen,
      run: () => {},
    });
    await using party = partyOf(task);
    const dispatcher = party.join({
      beforeSubmit: (draft) => {
        drafts.push(draft);
        return draft.input !== 2;
      },
    });
    await dispatcher.start();
    let n = -1;
    const input = () => {
      if (++n === 1) throw new Error('no input');
      return n;
    };
    await dispatcher.every(MINUTE, task, input, { name: 'task' });
    assert.equal(drafts.length, 0);
    await party.clock.advance(2 * MINUTE);
    isOpen = false;
    await party.clock.advance(MINUTE);
    isOpen = true;
    await party.clock.advance(MINUTE);
    assert.deepEqual(party.told(), [
      'refused 01-01 00:01:00',
      'refused 01-01 00:02:00',
      'refused 01-01 00:03:00',
      'fired 01-01 00:04:00',
    ]);
    const [first, ...rest] = party.errors as Error[];
    assert.ok(first instanceof InvalidInputError);
    assert.match(first.message, /the input function of schedule task threw for 2026-01-01T00:01:00.000Z: no input/);
    assert.equal((first.cause as Error).message, 'no input');
    assert.ok(rest[0] instanceof SubmitStoppedError && rest[1] instanceof ForbiddenError);
    assert.equal(drafts.length, 3);
    const { schedule, 'scheduled-at': at } = drafts[0]!.options.context!.headers!;
    assert.deepEqual([schedule, at], ['task', '2026-01-01T00:02:00.000Z']);
  }),
);

test(
  'a hook that hangs holds up its own schedule alone, and no stop',
  withLeakCheck(async () => {
    await using party = partyOf([noted, echo]);
    const hanging = deferred<boolean>();
    const dispatcher = party.join({ beforeSubmit: ({ task }) => (task === 'echo' ? hanging.promise : true) });
    await dispatcher.start();
    await dispatcher.every(MINUTE, echo, 1);
    await dispatcher.every(MINUTE, noted, 1);
    await party.clock.advance(3 * MINUTE);
    assert.equal((await party.engine.scan({ task: 'noted' })).length, 3);
    assert.equal((await party.engine.scan({ task: 'echo' })).length, 0);
    const stopped = dispatcher.stop();
    await party.clock.advance(5_000);
    await stopped;
    hanging.resolve(true);
    await settle();
    assert.equal((await party.engine.scan({ task: 'echo' })).length, 0, 'nothing is fired after a stop');
  }),
);

test(
  'a trigger fires now and changes no times; a removed schedule fires no more, and its name is free',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await dispatcher.start();
    const schedule = await dispatcher.schedule('0 * * * *', noted, ({ at }) => timeOf(at), { name: 'hourly' });
    await party.clock.advance(10 * MINUTE);
    const call = await schedule.trigger();
    await settle();
    assert.equal(await call.result, '01-01 00:10:00');
    assert.deepEqual(party.ticks, [], 'it was no tick');
    await party.clock.advance(50 * MINUTE);
    assert.deepEqual(await party.fired(), ['01-01 00:10:00', '01-01 01:00:00']);
    assert.equal(dispatcher.schedules.get('hourly'), schedule);
    schedule.remove();
    schedule.remove();
    assert.equal(schedule.next(), undefined);
    assert.equal(dispatcher.schedules.get('hourly'), undefined);
    await party.clock.advance(90 * MINUTE);
    assert.equal((await party.fired()).length, 2);
    await schedule.trigger();
    assert.equal((await party.fired()).length, 3, 'but who asks for it is given it');
    const another = await dispatcher.schedule('0 * * * *', noted, 1, { name: 'hourly' });
    schedule.remove();
    assert.deepEqual(dispatcher.schedules.list(), [another], 'the old handle is not of the new one');
  }),
);

test(
  'a schedule that is removed while its tick is being prepared does not fire it',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await dispatcher.start();
    const gate = deferred<void>();
    let isMade = false;
    const input = async () => {
      if (isMade) await gate.promise;
    };
    const schedule = await dispatcher.every(MINUTE, noted, input);
    const atStart = await dispatcher.onStart(noted, input);
    isMade = true;
    await party.clock.advance(MINUTE);
    schedule.remove();
    atStart.remove();
    gate.resolve();
    await party.clock.advance(MINUTE);
    assert.deepEqual(await party.fired(), []);
    assert.equal(await party.engine.read(`schedule:${atStart.name}`), undefined);
  }),
);

test(
  'after a stop nothing fires, no lock is held, and no schedule can be made or triggered; those that are have no next time',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    const schedule = await dispatcher.schedule('* * * * *', noted, 1, { name: 'a' });
    await dispatcher.start();
    await party.clock.advance(MINUTE);
    await dispatcher.stop();
    await party.clock.advance(10 * MINUTE);
    assert.equal(party.clock.timerCount, 1, 'that of the retention of the call');
    assert.equal((await party.fired()).length, 1);
    assert.equal(schedule.next(), undefined);
    assert.ok((await party.engine.lock('schedule:a', 'test', 1)) !== undefined);
    for (const late of [
      () => schedule.trigger(),
      () => dispatcher.schedule('* * * * *', noted, 1, { name: 'b' }),
      () => dispatcher.every(MINUTE, noted, 1),
      () => dispatcher.onStart(noted, 1),
    ]) {
      await assert.rejects(late(), { code: 'ERR_SHUTDOWN' });
    }
  }),
);

test(
  'one that is stopped before it has started has fired nothing',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await dispatcher.onStart(noted, 1);
    await dispatcher.every(MINUTE, noted, 1);
    await dispatcher.stop();
    await party.clock.advance(HOUR);
    assert.deepEqual(await party.fired(), []);
  }),
);

test(
  'a schedule that is over fires no more',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await dispatcher.start();
    const schedule = await dispatcher.schedule('0 0 0 2 1 * 2026', noted, 1);
    party.clock.jump(24 * HOUR - MINUTE);
    await party.clock.advance(HOUR);
    assert.deepEqual(await party.fired(), ['01-02 00:00:00']);
    assert.equal(schedule.next(), undefined);
  }),
);

test(
  'a schedule for a name of a task runs its newest version',
  withLeakCheck(async () => {
    const one = defineTask({ name: 'task', run: () => 1 });
    const two = defineTask({ name: 'task', version: 2, run: () => 2 });
    await using party = partyOf([one, two]);
    const dispatcher = party.join();
    await dispatcher.start();
    const schedule = await dispatcher.every<number>(MINUTE, 'task', undefined);
    assert.equal(schedule.name, 'task:2 every 60000 ms');
    const call = await schedule.trigger();
    await settle();
    assert.equal((await call.result) satisfies number, 2);
  }),
);

test(
  'the input of a schedule is that of its task, or a function that gives it',
  withLeakCheck(async () => {
    const task = defineTask({ name: 'task', input: z.object({ n: z.number() }), run: (_ctx, { n }) => `${n}` });
    await using party = partyOf(task);
    const dispatcher = party.join();
    const schedule = await dispatcher.every(MINUTE, task, { n: 1 }, { name: 'a' });
    await dispatcher.schedule('* * * * *', task, ({ at }) => ({ n: at.getTime() }), { name: 'b' });
    await dispatcher.onStart(task, async () => ({ n: 1 }), { name: 'c' });
    (await schedule.trigger()) satisfies { readonly result: Promise<string> };
    // @ts-expect-error: n is a number
    await assert.rejects(dispatcher.every(MINUTE, task, { n: '1' }, { name: 'd' }), InvalidInputError);
    await assert.rejects(
      // @ts-expect-error: and so it is from a function
      dispatcher.schedule('* * * * *', task, () => ({ n: '1' }), { name: 'd' }),
      InvalidInputError,
    );
    const loose: Task = defineTask({ name: 'loose', run: () => {} });
    // @ts-expect-error: a schedule needs a task
    await assert.rejects(dispatcher.onStart({ name: loose.name }, 1), TypeError);
  }),
);

test(
  'a schedule in real time fires, and lets the process go with its dispatcher',
  withLeakCheck(async () => {
    const { Dispatcher } = await import('../../../src/tasks/index.ts');
    const dispatcher = new Dispatcher({ tasks: [noted] });
    await dispatcher.start();
    const fired = new Promise((resolve) => dispatcher.on('tick', resolve));
    await dispatcher.every(20, noted, 1);
    await fired;
    await dispatcher.stop();
  }),
);

test(
  'hundreds of schedules of one minute all fire in it',
  withLeakCheck(async () => {
    await using party = partyOf(noted, new VirtualClock());
    const dispatcher = party.join();
    await dispatcher.start();
    for (let i = 0; i < 300; i++) await dispatcher.schedule('* * * * *', noted, i, { name: `n${i}` });
    await party.clock.advance(MINUTE);
    assert.equal((await party.fired()).length, 300);
  }),
);
