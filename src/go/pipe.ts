/** Between channels and everything else that gives or takes values one by one: iterables, web streams, Node streams. */
import type { Channel, SendChannel } from './channel.ts';
import { show } from './checks.ts';
import { afterFunc, background, type Context, withCancelCause } from './context.ts';
import { closeWith, type Failure, Receivable } from './receivable.ts';
import { scopeFor } from './scope.ts';
import { type WaitOptions, waitScope } from './wait-queue.ts';

/** What values can come from: an array, a generator, a channel, a Node Readable, a web ReadableStream. */
export type Source<T> = Iterable<T | PromiseLike<T>> | AsyncIterable<T> | WebReadable<T>;

/** As much of a web ReadableStream as is needed; not all browsers can iterate one. */
export interface WebReadable<T> {
  getReader(): {
    read(): Promise<{ readonly done: boolean; readonly value?: NoInfer<T> | undefined }>;
    cancel(reason?: unknown): Promise<void>;
    releaseLock(): void;
  };
  /** Never called. It tells TypeScript what `T` is: of `getReader`, it would look at a reader of mere bytes, too. */
  pipeTo?(destination: { getWriter(): { write(chunk?: T): unknown } }): unknown;
}

/** As much of a web WritableStream as is needed. */
export interface WebWritable<T> {
  getWriter(): {
    readonly ready: Promise<unknown>;
    readonly closed: Promise<unknown>;
    write(chunk: T): Promise<void>;
    close(): Promise<void>;
    abort(reason?: unknown): Promise<void>;
    releaseLock(): void;
  };
}

/** As much of a Node Writable as is needed: an http response, a file, a socket. */
export interface NodeWritable {
  readonly writable?: boolean | undefined;
  readonly writableEnded?: boolean | undefined;
  readonly writableLength?: number | undefined;
  readonly destroyed?: boolean | undefined;
  write(chunk: never): boolean;
  end(): unknown;
  destroy(error?: Error): unknown;
  on(event: 'close' | 'drain' | 'error' | 'finish', listener: (error?: Error) => void): unknown;
  off(event: 'close' | 'drain' | 'error' | 'finish', listener: (error?: Error) => void): unknown;
}

/** What values can be piped to. */
export type Destination<T> = SendChannel<T> | WebWritable<T> | NodeWritable;

/** What `pipeTo` can be told. */
export interface PipeOptions extends WaitOptions {
  /** Leaves the destination open at the end, and alone after a failure: for `process.stdout`. Default false. */
  readonly preventClose?: boolean | undefined;
}

/**
 * Sends to `channel` what the sources give, each in its own order, and closes it when all are done. When one fails, or
 * `parent` is canceled, the channel is closed with that error, and the other sources are ended.
 */
export function feed<T>(channel: Channel<T>, sources: readonly Source<T>[], parent: Context | AbortSignal): void {
  const [ctx, cancel] = withCancelCause(parent);
  const end = (failure?: Failure): void => {
    if (!channel.closed) channel[closeWith](failure);
    cancel(); // ends what other sources there are, and lets go of the parent
  };
  if (ctx.err !== undefined) end({ error: ctx.cause });
  else afterFunc(ctx, () => end({ error: ctx.cause }));
  let left = sources.length;
  if (left === 0) end();
  for (const source of sources) {
    pump(source, channel, ctx).then(
      () => {
        if (--left === 0) end();
      },
      (error: unknown) => end({ error }),
    );
  }
}

async function pump<T>(source: Source<T>, channel: Channel<T>, ctx: Context): Promise<void> {
  const iterator = iterate(source, ctx);
  if (ctx.err !== undefined) return leave(iterator);
  const stop = afterFunc(ctx, () => void leave(iterator));
  try {
    for (;;) {
      const result: unknown = await iterator.next();
      if (typeof result !== 'object' || result === null)
        throw new TypeError(`next() gave no object, but ${show(result)}`);
      const { value, done } = result as IteratorResult<T>;
      if (done) return;
      try {
        await channel.send(value);
      } catch (error) {
        if (stop()) void leave(iterator);
        throw error;
      }
    }
  } finally {
    stop();
  }
}

/** Tells a source that no more is wanted. Nobody is there to hear how it takes that: the channel has been closed. */
async function leave(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {}
}

function iterate<T>(source: Source<T>, ctx: Context): AsyncIterator<T> {
  // A receive that waits must not take a value any more when nobody wants it.
  if (source instanceof Receivable) return source.values({ signal: ctx });
  const from = Object(source) as Partial<
    Iterable<T | PromiseLike<T>> & AsyncIterable<T> & WebReadable<T> & NodeReadable
  >;
  // Streams can be iterated, but then they hear of the end only after the read that waits.
  if (typeof from.getReader === 'function') return read(from.getReader());
  const iterator = from[Symbol.asyncIterator]?.() ?? awaited(from[Symbol.iterator]?.());
  if (iterator === undefined) throw new TypeError(`source must be iterable, or a stream, got ${show(source)}`);
  if (typeof from.destroy !== 'function') return iterator;
  return {
    next: async () => iterator.next(),
    return: async () => {
      from.destroy?.();
      return (await iterator.return?.()) as IteratorResult<T>;
    },
  };
}

/** As `for await` has it: of what is synchronous, promises are awaited; what is asynchronous gives its values as they are. */
function awaited<T>(iterator: Iterator<T | PromiseLike<T>> | undefined): AsyncIterator<T> | undefined {
  return (
    iterator && {
      next: async () => {
        const { value, done } = iterator.next();
        return { value: await value, done } as IteratorResult<T>;
      },
      return: async () => iterator.return?.() as IteratorResult<T>,
    }
  );
}

/** What a Node Readable has beyond an iterable. */
interface NodeReadable {
  destroy(): unknown;
}

function read<T>(reader: ReturnType<WebReadable<T>['getReader']>): AsyncIterator<T> {
  return {
    next: async () => {
      const result = await reader.read();
      if (result.done) reader.releaseLock();
      return result as IteratorResult<T>;
    },
    return: async () => {
      await reader.cancel();
      reader.releaseLock();
      return { value: undefined, done: true };
    },
  };
}

/** What each kind of destination is to a pipe. */
interface Sink<T> {
  /** Waits until there is room: then the value that is received next has a place to go. */
  ready(ctx: Context): Promise<unknown> | undefined;
  write(value: T, ctx: Context): Promise<unknown> | undefined;
  end(): Promise<unknown> | undefined;
  abort(error: unknown): void;
  /** Leaves no listener. */
  release(): void;
}

/** The work of `pipeTo`. */
export async function pipe<T>(
  source: Receivable<T>,
  destination: Destination<T>,
  options: PipeOptions = {},
): Promise<void> {
  waitScope(options); // throws if it has been canceled, before anything is touched
  const { signal = background(), preventClose = false } = options;
  const [ctx, cancel] = withCancelCause(signal);
  let sink: Sink<T> | undefined;
  try {
    sink = sinkFor(destination, cancel);
    for (;;) {
      await sink.ready(ctx);
      const received = await source.receive({ signal: ctx });
      if (!received.ok) break;
      await sink.write(received.value, ctx);
    }
    if (!preventClose) await orCanceled(sink.end(), ctx);
  } catch (error) {
    if (!preventClose) sink?.abort(error);
    throw error;
  } finally {
    sink?.release();
    cancel();
  }
}

/** `fail` is to be called when the destination fails by itself. */
function sinkFor<T>(destination: Destination<T>, fail: (error: unknown) => void): Sink<T> {
  const to = Object(destination) as Partial<SendChannel<T> & WebWritable<T> & NodeWritable>;
  if (typeof to.trySend === 'function') return channelSink(to as SendChannel<T>);
  if (typeof to.getWriter === 'function') return webSink(to.getWriter(), fail);
  if (typeof to.write === 'function' && typeof to.on === 'function') return nodeSink(to as NodeWritable, fail);
  throw new TypeError(`destination must be a channel or a writable stream, got ${show(destination)}`);
}

function channelSink<T>(channel: SendChannel<T>): Sink<T> {
  return {
    ready: () => undefined,
    write: (value, ctx) => channel.send(value, { signal: ctx }),
    end: () => void channel.close(),
    abort: (error) => {
      try {
        channel.close(error);
      } catch {} // it has been closed before, which may be the very error
    },
    release: () => {},
  };
}

function webSink<T>(writer: ReturnType<WebWritable<T>['getWriter']>, fail: (error: unknown) => void): Sink<T> {
  writer.closed.catch(fail);
  return {
    ready: (ctx) => orCanceled(writer.ready, ctx),
    write: (value) => {
      writer.write(value).catch(fail);
      return undefined;
    },
    end: () => writer.close(),
    abort: (error) => void writer.abort(error).catch(() => {}),
    release: () => writer.releaseLock(),
  };
}

function nodeSink<T>(stream: NodeWritable, fail: (error: unknown) => void): Sink<T> {
  let goOn: (() => void) | undefined;
  let hasRoom = true;
  const onDrain = (): void => {
    hasRoom = true;
    goOn?.();
  };
  const onError = (error?: Error): void => fail(error);
  const failAsClosed = (): void => fail(new Error('the destination was closed before the end'));
  let isEnding = false;
  const onClose = (): void => {
    // A socket whose peer has ended ends and closes by itself, without a 'finish'. Then all is well if all is written.
    if (isEnding && stream.writableEnded && stream.writableLength === 0) goOn?.();
    else failAsClosed();
  };
  const onFinish = (): void => goOn?.();
  const listeners = [
    ['drain', onDrain],
    ['error', onError],
    ['close', onClose],
    ['finish', onFinish],
  ] as const;
  for (const [event, listener] of listeners) stream.on(event, listener);
  // One that has ended or was destroyed tells nobody any more, whatever is written to it.
  if (stream.writable === false || stream.destroyed) failAsClosed();
  const wait = (): Promise<void> => new Promise((resolve) => (goOn = resolve));
  return {
    ready: (ctx) => (hasRoom ? undefined : orCanceled(wait(), ctx)),
    write: (value) => {
      hasRoom = stream.write(value as never);
      return undefined;
    },
    end: () => {
      isEnding = true;
      const finished = wait();
      stream.end();
      return finished;
    },
    abort: (error) => {
      stream.on('error', () => {}); // its own destroying mustn't end the process
      stream.destroy(error instanceof Error ? error : undefined);
    },
    release: () => {
      for (const [event, listener] of listeners) stream.off(event, listener);
    },
  };
}

/** The promise, or the end of the context, whichever comes first. */
async function orCanceled<T>(promise: T | Promise<T>, ctx: Context): Promise<T> {
  let stop: (() => boolean) | undefined;
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        stop = scopeFor(ctx)?.subscribeWaiter((_, cause) => reject(cause));
      }),
    ]);
  } finally {
    stop?.();
  }
}
