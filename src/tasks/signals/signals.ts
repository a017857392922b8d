/** What a dispatcher measures of its calls, and who else follows them. */
import type { CallRecord, Failure, NewCall } from '../../engines/index.ts';
import { type Clock, wallTimeOf } from '../../go/clock.ts';
import { isA } from '../../go/errors.ts';
import type { RunStatus } from '../../metrics/dispatcher-metrics.ts';
import { definitionOf } from '../define-task.ts';
import { NotRegisteredError } from '../errors.ts';
import { decodePayload } from '../payload.ts';
import type { TaskRegistry } from '../registry.ts';
import type { Run } from '../run.ts';
import type { CallerContext } from '../types.ts';
import { CallMetrics, type RunTimes } from './call-metrics.ts';
import type { FollowedRun, Headers, Instrument, Submission } from './instrument.ts';
import { ALL, thresholdOf } from './observe.ts';

const NO_HEADERS: Headers = Object.freeze({});
/** Of which the call has not ended, or ends elsewhere. */
const UNENDED: ReadonlySet<RunStatus> = new Set(['retried', 'requeued', 'lost']);

/** Tells of an error that is nobody's. */
type Report = (error: unknown, what: string) => void;

/** A call as it goes on to the engine, and who follows its submission. */
interface SubmittedCall {
  readonly call: NewCall;
  readonly submission: Submission;
}

export class Signals {
  readonly metrics = new CallMetrics();
  readonly #clock: Clock;
  readonly #registry: TaskRegistry;
  readonly #report: Report;
  #instrument: Instrument | undefined = undefined;

  constructor(clock: Clock, registry: TaskRegistry, report: Report) {
    this.#clock = clock;
    this.#registry = registry;
    this.#report = report;
  }

  /** @throws Error when somebody else follows the calls */
  attach(instrument: Instrument): () => void {
    if (this.#instrument !== undefined) {
      throw new Error('the dispatcher is instrumented already: dispose of what the first instrument() has given');
    }
    this.#instrument = instrument;
    this.metrics.listener = (...timing) => this.guarded(() => instrument.timed(...timing));
    return () => {
      if (this.#instrument !== instrument) return;
      this.#instrument = undefined;
      this.metrics.listener = undefined;
    };
  }

  /** Whether anybody follows calls: without, there is nothing to ask. */
  get isFollowed(): boolean {
    return this.#instrument !== undefined;
  }

  /** Those who follow calls break none: what they throw is reported. */
  guarded<T>(fn: () => T): T | undefined {
    try {
      return fn();
    } catch (error) {
      this.#report(error, 'who follows the calls of the dispatcher threw');
      return undefined;
    }
  }

  /** A call that is about to be stored, as it goes on; undefined if nobody follows it. */
  submitting(call: NewCall): SubmittedCall | undefined {
    return this.guarded(() => this.#submitting(call));
  }

  #submitting(call: NewCall): SubmittedCall | undefined {
    const { task, version, id } = call;
    const { traces } = this.#registry.has(task, version)
      ? definitionOf(this.#registry.get(task, version)).observe
      : ALL;
    const threshold = thresholdOf(traces, id);
    if (this.#instrument === undefined || threshold === Number.POSITIVE_INFINITY) return undefined;
    const caller = decodePayload(call.context) as CallerContext;
    const headers = caller.headers ?? NO_HEADERS;
    const submission = this.#instrument.submitting({ call, headers, isForSlow: threshold > 0 });
    if (submission.headers === headers) return { call, submission };
    const context = JSON.stringify({ ...caller, headers: submission.headers });
    return { call: { ...call, context }, submission };
  }

  /** A run whose function is about to be called; undefined if nobody follows it. */
  running(run: Run): FollowedRun | undefined {
    return this.guarded(() => this.#running(run));
  }

  #running(run: Run): FollowedRun | undefined {
    const { record, definition } = run;
    const slowerThanMs = thresholdOf(definition.observe.traces, record.id);
    if (this.#instrument === undefined || slowerThanMs === Number.POSITIVE_INFINITY) return undefined;
    return this.#instrument.running({
      info: run.info,
      parentId: record.parentId,
      headers: headersOf(run),
      startedAt: wallTimeOf(this.#clock),
      slowerThanMs,
    });
  }

  /** A call was fetched that isn't run: it ends at once, as the engine is told. */
  refused({ task, queue }: CallRecord, { then }: Failure, error?: unknown): void {
    if (isA(error, NotRegisteredError)) this.metrics.noHandler(task, queue);
    if (typeof then === 'string') this.metrics.ended(task, queue, then, undefined);
  }

  /** It is known what has become of a run. */
  ended(run: Run, status: RunStatus): void {
    const { record, definition, tookMs } = run;
    const { id, task, queue } = record;
    const threshold = thresholdOf(definition.observe.metrics, id);
    const isTimed = status !== 'requeued' && status !== 'lost' && (threshold === 0 || tookMs > threshold);
    this.metrics.ended(task, queue, status, isTimed ? this.#timesOf(run, status) : undefined);
  }

  #timesOf({ record, hasBegun, begunAt, tookMs }: Run, status: RunStatus): RunTimes {
    const { timeOrigin } = this.#clock;
    const { queuedAt, submittedAt } = record;
    return {
      executionTime: hasBegun ? tookMs : undefined,
      timeInQueue: hasBegun && queuedAt !== undefined ? timeOrigin + begunAt - queuedAt : undefined,
      endToEndLatency: UNENDED.has(status) ? undefined : timeOrigin + this.#clock.now() - submittedAt,
    };
  }
}

/** What can't be read is the run's to say. */
function headersOf(run: Run): Headers {
  try {
    return run.caller.headers ?? NO_HEADERS;
  } catch {
    return NO_HEADERS;
  }
}
