/** What a running call has: its task's context, and the ways to say something of the call. */
import { format } from 'node:util';
import { checkFunction, show } from '../go/checks.ts';
import { CanceledError } from '../go/errors.ts';
import { type CancelScope, scopeOf } from '../go/scope.ts';
import type { TaskContext } from '../manager/context.ts';
import type { Call } from './call.ts';
import type { Definition } from './definition.ts';
import { decodePayload, encodePayload } from './payload.ts';
import type { Run } from './run.ts';
import type { CallContext, Principal, SubmitOptions, Task } from './types.ts';

/** For those inside: the run that a context is of. */
export const runOf = Symbol('runOf');

export class RunContext implements CallContext {
  readonly id: string;
  readonly task: string;
  readonly version: number;
  readonly attempt: number;
  readonly queue: string;
  readonly parentId: string | undefined;
  readonly #run: Run;
  readonly #ctx: TaskContext;
  /** What its steps are kept under: none of another function that runs in this call. */
  readonly #prefix: string;
  /** Those under way. */
  readonly #steps = new Map<string, Promise<string>>();

  constructor(run: Run, ctx: TaskContext, member?: { readonly prefix: string; readonly definition: Definition }) {
    const { id, attempt, queue, parentId } = run.record;
    const { task, version } =
      member === undefined ? run.record : { task: member.definition.name, version: member.definition.version };
    this.id = id;
    this.task = task;
    this.version = version;
    this.attempt = attempt;
    this.queue = queue;
    this.parentId = parentId;
    this.#run = run;
    this.#ctx = ctx;
    this.#prefix = member?.prefix ?? '';
  }

  [runOf](): Run {
    return this.#run;
  }

  /** What one of several functions has that run in this call, one after the other. */
  memberOf(index: number, definition: Definition): RunContext {
    return new RunContext(this.#run, this.#ctx, { prefix: `${index}:`, definition });
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

  [scopeOf](): CancelScope {
    return this.#ctx[scopeOf]();
  }

  get principals(): readonly Principal[] {
    return this.#run.caller.principals ?? [];
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#run.caller.headers ?? {};
  }

  get stopping(): AbortSignal {
    return this.#run.host.stopping;
  }

  heartbeat(step?: string): void {
    if (step !== undefined && typeof step !== 'string') {
      throw new TypeError(`heartbeat takes the step as a string, but got ${show(step)}`);
    }
    this.#run.beat(step);
  }

  log(...values: readonly unknown[]): void {
    this.#run.say(format(...values));
  }

  progress(progress: unknown): void {
    this.#run.report(encodePayload(progress, 'progress', this.#run.host.maxPayloadBytes));
  }

  async step<T>(key: string, fn: () => T | PromiseLike<T>): Promise<T> {
    if (typeof key !== 'string' || key === '') throw new TypeError(`step takes a name, but got ${show(key)}`);
    checkFunction('the step', fn);
    const full = `${this.#prefix}${key}`;
    // As later attempts will get it.
    return decodePayload(this.#run.memo(full) ?? (await this.#stepOnce(full, fn))) as T;
  }

  /** The JSON of what a step comes to; of several at once that have one name, one is done. */
  #stepOnce(key: string, fn: () => unknown): Promise<string> {
    let step = this.#steps.get(key);
    if (step === undefined) {
      step = this.#doStep(key, fn).finally(() => this.#steps.delete(key));
      this.#steps.set(key, step);
    }
    return step;
  }

  async #doStep(key: string, fn: () => unknown): Promise<string> {
    this.#throwIfOver();
    const json = encodePayload(await fn(), `the result of step ${key}`, this.#run.host.maxPayloadBytes);
    await this.#run.keep(key, json);
    return json;
  }

  submit<I, O>(task: Task<I, O> | string, input: I, options?: SubmitOptions): Promise<Call<O>> {
    try {
      this.#throwIfOver();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#run.host.submit(task, input, options, { id: this.id, caller: this.#run.caller }) as Promise<Call<O>>;
  }

  defer(fn: () => unknown): void {
    this.#ctx.defer(fn);
  }

  retireResource(): void {
    this.#ctx.retireResource();
  }

  #throwIfOver(): void {
    if (this.#ctx.err !== undefined) throw this.#ctx.cause;
    if (this.#run.isOver) throw new CanceledError('the run is over: submit to the dispatcher instead');
  }
}
