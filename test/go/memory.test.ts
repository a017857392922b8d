/** What channels hold on to: nothing that has gone through them, and nobody who has gone. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  background,
  Channel,
  Mutex,
  type ReceiveChannel,
  receive,
  select,
  Ticker,
  withCancel,
} from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { settle } from '../manager/kit.ts';
import { range } from './waiting.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const MB = 2 ** 20;

/** Runs it, and says by how many bytes the heap has grown, once all garbage is gone. */
async function growth(run: () => unknown): Promise<number> {
  const used = async () => {
    for (let i = 0; i < 3; i++) {
      await settle(2);
      gc();
    }
    return process.memoryUsage().heapUsed;
  };
  const before = await used();
  await run();
  return (await used()) - before;
}

/** Whether what it makes is garbage afterwards. */
async function isCollected(make: () => object): Promise<boolean> {
  const made = new WeakRef(make());
  for (let i = 0; i < 10 && made.deref() !== undefined; i++) {
    await settle(2);
    gc();
  }
  return made.deref() === undefined;
}

describe('memory', () => {
  test(
    'a value that was received is no longer held by the channel',
    withLeakCheck(async () => {
      const channel = new Channel<object>(4);
      channel.trySend({});
      assert.ok(await isCollected(() => channel.tryReceive()!.value!));
      assert.equal(channel.tryReceive(), undefined);
    }),
  );

  test(
    'the room for a burst of a million values is given back',
    withLeakCheck(async () => {
      const channel = new Channel<number>(Number.POSITIVE_INFINITY);
      const grown = await growth(() => {
        for (let i = 0; i < 1e6; i++) channel.trySend(i);
        while (channel.length > 0) channel.tryReceive();
      });
      assert.ok(grown < 2 * MB, `${grown} bytes`);
      assert.equal(channel.length, 0);
    }),
  );

  test(
    'who waits at a channel that nobody can reach any more is collected with it',
    withLeakCheck(async () => {
      const waiting: ((channel: Channel<number>) => unknown)[] = [
        (channel) => channel.receive(),
        (channel) => channel.send(1),
        (channel) => channel.toArray(),
        (channel) => select({ a: receive(channel), b: receive(new Channel()) }),
        (channel) => channel.pipeTo(new Channel<number>()),
        (channel) => channel.receive({ signal: withCancel(background())[0] }),
      ];
      for (const wait of waiting) {
        const made = await isCollected(() => {
          const channel = new Channel<number>();
          wait(channel);
          return channel;
        });
        assert.ok(made, String(wait));
      }
    }),
  );

  test(
    'a ticker that is forgotten is collected, as it holds no timer',
    withLeakCheck(async () => {
      assert.ok(await isCollected(() => new Ticker(1_000)));
    }),
  );

  const never: ReceiveChannel<number> = new Channel<number>();
  const [ctx] = withCancel(background());
  const { signal } = new AbortController();
  const mutex = new Mutex();
  const loops: Record<string, () => Promise<unknown>> = {
    'selects beside a channel, a context and a signal that never come': async () => {
      const channel = new Channel<number>();
      for (const i of range(0, 5_000)) {
        const selected = select({ it: channel, never, ctx, signal }, { signal: ctx });
        channel.trySend(i);
        await selected;
      }
    },
    'receives with a context and with a signal': async () => {
      const channel = new Channel<number>();
      for (const i of range(0, 5_000)) {
        const received = channel.receive({ signal: i % 2 === 0 ? ctx : signal });
        channel.trySend(i);
        await received;
      }
    },
    'locks with a context and with a signal': async () => {
      for (const i of range(0, 3_000)) {
        const held = await mutex.lock();
        const waiting = mutex.lock({ signal: i % 2 === 0 ? ctx : signal });
        held.release();
        (await waiting).release();
      }
    },
  };
  for (const [name, loop] of Object.entries(loops)) {
    test(
      `thousands of ${name} leave nothing`,
      withLeakCheck(async () => {
        await loop(); // what is made once
        const grown = await growth(loop);
        assert.ok(grown < MB / 2, `${grown} bytes`);
      }),
    );
  }

  test(
    'a pipe that goes on for long holds no more than at its beginning',
    withLeakCheck(async () => {
      const channel = new Channel<number>();
      const slow = new WritableStream<number>({ write: () => Promise.resolve() }, { highWaterMark: 1 });
      const piped = channel.pipeTo(slow, { signal: ctx });
      const many = async () => {
        for (const i of range(0, 5_000)) await channel.send(i);
      };
      await many();
      const grown = await growth(many);
      assert.ok(grown < MB / 2, `${grown} bytes`);
      channel.close();
      await piped;
    }),
  );
});
