/**
 * Inputs to outcomes. Inputs are pulled one by one, a TaskManager runs the function over them, and one loop writes what
 * comes of it: to the journal first, then to the results.
 *
 * Invariant: an input holds one of a fixed number of places from before it is pulled until its outcome is written. So
 * a slow reader of the results holds the work, and memory doesn't grow with the inputs.
 */
import { format } from 'node:util';
import { Channel } from '../go/channel.ts';
import { background, withCancelCause } from '../go/context.ts';
import { RateLimiter } from '../go/rate-limiter.ts';
import { type Permit, Semaphore } from '../go/semaphore.ts';
import { ShutdownError, type TaskContext, TaskManager } from '../manager/index.ts';
import type { Entry, Inputs } from './inputs.ts';
import type { Journal } from './journal.ts';
import type { MapContext, MapModule } from './map-module.ts';
import type { Output } from './output.ts';
import type { Tally } from './tally.ts';
import { printableInput } from './text.ts';
import type { Rate } from './values.ts';

/** Inputs taken up beyond those that run: enough that no worker waits for the loop. */
const AHEAD = 64;
const RETRY = { backoff: 'exponential', baseMs: 200, maxMs: 30_000, jitter: 'full' } as const;

export interface MapRunOptions {
  readonly concurrency: number;
  readonly timeoutMs: number | undefined;
  readonly retries: number;
  readonly rate: Rate | undefined;
  readonly ordered: boolean;
  readonly failFast: boolean;
  readonly replay: boolean;
}

export interface MapRunParts {
  readonly module: MapModule;
  readonly inputs: Inputs;
  readonly journal: Journal | undefined;
  readonly results: Output;
  /** Where failures go; else they are said. */
  readonly errors: Output | undefined;
  readonly tally: Tally;
  /** Says a line on stderr. */
  readonly say: (text: string) => void;
}

/** What came of an input. Without a text: nothing to write. */
interface Outcome {
  readonly index: number;
  readonly permit: Permit;
  readonly text?: string | undefined;
  /** What it says of a failure; a success has none. */
  readonly failure?: { readonly input: string; readonly message: string } | undefined;
  /** From the journal, so it isn't written there again. */
  readonly isKept?: boolean;
}

/** The run was interrupted before the function was called. */
class NotBegunError extends Error {}

export class MapRun {
  readonly #options: MapRunOptions;
  readonly #parts: MapRunParts;
  readonly #manager: TaskManager<unknown>;
  readonly #limiter: RateLimiter | undefined;
  readonly #places: Semaphore;
  /** Unbounded, as there are never more outcomes than places. */
  readonly #outcomes = new Channel<Outcome>(Number.POSITIVE_INFINITY);
  /** Canceled with why no more is begun. */
  readonly #beginning = withCancelCause(background());
  /** Canceled when nothing can be written any more. */
  readonly #writing = withCancelCause(background());
  /** With `ordered`, what has come before its turn, and whose turn it is. */
  readonly #early = new Map<number, Outcome>();
  #next = 0;

  constructor(parts: MapRunParts, options: MapRunOptions) {
    const { concurrency, timeoutMs, retries, rate } = options;
    const { onCreate, onDestroy, checkHealth } = parts.module;
    this.#parts = parts;
    this.#options = options;
    this.#manager = new TaskManager<unknown>({
      workerCount: concurrency,
      maxWorkerCount: concurrency,
      burstIntervalMs: 0,
      collector: false,
      timeoutMs,
      ...(retries > 0 && { retry: { ...RETRY, attempts: retries + 1 } }),
      ...(onCreate && { onCreate }),
      ...(onDestroy && { onDestroy }),
      ...(checkHealth && { checkHealth }),
    });
    this.#limiter = rate && new RateLimiter({ ...rate, strict: true });
    this.#places = new Semaphore(concurrency + AHEAD);
  }

  /**
   * Resolves when every input has its outcome and that is written, or the run has been ended before.
   * Rejects with what ended it, if that was no interruption: a reader that has gone, a disk that is full, no resource.
   */
  async run(): Promise<void> {
    const { results, errors } = this.#parts;
    for (const output of [results, errors]) if (output !== undefined) output.onFailure = (error) => this.#fail(error);
    this.#manager.ready().catch((error: unknown) => {
      if (!(error instanceof ShutdownError)) this.#fail(error);
    });
    const written = this.#write().catch((error: unknown) => this.#fail(error));
    try {
      const pulled = this.#pull();
      await pulled.catch(() => {}); // what was begun before the inputs failed comes to its end
      // A place is free again when the outcome has been written.
      await this.#places.acquire(this.#places.size, { signal: this.#writing[0] });
      await results.end();
      await errors?.end();
      await pulled;
    } finally {
      this.#outcomes.close();
      await this.#manager.stop({ graceMs: 0 });
      await written;
    }
  }

  /** Pulls no more, and lets what runs come to its end. */
  stop(): void {
    this.#beginning[1](new NotBegunError('the run was interrupted'));
    this.#manager.clear('interrupted');
  }

  /** Ends what runs as well. */
  kill(): void {
    this.stop();
    void this.#manager.kill('interrupted');
  }

  async #pull(): Promise<void> {
    const { inputs, tally } = this.#parts;
    const [ctx] = this.#beginning;
    tally.total = inputs.total;
    const source = Channel.from(inputs, { signal: ctx });
    let permit: Permit | undefined;
    try {
      for (let index = 0; ; index++) {
        permit = await this.#places.acquire(1, { signal: ctx });
        const entry = await source.receive();
        if (!entry.ok) break;
        tally.pulled++;
        await this.#take(index, entry.value, permit);
        permit = undefined; // the outcome's now
      }
      tally.total = tally.pulled;
    } catch (error) {
      if (!(error instanceof NotBegunError)) throw error;
    } finally {
      permit?.release();
    }
  }

  /** Has an input run, or takes its outcome from the journal. */
  async #take(index: number, entry: Entry, permit: Permit): Promise<void> {
    const { journal, tally } = this.#parts;
    const input = JSON.stringify(entry.input);
    if (entry.error !== undefined) {
      this.#end({ index, permit, ...failed(input, entry.error, 0) });
      return;
    }
    const kept = journal?.take(entry.input);
    if (kept === undefined) {
      this.#submit(index, entry.input, input, permit);
      return;
    }
    tally.skipped++;
    const text = this.#options.replay ? await journal!.read(kept) : undefined;
    const failure = kept.failed ? { input, message: 'failed in an earlier run' } : undefined;
    this.#end({ index, permit, text, failure, isKept: true });
  }

  #submit(index: number, value: unknown, input: string, permit: Permit): void {
    const { priority, key } = this.#parts.module;
    let attempts = 0;
    const call = (ctx: TaskContext<unknown>, resource: unknown): Promise<string> => {
      attempts = ctx.attempt;
      return this.#call(ctx, value, input, resource);
    };
    let options = {};
    try {
      options = { ...(priority && { priority: priority(value) }), ...(key && { key: key(value) }) };
    } catch (error) {
      this.#end({ index, permit, ...failed(input, error, 0) });
      return;
    }
    const handle = this.#manager.queueTaskAsync(call, options);
    handle.result.then(
      (result) => this.#end({ index, permit, text: `{"input":${input},"value":${result}}` }),
      (error: unknown) => {
        const { state } = handle;
        const isOutcome = (state === 'failed' || state === 'timedOut') && !(error instanceof NotBegunError);
        this.#end(isOutcome ? { index, permit, ...failed(input, error, attempts) } : { index, permit });
      },
    );
  }

  /** One run of the function. Its value becomes JSON here, so that one which can't is a failure like others. */
  async #call(ctx: TaskContext<unknown>, value: unknown, input: string, resource: unknown): Promise<string> {
    const { module, tally, say } = this.#parts;
    await this.#turn(ctx);
    if (ctx.attempt > 1) tally.retried++;
    tally.running++;
    const began = performance.now();
    const context: MapContext = {
      get signal() {
        return ctx.signal;
      },
      attempt: ctx.attempt,
      log: (...values) => say(format(...values)),
    };
    try {
      return JSON.stringify(await module.run(value, context, resource)) ?? 'null';
    } finally {
      tally.running--;
      tally.ran(input, performance.now() - began);
    }
  }

  /** Waits for the rate; that time isn't the function's. */
  async #turn(ctx: TaskContext<unknown>): Promise<void> {
    if (this.#limiter === undefined || this.#limiter.allow()) return;
    ctx.pauseTimeout();
    await this.#limiter.wait(1, this.#beginning[0]);
    ctx.resumeTimeout();
  }

  /** Puts an outcome in line to be written, in order if it has to be. */
  #end(outcome: Outcome): void {
    if (this.#outcomes.closed) return;
    if (!this.#options.ordered) {
      this.#outcomes.trySend(outcome);
      return;
    }
    this.#early.set(outcome.index, outcome);
    for (let next = this.#early.get(this.#next); next !== undefined; next = this.#early.get(this.#next)) {
      this.#early.delete(this.#next++);
      this.#outcomes.trySend(next);
    }
  }

  /** Writes outcomes, all that have come at once: one flush of the journal for many. */
  async #write(): Promise<void> {
    const { journal, results, errors, tally, say } = this.#parts;
    for await (const first of this.#outcomes) {
      const group = [first];
      for (let more = this.#outcomes.tryReceive(); more?.ok; more = this.#outcomes.tryReceive()) group.push(more.value);
      const fresh = group.filter(({ text, isKept }) => text !== undefined && isKept !== true);
      if (fresh.length > 0) await journal?.append(fresh.map(({ text }) => text!));
      const values = group.filter(({ text, failure }) => text !== undefined && failure === undefined);
      if (values.length > 0) await results.write(lines(values));
      const failures = group.filter(({ text, failure }) => text !== undefined && failure !== undefined);
      if (errors === undefined)
        for (const { failure } of failures) say(`failed: ${printableInput(failure!.input)}: ${failure!.message}`);
      else if (failures.length > 0) await errors.write(lines(failures));
      for (const outcome of group) {
        if (outcome.text === undefined && outcome.isKept !== true) tally.undone++;
        else tally.ended(outcome.failure, outcome.isKept);
        outcome.permit.release();
      }
      if (this.#options.failFast && tally.failed > 0) this.kill();
    }
  }

  /** Ends the run. */
  #fail(error: unknown): void {
    this.#writing[1](error);
    this.kill();
  }
}

function lines(outcomes: readonly Outcome[]): string {
  return `${outcomes.map(({ text }) => text).join('\n')}\n`;
}

function failed(input: string, error: unknown, attempts: number): Pick<Outcome, 'text' | 'failure'> {
  const { name, message, code, stack } = toError(error);
  const text = `{"input":${input},"error":${JSON.stringify({ name, message, code, stack })},"attempts":${attempts}}`;
  return { text, failure: { input, message: name === 'Error' ? message : `${name}: ${message}` } };
}

function toError(error: unknown): NodeJS.ErrnoException {
  return error instanceof Error ? error : new Error(typeof error === 'string' ? error : format(error));
}
