import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, get, type IncomingMessage } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ReadableStream, WritableStream } from 'node:stream/web';
import { describe, test } from 'node:test';
import {
  Channel,
  ClosedChannelError,
  type Destination,
  type FromOptions,
  type PipeOptions,
  type Source,
} from '../../src/go/index.ts';
import { withLeakCheck } from '../../src/testing/index.ts';
import { deferred, settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, NOBODY, range, rejectsWith, waitingAt } from './waiting.ts';

const why = new Error('why');

function filled<T>(values: T[], capacity = values.length): Channel<T> {
  const channel = new Channel<T>(capacity);
  for (const value of values) channel.trySend(value);
  return channel;
}

function closedWith<T>(...values: T[]): Channel<T> {
  const channel = filled(values);
  channel.close();
  return channel;
}

/** A web stream as old browsers have it: it can't be iterated. */
function plain<T>(stream: ReadableStream<T>): Source<T> {
  return { getReader: () => stream.getReader() } as Source<T>;
}

/** A web stream of these values, which then ends or fails. */
function webStream(values: number[], failure?: Error): ReadableStream<number> {
  return new ReadableStream({
    start(controller) {
      for (const value of values) controller.enqueue(value);
      if (failure === undefined) controller.close();
    },
    pull(controller) {
      controller.error(failure);
    },
  });
}

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'errand-pipe-'));
  try {
    await run(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

describe('Channel.from', () => {
  const ONE_TO_FIVE = [1, 2, 3, 4, 5];
  const sources: Record<string, () => Source<number>> = {
    'an array': () => ONE_TO_FIVE,
    'a Set': () => new Set(ONE_TO_FIVE),
    'a generator': function* () {
      yield* ONE_TO_FIVE;
    },
    'an async generator': async function* () {
      yield* ONE_TO_FIVE;
    },
    'a channel': () => closedWith(...ONE_TO_FIVE),
    'a Node Readable': () => Readable.from(ONE_TO_FIVE),
    'a Node Readable that is pushed to': () => {
      const stream = new Readable({ objectMode: true, read() {} });
      for (const value of ONE_TO_FIVE) setImmediate(() => stream.push(value));
      setImmediate(() => stream.push(null));
      return stream;
    },
    'a web ReadableStream': () => webStream(ONE_TO_FIVE),
    'a web ReadableStream that can’t be iterated': () => plain(webStream(ONE_TO_FIVE)),
  };
  for (const [name, make] of Object.entries(sources)) {
    for (const capacity of [0, 3]) {
      test(
        `${name}, with capacity ${capacity}: gives its values in order and ends`,
        withLeakCheck(async () => {
          const { signal } = new AbortController();
          const channel = Channel.from(make(), { capacity, signal });
          assert.equal(channel.capacity, capacity);
          assert.deepEqual(await channel.toArray(), ONE_TO_FIVE);
          assert.equal(channel.closed, true);
          assert.equal(listenersOf(signal), 0);
        }),
      );
    }
  }

  test(
    'nothing at all gives a closed channel',
    withLeakCheck(async () => {
      assert.deepEqual(await Channel.from([]).toArray(), []);
    }),
  );

  test(
    'promises in an array are awaited, one after the other',
    withLeakCheck(async () => {
      const channel = Channel.from([Promise.resolve(1), 2, Promise.resolve(3)]);
      assert.deepEqual(await channel.toArray(), [1, 2, 3]);
    }),
  );

  test(
    'an iterator whose next gives no object fails, as in a loop over it',
    withLeakCheck(async () => {
      const broken = { [Symbol.asyncIterator]: () => ({ next: async () => 5 as never }) };
      await assert.rejects(Channel.from(broken).toArray(), {
        name: 'TypeError',
        message: /next\(\) gave no object, but 5/,
      });
    }),
  );

  test(
    'a socket can be piped to itself',
    withLeakCheck(async () => {
      const piped = deferred<void>();
      const server = net.createServer((socket) => {
        Channel.from<Buffer>(socket).pipeTo(socket).then(piped.resolve, piped.reject);
      });
      await once(server.listen(0), 'listening');
      const client = net.connect((server.address() as AddressInfo).port);
      client.end('hello');
      const echoed: Buffer[] = [];
      for await (const piece of client) echoed.push(piece as Buffer);
      await piped.promise;
      assert.equal(Buffer.concat(echoed).toString(), 'hello');
      server.close();
      await once(server, 'close');
    }),
  );

  test(
    'promises that a channel or an async iterable gives stay what they are, as in a loop over it',
    withLeakCheck(async () => {
      const one = Promise.resolve(1);
      const source = new Channel<Promise<number>>(1);
      source.trySend(one);
      source.close();
      const copy: Channel<Promise<number>> = Channel.from(source);
      const received = await copy.receive();
      assert.equal(received.value, one);
    }),
  );

  test(
    'a web stream is unlocked at its end',
    withLeakCheck(async () => {
      const stream = webStream([1]);
      await Channel.from(stream).toArray();
      assert.equal(stream.locked, false);
    }),
  );

  for (const capacity of [0, 1, 3]) {
    test(
      `is read one value ahead of the receivers and a buffer of ${capacity}`,
      withLeakCheck(async () => {
        let pulled = 0;
        const [ctl, channel] = fromEndless(() => pulled++, { capacity });
        await settle();
        assert.equal(pulled, capacity + 1);
        await channel.receive();
        await settle();
        assert.equal(pulled, capacity + 2);
        ctl.abort();
        await settle();
      }),
    );
  }

  function fromEndless(pull: () => number, options?: FromOptions) {
    const controller = new AbortController();
    const source = (function* () {
      for (;;) yield pull();
    })();
    return [controller, Channel.from(source, { ...options, signal: controller.signal })] as const;
  }

  const failing: Record<string, (failure: Error) => Source<number>> = {
    'a generator': function* (failure) {
      yield* [1, 2];
      throw failure;
    },
    'an async generator': async function* (failure) {
      yield* [1, 2];
      throw failure;
    },
    'an array with a rejected promise': (failure) => [1, 2, Promise.reject(failure)] as unknown as number[],
    'a channel closed with an error': (failure) => {
      const channel = filled([1, 2]);
      channel.close(failure);
      return channel;
    },
    'a Node Readable': (failure) =>
      Readable.from(
        (async function* () {
          yield* [1, 2];
          throw failure;
        })(),
      ),
    'a web ReadableStream': (failure) => webStream([1, 2], failure),
    'a web ReadableStream that can’t be iterated': (failure) => plain(webStream([1, 2], failure)),
  };
  for (const [name, make] of Object.entries(failing)) {
    test(
      `${name} that fails: so does who receives, after the values before`,
      withLeakCheck(async () => {
        const { signal } = new AbortController();
        const channel = Channel.from(make(why), { signal });
        assert.deepEqual(await channel.receive(), { value: 1, ok: true });
        assert.deepEqual(await channel.receive(), { value: 2, ok: true });
        await rejectsWith(channel.receive(), why);
        await rejectsWith(channel.receive(), why);
        assert.equal(listenersOf(signal), 0);
      }),
    );
  }

  test(
    'a source that fails with undefined has failed, too',
    withLeakCheck(async () => {
      const channel = Channel.from({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(undefined) }) });
      await rejectsWith(channel.receive(), undefined);
    }),
  );

  for (const wrong of [5, null, undefined, {}, () => {}]) {
    test(
      `${String(wrong)} is no source: who receives is told by a TypeError`,
      withLeakCheck(async () => {
        const channel = Channel.from(wrong as unknown as Source<number>);
        await assert.rejects(channel.receive(), { name: 'TypeError', message: /source must be/ });
      }),
    );
  }

  test(
    'wrong options throw',
    withLeakCheck(() => {
      assert.throws(() => Channel.from([], { capacity: -1 }), RangeError);
      assert.throws(() => Channel.from([], { signal: {} as AbortSignal }), TypeError);
    }),
  );

  /** Sources that wait for ever after 1, each with what says that it has been told of the end. */
  const waiting: Record<string, () => { source: Source<number>; hasEnded(): boolean; wasRead?(): boolean }> = {
    'a generator': () => {
      let ended = false;
      const source = (function* () {
        try {
          for (;;) yield 1;
        } finally {
          ended = true;
        }
      })();
      return { source, hasEnded: () => ended };
    },
    'an async generator': () => {
      let ended = false;
      const source = (async function* () {
        try {
          for (;;) yield 1;
        } finally {
          ended = true;
        }
      })();
      return { source, hasEnded: () => ended };
    },
    'an iterator that waits': () => {
      let ended = false;
      let left = 1;
      const source: AsyncIterable<number> = {
        [Symbol.asyncIterator]: () => ({
          next: async () => (left-- > 0 ? { value: 1, done: false } : new Promise(() => {})),
          return: async () => {
            ended = true;
            return { value: undefined, done: true };
          },
        }),
      };
      return { source, hasEnded: () => ended, wasRead: () => left < 1 };
    },
    'a channel that waits': () => {
      const source = filled([1]);
      return { source, hasEnded: () => waitingAt(source).receivers === 0, wasRead: () => source.length < 1 };
    },
    'a Node Readable that waits': () => {
      const source = new Readable({ objectMode: true, read() {} });
      source.push(1);
      return { source, hasEnded: () => source.destroyed };
    },
    'a web ReadableStream that waits': () => {
      let ended = false;
      const source = new ReadableStream<number>({
        start: (controller) => controller.enqueue(1),
        cancel() {
          ended = true;
        },
      });
      return { source, hasEnded: () => ended && !source.locked };
    },
  };
  for (const [name, make] of Object.entries(waiting)) {
    for (const [kind, makeEnder] of ENDERS) {
      test(
        `${name} is ended when ${kind} fires, and who receives gets the reason`,
        withLeakCheck(async () => {
          const { signal, fire } = makeEnder();
          const { source, hasEnded } = make();
          const channel = Channel.from(source, { signal });
          assert.deepEqual(await channel.receive(), { value: 1, ok: true });
          await settle();
          fire(why);
          await settle();
          assert.ok(hasEnded());
          await rejectsWith(channel.receive(), why);
          if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
        }),
      );
    }

    test(
      `${name} is ended, and never read, when the signal has fired before`,
      withLeakCheck(async () => {
        const { source, hasEnded, wasRead } = make();
        const channel = Channel.from(source, { signal: AbortSignal.abort(why) });
        assert.equal(channel.closed, true, 'at once');
        await rejectsWith(channel.receive(), why);
        await settle();
        if (name.endsWith('generator')) return; // one that was never begun has nothing to end
        assert.ok(hasEnded());
        assert.notEqual(wasRead?.(), true);
      }),
    );
  }

  test(
    'a source that has ended by itself, or failed, isn’t told to',
    withLeakCheck(async () => {
      for (const end of [async () => ({ value: undefined, done: true }) as const, () => Promise.reject(why)]) {
        let told = 0;
        const channel = Channel.from({
          [Symbol.asyncIterator]: () => ({
            next: end,
            return: async () => {
              told++;
              return { value: undefined, done: true };
            },
          }),
        });
        await channel.toArray().catch((error) => assert.equal(error, why));
        await settle();
        assert.equal(told, 0);
      }
    }),
  );

  for (const name of ['a generator', 'an async generator']) {
    test(
      `${name} is ended when the channel is closed by who reads`,
      withLeakCheck(async () => {
        const { source, hasEnded } = waiting[name]!();
        const channel = Channel.from(source, { capacity: 2 });
        await channel.receive();
        await settle();
        assert.equal(hasEnded(), false);
        channel.close();
        await settle();
        assert.ok(hasEnded());
      }),
    );
  }

  test(
    'values in the buffer come before the reason',
    withLeakCheck(async () => {
      const [controller, channel] = fromEndless(() => 1, { capacity: 2 });
      await settle();
      controller.abort(why);
      await settle();
      assert.deepEqual(channel.tryReceive(), { value: 1, ok: true });
      assert.deepEqual(channel.tryReceive(), { value: 1, ok: true });
      await rejectsWith(channel.receive(), why);
    }),
  );

  for (const [name, make] of [
    [
      'throws',
      () => ({
        [Symbol.iterator]: () => ({
          next: () => ({ value: 1, done: false }),
          return: () => {
            throw new Error('in return');
          },
        }),
      }),
    ],
    [
      'rejects',
      () => ({
        [Symbol.asyncIterator]: () => ({
          next: async () => ({ value: 1, done: false }),
          return: () => Promise.reject(new Error('in return')),
        }),
      }),
    ],
  ] as const) {
    test(
      `a source whose return ${name} when it is ended does no harm`,
      withLeakCheck(async () => {
        const controller = new AbortController();
        const channel = Channel.from(make() as Source<number>, { signal: controller.signal });
        await channel.receive();
        controller.abort(why);
        await rejectsWith(channel.receive(), why);
        await settle();
      }),
    );
  }

  test(
    'a file is read line by line',
    withLeakCheck(() =>
      inTempDir(async (dir) => {
        const path = join(dir, 'in.txt');
        await writeFile(path, range(0, 5_000).join('\n'));
        const text = await Channel.from<string>(createReadStream(path, { encoding: 'utf8', highWaterMark: 100 }));
        assert.equal((await text.toArray()).join(''), range(0, 5_000).join('\n'));
      }),
    ),
  );

  test(
    'a socket that is silent is closed by the signal',
    withLeakCheck(async () => {
      const server = net.createServer((socket) => socket.write('hello'));
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
      const controller = new AbortController();
      const channel = Channel.from<Buffer>(socket, { signal: controller.signal });
      assert.equal(String((await channel.receive()).value), 'hello');
      const next = channel.receive();
      await settle();
      controller.abort(why);
      await rejectsWith(next, why);
      await Promise.all([once(socket, 'close'), once(server.close(), 'close')]);
    }),
  );
});

/** A destination of any kind that notes what it gets, and can be made slow or to fail. */
interface Fixture {
  readonly to: Destination<number>;
  readonly written: number[];
  /** How it has ended; an error if it was ended with one. */
  end(): 'open' | 'ended' | unknown;
  /** Fails by itself. */
  fail?(error: Error): void;
  /** Writes held up, in order: call one to let it go on. */
  readonly held: (() => void)[];
}

interface Make {
  hold?: boolean;
  /** How many it takes before it holds back. */
  room?: number;
  failWrite?: Error;
  failEnd?: Error;
  /** Its end never comes. */
  stuck?: boolean;
}

const destinations: Record<string, (options?: Make) => Fixture> = {
  'a channel': ({ hold = false, room = 1 } = {}) => {
    const to = new Channel<number>(hold ? room - 1 : 100);
    const written: number[] = [];
    const held: (() => void)[] = [];
    if (hold) {
      for (let i = 0; i < 100; i++) {
        held.push(() => {
          if (to.length > 0 || waitingAt(to).senders > 0) written.push(to.tryReceive()!.value!);
        });
      }
    }
    const drain = () => {
      while (!hold && to.length > 0) written.push(to.tryReceive()!.value!);
      return written;
    };
    return {
      to,
      get written() {
        return drain();
      },
      held,
      end() {
        if (!to.closed) return 'open';
        try {
          for (let r = to.tryReceive(); r?.ok; r = to.tryReceive()) written.push(r.value);
          return 'ended';
        } catch (error) {
          return error;
        }
      },
    };
  },
  'a web WritableStream': ({ hold = false, room = 1, failWrite, failEnd, stuck } = {}) => {
    const written: number[] = [];
    const held: (() => void)[] = [];
    let end: unknown = 'open';
    let control: { error(e: unknown): void } | undefined;
    const to = new WritableStream<number>(
      {
        start(controller) {
          control = controller;
        },
        write(value) {
          if (failWrite !== undefined) throw failWrite;
          written.push(value);
          return hold ? new Promise<void>((resolve) => held.push(resolve)) : undefined;
        },
        close() {
          if (failEnd !== undefined) throw failEnd;
          if (stuck) return new Promise(() => {});
          end = 'ended';
          return undefined;
        },
        abort(reason) {
          end = reason;
        },
      },
      { highWaterMark: room },
    );
    return { to, written, held, end: () => end, fail: (error) => control!.error(error) };
  },
  'a Node Writable': ({ hold = false, room = 1, failWrite, failEnd, stuck } = {}) => {
    const written: number[] = [];
    const held: (() => void)[] = [];
    let end: unknown = 'open';
    const to = new Writable({
      objectMode: true,
      highWaterMark: room,
      write(value: number, _, done) {
        if (failWrite !== undefined) {
          done(failWrite);
          return;
        }
        written.push(value);
        if (hold) held.push(done);
        else done();
      },
      final(done) {
        if (failEnd !== undefined) {
          done(failEnd);
          return;
        }
        if (stuck) return;
        end = 'ended';
        done();
      },
      destroy(error, done) {
        if (end === 'open') end = error;
        done(error);
      },
    });
    return { to, written, held, end: () => end, fail: (error) => to.destroy(error) };
  },
};

const nodeWritable = (options?: Make) => destinations['a Node Writable']!(options).to as Writable;
const webWritable = () => destinations['a web WritableStream']!().to as WritableStream<number>;

function assertUnlistened(to: unknown): void {
  if (to instanceof WritableStream) assert.equal(to.locked, false);
  if (!(to instanceof Writable)) return;
  for (const event of ['drain', 'finish', 'close']) assert.equal(to.listenerCount(event), 0, event);
  // Its own error of being destroyed may still come, and mustn't end the process.
  if (!to.destroyed) assert.equal(to.listenerCount('error'), 0);
}

for (const [name, make] of Object.entries(destinations)) {
  describe(`pipeTo ${name}`, () => {
    test(
      'hands on all values, in order, and ends it',
      withLeakCheck(async () => {
        const fixture = make();
        const channel = new Channel<number>();
        const { signal } = new AbortController();
        const piped = channel.pipeTo(fixture.to, { signal });
        for (const i of range(0, 50)) await channel.send(i);
        await settle();
        assert.deepEqual(fixture.written, range(0, 50));
        assert.equal(fixture.end(), 'open');
        channel.close();
        assert.equal(await piped, undefined);
        assert.equal(fixture.end(), 'ended');
        assertUnlistened(fixture.to);
        assert.equal(listenersOf(signal), 0);
      }),
    );

    test(
      'with preventClose leaves it open at the end, for the next',
      withLeakCheck(async () => {
        const fixture = make();
        await closedWith(1, 2).pipeTo(fixture.to, { preventClose: true });
        await closedWith(3).pipeTo(fixture.to, { preventClose: true });
        await settle();
        assert.deepEqual(fixture.written, [1, 2, 3]);
        assert.equal(fixture.end(), 'open');
        assertUnlistened(fixture.to);
        await closedWith<number>().pipeTo(fixture.to);
        assert.equal(fixture.end(), 'ended');
      }),
    );

    for (const room of [1, 3]) {
      test(
        `takes no more from the channel than it has room for, ${room}, until it has taken one`,
        withLeakCheck(async () => {
          const fixture = make({ hold: true, room });
          const channel = filled(range(0, 10));
          channel.close();
          const piped = channel.pipeTo(fixture.to);
          await settle();
          assert.equal(channel.length, 10 - room);
          for (let i = 0; i < 10; i++) {
            await settle();
            fixture.held[i]!();
          }
          await piped;
          assert.deepEqual([fixture.end(), fixture.written], ['ended', range(0, 10)]);
        }),
      );
    }

    test(
      'a close with an error rejects with it, after the values, and ends it with the error',
      withLeakCheck(async () => {
        const fixture = make();
        const channel = filled([1, 2]);
        channel.close(why);
        await rejectsWith(channel.pipeTo(fixture.to), why);
        await settle();
        assert.equal(fixture.end(), why);
        if (fixture.to instanceof Channel) assert.deepEqual(fixture.written, [1, 2]);
        assertUnlistened(fixture.to);
      }),
    );

    for (const preventClose of [false, true]) {
      for (const [kind, makeEnder] of ENDERS) {
        test(
          `${kind} that fires while ${preventClose ? 'it must stay open' : 'it waits for a value'} ends the pipe`,
          withLeakCheck(async () => {
            const { signal, fire } = makeEnder();
            const fixture = make();
            const channel = filled([1], 5);
            const piped = channel.pipeTo(fixture.to, { signal, preventClose });
            await settle();
            fire(why);
            await rejectsWith(piped, why);
            await settle();
            assert.equal(fixture.end(), preventClose ? 'open' : why);
            assert.deepEqual(fixture.written, [1]);
            assert.deepEqual(waitingAt(channel), NOBODY);
            assertUnlistened(fixture.to);
            channel.trySend(2);
            assert.equal(channel.length, 1, 'the channel goes on being of use');
            if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
          }),
        );
      }
    }

    test(
      'a signal that fires while there is no room ends the pipe, and all but what is on its way stays',
      withLeakCheck(async () => {
        const fixture = make({ hold: true });
        const channel = filled([1, 2, 3]);
        const controller = new AbortController();
        const piped = channel.pipeTo(fixture.to, { signal: controller.signal });
        await settle();
        controller.abort(why);
        await rejectsWith(piped, why);
        assert.deepEqual(await Channel.from(closing(channel)).toArray(), [2, 3]);
        assertUnlistened(fixture.to);
        for (const go of fixture.held) go();
        await settle();
        assert.equal(fixture.end(), why);
      }),
    );

    test(
      'a signal that has fired touches neither side',
      withLeakCheck(async () => {
        const fixture = make();
        const channel = filled([1]);
        await rejectsWith(channel.pipeTo(fixture.to, { signal: AbortSignal.abort(why) }), why);
        assert.deepEqual([channel.length, fixture.end()], [1, 'open']);
        assertUnlistened(fixture.to);
        fixture.fail?.(new Error('unused'));
        if (fixture.to instanceof Writable) fixture.to.on('error', () => {});
      }),
    );

    if (name === 'a channel') return;

    test(
      'a reason that is no error ends it, too',
      withLeakCheck(async () => {
        const fixture = make();
        const controller = new AbortController();
        const piped = new Channel<number>().pipeTo(fixture.to, { signal: controller.signal });
        controller.abort('enough');
        await rejectsWith(piped, 'enough');
        await settle();
        assert.notEqual(fixture.end(), 'open');
      }),
    );

    test(
      'a write that fails rejects with its error; the other values stay',
      withLeakCheck(async () => {
        const fixture = make({ failWrite: why });
        const channel = filled([1, 2, 3]);
        await rejectsWith(channel.pipeTo(fixture.to), why);
        await settle();
        assert.ok(channel.length >= 1);
        assert.deepEqual(waitingAt(channel), NOBODY);
        assertUnlistened(fixture.to);
      }),
    );

    for (const [when, room] of [
      ['while the pipe waits for a value', 5],
      ['while the pipe waits for room', 1],
    ] as const) {
      test(
        `one that fails by itself ${when} rejects with its error`,
        withLeakCheck(async () => {
          const fixture = make({ hold: true, room });
          const channel = filled([1], 5);
          const piped = channel.pipeTo(fixture.to);
          await settle();
          fixture.fail!(why);
          for (const go of fixture.held) go();
          await rejectsWith(piped, why);
          await settle();
          assert.deepEqual(waitingAt(channel), NOBODY);
          assertUnlistened(fixture.to);
        }),
      );
    }

    test(
      'an end that fails rejects with its error',
      withLeakCheck(async () => {
        const fixture = make({ failEnd: why });
        await rejectsWith(closedWith(1).pipeTo(fixture.to), why);
        await settle();
        assertUnlistened(fixture.to);
      }),
    );

    test(
      'a signal that fires while its end is awaited ends that wait',
      withLeakCheck(async () => {
        const fixture = make({ stuck: true });
        const controller = new AbortController();
        const piped = closedWith(1).pipeTo(fixture.to, { signal: controller.signal });
        await settle();
        assert.equal(await stateOf(piped), 'pending');
        controller.abort(why);
        await rejectsWith(piped, why);
        await settle();
        assertUnlistened(fixture.to);
      }),
    );
  });
}

/** Closes it, and gives it on. */
function closing<T>(channel: Channel<T>): Channel<T> {
  channel.close();
  return channel;
}

describe('pipeTo, more of it', () => {
  test(
    'a channel that is closed in the middle refuses the pipe, and loses the value on its way alone',
    withLeakCheck(async () => {
      const [from, to] = [filled([1, 2, 3]), new Channel<number>()];
      const piped = from.pipeTo(to);
      await settle();
      to.close();
      await assert.rejects(piped, ClosedChannelError);
      assert.deepEqual(await closing(from).toArray(), [2, 3]);
    }),
  );

  test(
    'an error of the source is what is told, though the channel at the end has been closed',
    withLeakCheck(async () => {
      const [from, to] = [new Channel<number>(), new Channel<number>()];
      const piped = from.pipeTo(to);
      to.close();
      from.close(why);
      await rejectsWith(piped, why);
      const [other, controller] = [new Channel<number>(), new AbortController()];
      const aborted = other.pipeTo(to, { signal: controller.signal });
      controller.abort(why);
      await rejectsWith(aborted, why);
    }),
  );

  test(
    'an error goes through a whole row of channels, that of a closed channel too',
    withLeakCheck(async () => {
      for (const error of [why, new ClosedChannelError('somewhere else')]) {
        const row = range(0, 5).map(() => new Channel<number>());
        const pipes = range(0, 4).map((i) => row[i]!.pipeTo(row[i + 1]!));
        row[0]!.close(error);
        await rejectsWith(row[4]!.receive(), error);
        for (const piped of pipes) await rejectsWith(piped, error);
      }
    }),
  );

  for (const [name, make] of [
    ['destroyed', (stream: Writable) => stream.destroy()],
    ['ended', (stream: Writable) => stream.end()],
  ] as const) {
    for (const values of [[], [1, 2, 3]]) {
      test(
        `a Node stream that was ${name} before refuses a pipe of ${values.length} values at once`,
        withLeakCheck(async () => {
          const to = nodeWritable();
          make(to);
          await settle();
          const channel = filled(values);
          if (values.length === 0) channel.close();
          await assert.rejects(channel.pipeTo(to), /closed before/);
          assert.equal(channel.length, values.length, 'none is lost');
          assertUnlistened(to);
        }),
      );
    }

    test(
      `a Node stream that is ${name} in the middle ends the pipe`,
      withLeakCheck(async () => {
        const to = nodeWritable();
        const channel = new Channel<number>(3);
        const piped = channel.pipeTo(to);
        await settle();
        make(to);
        await assert.rejects(piped, /closed before/);
        channel.trySend(1);
        assert.equal(channel.length, 1);
        assertUnlistened(to);
      }),
    );
  }

  test(
    'a value the stream can’t take rejects',
    withLeakCheck(async () => {
      const to = new PassThrough();
      await assert.rejects(closedWith(1).pipeTo(to as Destination<number>), { code: 'ERR_INVALID_ARG_TYPE' });
      assert.ok(to.destroyed);
    }),
  );

  test(
    'a web stream that is locked is refused, and no value is taken',
    withLeakCheck(async () => {
      const to = webWritable();
      to.getWriter();
      const channel = filled([1]);
      await assert.rejects(channel.pipeTo(to), TypeError);
      assert.equal(channel.length, 1);
    }),
  );

  for (const wrong of [5, null, undefined, {}, { write() {} }, new ReadableStream()]) {
    test(
      `${String(wrong)} is no destination, and nothing is left at the signal`,
      withLeakCheck(async () => {
        const { signal } = new AbortController();
        const piped = filled([1]).pipeTo(wrong as unknown as Destination<number>, { signal });
        await assert.rejects(piped, { name: 'TypeError', message: /destination must be/ });
        assert.equal(listenersOf(signal), 0);
      }),
    );
  }

  test(
    'a signal that is none is refused',
    withLeakCheck(async () => {
      const options = { signal: 5 } as unknown as PipeOptions;
      await assert.rejects(filled([1]).pipeTo(new Channel(), options), { name: 'TypeError', message: /signal/ });
    }),
  );

  test(
    'into a real file and out of it, 2,000 lines',
    withLeakCheck(() =>
      inTempDir(async (dir) => {
        const path = join(dir, 'out.txt');
        const lines = new Channel<string>();
        const file = createWriteStream(path, { highWaterMark: 64 });
        const piped = lines.pipeTo(file);
        for (const i of range(0, 2_000)) await lines.send(`${i}\n`);
        lines.close();
        await piped;
        await once(file, 'close');
        assert.equal(
          await readFile(path, 'utf8'),
          range(0, 2_000)
            .map((i) => `${i}\n`)
            .join(''),
        );
      }),
    ),
  );

  test(
    'into a file that can’t be opened: rejects with the error of the file system',
    withLeakCheck(() =>
      inTempDir(async (dir) => {
        const file = createWriteStream(join(dir, 'no', 'such', 'directory'));
        await assert.rejects(new Channel<string>().pipeTo(file), { code: 'ENOENT' });
      }),
    ),
  );

  test(
    'as the response of an HTTP server, with its back-pressure',
    withLeakCheck(async () => {
      const lines = Channel.from(range(0, 2_000).map((i) => `${i}\n`));
      const server = createServer((_, response) => void lines.pipeTo(response));
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const { port } = server.address() as AddressInfo;
      const [response] = (await once(get({ port, host: '127.0.0.1', agent: false }), 'response')) as [IncomingMessage];
      const text = (await Channel.from<Buffer>(response).toArray()).join('');
      assert.equal(
        text,
        range(0, 2_000)
          .map((i) => `${i}\n`)
          .join(''),
      );
      await once(server.close(), 'close');
    }),
  );

  test(
    'to a reader who hangs up in the middle: rejects, and the rest stays in the channel',
    withLeakCheck(async () => {
      const channel = new Channel<string>();
      const ended = new Promise<unknown>((resolve) => {
        const server = createServer((_, response) => {
          channel.pipeTo(response).then(resolve, resolve);
          server.close();
        });
        server.listen(0, '127.0.0.1', () => {
          const request = get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false });
          request.once('response', (response) => response.once('data', () => request.destroy()));
        });
      });
      await channel.send('hello');
      assert.match(String(await ended), /closed before|ECONNRESET|EPIPE/);
      assert.deepEqual(waitingAt(channel), NOBODY);
    }),
  );
});

describe('a stream of a channel', () => {
  const make: Record<string, (channel: Channel<number>) => AsyncIterable<number> & { end(): Promise<unknown> }> = {
    'Readable.from': (channel) => {
      const stream = Readable.from(channel);
      return Object.assign(stream, {
        end: () => {
          stream.destroy();
          return once(stream, 'close');
        },
      });
    },
    'ReadableStream.from': (channel) => {
      const stream = (ReadableStream as unknown as { from<T>(it: AsyncIterable<T>): ReadableStream<T> }).from(channel);
      const reader = stream.getReader();
      return {
        end: () => reader.cancel(),
        async *[Symbol.asyncIterator]() {
          for (let r = await reader.read(); !r.done; r = await reader.read()) yield r.value;
        },
      };
    },
  };
  for (const [name, from] of Object.entries(make)) {
    test(
      `${name} gives all values and ends`,
      withLeakCheck(async () => {
        const channel = new Channel<number>();
        const all = Channel.from(from(channel)).toArray();
        for (const i of range(0, 100)) await channel.send(i);
        channel.close();
        assert.deepEqual(await all, range(0, 100));
      }),
    );

    test(
      `${name} fails with the error of the close`,
      withLeakCheck(async () => {
        const channel = filled([1]);
        channel.close(why);
        const values: number[] = [];
        await rejectsWith(
          (async () => {
            for await (const value of from(channel)) values.push(value);
          })(),
          why,
        );
      }),
    );

    test(
      `${name}, left while it waits, takes no value any more`,
      withLeakCheck(async () => {
        const channel = new Channel<number>();
        const stream = from(channel);
        const next = stream[Symbol.asyncIterator]().next();
        next.catch(() => {});
        await settle();
        assert.equal(waitingAt(channel).receivers, 1);
        await stream.end();
        assert.deepEqual(waitingAt(channel), NOBODY);
        assert.equal(channel.trySend(1), false);
        await settle();
      }),
    );
  }

  test(
    'stream.pipeline takes a channel as its source',
    withLeakCheck(async () => {
      const channel = Channel.from(range(0, 1_000));
      const doubled: number[] = [];
      await pipeline(
        channel,
        new Transform({ objectMode: true, transform: (value, _, done) => done(null, value * 2) }),
        new Writable({
          objectMode: true,
          write(value, _, done) {
            doubled.push(value);
            done();
          },
        }),
      );
      assert.deepEqual(
        doubled,
        range(0, 1_000).map((i) => i * 2),
      );
    }),
  );

  test(
    'stream.pipeline that fails leaves the channel with its rest',
    withLeakCheck(async () => {
      const channel = new Channel<number>(3);
      for (const i of range(0, 3)) channel.trySend(i);
      const to = nodeWritable({ failWrite: why });
      await rejectsWith(pipeline(channel, to), why);
      await settle();
      assert.deepEqual(waitingAt(channel), NOBODY);
      assert.equal(channel.closed, false);
    }),
  );
});
