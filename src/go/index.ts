/** `errand/go`: Go's building blocks for concurrency. Re-exports, nothing else. */
export { type Clock, type ClockTimer, realClock } from './clock.ts';
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
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from './context.ts';
export { CanceledError, DeadlineExceededError, ErrandError, type ErrandErrorCode } from './errors.ts';
