/** What a scenario of the engine suite has: a fresh engine, time to pass, calls to submit, consumers to fetch them. */
import assert from 'node:assert/strict';
import type {
  CallRecord,
  CallState,
  ConsumerListener,
  Delivery,
  Engine,
  FetchRequest,
  NewCall,
} from '../engines/index.ts';

/** One thing that holds for every engine. */
export interface Scenario {
  readonly name: string;
  run(world: EngineWorld): Promise<void>;
}

/** What a scenario can say of a fetch; else it takes as much as there is. */
export type FetchWish = Partial<Omit<FetchRequest, 'consumer' | 'epoch' | 'leaseMs'>> & {
  /** How long the lease is, in units. Default 100. */
  readonly lease?: number;
};

export class EngineWorld {
  readonly engine: Engine;
  /** A while, in ms: long enough that nothing else takes as long. */
  readonly unit: number;
  readonly #pass: (ms: number) => Promise<void>;
  #made = 0;

  constructor(engine: Engine, unit: number, pass: (ms: number) => Promise<void>) {
    this.engine = engine;
    this.unit = unit;
    this.#pass = pass;
  }

  /** Lets time pass; without any, lets things settle. */
  pass(units = 0): Promise<void> {
    return this.#pass(units * this.unit);
  }

  /** A call with an id of its own, and defaults for all the rest. */
  call(call: Partial<NewCall> = {}): NewCall {
    return {
      id: `call-${++this.#made}`,
      task: 'task',
      version: 1,
      queue: 'default',
      priority: 0,
      manager: 'default',
      input: 'null',
      context: '{}',
      parentId: undefined,
      delayMs: 0,
      lanes: [],
      key: undefined,
      onDuplicate: 'parallel',
      retention: { completedMs: Infinity, failedMs: Infinity },
      overrides: undefined,
      ...call,
    };
  }

  submit(call: Partial<NewCall> = {}): Promise<CallRecord> {
    return this.engine.submit(this.call(call));
  }

  async begin(name = 'worker'): Promise<Party> {
    const party = new Party(this, name);
    await party.begin();
    return party;
  }

  async state(id: string): Promise<CallState | undefined> {
    return (await this.engine.get(id))?.state;
  }

  /** Asserts where calls stand, in one go. */
  async assertStates(expected: Readonly<Record<string, CallState | undefined>>): Promise<void> {
    const states: Record<string, CallState | undefined> = {};
    for (const id of Object.keys(expected)) states[id] = await this.state(id);
    assert.deepEqual(states, expected);
  }
}

/** A consumer, and what it has been told. */
export class Party implements ConsumerListener {
  readonly name: string;
  epoch = 0;
  wakes = 0;
  readonly canceled: { readonly id: string; readonly error: string }[] = [];
  readonly messages: string[] = [];
  readonly #world: EngineWorld;

  constructor(world: EngineWorld, name: string) {
    this.#world = world;
    this.name = name;
  }

  async begin(): Promise<void> {
    this.epoch = await this.#world.engine.begin(this.name, this);
  }

  onWake(): void {
    this.wakes++;
  }

  onCancel(id: string, error: string): void {
    this.canceled.push({ id, error });
  }

  onMessage(message: string): void {
    this.messages.push(message);
  }

  fetch({ lease = 100, ...wish }: FetchWish = {}): Promise<Delivery[]> {
    return this.#world.engine.fetch({
      consumer: this.name,
      epoch: this.epoch,
      queues: [{ name: 'default', max: 1_000 }],
      max: 1_000,
      room: { default: 1_000 },
      leaseMs: lease * this.#world.unit,
      ...wish,
    });
  }

  /** The next delivery: there must be one. */
  async next(wish: FetchWish = {}): Promise<Delivery> {
    const [delivery] = await this.fetch({ ...wish, max: 1 });
    assert.ok(delivery !== undefined, 'there is something to fetch');
    return delivery;
  }

  /** The ids of what it fetches. */
  async ids(wish: FetchWish = {}): Promise<string[]> {
    return idsOf(await this.fetch(wish));
  }
}

export function idsOf(deliveries: readonly Delivery[]): string[] {
  return deliveries.map(({ record }) => record.id);
}
