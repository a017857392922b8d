/** Runs a program of one lock at errand and at the model, step by step, and compares all that can be seen of both. */
import assert from 'node:assert/strict';
import { Cond, NotHeldError, type Permit } from '../../../src/go/index.ts';
import { turn } from '../../../src/testing/turn.ts';
import { type Gate, type RealGate, realGate, WRITER, weightFor } from './go-gates.ts';
import { ModelCond, ModelGate, type Share } from './go-lock-model.ts';
import type { Act, LockProgram, Step } from './go-lock-program.ts';
import { Operations, type Under } from './go-operations.ts';
import { show } from './go-show.ts';

interface Held {
  readonly share: Share;
  readonly permit: Permit;
}

export class LockWorld {
  readonly #gate: Gate;
  readonly #real: RealGate;
  readonly #model: ModelGate;
  readonly #operations = new Operations();
  /** With the mutex, if the gate is one, and without. */
  readonly #cond: { readonly real: Cond; readonly model: ModelCond };
  readonly #freeCond = { real: new Cond(), model: new ModelCond() };
  /** What is held, and known to be by whoever wanted it. */
  readonly #held: Held[] = [];

  constructor({ gate }: LockProgram) {
    this.#gate = gate;
    this.#real = realGate(gate);
    this.#model = new ModelGate(gate);
    this.#cond = { real: new Cond(this.#real.mutex), model: new ModelCond(this.#model) };
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (step.do === 'turn') await turns();
      else if (step.do === 'tick') for (let i = 0; i < step.count; i++) await undefined;
      else this.#act(step);
      this.#check(step.do === 'turn');
    }
    await this.#end();
  }

  /** All that wait come to hold it, or are canceled, and all that is held is given back. */
  async #end(): Promise<void> {
    this.#operations.cancelAll();
    for (const { real, model } of [this.#cond, this.#freeCond]) {
      real.broadcast();
      model.broadcast();
    }
    await turns();
    this.#check(true);
    while (this.#held.length > 0) {
      this.#release(0, (permit) => permit.release());
      await turns();
      this.#check(true);
    }
    assert.equal(this.#model.held.size, 0);
    assert.equal(this.#model.waiting.length, 0);
    const most = this.#gate.kind === 'semaphore' ? this.#gate.size : WRITER;
    this.#tryAcquire(most);
    assert.equal(this.#held.length, 1, 'all of it can be had again');
  }

  #act(act: Act): void {
    switch (act.do) {
      case 'acquire':
        this.#acquire(weightFor(this.#gate, act.weight), act.under);
        break;
      case 'tryAcquire':
        this.#tryAcquire(weightFor(this.#gate, act.weight));
        break;
      case 'release':
        this.#release(act.which, (permit) => permit.release());
        break;
      case 'releaseTwice':
        this.#release(act.which, (permit) => {
          permit.release();
          assert.throws(() => permit.release(), NotHeldError);
        });
        break;
      case 'dispose':
        this.#release(act.which, (permit) => {
          permit[Symbol.dispose]();
          permit[Symbol.dispose]();
        });
        break;
      case 'releaseCount':
        this.#release(act.which, (permit, { weight }) => {
          if (this.#real.semaphore === undefined) permit.release();
          else this.#real.semaphore.release(weight);
        });
        break;
      case 'releaseTooMuch': {
        const { semaphore } = this.#real;
        if (semaphore !== undefined) assert.throws(() => semaphore.release(this.#weight + act.extra), NotHeldError);
        break;
      }
      case 'wait':
        this.#wait(act.which, act.under);
        break;
      case 'waitFree':
        this.#operations.begin(
          'wait without a lock',
          act.under,
          (options) => this.#freeCond.real.wait(options).then(() => 'woken'),
          (operation, scope) => this.#freeCond.model.wait(operation, undefined, scope),
        );
        break;
      case 'signal':
      case 'broadcast': {
        const { real, model } = act.free ? this.#freeCond : this.#cond;
        real[act.do]();
        model[act.do]();
        break;
      }
      default: {
        const within = () => {
          for (const next of act.within) this.#act(next);
        };
        if (act.do === 'cancel') this.#operations.sources.cancel(act.which, act.cause, within);
        else this.#operations.cancelOwn(act.which, act.cause, within);
      }
    }
  }

  #acquire(weight: number, under: Under): void {
    const share = { weight };
    this.#operations.begin(
      `acquire ${weight}`,
      under,
      async (options) => {
        this.#held.push({ share, permit: await this.#real.acquire(weight, options) });
        return 'held';
      },
      (operation, scope) => {
        const isWrong = !isCount(weight) || weight > (this.#real.semaphore?.size ?? weight);
        if (isWrong) operation.end('error RangeError');
        else this.#model.acquire(operation, share, scope);
      },
    );
  }

  #tryAcquire(weight: number): void {
    const share = { weight };
    const expected = !isCount(weight) ? 'RangeError' : this.#model.tryAcquire(share) ? 'held' : 'not held';
    let outcome: string;
    try {
      const permit = this.#real.tryAcquire(weight);
      if (permit !== undefined) this.#held.push({ share, permit });
      outcome = permit === undefined ? 'not held' : 'held';
    } catch (error) {
      outcome = show(error);
    }
    assert.equal(outcome, expected);
  }

  /** `how` gives back, at errand, one that is held. */
  #release(which: number, how: (permit: Permit, share: Share) => void): void {
    if (this.#held.length === 0) return;
    const [{ share, permit }] = this.#held.splice(which % this.#held.length, 1) as [Held];
    assert.ok(this.#model.held.has(share));
    how(permit, share);
    this.#model.release(share);
  }

  /** By who has the lock, who has it again after. */
  #wait(which: number, under: Under): void {
    const isHeld = this.#held.length > 0;
    if (!isHeld && this.#model.held.size > 0) return; // whoever has it doesn't know yet
    const [held] = isHeld ? this.#held.splice(which % this.#held.length, 1) : [];
    this.#operations.begin(
      'wait',
      under,
      async (options) => {
        try {
          await this.#cond.real.wait(options);
          return 'woken';
        } finally {
          if (held !== undefined) this.#held.push(held);
        }
      },
      (operation, scope) => this.#cond.model.wait(operation, held?.share, scope),
    );
  }

  /** All that is held. */
  get #weight(): number {
    return this.#model.weights.reduce((sum, weight) => sum + weight, 0);
  }

  #check(settled: boolean): void {
    const { semaphore, mutex } = this.#real;
    if (semaphore !== undefined) assert.equal(semaphore.available, semaphore.size - this.#weight, 'available');
    if (mutex !== undefined) assert.equal(mutex.locked, this.#model.held.size > 0, 'locked');
    if (settled) assert.equal(this.#held.length, this.#model.held.size, 'held');
    this.#operations.check(settled);
  }
}

function isCount(weight: number): boolean {
  return Number.isInteger(weight) && weight >= 1;
}

async function turns(): Promise<void> {
  await turn();
  await turn();
}
