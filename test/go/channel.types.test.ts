/** What the compiler must think of channels, timers and locks: `npx tsc` fails here if a public type changes. */
import { createWriteStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { ReadableStream, WritableStream } from 'node:stream/web';
import { test } from 'node:test';
import {
  after,
  background,
  Channel,
  type Clock,
  type Cond,
  type Context,
  type FromOptions,
  Mutex,
  merge,
  type Permit,
  type PipeOptions,
  type ReceiveChannel,
  type Received,
  type RWMutex,
  receive,
  Semaphore,
  type SendChannel,
  type SleepOptions,
  select,
  send,
  type sleep,
  Ticker,
  type TimeOptions,
  type Timer,
  type WaitOptions,
} from '../../src/go/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;
type Is<A, B> = A extends B ? true : false;
type Signal = Context | AbortSignal | undefined;

export type Checks = [
  Expect<
    Equal<
      Received<number>,
      { readonly value: number; readonly ok: true } | { readonly value: undefined; readonly ok: false }
    >
  >,
  Expect<Equal<ReturnType<Channel<number>['receive']>, Promise<Received<number>>>>,
  Expect<Equal<ReturnType<Channel<number>['tryReceive']>, Received<number> | undefined>>,
  Expect<Equal<ReturnType<Channel<number>['send']>, Promise<void>>>,
  Expect<Equal<ReturnType<Channel<number>['trySend']>, boolean>>,
  Expect<Equal<ReturnType<Channel<number>['close']>, void>>,
  Expect<Equal<Parameters<Channel<number>['close']>, [error?: unknown]>>,
  Expect<Equal<ReturnType<Channel<number>['toArray']>, Promise<number[]>>>,
  Expect<Equal<ReturnType<Channel<number>['values']>, AsyncIterableIterator<number>>>,
  Expect<Equal<ReturnType<Channel<number>['pipeTo']>, Promise<void>>>,
  Expect<Equal<ConstructorParameters<typeof Channel>, [capacity?: number | undefined]>>,
  Expect<Equal<WaitOptions['signal'], Signal>>,
  Expect<Is<PipeOptions & FromOptions & SleepOptions, WaitOptions>>,
  Expect<Equal<TimeOptions['clock'], Clock | undefined>>,
  // The two ends, and what fits which.
  Expect<Is<Channel<number>, ReceiveChannel<number>>>,
  Expect<Is<Channel<number>, SendChannel<number>>>,
  Expect<Is<Channel<number | string>, SendChannel<number>>>,
  Expect<Equal<Is<Channel<number>, SendChannel<number | string>>, false>>,
  Expect<Is<ReceiveChannel<number>, AsyncIterable<number>>>,
  Expect<Is<ReceiveChannel<1>, ReceiveChannel<number>>>,
  Expect<Equal<'send' & keyof ReceiveChannel<number>, never>>,
  Expect<Equal<'close' & keyof ReceiveChannel<number>, never>>,
  Expect<Equal<'receive' & keyof SendChannel<number>, never>>,
  // Time.
  Expect<Equal<ReturnType<typeof after>, ReceiveChannel<number>>>,
  Expect<Equal<Timer['channel'], ReceiveChannel<number>>>,
  Expect<Equal<ReturnType<Timer['stop']>, boolean>>,
  Expect<Equal<ReturnType<Timer['reset']>, boolean>>,
  Expect<Equal<Ticker['channel'], ReceiveChannel<number>>>,
  Expect<Equal<ReturnType<typeof sleep>, Promise<void>>>,
  Expect<Is<Timer & Ticker & Permit, Disposable>>,
  // Locks.
  Expect<Equal<ReturnType<Semaphore['acquire']>, Promise<Permit>>>,
  Expect<Equal<ReturnType<Semaphore['tryAcquire']>, Permit | undefined>>,
  Expect<Equal<ReturnType<Mutex['lock']>, Promise<Permit>>>,
  Expect<Equal<ReturnType<Mutex['tryLock']>, Permit | undefined>>,
  Expect<Equal<ReturnType<RWMutex['readLock']>, Promise<Permit>>>,
  Expect<Equal<ReturnType<RWMutex['tryReadLock']>, Permit | undefined>>,
  Expect<Equal<ConstructorParameters<typeof Cond>, [mutex?: Mutex | undefined]>>,
];

/** Compiled, never called. */
export async function use(channel: Channel<number>, ctx: Context, { signal }: AbortController): Promise<void> {
  const numbers: Channel<number>[] = [
    Channel.from([1]),
    Channel.from(new Set([1])),
    Channel.from(
      (async function* () {
        yield 1;
      })(),
    ),
    Channel.from(new ReadableStream<number>(), { capacity: 1, signal }),
    Channel.from(channel, { signal: ctx }),
    merge([channel, Channel.from([1])]),
    merge<number>([channel], { capacity: 1, signal: ctx }),
  ];
  const lines: Channel<string> = Channel.from<string>(Readable.from(['a']));
  await lines.pipeTo(createWriteStream('lines'), { signal, preventClose: true });
  await lines.pipeTo(new PassThrough(), { signal: ctx });
  await lines.pipeTo(new WritableStream<string>());
  await channel.pipeTo(numbers[0]!);

  const received = await channel.receive({ signal });
  const value: number = received.ok ? received.value : 0;
  await channel.send(value, { signal: ctx });
  for await (const each of channel.values({ signal: undefined })) await channel.send(each);

  const ticker = new Ticker(1_000);
  const perhaps = value > 1 ? channel : undefined;
  const r = await select({
    off: undefined,
    maybe: perhaps && receive(perhaps),
    bare: perhaps,
    sent: send(perhaps, 1),
    tick: ticker.channel,
    quit: ctx,
    stop: signal,
  });
  switch (r.case) {
    case 'maybe':
    case 'bare':
    case 'tick': {
      const got: number | undefined = r.value;
      if (r.ok) r.value satisfies number;
      else r.value satisfies undefined;
      void got;
      break;
    }
    case 'sent':
      r.value satisfies undefined;
      r.ok satisfies undefined;
      break;
    case 'quit':
    case 'stop':
      r satisfies { value: unknown };
      break;
    default:
      // `off` can't happen, and all the others have been named.
      r satisfies never;
  }
}

/** Compiled, never called. */
export function misuse(channel: Channel<number>, output: SendChannel<number>, input: ReceiveChannel<number>): void {
  // @ts-expect-error A number is wanted.
  void channel.send('one');
  // @ts-expect-error The value may be missing.
  channel.receive().then(({ value }) => value.toFixed());
  // @ts-expect-error What is received is not sent to.
  void input.send(1);
  // @ts-expect-error What is sent to is not received from.
  void output.receive();
  // @ts-expect-error Nobody closes what he receives from.
  input.close();
  // @ts-expect-error The length is told, not set.
  channel.length = 0;
  // @ts-expect-error A controller is no signal.
  void channel.receive({ signal: new AbortController() });
  // @ts-expect-error A signal is an option.
  void channel.receive(new AbortController().signal);
  // @ts-expect-error The channel takes numbers.
  void Channel.from(['a']).pipeTo(channel);
  // @ts-expect-error A readable is no destination.
  void channel.pipeTo(new ReadableStream<number>());
  // @ts-expect-error A number is no source.
  Channel.from(5);
  // @ts-expect-error One source is not many.
  merge(channel);
  // @ts-expect-error A send end is not received from, in a select either.
  receive(output);
  // @ts-expect-error And a receive end not sent to.
  send(input, 1);
  // @ts-expect-error No promise is a case.
  void select({ late: Promise.resolve(1) });
  // @ts-expect-error No send end is a bare case.
  void select({ out: output });
  // @ts-expect-error It may have been one of two.
  void select({ a: receive(input), b: background() }).then((r) => r.value.toFixed());
  // @ts-expect-error There is no such case.
  void select({ a: receive(input) }).then((r) => r.case === 'b');
  // @ts-expect-error A delay is a number.
  after('1s');
  // @ts-expect-error Ticks need an interval.
  new Ticker();
  // @ts-expect-error A permit is what is released, not the mutex.
  new Mutex().release();
  // @ts-expect-error It comes by a promise.
  new Semaphore(1).acquire().release();
}

test('the types of channels, time and locks are as this file says: checked by tsc', () => {});
