/**
 * What holds for every engine, as tests: an engine that passes them can stand under a Dispatcher. They are one process's;
 * what several processes do to each other needs tests of the engine's own.
 */
import { test } from 'node:test';
import type { Engine } from '../engines/index.ts';
import { type Clock, realClock } from '../go/clock.ts';
import { EngineWorld } from './engine-world.ts';
import { withLeakCheck } from './leaks.ts';
import { leases } from './suite-leases.ts';
import { rules } from './suite-rules.ts';
import { seeing } from './suite-seeing.ts';
import { sharing } from './suite-sharing.ts';
import { waiting } from './suite-waiting.ts';
import { VirtualClock } from './virtual-clock.ts';

/** What {@link engineSuite} can be told. */
export interface EngineSuiteOptions {
  /**
   * Whether the engine goes by the clock that it is given, and by no other: time is virtual then. Else its tests wait
   * for real. Default true.
   */
  readonly isVirtual?: boolean | undefined;
  /**
   * How long a while is, in ms: longer than anything takes that isn't to be waited for. Default 1,000 of virtual time,
   * 100 of real time.
   */
  readonly unitMs?: number | undefined;
}

/** What an engine under test is made with. */
export interface EngineSetting {
  /** What it is to go by, unless the suite was told that it can't. */
  readonly clock: Clock;
}

/**
 * Registers the tests of all engines with `node:test`, for one of them.
 *
 * @param make makes a fresh engine, empty and apart from all others, for each test; the test closes it
 * @example
 * engineSuite('my engine', ({ clock }) => myEngine({ clock }));
 */
export function engineSuite(
  name: string,
  make: (setting: EngineSetting) => Engine | PromiseLike<Engine>,
  options: EngineSuiteOptions = {},
): void {
  const { isVirtual = true, unitMs = isVirtual ? 1_000 : 100 } = options;
  for (const scenario of [...waiting, ...leases, ...rules, ...seeing, ...sharing]) {
    const run = withLeakCheck(async () => {
      const virtual = isVirtual ? new VirtualClock({ timeOrigin: 1_700_000_000_000 }) : undefined;
      const engine = await make({ clock: virtual ?? realClock });
      const pass = (ms: number) => virtual?.advance(ms) ?? new Promise<void>((resolve) => void setTimeout(resolve, ms));
      try {
        await scenario.run(new EngineWorld(engine, unitMs, pass));
      } finally {
        await engine.close();
      }
    });
    test(`${name}: ${scenario.name}`, run);
  }
}
