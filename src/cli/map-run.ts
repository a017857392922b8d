/**
 * Inputs to outcomes. Inputs are pulled one by one, a TaskManager runs the function over them, and one loop writes what
 * comes of it: to the journal first, then to the results.
 *
 * Invariant: an input holds one of a fixed number of places from before it is pulled until its outcome is written. So
 * a slow reader of the results holds the work, and memory doesn't grow with the inputs.
 */
import { Channel } from '../go/channel.ts';
import { background, withCancelCause } from '../go/context.ts';
import { RateLimiter } from '../go/rate-limiter.ts';
import { type Permit, Semaphore } from '../go/semaphore.ts';
import { type CreateContext, ShutdownError, type TaskContext, TaskManager, type TaskState } from '../manager/index.ts';
import { messageOf, recordOf } from './failure.ts';
import type { MapModule } from './import-module.ts';
import { InOrder } from './in-order.ts';
import type { Entry, Inputs } from './inputs.ts';
import type { Journal } from './journal.ts';
import { failed, lines, type Outcome, saying, succeeded } from './outcome.ts';
import type { Output } from './output.ts';
import { watchResources } from './resources.ts';
import type { Tally } from './tally.ts';
import { UsageError } from './usage-error.ts';
import type { Rate } from './values.ts';
import type { Work } from './work.ts';

/** Inputs taken up beyond those that run: so no worker waits for the loop, and one flush of the journal serves many. */
const AHEAD = 256;
/** A call that lives on after its timeout keeps its place so long: sooner than in a server, as people wait for it. */
const ABANDON_AFTER_MS = 5_000;
const SILENT = { debug() {}, info() {}, warn() {} };
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
  readonly module: Pick<MapModule, 'priority' | 'key'>;
  readonly work: Work;
  readonly inputs: Inputs;
  readonly journal: Journal | undefined;
  readonly results: Output;
  /** Where failures go; else they are said. */
  readonly errors: Output | undefined;
  readonly tally: Tally;
  /** Says a line on stderr. */
  readonly say: (text: string) => void;
}

/** The run was interrupted before the function was called. */
class NotBegunError extends Error {}

/** The calls of the function with an input, one after another. */
interface Calls {
  readonly input: string;
  count: number;
  /** When the one under way began. */
  began: number | undefined;
}

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
  readonly #order = new InOrder<Outcome>();
  #hasStrays = false;

  constructor(parts: MapRunParts, options: MapRunOptions) {
    const { concurrency, timeoutMs, retries, rate } = options;
    const { onCreate, checkHealth } = parts.work.resources;
    this.#parts = parts;
    this.#options = options;
    this.#manager = new TaskManager<unknown>({
      ...parts.work.resources,
      workerCount: concurrency,
      maxWorkerCount: concurrency,
      burstIntervalMs: 0,
      abandonAfterMs: ABANDON_AFTER_MS,
      collector: false,
      timeoutMs,
      ...(retries > 0 && { retry: { ...RETRY, attempts: retries + 1, retryIf: () => !this.#isStopping } }),
      onCreate: onCreate && ((context) => this.#create(onCreate, context)),
      checkHealth: checkHealth && ((error) => error instanceof NotBegunError || checkHealth(error)),
      logger: { ...SILENT, error: (what, error) => this.#onError(what, error) },
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
    watchResources(this.#manager, (error) => this.#fail(error));
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
      const { stuckWorkers, abandonedTasks } = this.#manager.stats();
      this.#hasStrays ||= stuckWorkers + abandonedTasks > 0;
      // A stop would wait for functions that live on after their timeout.
      await (stuckWorkers > 0 ? this.#manager.kill() : this.#manager.stop({ graceMs: 0 }));
      await written;
    }
  }

  /** Whether there may be functions that live on after the end, and hold the process. */
  get hasStrays(): boolean {
    return this.#hasStrays;
  }

  /** Pulls no more, and lets what runs come to its end. */
  stop(): void {
    this.#beginning[1](new NotBegunError('the run was interrupted'));
    this.#manager.clear('interrupted');
  }

  /** Ends what runs as well. */
  kill(): void {
    this.#hasStrays = true;
    this.stop();
    void this.#manager.kill('interrupted');
  }

  /** What goes wrong besides the function. Of strays, the end says enough. */
  #onError(what: string, error: unknown): void {
    if (!this.#hasStrays) this.#parts.say(`${what}: ${messageOf(recordOf(error))}`);
  }

  /** What the user got wrong is no better the next time. */
  async #create(onCreate: NonNullable<Work['resources']['onCreate']>, context: CreateContext): Promise<unknown> {
    try {
      return await onCreate(context);
    } catch (error) {
      if (error instanceof UsageError) this.#fail(error);
      throw error;
    }
  }

  get #isStopping(): boolean {
    return this.#beginning[0].err !== undefined;
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
      this.#end({ index, permit, of: 'input', ...failed(input, entry.error, 0) });
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
    this.#end({ index, permit, of: 'journal', text, failure });
  }

  #submit(index: number, value: unknown, input: string, permit: Permit): void {
    const { priority, key } = this.#parts.module;
    const calls: Calls = { input, count: 0, began: undefined };
    const end = (what: Pick<Outcome, 'text' | 'failure'>): void => this.#end({ index, permit, of: 'call', ...what });
    let options = {};
    try {
      options = { ...(priority && { priority: priority(value) }), ...(key && { key: key(value) }) };
    } catch (error) {
      end(failed(input, error, 0));
      return;
    }
    const handle = this.#manager.queueTaskAsync((ctx, resource) => this.#call(ctx, value, calls, resource), options);
    handle.result.then(
      (result) => end(succeeded(input, result)),
      (error: unknown) => {
        this.#over(calls); // it may live on after a timeout
        end(this.#isFinal(handle.state, error, calls) ? failed(input, error, calls.count) : {});
      },
    );
  }

  /** Whether an input has failed, or was only kept from going on. */
  #isFinal(state: TaskState, error: unknown, { count }: Calls): boolean {
    if (state === 'canceled' || error instanceof NotBegunError || error instanceof ShutdownError) return false;
    return state !== 'failed' || !this.#isStopping || count > this.#options.retries;
  }

  /** One call of the function. Resolves with its value as JSON. */
  async #call(ctx: TaskContext<unknown>, value: unknown, calls: Calls, resource: unknown): Promise<string> {
    const { work, tally } = this.#parts;
    if (this.#limiter !== undefined) await this.#turn(ctx, this.#limiter);
    if (this.#isStopping) throw this.#beginning[0].cause;
    calls.count = ctx.attempt;
    calls.began = performance.now();
    if (ctx.attempt > 1) tally.retried++;
    tally.running++;
    try {
      return work.jsonOf(await work.call(value, ctx, resource));
    } finally {
      this.#over(calls);
    }
  }

  #over(calls: Calls): void {
    const { input, began } = calls;
    if (began === undefined) return;
    calls.began = undefined;
    const { tally } = this.#parts;
    tally.running--;
    tally.ran(input, performance.now() - began);
  }

  /** Waits for the rate; that time isn't the function's. */
  async #turn(ctx: TaskContext<unknown>, limiter: RateLimiter): Promise<void> {
    if (limiter.allow()) return;
    ctx.pauseTimeout();
    await limiter.wait(1, this.#beginning[0]);
    ctx.resumeTimeout();
  }

  /** Puts an outcome in line to be written, in order if it has to be. */
  #end(outcome: Outcome): void {
    if (this.#outcomes.closed) return;
    // Before its turn to be written, so that nothing more is begun.
    if (this.#options.failFast && outcome.failure !== undefined && outcome.of !== 'journal') this.kill();
    const ready = this.#options.ordered ? this.#order.after(outcome.index, outcome) : [outcome];
    for (const next of ready) this.#outcomes.trySend(next);
  }

  /** Writes outcomes, all that have come at once: one flush of the journal for many. */
  async #write(): Promise<void> {
    const { journal, results, errors, tally, say } = this.#parts;
    for await (const first of this.#outcomes) {
      const group = [first];
      for (let more = this.#outcomes.tryReceive(); more?.ok; more = this.#outcomes.tryReceive()) group.push(more.value);
      const fresh = group.filter(({ text, of }) => text !== undefined && of === 'call');
      if (fresh.length > 0) await journal?.append(fresh.map(({ text }) => text!));
      const values = group.filter(({ text, failure }) => text !== undefined && failure === undefined);
      if (values.length > 0) await results.write(lines(values));
      const failures = group.filter(({ text, failure }) => text !== undefined && failure !== undefined);
      if (errors === undefined) for (const { failure } of failures) say(saying(failure!));
      else if (failures.length > 0) await errors.write(lines(failures));
      for (const { text, of, failure, permit } of group) {
        if (text === undefined && of === 'call') tally.undone++;
        else tally.ended(failure, of === 'journal');
        permit.release();
      }
    }
  }

  /** Ends the run. */
  #fail(error: unknown): void {
    this.#writing[1](error);
    this.kill();
  }
}
