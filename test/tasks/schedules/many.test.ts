/** Many dispatchers with one schedule: each tick is fired once between them, whoever dies, stalls, stops or fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Dispatcher, defineTask, type Engine, type EveryOptions, memoryEngine } from '../../../src/tasks/index.ts';
import { type EngineOperation, type FaultyEngine, faultyEngine, withLeakCheck } from '../../../src/testing/index.ts';
import { hangs, mortal, passing } from '../kit.ts';
import { clockAt, HOUR, MINUTE, noted, type Party, partyOf, SECOND, timeOf } from './kit.ts';

const START = '2026-01-01T00:00:00Z';

async function begin(dispatcher: Dispatcher, options: EveryOptions = {}): Promise<Dispatcher> {
  await dispatcher.schedule('* * * * *', noted, 0, { name: 'it', ...options });
  await dispatcher.start();
  return dispatcher;
}

/** A party in whose engine something can go wrong. */
function faultyParty(): Party & { readonly engine: FaultyEngine } {
  const clock = clockAt(START);
  const engine = faultyEngine(memoryEngine({ clock }));
  return Object.assign(partyOf(noted, clock, engine), { engine });
}

/** Every minute from 00:01 to 00:n, once. */
async function checkMinutes(party: Party, n: number): Promise<void> {
  const expected = Array.from({ length: n }, (_, i) => timeOf(Date.parse(START) + (i + 1) * MINUTE));
  assert.deepEqual(await party.fired(), expected);
}

/** An engine that takes its time for one operation. */
function slowly(engine: Engine, operation: EngineOperation, wait: () => Promise<void>): Engine {
  return new Proxy(engine, {
    get(_, name: keyof Engine) {
      const value = engine[name];
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        if (name === operation) await wait();
        return (value as (...args: unknown[]) => unknown).apply(engine, args);
      };
    },
  });
}

test(
  'of ten dispatchers one fires each tick, and tells of it',
  withLeakCheck(async () => {
    await using party = partyOf();
    for (let i = 0; i < 10; i++) await begin(party.join());
    await party.clock.advance(10 * MINUTE);
    await checkMinutes(party, 10);
    assert.equal(party.ticks.length, 10);
    assert.ok(party.ticks.every(({ outcome, latencyMs }) => outcome === 'fired' && latencyMs === 0));
  }),
);

test(
  'dispatchers that come and go hand over without a gap',
  withLeakCheck(async () => {
    await using party = partyOf();
    let present = await begin(party.join());
    for (let i = 0; i < 5; i++) {
      await party.clock.advance(50 * SECOND);
      const next = await begin(party.join());
      await passing(party.clock, present.stop({ graceMs: 0 }));
      present = next;
    }
    await party.clock.advance(50 * SECOND);
    await checkMinutes(party, 5);
  }),
);

test(
  'dispatchers that have other times under one name, as in a rolling update, fire each its own, those they share once',
  withLeakCheck(async () => {
    await using party = partyOf();
    for (const cron of ['*/10 * * * *', '*/15 * * * *']) {
      const dispatcher = party.join();
      await dispatcher.schedule(cron, noted, 0, { name: 'it', missed: 'all' });
      await dispatcher.start();
      await party.clock.advance(SECOND);
    }
    await party.clock.advance(HOUR);
    const minutes = (await party.fired()).map((at) => at.slice(6, 11));
    assert.equal(minutes.join(' '), '00:10 00:15 00:20 00:30 00:40 00:45 00:50 01:00');
  }),
);

/** The steps of a tick, by what the engine is asked in each. */
const STEPS = {
  allow: ['read', 'lock', 'read', 'submit', 'write', 'release'],
  skip: ['read', 'lock', 'read', 'get', 'write', 'submit', 'write', 'release'],
} as const;

for (const [overlap, steps] of Object.entries(STEPS) as [keyof typeof STEPS, readonly string[]][]) {
  for (const [step, operation] of steps.entries()) {
    for (const when of ['before', 'after'] as const) {
      test(
        `one that dies in mid-tick (overlap ${overlap}, step ${step}: right ${when} ${operation}) is replaced by another`,
        withLeakCheck(async () => {
          await using party = partyOf();
          const { engine, die } = mortal(party.engine);
          let isMidTick = false;
          let isDead = false;
          const seen: string[] = [];
          const dying = watched(engine, (name, isBefore) => {
            if (!isMidTick || isDead) return;
            if (isBefore) seen.push(name);
            if (seen.length !== step + 1 || isBefore !== (when === 'before')) return;
            isDead = true;
            die();
          });
          await begin(party.join({ engine: dying }), { overlap });
          await party.clock.advance(MINUTE + 30 * SECOND);
          await begin(party.join(), { overlap });
          await party.clock.advance(10 * SECOND);
          isMidTick = true;
          await party.clock.advance(3 * MINUTE);
          assert.deepEqual(seen, steps.slice(0, step + 1));
          assert.ok(isDead);
          await checkMinutes(party, 4);
        }),
      );
    }
  }
}

test(
  'with overlap: skip, the call of one that has died over it is known to who comes after, however late',
  withLeakCheck(async () => {
    await using party = partyOf(hangs);
    const { engine, die } = mortal(party.engine);
    const dying = watched(engine, (name, isBefore) => {
      if (name === 'submit' && !isBefore) die();
    });
    const join = async (its?: Engine) => {
      const dispatcher = party.join(its === undefined ? {} : { engine: its });
      await dispatcher.every(MINUTE, hangs, undefined, { name: 'it', overlap: 'skip' });
      await dispatcher.start();
    };
    await join(dying);
    await party.clock.advance(5 * MINUTE + 30 * SECOND);
    assert.equal((await party.fired()).length, 1);
    await join();
    await party.clock.advance(2 * MINUTE);
    assert.equal((await party.fired()).length, 1);
    assert.equal(
      party.told().join(', '),
      'missed 01-01 00:01:00, skipped 01-01 00:05:00, skipped 01-01 00:06:00, skipped 01-01 00:07:00',
    );
  }),
);

/** Tells of what schedules ask an engine, before and after. */
function watched(engine: Engine, tell: (name: string, isBefore: boolean) => void): Engine {
  const around = async (name: string, work: () => Promise<unknown>): Promise<unknown> => {
    tell(name, true);
    try {
      return await work();
    } finally {
      tell(name, false);
    }
  };
  return new Proxy(engine, {
    get(_, name: keyof Engine) {
      const value = engine[name];
      if (typeof value !== 'function') return value;
      const work = (...args: unknown[]) => (value as (...args: unknown[]) => Promise<unknown>).apply(engine, args);
      if (!(STEPS.skip as readonly string[]).includes(name)) return work;
      return async (...args: unknown[]) => {
        // What control keeps is nothing of a tick's.
        if (String(args[0]).startsWith('control:')) return work(...args);
        const result = await around(name, () => work(...args));
        if (name !== 'lock' || result === undefined) return result;
        const lock = result as { release(): Promise<void> };
        return { ...lock, release: () => around('release', () => lock.release()) };
      };
    },
  });
}

test(
  'one that stalls past its lock comes too late: its tick is fired by another, and is the same call',
  withLeakCheck(async () => {
    await using party = partyOf();
    let stallMs = 0;
    const wait = () => new Promise<void>((resolve) => void party.clock.setTimeout(resolve, stallMs));
    const stalling = await begin(party.join({ engine: slowly(party.engine, 'submit', wait), name: 'stalling' }));
    await party.clock.advance(MINUTE);
    stallMs = 25 * SECOND;
    await party.clock.advance(30 * SECOND);
    await begin(party.join({ name: 'other' }));
    // Whoever comes first; the other one finds it done, or stalled.
    await party.clock.advance(10 * MINUTE);
    await checkMinutes(party, 11);
    assert.equal(party.ticks.length, 11, 'who came too late says nothing');
    await passing(party.clock, stalling.stop());
  }),
);

test(
  'one that is stopped in mid-tick lets go of the lock',
  withLeakCheck(async () => {
    await using party = partyOf();
    const wait = () => new Promise<void>((resolve) => void party.clock.setTimeout(resolve, 500));
    const slow = await begin(party.join({ engine: slowly(party.engine, 'get', wait) }), { overlap: 'skip' });
    await party.clock.advance(2 * MINUTE + 100);
    assert.equal(await party.engine.lock('schedule:it', 'test', 1), undefined);
    await passing(party.clock, slow.stop());
    const lock = await party.engine.lock('schedule:it', 'test', 1);
    assert.ok(lock !== undefined);
    await lock.release();
    await checkMinutes(party, 1);
    await begin(party.join(), { overlap: 'skip' });
    await party.clock.advance(SECOND);
    await checkMinutes(party, 2);
  }),
);

// ---- an engine that fails ----------------------------------------------------------------------------------------------

for (const operation of ['read', 'lock', 'submit', 'write', 'get', 'limit'] as const) {
  for (const when of ['before', 'after'] as const) {
    test(
      `a ${operation} that fails (${when} it is done) is made again, and no tick is lost or fired twice`,
      withLeakCheck(async () => {
        await using party = faultyParty();
        const overlap = operation === 'get' ? 'skip' : 'queue';
        const dispatcher = party.join();
        const failures: number[] = [];
        dispatcher.on('engineFailed', (failure) => failures.push(failure.failures));
        await begin(dispatcher, { overlap });
        if (operation === 'limit') party.engine.failNext(operation, { when, times: 2 });
        await party.clock.advance(MINUTE + SECOND);
        if (operation !== 'limit') party.engine.failNext(operation, { when, times: 2 });
        await party.clock.advance(2 * MINUTE);
        await checkMinutes(party, 3);
        assert.deepEqual(failures, operation === 'write' && when === 'after' ? [1, 1] : [1, 2]);
        assert.deepEqual(
          party.told().map((text) => text.split(' ')[0]),
          ['fired', 'fired', 'fired'],
        );
        for (const { latencyMs } of party.ticks) assert.ok(latencyMs < 15 * SECOND, `${latencyMs}`);
      }),
    );
  }
}

test(
  'the call of a start is submitted until it is stored, and is one call however often that takes',
  withLeakCheck(async () => {
    await using party = faultyParty();
    const dispatcher = party.join();
    await dispatcher.onStart(noted, 'hello');
    party.engine.failNext('submit', { when: 'before', times: 2 });
    party.engine.failNext('submit', { when: 'after', times: 2 });
    void dispatcher.start();
    await party.clock.advance(10 * SECOND);
    assert.equal(party.engine.calls('submit'), 5);
    assert.deepEqual(await party.fired(), ['01-01 00:00:00']);
    assert.deepEqual(party.told(), ['fired 01-01 00:00:00']);
  }),
);

test(
  'a start whose call is refused is told, and that is all',
  withLeakCheck(async () => {
    await using party = partyOf();
    const dispatcher = party.join({ beforeSubmit: () => false });
    await dispatcher.onStart(noted, 'hello');
    await dispatcher.start();
    await party.clock.advance(MINUTE);
    assert.equal(party.errors.length, 1);
    assert.deepEqual(party.told(), ['refused 01-01 00:00:00']);
  }),
);

test(
  'a lock that cannot be released is told, and expires',
  withLeakCheck(async () => {
    await using party = partyOf();
    let releases = 0;
    const engine: Engine = new Proxy(party.engine, {
      get(target, name: keyof Engine) {
        if (name !== 'lock')
          return typeof target[name] === 'function' ? (target[name] as () => void).bind(target) : target[name];
        return async (...args: Parameters<Engine['lock']>) => {
          const lock = await target.lock(...args);
          const release = async () => {
            releases++;
            throw new Error('no reply');
          };
          return lock && { token: lock.token, renew: (ms: number) => lock.renew(ms), release };
        };
      },
    });
    const dispatcher = party.join({ engine });
    const failures: unknown[] = [];
    dispatcher.on('engineFailed', ({ error }) => failures.push((error as Error).message));
    await begin(dispatcher);
    await party.clock.advance(3 * MINUTE);
    await checkMinutes(party, 3);
    assert.equal(releases, 3);
    assert.deepEqual(failures, ['no reply', 'no reply', 'no reply']);
  }),
);

test(
  'while the engine is down ticks wait; then they have been missed, or are just late',
  withLeakCheck(async () => {
    for (const [downMs, thenMs, told] of [
      [50 * SECOND, 45 * SECOND, 'fired 01-01 00:01:00, fired 01-01 00:02:00, fired 01-01 00:03:00'],
      [
        3 * MINUTE,
        35 * SECOND,
        'fired 01-01 00:01:00, missed 01-01 00:02:00, fired 01-01 00:04:00, fired 01-01 00:05:00',
      ],
    ] as const) {
      await using party = faultyParty();
      const dispatcher = party.join();
      await begin(dispatcher);
      await party.clock.advance(MINUTE + 30 * SECOND);
      party.engine.goDown();
      await party.clock.advance(downMs);
      party.engine.comeUp();
      await party.clock.advance(thenMs);
      assert.equal(party.told().join(', '), told);
    }
  }),
);

test(
  'an engine that is down at the start makes no tick be forgotten',
  withLeakCheck(async () => {
    await using party = faultyParty();
    party.engine.goDown();
    const dispatcher = party.join();
    await dispatcher.schedule('* * * * *', noted, 0, { missed: 'all' });
    void dispatcher.start();
    await party.clock.advance(5 * MINUTE);
    party.engine.comeUp();
    await party.clock.advance(10 * SECOND);
    await checkMinutes(party, 5);
  }),
);

test(
  'who catches up through a slow engine keeps the lock for as long as that takes',
  withLeakCheck(async () => {
    await using party = faultyParty();
    for (let i = 0; i < 3; i++) await begin(party.join(), { missed: 'all' });
    await party.clock.advance(MINUTE);
    party.clock.jump(40 * MINUTE);
    party.engine.slowDown(700);
    await party.clock.advance(4 * MINUTE);
    party.engine.slowDown(0);
    await party.clock.advance(MINUTE);
    await checkMinutes(party, 46);
    assert.equal(party.ticks.length, 46, 'and so no other one fires with it');
  }),
);

test(
  'the call of a tick is kept long enough to be found by who fires the tick again',
  withLeakCheck(async () => {
    const runs: string[] = [];
    const task = defineTask({
      name: 'task',
      retain: { completed: 0 },
      run: ({ headers }) => void runs.push(timeOf(Date.parse(headers['scheduled-at']!))),
    });
    await using party = partyOf(task);
    const { engine, die } = mortal(party.engine);
    const dying = party.join({
      engine: watched(engine, (name, isBefore) => {
        if (name === 'submit' && !isBefore) die();
      }),
    });
    const others = [party.join(), party.join()];
    const begin = (dispatcher: Dispatcher) => dispatcher.every(5 * MINUTE, task, 0, { name: 'it', missed: 'all' });
    await begin(dying);
    await dying.start();
    await others[0]!.start();
    await party.clock.advance(11 * MINUTE);
    assert.deepEqual(runs, ['01-01 00:05:00']);
    await begin(others[1]!);
    await others[1]!.start();
    await party.clock.advance(MINUTE);
    assert.deepEqual(runs, ['01-01 00:05:00', '01-01 00:10:00']);
  }),
);
