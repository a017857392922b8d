/**
 * What control has said of queues. It is kept as a note of the engine, so that it holds for dispatchers that start later,
 * and whatever messages are lost; each dispatcher looks at it by itself, too.
 */
import type { Engine } from '../../engines/index.ts';
import type { QueueRule } from '../queues.ts';
import { isObject } from './messages.ts';

/** Where it is kept. */
export const QUEUE_NOTE = 'control:queues';

/** Of one queue: for all dispatchers, and for single ones. */
export interface QueueEntry {
  rule: QueueRule;
  readonly of: Map<string, QueueRule>;
}

/** By queue. */
export type QueueNote = Map<string, QueueEntry>;

/** Undefined when it can't be read: somebody else has written it. */
export function parseQueueNote(text: string | undefined): QueueNote | undefined {
  if (text === undefined) return new Map();
  try {
    const note: QueueNote = new Map();
    for (const [name, rule, of] of JSON.parse(text) as [string, unknown, [string, unknown][]][]) {
      note.set(name, { rule: ruleOf(rule), of: new Map(of.map(([each, its]) => [each, ruleOf(its)])) });
    }
    return note;
  } catch {
    return undefined;
  }
}

/** What holds for one dispatcher, by queue. */
export function rulesFor(dispatcher: string, note: QueueNote): Map<string, QueueRule> {
  return new Map([...note].map(([name, { rule, of }]) => [name, { ...rule, ...of.get(dispatcher) }]));
}

/** Changes it, and begins anew if somebody else has changed it meanwhile. What can't be read is written over. */
export async function changeQueueNote(engine: Engine, change: (note: QueueNote) => void): Promise<void> {
  for (;;) {
    const before = await engine.read(QUEUE_NOTE);
    const note = parseQueueNote(before) ?? new Map();
    change(note);
    if (await engine.write(QUEUE_NOTE, textOf(note), before)) return;
  }
}

/** As lists, as a queue may have any name. */
function textOf(note: QueueNote): string | undefined {
  const entries = [...note].map(([name, { rule, of }]) => [name, rule, [...of]]);
  return entries.length === 0 ? undefined : JSON.stringify(entries, (_, value) => (value === Infinity ? null : value));
}

/** @throws TypeError */
function ruleOf(given: unknown): QueueRule {
  if (!isObject(given)) throw new TypeError('not a rule');
  const { isPaused, concurrency, rateLimit } = given;
  return {
    ...(typeof isPaused === 'boolean' && { isPaused }),
    ...(concurrency !== undefined && { concurrency: concurrency === null ? Infinity : countOf(concurrency) }),
    ...(rateLimit !== undefined && { rateLimit: rateLimit === null ? null : rateOf(rateLimit) }),
  };
}

function rateOf(given: unknown): { readonly limit: number; readonly intervalMs: number } {
  if (!isObject(given)) throw new TypeError('not a rate');
  const { limit, intervalMs } = given;
  return { limit: countOf(limit), intervalMs: countOf(intervalMs) };
}

function countOf(given: unknown): number {
  if (typeof given !== 'number' || !(given > 0)) throw new TypeError('not a number above 0');
  return given;
}
