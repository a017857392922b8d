/** Go's channels, select and time in plain steps with explicit queues: what the properties compare errand with. */
import { Operation } from './go-operations.ts';
import type { ModelScope } from './go-scopes.ts';
import { show } from './go-show.ts';

/** One who waits at a channel; a select does so in many places, by name. */
export class Place {
  readonly operation: Operation;
  readonly name: string | undefined;
  readonly value: unknown;

  constructor(operation: Operation, name?: string, value?: unknown) {
    this.operation = operation;
    this.name = name;
    this.value = value;
  }

  happens(what: string): void {
    this.operation.end(named(this.name, what));
  }
}

/** What came of a case. An error is the whole select's. */
export function named(name: string | undefined, what: string): string {
  return name === undefined || what.startsWith('error') ? what : `case ${name}: ${what}`;
}

/** What can be received from. */
export abstract class ModelSource {
  readonly receivers: Place[] = [];
  abstract readonly canReceive: boolean;
  /** Only if that is possible. */
  abstract take(): string;

  receive(operation: Operation, scope: ModelScope | undefined): void {
    if (operation.isRefusedBy(scope)) return;
    if (this.canReceive) operation.end(this.take());
    else {
      this.wait(operation);
      operation.refuseBy(scope);
    }
  }

  wait(operation: Operation, name?: string): void {
    operation.waitIn(this.receivers, new Place(operation, name));
  }
}

export class ModelChannel extends ModelSource {
  readonly capacity: number;
  readonly values: unknown[] = [];
  readonly senders: Place[] = [];
  closed = false;
  #end = 'ended';

  constructor(capacity: number) {
    super();
    this.capacity = capacity;
  }

  override get canReceive(): boolean {
    return this.values.length > 0 || this.senders.length > 0 || this.closed;
  }

  get canSend(): boolean {
    return this.receivers.length > 0 || this.values.length < this.capacity || this.closed;
  }

  /** Only if that is possible. */
  put(value: unknown): string {
    if (this.closed) return 'error closed';
    const receiver = this.receivers[0];
    if (receiver === undefined) this.values.push(value);
    else receiver.happens(`value ${show(value)}`);
    return 'sent';
  }

  override take(): string {
    const sender = this.senders[0];
    if (sender !== undefined) {
      this.values.push(sender.value);
      sender.happens('sent');
    }
    return this.values.length > 0 ? `value ${show(this.values.shift())}` : this.#end;
  }

  close(error: unknown): string {
    if (this.closed) return 'error closed';
    this.closed = true;
    if (error !== undefined) this.#end = `error ${show(error)}`;
    // As in Go, receivers first: it matters to a select that waits for both.
    while (this.receivers.length > 0) this.receivers[0]!.happens(this.#end);
    while (this.senders.length > 0) this.senders[0]!.happens('error closed');
    return 'closed';
  }

  send(value: unknown, operation: Operation, scope: ModelScope | undefined): void {
    if (operation.isRefusedBy(scope)) return;
    if (this.canSend) operation.end(this.put(value));
    else {
      this.waitToSend(operation, value);
      operation.refuseBy(scope);
    }
  }

  waitToSend(operation: Operation, value: unknown, name?: string): void {
    operation.waitIn(this.senders, new Place(operation, name, value));
  }
}

/** What time does, when it is due. Of two at once, that which was armed first. */
interface Alarm {
  readonly dueAt: number;
  readonly armedAs: number;
  readonly isArmed: boolean;
  ring(): void;
}

export class ModelTime {
  now = 0;
  armed = 0;
  readonly #alarms: Alarm[] = [];

  /** A channel that gives a value once. */
  after(ms: number): ModelTimer {
    const timer = new ModelTimer(this, this.now + Math.max(0, ms));
    this.#alarms.push(timer);
    return timer;
  }

  call(ms: number, fn: () => void): void {
    let isArmed = true;
    const ring = (): void => {
      isArmed = false;
      fn();
    };
    const alarm = {
      dueAt: this.now + ms,
      armedAs: this.armed++,
      ring,
      get isArmed() {
        return isArmed;
      },
    };
    this.#alarms.push(alarm);
  }

  get pending(): Alarm[] {
    return this.#alarms.filter(({ isArmed }) => isArmed);
  }

  moveTo(time: number): void {
    for (;;) {
      const [next] = this.pending.sort((a, b) => a.dueAt - b.dueAt || a.armedAs - b.armedAs);
      if (next === undefined || next.dueAt > time) break;
      this.now = Math.max(this.now, next.dueAt);
      next.ring();
    }
    this.now = Math.max(this.now, time);
  }
}

export class ModelTimer extends ModelSource implements Alarm {
  readonly #time: ModelTime;
  dueAt: number;
  armedAs = 0;

  constructor(time: ModelTime, dueAt: number) {
    super();
    this.#time = time;
    this.dueAt = dueAt;
  }

  override get canReceive(): boolean {
    return this.#time.now >= this.dueAt;
  }

  /** It has a timer only while somebody waits. */
  get isArmed(): boolean {
    return this.receivers.length > 0 && this.dueAt < Number.POSITIVE_INFINITY;
  }

  ring(): void {
    this.receivers[0]!.happens(this.take());
  }

  override take(): string {
    const at = this.dueAt;
    this.dueAt = Number.POSITIVE_INFINITY;
    return `value ${at}`;
  }

  override wait(operation: Operation, name?: string): void {
    if (this.receivers.length === 0) this.armedAs = this.#time.armed++;
    super.wait(operation, name);
  }
}

/** A case of a select as the model has it. */
export interface ModelCase {
  readonly name: string;
  readonly isReady: boolean;
  /** Only if it is ready. */
  happen(): string;
  wait(operation: Operation): void;
}

export function receiveCase(name: string, source: ModelSource): ModelCase {
  return {
    name,
    get isReady() {
      return source.canReceive;
    },
    happen: () => source.take(),
    wait: (operation) => source.wait(operation, name),
  };
}

export function sendCase(name: string, channel: ModelChannel, value: unknown): ModelCase {
  return {
    name,
    get isReady() {
      return channel.canSend;
    },
    happen: () => channel.put(value),
    wait: (operation) => channel.waitToSend(operation, value, name),
  };
}

export function scopeCase(name: string, scope: ModelScope): ModelCase {
  return {
    name,
    get isReady() {
      return scope.canceled;
    },
    happen: () => `value ${scope.cause}`,
    wait: (operation) => operation.waitFor(scope, () => operation.end(`case ${name}: value ${scope.cause}`)),
  };
}

/** A loop over a channel. Once it has ended, thrown, or been left, it is at its end for good. */
export class ModelIterator {
  readonly #channel: ModelChannel;
  readonly #reads = new Set<Operation>();
  #left = false;

  constructor(channel: ModelChannel) {
    this.#channel = channel;
  }

  /** For a read of it. */
  operation(): Operation {
    const read: Operation = new Operation((outcome) => {
      this.#reads.delete(read);
      if (outcome.startsWith('value')) return outcome;
      const wasLeft = this.#left;
      this.#left = true;
      return wasLeft ? 'ended' : outcome;
    });
    return read;
  }

  next(read: Operation, scope: ModelScope | undefined): void {
    if (this.#left) read.end('ended');
    else {
      this.#channel.receive(read, scope);
      if (read.outcome === undefined) this.#reads.add(read);
    }
  }

  return(): void {
    this.#left = true;
    for (const read of this.#reads) read.end('ended');
  }
}

/** A select. The n-th case that is ready takes over with a chance of 1 in n. */
export function modelSelect(
  operation: Operation,
  cases: readonly ModelCase[],
  otherwise: string | undefined,
  random: () => number,
  scope: ModelScope | undefined,
): void {
  if (operation.isRefusedBy(scope)) return;
  let chosen: ModelCase | undefined;
  let ready = 0;
  for (const one of cases) if (one.isReady && (++ready === 1 || random() * ready < 1)) chosen = one;
  if (chosen !== undefined) operation.end(named(chosen.name, chosen.happen()));
  else if (otherwise !== undefined) operation.end(otherwise);
  else {
    for (const one of cases) one.wait(operation);
    operation.refuseBy(scope);
  }
}
