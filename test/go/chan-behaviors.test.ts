/** What Go's own tests ask of channels and selects, in our words: its test/chan, test/closedchan and runtime/chan_test. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Channel, ClosedChannelError, type ReceiveChannel, receive, select, send } from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { turn } from '../../src/testing/turn.ts';
import { settle, stateOf, within } from '../manager/kit.ts';
import { add, constant, differentiate, exp, first, multiply, ONE, tan, ZERO } from './power-series.ts';
import { NOBODY, range, seeded, waitingAt } from './waiting.ts';

/** Begins something that goes on beside; a failure in it is an unhandled rejection, which fails the test. */
function go(process: () => Promise<unknown>): void {
  void process();
}

async function take<T>(channel: ReceiveChannel<T>, count: number): Promise<T[]> {
  const values: T[] = [];
  for await (const value of channel) if (values.push(value) === count) break;
  return values;
}

function closed<T>(channel: Channel<T>): Channel<T> {
  channel.close();
  return channel;
}

describe('order', () => {
  test(
    'what goes into a buffer comes out in the same order',
    withLeakCheck(async () => {
      const channel = new Channel<number>(10);
      for (const i of range(0, 10)) await channel.send(i);
      assert.deepEqual(await take(channel, 10), range(0, 10));
    }),
  );

  test(
    'a row of processes, each started by the one before, ends in order',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      let before = closed(new Channel<number>());
      for (const i of range(0, 10)) {
        const [waits, done] = [before, new Channel<number>()];
        go(async () => {
          await waits.receive();
          assert.equal((await channel.receive()).value, i);
          done.close();
        });
        before = done;
      }
      for (const i of range(0, 10)) await channel.send(i);
      assert.equal((await before.receive()).ok, false);
    }),
  );

  test(
    'a chain of 10,000 relays hands on a number, each adding one',
    withLeakCheck(async () => {
      const leftmost = new Channel<number>();
      let left = leftmost;
      for (const _ of range(0, 10_000)) {
        const [to, from] = [left, new Channel<number>()];
        go(async () => to.send((await from.receive()).value! + 1));
        left = from;
      }
      await left.send(0);
      assert.equal((await leftmost.receive()).value, 10_000);
    }),
  );
});

describe('without waiting', () => {
  /** The ways to try, which must agree. */
  const ways = {
    tries: {
      receive: async <T>(channel: Channel<T>) => channel.tryReceive(),
      send: async <T>(channel: Channel<T>, value: T) => channel.trySend(value),
    },
    'selects with a default': {
      receive: async <T>(channel: Channel<T>) => {
        const r = await select({ got: receive(channel), default: undefined });
        return r.case === 'got' ? { value: r.value, ok: r.ok } : undefined;
      },
      send: async <T>(channel: Channel<T>, value: T) => {
        const r = await select({ sent: send(channel, value), default: undefined });
        return r.case === 'sent';
      },
    },
  };
  for (const [way, { receive: receiveNow, send: sendNow }] of Object.entries(ways)) {
    for (const value of [1, 'one', undefined, null, false, {}, Symbol('one')]) {
      test(
        `${way}: ${String(value)} goes over only when somebody waits, or there is room`,
        withLeakCheck(async () => {
          const unbuffered = new Channel<unknown>();
          assert.equal(await receiveNow(unbuffered), undefined);
          assert.equal(await sendNow(unbuffered, value), false);

          const received = unbuffered.receive();
          assert.equal(await sendNow(unbuffered, value), true);
          assert.deepEqual(await received, { value, ok: true });

          const sent = unbuffered.send(value);
          assert.deepEqual(await receiveNow(unbuffered), { value, ok: true });
          await sent;

          const buffered = new Channel<unknown>(1);
          assert.equal(await receiveNow(buffered), undefined);
          assert.equal(await sendNow(buffered, value), true);
          assert.equal(await sendNow(buffered, value), false);
          assert.deepEqual(await receiveNow(buffered), { value, ok: true });
          assert.equal(await receiveNow(buffered), undefined);
        }),
      );
    }
  }

  test(
    'a select with a default finds what is there, though a send to another channel comes between',
    withLeakCheck(async () => {
      for (const _ of range(0, 1_000)) {
        const [a, b] = [new Channel<number>(1), new Channel<number>(1)];
        await a.send(1);
        const found = select({ a: receive(a), b: receive(b), default: 'nothing' });
        await b.send(1);
        await select({ a: receive(a), default: 'nothing' });
        assert.notEqual((await found).case, 'default');
      }
    }),
  );

  test(
    'a select with a default finds the close of an empty channel',
    withLeakCheck(async () => {
      const [a, b] = [new Channel<number>(1), new Channel<number>()];
      await a.send(1);
      const found = select({ a: receive(a), b: receive(b), default: 'nothing' });
      b.close();
      a.tryReceive();
      assert.notEqual((await found).case, 'default');
      assert.equal((await select({ a: receive(a), b: receive(b), default: 'nothing' })).case, 'b');
    }),
  );
});

describe('which operations wait', () => {
  const full = () => {
    const channel = new Channel<number>(10);
    for (const i of range(0, 10)) channel.trySend(i);
    return channel;
  };
  const some = () => {
    const channel = new Channel<number>(10);
    for (const i of range(0, 5)) channel.trySend(i);
    return channel;
  };
  const channels: Record<string, { make: () => Channel<number> | undefined; send: string; receive: string }> = {
    'none at all': { make: () => undefined, send: 'pending', receive: 'pending' },
    'no buffer': { make: () => new Channel(), send: 'pending', receive: 'pending' },
    'an empty buffer': { make: () => new Channel(10), send: 'fulfilled', receive: 'pending' },
    'a half full buffer': { make: some, send: 'fulfilled', receive: 'fulfilled' },
    'a full buffer': { make: full, send: 'pending', receive: 'fulfilled' },
    'a close, no buffer': { make: () => closed(new Channel()), send: 'rejected', receive: 'fulfilled' },
    'a close, a buffer': { make: () => closed(new Channel(10)), send: 'rejected', receive: 'fulfilled' },
    'a close, values': { make: () => closed(some()), send: 'rejected', receive: 'fulfilled' },
  };
  for (const [name, { make, send: sends, receive: receives }] of Object.entries(channels)) {
    test(
      `${name}: a send is ${sends}, a receive ${receives}, alone and in a select; with a default, none waits`,
      withLeakCheck(async () => {
        const ops: [string, Promise<unknown>][] = [
          [sends, select({ it: send(make(), 1) })],
          [receives, select({ it: receive(make()) })],
          [sends, select({ it: send(make(), 1), off: undefined })],
          [sends === 'rejected' ? 'rejected' : 'fulfilled', select({ it: send(make(), 1), default: 0 })],
          ['fulfilled', select({ it: receive(make()), default: 0 })],
        ];
        const channel = make();
        if (channel !== undefined) ops.push([sends, make()!.send(1)], [receives, channel.receive()]);
        for (const [, op] of ops) op.catch(() => {});
        await settle();
        assert.deepEqual(
          await Promise.all(ops.map(([, op]) => stateOf(op))),
          ops.map(([state]) => state),
        );
        for (const [state, op] of ops) if (state === 'rejected') await assert.rejects(op, ClosedChannelError);
      }),
    );
  }

  test(
    'a select of none, or of such as can never happen, waits for ever',
    withLeakCheck(async () => {
      const selects = [
        select({}),
        select({ a: undefined }),
        select({ a: receive(undefined), b: send(undefined, 1) }),
        select({ a: receive(new Channel()), b: send(full(), 1) }),
      ];
      await settle(20);
      for (const selected of selects) assert.equal(await stateOf(selected), 'pending');
    }),
  );
});

describe('a closed channel', () => {
  for (const [name, make] of [
    ['without a buffer', () => new Channel<number>()],
    ['with a buffer', () => new Channel<number>(2)],
    [
      'with values once, now received',
      () => {
        const channel = new Channel<number>(2);
        channel.trySend(1);
        channel.tryReceive();
        return channel;
      },
    ],
  ] as const) {
    test(
      `${name}: every receive ends at once, again and again; every send and a second close fails`,
      withLeakCheck(async () => {
        const channel = closed(make());
        const end = { value: undefined, ok: false };
        for (const _ of range(0, 5)) {
          assert.deepEqual(await channel.receive(), end);
          assert.deepEqual(channel.tryReceive(), end);
          assert.deepEqual({ ...(await select({ it: receive(channel) })) }, { case: 'it', ...end });
          assert.deepEqual({ ...(await select({ it: channel, default: 0 })) }, { case: 'it', ...end });
          await assert.rejects(channel.send(1), ClosedChannelError);
          assert.throws(() => channel.trySend(1), ClosedChannelError);
          await assert.rejects(select({ it: send(channel, 1) }), ClosedChannelError);
          await assert.rejects(select({ it: send(channel, 1), default: 0 }), ClosedChannelError);
          assert.throws(() => channel.close(), ClosedChannelError);
        }
        assert.deepEqual(await channel.toArray(), []);
      }),
    );
  }
});

describe('no value twice, none lost', () => {
  for (const capacity of [0, 1, 10, 100]) {
    test(
      `a channel of ${capacity}: waits, tries, order, close, and many senders and receivers`,
      withLeakCheck(async () => {
        const waiting = new Channel<number>(capacity);
        const receiving = [waiting.receive(), waiting.receive()];
        await settle();
        assert.equal(await stateOf(receiving[0]!), 'pending');
        assert.equal(waiting.tryReceive(), undefined);
        await waiting.send(0);
        await waiting.send(0);
        await Promise.all(receiving);

        const channel = new Channel<number>(capacity);
        for (const i of range(0, capacity)) assert.equal(channel.trySend(i), true);
        assert.equal(channel.trySend(0), false);
        channel.close();
        assert.deepEqual(await channel.toArray(), range(0, capacity));

        const one = new Channel<number>(capacity);
        go(async () => {
          for (const i of range(0, 100)) await one.send(i);
        });
        assert.deepEqual(await take(one, 100), range(0, 100));

        // Four who send all numbers, four who receive their share: each number comes four times.
        const many = new Channel<number>(capacity);
        for (const _ of range(0, 4)) {
          go(async () => {
            for (const i of range(0, 100)) await many.send(i);
          });
        }
        const counts = new Array<number>(100).fill(0);
        await Promise.all(
          range(0, 4).map(async () => {
            for (const i of await take(many, 100)) counts[i]!++;
          }),
        );
        assert.ok(counts.every((count) => count === 4));
        assert.deepEqual([many.length, waitingAt(many)], [0, NOBODY]);
      }),
    );
  }

  test(
    'a select that sends to four channels, all read into one: each number comes out once',
    withLeakCheck(async () => {
      const channels = range(0, 4).map(() => new Channel<number>());
      const [a, b, c, d] = channels;
      const random = seeded(1);
      go(async () => {
        for (const i of range(0, 5_000)) {
          await select({ a: send(a, i), b: send(b, i), c: send(c, i), d: send(d, i) }, { random });
        }
        for (const channel of channels) channel.close();
      });
      const out = new Channel<number>();
      go(async () => {
        await Promise.all(
          channels.map(async (channel) => {
            for await (const value of channel) await out.send(value);
          }),
        );
        out.close();
      });
      const all = await out.toArray();
      assert.deepEqual(
        all.sort((x, y) => x - y),
        range(0, 5_000),
      );
    }),
  );

  test(
    'four channels, sent to and received from directly and by selects that switch off what is done',
    withLeakCheck(async () => {
      const N = 500;
      const channels = [new Channel<number>(), new Channel<number>(), new Channel<number>(2), new Channel<number>(3)];
      const random = seeded(2);
      const direct = channels.flatMap((channel) => [
        (async () => {
          for (const i of range(0, N)) await channel.send(i);
        })(),
        (async () => {
          for (const _ of range(0, N)) await channel.receive();
        })(),
      ]);
      const selecting = async (caseOf: (channel: Channel<number> | undefined, n: number) => unknown) => {
        const open: (Channel<number> | undefined)[] = [...channels];
        const done = [0, 0, 0, 0];
        for (const _ of range(0, 4 * N)) {
          const cases = Object.fromEntries(open.map((channel, i) => [String(i), caseOf(channel, done[i]!)]));
          const { case: name } = await select(cases as Record<string, Channel<number>>, { random });
          const i = Number(name);
          if (++done[i]! === N) open[i] = undefined;
        }
        assert.deepEqual(done, [N, N, N, N]);
      };
      await within(Promise.all([...direct, selecting(send), selecting((channel) => receive(channel))]), 100_000);
      for (const channel of channels) assert.deepEqual([channel.length, waitingAt(channel)], [0, NOBODY]);
    }),
  );

  test(
    'many consumers between two channels: all numbers get through, by all of them',
    withLeakCheck(async () => {
      const [queue, results] = [new Channel<number>(17), new Channel<number>(17)];
      const numbers = range(0, 5_000);
      const workers = range(0, 23).map(async (worker) => {
        let taken = 0;
        for await (const value of queue) {
          if (++taken % 5 === worker % 5) await turn();
          await results.send(value);
        }
        return taken;
      });
      go(async () => {
        for (const i of numbers) await queue.send(i);
        queue.close();
        await Promise.all(workers);
        results.close();
      });
      const sum = (await results.toArray()).reduce((total, value) => total + value, 0);
      assert.equal(
        sum,
        numbers.reduce((total, value) => total + value, 0),
      );
      assert.ok((await Promise.all(workers)).every((taken) => taken > 0));
    }),
  );
});

describe('selects', () => {
  test(
    'that send and receive on one channel meet each other, never themselves',
    withLeakCheck(async () => {
      for (const capacity of [0, 10]) {
        const channel = new Channel<number>(capacity);
        const random = seeded(3);
        await Promise.all(
          [0, 1].map(async (me) => {
            for (const i of range(0, 1_000)) {
              if (me === 0 || i % 2 === 0) {
                const r = await select({ out: send(channel, me), in: receive(channel) }, { random });
                if (r.case === 'in' && capacity === 0) assert.notEqual(r.value, me, 'from itself');
              } else {
                const r = await select({ in: receive(channel), out: send(channel, me) }, { random });
                if (r.case === 'in' && capacity === 0) assert.notEqual(r.value, me, 'from itself');
              }
            }
          }),
        );
        assert.deepEqual(waitingAt(channel), NOBODY);
      }
    }),
  );

  test(
    'of two channels that are always ready take from both, never from those that are not',
    withLeakCheck(async () => {
      const [one, two, silent] = [new Channel<number>(), new Channel<number>(), new Channel<number>()];
      const done = new Channel<void>();
      for (const channel of [one, two]) {
        go(async () => {
          for (;;) if ((await select({ sent: send(channel, 1), done: receive(done) })).case === 'done') return;
        });
      }
      const counts = { one: 0, two: 0, silent: 0 };
      const random = seeded(4);
      for (const _ of range(0, 2_000)) {
        counts[(await select({ one: receive(one), two: receive(two), silent: receive(silent) }, { random })).case]++;
      }
      done.close();
      assert.equal(counts.silent, 0);
      assert.ok(Math.abs(counts.one - 1_000) < 120, `${counts.one} of 2000`);
    }),
  );

  test(
    'that send one of two values to one channel send both, about as often',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const random = seeded(5);
      go(async () => {
        for (const _ of range(0, 1_000)) {
          await turn(); // so that the receiver waits, and both are ready
          await select({ zero: send(channel, 0), one: send(channel, 1) }, { random });
        }
      });
      const ones = (await take(channel, 1_000)).reduce((sum, value) => sum + value, 0);
      assert.ok(Math.abs(ones - 500) < 80, `${ones} of 1000`);
    }),
  );

  test(
    'that are left by one case stand nowhere else in line: those behind get what comes',
    withLeakCheck(async () => {
      const [line, out, told] = [new Channel<boolean>(), new Channel<boolean>(), new Channel<boolean>()];
      go(() => line.receive());
      go(async () => {
        const r = await select({ line: receive(line), out: receive(out) });
        assert.equal(r.case, 'out');
        await told.send(true);
        await line.receive();
      });
      go(() => out.send(true));
      await told.receive();
      await within(line.send(true));
      await within(line.send(true));

      go(() => line.send(true));
      go(async () => {
        const r = await select({ line: send(line, false), out: receive(out) });
        assert.equal(r.case, 'out');
        await told.send(true);
        await line.send(true);
      });
      go(() => out.send(true));
      await told.receive();
      assert.equal((await within(line.receive())).value, true);
      assert.equal((await within(line.receive())).value, true);
    }),
  );

  test(
    'feed two receivers in turns, with the other case switched off, until all is sent',
    withLeakCheck(async () => {
      let counter = 0;
      let shift = 0;
      const next = () => 2 ** ++counter;
      const [a, b] = [new Channel<number>(), new Channel<number>()];
      const fed = (async () => {
        const values = { a: next(), b: next() };
        const open: { a: Channel<number> | undefined; b: Channel<number> | undefined } = { a, b };
        while (open.a !== undefined || open.b !== undefined) {
          const r = await select({ a: send(open.a, values.a), b: send(open.b, values.b) });
          shift++;
          if (counter >= 10) open[r.case] = undefined;
          else values[r.case] = next();
        }
        a.close();
        b.close();
      })();
      const [all] = await Promise.all([Promise.all([a.toArray(), b.toArray()]), fed]);
      const sum = all.flat().reduce((total, value) => total + value, 0);
      assert.equal(sum, 2 ** 11 - 2);
      assert.equal(shift, 10);
    }),
  );

  for (const [how, receiveOne] of Object.entries({
    'a plain receive': (channel: Channel<number>) => channel.receive(),
    'a select of one': (channel: Channel<number>) => select({ it: receive(channel) }),
    'a select of two': (channel: Channel<number>) => select({ it: receive(channel), never: receive(new Channel()) }),
    'a loop': (channel: Channel<number>) => channel.values().next(),
  })) {
    test(
      `that send find ${how} that waits: plainly, with a default, with others`,
      withLeakCheck(async () => {
        const ways: ((channel: Channel<number>) => Promise<unknown>)[] = [
          (channel) => channel.send(1),
          (channel) => select({ it: send(channel, 1) }),
          async (channel) => assert.equal((await select({ it: send(channel, 1), default: 0 })).case, 'it'),
          (channel) => select({ it: send(channel, 1), never: receive(new Channel()) }),
        ];
        for (const way of ways) {
          for (const capacity of [0, 5]) {
            const channel = new Channel<number>(capacity);
            const received = receiveOne(channel);
            await way(channel);
            assert.equal((await received).value, 1);
            assert.deepEqual([channel.length, waitingAt(channel)], [0, NOBODY]);
          }
        }
      }),
    );
  }
});

describe('programs', () => {
  test(
    'a prime sieve: a chain of filters, one for each prime',
    withLeakCheck(async () => {
      const end = new AbortController();
      const { signal } = end;
      const stage = (run: () => Promise<void>) => run().catch((error) => assert.equal(error, signal.reason));
      const stages: Promise<void>[] = [];
      const numbers = new Channel<number>();
      stages.push(
        stage(async () => {
          for (let i = 2; ; i++) await numbers.send(i, { signal });
        }),
      );
      const primes: number[] = [];
      for (let input = numbers; primes.length < 100; ) {
        const { value: prime } = await input.receive();
        primes.push(prime!);
        const [from, to] = [input, new Channel<number>()];
        stages.push(
          stage(async () => {
            for await (const i of from.values({ signal })) if (i % prime! !== 0) await to.send(i, { signal });
          }),
        );
        input = to;
      }
      const isPrime = (n: number) => range(2, Math.floor(Math.sqrt(n)) + 1).every((i) => n % i !== 0);
      assert.deepEqual(primes, range(2, 542).filter(isPrime));
      end.abort();
      await Promise.all(stages);
    }),
  );

  test(
    'power series: a network of processes whose coefficients flow as they are asked for',
    withLeakCheck(async () => {
      const ones = () => constant(ONE);
      const x = () => constant(ZERO, ONE, ZERO);
      assert.deepEqual(await first(ones(), 4), ['1', '1', '1', '1']);
      assert.deepEqual(await first(add(ones(), ones()), 4), ['2', '2', '2', '2']);
      assert.deepEqual(await first(multiply(ones(), ones()), 10), range(1, 11).map(String), '1 / (1 - x)²');
      assert.deepEqual(await first(differentiate(multiply(ones(), ones())), 5), ['2', '6', '12', '20', '30']);
      assert.deepEqual(
        await first(exp(x()), 8),
        ['1', '1', '1/2', '1/6', '1/24', '1/120', '1/720', '1/5040'],
        'the exponential of x',
      );
      assert.deepEqual(
        await first(tan(), 10),
        ['0', '1', '0', '1/3', '0', '2/15', '0', '17/315', '0', '62/2835'],
        'the tangent, which is fed by its own square',
      );
    }),
  );
});
