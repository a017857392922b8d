/** An engine and its model, taken through the same steps, and compared after each. */
import assert from 'node:assert/strict';
import {
  CallEndedError,
  type CallState,
  type Delivery,
  type DuplicatePolicy,
  type Engine,
  type FetchRequest,
  isEnded,
  type LaneLimit,
  MOVES,
  StaleLeaseError,
  UnknownCallError,
} from '../../../src/engines/index.ts';
import type { VirtualClock } from '../../../src/testing/index.ts';
import { EngineModel } from './engine-model.ts';

/** One step. `which` picks one of those there are; if negative, from the end. */
export type EngineStep =
  | {
      readonly do: 'submit';
      readonly queue: string;
      readonly manager: string;
      readonly priority: number;
      readonly lanes: readonly string[];
      readonly key: string | undefined;
      readonly onDuplicate: DuplicatePolicy;
      readonly keptMs: number;
      readonly delayMs: number;
    }
  | { readonly do: 'submitAgain'; readonly which: number }
  | {
      readonly do: 'fetch';
      readonly consumer: number;
      readonly max: number;
      readonly room: Readonly<Record<string, number>>;
      readonly queues: FetchRequest['queues'];
      readonly leaseMs: number;
    }
  | { readonly do: 'ack' | 'start'; readonly which: number }
  | { readonly do: 'release'; readonly which: number; readonly delayMs: number; readonly hasBegun: boolean }
  | { readonly do: 'fail'; readonly which: number; readonly then: 'failed' | 'deadLettered' | number }
  | { readonly do: 'renew'; readonly which: number; readonly leaseMs: number }
  | { readonly do: 'cancel'; readonly which: number }
  | { readonly do: 'schedule'; readonly which: number; readonly delayMs: number }
  | { readonly do: 'begin' | 'end'; readonly consumer: number }
  | { readonly do: 'limit'; readonly lane: string; readonly limit: LaneLimit | undefined }
  | { readonly do: 'resubmit' | 'remove' }
  | { readonly do: 'advance'; readonly ms: number };

const QUEUES = ['x', 'y'].map((name) => ({ name, max: 1_000 }));
const ROOM = { m: 1_000, n: 1_000 };

export class EngineRun {
  readonly engine: Engine;
  readonly model = new EngineModel();
  readonly #clock: VirtualClock;
  readonly #epochs = new Map<string, number>();
  /** All there have been, with their numbers in the model. */
  readonly #deliveries: { readonly delivery: Delivery; readonly lease: number }[] = [];
  readonly #states = new Map<string, CallState>();
  readonly #ids: string[] = [];
  /** Whether everything there was has been fetched, and how often a consumer was woken since. */
  #isEmptied = false;
  #wakes = 0;

  constructor(engine: Engine, clock: VirtualClock) {
    this.engine = engine;
    this.#clock = clock;
  }

  async run(steps: readonly EngineStep[]): Promise<void> {
    await this.#begin('0');
    for (const step of steps) {
      await this.#step(step);
      await this.#compare(JSON.stringify(step));
    }
    await this.#finish();
  }

  async #step(step: EngineStep): Promise<void> {
    const { engine, model } = this;
    switch (step.do) {
      case 'submit': {
        const { do: _, keptMs, delayMs, ...rest } = step;
        const id = `call${this.#ids.length}`;
        this.#ids.push(id);
        this.#follow(id);
        model.submit({ id, keptMs, ...rest }, delayMs);
        await this.#submit(id, step);
        return;
      }
      case 'submitAgain': {
        const call = pick(model.calls, step.which);
        if (call !== undefined) await this.#submit(call.id, { ...call, delayMs: 2 });
        return;
      }
      case 'fetch':
        return this.#fetch(step);
      case 'ack':
        return this.#close(
          step.which,
          'ack',
          (call) => model.end(call, 'completed'),
          ({ lease }) => engine.ack(lease, '1'),
        );
      case 'start': {
        const entry = pick(this.#deliveries, step.which);
        if (entry === undefined) return;
        const { lease } = entry.delivery;
        const expected = model.start(lease.id, entry.lease);
        if (expected === 'stale') await assert.rejects(engine.start(lease), StaleLeaseError);
        else assert.equal(await engine.start(lease), expected);
        return;
      }
      case 'release':
        return this.#close(
          step.which,
          'release',
          (call) => model.goOn(call, step.delayMs),
          ({ lease }) => engine.release(lease, step.delayMs, step.hasBegun),
          !step.hasBegun,
        );
      case 'fail': {
        const { then } = step;
        const failure = { error: '{}', then: typeof then === 'number' ? { retryAfterMs: then } : then };
        return this.#close(
          step.which,
          'fail',
          (call) => (typeof then === 'number' ? model.goOn(call, then) : model.end(call, then)),
          ({ lease }) => engine.fail(lease, failure),
        );
      }
      case 'renew': {
        const entry = pick(this.#deliveries, step.which);
        if (entry === undefined) return;
        const { lease } = entry.delivery;
        const call = model.find(lease.id);
        const isHeld = call?.lease === entry.lease;
        if (isHeld) call.expiresAt = model.now + step.leaseMs;
        assert.deepEqual(await engine.renew([lease], step.leaseMs), isHeld ? [] : [lease]);
        return;
      }
      case 'cancel': {
        const id = pick(this.#ids, step.which);
        if (id !== undefined) assert.equal(await outcome(engine.cancel(id, '{}')), model.cancel(id));
        return;
      }
      case 'schedule': {
        const id = pick(this.#ids, step.which);
        if (id === undefined) return;
        const done = engine.schedule(id, step.delayMs).then(() => 'done');
        assert.equal(await outcome(done), model.schedule(id, step.delayMs));
        return;
      }
      case 'begin':
        model.loseAllOf(`${step.consumer}`);
        return this.#begin(`${step.consumer}`);
      case 'end': {
        const name = `${step.consumer}`;
        model.loseAllOf(name);
        await engine.end(name, this.#epochs.get(name) ?? 0);
        this.#epochs.delete(name);
        this.#isEmptied = false;
        return;
      }
      case 'limit':
        model.limit(step.lane, step.limit);
        return engine.limit(step.lane, step.limit);
      case 'resubmit':
        assert.deepEqual(await engine.resubmit({}, { resetAttempts: true }), model.resubmit());
        return;
      case 'remove':
        assert.deepEqual((await engine.remove({})).reverse(), model.removeEnded());
        return;
      case 'advance':
        model.advance(step.ms);
        return this.#clock.advance(step.ms);
    }
  }

  async #submit(
    id: string,
    call: Extract<EngineStep, { do: 'submit' }> | Omit<Extract<EngineStep, { do: 'submit' }>, 'do'>,
  ) {
    const record = await this.engine.submit({
      id,
      task: 'task',
      version: 1,
      queue: call.queue,
      priority: call.priority,
      manager: call.manager,
      input: 'null',
      context: '{}',
      parentId: undefined,
      delayMs: call.delayMs,
      lanes: call.lanes,
      key: call.key,
      onDuplicate: call.onDuplicate,
      retention: { completedMs: call.keptMs, failedMs: call.keptMs },
      overrides: undefined,
    });
    const stored = this.model.find(id);
    if (stored !== undefined) assert.equal(record.state, stored.state);
  }

  async #fetch(step: Omit<Extract<EngineStep, { do: 'fetch' }>, 'do'>): Promise<void> {
    const { queues, max, room, leaseMs } = step;
    const consumer = `${step.consumer}`;
    const epoch = this.#epochs.get(consumer);
    const fetching = this.engine.fetch({ consumer, epoch: epoch ?? 0, queues, max, room, leaseMs });
    if (epoch === undefined) {
      await assert.rejects(fetching, StaleLeaseError);
      return;
    }
    const deliveries = await fetching;
    const expected = this.model.fetch(consumer, queues, max, room, leaseMs);
    assert.deepEqual(
      deliveries.map(({ record, wasLost }) => [record.id, record.attempt, wasLost]),
      expected.map(({ id, attempt, isLost }) => [id, attempt, isLost]),
    );
    for (const [i, delivery] of deliveries.entries()) this.#deliveries.push({ delivery, lease: expected[i]!.lease! });
    if (this.model.fetchable().length > 0) return;
    // Only who has asked for everything has seen that there is nothing.
    if (max < 1_000 || queues.length < 2 || Object.keys(room).length < 2) return;
    await Promise.resolve();
    this.#isEmptied = true;
    this.#wakes = 0;
  }

  async #close(
    which: number,
    how: string,
    then: Parameters<EngineModel['close']>[4],
    tell: (delivery: Delivery) => Promise<void>,
    isUnspent = false,
  ): Promise<void> {
    const entry = pick(this.#deliveries, which);
    if (entry === undefined) return;
    const isRight = this.model.close(entry.delivery.lease.id, entry.lease, how, isUnspent, then);
    if (isRight) await tell(entry.delivery);
    else await assert.rejects(tell(entry.delivery), StaleLeaseError);
  }

  async #begin(name: string): Promise<void> {
    const epoch = await this.engine.begin(name, {
      onWake: () => {
        this.#wakes++;
      },
      onCancel: () => {},
      onMessage: () => {},
    });
    for (const other of this.#epochs.values()) assert.ok(epoch > other);
    this.#epochs.set(name, epoch);
  }

  #follow(id: string): void {
    this.engine.watch(id, (event) => {
      if (event.type !== 'state') return;
      const { state } = event.record;
      const before = this.#states.get(id);
      if (before === undefined) assert.equal(state, 'submitted');
      else if (!MOVES[before].includes(state)) this.#illegal.push(`${id} from ${before} to ${state}`);
      this.#states.set(id, state);
    });
  }

  readonly #illegal: string[] = [];

  async #compare(step: string): Promise<void> {
    const records = (await this.engine.scan({}, { limit: Infinity })).reverse();
    assert.deepEqual(
      records.map(({ id, state, attempt, cancelRequested }) => [id, state, attempt, cancelRequested]),
      this.model.calls.map(({ id, state, attempt, isUnwanted }) => [id, state, attempt, isUnwanted]),
      `after ${step}`,
    );
    for (const { id, state } of records) assert.equal(this.#states.get(id), state, `what was told of ${id}`);
    assert.deepEqual(this.#illegal, []);
    const counts = await this.engine.count({});
    const counted = await this.engine.count({ task: 'task' });
    assert.deepEqual(counts, counted);
    if (this.#isEmptied && this.#epochs.size > 0 && this.model.fetchable().length > 0) {
      await Promise.resolve();
      assert.ok(this.#wakes > 0, `nobody was woken after ${step}`);
    }
  }

  /** Whatever has been: with nothing to hold it back, every call ends. */
  async #finish(): Promise<void> {
    for (const lane of ['a', 'b']) await this.#step({ do: 'limit', lane, limit: undefined });
    await this.#step({ do: 'begin', consumer: 0 });
    for (let round = 0; this.model.calls.some(({ state }) => !isEnded(state)); round++) {
      assert.ok(round < 200, 'every call ends');
      await this.#step({ do: 'advance', ms: 400 });
      const from = this.#deliveries.length;
      await this.#step({ do: 'fetch', consumer: 0, max: 1_000, queues: QUEUES, room: ROOM, leaseMs: 41 });
      for (let which = from; which < this.#deliveries.length; which++) await this.#step({ do: 'ack', which });
      await this.#compare('the end');
    }
    await this.engine.close();
    assert.equal(this.#clock.timerCount, 0);
  }
}

function pick<T>(items: readonly T[], which: number): T | undefined {
  return which < 0 ? items.at(which) : items[which % items.length];
}

async function outcome(promise: Promise<string>): Promise<string> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof CallEndedError) return 'ended';
    if (error instanceof UnknownCallError) return 'unknown';
    throw error;
  }
}
