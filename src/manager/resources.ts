/**
 * Resources are made and destroyed here, each exactly once.
 *
 * Creations go through a p-queue: so many at a time, at such a rate, base workers before burst workers. One that
 * outlives `createTimeoutMs`, or isn't wanted any more, keeps its place until it returns, and what it returns then is
 * destroyed.
 */
import { AsyncResource } from 'node:async_hooks';
import { execute, retry, throwIfAborted } from 'abort-controller-x';
import PQueue from 'p-queue';
import type { Clock, ClockTimer } from '../go/clock.ts';
import { messageOf, ResourceError } from './errors.ts';
import type { Settings } from './options.ts';

const BACKOFF_BASE_MS = 100;
const BACKOFF_MAX_MS = 10_000;

/** Sleeps by the clock, without holding the process; rejects with the signal's reason. */
export function sleep(signal: AbortSignal, ms: number, clock: Clock): Promise<void> {
  return execute<void>(signal, (resolve) => {
    const timer = clock.setTimeout(resolve, ms);
    return () => clock.clearTimeout(timer);
  });
}

/** The urgency of a creation: the higher goes first. */
export const URGENT = 2;
export const FOR_BASE = 1;
export const FOR_BURST = 0;

/** Takes over a resource that was made. */
export type Use = (resource: unknown) => void;

/** Does away with that resource, as it has asked for. */
export type Retire = () => void;

export interface ResourceEvents {
  /** A creation has failed; `inRow` counts since the last one that didn't. */
  onCreateFailed(error: ResourceError, inRow: number): void;
  /** `onDestroy` threw. */
  onDestroyFailed(error: unknown): void;
  /** Nothing is being made or destroyed any more. */
  onQuiet(): void;
}

export class Resources {
  created = 0;
  destroyed = 0;
  createFailures = 0;
  destroyFailures = 0;
  /** Failures since the last success. */
  failuresInRow = 0;
  /** Creations and destructions under way. */
  pending = 0;
  readonly #settings: Settings;
  readonly #events: ResourceEvents;
  /** Resources outlive the tasks that bring them about: they belong in the async context of the manager's making. */
  readonly #origin = new AsyncResource('errand.resources');
  /** Made with the first creation: a manager without resources needs none. */
  #gate: PQueue | undefined;

  constructor(settings: Settings, events: ResourceEvents) {
    this.#settings = settings;
    this.#events = events;
  }

  /** Whether a resource comes without any creation. */
  get trivial(): boolean {
    return this.#settings.onCreate === undefined;
  }

  /** Makes a resource for `use`, trying again with growing, jittered pauses until it works or `signal` fires. */
  async createEventually(urgency: number, signal: AbortSignal, use: Use, retire: Retire): Promise<void> {
    return retry(
      signal,
      async (_, attempt) => {
        try {
          if (attempt > 0) {
            const pauseMs = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** (attempt - 1));
            await sleep(signal, pauseMs * (0.5 + Math.random() / 2), this.#settings.clock);
          }
          await this.create(urgency, signal, use, retire);
        } catch (error) {
          // Else it would be tried again, as only an AbortError ends a retry.
          throwIfAborted(signal);
          throw error;
        }
      },
      // The pauses are our own, above: by the manager's clock, and letting the process go.
      { baseMs: 0 },
    );
  }

  /** Makes a resource for `use` in one try. Rejects with ResourceError, or with the signal's reason. */
  create(urgency: number, signal: AbortSignal, use: Use, retire: Retire): Promise<void> {
    this.#gate ??= this.#openGate();
    const gate = this.#gate;
    return new Promise<void>((resolve, reject) => {
      // Once it has begun, the gate mustn't hear that it isn't wanted any more: it would give its place away.
      const waiting = new AbortController();
      const onAbort = (): void => waiting.abort(signal.reason);
      const begin = (): Promise<void> => {
        signal.removeEventListener('abort', onAbort);
        return this.#createOne(signal, use, retire, resolve, reject);
      };
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
      gate.add(begin, { priority: urgency, signal: waiting.signal }).catch(reject);
    });
  }

  /** Resolves when onCreate has returned, whatever has become of the waiter meanwhile. */
  async #createOne(
    signal: AbortSignal,
    use: Use,
    retire: Retire,
    resolve: () => void,
    reject: (error: unknown) => void,
  ): Promise<void> {
    const { createTimeoutMs, clock, onCreate } = this.#settings;
    this.pending++;
    const controller = new AbortController();
    let wanted = true;
    let timer: ClockTimer;
    const over = (): void => {
      wanted = false;
      signal.removeEventListener('abort', onAbort);
      clock.clearTimeout(timer);
    };
    // One that asks for its end before it has an owner gets it with its owner.
    let isInUse = false;
    let isRetired = false;
    const retireIt = (): void => {
      isRetired = true;
      if (isInUse) retire();
    };
    const giveUp = (error: unknown): void => {
      over();
      controller.abort(error);
      reject(error);
    };
    const fail = (error: ResourceError): void => {
      this.createFailures++;
      this.failuresInRow++;
      giveUp(error);
      this.#events.onCreateFailed(error, this.failuresInRow);
    };
    const onAbort = (): void => giveUp(signal.reason);
    signal.addEventListener('abort', onAbort);
    if (createTimeoutMs !== Number.POSITIVE_INFINITY) {
      const message = `the creation of a resource took more than createTimeoutMs (${createTimeoutMs} ms)`;
      timer = clock.setTimeout(() => fail(new ResourceError(message)), createTimeoutMs);
    }
    try {
      const resource = await this.#origin.runInAsyncScope(onCreate!, undefined, {
        signal: controller.signal,
        retire: retireIt,
      });
      this.created++;
      if (wanted) {
        over();
        this.failuresInRow = 0;
        // At once, while the creation still is pending: a stop never finds a resource on its way to its owner.
        const isOver = isRetired;
        isInUse = true;
        use(resource);
        if (isOver) retire();
        resolve();
      } else void this.destroy(resource);
    } catch (error) {
      if (wanted) fail(new ResourceError(`the creation of a resource failed: ${messageOf(error)}`, { cause: error }));
    } finally {
      this.#done();
    }
  }

  /** Destroys a resource; never throws. */
  async destroy(resource: unknown): Promise<void> {
    this.destroyed++;
    const { onDestroy } = this.#settings;
    if (onDestroy === undefined) return;
    this.pending++;
    try {
      await this.#origin.runInAsyncScope(onDestroy, undefined, resource);
    } catch (error) {
      this.destroyFailures++;
      this.#events.onDestroyFailed(error);
    } finally {
      this.#done();
    }
  }

  #done(): void {
    this.pending--;
    if (this.pending === 0) this.#events.onQuiet();
  }

  #openGate(): PQueue {
    const { createConcurrency, createRate } = this.#settings;
    return new PQueue({
      concurrency: createConcurrency,
      ...(createRate && { intervalCap: createRate.limit, interval: createRate.intervalMs, strict: true }),
    });
  }
}
