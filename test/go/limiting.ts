/** What the tests of rate limiters share: clocks moved by hand or late, and contexts that live by them. */
import assert from 'node:assert/strict';
import type { Clock, ClockTimer } from '../../src/go/clock.ts';
import type { Context } from '../../src/go/index.ts';
import { CancelScope, scopeOf } from '../../src/go/scope.ts';
import { VirtualClock } from '../../src/testing/index.ts';

/** A clock that says what it is told, if need be an earlier time than before. It has no timers. */
export class HandClock implements Clock {
  readonly timeOrigin = 0;
  time = 0;

  now(): number {
    return this.time;
  }

  setTimeout(): never {
    return assert.fail('nobody has to wait');
  }

  clearTimeout(): void {}
}

/** A virtual clock whose timers fire late by what `late` says for each; if it is below 0 early, but then in the end in time. */
export class LateClock extends VirtualClock {
  readonly #late: () => number;

  constructor(late: () => number) {
    super();
    this.#late = late;
  }

  override setTimeout(callback: () => void, ms: number): ClockTimer {
    const late = this.#late();
    return super.setTimeout(callback, ms + late > 0 ? ms + late : ms);
  }
}

/** A virtual clock that knows of each timer whether it holds the process. */
export class HoldingClock extends VirtualClock {
  readonly holds: (boolean | undefined)[] = [];

  override setTimeout(callback: () => void, ms: number, hold?: boolean): ClockTimer {
    this.holds.push(hold);
    return super.setTimeout(callback, ms);
  }
}

/** A root whose descendants have their deadlines by this clock. */
export function rootOn(clock: Clock): Context {
  const scope = new CancelScope(undefined, clock);
  const root: Context & { [scopeOf](): CancelScope } = {
    signal: scope.signal,
    deadline: undefined,
    err: undefined,
    cause: undefined,
    done: () => scope.done(),
    value: () => undefined,
    [scopeOf]: () => scope,
  };
  return root;
}
