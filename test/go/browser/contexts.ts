import {
  afterFunc,
  background,
  CanceledError,
  DeadlineExceededError,
  ErrandError,
  fromSignal,
  isContext,
  withCancel,
  withCancelCause,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from 'errand/go';
import { type Checks, equal, failureOf } from './check.ts';

export const contexts: Checks = {
  'a timeout ends a context, its signal, and what is derived from it': async () => {
    const [parent] = withTimeout(background(), 10);
    const [ctx] = withCancel(withValue(parent, 'user', 'ann'));
    equal([ctx.err, ctx.signal.aborted, ctx.deadline], [undefined, false, parent.deadline]);
    await ctx.done();
    equal([ctx.err instanceof DeadlineExceededError, ctx.signal.reason === parent.err], [true, true]);
    equal([ctx.value('user'), withoutCancel(ctx).value('user'), withoutCancel(ctx).err], ['ann', 'ann', undefined]);
  },

  'a deadline ends a context, unless it is canceled before': async () => {
    const [late] = withDeadline(background(), new Date(Date.now() + 10));
    const [early, cancel] = withDeadline(background(), Date.now() + 3_600_000);
    await late.done();
    cancel();
    equal([late.err?.name, early.err?.name], ['TimeoutError', 'AbortError']);
  },

  'a cancel says why, and calls back': async () => {
    const [ctx, cancel] = withCancelCause(background());
    const called = new Promise<string>((resolve) => afterFunc(ctx, () => resolve('called back')));
    cancel('enough');
    equal([ctx.cause, ctx.signal.reason, await called], ['enough', 'enough', 'called back']);
    equal([ctx.err instanceof CanceledError, ctx.err instanceof ErrandError], [true, true]);
  },

  'a signal of the browser ends a context': async () => {
    const ctx = fromSignal(AbortSignal.timeout(10));
    await ctx.done();
    equal([isContext(ctx), ctx.err instanceof DeadlineExceededError], [true, true]);
    equal(ctx.cause instanceof DOMException, true);
  },

  'a context ends a fetch': async () => {
    const [ctx, cancel] = withCancelCause(background());
    const response = fetch('/silence', { signal: ctx.signal });
    const cause = new Error('the user has left');
    cancel(cause);
    equal((await failureOf(response)) === cause, true);
  },
};
