/** One of those who run free in a crowd. */
import assert from 'node:assert/strict';
import { after, type Channel, receive, select, send, type WaitOptions } from '../../../src/go/index.ts';
import type { VirtualClock } from '../../../src/testing/index.ts';
import { turn } from '../../../src/testing/turn.ts';
import type { Ledger, Seen } from './go-ledger.ts';
import type { Under } from './go-operations.ts';
import { type Cancelable, cancelableSignal, type SharedSources } from './go-scopes.ts';

export interface PartySpec {
  readonly is: 'sender' | 'receiver' | 'loop' | 'selector' | 'trySender' | 'tryReceiver' | 'closer' | 'canceler';
  /** Any number stands for a channel, or a source; a select has a case for each. */
  readonly at: readonly number[];
  /** How often it does what it does. */
  readonly count: number;
  readonly under: Under;
  /** What comes in between, in turn: that many microtasks, or, for 0, a turn of the event loop. */
  readonly pauses: readonly number[];
  readonly reason: unknown;
  readonly calm: boolean;
}

export interface Place {
  readonly ledger: Ledger;
  readonly sources: SharedSources;
  readonly clock: VirtualClock;
}

type Offer = readonly [name: string, value: number];

export class Party {
  /** Its own signal, if it has one. */
  readonly own: Cancelable | undefined;
  readonly #spec: PartySpec;
  readonly #place: Place;
  readonly #options: WaitOptions | undefined;
  #paused = 0;

  constructor(spec: PartySpec, place: Place) {
    this.#spec = spec;
    this.#place = place;
    const { under } = spec;
    if (under === 'own') this.own = cancelableSignal();
    const source = typeof under === 'number' ? place.sources.at(under) : this.own;
    if (source !== undefined) this.#options = { signal: source.given };
  }

  async play(): Promise<void> {
    const { is, at, count, reason } = this.#spec;
    const { ledger, sources } = this.#place;
    const channel = ledger.at(at[0]!);
    const seen: Seen = new Map();
    /** What it does once, and whether it goes on then. */
    const act: () => Promise<boolean> | boolean = {
      sender: () => this.#send(channel),
      receiver: () => this.#receive(channel),
      selector: () => this.#select(),
      loop: () => this.#loop(channel),
      trySender: () => this.#trySend(channel),
      tryReceiver: () => this.#tryReceive(channel, seen),
      closer: () => true,
      canceler: () => true,
    }[is];
    for (let i = 0; i < count; i++) {
      const doing = act();
      ledger.check();
      const goesOn = typeof doing === 'boolean' ? doing : await doing;
      if (!goesOn) return;
      await this.#pause(typeof doing === 'boolean');
    }
    if (is === 'closer' && !channel.closed) channel.close(reason);
    if (is === 'canceler') sources.cancel(at[0]!, reason);
  }

  async #send(channel: Channel<number>): Promise<boolean> {
    const { ledger } = this.#place;
    const value = ledger.offer(channel);
    const sent = await isDone(channel.send(value, this.#options));
    ledger.tell(value, sent ? 'sent' : 'refused');
    return sent;
  }

  async #receive(channel: Channel<number>): Promise<boolean> {
    try {
      const { value, ok } = await channel.receive(this.#options);
      if (ok) this.#place.ledger.receive(channel, value);
      return ok;
    } catch (error) {
      return refused(error);
    }
  }

  /** Leaves now and then, to come back. */
  async #loop(channel: Channel<number>): Promise<boolean> {
    const most = this.#spec.calm ? Number.POSITIVE_INFINITY : this.#spec.at.length;
    let count = 0;
    try {
      for await (const value of this.#options === undefined ? channel : channel.values(this.#options)) {
        this.#place.ledger.receive(channel, value);
        if (++count === most) return true;
        await this.#pause();
      }
      return false;
    } catch (error) {
      return refused(error);
    }
  }

  async #select(): Promise<boolean> {
    const { ledger, sources, clock } = this.#place;
    const { at, calm } = this.#spec;
    const cases: Record<string, unknown> = {};
    const offers: Offer[] = [];
    // What receives from a channel doesn't send to it as well: then the ledger couldn't tell who waits in vain.
    const receiving = new Set(at.filter((index) => index % 4 < 2).map((index) => ledger.at(index)));
    at.forEach((index, i) => {
      const channel = ledger.at(index);
      if (receiving.has(channel)) cases[`receive ${i}`] = index % 2 === 0 ? receive(channel) : channel;
      else if (index % 4 === 2 || calm) {
        const value = ledger.offer(channel);
        cases[`send ${i}`] = send(channel, value);
        offers.push([`send ${i}`, value]);
      } else cases[`other ${i}`] = i % 2 === 0 ? after(index, { clock }) : sources.at(index).given;
    });
    let happened: string | undefined;
    try {
      const result = await select(cases as Record<string, undefined>, this.#options);
      const { case: name, value, ok } = result as { case: string; value: unknown; ok?: boolean };
      if (ok && name.startsWith('receive')) ledger.receive(ledger.at(at[Number(name.slice(8))]!), value as number);
      happened = name;
      return ok !== false || !calm;
    } catch (error) {
      return refused(error);
    } finally {
      for (const [name, value] of offers) ledger.tell(value, name === happened ? 'sent' : 'refused');
    }
  }

  #trySend(channel: Channel<number>): boolean {
    const { ledger } = this.#place;
    const value = ledger.offer(channel);
    let sent = false;
    try {
      sent = channel.trySend(value);
      return true;
    } catch (error) {
      return refused(error);
    } finally {
      ledger.tell(value, sent ? 'sent' : 'refused');
    }
  }

  #tryReceive(channel: Channel<number>, seen: Seen): boolean {
    try {
      const received = channel.tryReceive();
      if (received?.ok) this.#place.ledger.receive(channel, received.value, seen);
      return received?.ok !== false;
    } catch (error) {
      return refused(error);
    }
  }

  async #pause(must = false): Promise<void> {
    const { pauses } = this.#spec;
    const ticks = pauses.length > 0 ? pauses[this.#paused++ % pauses.length]! : Number(must);
    if (ticks === 0 && pauses.length > 0) await turn();
    else for (let i = 0; i < ticks; i++) await undefined;
  }
}

/** It goes on no more; but if the ledger has thrown, that is a failure. */
function refused(error: unknown): false {
  if (error instanceof assert.AssertionError) throw error;
  return false;
}

function isDone(promise: Promise<void>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
