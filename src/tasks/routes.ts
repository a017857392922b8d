/**
 * Which queue a call waits in, where that isn't always the same. Each of these knows all queues that it can name, so
 * that a dispatcher knows what to fetch from.
 */
import { checkFunction, checkNameList, checkNames, checkNumber, checkObject, wrongRange, wrongType } from './checks.ts';

/** Gives the name of a queue for an input. */
export interface Route<I> {
  (input: I): string;
  /** All names that it can give. Without it, a dispatcher has to be told them. */
  readonly queues?: readonly string[] | undefined;
}

/** A {@link Route} that knows its queues. */
export interface KnownRoute<I> extends Route<I> {
  /** All names that it can give. */
  readonly queues: readonly string[];
}

/** Where chance comes from: as `Math.random`, which is the default. */
export interface RandomOptions {
  /** Gives numbers from 0 up to 1, as `Math.random` does. */
  readonly random?: (() => number) | undefined;
}

/**
 * By chance, but each queue in the proportion of its weight.
 *
 * @example
 * queue: weighted({ near: 3, far: 1 })
 */
export function weighted(weights: Readonly<Record<string, number>>, options: RandomOptions = {}): KnownRoute<unknown> {
  checkObject('weights', weights);
  const random = randomOf('weighted', options);
  const queues = checkQueues('weights', Object.keys(weights));
  const ends: number[] = [];
  let total = 0;
  for (const queue of queues) {
    total += checkNumber(`weights.${queue}`, weights[queue], { min: 0, above: true });
    ends.push(total);
  }
  return known(queues, () => {
    const point = random() * total;
    return queues[ends.findIndex((end) => point < end)] ?? queues.at(-1)!;
  });
}

/** Any of them, each as likely. */
export function atRandom(queues: readonly string[], options: RandomOptions = {}): KnownRoute<unknown> {
  const random = randomOf('atRandom', options);
  const names = checkQueues('queues', queues);
  return known(names, () => names[Math.floor(random() * names.length)] ?? names.at(-1)!);
}

/**
 * One after the other. Where several processes submit, each has its own turn.
 *
 * @example
 * queue: roundRobin(['east', 'west'])
 */
export function roundRobin(queues: readonly string[]): KnownRoute<unknown> {
  const names = checkQueues('queues', queues);
  let turn = -1;
  return known(names, () => {
    turn = (turn + 1) % names.length;
    return names[turn]!;
  });
}

/**
 * Always the same for one key, everywhere and in any version of errand; the keys spread evenly. The order of the queues
 * doesn't matter. With another one, only the keys that go to it move; without one, only its own do.
 *
 * @example
 * queue: byHash(['shard 1', 'shard 2'], ({ customer }) => customer)
 */
export function byHash<I>(queues: readonly string[], key: (input: I) => string): KnownRoute<I> {
  checkFunction('key', key);
  const names = checkQueues('queues', queues);
  const hashes = names.map(hash);
  return known(names, (input) => {
    const given = key(input);
    if (typeof given !== 'string') throw wrongType('the key for the queue', 'a string', given);
    const own = hash(given);
    // Rendezvous hashing: each queue bids for the key, the highest has it. A tie, as of names with equal hashes, goes
    // by name, so that the order doesn't matter there either.
    let best = 0;
    let highest = -1;
    for (const [index, other] of hashes.entries()) {
      const bid = mix(own ^ other);
      if (bid > highest || (bid === highest && names[index]! < names[best]!)) {
        best = index;
        highest = bid;
      }
    }
    return names[best]!;
  });
}

/** FNV-1a, by UTF-16 code units, and mixed: alike texts must not have alike hashes. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    value = Math.imul(value ^ (unit & 0xff), 0x01000193);
    value = Math.imul(value ^ (unit >>> 8), 0x01000193);
  }
  return mix(value);
}

/** The end of MurmurHash3: each bit of the number bears on each bit of the result. */
function mix(given: number): number {
  let value = given ^ (given >>> 16);
  value = Math.imul(value, 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

function known<I>(queues: readonly string[], route: (input: I) => string): KnownRoute<I> {
  return Object.freeze(Object.assign(route, { queues }));
}

function randomOf(what: string, options: RandomOptions): () => number {
  checkObject('options', options);
  checkNames(what, options, ['random']);
  const { random = Math.random } = options;
  checkFunction('random', random);
  return random;
}

/** Names of queues, each once and at least one, as a copy that stays. */
export function checkQueues(name: string, value: unknown): readonly string[] {
  const queues = checkNameList(name, value);
  if (queues.length === 0) throw wrongRange(name, 'at least one queue', value);
  const twice = queues.find((queue, index) => queues.indexOf(queue) !== index);
  if (twice !== undefined) throw wrongRange(name, 'queues that differ', twice);
  return queues;
}
