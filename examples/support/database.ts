/** A stand-in for a database, so that the examples run anywhere. Put your own driver in its place. */
import { setTimeout as sleep } from 'node:timers/promises';

/** The connection is of no use any more; another one would do. */
export class ConnectionLostError extends Error {}

export interface QueryOptions {
  readonly signal?: AbortSignal;
  /** How long the database takes. Default 5. */
  readonly ms?: number;
}

/** How many connections there are now, and how many there have been. */
export const connections = { open: 0, opened: 0 };

export class Connection {
  readonly number = ++connections.opened;
  #isLost = false;
  #tell: (() => void) | undefined;

  constructor() {
    connections.open++;
  }

  /** Answers `rows of <text>`; rejects when `signal` fires. */
  async query(text: string, { signal, ms = 5 }: QueryOptions = {}): Promise<string> {
    await sleep(ms, undefined, signal && { signal });
    if (this.#isLost) throw new ConnectionLostError(`connection ${this.number} is lost`);
    return `rows of ${text}`;
  }

  /** Has `listener` called when the connection is lost. */
  onLost(listener: () => void): void {
    this.#tell = listener;
  }

  /** From now on every query fails. */
  lose(): void {
    this.#isLost = true;
    this.#tell?.();
  }

  close(): void {
    connections.open--;
  }
}

export async function connect({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Connection> {
  await sleep(5, undefined, signal && { signal });
  return new Connection();
}
