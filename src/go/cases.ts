/** What a select chooses from: a receive, or a send. */
import { Channel, type SendChannel } from './channel.ts';
import { show } from './checks.ts';
import { kindOf, RECEIVE, Receivable, type ReceiveChannel, SEND } from './receivable.ts';

/** A receive as a case of a `select`. */
export interface ReceiveCase<T> {
  readonly receiveFrom: ReceiveChannel<T> | undefined;
}

/** A send as a case of a `select`. */
export interface SendCase<T> {
  readonly sendTo: SendChannel<never> | undefined;
  readonly value: T;
}

/**
 * A case that receives, for `select`. In the result, `value` and `ok` are as `receive` would have given them.
 * @throws TypeError when `channel` isn't a channel of errand; `undefined` is never ready
 */
export function receive<T>(channel: ReceiveChannel<T> | undefined): ReceiveCase<T> {
  if (channel !== undefined && !(channel instanceof Receivable)) {
    throw new TypeError(`channel must be a channel, got ${show(channel)}`);
  }
  return new Receiving(channel);
}

/**
 * A case that sends, for `select`. The value is there whether it is sent or not: as in Go, it is computed before.
 * @throws TypeError when `channel` isn't a channel of errand; `undefined` is never ready
 */
export function send<T>(channel: SendChannel<T> | undefined, value: T): SendCase<T> {
  if (channel !== undefined && !(channel instanceof Channel)) {
    throw new TypeError(`channel must be a channel, got ${show(channel)}`);
  }
  return new Sending(channel, value);
}

export class Receiving<T> implements ReceiveCase<T> {
  declare readonly [kindOf]: typeof RECEIVE;
  static {
    Object.defineProperty(Receiving.prototype, kindOf, { value: RECEIVE });
  }

  readonly receiveFrom: Receivable<T> | undefined;

  constructor(channel: Receivable<T> | undefined) {
    this.receiveFrom = channel;
  }
}

export class Sending<T> implements SendCase<T> {
  declare readonly [kindOf]: typeof SEND;
  static {
    Object.defineProperty(Sending.prototype, kindOf, { value: SEND });
  }

  readonly sendTo: Channel<T> | undefined;
  readonly value: T;

  constructor(channel: Channel<T> | undefined, value: T) {
    this.sendTo = channel;
    this.value = value;
  }
}

/** One of our own cases; anything else that is one has no kind. */
export type Known = Receivable<unknown> | Receiving<unknown> | Sending<unknown> | { readonly [kindOf]?: undefined };
