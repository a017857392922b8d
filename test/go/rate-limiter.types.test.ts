/** What the compiler must think of rate limiters: `npx tsc` fails here if a public type changes. */
import { test } from 'node:test';
import type { Clock, Context, RateLimiter, RateLimiterOptions, Reservation, WaitOptions } from '../../src/go/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;

export type Checks = [
  Expect<Equal<ConstructorParameters<typeof RateLimiter>, [options: RateLimiterOptions]>>,
  Expect<Equal<RateLimiterOptions['limit'], number>>,
  Expect<Equal<RateLimiterOptions['intervalMs'], number | undefined>>,
  Expect<Equal<RateLimiterOptions['burst'], number | undefined>>,
  Expect<Equal<RateLimiterOptions['strict'], boolean | undefined>>,
  Expect<Equal<RateLimiterOptions['clock'], Clock | undefined>>,
  Expect<Equal<RateLimiter['limit'], number>>,
  Expect<Equal<RateLimiter['burst'], number>>,
  Expect<Equal<RateLimiter['tokens'], number>>,
  Expect<Equal<RateLimiter['allow'], (n?: number) => boolean>>,
  Expect<Equal<RateLimiter['reserve'], (n?: number) => Reservation>>,
  Expect<Equal<RateLimiter['wait'], (n?: number, ctx?: Context | AbortSignal | WaitOptions) => Promise<void>>>,
  Expect<Equal<RateLimiter['setLimit'], (limit: number) => void>>,
  Expect<Equal<RateLimiter['setBurst'], (burst: number) => void>>,
  Expect<Equal<Reservation['ok'], boolean>>,
  Expect<Equal<Reservation['delayMs'], number>>,
  Expect<Equal<Reservation['cancel'], () => void>>,
];

/** Compiled, never called. */
export function misuse(limiter: RateLimiter, controller: AbortController): void {
  // @ts-expect-error It is set by setLimit.
  limiter.limit = 5;
  // @ts-expect-error It is set by setBurst.
  limiter.burst = 5;
  // @ts-expect-error How many come first.
  void limiter.wait(controller.signal);
  // @ts-expect-error A controller is no signal.
  void limiter.wait(1, controller.abort);
}

test('the types of rate limiters are as this file says: checked by tsc', () => {});
