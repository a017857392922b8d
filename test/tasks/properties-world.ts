/**
 * What a random program of submissions, faults and crashes runs in: a store, dispatchers that come and go on it, tasks
 * that do as their input says, and notes of every run.
 */
import assert from 'node:assert/strict';
import { type CallEvent, type CallState, type Engine, isEnded, MOVES } from '../../src/engines/index.ts';
import { ShutdownError } from '../../src/index.ts';
import {
  type AnyTask,
  type CallContext,
  Dispatcher,
  defineTask,
  memoryEngine,
  type QueueMap,
  SkipTask,
  StaleLeaseError,
  type TaskDefinition,
} from '../../src/tasks/index.ts';
import { type EngineOperation, type FaultyEngine, faultyEngine, VirtualClock } from '../../src/testing/index.ts';
import { mortal, passing } from './kit.ts';

/** What a run does with its time: ends, fails, waits to be canceled, or doesn't hear. */
export interface Act {
  readonly does: 'ends' | 'fails' | 'waits' | 'is deaf' | 'skips' | 'steps';
  readonly ms: number;
}

export interface Input {
  readonly key: string;
  /** By attempt; the last for all that come after. */
  readonly acts: readonly Act[];
}

export type Rules = Pick<
  TaskDefinition<Input, Input, string, unknown>,
  | 'retry'
  | 'timeoutMs'
  | 'onDuplicate'
  | 'stallAfterMs'
  | 'onStall'
  | 'onWorkerLost'
  | 'onShutdown'
  | 'deadLetter'
  | 'priority'
> & {
  readonly queue: string;
  readonly rate: { readonly limit: number; readonly intervalMs: number; readonly isKeyed: boolean } | undefined;
  readonly concurrency: { readonly limit: number; readonly isKeyed: boolean } | undefined;
};

/** One thing that happens; `which` of the dispatchers that live, if any does. */
export type Step =
  | {
      readonly do: 'submit';
      readonly task: number;
      /** One for each call. */
      readonly inputs: readonly Input[];
      /** Of the first of them. */
      readonly id: number | undefined;
      readonly delayMs: number;
      readonly which: number;
    }
  | { readonly do: 'cancel'; readonly call: number }
  | {
      readonly do: 'fail';
      readonly operation: EngineOperation;
      readonly times: number;
      readonly when: 'before' | 'after';
      readonly which: number;
    }
  | { readonly do: 'lose' | 'go down' | 'come up' | 'deafen' | 'crash'; readonly which: number }
  | { readonly do: 'stop'; readonly graceMs: number; readonly which: number }
  | {
      readonly do: 'open';
      readonly name: string | undefined;
      readonly order: 'strict' | 'weighted';
      readonly queues: QueueMap | undefined;
    }
  | { readonly do: 'set queues'; readonly queues: QueueMap; readonly which: number };

export const LEASE_MS = 900;
export const CONCURRENCY = 3;

interface RunNote {
  readonly call: string;
  readonly task: number;
  readonly key: string;
  readonly attempt: number;
  readonly at: number;
  readonly host: Host;
  readonly ctx: CallContext;
  isAlive: boolean;
}

/** A process, as it were: a dispatcher, and its own way to the store. */
interface Host {
  dispatcher: Dispatcher;
  readonly engine: FaultyEngine;
  readonly die: () => void;
  /** It has died, or has left its runs behind. */
  isGone: boolean;
  alive: number;
}

export class World {
  readonly clock = new VirtualClock({ timeOrigin: 1_000_000 });
  readonly store: Engine = memoryEngine({ clock: this.clock });
  readonly runs: RunNote[] = [];
  readonly ids: string[] = [];
  readonly #rules: readonly Rules[];
  readonly #hosts: Host[] = [];
  readonly #histories = new Map<string, CallState[]>();
  readonly #stops: Promise<unknown>[] = [];
  /** What isn't as it should be. A run can't throw it: that would be its failure. */
  readonly #wrong: string[] = [];

  constructor(rules: readonly Rules[]) {
    this.#rules = rules;
  }

  get hosts(): readonly Host[] {
    return this.#hosts.filter(({ isGone }) => !isGone);
  }

  // ---- what happens -------------------------------------------------------------------------------------------------

  /** Begins something; what comes of it shows as time goes on. */
  perform(step: Step): void {
    if (step.do === 'open') {
      if (this.hosts.length < 3) this.open(step.name, step.order, step.queues);
    } else if (step.do === 'cancel') {
      const id = this.ids[step.call % this.ids.length];
      if (id !== undefined) this.#cancel(id);
    } else {
      const { hosts } = this;
      const host = hosts[step.which % hosts.length];
      if (host !== undefined) this.#performOn(host, step);
    }
  }

  #performOn(host: Host, step: Exclude<Step, { do: 'open' | 'cancel' }>): void {
    const { engine, dispatcher } = host;
    switch (step.do) {
      case 'submit':
        for (const [index, input] of step.inputs.entries()) {
          const id = index > 0 || step.id === undefined ? `call ${this.ids.length}` : `own ${step.id}`;
          void this.#submit(host, step.task, input, id, step.delayMs);
        }
        break;
      case 'fail':
        engine.failNext(step.operation, { times: step.times, when: step.when });
        break;
      case 'lose':
        engine.loseDeliveries(1);
        break;
      case 'go down':
        engine.goDown();
        break;
      case 'come up':
        engine.comeUp();
        break;
      case 'deafen':
        engine.deafen();
        break;
      case 'crash':
        host.die();
        host.isGone = true;
        this.#stops.push(dispatcher.stop({ graceMs: 0, timeoutMs: 0 }));
        break;
      case 'stop':
        this.#stops.push(dispatcher.stop({ graceMs: step.graceMs, timeoutMs: step.graceMs + 100 }));
        break;
      case 'set queues':
        void dispatcher.setQueues(step.queues).catch(() => {});
    }
  }

  open(name: string | undefined, order: 'strict' | 'weighted', queues: QueueMap | undefined): void {
    const faulty = faultyEngine(this.store);
    const { engine, die } = mortal({
      ...faulty,
      end: (...args) => {
        host.isGone = true;
        return faulty.end(...args);
      },
    });
    const host: Host = { dispatcher: undefined as never, engine: faulty, die, isGone: false, alive: 0 };
    const isTaken = this.hosts.some(({ dispatcher }) => dispatcher.name === name);
    host.dispatcher = new Dispatcher({
      tasks: this.#rules.map((rules, index) => this.#task(index, rules, host)),
      engine,
      order,
      leaseMs: LEASE_MS,
      concurrency: CONCURRENCY,
      ...(name !== undefined && !isTaken && { name }),
      ...(queues !== undefined && { queues }),
    });
    void host.dispatcher.start();
    this.#hosts.push(host);
  }

  async #submit(host: Host, task: number, input: Input, id: string, delayMs: number): Promise<void> {
    if (!this.ids.includes(id)) {
      this.ids.push(id);
      const history: CallState[] = [];
      this.#histories.set(id, history);
      this.store.watch(id, (event: CallEvent) => {
        if (event.type === 'state') history.push(event.record.state);
      });
    }
    // By somebody who says it again until it is stored.
    for (;;) {
      try {
        await host.dispatcher.submit(`task ${task % this.#rules.length}`, input, { id, delayMs });
        return;
      } catch (error) {
        if (error instanceof ShutdownError) return;
        await new Promise<void>((resolve) => this.clock.setTimeout(resolve, 20));
      }
    }
  }

  #cancel(id: string): void {
    this.store.cancel(id, '{"value":"canceled"}').catch(() => {});
  }

  // ---- what runs ----------------------------------------------------------------------------------------------------

  #task(index: number, { rate, concurrency, ...rules }: Rules, host: Host): AnyTask {
    const key = ({ key }: Input) => key;
    return defineTask({
      name: `task ${index}`,
      retain: { completed: 1e9, failed: 1e9 },
      ...rules,
      run: (ctx: CallContext, input: Input) => this.#run(index, ctx, input, host),
      ...(rules.onDuplicate !== undefined && { key }),
      ...(rate && { rateLimit: { limit: rate.limit, intervalMs: rate.intervalMs, ...(rate.isKeyed && { key }) } }),
      ...(concurrency && { concurrency: { limit: concurrency.limit, ...(concurrency.isKeyed && { key }) } }),
    });
  }

  async #run(task: number, ctx: CallContext, { key, acts }: Input, host: Host): Promise<string> {
    const note: RunNote = {
      call: ctx.id,
      task,
      key,
      attempt: ctx.attempt,
      at: this.clock.now(),
      host,
      ctx,
      isAlive: true,
    };
    this.#began(note);
    try {
      const { does, ms } = acts[Math.min(ctx.attempt, acts.length) - 1]!;
      ctx.log(does);
      ctx.heartbeat(does);
      const over = new Promise<void>((resolve) => this.clock.setTimeout(resolve, ms));
      if (does === 'waits') await ctx.done();
      else if (does === 'is deaf') await over;
      else await Promise.race([over, ctx.done()]);
      if (does === 'steps') await ctx.step('one', () => ctx.attempt);
      if (does === 'fails') throw new Error(`fails ${ctx.attempt}`);
      if (does === 'skips') throw new SkipTask();
      return `${ctx.id} in attempt ${ctx.attempt}`;
    } finally {
      note.isAlive = false;
      host.alive--;
    }
  }

  #began(note: RunNote): void {
    const { host, call, at, attempt } = note;
    this.#assert(++host.alive <= CONCURRENCY, `${host.alive} functions alive in one dispatcher at ${at}`);
    const twin = this.#living.find((other) => other.call === call);
    this.#assert(twin === undefined, `${call} runs twice at ${at}: attempts ${twin?.attempt} and ${attempt}`);
    this.runs.push(note);
    this.#checkConcurrency(note);
    this.#checkRate(note);
  }

  /** Runs whose lease, as far as they can know, is theirs. */
  get #living(): RunNote[] {
    return this.runs.filter(
      ({ isAlive, host, ctx }) => isAlive && !host.isGone && !(ctx.cause instanceof StaleLeaseError),
    );
  }

  #checkConcurrency({ task, key, at }: RunNote): void {
    const { concurrency, onDuplicate = 'parallel' } = this.#rules[task]!;
    const living = this.#living.filter((run) => run.task === task);
    const twins = living.filter((run) => run.key === key);
    this.#assert(onDuplicate === 'parallel' || twins.length === 1, `${twins.length} of task ${task} ${key} at ${at}`);
    if (concurrency === undefined) return;
    const { length } = concurrency.isKeyed ? twins : living;
    this.#assert(length <= concurrency.limit, `${length} of task ${task} at once at ${at}`);
  }

  #checkRate({ task, key, at }: RunNote): void {
    const { rate } = this.#rules[task]!;
    if (rate === undefined) return;
    const starts = this.runs.filter((run) => run.task === task && (!rate.isKeyed || run.key === key));
    const first = starts.at(-1 - rate.limit);
    this.#assert(first === undefined || first.at + rate.intervalMs <= at, `too many starts of task ${task} at ${at}`);
  }

  #assert(isRight: boolean, what: string): void {
    if (!isRight) this.#wrong.push(what);
  }

  // ---- the end ------------------------------------------------------------------------------------------------------

  /** All comes to rest; then everything must have ended as it should. */
  async finish(): Promise<void> {
    for (const { engine } of this.#hosts) engine.comeUp();
    if (!this.hosts.some(({ dispatcher }) => dispatcher.state === 'running')) this.open(undefined, 'strict', undefined);
    for (const host of this.hosts)
      if (host.dispatcher.state === 'running') await this.#patient(host.dispatcher.setQueues(ALL));
    for (let seconds = 0; seconds < 200; seconds++) {
      await this.clock.advance(1_000);
      const { started, queued, held, scheduled } = await this.store.count({});
      if (started + queued + held + scheduled === 0) break;
      // Those that only a cancel can end.
      for (const run of this.#living) if (this.clock.now() - run.at > 5_000) this.#cancel(run.call);
    }
    assert.deepEqual(this.#wrong, []);
    await this.#check();
    for (const { dispatcher } of this.hosts) this.#stops.push(dispatcher.stop({ graceMs: 0, timeoutMs: 0 }));
    await passing(this.clock, Promise.all(this.#stops));
    await this.store.close();
    await this.clock.advance(20_000);
    assert.equal(this.clock.timerCount, 0, 'timers are left');
  }

  #patient<T>(promise: Promise<T>): Promise<unknown> {
    return passing(
      this.clock,
      promise.catch(() => {}),
    );
  }

  async #check(): Promise<void> {
    const counts = await this.store.count({});
    const records = await this.store.scan({}, { limit: 1e9 });
    assert.equal(
      records.length,
      Object.values(counts).reduce((sum, count) => sum + count, 0),
    );
    for (const record of records) {
      const { id, state, attempt, output } = record;
      assert.ok(isEnded(state), `${id} is ${state}`);
      const runs = this.runs.filter(({ call }) => call === id);
      if (state === 'completed') {
        assert.ok(runs.length > 0, `${id} has completed and never ran`);
        assert.equal(output, JSON.stringify(`${id} in attempt ${attempt}`));
      }
      if (state === 'failed' || state === 'timedOut' || state === 'stalled') {
        assert.ok(runs.length > 0 || /WORKER_LOST/.test(record.error!), `${id} is ${state} and never ran`);
      }
      if (state === 'discarded') assert.equal(runs.length, 0);
      this.#checkHistory(id);
    }
  }

  #checkHistory(id: string): void {
    const history = this.#histories.get(id)!;
    for (const [index, state] of history.entries()) {
      if (index === 0) assert.equal(state, 'submitted');
      else assert.ok(MOVES[history[index - 1]!].includes(state), `${id} went ${history.join(' > ')}`);
    }
    assert.ok(history.filter(isEnded).length <= 1 || history.includes('deadLettered'), history.join(' > '));
  }
}

export const QUEUES = ['a', 'b'] as const;
const ALL: QueueMap = Object.fromEntries(QUEUES.map((name) => [name, {}]));
