/**
 * The accounts of values that go over channels. Values are numbers, in the order in which they were offered: in that
 * order those that are sent must leave a channel.
 */
import assert from 'node:assert/strict';
import { sendersOf } from '../../../src/go/channel.ts';
import type { Channel } from '../../../src/go/index.ts';
import { receiversOf } from '../../../src/go/receivable.ts';
import { checkNobodyWaitsInVain } from './go-invariants.ts';

interface Entry {
  readonly channel: Channel<number>;
  /** What its sender was told. */
  told: 'nothing' | 'sent' | 'refused';
  received: number;
}

/** The last value that was received from each channel, by whom that is kept for. */
export type Seen = Map<Channel<number>, number>;

export class Ledger {
  readonly channels: readonly Channel<number>[];
  handedOver = 0;
  readonly #entries: Entry[] = [];
  readonly #seenByAll: Seen = new Map();

  constructor(channels: readonly Channel<number>[]) {
    this.channels = channels;
  }

  /** Any number stands for a channel. */
  at(index: number): Channel<number> {
    return this.channels[index % this.channels.length]!;
  }

  /** A new value, for that channel. */
  offer(channel: Channel<number>): number {
    return this.#entries.push({ channel, told: 'nothing', received: 0 }) - 1;
  }

  tell(value: number, told: 'sent' | 'refused'): void {
    const entry = this.#entries[value]!;
    assert.equal(entry.told, 'nothing', `the sender of ${value} is told twice`);
    entry.told = told;
  }

  /** Those who receive by a promise see all values in order, together; who looks at once may be ahead of them. */
  receive(channel: Channel<number>, value: number, seen = this.#seenByAll): void {
    const entry = this.#entries[value];
    assert.equal(entry?.channel, channel, `${value} came out of a channel it wasn't sent to`);
    entry!.received++;
    this.handedOver++;
    const last = seen.get(channel) ?? -1;
    assert.ok(value > last, `${value} came after ${last}`);
    seen.set(channel, value);
  }

  check(): void {
    for (const channel of this.channels) {
      checkNobodyWaitsInVain(channel);
      const waits = channel[receiversOf].first !== undefined && channel[sendersOf].first !== undefined;
      assert.ok(!waits, 'a receiver and a sender wait');
    }
  }

  /** When all have been told: what is still in the channels has been sent, and that is all. */
  close(): void {
    for (const channel of this.channels) {
      assert.equal(channel[receiversOf].first, undefined);
      assert.equal(channel[sendersOf].first, undefined);
      while (channel.length > 0) this.receive(channel, channel.tryReceive()!.value!);
    }
    this.#entries.forEach(({ told, received }, value) => {
      assert.notEqual(told, 'nothing', `the sender of ${value} was told nothing`);
      assert.equal(received, told === 'sent' ? 1 : 0, `${value} was ${told}, and received so many times`);
    });
  }
}
