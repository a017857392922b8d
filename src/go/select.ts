/**
 * Go's select: of several sends and receives, the one that can happen first does, and no other.
 *
 * Invariant: a case is registered at its channel only while nothing has happened yet. What happens first takes all the
 * others out, synchronously, so nobody ever gives a value to a select that has been served.
 */
import type { Known, ReceiveCase, SendCase } from './cases.ts';
import { type Channel, isOpenFor, Sender, sendersOf } from './channel.ts';
import { show } from './checks.ts';
import type { Context } from './context.ts';
import {
  CHANNEL,
  ENDED,
  failureOf,
  isReady,
  kindOf,
  NOTHING,
  RECEIVE,
  type Receivable,
  type ReceiveChannel,
  type Received,
  Receiver,
  receiversOf,
  SEND,
  take,
} from './receivable.ts';
import { type CancelScope, follow, isContext, isSignal, scopeFor } from './scope.ts';
import { inNextTurn, isTurnOver, told } from './turn.ts';
import { type WaitOptions, type WaitQueue, waitScope } from './wait-queue.ts';

/**
 * What a {@link select} can wait for: a {@link receive} or a bare channel (such as {@link after} gives), a {@link send},
 * or a Context or AbortSignal, which is ready when it is canceled. `undefined` is never ready, as a nil channel in Go:
 * so a case can be switched off.
 */
export type SelectCase =
  | ReceiveCase<unknown>
  | SendCase<unknown>
  | ReceiveChannel<unknown>
  | Context
  | AbortSignal
  | undefined;

/** The cases of a {@link select} by name. If there is one named `default`, whatever it is, the select doesn't wait. */
export type SelectCases = { readonly [name: string]: unknown };

/** What {@link select} gives: the name of the case that happened and what came of it, told apart by the name. */
export type Selected<Cases> = { [Name in keyof Cases]: Outcome<Name, Cases[Name]> }[keyof Cases];

type Outcome<Name, Case> = Name extends 'default'
  ? { readonly case: Name; readonly value: Case; readonly ok?: undefined }
  : Case extends ReceiveCase<infer T> | ReceiveChannel<infer T>
    ? { readonly case: Name } & Received<T>
    : Case extends SendCase<unknown>
      ? { readonly case: Name; readonly value: undefined; readonly ok?: undefined }
      : Case extends Context | AbortSignal
        ? { readonly case: Name; readonly value: unknown; readonly ok?: undefined }
        : never;

/** Each case is something to wait for; but `default` may be anything. */
type Checked<Cases> = { readonly [Name in keyof Cases]: Name extends 'default' ? unknown : SelectCase };

/** What a {@link select} can be told. */
export interface SelectOptions extends WaitOptions {
  /** Picks among the cases that are ready, as `Math.random` does, which is the default. For tests with a seed. */
  readonly random?: (() => number) | undefined;
}

/**
 * Waits until one of the cases can happen, and has exactly that one happen: Go's `select`. Among several that can, one
 * is picked at random, each with the same chance. The others leave no trace: no value, no timer, no listener.
 *
 * ```ts
 * const r = await select({ message: receive(inbox), sent: send(outbox, 1), tick: after(100), quit: ctx });
 * if (r.case === 'message' && r.ok) handle(r.value);
 * ```
 *
 * A closed channel is ready to receive from: `ok` is false. Sending to one rejects with ClosedChannelError. A context's
 * value is its cause, a signal's its reason. Of `default`, the value is what was given there. Without any case it waits
 * for ever, as Go's does, or until `options.signal`, whose reason it then rejects with. Rejects with a TypeError when a
 * case is something else.
 */
export function select<const Cases extends Checked<Cases>>(
  cases: Cases,
  options?: SelectOptions,
): Promise<Selected<Cases>> {
  try {
    return selectAny(cases as SelectCases, options) as Promise<Selected<Cases>>;
  } catch (error) {
    return Promise.reject(error);
  }
}

interface AnyOutcome {
  readonly case: string;
  readonly value: unknown;
  readonly ok?: boolean;
}

function selectAny(cases: SelectCases, options: SelectOptions | undefined): Promise<AnyOutcome> {
  if (typeof cases !== 'object' || cases === null) throw new TypeError(`cases must be an object, got ${show(cases)}`);
  const scope = waitScope(options);
  const random = options?.random ?? Math.random;
  let chosen: string | undefined;
  let readyCount = 0;
  for (const name in cases) {
    if (name === 'default' || !isCaseReady(name, cases[name])) continue;
    // One pass picks among any number of ready cases, each with the same chance: the n-th takes over with 1 / n.
    if (++readyCount === 1 || random() * readyCount < 1) chosen = name;
  }
  if (chosen !== undefined) return told(commit(chosen, cases[chosen]));
  const { default: value } = cases;
  if (value !== undefined || 'default' in cases) return told({ case: 'default', value });
  return new Selection(cases, scope).promise;
}

function isCaseReady(name: string, entry: unknown): boolean {
  if (entry === undefined) return false;
  const known = entry as Known;
  switch (known?.[kindOf]) {
    case CHANNEL:
      return known[isReady];
    case RECEIVE:
      return known.receiveFrom?.[isReady] ?? false;
    case SEND:
      return known.sendTo?.[isOpenFor] ?? false;
  }
  // By what will tell who waits: a context of somebody else may not know yet that its signal has fired.
  if (isContext(entry)) return scopeFor(entry)?.err !== undefined;
  if (isSignal(entry)) return entry.aborted;
  throw new TypeError(
    `case ${name} must be a receive, a send, a channel, a Context or an AbortSignal, got ${show(entry)}`,
  );
}

/** Has a case happen that is ready. */
function commit(name: string, entry: unknown): AnyOutcome {
  const known = entry as Known;
  switch (known[kindOf]) {
    case CHANNEL:
      return received(name, known);
    case RECEIVE:
      return received(name, known.receiveFrom!);
    case SEND:
      known.sendTo!.trySend(known.value);
      return { case: name, value: undefined };
  }
  return { case: name, value: isContext(entry) ? scopeFor(entry)?.cause : (entry as AbortSignal).reason };
}

function received(name: string, channel: Receivable<unknown>): AnyOutcome {
  const value = channel[take]();
  if (value === ENDED) {
    const failure = channel[failureOf];
    if (failure !== undefined) throw failure.error;
    return { case: name, value: undefined, ok: false };
  }
  // Ready means that there is something; but a channel's clock may be the user's, and go backwards.
  if (value === NOTHING) throw new Error(`case ${name} was ready and then wasn't: does its clock go backwards?`);
  return { case: name, value, ok: true };
}

/** A select that waits, made like a PromiseReceiver: one waiter at each of its channels, and a listener at each of its contexts. */
class Selection {
  readonly promise: Promise<AnyOutcome>;
  private resolve: ((outcome: AnyOutcome | Promise<never>) => void) | undefined = undefined;
  private readonly waiters: (CaseReceiver | CaseSender)[] = [];
  private readonly unsubscribes: (() => boolean)[] = [];

  constructor(cases: SelectCases, scope: CancelScope | undefined) {
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
    for (const name in cases) this.register(name, cases[name]);
    if (scope !== undefined) this.unsubscribes.push(scope.subscribeWaiter((_, cause) => this.fail(cause)));
  }

  /** This came of it, and nothing else will. */
  happened(outcome: AnyOutcome): void {
    this.leave();
    if (isTurnOver()) inNextTurn(() => this.resolve!(outcome));
    else this.resolve!(outcome);
  }

  fail(error: unknown): void {
    this.leave();
    this.resolve!(Promise.reject(error));
  }

  private register(name: string, entry: unknown): void {
    if (entry === undefined) return;
    const known = entry as Known;
    switch (known[kindOf]) {
      case CHANNEL:
        this.enlist(new CaseReceiver(this, name, known));
        return;
      case RECEIVE:
        if (known.receiveFrom !== undefined) this.enlist(new CaseReceiver(this, name, known.receiveFrom));
        return;
      case SEND:
        if (known.sendTo !== undefined) this.enlist(new CaseSender(this, name, known.sendTo, known.value));
        return;
    }
    const scope = isContext(entry) ? scopeFor(entry) : follow(entry as AbortSignal);
    const unsubscribe = scope?.subscribeWaiter((_, cause) => this.happened({ case: name, value: cause }));
    if (unsubscribe !== undefined) this.unsubscribes.push(unsubscribe);
  }

  private enlist(waiter: CaseReceiver | CaseSender): void {
    this.waiters.push(waiter);
    waiter.enter();
  }

  private leave(): void {
    for (const waiter of this.waiters) waiter.leave();
    for (const unsubscribe of this.unsubscribes) unsubscribe();
  }
}

class CaseReceiver extends Receiver<unknown> {
  readonly queue: WaitQueue<Receiver<unknown>>;
  private readonly selection: Selection;
  private readonly name: string;

  constructor(selection: Selection, name: string, channel: Receivable<unknown>) {
    super();
    this.queue = channel[receiversOf];
    this.selection = selection;
    this.name = name;
  }

  override accept(value: unknown): void {
    this.selection.happened({ case: this.name, value, ok: true });
  }

  override end(): void {
    this.selection.happened({ case: this.name, value: undefined, ok: false });
  }

  override refuse(error: unknown): void {
    this.selection.fail(error);
  }

  enter(): void {
    this.queue.push(this);
  }

  leave(): void {
    this.queue.remove(this);
  }
}

class CaseSender extends Sender<unknown> {
  readonly queue: WaitQueue<Sender<unknown>>;
  private readonly selection: Selection;
  private readonly name: string;

  constructor(selection: Selection, name: string, channel: Channel<unknown>, value: unknown) {
    super(value);
    this.queue = channel[sendersOf];
    this.selection = selection;
    this.name = name;
  }

  override sent(): void {
    this.selection.happened({ case: this.name, value: undefined });
  }

  override refuse(error: unknown): void {
    this.selection.fail(error);
  }

  enter(): void {
    this.queue.push(this);
  }

  leave(): void {
    this.queue.remove(this);
  }
}
