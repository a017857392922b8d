import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  after,
  background,
  Channel,
  ClosedChannelError,
  type Context,
  type ReceiveChannel,
  type Received,
  receive,
  type SelectOptions,
  select,
  send,
  Timer,
  withCancel,
  withCancelCause,
} from '../../src/go/index.ts';
import { CancelScope, scopeOf } from '../../src/go/scope.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, NOBODY, range, rejectsWith, seeded, waitingAt } from './waiting.ts';

const got = <T>(value: T): Received<T> => ({ value, ok: true });

/** As select, of cases whose types are of no interest. */
function selectAny(cases: Record<string, unknown>, options?: SelectOptions) {
  return select(cases as { readonly [name: string]: Context }, options) as Promise<{
    case: string;
    value: unknown;
    ok?: boolean | undefined;
  }>;
}

function filled(...values: number[]): Channel<number> {
  const channel = new Channel<number>(values.length);
  for (const value of values) channel.trySend(value);
  return channel;
}

function closed(error?: unknown): Channel<number> {
  const channel = new Channel<number>(1);
  channel.close(error);
  return channel;
}

/** A context that counts who waits for it. */
function counted(): Context & { readonly count: number; cancel(cause: unknown): void } {
  let count = 0;
  class CountingScope extends CancelScope {
    override subscribe(...args: Parameters<CancelScope['subscribe']>): () => boolean {
      count++;
      const unsubscribe = super.subscribe(...args);
      return () => {
        if (!unsubscribe()) return false;
        count--;
        return true;
      };
    }
  }
  const scope = new CountingScope();
  const [parent] = withCancel(background());
  const { signal } = parent;
  return {
    signal,
    deadline: undefined,
    get err() {
      return scope.err;
    },
    get cause() {
      return scope.cause;
    },
    done: () => scope.done(),
    value: () => undefined,
    get count() {
      return count;
    },
    cancel: (cause) => void scope.cancel(new Error('canceled'), cause),
    [scopeOf]: () => scope,
  } as ReturnType<typeof counted>;
}

/** One kind of case each: ready from the start, or made ready while the select waits, and what comes of it. */
interface Kind {
  readonly name: string;
  /** The case, what makes it ready, and what must be true when the select has ended. */
  make(): { entry: unknown; begin(): unknown; check?(): unknown };
  readonly outcome: { readonly value: unknown; readonly ok?: boolean };
}

const why = new Error('why');
const kinds: Kind[] = [
  {
    name: 'a receive from a buffer',
    make() {
      const channel = new Channel<number>(1);
      return {
        entry: receive(channel),
        begin: () => channel.trySend(1),
        check: () => assert.deepEqual([channel.length, waitingAt(channel)], [0, NOBODY]),
      };
    },
    outcome: got(1),
  },
  {
    name: 'a receive from a sender that waits',
    make() {
      const channel = new Channel<number>();
      let sent: Promise<void> | undefined;
      return {
        entry: receive(channel),
        begin: () => {
          sent = channel.send(1);
        },
        check: () => sent,
      };
    },
    outcome: got(1),
  },
  {
    name: 'a bare channel',
    make() {
      const channel = new Channel<number>();
      return { entry: channel, begin: () => void channel.send(1), check: () => assert.equal(channel.length, 0) };
    },
    outcome: got(1),
  },
  {
    name: 'a receive from a channel that is closed',
    make() {
      const channel = new Channel<number>();
      return { entry: receive(channel), begin: () => channel.close() };
    },
    outcome: { value: undefined, ok: false },
  },
  {
    name: 'a send to a buffer',
    make() {
      const channel = filled(5);
      return {
        entry: send(channel, 1),
        begin: () => assert.deepEqual(channel.tryReceive(), got(5)),
        check: () => assert.deepEqual(channel.tryReceive(), got(1)),
      };
    },
    outcome: { value: undefined },
  },
  {
    name: 'a send to a receiver that waits',
    make() {
      const channel = new Channel<number>();
      let received: Promise<Received<number>> | undefined;
      return {
        entry: send(channel, 1),
        begin: () => {
          received = channel.receive();
        },
        check: async () => assert.deepEqual(await received, got(1)),
      };
    },
    outcome: { value: undefined },
  },
  {
    name: 'a context that is canceled',
    make() {
      const [entry, cancel] = withCancelCause(background());
      return { entry, begin: () => cancel(why) };
    },
    outcome: { value: why },
  },
  {
    name: 'an AbortSignal that aborts',
    make() {
      const controller = new AbortController();
      return {
        entry: controller.signal,
        begin: () => controller.abort(why),
        check: () => assert.equal(listenersOf(controller.signal), 0),
      };
    },
    outcome: { value: why },
  },
  {
    name: 'a time limit',
    make() {
      const clock = new VirtualClock();
      return {
        entry: after(10, { clock }),
        begin: () => clock.advance(10),
        check: () => assert.equal(clock.timerCount, 0),
      };
    },
    outcome: got(10),
  },
  {
    name: 'a timer',
    make() {
      const clock = new VirtualClock();
      const timer = new Timer(10, { clock });
      return { entry: receive(timer.channel), begin: () => clock.advance(10) };
    },
    outcome: got(10),
  },
];

describe('each kind of case', () => {
  for (const { name, make, outcome } of kinds) {
    test(
      `${name}: happens at once if it can`,
      withLeakCheck(async () => {
        const { entry, begin, check } = make();
        await begin();
        assert.deepEqual(await selectAny({ it: entry, off: undefined }), { case: 'it', ...outcome });
        await check?.();
      }),
    );

    test(
      `${name}: happens at once if it can, though there is a default`,
      withLeakCheck(async () => {
        const { entry, begin, check } = make();
        await begin();
        assert.deepEqual(await selectAny({ default: 'idle', it: entry }), { case: 'it', ...outcome });
        await check?.();
      }),
    );

    test(
      `${name}: is waited for, and happens when it can`,
      withLeakCheck(async () => {
        const { entry, begin, check } = make();
        const other = new Channel<number>();
        const selected = selectAny({ other: receive(other), it: entry });
        await settle();
        assert.equal(await stateOf(selected), 'pending');
        await begin();
        assert.deepEqual(await selected, { case: 'it', ...outcome });
        await check?.();
        assert.deepEqual(waitingAt(other), NOBODY);
        assert.equal(other.trySend(1), false);
      }),
    );

    test(
      `${name}: doesn’t happen when another does, and leaves nothing`,
      withLeakCheck(async () => {
        const { entry, begin } = make();
        const other = new Channel<number>();
        const selected = selectAny({ it: entry, other: receive(other) });
        assert.equal(other.trySend(7), true);
        assert.deepEqual(await selected, { case: 'other', ...got(7) });
        await begin();
        const again = await selectAny({ it: entry });
        assert.deepEqual(again, { case: 'it', ...outcome }, 'what it would have taken is there for the next');
      }),
    );

    test(
      `${name}: gives way to a default, which leaves nothing`,
      withLeakCheck(async () => {
        const { entry, begin } = make();
        assert.deepEqual(await selectAny({ it: entry, default: 'idle' }), { case: 'default', value: 'idle' });
        await begin();
        assert.deepEqual(await selectAny({ it: entry }), { case: 'it', ...outcome });
      }),
    );
  }
});

describe('exactly one case happens', () => {
  test(
    'of all kinds ready at once, the others keep what they have',
    withLeakCheck(async () => {
      for (const seed of range(0, 50)) {
        const random = seeded(seed);
        const made = kinds.map(({ make }) => make());
        for (const { begin } of made) await begin();
        const cases = Object.fromEntries(made.map(({ entry }, i) => [`case${i}`, entry]));
        const happened = new Set<string>();
        // A case that has happened is taken out; then each of the others still can, once.
        for (const _ of made) {
          const { case: name, value, ...rest } = await selectAny(cases, { random });
          assert.deepEqual({ value, ...rest }, kinds[Number(name.slice(4))]!.outcome);
          assert.ok(!happened.has(name));
          happened.add(name);
          cases[name] = undefined;
        }
        assert.equal(happened.size, kinds.length);
        for (const { check } of made) await check?.();
      }
    }),
  );

  test(
    'a value sent to several that wait goes to one, those that wait longest first',
    withLeakCheck(async () => {
      const channels = range(0, 3).map(() => new Channel<number>());
      const selects = range(0, 6).map(() => selectAny(Object.fromEntries(channels.map((c, i) => [i, receive(c)]))));
      for (const i of range(0, 6)) assert.equal(channels[i % 3]!.trySend(i), true);
      assert.deepEqual(
        await Promise.all(selects),
        range(0, 6).map((i) => ({ case: String(i % 3), ...got(i) })),
      );
      for (const channel of channels) {
        assert.deepEqual(waitingAt(channel), NOBODY);
        assert.equal(channel.trySend(9), false);
      }
    }),
  );

  test(
    'two that become ready in one turn: the first one does',
    withLeakCheck(async () => {
      const [a, b] = [new Channel<string>(), new Channel<string>()];
      const [ctx, cancel] = withCancel(background());
      const selected = select({ a: receive(a), b: receive(b), quit: ctx });
      assert.equal(b.trySend('b'), true);
      cancel();
      assert.equal(a.trySend('a'), false, 'nobody waits any more');
      assert.deepEqual(await selected, { case: 'b', ...got('b') });
    }),
  );

  test(
    'one channel may be in several cases, and gives one value to one of them',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const selected = select({ a: receive(channel), b: channel, c: receive(channel) });
      assert.deepEqual(waitingAt(channel), { receivers: 3, senders: 0 });
      assert.equal(channel.trySend(1), true);
      assert.deepEqual({ ...(await selected) }, { case: 'a', ...got(1) });
      assert.deepEqual(waitingAt(channel), NOBODY);

      const sending = select({ a: send(channel, 1), b: send(channel, 2) });
      assert.deepEqual(await channel.receive(), got(1));
      assert.equal((await sending).case, 'a');
      assert.deepEqual(waitingAt(channel), NOBODY);
      assert.equal(channel.tryReceive(), undefined);
    }),
  );

  test(
    'a close ends a select with several cases at that channel once',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const selected = select({ a: receive(channel), b: receive(channel) });
      channel.close();
      assert.deepEqual({ ...(await selected) }, { case: 'a', value: undefined, ok: false });
    }),
  );

  test(
    'a close ends a select that sends and receives there by its receive',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const selected = select({ out: send(channel, 1), in: receive(channel) });
      channel.close();
      assert.deepEqual(await selected, { case: 'in', value: undefined, ok: false });
    }),
  );

  test(
    'a send and a receive on one channel don’t meet within one select, but with others',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const one = selectAny({ out: send(channel, 1), in: receive(channel) });
      await settle();
      assert.equal(await stateOf(one), 'pending');
      const two = selectAny({ out: send(channel, 2), in: receive(channel) }, { random: seeded(1) });
      const outcomes = [await one, await two].sort((a, b) => a.case.localeCompare(b.case));
      assert.equal(outcomes[0]!.case, 'in');
      assert.equal(outcomes[1]!.case, 'out');
      assert.deepEqual(waitingAt(channel), NOBODY);

      const three = selectAny({ out: send(channel, 3), in: receive(channel) });
      assert.deepEqual(await channel.receive(), got(3));
      assert.equal((await three).case, 'out');
      const four = selectAny({ out: send(channel, 4), in: receive(channel) });
      await channel.send(5);
      assert.deepEqual(await four, { case: 'in', ...got(5) });
      assert.deepEqual(waitingAt(channel), NOBODY);
    }),
  );

  test(
    'selects meet each other, each once, in a ring',
    withLeakCheck(async () => {
      const ring = range(0, 10).map(() => new Channel<number>());
      // Each passes to the right or takes from the left; of ten in a ring, five pairs come about, or fewer.
      const outcomes = ring.map((right, i) =>
        selectAny({ give: send(right, i), take: receive(ring[(i + 9) % 10]) }, { random: seeded(i) }),
      );
      await settle();
      const states = await Promise.all(outcomes.map((outcome) => stateOf(outcome)));
      const settled = await Promise.all(outcomes.filter((_, i) => states[i] === 'fulfilled'));
      const given = settled.filter((outcome) => outcome.case === 'give').length;
      const taken = settled.filter((outcome) => outcome.case === 'take').length;
      assert.equal(given, taken);
      assert.ok(given > 0);
      for (const channel of ring) {
        const { receivers, senders } = waitingAt(channel);
        assert.ok(receivers === 0 || senders === 0, 'nobody waits while there is a match');
      }
    }),
  );

  test(
    'one that loses holds its place no longer: others in line move up',
    withLeakCheck(async () => {
      const [a, b] = [new Channel<string>(), new Channel<string>()];
      const selected = select({ a: receive(a), b: receive(b) });
      const next = a.receive();
      assert.equal(b.trySend('b'), true);
      assert.equal(a.trySend('a'), true);
      assert.deepEqual(await selected, { case: 'b', ...got('b') });
      assert.deepEqual(await next, got('a'));
    }),
  );
});

describe('among several that are ready', () => {
  for (const count of [1, 2, 3, 5, 8]) {
    test(
      `each of ${count} has the same chance`,
      withLeakCheck(async () => {
        const random = seeded(count);
        const channel = closed();
        const cases = Object.fromEntries(range(0, count).map((i) => [`case${i}`, receive(channel)]));
        const counts = new Map<string, number>(Object.keys(cases).map((name) => [name, 0]));
        const rounds = 2_000 * count;
        for (const _ of range(0, rounds)) {
          const { case: name } = await selectAny(
            { never: receive(new Channel()), ...cases, off: undefined },
            { random },
          );
          counts.set(name, counts.get(name)! + 1);
        }
        assert.equal(counts.size, count, 'none that isn’t ready');
        // Five standard deviations from the mean, of a fixed sequence: never by chance.
        const spread = 5 * Math.sqrt(2_000 * (1 - 1 / count));
        for (const [name, n] of counts) assert.ok(Math.abs(n - 2_000) <= spread, `${name}: ${n} of ${rounds}`);
      }),
    );
  }

  test(
    'the same seed picks the same',
    withLeakCheck(async () => {
      const picks = async (seed: number) => {
        const random = seeded(seed);
        const picked: string[] = [];
        const channel = closed();
        for (const _ of range(0, 50)) {
          picked.push((await select({ a: channel, b: channel, c: channel }, { random })).case);
        }
        return picked.join('');
      };
      assert.equal(await picks(1), await picks(1));
      assert.notEqual(await picks(1), await picks(2));
    }),
  );

  test(
    'chance is Math.random unless told',
    withLeakCheck(async (t) => {
      const channel = closed();
      const picked = new Set<string>();
      for (const value of [0, 0.999_999]) {
        t.mock.method(Math, 'random', () => value);
        picked.add((await select({ a: channel, b: channel })).case);
      }
      assert.equal(picked.size, 2);
    }),
  );

  test(
    'a send and a receive both happen about as often',
    withLeakCheck(async () => {
      const random = seeded(3);
      const channel = new Channel<number>(2);
      channel.trySend(0);
      const counts = { in: 0, out: 0 };
      for (const i of range(0, 1_000)) {
        const r = await select({ in: receive(channel), out: send(channel, i) }, { random });
        counts[r.case]++;
        if (r.case === 'in') channel.trySend(i);
        else channel.tryReceive();
      }
      assert.ok(Math.abs(counts.in - 500) < 80, `${counts.in}`);
    }),
  );
});

describe('cases that are switched off', () => {
  for (const [name, off] of [
    ['undefined', undefined],
    ['a receive of undefined', receive(undefined)],
    ['a send to undefined', send(undefined, 1)],
  ] as const) {
    test(
      `${name} is never ready`,
      withLeakCheck(async () => {
        assert.deepEqual(await selectAny({ off, default: 1 }), { case: 'default', value: 1 });
        const channel = new Channel<number>();
        const selected = selectAny({ off, on: receive(channel) });
        await settle();
        assert.equal(await stateOf(selected), 'pending');
        channel.trySend(1);
        assert.deepEqual(await selected, { case: 'on', ...got(1) });
      }),
    );
  }

  for (const cases of [{}, { off: undefined }]) {
    test(
      `a select of ${Object.keys(cases).length} such cases waits for its signal alone`,
      withLeakCheck(async () => {
        const [ctx, cancel] = withCancelCause(background());
        const selected = selectAny(cases, { signal: ctx });
        await settle();
        assert.equal(await stateOf(selected), 'pending');
        cancel(why);
        await rejectsWith(selected, why);
      }),
    );
  }
});

describe('default', () => {
  for (const value of [undefined, null, 0, 'idle', { then: () => assert.fail() }, new Channel(), receive(undefined)]) {
    test(
      `may be anything, and is given as it is: ${String(value)}`,
      withLeakCheck(async () => {
        const r = await selectAny({ channel: new Channel(), default: value });
        assert.equal(r.case, 'default');
        assert.equal(r.value, value);
        assert.ok(!('ok' in r));
      }),
    );
  }

  test(
    'alone, happens',
    withLeakCheck(async () => {
      assert.deepEqual(await select({ default: 1 }), { case: 'default', value: 1 });
    }),
  );
});

describe('a signal', () => {
  for (const [kind, make] of ENDERS) {
    test(
      `${kind} that has fired ends a select before anything happens, a default too`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        fire(why);
        const [from, to] = [filled(1), new Channel<number>(1)];
        await rejectsWith(select({ in: receive(from), out: send(to, 1), default: 0 }, { signal }), why);
        assert.deepEqual([from.length, to.length], [1, 0]);
      }),
    );

    test(
      `${kind} that fires ends the wait, and leaves nobody at any channel, timer, signal or context`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const [from, to] = [new Channel<number>(), filled(1)];
        const clock = new VirtualClock();
        const ctx = counted();
        const { signal: quit } = new AbortController();
        const selected = select(
          { in: receive(from), out: send(to, 1), late: after(10, { clock }), ctx, quit },
          { signal },
        );
        assert.deepEqual([clock.timerCount, ctx.count, listenersOf(quit)], [1, 1, 1]);
        fire(why);
        await rejectsWith(selected, why);
        assert.deepEqual([clock.timerCount, ctx.count, listenersOf(quit)], [0, 0, 0]);
        assert.deepEqual([waitingAt(from), waitingAt(to)], [NOBODY, NOBODY]);
      }),
    );

    test(
      `${kind} that fires after a case has happened comes too late`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const channel = new Channel<number>();
        const selected = select({ in: receive(channel) }, { signal });
        channel.trySend(1);
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
        fire(why);
        assert.deepEqual(await selected, { case: 'in', ...got(1) });
      }),
    );
  }
});

describe('what goes wrong', () => {
  test(
    'a send to a closed channel rejects, chosen or while it waits',
    withLeakCheck(async () => {
      await assert.rejects(select({ out: send(closed(), 1) }), ClosedChannelError);
      await assert.rejects(select({ out: send(closed(), 1), default: 0 }), ClosedChannelError, 'it is ready');
      const [channel, other] = [new Channel<number>(), new Channel<number>()];
      const selected = select({ out: send(channel, 1), in: receive(other) });
      channel.close();
      await assert.rejects(selected, ClosedChannelError);
      assert.deepEqual(waitingAt(other), NOBODY);
    }),
  );

  test(
    'a receive from a channel closed with an error rejects with it, chosen or while it waits',
    withLeakCheck(async () => {
      await rejectsWith(select({ in: receive(closed(why)) }), why);
      const [channel, other] = [new Channel<number>(), new Channel<number>()];
      const selected = select({ in: receive(channel), other: receive(other) });
      channel.close(why);
      await rejectsWith(selected, why);
      assert.deepEqual(waitingAt(other), NOBODY);
    }),
  );

  for (const [name, wrong] of [
    ['null', null],
    ['a number', 5],
    ['a string', 'inbox'],
    ['a function', () => {}],
    ['a promise', Promise.resolve(1)],
    ['an object', {}],
    ['a case that wasn’t made by receive', { receiveFrom: new Channel() }],
    ['a controller', new AbortController()],
  ] as const) {
    test(
      `${name} as a case is a TypeError that names the case, and nothing happens`,
      withLeakCheck(async () => {
        const [from, to] = [filled(1), new Channel<number>(1)];
        await assert.rejects(selectAny({ in: receive(from), wrong, out: send(to, 1), default: 0 }), {
          name: 'TypeError',
          message: /^case wrong .*, got /,
        });
        assert.deepEqual([from.length, to.length], [1, 0]);
      }),
    );
  }

  test(
    'receive and send take only channels of errand, or undefined',
    withLeakCheck(() => {
      for (const wrong of [null, 5, 'inbox', {}, []]) {
        assert.throws(() => receive(wrong as unknown as ReceiveChannel<number>), {
          name: 'TypeError',
          message: /chan/,
        });
        assert.throws(() => send(wrong as unknown as Channel<number>, 1), { name: 'TypeError', message: /chan/ });
      }
      assert.throws(() => send(after(1) as unknown as Channel<number>, 1), TypeError);
    }),
  );

  test(
    'cases must be an object, and the signal one',
    withLeakCheck(async () => {
      for (const wrong of [null, undefined, 5, 'abc']) {
        await assert.rejects(selectAny(wrong as unknown as Record<string, unknown>), {
          name: 'TypeError',
          message: /cases/,
        });
      }
      await assert.rejects(selectAny({}, { signal: {} as AbortSignal }), { name: 'TypeError', message: /signal/ });
    }),
  );

  test(
    'a clock that goes backwards is told of, and the select doesn’t hang',
    withLeakCheck(async () => {
      const times = [0, 10, 0]; // as it is made, asked and taken from
      const clock = {
        timeOrigin: 0,
        now: () => times.shift()!,
        setTimeout: () => assert.fail(),
        clearTimeout: () => {},
      };
      await assert.rejects(select({ tick: after(5, { clock }) }), /case tick .*clock/);
    }),
  );
});

describe('a loop of selects', () => {
  test(
    'leaves nobody at channels it never hears of, at a context, a signal or a timer',
    withLeakCheck(async () => {
      const [busy, silent, stuck] = [new Channel<number>(), new Channel<number>(), filled(0)];
      const clock = new VirtualClock();
      const ctx = counted();
      const { signal } = new AbortController();
      let most = 0;
      const producer = (async () => {
        for (const i of range(0, 5_000)) await busy.send(i);
        busy.close();
      })();
      for (let open = true; open; ) {
        const r = await select(
          {
            busy: receive(busy),
            silent: receive(silent),
            stuck: send(stuck, 1),
            late: after(1_000, { clock }),
            ctx,
            signal,
          },
          { signal: ctx },
        );
        assert.equal(r.case, 'busy');
        open = r.ok === true;
        most = Math.max(
          most,
          waitingAt(silent).receivers,
          waitingAt(stuck).senders,
          clock.timerCount,
          ctx.count,
          listenersOf(signal),
        );
      }
      await producer;
      assert.equal(most, 0);
      assert.deepEqual([waitingAt(busy), stuck.length], [NOBODY, 1]);
    }),
  );

  test(
    'with after as its limit counts each round anew',
    withLeakCheck(async () => {
      const clock = new VirtualClock();
      const channel = new Channel<number>();
      const limited = () => select({ in: receive(channel), late: after(100, { clock }) });
      for (const i of range(0, 3)) {
        const selected = limited();
        await clock.advance(99);
        channel.trySend(i);
        assert.deepEqual(await selected, { case: 'in', ...got(i) });
        assert.equal(clock.timerCount, 0);
      }
      const selected = limited();
      await clock.advance(100);
      assert.deepEqual(await selected, { case: 'late', ...got(3 * 99 + 100) });
    }),
  );
});
