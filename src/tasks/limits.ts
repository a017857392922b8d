/** The queues of a dispatcher, which can change while it runs, and what the engine is told of limits. */
import type { Engine } from '../engines/index.ts';
import { parseQueueNote, QUEUE_NOTE, rulesFor } from './control/queue-note.ts';
import { definitionOf } from './define-task.ts';
import { type QueueMap, type QueueRule, Queues, queueLane } from './queues.ts';
import type { TaskRegistry } from './registry.ts';

export interface LimitsOptions {
  /** The dispatcher. */
  readonly name: string;
  readonly engine: Engine;
  readonly registry: TaskRegistry;
  readonly order: 'strict' | 'weighted';
  /** Undefined: all that tasks name. */
  readonly queues: QueueMap | undefined;
  /** Control has said something else of queues. */
  readonly changed: () => void;
}

export class Limits {
  readonly queues: Queues;
  readonly #options: LimitsOptions;
  /** Whether its queues are all that its tasks name. */
  #hasAllQueues: boolean;
  /** Queues of which the engine has a limit from here. */
  readonly #limited = new Set<string>();
  /** Of which tasks the engine knows the limits. */
  #told: number | undefined = undefined;
  /** What control has said of queues, as it was last read, and what holds of it here. */
  #note: string | undefined = undefined;
  #rules: ReadonlyMap<string, QueueRule> = new Map();
  #isOld = false;
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
    if (isKnown && !this.#isOld && this.#told === this.#options.registry.revision) return undefined;
    return this.#inTurn(() => this.#tellAll(isKnown));
  }

  /** The queues that tasks name, and those it takes from. */
  names(): string[] {
    return [...Object.keys(queuesOf(this.#options.registry)), ...this.queues.names];
  }

  /** Control may have said something of queues: {@link Limits.tell} is to look. */
  lookAgain(): void {
    this.#isOld = true;
  }

  /** Looks at once what control has said of queues. */
  refresh(): Promise<void> {
    return this.#inTurn(() => this.#tellAll(true));
  }

  /** Another set of queues from now on; what runs of those that are gone goes on. */
  set(queues: QueueMap): Promise<void> {
    return this.#inTurn(async () => {
      const next = new Queues(this.#options.order);
      next.set(queues);
      next.rule(this.#rules);
      await this.#limitAll(next);
      this.#hasAllQueues = false;
      this.queues.set(queues);
    });
  }

  async #tellAll(isKnown: boolean): Promise<void> {
    this.#isOld = false;
    try {
      const text = await this.#options.engine.read(QUEUE_NOTE);
      const isChanged = text !== this.#note;
      if (isKnown && !isChanged && this.#told === this.#options.registry.revision) return;
      // One that can't be read says nothing: what was said before holds.
      const note = parseQueueNote(text);
      if (note !== undefined) this.#rules = rulesFor(this.#options.name, note);
      this.queues.rule(this.#rules);
      await this.#tellLimits();
      this.#note = text;
      if (isChanged) this.#options.changed();
    } catch (error) {
      this.#isOld = true;
      throw error;
    }
  }

  async #tellLimits(): Promise<void> {
    const { engine, registry } = this.#options;
    const { revision } = registry;
    if (this.#hasAllQueues) this.queues.set(queuesOf(registry));
    for (const task of registry.list()) {
      for (const [lane, limit] of definitionOf(task).limits) await engine.limit(lane, limit);
    }
    await this.#limitAll(this.queues);
    this.#told = revision;
  }

  /** Those that are gone keep theirs, as others may work on them; and nobody takes back what others have said. */
  async #limitAll(queues: Queues): Promise<void> {
    for (const name of queues.names) {
      const limit = queues.limitOf(name);
      const isRuled = queues.isRuled(name);
      if (limit === undefined && !isRuled && !this.#limited.has(name)) continue;
      // Before, as the engine may know it though no answer comes.
      if (limit !== undefined && !isRuled) this.#limited.add(name);
      await this.#options.engine.limit(queueLane(name), limit);
      if (limit === undefined) this.#limited.delete(name);
    }
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
