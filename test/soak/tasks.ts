/** Registered tasks in the soak: dispatchers come and go on one engine, and every call comes to its end by its rules. */
import { type CallState, type Engine, memoryEngine } from '../../src/engines/index.ts';
import { type Call, type CallContext, Dispatcher, defineTask, SkipTask, type Task } from '../../src/tasks/index.ts';
import { faultyEngine } from '../../src/testing/index.ts';

/** Where chance comes from, and who hears what was done, and what went wrong. */
export interface Dice {
  chance(p: number): boolean;
  below(n: number): number;
  oneOf<T>(of: readonly T[]): T;
  did(what: string): void;
  fail(why: string): never;
}

interface Plan {
  readonly key: string;
  readonly ms: number;
  readonly end: 'return' | 'throw' | 'skip' | 'ignore';
}

/** How long all that is left may take at the end. It takes a second or two. */
const PATIENCE_MS = 60_000;
const RATE = { limit: 5, intervalMs: 40 };
const CONCURRENCY = 3;
const OPEN: readonly CallState[] = ['submitted', 'scheduled', 'held', 'queued', 'started'];

/** One engine from birth to end. Resolves to how many calls there were. */
export async function taskLife(dice: Dice): Promise<number> {
  const { chance, below, oneOf, did, fail } = dice;
  const engine = faultyEngine(memoryEngine());
  const runs = new Runs(engine, fail);
  const retry = { attempts: 3, baseMs: 1 + below(10), jitter: 'full' } as const;
  const retain = { completed: Number.POSITIVE_INFINITY, failed: Number.POSITIVE_INFINITY };
  const key = (plan: Plan) => plan.key;
  const common = { retain, overridable: ['priority', 'attempts'] } as const;
  const tasks: Task<Plan, string>[] = [
    defineTask({ ...common, name: 'plain', retry, run: runs.of('plain') }),
    defineTask({ ...common, name: 'few', retry, concurrency: CONCURRENCY, onShutdown: 'drain', run: runs.of('few') }),
    defineTask({ ...common, name: 'slow', rateLimit: RATE, retry, queue: key, run: runs.of('slow') }),
    defineTask({ ...common, name: 'quick', timeoutMs: 5, deadLetter: true, onShutdown: 'stop', run: runs.of('quick') }),
    ...(['serial', 'discard', 'queueOne'] as const).map((onDuplicate) =>
      defineTask({ ...common, name: onDuplicate, onDuplicate, key, retry, run: runs.of(onDuplicate) }),
    ),
  ];
  const queues = () => Object.fromEntries(['a', 'b', 'c', 'default'].map((name) => [name, { weight: 1 + below(3) }]));
  const open = async (concurrency: number): Promise<Dispatcher> => {
    const order = oneOf(['strict', 'weighted'] as const);
    did(`new Dispatcher: ${concurrency}, ${order}`);
    const dispatcher = new Dispatcher({ tasks, engine, queues: queues(), order, concurrency });
    await dispatcher.start();
    return dispatcher;
  };

  const dispatchers = [await open(1 + below(6)), await open(1 + below(6))];
  const calls: Call<string>[] = [];
  const others: Promise<unknown>[] = [];
  const steps = 100 + below(300);
  for (let step = 0; step < steps; step++) {
    const dispatcher = oneOf(dispatchers);
    const kind = below(100);
    if (kind < 70) {
      const plan = (): Plan => ({
        key: oneOf(['a', 'b', 'c']),
        ms: below(8),
        end: oneOf(['return', 'return', 'return', 'throw', 'skip', 'ignore']),
      });
      const options = {
        priority: chance(0.3) ? below(5) - 2 : undefined,
        attempts: chance(0.1) ? 1 + below(4) : undefined,
        delayMs: chance(0.2) ? below(20) : undefined,
      };
      if (chance(0.8)) calls.push(await dispatcher.submit(oneOf(tasks), plan(), options));
      else calls.push(...(await dispatcher.submitMany(oneOf(tasks), Array.from({ length: below(5) }, plan), options)));
    } else if (kind < 76 && calls.length > 0) others.push(oneOf(calls).cancel('soak').catch(noop));
    else if (kind < 79 && calls.length > 0) others.push(oneOf(calls).reschedule(below(10)).catch(noop));
    else if (kind < 80) others.push(dispatcher.cancel({ task: oneOf(tasks).name, state: 'scheduled' }));
    else if (kind < 82) others.push(dispatcher.setQueues(queues()));
    else if (kind < 84)
      engine.failNext(oneOf(['ack', 'fail', 'release', 'renew']), { when: oneOf(['before', 'after']) });
    else if (kind < 87) {
      did('stop');
      dispatchers.splice(dispatchers.indexOf(dispatcher), 1, await open(1 + below(6)));
      others.push(stopped(dispatcher, below(20), fail));
    } else await pause(below(6));
  }

  did('the end');
  await Promise.all(others);
  const waiting = new Set(calls);
  const ends = calls.map((call) => call.result.catch(noop).then(() => waiting.delete(call)));
  const patience = setTimeout(() => {
    const left = [...waiting].map(({ id, info: { task, state } }) => `${id} of ${task} is ${state}`);
    fail(`calls never ended:\n${left.slice(0, 10).join('\n')}`);
  }, PATIENCE_MS);
  await Promise.all(ends);
  clearTimeout(patience);
  await Promise.all(dispatchers.map((dispatcher) => stopped(dispatcher, 0, fail)));

  const counts = await engine.count({});
  const sum = Object.values(counts).reduce((all, one) => all + one, 0);
  if (sum !== calls.length) fail(`the books don't balance: ${calls.length} submitted, ${sum} accounted for`);
  for (const state of OPEN) if (counts[state] > 0) fail(`${counts[state]} calls have ended and are ${state}`);
  for (const call of calls) {
    const state = (await engine.get(call.id))?.state;
    if (state !== call.status) fail(`a call is ${state}, and who submitted it was told ${call.status}`);
    runs.check(call.id, call.status);
  }
  await engine.close();
  return calls.length;
}

/** What the functions of tasks have seen. */
class Runs {
  readonly #engine: Engine;
  readonly #fail: (why: string) => never;
  readonly #live = new Map<string, number>();
  readonly #begun = new Map<string, number>();
  readonly #starts: number[] = [];

  constructor(engine: Engine, fail: (why: string) => never) {
    this.#engine = engine;
    this.#fail = fail;
  }

  /** The work of a task: what it must never run beside is counted. */
  of(name: string): (ctx: CallContext, plan: Plan) => Promise<string> {
    const isKeyed = name === 'serial' || name === 'discard' || name === 'queueOne';
    return async (ctx, { key, ms, end }) => {
      const alone = [ctx.id, ...(isKeyed ? [`${name} ${key}`] : [])];
      for (const each of alone) if (this.#enter(each) > 1) this.#fail(`two runs of ${each} at once`);
      if (this.#enter(name) > CONCURRENCY && name === 'few') this.#fail(`too many runs of ${name} at once`);
      this.#begun.set(ctx.id, (this.#begun.get(ctx.id) ?? 0) + 1);
      try {
        if (name === 'slow') this.#started((await this.#engine.get(ctx.id))!.startedAt!);
        ctx.log('begun');
        ctx.heartbeat(end);
        if ((await ctx.step('once', () => key)) !== key) this.#fail('a step has another result');
        await (end === 'ignore' ? pause(ms) : Promise.race([pause(ms), ctx.done()]));
        if (end === 'skip') throw new SkipTask('soak');
        if (end === 'throw') throw new Error('failed');
        return key;
      } finally {
        for (const each of [...alone, name]) this.#live.set(each, this.#live.get(each)! - 1);
      }
    };
  }

  check(id: string, state: CallState): void {
    const begun = this.#begun.get(id) ?? 0;
    if (state === 'completed' && begun === 0) this.#fail('a call has completed that never ran');
    if (state === 'discarded' && begun > 0) this.#fail('a call was discarded that has run');
  }

  #enter(what: string): number {
    const live = (this.#live.get(what) ?? 0) + 1;
    this.#live.set(what, live);
    return live;
  }

  /** Times of deliveries, which come here out of order. */
  #started(at: number): void {
    this.#starts.push(at);
    this.#starts.sort((a, b) => a - b);
    const { limit, intervalMs } = RATE;
    for (const [index, start] of this.#starts.entries()) {
      const later = this.#starts[index + limit];
      // Times since the epoch have no more digits.
      if (later !== undefined && later - start < intervalMs - 0.01) this.#fail('a rate was exceeded');
    }
  }
}

/** All runs are short: none is to be left. */
async function stopped(dispatcher: Dispatcher, graceMs: number, fail: Dice['fail']): Promise<void> {
  const { left } = await dispatcher.stop({ graceMs, timeoutMs: PATIENCE_MS });
  if (left > 0) fail(`a stop has left ${left} calls`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function noop(): void {}
