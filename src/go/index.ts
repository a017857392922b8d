/** `errand/go`: Go's building blocks for concurrency. Re-exports, nothing else. */
export { type ReceiveCase, receive, type SendCase, send } from './cases.ts';
export { Channel, type FromOptions, type SendChannel } from './channel.ts';
export { type Clock, type ClockTimer, realClock } from './clock.ts';
export { Cond } from './cond.ts';
export {
  afterFunc,
  background,
  type CancelCauseFunc,
  type CancelFunc,
  type Context,
  fromSignal,
  isContext,
  withCancel,
  withCancelCause,
  withClock,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from './context.ts';
export { ErrGroup } from './err-group.ts';
export {
  CanceledError,
  ClosedChannelError,
  DeadlineExceededError,
  ErrandError,
  type ErrandErrorCode,
  NotHeldError,
} from './errors.ts';
export { merge } from './merge.ts';
export { Mutex } from './mutex.ts';
export { Once, onceValue } from './once.ts';
export type { Destination, NodeWritable, PipeOptions, Source, WebReadable, WebWritable } from './pipe.ts';
export { RateLimiter, type RateLimiterOptions } from './rate-limiter.ts';
export type { ReceiveChannel, Received } from './receivable.ts';
export type { Reservation } from './reservation.ts';
export { RWMutex } from './rw-mutex.ts';
export { type SelectCase, type Selected, type SelectOptions, select } from './select.ts';
export { type Permit, Semaphore } from './semaphore.ts';
export { type Shared, SingleFlight } from './single-flight.ts';
export { after, type SleepOptions, sleep, Ticker, type TimeOptions, Timer } from './time.ts';
export { WaitGroup } from './wait-group.ts';
export type { WaitOptions } from './wait-queue.ts';
