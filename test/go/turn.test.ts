/** Loops that never wait still let timers and I/O run: what they receive is told in the next turn now and then. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs';
import { extname } from 'node:path';
import { describe, test } from 'node:test';
import { background, Channel, merge, receive, select, send, Timer, withCancel } from '../../src/go/index.ts';
import { inNextTurn, isTurnOver } from '../../src/go/turn.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { deferred } from '../manager/kit.ts';
import { range } from './waiting.ts';

/** After so many rounds a loop that starves everybody else gives up. */
const ROUNDS = 300_000;
/** A turn is over after 1,000 hand-overs, but they are only looked at now and then. */
const AT_MOST = 1_100;

/** Goes on for ever, but for what `goesOn` says after each round. */
type Loop = (goesOn: () => boolean) => Promise<unknown>;

function full(): Channel<number> {
  const channel = new Channel<number>(10);
  for (const i of range(0, 10)) channel.trySend(i);
  return channel;
}

function closed(): Channel<number> {
  const channel = new Channel<number>();
  channel.close();
  return channel;
}

function* endless(): Generator<number> {
  for (let i = 0; ; i++) yield i;
}

const loops: Record<string, Loop> = {
  'for await': async (goesOn) => {
    const channel = full();
    for await (const value of channel) {
      channel.trySend(value);
      if (!goesOn()) return;
    }
  },
  'for await over values that waits each time': async (goesOn) => {
    const channel = new Channel<number>();
    void (async () => {
      while (!channel.closed) await channel.send(1).catch(() => {});
    })();
    for await (const _ of channel.values({ signal: new AbortController().signal })) if (!goesOn()) break;
    channel.close();
  },
  receive: async (goesOn) => {
    const channel = full();
    do channel.trySend((await channel.receive()).value!);
    while (goesOn());
  },
  'receive from a closed channel': async (goesOn) => {
    const channel = closed();
    do await channel.receive();
    while (goesOn());
  },
  'send to a channel that others empty at once': async (goesOn) => {
    const channel = new Channel<number>(1);
    const { signal } = new AbortController();
    for (let i = 0; goesOn(); i++) {
      await channel.send(i, i % 2 === 0 ? undefined : { signal });
      await channel.receive();
    }
  },
  'send to a channel without a bound': async (goesOn) => {
    const channel = new Channel<number>(Number.POSITIVE_INFINITY);
    do await channel.send(1);
    while (goesOn());
  },
  'select of a receive': async (goesOn) => {
    const channel = full();
    do channel.trySend((await select({ value: receive(channel) })).value!);
    while (goesOn());
  },
  'select of a send': async (goesOn) => {
    const channel = new Channel<number>(1);
    do {
      await select({ sent: send(channel, 1) });
      channel.tryReceive();
    } while (goesOn());
  },
  'select that waits each time': async (goesOn) => {
    const channel = new Channel<number>();
    do {
      const selected = select({ value: receive(channel), never: receive(undefined) });
      channel.trySend(1);
      await selected;
    } while (goesOn());
  },
  'select with a default': async (goesOn) => {
    const channel = new Channel<number>();
    do await select({ value: receive(channel), default: 1 });
    while (goesOn());
  },
  'select of a closed channel': async (goesOn) => {
    do await select({ value: closed() });
    while (goesOn());
  },
  'select of a canceled context': async (goesOn) => {
    const [ctx, cancel] = withCancel(background());
    cancel();
    do await select({ quit: ctx });
    while (goesOn());
  },
  'a timer that is due again and again': async (goesOn) => {
    const timer = new Timer(0);
    do {
      await timer.channel.receive();
      timer.reset(-1);
    } while (goesOn());
  },
  'ping-pong': async (goesOn) => {
    const [ping, pong] = [new Channel<number>(), new Channel<number>()];
    const player = (async () => {
      for await (const ball of ping) await pong.send(ball + 1);
    })();
    for (let ball = 0; goesOn(); ball = (await pong.receive()).value!) await ping.send(ball);
    ping.close();
    await player;
  },
  'a pipe of relays': async (goesOn) => {
    const [from, to] = [new Channel<number>(), new Channel<number>()];
    const piped = from.pipeTo(to);
    do {
      await from.send(1);
      await to.receive();
    } while (goesOn());
    from.close();
    await piped;
  },
  'an endless source': async (goesOn) => {
    const [ctx, cancel] = withCancel(background());
    for await (const _ of Channel.from(endless(), { signal: ctx })) if (!goesOn()) break;
    cancel();
  },
  'a merge of endless sources': async (goesOn) => {
    const [ctx, cancel] = withCancel(background());
    const sources = [full(), full()].map((channel) => ({
      async *[Symbol.asyncIterator]() {
        for await (const value of channel) {
          channel.trySend(value);
          yield value;
        }
      },
    }));
    for await (const _ of merge(sources, { signal: ctx })) if (!goesOn()) break;
    cancel();
  },
};

/** What must come about while a loop runs. */
const events: Record<string, (happen: () => void) => unknown> = {
  'a timer': (happen) => setTimeout(happen, 0),
  'an answer of the file system': (happen) => stat('.', happen),
};

describe('a loop that never waits', () => {
  for (const [name, loop] of Object.entries(loops)) {
    test(
      `${name}: an immediate comes after at most ${AT_MOST} hand-overs`,
      withLeakCheck(async () => {
        let rounds = 0;
        let came = false;
        setImmediate(() => {
          came = true;
        });
        await loop(() => ++rounds < ROUNDS && !came);
        assert.ok(rounds <= AT_MOST, `${rounds} rounds`);
      }),
    );

    for (const [event, begin] of Object.entries(events)) {
      test(
        `${name}: ${event} comes`,
        withLeakCheck(async () => {
          let rounds = 0;
          const happened = deferred();
          let came = false;
          begin(() => {
            came = true;
            happened.resolve();
          });
          await loop(() => ++rounds < ROUNDS && !came);
          const inTime = came;
          await happened.promise;
          assert.ok(inTime, `not within ${ROUNDS} rounds`);
        }),
      );
    }
  }
});

describe('the end of a turn', () => {
  /** Where counting begins anew. */
  const fresh = () => new Promise<void>((resolve) => inNextTurn(resolve));

  /** How many hand-overs there may still be in this turn. */
  function untilOver(): number {
    let count = 1;
    while (!isTurnOver()) count++;
    return count;
  }

  test(
    'comes after 1,000 hand-overs',
    withLeakCheck(async (t) => {
      t.mock.method(performance, 'now', () => 0);
      await fresh();
      assert.equal(untilOver(), 1_000);
    }),
  );

  test(
    'comes after 10 ms, at which only each 40th hand-over looks',
    withLeakCheck(async (t) => {
      let now = 0;
      t.mock.method(performance, 'now', () => now);
      await fresh();
      now = 9.9;
      for (const _ of range(0, 99)) assert.equal(isTurnOver(), false);
      now = 10;
      assert.equal(untilOver(), 21, 'the 120th');
      await fresh();
      for (const _ of range(0, 200)) assert.equal(isTurnOver(), false);
    }),
  );

  test(
    'holds for all who come until the next one, and they are told then, in order',
    withLeakCheck(async () => {
      await fresh();
      const told: number[] = [];
      for (const i of range(0, 100)) {
        inNextTurn(() => told.push(i));
        assert.equal(isTurnOver(), true);
      }
      await Promise.resolve();
      assert.deepEqual(told, []);
      await turn();
      assert.deepEqual(told, range(0, 100));
      assert.equal(isTurnOver(), false);
    }),
  );

  test(
    'makes senders wait as well, whose values are there',
    withLeakCheck(async () => {
      await fresh();
      const channel = new Channel<number>(5);
      const told: string[] = [];
      inNextTurn(() => told.push('a receiver'));
      const sent = [channel.send(1), channel.send(2, { signal: new AbortController().signal })];
      for (const promise of sent) void promise.then(() => told.push('a sender'));
      assert.equal(channel.length, 2);
      for (const _ of range(0, 10)) await Promise.resolve();
      assert.deepEqual(told, []);
      await turn();
      assert.deepEqual(told, ['a receiver', 'a sender', 'a sender']);
    }),
  );

  test(
    'those who come while others are told wait for the turn after',
    withLeakCheck(async () => {
      await fresh();
      const told: string[] = [];
      inNextTurn(() => {
        told.push('first');
        inNextTurn(() => told.push('third'));
      });
      inNextTurn(() => told.push('second'));
      await turn();
      assert.deepEqual(told, ['first', 'second']);
      await turn();
      assert.deepEqual(told, ['first', 'second', 'third']);
    }),
  );

  test(
    'receivers are told in the order in which they came, across turns',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const order: number[] = [];
      const all = range(0, 3_000).map((i) => channel.receive().then(({ value }) => order.push(value!, i)));
      for (const i of range(0, 3_000)) channel.trySend(i);
      await Promise.all(all);
      assert.deepEqual(
        order,
        range(0, 3_000).flatMap((i) => [i, i]),
      );
    }),
  );

  for (const missing of [['setImmediate'], ['setImmediate', 'MessageChannel']] as const) {
    test(
      `comes without ${missing.join(' and ')} too, as browsers have it`,
      withLeakCheck(async () => {
        const global = globalThis as Record<string, unknown>;
        const taken = missing.map((name) => [name, global[name]] as const);
        const told: number[] = [];
        const finished = deferred();
        try {
          for (const name of missing) delete global[name];
          const copy: typeof import('../../src/go/turn.ts') = await import(
            // As this module is, compiled or not.
            `../../src/go/turn${extname(import.meta.url)}?without=${missing.join()}`
          );
          for (const i of range(0, 3)) copy.inNextTurn(() => told.push(i));
          copy.inNextTurn(() => copy.inNextTurn(finished.resolve));
          assert.deepEqual(told, []);
          await finished.promise;
        } finally {
          for (const [name, value] of taken) global[name] = value;
        }
        assert.deepEqual(told, [0, 1, 2]);
      }),
    );
  }
});
