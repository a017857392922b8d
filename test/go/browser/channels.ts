import {
  after,
  background,
  Channel,
  ClosedChannelError,
  merge,
  receive,
  select,
  send,
  withCancelCause,
} from 'errand/go';
import { type Checks, equal, failureOf, nextTurn } from './check.ts';

export const channels: Checks = {
  'an unbuffered channel hands values over, in order': async () => {
    const channel = new Channel<number>();
    equal(channel.trySend(0), false);
    const sends = [1, 2, 3].map((value) => channel.send(value));
    equal(
      [await channel.receive(), channel.tryReceive()],
      [
        { value: 1, ok: true },
        { value: 2, ok: true },
      ],
    );
    equal([(await channel.receive()).value, channel.tryReceive()], [3, undefined]);
    await Promise.all(sends);
  },

  'a buffered channel takes as many as it holds': async () => {
    const channel = new Channel<string>(2);
    await channel.send('a');
    equal([channel.trySend('b'), channel.trySend('c'), channel.length], [true, false, 2]);
    const third = channel.send('c');
    equal([(await channel.receive()).value, channel.length], ['a', 2]);
    await third;
  },

  'a loop gets all until the close, and who comes later is told': async () => {
    const channel = new Channel<number>(1);
    const sending = (async () => {
      for (let i = 1; i <= 5; i++) await channel.send(i);
      channel.close();
    })();
    const all: number[] = [];
    for await (const value of channel) all.push(value);
    await sending;
    equal([all, await channel.receive()], [[1, 2, 3, 4, 5], { value: undefined, ok: false }]);
    equal((await failureOf(channel.send(6))) instanceof ClosedChannelError, true);
  },

  'a signal ends a wait, and no value is lost': async () => {
    const channel = new Channel<string>();
    const [ctx, cancel] = withCancelCause(background());
    const controller = new AbortController();
    const waits = [channel.receive({ signal: ctx }), channel.receive({ signal: controller.signal })];
    cancel('context');
    controller.abort('signal');
    equal(await Promise.all(waits.map(failureOf)), ['context', 'signal']);
    void channel.send('kept');
    equal(await channel.receive(), { value: 'kept', ok: true });
  },

  'a loop over a channel that is always ready lets a timer run': async () => {
    const channel = new Channel<number>(8);
    let fired = false;
    setTimeout(() => {
      fired = true;
    });
    const sending = (async () => {
      for (let i = 0; ; i++) await channel.send(i);
    })();
    let count = 0;
    for await (const value of channel) {
      if (fired) break;
      equal(value, count++);
      if (count === 200_000) throw new Error(`the timer hasn't run in ${count} values`);
    }
    channel.close();
    equal((await failureOf(sending)) instanceof ClosedChannelError, true);
  },

  'values come whole and in order across turns of the event loop': async () => {
    const count = 20_000;
    const numbers = Channel.from(Array.from({ length: count }, (_, i) => i));
    const doubled = new Channel<number>();
    const doubling = (async () => {
      for await (const value of numbers) await doubled.send(2 * value);
      doubled.close();
    })();
    const all = await doubled.toArray();
    await doubling;
    equal([all.length, all.every((value, i) => value === 2 * i)], [count, true]);
  },

  'merged channels give all that each gives': async () => {
    const merged = merge([Channel.from(['a', 'b']), Channel.from(['c'])]);
    equal((await merged.toArray()).sort(), ['a', 'b', 'c']);
  },

  'a select has exactly one case happen': async () => {
    const [full, empty, inbox] = [new Channel<number>(1), new Channel<number>(1), new Channel<string>()];
    full.trySend(1);
    equal(await select({ out: send(full, 2), none: receive(inbox), never: undefined, default: 'no' }), {
      case: 'default',
      value: 'no',
    });
    equal((await select({ message: inbox, sent: send(empty, 2), limit: after(10_000) })).case, 'sent');
    equal([empty.length, full.length], [1, 1]);
    const selected = select({ message: receive(inbox), sent: send(full, 2), limit: after(10_000) });
    await nextTurn();
    equal(inbox.trySend('hello'), true);
    equal(await selected, { case: 'message', value: 'hello', ok: true });
    equal([inbox.trySend('nobody is there'), full.tryReceive()?.value, full.length], [false, 1, 0]);
  },

  'a select ends with time, a context or a signal': async () => {
    const inbox = new Channel<string>();
    const [ctx, cancel] = withCancelCause(background());
    const controller = new AbortController();
    equal((await select({ inbox, limit: after(10) })).case, 'limit');
    const left = [select({ inbox, ctx }), select({ inbox, aborted: controller.signal })];
    cancel('context');
    controller.abort('signal');
    equal(await Promise.all(left), [
      { case: 'ctx', value: 'context' },
      { case: 'aborted', value: 'signal' },
    ]);
    equal(inbox.trySend('nobody is there'), false);
  },
};
