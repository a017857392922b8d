/** Fan-in: many channels read as one. */
import { Channel, type FromOptions } from './channel.ts';
import { background } from './context.ts';
import { feed } from './pipe.ts';

/**
 * A channel of what all the sources give, as it comes, closed when all of them have ended; the values of each stay in
 * order. When one fails, the merged channel does, and the others are no longer read; so too when `options.signal`
 * fires. A value on its way then is lost. From the pipelines of the Go blog.
 *
 * ```ts
 * for await (const line of merge([stdout, stderr])) console.log(line);
 * ```
 */
export function merge<T>(sources: Iterable<AsyncIterable<T>>, options: FromOptions = {}): Channel<T> {
  const channel = new Channel<T>(options.capacity);
  feed(channel, [...sources], options.signal ?? background());
  return channel;
}
