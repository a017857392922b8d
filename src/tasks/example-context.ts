/** What the run of an example has in the place of a call: nobody listens, nothing is kept, nothing can be submitted. */
import { background, type CancelFunc, type Context, withCancel } from '../go/context.ts';
import { checkFunction } from './checks.ts';
import type { Definition } from './definition.ts';
import { decodePayload, encodePayload } from './payload.ts';
import type { CallContext } from './types.ts';

export class ExampleContext implements CallContext {
  readonly id = 'example';
  readonly task: string;
  readonly version: number;
  readonly attempt = 1;
  readonly queue: string;
  readonly parentId = undefined;
  readonly principals = Object.freeze([]);
  readonly headers = Object.freeze({});
  readonly stopping: AbortSignal = new AbortController().signal;
  readonly #ctx: Context;
  readonly #cancel: CancelFunc;
  readonly #deferred: (() => unknown)[] = [];
  readonly #kept = new Map<string, string>();

  constructor(definition: Definition, input: unknown) {
    this.task = definition.name;
    this.version = definition.version;
    this.queue = definition.route(input);
    [this.#ctx, this.#cancel] = withCancel(background());
  }

  get signal(): AbortSignal {
    return this.#ctx.signal;
  }

  get deadline(): number | undefined {
    return this.#ctx.deadline;
  }

  get err(): Error | undefined {
    return this.#ctx.err;
  }

  get cause(): unknown {
    return this.#ctx.cause;
  }

  done(): Promise<void> {
    return this.#ctx.done();
  }

  value(key: unknown): unknown {
    return this.#ctx.value(key);
  }

  heartbeat(): void {}

  log(): void {}

  progress(progress: unknown): void {
    encodePayload(progress, 'progress', Number.POSITIVE_INFINITY);
  }

  async step<T>(key: string, fn: () => T | PromiseLike<T>): Promise<T> {
    const kept = this.#kept.get(key);
    const json = kept ?? encodePayload(await fn(), `the result of step ${key}`, Number.POSITIVE_INFINITY);
    this.#kept.set(key, json);
    return decodePayload(json) as T;
  }

  submit(): Promise<never> {
    return Promise.reject(new Error('an example runs alone: it has no dispatcher to submit to'));
  }

  defer(fn: () => unknown): void {
    checkFunction('fn', fn);
    this.#deferred.push(fn);
  }

  retireResource(): void {}

  /** Runs a function with it, then what that has deferred, and ends. What failed first is what it rejects with. */
  async run(fn: (ctx: CallContext) => unknown): Promise<unknown> {
    const failures: unknown[] = [];
    const attempt = async (work: () => unknown): Promise<unknown> => {
      try {
        return await work();
      } catch (error) {
        failures.push(error);
        return undefined;
      }
    };
    const output = await attempt(() => fn(this));
    for (let late = this.#deferred.pop(); late !== undefined; late = this.#deferred.pop()) await attempt(late);
    this.#cancel();
    if (failures.length > 0) throw failures[0];
    return output;
  }
}
