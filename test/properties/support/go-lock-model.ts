/** Semaphores, locks and conditions in plain steps with explicit queues: what the properties compare errand with. */
import { fits, type Gate } from './go-gates.ts';
import { Operation } from './go-operations.ts';
import type { ModelScope } from './go-scopes.ts';

/** What is wanted, and then held. */
export interface Share {
  readonly weight: number;
}

interface Waiter {
  readonly operation: Operation;
  readonly share: Share;
  readonly scope: ModelScope | undefined;
}

/** What lets in, strictly first come, first served, those who fit beside the holders. */
export class ModelGate {
  readonly held = new Set<Share>();
  readonly waiting: Waiter[] = [];
  readonly #gate: Gate;

  constructor(gate: Gate) {
    this.#gate = gate;
  }

  /** What is held. */
  get weights(): number[] {
    return [...this.held].map(({ weight }) => weight);
  }

  acquire(operation: Operation, share: Share, scope: ModelScope | undefined): void {
    if (operation.isRefusedBy(scope)) return;
    if (this.tryAcquire(share)) this.#grant({ operation, share, scope });
    else {
      operation.waitIn(this.waiting, { operation, share, scope });
      operation.waitFor(scope, () => {
        operation.end(`error ${scope?.cause}`);
        this.#letIn();
      });
    }
  }

  /** Fails while anyone waits. */
  tryAcquire(share: Share): boolean {
    if (this.waiting.length > 0 || !fits(this.#gate, this.weights, share.weight)) return false;
    this.held.add(share);
    return true;
  }

  release(share: Share): void {
    this.held.delete(share);
    this.#letIn();
  }

  #letIn(): void {
    for (let [first] = this.waiting; first !== undefined; [first] = this.waiting) {
      if (!fits(this.#gate, this.weights, first.share.weight)) break;
      first.operation.leave();
      this.held.add(first.share);
      this.#grant(first);
    }
  }

  /** Who can be canceled knows of it a microtask later. If he has been canceled by then, he gives back. */
  #grant({ operation, share, scope }: Waiter): void {
    if (scope === undefined) operation.end('held');
    else {
      queueMicrotask(() => {
        if (scope.canceled) this.release(share);
        operation.end(scope.canceled ? `error ${scope.cause}` : 'held');
      });
    }
  }
}

/**
 * After how many microtasks it is known that a wait has ended, well or not. It matters only to who is first to lock
 * again, of those that are woken and those that are canceled in one turn; errand promises no order there.
 */
const TICKS = 1;
const REFUSAL_TICKS = 3;

export class ModelCond {
  readonly #gate: ModelGate | undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(gate?: ModelGate) {
    this.#gate = gate;
  }

  /** By the holder of `share`, if there is a lock. */
  wait(operation: Operation, share: Share | undefined, scope: ModelScope | undefined): void {
    const gate = this.#gate;
    if (operation.isRefusedBy(scope)) return;
    if (gate !== undefined && share === undefined) {
      operation.end('error not held');
      return;
    }
    // It locks again when it knows, behind all that came before.
    const wake = async (outcome: string, ticks: number): Promise<void> => {
      operation.leave();
      for (let i = 0; i < ticks; i++) await undefined;
      const locking = new Operation((held) => {
        operation.end(outcome);
        return held;
      });
      if (gate === undefined) locking.end('held');
      else gate.acquire(locking, share!, undefined);
    };
    operation.waitIn(this.#waiting, () => void wake('woken', TICKS));
    operation.waitFor(scope, () => void wake(`error ${scope?.cause}`, REFUSAL_TICKS));
    gate?.release(share!);
  }

  signal(): void {
    this.#waiting[0]?.();
  }

  broadcast(): void {
    while (this.#waiting.length > 0) this.signal();
  }
}
