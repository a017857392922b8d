import {
  background,
  type Clock,
  RateLimiter,
  realClock,
  sleep,
  Ticker,
  Timer,
  withCancelCause,
  withClock,
} from 'errand/go';
import { type Checks, equal, failureOf } from './check.ts';

export const time: Checks = {
  'a sleep takes its time, by the clock of the browser': async () => {
    const began = realClock.now();
    await sleep(20);
    equal(realClock.now() - began >= 20, true);
    equal(Math.abs(realClock.timeOrigin - performance.timeOrigin) <= 1, true);
  },

  'a context ends a sleep': async () => {
    const [ctx, cancel] = withCancelCause(background());
    const sleeping = sleep(3_600_000, ctx);
    cancel('wake up');
    equal(await failureOf(sleeping), 'wake up');
  },

  'below a context with a clock of its own, time is that of the clock': async () => {
    let now = 0;
    const hasty: Clock = {
      now: () => now,
      timeOrigin: 0,
      setTimeout(callback, ms) {
        now += ms;
        queueMicrotask(callback);
        return undefined;
      },
      clearTimeout() {},
    };
    await sleep(3_600_000, withClock(background(), hasty));
    equal(now, 3_600_000);
  },

  'a ticker ticks at whole intervals until it is stopped': async () => {
    const ticker = new Ticker(10);
    const times: number[] = [];
    for await (const at of ticker.channel) {
      times.push(at);
      if (times.length === 3) break;
    }
    ticker.stop();
    const steps = times.slice(1).map((at, i) => (at - times[i]!) / 10);
    equal(
      steps.every((step) => step >= 0.99 && Math.abs(step - Math.round(step)) < 0.01),
      true,
    );
    equal(ticker.channel.tryReceive(), undefined);
  },

  'a timer ticks once, can be stopped, and be set again': async () => {
    const timer = new Timer(3_600_000);
    equal([timer.stop(), timer.stop(), timer.reset(10)], [true, false, false]);
    equal(typeof (await timer.channel.receive()).value, 'number');
    equal(timer.channel.tryReceive(), undefined);
  },

  'a rate limiter lets pass its burst, and then one at a time': async () => {
    const hourly = new RateLimiter({ limit: 1, intervalMs: 3_600_000, burst: 2 });
    const [ctx, cancel] = withCancelCause(background());
    equal([hourly.allow(2), hourly.allow(), hourly.reserve().ok], [true, false, true]);
    const waiting = hourly.wait(1, ctx);
    cancel('enough');
    equal(await failureOf(waiting), 'enough');
    for (const strict of [false, true]) {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 10, strict });
      const began = realClock.now();
      for (let i = 0; i < 3; i++) await limiter.wait();
      equal(realClock.now() - began >= 19.9, true);
    }
  },
};
