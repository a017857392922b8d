import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import {
  after,
  background,
  type Clock,
  type Context,
  realClock,
  type SleepOptions,
  sleep,
  Ticker,
  Timer,
  withCancel,
  withCancelCause,
  withValue,
} from '../../src/go/index.ts';
import { CancelScope, scopeOf } from '../../src/go/scope.ts';
import { VirtualClock, withLeakCheck } from '../../src/testing/index.ts';
import { settle, stateOf } from '../manager/kit.ts';
import { ENDERS, listenersOf, range, rejectsWith } from './waiting.ts';

const ORIGIN = 1_000_000;
const why = new Error('why');
const at = (ms: number) => ({ value: ORIGIN + ms, ok: true }) as const;
const newClock = () => new VirtualClock({ timeOrigin: ORIGIN });

/** A context whose timers are of a clock of its own, as a manager's tasks have it. */
function contextOn(clock: Clock): Context {
  const scope = new CancelScope(background(), clock);
  const ctx: Context & { [scopeOf](): CancelScope } = {
    signal: new AbortController().signal,
    deadline: undefined,
    err: undefined,
    cause: undefined,
    done: () => scope.done(),
    value: () => undefined,
    [scopeOf]: () => scope,
  };
  return ctx;
}

/** Fires its timers whenever it is moved, due or not, as a machine may that was asleep. */
class EarlyClock implements Clock {
  readonly timeOrigin = ORIGIN;
  readonly timers = new Set<() => void>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void): () => void {
    const timer = () => callback();
    this.timers.add(timer);
    return timer;
  }

  clearTimeout(timer: unknown): void {
    this.timers.delete(timer as () => void);
  }

  moveTo(now: number): void {
    this.#now = now;
    for (const timer of [...this.timers]) if (this.timers.delete(timer)) timer();
  }
}

/** How a program of these lines ends, run by Node. */
async function run(lines: string): Promise<{ code: number | null; output: string }> {
  const names = 'after, background, Channel, Mutex, receive, select, sleep, Ticker, Timer, withTimeout';
  const program = `import { ${names} } from './src/go/index.ts';\n${lines}`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output: output.trim() };
}

describe('sleep', () => {
  test(
    'resolves when the time has come, and not before',
    withLeakCheck(async () => {
      const clock = newClock();
      const slept = sleep(100, { clock });
      await clock.advance(99.9);
      assert.equal(await stateOf(slept), 'pending');
      await clock.advance(0.1);
      assert.equal(await slept, undefined);
      assert.equal(clock.timerCount, 0);
    }),
  );

  for (const ms of [0, -1, Number.NEGATIVE_INFINITY]) {
    test(
      `of ${ms} ms is over in the next turn`,
      withLeakCheck(async () => {
        const clock = newClock();
        const slept = sleep(ms, { clock });
        await settle();
        assert.equal(await stateOf(slept), 'pending');
        await clock.advance(0);
        await slept;
        await sleep(ms); // on the real clock, too
      }),
    );
  }

  test(
    'many end in the order of their times, those of one time in that of their calls',
    withLeakCheck(async () => {
      const clock = newClock();
      const order: string[] = [];
      for (const [name, ms] of [
        ['c', 30],
        ['a', 10],
        ['b', 20],
        ['b2', 20],
        ['a2', 10],
      ] as const) {
        void sleep(ms, { clock }).then(() => order.push(name));
      }
      await clock.runAll();
      assert.deepEqual(order, ['a', 'a2', 'b', 'b2', 'c']);
    }),
  );

  test(
    'of longer than timers can wait takes its time',
    withLeakCheck(async () => {
      const clock = newClock();
      const ms = 3 * 2 ** 31;
      const slept = sleep(ms, { clock });
      await clock.advance(ms - 1);
      assert.equal(await stateOf(slept), 'pending');
      await clock.advance(1);
      await slept;
    }),
  );

  test(
    'isn’t ended by a timer that fires early',
    withLeakCheck(async () => {
      const clock = new EarlyClock();
      const slept = sleep(100, { clock });
      for (const now of [10, 50, 99.99]) clock.moveTo(now);
      await settle();
      assert.equal(await stateOf(slept), 'pending');
      clock.moveTo(100);
      await slept;
      assert.equal(clock.timers.size, 0);
    }),
  );

  for (const [kind, make] of ENDERS) {
    for (const [form, wrap] of [
      ['itself', (signal: AbortSignal | Context) => signal],
      ['in options', (signal: AbortSignal | Context) => ({ signal })],
    ] as const) {
      test(
        `${kind}, ${form}: canceled before, it rejects at once; meanwhile, it leaves no timer`,
        withLeakCheck(async () => {
          const { signal, fire } = make();
          const slept = sleep(1e9, wrap(signal)); // by the real clock: the leak check sees its timers
          const short = sleep(0, wrap(signal));
          await short;
          fire(why);
          await rejectsWith(slept, why);
          if (signal instanceof AbortSignal) assert.equal(listenersOf(signal), 0);
          await rejectsWith(sleep(0, wrap(signal)), why);
          await rejectsWith(sleep(1e9, wrap(signal)), why);
        }),
      );
    }
  }

  test(
    'canceled, leaves no timer on a virtual clock either; too late, changes nothing',
    withLeakCheck(async () => {
      const clock = newClock();
      const [ctx, cancel] = withCancelCause(background());
      const slept = sleep(100, { signal: ctx, clock });
      const short = sleep(10, { signal: ctx, clock });
      await clock.advance(10);
      assert.equal(clock.timerCount, 1);
      cancel(why);
      assert.equal(clock.timerCount, 0);
      await short;
      await rejectsWith(slept, why);
    }),
  );

  test(
    'of Infinity waits for the cancellation alone, with no timer',
    withLeakCheck(async () => {
      const clock = newClock();
      const [ctx, cancel] = withCancelCause(background());
      const slept = sleep(Number.POSITIVE_INFINITY, { signal: ctx, clock });
      await settle();
      assert.equal(clock.timerCount, 0);
      cancel(why);
      await rejectsWith(slept, why);
    }),
  );

  test(
    'goes by the clock of its context, however far above, unless it is given one',
    withLeakCheck(async () => {
      const [clock, other] = [newClock(), newClock()];
      const ctx = contextOn(clock);
      const [child, cancel] = withCancel(withValue(ctx, 'key', 1));
      const slept = [sleep(10, ctx), sleep(10, child), sleep(10, { signal: child })];
      const own = sleep(10, { signal: child, clock: other });
      assert.deepEqual([clock.timerCount, other.timerCount], [3, 1]);
      await clock.advance(10);
      await Promise.all(slept);
      assert.equal(await stateOf(own), 'pending');
      await other.advance(10);
      await own;
      cancel();
    }),
  );

  test(
    'rejects what is no number, and no context',
    withLeakCheck(async () => {
      for (const wrong of ['5', undefined, null, {}, 5n]) {
        await assert.rejects(sleep(wrong as unknown as number), { name: 'TypeError', message: /^ms .*got / });
      }
      await assert.rejects(sleep(Number.NaN), { name: 'RangeError', message: /^ms .*NaN/ });
      for (const wrong of [5, 'soon', null, { signal: 5 }]) {
        await assert.rejects(sleep(5, wrong as unknown as SleepOptions), TypeError);
      }
    }),
  );
});

describe('a timer', () => {
  test(
    'gives one value when its time has come: that time, since the epoch',
    withLeakCheck(async () => {
      const clock = newClock();
      const { channel } = new Timer(100, { clock });
      assert.equal(channel.capacity, 1);
      const received = channel.receive();
      await clock.advance(99);
      assert.deepEqual([await stateOf(received), channel.length, channel.tryReceive()], ['pending', 0, undefined]);
      await clock.advance(1);
      assert.deepEqual(await received, at(100));
      await clock.advance(1e6);
      assert.equal(channel.tryReceive(), undefined, 'one, and no more');
    }),
  );

  test(
    'that nobody waits for has no timer in the event loop, and its value says when it was due',
    withLeakCheck(async () => {
      const clock = newClock();
      const { channel } = new Timer(100, { clock });
      assert.equal(clock.timerCount, 0);
      await clock.advance(250);
      assert.equal(channel.length, 1);
      assert.deepEqual(await channel.receive(), at(100));
      assert.equal(channel.length, 0);
    }),
  );

  test(
    'has one timer in the event loop however many wait, and none when the last has left',
    withLeakCheck(async () => {
      const clock = newClock();
      const { channel } = new Timer(100, { clock });
      const controllers = range(0, 3).map(() => new AbortController());
      const waiting = controllers.map(({ signal }) => channel.receive({ signal }));
      for (const [i, controller] of controllers.entries()) {
        assert.equal(clock.timerCount, 1);
        controller.abort(why);
        await rejectsWith(waiting[i]!, why);
      }
      assert.equal(clock.timerCount, 0);
      await clock.advance(100);
      assert.deepEqual(channel.tryReceive(), at(100), 'the value is not lost with them');
    }),
  );

  test(
    'gives its value to the first who waits; the others wait on, until it is reset',
    withLeakCheck(async () => {
      const clock = newClock();
      const timer = new Timer(100, { clock });
      const waiting = range(0, 3).map(() => timer.channel.receive());
      await clock.advance(1_000);
      assert.deepEqual(await waiting[0], at(100));
      assert.equal(clock.timerCount, 0);
      timer.reset(5);
      await clock.advance(5);
      assert.deepEqual(await waiting[1], at(1_005));
      assert.equal(await stateOf(waiting[2]!), 'pending');
    }),
  );

  for (const ms of [0, -1_000, Number.NEGATIVE_INFINITY]) {
    test(
      `of ${ms} ms is due at once, and that time is now`,
      withLeakCheck(async () => {
        const clock = newClock();
        await clock.advance(50);
        const timer = new Timer(ms, { clock });
        assert.equal(timer.channel.length, 1);
        assert.deepEqual(timer.channel.tryReceive(), at(50));
        assert.equal(timer.channel.tryReceive(), undefined);
        timer.reset(ms);
        assert.deepEqual(await timer.channel.receive(), at(50));
        assert.equal(timer.channel.tryReceive(), undefined);
      }),
    );
  }

  test(
    'of Infinity never comes',
    withLeakCheck(async () => {
      const clock = newClock();
      const timer = new Timer(Number.POSITIVE_INFINITY, { clock });
      const received = timer.channel.receive();
      await clock.advance(1e12);
      assert.deepEqual([await stateOf(received), clock.timerCount, timer.stop()], ['pending', 0, false]);
    }),
  );

  /** What stop and reset say of a timer of 100 ms, and whether its tick can still be had. */
  const states: readonly [string, boolean, (timer: Timer, clock: VirtualClock) => unknown][] = [
    ['is to come', true, () => {}],
    ['is due, and nobody has received', true, (_, clock) => clock.advance(100)],
    [
      'has been received',
      false,
      async (timer, clock) => {
        await clock.advance(100);
        await timer.channel.receive();
      },
    ],
    ['has been stopped', false, (timer) => timer.stop()],
    ['has been stopped when it was due', false, (timer, clock) => clock.advance(100).then(() => timer.stop())],
    ['has been reset', true, (timer) => timer.reset(50)],
    ['has been reset after it was stopped', true, (timer) => timer.stop() && timer.reset(50)],
  ];
  for (const [state, would, bring] of states) {
    test(
      `whose tick ${state}: stop and reset say ${would}, and no stale tick comes`,
      withLeakCheck(async () => {
        for (const op of ['stop', 'reset'] as const) {
          const clock = newClock();
          const timer = new Timer(100, { clock });
          await bring(timer, clock);
          const now = clock.now();
          assert.equal(op === 'stop' ? timer.stop() : timer.reset(70), would);
          assert.deepEqual([timer.channel.length, timer.channel.tryReceive()], [0, undefined]);
          const received = timer.channel.receive();
          await clock.advance(69);
          assert.equal(await stateOf(received), 'pending');
          await clock.advance(1_000);
          if (op === 'reset') assert.deepEqual(await received, at(now + 70));
          else assert.deepEqual([await stateOf(received), clock.timerCount], ['pending', 0]);
        }
      }),
    );
  }

  for (const ms of [10, 500]) {
    test(
      `that is reset to ${ms} ms while somebody waits keeps to the new time`,
      withLeakCheck(async () => {
        const clock = newClock();
        const timer = new Timer(100, { clock });
        const received = timer.channel.receive();
        await clock.advance(50);
        assert.equal(timer.reset(ms), true);
        assert.equal(clock.timerCount, 1);
        await clock.advance(ms - 1);
        assert.equal(await stateOf(received), 'pending');
        await clock.advance(1);
        assert.deepEqual(await received, at(50 + ms));
      }),
    );
  }

  test(
    'is stopped at the end of a using block',
    withLeakCheck(async () => {
      const clock = newClock();
      let received: Promise<unknown>;
      {
        using timer = new Timer(100, { clock });
        received = timer.channel.receive();
      }
      assert.equal(clock.timerCount, 0);
      await clock.advance(100);
      assert.equal(await stateOf(received), 'pending');
    }),
  );

  test(
    'keeps its time though timers fire early, or can’t wait as long',
    withLeakCheck(async () => {
      const early = new EarlyClock();
      const received = new Timer(100, { clock: early }).channel.receive();
      for (const now of [10, 99]) early.moveTo(now);
      await settle();
      assert.equal(await stateOf(received), 'pending');
      early.moveTo(101);
      assert.deepEqual(await received, at(100));
      assert.equal(early.timers.size, 0);

      const clock = newClock();
      const late = new Timer(2 ** 32, { clock }).channel.receive();
      await clock.runAll();
      assert.deepEqual(await late, at(2 ** 32));
    }),
  );

  test(
    'takes only numbers, and a wrong reset changes nothing',
    withLeakCheck(async () => {
      const clock = newClock();
      const timer = new Timer(100, { clock });
      for (const wrong of ['5', undefined, null]) {
        for (const call of [
          () => new Timer(wrong as unknown as number),
          () => after(wrong as unknown as number),
          () => timer.reset(wrong as unknown as number),
        ]) {
          assert.throws(call, { name: 'TypeError', message: /^ms .*got / });
        }
      }
      for (const call of [() => new Timer(Number.NaN), () => after(Number.NaN), () => timer.reset(Number.NaN)]) {
        assert.throws(call, { name: 'RangeError', message: /^ms .*NaN/ });
      }
      await clock.advance(100);
      assert.deepEqual(timer.channel.tryReceive(), at(100));
    }),
  );

  test(
    'on the real clock gives a time of day, no earlier than it was asked for',
    withLeakCheck(async () => {
      const before = performance.timeOrigin + performance.now();
      const { value } = await after(2).receive();
      assert.ok(value! >= before + 1 && value! <= performance.timeOrigin + performance.now() + 1);
    }),
  );
});

describe('after', () => {
  test(
    'gives the time once',
    withLeakCheck(async () => {
      const clock = newClock();
      const channel = after(100, { clock });
      const received = [channel.receive(), channel.receive()];
      await clock.advance(200);
      assert.deepEqual(await received[0], at(100));
      assert.equal(await stateOf(received[1]!), 'pending');
    }),
  );

  test(
    'a hundred come in the order of their times, whatever that of their making',
    withLeakCheck(async () => {
      const clock = newClock();
      const order: number[] = [];
      for (const i of range(0, 100)) {
        const ms = (i * 37) % 100;
        void after(ms, { clock })
          .receive()
          .then(() => order.push(ms));
      }
      await clock.runAll();
      assert.deepEqual(order, range(0, 100));
    }),
  );
});

describe('a ticker', () => {
  test(
    'ticks at each whole interval from its start',
    withLeakCheck(async () => {
      const clock = newClock();
      await clock.advance(7);
      const ticker = new Ticker(10, { clock });
      for (const i of range(1, 6)) {
        const received = ticker.channel.receive();
        await clock.advance(9);
        assert.equal(await stateOf(received), 'pending');
        await clock.advance(1);
        assert.deepEqual(await received, at(7 + 10 * i));
      }
    }),
  );

  test(
    'a slow reader finds the first tick he missed, none of the others, and the next at its whole interval',
    withLeakCheck(async () => {
      const clock = newClock();
      const { channel } = new Ticker(10, { clock });
      await clock.advance(55);
      assert.equal(channel.length, 1);
      assert.deepEqual(channel.tryReceive(), at(10));
      assert.equal(channel.tryReceive(), undefined);
      const received = channel.receive();
      await clock.advance(5);
      assert.deepEqual(await received, at(60));
      await clock.advance(10);
      assert.deepEqual(channel.tryReceive(), at(70), 'exactly when it is due');
      assert.equal(channel.tryReceive(), undefined);
    }),
  );

  test(
    'each tick goes to one, those who wait longest first',
    withLeakCheck(async () => {
      const clock = newClock();
      const { channel } = new Ticker(10, { clock });
      const waiting = range(0, 5).map(() => channel.receive());
      assert.equal(clock.timerCount, 1);
      await clock.advance(50);
      assert.deepEqual(
        await Promise.all(waiting),
        range(1, 6).map((i) => at(10 * i)),
      );
      assert.equal(clock.timerCount, 0);
    }),
  );

  test(
    'keeps its pace over many ticks of a third of a ms',
    withLeakCheck(async () => {
      const clock = newClock();
      const { channel } = new Ticker(1 / 3, { clock });
      let ticks = 0;
      const [ctx, cancel] = withCancel(background());
      const loop = (async () => {
        for await (const _ of channel.values({ signal: ctx })) ticks++;
      })();
      await clock.advance(100 + 1e-6);
      assert.equal(ticks, 300);
      cancel();
      await assert.rejects(loop, { name: 'AbortError' });
      assert.equal(clock.timerCount, 0);
    }),
  );

  test(
    'stopped, gives no more ticks, not even one that is due, and isn’t closed: who waits waits on',
    withLeakCheck(async () => {
      const clock = newClock();
      const ticker = new Ticker(10, { clock });
      await clock.advance(15);
      ticker.stop();
      assert.deepEqual([ticker.channel.length, ticker.channel.tryReceive()], [0, undefined]);
      const received = ticker.channel.receive();
      await clock.advance(1_000);
      assert.deepEqual([await stateOf(received), clock.timerCount], ['pending', 0]);
      ticker.stop(); // once more is harmless
      ticker.reset(20);
      await clock.advance(20);
      assert.deepEqual(await received, at(15 + 1_000 + 20));
      await clock.advance(20);
      assert.deepEqual(ticker.channel.tryReceive(), at(15 + 1_000 + 40));
    }),
  );

  test(
    'reset, ticks at whole intervals from then on, and the tick that was due is gone',
    withLeakCheck(async () => {
      const clock = newClock();
      const ticker = new Ticker(10, { clock });
      await clock.advance(13);
      ticker.reset(4);
      assert.equal(ticker.channel.tryReceive(), undefined);
      for (const ms of [17, 21, 25]) {
        await clock.advance(4);
        assert.deepEqual(ticker.channel.tryReceive(), at(ms));
      }
    }),
  );

  test(
    'is stopped at the end of a using block',
    withLeakCheck(async () => {
      const clock = newClock();
      let received: Promise<unknown>;
      {
        using ticker = new Ticker(10, { clock });
        received = ticker.channel.receive();
        assert.equal(clock.timerCount, 1);
      }
      assert.equal(clock.timerCount, 0);
      await clock.advance(100);
      assert.equal(await stateOf(received), 'pending');
    }),
  );

  test(
    'keeps its pace though timers fire early',
    withLeakCheck(async () => {
      const clock = new EarlyClock();
      const { channel } = new Ticker(100, { clock });
      const received = [channel.receive(), channel.receive()];
      clock.moveTo(99);
      await settle();
      assert.equal(await stateOf(received[0]!), 'pending');
      clock.moveTo(100);
      clock.moveTo(199);
      assert.deepEqual(await received[0], at(100));
      await settle();
      assert.equal(await stateOf(received[1]!), 'pending');
      clock.moveTo(205);
      assert.deepEqual(await received[1], at(200));
    }),
  );

  test(
    'takes only intervals above 0 and finite; a wrong reset changes nothing',
    withLeakCheck(async () => {
      const clock = newClock();
      const ticker = new Ticker(10, { clock });
      for (const wrong of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.throws(() => new Ticker(wrong), { name: 'RangeError', message: /^intervalMs / });
        assert.throws(() => ticker.reset(wrong), { name: 'RangeError', message: /^intervalMs / });
      }
      for (const wrong of ['5', undefined, null]) {
        assert.throws(() => new Ticker(wrong as unknown as number), { name: 'TypeError', message: /^intervalMs / });
        assert.throws(() => ticker.reset(wrong as unknown as number), { name: 'TypeError', message: /^intervalMs / });
      }
      await clock.advance(10);
      assert.deepEqual(ticker.channel.tryReceive(), at(10));
    }),
  );
});

describe('the real clock', () => {
  test(
    'is monotonic, has a whole origin, and holds the process with a timer only if told',
    withLeakCheck(() => {
      const before = realClock.now();
      assert.ok(realClock.now() >= before);
      assert.ok(Number.isInteger(realClock.timeOrigin));
      const timers = [undefined, false, true].map((hold) => realClock.setTimeout(() => assert.fail(), 1e9, hold));
      assert.deepEqual(
        timers.map((timer) => (timer as NodeJS.Timeout).hasRef()),
        [false, false, true],
      );
      for (const timer of timers) realClock.clearTimeout(timer);
      for (const timer of timers) realClock.clearTimeout(timer);
    }),
  );

  test(
    'takes delays beyond what timers can, without a warning',
    withLeakCheck(async (t) => {
      const warned = t.mock.method(process, 'emitWarning', () => {});
      const timer = realClock.setTimeout(() => assert.fail('fired at once'), 2 ** 40);
      await settle();
      realClock.clearTimeout(timer);
      assert.equal(warned.mock.callCount(), 0);
    }),
  );
});

describe('the process', () => {
  test(
    'is kept up by who waits for a time, not by timers and tickers themselves',
    withLeakCheck(async () => {
      const { code, output } = await run(`
        const ticker = new Ticker(5);
        await sleep(20), console.log('slept');
        await after(20).receive(), console.log('after');
        await ticker.channel.receive(), await ticker.channel.receive(), console.log('ticked');
        console.log((await select({ never: receive(new Channel()), late: after(20) })).case);
        const limited = withTimeout(background(), 20)[0];
        await new Channel().receive({ signal: limited }).catch((error) => console.log(error.name));
        const later = withTimeout(background(), 1e9)[0];
        new Ticker(10), new Timer(1e9), after(1e9);
      `);
      assert.deepEqual([code, output.split('\n')], [0, ['slept', 'after', 'ticked', 'late', 'TimeoutError']]);
    }),
  );

  test(
    'ends, by Node’s code 13, when all wait for each other',
    withLeakCheck(async () => {
      const { code, output } = await run(`
        const mutex = new Mutex();
        await mutex.lock();
        console.log('waits');
        await Promise.race([new Channel().receive(), new Channel().send(1), select({}), mutex.lock()]);
        console.log('never');
      `);
      assert.deepEqual([code, output], [13, 'waits']);
    }),
  );
});
