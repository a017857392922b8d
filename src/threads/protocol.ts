/**
 * What the two sides of a thread say to each other: arrays, as they are cloned faster than objects. The first element
 * says what it is, the second which call it is about.
 *
 * Beside the port they share a few integers, that can be read without waiting for a message.
 */
import type { ErrorRecord } from './error-record.ts';

/** To the thread. */
export const CALL = 0;
export const CANCEL = 1;
/** The reader of a stream has room for so many values more. */
export const PULL = 2;
/** The reader of a stream has left. */
export const LEAVE = 3;
export const CLOSE = 4;

export type Order =
  | readonly [
      kind: typeof CALL,
      call: number,
      name: string,
      args: readonly unknown[],
      // For a module that has asked.
      deadline?: number | undefined,
      id?: string,
      attempt?: number,
    ]
  | readonly [kind: typeof CANCEL, call: number, reason: ErrorRecord]
  | readonly [kind: typeof PULL, call: number, values: number]
  | readonly [kind: typeof LEAVE, call: number]
  | readonly [kind: typeof CLOSE, call: number];

/** From the thread. */
export const LOADED = 0;
export const NOT_LOADED = 1;
/** The call is over: with a value, which of a stream is the one that the generator returned. */
export const VALUE = 2;
export const FAILURE = 3;
/** One value of a stream. */
export const ITEM = 4;
/** What was written to stdout or stderr. */
export const OUTPUT = 6;
export const STDOUT = 0;
export const STDERR = 1;
/** The call was canceled before it could begin. */
export const REFUSED = 5;
/** The module wants to know of each call which task has made it. */
export const ASKS = 7;

export type Report =
  | readonly [kind: typeof LOADED, call: number, exports: ExportRecord]
  | readonly [kind: typeof NOT_LOADED, call: number, error: ErrorRecord]
  | readonly [kind: typeof VALUE, call: number, value: unknown]
  | readonly [kind: typeof FAILURE, call: number, error: ErrorRecord]
  | readonly [kind: typeof ITEM, call: number, value: unknown]
  | readonly [kind: typeof REFUSED, call: number]
  | readonly [kind: typeof ASKS, call: number]
  | readonly [kind: typeof OUTPUT, stream: typeof STDOUT | typeof STDERR, chunk: string | Uint8Array];

/** The functions that a module exports. */
export interface ExportRecord {
  readonly [name: string]: 'function' | 'generator';
}

/** What a thread is told first. */
export interface Setup {
  readonly port: import('node:worker_threads').MessagePort;
  readonly shared: Int32Array;
  /** The module's address. */
  readonly href: string;
  /** Whether to look out for the next message after a short call: where there are processors enough. */
  readonly spins: boolean;
}

/** How many messages the thread, and its host, has sent. Apart, as both are looked at while the other is written. */
export const FROM_THREAD = 0;
export const FROM_HOST = 32;
/**
 * Whether more has been sent than taken. It may be less: who takes a message by an event can be there before it is
 * counted. Numbers begin anew after the last.
 */
export function isAhead(sent: number, taken: number): boolean {
  return ((sent - taken) | 0) > 0;
}

/** The last call that has begun. */
export const BEGUN = 64;
const FLAGS = 65;
/** More calls than this of one thread can't be canceled at once with a flag each; the message comes for all. */
const FLAG_COUNT = 256;
export const SHARED_LENGTH = FLAGS + FLAG_COUNT;

/** The last number of a call, after which they begin anew: a flag is an integer of 32 bits. */
const LAST_CALL = 2 ** 31 - 1;

/** The number of the call after `call`. They are numbered from 1. */
export function nextCall(call: number): number {
  return call === LAST_CALL ? 1 : call + 1;
}

/** Whether a call has begun, when `begun` is the last one that has: they begin in the order of their numbers. */
export function hasBegun(call: number, begun: number): boolean {
  return ((begun - call) & LAST_CALL) < LAST_CALL / 2;
}

/** Where the flag of a call is: it holds the number of the call that is canceled. */
function flagOf(call: number): number {
  return FLAGS + (call & (FLAG_COUNT - 1));
}

export function raiseFlag(shared: Int32Array, call: number): void {
  Atomics.store(shared, flagOf(call), call);
}

/** When the call is over, as its number comes again some day. Another's flag stays. */
export function lowerFlag(shared: Int32Array, call: number): void {
  Atomics.compareExchange(shared, flagOf(call), call, 0);
}

export function isFlagged(shared: Int32Array, call: number): boolean {
  return Atomics.load(shared, flagOf(call)) === call;
}

/** A call that is shorter is worth looking out for its end, or for the next one, for so long. */
export const SHORT_MS = 1;
export const SPIN_MS = 0.1;
/** To ask for the time takes as long as so many looks. */
export const LOOKS = 32;

/** How many values of a stream may be on their way, unread. */
export const WINDOW = 16;

/** What a thread knows of a call, for those who ask. */
export interface CallRecord {
  readonly call: number;
  readonly shared: Int32Array | undefined;
  /** In ms since the epoch. */
  readonly deadline: number | undefined;
  /** The task's. */
  readonly id: string;
  readonly attempt: number;
}

/** What the thread's entry asks of `errand/threads`, if the module that the thread runs has imported that. */
export interface InThread<C = unknown> {
  open(record: CallRecord): C;
  run<T>(context: C, fn: (...args: readonly unknown[]) => T, args: readonly unknown[]): T;
  cancel(context: C, reason: ErrorRecord): void;
  takeTransferList(value: unknown): readonly import('node:worker_threads').Transferable[] | undefined;
}

/** Where the two meet, who each have a copy of this file. */
interface Meeting {
  api: InThread | undefined;
  /** Called when the module has imported `errand/threads`. */
  onApi: (() => void) | undefined;
}

const MEETING = Symbol.for('errand.threads');
const meetings = globalThis as unknown as Record<symbol, Meeting | undefined>;
meetings[MEETING] ??= { api: undefined, onApi: undefined };

export const inThread: Meeting = meetings[MEETING];
