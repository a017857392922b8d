/** Ticks that nobody fires in time, ticks that come while the call of the one before runs, and clocks that are set. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Dispatcher, defineTask, type EveryOptions } from '../../../src/tasks/index.ts';
import { withLeakCheck } from '../../../src/testing/index.ts';
import { pause, untilCanceled } from '../kit.ts';
import { clockAt, HOUR, MINUTE, noted, type Party, partyOf, SECOND } from './kit.ts';

type Missed = NonNullable<EveryOptions['missed']>;

/** Makes the schedule here, and starts. */
async function begin(dispatcher: Dispatcher, cron: string, missed: Missed): Promise<void> {
  await dispatcher.schedule(cron, noted, 0, { name: 'it', missed });
  await dispatcher.start();
}

// ---- downtime --------------------------------------------------------------------------------------------------------

/** [the rule, the pattern, for how long nobody is there from 00:10:30 on, what is told in the minute after] */
const DOWNTIMES: readonly (readonly [Missed, string, number, string])[] = [
  ['skip', '0 * * * *', 5 * HOUR, 'missed 01-01 01:00:00'],
  ['once', '0 * * * *', 5 * HOUR, 'missed 01-01 01:00:00, fired 01-01 05:00:00'],
  ['all', '0 * * * *', 3 * HOUR, 'fired 01-01 01:00:00, fired 01-01 02:00:00, fired 01-01 03:00:00'],
  ['skip', '0 * * * *', HOUR, 'missed 01-01 01:00:00'],
  ['once', '0 * * * *', HOUR, 'fired 01-01 01:00:00'],
  ['all', '0 * * * *', HOUR, 'fired 01-01 01:00:00'],
  // The newest is only half a minute late.
  ['skip', '* * * * *', 3 * MINUTE, 'missed 01-01 00:11:00, fired 01-01 00:13:00, fired 01-01 00:14:00'],
  ['once', '* * * * *', 3 * MINUTE, 'missed 01-01 00:11:00, fired 01-01 00:13:00, fired 01-01 00:14:00'],
  ['skip', '0 * * * *', 50 * MINUTE + 30 * SECOND, 'fired 01-01 01:00:00'],
  ['skip', '0 * * * *', 50 * MINUTE + 30 * SECOND + 1, 'missed 01-01 01:00:00'],
  ['once', '0 * * * *', 40 * MINUTE, ''],
  ['all', '0 * * * *', 40 * MINUTE, ''],
];

for (const [missed, cron, ms, told] of DOWNTIMES) {
  test(
    `after ${ms / MINUTE} minutes without anybody '${cron}' with missed: '${missed}' tells: ${told || 'nothing'}`,
    withLeakCheck(async () => {
      await using party = partyOf();
      const before = party.join();
      await begin(before, cron, missed);
      await party.clock.advance(10 * MINUTE + 30 * SECOND);
      await before.stop();
      party.ticks.length = 0;
      await party.clock.advance(ms);
      await begin(party.join(), cron, missed);
      await party.clock.advance(cron === '* * * * *' ? MINUTE : SECOND);
      assert.equal(party.told().join(', '), told);
      const fired = party.told().filter((text) => text.startsWith('fired'));
      assert.equal((await party.fired()).length, fired.length + (cron === '* * * * *' ? 10 : 0));
    }),
  );
}

test(
  'each of more than a thousand ticks that were missed is fired, a thousand at a time',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await begin(dispatcher, '* * * * *', 'all');
    await party.clock.advance(MINUTE);
    party.clock.jump(1_200 * MINUTE);
    await party.clock.advance(MINUTE);
    const fired = await party.fired();
    assert.equal(fired.length, 1_202);
    assert.equal(new Set(fired).size, 1_202);
  }),
);

/** The most ticks that are told within one turn of the event loop. */
async function mostInATurn(party: Party, work: () => Promise<void>): Promise<number> {
  let most = 0;
  let isOver = false;
  let before = party.ticks.length;
  const look = (): void => {
    most = Math.max(most, party.ticks.length - before);
    before = party.ticks.length;
    if (!isOver) setImmediate(look);
  };
  look();
  await work();
  isOver = true;
  return most;
}

test(
  'the event loop has its turn while many ticks are fired, be they of one schedule or of many',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await begin(dispatcher, '* * * * *', 'all');
    await party.clock.advance(SECOND);
    party.clock.jump(200 * MINUTE);
    const ofOne = await mostInATurn(party, () => party.clock.advance(30 * SECOND));
    assert.equal(party.ticks.length, 200);
    assert.ok(ofOne <= 100, `${ofOne} at once`);
    dispatcher.schedules.get('it')!.remove();
    for (let i = 0; i < 200; i++) await dispatcher.schedule('* * * * *', noted, i, { name: `n${i}` });
    const ofMany = await mostInATurn(party, () => party.clock.advance(MINUTE));
    assert.equal(party.ticks.length, 400);
    assert.ok(ofMany <= 100, `${ofMany} at once`);
  }),
);

test(
  'what was before a schedule was first heard of has not been missed',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await dispatcher.schedule('0 * * * *', noted, 0, { missed: 'all' });
    await party.clock.advance(5 * HOUR + MINUTE);
    await dispatcher.start();
    await party.clock.advance(HOUR);
    assert.deepEqual(party.told(), ['fired 01-01 06:00:00']);
  }),
);

test(
  'with other times under its name a schedule has missed nothing of the time before',
  withLeakCheck(async () => {
    await using party = partyOf();
    const before = party.join();
    await begin(before, '0 * * * *', 'all');
    await party.clock.advance(10 * MINUTE);
    await before.stop();
    await party.clock.advance(2 * HOUR);
    const after = party.join();
    await begin(after, '*/30 * * * *', 'all');
    await party.clock.advance(HOUR);
    assert.deepEqual(party.told(), ['fired 01-01 02:30:00', 'fired 01-01 03:00:00']);
    await after.stop();
    const last = party.join();
    await last.every(7 * MINUTE, noted, 0, { name: 'it', missed: 'all' });
    await last.start();
    await party.clock.advance(15 * MINUTE);
    assert.deepEqual(party.told().slice(2), ['fired 01-01 03:17:00', 'fired 01-01 03:24:00']);
  }),
);

test(
  'a note that nobody can read is as none',
  withLeakCheck(async () => {
    for (const note of ['rubbish', '{"at":"now"}', 'null']) {
      await using party = partyOf();
      await party.engine.write('schedule:it', note, undefined);
      await begin(party.join(), '* * * * *', 'all');
      await party.clock.advance(MINUTE);
      assert.deepEqual(party.told(), ['fired 01-01 00:01:00']);
    }
  }),
);

// ---- a clock that is set ---------------------------------------------------------------------------------------------

test(
  'a clock that is set forward has passed over ticks: that is noticed within half a minute, and they have been missed',
  withLeakCheck(async () => {
    for (const [missed, told] of [
      ['skip', 'missed 01-01 01:00:00'],
      ['once', 'missed 01-01 01:00:00, fired 01-01 03:00:00'],
      ['all', 'fired 01-01 01:00:00, fired 01-01 02:00:00, fired 01-01 03:00:00'],
    ] as const) {
      await using party = partyOf();
      await begin(party.join(), '0 * * * *', missed);
      await party.clock.advance(10 * MINUTE);
      party.clock.jump(3 * HOUR);
      await party.clock.advance(30 * SECOND);
      assert.equal(party.told().join(', '), told);
    }
  }),
);

test(
  'a clock that is set back has no tick fire again, and goes on after the last one',
  withLeakCheck(async () => {
    await using party = partyOf();
    await begin(party.join(), '*/10 * * * *', 'all');
    await party.clock.advance(35 * MINUTE);
    party.clock.jump(-25 * MINUTE);
    await party.clock.advance(29 * MINUTE);
    assert.equal(party.told().join(', '), 'fired 01-01 00:10:00, fired 01-01 00:20:00, fired 01-01 00:30:00');
    await party.clock.advance(MINUTE);
    assert.equal(party.told().at(-1), 'fired 01-01 00:40:00');
    assert.equal(new Set(await party.fired()).size, 4);
  }),
);

test(
  'a clock that was hours ahead has the schedule begin anew, with calls of their own for the ticks that come again',
  withLeakCheck(async () => {
    await using party = partyOf();
    const warnings: string[] = [];
    const nothing = () => {};
    const logger = { debug: nothing, info: nothing, warn: (text: string) => warnings.push(text), error: nothing };
    const dispatcher = party.join({ logger });
    await begin(dispatcher, '0 * * * *', 'once');
    await party.clock.advance(10 * MINUTE);
    party.clock.jump(4 * HOUR);
    await party.clock.advance(MINUTE);
    assert.equal(party.told().join(', '), 'missed 01-01 01:00:00, fired 01-01 04:00:00');
    party.clock.jump(-4 * HOUR);
    await party.clock.advance(30 * SECOND);
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0]!,
      /schedule it has come to 2026-01-01T04:00:00.000Z, which is hours ahead: it begins anew/,
    );
    await party.clock.advance(4 * HOUR);
    assert.deepEqual(party.told().slice(2), [
      'fired 01-01 01:00:00',
      'fired 01-01 02:00:00',
      'fired 01-01 03:00:00',
      'fired 01-01 04:00:00',
    ]);
    assert.deepEqual(
      party.ticks.filter(({ at }) => at.getUTCHours() === 4).map(({ callId }) => callId),
      ['schedule:it@2026-01-01T04:00:00.000Z', 'schedule:it@2026-01-01T04:00:00.000Z#1'],
    );
    assert.equal(warnings.length, 1);
  }),
);

test(
  'a period keeps its grid when the clock is set',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join();
    await dispatcher.every(10 * MINUTE, noted, 0);
    await dispatcher.start();
    await party.clock.advance(12 * MINUTE);
    party.clock.jump(-5 * HOUR);
    await party.clock.advance(20 * MINUTE);
    party.clock.jump(5 * HOUR + 3 * MINUTE);
    await party.clock.advance(10 * MINUTE);
    assert.deepEqual(party.told(), [
      'fired 01-01 00:10:00',
      'fired 12-31 19:20:00',
      'fired 12-31 19:30:00',
      'missed 12-31 19:40:00',
      'fired 01-01 00:30:00',
      'fired 01-01 00:40:00',
    ]);
  }),
);

// ---- overlap ---------------------------------------------------------------------------------------------------------

/** A task whose runs take 150 seconds, and when they ran. */
function slow(party: () => Party) {
  const runs: string[] = [];
  const since = () => `${Math.round(party().clock.now() / SECOND)}`;
  const task = defineTask({
    name: 'slow',
    run: async (): Promise<void> => {
      const from = since();
      await pause(party().clock, 150 * SECOND);
      runs.push(`${from}-${since()}`);
    },
  });
  return { task, runs };
}

/** Of a tick each minute. [overlap, what is told in 6 minutes, the runs in 12 minutes, the schedule gone after 6] */
const OVERLAPS: readonly (readonly [EveryOptions['overlap'], string, string])[] = [
  ['allow', 'fired fired fired fired fired fired', '60-210 120-270 180-330 240-390 300-450 360-510'],
  ['skip', 'fired skipped skipped fired skipped skipped', '60-210 240-390'],
  ['queue', 'fired fired fired fired fired fired', '60-210 210-360 360-510 510-660 660-810'],
];

for (const [overlap, told, ran] of OVERLAPS) {
  test(
    `with overlap: '${overlap}' a tick that comes while the one before runs is ${told.split(' ')[1]}`,
    withLeakCheck(async () => {
      const { task, runs } = slow((): Party => party);
      const party = partyOf(task);
      await using _ = party;
      const dispatcher = party.join();
      await dispatcher.start();
      const schedule = await dispatcher.every(MINUTE, task, undefined, { overlap });
      await party.clock.advance(6 * MINUTE);
      schedule.remove();
      await party.clock.advance(510 * SECOND);
      assert.equal(party.ticks.map(({ outcome }) => outcome).join(' '), told);
      assert.equal(runs.join(' '), ran);
    }),
  );
}

test(
  'of several schedules of one task each waits for its own calls alone',
  withLeakCheck(async () => {
    const { task, runs } = slow((): Party => party);
    const party = partyOf(task);
    await using _ = party;
    const dispatcher = party.join();
    await dispatcher.start();
    const made = [1, 2].map((n) => dispatcher.every(MINUTE, task, undefined, { overlap: 'queue', name: `n${n}` }));
    const [one, two] = await Promise.all(made);
    await party.clock.advance(MINUTE);
    await one!.trigger();
    one!.remove();
    two!.remove();
    await party.clock.advance(6 * MINUTE);
    assert.equal(runs.sort().join(' '), '210-360 60-210 60-210', 'what is triggered waits in the line as well');
  }),
);

/** Of a tick each minute, after 5 minutes without anybody, while the call of the first one hangs. */
const BOTH: readonly (readonly [EveryOptions['overlap'], Missed, string])[] = [
  ['allow', 'all', 'fired fired fired fired fired'],
  ['queue', 'all', 'fired fired fired fired fired'],
  ['skip', 'all', 'skipped skipped skipped skipped skipped'],
  ['allow', 'once', 'missed fired'],
  ['queue', 'once', 'missed fired'],
  ['skip', 'once', 'missed skipped'],
  ['allow', 'skip', 'missed fired'],
  ['skip', 'skip', 'missed skipped'],
];

for (const [overlap, missed, told] of BOTH) {
  test(
    `with overlap: '${overlap}' and missed: '${missed}' ticks that were missed while a call hangs are ${told}`,
    withLeakCheck(async () => {
      const task = defineTask({ name: 'task', onShutdown: 'requeue', run: untilCanceled });
      await using party = partyOf(task);
      const join = async () => {
        const dispatcher = party.join();
        await dispatcher.every(MINUTE, task, undefined, { name: 'it', overlap, missed });
        await dispatcher.start();
        return dispatcher;
      };
      const first = await join();
      await party.clock.advance(MINUTE + SECOND);
      await Promise.all([first.stop({ graceMs: 0 }), party.clock.advance(0)]);
      party.ticks.length = 0;
      await party.clock.advance(5 * MINUTE);
      await join();
      await party.clock.advance(SECOND);
      assert.equal(party.ticks.map(({ outcome }) => outcome).join(' '), told);
    }),
  );
}

test(
  'with overlap: skip, no tick is dropped whose predecessor has ended',
  withLeakCheck(async () => {
    await using party = partyOf(noted, clockAt('2026-01-01T00:00:00Z'));
    const dispatcher = party.join();
    await dispatcher.every(MINUTE, noted, 0, { overlap: 'skip' });
    await dispatcher.start();
    await party.clock.advance(5 * MINUTE);
    assert.equal((await party.fired()).length, 5);
  }),
);
