/** An engine with faults to switch on: for tests of whoever lives with an engine. */

import type { ConsumerListener, Engine, EngineLock } from '../engines/index.ts';
import type { Clock } from '../go/clock.ts';
import {
  COUNT,
  COUNT_OR_NONE,
  checkNames,
  checkNumber,
  checkObject,
  checkOneOf,
  DURATION_OR_NONE,
  optionalNumber,
  optionalOneOf,
} from '../tasks/checks.ts';

/** What can go wrong by itself: every method that gives a promise, but `close`. */
export type EngineOperation = Exclude<keyof Engine, 'name' | 'capabilities' | 'clock' | 'watch' | 'close'>;

/** How operations fail. */
export interface FailureOptions {
  /** How often. Default 1. */
  readonly times?: number | undefined;
  /** Before anything is done, or after it is done, so that only the reply is lost. Default 'before'. */
  readonly when?: 'before' | 'after' | undefined;
  /** What they reject with. Default: an Error that names the operation. */
  readonly error?: unknown;
}

/** An engine, and what can be made to go wrong with it. */
export interface FaultyEngine extends Engine {
  /** Has the next calls of an operation fail; after those that were told to before. @throws TypeError or RangeError */
  failNext(operation: EngineOperation, options?: FailureOptions): void;
  /** Has the next deliveries get lost on the way: their leases are given, and nobody knows. */
  loseDeliveries(count: number): void;
  /** Has everything fail from now on, and nobody be told anything. What is under way gets no reply. */
  goDown(error?: unknown): void;
  /** Has it all work again. What was to be told meanwhile is lost. */
  comeUp(): void;
  /** Has every reply come so much later. */
  slowDown(ms: number): void;
  /** Has nobody be told anything, or everybody again: of work, of what is to be canceled, of messages. */
  deafen(isDeaf?: boolean): void;
  /** How often an operation was called. */
  calls(operation: EngineOperation): number;
}

const OPERATIONS: readonly EngineOperation[] = [
  'submit',
  'submitMany',
  'begin',
  'end',
  'fetch',
  'start',
  'renew',
  'ack',
  'fail',
  'release',
  'update',
  'cancel',
  'schedule',
  'get',
  'logs',
  'scan',
  'count',
  'resubmit',
  'remove',
  'limit',
  'read',
  'write',
  'consumers',
  'lock',
  'broadcast',
  'selfCheck',
];

type Method = (...args: unknown[]) => Promise<unknown>;

/**
 * Wraps an engine, to begin with one that has no faults.
 *
 * @example
 * const engine = faultyEngine(memoryEngine());
 * engine.failNext('ack', { when: 'after' }); // the call has completed, and who ran it doesn't know
 */
export function faultyEngine(engine: Engine): FaultyEngine {
  checkObject('engine', engine);
  const faults = new Faults(engine);
  const methods = OPERATIONS.map((operation) => {
    const method: Method = (...args) => faults.run(operation, args);
    return [operation, method];
  });
  return {
    ...(Object.fromEntries(methods) as Pick<Engine, EngineOperation>),
    name: engine.name,
    capabilities: engine.capabilities,
    clock: engine.clock,
    // That it is closed, nobody has to be told: it is seen.
    watch: (id, listener) =>
      engine.watch(id, (event) => (faults.isHeard || event.type === 'closed') && listener(event)),
    close: () => engine.close(),
    failNext: (operation, options) => faults.failNext(operation, options),
    loseDeliveries: (count) => {
      faults.lost += checkNumber('count', count, COUNT_OR_NONE);
    },
    goDown: (error = new Error('the engine is down')) => {
      faults.down = { error };
    },
    comeUp: () => {
      faults.down = undefined;
    },
    slowDown: (ms) => {
      faults.delayMs = checkNumber('ms', ms, DURATION_OR_NONE);
    },
    deafen: (isDeaf = true) => {
      faults.isDeaf = isDeaf;
    },
    calls: (operation) => faults.counts.get(checkOneOf('operation', operation, OPERATIONS)) ?? 0,
  };
}

interface Fault {
  left: number;
  readonly when: 'before' | 'after';
  readonly error: unknown;
}

class Faults {
  readonly counts = new Map<EngineOperation, number>();
  lost = 0;
  down: { readonly error: unknown } | undefined = undefined;
  delayMs = 0;
  isDeaf = false;
  readonly #engine: Engine;
  readonly #faults = new Map<EngineOperation, Fault[]>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get isHeard(): boolean {
    return this.down === undefined && !this.isDeaf;
  }

  failNext(operation: EngineOperation, options: FailureOptions = {}): void {
    checkOneOf('operation', operation, OPERATIONS);
    checkObject('options', options);
    checkNames('failNext', options, ['times', 'when', 'error']);
    const { error = new Error(`${operation} has failed`) } = options;
    const times = optionalNumber('times', options.times, { ...COUNT, infinite: true }, 1);
    const when = optionalOneOf('when', options.when, ['before', 'after'], 'before');
    const faults = this.#faults.get(operation) ?? [];
    this.#faults.set(operation, [...faults, { left: times, when, error }]);
  }

  async run(operation: EngineOperation, args: unknown[]): Promise<unknown> {
    this.counts.set(operation, (this.counts.get(operation) ?? 0) + 1);
    const fault = this.#take(operation);
    if (this.down !== undefined) throw this.down.error;
    if (fault?.when === 'before') {
      await this.#wait();
      throw fault.error;
    }
    if (operation === 'begin') args[1] = this.#overheard(args[1] as ConsumerListener);
    const result = await (this.#engine[operation] as Method)(...args);
    await this.#wait();
    const { down } = this as Faults;
    if (down !== undefined) throw down.error;
    if (fault !== undefined) throw fault.error;
    if (operation === 'fetch' && this.lost > 0) return this.#lose(result as unknown[]);
    return operation === 'lock' && result !== undefined ? this.#throughHere(result as EngineLock) : result;
  }

  /** What is asked of a lock goes the same way. */
  #throughHere(lock: EngineLock): EngineLock {
    const ask = async <T>(work: () => Promise<T>): Promise<T> => {
      if (this.down !== undefined) throw this.down.error;
      const result = await work();
      await this.#wait();
      const { down } = this as Faults;
      if (down !== undefined) throw down.error;
      return result;
    };
    return {
      token: lock.token,
      renew: (leaseMs) => ask(() => lock.renew(leaseMs)),
      release: () => ask(() => lock.release()),
    };
  }

  #take(operation: EngineOperation): Fault | undefined {
    const faults = this.#faults.get(operation) ?? [];
    const [fault] = faults;
    if (fault !== undefined && --fault.left <= 0) faults.shift();
    return fault;
  }

  #lose(deliveries: unknown[]): unknown[] {
    const lost = deliveries.slice(0, this.lost);
    this.lost -= lost.length;
    return deliveries.slice(lost.length);
  }

  #overheard(listener: ConsumerListener): ConsumerListener {
    return {
      onWake: () => this.isHeard && listener.onWake(),
      onCancel: (id, error) => this.isHeard && listener.onCancel(id, error),
      onMessage: (message) => this.isHeard && listener.onMessage(message),
    };
  }

  async #wait(): Promise<void> {
    if (this.delayMs <= 0) return;
    const clock: Clock = this.#engine.clock;
    await new Promise<void>((resolve) => void clock.setTimeout(resolve, this.delayMs, true));
  }
}
