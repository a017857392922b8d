/** Operations that may wait, each begun at errand and at the model, and compared. */
import assert from 'node:assert/strict';
import type { WaitOptions } from '../../../src/go/index.ts';
import { type Cancelable, cancelableSignal, type ModelScope, SharedSources } from './go-scopes.ts';
import { show } from './go-show.ts';

/** What ends the wait of an operation: one of the shared sources, a signal of its own, nothing. */
export type Under = number | 'own' | undefined;

/** An operation as the model has it. */
export class Operation {
  /** What came of it; undefined while it waits. */
  outcome: string | undefined;
  readonly #leaves: (() => void)[] = [];
  readonly #told: (outcome: string) => string;

  /** `told` says what the outcome is, of what is told. */
  constructor(told: (outcome: string) => string = (outcome) => outcome) {
    this.#told = told;
  }

  end(outcome: string): void {
    assert.equal(this.outcome, undefined, 'the model ends an operation twice');
    this.leave();
    this.outcome = this.#told(outcome);
  }

  /** Leaves all that it waits for. */
  leave(): void {
    for (const leave of this.#leaves.splice(0)) leave();
  }

  /** Puts it in a queue. */
  waitIn<T>(queue: T[], place: T): void {
    queue.push(place);
    this.#leaves.push(() => void queue.splice(queue.indexOf(place), 1));
  }

  /** Has it told when the scope is canceled. */
  waitFor(scope: ModelScope | undefined, onCancel: () => void): void {
    if (scope === undefined) return;
    scope.listeners.add(onCancel);
    this.#leaves.push(() => scope.listeners.delete(onCancel));
  }

  /** The usual: it is refused with the cause. */
  refuseBy(scope: ModelScope | undefined): void {
    this.waitFor(scope, () => this.end(`error ${scope?.cause}`));
  }

  /** Whether it may not even begin. */
  isRefusedBy(scope: ModelScope | undefined): boolean {
    if (!scope?.canceled) return false;
    this.end(`error ${scope.cause}`);
    return true;
  }
}

interface Begun {
  readonly what: string;
  readonly model: Operation;
  outcome: string | undefined;
  readonly own: Cancelable | undefined;
}

export class Operations {
  readonly sources = new SharedSources();
  readonly #begun: Begun[] = [];

  /** `start` at errand gives what came of it as text; `model` does the same to `operation`. */
  begin(
    what: string,
    under: Under,
    start: (options: WaitOptions | undefined) => Promise<string>,
    model: (operation: Operation, scope: ModelScope | undefined) => void,
    operation = new Operation(),
  ): void {
    const own = under === 'own' ? cancelableSignal() : undefined;
    const source = typeof under === 'number' ? this.sources.at(under) : own;
    const begun: Begun = { what: `${this.#begun.length}, ${what}`, model: operation, outcome: undefined, own };
    this.#begun.push(begun);
    const onEnd = (outcome: string): void => {
      assert.equal(begun.outcome, undefined);
      begun.outcome = outcome;
    };
    start(source && { signal: source.given }).then(onEnd, (error) => onEnd(`error ${show(error)}`));
    model(operation, source?.model);
  }

  /** Cancels one that has a signal of its own, by any number. */
  cancelOwn(index: number, cause: unknown, within?: () => void): void {
    const own = this.#begun.flatMap((begun) => begun.own ?? []);
    if (own.length > 0) own[index % own.length]!.cancel(cause, within);
  }

  cancelAll(): void {
    this.sources.cancelAll();
    for (const { own } of this.#begun) own?.cancel('the end');
  }

  /** What has come of each is what had to; `settled`: and all that had to come has come. */
  check(settled: boolean): void {
    this.sources.check();
    for (const { what, outcome, model, own } of this.#begun) {
      if (settled || outcome !== undefined) {
        assert.equal(outcome ?? 'it waits', model.outcome ?? 'it waits', `the outcome of operation ${what}`);
      }
      own?.check();
    }
  }
}
