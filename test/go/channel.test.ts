import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { show } from '../../src/go/checks.ts';
import {
  background,
  Channel,
  ClosedChannelError,
  type Received,
  type WaitOptions,
  withCancel,
  withCancelCause,
} from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, NOBODY, range, rejectsWith, waitingAt } from './waiting.ts';

const END: Received<never> = { value: undefined, ok: false };
const got = <T>(value: T): Received<T> => ({ value, ok: true });

/** A channel with these values in it. */
function filled<T>(capacity: number, values: T[]): Channel<T> {
  const channel = new Channel<T>(capacity);
  for (const value of values) assert.equal(channel.trySend(value), true);
  return channel;
}

/** What is there now. */
function drain<T>(channel: Channel<T>): T[] {
  const values: T[] = [];
  for (let r = channel.tryReceive(); r?.ok; r = channel.tryReceive()) values.push(r.value);
  return values;
}

describe('making a channel', () => {
  test(
    'the capacity is a whole number from 0, or Infinity; 0 unless told',
    withLeakCheck(() => {
      for (const capacity of [0, 1, 7, 1e9, Number.POSITIVE_INFINITY]) {
        assert.equal(new Channel(capacity).capacity, capacity);
      }
      assert.equal(new Channel().capacity, 0);
      for (const wrong of [-1, 0.5, Number.NaN, Number.NEGATIVE_INFINITY, '3', null, {}, Symbol('3')]) {
        assert.throws(() => new Channel(wrong as number), {
          name: 'RangeError',
          message: `capacity must be a whole number from 0, or Infinity, got ${show(wrong)}`,
        });
      }
    }),
  );

  test(
    'it is open and empty',
    withLeakCheck(() => {
      const channel = new Channel(3);
      assert.deepEqual([channel.length, channel.capacity, channel.closed], [0, 3, false]);
    }),
  );
});

describe('a channel without a buffer', () => {
  test(
    'a send waits until someone receives',
    withLeakCheck(async () => {
      const channel = new Channel<string>();
      const sent = channel.send('a');
      await settle();
      assert.equal(await stateOf(sent), 'pending');
      assert.equal(channel.length, 0, 'a waiting value is in no buffer');
      assert.deepEqual(await channel.receive(), got('a'));
      assert.equal(await sent, undefined);
    }),
  );

  test(
    'a receive waits until someone sends, who then needn’t wait',
    withLeakCheck(async () => {
      const channel = new Channel<string>();
      const received = channel.receive();
      await settle();
      assert.equal(await stateOf(received), 'pending');
      await channel.send('a');
      assert.deepEqual(await received, got('a'));
    }),
  );

  test(
    'any value goes over, undefined and promises of nobody’s too',
    withLeakCheck(async () => {
      const channel = new Channel<unknown>();
      const object = {};
      const thenable = { then: () => assert.fail('a value is never awaited') };
      for (const value of [undefined, null, 0, '', Number.NaN, object, thenable]) {
        const sent = channel.send(value);
        const { value: there, ok } = await channel.receive();
        assert.ok(Object.is(there, value) && ok);
        await sent;
        const received = channel.receive();
        await channel.send(value);
        assert.ok(Object.is((await received).value, value));
      }
    }),
  );
});

describe('a channel with a buffer', () => {
  for (const capacity of [1, 2, 3, 8, 9, 100]) {
    test(
      `${capacity} values go in without a wait, the next ones wait, and all come out in order`,
      withLeakCheck(async () => {
        const channel = new Channel<number>(capacity);
        for (const i of range(0, capacity)) {
          await channel.send(i);
          assert.equal(channel.length, i + 1);
        }
        const late = range(capacity, capacity + 5).map((i) => channel.send(i));
        await settle();
        for (const sent of late) assert.equal(await stateOf(sent), 'pending');
        assert.equal(channel.length, capacity, 'those who wait don’t count');
        for (const i of range(0, 5)) {
          assert.deepEqual(await channel.receive(), got(i));
          await late[i];
          assert.equal(channel.length, capacity, 'the first who waits fills the place');
        }
        assert.deepEqual(drain(channel), range(5, capacity + 5));
        assert.equal(channel.length, 0);
      }),
    );
  }

  test(
    'without bounds, no send waits, and a burst of 100,000 comes out in order',
    withLeakCheck(async () => {
      const channel = new Channel<number>(Number.POSITIVE_INFINITY);
      for (const i of range(0, 100_000)) assert.equal(channel.trySend(i), true);
      assert.equal(channel.length, 100_000);
      assert.deepEqual(drain(channel), range(0, 100_000));
      await channel.send(1);
      assert.deepEqual(await channel.receive(), got(1), 'and goes on being of use');
    }),
  );

  test(
    'the order is kept while the buffer goes round, and grows, at any filling',
    withLeakCheck(async () => {
      const channel = new Channel<number>(Number.POSITIVE_INFINITY);
      let sent = 0;
      let received = 0;
      for (const step of range(1, 60)) {
        for (let i = 0; i < step; i++) assert.equal(channel.trySend(sent++), true);
        for (let i = 0; i < step - (step % 3); i++) assert.deepEqual(channel.tryReceive(), got(received++));
      }
      assert.deepEqual(drain(channel), range(received, sent));
    }),
  );
});

describe('first come, first served', () => {
  for (const capacity of [0, 1, 10]) {
    test(
      `senders that wait, with capacity ${capacity}`,
      withLeakCheck(async () => {
        const channel = new Channel<number>(capacity);
        const order: number[] = [];
        const all = range(0, 100).map((i) => channel.send(i).then(() => order.push(i)));
        for (const i of range(0, 100)) assert.deepEqual(await channel.receive(), got(i));
        await Promise.all(all);
        assert.deepEqual(order, range(0, 100));
      }),
    );

    test(
      `receivers that wait, with capacity ${capacity}`,
      withLeakCheck(async () => {
        const channel = new Channel<number>(capacity);
        const order: number[] = [];
        const all = range(0, 100).map((i) =>
          channel.receive().then((received) => {
            order.push(i);
            return received.value;
          }),
        );
        for (const i of range(0, 100)) await channel.send(i);
        assert.deepEqual(await Promise.all(all), range(0, 100));
        assert.deepEqual(order, range(0, 100));
        assert.equal(channel.length, 0);
      }),
    );
  }

  test(
    'receive, values and for await stand in one line',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const iterator = channel.values();
      const first = channel.receive();
      const second = iterator.next();
      const third = channel[Symbol.asyncIterator]().next();
      const fourth = channel.receive();
      for (const i of [1, 2, 3, 4]) assert.equal(channel.trySend(i), true);
      assert.deepEqual(await Promise.all([first, second, third, fourth]), [
        got(1),
        { value: 2, done: false },
        { value: 3, done: false },
        got(4),
      ]);
    }),
  );
});

describe('what needs no wait', () => {
  interface Row {
    readonly name: string;
    readonly make: () => Channel<number>;
    /** What trySend and tryReceive of a fresh one give; an error by its class. */
    readonly send: boolean | typeof ClosedChannelError;
    readonly receive: Received<number> | undefined | Error;
    readonly length: number;
    readonly closed?: boolean;
  }
  const failure = new Error('the source broke');
  const waiting = (channel: Channel<number>, op: 'send' | 'receive'): Channel<number> => {
    const waiter: Promise<unknown> = op === 'send' ? channel.send(9) : channel.receive();
    waiter.catch(() => {});
    return channel;
  };
  const closed = (channel: Channel<number>, error?: Error): Channel<number> => {
    channel.close(error);
    return channel;
  };
  const rows: Row[] = [
    { name: 'empty, no buffer', make: () => new Channel(), send: false, receive: undefined, length: 0 },
    { name: 'empty, a buffer', make: () => new Channel(1), send: true, receive: undefined, length: 0 },
    { name: 'half full', make: () => filled(2, [1]), send: true, receive: got(1), length: 1 },
    { name: 'full', make: () => filled(2, [1, 2]), send: false, receive: got(1), length: 2 },
    { name: 'a sender waits', make: () => waiting(new Channel(), 'send'), send: false, receive: got(9), length: 0 },
    {
      name: 'full and a sender waits',
      make: () => waiting(filled(1, [1]), 'send'),
      send: false,
      receive: got(1),
      length: 1,
    },
    {
      name: 'a receiver waits',
      make: () => waiting(new Channel(), 'receive'),
      send: true,
      receive: undefined,
      length: 0,
    },
    {
      name: 'closed, empty',
      make: () => closed(new Channel(1)),
      send: ClosedChannelError,
      receive: END,
      length: 0,
      closed: true,
    },
    {
      name: 'closed, with values',
      make: () => closed(filled(2, [1])),
      send: ClosedChannelError,
      receive: got(1),
      length: 1,
      closed: true,
    },
    {
      name: 'closed with an error, with values',
      make: () => closed(filled(2, [1]), failure),
      send: ClosedChannelError,
      receive: got(1),
      length: 1,
      closed: true,
    },
    {
      name: 'closed with an error, empty',
      make: () => closed(new Channel(), failure),
      send: ClosedChannelError,
      receive: failure,
      length: 0,
      closed: true,
    },
  ];
  for (const { name, make, send, receive, length, closed: isClosed = false } of rows) {
    test(
      `${name}: trySend, tryReceive, length and closed`,
      withLeakCheck(async () => {
        const fresh = make();
        assert.deepEqual([fresh.length, fresh.closed], [length, isClosed]);
        if (typeof send === 'function') assert.throws(() => fresh.trySend(5), send);
        else assert.equal(fresh.trySend(5), send);
        if (receive instanceof Error) {
          assert.throws(
            () => make().tryReceive(),
            (error) => error === receive,
          );
        } else {
          assert.deepEqual(make().tryReceive(), receive);
        }
      }),
    );
  }

  test(
    'a refused trySend keeps nothing, a refused tryReceive leaves nobody waiting',
    withLeakCheck(() => {
      const channel = new Channel<number>();
      assert.equal(channel.trySend(1), false);
      assert.equal(channel.tryReceive(), undefined);
      assert.deepEqual(waitingAt(channel), NOBODY);
      assert.equal(channel.trySend(2), false);
    }),
  );
});

describe('closing', () => {
  for (const capacity of [0, 3]) {
    test(
      `receivers get what is left, then ok: false for ever, with capacity ${capacity}`,
      withLeakCheck(async () => {
        const values = range(0, capacity);
        const channel = filled(capacity, values);
        channel.close();
        assert.equal(channel.closed, true);
        for (const value of values) assert.deepEqual(await channel.receive(), got(value));
        for (let i = 0; i < 3; i++) assert.deepEqual(await channel.receive(), END);
        assert.equal(channel.length, 0);
      }),
    );
  }

  test(
    'ends all receivers that wait, in order',
    withLeakCheck(async () => {
      const channel = new Channel<number>(1);
      const order: number[] = [];
      const all = range(0, 10).map((i) => channel.receive().finally(() => order.push(i)));
      const next = channel.values().next();
      channel.close();
      assert.deepEqual(
        await Promise.all(all),
        all.map(() => END),
      );
      assert.deepEqual(await next, { value: undefined, done: true });
      assert.deepEqual(order, range(0, 10));
      assert.deepEqual(waitingAt(channel), NOBODY);
    }),
  );

  test(
    'refuses senders that wait, whose values are gone, and those that come',
    withLeakCheck(async () => {
      const channel = filled(1, [1]);
      const waiting = [channel.send(2), channel.send(3, { signal: new AbortController().signal })];
      channel.close();
      for (const sent of waiting) {
        await assert.rejects(sent, { name: 'ClosedChannelError', code: 'ERR_CLOSED_CHANNEL' });
      }
      await assert.rejects(channel.send(4), ClosedChannelError);
      await assert.rejects(channel.send(4, { signal: background() }), ClosedChannelError);
      assert.throws(() => channel.trySend(4), ClosedChannelError);
      assert.deepEqual(drain(channel), [1]);
    }),
  );

  test(
    'a second time throws, with an error too, and changes nothing',
    withLeakCheck(async () => {
      const channel = new Channel();
      channel.close();
      assert.throws(() => channel.close(), ClosedChannelError);
      assert.throws(() => channel.close(new Error('late')), ClosedChannelError);
      assert.deepEqual(await channel.receive(), END);
    }),
  );

  for (const error of [new Error('broken'), 'a string', null, 0, false]) {
    test(
      `with an error (${error}): receivers get it, after the values before`,
      withLeakCheck(async () => {
        const waitedFor = new Channel();
        const waiting = [waitedFor.receive(), waitedFor.values().next(), waitedFor.toArray()];
        waitedFor.close(error);
        for (const wait of waiting) await rejectsWith(wait, error);

        const channel = filled(2, [1, 2]);
        channel.close(error);
        assert.deepEqual(await channel.receive(), got(1));
        assert.deepEqual(channel.tryReceive(), got(2));
        for (let i = 0; i < 2; i++) {
          await rejectsWith(channel.receive(), error);
          await rejectsWith(channel.values().next(), error);
          assert.throws(
            () => channel.tryReceive(),
            (thrown) => thrown === error,
          );
        }
        await assert.rejects(channel.send(3), ClosedChannelError);
      }),
    );
  }

  test(
    'with undefined is a close without an error',
    withLeakCheck(async () => {
      const channel = new Channel();
      channel.close(undefined);
      assert.deepEqual(await channel.receive(), END);
    }),
  );
});

describe('a signal', () => {
  /** Each wait on a channel that makes it wait, what lets it go on, and what it gives then. */
  const waits: readonly [
    name: string,
    begin: (channel: Channel<number>, options: WaitOptions) => Promise<unknown>,
    letGo: (channel: Channel<number>) => unknown,
    result: unknown,
  ][] = [
    ['send', (c, options) => c.send(1, options), (c) => assert.deepEqual(c.tryReceive(), got(1)), undefined],
    ['receive', (c, options) => c.receive(options), (c) => assert.equal(c.trySend(1), true), got(1)],
    [
      'values',
      (c, options) => c.values(options).next(),
      (c) => assert.equal(c.trySend(1), true),
      { value: 1, done: false },
    ],
    [
      'toArray',
      (c, options) => c.toArray(options),
      (c) => {
        assert.equal(c.trySend(1), true);
        c.close();
      },
      [1],
    ],
  ];
  for (const [kind, make] of ENDERS) {
    for (const [name, begin, letGo, result] of waits) {
      test(
        `${name} with ${kind} that has fired rejects at once and begins nothing`,
        withLeakCheck(async () => {
          const { signal, fire } = make();
          const reason = new Error('why');
          fire(reason);
          const channel = filled(2, [7]);
          await rejectsWith(begin(channel, { signal }), reason);
          assert.deepEqual(drain(channel), [7], 'not even when it wouldn’t wait');
        }),
      );

      test(
        `${name} with ${kind} that fires leaves the line, and no value is lost`,
        withLeakCheck(async () => {
          const { signal, fire } = make();
          const channel = new Channel<number>();
          const waiting = begin(channel, { signal });
          const reason = new Error('why');
          fire(reason);
          assert.deepEqual(waitingAt(channel), NOBODY, 'at once');
          await rejectsWith(waiting, reason);
          assert.equal(channel.tryReceive(), undefined, 'what was to be sent is not there');
          assert.equal(channel.trySend(2), false, 'who was to receive is not there');
        }),
      );

      test(
        `${name} with ${kind} that fires after the hand-over has happened, and nobody listens any more`,
        withLeakCheck(async () => {
          const { signal, fire } = make();
          const channel = new Channel<number>();
          const waiting = begin(channel, { signal });
          letGo(channel);
          if (signal instanceof AbortSignal && name !== 'toArray') assert.equal(listenersOf(signal), 0);
          await settle();
          fire(new Error('too late'));
          assert.deepEqual(await waiting, result);
        }),
      );
    }

    test(
      `${kind} that fires in the very turn of the hand-over comes too late for both sides`,
      withLeakCheck(async () => {
        const one = make();
        const channel = new Channel<number>();
        const received = channel.receive({ signal: one.signal });
        const sent = channel.send(1, { signal: one.signal });
        one.fire(new Error('too late'));
        assert.deepEqual(await received, got(1));
        await sent;

        const other = make();
        const sending = channel.send(2, { signal: other.signal });
        const receiving = channel.receive({ signal: other.signal });
        other.fire(new Error('too late'));
        assert.deepEqual(await receiving, got(2));
        await sending;
      }),
    );

    test(
      `${kind} of one sender takes its value out of the line, not those around it`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const channel = filled(1, [0]);
        const sent = [channel.send(1), channel.send(2, { signal }), channel.send(3)];
        fire('gone');
        await rejectsWith(sent[1]!, 'gone');
        assert.deepEqual(drain(channel), [0, 1, 3]);
        await Promise.all([sent[0], sent[2]]);
      }),
    );
  }

  test(
    'one AbortSignal has one listener however many wait by it, and none when none waits',
    withLeakCheck(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const channel = new Channel<number>();
      const waiting = range(0, 1_000).map(() => channel.receive({ signal }));
      assert.equal(listenersOf(signal), 1);
      for (const i of range(0, 500)) channel.trySend(i);
      assert.equal(listenersOf(signal), 1);
      assert.deepEqual(
        await Promise.all(waiting.slice(0, 500)),
        range(0, 500).map((i) => got(i)),
      );
      const left = waiting.slice(500).map((wait) => rejectsWith(wait, 'enough'));
      controller.abort('enough');
      await Promise.all(left);
      assert.equal(listenersOf(signal), 0);
    }),
  );

  test(
    'undefined is none; anything else is a TypeError, and nothing is begun',
    withLeakCheck(async () => {
      const channel = filled(2, [1]);
      assert.deepEqual(await channel.receive({ signal: undefined }), got(1));
      await channel.send(2, { signal: undefined });
      await channel.send(3, {});
      for (const wrong of [{ signal: {} }, { signal: 'abort' }, { signal: null }, { signal: new AbortController() }]) {
        const options = wrong as unknown as WaitOptions;
        await assert.rejects(channel.receive(options), { name: 'TypeError', message: /signal/ });
        await assert.rejects(channel.send(4, options), { name: 'TypeError', message: /signal/ });
        await assert.rejects(channel.values(options).next(), { name: 'TypeError', message: /signal/ });
      }
      for (const wrong of [1, 'soon', null]) {
        const options = wrong as unknown as WaitOptions;
        await assert.rejects(channel.receive(options), { name: 'TypeError', message: /options/ });
        await assert.rejects(channel.send(4, options), { name: 'TypeError', message: /options/ });
      }
      assert.deepEqual(drain(channel), [2, 3]);
    }),
  );

  for (const op of ['receive', 'send'] as const) {
    test(
      `of 10,000 that wait to ${op}, most leave from the middle, and the others keep their order`,
      withLeakCheck(async () => {
        const channel = new Channel<number>();
        const all = range(0, 10_000).map((i) => {
          const [ctx, cancel] = withCancel(background());
          const wait: Promise<unknown> =
            op === 'send' ? channel.send(i, { signal: ctx }) : channel.receive({ signal: ctx });
          return { cancel, outcome: wait.catch(() => 'left') };
        });
        for (const i of range(0, 10_000)) {
          const at = 5_000 + (i % 2 === 0 ? i / 2 : -(i + 1) / 2); // from the middle to both sides
          if (at % 10 !== 0) all[at]!.cancel();
        }
        const stayed = range(0, 1_000).map((i) => i * 10);
        if (op === 'send') assert.deepEqual(drain(channel), stayed);
        else for (const i of stayed) assert.equal(channel.trySend(i), true);
        assert.deepEqual(
          await Promise.all(all.map(({ outcome }) => outcome)),
          all.map((_, i) => (i % 10 !== 0 ? 'left' : op === 'send' ? undefined : got(i))),
        );
        assert.deepEqual(waitingAt(channel), NOBODY);
      }),
    );
  }

  test(
    'one that refuses may let the next in: a listener that sends finds the line in order',
    withLeakCheck(async () => {
      const [ctx, cancel] = withCancelCause(background());
      const channel = new Channel<number>();
      const first = channel.receive({ signal: ctx });
      const second = channel.receive();
      ctx.signal.addEventListener('abort', () => assert.equal(channel.trySend(1), true));
      cancel('gone');
      await rejectsWith(first, 'gone');
      assert.deepEqual(await second, got(1));
    }),
  );
});

describe('a loop', () => {
  test(
    'gets all values until the close',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const loop = (async () => {
        const values: number[] = [];
        for await (const value of channel) values.push(value);
        return values;
      })();
      for (const i of range(0, 10)) await channel.send(i);
      channel.close();
      assert.deepEqual(await loop, range(0, 10));
    }),
  );

  for (const [name, leave] of [
    ['break', () => 'break'],
    ['a throw', () => 'throw'],
  ] as const) {
    test(
      `left by ${name}, leaves the channel open, with the rest of its values`,
      withLeakCheck(async () => {
        const channel = filled(5, range(0, 5));
        const loop = async () => {
          for await (const value of channel) {
            if (value < 2) continue;
            if (leave() === 'throw') throw new Error('enough');
            break;
          }
        };
        await loop().catch((error: Error) => assert.equal(error.message, 'enough'));
        assert.equal(channel.closed, false);
        assert.deepEqual(drain(channel), [3, 4]);
        await channel.send(9);
        assert.deepEqual(await channel.receive(), got(9));
        assert.deepEqual(waitingAt(channel), NOBODY);
      }),
    );
  }

  test(
    'throws the error of a close with one, after the values',
    withLeakCheck(async () => {
      const channel = filled(2, [1, 2]);
      const failure = new Error('broken');
      channel.close(failure);
      const values: number[] = [];
      await rejectsWith(
        (async () => {
          for await (const value of channel) values.push(value);
        })(),
        failure,
      );
      assert.deepEqual(values, [1, 2]);
    }),
  );

  for (const [kind, make] of ENDERS) {
    test(
      `over values, ended by ${kind}, throws the reason and takes no more`,
      withLeakCheck(async () => {
        const { signal, fire } = make();
        const channel = filled(3, [1, 2, 3]);
        const values: number[] = [];
        const loop = (async () => {
          for await (const value of channel.values({ signal })) {
            values.push(value);
            if (value === 2) fire('enough');
          }
        })();
        await rejectsWith(loop, 'enough');
        assert.deepEqual(values, [1, 2]);
        assert.deepEqual(drain(channel), [3]);
        if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
      }),
    );
  }

  test(
    'several share the values, each goes to one',
    withLeakCheck(async () => {
      const channel = new Channel<number>(3);
      const shares = range(0, 4).map(() => channel.toArray());
      for (const i of range(0, 1_000)) await channel.send(i);
      channel.close();
      const all = (await Promise.all(shares)).flat().sort((a, b) => a - b);
      assert.deepEqual(all, range(0, 1_000));
    }),
  );

  test(
    'an iterator is one of its own, done for good once it was left',
    withLeakCheck(async () => {
      const channel = filled(3, [1, 2, 3]);
      const iterator = channel.values();
      assert.equal(iterator[Symbol.asyncIterator](), iterator);
      assert.notEqual(channel.values(), iterator);
      assert.deepEqual(await iterator.next(), { value: 1, done: false });
      assert.deepEqual(await iterator.return?.(), { value: undefined, done: true });
      assert.deepEqual(await iterator.next(), { value: undefined, done: true });
      assert.deepEqual(drain(channel), [2, 3]);
    }),
  );

  test(
    'left while its next value is awaited, takes none any more',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const [iterator, other] = [channel.values(), channel.values()];
      const before = [other.next(), channel.receive()];
      const mine = [iterator.next(), iterator.next()];
      const after = [other.next(), channel.receive()];
      const last = iterator.next();
      await iterator.return?.();
      for (const next of [...mine, last]) assert.deepEqual(await next, { value: undefined, done: true });
      for (const i of range(0, 4)) assert.equal(channel.trySend(i), true, 'the others wait on');
      assert.deepEqual(waitingAt(channel), NOBODY);
      const values = (await Promise.all([...before, ...after])).map(({ value }) => value);
      assert.deepEqual(values, range(0, 4));
    }),
  );

  test(
    'an iterator throws once, whatever reads wait then, and is at its end',
    withLeakCheck(async () => {
      const failure = new Error('broken');
      const done = { value: undefined, done: true };
      const channel = new Channel<number>();
      const waiting = channel.values();
      const [first, second] = [waiting.next(), waiting.next()];
      const late = channel.values();
      channel.close(failure);
      await rejectsWith(first, failure);
      assert.deepEqual(await second, done);
      assert.deepEqual(await waiting.next(), done);
      await rejectsWith(late.next(), failure);
      assert.deepEqual(await late.next(), done);

      const controller = new AbortController();
      const ended = filled(1, [1]).values({ signal: controller.signal });
      controller.abort(failure);
      await rejectsWith(ended.next(), failure);
      assert.deepEqual(await ended.next(), done);
    }),
  );

  test(
    'toArray rejects with what ends it',
    withLeakCheck(async () => {
      const channel = filled(3, [1, 2]);
      const failed = channel.toArray();
      channel.close(new Error('broken'));
      await assert.rejects(failed, { message: 'broken' });
    }),
  );
});

describe('a value is in exactly one place', () => {
  test(
    'at every step of a random walk: with a sender, in the buffer, or received',
    withLeakCheck(async () => {
      for (const capacity of [0, 1, 4]) {
        const channel = new Channel<number>(capacity);
        const [ctx, cancel] = withCancel(background());
        const refused: number[] = [];
        const received: number[] = [];
        let next = 0;
        let pending = 0;
        for (const step of range(0, 500)) {
          // Runs of sends and of receives, longer than the buffer.
          if ((step * 7) % 23 < 11) {
            const value = next++;
            channel.send(value, { signal: ctx }).catch(() => refused.push(value));
          } else {
            pending++;
            channel.receive({ signal: ctx }).then(
              ({ value }) => {
                pending--;
                received.push(value!);
              },
              () => pending--,
            );
          }
          await settle(1);
          const { senders, receivers } = waitingAt(channel);
          assert.equal(received.length + channel.length + senders, next, 'no value twice, none lost');
          assert.equal(receivers, pending);
          assert.ok(senders === 0 || receivers === 0, 'nobody waits while there is a match');
        }
        cancel();
        await settle(1);
        assert.deepEqual([...received, ...drain(channel), ...refused], range(0, next));
      }
    }),
  );
});
