/** What the compiler must think of contexts: `npx tsc` fails here if a public type changes. */
import { test } from 'node:test';
import {
  type afterFunc,
  type background,
  type CancelCauseFunc,
  type CancelFunc,
  type Context,
  fromSignal,
  isContext,
  withCancel,
  type withCancelCause,
  type withDeadline,
  type withoutCancel,
  withTimeout,
  type withValue,
} from '../../src/go/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;
type Source = Context | AbortSignal;

export type Checks = [
  Expect<Equal<ReturnType<typeof background>, Context>>,
  Expect<Equal<Parameters<typeof withCancel>, [parent: Source]>>,
  Expect<Equal<ReturnType<typeof withCancel>, [Context, CancelFunc]>>,
  Expect<Equal<ReturnType<typeof withCancelCause>, [Context, CancelCauseFunc]>>,
  Expect<Equal<Parameters<typeof withTimeout>, [parent: Source, ms: number, cause?: unknown]>>,
  Expect<Equal<ReturnType<typeof withTimeout>, [Context, CancelFunc]>>,
  Expect<Equal<Parameters<typeof withDeadline>, [parent: Source, deadline: number | Date, cause?: unknown]>>,
  Expect<Equal<ReturnType<typeof withDeadline>, [Context, CancelFunc]>>,
  Expect<Equal<ReturnType<typeof withValue>, Context>>,
  Expect<Equal<Parameters<typeof withoutCancel>, [parent: Context]>>,
  Expect<Equal<ReturnType<typeof afterFunc>, () => boolean>>,
  Expect<Equal<typeof fromSignal, (signal: AbortSignal) => Context>>,
  Expect<Equal<Parameters<CancelFunc>, []>>,
  Expect<Equal<Parameters<CancelCauseFunc>, [cause?: unknown]>>,
  Expect<CancelFunc extends Disposable ? true : false>,
  Expect<CancelCauseFunc extends Disposable ? true : false>,
  Expect<Equal<Context['signal'], AbortSignal>>,
  Expect<Equal<Context['deadline'], number | undefined>>,
  Expect<Equal<Context['err'], Error | undefined>>,
  Expect<Equal<Context['cause'], unknown>>,
  Expect<Equal<ReturnType<Context['done']>, Promise<void>>>,
  Expect<Equal<ReturnType<Context['value']>, unknown>>,
];

/** Compiled, never called. */
export function misuse(ctx: Context, source: Source): Context {
  // @ts-expect-error A context tells; only the cancel function changes it.
  ctx.err = new Error();
  // @ts-expect-error withCancel gives no reason: that is withCancelCause.
  withCancel(ctx)[1]('why');
  // @ts-expect-error A timeout is a number.
  withTimeout(ctx, '1s');
  // @ts-expect-error A controller is no signal.
  withCancel(new AbortController());
  return isContext(source) ? source : fromSignal(source);
}

test('the types of contexts are as this file says: checked by tsc', () => {});
