/**
 * An engine that is never waited for without end: what is asked may be lost, and the answer never come. Then it is as if
 * the engine had failed, and whoever has asked does what it does then. For what isn't asked all the time, as each
 * question sets a timer.
 */
import type { Engine } from '../engines/index.ts';
import type { Clock } from '../go/clock.ts';
import { DeadlineExceededError } from '../go/errors.ts';

/** How long an engine may take to answer. */
const ANSWER_MS = 30_000;

type Method = (...args: unknown[]) => unknown;

/** The same engine, whose operations reject with a DeadlineExceededError when they aren't answered in time. */
export function timelyEngine(engine: Engine): Engine {
  return timely(engine, engine.clock);
}

function timely<T extends object>(target: T, clock: Clock): T {
  return new Proxy(target, {
    get(_, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const answer = (value as Method).apply(target, args);
        return answer instanceof Promise ? inTime(answer, String(name), clock) : answer;
      };
    },
  });
}

function inTime(answer: Promise<unknown>, name: string, clock: Clock): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimeout(
      () => reject(new DeadlineExceededError(`the engine has not answered ${name} within ${ANSWER_MS} ms`)),
      ANSWER_MS,
    );
    answer
      // A lock is asked for more.
      .then((given) => resolve(name === 'lock' && given !== undefined ? timely(given as object, clock) : given), reject)
      .finally(() => clock.clearTimeout(timer));
  });
}
