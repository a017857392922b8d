/** What the tests of schedules share: times of day, dispatchers on one engine, and what has come of their ticks. */
import {
  type AnyTask,
  Dispatcher,
  type DispatcherOptions,
  defineTask,
  type Engine,
  memoryEngine,
  type TickEvent,
} from '../../../src/tasks/index.ts';
import { VirtualClock } from '../../../src/testing/index.ts';
import { passing } from '../kit.ts';

export const SECOND = 1_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** A clock that shows this time. */
export function clockAt(time: string): VirtualClock {
  return new VirtualClock({ timeOrigin: Date.parse(time) });
}

/** A time of day, as short as can be: '01-02 03:04:05'. */
export function timeOf(at: Date | number | undefined): string {
  return at === undefined ? 'never' : new Date(at).toISOString().slice(5, 19).replace('T', ' ');
}

/** Gives what it gets, and is kept. */
export const noted = defineTask({
  name: 'noted',
  retain: { completed: 400 * DAY },
  run: (_ctx, input: unknown) => input,
});

/** Dispatchers of one engine, and what they have told. */
export interface Party extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly engine: Engine;
  /** Of all dispatchers. */
  readonly ticks: TickEvent[];
  readonly errors: unknown[];
  /** A dispatcher that is stopped at the end. */
  join(options?: Partial<DispatcherOptions>): Dispatcher;
  /** What was fired, as it stands in the engine: one text for each call, the oldest first. */
  fired(): Promise<string[]>;
  /** What was told, as `fired 01-02 03:04:05`. */
  told(): string[];
}

export function partyOf(
  tasks: AnyTask | readonly AnyTask[] = noted,
  clock = clockAt('2026-01-01T00:00:00Z'),
  engine: Engine = memoryEngine({ clock }),
): Party {
  const dispatchers: Dispatcher[] = [];
  const ticks: TickEvent[] = [];
  const errors: unknown[] = [];
  return {
    clock,
    engine,
    ticks,
    errors,
    join(options = {}) {
      const list = Symbol.iterator in tasks ? tasks : [tasks];
      const dispatcher = new Dispatcher({ tasks: list, engine, ...options });
      dispatcher.on('tick', (tick) => ticks.push(tick));
      dispatcher.on('error', (error) => errors.push(error));
      dispatchers.push(dispatcher);
      return dispatcher;
    },
    async fired() {
      const calls = await engine.scan({}, { limit: 100_000 });
      return calls
        .map(({ context }) => (JSON.parse(context) as { headers: Record<string, string> }).headers['scheduled-at']!)
        .map((at) => timeOf(Date.parse(at)))
        .sort();
    },
    told: () => ticks.map(({ outcome, at }) => `${outcome} ${timeOf(at)}`),
    async [Symbol.asyncDispose]() {
      for (const each of dispatchers) await passing(clock, each.stop({ graceMs: 0, timeoutMs: 0 }));
      await engine.close();
    },
  };
}
