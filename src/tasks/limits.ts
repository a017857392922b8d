/** The queues of a dispatcher, which can change while it runs, and what the engine is told of limits. */
import type { Engine } from '../engines/index.ts';
import { definitionOf } from './define-task.ts';
import { type QueueMap, Queues, queueLane } from './queues.ts';
import type { TaskRegistry } from './registry.ts';

export interface LimitsOptions {
  readonly engine: Engine;
  readonly registry: TaskRegistry;
  readonly order: 'strict' | 'weighted';
  /** Undefined: all that tasks name. */
  readonly queues: QueueMap | undefined;
}

export class Limits {
  readonly queues: Queues;
  readonly #options: LimitsOptions;
  /** Whether its queues are all that its tasks name. */
  #hasAllQueues: boolean;
  /** Of which tasks the engine knows the limits. */
  #told: number | undefined = undefined;
  /** The last change: the next one comes after it. */
  #telling: Promise<void> | undefined;

  constructor(options: LimitsOptions) {
    this.#options = options;
    this.#hasAllQueues = options.queues === undefined;
    this.queues = new Queues(options.order);
    this.queues.set(options.queues ?? {});
  }

  /** Tells the engine what all tasks and queues are limited to; nothing if it `isKnown` and hasn't changed. */
  tell(isKnown: boolean): Promise<void> | undefined {
    if (isKnown && this.#told === this.#options.registry.revision) return undefined;
    return this.#inTurn(() => this.#tellAll());
  }

  /** Another set of queues from now on; what runs of those that are gone goes on. */
  set(queues: QueueMap): Promise<void> {
    return this.#inTurn(async () => {
      const { engine, order } = this.#options;
      const next = new Queues(order);
      next.set(queues);
      // Those that are gone keep theirs: others may work on them.
      for (const name of next.names) await engine.limit(queueLane(name), next.limitOf(name));
      this.#hasAllQueues = false;
      this.queues.set(queues);
    });
  }

  async #tellAll(): Promise<void> {
    const { engine, registry } = this.#options;
    const { revision } = registry;
    if (this.#hasAllQueues) this.queues.set(queuesOf(registry));
    for (const task of registry.list()) {
      for (const [lane, limit] of definitionOf(task).limits) await engine.limit(lane, limit);
    }
    for (const name of this.queues.names) {
      const limit = this.queues.limitOf(name);
      if (limit !== undefined) await engine.limit(queueLane(name), limit);
    }
    this.#told = revision;
  }

  /** One after the other: the last word has to be the last. */
  #inTurn(tell: () => Promise<void>): Promise<void> {
    const telling = this.#telling === undefined ? tell() : this.#telling.then(tell);
    const told = telling
      .catch(() => {})
      .then(() => {
        if (this.#telling === told) this.#telling = undefined;
      });
    this.#telling = told;
    return telling;
  }
}

/** All queues that tasks name. */
function queuesOf(registry: TaskRegistry): QueueMap {
  const names = registry.list().flatMap((task) => definitionOf(task).queues);
  return Object.fromEntries([...new Set(names)].sort().map((name) => [name, {}]));
}
