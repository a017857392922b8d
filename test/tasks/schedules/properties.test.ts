/**
 * Random schedules on random dispatchers, in an engine that fails in every way: each tick is fired exactly once, as long
 * as anybody is there in the end, whoever stops, dies, stalls or loses the engine meanwhile.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Dispatcher, defineTask, isEnded, memoryEngine } from '../../../src/tasks/index.ts';
import { cronTimetable, periodTimetable } from '../../../src/tasks/schedules/timetable.ts';
import { type EngineOperation, faultyEngine } from '../../../src/testing/index.ts';
import { property } from '../../properties/support/check.ts';
import { type MortalEngine, mortal, passing, pause } from '../kit.ts';
import { clockAt, MINUTE, noted, partyOf, SECOND } from './kit.ts';

const schedules = fc.array(
  fc.record({
    /** A pattern, or a period in s. */
    times: fc.constantFrom<string | number>('* * * * *', '*/2 * * * *', '*/25 * * * * *', '30 2 * * *', 40, 97),
    overlap: fc.constantFrom('allow', 'queue'),
  }),
  { minLength: 1, maxLength: 4 },
);

type Act =
  | { readonly do: 'join' | 'stop' | 'die' | 'down' | 'up' | 'wait'; readonly ms: number }
  | { readonly do: 'fail'; readonly ms: number; readonly operation: EngineOperation; readonly after: boolean }
  | { readonly do: 'slow'; readonly ms: number; readonly by: number };

const ms = fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 150 * SECOND }));
const acts = fc.array(
  fc.oneof(
    fc.record({ do: fc.constantFrom('join', 'join', 'stop', 'die', 'down', 'up', 'wait'), ms }),
    fc.record({
      do: fc.constant('fail'),
      ms,
      operation: fc.constantFrom<EngineOperation>('read', 'write', 'lock', 'submit', 'limit'),
      after: fc.boolean(),
    }),
    fc.record({ do: fc.constant('slow'), ms, by: fc.constantFrom(0, 50, 2_000, 12_000) }),
  ),
  { minLength: 1, maxLength: 10 },
) as fc.Arbitrary<readonly Act[]>;

/** Runs take so long, if nobody dies over them. */
const crowd = fc.record({
  overlap: fc.constantFrom('skip', 'queue'),
  missed: fc.constantFrom('skip', 'once', 'all'),
  runMs: fc.constantFrom(1_000, 50_000, 130_000),
  acts: fc.array(
    fc.record({
      do: fc.constantFrom('join', 'join', 'stop', 'die', 'jump', 'fail'),
      ms,
      operation: fc.constantFrom<EngineOperation>('read', 'write', 'lock', 'submit', 'get', 'limit'),
      after: fc.boolean(),
    }),
    { minLength: 1, maxLength: 10 },
  ),
} as const);

property(
  'whatever happens, calls of one schedule that mustn’t overlap do not',
  40,
  crowd,
  async ({ overlap, missed, runMs, acts: program }) => {
    const clock = clockAt('2026-01-01T00:00:00Z');
    const engine = faultyEngine(memoryEngine({ clock }));
    const task = defineTask({ name: 'task', run: () => pause(clock, runMs) });
    await using party = partyOf(task, clock, engine);
    /** Those that have begun, or with `skip` that have been submitted, and have not ended. */
    const alive = new Set<string>();
    let most = 0;
    let ended = 0;
    const unwatch = engine.watch(undefined, (event) => {
      if (event.type !== 'state') return;
      const { id, state } = event.record;
      if (isEnded(state)) {
        alive.delete(id);
        ended++;
      } else if (state === 'started' || overlap === 'skip') alive.add(id);
      else alive.delete(id);
      most = Math.max(most, alive.size);
    });
    const present: { readonly dispatcher: Dispatcher; readonly life: MortalEngine }[] = [];
    const join = async (): Promise<void> => {
      const life = mortal(engine);
      const dispatcher = party.join({ engine: life.engine });
      await dispatcher.every(40 * SECOND, task, undefined, { name: 'it', overlap, missed });
      dispatcher.start().catch(() => {});
      present.push({ dispatcher, life });
    };
    await join();
    for (const what of program) {
      if (what.do === 'join' && present.length < 4) await join();
      else if (what.do === 'stop') void present.shift()?.dispatcher.stop({ graceMs: 0 });
      else if (what.do === 'die') present.shift()?.life.die();
      else if (what.do === 'jump') clock.jump(what.ms);
      else if (what.do === 'fail') engine.failNext(what.operation, { when: what.after ? 'after' : 'before' });
      await clock.advance(what.ms);
    }
    await join();
    await clock.advance(4 * MINUTE);
    unwatch();
    assert.equal(most, 1);
    assert.ok(ended > 0, 'it goes on');
  },
);

property(
  'whatever happens, each tick is fired exactly once, and told at most once',
  40,
  fc.record({ schedules, acts }),
  async (program) => {
    const clock = clockAt('2026-03-29T00:50:00Z');
    const engine = faultyEngine(memoryEngine({ clock }));
    await using party = partyOf(noted, clock, engine);
    const present: { readonly dispatcher: Dispatcher; readonly life: MortalEngine }[] = [];
    const join = async (): Promise<void> => {
      const life = mortal(engine);
      const dispatcher = party.join({ engine: life.engine, concurrency: 100 });
      for (const [index, { times, overlap }] of program.schedules.entries()) {
        const options = { name: `n${index}`, missed: 'all', overlap } as const;
        if (typeof times === 'number') await dispatcher.every(times * SECOND, noted, 0, options);
        else await dispatcher.schedule(times, noted, 0, { timeZone: 'Europe/Berlin', ...options });
      }
      dispatcher.start().catch(() => {});
      present.push({ dispatcher, life });
    };
    const stop = async (): Promise<void> => {
      const stopped = present.shift()?.dispatcher.stop({ graceMs: 0, timeoutMs: 0 });
      if (stopped !== undefined) await passing(clock, stopped);
    };
    const act = async (what: Act): Promise<void> => {
      if (what.do === 'join' && present.length < 4) await join();
      else if (what.do === 'stop') await stop();
      else if (what.do === 'die') present.shift()?.life.die();
      else if (what.do === 'down') engine.goDown();
      else if (what.do === 'up') engine.comeUp();
      else if (what.do === 'fail') engine.failNext(what.operation, { when: what.after ? 'after' : 'before' });
      else if (what.do === 'slow') engine.slowDown(what.by);
    };
    await join();
    await clock.advance(0);
    for (const what of program.acts) {
      await act(what);
      await clock.advance(what.ms);
    }
    engine.comeUp();
    engine.slowDown(0);
    await join();
    await clock.advance(2 * MINUTE);
    const now = clock.wallTime();
    const calls = await engine.scan({}, { limit: 100_000 });
    for (const [index, { times }] of program.schedules.entries()) {
      const name = `n${index}`;
      const fired = calls
        .map(({ context }) => (JSON.parse(context) as { headers: Record<string, string> }).headers)
        .filter(({ schedule }) => schedule === name)
        .map((headers) => Date.parse(headers['scheduled-at']!))
        .sort((a, b) => a - b);
      const { origin } = JSON.parse((await engine.read(`schedule:${name}`))!) as { readonly origin: number };
      const timetable =
        typeof times === 'number' ? periodTimetable(times * SECOND) : cronTimetable(times, 'Europe/Berlin');
      const expected: number[] = [];
      for (let at = timetable.next(origin, origin)!; at <= now; at = timetable.next(at, origin)!) expected.push(at);
      assert.deepEqual(fired, expected);
      assert.equal(origin, clock.timeOrigin, 'it has begun when it was first made');
    }
    const told = party.ticks.map(({ schedule, at, outcome }) => `${outcome} ${schedule} ${at.toISOString()}`);
    assert.equal(new Set(told).size, told.length);
    assert.ok(party.ticks.every(({ outcome }) => outcome === 'fired'));
  },
);
