import { Channel } from 'errand/go';
import { type Checks, equal, failureOf } from './check.ts';

export const streams: Checks = {
  'a channel reads the body of a response': async () => {
    const bytes: Channel<Uint8Array<ArrayBuffer>> = Channel.from(new Response('one').body!);
    const first = await bytes.receive();
    equal(first.ok && [...first.value], [111, 110, 101]);
    const { body } = new Response('one\ntwo\nthree');
    const text = await Channel.from(body!.pipeThrough(new TextDecoderStream())).toArray();
    equal(text.join('').split('\n'), ['one', 'two', 'three']);
  },

  'a stream that fails fails its channel, after the values before': async () => {
    let pulls = 0;
    const stream = new ReadableStream<string>({
      pull(controller) {
        if (++pulls === 1) controller.enqueue('first');
        else controller.error('torn');
      },
    });
    const channel = Channel.from(stream);
    equal([await channel.receive(), await failureOf(channel.receive())], [{ value: 'first', ok: true }, 'torn']);
  },

  'a signal ends the stream that a channel reads': async () => {
    const controller = new AbortController();
    let end: () => void;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const channel = Channel.from(new ReadableStream<string>({ cancel: () => end() }), { signal: controller.signal });
    const receiving = failureOf(channel.receive());
    controller.abort('enough');
    await ended;
    equal(await receiving, 'enough');
  },

  'a channel is piped to a stream, and closes it': async () => {
    const written: number[] = [];
    let closed = false;
    const stream = new WritableStream<number>({
      write: (value) => void written.push(value),
      close() {
        closed = true;
      },
    });
    await Channel.from([1, 2, 3]).pipeTo(stream);
    equal([written, closed], [[1, 2, 3], true]);
  },

  'a channel becomes a stream by way of a TransformStream': async () => {
    const { readable, writable } = new TransformStream<number, number>({
      transform: (value, controller) => controller.enqueue(value * value),
    });
    const piping = Channel.from([1, 2, 3]).pipeTo(writable);
    equal(await Channel.from(readable).toArray(), [1, 4, 9]);
    await piping;
  },

  'a pipe fails with its stream, and a canceled one aborts it': async () => {
    const failing = new WritableStream<number>({ write: () => Promise.reject('disk full') });
    equal(await failureOf(Channel.from([1, 2, 3]).pipeTo(failing)), 'disk full');
    let reason: unknown;
    const aborted = new WritableStream<number>({
      abort(why) {
        reason = why;
      },
    });
    const controller = new AbortController();
    const piping = new Channel<number>().pipeTo(aborted, { signal: controller.signal });
    controller.abort('enough');
    equal([await failureOf(piping), reason], ['enough', 'enough']);
  },
};
