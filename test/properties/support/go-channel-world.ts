/** Runs a program of channels at errand and at the model, step by step, and compares all that can be seen of both. */
import assert from 'node:assert/strict';
import { sendersOf } from '../../../src/go/channel.ts';
import {
  after,
  background,
  Channel,
  type ReceiveChannel,
  type Received,
  receive,
  select,
  send,
  withClock,
  withTimeout,
} from '../../../src/go/index.ts';
import { receiversOf } from '../../../src/go/receivable.ts';
import { VirtualClock } from '../../../src/testing/index.ts';
import { turn } from '../../../src/testing/turn.ts';
import type { Cancel } from './go-arbitraries.ts';
import {
  type ModelCase,
  ModelChannel,
  ModelIterator,
  type ModelSource,
  ModelTime,
  type ModelTimer,
  modelSelect,
  receiveCase,
  scopeCase,
  sendCase,
} from './go-channel-model.ts';
import type { Act, ActAtOnce, Case, ChannelProgram, Step } from './go-channel-program.ts';
import { checkNobodyWaitsInVain, waiting } from './go-invariants.ts';
import { Operations, type Under } from './go-operations.ts';
import { ModelScope } from './go-scopes.ts';
import { show } from './go-show.ts';

interface Both<Real, Model> {
  readonly real: Real;
  readonly model: Model;
}
type BothChannels = Both<Channel<unknown>, ModelChannel>;

interface BothIterators extends Both<AsyncIterator<unknown>, ModelIterator> {
  readonly under: number | undefined;
}

export class ChannelWorld {
  readonly #clock = new VirtualClock();
  readonly #time = new ModelTime();
  readonly #operations = new Operations();
  readonly #channels: BothChannels[];
  readonly #iterators: BothIterators[];
  readonly #timers: Both<ReceiveChannel<number>, ModelTimer>[];

  constructor({ capacities, iterators, timers, deadline }: ChannelProgram) {
    this.#addDeadline(deadline);
    this.#channels = capacities.map((capacity) => ({
      real: new Channel<unknown>(capacity),
      model: new ModelChannel(capacity),
    }));
    this.#iterators = iterators.map(({ channel, under }) => {
      const { real, model } = any(this.#channels, channel);
      const signal = under === undefined ? undefined : this.#operations.sources.at(under).given;
      const iterator = signal === undefined ? real[Symbol.asyncIterator]() : real.values({ signal });
      return { real: iterator, model: new ModelIterator(model), under };
    });
    this.#timers = timers.map((ms) => this.#after(ms));
  }

  #addDeadline(ms: number): void {
    const [given] = withTimeout(withClock(background(), this.#clock), ms);
    const model = new ModelScope();
    this.#operations.sources.add({ given, model });
    this.#time.call(ms, () => {
      model.mark('deadline exceeded');
      model.tell();
    });
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (step.do === 'tick' || step.do === 'turn' || step.do === 'advance') await this.#wait(step);
      else this.#act(step);
      this.#check(step.do === 'turn' || step.do === 'advance');
    }
    await this.#end();
  }

  /** Nobody is canceled, then everybody; what waits without a scope is ended by time, and by the close. */
  async #end(): Promise<void> {
    await turns();
    this.#check(true);
    this.#operations.cancelAll();
    await turns();
    this.#check(true);
    await this.#clock.runAll();
    this.#time.moveTo(this.#clock.now());
    this.#check(true);
    for (const { real, model } of this.#channels) {
      if (!model.closed) same(model.close('over'), () => closed(real, 'over'));
    }
    await turns();
    this.#check(true);
    for (const { real, model } of this.#channels) {
      while (model.values.length > 0) same(model.take(), () => tried(real));
      assert.equal(real[receiversOf].first, undefined);
      assert.equal(real[sendersOf].first, undefined);
    }
    assert.equal(this.#clock.timerCount, 0);
  }

  async #wait(step: Exclude<Step, Act>): Promise<void> {
    if (step.do === 'advance') {
      await this.#clock.advance(step.ms);
      this.#time.moveTo(this.#time.now + step.ms);
      assert.equal(this.#clock.now(), this.#time.now);
    } else if (step.do === 'turn') await turns();
    else for (let i = 0; i < step.count; i++) await undefined;
  }

  #act(act: Act): void {
    if (act.do === 'send') this.#send(any(this.#channels, act.channel), act.value, act.under);
    else if (act.do === 'receive') this.#receive(any(this.#channels, act.channel), act.under);
    else if (act.do === 'receiveTime') this.#receive(any(this.#timers, act.timer), act.under);
    else if (act.do === 'next') this.#next(any(this.#iterators, act.iterator));
    else if (act.do === 'return') this.#return(any(this.#iterators, act.iterator));
    else if (act.do === 'select') this.#select(act);
    else if (act.do === 'cancel' || act.do === 'cancelOwn') this.#cancel(act);
    else this.#actAtOnce(act as ActAtOnce);
  }

  /** What needs no wait, and so no promise. */
  #actAtOnce(act: ActAtOnce): void {
    const { real, model } = any(this.#channels, act.channel);
    if (act.do === 'close') same(model.close(act.error), () => closed(real, act.error));
    else if (act.do === 'tryReceive') same(model.canReceive ? model.take() : 'nothing', () => tried(real));
    else same(model.canSend ? model.put(act.value) : 'full', () => (real.trySend(act.value) ? 'sent' : 'full'));
  }

  #cancel({ do: what, which, cause, within }: Cancel<Act>): void {
    const act = () => {
      for (const next of within) this.#act(next);
    };
    if (what === 'cancel') this.#operations.sources.cancel(which, cause, act);
    else this.#operations.cancelOwn(which, cause, act);
  }

  #send({ real, model }: BothChannels, value: unknown, under: Under): void {
    this.#operations.begin(
      `send ${show(value)}`,
      under,
      (options) => real.send(value, options).then((nothing) => (nothing === undefined ? 'sent' : 'sent something')),
      (operation, scope) => model.send(value, operation, scope),
    );
  }

  #receive({ real, model }: Both<ReceiveChannel<unknown>, ModelSource>, under: Under): void {
    this.#operations.begin(
      'receive',
      under,
      (options) => real.receive(options).then(text),
      (operation, scope) => model.receive(operation, scope),
    );
  }

  #next({ real, model, under }: BothIterators): void {
    this.#operations.begin(
      'next of an iterator',
      under,
      () => real.next().then(({ value, done }) => text({ value, ok: done === false } as Received<unknown>)),
      (operation, scope) => model.next(operation, scope),
      model.operation(),
    );
  }

  #return({ real, model }: BothIterators): void {
    void real.return?.();
    model.return();
  }

  #select({ cases, defaultAt, random, under }: Act & { do: 'select' }): void {
    const entries: [string, unknown][] = [];
    const models: ModelCase[] = [];
    cases.forEach((one, index) => {
      const name = `${one.on} ${index}`;
      const { real, model } = this.#case(name, one);
      entries.push([name, real]);
      if (model !== undefined) models.push(model);
    });
    if (defaultAt !== undefined) entries.splice(defaultAt, 0, ['default', undefined]);
    const otherwise = defaultAt === undefined ? undefined : 'case default: value undefined';
    this.#operations.begin(
      `select of ${entries.map(([name]) => name)}`,
      under,
      (options) =>
        select(Object.fromEntries(entries) as Record<string, undefined>, { ...options, random: cycle(random) }).then(
          (result) => {
            const { case: name, value, ok } = result as { case: string; value: unknown; ok?: boolean };
            const sent = name.startsWith('send');
            const what = sent && value === undefined ? 'sent' : text({ value, ok: ok ?? true } as Received<unknown>);
            const hasOk = /^(receive|bare|after|timer)/.test(name);
            return `case ${name}: ${what}${hasOk === (ok !== undefined) ? '' : `, ok is ${ok}`}`;
          },
        ),
      (operation, scope) => modelSelect(operation, models, otherwise, cycle(random), scope),
    );
  }

  #case(name: string, one: Case): Both<unknown, ModelCase | undefined> {
    if (one.on === 'nothing') {
      const real = { receive: receive(undefined), send: send(undefined, 1), undefined }[one.kind];
      return { real, model: undefined };
    }
    if (one.on === 'source') {
      const { given, model } = this.#operations.sources.at(one.source);
      return { real: given, model: scopeCase(name, model) };
    }
    if (one.on === 'after' || one.on === 'timer') {
      const { real, model } = one.on === 'after' ? this.#after(one.ms) : any(this.#timers, one.timer);
      return { real, model: receiveCase(name, model) };
    }
    const { real, model } = any(this.#channels, one.channel);
    if (one.on === 'send') return { real: send(real, one.value), model: sendCase(name, model, one.value) };
    return { real: one.on === 'bare' ? real : receive(real), model: receiveCase(name, model) };
  }

  #after(ms: number): Both<ReceiveChannel<number>, ModelTimer> {
    return { real: after(ms, { clock: this.#clock }), model: this.#time.after(ms) };
  }

  #check(settled: boolean): void {
    for (const { real, model } of this.#channels) {
      assert.equal(real.length, model.values.length, 'length');
      assert.equal(real.closed, model.closed, 'closed');
      const senders = waiting(real[sendersOf]).map(({ value }) => show(value));
      assert.deepEqual(
        senders,
        model.senders.map(({ value }) => show(value)),
        'the senders that wait',
      );
      assert.equal(waiting(real[receiversOf]).length, model.receivers.length, 'receivers that wait');
      checkNobodyWaitsInVain(real);
      checkOneWaits(model);
    }
    assert.equal(this.#clock.timerCount, this.#time.pending.length, 'timers');
    this.#operations.check(settled);
  }
}

/** A sender and a receiver wait at once only if they are of one select, which can't serve itself. */
function checkOneWaits({ senders, receivers }: ModelChannel): void {
  for (const sender of senders) {
    assert.ok(
      receivers.every(({ operation }) => operation === sender.operation),
      'a sender and a receiver wait',
    );
  }
}

function same(expected: string, act: () => string): void {
  let outcome: string;
  try {
    outcome = act();
  } catch (error) {
    outcome = `error ${show(error)}`;
  }
  assert.equal(outcome, expected);
}

function any<T>(all: readonly T[], index: number): T {
  return all[index % all.length]!;
}

function cycle(numbers: readonly number[]): () => number {
  let count = 0;
  return () => any(numbers, count++) / 100;
}

function text({ value, ok }: Received<unknown>): string {
  if (ok) return `value ${show(value)}`;
  return value === undefined ? 'ended' : `ended with ${show(value)}`;
}

function tried(channel: Channel<unknown>): string {
  const received = channel.tryReceive();
  return received === undefined ? 'nothing' : text(received);
}

function closed(channel: Channel<unknown>, error: unknown): string {
  channel.close(error);
  return 'closed';
}

/** Whatever has been done has been told, a hand-over that was put off too. */
async function turns(): Promise<void> {
  await turn();
  await turn();
}
