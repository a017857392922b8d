/**
 * Where a dispatcher is spoken to: it does what it is told by others on the engine. What can be said is the list of
 * commands here, and nothing else: a message never names something to be looked up and called.
 */
import type { Engine } from '../../engines/index.ts';
import { COUNT, checkNumber, checkOneOf } from '../checks.ts';
import type { Consumer } from '../consumer.ts';
import type { DispatcherState } from '../dispatcher.ts';
import { type Events, LOG_LEVELS } from '../dispatcher-events.ts';
import type { Limits } from '../limits.ts';
import { packageVersion } from '../package-version.ts';
import type { Staff } from '../staff.ts';
import { isObject } from './messages.ts';
import { Messenger } from './messenger.ts';
import { probe } from './probe.ts';
import { packReport, type Report } from './report.ts';

/** What is asked of the dispatcher. */
export interface StationHost {
  readonly engine: Engine;
  readonly name: string;
  readonly state: () => DispatcherState;
  readonly consumer: () => Consumer;
  readonly limits: Limits;
  readonly staff: Staff;
  readonly events: Events;
}

type Command = (station: Station, params: Readonly<Record<string, unknown>>) => Promise<unknown>;

/** Of the time that an asker waits, the part that workers have to answer; the rest is for the way. */
const WORKERS_PART = 0.75;

const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['report', async (station) => packReport(station.report())],
  ['refreshQueues', (station) => station.refreshQueues()],
  ['setLogLevel', async (station, { level }) => station.setLogLevel(level)],
  ['ping', (station, { timeoutMs }) => station.probe(timeoutMs)],
]);

export class Station {
  readonly messenger: Messenger;
  readonly #host: StationHost;
  #startedAt: number | undefined;

  constructor(host: StationHost) {
    this.#host = host;
    const { engine, name, events } = host;
    this.messenger = new Messenger({
      engine,
      name,
      get isHeard() {
        return host.consumer().isAlive;
      },
      answer: (command, params) => this.#obey(command, params),
      warn: (what, error) => events.log('warn', what, error),
    });
  }

  /** The dispatcher has started. */
  started(): void {
    this.#startedAt = this.#host.engine.clock.now();
  }

  report(): Report {
    const { engine, state, consumer, limits, staff } = this.#host;
    return {
      state: state(),
      uptimeMs: this.#startedAt === undefined ? 0 : engine.clock.now() - this.#startedAt,
      version: packageVersion(),
      queues: limits.queues.uses(),
      managers: new Map([...staff.all()].map(([name, manager]) => [name, manager.stats()])),
      calls: [...consumer().runs].map(({ record }) => record.id),
    };
  }

  /** Looks at once what was said of queues. */
  async refreshQueues(): Promise<void> {
    await this.#host.limits.refresh();
  }

  setLogLevel(level: unknown): void {
    this.#host.events.level = checkOneOf('level', level, LOG_LEVELS);
  }

  /** By manager, how many workers there are, and how many answer. */
  async probe(timeoutMs: unknown): Promise<unknown> {
    const { engine, staff } = this.#host;
    const limit = checkNumber('timeoutMs', timeoutMs, COUNT) * WORKERS_PART;
    const probes = [...staff.all()].map(async ([name, manager]) => [name, await probe(manager, limit, engine.clock)]);
    return Promise.all(probes);
  }

  async #obey(name: string, params: unknown): Promise<unknown> {
    const command = COMMANDS.get(name);
    if (command === undefined) {
      throw new RangeError(`${JSON.stringify(name)} is no command; those are ${[...COMMANDS.keys()].join(', ')}`);
    }
    return command(this, isObject(params) ? params : {});
  }
}
