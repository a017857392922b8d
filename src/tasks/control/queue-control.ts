/** The queues of an engine, seen and steered while dispatchers take from them. */
import type { CallState, Engine } from '../../engines/index.ts';
import {
  COUNT,
  checkName,
  checkNames,
  checkNumber,
  checkObject,
  DURATION,
  optionalNumber,
  wrongRange,
} from '../checks.ts';
import { UnknownDispatcherError, UnknownQueueError } from '../errors.ts';
import { isOwnQueue, type QueueOptions, type QueueRule, type QueueUse, queueLane } from '../queues.ts';
import { scanAll } from '../scan-all.ts';
import { type Answers, dispatchersOf, type Messenger } from './messenger.ts';
import { changeQueueNote, parseQueueNote, QUEUE_NOTE, type QueueEntry } from './queue-note.ts';
import { type Report, unpackReport } from './report.ts';

/** Where something is to hold. */
export interface QueueScope {
  /** One dispatcher, by its name. Default: all on the engine, those that start later included. */
  readonly dispatcher?: string | undefined;
}

/** Who has heard of something in time. */
export interface Reached {
  /** Those that have said so. */
  readonly dispatchers: readonly string[];
  /** Those that haven't. A change of queues they find by themselves, within seconds. */
  readonly silent: readonly string[];
}

/** Where the calls of a queue stand. */
export type QueueCounts = Readonly<Record<'queued' | 'held' | 'scheduled' | 'started' | 'deadLettered', number>>;

/** How one dispatcher takes from a queue. */
export interface QueueTaker {
  /** Its name. */
  readonly dispatcher: string;
  /** How many of its calls it runs at once; Infinity: as many as it has room for. */
  readonly concurrency: number;
  /** Its share of the dispatcher's turns, where `order` is 'weighted'. */
  readonly weight: number;
  /** Whether it takes nothing from it at present. */
  readonly isPaused: boolean;
}

/** A queue as it is at one moment. */
export interface QueueInfo {
  /** As tasks and dispatchers call it. */
  readonly name: string;
  /** How many calls stand where. */
  readonly counts: QueueCounts;
  /** Whether it is paused for all dispatchers. */
  readonly isPaused: boolean;
  /** At most so many starts in any window, in all dispatchers together; undefined: any number. */
  readonly rateLimit: { readonly limit: number; readonly intervalMs: number } | undefined;
  /** The dispatchers that have answered, and take from it. */
  readonly takers: readonly QueueTaker[];
  /** Calls wait in it, and nobody takes from it: a name misspelled, perhaps, or a dispatcher that is missing. */
  readonly isUnattended: boolean;
}

export interface QueueControlHost {
  readonly engine: Engine;
  readonly messenger: Messenger;
  /** Those that tasks name here, or this dispatcher takes from. */
  names(): Iterable<string>;
  changed(what: string): void;
}

const STATES = ['queued', 'held', 'scheduled', 'started', 'deadLettered'] as const satisfies CallState[];

/** How long dispatchers have to answer. */
export const ANSWER_MS = 1_000;

/**
 * The queues of an engine. What is said here is kept by the engine: it holds for dispatchers that start later as well,
 * and goes before their own options, until `reset`. The last word holds: what is said for all dispatchers replaces what
 * was said for single ones.
 */
export class QueueControl {
  readonly #host: QueueControlHost;

  /** @internal */
  constructor(host: QueueControlHost) {
    this.#host = host;
  }

  /** All queues that are known, by name: those that tasks name, that dispatchers take from, or that calls wait in. It looks at all calls that wait. */
  async list(): Promise<QueueInfo[]> {
    const { engine } = this.#host;
    const answers = await reportsOf(this.#host.messenger);
    const note = parseQueueNote(await engine.read(QUEUE_NOTE)) ?? new Map<string, QueueEntry>();
    const counts = new Map<string, Record<(typeof STATES)[number], number>>();
    const countsOf = (name: string) => {
      const own = counts.get(name) ?? { queued: 0, held: 0, scheduled: 0, started: 0, deadLettered: 0 };
      counts.set(name, own);
      return own;
    };
    for (const name of this.#host.names()) countsOf(name);
    for (const name of note.keys()) countsOf(name);
    const uses = new Map<string, [string, QueueUse][]>();
    for (const [dispatcher, report] of answers) {
      for (const use of report?.queues ?? []) {
        countsOf(use.name);
        uses.set(use.name, [...(uses.get(use.name) ?? []), [dispatcher, use]]);
      }
    }
    for await (const { queue, state } of scanAll(engine, { state: STATES })) {
      if (!isOwnQueue(queue)) countsOf(queue)[state as (typeof STATES)[number]]++;
    }
    return [...counts.keys()]
      .sort()
      .map((name) => infoOf(name, countsOf(name), note.get(name)?.rule ?? {}, uses.get(name) ?? []));
  }

  /**
   * Has nothing be taken from a queue any more; what runs goes on.
   * @throws UnknownQueueError, UnknownDispatcherError
   */
  pause(name: string, scope: QueueScope = {}): Promise<Reached> {
    return this.#change(name, scope, { isPaused: true }, 'paused');
  }

  /** Has calls be taken from it again. @throws UnknownQueueError, UnknownDispatcherError */
  resume(name: string, scope: QueueScope = {}): Promise<Reached> {
    return this.#change(name, scope, { isPaused: false }, 'resumed');
  }

  /**
   * How many of its calls each dispatcher runs at once; Infinity: as many as it has room for. Those that run go on, if they
   * are more.
   * @throws UnknownQueueError, UnknownDispatcherError
   */
  async resize(name: string, concurrency: number, scope: QueueScope = {}): Promise<Reached> {
    checkNumber('concurrency', concurrency, { ...COUNT, infinite: true });
    return this.#change(name, scope, { concurrency }, `resized to ${concurrency}`);
  }

  /**
   * At most so many starts in any window, in all dispatchers together; undefined: any number. What was started while
   * there was no limit doesn't count.
   * @throws UnknownQueueError
   */
  async limit(name: string, rateLimit: QueueOptions['rateLimit']): Promise<Reached> {
    if (rateLimit === undefined) return this.#change(name, {}, { rateLimit: null }, 'without a rate limit');
    checkObject('rateLimit', rateLimit);
    checkNames('rateLimit', rateLimit, ['limit', 'intervalMs']);
    const limit = checkNumber('rateLimit.limit', rateLimit.limit, COUNT);
    const intervalMs = optionalNumber('rateLimit.intervalMs', rateLimit.intervalMs, DURATION, 1_000);
    return this.#change(name, {}, { rateLimit: { limit, intervalMs } }, `limited to ${limit} in ${intervalMs} ms`);
  }

  /** Forgets all that was said of it: what each dispatcher was told by its own options holds again. @throws UnknownQueueError */
  async reset(name: string): Promise<Reached> {
    const { engine } = this.#host;
    await this.#check(name);
    await changeQueueNote(engine, (note) => note.delete(name));
    const reached = await this.#tell(name, 'reset');
    // Whoever has a limit of its own has told the engine by now, or will; else there is none.
    const answers = await reportsOf(this.#host.messenger);
    const uses = [...answers.values()].flatMap((report) => report?.queues ?? []);
    const rate = uses.find((use) => use.name === name && use.rateLimit !== null)?.rateLimit;
    await engine.limit(queueLane(name), rate ? { rate } : undefined);
    return reached;
  }

  async #change(name: string, scope: QueueScope, rule: QueueRule, what: string): Promise<Reached> {
    const { engine } = this.#host;
    checkObject('options', scope);
    checkNames('a queue', scope, ['dispatcher']);
    const { dispatcher } = scope;
    await this.#check(name);
    if (dispatcher !== undefined) await checkDispatcher(engine, dispatcher);
    await changeQueueNote(engine, (note) => {
      const entry = note.get(name) ?? { rule: {}, of: new Map() };
      note.set(name, entry);
      if (dispatcher === undefined) {
        entry.rule = { ...entry.rule, ...rule };
        for (const [each, own] of entry.of) {
          const left = without(own, rule);
          if (Object.keys(left).length > 0) entry.of.set(each, left);
          else entry.of.delete(each);
        }
      } else {
        entry.of.set(dispatcher, { ...entry.of.get(dispatcher), ...rule });
      }
    });
    const { rateLimit } = rule;
    if (rateLimit !== undefined) await engine.limit(queueLane(name), rateLimit ? { rate: rateLimit } : undefined);
    return this.#tell(name, what);
  }

  /** Has all dispatchers look at the note now: else they do so by themselves, a little later. */
  async #tell(name: string, what: string): Promise<Reached> {
    this.#host.changed(`queue ${name} is ${what}`);
    let answers: Answers = new Map();
    try {
      answers = await this.#host.messenger.ask('refreshQueues', undefined, { timeoutMs: ANSWER_MS });
    } catch {
      // The word is kept, and that is what counts.
    }
    return reachedOf(answers);
  }

  /** A queue that nobody knows is a name misspelled: nothing would ever show it. */
  async #check(name: string): Promise<void> {
    const { engine, messenger } = this.#host;
    checkName('the name of a queue', name);
    if (isOwnQueue(name)) throw wrongRange('the name of a queue', "one that isn't for broadcasts", name);
    if ([...this.#host.names()].includes(name)) return;
    if ((await engine.scan({ queue: name }, { limit: 1 })).length > 0) return;
    if (parseQueueNote(await engine.read(QUEUE_NOTE))?.has(name)) return;
    const reports = [...(await reportsOf(messenger)).values()];
    if (reports.some((report) => report?.queues.some((use) => use.name === name))) return;
    throw new UnknownQueueError(
      `there is no queue ${name}: no task names it here, no dispatcher takes from it, no call waits in it`,
    );
  }
}

/** What all dispatchers say of themselves; undefined of those who are silent, or can't be understood. */
export async function reportsOf(messenger: Messenger): Promise<Map<string, Report | undefined>> {
  const answers = await messenger.ask('report', undefined, { timeoutMs: ANSWER_MS });
  return new Map([...answers].map(([name, answer]) => [name, unpackReport(answer?.value)]));
}

export function reachedOf(answers: Answers): Reached {
  const names = [...answers.keys()];
  return {
    dispatchers: names.filter((name) => answers.get(name) !== undefined),
    silent: names.filter((name) => answers.get(name) === undefined),
  };
}

async function checkDispatcher(engine: Engine, name: string): Promise<void> {
  const alive = await dispatchersOf(engine);
  if (alive.includes(name)) return;
  throw new UnknownDispatcherError(
    `no dispatcher ${name} is alive on the engine; those are ${alive.join(', ') || 'none'}`,
  );
}

function without(rule: QueueRule, said: QueueRule): QueueRule {
  return Object.fromEntries(Object.entries(rule).filter(([key]) => !(key in said)));
}

function infoOf(name: string, counts: QueueCounts, rule: QueueRule, uses: readonly [string, QueueUse][]): QueueInfo {
  const takers = uses.map(([dispatcher, { concurrency, weight, isPaused }]) => {
    return { dispatcher, concurrency, weight, isPaused };
  });
  const rate =
    rule.rateLimit === undefined ? uses.find(([, use]) => use.rateLimit !== null)?.[1].rateLimit : rule.rateLimit;
  const waiting = counts.queued + counts.held + counts.scheduled;
  return {
    name,
    counts,
    isPaused: rule.isPaused ?? false,
    rateLimit: rate ?? undefined,
    takers,
    isUnattended: waiting > 0 && takers.length === 0,
  };
}
